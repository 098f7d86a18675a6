//! `kill -9` at every webhook of every ladder, by enumeration: right behind its answer, and within it,
//! where the step is stored and the carrier never gets the answer. What the caller, the agent and the
//! staff notice is the same as without.

use std::time::Duration;

use switchhook_e2e::api::pretty;
use switchhook_e2e::gateway::GatewaySettings;
use switchhook_lab::carrier::{Behaviour, Carrier, Party, Phone};
use switchhook_lab::door::Stop;

use crate::common::*;
use crate::twilio_ladders::*;
use crate::twilio_line::*;

/// Each ladder once as it is; then again for each of its webhooks and both ways to die, as many calls at
/// once as there are ladders.
async fn enumerate(settings: GatewaySettings, ladders: &[Ladder], prepare: fn(&Carrier)) {
    let mut house = House::build(settings, ladders).await;
    prepare(&house.carrier);
    let api = house.gateway.api().await;
    let mut texts = Vec::new();
    let mut plain = Vec::new();
    for ladder in ladders {
        plain.push(house.call(ladder, None).await);
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
                callers.push(house.call(ladder, Some(stop)).await);
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
        let api = house.gateway.api().await;
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

/// The process takes the media stream with it; the next one has the carrier connect another.
#[tokio::test]
async fn at_every_webhook_of_a_call_over_media_streams() {
    let asks = |party: &Party, _: &Phone, _: &str| {
        let party = party.clone();
        // Nobody listens while the process is dead: the key is pressed until it is heard.
        tokio::spawn(async move {
            while !party.is_over() && party.until_rings(Duration::from_secs(2)).await.is_err() {
                party.presses_now("0");
            }
        });
    };
    let ladder = Ladder {
        name: "over a media stream",
        extension: "2001",
        behaves: Behaviour::answers_then(
            switchhook_lab::carrier::Then::stays().hangs_up_after(Duration::from_secs(8)),
        ),
        caller: asks,
        outcome: "transferred",
        attempt: "answered",
        texts: 0,
        or: None,
    };
    let settings = desk()
        .env("SWITCHHOOK_TWILIO_TALK", "stream")
        .env("SWITCHHOOK_SPEECH_URL", switchhook_e2e::speech::url().await);
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
