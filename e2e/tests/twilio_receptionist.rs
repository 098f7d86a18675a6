//! The German receptionist as she is shipped, over Media Streams and over an Elastic SIP trunk: she
//! answers, passes callers on, and tells staff by SMS or WhatsApp when nobody is there. The variants differ
//! in variables only.

use std::time::Duration;

use serde_json::Value;
use switchhook_e2e::api::{Api, only_attempt, only_transfer, pretty, told};
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_e2e::{audio, ports};
use switchhook_lab::audio::wav;
use switchhook_lab::carrier::{Behaviour, Carrier, Pace, Party, Trunk, TrunkConfig};
use switchhook_lab::phone::{OnCall, PhoneCall, Transport};
use switchhook_lab::providers::{ChatReply, FakeProviders};

use crate::common::*;
use crate::twilio_line::*;

const SANDBOX: &str = "+12025550186";

/// What staff get, and how.
#[derive(Clone, Copy)]
enum Notice {
    Sms,
    WhatsApp,
}

impl Notice {
    fn settings(self, settings: GatewaySettings) -> GatewaySettings {
        match self {
            Self::Sms => settings.env("TWILIO_SMS_TO", STAFF),
            Self::WhatsApp => settings
                .env("TWILIO_WHATSAPP_FROM", format!("whatsapp:{SANDBOX}"))
                .env("TWILIO_WHATSAPP_TO", format!("whatsapp:{STAFF}")),
        }
    }

    fn receiver(self) -> String {
        match self {
            Self::Sms => STAFF.to_owned(),
            Self::WhatsApp => format!("whatsapp:{STAFF}"),
        }
    }
}

/// Exactly one text, to the right one, with the caller's number.
fn one_text(carrier: &Carrier, notice: Notice, seconds: u32) {
    let messages = carrier.messages();
    assert_eq!(messages.len(), 1, "{messages:#?}");
    assert_eq!(messages[0].to, notice.receiver());
    let text = &messages[0].body;
    assert!(text.starts_with("Clara: "), "{text}");
    assert!(
        text.contains(CALLER) && text.contains(&format!("{seconds} Sekunden")),
        "{text}"
    );
}

struct Clara {
    gateway: Gateway,
    carrier: Carrier,
    api: Api,
}

impl Clara {
    /// The shipped profile, at a number of the carrier.
    async fn start(change: impl FnOnce(GatewaySettings) -> GatewaySettings) -> Self {
        let port = ports::free();
        let carrier = carrier(vec![([127, 0, 0, 1], port).into()], |config| {
            // Audio keeps its own pace.
            config.pace = Pace {
                speed: 8.0,
                ..Pace::fast()
            };
        })
        .await;
        // Its recipients have joined the sandbox, and wrote today.
        carrier.writes_in(&format!("whatsapp:{STAFF}"));
        let settings = GatewaySettings::profile("receptionist-de");
        let gateway = known_to(change(settings), port, &carrier).start().await;
        let api = gateway.api_of_a_new_user().await;
        Self {
            gateway,
            carrier,
            api,
        }
    }

    async fn ended(&self) -> Value {
        self.api.ended_call(ENDED).await
    }

    fn has_no_problems(&self) {
        let problems = self.carrier.log().problems;
        assert!(problems.is_empty(), "{problems:#?}");
    }
}

/// Calls over the carrier and listens until the greeting is over.
async fn greeted_over_stream(carrier: &Carrier) -> Party {
    let caller = carrier.call_in(CALLER, OURS).await.unwrap();
    caller.until_answered(ANSWER).await.unwrap();
    hears_greeting(&caller).await;
    caller
}

/// 9.1 and 9.2: she answers in German, understands, and connects.
#[tokio::test]
async fn she_answers_and_connects_over_media_streams() {
    let clara = Clara::start(|settings| settings.env("DEFAULT_FORWARD_NUMBER", HUMAN)).await;
    let human = clara.carrier.phone(HUMAN, Behaviour::answers());
    let caller = greeted_over_stream(&clara.carrier).await;
    asks_aloud(&caller, "tisch-de.wav").await;
    caller.plays_audio(&wav::read_phone(&audio("mensch-de.wav")).unwrap());
    let colleague = human.until_answered(0, ANSWER).await.unwrap();
    let with_agent = |call: &Value| call["status"] == "with_agent";
    clara
        .api
        .wait_call("with a human", ANSWER, with_agent)
        .await;
    assert_eq!(human.rung(), 1, "exactly one dial");
    assert_eq!(human.rings()[0].from, CALLER, "who calls is shown");
    colleague.hangs_up();
    caller.ended(ANSWER).await.unwrap();
    let call = clara.ended().await;
    assert_eq!(call["outcome"]["code"], "transferred", "{}", pretty(&call));
    assert_eq!(only_attempt(&call)["ring_timeout_s"], 25);
    let told = told(&call);
    assert!(told.contains("clara"), "she says her name: {told}");
    assert!(told.contains("tisch"), "she answers what is asked: {told}");
    assert!(told.contains("einen moment bitte"), "{told}");
    assert!(clara.carrier.messages().is_empty());
    clara.has_no_problems();
}

