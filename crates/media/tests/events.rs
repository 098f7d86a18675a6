//! What a leg reports, and what it does with packets that are not as they should be.

mod support;

use std::net::UdpSocket;
use std::time::Duration;

use support::{DEADLINE, Phone, engine, engine_with, event, leg_id, share, start_leg, until};
use switchhook_media::dtmf::EventPayload;
use switchhook_media::rtp::RtpPacket;
use switchhook_media::{
    Codec, MediaDirection, MediaEvent, OpenLegError, PayloadFormat, PlayoutError, RtpParams,
    SilenceReason, Tone,
};
use switchhook_model::Digit;

fn digit(key: char) -> Digit {
    key.try_into().expect("a key")
}

/// An audio packet with the payload of a loud constant, so that it is audible.
fn audio(sequence: u16, payload_type: u8) -> RtpPacket<'static> {
    RtpPacket {
        marker: false,
        payload_type,
        sequence,
        timestamp: u32::from(sequence) * 160,
        ssrc: 0xABCD,
        payload: &[0x10; 160],
    }
}

#[tokio::test]
async fn keys_are_reported_once_and_in_order() {
    let (engine, _dir) = engine(1);
    let phone = Phone::silent();
    let leg = start_leg(&engine, leg_id("keys", 1), phone.addr, Codec::Pcmu);
    let mut events = leg.take_events().unwrap();
    assert!(leg.take_events().is_none(), "there is one reader");
    let mut sequence = 0;
    for (n, key) in "42#".chars().enumerate() {
        for packet in 0..7u16 {
            let payload = EventPayload {
                event: digit(key).event(),
                end: packet >= 4,
                volume: 10,
                duration: 160 * packet.min(4) + 160,
            }
            .to_octets();
            phone.send(
                leg.local_addr(),
                &RtpPacket {
                    marker: packet == 0,
                    payload_type: 101,
                    sequence,
                    timestamp: n as u32 * 4_000,
                    ssrc: 1,
                    payload: &payload,
                },
            );
            sequence += 1;
        }
    }
    let mut keys = String::new();
    for _ in 0..3 {
        let key = event(&mut events, |e| match e {
            MediaEvent::Digit { digit, .. } => Some(digit.as_char()),
            _ => None,
        });
        keys.push(key.await);
    }
    assert_eq!(keys, "42#");
    until("all packets", || leg.stats().rx_packets == 21).await;
    assert_eq!(leg.stats().digits, 3);
}

#[tokio::test]
async fn sent_keys_arrive_as_events_or_as_tones() {
    let (engine, _dir) = engine(1);
    let phone = Phone::silent();
    let leg = start_leg(&engine, leg_id("send", 1), phone.addr, Codec::Pcmu);
    for key in "19".chars() {
        leg.send_digit(digit(key));
    }
    let events = || {
        phone
            .packets()
            .into_iter()
            .filter(|p| p.payload_type == 101)
            .collect::<Vec<_>>()
    };
    until("both keys", || events().len() >= 14).await;
    let got = events();
    let ends: Vec<u8> = got
        .iter()
        .map(|packet| EventPayload::parse(&packet.payload).unwrap())
        .filter(|event| event.end)
        .map(|event| event.event)
        .collect();
    assert_eq!(ends, [1, 1, 1, 9, 9, 9]);
    assert!(got[0].marker && !got[1].marker);
    assert_eq!(
        got[0].timestamp, got[6].timestamp,
        "all packets of a press bear its beginning"
    );

    let plain = engine.open_leg(leg_id("send", 2)).unwrap();
    let other = Phone::silent();
    plain.start(RtpParams {
        dtmf_pt: None,
        ..RtpParams::new(other.addr, Codec::Pcmu)
    });
    plain.send_digit(digit('5'));
    until("the tone of the key", || {
        let heard = other.audio(Codec::Pcmu, 0);
        heard
            .chunks_exact(640)
            .any(|part| share(part, 770.0) + share(part, 1336.0) > 0.9)
    })
    .await;
}

