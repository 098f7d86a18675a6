//! 3xx answers to a dial.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::{Message, Peer, SDP, World, config, dial_request, leg_id};
use switchhook_model::LegId;
use switchhook_sip::{DialFrom, DialTarget, SipLegEvent, TrunkConfig, TrunkId};

async fn redirected(world: &mut World, leg: &LegId) -> (u16, Vec<String>) {
    loop {
        match world.leg_event(leg).await {
            SipLegEvent::Redirected { status, uris } => return (status, uris),
            SipLegEvent::Trying => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn move_on(peer: &Peer, invite: &Message, contacts: &str) {
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

fn number() -> DialTarget {
    DialTarget::Trunk {
        trunk: TrunkId::new("carrier"),
        number: "+12025550100".to_owned(),
    }
}

/// Dials `first`, is sent on to `second` and follows: both INVITEs.
async fn followed(
    world: &mut World,
    [first, second]: [(&Peer, DialTarget); 2],
    from: [DialFrom; 2],
) -> [Message; 2] {
    let leg = leg_id();
    let [before, after] = from;
    let mut request = dial_request(&leg, first.1);
    request.from = before;
    request.headers = vec![("X-Kept".to_owned(), "yes".to_owned())];
    let record = world.endpoint.dial(request).await.unwrap();
    // Not one of a dial before that was sent twice.
    let next = async |peer: &Peer| loop {
        let invite = peer.request("INVITE").await;
        if invite.header("Call-ID") == record.sip_call_id {
            break invite;
        }
    };
    let invite = next(first.0).await;
    move_on(first.0, &invite, "Contact: <sip:there@example.com>\r\n").await;
    redirected(world, &leg).await;
    world
        .endpoint
        .follow_redirect(&leg, second.1, after)
        .unwrap();
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::RedirectReady(_)
    ));
    world.endpoint.proceed(&leg).unwrap();
    let again = next(second.0).await;
    assert_eq!(again.tag("From"), invite.tag("From"));
    assert_eq!(again.header("X-Kept"), "yes");
    second.0.reply(&again, "486 Busy Here", "").await;
    let ack = second.0.request("ACK").await;
    assert_eq!(ack.header("From"), again.header("From"));
    world.leg_event(&leg).await;
    [invite, again]
}

#[tokio::test]
async fn a_dial_that_goes_on_elsewhere_introduces_itself_as_is_right_there() {
    let carrier = Peer::new("127.0.0.1:9".parse().unwrap()).await;
    let mut settings = config();
    let mut trunk = TrunkConfig::new("carrier");
    trunk.termination = Some(carrier.addr().to_string());
    trunk.from_user = Some("acct".to_owned());
    trunk.from_domain = Some("carrier.example.com".to_owned());
    settings.trunks.push(trunk);
    let mut world = World::with(settings).await;
    let carrier = Peer {
        to: world.udp,
        ..carrier
    };
    let phone = Peer::new(world.udp).await;
    let uri = || DialTarget::Uri(format!("sip:bob@{}", phone.addr()));
    let shown = |user: &str, display: Option<&str>| DialFrom {
        user: Some(user.to_owned()),
        display: display.map(str::to_owned),
    };
    let of_trunk = shown("+12025550199", None);
    let of_phone = shown("+12025550111", Some("Ann"));
    let check_trunk = |invite: &Message| {
        let from = invite.header("From");
        assert!(from.starts_with("<sip:acct@carrier.example.com>;tag="));
        assert!(invite.header("Contact").contains("<sip:acct@"));
        assert_eq!(
            invite.headers("P-Asserted-Identity"),
            ["<sip:+12025550199@carrier.example.com>"]
        );
    };
    let check_phone = |invite: &Message| {
        let from = invite.header("From");
        assert!(from.starts_with("\"Ann\" <sip:+12025550111@"), "{from}");
        assert!(!from.contains("carrier.example.com"), "{from}");
        assert!(invite.header("Contact").contains("<sip:+12025550111@"));
        // Whom we show to the carrier is nobody else's business.
        let asserted = invite.headers("P-Asserted-Identity");
        assert!(asserted.is_empty(), "{asserted:?}");
    };
    let way = [(&carrier, number()), (&phone, uri())];
    let from = [of_trunk.clone(), of_phone.clone()];
    let [first, second] = followed(&mut world, way, from).await;
    check_trunk(&first);
    check_phone(&second);
    let way = [(&phone, uri()), (&carrier, number())];
    let [first, second] = followed(&mut world, way, [of_phone, of_trunk]).await;
    check_phone(&first);
    check_trunk(&second);
}

/// A caller without a number has an address without a user.
#[tokio::test]
async fn nobody_is_no_empty_name() {
    let world = World::start().await;
    let peer = Peer::new(world.udp).await;
    let target = DialTarget::Uri(format!("sip:bob@{}", peer.addr()));
    let mut request = dial_request(&leg_id(), target);
    request.from = DialFrom::default();
    world.endpoint.dial(request).await.unwrap();
    let invite = peer.request("INVITE").await;
    let from = invite.header("From");
    assert!(from.starts_with("<sip:") && !from.contains('@'), "{from}");
}
