//! Whom callers of a Twilio number reach: departments, one target after the other, by which transport, and
//! what a PBX and a telephone see of the caller; and nobody at all while humans are not there.

use serde_json::{Value, json};
use switchhook_e2e::api::{only_transfer, pretty};
use switchhook_e2e::gateway::GatewaySettings;
use switchhook_lab::carrier::{Behaviour, CallIn, Party, Phone, RungOnce};

use crate::common::*;
use crate::twilio_line::*;

const WISH: &str = "I would like to speak to a human please";
/// Whom the demo's callers reach in its sales department, before [`EXTENSION`].
const SALES: &str = "sip:2005@pbx.example.com";

/// By a dial from the caller's leg, and in a conference.
fn both_ways(settings: GatewaySettings) -> [GatewaySettings; 2] {
    [settings.clone(), in_rooms(settings)]
}

/// A caller who says this when the assistant listens.
async fn says(line: &Line, words: &str) -> Party {
    let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
    caller.until_hears("How can I help", ANSWER).await.unwrap();
    caller.says(words);
    caller
}

/// The call is with a human.
async fn is_connected(line: &Line) {
    let api = line.gateway.api().await;
    api.wait_call("a human", ANSWER, |call| call["status"] == "with_agent")
        .await;
}

/// Whoever rang a phone, by exactly one dial.
fn only_ring(phone: &Phone) -> RungOnce {
    let rings = phone.rings();
    assert_eq!(rings.len(), 1, "exactly one dial: {rings:?}");
    rings[0].clone()
}

#[tokio::test]
async fn a_department_is_reached_by_its_name() {
    for settings in both_ways(gather()) {
        let line = line(settings, |_| {}).await;
        let sales = line.carrier.phone(SALES, Behaviour::answers());
        let desk = line.carrier.phone(EXTENSION, Behaviour::answers());
        let caller = says(&line, "I'd like to talk to sales").await;
        let colleague = sales.until_answered(0, ANSWER).await.unwrap();
        is_connected(&line).await;
        colleague.hangs_up();
        caller.ended(ANSWER).await.unwrap();
        let call = line.ended().await;
        let transfer = only_transfer(&call);
        assert_eq!(transfer["department"], "sales", "{}", pretty(&call));
        assert_eq!(transfer["outcome"], "bridged", "{}", pretty(&call));
        assert_eq!(only_ring(&sales).from, CALLER);
        assert_eq!(desk.rung(), 0, "nobody else");
        line.is_clean(&call).await;
    }
}

#[tokio::test]
async fn the_next_one_is_rung_when_the_first_is_busy() {
    for settings in both_ways(gather()) {
        let line = line(settings, |_| {}).await;
        let sales = line.carrier.phone(SALES, Behaviour::Busy);
        let desk = line.carrier.phone(EXTENSION, Behaviour::answers());
        let caller = says(&line, "I'd like to talk to sales").await;
        let colleague = desk.until_answered(0, ANSWER).await.unwrap();
        is_connected(&line).await;
        colleague.says("this is Clara");
        caller.until_hears("this is clara", ANSWER).await.unwrap();
        caller.hangs_up();
        colleague.ended(ANSWER).await.unwrap();
        let call = line.ended().await;
        let attempts = only_transfer(&call)["attempts"].as_array().unwrap();
        let results: Vec<&Value> = attempts.iter().map(|one| &one["result"]).collect();
        assert_eq!(results, ["busy", "answered"], "{}", pretty(&call));
        assert_eq!(call["outcome"]["code"], "transferred", "{}", pretty(&call));
        only_ring(&sales);
        only_ring(&desk);
        line.is_clean(&call).await;
    }
}

/// The PBX gets the INVITE as it wants it, with what it needs to find the call again.
#[tokio::test]
async fn a_pbx_is_called_by_the_transport_of_the_configuration() {
    const TRANSPORT: &str = "FUSIONPBX_SIP_TRANSPORT";
    const TARGETS: &str = "SWITCHHOOK_TRANSFER_TARGETS";
    for (variable, value, dialled) in [
        (TRANSPORT, "tcp", "sip:2001@pbx.example.com;transport=tcp"),
        (TRANSPORT, "tls", "sip:2001@pbx.example.com;transport=tls"),
        (
            TARGETS,
            "sip:2001@pbx.example.com:5061;transport=tls",
            "sip:2001@pbx.example.com:5061;transport=tls",
        ),
        (
            TARGETS,
            "sips:2001@pbx.example.com",
            "sip:2001@pbx.example.com;transport=tls",
        ),
    ] {
        for settings in both_ways(gather().env(variable, value)) {
            let line = line(settings, |_| {}).await;
            let pbx = line.carrier.phone("sip:2001@*", Behaviour::Busy);
            let caller = says(&line, WISH).await;
            caller
                .until_hears("the line is busy", ANSWER)
                .await
                .unwrap();
            caller.hangs_up();
            let call = line.ended().await;
            let id = call["id"].as_str().unwrap();
            assert_eq!(
                only_ring(&pbx).to,
                format!(
                    "{dialled}?X-Switchhook-Call-Id={id}&X-Switchhook-Caller=%2B{}",
                    &CALLER[1..]
                )
            );
            line.is_clean(&call).await;
        }
    }
}

