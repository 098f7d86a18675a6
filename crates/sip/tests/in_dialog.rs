//! What happens during a call: hold both ways, keys, lost ACKs, disorder.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::{Message, Peer, SDP, World};
use switchhook_model::{HangupCause, LegId};
use switchhook_sip::{DialTarget, DialogState, SipLegEvent};

const HOLD: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                    m=audio 40000 RTP/AVP 0\r\na=sendonly\r\n";

/// An answered inbound call: the world, the caller, the leg, our 200.
async fn talking() -> (World, Peer, LegId, Message) {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    peer.invite("assistant").await;
    let call = world.incoming().await;
    call.handle.answer(SDP.to_owned()).unwrap();
    let ok = peer.response("INVITE", 200).await;
    peer.send(&request(&world, &peer, &ok, "ACK", 1, "")).await;
    world.leg_event(&call.leg).await;
    (world, peer, call.leg, ok)
}

fn request(
    world: &World,
    peer: &Peer,
    ok: &Message,
    method: &str,
    cseq: u32,
    body: &str,
) -> String {
    let uri = format!("sip:assistant@{}", world.udp);
    peer.compose(method, &uri, cseq, ok.tag("To"), "", body)
}

#[tokio::test]
async fn the_caller_holds_and_resumes() {
    let (mut world, peer, leg, ok) = talking().await;
    peer.send(&request(&world, &peer, &ok, "INVITE", 2, HOLD))
        .await;
    match world.leg_event(&leg).await {
        SipLegEvent::ReInvite { sdp, responder } => {
            assert_eq!(sdp.as_deref(), Some(HOLD));
            responder.answer(SDP.to_owned());
        }
        other => panic!("{other:?}"),
    }
    let held = peer.response("INVITE", 200).await;
    assert_eq!((held.body(), held.tag("To")), (SDP, ok.tag("To")));
    peer.send(&request(&world, &peer, &ok, "ACK", 2, "")).await;
    // Undecided means refused: the media stay as they were.
    peer.send(&request(&world, &peer, &ok, "INVITE", 3, SDP))
        .await;
    match world.leg_event(&leg).await {
        SipLegEvent::ReInvite { responder, .. } => drop(responder),
        other => panic!("{other:?}"),
    }
    let refusal = peer.response("INVITE", 488).await;
    let ack = request(&world, &peer, &ok, "ACK", 3, "").replace("3ACK", "3INVITE");
    peer.send(&ack).await;
    assert_eq!(refusal.cseq(), 3);
    assert_eq!(
        world.endpoint.leg_count(),
        1,
        "a refused re-INVITE does not end the call"
    );
    // A re-INVITE that moves the caller is followed.
    let moved = request(&world, &peer, &ok, "INVITE", 4, SDP);
    let moved = moved.replace("Contact: <sip:caller@", "Contact: <sip:moved@");
    peer.send(&moved).await;
    match world.leg_event(&leg).await {
        SipLegEvent::ReInvite { responder, .. } => responder.answer(SDP.to_owned()),
        other => panic!("{other:?}"),
    }
    peer.response("INVITE", 200).await;
    peer.send(&request(&world, &peer, &ok, "ACK", 4, "")).await;
    world.endpoint.hangup(&leg, HangupCause::Normal).unwrap();
    let bye = peer.request("BYE").await;
    assert!(
        bye.start_line().starts_with("BYE sip:moved@"),
        "{}",
        bye.start_line()
    );
}

