//! Phone against phone: what the rest of the tests stand on.

use std::time::Duration;

use switchhook_lab::audio::{Audio, g711::Law, speech, tone};
use switchhook_lab::phone::LadderLine;
use switchhook_lab::phone::{
    Dial, Faults, MediaDirection, OnCall, Phone, PhoneConfig, PhoneEvent, Playable, Srtp, Suite,
    Transport,
};
use switchhook_lab::wait::{check, until};

const SOON: Duration = Duration::from_secs(10);

async fn phone(config: PhoneConfig) -> Phone {
    Phone::start(config).await.expect("a free port on loopback")
}

fn uri(phone: &Phone) -> String {
    format!("sip:b@{}", phone.local())
}

#[tokio::test]
async fn both_hear_each_other_and_only_each_other() {
    for (transport, law) in [(Transport::Udp, Law::Mu), (Transport::Tcp, Law::A)] {
        let a = phone(PhoneConfig::new("a").laws(&[law])).await;
        let b = phone(PhoneConfig::new("b")).await;
        let suffix = if transport == Transport::Tcp {
            ";transport=tcp"
        } else {
            ""
        };
        let at_a = a.dial(&format!("{}{suffix}", uri(&b))).await.unwrap();
        let at_b = b.incoming(0, SOON).await.unwrap();
        at_a.wait_answered(SOON).await.unwrap();
        at_a.play_tone(700.0);
        at_b.play_tone(1100.0);
        at_b.wait_tone(700.0, 0, 1000, SOON).await.unwrap();
        let heard = at_a.wait_tone(1100.0, 0, 1000, SOON).await.unwrap();
        assert_eq!(tone::present_ms(&heard.audio, 700.0), 0);
        assert_eq!(
            heard.payload_types.iter().copied().collect::<Vec<_>>(),
            [law.payload_type()]
        );
        at_a.hangup().await.unwrap();
        let ended = at_b.wait_ended(SOON).await.unwrap();
        assert!(matches!(
            ended,
            PhoneEvent::Ended {
                by_remote: true,
                ..
            }
        ));
        assert_eq!(b.invites().len(), 1);
        assert!(a.ladder().contains("INVITE sip:b@"));
    }
}

#[tokio::test]
async fn two_phones_talk_by_every_codec() {
    use switchhook_lab::audio::codec::PhoneCodec;
    for codec in [PhoneCodec::G722, PhoneCodec::Opus] {
        let a = phone(PhoneConfig::new("a").codecs(&[codec])).await;
        let b = phone(PhoneConfig::new("b").codecs(&[Law::Mu.into(), codec])).await;
        let at_a = a.dial(&uri(&b)).await.unwrap();
        let at_b = b.incoming(0, SOON).await.unwrap();
        at_a.wait_answered(SOON).await.unwrap();
        at_a.play_tone(700.0);
        at_b.play_tone(1100.0);
        at_b.wait_tone(700.0, 0, 1000, SOON).await.unwrap();
        let heard = at_a.wait_tone(1100.0, 0, 1000, SOON).await.unwrap();
        assert!(heard.payload_types.contains(&codec.payload_type()));
        at_b.send_digits("5");
        at_a.wait_heard(
            "the digit",
            |h| h.digits.iter().any(|(d, _)| *d == '5'),
            SOON,
        )
        .await
        .unwrap();
        at_a.hangup().await.unwrap();
    }
}

#[tokio::test]
async fn protected_audio_is_heard_and_a_phone_without_keys_refuses() {
    for suite in [Suite::Tag80, Suite::Tag32] {
        let a = phone(PhoneConfig::new("a").srtp(Srtp::On(suite))).await;
        let b = phone(PhoneConfig::new("b").srtp(Srtp::On(Suite::Tag80))).await;
        let at_a = a.dial(&uri(&b)).await.unwrap();
        let at_b = b.incoming(0, SOON).await.unwrap();
        at_a.wait_answered(SOON).await.unwrap();
        at_a.play_tone(700.0);
        at_b.play_tone(1100.0);
        at_b.wait_tone(700.0, 0, 1000, SOON).await.unwrap();
        let heard = at_a.wait_tone(1100.0, 0, 1000, SOON).await.unwrap();
        assert!(
            heard.is_protected && heard.refused.is_empty(),
            "{:?}",
            heard.refused
        );
        at_a.reinvite(MediaDirection::SendRecv).await.unwrap();
        at_b.play_tone(900.0);
        let heard = at_a.wait_tone(900.0, 0, 1000, SOON).await.unwrap();
        assert!(heard.refused.is_empty(), "other keys: {:?}", heard.refused);
    }
    let a = phone(PhoneConfig::new("a").srtp(Srtp::On(Suite::Tag80))).await;
    let plain = phone(PhoneConfig::new("b")).await;
    let call = a.dial(&uri(&plain)).await.unwrap();
    let end = call.wait_ended(SOON).await.unwrap();
    assert!(
        matches!(end, PhoneEvent::Failed { status: 488, .. }),
        "{end:?}"
    );
}

