//! Is the trunk there? OPTIONS against a peer that answers, refuses, falls silent and returns.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::time::Duration;

use common::{DEADLINE, Peer, World, config, dial_request, leg_id};
use switchhook_model::HangupCause;
use switchhook_sip::{
    DialError, DialTarget, Reachability, SipEvent, SipTransport, TrunkConfig, TrunkId, TrunkStatus,
};

async fn scene(setting: impl FnOnce(&mut TrunkConfig)) -> (World, Peer) {
    let mut config = config();
    let mut peer = Peer::new("127.0.0.1:9".parse().unwrap()).await;
    let mut trunk = TrunkConfig::new("carrier");
    trunk.termination = Some(peer.addr().to_string());
    trunk.qualify_every = Some(Duration::from_millis(100));
    setting(&mut trunk);
    config.timers.qualify_timeout = Duration::from_millis(300);
    config.trunks.push(trunk);
    let world = World::with(config).await;
    peer.to = world.udp;
    (world, peer)
}

/// The next change; the peer answers each OPTIONS with `status` meanwhile, or is silent.
async fn change(world: &mut World, peer: &Peer, status: Option<&str>) -> TrunkStatus {
    let answer = async {
        loop {
            let options = peer.request("OPTIONS").await;
            if let Some(status) = status {
                peer.reply(&options, status, "").await;
            }
        }
    };
    tokio::select! {
        event = world.event() => match event {
            SipEvent::TrunkChanged(status) => *status,
            other => panic!("{other:?}"),
        },
        () = answer => unreachable!("it goes on for ever"),
    }
}

#[tokio::test]
async fn up_down_and_up_again() {
    let (mut world, peer) = scene(|_| {}).await;
    assert_eq!(
        world.endpoint.trunks()[0].reachability,
        Reachability::Unknown
    );
    let up = change(&mut world, &peer, Some("200 OK")).await;
    assert_eq!(up.trunk, TrunkId::new("carrier"));
    assert_eq!(up.reachability, Reachability::Up);
    assert!(up.rtt_ms.is_some() && up.checked_at.is_some() && up.last_error.is_none());
    let down = change(&mut world, &peer, None).await;
    assert_eq!(down.reachability, Reachability::Down);
    let error = down.last_error.unwrap();
    assert!(error.contains(&peer.addr().to_string()), "{error}");
    assert!(down.since >= up.since);
    // Whoever refuses OPTIONS is there; 503 says that it is not.
    let up = change(&mut world, &peer, Some("405 Method Not Allowed")).await;
    assert_eq!(up.reachability, Reachability::Up);
    let down = change(&mut world, &peer, Some("503 Service Unavailable")).await;
    assert_eq!(down.reachability, Reachability::Down);
    assert!(down.last_error.unwrap().contains("503 Service Unavailable"));
    assert_eq!(world.endpoint.trunks()[0].reachability, Reachability::Down);
}

#[tokio::test]
async fn the_request_is_a_plain_options() {
    let (_world, peer) = scene(|trunk| {
        trunk.from_user = Some("acct".to_owned());
        trunk.from_domain = Some("us.example.com".to_owned());
    })
    .await;
    let first = peer.request("OPTIONS").await;
    let uri = format!("OPTIONS sip:{} SIP/2.0", peer.addr());
    assert_eq!(first.start_line(), uri);
    assert!(
        first
            .header("From")
            .starts_with("<sip:acct@us.example.com>;tag=")
    );
    assert_eq!(first.header("Max-Forwards"), "70");
    peer.reply(&first, "200 OK", "").await;
    let second = peer.request("OPTIONS").await;
    assert_ne!(first.header("Call-ID"), second.header("Call-ID"));
    assert_ne!(first.branch(), second.branch());
}

#[tokio::test]
async fn a_connection_that_cannot_be_opened_says_so() {
    // Nobody listens there for TCP.
    let (mut world, peer) = scene(|trunk| trunk.transport = SipTransport::Tcp).await;
    let down = change(&mut world, &peer, None).await;
    let error = down.last_error.unwrap();
    assert!(error.contains("TCP connection"), "{error}");
}

#[tokio::test]
async fn a_trunk_that_is_down_is_tried_unless_told_otherwise() {
    for skip in [false, true] {
        let (mut world, peer) = scene(|trunk| trunk.skip_when_down = skip).await;
        let down = change(&mut world, &peer, None).await;
        assert_eq!(down.reachability, Reachability::Down);
        let target = DialTarget::Trunk {
            trunk: TrunkId::new("carrier"),
            number: "+12025550100".to_owned(),
        };
        let dialled = world.endpoint.dial(dial_request(&leg_id(), target)).await;
        if !skip {
            dialled.unwrap();
            tokio::time::timeout(DEADLINE, peer.request("INVITE"))
                .await
                .expect("it is tried");
            continue;
        }
        let error = dialled.unwrap_err();
        assert_eq!(error.cause(), HangupCause::Unreachable);
        match error {
            DialError::TrunkDown { cause, .. } => assert!(cause.contains("no answer"), "{cause}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(world.endpoint.leg_count(), 0);
    }
}
