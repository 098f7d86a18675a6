//! Caller and agent meet in a conference: whatever becomes of it, what the caller hears and what is
//! stored is what a dial from the caller's leg comes to, by exactly one dial.

use std::time::Duration;

use serde_json::json;
use switchhook_e2e::api::{only_attempt, only_transfer, pretty};
use switchhook_e2e::gateway::GatewaySettings;
use switchhook_lab::carrier::{
    Answer, Behaviour, CarrierConfig, Faults, Heard, Number, Party, RestFault, Then,
};

use crate::common::*;
use crate::twilio_line::*;

const WISH: &str = "I would like to speak to a human please";
const GREETING: &str = "How can I help";

fn rooms() -> GatewaySettings {
    in_rooms(gather())
}

/// Caller and agent in one conference.
struct Met {
    line: Line,
    caller: Party,
    agent: Party,
}

impl Met {
    async fn begin() -> Self {
        let line = line(rooms(), |_| {}).await;
        let phone = line.carrier.phone(EXTENSION, Behaviour::answers());
        let caller = wishes(&line).await;
        let agent = phone.until_answered(0, ANSWER).await.unwrap();
        let api = line.gateway.api().await;
        api.wait_call("with a human", ANSWER, |call| {
            call["status"] == "with_agent"
        })
        .await;
        Self {
            line,
            caller,
            agent,
        }
    }
}

/// A caller who wants a human.
async fn wishes(line: &Line) -> Party {
    let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
    caller.until_hears(GREETING, ANSWER).await.unwrap();
    caller.says(WISH);
    caller
}

fn dials(line: &Line) -> usize {
    let calls = line.carrier.calls();
    calls
        .iter()
        .filter(|call| call.direction == "outbound-api")
        .count()
}

#[tokio::test]
async fn both_meet_by_one_dial_and_whoever_leaves_ends_it() {
    for agent_leaves in [true, false] {
        let Met {
            line,
            caller,
            agent,
        } = Met::begin().await;
        agent.says("this is Clara");
        caller.until_hears("this is clara", ANSWER).await.unwrap();
        caller.says("hello Clara");
        agent.until_hears("hello clara", ANSWER).await.unwrap();
        if agent_leaves {
            agent.hangs_up();
        } else {
            caller.hangs_up();
        }
        caller.ended(ANSWER).await.unwrap();
        agent.ended(ANSWER).await.unwrap();
        let call = line.ended().await;
        assert_eq!(only_transfer(&call)["outcome"], "bridged");
        assert_eq!(call["outcome"]["code"], "transferred", "{}", pretty(&call));
        assert_eq!(dials(&line), 1, "exactly one dial");
        line.is_clean(&call).await;
    }
}

/// The same for both methods: what is stored, and what the caller hears.
#[tokio::test]
async fn every_outcome_is_that_of_a_dial_from_the_callers_leg() {
    for (behaviour, words) in [
        (Behaviour::NoAnswer, "nobody answered"),
        (Behaviour::Busy, "the line is busy"),
        (Behaviour::Rejects, "nobody can take your call"),
        (Behaviour::Unreachable, "could not reach anyone"),
    ] {
        let mut stored = Vec::new();
        for settings in [gather(), rooms()] {
            let line = line(settings, |_| {}).await;
            let phone = line.carrier.phone(EXTENSION, behaviour.clone());
            let caller = wishes(&line).await;
            caller.until_hears(words, ANSWER).await.unwrap();
            caller.until_hears("leave a message", ANSWER).await.unwrap();
            caller.hangs_up();
            let call = line.ended().await;
            assert_eq!(phone.rung(), 1, "exactly one dial");
            line.is_clean(&call).await;
            let attempt = only_attempt(&call);
            stored.push(json!([
                attempt["result"],
                attempt["sip_status"],
                call["outcome"]["code"],
                only_transfer(&call)["outcome"],
            ]));
        }
        assert_eq!(stored[0], stored[1], "{behaviour:?}");
    }
}

#[tokio::test]
async fn who_presses_no_key_has_not_taken_the_call() {
    let line = line(rooms().env("SWITCHHOOK_TWILIO_ACCEPT_KEY", "1"), |_| {}).await;
    let phone = line.carrier.phone(EXTENSION, Behaviour::answers());
    let caller = wishes(&line).await;
    caller
        .until_hears("nobody can take your call", ANSWER)
        .await
        .unwrap();
    caller.hangs_up();
    let call = line.ended().await;
    assert_eq!(only_attempt(&call)["result"], "failed", "{}", pretty(&call));
    line.is_clean(&call).await;
    phone.behaves(Behaviour::answers_then(
        Then::stays().presses("Press 1", "1"),
    ));
    let caller = line.carrier.call_in("+12025550143", OURS).await.unwrap();
    caller.until_hears(GREETING, ANSWER).await.unwrap();
    caller.says(WISH);
    let agent = phone.until_answered(1, ANSWER).await.unwrap();
    let api = line.gateway.api().await;
    api.wait_call("with a human", ANSWER, |call| {
        call["status"] == "with_agent"
    })
    .await;
    agent.says("this is Clara");
    caller.until_hears("this is clara", ANSWER).await.unwrap();
    caller.hangs_up();
    agent.ended(ANSWER).await.unwrap();
    assert_eq!(phone.rung(), 2);
}

