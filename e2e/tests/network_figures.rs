//! The figures of a leg's audio, against what a relay did to it, counted and timed in the relay:
//! what we measured on what came to us, and what the party reported by RTCP of what came to it.

use std::time::Duration;

use serde_json::Value;
use switchhook_e2e::api::pretty;
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_lab::phone::{Phone, PhoneConfig, Reports};
use switchhook_lab::relay::{BothWays, Counts, Impairment, SipRelay, SipRelaySettings};

use crate::common::*;

/// How often the phones report.
const REPORT_EVERY: Duration = Duration::from_secs(2);
/// Packets each way: enough that one more or less is a tenth of a per cent.
const PACKETS: u64 = 1_000;
/// Until so many have passed, on a machine that is busy.
const TALK: Duration = Duration::from_secs(60);

/// Of loss, in per cent.
const POINT: f64 = 1.0;
/// Of jitter and delay.
const NEAR_MS: f64 = 10.0;

const MS: Duration = Duration::from_millis(1);

/// Guests, and one extension.
async fn gateway() -> Gateway {
    GatewaySettings::media(
        "mode = \"demo\"\n[sip]\nloopback_guests = true\n\
         [extensions.2001]\npassword = \"demo-2001\"\n\
         [users.demo]\npassword = \"demo\"\nrole = \"admin\"\n",
    )
    .start()
    .await
}

/// What is known of a call from a phone behind the relay to one that is not.
struct Talked {
    /// By the call's record.
    caller: Value,
    agent: Value,
    /// By the relay.
    media: BothWays<Counts>,
    round_trips_ms: Vec<f64>,
    /// By the caller's phone.
    reports: Reports,
}

/// A call in which so much was said that the figures mean something.
async fn talked(media: BothWays<Impairment>) -> Talked {
    let gateway = gateway().await;
    let settings = SipRelaySettings {
        seed: 20,
        signalling: BothWays::default(),
        media,
    };
    let relay = SipRelay::open(gateway.sip(), settings).unwrap();
    let config = PhoneConfig::new("2001")
        .server(gateway.sip())
        .password("demo-2001")
        .reporting(REPORT_EVERY);
    let human = Phone::start(config).await.unwrap();
    human.register().await.unwrap();
    let config = PhoneConfig::new("caller")
        .server(relay.addr())
        .reporting(REPORT_EVERY);
    let phone = Phone::start(config).await.unwrap();
    let uri = format!("sip:2001@{}", gateway.sip());
    let call = phone.dial(&uri).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    let answered = human.incoming(0, SOON).await.unwrap();
    answered.wait_answered(SOON).await.unwrap();
    call.play_tone(CALLER_HZ);
    answered.play_tone(HUMAN_HZ);
    until("packets and reports", TALK, async || {
        let counts = relay.media(0).unwrap();
        let received = [counts.to_gateway.received, counts.to_phone.received];
        let reports = call.heard().reports;
        let is_enough = received.iter().all(|count| *count >= PACKETS)
            && relay.round_trips_ms(0).len() >= 3
            && reports.round_trips_ms.len() >= 2
            // It answers a report that it has taken.
            && !answered.heard().reports.round_trips_ms.is_empty();
        check(is_enough, || format!("{received:?} packets, {reports:?}"))
    })
    .await;
    // They are seconds apart, and the gateway looks for them three times a second: when the next one
    // passes, it has taken the last.
    let passed = relay.round_trips_ms(0).len();
    until("another report", TALK, async || {
        let all = relay.round_trips_ms(0);
        check(all.len() > passed, || format!("{all:?}"))
    })
    .await;
    call.hangup().await.unwrap();
    answered.wait_ended(SOON).await.unwrap();
    let record = gateway.api().await.ended_call(ENDED).await;
    let media = |party: &str| {
        let legs = record["legs"].as_array().unwrap();
        let leg = legs.iter().find(|leg| leg["party"] == party);
        leg.unwrap_or_else(|| panic!("no {party} in\n{}", pretty(&record)))["media"].clone()
    };
    let talked = Talked {
        caller: media("caller"),
        agent: media("agent"),
        media: relay.media(0).unwrap(),
        round_trips_ms: relay.round_trips_ms(0),
        reports: call.heard().reports,
    };
    talked.assert_near();
    talked
}

fn figure(of: &Value, path: &str) -> f64 {
    of.pointer(path)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("no {path} in {}", pretty(of)))
}

fn assert_within(what: &str, is: f64, should: f64, tolerance: f64, of: &Value) {
    assert!(
        (is - should).abs() <= tolerance,
        "{what} is {is:.2}, and was {should:.2} by the relay: {}",
        pretty(of)
    );
}

