//! Assistant calls over the carrier's media streams: how many a core carries, what each costs in
//! memory, and how soon the voice's first audio is on its way; beside pipecat, which gets the same
//! callers and the same voice.
//!
//! A caller speaks 30 % of the time and gets a reply after each phrase. The gateway does all it does
//! in a call: endpointing, recogniser, scripted assistant, voice, marks, barge-in, every step stored.
//! pipecat detects voice and replies from a can.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use switchhook_media::bench_io::{pin_to_core, schedule_realtime};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{NotInstalled, Setting};
use crate::carrier;
use crate::gateway::Gateway;
use crate::machine::{load_average, thread_time};
use crate::process::{Program, answers_http, free_port};
use crate::providers::Providers;
use crate::report::{Line, Report, Target};
use crate::say;
use crate::streams::{Heard, Side, Streams};

/// Bound of the pacing of 99 % of the frames, in milliseconds.
const PACING_MS: f64 = 5.0;
/// Runs with the same number of calls, the best of which counts: what others do on the machine is not
/// the number's fault.
const ATTEMPTS: usize = 3;
/// Load beyond which more calls are not tried.
const FULL: f64 = 0.9;
/// Name of the generator's one thread, for measuring.
const THREAD: &str = "bench-carrier";
/// A turn is a phrase of some 1.5 s and its pause; fewer replies than this in a call's second mean
/// that the assistant does not keep up.
const REPLIES_PER_S: f64 = 0.08;

pub(super) fn run(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let load = Load::start(setting.cores.generator)?;
    let ours = {
        let url = load.providers.url();
        let config = carrier::config("stream");
        let gateway = Gateway::start(setting, &url, &config)?;
        let tested = Tested {
            side: Side::Gateway,
            to: gateway.http,
            program: &gateway.program,
        };
        search(setting, &load, &tested, 100)?
    };
    let peer = match Pipecat::find() {
        Ok(pipecat) => {
            let (program, to, _log) = pipecat.start(setting, &load.providers.url())?;
            let tested = Tested {
                side: Side::Pipecat,
                to,
                program: &program,
            };
            Some(search(setting, &load, &tested, 8)?)
        }
        Err(error) => {
            say(&format!("  without pipecat: {error:#}"));
            None
        }
    };
    add(report, &ours, peer.as_ref());
    Ok(())
}

fn add(report: &mut Report, ours: &Found, peer: Option<&Found>) {
    let with = |line: Line, note: String| {
        let line = details(line, "", ours);
        let line = match peer {
            Some(peer) => details(line, "peer_", peer),
            None => line,
        };
        line.note(note)
    };
    let beside = peer.map_or_else(String::new, |peer| {
        format!("; pipecat {}", peer.best.note())
    });
    let note = format!("{}{beside}", ours.best.note());
    let line = Line::new(
        ours.best.calls as f64,
        "concurrent media stream calls per core",
    )
    .target(Target::AtLeast(400.0))
    .peer(peer.map(|peer| peer.best.calls as f64));
    report.add("stream_calls_per_core", with(line, note.clone()));
    if let Some(peer) = peer {
        let times = ours.best.calls as f64 / peer.best.calls.max(1) as f64;
        let line = Line::new(times, "times as many calls per core as pipecat")
            .target(Target::AtLeast(12.0));
        report.add("stream_calls_beside_pipecat", line);
    }
    let line = Line::new(
        ours.best.heard_p99(),
        "ms a frame leaves the even rhythm, 99 %",
    )
    .less_is_better()
    .target(Target::AtMost(PACING_MS))
    .peer(peer.map(|peer| peer.best.heard_p99()));
    report.add("stream_pacing_p99_ms", with(line, note.clone()));
    let line = Line::new(ours.mib_per_call, "MiB per call")
        .less_is_better()
        .peer(peer.map(|peer| peer.mib_per_call));
    report.add("stream_memory_per_call", with(line, note));
    let line = Line::new(
        percentile(&ours.half.heard.first_ms, 0.95),
        "ms from the voice's first audio to the first frame, 95 %, at half the calls",
    )
    .less_is_better()
    .target(Target::AtMost(20.0))
    .peer(peer.map(|peer| percentile(&peer.half.heard.first_ms, 0.95)))
    .detail("p50_ms", percentile(&ours.half.heard.first_ms, 0.5))
    .detail("p99_ms", percentile(&ours.half.heard.first_ms, 0.99))
    .detail("replies", ours.half.heard.first_ms.len() as f64);
    report.add("stream_first_frame_ms", line.note(ours.half.note()));
}