#[tokio::test]
async fn a_caller_who_hangs_up_leaves_no_phone_ringing() {
    // Longer than the test: whoever stops ringing was told to.
    let line = line(rooms().ring_timeout_s(120), |_| {}).await;
    let phone = line
        .carrier
        .phone(EXTENSION, Behaviour::AnswersWhenTold(Then::stays()));
    let caller = wishes(&line).await;
    phone.until_rung(1, ANSWER).await.unwrap();
    caller.hangs_up();
    let call = line.ended().await;
    assert_eq!(call["outcome"]["code"], "caller_gone", "{}", pretty(&call));
    assert_eq!(only_attempt(&call)["result"], "canceled");
    line.carrier.until_quiet(ANSWER).await.unwrap();
    let legs = line.carrier.calls();
    let agent = legs.iter().find(|leg| leg.direction == "outbound-api");
    assert_eq!(agent.unwrap().status, "canceled", "{legs:#?}");
    line.is_clean(&call).await;
}

/// The carrier says no, says nothing, or says nothing although it dials: never two dials, and none
/// that is not told of.
#[tokio::test]
async fn a_dial_whose_fate_is_unknown_is_not_made_twice() {
    for (fault, rings) in [
        (RestFault::Status(400, 21211), 0),
        (RestFault::Drop, 1),
        (RestFault::Status(500, 20500), 1),
        (RestFault::ProcessedButSilent, 1),
    ] {
        let line = line(rooms(), |_| {}).await;
        let phone = line.carrier.phone(EXTENSION, Behaviour::answers());
        let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
        caller.until_hears(GREETING, ANSWER).await.unwrap();
        line.carrier.rest_faults([fault.clone()]);
        caller.says(WISH);
        if rings == 0 {
            caller
                .until_hears("could not reach anyone", ANSWER)
                .await
                .unwrap();
        } else {
            let agent = phone.until_answered(0, ANSWER).await.unwrap();
            agent.says("this is Clara");
            caller.until_hears("this is clara", ANSWER).await.unwrap();
        }
        caller.hangs_up();
        let call = line.ended().await;
        let result = if rings == 0 { "failed" } else { "answered" };
        assert_eq!(only_attempt(&call)["result"], result, "{}", pretty(&call));
        assert_eq!(phone.rung(), rings, "{fault:?}");
        line.is_clean(&call).await;
    }
}

/// The process dies after each webhook of the ladder: the call comes to the same end, by one dial.
#[tokio::test]
async fn a_process_that_dies_after_any_webhook_dials_once() {
    let mut after = 1;
    loop {
        let mut line = line(rooms(), |_| {}).await;
        let then = Then::stays().hangs_up_after(Duration::from_secs(90));
        let phone = line.carrier.phone(EXTENSION, Behaviour::answers_then(then));
        line.carrier.hold_after(Some(after));
        let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
        caller.when_hears_says(GREETING, WISH);
        let answered = line
            .carrier
            .until("so many webhooks", ANSWER, |carrier| {
                let all = carrier.log().webhooks;
                let done = all.iter().filter(|w| w.answer != Answer::Pending).count();
                (done >= after || (caller.is_over() && done > 3)).then_some(done)
            })
            .await
            .unwrap();
        line.gateway.kill_9().await;
        line.gateway.start_again().await;
        line.carrier.hold_after(None);
        caller.ended(ANSWER).await.unwrap();
        let call = line.ended().await;
        let place = format!("after webhook {after}: {}", pretty(&call));
        assert_eq!(call["outcome"]["code"], "transferred", "{place}");
        assert_eq!(only_attempt(&call)["result"], "answered", "{place}");
        assert_eq!(phone.rung(), 1, "exactly one dial {place}");
        assert_eq!(call["violations"], json!([]), "{place}");
        if answered < after {
            assert!(after > 6, "the ladder has more webhooks than {after}");
            return;
        }
        after += 1;
    }
}