impl Talked {
    /// Every figure is what the relay says, in both directions.
    fn assert_near(&self) {
        let (caller, to_gateway, to_phone) =
            (&self.caller, self.media.to_gateway, self.media.to_phone);
        let loss = |counts: Counts| counts.loss_share() * 100.0;
        let directions = [
            ("/loss_percent", "/jitter_ms", to_gateway),
            ("/far/loss_percent", "/far/jitter_ms", to_phone),
        ];
        for (loss_at, jitter_at, counts) in directions {
            let is = figure(caller, loss_at);
            assert_within(loss_at, is, loss(counts), POINT, caller);
            let is = figure(caller, jitter_at);
            assert_within(jitter_at, is, counts.rtp_jitter_ms(), NEAR_MS, caller);
        }
        // By one of the phone's last two reports: the last may have come after the figures were
        // taken.
        let is = figure(caller, "/round_trip_ms");
        let last: Vec<f64> = self.round_trips_ms.iter().rev().take(2).copied().collect();
        assert!(
            last.iter().any(|should| (is - should).abs() <= NEAR_MS),
            "the round trip is {is}, and was one of {last:?} by the relay: {}",
            pretty(caller)
        );
        // We report of what came to us as well, and so that the party can tell the round trip.
        let told = self.reports.told.last().unwrap();
        let share = f64::from(told.lost) * 100.0 / to_gateway.received as f64;
        assert_within("loss as told", share, loss(to_gateway), POINT, caller);
        let jitter_ms = to_gateway.rtp_jitter_ms();
        assert_within("jitter as told", told.jitter_ms, jitter_ms, NEAR_MS, caller);
        // The other leg does not pass the relay.
        for path in ["/loss_percent", "/far/loss_percent"] {
            assert_eq!(figure(&self.agent, path), 0.0, "{}", pretty(&self.agent));
        }
    }

    /// The estimates of both directions are worse than those of the leg beside the relay.
    fn assert_worse_than_clean(&self) {
        for path in ["/mos", "/far/mos"] {
            let (bad, clean) = (figure(&self.caller, path), figure(&self.agent, path));
            assert!(
                bad < clean - 0.1,
                "{path}: {bad} over the relay, {clean} beside it"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_is_reported_as_it_was() {
    let talked = talked(BothWays {
        to_gateway: Impairment::loss(0.05),
        to_phone: Impairment::loss(0.10),
    })
    .await;
    let lost = [talked.media.to_gateway.lost, talked.media.to_phone.lost];
    assert!(lost[0] >= 20 && lost[1] >= 50, "{lost:?} packets were lost");
    talked.assert_worse_than_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn jitter_is_reported_as_it_was() {
    let jitter = |jitter| Impairment {
        jitter,
        ..Impairment::default()
    };
    let talked = talked(BothWays {
        to_gateway: jitter(MS * 60),
        to_phone: jitter(MS * 120),
    })
    .await;
    let (there, back) = (talked.media.to_gateway, talked.media.to_phone);
    // By more than the tolerance above: who reports none at all is found out.
    assert!(there.jitter_ms() > NEAR_MS, "{there:?}");
    assert!(back.jitter_ms() > NEAR_MS, "{back:?}");
    // Queues keep the order: late is not lost.
    assert_eq!(talked.caller["lost"], 0, "{}", pretty(&talked.caller));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_round_trip_is_reported_as_it_was() {
    let delay = |delay| Impairment {
        delay,
        ..Impairment::default()
    };
    let talked = talked(BothWays {
        to_gateway: delay(MS * 60),
        to_phone: delay(MS * 140),
    })
    .await;
    let round_trip_ms = figure(&talked.caller, "/round_trip_ms");
    assert!(round_trip_ms > 199.0, "{}", pretty(&talked.caller));
    // The phone sees the same by our reports.
    let by_phone = talked.reports.round_trips_ms.last().unwrap();
    assert!(*by_phone > 199.0, "{:?}", talked.reports);
    assert!(
        figure(&talked.agent, "/round_trip_ms") < round_trip_ms,
        "{}",
        pretty(&talked.agent)
    );
}

/// Copies do not make up for packets that are missing, and one that is overtaken is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn loss_jitter_and_delay_are_reported_as_they_were_under_reordering_and_copies() {
    let bad = |loss, delay| Impairment {
        loss,
        doubled: 0.10,
        held_back: 0.05,
        hold_back: MS * 50,
        delay,
        jitter: MS * 40,
    };
    let talked = talked(BothWays {
        to_gateway: bad(0.05, MS * 80),
        to_phone: bad(0.08, MS * 40),
    })
    .await;
    for counts in [talked.media.to_gateway, talked.media.to_phone] {
        assert!(counts.overtaken > 0 && counts.doubled > 50, "{counts:?}");
        assert!(counts.lost >= 20, "{counts:?}");
    }
    talked.assert_worse_than_clean();
}
