//! Dial: every way it can end, exactly one ring each, and what crosses the bridge.

use std::time::Duration;

use switchhook_lab::audio::tone;
use switchhook_lab::carrier::{Behaviour, Carrier, Heard, Then, WebhookKind};

use crate::app::{App, Hit, Reply, Rest, xml};
use crate::{AGENT, CALLER, OUR_NUMBER, SOON};

/// An application that dials so, and says what the action was told.
async fn dialler(dial: &str) -> App {
    let dial = dial.to_owned();
    App::start(move |hit| match hit.path.as_str() {
        "/voice" => xml(&dial),
        "/after" => xml("<Say>after</Say>"),
        "/whisper" => xml("<Gather numDigits=\"1\" action=\"/accept\" timeout=\"8\">\
             <Say>A call for you, press one.</Say></Gather><Hangup/>"),
        "/accept" if hit.param("Digits") == Some("1") => xml(""),
        "/accept" => xml("<Hangup/>"),
        _ => Reply::Status(204),
    })
    .await
}

async fn told(app: &App, carrier: &Carrier) -> Hit {
    let what = "the Dial's action";
    carrier
        .until(what, SOON, |_| app.hits("/after").into_iter().next())
        .await
        .unwrap()
}

#[tokio::test]
async fn every_status_comes_with_exactly_one_ring() {
    for (behaviour, status, sip, bridged) in [
        (Behaviour::Busy, "busy", "486", "false"),
        (Behaviour::Rejects, "busy", "603", "false"),
        (Behaviour::NoAnswer, "no-answer", "487", "false"),
        (Behaviour::Unreachable, "failed", "404", "false"),
        (Behaviour::Fails(503), "failed", "503", "false"),
        (
            Behaviour::answers_then(Then::stays().hangs_up_after(Duration::from_secs(5))),
            "completed",
            "200",
            "true",
        ),
    ] {
        let shown = format!("{behaviour:?}");
        let app = dialler(
            "<Dial action=\"/after\" timeout=\"10\">\
             <Sip>sip:2001@pbx.example.com;transport=tcp?X-Ref=42</Sip></Dial>",
        )
        .await;
        let carrier = app.carrier().await;
        let phone = carrier.phone("sip:2001@pbx.example.com", behaviour);
        let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
        caller.until_rings(SOON).await.unwrap();
        let after = told(&app, &carrier).await;
        assert_eq!(after.param("DialCallStatus"), Some(status), "{shown}");
        assert_eq!(after.param("DialSipResponseCode"), Some(sip), "{shown}");
        assert_eq!(after.param("DialBridged"), Some(bridged), "{shown}");
        assert_eq!(after.param("DialCallDuration").is_some(), bridged == "true");
        assert_eq!(phone.rung(), 1, "{shown}");
        let ring = &phone.rings()[0];
        assert_eq!(ring.from, CALLER);
        assert!(ring.to.ends_with("?X-Ref=42"), "{}", ring.to);
        let child = after.param("DialCallSid").unwrap();
        assert_eq!(ring.call_sid, child);
        caller.until_hears("after", SOON).await.unwrap();
    }
}