fn details(line: Line, prefix: &str, found: &Found) -> Line {
    let run = &found.best;
    [
        ("calls", run.calls as f64),
        ("load", run.load),
        ("generator_load", run.generator_load),
        ("generator_late_p99_ms", percentile(&run.heard.own_ms, 0.99)),
        ("load_average", run.load_average),
        ("mib_per_call", found.mib_per_call),
        ("replies", run.heard.replies as f64),
        ("pacing_p50_ms", percentile(&run.heard.pacing_ms, 0.5)),
        ("pacing_p99_ms", run.heard_p99()),
        ("first_frame_p50_ms", percentile(&run.heard.first_ms, 0.5)),
        ("first_frame_p95_ms", percentile(&run.heard.first_ms, 0.95)),
    ]
    .into_iter()
    .fold(line, |line, (name, value)| {
        line.detail(format!("{prefix}{name}"), value)
    })
}

/// The generator: callers and providers, one thread on its core.
struct Load {
    runtime: Runtime,
    providers: Providers,
}

impl Load {
    fn start(core: usize) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(THREAD)
            .on_thread_start(move || {
                // Without it the figures are noisier, and the machine's line says so.
                let _ = pin_to_core(core);
                let _ = schedule_realtime();
            })
            .enable_all()
            .build()?;
        let providers = runtime
            .block_on(async { tokio::spawn(Providers::start()).await })
            .context("the providers did not start")??;
        Ok(Self { runtime, providers })
    }
}

struct Tested<'a> {
    side: Side,
    to: SocketAddr,
    program: &'a Program,
}

/// One number of calls.
struct Run {
    calls: usize,
    heard: Heard,
    load: f64,
    generator_load: f64,
    load_average: f64,
    before_kib: f64,
    resident_kib: f64,
    measured_s: f64,
}

impl Run {
    fn heard_p99(&self) -> f64 {
        percentile(&self.heard.pacing_ms, 0.99)
    }

    fn holds(&self) -> bool {
        let wanted = self.calls as f64 * self.measured_s * REPLIES_PER_S;
        self.heard.lost == 0 && self.heard.replies as f64 >= wanted && self.heard_p99() <= PACING_MS
    }

    fn note(&self) -> String {
        format!(
            "{} calls, core {:.0} %, generator {:.0} %, pacing p50 {:.1} p99 {:.1} ms (generator itself {:.1}), first frame p50 {:.1} p95 {:.1} ms, {} replies, {} lost, {:.0} MiB in all, machine's load {:.1}",
            self.calls,
            self.load * 100.0,
            self.generator_load * 100.0,
            percentile(&self.heard.pacing_ms, 0.5),
            self.heard_p99(),
            percentile(&self.heard.own_ms, 0.99),
            percentile(&self.heard.first_ms, 0.5),
            percentile(&self.heard.first_ms, 0.95),
            self.heard.replies,
            self.heard.lost,
            self.resident_kib / 1024.0,
            self.load_average,
        )
    }
}

struct Found {
    best: Run,
    half: Run,
    mib_per_call: f64,
}

/// The largest number of calls that holds, from guesses by load; then half of it.
fn search(
    setting: &Setting,
    load: &Load,
    tested: &Tested<'_>,
    first: usize,
) -> anyhow::Result<Found> {
    let tries = if setting.quick { 4 } else { 8 };
    let mut sids = 1;
    let mut go = |calls: usize| -> anyhow::Result<Run> {
        let mut best: Option<Run> = None;
        for _ in 0..ATTEMPTS {
            let run = one(setting, load, tested, sids, calls)?;
            sids += calls as u64;
            say(&format!("  {:?}: {}", tested.side, run.note()));
            let holds = run.holds();
            let is_better = best
                .as_ref()
                .is_none_or(|best| run.heard_p99() < best.heard_p99());
            if holds || is_better {
                best = Some(run);
            }
            if holds {
                break;
            }
        }
        best.context("no attempt was made")
    };
    // Code is read in, caches are filled.
    let few = go(first.div_ceil(4))?;
    let mut best: Option<Run> = None;
    let mut bound = usize::MAX;
    let mut calls = first;
    for _ in 0..tries {
        let run = go(calls)?;
        let guess = (calls as f64 / run.load.max(0.01) * FULL) as usize;
        if run.holds() {
            // More than it could be by its load, or than what failed, need not be tried.
            let next = guess
                .min(calls.saturating_mul(4))
                .min(bound.saturating_sub(1));
            best = Some(run);
            if next <= calls + calls / 20 {
                break;
            }
            calls = if bound == usize::MAX {
                next
            } else {
                calls.midpoint(bound)
            };
        } else {
            bound = calls;
            let held = best.as_ref().map_or(0, |best| best.calls);
            calls = held.midpoint(bound);
            if calls <= held + held / 20 {
                break;
            }
        }
    }
    let Some(best) = best else {
        bail!("{:?} held no number of calls that was tried", tested.side);
    };
    let mib_per_call = mib_per_call(tested.side, &few, &best);
    let half = go(best.calls / 2)?;
    Ok(Found {
        best,
        half,
        mib_per_call,
    })
}

