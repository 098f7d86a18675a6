//! A process dies with legs on; the next one, knowing only the stored records, ends them.
//!
//! The first process is a runtime of its own that is dropped: its tasks and sockets are gone
//! without a word, as after `kill -9`.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::{Message, Peer, SDP, Stream, World, config};
use switchhook_model::LegId;
use switchhook_sip::{
    DialTarget, DialogRecord, DialogState, OrphanOutcome, SipConfig, SipEvent, SipLegEvent,
    TrunkAuth, TrunkConfig, TrunkId,
};
use tokio::runtime::{Builder, Runtime};

struct Scene {
    first: Runtime,
    second: Runtime,
    world: World,
    peer: Peer,
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

impl Scene {
    fn new(settings: SipConfig) -> Self {
        let (first, second) = (runtime(), runtime());
        let world = first.block_on(World::with(settings));
        let peer = second.block_on(Peer::new(world.udp));
        Self {
            first,
            second,
            world,
            peer,
        }
    }

    fn dial(&mut self, target: DialTarget) -> (LegId, Message) {
        let leg = self.first.block_on(self.world.dial(target));
        let invite = self.second.block_on(self.peer.request("INVITE"));
        (leg, invite)
    }

    fn leg_event(&mut self, leg: &LegId) -> SipLegEvent {
        self.first.block_on(self.world.leg_event(leg))
    }

