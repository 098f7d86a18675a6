//! CANCEL in every moment (RFC 3261 §9), refusals, silence.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::time::Duration;

use common::{Message, Peer, SDP, World, dial_request, leg_id};
use switchhook_model::{HangupCause, LegId};
use switchhook_sip::{DialTarget, DialogState, SipLegEvent};

async fn dialled() -> (World, Peer, LegId, Message) {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    let target = DialTarget::Uri(format!("sip:bob@{}", peer.addr()));
    let leg = world.dial(target).await;
    let invite = peer.request("INVITE").await;
    (world, peer, leg, invite)
}

fn failed(event: SipLegEvent) -> (Option<u16>, HangupCause) {
    match event {
        SipLegEvent::Failed { status, cause, .. } => (status, cause),
        other => panic!("expected Failed, got {other:?}"),
    }
}

#[tokio::test]
async fn a_ringing_phone_is_cancelled() {
    let (mut world, peer, leg, invite) = dialled().await;
    peer.reply(&invite, "180 Ringing", "").await;
    world.leg_event(&leg).await;
    world.endpoint.cancel(&leg).unwrap();
    let cancel = peer.request("CANCEL").await;
    assert_eq!(cancel.branch(), invite.branch());
    assert_eq!(cancel.header("Via"), invite.header("Via"));
    assert_eq!(cancel.header("To"), invite.header("To"));
    assert_eq!(cancel.cseq(), invite.cseq());
    peer.reply(&cancel, "200 OK", "").await;
    peer.reply(&invite, "487 Request Terminated", "").await;
    let ack = peer.request("ACK").await;
    assert_eq!(ack.branch(), invite.branch());
    assert_eq!(ack.tag("To"), peer.tag);
    assert_eq!(
        failed(world.leg_event(&leg).await),
        (Some(487), HangupCause::Canceled)
    );
    assert_eq!(world.records[&leg].state, DialogState::Ended);
}

#[tokio::test]
async fn a_cancel_waits_for_the_first_provisional_response() {
    let (mut world, peer, leg, invite) = dialled().await;
    world.endpoint.cancel(&leg).unwrap();
    // The INVITE is repeated, no CANCEL comes: that is for the other side to see first.
    let repeated = peer.recv().await;
    assert_eq!(repeated.text, invite.text);
    peer.reply(&invite, "100 Trying", "").await;
    let cancel = peer.request("CANCEL").await;
    peer.reply(&cancel, "200 OK", "").await;
    peer.reply(&invite, "487 Request Terminated", "").await;
    assert_eq!(failed(world.leg_event(&leg).await).1, HangupCause::Canceled);
}

#[tokio::test]
async fn an_answer_that_crosses_the_cancel_is_ended_at_once() {
    let (mut world, peer, leg, invite) = dialled().await;
    peer.reply(&invite, "180 Ringing", "").await;
    world.leg_event(&leg).await;
    world.endpoint.cancel(&leg).unwrap();
    peer.request("CANCEL").await;
    peer.reply(&invite, "200 OK", SDP).await;
    peer.request("ACK").await;
    let bye = peer.request("BYE").await;
    assert_eq!(bye.tag("To"), peer.tag);
    peer.reply(&bye, "200 OK", "").await;
    // Never reported as answered: nobody is left to talk to.
    assert_eq!(
        failed(world.leg_event(&leg).await),
        (None, HangupCause::Canceled)
    );
}

#[tokio::test]
async fn a_cancel_that_comes_after_the_answer_ends_the_call() {
    let (mut world, peer, leg, invite) = dialled().await;
    peer.reply(&invite, "200 OK", SDP).await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Answered { .. }
    ));
    world.endpoint.cancel(&leg).unwrap();
    let bye = peer.request("BYE").await;
    peer.reply(&bye, "200 OK", "").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ended {
            by_remote: false,
            cause: HangupCause::Canceled,
            ..
        }
    ));
}