#[tokio::test]
async fn words_keys_and_audio_cross_the_bridge_and_the_caller_ends_it() {
    let app = dialler(&format!(
        "<Dial answerOnBridge=\"true\" timeout=\"600\" action=\"/after\" record=\"record-from-answer-dual\" \
         recordingStatusCallback=\"/recording\"><Number statusCallback=\"/status\" \
         statusCallbackEvent=\"initiated ringing answered completed\">{AGENT}</Number></Dial>"
    ))
    .await;
    let carrier = app.carrier().await;
    let phone = carrier.phone(AGENT, Behaviour::AnswersWhenTold(Then::stays()));
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_rings(SOON).await.unwrap();
    phone.until_rung(1, SOON).await.unwrap();
    // answerOnBridge: still ringing.
    assert!(caller.until_answered(Duration::ZERO).await.is_err());
    phone.answers_now();
    let agent = phone.until_answered(0, SOON).await.unwrap();
    caller.until_answered(SOON).await.unwrap();
    caller.says("hello there").presses("7");
    agent.says("good morning");
    agent.until_hears("hello there", SOON).await.unwrap();
    agent.until_hears("7", SOON).await.unwrap();
    caller.until_hears("good morning", SOON).await.unwrap();
    caller.plays_audio(&tone::sine(500.0, 1_500));
    agent.plays_audio(&tone::sine(900.0, 1_500));
    let present = |hz| move |a: &switchhook_lab::audio::Audio| tone::present_ms(a, hz) >= 800;
    agent
        .until_audio("500 Hz", SOON, present(500.0))
        .await
        .unwrap();
    caller
        .until_audio("900 Hz", SOON, present(900.0))
        .await
        .unwrap();
    assert_eq!(tone::present_ms(&caller.audio(), 500.0), 0);
    caller.hangs_up();
    assert!(!agent.ended(SOON).await.unwrap().by_person);
    assert!(caller.ended(SOON).await.unwrap().by_person);
    carrier.until_quiet(SOON).await.unwrap();
    // Not documented: the stand-in does not ask the action of a caller who is gone.
    assert!(app.hits("/after").is_empty());
    let mut statuses: Vec<(String, String)> = app
        .hits("/status")
        .iter()
        .map(|h| {
            let text = |name: &str| h.param(name).unwrap().to_owned();
            (text("SequenceNumber"), text("CallStatus"))
        })
        .collect();
    statuses.sort();
    let order: Vec<&str> = statuses.iter().map(|(_, s)| s.as_str()).collect();
    assert_eq!(order, ["initiated", "ringing", "in-progress", "completed"]);
    for hit in app.hits("/status") {
        assert_eq!(hit.param("ParentCallSid"), Some(caller.call_sid()));
        assert_eq!(hit.param("Direction"), Some("outbound-dial"));
    }
    let recording = &carrier.recordings()[0];
    assert_eq!(
        (recording.channels, recording.source.as_str()),
        (2, "DialVerb")
    );
    let wav = hound::WavReader::new(&recording.wav[..]).unwrap();
    let all: Vec<i16> = wav.into_samples().map(Result::unwrap).collect();
    let channel = |n: usize| {
        let samples = all.iter().skip(n).step_by(2).copied().collect();
        switchhook_lab::audio::Audio::phone(samples)
    };
    assert!(
        tone::present_ms(&channel(0), 500.0) >= 500,
        "parent is channel 1"
    );
    assert!(
        tone::present_ms(&channel(1), 900.0) >= 500,
        "child is channel 2"
    );
}

#[tokio::test]
async fn a_whisper_is_accepted_declined_or_ignored() {
    for (then, bridged) in [
        (Then::stays().presses("press one", "1"), "true"),
        (Then::stays().presses("press one", "2"), "false"),
        (Then::stays(), "false"),
    ] {
        let app = dialler(&format!(
            "<Dial action=\"/after\"><Number url=\"/whisper\">{AGENT}</Number></Dial>"
        ))
        .await;
        let carrier = app.carrier().await;
        let phone = carrier.phone(AGENT, Behaviour::answers_then(then));
        let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
        let agent = phone.until_answered(0, SOON).await.unwrap();
        agent.until_hears("a call for you", SOON).await.unwrap();
        if bridged == "true" {
            agent.says("yes?");
            caller.until_hears("yes?", SOON).await.unwrap();
            agent.hangs_up();
        }
        let after = told(&app, &carrier).await;
        // A whisper that hangs up still says completed.
        assert_eq!(after.param("DialCallStatus"), Some("completed"));
        assert_eq!(after.param("DialBridged"), Some(bridged));
        assert_eq!(phone.rung(), 1);
        let whisper = &app.hits("/whisper")[0];
        assert_eq!(whisper.param("CallSid"), Some(agent.call_sid()));
        assert_eq!(whisper.param("ParentCallSid"), Some(caller.call_sid()));
        assert!(
            !caller
                .transcript()
                .iter()
                .any(|t| t.contains("A call for you"))
        );
    }
}

#[tokio::test]
async fn the_first_to_answer_wins_and_the_others_are_cancelled() {
    let other = "+493023125102";
    let app = dialler(&format!(
        "<Dial action=\"/after\"><Number>{AGENT}</Number><Number>{other}</Number></Dial>"
    ))
    .await;
    let carrier = app.carrier().await;
    let slow = carrier.phone(AGENT, Behaviour::NoAnswer);
    let quick = carrier.phone(other, Behaviour::answers());
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    let agent = quick.until_answered(0, SOON).await.unwrap();
    agent.says("here").hangs_up();
    let after = told(&app, &carrier).await;
    assert_eq!(after.param("DialCallSid"), Some(agent.call_sid()));
    assert_eq!((slow.rung(), quick.rung()), (1, 1));
    caller.ended(SOON).await.unwrap();
    let cancelled = carrier
        .until("the other leg to end", SOON, |c| {
            let sid = &slow.rings()[0].call_sid;
            c.calls()
                .into_iter()
                .find(|l| l.sid == *sid && l.status == "canceled")
        })
        .await;
    assert!(cancelled.is_ok(), "{cancelled:?}");
}

