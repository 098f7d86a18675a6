//! Finds how many calls a core carries with at most one frame in a hundred late or lost.

use std::net::{SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use switchhook_media::{Codec, MediaConfig, MediaEngine, MediaLeg, RtpParams};
use switchhook_model::{CallId, LegId};

use crate::echo::{self, Echo};
use crate::generator::{self, Outcome, Sockets, Stream};
use crate::machine::thread_time;

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
        warm_up: Duration::from_millis(700),
        measure: Duration::from_millis(1_500),
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
    /// Share of its core that the thread used, 0 to 1.
    pub load: f64,
    pub generator_load: f64,
    /// Nothing larger was tried because the generator was at its end: the true figure is higher.
    pub limited_by_generator: bool,
}

/// Searches from what a small run lets expect.
pub fn capacity(subject: &dyn Subject, cores: Cores, effort: Effort) -> anyhow::Result<Capacity> {
    const PROBE_CALLS: usize = 400;
    let probe = run(subject, PROBE_CALLS, cores, effort)?;
    let mut best = (probe.outcome.bad_share() <= BAD_SHARE_MAX).then_some(probe);
    let expected = 0.90 / (probe.load.max(probe.generator_load) / PROBE_CALLS as f64).max(1e-6);
    let mut calls = (expected as usize).clamp(PROBE_CALLS / 4, 8_000);
    let (mut step, mut failed) = (0.08, usize::MAX);
    for _ in 0..effort.attempts {
        let result = run(subject, calls, cores, effort)?;
        if result.outcome.bad_share() <= BAD_SHARE_MAX {
            let exhausted = result.generator_load > GENERATOR_LOAD_MAX;
            best = best.filter(|b| b.calls > calls).or(Some(Capacity {
                limited_by_generator: exhausted,
                ..result
            }));
            if exhausted {
                break;
            }
            calls = (calls as f64 * (1.0 + step)) as usize;
        } else {
            failed = failed.min(calls);
            calls = (calls as f64 * (1.0 - step)) as usize;
        }
        if calls >= failed {
            step /= 2.0;
            calls = (failed as f64 * (1.0 - step)) as usize;
        }
    }
    best.context("not even a quarter of the expected load was carried; is the machine busy?")
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
    let (used_before, before) = (thread_time(subject.thread()), Instant::now());
    let (outcome, generator_time) = generator::run(
        sockets,
        streams,
        cores.generator,
        effort.warm_up,
        effort.measure,
    )?;
    let wall = before.elapsed();
    let used = thread_time(subject.thread()).saturating_sub(used_before);
    drop(running);
    Ok(Capacity {
        calls,
        outcome,
        load: used.as_secs_f64() / wall.as_secs_f64(),
        generator_load: generator_time.as_secs_f64() / wall.as_secs_f64(),
        limited_by_generator: false,
    })
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
                    sent_as: Codec::Pcmu,
                    back_from: address,
                    back_as: Codec::Pcmu,
                })
            })
            .collect::<anyhow::Result<_>>()?;
        Ok((Box::new(echo), streams))
    }
}

/// The gateway's media engine with one worker, every call two bridged legs.
pub struct Bridges {
    a: Codec,
    b: Codec,
}

impl Bridges {
    pub const SAME_CODEC: Self = Self {
        a: Codec::Pcmu,
        b: Codec::Pcmu,
    };
    pub const TRANSCODED: Self = Self {
        a: Codec::Pcmu,
        b: Codec::Pcma,
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
            let open = |n: u32, codec: Codec| -> anyhow::Result<MediaLeg> {
                let leg = engine.open_leg(LegId::derive(&id, n))?;
                // The party of leg 2n sends and receives on the socket of stream 2n.
                let party = sockets.address(2 * call + n as usize - 1)?;
                leg.start(RtpParams::new(party, codec));
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
