//! Legs over real sockets: who hears whom.

mod support;

use support::{DEADLINE, Phone, engine, event, leg_id, share, start_leg, until};
use switchhook_media::{Codec, MediaEngine, MediaEvent, MediaLeg, RtpParams};

/// A leg and the phone at its other end, which sends a tone.
fn party(engine: &MediaEngine, call: &str, n: u32, codec: Codec, hz: f32) -> (MediaLeg, Phone) {
    let leg = engine.open_leg(leg_id(call, n)).expect("a free leg");
    let phone = Phone::with_tone(leg.local_addr(), codec, hz);
    leg.start(RtpParams::new(phone.addr, codec));
    (leg, phone)
}

/// Waits until the phone heard 25 more frames, half a second, and gives them.
async fn listen(phone: &Phone, codec: Codec) -> Vec<i16> {
    let before = phone.packet_count();
    until("half a second of audio", || {
        phone.packet_count() >= before + 25
    })
    .await;
    phone.audio(codec, before)
}

/// Waits until the phone hears a tone.
async fn hears(phone: &Phone, codec: Codec, hz: f32) {
    until(&format!("{hz} Hz"), || {
        let heard = phone.packet_count();
        heard >= 15 && share(&phone.audio(codec, heard - 15), hz) > 0.9
    })
    .await;
}

#[tokio::test]
async fn bridged_parties_hear_each_other_and_nobody_else() {
    let (engine, _dir) = engine(1);
    let (a, phone_a) = party(&engine, "bridge", 1, Codec::Pcmu, 700.0);
    let (b, phone_b) = party(&engine, "bridge", 2, Codec::Pcma, 1_300.0);
    let (_c, phone_c) = party(&engine, "other", 1, Codec::Pcmu, 2_000.0);
    assert!(
        listen(&phone_a, Codec::Pcmu)
            .await
            .iter()
            .all(|s| s.abs() < 10)
    );

    engine.bridge(&a, &b);
    hears(&phone_a, Codec::Pcmu, 1_300.0).await;
    hears(&phone_b, Codec::Pcma, 700.0).await;
    assert!(
        listen(&phone_c, Codec::Pcmu)
            .await
            .iter()
            .all(|s| s.abs() < 10)
    );

    engine.unbridge(&a, &b);
    until("silence", || {
        let heard = phone_a.packet_count();
        phone_a
            .audio(Codec::Pcmu, heard - 10)
            .iter()
            .all(|s| s.abs() < 10)
    })
    .await;
}

#[tokio::test]
async fn legs_on_different_workers_are_bridged() {
    let (engine, _dir) = engine(2);
    // Two calls: the second goes to the worker with fewer legs.
    let (a, phone_a) = party(&engine, "first", 1, Codec::Pcmu, 700.0);
    let (b, phone_b) = party(&engine, "second", 1, Codec::Pcmu, 1_300.0);
    engine.bridge(&a, &b);
    hears(&phone_a, Codec::Pcmu, 1_300.0).await;
    hears(&phone_b, Codec::Pcmu, 700.0).await;
    // When one leg goes, the other falls silent and lives on.
    b.close();
    until("silence", || {
        let heard = phone_a.packet_count();
        phone_a
            .audio(Codec::Pcmu, heard - 10)
            .iter()
            .all(|s| s.abs() < 10)
    })
    .await;
}

/// Of a party that has not answered: heard already, but told nothing.
#[tokio::test]
async fn a_deafened_party_is_heard_and_hears_silence() {
    for (workers, call_of_b) in [(1, "early"), (2, "other")] {
        let (engine, _dir) = engine(workers);
        let (a, phone_a) = party(&engine, "early", 1, Codec::Pcmu, 700.0);
        let (b, phone_b) = party(&engine, call_of_b, 2, Codec::Pcmu, 1_300.0);
        b.deafen(true);
        engine.bridge(&a, &b);
        hears(&phone_a, Codec::Pcmu, 1_300.0).await;
        let heard = listen(&phone_b, Codec::Pcmu).await;
        assert!(heard.iter().all(|s| s.abs() < 10), "{workers} workers");
        b.deafen(false);
        hears(&phone_b, Codec::Pcmu, 700.0).await;
        hears(&phone_a, Codec::Pcmu, 1_300.0).await;
    }
}