#[tokio::test]
async fn several_are_rung_one_after_the_other() {
    let other = "+493023125102";
    let app = dialler(&format!(
        "<Dial action=\"/after\" sequential=\"true\" timeout=\"10\">\
         <Number>{AGENT}</Number><Number>{other}</Number></Dial>"
    ))
    .await;
    let carrier = app.carrier().await;
    let first = carrier.phone(AGENT, Behaviour::Busy);
    let second = carrier.phone(other, Behaviour::answers());
    carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    let agent = second.until_answered(0, SOON).await.unwrap();
    assert_eq!((first.rung(), second.rung()), (1, 1));
    agent.hangs_up();
    assert_eq!(
        told(&app, &carrier).await.param("DialCallStatus"),
        Some("completed")
    );
}

#[tokio::test]
async fn a_foreign_caller_id_is_refused() {
    for (caller_id, noun, allowed) in [
        ("+493023125999", format!("<Number>{AGENT}</Number>"), false),
        ("+493023125998", format!("<Number>{AGENT}</Number>"), true),
        (OUR_NUMBER, format!("<Number>{AGENT}</Number>"), true),
        (CALLER, format!("<Number>{AGENT}</Number>"), true),
        (
            "clara",
            "<Sip>sip:2001@pbx.example.com</Sip>".to_owned(),
            true,
        ),
        (
            "not allowed",
            "<Sip>sip:2001@pbx.example.com</Sip>".to_owned(),
            false,
        ),
    ] {
        let app = dialler(&format!(
            "<Dial action=\"/after\" callerId=\"{caller_id}\">{noun}</Dial>"
        ))
        .await;
        let mut config = app.config();
        config.verified.push("+493023125998".to_owned());
        let carrier = Carrier::start(config).await.unwrap();
        let number = carrier.phone(AGENT, Behaviour::Busy);
        let sip = carrier.phone("sip:2001@pbx.example.com", Behaviour::Busy);
        carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
        let after = told(&app, &carrier).await;
        let status = if allowed { "busy" } else { "failed" };
        assert_eq!(after.param("DialCallStatus"), Some(status), "{caller_id}");
        assert_eq!(
            number.rung() + sip.rung(),
            usize::from(allowed),
            "{caller_id}"
        );
        let codes: Vec<u32> = carrier.log().problems.iter().map(|p| p.code).collect();
        assert_eq!(codes.contains(&13214), !allowed, "{caller_id}: {codes:?}");
    }
}

#[tokio::test]
async fn a_caller_from_sip_may_show_neither_side() {
    let app = dialler(&format!(
        "<Dial action=\"/after\" callerId=\"{CALLER}\"><Number>{AGENT}</Number></Dial>"
    ))
    .await;
    let carrier = app.carrier().await;
    let call = switchhook_lab::carrier::CallIn::new(CALLER, OUR_NUMBER)
        .over_sip("acme.sip.example.com", &[("X-Route-Id", "abc")]);
    carrier.place(call).await.unwrap();
    let after = told(&app, &carrier).await;
    assert_eq!(after.param("DialCallStatus"), Some("failed"));
    assert_eq!(after.param("SipHeader_X-Route-Id"), Some("abc"));
}

#[tokio::test]
async fn the_callers_star_drops_the_callee() {
    let app = dialler(&format!(
        "<Dial action=\"/after\" hangupOnStar=\"true\"><Number>{AGENT}</Number></Dial>"
    ))
    .await;
    let carrier = app.carrier().await;
    let phone = carrier.phone(AGENT, Behaviour::answers());
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    let agent = phone.until_answered(0, SOON).await.unwrap();
    agent.presses("*");
    caller.until_hears("*", SOON).await.unwrap();
    assert!(!agent.is_over(), "only the caller's star counts");
    caller.presses("*");
    agent.ended(SOON).await.unwrap();
    caller.until_hears("after", SOON).await.unwrap();
    assert_eq!(
        told(&app, &carrier).await.param("DialBridged"),
        Some("true")
    );
}