#[tokio::test]
async fn the_stream_we_send_is_continuous() {
    let (engine, _dir) = engine(1);
    let phone = Phone::silent();
    let leg = start_leg(&engine, leg_id("stream", 1), phone.addr, Codec::Pcma);
    until("two seconds", || phone.packet_count() >= 100).await;
    drop(leg);
    let packets = phone.packets();
    assert!(packets[0].marker, "the first packet begins a talk spurt");
    for pair in packets.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        assert_eq!(b.sequence, a.sequence.wrapping_add(1));
        // Ticks left out on a loaded machine show as a larger step, never as a smaller one.
        let step = b.timestamp.wrapping_sub(a.timestamp);
        assert!(step >= 160 && step % 160 == 0, "{step}");
        assert_eq!((a.ssrc, a.payload.len(), a.payload_type), (b.ssrc, 160, 8));
    }
}

#[tokio::test]
async fn a_party_behind_a_nat_is_answered_where_it_sends_from() {
    let (engine, _dir) = engine(1);
    let leg = engine.open_leg(leg_id("nat", 1)).unwrap();
    let mut events = leg.take_events().unwrap();
    // The address in its SDP leads nowhere.
    let nowhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    let announced = nowhere.local_addr().unwrap();
    leg.start(RtpParams::new(announced, Codec::Pcmu));
    let phone = Phone::with_tone(leg.local_addr(), Codec::Pcmu, 700.0);
    let latched = event(&mut events, |e| match e {
        MediaEvent::RemoteChanged {
            announced: a,
            latched,
        } if *a == announced => Some(*latched),
        _ => None,
    })
    .await;
    assert_eq!(latched, phone.addr);
    until("audio at the phone", || phone.packet_count() > 10).await;

    // Somebody else sends into the port: not heard, not answered, counted.
    let stranger = Phone::with_tone(leg.local_addr(), Codec::Pcmu, 2_000.0);
    let (mut ear, _mouth) = leg.assistant();
    until("foreign packets", || leg.stats().rx_foreign > 25).await;
    let mut heard = Vec::new();
    while heard.len() < 160 * 25 {
        let frame = tokio::time::timeout(DEADLINE, ear.recv())
            .await
            .unwrap()
            .unwrap();
        heard.extend(frame.samples);
    }
    assert!(share(&heard[160 * 10..], 700.0) > 0.9);
    assert_eq!(stranger.packet_count(), 0);

    // The same address again changes nothing; a new one starts anew.
    leg.update(RtpParams::new(announced, Codec::Pcmu));
    let before = phone.packet_count();
    until("still answered", || phone.packet_count() > before + 10).await;
    let moved = Phone::with_tone(leg.local_addr(), Codec::Pcmu, 1_000.0);
    leg.update(RtpParams::new(moved.addr, Codec::Pcmu));
    until("audio at the new address", || moved.packet_count() > 10).await;
}

#[tokio::test]
async fn what_is_not_this_calls_rtp_does_not_latch() {
    let (engine, _dir) = engine(1);
    let phone = Phone::silent();
    let leg = start_leg(&engine, leg_id("garbage", 1), phone.addr, Codec::Pcmu);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    // No more than the socket buffers.
    for n in 0..10u16 {
        stranger
            .send_to(b"SIP/2.0 200 OK\r\n\r\n", leg.local_addr())
            .unwrap();
        stranger.send_to(&[0; 3_000], leg.local_addr()).unwrap();
        stranger.send_to(&[], leg.local_addr()).unwrap();
        let mut wrong_type = [0; 200];
        let len = audio(n, 18).write(&mut wrong_type);
        stranger
            .send_to(&wrong_type[..len], leg.local_addr())
            .unwrap();
    }
    until("all refused", || leg.stats().rx_invalid == 40).await;
    assert_eq!(leg.stats().rx_packets, 0);
    // Two valid packets are not enough either.
    for n in 0..2 {
        let mut valid = [0; 200];
        let len = audio(n, 0).write(&mut valid);
        stranger.send_to(&valid[..len], leg.local_addr()).unwrap();
    }
    let before = phone.packet_count();
    until("the phone is still the target", || {
        phone.packet_count() > before + 10
    })
    .await;
    assert_eq!(leg.stats().rx_packets, 0);
}

