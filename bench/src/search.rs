//! Finds how many calls a core carries with at most one frame in a hundred late or lost.

use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context, bail};
use switchhook_media::{Law, MediaConfig, MediaEngine, MediaLeg, RtpParams};
use switchhook_model::{CallId, LegId};

use crate::echo::{self, Echo};
use crate::generator::{self, Outcome, Sockets, Stream};

/// Share of frames that may be late, lost or wrong.
pub const BAD_SHARE_MAX: f64 = 0.01;
/// Load beyond which the generator cannot be trusted to be in time itself.
const GENERATOR_LOAD_MAX: f64 = 0.92;

/// How long and how often is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    warm_up: Duration,
    measure: Duration,
    attempts: usize,
}

impl Effort {
    pub const QUICK: Self = Self {
        warm_up: Duration::from_millis(500),
        measure: Duration::from_millis(1_200),
        attempts: 3,
    };
    pub const FULL: Self = Self {
        warm_up: Duration::from_secs(1),
        measure: Duration::from_secs(4),
        attempts: 6,
    };
}

#[derive(Debug, Clone, Copy)]
pub struct Cores {
    pub tested: usize,
    pub generator: usize,
}

/// Something that carries calls.
pub trait Subject {
    /// Name of the thread that carries them.
    fn thread(&self) -> &'static str;

    /// Sets up `calls` calls with the generator's sockets as parties, both directions of each.
    /// What is returned lives as long as the run.
    fn start(
        &self,
        calls: usize,
        core: usize,
        sockets: &Sockets,
    ) -> anyhow::Result<(Box<dyn std::any::Any>, Vec<Stream>)>;
}

/// A run that held, the largest found.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    pub calls: usize,
    pub outcome: Outcome,
}

/// Load aimed at: beyond 95 % the kernel stops real-time threads, and other programs' noise needs
/// some room.
const LOAD_AIM: f64 = 0.91;

/// Searches from what a small run lets expect: upwards by the load measured, then halfway between
/// the largest run that held and the smallest that did not.
pub fn capacity(subject: &dyn Subject, cores: Cores, effort: Effort) -> anyhow::Result<Capacity> {
    const PROBE_CALLS: usize = 400;
    let probe = run(subject, PROBE_CALLS, cores, effort)?;
    let mut best = probe.holds().then_some(probe);
    let mut smallest_failed = usize::MAX;
    let mut calls = probe.promising();
    for _ in 0..effort.attempts {
        let mut result = run(subject, calls, cores, effort)?;
        if !result.holds() {
            // One hiccup of the machine is not the subject's fault.
            result = run(subject, calls, cores, effort)?;
        }
        if result.holds() {
            best = best.filter(|best| best.calls > calls).or(Some(result));
            if result.is_limited_by_generator() {
                break;
            }
            calls = result.promising().max(calls + calls / 33);
        } else {
            smallest_failed = smallest_failed.min(calls);
        }
        if calls >= smallest_failed {
            let held = best.map_or(smallest_failed / 2, |best| best.calls);
            calls = held.midpoint(smallest_failed);
        }
    }
    best.context("not even a small load was carried in time; is the machine busy?")
}

impl Capacity {
    fn holds(&self) -> bool {
        self.outcome.bad_share() <= BAD_SHARE_MAX
    }

    /// The generator was at its end: the true figure may be higher.
    pub fn is_limited_by_generator(&self) -> bool {
        self.outcome.generator_load > GENERATOR_LOAD_MAX
    }

    /// The number of calls that would bring the load to what is aimed at.
    fn promising(&self) -> usize {
        let load = self.outcome.load.max(self.outcome.generator_load).max(0.01);
        ((self.calls as f64 * LOAD_AIM / load) as usize).clamp(100, 9_000)
    }
}

/// One run with a given number of calls.
pub fn run(
    subject: &dyn Subject,
    calls: usize,
    cores: Cores,
    effort: Effort,
) -> anyhow::Result<Capacity> {
    let sockets = Sockets::bind()?;
    let (running, streams) = subject.start(calls, cores.tested, &sockets)?;
    let outcome = generator::run(
        sockets,
        streams,
        cores.generator,
        subject.thread(),
        effort.warm_up,
        effort.measure,
    )?;
    drop(running);
    Ok(Capacity { calls, outcome })
}

/// The ceiling: two echoed streams stand for a call, as many packets as a bridged one.
pub struct PlainEcho;

impl Subject for PlainEcho {
    fn thread(&self) -> &'static str {
        echo::THREAD
    }

    fn start(
        &self,
        calls: usize,
        core: usize,
        _sockets: &Sockets,
    ) -> anyhow::Result<(Box<dyn std::any::Any>, Vec<Stream>)> {
        let echo = Echo::start(2 * calls, core).context("cannot bind the echo's sockets")?;
        let streams = echo
            .addresses
            .iter()
            .map(|address| {
                let address = v4(*address)?;
                Ok(Stream {
                    to: address,
                    sent_as: Law::Mu,
                    back_from: address,
                    back_as: Law::Mu,
                })
            })
            .collect::<anyhow::Result<_>>()?;
        Ok((Box::new(echo), streams))
    }
}

/// The gateway's media engine with one worker, every call two bridged legs.
pub struct Bridges {
    a: Law,
    b: Law,
}

impl Bridges {
    pub const SAME_CODEC: Self = Self {
        a: Law::Mu,
        b: Law::Mu,
    };
    pub const TRANSCODED: Self = Self {
        a: Law::Mu,
        b: Law::A,
    };
}

impl Subject for Bridges {
    fn thread(&self) -> &'static str {
        "media-0"
    }

    fn start(
        &self,
        calls: usize,
        core: usize,
        sockets: &Sockets,
    ) -> anyhow::Result<(Box<dyn std::any::Any>, Vec<Stream>)> {
        let engine = MediaEngine::start(MediaConfig {
            workers: 1,
            pin_cores: Some(vec![core]),
            port_range: 10_000..=60_000,
            max_legs: 2 * calls,
            port_rest: Duration::ZERO,
            ..MediaConfig::default()
        })?;
        let mut legs: Vec<MediaLeg> = Vec::with_capacity(2 * calls);
        let mut streams = Vec::with_capacity(2 * calls);
        for call in 0..calls {
            let id = CallId::from_unique(&format!("bench{call}"));
            let open = |n: u32, law: Law| -> anyhow::Result<MediaLeg> {
                let leg = engine.open_leg(LegId::derive(&id, n))?;
                // The party of leg 2n sends and receives on the socket of stream 2n.
                let party = sockets.address(2 * call + n as usize - 1)?;
                leg.start(RtpParams::new(party, generator::codec(law)));
                Ok(leg)
            };
            let (a, b) = (open(1, self.a)?, open(2, self.b)?);
            engine.bridge(&a, &b);
            let (addr_a, addr_b) = (v4(a.local_addr())?, v4(b.local_addr())?);
            streams.push(Stream {
                to: addr_a,
                sent_as: self.a,
                back_from: addr_b,
                back_as: self.b,
            });
            streams.push(Stream {
                to: addr_b,
                sent_as: self.b,
                back_from: addr_a,
                back_as: self.a,
            });
            legs.extend([a, b]);
        }
        Ok((Box::new((legs, engine)), streams))
    }
}

fn v4(address: SocketAddr) -> anyhow::Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(address) => bail!("{address} is not IPv4"),
    }
}