    /// Kills the first process and starts the next on the same addresses.
    fn restart(self, leg: &LegId, settings: SipConfig) -> (Runtime, World, Peer, DialogRecord) {
        let record = self.world.records[leg].clone();
        // Through the store: what is not serialized is not known.
        let stored = serde_json::to_string(&record).unwrap();
        let (udp, tcp) = (self.world.udp, self.world.tcp);
        drop(self.world);
        self.first.shutdown_timeout(common::DEADLINE);
        let mut settings = settings;
        settings.udp = vec![udp];
        settings.tcp = vec![tcp];
        let world = self.second.block_on(World::with(settings));
        let record = serde_json::from_str(&stored).unwrap();
        (self.second, world, self.peer, record)
    }
}

async fn outcome(world: &mut World) -> OrphanOutcome {
    match world.event().await {
        SipEvent::OrphanEnded { outcome, .. } => outcome,
        other => panic!("expected OrphanEnded, got {other:?}"),
    }
}

#[test]
fn a_phone_that_still_rings_is_cancelled() {
    let mut scene = Scene::new(config());
    let target = DialTarget::Uri(format!("sip:bob@{}", scene.peer.addr()));
    let (leg, invite) = scene.dial(target);
    scene
        .second
        .block_on(scene.peer.reply(&invite, "180 Ringing", ""));
    assert!(matches!(scene.leg_event(&leg), SipLegEvent::Ringing { .. }));
    let (runtime, mut world, peer, record) = scene.restart(&leg, config());
    runtime.block_on(async {
        world.endpoint.end_orphan(&record).unwrap();
        let cancel = peer.request("CANCEL").await;
        assert_eq!(cancel.header("Via"), invite.header("Via"));
        assert_eq!(cancel.branch(), invite.branch());
        assert_eq!(cancel.header("Call-ID"), invite.header("Call-ID"));
        assert_eq!(cancel.header("From"), invite.header("From"));
        assert_eq!(cancel.header("To"), invite.header("To"));
        assert_eq!(cancel.cseq(), invite.cseq());
        let uri = |m: &Message| m.start_line().split(' ').nth(1).unwrap().to_owned();
        assert_eq!(uri(&cancel), uri(&invite));
        peer.reply(&cancel, "200 OK", "").await;
        peer.reply(&invite, "487 Request Terminated", "").await;
        let ack = peer.request("ACK").await;
        assert_eq!(ack.branch(), invite.branch());
        assert_eq!(ack.cseq(), invite.cseq());
        assert_eq!(ack.tag("To"), peer.tag);
        assert_eq!(outcome(&mut world).await, OrphanOutcome::Canceled);
        // The 487 again, because the ACK was lost: acknowledged again.
        peer.reply(&invite, "487 Request Terminated", "").await;
        peer.request("ACK").await;
    });
}

#[test]
fn an_answer_that_comes_instead_is_acknowledged_and_ended() {
    let mut scene = Scene::new(config());
    let target = DialTarget::Uri(format!("sip:bob@{}", scene.peer.addr()));
    let (leg, invite) = scene.dial(target);
    scene
        .second
        .block_on(scene.peer.reply(&invite, "180 Ringing", ""));
    scene.leg_event(&leg);
    let (runtime, mut world, peer, record) = scene.restart(&leg, config());
    runtime.block_on(async {
        world.endpoint.end_orphan(&record).unwrap();
        let cancel = peer.request("CANCEL").await;
        let more = "Record-Route: <sip:127.0.0.1;lr>\r\n";
        let routed = more.replace("127.0.0.1", &peer.addr().to_string());
        peer.send(&peer.answer(&invite, "200 OK", &routed, SDP))
            .await;
        peer.reply(&cancel, "200 OK", "").await;
        let ack = peer.request("ACK").await;
        assert_eq!(
            (ack.cseq(), ack.tag("To")),
            (invite.cseq(), peer.tag.as_str())
        );
        let bye = peer.request("BYE").await;
        assert_eq!(
            (bye.tag("To"), bye.tag("From")),
            (peer.tag.as_str(), invite.tag("From"))
        );
        assert!(bye.header("Route").contains(&peer.addr().to_string()));
        assert!(bye.cseq() > invite.cseq());
        peer.reply(&bye, "200 OK", "").await;
        assert_eq!(outcome(&mut world).await, OrphanOutcome::AnsweredAndEnded);
    });
}

#[test]
fn an_outbound_call_that_talks_is_ended() {
    let mut scene = Scene::new(config());
    let target = DialTarget::Uri(format!("sip:bob@{}", scene.peer.addr()));
    let (leg, invite) = scene.dial(target);
    let routes = format!(
        "Record-Route: <sip:p2@{0};lr>\r\nRecord-Route: <sip:p1@{0};lr>\r\n",
        scene.peer.addr()
    );
    scene.second.block_on(async {
        let ok = scene.peer.answer(&invite, "200 OK", &routes, SDP);
        scene.peer.send(&ok).await;
        scene.peer.request("ACK").await;
    });
    assert!(matches!(
        scene.leg_event(&leg),
        SipLegEvent::Answered { .. }
    ));
    assert_eq!(scene.world.records[&leg].state, DialogState::Established);
    let (runtime, mut world, peer, record) = scene.restart(&leg, config());
    runtime.block_on(async {
        world.endpoint.end_orphan(&record).unwrap();
        let bye = peer.request("BYE").await;
        assert_eq!(bye.header("Call-ID"), invite.header("Call-ID"));
        assert_eq!(bye.header("From"), invite.header("From"));
        assert_eq!(bye.tag("To"), peer.tag);
        assert!(
            bye.start_line()
                .contains(&format!("sip:peer@{}", peer.addr()))
        );
        // The route set is the Record-Route backwards (RFC 3261 §12.1.2).
        let routes = bye.headers("Route");
        assert!(
            routes[0].contains("p1@") && routes[1].contains("p2@"),
            "{routes:?}"
        );
        peer.reply(&bye, "200 OK", "").await;
        assert_eq!(outcome(&mut world).await, OrphanOutcome::Ended);
    });
}

#[test]
fn an_inbound_call_that_talks_is_ended() {
    let mut scene = Scene::new(config());
    scene.second.block_on(scene.peer.invite("assistant"));
    let call = scene.first.block_on(scene.world.incoming());
    call.handle.answer(SDP.to_owned()).unwrap();
    let ok = scene.second.block_on(scene.peer.response("INVITE", 200));
    let uri = format!("sip:assistant@{}", scene.world.udp);
    let ack = scene.peer.compose("ACK", &uri, 1, ok.tag("To"), "", "");
    scene.second.block_on(scene.peer.send(&ack));
    scene.leg_event(&call.leg);
    let leg = call.leg.clone();
    drop(call);
    let (runtime, mut world, peer, record) = scene.restart(&leg, config());
    runtime.block_on(async {
        world.endpoint.end_orphan(&record).unwrap();
        let bye = peer.request("BYE").await;
        assert_eq!(bye.tag("From"), ok.tag("To"));
        assert_eq!(bye.tag("To"), peer.tag);
        assert!(
            bye.start_line()
                .starts_with(&format!("BYE sip:caller@{}", peer.addr()))
        );
        peer.reply(&bye, "481 Call/Transaction Does Not Exist", "")
            .await;
        assert_eq!(outcome(&mut world).await, OrphanOutcome::AlreadyGone);
    });
}

#[test]
fn a_caller_who_waits_is_refused() {
    let mut scene = Scene::new(config());
    scene.second.block_on(scene.peer.invite("assistant"));
    let call = scene.first.block_on(scene.world.incoming());
    call.handle.ring().unwrap();
    let ringing = scene.second.block_on(scene.peer.response("INVITE", 180));
    let leg = call.leg.clone();
    drop(call);
    let (runtime, mut world, peer, record) = scene.restart(&leg, config());
    runtime.block_on(async {
        world.endpoint.end_orphan(&record).unwrap();
        let refusal = peer.response("INVITE", 480).await;
        assert_eq!(refusal.tag("To"), ringing.tag("To"));
        assert_eq!(refusal.header("Via"), ringing.header("Via"));
        let uri = format!("sip:assistant@{}", world.udp);
        let ack = peer.compose("ACK", &uri, 1, refusal.tag("To"), "", "");
        peer.send(&ack).await;
        assert_eq!(outcome(&mut world).await, OrphanOutcome::Rejected);
    });
}

/// The 200 left, the record that says so did not make it into the store.
#[test]
fn a_caller_whose_answer_was_not_written_down_is_ended() {
    let mut scene = Scene::new(config());
    scene.second.block_on(scene.peer.invite("assistant"));
    let call = scene.first.block_on(scene.world.incoming());
    let pending = call.record.clone();
    call.handle.answer(SDP.to_owned()).unwrap();
    let ok = scene.second.block_on(scene.peer.response("INVITE", 200));
    let uri = format!("sip:assistant@{}", scene.world.udp);
    let ack = scene.peer.compose("ACK", &uri, 1, ok.tag("To"), "", "");
    scene.second.block_on(scene.peer.send(&ack));
    scene.leg_event(&call.leg);
    let leg = call.leg.clone();
    drop(call);
    let (runtime, mut world, peer, _) = scene.restart(&leg, config());
    runtime.block_on(async {
        world.endpoint.end_orphan(&pending).unwrap();
        let bye = peer.request("BYE").await;
        assert_eq!(bye.tag("From"), ok.tag("To"));
        peer.reply(&bye, "200 OK", "").await;
        assert_eq!(outcome(&mut world).await, OrphanOutcome::Ended);
    });
}

#[test]
fn nobody_there_is_reported_and_ended_records_cost_nothing() {
    let mut scene = Scene::new(config());
    let target = DialTarget::Uri(format!("sip:bob@{}", scene.peer.addr()));
    let (leg, invite) = scene.dial(target);
    let (runtime, mut world, peer, mut record) = scene.restart(&leg, config());
    runtime.block_on(async {
        world.endpoint.end_orphan(&record).unwrap();
        // The one that is known first, then the one that may have followed a 422.
        for cseq in [invite.cseq(), invite.cseq() + 1] {
            loop {
                let cancel = peer.request("CANCEL").await;
                assert!(cancel.cseq() <= cseq, "{}", cancel.text);
                peer.reply(&cancel, "481 Call/Transaction Does Not Exist", "")
                    .await;
                if cancel.cseq() == cseq {
                    break;
                }
            }
        }
        assert_eq!(outcome(&mut world).await, OrphanOutcome::AlreadyGone);
        drop(peer);
        record.leg = common::leg_id();
        world.endpoint.end_orphan(&record).unwrap();
        assert_eq!(outcome(&mut world).await, OrphanOutcome::NoResponse);
        record.state = DialogState::Ended;
        world.endpoint.end_orphan(&record).unwrap();
        assert_eq!(outcome(&mut world).await, OrphanOutcome::AlreadyGone);
        record.sip_call_id = "x\r\nVia: y".to_owned();
        assert!(world.endpoint.end_orphan(&record).is_err());
    });
}

fn with_trunk(peer: Option<std::net::SocketAddr>) -> SipConfig {
    let mut settings = config();
    let mut trunk = TrunkConfig::new("carrier");
    trunk.termination = peer.map(|peer| peer.to_string());
    trunk.auth = Some(TrunkAuth {
        user: "acct".to_owned(),
        password: "pw".to_owned(),
    });
    settings.trunks.push(trunk);
    settings
}

/// The second INVITE, with credentials, left after the last record that was stored.
#[test]
fn an_attempt_that_was_not_written_down_is_cancelled_too() {
    let second = runtime();
    let place = second.block_on(Peer::new("127.0.0.1:9".parse().unwrap()));
    let mut scene = Scene::new(with_trunk(Some(place.addr())));
    let settings = with_trunk(Some(place.addr()));
    scene.peer = Peer {
        to: scene.world.udp,
        ..place
    };
    scene.second = second;
    let (leg, invite) = scene.dial(DialTarget::Trunk {
        trunk: TrunkId::new("carrier"),
        number: "+12025550100".to_owned(),
    });
    let first_record = scene.world.records[&leg].clone();
    let challenge =
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=MD5, qop=\"auth\"\r\n";
    let authorized = scene.second.block_on(async {
        let refusal = scene
            .peer
            .answer(&invite, "401 Unauthorized", challenge, "");
        scene.peer.send(&refusal).await;
        scene.peer.request("ACK").await;
        let authorized = scene.peer.request("INVITE").await;
        scene.peer.reply(&authorized, "180 Ringing", "").await;
        authorized
    });
    assert!(matches!(scene.leg_event(&leg), SipLegEvent::Ringing { .. }));
    let (runtime, mut world, peer, _) = scene.restart(&leg, settings);
    runtime.block_on(async {
        world.endpoint.end_orphan(&first_record).unwrap();
        let mut canceled = false;
        for _ in 0..2 {
            let cancel = peer.request("CANCEL").await;
            if cancel.branch() == authorized.branch() {
                assert_eq!(cancel.cseq(), authorized.cseq());
                peer.reply(&cancel, "200 OK", "").await;
                canceled = true;
            } else {
                peer.reply(&cancel, "481 Call/Transaction Does Not Exist", "")
                    .await;
            }
        }
        assert!(canceled);
        peer.reply(&authorized, "487 Request Terminated", "").await;
        let ack = peer.request("ACK").await;
        assert_eq!(ack.branch(), authorized.branch());
        assert_eq!(outcome(&mut world).await, OrphanOutcome::Canceled);
    });
}

#[test]
fn a_phone_on_tcp_is_cancelled_over_a_new_connection() {
    let mut scene = Scene::new(config());
    let listener = scene
        .second
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let target = format!("sip:bob@{};transport=tcp", listener.local_addr().unwrap());
    let leg = scene
        .first
        .block_on(scene.world.dial(DialTarget::Uri(target)));
    let (mut old, invite) = scene.second.block_on(async {
        let mut old = Stream::new(listener.accept().await.unwrap().0);
        let invite = old.expect(|m| m.method() == "INVITE").await;
        old.send(&scene.peer.answer(&invite, "180 Ringing", "", ""))
            .await;
        (old, invite)
    });
    scene.leg_event(&leg);
    let (runtime, mut world, peer, record) = scene.restart(&leg, config());
    runtime.block_on(async {
        assert!(old.recv().await.is_none(), "the first process is gone");
        world.endpoint.end_orphan(&record).unwrap();
        let mut new = Stream::new(listener.accept().await.unwrap().0);
        let cancel = new.expect(|m| m.method() == "CANCEL").await;
        assert_eq!(cancel.header("Via"), invite.header("Via"));
        new.send(&peer.answer(&cancel, "200 OK", "", "")).await;
        new.send(&peer.answer(&invite, "487 Request Terminated", "", ""))
            .await;
        let ack = new.expect(|m| m.method() == "ACK").await;
        assert_eq!(ack.branch(), invite.branch());
        assert_eq!(outcome(&mut world).await, OrphanOutcome::Canceled);
    });
}