#[tokio::test]
async fn a_refusal_and_a_cancelled_call_end_as_they_should() {
    let a = phone(PhoneConfig::new("a")).await;
    let b = phone(PhoneConfig::new("b")).await;
    b.set_script([
        OnCall::RejectAfter {
            status: 486,
            after: Duration::ZERO,
        },
        OnCall::RejectAfter {
            status: 603,
            after: Duration::from_millis(50),
        },
        OnCall::RingOnly,
    ]);
    for status in [486, 603] {
        let call = a.dial(&uri(&b)).await.unwrap();
        let end = call.wait_ended(SOON).await.unwrap();
        assert!(
            matches!(end, PhoneEvent::Failed { status: s, .. } if s == status),
            "{end:?}"
        );
    }
    let call = a.dial(&uri(&b)).await.unwrap();
    call.wait_for(
        "180",
        |e| matches!(e, PhoneEvent::Progress { status: 180, .. }),
        SOON,
    )
    .await
    .unwrap();
    let end = call.hangup().await.unwrap();
    assert!(
        matches!(end, PhoneEvent::Failed { status: 487, .. }),
        "{end:?}"
    );
    let end = b
        .incoming(2, SOON)
        .await
        .unwrap()
        .wait_ended(SOON)
        .await
        .unwrap();
    assert!(matches!(end, PhoneEvent::Cancelled { .. }));
    assert_eq!(b.invites().len(), 3);
}

#[tokio::test]
async fn an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up() {
    let a = phone(PhoneConfig::new("a")).await;
    let faults = Faults {
        answer_after_cancel: true,
        ..Faults::default()
    };
    let b = phone(
        PhoneConfig::new("b")
            .on_call(OnCall::RingOnly)
            .faults(faults),
    )
    .await;
    let call = a.dial(&uri(&b)).await.unwrap();
    call.wait_for(
        "180",
        |e| matches!(e, PhoneEvent::Progress { status: 180, .. }),
        SOON,
    )
    .await
    .unwrap();
    call.start_hangup();
    let at_b = b.incoming(0, SOON).await.unwrap();
    let end = at_b.wait_ended(SOON).await.unwrap();
    assert!(
        matches!(
            end,
            PhoneEvent::Ended {
                by_remote: true,
                ..
            }
        ),
        "{end:?}"
    );
}

#[tokio::test]
async fn duplicated_invites_are_one_transaction() {
    let faults = Faults {
        duplicate_requests: 3,
        ..Faults::default()
    };
    let a = phone(PhoneConfig::new("a").faults(faults)).await;
    let b = phone(PhoneConfig::new("b")).await;
    let call = a.dial(&uri(&b)).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    call.hangup().await.unwrap();
    let seen = b.invites();
    assert_eq!((seen.len(), seen[0].retransmissions), (1, 3));
}

#[tokio::test]
async fn a_dead_phone_and_a_lost_ack() {
    let a = phone(PhoneConfig::new("a")).await;
    let b = phone(PhoneConfig::new("b").on_call(OnCall::Dead)).await;
    a.dial(&uri(&b)).await.unwrap();
    // UDP repeats the INVITE, which stays one transaction.
    until("a second INVITE", SOON, async || {
        let repeated = b.invites().first().is_some_and(|i| i.retransmissions > 0);
        check(repeated, || b.ladder())
    })
    .await;
    assert_eq!(b.invites().len(), 1);

    let faults = Faults {
        drop_ack: true,
        ..Faults::default()
    };
    let c = phone(PhoneConfig::new("c").faults(faults)).await;
    let d = phone(PhoneConfig::new("d")).await;
    let call = c.dial(&uri(&d)).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    // Without an ACK the 200 comes again.
    until("a second 200", SOON, async || {
        let messages = c.messages();
        let is_ok = |l: &&LadderLine| l.message.as_ref().is_ok_and(|m| m.status() == Some(200));
        check(messages.iter().filter(is_ok).count() >= 2, || c.ladder())
    })
    .await;
}

