//! Finds how many calls a core carries with at most one frame in a hundred late or lost.

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context, bail};
use switchhook_media::bench_io::pin_to_core;
use switchhook_media::srtp::{MasterKey, SrtpParams, Suite};
use switchhook_media::{Codec, Law, MediaConfig, MediaEngine, MediaLeg, RtpParams};
use switchhook_model::{CallId, LegId};

use crate::echo::{self, Echo};
use crate::generator::{self, Carries, Outcome, Sockets, Stream};
use crate::machine::thread_time;
use crate::{lossy, speech};

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

    /// For audio that goes through an assistant: long enough to fill its queues, for the jitter
    /// buffer to settle (2 s) and for callers to begin and end phrases.
    pub fn with_assistants(self) -> Self {
        Self {
            warm_up: Duration::from_millis(2_600),
            measure: self.measure.max(Duration::from_secs(2)),
            ..self
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Cores {
    pub tested: usize,
    pub generator: usize,
}

/// Something that carries calls.
pub trait Subject {
    /// Names of the threads that carry them, for measuring.
    fn threads(&self) -> &'static [&'static str];

    /// Calls of the first run, from whose load the next is guessed.
    fn probe_calls(&self) -> usize {
        400
    }

    /// Sets up `calls` calls with the generator's sockets as parties, both directions of each.
    /// What is returned lives as long as the run. The calling thread is on the tested core, and so
    /// is every thread started here.
    fn start(
        &self,
        calls: usize,
        core: usize,
        sockets: &Sockets,
    ) -> anyhow::Result<(Box<dyn Running>, Vec<Stream>)>;
}

/// Calls that run.
pub trait Running {
    /// Further figures of the run so far, by name.
    fn details(&self) -> BTreeMap<&'static str, f64> {
        BTreeMap::new()
    }

    /// Frames harmed where the generator cannot see it, for example in recordings.
    fn harmed_frames(&self) -> u64 {
        0
    }
}

/// A run that held, the largest found.
#[derive(Debug, Clone)]
pub struct Capacity {
    pub calls: usize,
    pub outcome: Outcome,
    pub details: BTreeMap<&'static str, f64>,
}

/// Load aimed at: beyond 95 % the kernel stops real-time threads, and other programs' noise needs
/// some room.
const LOAD_AIM: f64 = 0.91;

