//! RFC 4028 and RFC 3311 in both roles: who refreshes, by what, and what happens when nobody does.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::{Message, Peer, SDP, World, config, dial_request, extension, leg_id};
use switchhook_model::LegId;
use switchhook_sip::{DialTarget, SessionTimerConfig, SipLegEvent, TrunkConfig, TrunkId};

async fn world(expires_s: u32, min_s: u32) -> World {
    let mut config = config();
    config.session_timer = Some(SessionTimerConfig { expires_s, min_s });
    World::with(config).await
}

/// An answered inbound call whose INVITE carried these headers.
async fn called(world: &mut World, more: &str) -> (Peer, LegId, Message) {
    let peer = Peer::new(world.udp).await;
    let uri = format!("sip:assistant@{}", world.udp);
    peer.send(&peer.compose("INVITE", &uri, 1, "", more, SDP))
        .await;
    let call = world.incoming().await;
    call.handle.answer(SDP.to_owned()).unwrap();
    let ok = peer.response("INVITE", 200).await;
    peer.send(&in_dialog(world, &peer, &ok, "ACK", 1, "", ""))
        .await;
    assert!(matches!(
        world.leg_event(&call.leg).await,
        SipLegEvent::Confirmed { .. }
    ));
    (peer, call.leg, ok)
}

fn in_dialog(
    world: &World,
    peer: &Peer,
    ok: &Message,
    method: &str,
    cseq: u32,
    more: &str,
    body: &str,
) -> String {
    let uri = format!("sip:assistant@{}", world.udp);
    peer.compose(method, &uri, cseq, ok.tag("To"), more, body)
}

/// An answered outbound call; the 200 carries these headers.
async fn calling(world: &mut World, more: &str) -> (Peer, LegId, Message) {
    let peer = Peer::new(world.udp).await;
    let target = DialTarget::Uri(format!("sip:bob@{}", peer.addr()));
    let leg = leg_id();
    world
        .endpoint
        .dial(dial_request(&leg, target))
        .await
        .unwrap();
    let invite = peer.request("INVITE").await;
    peer.send(&peer.answer(&invite, "200 OK", more, SDP)).await;
    peer.request("ACK").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Answered { .. }
    ));
    (peer, leg, invite)
}

#[tokio::test]
async fn we_refresh_by_update_what_the_callee_leaves_to_us() {
    let mut world = world(2, 1).await;
    let more = "Session-Expires: 2;refresher=uac\r\nRequire: timer\r\nAllow: INVITE, UPDATE\r\n";
    let (peer, leg, invite) = calling(&mut world, more).await;
    assert_eq!(invite.header("Session-Expires"), "2");
    assert_eq!(invite.header("Min-SE"), "1");
    assert!(invite.header("Supported").contains("timer"));
    assert!(invite.header("Allow").contains("UPDATE"));
    let mut last = 0;
    for _ in 0..2 {
        let update = peer.request("UPDATE").await;
        assert!(update.cseq() > last);
        last = update.cseq();
        assert_eq!(update.header("Session-Expires"), "2;refresher=uac");
        assert_eq!(update.body(), "");
        assert_eq!(update.tag("To"), peer.tag);
        let ok = peer.answer(
            &update,
            "200 OK",
            "Session-Expires: 2;refresher=uac\r\n",
            "",
        );
        peer.send(&ok).await;
    }
    assert_eq!(world.endpoint.leg_count(), 1);
    // From now on it is silent: after the retransmissions the call is given up.
    match world.leg_event(&leg).await {
        SipLegEvent::Ended {
            by_remote, reason, ..
        } => {
            assert!(!by_remote);
            assert!(!reason.is_empty());
        }
        other => panic!("{other:?}"),
    }
    let bye = peer.request("BYE").await;
    assert!(bye.header("Reason").starts_with("SIP;cause=408;text="));
}

#[tokio::test]
async fn without_update_a_reinvite_refreshes_and_nobody_is_told() {
    let mut world = world(12, 1).await;
    let more = "Session-Expires: 12;refresher=uac\r\nAllow: INVITE, ACK, BYE\r\n";
    let (peer, leg, invite) = calling(&mut world, more).await;
    let refresh = peer.request("INVITE").await;
    assert_eq!(refresh.body(), invite.body(), "the same description");
    assert_eq!(refresh.header("Session-Expires"), "12;refresher=uac");
    // Refused for now: it is tried again before the session expires. The interval is long enough for a
    // slow machine: between a try and the end lies a twelfth of it.
    peer.reply(&refresh, "491 Request Pending", "").await;
    peer.request("ACK").await;
    let refresh = peer.request("INVITE").await;
    let ok = peer.answer(
        &refresh,
        "200 OK",
        "Session-Expires: 12;refresher=uas\r\n",
        SDP,
    );
    peer.send(&ok).await;
    peer.request("ACK").await;
    // Now it is the other side's turn; it does nothing, and the call ends with a cause.
    let bye = peer.request("BYE").await;
    assert!(bye.header("Reason").contains("Session timer expired"));
    peer.reply(&bye, "200 OK", "").await;
    match world.leg_event(&leg).await {
        SipLegEvent::Ended { reason, .. } => assert_eq!(reason, "Session timer expired"),
        other => panic!("only the end is told: {other:?}"),
    }
}

