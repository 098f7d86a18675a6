//! A SIP target that is really dialled: the lab's phone as a PBX.

use switchhook_lab::audio::{Audio, tone};
use switchhook_lab::carrier::{Carrier, Trunk, TrunkConfig};
use switchhook_lab::phone::{OnCall, Phone, PhoneConfig};

use crate::app::{App, Reply, xml};
use crate::{AGENT, CALLER, OUR_NUMBER, SOON};

async fn app() -> App {
    App::start(|hit| match hit.path.as_str() {
        "/voice" => xml("<Dial action=\"/after\" callerId=\"+493023125000\">\
             <Sip username=\"gw\" password=\"Not-A-Secret-1\">\
             sip:2001@pbx.example.com?X-Call=abc%2B1</Sip></Dial>"),
        "/after" => xml("<Say>after</Say>"),
        _ => Reply::Status(204),
    })
    .await
}

async fn carrier(app: &App, pbx: &Phone) -> Carrier {
    let mut config = app.config();
    config.sip.insert("pbx.example.com".into(), pbx.local());
    Carrier::start(config).await.unwrap()
}

#[tokio::test]
async fn audio_and_keys_cross_and_the_invite_says_who_calls() {
    let pbx = Phone::start(PhoneConfig::new("2001")).await.unwrap();
    let app = app().await;
    let carrier = carrier(&app, &pbx).await;
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    let there = pbx.incoming(0, SOON).await.unwrap();
    there.wait_answered(SOON).await.unwrap();
    caller.until_listened_to(SOON).await.unwrap();
    there.play_tone(900.0);
    caller.plays_audio(&tone::sine(500.0, 4_000));
    there.wait_tone(500.0, 0, 800, SOON).await.unwrap();
    let present = |a: &Audio| tone::present_ms(a, 900.0) >= 800;
    caller.until_audio("900 Hz", SOON, present).await.unwrap();
    there.send_digits("5");
    caller.until_hears("5", SOON).await.unwrap();
    let invites = pbx.received("INVITE");
    let invite = invites[0].message.as_ref().unwrap();
    assert_eq!(invite.header("X-Call"), "abc+1");
    assert_eq!(invite.header("X-Twilio-CallSid").len(), 34);
    assert!(invite.header("From").contains("+493023125000"));
    there.hangup().await.unwrap();
    caller.until_hears("after", SOON).await.unwrap();
    let after = &app.hits("/after")[0];
    assert_eq!(after.param("DialCallStatus"), Some("completed"));
    assert_eq!(after.param("DialBridged"), Some("true"));
    assert_eq!(after.param("DialSipResponseCode"), Some("200"));
    assert_eq!(after.param("DialSipCallId"), Some(invite.call_id()));
    assert_eq!(pbx.invites().len(), 1);
}

#[tokio::test]
async fn a_refusal_keeps_its_status_and_a_hang_up_cancels() {
    let busy = OnCall::RejectAfter {
        status: 486,
        after: std::time::Duration::ZERO,
    };
    let pbx = Phone::start(PhoneConfig::new("2001").on_call(busy))
        .await
        .unwrap();
    let app = app().await;
    let carrier = carrier(&app, &pbx).await;
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("after", SOON).await.unwrap();
    let after = &app.hits("/after")[0];
    assert_eq!(after.param("DialCallStatus"), Some("busy"));
    assert_eq!(after.param("DialSipResponseCode"), Some("486"));

    pbx.set_on_call(OnCall::RingOnly);
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    let there = pbx.incoming(1, SOON).await.unwrap();
    // The leg rings before the caller gives up: a CANCEL waits for that.
    carrier
        .until("the leg to ring", SOON, |c| {
            c.calls()
                .last()
                .filter(|l| l.status == "ringing")
                .map(|_| ())
        })
        .await
        .unwrap();
    caller.hangs_up();
    there.wait_ended(SOON).await.unwrap();
    carrier.until_quiet(SOON).await.unwrap();
    assert_eq!(pbx.invites().len(), 2);
}

#[tokio::test]
async fn a_challenge_is_answered_with_the_nouns_credentials() {
    let trunk = Trunk::start(TrunkConfig {
        domain: "acme.pstn.twilio.com".into(),
        credentials: Some(("gw".into(), "Not-A-Secret-1".into())),
        owned: vec![OUR_NUMBER.into()],
        account_sid: "AC00000000000000000000000000000001".into(),
    })
    .await
    .unwrap();
    trunk.number(
        AGENT,
        OnCall::AnswerAfter(std::time::Duration::from_millis(50)),
    );
    for (password, status, sip) in [
        ("Not-A-Secret-1", "completed", "200"),
        ("x", "failed", "403"),
    ] {
        let app = App::start(move |hit| match hit.path.as_str() {
            "/voice" => xml(&format!(
                "<Dial action=\"/after\" callerId=\"{OUR_NUMBER}\" timeLimit=\"20\">\
                 <Sip username=\"gw\" password=\"{password}\">\
                 sip:{AGENT}@acme.pstn.twilio.com</Sip></Dial>"
            )),
            "/after" => xml("<Say>after</Say>"),
            _ => Reply::Status(204),
        })
        .await;
        let mut config = app.config();
        let host = "acme.pstn.twilio.com".to_owned();
        config.sip.insert(host, trunk.address());
        let carrier = Carrier::start(config).await.unwrap();
        let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
        caller.until_hears("after", SOON).await.unwrap();
        let after = &app.hits("/after")[0];
        assert_eq!(after.param("DialCallStatus"), Some(status));
        assert_eq!(after.param("DialSipResponseCode"), Some(sip));
    }
    assert_eq!(trunk.taken().len(), 1);
}
