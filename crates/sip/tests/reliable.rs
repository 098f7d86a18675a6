//! RFC 3262 in both roles: provisional responses that must arrive, in order and once.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::{Message, Peer, SDP, World, config};
use switchhook_model::{HangupCause, LegId};
use switchhook_sip::{DialTarget, SipLegEvent};

const OTHER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                     m=audio 40002 RTP/AVP 0\r\n";

/// A caller whose INVITE carries these headers.
async fn called(more: &str, offer: &str) -> (World, Peer, switchhook_sip::IncomingCall) {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    let uri = format!("sip:assistant@{}", world.udp);
    peer.send(&peer.compose("INVITE", &uri, 1, "", more, offer))
        .await;
    let call = world.incoming().await;
    (world, peer, call)
}

/// The next response of that status that was not seen before.
async fn provisional(peer: &Peer, status: u16, after: u32) -> Message {
    loop {
        let message = peer.recv().await;
        let rseq = message.header("RSeq").parse().unwrap_or(0);
        if message.status() == Some(status) && (rseq > after || after == 0) {
            return message;
        }
    }
}

fn prack(peer: &Peer, response: &Message, cseq: u32, body: &str) -> String {
    let rack = format!("RAck: {} 1 INVITE\r\n", response.header("RSeq"));
    let uri = format!("sip:assistant@{}", peer.to);
    peer.compose("PRACK", &uri, cseq, response.tag("To"), &rack, body)
}

fn rseq(message: &Message) -> u32 {
    message.header("RSeq").parse().unwrap()
}

#[tokio::test]
async fn required_ones_come_again_until_acknowledged_and_in_order() {
    let (mut world, peer, call) = called("Require: 100rel\r\n", SDP).await;
    call.handle.ring().unwrap();
    call.handle.progress(SDP.to_owned()).unwrap();
    call.handle.answer(SDP.to_owned()).unwrap();
    let ringing = provisional(&peer, 180, 0).await;
    assert_eq!(ringing.header("Require"), "100rel");
    assert!(ringing.header("Contact").contains(&world.udp.to_string()));
    // Nothing else comes but the same again.
    let again = peer.recv().await;
    assert_eq!(again.text, ringing.text);
    // A PRACK for something else is for nobody.
    let wrong = prack(&peer, &ringing, 2, "").replace("RAck: ", "RAck: 1");
    peer.send(&wrong).await;
    let refused = loop {
        let message = peer.recv().await;
        if message.header("CSeq").ends_with("PRACK") {
            break message;
        }
    };
    assert_eq!(refused.status(), Some(481));
    peer.send(&prack(&peer, &ringing, 3, "")).await;
    let early = provisional(&peer, 183, 0).await;
    assert_eq!((early.body(), rseq(&early)), (SDP, rseq(&ringing) + 1));
    // The 200 waits for the PRACK, since the 183 carries the answer (RFC 3262 §3).
    let again = peer.recv().await;
    assert_eq!(again.status(), Some(183));
    peer.send(&prack(&peer, &early, 4, "")).await;
    let ok = peer.response("INVITE", 200).await;
    assert_eq!(ok.body(), "", "the answer was given (RFC 3261 §13.2.1)");
    assert_eq!(ok.tag("To"), early.tag("To"));
    let uri = format!("sip:assistant@{}", world.udp);
    peer.send(&peer.compose("ACK", &uri, 1, ok.tag("To"), "", ""))
        .await;
    assert!(matches!(
        world.leg_event(&call.leg).await,
        SipLegEvent::Confirmed { sdp: None }
    ));
}