/// What a run added is too little where it used memory again that former calls gave back; what was
/// added since the first run is too much where former calls gave nothing back. Ours is the larger of
/// the two, the peer's the smaller.
fn mib_per_call(side: Side, few: &Run, run: &Run) -> f64 {
    let added = (run.resident_kib - run.before_kib) / run.calls.max(1) as f64;
    let others = run.calls.saturating_sub(few.calls).max(1) as f64;
    let since = (run.resident_kib - few.resident_kib) / others;
    let kib = match side {
        Side::Gateway => added.max(since),
        Side::Pipecat => added.min(since),
    };
    kib / 1024.0
}

fn one(
    setting: &Setting,
    load: &Load,
    tested: &Tested<'_>,
    first: u64,
    calls: usize,
) -> anyhow::Result<Run> {
    let (warm_up, measure) = if setting.quick {
        (Duration::from_secs(4), Duration::from_secs(10))
    } else {
        (Duration::from_secs(6), Duration::from_secs(30))
    };
    let before_kib = tested.program.resident_kib()?;
    let (side, to) = (tested.side, tested.to);
    let providers = load.providers.clone();
    let (clock, clock_then) = (tested.program.clock(), tested.program.clock());
    let (begun, began) = std::sync::mpsc::channel();
    let at_begin = move || {
        // Read by whoever waits for the end.
        let _ = begun.send((clock_then(), thread_time(&[THREAD])));
    };
    let heard = load.runtime.block_on(async move {
        let talk = async move {
            let streams = Streams::open(side, to, first, calls, &providers).await?;
            anyhow::Ok(streams.talk(warm_up, measure, at_begin).await)
        };
        tokio::spawn(talk).await
    });
    let heard = heard.context("the callers had a fault")??;
    let (tested_before, own_before) = began.recv().context("the run did not begin")?;
    let tested_time = clock().saturating_sub(tested_before);
    let own_time = thread_time(&[THREAD]).saturating_sub(own_before);
    let resident_kib = tested.program.resident_kib()?;
    let span = measure.as_secs_f64();
    Ok(Run {
        calls,
        heard,
        load: tested_time.as_secs_f64() / span,
        generator_load: own_time.as_secs_f64() / span,
        load_average: load_average(),
        before_kib,
        resident_kib,
        measured_s: span,
    })
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// pipecat as `scripts/install-pipecat.sh` installs it.
struct Pipecat {
    python: PathBuf,
    server: PathBuf,
}

impl Pipecat {
    fn find() -> Result<Self, NotInstalled> {
        let dir = std::env::var_os("SWITCHHOOK_PIPECAT_DIR")
            .map_or_else(|| PathBuf::from("var/pipecat"), PathBuf::from);
        let python = dir.join("venv/bin/python");
        let server = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("pipecat/server.py");
        if python.exists() && server.exists() {
            Ok(Self { python, server })
        } else {
            let why = "pipecat is not installed: scripts/install-pipecat.sh";
            Err(NotInstalled(why.to_owned()))
        }
    }

    fn start(
        &self,
        setting: &Setting,
        voice: &str,
    ) -> anyhow::Result<(Program, SocketAddr, TempDir)> {
        let address = free_port()?;
        let dir = tempfile::tempdir()?;
        let mut command = Command::new(std::path::absolute(&self.python)?);
        command
            .arg(&self.server)
            .args([&address.port().to_string(), voice])
            .current_dir(dir.path());
        let log = dir.path().join("pipecat.log");
        let mut program = Program::start("pipecat", command, setting.cores.tested, &log)?;
        program.wait_ready(|| answers_http(address, "/healthz", None))?;
        Ok((program, address, dir))
    }
}
