//! The simple path both ways, over UDP, against a peer that is a raw socket.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::{Peer, SDP, World};
use switchhook_model::HangupCause;
use switchhook_sip::{DialTarget, DialogState, SipLegEvent, Source, WireDirection};

#[tokio::test]
async fn inbound_call_is_answered_and_ended_by_the_caller() {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    peer.invite("assistant").await;
    let call = world.incoming().await;
    assert_eq!(call.to_user, "assistant");
    assert_eq!(call.source, Source::Guest);
    assert_eq!(call.from.number, "caller");
    assert_eq!(call.from.display_name.as_deref(), Some("Caller"));
    assert_eq!(call.sdp_offer.as_deref(), Some(SDP));
    assert_eq!(call.record.state, DialogState::Pending);

    call.handle.ring().unwrap();
    let ringing = peer.response("INVITE", 180).await;
    call.handle.answer(SDP.to_owned()).unwrap();
    let ok = peer.response("INVITE", 200).await;
    assert_eq!(ok.body(), SDP);
    assert_eq!(ringing.tag("To"), ok.tag("To"));
    assert!(ok.header("Contact").contains(&world.udp.to_string()));
    let uri = format!("sip:assistant@{}", world.udp);
    peer.send(&peer.compose("ACK", &uri, 1, ok.tag("To"), "", ""))
        .await;
    assert!(matches!(
        world.leg_event(&call.leg).await,
        SipLegEvent::Confirmed { sdp: None }
    ));
    assert_eq!(world.records[&call.leg].state, DialogState::Established);

    peer.send(&peer.compose("BYE", &uri, 2, ok.tag("To"), "", ""))
        .await;
    peer.response("BYE", 200).await;
    assert!(matches!(
        world.leg_event(&call.leg).await,
        SipLegEvent::Ended {
            by_remote: true,
            cause: HangupCause::Normal,
            ..
        }
    ));
    assert_eq!(world.records[&call.leg].state, DialogState::Ended);
    // Every message is in the ladder and belongs to the leg.
    let of_leg = |w: &&switchhook_sip::WireMessage| w.leg.as_ref() == Some(&call.leg);
    let lines: Vec<String> = world
        .wire
        .iter()
        .filter(of_leg)
        .map(|w| {
            let arrow = match w.direction {
                WireDirection::Received => "<-",
                WireDirection::Sent => "->",
            };
            let what = w.method.clone().or(w.status.map(|s| s.to_string()));
            format!("{arrow} {}", what.unwrap())
        })
        .collect();
    assert_eq!(
        lines,
        [
            "<- INVITE",
            "-> 100",
            "-> 180",
            "-> 200",
            "<- ACK",
            "<- BYE",
            "-> 200"
        ]
    );
    assert_eq!(world.endpoint.leg_count(), 0);
}

#[tokio::test]
async fn inbound_call_is_ended_by_us() {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    peer.invite("assistant").await;
    let call = world.incoming().await;
    call.handle.answer(SDP.to_owned()).unwrap();
    let ok = peer.response("INVITE", 200).await;
    let uri = format!("sip:assistant@{}", world.udp);
    peer.send(&peer.compose("ACK", &uri, 1, ok.tag("To"), "", ""))
        .await;
    world.leg_event(&call.leg).await;
    world
        .endpoint
        .hangup(&call.leg, HangupCause::Normal)
        .unwrap();
    let bye = peer.request("BYE").await;
    assert_eq!(bye.tag("From"), ok.tag("To"));
    assert_eq!(bye.tag("To"), peer.tag);
    assert!(
        bye.start_line()
            .starts_with(&format!("BYE sip:caller@{} ", peer.addr()))
    );
    peer.reply(&bye, "200 OK", "").await;
    assert!(matches!(
        world.leg_event(&call.leg).await,
        SipLegEvent::Ended {
            by_remote: false,
            cause: HangupCause::Normal,
            ..
        }
    ));
    assert!(
        world
            .endpoint
            .hangup(&call.leg, HangupCause::Normal)
            .is_err()
    );
}

#[tokio::test]
async fn outbound_call_rings_answers_and_ends() {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    let leg = world
        .dial(DialTarget::Uri(format!("sip:bob@{}", peer.addr())))
        .await;
    let invite = peer.request("INVITE").await;
    assert_eq!(invite.body(), SDP);
    let record = world.records[&leg].clone();
    assert_eq!(invite.header("Call-ID"), record.sip_call_id);
    assert_eq!(invite.tag("From"), record.local_tag);
    assert!(invite.branch().starts_with(&record.branch_base));
    peer.reply(&invite, "100 Trying", "").await;
    assert!(matches!(world.leg_event(&leg).await, SipLegEvent::Trying));
    peer.reply(&invite, "180 Ringing", "").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ringing {
            status: 180,
            early_sdp: None,
            is_forked: false,
        }
    ));
    peer.reply(&invite, "200 OK", SDP).await;
    let ack = peer.request("ACK").await;
    assert_eq!(ack.cseq(), invite.cseq());
    assert_ne!(ack.branch(), invite.branch());
    match world.leg_event(&leg).await {
        SipLegEvent::Answered { sdp } => assert_eq!(sdp.as_deref(), Some(SDP)),
        other => panic!("{other:?}"),
    }
    // A 2xx that comes again gets the same ACK again (RFC 3261 §13.2.2.4).
    peer.reply(&invite, "200 OK", SDP).await;
    assert_eq!(peer.request("ACK").await.text, ack.text);

    let bye = peer.compose(
        "BYE",
        &format!("sip:assistant@{}", world.udp),
        7,
        "",
        "",
        "",
    );
    let bye = bye
        .replace(
            &format!("Call-ID: {}", peer.call_id),
            &format!("Call-ID: {}", record.sip_call_id),
        )
        .replace(
            "To: <",
            &format!("To: <sip:x@y>;tag={}\r\nX-Was: <", record.local_tag),
        );
    peer.send(&bye).await;
    peer.response("BYE", 200).await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ended {
            by_remote: true,
            ..
        }
    ));
}