/// UDP may bring a re-INVITE before the ACK of the one ahead of it: it waits for its turn.
#[tokio::test]
async fn a_re_invite_that_overtakes_an_ack_is_answered_after_it() {
    let (mut world, peer, leg, ok) = talking().await;
    for cseq in [2, 3, 4] {
        peer.send(&request(&world, &peer, &ok, "INVITE", cseq, SDP))
            .await;
        if cseq > 2 {
            let ack = request(&world, &peer, &ok, "ACK", cseq - 1, "");
            peer.send(&ack).await;
        }
        match world.leg_event(&leg).await {
            SipLegEvent::ReInvite { responder, .. } => responder.answer(SDP.to_owned()),
            other => panic!("{other:?}"),
        }
        let answer = peer.response("INVITE", 200).await;
        assert_eq!(answer.cseq(), cseq);
    }
    // One waits; a further one before the same ACK is too many.
    for cseq in [5, 6] {
        peer.send(&request(&world, &peer, &ok, "INVITE", cseq, SDP))
            .await;
    }
    let busy = peer.response("INVITE", 500).await;
    assert_eq!(busy.cseq(), 6);
    peer.send(&request(&world, &peer, &ok, "BYE", 7, "")).await;
    peer.response("BYE", 200).await;
    let unanswered = peer.response("INVITE", 481).await;
    assert_eq!(unanswered.cseq(), 5);
}

#[tokio::test]
async fn we_hold_and_are_refused_or_accepted() {
    let (mut world, peer, leg, _ok) = talking().await;
    world.endpoint.reinvite(&leg, HOLD.to_owned()).unwrap();
    let reinvite = peer.request("INVITE").await;
    assert_eq!(
        (reinvite.body(), reinvite.tag("To")),
        (HOLD, peer.tag.as_str())
    );
    // A second one at the same time is refused here (RFC 3261 §14.1).
    world.endpoint.reinvite(&leg, SDP.to_owned()).unwrap();
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::ReInviteFailed { status: Some(491) }
    ));
    peer.reply(&reinvite, "200 OK", SDP).await;
    let ack = peer.request("ACK").await;
    assert_eq!(ack.cseq(), reinvite.cseq());
    match world.leg_event(&leg).await {
        SipLegEvent::ReInviteAnswered { sdp } => assert_eq!(sdp.as_deref(), Some(SDP)),
        other => panic!("{other:?}"),
    }
    world.endpoint.reinvite(&leg, SDP.to_owned()).unwrap();
    let reinvite = peer.request("INVITE").await;
    peer.reply(&reinvite, "488 Not Acceptable Here", "").await;
    peer.request("ACK").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::ReInviteFailed { status: Some(488) }
    ));
    assert_eq!(world.endpoint.leg_count(), 1);
    // 481 says that the call is gone (RFC 3261 §12.2.1.2).
    world.endpoint.reinvite(&leg, SDP.to_owned()).unwrap();
    let reinvite = peer.request("INVITE").await;
    peer.reply(&reinvite, "481 Call/Transaction Does Not Exist", "")
        .await;
    world.leg_event(&leg).await;
    let bye = peer.request("BYE").await;
    peer.reply(&bye, "481 Call/Transaction Does Not Exist", "")
        .await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ended { .. }
    ));
}

#[tokio::test]
async fn both_change_the_media_at_once() {
    let (mut world, peer, leg, ok) = talking().await;
    world.endpoint.reinvite(&leg, HOLD.to_owned()).unwrap();
    let ours = peer.request("INVITE").await;
    peer.send(&request(&world, &peer, &ok, "INVITE", 2, HOLD))
        .await;
    peer.response("INVITE", 491).await;
    peer.reply(&ours, "491 Request Pending", "").await;
    peer.request("ACK").await;
    // Ours waits a little and comes again (RFC 3261 §14.1).
    let again = loop {
        let message = peer.request("INVITE").await;
        if message.cseq() > ours.cseq() {
            break message;
        }
    };
    assert_eq!(again.body(), HOLD);
    peer.reply(&again, "200 OK", SDP).await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::ReInviteAnswered { .. }
    ));
}