#[tokio::test]
async fn the_caller_refreshes_by_update_or_the_call_ends() {
    let mut world = world(1_800, 1).await;
    let more = "Supported: timer\r\nSession-Expires: 2\r\n";
    let (peer, leg, ok) = called(&mut world, more).await;
    assert_eq!(ok.header("Session-Expires"), "2;refresher=uac");
    assert_eq!(ok.header("Require"), "timer");
    assert!(ok.header("Supported").contains("timer"));
    for cseq in [2, 3] {
        let more = "Supported: timer\r\nSession-Expires: 2;refresher=uac\r\n";
        let update = in_dialog(&world, &peer, &ok, "UPDATE", cseq, more, "");
        peer.send(&update).await;
        let answer = peer.response("UPDATE", 200).await;
        assert_eq!(answer.header("Session-Expires"), "2;refresher=uac");
        assert!(answer.header("Contact").contains(&world.udp.to_string()));
        assert_eq!(answer.body(), "");
    }
    let bye = peer.request("BYE").await;
    assert!(bye.header("Reason").contains("Session timer expired"));
    peer.reply(&bye, "200 OK", "").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ended {
            by_remote: false,
            ..
        }
    ));
}

#[tokio::test]
async fn we_refresh_for_a_caller_that_cannot() {
    let mut world = world(1_800, 1).await;
    // A proxy asked; the caller knows nothing of timers and takes no UPDATE.
    let (peer, _leg, ok) = called(&mut world, "Session-Expires: 2\r\n").await;
    assert_eq!(ok.header("Session-Expires"), "2;refresher=uas");
    assert_eq!(ok.header("Require"), "");
    let refresh = peer.request("INVITE").await;
    assert_eq!(refresh.body(), SDP);
    assert_eq!(refresh.header("Session-Expires"), "2;refresher=uac");
    // 481: it has lost the call.
    peer.reply(&refresh, "481 Call/Transaction Does Not Exist", "")
        .await;
    peer.request("ACK").await;
    peer.request("BYE").await;
}

async fn trunk_world() -> (World, Peer) {
    let peer = Peer::new("127.0.0.1:9".parse().unwrap()).await;
    let mut settings = config();
    let mut trunk = TrunkConfig::new("carrier");
    trunk.termination = Some(peer.addr().to_string());
    settings.trunks.push(trunk);
    let world = World::with(settings).await;
    let peer = Peer {
        to: world.udp,
        ..peer
    };
    (world, peer)
}

#[tokio::test]
async fn too_brief_both_ways() {
    let mut world = world(1_800, 90).await;
    let peer = Peer::new(world.udp).await;
    let uri = format!("sip:assistant@{}", world.udp);
    let more = "Supported: timer\r\nSession-Expires: 30\r\n";
    peer.send(&peer.compose("INVITE", &uri, 1, "", more, SDP))
        .await;
    let refusal = peer.response("INVITE", 422).await;
    assert_eq!(refusal.header("Min-SE"), "90");
    assert_eq!(world.endpoint.leg_count(), 0);
    // In a dialog it changes nothing.
    let (peer, _leg, ok) = called(&mut world, "").await;
    assert_eq!(ok.header("Session-Expires"), "");
    for (cseq, method, body) in [(2, "UPDATE", ""), (3, "INVITE", SDP)] {
        let request = in_dialog(&world, &peer, &ok, method, cseq, more, body);
        peer.send(&request).await;
        let refusal = peer.response(method, 422).await;
        assert_eq!(refusal.header("Min-SE"), "90");
    }
    assert_eq!(world.endpoint.leg_count(), 1);
    // The other way round: we ask again for what is wanted, but not for ever.
    let (mut world, peer) = trunk_world().await;
    let target = DialTarget::Trunk {
        trunk: TrunkId::new("carrier"),
        number: "+12025550100".to_owned(),
    };
    let leg = world.dial(target).await;
    let mut invite = peer.request("INVITE").await;
    for wanted in ["3600", "3601", "3602", "3603"] {
        let brief = format!("Min-SE: {wanted}\r\n");
        peer.send(&peer.answer(&invite, "422 Session Interval Too Small", &brief, ""))
            .await;
        let before = invite.cseq();
        invite = loop {
            let again = peer.request("INVITE").await;
            if again.cseq() > before {
                break again;
            }
        };
        assert_eq!(invite.header("Min-SE"), wanted);
        assert_eq!(invite.header("Session-Expires"), wanted);
    }
    let brief = "Min-SE: 3700\r\n";
    peer.send(&peer.answer(&invite, "422 Session Interval Too Small", brief, ""))
        .await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Failed {
            status: Some(422),
            ..
        }
    ));
}