#[tokio::test]
async fn a_phone_that_ignores_the_cancel_does_not_hold_the_call() {
    let (mut world, peer, leg, invite) = dialled().await;
    peer.reply(&invite, "180 Ringing", "").await;
    world.leg_event(&leg).await;
    world.endpoint.cancel(&leg).unwrap();
    peer.request("CANCEL").await;
    assert_eq!(
        failed(world.leg_event(&leg).await),
        (None, HangupCause::Canceled)
    );
    // The leg is still looked after: a late answer is ended.
    assert_eq!(world.records[&leg].state, DialogState::Pending);
    peer.reply(&invite, "200 OK", SDP).await;
    let bye = peer.request("BYE").await;
    peer.reply(&bye, "200 OK", "").await;
    world
        .until_wire(|w| w.status == Some(200) && w.cseq.ends_with("BYE"))
        .await;
}

#[tokio::test]
async fn refusals_keep_their_status() {
    for (line, status, cause) in [
        ("486 Busy Here", 486, HangupCause::Busy),
        ("600 Busy Everywhere", 600, HangupCause::Busy),
        ("603 Decline", 603, HangupCause::Rejected),
        ("404 Not Found", 404, HangupCause::Unreachable),
        ("480 Temporarily Unavailable", 480, HangupCause::NoAnswer),
        ("408 Request Timeout", 408, HangupCause::NoAnswer),
        ("488 Not Acceptable Here", 488, HangupCause::NotAcceptable),
        ("503 Service Unavailable", 503, HangupCause::Unreachable),
        ("380 Alternative Service", 380, HangupCause::Failed),
        ("401 Unauthorized", 401, HangupCause::Rejected),
        ("499 Odd", 499, HangupCause::Failed),
    ] {
        let (mut world, peer, leg, invite) = dialled().await;
        peer.reply(&invite, line, "").await;
        let ack = peer.request("ACK").await;
        assert_eq!(ack.branch(), invite.branch());
        assert_eq!(
            failed(world.leg_event(&leg).await),
            (Some(status), cause),
            "{line}"
        );
        // A refusal that comes again is acknowledged again.
        peer.reply(&invite, line, "").await;
        peer.request("ACK").await;
    }
}

#[tokio::test]
async fn silence_is_unreachable_and_ringing_too_long_is_no_answer() {
    let (mut world, peer, leg, _invite) = dialled().await;
    // Timer B (64 T1, here 3.2 s) ends it.
    assert_eq!(
        failed(world.leg_event(&leg).await),
        (None, HangupCause::Unreachable)
    );
    drop(peer);

    let peer = Peer::new(world.udp).await;
    let leg = leg_id();
    let mut request = dial_request(&leg, DialTarget::Uri(format!("sip:bob@{}", peer.addr())));
    request.timeout = Duration::from_millis(300);
    world.endpoint.dial(request).await.unwrap();
    let invite = peer.request("INVITE").await;
    peer.reply(&invite, "180 Ringing", "").await;
    let cancel = peer.request("CANCEL").await;
    peer.reply(&cancel, "200 OK", "").await;
    peer.reply(&invite, "487 Request Terminated", "").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ringing { .. }
    ));
    assert_eq!(
        failed(world.leg_event(&leg).await),
        (Some(487), HangupCause::NoAnswer)
    );
}

