//! `kill -9` at every webhook of every ladder, by enumeration: right behind its answer, and within it,
//! where the step is stored and the carrier never gets the answer. What the caller, the agent and the
//! staff notice is the same as without.

use std::time::Duration;

use switchhook_e2e::api::pretty;
use switchhook_e2e::gateway::GatewaySettings;
use switchhook_lab::carrier::{Behaviour, Carrier, Party, Phone, Then};
use switchhook_lab::door::Stop;

use crate::common::*;
use crate::twilio_ladders::*;
use crate::twilio_line::*;

/// A PIN, as it is entered.
const KEYS: &str = "739164#";

/// Each ladder once as it is; then again for each of its webhooks and both ways to die, as many calls at
/// once as there are ladders.
async fn enumerate(settings: GatewaySettings, ladders: &[Ladder], prepare: fn(&Carrier)) {
    let mut house = House::build(settings, ladders).await;
    prepare(&house.carrier);
    let mut api = house.gateway.api().await;
    let mut texts = Vec::new();
    let mut plain = Vec::new();
    for ladder in ladders {
        plain.push(house.call(&api, ladder, None).await);
    }
    for caller in &plain {
        let owed = house.verify(&api, caller).await;
        texts.push((caller.ladder.name, caller.number.clone(), owed));
    }
    // Messages are reported after the call.
    house.stopped(&plain).await;
    let count = |caller: &Caller<'_>| house.door.count(&caller.number);
    let lengths: Vec<usize> = plain.iter().map(count).collect();
    let problems = house.carrier.log().problems;
    assert!(problems.is_empty(), "{problems:#?}");
    let mut stopped = 0;
    for nth in 1..=lengths.iter().copied().max().unwrap_or_default() {
        let mut callers = Vec::new();
        for (ladder, length) in ladders.iter().zip(&lengths) {
            if nth > *length {
                continue;
            }
            for stop in [Stop::Answered(nth), Stop::Unanswered(nth)] {
                callers.push(house.call(&api, ladder, Some(stop)).await);
            }
        }
        house.stopped(&callers).await;
        stopped += callers
            .iter()
            .filter(|caller| house.door.has_stopped(&caller.number))
            .count();
        house.gateway.kill_9().await;
        house.gateway.start_again().await;
        house.door.opens();
        api = house.gateway.api().await;
        for caller in &callers {
            let owed = house.verify(&api, caller).await;
            texts.push((caller.ladder.name, caller.number.clone(), owed));
        }
    }
    house.texts_were_sent_once(&texts).await;
    // A slow machine makes a document more or less of a silence; most webhooks are there each time.
    let all = 2 * lengths.iter().sum::<usize>();
    assert!(stopped * 10 >= all * 8, "{stopped} of {all}: {lengths:?}");
}

#[tokio::test]
async fn at_every_webhook_of_a_call_that_is_dialled() {
    enumerate(desk(), &ladders(), |_| {}).await;
}

#[tokio::test]
async fn at_every_webhook_with_a_key_to_press_and_a_notice_that_is_lost() {
    enumerate(desk_with_key(), &ladders_with_key(), loses_whatsapp).await;
}

/// Calls of ours (issue 5, outbound; described-systems.md §7, D3 3): whoever is called is called once,
/// whatever dies, and there is one right end of it.
#[tokio::test]
async fn at_every_webhook_of_a_call_we_place() {
    enumerate(calling_desk(), &ladders_out(), |_| {}).await;
}

/// Of callers and agents who meet in a conference.
fn in_a_conference(mut ladders: Vec<Ladder>) -> Vec<Ladder> {
    for ladder in &mut ladders {
        match (ladder.outcome, ladder.attempt) {
            // Whoever is dialled over REST rings on until a process is there to end it.
            (_, Some("canceled")) => {
                ladder.or = Some(Or::if_stopped("caller_gone", "no_answer", 0));
            }
            // The caller is called out of the conference by a process that dies, and again by the next:
            // what was said to the first prompt would have to be said again, and these callers do not.
            // They hear that nothing was heard, and that the team was informed.
            ("message_taken", Some(attempt)) => {
                ladder.or = Some(Or::if_stopped("staff_notified", attempt, ladder.texts));
            }
            // A leg that is asked for has no SIP status: a phone that rejects is as good as busy.
            ("caller_gone", Some("failed")) => {
                ladder.or = Some(Or::if_stopped("caller_gone", "busy", 0));
            }
            _ => {}
        }
    }
    ladders
}