#[tokio::test]
async fn a_hang_up_while_it_rings_cancels_the_leg() {
    let app = dialler(&format!(
        "<Dial action=\"/after\"><Number>{AGENT}</Number></Dial>"
    ))
    .await;
    let carrier = app.carrier().await;
    let phone = carrier.phone(AGENT, Behaviour::NoAnswer);
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    phone.until_rung(1, SOON).await.unwrap();
    caller.hangs_up();
    carrier.until_quiet(SOON).await.unwrap();
    let child = &carrier.calls()[1];
    assert_eq!(child.status, "canceled");
    assert_eq!(child.parent.as_deref(), Some(caller.call_sid()));
}

#[tokio::test]
async fn a_live_update_of_the_parent_drops_the_child() {
    let app = dialler(&format!(
        "<Dial action=\"/after\"><Number>{AGENT}</Number></Dial>"
    ))
    .await;
    let carrier = app.carrier().await;
    let phone = carrier.phone(AGENT, Behaviour::answers());
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    let agent = phone.until_answered(0, SOON).await.unwrap();
    agent.says("hello");
    caller.until_hears("hello", SOON).await.unwrap();
    let path = format!("/Calls/{}.json", caller.call_sid());
    let twiml = "<Response><Say>back again</Say><Pause length=\"600\"/></Response>";
    let rest = Rest::of(&carrier);
    let answered = rest.post(&path, &[("Twiml", twiml)]).await;
    assert_eq!(answered.status, 200);
    caller.until_hears("back again", SOON).await.unwrap();
    agent.ended(SOON).await.unwrap();
    assert!(app.hits("/after").is_empty());
    assert_eq!(
        rest.post(&path, &[("Status", "completed")]).await.status,
        200
    );
    assert_eq!(caller.ended(SOON).await.unwrap().status, "completed");
}

#[tokio::test]
async fn a_live_update_of_the_child_ends_the_dial() {
    let app = dialler(&format!(
        "<Dial action=\"/after\"><Number>{AGENT}</Number></Dial>"
    ))
    .await;
    let carrier = app.carrier().await;
    let phone = carrier.phone(AGENT, Behaviour::answers());
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    let agent = phone.until_answered(0, SOON).await.unwrap();
    agent.says("hello");
    caller.until_hears("hello", SOON).await.unwrap();
    let path = format!("/Calls/{}.json", agent.call_sid());
    let twiml = "<Response><Say>only for you</Say><Pause length=\"600\"/></Response>";
    let rest = Rest::of(&carrier);
    assert_eq!(rest.post(&path, &[("Twiml", twiml)]).await.status, 200);
    agent.until_hears("only for you", SOON).await.unwrap();
    let after = told(&app, &carrier).await;
    assert_eq!(after.param("DialCallDuration"), None);
    assert!(!agent.is_over());
}

#[tokio::test]
async fn a_machine_is_told_from_a_person_in_the_background() {
    let app = dialler(&format!(
        "<Dial action=\"/after\"><Number machineDetection=\"Enable\" amdStatusCallback=\"/amd\">\
         {AGENT}</Number></Dial>"
    ))
    .await;
    let carrier = app.carrier().await;
    carrier.phone(AGENT, Behaviour::machine(Duration::from_secs(8)));
    carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    let amd = carrier
        .until_webhook("the detection", SOON, |w| w.kind == WebhookKind::Amd)
        .await
        .unwrap();
    assert_eq!(amd.param("AnsweredBy"), Some("machine_start"));
    assert_eq!(amd.param("From"), None);
    assert_eq!(amd.params.len(), 4);
}

#[tokio::test]
async fn a_dial_in_a_whisper_is_refused() {
    let app = App::start(|hit| match hit.path.as_str() {
        "/voice" => xml(&format!(
            "<Dial action=\"/after\"><Number url=\"/whisper\">{AGENT}</Number></Dial>"
        )),
        "/whisper" => xml("<Dial>+493023125103</Dial>"),
        "/after" => xml("<Say>after</Say>"),
        _ => Reply::Status(204),
    })
    .await;
    let carrier = app.carrier().await;
    carrier.phone(AGENT, Behaviour::answers());
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("after", SOON).await.unwrap();
    assert_eq!(
        told(&app, &carrier).await.param("DialBridged"),
        Some("false")
    );
    assert_eq!(carrier.log().problems[0].code, 13201);
    assert!(
        !caller
            .heard()
            .iter()
            .any(|h| matches!(h, Heard::Voice { .. }))
    );
}