#[tokio::test]
async fn phones_and_addresses_may_want_longer_intervals_too() {
    let mut world = world(1_800, 90).await;
    let phone = Peer::new(world.udp).await;
    phone.register("2001", 600).await;
    world.event().await;
    for target in [
        DialTarget::Extension(extension("2001")),
        DialTarget::Uri(format!("sip:bob@{}", phone.addr())),
    ] {
        let leg = world.dial(target).await;
        assert!(world.records[&leg].may_retry);
        let ours = world.records[&leg].sip_call_id.clone();
        let next = async |after| loop {
            let invite = phone.request("INVITE").await;
            if invite.header("Call-ID") == ours && invite.cseq() > after {
                break invite;
            }
        };
        let invite = next(0).await;
        let brief = "Min-SE: 3600\r\n";
        phone
            .send(&phone.answer(&invite, "422 Session Interval Too Small", brief, ""))
            .await;
        let again = next(1).await;
        assert_eq!(again.header("Min-SE"), "3600");
        assert_eq!(again.header("Session-Expires"), "3600");
        phone.reply(&again, "486 Busy Here", "").await;
        assert!(matches!(
            world.leg_event(&leg).await,
            SipLegEvent::Failed {
                status: Some(486),
                ..
            }
        ));
    }
}

#[tokio::test]
async fn an_update_with_an_offer_is_decided_like_a_reinvite() {
    let mut world = world(1_800, 90).await;
    let (peer, leg, ok) = called(&mut world, "Allow: UPDATE\r\n").await;
    peer.send(&in_dialog(&world, &peer, &ok, "UPDATE", 2, "", SDP))
        .await;
    let responder = match world.leg_event(&leg).await {
        SipLegEvent::ReInvite { sdp, responder } => {
            assert_eq!(sdp.as_deref(), Some(SDP));
            responder
        }
        other => panic!("{other:?}"),
    };
    // While it waits, another offer is too early, in whichever request it comes.
    peer.send(&in_dialog(&world, &peer, &ok, "UPDATE", 3, "", SDP))
        .await;
    let busy = peer.response("UPDATE", 500).await;
    let seconds: u32 = busy.header("Retry-After").parse().unwrap();
    assert!(seconds <= 10);
    peer.send(&in_dialog(&world, &peer, &ok, "INVITE", 4, "", SDP))
        .await;
    assert!(
        !peer
            .response("INVITE", 500)
            .await
            .header("Retry-After")
            .is_empty()
    );
    responder.answer(SDP.to_owned());
    let answer = peer.response("UPDATE", 200).await;
    assert_eq!((answer.cseq(), answer.body()), (2, SDP));
    // Undecided is refused.
    peer.send(&in_dialog(&world, &peer, &ok, "UPDATE", 5, "", SDP))
        .await;
    match world.leg_event(&leg).await {
        SipLegEvent::ReInvite { responder, .. } => drop(responder),
        other => panic!("{other:?}"),
    }
    peer.response("UPDATE", 488).await;
    // Ours is out: theirs meets it (491).
    world.endpoint.reinvite(&leg, SDP.to_owned()).unwrap();
    peer.request("INVITE").await;
    peer.send(&in_dialog(&world, &peer, &ok, "UPDATE", 6, "", SDP))
        .await;
    peer.response("UPDATE", 491).await;
    // Without an offer it is welcome all the same, and moves the other side.
    let moved = in_dialog(&world, &peer, &ok, "UPDATE", 7, "", "");
    peer.send(&moved.replace("Contact: <sip:caller@", "Contact: <sip:moved@"))
        .await;
    peer.response("UPDATE", 200).await;
    // What is no description is refused.
    let text = in_dialog(&world, &peer, &ok, "UPDATE", 8, "", SDP);
    peer.send(&text.replace("application/sdp", "text/plain"))
        .await;
    peer.response("UPDATE", 415).await;
    peer.send(&in_dialog(&world, &peer, &ok, "BYE", 9, "", ""))
        .await;
    peer.response("BYE", 200).await;
}

#[tokio::test]
async fn switched_off_nothing_is_offered_or_answered() {
    let mut config = config();
    config.session_timer = None;
    let mut world = World::with(config).await;
    let more = "Supported: timer\r\nSession-Expires: 90\r\n";
    let (_peer, _leg, ok) = called(&mut world, more).await;
    assert_eq!(ok.header("Session-Expires"), "");
    let peer = Peer::new(world.udp).await;
    let uri = format!("sip:assistant@{}", world.udp);
    peer.send(&peer.compose("INVITE", &uri, 1, "", "Require: timer\r\n", SDP))
        .await;
    assert_eq!(
        peer.response("INVITE", 420).await.header("Unsupported"),
        "timer"
    );
    let (_peer, _leg, invite) = calling(&mut world, "").await;
    assert_eq!(invite.header("Session-Expires"), "");
    assert!(!invite.header("Supported").contains("timer"));
}