#[tokio::test]
async fn a_refused_tcp_connection_fails_at_once_and_says_so() {
    let mut world = World::start().await;
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let leg = world
        .dial(DialTarget::Uri(format!("sip:bob@{closed};transport=tcp")))
        .await;
    match world.leg_event(&leg).await {
        SipLegEvent::Failed {
            status: None,
            cause,
            reason,
        } => {
            assert_eq!(cause, HangupCause::Unreachable);
            assert!(reason.contains(&closed.to_string()), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_lost_tcp_connection_fails_an_unheard_dial() {
    let mut world = World::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("sip:bob@{};transport=tcp", listener.local_addr().unwrap());
    let leg = world.dial(DialTarget::Uri(target)).await;
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = common::Stream::new(stream);
    stream.expect(|m| m.method() == "INVITE").await;
    drop(stream);
    assert_eq!(
        failed(world.leg_event(&leg).await),
        (None, HangupCause::Unreachable)
    );
}

#[tokio::test]
async fn a_second_callee_that_rings_makes_it_a_fork() {
    let (mut world, peer, leg, invite) = dialled().await;
    let forked = |event| match event {
        SipLegEvent::Ringing { is_forked, .. } => is_forked,
        other => panic!("{other:?}"),
    };
    for status in ["183 Session Progress", "180 Ringing"] {
        peer.reply(&invite, status, SDP).await;
        assert!(!forked(world.leg_event(&leg).await), "one callee");
    }
    let other = peer
        .answer(&invite, "180 Ringing", "", "")
        .replace(&format!(";tag={}", peer.tag), ";tag=other-fork");
    peer.send(&other).await;
    assert!(forked(world.leg_event(&leg).await));
}

#[tokio::test]
async fn a_second_fork_that_answers_is_ended() {
    let (mut world, peer, leg, invite) = dialled().await;
    peer.reply(&invite, "200 OK", SDP).await;
    peer.request("ACK").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Answered { .. }
    ));
    let other = peer
        .answer(&invite, "200 OK", "", SDP)
        .replace(&format!(";tag={}", peer.tag), ";tag=other-fork");
    peer.send(&other).await;
    let ack = peer.request("ACK").await;
    assert_eq!(ack.tag("To"), "other-fork");
    let bye = peer.request("BYE").await;
    assert_eq!(bye.tag("To"), "other-fork");
    peer.reply(&bye, "200 OK", "").await;
    assert_eq!(
        world.endpoint.leg_count(),
        1,
        "the first fork's call goes on"
    );
}

#[tokio::test]
async fn a_prepared_dial_that_is_not_sent_leaves_no_trace() {
    let world = World::start().await;
    let peer = Peer::new(world.udp).await;
    let leg = leg_id();
    let request = dial_request(&leg, DialTarget::Uri(format!("sip:bob@{}", peer.addr())));
    let (record, prepared) = world.endpoint.prepare_dial(request.clone()).await.unwrap();
    assert_eq!(record.state, DialogState::Pending);
    assert!(
        world.endpoint.prepare_dial(request.clone()).await.is_err(),
        "the id is taken"
    );
    drop(prepared);
    assert_eq!(world.endpoint.leg_count(), 0);
    // Given up between preparing and sending: nothing leaves.
    let (_, prepared) = world.endpoint.prepare_dial(request).await.unwrap();
    world.endpoint.cancel(&leg).unwrap();
    prepared.send();
    let mut world = world;
    assert_eq!(
        failed(world.leg_event(&leg).await),
        (None, HangupCause::Canceled)
    );
    // What would have left has left before the answer to this.
    let options = peer.compose("OPTIONS", &format!("sip:{}", world.udp), 1, "", "", "");
    peer.send(&options).await;
    assert_eq!(peer.recv().await.header("CSeq"), "1 OPTIONS");
}

#[tokio::test]
async fn the_caller_gives_up() {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    let invite = peer.invite("assistant").await;
    let call = world.incoming().await;
    call.handle.ring().unwrap();
    peer.response("INVITE", 180).await;
    let cancel = invite
        .split("\r\n\r\n")
        .next()
        .unwrap()
        .replace("INVITE sip", "CANCEL sip")
        .replace("CSeq: 1 INVITE", "CSeq: 1 CANCEL");
    let cancel: Vec<&str> = cancel
        .split("\r\n")
        .filter(|line| !line.starts_with("Content-"))
        .collect();
    peer.send(&format!(
        "{}\r\nContent-Length: 0\r\n\r\n",
        cancel.join("\r\n")
    ))
    .await;
    peer.response("CANCEL", 200).await;
    peer.response("INVITE", 487).await;
    assert!(matches!(
        world.leg_event(&call.leg).await,
        SipLegEvent::Canceled { .. }
    ));
    assert!(call.handle.answer(SDP.to_owned()).is_err());
    assert_eq!(world.endpoint.leg_count(), 0);
}

#[tokio::test]
async fn a_call_can_be_refused() {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    peer.invite("nobody").await;
    let call = world.incoming().await;
    call.handle
        .reject(404, Some("no such\r\nuser".to_owned()))
        .unwrap();
    let refusal = peer.response("INVITE", 404).await;
    assert_eq!(
        refusal.header("Reason"),
        "SIP;cause=404;text=\"no suchuser\""
    );
    assert!(matches!(
        world.leg_event(&call.leg).await,
        SipLegEvent::Ended {
            by_remote: false,
            cause: HangupCause::Unreachable,
            ..
        }
    ));
}
