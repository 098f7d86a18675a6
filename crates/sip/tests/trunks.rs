//! Trunks: who is let in, and how we log in there.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::{Message, Peer, SDP, World, authorization, config, dial_request, leg_id};
use switchhook_model::HangupCause;
use switchhook_sip::{
    DialError, DialFrom, DialTarget, SipConfig, SipLegEvent, Source, TrunkAuth, TrunkConfig,
    TrunkId,
};

fn trunk(peer: std::net::SocketAddr) -> TrunkConfig {
    let mut trunk = TrunkConfig::new("carrier");
    trunk.addresses = vec![peer.to_string().parse().unwrap()];
    trunk.termination = Some(peer.to_string());
    trunk
}

async fn scene(change: impl Fn(&mut TrunkConfig, &mut SipConfig)) -> (World, Peer) {
    let mut peer = Peer::new("127.0.0.1:9".parse().unwrap()).await;
    let mut settings = config();
    settings.allow_loopback_guests = false;
    let mut trunk = trunk(peer.addr());
    change(&mut trunk, &mut settings);
    settings.trunks.push(trunk);
    let world = World::with(settings).await;
    peer.to = world.udp;
    (world, peer)
}

fn number() -> DialTarget {
    DialTarget::Trunk {
        trunk: TrunkId::new("carrier"),
        number: "+12025550100".to_owned(),
    }
}

#[tokio::test]
async fn a_trunk_is_known_by_its_address() {
    let (mut world, peer) = scene(|_, _| {}).await;
    peer.invite("+493023125111").await;
    let call = world.incoming().await;
    assert_eq!(call.source, Source::Trunk(TrunkId::new("carrier")));
    assert_eq!(call.to_user, "+493023125111");
    assert_eq!(call.from.number, "caller");
    // Another port of that machine is a stranger: challenged like everybody, told nothing.
    let stranger = Peer::new(world.udp).await;
    let uri = format!("sip:assistant@{}", world.udp);
    stranger
        .send(&stranger.compose("INVITE", &uri, 1, "", "", SDP))
        .await;
    stranger.response("INVITE", 401).await;
}

#[tokio::test]
async fn a_trunk_may_have_to_prove_itself_as_well() {
    let (mut world, peer) = scene(|trunk, _| {
        trunk.inbound_auth = Some(TrunkAuth {
            user: "carrier-in".to_owned(),
            password: "secret".to_owned(),
        });
    })
    .await;
    let uri = format!("sip:assistant@{}", world.udp);
    for (from, welcome) in [(&Peer::new(world.udp).await, false), (&peer, true)] {
        from.send(&from.compose("INVITE", &uri, 1, "", "", SDP))
            .await;
        let challenge = from.response("INVITE", 401).await;
        let ack = from.compose("ACK", &uri, 1, challenge.tag("To"), "", "");
        from.send(&ack.replace("1ACK", "1INVITE")).await;
        let auth = authorization(&challenge, "carrier-in", "secret", "INVITE", &uri, 1);
        from.send(&from.compose("INVITE", &uri, 2, "", &auth, SDP))
            .await;
        if welcome {
            from.response("INVITE", 100).await;
        } else {
            from.response("INVITE", 403).await;
        }
    }
    assert_eq!(
        world.incoming().await.source,
        Source::Trunk(TrunkId::new("carrier"))
    );
}

#[tokio::test]
async fn we_log_in_and_show_the_caller_id() {
    let (mut world, peer) = scene(|trunk, _| {
        trunk.auth = Some(TrunkAuth {
            user: "acct".to_owned(),
            password: "pw".to_owned(),
        });
        trunk.from_user = Some("acct".to_owned());
        trunk.from_domain = Some("carrier.example".to_owned());
        trunk.caller_id = Some("+12025550199".to_owned());
    })
    .await;
    let leg = leg_id();
    let mut request = dial_request(&leg, number());
    request.from = DialFrom::default();
    request.headers = vec![("X-Switchhook-Call".to_owned(), "call_1".to_owned())];
    world.endpoint.dial(request).await.unwrap();
    let invite = peer.request("INVITE").await;
    assert!(
        invite
            .start_line()
            .starts_with(&format!("INVITE sip:+12025550100@{}", peer.addr()))
    );
    assert!(
        invite
            .header("From")
            .starts_with("<sip:acct@carrier.example>;tag=")
    );
    assert_eq!(
        invite.header("P-Asserted-Identity"),
        "<sip:+12025550199@carrier.example>"
    );
    assert_eq!(invite.header("X-Switchhook-Call"), "call_1");
    assert_eq!(invite.header("User-Agent"), "Switchhook");
    // The one we cannot compute is passed over, the strongest of the others answered, wherever it
    // stands (RFC 8760 §2.4).
    let challenges = "Proxy-Authenticate: Digest realm=\"c\", nonce=\"n0\", algorithm=AKAv1-MD5, qop=\"auth\"\r\n\
        Proxy-Authenticate: Digest realm=\"c\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"\r\n\
        Proxy-Authenticate: Digest realm=\"c\", nonce=\"n2\", algorithm=SHA-256, qop=\"auth,auth-int\", opaque=\"o\"\r\n";
    let needed = peer.answer(&invite, "407 Proxy Authentication Required", challenges, "");
    peer.send(&needed).await;
    peer.request("ACK").await;
    let second = peer.request("INVITE").await;
    assert_eq!(second.cseq(), invite.cseq() + 1);
    assert_eq!(second.header("Call-ID"), invite.header("Call-ID"));
    assert_eq!(second.header("From"), invite.header("From"));
    assert_ne!(second.branch(), invite.branch());
    assert_eq!(second.body(), SDP);
    check_digest(&second, "INVITE");
    // A stale nonce is answered once more; then it goes through.
    let stale = "Proxy-Authenticate: Digest realm=\"c\", nonce=\"n3\", algorithm=SHA-256, qop=\"auth\", stale=true\r\n";
    peer.send(&peer.answer(&second, "407 Proxy Authentication Required", stale, ""))
        .await;
    peer.request("ACK").await;
    let third = peer.request("INVITE").await;
    assert!(third.header("Proxy-Authorization").contains("nonce=\"n3\""));
    peer.reply(&third, "200 OK", SDP).await;
    let ack = peer.request("ACK").await;
    assert_eq!(ack.cseq(), third.cseq());
    assert_eq!(
        ack.header("Proxy-Authorization"),
        third.header("Proxy-Authorization")
    );
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Answered { .. }
    ));
    assert_eq!(world.records[&leg].invite_attempts, 3);
    // BYE may be challenged as well.
    world.endpoint.hangup(&leg, HangupCause::Normal).unwrap();
    let bye = peer.request("BYE").await;
    let again = "WWW-Authenticate: Digest realm=\"c\", nonce=\"n4\", algorithm=SHA-512-256, qop=\"auth\"\r\n";
    peer.send(&peer.answer(&bye, "401 Unauthorized", again, ""))
        .await;
    let authorized = loop {
        let bye = peer.request("BYE").await;
        if !bye.header("Authorization").is_empty() {
            break bye;
        }
    };
    assert!(authorized.cseq() > bye.cseq());
    peer.reply(&authorized, "200 OK", "").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ended {
            by_remote: false,
            ..
        }
    ));
    // No password or digest of ours is in the ladder.
    assert!(world.wire.iter().all(|w| !w.text.contains("response=")));
}