/// 9.3 and 9.4: nobody answers, staff get one message, and the caller hears what became of it.
#[tokio::test]
async fn staff_are_told_when_nobody_answers_over_media_streams() {
    for notice in [Notice::Sms, Notice::WhatsApp] {
        let clara = Clara::start(|settings| {
            let settings = settings.env("DEFAULT_FORWARD_NUMBER", HUMAN);
            notice.settings(settings.env("RING_TIMEOUT_SECONDS", 20))
        })
        .await;
        let human = clara.carrier.phone(HUMAN, Behaviour::NoAnswer);
        let caller = greeted_over_stream(&clara.carrier).await;
        caller.plays_audio(&wav::read_phone(&audio("mensch-de.wav")).unwrap());
        // She says so, and then that a message can be left.
        let is_told = |call: &Value| told(call).contains("ich habe das team informiert");
        clara.api.wait_call("the truth told", ANSWER, is_told).await;
        caller.hangs_up();
        let call = clara.ended().await;
        assert_eq!(only_attempt(&call)["result"], "no_answer");
        assert_eq!(human.rung(), 1, "exactly one dial");
        one_text(&clara.carrier, notice, 20);
        let messages = clara.api.messages().await;
        assert_eq!(messages.len(), 1, "the console shows it: {messages:#?}");
        clara.has_no_problems();
    }
}

/// The shipped profile as a trunk's gateway.
async fn over_trunk(
    trunk: &Trunk,
    change: impl FnOnce(GatewaySettings) -> GatewaySettings,
) -> Clara {
    Clara::start(|settings| {
        change(
            settings
                .env("DEFAULT_FORWARD_NUMBER", HUMAN)
                .env("RING_TIMEOUT_SECONDS", 5)
                .env(
                    "SWITCHHOOK_SIP_BIND",
                    format!("127.0.0.1:{}", ports::free()),
                )
                .env("SWITCHHOOK_TRUNK_TERMINATION", trunk.address())
                .env("SWITCHHOOK_TRUNK_ADDRESSES", "127.0.0.1")
                .env("SWITCHHOOK_TRUNK_USERNAME", "clara")
                .env("SWITCHHOOK_TRUNK_PASSWORD", "a password of the trunk")
                .env("SWITCHHOOK_TRUNK_CALLER_ID", OURS),
        )
    })
    .await
}

async fn trunk(change: impl FnOnce(&mut TrunkConfig)) -> Trunk {
    let mut config = TrunkConfig {
        // The termination host, without DNS.
        domain: "127.0.0.1".to_owned(),
        credentials: Some(("clara".to_owned(), "a password of the trunk".to_owned())),
        owned: vec![OURS.to_owned()],
        account_sid: "AC00000000000000000000000000000001".to_owned(),
    };
    change(&mut config);
    Trunk::start(config).await.unwrap()
}

/// Calls over the trunk, listens to the greeting, and asks for a human.
async fn asks_over_trunk(trunk: &Trunk, clara: &Clara, transport: Transport) -> PhoneCall {
    let call = trunk
        .call_in(clara.gateway.sip(), transport, CALLER, OURS)
        .await
        .unwrap();
    call.wait_answered(SOON).await.unwrap();
    call.wait_speech_ended(0, 500, PAUSE_MS, ANSWER)
        .await
        .unwrap();
    say(&call, &audio("mensch-de.wav")).await;
    call
}

#[tokio::test]
async fn she_answers_and_connects_over_a_trunk() {
    let trunk = trunk(|_| {}).await;
    let clara = over_trunk(&trunk, |settings| settings).await;
    trunk.number(HUMAN, OnCall::AnswerAfter(Duration::from_secs(4)));
    let call = asks_over_trunk(&trunk, &clara, Transport::Tcp).await;
    let human = trunk.phone().incoming(0, ANSWER).await.unwrap();
    human.play_tone(HUMAN_HZ);
    hears(&call, HUMAN_HZ).await;
    call.play_tone(CALLER_HZ);
    hears(&human, CALLER_HZ).await;
    human.hangup().await.unwrap();
    call.wait_ended(SOON).await.unwrap();
    let record = clara.ended().await;
    assert_eq!(
        record["outcome"]["code"],
        "transferred",
        "{}",
        pretty(&record)
    );
    assert_eq!(record["caller"], CALLER, "not the trunk's name for them");
    let taken = trunk.taken();
    assert_eq!(taken.len(), 1, "exactly one dial: {taken:?}");
    assert_eq!(
        (taken[0].from.as_str(), taken[0].to.as_str()),
        (OURS, HUMAN)
    );
    let told = told(&record);
    for words in ["clara", "einen moment"] {
        assert!(told.contains(words), "{words} is not in {told}");
    }
}