#[tokio::test]
async fn supported_ones_are_reliable_with_early_media_only() {
    let (mut world, peer, call) = called("Supported: 100rel\r\n", SDP).await;
    call.handle.ring().unwrap();
    let ringing = peer.recv().await;
    let ringing = if ringing.status() == Some(100) {
        peer.recv().await
    } else {
        ringing
    };
    assert_eq!((ringing.status(), ringing.header("RSeq")), (Some(180), ""));
    call.handle.progress(SDP.to_owned()).unwrap();
    let early = provisional(&peer, 183, 0).await;
    assert_eq!(early.header("Require"), "100rel");
    // Before the answer is acknowledged an UPDATE may not offer (RFC 3311 §5.2).
    let uri = format!("sip:assistant@{}", world.udp);
    let offer = |cseq| peer.compose("UPDATE", &uri, cseq, early.tag("To"), "", OTHER);
    peer.send(&offer(2)).await;
    assert_eq!(answer_to(&peer, "UPDATE").await.status(), Some(500));
    peer.send(&prack(&peer, &early, 3, "")).await;
    assert_eq!(answer_to(&peer, "PRACK").await.status(), Some(200));
    // Afterwards it may.
    peer.send(&offer(4)).await;
    match world.leg_event(&call.leg).await {
        SipLegEvent::ReInvite { sdp, responder } => {
            assert_eq!(sdp.as_deref(), Some(OTHER));
            responder.answer(SDP.to_owned());
        }
        other => panic!("{other:?}"),
    }
    let answer = answer_to(&peer, "UPDATE").await;
    assert_eq!((answer.status(), answer.body()), (Some(200), SDP));
    // Giving up needs no PRACK.
    peer.send(
        &peer
            .compose("CANCEL", &uri, 1, "", "", "")
            .replace("1CANCEL", "1INVITE"),
    )
    .await;
    assert!(matches!(
        world.leg_event(&call.leg).await,
        SipLegEvent::Canceled { .. }
    ));
}

async fn answer_to(peer: &Peer, method: &str) -> Message {
    loop {
        let message = peer.recv().await;
        if message.status().is_some() && message.header("CSeq").ends_with(method) {
            return message;
        }
    }
}

#[tokio::test]
async fn nobody_acknowledges() {
    let (mut world, peer, call) = called("Require: 100rel\r\n", SDP).await;
    call.handle.progress(SDP.to_owned()).unwrap();
    call.handle.answer(SDP.to_owned()).unwrap();
    // 64 T1 later the call is refused (RFC 3262 §3).
    let refusal = loop {
        let message = peer.recv().await;
        if message.status().is_some_and(|status| status >= 200) {
            break message;
        }
    };
    assert_eq!(refusal.status(), Some(504));
    assert!(matches!(
        world.leg_event(&call.leg).await,
        SipLegEvent::Ended {
            by_remote: false,
            cause: HangupCause::Failed,
            ..
        }
    ));
}

#[tokio::test]
async fn without_an_offer_we_offer_in_the_183_and_the_prack_answers() {
    let (mut world, peer, call) = called("Require: 100rel\r\n", "").await;
    // A 180 could not offer, so there is none.
    call.handle.ring().unwrap();
    call.handle.progress(SDP.to_owned()).unwrap();
    let early = provisional(&peer, 183, 0).await;
    assert_eq!(early.body(), SDP);
    peer.send(&prack(&peer, &early, 2, OTHER)).await;
    call.handle.answer(SDP.to_owned()).unwrap();
    let ok = peer.response("INVITE", 200).await;
    let uri = format!("sip:assistant@{}", world.udp);
    peer.send(&peer.compose("ACK", &uri, 1, ok.tag("To"), "", ""))
        .await;
    match world.leg_event(&call.leg).await {
        SipLegEvent::Confirmed { sdp } => assert_eq!(sdp.as_deref(), Some(OTHER)),
        other => panic!("{other:?}"),
    }
}

/// A callee and our INVITE to it.
async fn calling() -> (World, Peer, LegId, Message) {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    let target = DialTarget::Uri(format!("sip:bob@{}", peer.addr()));
    let leg = world.dial(target).await;
    let invite = peer.request("INVITE").await;
    assert!(invite.header("Supported").contains("100rel"));
    (world, peer, leg, invite)
}

fn reliable(
    peer: &Peer,
    invite: &Message,
    status: &str,
    rseq: u32,
    more: &str,
    sdp: &str,
) -> String {
    let more = format!("Require: 100rel\r\nRSeq: {rseq}\r\n{more}");
    peer.answer(invite, status, &more, sdp)
}

