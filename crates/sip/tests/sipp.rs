//! Against SIPp (Debian package `sip-tester`), over UDP and TCP. SIPp is required: without it these
//! tests fail.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use common::{SDP, World, config, extension};
use switchhook_model::{HangupCause, LegId};
use switchhook_sip::{DialTarget, SipEvent, SipLegEvent, TrunkAuth, TrunkConfig, TrunkId};
use tokio::process::{Child, Command};

struct Sipp {
    child: Child,
    scenario: String,
    /// Holds SIPp's error log until the run is judged.
    dir: tempfile::TempDir,
    addr: SocketAddr,
}

fn free_port() -> SocketAddr {
    // Both transports must be free; SIPp takes the port a moment later.
    loop {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = tcp.local_addr().unwrap();
        if std::net::UdpSocket::bind(addr).is_ok() {
            return addr;
        }
    }
}

impl Sipp {
    /// Runs a scenario; `transport` is `u1` or `t1`.
    fn start(
        scenario: &str,
        to: Option<SocketAddr>,
        transport: &str,
        calls: u32,
        rate: u32,
    ) -> Self {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/sipp")
            .join(format!("{scenario}.xml"));
        let dir = tempfile::tempdir().unwrap();
        let addr = free_port();
        let mut command = Command::new("sipp");
        if let Some(to) = to {
            command.arg(to.to_string());
        }
        let child = command
            .args(["-sf", file.to_str().unwrap()])
            .args(["-i", "127.0.0.1", "-mi", "127.0.0.1"])
            .args(["-p", &addr.port().to_string()])
            .args(["-t", transport])
            .args(["-m", &calls.to_string(), "-r", &rate.to_string()])
            .args([
                "-nostdin",
                "-trace_err",
                "-trace_msg",
                "-timeout",
                "25s",
                "-timeout_error",
            ])
            .args(["-recv_timeout", "15000", "-default_behaviors", "all,-bye"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("sipp is installed (Debian package sip-tester)");
        Self {
            child,
            scenario: scenario.to_owned(),
            dir,
            addr,
        }
    }

    /// Waits for the scenario's own verdict: every message as expected.
    async fn succeeded(mut self) {
        let status = self.child.wait().await.unwrap();
        if status.success() {
            return;
        }
        panic!("SIPp scenario {} failed ({status})", self.scenario);
    }

    /// Waits until SIPp listens: it answers OPTIONS with an error or ignores it, but the port is
    /// taken.
    async fn listening(&self) {
        let deadline = tokio::time::Instant::now() + common::DEADLINE;
        while std::net::UdpSocket::bind(self.addr).is_ok()
            && std::net::TcpListener::bind(self.addr).is_ok()
        {
            assert!(
                tokio::time::Instant::now() < deadline,
                "SIPp does not listen"
            );
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Sipp {
    /// What SIPp saw, when a test fails.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let files = std::fs::read_dir(self.dir.path()).into_iter().flatten();
        for entry in files.flatten() {
            let log = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let shown: String = log.chars().take(20_000).collect();
            eprintln!(
                "--- {} of {}\n{shown}",
                entry.path().display(),
                self.scenario
            );
        }
    }
}

/// A registrar that lets SIPp keep real time.
async fn world() -> World {
    let mut settings = config();
    settings.timers.t1 = std::time::Duration::from_millis(500);
    World::with(settings).await
}

/// Rings and answers `assistant`, only rings everybody else; until `ends` legs are over.
async fn serve(world: &mut World, ends: usize) -> Vec<SipLegEvent> {
    let mut over = Vec::new();
    while over.len() < ends {
        match world.event().await {
            SipEvent::Incoming(call) => {
                call.handle.ring().unwrap();
                if call.to_user == "assistant" {
                    call.handle.answer(SDP.to_owned()).unwrap();
                }
            }
            SipEvent::Leg { event, .. } => match event {
                SipLegEvent::Failed { .. }
                | SipLegEvent::Ended { .. }
                | SipLegEvent::Canceled { .. } => {
                    over.push(event);
                }
                _ => {}
            },
            _ => {}
        }
    }
    over
}

async fn final_event(world: &mut World, leg: &LegId) -> SipLegEvent {
    loop {
        match world.leg_event(leg).await {
            event @ (SipLegEvent::Failed { .. } | SipLegEvent::Ended { .. }) => return event,
            SipLegEvent::Answered { sdp } => {
                assert!(sdp.unwrap().contains("m=audio"));
                world.endpoint.hangup(leg, HangupCause::Normal).unwrap();
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn registers_and_qualifies() {
    for transport in ["u1", "t1"] {
        let mut world = world().await;
        Sipp::start(
            "register",
            Some(world.udp_or_tcp(transport)),
            transport,
            1,
            1,
        )
        .succeeded()
        .await;
        assert!(matches!(world.event().await, SipEvent::Registered { .. }));
        Sipp::start(
            "options",
            Some(world.udp_or_tcp(transport)),
            transport,
            5,
            50,
        )
        .succeeded()
        .await;
    }
}

impl World {
    fn udp_or_tcp(&self, transport: &str) -> SocketAddr {
        if transport == "u1" {
            self.udp
        } else {
            self.tcp
        }
    }
}

#[tokio::test]
async fn extension_calls_us() {
    for transport in ["u1", "t1"] {
        let mut world = world().await;
        let to = world.udp_or_tcp(transport);
        let sipp = Sipp::start("call", Some(to), transport, 40, 40);
        let over = serve(&mut world, 40).await;
        sipp.succeeded().await;
        let by_caller = |e: &SipLegEvent| {
            matches!(
                e,
                SipLegEvent::Ended {
                    by_remote: true,
                    ..
                }
            )
        };
        assert!(over.iter().all(by_caller), "{over:?}");
        assert_eq!(world.endpoint.leg_count(), 0);
    }
}

#[tokio::test]
async fn caller_gives_up_while_it_rings() {
    for transport in ["u1", "t1"] {
        let mut world = world().await;
        let to = world.udp_or_tcp(transport);
        let sipp = Sipp::start("cancel", Some(to), transport, 5, 20);
        let over = serve(&mut world, 5).await;
        sipp.succeeded().await;
        assert!(
            over.iter()
                .all(|e| matches!(e, SipLegEvent::Canceled { .. })),
            "{over:?}"
        );
    }
}

/// One INVITE per dial: SIPp counts calls by Call-ID and fails on what it does not expect.
#[tokio::test]
async fn we_call_and_are_answered_refused_or_give_up() {
    for transport in ["u1", "t1"] {
        for (scenario, status, cause) in [
            ("answer", None, HangupCause::Normal),
            ("busy", Some(486), HangupCause::Busy),
            ("decline", Some(603), HangupCause::Rejected),
            ("ring_until_cancel", Some(487), HangupCause::Canceled),
        ] {
            let mut world = world().await;
            let sipp = Sipp::start(scenario, None, transport, 1, 1);
            sipp.listening().await;
            let param = if transport == "t1" {
                ";transport=tcp"
            } else {
                ""
            };
            let target = DialTarget::Uri(format!("sip:2001@{}{param}", sipp.addr));
            let leg = world.dial(target).await;
            if scenario == "ring_until_cancel" {
                assert!(matches!(
                    world.leg_event(&leg).await,
                    SipLegEvent::Ringing { .. }
                ));
                world.endpoint.cancel(&leg).unwrap();
            }
            match final_event(&mut world, &leg).await {
                SipLegEvent::Failed {
                    status: got,
                    cause: why,
                    ..
                } => {
                    assert_eq!((got, why), (status, cause), "{scenario} {transport}");
                }
                SipLegEvent::Ended {
                    cause: why,
                    by_remote,
                    ..
                } => {
                    assert_eq!((scenario, why, by_remote), ("answer", cause, false));
                }
                other => panic!("{other:?}"),
            }
            sipp.succeeded().await;
        }
    }
}

#[tokio::test]
async fn a_registered_phone_is_called() {
    // The phone registers, then waits at the same address.
    let mut world = world().await;
    let phone = common::Peer::new(world.udp).await;
    phone.register("2001", 300).await;
    world.event().await;
    let leg = world.dial(DialTarget::Extension(extension("2001"))).await;
    let invite = phone.request("INVITE").await;
    phone.reply(&invite, "486 Busy Here", "").await;
    assert!(matches!(
        final_event(&mut world, &leg).await,
        SipLegEvent::Failed {
            status: Some(486),
            ..
        }
    ));
}

#[tokio::test]
async fn the_carrier_verifies_our_credentials() {
    let sipp = Sipp::start("answer_with_auth", None, "u1", 1, 1);
    sipp.listening().await;
    let mut settings = config();
    settings.timers.t1 = std::time::Duration::from_millis(500);
    let mut trunk = TrunkConfig::new("carrier");
    trunk.termination = Some(sipp.addr.to_string());
    trunk.auth = Some(TrunkAuth {
        user: "acct".to_owned(),
        password: "pw".to_owned(),
    });
    settings.trunks.push(trunk);
    let mut world = World::with(settings).await;
    let leg = world
        .dial(DialTarget::Trunk {
            trunk: TrunkId::new("carrier"),
            number: "+12025550100".to_owned(),
        })
        .await;
    assert!(matches!(
        final_event(&mut world, &leg).await,
        SipLegEvent::Ended {
            by_remote: false,
            cause: HangupCause::Normal,
            ..
        }
    ));
    sipp.succeeded().await;
}