#[tokio::test]
async fn staff_are_told_when_nobody_answers_over_a_trunk() {
    for notice in [Notice::Sms, Notice::WhatsApp] {
        let trunk = trunk(|_| {}).await;
        let clara = over_trunk(&trunk, |settings| notice.settings(settings)).await;
        trunk.number(HUMAN, OnCall::RingOnly);
        let call = asks_over_trunk(&trunk, &clara, Transport::Udp).await;
        informed(&clara, "ich habe das team informiert").await;
        call.hangup().await.unwrap();
        let record = clara.ended().await;
        assert_eq!(
            only_attempt(&record)["result"],
            "no_answer",
            "{}",
            pretty(&record)
        );
        assert_eq!(trunk.taken().len(), 1, "exactly one dial");
        one_text(&clara.carrier, notice, 5);
    }
}

/// A caller id the trunk does not own, and a wrong termination host: the caller hears the truth, and staff
/// are told as well.
#[tokio::test]
async fn a_trunk_that_refuses_is_explained() {
    let foreign = |config: &mut TrunkConfig| config.owned = vec![STAFF.to_owned()];
    let elsewhere =
        |config: &mut TrunkConfig| "acme.pstn.twilio.com".clone_into(&mut config.domain);
    type Change = fn(&mut TrunkConfig);
    for (change, status) in [(foreign as Change, 403), (elsewhere as Change, 404)] {
        let trunk = trunk(change).await;
        let clara = over_trunk(&trunk, |settings| Notice::Sms.settings(settings)).await;
        trunk.number(HUMAN, OnCall::AnswerAfter(Duration::from_secs(1)));
        let call = asks_over_trunk(&trunk, &clara, Transport::Udp).await;
        informed(&clara, "ich habe das team informiert").await;
        call.hangup().await.unwrap();
        let record = clara.ended().await;
        let attempt = only_attempt(&record);
        assert_eq!(attempt["result"], "failed", "{}", pretty(&record));
        assert_eq!(attempt["sip_status"], status, "{}", pretty(&record));
        assert_ne!(only_transfer(&record)["outcome"], "bridged");
        assert!(trunk.taken().is_empty());
        assert_eq!(clara.carrier.messages().len(), 1);
    }
}

/// Until the caller was told this.
async fn informed(clara: &Clara, words: &str) {
    clara
        .api
        .wait_call(words, ANSWER, |call| told(call).contains(words))
        .await;
}

/// What is off is neither offered to the model nor mentioned to it or to the caller.
#[tokio::test]
async fn the_variants_differ_in_variables_only() {
    const TRANSFER: &str = "request_human_transfer";
    for forwards in [false, true] {
        let model = FakeProviders::start().await.unwrap();
        let wish = serde_json::json!({"reason": "Möchte einen Menschen", "summary": ""});
        model.chat_when("menschen", ChatReply::tool_call(TRANSFER, &wish));
        for _ in 0..4 {
            model.chat(ChatReply::text("Sonntags haben wir leider geschlossen."));
        }
        let clara = Clara::start(|settings| {
            let settings = settings
                .without_speech()
                .env("SWITCHHOOK_SPEECH_URL", "http://127.0.0.1:9")
                .env("SWITCHHOOK_TWILIO_TALK", "gather")
                .openai_brain(&model.base_url());
            if forwards {
                Notice::Sms.settings(settings.env("DEFAULT_FORWARD_NUMBER", HUMAN))
            } else {
                settings
            }
        })
        .await;
        let human = clara.carrier.phone(HUMAN, Behaviour::answers());
        let caller = clara.carrier.call_in(CALLER, OURS).await.unwrap();
        caller.until_hears("Clara", ANSWER).await.unwrap();
        caller.says("Haben Sie am Sonntag geöffnet?");
        caller.until_hears("geschlossen", ANSWER).await.unwrap();
        let asked = model.chats();
        let first = asked.first().expect("the model was asked");
        let is_offered = first.tools().iter().any(|tool| tool == TRANSFER);
        assert_eq!(is_offered, forwards, "{:?}", first.tools());
        if forwards {
            caller.says("Ich möchte mit einem Menschen sprechen");
            human.until_answered(0, ANSWER).await.unwrap();
            caller.hangs_up();
            clara.ended().await;
            continue;
        }
        let request = first.body.to_string().to_lowercase();
        for word in [TRANSFER, "transfer", "human"] {
            assert!(!request.contains(word), "{word} in {request}");
        }
        // Zero is no wish, and a caller who says nothing hears of no human.
        caller.presses("0");
        caller.stays_silent();
        caller
            .until_hears("Sind Sie noch da", ANSWER)
            .await
            .unwrap();
        caller.ended(ANSWER).await.unwrap();
        let call = clara.ended().await;
        let told = told(&call);
        assert!(!told.contains("mensch"), "{told}");
        assert_eq!(
            call["transfers"],
            serde_json::json!([]),
            "{}",
            pretty(&call)
        );
        assert_eq!(human.rung(), 0);
    }
}
