//! Codecs over real sockets: G.722 and Opus, alone and with one another.

mod support;

use support::{DEADLINE, Phone, decode, engine, event, leg_id, share, until};
use switchhook_media::{
    Codec, MediaEngine, MediaEvent, MediaLeg, OpusParams, RtpParams, dtmf::EventPayload,
};
use switchhook_model::Digit;

fn params(phone: &Phone, codec: Codec) -> RtpParams {
    RtpParams {
        opus: OpusParams {
            inband_fec: true,
            ..OpusParams::default()
        },
        ..RtpParams::new(phone.addr, codec)
    }
}

fn party(engine: &MediaEngine, n: u32, codec: Codec, hz: f32) -> (MediaLeg, Phone) {
    let leg = engine.open_leg(leg_id("codecs", n)).expect("a free leg");
    let phone = Phone::with_tone(leg.local_addr(), codec, hz);
    leg.start(params(&phone, codec));
    (leg, phone)
}

/// Waits until half a second of what the phone heard is a tone.
async fn hears(phone: &Phone, codec: Codec, hz: f32) {
    until(&format!("{hz} Hz by {codec:?}"), || {
        let heard = phone.packet_count();
        // The decoder begins where the clip does: its first frames are not judged.
        heard >= 30 && {
            let audio = phone.audio(codec, heard - 30);
            audio.len() > 2_400 && share(&audio[audio.len() - 2_400..], hz) > 0.9
        }
    })
    .await;
}

#[tokio::test]
async fn every_codec_is_bridged_with_every_other() {
    let (engine, _dir) = engine(1);
    let codecs = [Codec::Pcmu, Codec::G722, Codec::Opus];
    for (n, (first, second)) in (0..).zip(
        codecs
            .into_iter()
            .flat_map(|a| codecs.into_iter().map(move |b| (a, b))),
    ) {
        let (a, phone_a) = party(&engine, 2 * n, first, 700.0);
        let (b, phone_b) = party(&engine, 2 * n + 1, second, 1_300.0);
        engine.bridge(&a, &b);
        hears(&phone_a, first, 1_300.0).await;
        hears(&phone_b, second, 700.0).await;
    }
}

#[tokio::test]
async fn legs_on_two_workers_cross_codecs_too() {
    let (engine, _dir) = engine(2);
    let open = |call: &str, codec, hz| {
        let leg = engine.open_leg(leg_id(call, 1)).unwrap();
        let phone = Phone::with_tone(leg.local_addr(), codec, hz);
        leg.start(params(&phone, codec));
        (leg, phone)
    };
    let (a, phone_a) = open("one", Codec::G722, 700.0);
    let (b, phone_b) = open("two", Codec::Opus, 1_300.0);
    engine.bridge(&a, &b);
    hears(&phone_a, Codec::G722, 1_300.0).await;
    hears(&phone_b, Codec::Opus, 700.0).await;
}

/// A phone sends octets that no encoder would make; they arrive as they are.
#[tokio::test]
async fn a_bridge_of_two_g722_legs_passes_octets() {
    let (engine, _dir) = engine(1);
    let a = engine.open_leg(leg_id("pass", 1)).unwrap();
    let phone_a = Phone::silent();
    a.start(params(&phone_a, Codec::G722));
    let (b, phone_b) = party(&engine, 99, Codec::G722, 700.0);
    engine.bridge(&a, &b);
    let target = a.local_addr();
    let mut n = 0u16;
    until("foreign octets", || {
        let payload: Vec<u8> = (0..160u16).map(|i| (i * 7 + n * 3) as u8).collect();
        let packet = switchhook_media::rtp::RtpPacket {
            marker: false,
            payload_type: 9,
            sequence: n,
            timestamp: u32::from(n) * 160,
            ssrc: 1,
            payload: &payload,
        };
        phone_a.send(target, &packet);
        n += 1;
        phone_b
            .packets()
            .iter()
            .filter(|packet| {
                let first = packet.payload[0];
                let expected = (0..160u16)
                    .map(|i| (i * 7) as u8)
                    .map(|o| o.wrapping_add(first));
                packet.payload.iter().copied().eq(expected)
            })
            .count()
            > 3
    })
    .await;
}