#[tokio::test]
async fn digits_arrive_once_each_in_order() {
    let a = phone(PhoneConfig::new("a")).await;
    let b = phone(PhoneConfig::new("b")).await;
    let call = a.dial(&uri(&b)).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    call.send_digits("40#");
    let at_b = b.incoming(0, SOON).await.unwrap();
    at_b.wait_heard("three digits", |h| h.digits.len() >= 3, SOON)
        .await
        .unwrap();
    call.send_info_digit('7');
    at_b.wait_for(
        "the 7",
        |e| matches!(e, PhoneEvent::DigitHeard { digit: '7', .. }),
        SOON,
    )
    .await
    .unwrap();
    let digits: String = at_b.heard().digits.iter().map(|(d, _)| *d).collect();
    assert_eq!(digits, "40#");
}

#[tokio::test]
async fn hold_stops_the_music_and_resume_brings_it_back() {
    let a = phone(PhoneConfig::new("a")).await;
    let b = phone(PhoneConfig::new("b")).await;
    let at_a = a.dial(&uri(&b)).await.unwrap();
    at_a.wait_answered(SOON).await.unwrap();
    let at_b = b.incoming(0, SOON).await.unwrap();
    at_b.play_tone(900.0);
    at_a.wait_tone(900.0, 0, 500, SOON).await.unwrap();
    assert!(matches!(
        at_a.hold().await.unwrap(),
        PhoneEvent::ReInviteAnswered { status: 200, .. }
    ));
    at_b.wait_for(
        "hold",
        |e| {
            matches!(
                e,
                PhoneEvent::ReInvited {
                    direction: "sendonly",
                    ..
                }
            )
        },
        SOON,
    )
    .await
    .unwrap();
    let from = at_a.now_ms();
    at_a.wait_heard(
        "400 ms of silence",
        |h| speech::silent_since_ms(&h.audio).is_some_and(|ms| ms > 400),
        SOON,
    )
    .await
    .unwrap();
    at_a.reinvite(MediaDirection::SendRecv).await.unwrap();
    at_a.wait_tone(900.0, from, 500, SOON).await.unwrap();
    assert_eq!(b.invites().len(), 1, "a re-INVITE is not a new call");
}

#[tokio::test]
async fn audio_is_paced_and_played_to_its_end() {
    let a = phone(PhoneConfig::new("a")).await;
    let b = phone(PhoneConfig::new("b")).await;
    let call = a.dial(&uri(&b)).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    let at_b = b.incoming(0, SOON).await.unwrap();
    call.say(tone::sine(500.0, 2000)).await.unwrap();
    let heard = at_b
        .wait_heard(
            "the tone's end",
            |h| speech::silent_since_ms(&h.audio).is_some_and(|ms| ms > 300),
            SOON,
        )
        .await
        .unwrap();
    let found = tone::find(&heard.audio, 500.0, tone::PRESENT);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!((1900..=2200).contains(&found[0].duration_ms()), "{found:?}");
    call.play(Playable::Audio(Audio::phone(vec![0; 8000])));
}

#[tokio::test]
async fn what_was_waited_for_in_vain_is_told_with_the_ladder() {
    let a = phone(PhoneConfig::new("a")).await;
    let b = phone(PhoneConfig::new("b").on_call(OnCall::RingOnly)).await;
    let call = a
        .place(Dial::to(&uri(&b)).header("X-Test", "1"))
        .await
        .unwrap();
    let error = call
        .wait_answered(Duration::from_millis(300))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("to be answered") && error.contains("SIP/2.0 180 Ringing"),
        "{error}"
    );
    let error = a
        .dial("sip:b@not-a-number.example")
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("numeric host"), "{error}");
}