#[tokio::test]
async fn we_acknowledge_each_once_in_order_along_its_route() {
    let (mut world, peer, leg, invite) = calling().await;
    let route = format!("Record-Route: <sip:{};lr;x=1>\r\n", peer.addr());
    let progress = reliable(&peer, &invite, "183 Session Progress", 100, &route, SDP);
    peer.send(&progress).await;
    let first = peer.request("PRACK").await;
    assert_eq!(first.header("RAck"), "100 1 INVITE");
    assert_eq!(
        first.header("Route"),
        format!("<sip:{};lr;x=1>", peer.addr())
    );
    assert!(
        first
            .start_line()
            .starts_with(&format!("PRACK sip:peer@{}", peer.addr()))
    );
    assert_eq!(first.tag("To"), peer.tag);
    assert!(first.cseq() > invite.cseq());
    peer.reply(&first, "200 OK", "").await;
    match world.leg_event(&leg).await {
        SipLegEvent::Ringing {
            status, early_sdp, ..
        } => {
            assert_eq!((status, early_sdp.as_deref()), (183, Some(SDP)));
        }
        other => panic!("{other:?}"),
    }
    // The same again, one from the future, one from the past: nothing happens. Then the next.
    peer.send(&progress).await;
    for rseq in [105, 99] {
        let ringing = reliable(&peer, &invite, "180 Ringing", rseq, &route, "");
        peer.send(&ringing).await;
    }
    peer.send(&reliable(&peer, &invite, "180 Ringing", 101, &route, ""))
        .await;
    let second = peer.request("PRACK").await;
    assert_eq!(second.header("RAck"), "101 1 INVITE");
    assert!(second.cseq() > first.cseq());
    peer.reply(&second, "200 OK", "").await;
    match world.leg_event(&leg).await {
        SipLegEvent::Ringing {
            status, early_sdp, ..
        } => assert_eq!((status, early_sdp), (180, None)),
        other => panic!("one event for each: {other:?}"),
    }
    // The callee changes its mind before the answer (RFC 3311 §5.1).
    let update = format!(
        "UPDATE sip:bob@{} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKupd;rport\r\n\
         Max-Forwards: 70\r\nFrom: {};tag={}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 7 UPDATE\r\n\
         Contact: <sip:peer@{}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{OTHER}",
        world.udp,
        peer.addr(),
        invite.header("To"),
        peer.tag,
        invite.header("From"),
        invite.header("Call-ID"),
        peer.addr(),
        OTHER.len(),
    );
    peer.send(&update).await;
    match world.leg_event(&leg).await {
        SipLegEvent::ReInvite { sdp, responder } => {
            assert_eq!(sdp.as_deref(), Some(OTHER));
            responder.answer(SDP.to_owned());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(peer.response("UPDATE", 200).await.body(), SDP);
    // The 200 says nothing of the media: the answer of the 183 holds.
    peer.send(&peer.answer(&invite, "200 OK", "", "")).await;
    peer.request("ACK").await;
    match world.leg_event(&leg).await {
        SipLegEvent::Answered { sdp } => assert_eq!(sdp.as_deref(), Some(SDP)),
        other => panic!("{other:?}"),
    }
    world.endpoint.hangup(&leg, HangupCause::Normal).unwrap();
    assert!(peer.request("BYE").await.cseq() > second.cseq());
}

#[tokio::test]
async fn an_offer_before_ours_is_answered_gets_491() {
    let (mut world, peer, leg, invite) = calling().await;
    peer.reply(&invite, "180 Ringing", "").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ringing { status: 180, .. }
    ));
    let update = format!(
        "UPDATE sip:bob@{} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKu2;rport\r\n\
         From: {};tag={}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 7 UPDATE\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{OTHER}",
        world.udp,
        peer.addr(),
        invite.header("To"),
        peer.tag,
        invite.header("From"),
        invite.header("Call-ID"),
        OTHER.len(),
    );
    peer.send(&update).await;
    peer.response("UPDATE", 491).await;
}

#[tokio::test]
async fn switched_off_it_is_neither_offered_nor_used() {
    let mut settings = config();
    settings.reliable_provisionals = false;
    let mut world = World::with(settings).await;
    let peer = Peer::new(world.udp).await;
    let uri = format!("sip:assistant@{}", world.udp);
    peer.send(&peer.compose("INVITE", &uri, 1, "", "Require: 100rel\r\n", SDP))
        .await;
    assert_eq!(
        peer.response("INVITE", 420).await.header("Unsupported"),
        "100rel"
    );
    let target = DialTarget::Uri(format!("sip:bob@{}", peer.addr()));
    world.dial(target).await;
    let invite = peer.request("INVITE").await;
    assert!(!invite.header("Supported").contains("100rel"));
}