#[tokio::test]
async fn disorder_on_the_network_is_put_right_and_counted() {
    let (engine, _dir) = engine(1);
    let phone = Phone::silent();
    let leg = start_leg(&engine, leg_id("disorder", 1), phone.addr, Codec::Pcmu);
    let order = [0u16, 1, 3, 2, 2, 4, 7, 6, 8, 9];
    for sequence in order {
        phone.send(leg.local_addr(), &audio(sequence, 0));
    }
    until("all are counted", || {
        let stats = leg.stats();
        let seen = (stats.rx_packets, stats.rx_reordered, stats.rx_duplicate);
        seen == (9, 2, 1) && stats.rx_lost == 1
    })
    .await;
}

#[tokio::test]
async fn one_way_audio_is_reported_and_so_is_its_return() {
    let (engine, _dir) = engine_with(1, |config| config.no_rtp_after = Duration::from_millis(200));
    let phone = Phone::silent();
    let leg = start_leg(&engine, leg_id("oneway", 1), phone.addr, Codec::Pcmu);
    let mut events = leg.take_events().unwrap();
    // Not answered yet: silence is no fault.
    until("half a second", || phone.packet_count() > 25).await;
    assert!(events.try_recv().is_err());
    leg.watch();
    let silent_ms = event(&mut events, |e| match e {
        MediaEvent::NoRtp { silent_ms, reason } => {
            assert_eq!(*reason, SilenceReason::NothingArrives);
            Some(*silent_ms)
        }
        _ => None,
    })
    .await;
    assert_eq!(silent_ms, 200);
    phone.send(leg.local_addr(), &audio(1, 0));
    event(&mut events, |e| {
        matches!(e, MediaEvent::RtpResumed).then_some(())
    })
    .await;
    // Held by us: the party is right to be silent.
    leg.update(RtpParams {
        direction: MediaDirection::SendOnly,
        ..RtpParams::new(phone.addr, Codec::Pcmu)
    });
    let before = phone.packet_count();
    until("more than 200 ms", || phone.packet_count() > before + 30).await;
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, MediaEvent::NoRtp { .. }), "{event:?}");
    }
    // Held while the alarm sounds: it is over.
    leg.update(RtpParams::new(phone.addr, Codec::Pcmu));
    let told = |e: &MediaEvent| matches!(e, MediaEvent::NoRtp { .. }).then_some(());
    event(&mut events, told).await;
    leg.update(RtpParams {
        direction: MediaDirection::RecvOnly,
        ..RtpParams::new(phone.addr, Codec::Pcmu)
    });
    event(&mut events, |e| {
        matches!(e, MediaEvent::RtpResumed).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_party_that_stays_silent_is_given_up_but_not_while_it_is_held() {
    let (engine, _dir) = engine_with(1, |config| {
        config.no_rtp_after = Duration::from_millis(100);
        config.rtp_timeout = Some(Duration::from_millis(400));
    });
    let phone = Phone::silent();
    let leg = start_leg(&engine, leg_id("gone", 1), phone.addr, Codec::Pcmu);
    leg.watch();
    let mut events = leg.take_events().unwrap();
    let params = RtpParams::new(phone.addr, Codec::Pcmu);
    leg.update(RtpParams {
        direction: MediaDirection::SendOnly,
        ..params
    });
    let before = phone.packet_count();
    until("more than 400 ms", || phone.packet_count() > before + 30).await;
    while let Ok(event) = events.try_recv() {
        assert!(
            !matches!(event, MediaEvent::RtpTimedOut { .. }),
            "held: {event:?}"
        );
    }
    leg.update(params);
    let silent_ms = event(&mut events, |e| match e {
        MediaEvent::RtpTimedOut { silent_ms } => Some(*silent_ms),
        _ => None,
    })
    .await;
    assert_eq!(silent_ms, 400);
}

#[tokio::test]
async fn a_party_on_hold_gets_nothing_until_it_resumes() {
    let (engine, _dir) = engine(1);
    let phone = Phone::silent();
    let leg = start_leg(&engine, leg_id("hold", 1), phone.addr, Codec::Pcmu);
    until("audio", || phone.packet_count() > 5).await;
    let params = RtpParams::new(phone.addr, Codec::Pcmu);
    leg.update(RtpParams {
        direction: MediaDirection::Inactive,
        ..params
    });
    until("the stream stops", || {
        let count = phone.packet_count();
        std::thread::park_timeout(Duration::from_millis(100));
        phone.packet_count() == count
    })
    .await;
    let held = phone.packet_count();
    leg.update(params);
    until("the stream goes on", || phone.packet_count() > held + 5).await;
    let packets = phone.packets();
    assert!(packets[held].marker, "a new talk spurt begins");
    assert_eq!(
        packets[held].sequence,
        packets[held - 1].sequence.wrapping_add(1)
    );
    assert_eq!(packets[held].ssrc, packets[0].ssrc);
}

#[tokio::test]
async fn barge_in_cuts_what_plays_and_what_waits() {
    let (engine, _dir) = engine(1);
    let phone = Phone::silent();
    let leg = start_leg(&engine, leg_id("barge", 1), phone.addr, Codec::Pcmu);
    let mut events = leg.take_events().unwrap();
    let (_ear, mut mouth) = leg.assistant();
    let cutter = mouth.cutter();
    let second = Tone::sine(1_000.0, 10_000).render();
    mouth.write(1, &second).await.unwrap();
    mouth.end_item(1).await.unwrap();
    mouth.write(2, &second).await.unwrap();
    let before = event(&mut events, |e| match e {
        MediaEvent::Playout { item: 1, played_ms } if *played_ms >= 400 => Some(*played_ms),
        _ => None,
    })
    .await;
    cutter.stop();
    let cut = |item: u32| {
        move |e: &MediaEvent| match e {
            MediaEvent::PlayoutCut { item: i, played_ms } if *i == item => Some(*played_ms),
            MediaEvent::PlayoutFinished { item: i, .. } => panic!("item {i} finished"),
            _ => None,
        }
    };
    let heard = event(&mut events, cut(1)).await;
    assert!((before..1_000).contains(&heard), "{heard} after {before}");
    assert_eq!(event(&mut events, cut(2)).await, 0, "never began");
    assert_eq!(cutter.position(), (1, heard));
    assert_eq!(
        mouth.write(2, &second).await,
        Err(PlayoutError::Cut { item: 2 })
    );

    // What was sent of the tone is what was reported, give or take the frame that fades out.
    until("silence", || {
        let audio = phone.audio(Codec::Pcmu, 0);
        audio.len() > 1_600 && audio[audio.len() - 800..].iter().all(|s| s.abs() < 10)
    })
    .await;
    let audible = |frame: &&[i16]| frame.iter().any(|s| s.abs() > 1_000);
    let frames = phone
        .audio(Codec::Pcmu, 0)
        .chunks_exact(160)
        .filter(audible)
        .count() as u64;
    assert!(
        (heard / 20..=heard / 20 + 1).contains(&frames),
        "{frames} frames, {heard} ms"
    );

    // The next answer is heard.
    mouth.write(3, &second[..800]).await.unwrap();
    mouth.end_item(3).await.unwrap();
    let played = event(&mut events, |e| match e {
        MediaEvent::PlayoutFinished { item: 3, played_ms } => Some(*played_ms),
        _ => None,
    })
    .await;
    assert_eq!(played, 100);
}

#[tokio::test]
async fn a_writer_that_waits_for_room_is_released_by_a_cut() {
    let (engine, _dir) = engine(1);
    let phone = Phone::silent();
    let leg = start_leg(&engine, leg_id("writer", 1), phone.addr, Codec::Pcmu);
    let (_ear, mut mouth) = leg.assistant();
    let cutter = mouth.cutter();
    let minute = vec![1_000i16; 8_000 * 60];
    let writer = tokio::spawn(async move { mouth.write(1, &minute).await });
    until("playing", || cutter.position().1 > 0).await;
    cutter.stop();
    let result = tokio::time::timeout(DEADLINE, writer)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(result, Err(PlayoutError::Cut { item: 1 }));
    // A closed leg releases it as well.
    let (_ear, mut mouth) = leg.assistant();
    let minute = vec![1_000i16; 8_000 * 60];
    let writer = tokio::spawn(async move { mouth.write(1, &minute).await });
    leg.close();
    let result = tokio::time::timeout(DEADLINE, writer)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(result, Err(PlayoutError::Closed));
}

#[tokio::test]
async fn a_party_may_switch_to_the_second_codec() {
    let (engine, _dir) = engine(1);
    let leg = engine.open_leg(leg_id("switch", 1)).unwrap();
    let (mut ear, _mouth) = leg.assistant();
    let params = |phone: &Phone| RtpParams {
        also_receives: Some(PayloadFormat {
            codec: Codec::Pcma,
            payload_type: 8,
        }),
        ..RtpParams::new(phone.addr, Codec::Pcmu)
    };
    let phone = Phone::with_tone(leg.local_addr(), Codec::Pcma, 700.0);
    leg.start(params(&phone));
    let mut heard: Vec<i16> = Vec::new();
    let clean =
        |heard: &[i16]| heard.len() > 4_000 && share(&heard[heard.len() - 2_400..], 700.0) > 0.95;
    tokio::time::timeout(DEADLINE, async {
        while !clean(&heard) {
            heard.extend(ear.recv().await.unwrap().samples);
        }
    })
    .await
    .expect("A-law is understood though µ-law is preferred");
}

#[tokio::test]
async fn admission_and_ports_are_bounded() {
    let (engine, _dir) = engine_with(1, |config| config.max_legs = 2);
    let a = engine.open_leg(leg_id("one", 1)).unwrap();
    let b = engine.open_leg(leg_id("two", 1)).unwrap();
    let refused = engine.open_leg(leg_id("three", 1)).unwrap_err();
    assert!(matches!(refused, OpenLegError::Full(2)), "{refused}");
    assert!(a.local_addr().port().is_multiple_of(2));
    let used = [a.local_addr().port(), b.local_addr().port()];
    a.close();
    until("a place is free", || engine.stats().legs == 1).await;
    let c = engine.open_leg(leg_id("three", 1)).unwrap();
    assert!(
        !used.contains(&c.local_addr().port()),
        "the released port rests"
    );

    let range = c.local_addr().port()..=c.local_addr().port() + 1;
    let (narrow, _dir) = engine_with(1, |config| config.port_range = range);
    let refused = narrow.open_leg(leg_id("four", 1)).unwrap_err();
    assert!(matches!(refused, OpenLegError::Bind { .. }), "{refused}");
    assert_eq!(narrow.stats().legs, 0, "nothing is kept of a refused leg");
}

#[tokio::test]
async fn unread_events_are_dropped_and_counted_and_the_call_goes_on() {
    let (engine, _dir) = engine(1);
    let phone = Phone::silent();
    let leg = start_leg(&engine, leg_id("unread", 1), phone.addr, Codec::Pcmu);
    for n in 0..400u16 {
        let payload = [1, 0x80, 1, 0];
        phone.send(
            leg.local_addr(),
            &RtpPacket {
                marker: true,
                payload_type: 101,
                sequence: n,
                timestamp: u32::from(n) * 1_000,
                ssrc: 1,
                payload: &payload,
            },
        );
        // Not more than the socket buffers.
        if n % 50 == 49 {
            until("taken", || leg.stats().rx_packets >= u64::from(n)).await;
        }
    }
    until("all keys", || leg.stats().digits == 400).await;
    assert!(
        leg.stats().events_dropped > 100,
        "{}",
        leg.stats().events_dropped
    );
    let before = phone.packet_count();
    until("audio goes on", || phone.packet_count() > before + 10).await;
}

#[tokio::test]
async fn a_flood_from_a_stranger_does_not_drown_the_call() {
    let (engine, _dir) = engine(1);
    let leg = engine.open_leg(leg_id("flood", 1)).unwrap();
    let phone = Phone::with_tone(leg.local_addr(), Codec::Pcmu, 700.0);
    leg.start(RtpParams::new(phone.addr, Codec::Pcmu));
    until("the call is up", || leg.stats().rx_packets > 10).await;
    let other = Phone::silent();
    let second = start_leg(&engine, leg_id("calm", 1), other.addr, Codec::Pcmu);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut packet = [0; 172];
    audio(1, 0).write(&mut packet);
    let before = (leg.stats().rx_packets, other.packet_count());
    // Each time several times what the worker takes per tick.
    until("the flood has come in", || {
        for _ in 0..100 {
            let _ = stranger.send_to(&packet, leg.local_addr());
        }
        leg.stats().rx_foreign >= 2_000
    })
    .await;
    assert!(
        leg.stats().rx_packets > before.0,
        "the party is still heard"
    );
    until("another call goes on", || {
        other.packet_count() > before.1 + 10
    })
    .await;
    drop(second);
}

#[tokio::test]
async fn a_party_that_suppresses_silence_is_heard_as_noise_until_it_speaks() {
    let (engine, _dir) = engine_with(1, |config| config.no_rtp_after = Duration::from_millis(200));
    let phone = Phone::silent();
    let leg = start_leg(&engine, leg_id("comfort", 1), phone.addr, Codec::Pcmu);
    leg.watch();
    let mut events = leg.take_events().unwrap();
    let (mut ear, _mouth) = leg.assistant();
    let level = |samples: &[i16]| {
        let power: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
        10.0 * (power / samples.len() as f64 / 32_768f64.powi(2))
            .max(1e-12)
            .log10()
    };
    for sequence in 0..4 {
        phone.send(leg.local_addr(), &audio(sequence, 0));
    }
    let noise = RtpPacket {
        payload_type: 13,
        payload: &[45],
        ..audio(4, 0)
    };
    phone.send(leg.local_addr(), &noise);
    // Half a second of noise, much longer than a loss is hidden and than the alarm waits.
    let noisy = async {
        let mut frames = 0;
        while frames < 25 {
            let frame = ear.recv().await.expect("frames go on");
            frames += u32::from((level(&frame.samples) + 45.0).abs() < 6.0);
        }
    };
    tokio::time::timeout(DEADLINE, noisy).await.expect("noise");
    assert!(
        events
            .try_recv()
            .is_ok_and(|e| matches!(e, MediaEvent::RtpStarted { .. }))
    );
    assert!(events.try_recv().is_err(), "announced silence is no fault");
    for sequence in 200..204 {
        phone.send(leg.local_addr(), &audio(sequence, 0));
    }
    let back = async { while level(&ear.recv().await.expect("frames go on").samples) < -20.0 {} };
    tokio::time::timeout(DEADLINE, back)
        .await
        .expect("the noise ends with speech");
    assert_eq!(leg.stats().rx_invalid, 0);
}