/// Of a transferor who hung up, while the party is to hear the next phone ring.
#[tokio::test]
async fn ringback_is_heard_when_the_peer_on_another_worker_is_gone() {
    let (engine, _dir) = engine(2);
    let (a, phone_a) = party(&engine, "first", 1, Codec::Pcmu, 700.0);
    let (b, _phone_b) = party(&engine, "second", 1, Codec::Pcmu, 1_300.0);
    engine.bridge(&a, &b);
    hears(&phone_a, Codec::Pcmu, 1_300.0).await;
    b.close();
    a.ringback(true);
    hears(&phone_a, Codec::Pcmu, 425.0).await;
}

#[tokio::test]
async fn the_assistant_hears_the_party_and_is_heard() {
    let (engine, _dir) = engine(1);
    let (leg, phone) = party(&engine, "assistant", 1, Codec::Pcmu, 700.0);
    let mut events = leg.take_events().unwrap();
    let (mut audio_in, mut audio_out) = leg.assistant();

    let mut heard = Vec::new();
    tokio::time::timeout(DEADLINE, async {
        while heard.len() < 160 * 25 || share(&heard[heard.len() - 160 * 20..], 700.0) < 0.9 {
            heard.extend(audio_in.recv().await.unwrap().samples);
        }
    })
    .await
    .expect("the assistant hears the tone");

    let tone: Vec<i16> = switchhook_media::Tone::sine(1_300.0, 10_000).render();
    audio_out.write(1, &tone).await.unwrap();
    audio_out.end_item(1).await.unwrap();
    hears(&phone, Codec::Pcmu, 1_300.0).await;
    let played = event(&mut events, |e| match e {
        MediaEvent::PlayoutFinished { item: 1, played_ms } => Some(*played_ms),
        _ => None,
    })
    .await;
    assert_eq!(played, 1_000);

    leg.close();
    tokio::time::timeout(DEADLINE, async { while audio_in.recv().await.is_some() {} })
        .await
        .expect("the assistant's ear closes with the leg");
}

#[tokio::test]
async fn both_directions_are_recorded_on_separate_channels() {
    let (engine, _dir) = engine(1);
    let (a, phone_a) = party(&engine, "record", 1, Codec::Pcmu, 700.0);
    let (b, phone_b) = party(&engine, "record", 2, Codec::Pcmu, 1_300.0);
    engine.bridge(&a, &b);
    hears(&phone_a, Codec::Pcmu, 1_300.0).await;
    hears(&phone_b, Codec::Pcmu, 700.0).await;
    let recording = a.record("calls/one.wav".as_ref()).unwrap();
    let before = phone_a.packet_count();
    until("one second", || phone_a.packet_count() >= before + 55).await;
    let summary = recording.stop().await;
    assert_eq!(summary.error, None);
    assert!(summary.duration_ms >= 1_000, "{summary:?}");

    let wav = switchhook_media::wav::Wav::read(&summary.path).unwrap();
    assert_eq!((wav.rate_hz, wav.channels), (8_000, 2));
    assert!(
        share(&wav.channel(0), 700.0) > 0.8,
        "left is what the party says"
    );
    assert!(
        share(&wav.channel(1), 1_300.0) > 0.8,
        "right is what it hears"
    );
    // An independent reader agrees.
    let judge = hound::WavReader::open(&summary.path).unwrap();
    assert_eq!(judge.spec().channels, 2);
    assert_eq!(u64::from(judge.duration()) / 8, summary.duration_ms);
}

#[tokio::test]
async fn ringback_is_heard_until_the_bridge() {
    let (engine, _dir) = engine(1);
    let phone = Phone::silent();
    let leg = start_leg(&engine, leg_id("ringback", 1), phone.addr, Codec::Pcma);
    leg.ringback(true);
    hears(&phone, Codec::Pcma, 425.0).await;
    let (other, _phone) = party(&engine, "ringback", 2, Codec::Pcma, 1_000.0);
    engine.bridge(&leg, &other);
    hears(&phone, Codec::Pcma, 1_000.0).await;
}