/// Searches from what a small run lets expect: upwards by the load measured, then halfway between
/// the largest run that held and the smallest that did not.
pub fn capacity(subject: &dyn Subject, cores: Cores, effort: Effort) -> anyhow::Result<Capacity> {
    let probe = run(subject, subject.probe_calls(), cores, effort)?;
    let mut calls = probe.promising();
    let mut smallest_failed = usize::MAX;
    let mut best = probe.holds().then_some(probe);
    for _ in 0..effort.attempts {
        let mut result = run(subject, calls, cores, effort)?;
        if !result.holds() {
            // One hiccup of the machine is not the subject's fault.
            result = run(subject, calls, cores, effort)?;
        }
        if !result.holds() {
            // Why a search ends where it does.
            crate::say(&format!(
                "    {calls} calls do not hold: {}",
                crate::report::loads(&result)
            ));
        }
        if result.holds() {
            let at_its_end = result.is_limited_by_generator();
            let promising = result.promising();
            best = best.filter(|best| best.calls > calls).or(Some(result));
            if at_its_end {
                break;
            }
            calls = promising.max(calls + calls / 33);
        } else {
            smallest_failed = smallest_failed.min(calls);
        }
        if calls >= smallest_failed {
            let held = best.as_ref().map_or(smallest_failed / 2, |best| best.calls);
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
        ((self.calls as f64 * LOAD_AIM / load) as usize).clamp(20, 9_000)
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
    pin_to_core(cores.tested).with_context(|| format!("cannot use core {}", cores.tested))?;
    let (running, streams) = subject.start(calls, cores.tested, &sockets)?;
    let threads = subject.threads();
    let mut outcome = generator::run(
        sockets,
        streams,
        cores.generator,
        Box::new(move || thread_time(threads)),
        effort.warm_up,
        effort.measure,
    )?;
    outcome.on_time = outcome.on_time.saturating_sub(running.harmed_frames());
    let details = running.details();
    drop(running);
    Ok(Capacity {
        calls,
        outcome,
        details,
    })
}

/// The ceiling: two echoed streams stand for a call, as many packets as a bridged one.
pub struct PlainEcho;

impl Running for Echo {}

impl Subject for PlainEcho {
    fn threads(&self) -> &'static [&'static str] {
        &[echo::THREAD]
    }

    fn start(
        &self,
        calls: usize,
        core: usize,
        _sockets: &Sockets,
    ) -> anyhow::Result<(Box<dyn Running>, Vec<Stream>)> {
        let echo = Echo::start(2 * calls, core).context("cannot bind the echo's sockets")?;
        let streams = echo
            .addresses
            .iter()
            .map(|address| {
                let address = v4(*address)?;
                Ok(Stream {
                    to: address,
                    back_from: address,
                    carries: Carries::MARKS,
                    keys: None,
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
    /// Both legs are SRTP.
    is_protected: bool,
}

impl Bridges {
    pub const SAME_CODEC: Self = Self {
        a: Codec::Pcmu,
        b: Codec::Pcmu,
        is_protected: false,
    };
    pub const TRANSCODED: Self = Self {
        b: Codec::Pcma,
        ..Self::SAME_CODEC
    };
    pub const PROTECTED: Self = Self {
        is_protected: true,
        ..Self::SAME_CODEC
    };
    pub const OPUS: Self = Self {
        b: Codec::Opus,
        ..Self::SAME_CODEC
    };

    /// Marks survive G.711 only; what goes through Opus is speech.
    fn carries(&self, sent_as: Codec, back_as: Codec, call: usize) -> Carries {
        match (law(sent_as), law(back_as)) {
            (Some(sent_as), Some(back_as)) => Carries::Marks { sent_as, back_as },
            _ => Carries::Speech {
                sent_as,
                back_as,
                offset: speech::spread(call),
            },
        }
    }
}

fn law(codec: Codec) -> Option<Law> {
    match codec {
        Codec::Pcmu => Some(Law::Mu),
        Codec::Pcma => Some(Law::A),
        Codec::G722 | Codec::Opus => None,
    }
}

/// Keys of a leg, seen from the gateway: each leg has its own, both ways.
pub fn leg_keys(is_protected: bool) -> Option<SrtpParams> {
    let key = || MasterKey::random(Suite::AesCm128HmacSha1Tag80);
    is_protected.then(|| SrtpParams {
        local: key(),
        remote: key(),
    })
}

/// Keys of the party that sends to one leg and hears another.
pub fn party_keys(to: Option<SrtpParams>, back_from: Option<SrtpParams>) -> Option<SrtpParams> {
    Some(SrtpParams {
        local: to?.remote,
        remote: back_from?.local,
    })
}

/// Legs, and the engine that outlives them.
impl Running for (Vec<MediaLeg>, MediaEngine) {}

impl Subject for Bridges {
    fn threads(&self) -> &'static [&'static str] {
        &["media-0"]
    }

    fn probe_calls(&self) -> usize {
        // Coding costs several times what passing on does.
        if self.b == Codec::Opus { 50 } else { 400 }
    }

    fn start(
        &self,
        calls: usize,
        core: usize,
        sockets: &Sockets,
    ) -> anyhow::Result<(Box<dyn Running>, Vec<Stream>)> {
        if self.b == Codec::Opus {
            lossy::prepare();
        }
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
            let open = |n: u32, codec, srtp| -> anyhow::Result<MediaLeg> {
                let leg = engine.open_leg(LegId::derive(&id, n))?;
                // The party of leg 2n sends and receives on the socket of stream 2n.
                let party = sockets.address(2 * call + n as usize - 1)?;
                leg.start(RtpParams {
                    srtp,
                    ..RtpParams::new(party, codec)
                });
                Ok(leg)
            };
            let (keys_a, keys_b) = (leg_keys(self.is_protected), leg_keys(self.is_protected));
            let (a, b) = (open(1, self.a, keys_a)?, open(2, self.b, keys_b)?);
            engine.bridge(&a, &b);
            let (addr_a, addr_b) = (v4(a.local_addr())?, v4(b.local_addr())?);
            streams.push(Stream {
                to: addr_a,
                back_from: addr_b,
                carries: self.carries(self.a, self.b, call),
                keys: party_keys(keys_a, keys_b),
            });
            streams.push(Stream {
                to: addr_b,
                back_from: addr_a,
                carries: self.carries(self.b, self.a, call),
                keys: party_keys(keys_b, keys_a),
            });
            legs.extend([a, b]);
        }
        Ok((Box::new((legs, engine)), streams))
    }
}

pub fn v4(address: SocketAddr) -> anyhow::Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(address) => bail!("{address} is not IPv4"),
    }
}
