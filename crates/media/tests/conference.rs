//! Conferences and music on hold: who hears whom.

mod support;

use support::{Phone, engine, engine_with, leg_id, share, until};
use switchhook_media::wav::{Wav, encode_mono};
use switchhook_media::{Codec, ConferenceError, MediaEngine, MediaLeg, Music, RtpParams};

fn party(engine: &MediaEngine, call: &str, n: u32, codec: Codec, hz: f32) -> (MediaLeg, Phone) {
    let leg = engine.open_leg(leg_id(call, n)).expect("a free leg");
    let phone = Phone::with_tone(leg.local_addr(), codec, hz);
    leg.start(RtpParams::new(phone.addr, codec));
    (leg, phone)
}

/// The last 400 ms the phone heard.
fn recent(phone: &Phone, codec: Codec) -> Vec<i16> {
    let heard = phone.packet_count();
    if heard < 30 {
        return Vec::new();
    }
    let audio = phone.audio(codec, heard - 30);
    audio[audio.len().saturating_sub(3_200)..].to_vec()
}

#[tokio::test]
async fn each_member_hears_all_others_and_not_itself() {
    let (engine, _dir) = engine(1);
    let members: Vec<(f32, Codec, MediaLeg, Phone)> = [
        (500.0, Codec::Pcmu),
        (900.0, Codec::Pcma),
        (1_300.0, Codec::G722),
        (1_700.0, Codec::Opus),
    ]
    .into_iter()
    .zip(1..)
    .map(|((hz, codec), n)| {
        let (leg, phone) = party(&engine, "conference", n, codec, hz);
        (hz, codec, leg, phone)
    })
    .collect();
    let conference = engine.conference(&members[0].2).unwrap();
    for (_, _, leg, _) in &members {
        conference.join(leg).unwrap();
    }
    let recording = members[0].2.record("member.wav".as_ref()).unwrap();
    for (own, codec, _, phone) in &members {
        until(&format!("{codec:?} hears the others"), || {
            let audio = recent(phone, *codec);
            members.iter().all(|(hz, ..)| {
                let share = share(&audio, *hz);
                if hz == own { share < 0.01 } else { share > 0.2 }
            })
        })
        .await;
    }
    // A recording is of its own leg: left the member alone, right all others.
    let before = members[0].3.packet_count();
    until("a second", || members[0].3.packet_count() > before + 50).await;
    let wav = Wav::read(&recording.stop().await.path).unwrap();
    let (left, right) = (wav.channel(0), wav.channel(1));
    assert!(share(&left[left.len() - 4_000..], 500.0) > 0.9);
    let right = &right[right.len() - 4_000..];
    // Ticks left out on a busy machine are gaps, which smear a tone a little.
    assert!(share(right, 900.0) > 0.2 && share(right, 500.0) < 0.05);

    // Who leaves hears nobody, and is not heard.
    let (_, codec, leg, phone) = &members[1];
    conference.leave(leg);
    until("silence", || {
        recent(phone, *codec).iter().all(|s| s.abs() < 20)
    })
    .await;
    until("it is not heard", || {
        let audio = recent(&members[0].3, Codec::Pcmu);
        share(&audio, 900.0) < 0.01 && share(&audio, 1_300.0) > 0.3
    })
    .await;
    // So does everybody when it ends, and closing a member harms nobody.
    let mut members = members;
    members.remove(2);
    until("two are left", || {
        let audio = recent(&members[0].3, Codec::Pcmu);
        share(&audio, 1_700.0) > 0.7 && share(&audio, 1_300.0) < 0.01
    })
    .await;
    drop(conference);
    until("silence", || {
        recent(&members[0].3, Codec::Pcmu)
            .iter()
            .all(|s| s.abs() < 20)
    })
    .await;
}

#[tokio::test]
async fn only_legs_of_its_worker_join_a_conference() {
    let (engine, _dir) = engine(2);
    let (a, _phone_a) = party(&engine, "first", 1, Codec::Pcmu, 500.0);
    let (b, _phone_b) = party(&engine, "second", 1, Codec::Pcmu, 900.0);
    let conference = engine.conference(&a).unwrap();
    assert_eq!(conference.join(&b), Err(ConferenceError::OtherWorker));
    assert_eq!(conference.join(&a), Ok(()));
}

#[tokio::test]
async fn conferences_are_bounded_and_given_back() {
    let (engine, _dir) = engine(1);
    let (leg, _phone) = party(&engine, "many", 1, Codec::Pcmu, 500.0);
    let mut open: Vec<_> = (0..256).map(|_| engine.conference(&leg).unwrap()).collect();
    assert!(matches!(
        engine.conference(&leg),
        Err(ConferenceError::Full)
    ));
    open.pop();
    assert!(engine.conference(&leg).is_ok());
}

#[tokio::test]
async fn the_held_party_hears_music_instead_of_the_other() {
    // A clip at another rate: 1100 Hz.
    let clip: Vec<i16> = (0..22_050)
        .map(|n| {
            ((f64::from(n) * 1_100.0 / 22_050.0 * std::f64::consts::TAU).sin() * 8_000.0) as i16
        })
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), encode_mono(&clip, 22_050)).unwrap();
    let music = Music::read(file.path()).unwrap();
    let (engine, _dir) = engine_with(1, |config| config.music = music);
    let (a, phone_a) = party(&engine, "hold", 1, Codec::Pcmu, 500.0);
    let (b, phone_b) = party(&engine, "hold", 2, Codec::Pcmu, 900.0);
    engine.bridge(&a, &b);
    let hears = async |phone: &Phone, hz: f32| {
        until(&format!("{hz} Hz"), || {
            share(&recent(phone, Codec::Pcmu), hz) > 0.9
        })
        .await;
    };
    hears(&phone_a, 900.0).await;
    a.music(true);
    hears(&phone_a, 1_100.0).await;
    // The other way goes on: who is to hear it, signalling decides by the direction.
    hears(&phone_b, 500.0).await;
    a.music(false);
    hears(&phone_a, 900.0).await;
}