#[tokio::test]
async fn a_refused_hold_is_tried_again_a_few_times_only() {
    let (mut world, peer, leg, _ok) = talking().await;
    world.endpoint.reinvite(&leg, HOLD.to_owned()).unwrap();
    let mut last = 0;
    for round in 0..4 {
        let reinvite = loop {
            let message = peer.request("INVITE").await;
            if message.cseq() > last {
                break message;
            }
        };
        last = reinvite.cseq();
        let (status, more) = match round {
            // Retry-After on a 500 is followed (RFC 3261 §14.1).
            1 => ("500 Server Internal Error", "Retry-After: 1\r\n"),
            _ => ("491 Request Pending", ""),
        };
        peer.send(&peer.answer(&reinvite, status, more, "")).await;
        peer.request("ACK").await;
    }
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::ReInviteFailed { status: Some(491) }
    ));
    assert_eq!(world.endpoint.leg_count(), 1);
    // Without Retry-After a 500 is a refusal.
    world.endpoint.reinvite(&leg, HOLD.to_owned()).unwrap();
    let reinvite = loop {
        let message = peer.request("INVITE").await;
        if message.cseq() > last {
            break message;
        }
    };
    peer.reply(&reinvite, "500 Server Internal Error", "").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::ReInviteFailed { status: Some(500) }
    ));
}

