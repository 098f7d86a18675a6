use switchhook_model::CallId;

use super::*;
use crate::Codec;
use crate::event::MediaEvent;
use crate::params::RtpParams;

fn engine(max_legs: usize) -> MediaEngine {
    // Wide enough that the ports of other tests do not matter.
    let config = MediaConfig {
        port_range: 40_000..=48_000,
        max_legs,
        ..MediaConfig::default()
    };
    MediaEngine::start(config).unwrap()
}

fn leg(engine: &MediaEngine, call: &str, n: u32) -> MediaLeg {
    engine
        .open_leg(LegId::derive(&CallId::from_unique(call), n))
        .unwrap()
}

#[tokio::test]
async fn a_fault_in_one_leg_spares_the_others_of_its_worker() {
    for while_sending in [false, true] {
        let engine = engine(8);
        let party = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let params = RtpParams::new(party.local_addr().unwrap(), Codec::Pcmu);
        // All in the same slice: legs of one call.
        let legs: Vec<MediaLeg> = (1..=3).map(|n| leg(&engine, "fault", n)).collect();
        let mut events = legs[1].take_events().unwrap();
        for leg in &legs {
            leg.start(params);
        }
        engine.bridge(&legs[1], &legs[2]);
        let place = legs[1].place();
        engine.inner.send(
            place.worker,
            Command::Fault {
                slot: place.slot,
                while_sending,
            },
        );
        while !matches!(events.recv().await, Some(MediaEvent::Failed { .. })) {}
        assert!(legs[1].is_failed());
        assert_eq!(engine.stats().faults, 1);
        let sent = |leg: &MediaLeg| leg.stats().tx_packets;
        let before = [sent(&legs[0]), sent(&legs[2])];
        until("the other legs go on", || {
            sent(&legs[0]) >= before[0] + 5 && sent(&legs[2]) >= before[1] + 5
        })
        .await;
        // Closing the handle of a leg that is gone disturbs nobody.
        drop(legs);
        until("every leg is freed", || engine.stats().legs == 0).await;
    }
}

/// Waits until counters, which nothing announces, satisfy a condition.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn wrong_configuration_is_named() {
    let start = |change: fn(&mut MediaConfig)| {
        let mut config = MediaConfig::default();
        change(&mut config);
        MediaEngine::start(config).unwrap_err().to_string()
    };
    assert!(start(|c| c.workers = 0).contains("media.workers"));
    assert!(start(|c| c.port_range = 10_001..=10_002).contains("media.port_range"));
    assert!(start(|c| c.bind_ip = [192, 0, 2, 77].into()).contains("192.0.2.77"));
}

#[test]
fn a_shut_down_engine_refuses_and_open_legs_stay_harmless() {
    let engine = engine(4);
    let open = leg(&engine, "down", 1);
    engine.shutdown();
    let id = LegId::derive(&CallId::from_unique("down"), 2);
    assert!(matches!(engine.open_leg(id), Err(OpenLegError::ShutDown)));
    open.ringback(true);
    open.close();
    engine.shutdown();
}