/// Both methods log in at the PBX; a telephone gets neither login nor header.
#[tokio::test]
async fn a_pbx_that_asks_for_a_login_gets_one() {
    let settings = gather()
        .env("SWITCHHOOK_TRANSFER_TARGETS", format!("2001,{HUMAN}"))
        .env("FREEPBX_SIP_USERNAME", "switchhook")
        .env("FREEPBX_SIP_PASSWORD", "a password of the PBX");
    for settings in both_ways(settings) {
        let line = line(settings, |_| {}).await;
        let pbx = line.carrier.phone(EXTENSION, Behaviour::Busy);
        let human = line.carrier.phone(HUMAN, Behaviour::answers());
        let caller = says(&line, WISH).await;
        human.until_answered(0, ANSWER).await.unwrap();
        is_connected(&line).await;
        caller.hangs_up();
        let call = line.ended().await;
        let at_pbx = only_ring(&pbx);
        assert_eq!(at_pbx.username.as_deref(), Some("switchhook"));
        let id = call["id"].as_str().unwrap();
        let header = format!("X-Switchhook-Call-Id={id}");
        assert!(at_pbx.to.contains(&header), "{}", at_pbx.to);
        let at_human = only_ring(&human);
        assert_eq!(at_human.username, None);
        assert_eq!(at_human.to, HUMAN);
        let log = line.gateway.log();
        assert!(!log.contains("a password of the PBX"), "{log}");
        line.is_clean(&call).await;
    }
}

/// Who calls, by every policy. Over REST a telephone is shown a number of the account, a PBX anything.
#[tokio::test]
async fn agents_see_the_number_of_the_policy() {
    const FIXED: &str = "+493023125150";
    let fixed = format!("caller_id = \"{FIXED}\"");
    for (policy, shown, shown_in_room) in [
        ("", CALLER, OURS),
        ("pass_caller = false", OURS, OURS),
        (fixed.as_str(), FIXED, FIXED),
    ] {
        let settings = house(&format!(
            "[transfer]\ntargets = [\"2001\", \"{HUMAN}\"]\n[twilio]\n{policy}\n"
        ));
        for (settings, on_phone) in both_ways(settings).into_iter().zip([shown, shown_in_room]) {
            let line = line(settings, |config| config.verified = vec![FIXED.to_owned()]).await;
            let pbx = line.carrier.phone(EXTENSION, Behaviour::Busy);
            let human = line.carrier.phone(HUMAN, Behaviour::answers());
            let caller = says(&line, WISH).await;
            human.until_answered(0, ANSWER).await.unwrap();
            is_connected(&line).await;
            caller.hangs_up();
            let call = line.ended().await;
            assert_eq!(only_ring(&pbx).from, shown, "{policy}");
            assert_eq!(only_ring(&human).from, on_phone, "{policy}");
            line.is_clean(&call).await;
        }
    }
}

/// With what the carrier sends for that, a telephone is shown the caller over REST, too.
#[tokio::test]
async fn a_telephone_sees_the_caller_where_the_carrier_lets_us() {
    let settings = in_rooms(gather().env("DEFAULT_FORWARD_NUMBER", HUMAN));
    let line = line(settings, |_| {}).await;
    let human = line.carrier.phone(HUMAN, Behaviour::answers());
    let call = CallIn::new(CALLER, OURS).with("CallToken", "a token of the carrier");
    let caller = line.carrier.place(call).await.unwrap();
    caller.until_hears("How can I help", ANSWER).await.unwrap();
    caller.says(WISH);
    human.until_answered(0, ANSWER).await.unwrap();
    is_connected(&line).await;
    caller.hangs_up();
    let call = line.ended().await;
    assert_eq!(only_ring(&human).from, CALLER);
    line.is_clean(&call).await;
}

/// A house that is closed, whichever day it is, and what follows then.
fn closed(steps: &str) -> GatewaySettings {
    let sections = format!(
        "[transfer]\ntargets = [\"2001\"]\nclosed_fallback = [{steps}]\n\
         [transfer.open_hours]\nweekly = []\n"
    );
    house(&sections).env("TWILIO_SMS_TO", STAFF)
}