fn check_digest(request: &Message, method: &str) {
    use switchhook_sip::digest::{Authorization, DigestInput, digest_response};
    let auth = Authorization::parse(request.header("Proxy-Authorization")).unwrap();
    let uri = request.start_line().split(' ').nth(1).unwrap();
    assert_eq!(
        auth.uri, uri,
        "the digest is for the Request-URI as it is on the wire"
    );
    let counted = auth.counted.unwrap();
    let algorithm = auth.algorithm;
    assert_eq!(algorithm.to_string(), "SHA-256");
    let expected = digest_response(DigestInput {
        algorithm,
        ha1: &algorithm.hash.ha1("acct", "c", "pw"),
        method,
        uri,
        nonce: "n2",
        counted: Some((&counted.nc_text, &counted.cnonce)),
    });
    assert_eq!(auth.response, expected);
}

#[tokio::test]
async fn a_refused_password_is_not_tried_again() {
    let (mut world, peer) = scene(|trunk, _| {
        trunk.auth = Some(TrunkAuth {
            user: "acct".to_owned(),
            password: "wrong".to_owned(),
        });
    })
    .await;
    let leg = world.dial(number()).await;
    for nonce in ["a", "b"] {
        let invite = peer.request("INVITE").await;
        let challenge = format!("WWW-Authenticate: Digest realm=\"c\", nonce=\"{nonce}\"\r\n");
        peer.send(&peer.answer(&invite, "401 Unauthorized", &challenge, ""))
            .await;
        peer.request("ACK").await;
    }
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Failed {
            status: Some(401),
            cause: HangupCause::Rejected,
            ..
        }
    ));
}

#[tokio::test]
async fn what_cannot_be_dialled_says_why() {
    let (world, _peer) = scene(|trunk, _| trunk.termination = None).await;
    let dial = async |target| {
        let request = dial_request(&leg_id(), target);
        world.endpoint.dial(request).await.unwrap_err()
    };
    assert_eq!(
        dial(number()).await,
        DialError::NoTermination(TrunkId::new("carrier"))
    );
    let other = DialTarget::Trunk {
        trunk: TrunkId::new("other"),
        number: "1".to_owned(),
    };
    assert_eq!(
        dial(other).await,
        DialError::UnknownTrunk(TrunkId::new("other"))
    );
    for uri in [
        "sips:a@127.0.0.1;transport=udp",
        "sip:a@127.0.0.1;transport=ws",
        "http://x",
        "sip:a b@c",
    ] {
        let error = dial(DialTarget::Uri(uri.to_owned())).await;
        assert!(
            matches!(error, DialError::BadTarget { .. }),
            "{uri}: {error}"
        );
    }
    let error = dial(DialTarget::Uri("sip:a@[::1]".to_owned())).await;
    assert!(matches!(error, DialError::NoTransport { .. }), "{error}");
}

#[tokio::test]
async fn a_weaker_challenge_after_a_stronger_one_is_not_answered() {
    let (mut world, peer) = scene(|trunk, _| {
        trunk.auth = Some(TrunkAuth {
            user: "acct".to_owned(),
            password: "pw".to_owned(),
        });
    })
    .await;
    let leg = world.dial(number()).await;
    for algorithm in ["SHA-256", "MD5"] {
        let invite = peer.request("INVITE").await;
        let challenge = format!(
            "WWW-Authenticate: Digest realm=\"c\", nonce=\"n\", algorithm={algorithm}, \
             qop=\"auth\", stale=true\r\n"
        );
        peer.send(&peer.answer(&invite, "401 Unauthorized", &challenge, ""))
            .await;
        peer.request("ACK").await;
    }
    match world.leg_event(&leg).await {
        SipLegEvent::Failed { status, reason, .. } => {
            assert_eq!(status, Some(401));
            assert!(
                reason.contains("no digest challenge we can answer"),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
}