#[tokio::test]
async fn the_assistant_is_heard_and_hears_by_every_codec() {
    let (engine, _dir) = engine(1);
    for (n, codec) in [Codec::Pcma, Codec::G722, Codec::Opus]
        .into_iter()
        .enumerate()
    {
        let (leg, phone) = party(&engine, n as u32, codec, 700.0);
        let (mut ear, mut mouth) = leg.assistant();
        let tone: Vec<i16> = (0..16_000)
            .map(|i| {
                ((f64::from(i) * 1_300.0 / 8_000.0 * std::f64::consts::TAU).sin() * 12_000.0) as i16
            })
            .collect();
        let speak = async {
            mouth.write(1, &tone).await.unwrap();
            mouth.end_item(1).await.unwrap();
        };
        let listen = async {
            let mut heard = Vec::new();
            loop {
                heard.extend(ear.recv().await.unwrap().samples);
                let last = heard.len().saturating_sub(2_400);
                if last > 0 && share(&heard[last..], 700.0) > 0.9 {
                    return;
                }
            }
        };
        tokio::time::timeout(DEADLINE, async {
            tokio::join!(speak, listen, hears(&phone, codec, 1_300.0))
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn keys_count_in_the_clock_of_opus() {
    let (engine, _dir) = engine(1);
    let (leg, phone) = party(&engine, 1, Codec::Opus, 700.0);
    let mut events = leg.take_events().unwrap();
    event(&mut events, |e| {
        matches!(e, MediaEvent::RtpStarted { .. }).then_some(())
    })
    .await;
    leg.send_digit(Digit::try_from('5').unwrap());
    let key = || -> Vec<_> {
        phone
            .packets()
            .into_iter()
            .filter(|packet| packet.payload_type == 101)
            .collect()
    };
    until("the whole key", || key().len() >= 7).await;
    let key = key();
    let last = EventPayload::parse(&key[6].payload).unwrap();
    assert_eq!((last.event, last.end, last.duration), (5, true, 5 * 960));
    assert!(
        key.iter()
            .all(|packet| packet.timestamp == key[0].timestamp)
    );
    let audio: Vec<u32> = phone
        .packets()
        .iter()
        .filter(|packet| packet.payload_type != 101)
        .map(|packet| packet.timestamp)
        .collect();
    assert!(
        audio
            .windows(2)
            .all(|pair| pair[1].wrapping_sub(pair[0]) % 960 == 0)
    );
    // And a held key of 2 s in segments with this clock is one press.
    let send = |sequence, timestamp, marker, duration: u16, end| {
        let payload = EventPayload {
            event: 7,
            end,
            volume: 10,
            duration,
        };
        let packet = switchhook_media::rtp::RtpPacket {
            marker,
            payload_type: 101,
            sequence,
            timestamp,
            ssrc: 7,
            payload: &payload.to_octets(),
        };
        phone.send(leg.local_addr(), &packet);
    };
    let from = 3_000_000;
    send(60_000, from, true, 960, false);
    send(60_001, from, false, 0xFFFF, false);
    send(60_002, from + 0xFFFF, false, 0x7000, true);
    let digit = event(&mut events, |e| match e {
        MediaEvent::Digit { digit, .. } => Some(digit.as_char()),
        _ => None,
    })
    .await;
    assert_eq!(digit, '7');
    until("nothing else", || leg.stats().rx_packets > 80).await;
    assert_eq!(leg.stats().digits, 1);
}

/// After an announcement was mixed into passed-on audio, no burst is heard.
#[tokio::test]
async fn g722_does_not_burst_where_its_source_changes() {
    let (engine, _dir) = engine(1);
    let (a, phone_a) = party(&engine, 1, Codec::G722, 700.0);
    phone_a.set_volume(4_000.0);
    let (b, phone_b) = party(&engine, 2, Codec::G722, 700.0);
    engine.bridge(&a, &b);
    let (_ear, mut mouth) = b.assistant();
    until("some audio", || phone_b.packet_count() > 50).await;
    for item in 1..4 {
        mouth.write(item, &[300; 1_600]).await.unwrap();
        mouth.end_item(item).await.unwrap();
        let before = phone_b.packet_count();
        until("some audio", || phone_b.packet_count() > before + 30).await;
    }
    let packets = phone_b.packets();
    let audio = decode(Codec::G722, packets.iter().map(|p| p.payload.as_slice()));
    let peak = audio[4_000..]
        .iter()
        .map(|s| s.unsigned_abs())
        .max()
        .unwrap();
    // The tone has a peak of 4,000, of which a turned phase may make twice as much; a coder out of
    // step makes full scale.
    assert!((3_500..11_000).contains(&peak), "{peak}");
}

#[tokio::test]
async fn a_leg_changes_its_codec() {
    let (engine, _dir) = engine(1);
    let leg = engine.open_leg(leg_id("change", 1)).unwrap();
    leg.ringback(false);
    for codec in [Codec::Pcmu, Codec::Opus, Codec::G722, Codec::Opus] {
        let phone = Phone::with_tone(leg.local_addr(), codec, 700.0);
        leg.update(params(&phone, codec));
        let (mut ear, _mouth) = leg.assistant();
        let mut heard = Vec::new();
        tokio::time::timeout(DEADLINE, async {
            loop {
                heard.extend(ear.recv().await.unwrap().samples);
                let last = heard.len().saturating_sub(2_400);
                if last > 0 && share(&heard[last..], 700.0) > 0.9 {
                    return;
                }
            }
        })
        .await
        .unwrap();
        until("it is sent in the codec", || {
            let packets = phone.packets();
            packets
                .last()
                .is_some_and(|p| p.payload_type == codec.payload_type())
        })
        .await;
    }
}