/// Of callers who prove who they are before they ask for a human.
fn ladders_with_pin() -> Vec<Ladder> {
    let talks = Then::stays().hangs_up_after(Duration::from_secs(8));
    vec![
        ladder(
            "a known caller reaches an agent",
            "2001",
            Behaviour::answers_then(talks),
            |party, _, _| {
                party.when_hears_presses("PIN", KEYS);
                asks_for(party, 2001);
            },
            "transferred",
            "answered",
            0,
        ),
        ladder(
            "a known caller reaches nobody",
            "2002",
            Behaviour::NoAnswer,
            |party, _, _| {
                party.when_hears_presses("PIN", KEYS);
                asks_for(party, 2002);
                leaves_a_message(party);
            },
            "message_taken",
            "no_answer",
            1,
        ),
    ]
}

/// A caller over a media stream. Words would need a recogniser: a human is asked for by key.
fn over_a_stream(
    name: &'static str,
    behaves: Behaviour,
    outcome: &'static str,
    attempt: &'static str,
    texts: usize,
) -> Ladder {
    let caller = |party: &Party, _: &Phone, _: &str| {
        let party = party.clone();
        // Nobody listens while the process is dead: the key is pressed until it is heard.
        tokio::spawn(async move {
            while !party.is_over() && party.until_rings(Duration::from_secs(2)).await.is_err() {
                party.presses_now("0");
            }
        });
    };
    ladder(name, "2001", behaves, caller, outcome, attempt, texts)
}

/// An agent is dialled over REST then, and the conference goes on without us.
#[tokio::test]
async fn at_every_webhook_of_a_call_whose_parties_meet_in_a_conference() {
    enumerate(in_rooms(desk()), &in_a_conference(ladders()), |_| {}).await;
}

#[tokio::test]
async fn at_every_webhook_in_a_conference_with_a_key_to_press() {
    let settings = in_rooms(desk_with_key());
    let ladders = in_a_conference(ladders_with_key());
    enumerate(settings, &ladders, loses_whatsapp).await;
}

#[tokio::test]
async fn at_every_webhook_of_a_caller_who_gives_a_pin() {
    let settings = desk()
        .env("ENABLE_VOICE_PIN", "true")
        .env("VOICE_PIN", KEYS.trim_end_matches('#'));
    enumerate(settings, &ladders_with_pin(), |_| {}).await;
}

async fn over_streams(settings: GatewaySettings) -> GatewaySettings {
    settings
        .env("SWITCHHOOK_TWILIO_TALK", "stream")
        .env("SWITCHHOOK_SPEECH_URL", switchhook_e2e::speech::url().await)
}

/// The process takes the media stream with it; the next one has the carrier connect another.
#[tokio::test]
async fn at_every_webhook_of_a_call_over_media_streams() {
    let talks = Then::stays().hangs_up_after(Duration::from_secs(8));
    let ladder = over_a_stream(
        "over a media stream",
        Behaviour::answers_then(talks),
        "transferred",
        "answered",
        0,
    );
    enumerate(over_streams(desk()).await, &[ladder], |_| {}).await;
}

/// The caller hears over the next stream what came of it.
#[tokio::test]
async fn at_every_webhook_of_a_call_over_media_streams_that_nobody_takes() {
    let mut ladder = over_a_stream(
        "nobody answers, over a media stream",
        Behaviour::NoAnswer,
        "staff_notified",
        "no_answer",
        1,
    );
    // A message that was under way when the process died is sent after its lease: the caller waits less,
    // and hears that the team could not be reached.
    ladder.or = Some(Or::if_stopped("transfer_failed", "no_answer", 1));
    let settings = over_streams(desk_without_messages()).await;
    enumerate(settings, &[ladder], |_| {}).await;
}

/// An operator takes the caller away from the assistant by REST; the process dies before the carrier has
/// come for what it was asked to come for.
#[tokio::test]
async fn between_a_wish_of_an_operator_and_the_carriers_coming() {
    let mut line = line(gather(), |_| {}).await;
    let agent = line.carrier.phone(EXTENSION, Behaviour::answers());
    let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
    caller.until_hears("How can I help", ANSWER).await.unwrap();
    line.carrier.hold_after(Some(1));
    let api = line.gateway.api().await;
    let call = api
        .wait_call("the assistant", SOON, |call| call["status"] == "assistant")
        .await;
    let path = format!("/api/calls/{}/transfer", call["id"].as_str().unwrap());
    let wish = serde_json::json!({ "target": "2001" });
    let (status, body) = api.try_post(&path, &wish).await;
    assert_eq!(status, 202, "{body}");
    line.gateway.kill_9().await;
    line.gateway.start_again().await;
    line.carrier.hold_after(None);
    let colleague = agent.until_answered(0, ANSWER).await.unwrap();
    colleague.hangs_up();
    caller.ended(ANSWER).await.unwrap();
    let call = line.ended().await;
    assert_eq!(call["outcome"]["code"], "transferred", "{}", pretty(&call));
    assert_eq!(agent.rung(), 1, "exactly one dial");
}