/// No phone rang: nothing is said of one, nothing is stored of one, and the carrier was asked for none.
fn rang_nowhere(line: &Line, caller: &Party, call: &Value) {
    let heard = caller.transcript().join(" ").to_lowercase();
    for words in ["colleague", "nobody answered", "is busy", "could not reach"] {
        assert!(!heard.contains(words), "{words}: {heard}");
    }
    let transfer = only_transfer(call);
    assert_eq!(transfer["closed"], true, "{}", pretty(call));
    assert_eq!(transfer["attempts"], json!([]), "{}", pretty(call));
    let legs = line.carrier.calls();
    let dialled = legs.iter().filter(|leg| leg.direction != "inbound");
    assert_eq!(dialled.count(), 0, "{legs:#?}");
}

#[tokio::test]
async fn while_closed_nobody_is_dialled_and_the_caller_hears_what_follows() {
    const INFORMED: &str = "I have informed the team";
    for (steps, words, outcome, texts) in [
        (
            r#""take_message", "notify_staff", "goodbye""#,
            INFORMED,
            "message_taken",
            1,
        ),
        (
            r#""notify_staff", "goodbye""#,
            INFORMED,
            "staff_notified",
            1,
        ),
        (
            r#""return_to_assistant""#,
            "How else can I help",
            "caller_hung_up",
            0,
        ),
    ] {
        let line = line(closed(steps), |_| {}).await;
        let desk = line.carrier.phone(EXTENSION, Behaviour::answers());
        let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
        caller.when_hears_says("How can I help", WISH);
        caller.when_hears_says("after the tone", "Please call me back tomorrow");
        caller
            .until_hears("our office is closed", ANSWER)
            .await
            .unwrap();
        caller.until_hears(words, ANSWER).await.unwrap();
        if outcome == "caller_hung_up" {
            let api = line.gateway.api().await;
            let is_back = |call: &Value| call["status"] == "assistant";
            api.wait_call("the assistant", ANSWER, is_back).await;
            caller.hangs_up();
        }
        caller.ended(ANSWER).await.unwrap();
        let call = line.ended().await;
        assert_eq!(call["outcome"]["code"], outcome, "{}", pretty(&call));
        assert_eq!(desk.rung(), 0);
        rang_nowhere(&line, &caller, &call);
        let messages = line.carrier.messages();
        assert_eq!(messages.len(), texts, "{messages:#?}");
        for message in messages {
            let text = &message.body;
            assert_eq!(message.to, STAFF);
            assert!(
                text.contains("asked for a human") && text.contains(CALLER),
                "{text}"
            );
            assert!(!text.contains("Not reached"), "nobody was tried: {text}");
        }
        line.is_clean(&call).await;
    }
}

/// The endpoints of older deployments keep the hours as well.
#[tokio::test]
async fn while_closed_the_transfer_endpoints_dial_nobody() {
    let line = line(closed(r#""take_message""#), |_| {}).await;
    let desk = line.carrier.phone(EXTENSION, Behaviour::answers());
    for path in ["transfer", "voice_assistant/transfer_bridge"] {
        let url = format!("{HOST}/twilio/{path}?extension=2001");
        line.carrier.set_voice_url(OURS, &url);
        let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
        caller
            .until_hears("our office is closed", ANSWER)
            .await
            .unwrap();
        caller.until_hears("after the tone", ANSWER).await.unwrap();
        caller.hangs_up();
        caller.ended(ANSWER).await.unwrap();
        let call = line.ended().await;
        rang_nowhere(&line, &caller, &call);
        line.is_clean(&call).await;
    }
    assert_eq!(desk.rung(), 0);
}

/// The same house on the days it is open, which are all.
#[tokio::test]
async fn while_open_the_phone_rings() {
    let line = line(
        house(
            r#"
[transfer]
targets = ["2001"]
[[transfer.open_hours.weekly]]
days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
from = "00:00"
to = "24:00"
"#,
        ),
        |_| {},
    )
    .await;
    let desk = line.carrier.phone(EXTENSION, Behaviour::answers());
    let caller = says(&line, WISH).await;
    let colleague = desk.until_answered(0, ANSWER).await.unwrap();
    colleague.hangs_up();
    caller.ended(ANSWER).await.unwrap();
    let call = line.ended().await;
    assert_eq!(only_transfer(&call)["closed"], false, "{}", pretty(&call));
    only_ring(&desk);
    line.is_clean(&call).await;
}