#[tokio::test]
async fn reports_that_are_doubled_late_and_reversed_change_nothing() {
    for faults in [
        Faults {
            duplicates: true,
            ..Faults::default()
        },
        Faults {
            reverse_status: true,
            ..Faults::default()
        },
        Faults {
            delay_status: Duration::from_millis(1_500),
            ..Faults::default()
        },
    ] {
        let line = line(rooms(), |_| {}).await;
        line.carrier.faults(|now| *now = faults.clone());
        let phone = line.carrier.phone(EXTENSION, Behaviour::answers());
        let caller = wishes(&line).await;
        let agent = phone.until_answered(0, ANSWER).await.unwrap();
        agent.says("this is Clara");
        caller.until_hears("this is clara", ANSWER).await.unwrap();
        agent.hangs_up();
        caller.ended(ANSWER).await.unwrap();
        let call = line.ended().await;
        assert_eq!(call["outcome"]["code"], "transferred", "{}", pretty(&call));
        assert_eq!(phone.rung(), 1, "exactly one dial");
        assert_eq!(call["violations"], json!([]), "{}", pretty(&call));
    }
}

/// `transfer_bridge` of older deployments, under their prefix and without any setting.
#[tokio::test]
async fn the_bridge_endpoint_joins_both_in_one_conference() {
    let bridge = format!(
        "{HOST}/anthropic/convonet_todo/twilio/voice_assistant/transfer_bridge?extension=2001"
    );
    let line = line(gather(), |config: &mut CarrierConfig| {
        config.numbers = vec![Number::new(OURS, &bridge)];
    })
    .await;
    let phone = line.carrier.phone(EXTENSION, Behaviour::answers());
    let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
    let agent = phone.until_answered(0, ANSWER).await.unwrap();
    agent.says("this is Clara");
    caller.until_hears("this is clara", ANSWER).await.unwrap();
    let verbs = line.carrier.log().verbs;
    assert!(
        verbs.iter().any(|verb| verb.name == "Dial"),
        "the caller was led into the conference: {verbs:#?}"
    );
    agent.hangs_up();
    caller.ended(ANSWER).await.unwrap();
    assert_eq!((phone.rung(), dials(&line)), (1, 1), "exactly one dial");
}

#[tokio::test]
async fn an_operator_holds_the_caller_in_the_conference() {
    let Met {
        line,
        caller,
        agent,
    } = Met::begin().await;
    let api = line.gateway.api().await;
    let id = api.calls().await[0]["id"].as_str().unwrap().to_owned();
    let (status, body) = api
        .try_post(&format!("/api/calls/{id}/hold"), &json!({}))
        .await;
    assert!((200..300).contains(&status), "{status} {body}");
    line.carrier
        .until("the music", ANSWER, |_| {
            let heard = caller.heard();
            heard
                .iter()
                .any(|heard| matches!(heard, Heard::Music { .. }))
                .then_some(())
        })
        .await
        .unwrap();
    let (status, body) = api
        .try_post(&format!("/api/calls/{id}/resume"), &json!({}))
        .await;
    assert!((200..300).contains(&status), "{status} {body}");
    line.carrier
        .until("both requests", ANSWER, |carrier| {
            let asked = carrier.log().rest;
            let held = asked.iter().filter(|r| r.path.contains("/Participants/"));
            (held.count() == 2).then_some(())
        })
        .await
        .unwrap();
    agent.says("here you are again");
    caller
        .until_hears("here you are again", ANSWER)
        .await
        .unwrap();
    caller.hangs_up();
    let call = line.ended().await;
    line.is_clean(&call).await;
}

/// The report that the caller has hung up never comes.
#[tokio::test]
async fn a_caller_of_whom_nothing_is_heard_any_more_is_looked_for() {
    let line = line(gather(), |_| {}).await;
    line.carrier.faults(|faults| {
        faults.drop_status.insert("completed".to_owned());
    });
    let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
    caller.until_hears(GREETING, ANSWER).await.unwrap();
    caller.hangs_up();
    let call = line
        .gateway
        .api()
        .await
        .ended_call(Duration::from_secs(120))
        .await;
    assert_eq!(
        call["outcome"]["code"],
        "caller_hung_up",
        "{}",
        pretty(&call)
    );
    line.is_clean(&call).await;
}

/// How the agent's phone rang out is told once, and that is lost on its way: the carrier is asked, and the
/// caller does not listen to a phone that rings nowhere.
#[tokio::test]
async fn an_agents_last_report_that_is_lost_is_asked_for() {
    let line = line(rooms(), |_| {}).await;
    let phone = line.carrier.phone(EXTENSION, Behaviour::Busy);
    line.carrier.faults(|faults| {
        faults.drop_status.insert("completed".to_owned());
    });
    let caller = wishes(&line).await;
    caller
        .until_hears("the line is busy", AFTER_LEASE)
        .await
        .unwrap();
    line.carrier.faults(|faults| faults.drop_status.clear());
    caller.hangs_up();
    let call = line.ended().await;
    assert_eq!(only_attempt(&call)["result"], "busy", "{}", pretty(&call));
    assert_eq!(phone.rung(), 1);
    line.is_clean(&call).await;
}