#[tokio::test]
async fn keys_come_by_info() {
    let (mut world, peer, leg, ok) = talking().await;
    for (cseq, kind, body, status) in [
        (
            2,
            "application/dtmf-relay",
            "Signal=0\r\nDuration=160\r\n",
            200,
        ),
        (3, "application/dtmf", "#", 200),
        (4, "application/dtmf-relay", "Signal=nonsense\r\n", 400),
        (5, "text/plain", "hello", 415),
        (6, "", "", 200),
    ] {
        let info = request(&world, &peer, &ok, "INFO", cseq, body);
        peer.send(&info.replace("application/sdp", kind)).await;
        let response = peer.response("INFO", status).await;
        assert_eq!(response.cseq(), cseq);
    }
    for key in ['0', '#'] {
        match world.leg_event(&leg).await {
            SipLegEvent::Digit(digit) => assert_eq!(digit.as_char(), key),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn keys_go_out_by_info_one_after_the_other() {
    let (mut world, peer, leg, _ok) = talking().await;
    for key in ['1', '*', '#'] {
        let digit = switchhook_model::Digit::try_from(key).unwrap();
        world.endpoint.send_digit(&leg, digit).unwrap();
    }
    let first = peer.request("INFO").await;
    assert_eq!(first.header("Content-Type"), "application/dtmf-relay");
    assert_eq!(first.body(), "Signal=1\r\nDuration=100\r\n");
    // The second waits for the answer to the first; a refusal is told and holds nothing up.
    peer.reply(&first, "200 OK", "").await;
    let second = peer.request("INFO").await;
    assert!(
        second.body().starts_with("Signal=*\r\n"),
        "{}",
        second.body()
    );
    assert!(second.cseq() > first.cseq());
    peer.reply(&second, "415 Unsupported Media Type", "").await;
    let third = peer.request("INFO").await;
    assert!(third.body().starts_with("Signal=#\r\n"), "{}", third.body());
    peer.reply(&third, "200 OK", "").await;
    let refused = loop {
        match world.leg_event(&leg).await {
            SipLegEvent::DigitRefused { status } => break status,
            SipLegEvent::Record(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused, Some(415));
}

#[tokio::test]
async fn strangers_and_disorder_change_nothing() {
    let (mut world, peer, leg, ok) = talking().await;
    // A BYE with a wrong tag of either side.
    let wrong_ours = request(&world, &peer, &ok, "BYE", 2, "").replace(ok.tag("To"), "guess");
    peer.send(&wrong_ours).await;
    peer.response("BYE", 481).await;
    let wrong_theirs = request(&world, &peer, &ok, "BYE", 3, "")
        .replace(&format!(";tag={}", peer.tag), ";tag=guess");
    peer.send(&wrong_theirs).await;
    peer.response("BYE", 481).await;
    // Older than what was seen.
    peer.send(&request(&world, &peer, &ok, "OPTIONS", 9, ""))
        .await;
    peer.response("OPTIONS", 200).await;
    peer.send(&request(&world, &peer, &ok, "BYE", 8, "")).await;
    peer.response("BYE", 500).await;
    for (cseq, method) in [(10, "MESSAGE"), (11, "PUBLISH"), (12, "SUBSCRIBE")] {
        peer.send(&request(&world, &peer, &ok, method, cseq, ""))
            .await;
        let refusal = peer.response(method, 405).await;
        assert!(refusal.header("Allow").contains("INVITE"));
    }
    assert_eq!(world.endpoint.leg_count(), 1);
    peer.send(&request(&world, &peer, &ok, "BYE", 13, "")).await;
    peer.response("BYE", 200).await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ended {
            by_remote: true,
            ..
        }
    ));
    // The BYE again, in a new transaction, finds nothing.
    peer.send(&request(&world, &peer, &ok, "BYE", 14, "")).await;
    peer.response("BYE", 481).await;
}

#[tokio::test]
async fn an_answer_nobody_acknowledges_is_repeated_then_ended() {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    peer.invite("assistant").await;
    let call = world.incoming().await;
    call.handle.answer(SDP.to_owned()).unwrap();
    let first = peer.response("INVITE", 200).await;
    let again = peer.recv().await;
    assert_eq!(again.text, first.text);
    // 64 T1 later (here 3.2 s) the call is given up (RFC 3261 §13.3.1.4).
    let bye = peer.request("BYE").await;
    peer.reply(&bye, "200 OK", "").await;
    assert!(matches!(
        world.leg_event(&call.leg).await,
        SipLegEvent::Ended {
            by_remote: false,
            cause: HangupCause::Failed,
            ..
        }
    ));
}

/// Who hangs up had the answer, although its ACK did not get through.
#[tokio::test]
async fn a_bye_whose_ack_was_lost_ends_a_call_that_was_answered() {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    peer.invite("assistant").await;
    let call = world.incoming().await;
    call.handle.answer(SDP.to_owned()).unwrap();
    let ok = peer.response("INVITE", 200).await;
    peer.send(&request(&world, &peer, &ok, "BYE", 2, "")).await;
    peer.response("BYE", 200).await;
    assert!(matches!(
        world.leg_event(&call.leg).await,
        SipLegEvent::Confirmed { .. }
    ));
    assert!(matches!(
        world.leg_event(&call.leg).await,
        SipLegEvent::Ended {
            by_remote: true,
            cause: HangupCause::Normal,
            ..
        }
    ));
}

#[tokio::test]
async fn a_hang_up_before_the_ack_waits_for_it() {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    peer.invite("assistant").await;
    let call = world.incoming().await;
    call.handle.answer(SDP.to_owned()).unwrap();
    world
        .endpoint
        .hangup(&call.leg, HangupCause::Normal)
        .unwrap();
    let ok = peer.response("INVITE", 200).await;
    // The 200 comes again before any BYE does (RFC 3261 §15).
    assert_eq!(peer.recv().await.status(), Some(200));
    peer.send(&request(&world, &peer, &ok, "ACK", 1, "")).await;
    let bye = peer.request("BYE").await;
    peer.reply(&bye, "200 OK", "").await;
    world.leg_event(&call.leg).await;
    assert!(matches!(
        world.leg_event(&call.leg).await,
        SipLegEvent::Ended { .. }
    ));
}

#[tokio::test]
async fn a_caller_without_an_offer_answers_in_the_ack() {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    let uri = format!("sip:assistant@{}", world.udp);
    peer.send(&peer.compose("INVITE", &uri, 1, "", "", ""))
        .await;
    let call = world.incoming().await;
    assert_eq!(call.sdp_offer, None);
    call.handle.answer(SDP.to_owned()).unwrap();
    let ok = peer.response("INVITE", 200).await;
    peer.send(&request(&world, &peer, &ok, "ACK", 1, HOLD))
        .await;
    match world.leg_event(&call.leg).await {
        SipLegEvent::Confirmed { sdp } => assert_eq!(sdp.as_deref(), Some(HOLD)),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.records[&call.leg].state, DialogState::Established);
}

#[tokio::test]
async fn both_hang_up_together() {
    let (mut world, peer, leg, ok) = talking().await;
    world.endpoint.hangup(&leg, HangupCause::Normal).unwrap();
    peer.request("BYE").await;
    peer.send(&request(&world, &peer, &ok, "BYE", 2, "")).await;
    peer.response("BYE", 200).await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ended { .. }
    ));
    assert_eq!(world.endpoint.leg_count(), 0);
}

#[tokio::test]
async fn the_same_invite_by_two_ways_is_one_call() {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    let invite = peer.invite("assistant").await;
    world.incoming().await;
    peer.send(&invite.replace("branch=z9hG4bK", "branch=z9hG4bKother"))
        .await;
    peer.response("INVITE", 482).await;
    assert_eq!(world.endpoint.leg_count(), 1);
}

#[tokio::test]
async fn draining_takes_no_new_call() {
    let (mut world, peer, leg, ok) = talking().await;
    world.endpoint.set_draining(true);
    let other = Peer::new(world.udp).await;
    let uri = format!("sip:assistant@{}", world.udp);
    other
        .send(&other.compose("INVITE", &uri, 1, "", "", SDP))
        .await;
    let refusal = other.response("INVITE", 503).await;
    assert_eq!(refusal.header("Retry-After"), "10");
    peer.send(&request(&world, &peer, &ok, "BYE", 2, "")).await;
    peer.response("BYE", 200).await;
    world.leg_event(&leg).await;
}

/// Each callee of a dial that forked counts its requests for itself (RFC 3261 §12.2.2).
#[tokio::test]
async fn callees_of_a_fork_count_apart() {
    let mut world = World::start().await;
    let mut peer = Peer::new(world.udp).await;
    let target = DialTarget::Uri(format!("sip:bob@{}", peer.addr()));
    let leg = world.dial(target).await;
    let invite = peer.request("INVITE").await;
    peer.call_id = invite.header("Call-ID").to_owned();
    let ours = invite.tag("From");
    let uri = format!("sip:assistant@{}", world.udp);
    peer.tag = "first".to_owned();
    peer.reply(&invite, "180 Ringing", "").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ringing { .. }
    ));
    peer.send(&peer.compose("OPTIONS", &uri, 900, ours, "", ""))
        .await;
    peer.response("OPTIONS", 200).await;
    peer.send(&peer.compose("OPTIONS", &uri, 899, ours, "", ""))
        .await;
    peer.response("OPTIONS", 500).await;
    peer.tag = "second".to_owned();
    peer.reply(&invite, "200 OK", SDP).await;
    peer.request("ACK").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Answered { .. }
    ));
    peer.send(&peer.compose("BYE", &uri, 1, ours, "", "")).await;
    peer.response("BYE", 200).await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ended {
            by_remote: true,
            ..
        }
    ));
}

/// Theirs is undecided when we hang up: it is answered all the same (RFC 3261 §15.1.2).
#[tokio::test]
async fn what_waits_for_a_decision_is_refused_when_we_hang_up() {
    for method in ["INVITE", "UPDATE"] {
        let (mut world, peer, leg, ok) = talking().await;
        peer.send(&request(&world, &peer, &ok, method, 2, HOLD))
            .await;
        let undecided = world.leg_event(&leg).await;
        assert!(matches!(undecided, SipLegEvent::ReInvite { .. }));
        world.endpoint.hangup(&leg, HangupCause::Normal).unwrap();
        let bye = peer.request("BYE").await;
        peer.reply(&bye, "200 OK", "").await;
        let refusal = peer.response(method, 487).await;
        assert_eq!(refusal.cseq(), 2);
        assert!(matches!(
            world.leg_event(&leg).await,
            SipLegEvent::Ended { .. }
        ));
    }
}
