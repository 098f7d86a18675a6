//! 3xx answers to a dial.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::{Peer, SDP, World, config};
use switchhook_model::LegId;
use switchhook_sip::{DialFrom, DialTarget, SipLegEvent};

async fn redirected(world: &mut World, leg: &LegId) -> (u16, Vec<String>) {
    loop {
        match world.leg_event(leg).await {
            SipLegEvent::Redirected { status, uris } => return (status, uris),
            SipLegEvent::Trying => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn move_on(peer: &Peer, invite: &common::Message, contacts: &str) {
    let answer = peer
        .answer(invite, "302 Moved Temporarily", "", "")
        .replace(
            &format!("Contact: <sip:peer@{}>\r\n", peer.addr()),
            contacts,
        );
    peer.send(&answer).await;
    peer.request("ACK").await;
}

#[tokio::test]
async fn a_redirection_is_followed_after_its_record_is_stored() {
    let mut world = World::start().await;
    let (first, second) = (Peer::new(world.udp).await, Peer::new(world.udp).await);
    let leg = world
        .dial(DialTarget::Uri(format!("sip:bob@{}", first.addr())))
        .await;
    let invite = first.request("INVITE").await;
    let there = format!("sip:bob@{}", second.addr());
    move_on(
        &first,
        &invite,
        &format!("Contact: <sip:low@example.com>;q=0.1, <{there}>;q=0.9\r\n"),
    )
    .await;
    let (status, uris) = redirected(&mut world, &leg).await;
    assert_eq!(status, 302);
    assert_eq!(uris, [there.clone(), "sip:low@example.com".to_owned()]);
    world
        .endpoint
        .follow_redirect(&leg, DialTarget::Uri(there.clone()), DialFrom::default())
        .unwrap();
    let record = match world.leg_event(&leg).await {
        SipLegEvent::RedirectReady(record) => record,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (record.request_uri.as_str(), record.invite_cseq),
        (there.as_str(), 2)
    );
    world.endpoint.proceed(&leg).unwrap();
    let again = second.request("INVITE").await;
    assert_eq!(again.header("Call-ID"), invite.header("Call-ID"));
    assert_eq!(again.tag("From"), invite.tag("From"));
    assert_eq!(again.cseq(), 2);
    assert_ne!(again.branch(), invite.branch());
    assert_eq!(again.body(), invite.body());
    second.reply(&again, "200 OK", SDP).await;
    second.request("ACK").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Answered { .. }
    ));
}

#[tokio::test]
async fn circles_and_chains_end_with_the_truth() {
    let mut config = config();
    config.limits.max_redirects = 2;
    let mut world = World::with(config).await;
    let peer = Peer::new(world.udp).await;
    let uri = |n: u32| format!("sip:bob{n}@{}", peer.addr());
    // Back to itself.
    let leg = world.dial(DialTarget::Uri(uri(0))).await;
    let invite = peer.request("INVITE").await;
    move_on(&peer, &invite, &format!("Contact: <{}>\r\n", uri(0))).await;
    match world.leg_event(&leg).await {
        SipLegEvent::Failed {
            status: Some(302),
            reason,
            ..
        } => assert_eq!(reason, "redirected in a circle"),
        other => panic!("{other:?}"),
    }
    // Nowhere at all.
    let leg = world.dial(DialTarget::Uri(uri(0))).await;
    let invite = peer.request("INVITE").await;
    move_on(&peer, &invite, "").await;
    match world.leg_event(&leg).await {
        SipLegEvent::Failed { reason, .. } => {
            assert_eq!(reason, "redirected without saying where to")
        }
        other => panic!("{other:?}"),
    }
    // On and on.
    let leg = world.dial(DialTarget::Uri(uri(0))).await;
    for n in 1..=3 {
        let invite = peer.request("INVITE").await;
        move_on(&peer, &invite, &format!("Contact: <{}>\r\n", uri(n))).await;
        if n == 3 {
            break;
        }
        redirected(&mut world, &leg).await;
        let to = DialTarget::Uri(uri(n));
        world
            .endpoint
            .follow_redirect(&leg, to, DialFrom::default())
            .unwrap();
        assert!(matches!(
            world.leg_event(&leg).await,
            SipLegEvent::RedirectReady(_)
        ));
        world.endpoint.proceed(&leg).unwrap();
    }
    match world.leg_event(&leg).await {
        SipLegEvent::Failed { reason, .. } => assert_eq!(reason, "redirected more than 2 times"),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.endpoint.leg_count(), 0);
}

#[tokio::test]
async fn a_dial_can_be_refused_or_given_up_while_it_is_redirected() {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    for give_up in [false, true] {
        let leg = world
            .dial(DialTarget::Uri(format!("sip:bob@{}", peer.addr())))
            .await;
        let invite = peer.request("INVITE").await;
        move_on(
            &peer,
            &invite,
            "Contact: <sip:+12025550100@example.com>\r\n",
        )
        .await;
        redirected(&mut world, &leg).await;
        if give_up {
            world.endpoint.cancel(&leg).unwrap();
        } else {
            world
                .endpoint
                .refuse_redirect(&leg, "not allowed".to_owned())
                .unwrap();
        }
        match world.leg_event(&leg).await {
            SipLegEvent::Failed { status, reason, .. } if give_up => {
                assert_eq!(status, None);
                assert!(reason.contains("being redirected"));
            }
            SipLegEvent::Failed { status, reason, .. } => {
                assert_eq!((status, reason.as_str()), (Some(302), "not allowed"));
            }
            other => panic!("{other:?}"),
        }
        // Too late: nothing leaves.
        assert!(world.endpoint.proceed(&leg).is_err());
    }
}
