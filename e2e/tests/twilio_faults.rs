//! Transfers of every outcome while webhooks come twice, at once, late, in any order, and forged.

use std::time::Duration;

use switchhook_lab::carrier::{Faults, Forgery};

use crate::twilio_ladders::*;
use crate::twilio_line::in_rooms;

/// What goes wrong, and its name.
fn faults() -> Vec<(&'static str, Faults)> {
    let none = Faults::default;
    vec![
        (
            "twice",
            Faults {
                duplicates: true,
                ..none()
            },
        ),
        (
            "twice at once",
            Faults {
                duplicates: true,
                at_once: true,
                ..none()
            },
        ),
        (
            "reports after the call",
            Faults {
                delay_status: Duration::from_secs(3),
                ..none()
            },
        ),
        (
            "reports in reverse",
            Faults {
                reverse_status: true,
                ..none()
            },
        ),
        (
            "no reports of ringing and answering",
            Faults {
                drop_status: ["initiated", "ringing", "answered"]
                    .map(str::to_owned)
                    .into(),
                ..none()
            },
        ),
        (
            "forged with another token",
            Faults {
                forge: Some(Forgery::WrongToken),
                ..none()
            },
        ),
        (
            "forged by changing what was signed",
            Faults {
                forge: Some(Forgery::Tampered),
                ..none()
            },
        ),
        (
            "forged, twice and in reverse",
            Faults {
                forge: Some(Forgery::WrongToken),
                duplicates: true,
                reverse_status: true,
                ..none()
            },
        ),
    ]
}

async fn every_fault(
    settings: switchhook_e2e::gateway::GatewaySettings,
    ladders: &[Ladder],
    prepare: fn(&switchhook_lab::carrier::Carrier),
) {
    let mut house = House::build(settings, ladders).await;
    prepare(&house.carrier);
    let api = house.gateway.api().await;
    let mut texts = Vec::new();
    for (name, fault) in faults() {
        house.carrier.faults(|now| *now = fault);
        let mut callers = Vec::new();
        for ladder in ladders {
            callers.push(house.call(&api, ladder, None).await);
        }
        eprintln!("webhooks {name}");
        for caller in &callers {
            let owed = house.verify(&api, caller).await;
            texts.push((caller.ladder.name, caller.number.clone(), owed));
        }
        // What comes after a call belongs to its fault.
        house.stopped(&callers).await;
    }
    house.texts_were_sent_once(&texts).await;
    let log = house.carrier.log();
    let forged: Vec<u16> = log
        .webhooks
        .iter()
        .filter(|webhook| webhook.forged)
        .map(|webhook| webhook.status())
        .collect();
    assert!(forged.len() > 30, "{}", forged.len());
    assert!(forged.iter().all(|status| *status == 403), "{forged:?}");
    let twice = log.webhooks.iter().filter(|webhook| webhook.duplicate);
    assert!(twice.count() > 30);
    assert!(log.problems.is_empty(), "{:#?}", log.problems);
}

#[tokio::test]
async fn every_outcome_by_one_dial() {
    every_fault(desk(), &ladders(), |_| {}).await;
}

#[tokio::test]
async fn every_outcome_of_a_key_to_press() {
    every_fault(desk_with_key(), &ladders_with_key(), loses_whatsapp).await;
}

#[tokio::test]
async fn every_outcome_in_a_conference_by_one_dial() {
    every_fault(in_rooms(desk()), &ladders(), |_| {}).await;
}

#[tokio::test]
async fn every_outcome_in_a_conference_of_a_key_to_press() {
    let settings = in_rooms(desk_with_key());
    every_fault(settings, &ladders_with_key(), loses_whatsapp).await;
}
