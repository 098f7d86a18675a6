//! Calls bridged by whole products, set up by SIP: the gateway and Asterisk (and rustpbx:
//! [`super::beside_rustpbx`]). Same generator, same
//! number of calls, one after the other on the same core.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::Setting;
use crate::asterisk::Asterisk;
use crate::gateway::Gateway;
use crate::generator::{self, Carries, Outcome, Sockets, Stream};
use crate::process::Program;
use crate::report::{Line, Report, Target};
use crate::say;
use crate::ua::{Phones, Placed};

/// Calls at which both products are measured. Asterisk needs half a core for them.
const CALLS: usize = 200;
/// Before memory is read for the first time: they bring in code and make what all calls share.
const FIRST_CALLS: usize = 20;
pub(super) const EXTENSION: &str = "2001";
pub(super) const PASSWORD: &str = "bench-2001";

/// The called phone, for the gateway's configuration.
pub(super) const EXTENSION_CONFIG: &str =
    "[extensions.2001]\nname = \"Bench\"\npassword = \"bench-2001\"\n";

/// What a product needed.
pub(super) struct Needs {
    outcome: Outcome,
    /// Of all calls but the first ones.
    kib_per_call: f64,
    /// Of all calls, from a program that has had none.
    kib_per_call_from_none: f64,
}

impl Needs {
    /// Of a core, per call.
    pub(super) fn share(&self) -> f64 {
        self.outcome.load / CALLS as f64
    }
}

pub(super) fn run(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let ours = gateway(setting)?;
    tell("the gateway", &ours);
    // Without a peer our figures stand alone.
    let peer = match peer(setting) {
        Ok(needs) => {
            tell("Asterisk", &needs);
            Some(needs)
        }
        Err(error) => {
            say(&format!("  Asterisk: {error:#}"));
            report.leave_out("Asterisk", format!("{error:#}"));
            None
        }
    };
    let peer = peer.as_ref();
    let line = Line::new(1.0 / ours.share(), "concurrent calls of two legs per core")
        .peer(peer.map(|needs| 1.0 / needs.share()))
        .target(Target::RatioAtLeast(4.0))
        .note(note(&ours));
    report.add("sip_bridged_calls_per_core", details(line, &ours, peer));
    report.add("sip_bridged_cpu_per_call", cpu(&ours, peer));
    let line = memory(&ours, peer).target(Target::AtMost(60.0));
    report.add("sip_bridged_rss_per_call", line);
    Ok(())
}

pub(super) fn note(needs: &Needs) -> String {
    format!("extrapolated from {CALLS} calls, {}", loads(needs))
}

pub(super) fn cpu(ours: &Needs, peer: Option<&Needs>) -> Line {
    Line::new(ours.share() * 100.0, "% of a core per bridged call")
        .less_is_better()
        .peer(peer.map(|needs| needs.share() * 100.0))
}

pub(super) fn memory(ours: &Needs, peer: Option<&Needs>) -> Line {
    Line::new(ours.kib_per_call, "KiB of RAM per bridged call")
        .less_is_better()
        .peer(peer.map(|needs| needs.kib_per_call))
        .detail("calls", (CALLS - FIRST_CALLS) as f64)
        .detail("kib_per_call_from_none", ours.kib_per_call_from_none)
        .detail(
            "peer_kib_per_call_from_none",
            peer.map_or(0.0, |p| p.kib_per_call_from_none),
        )
}

/// The gateway carrying the calls.
pub(super) fn gateway(setting: &Setting) -> anyhow::Result<Needs> {
    let gateway = Gateway::start(setting, "http://127.0.0.1:9", EXTENSION_CONFIG)?;
    let mut phones = phones_of(&gateway)?;
    measure(setting, &gateway.program, &mut phones).context("the gateway")
}

fn peer(setting: &Setting) -> anyhow::Result<Needs> {
    let mut asterisk = Asterisk::start(setting)?;
    measure(setting, &asterisk.program, &mut asterisk.phones)
}

/// Phones that know the gateway, the called one registered.
pub(super) fn phones_of(gateway: &Gateway) -> anyhow::Result<Phones> {
    let phones = Phones::new(gateway.sip)?;
    phones.register(EXTENSION, PASSWORD)?;
    Ok(phones)
}

/// What a product needs for the calls; its phones know it already.
pub(super) fn measure(
    setting: &Setting,
    program: &Program,
    phones: &mut Phones,
) -> anyhow::Result<Needs> {
    let sockets = Sockets::bind()?;
    let before = program.resident_kib()?;
    let mut streams = place_all(phones, &sockets, 0..FIRST_CALLS)?;
    let warm = program.resident_kib()?;
    streams.extend(place_all(phones, &sockets, FIRST_CALLS..CALLS)?);
    let (warm_up, measure) = spans(setting);
    let outcome = generator::run(
        sockets,
        streams,
        setting.cores.generator,
        program.clock(),
        warm_up,
        measure,
    )?;
    let after = program.resident_kib()?;
    let kib_per_call = (after - warm) / (CALLS - FIRST_CALLS) as f64;
    let kib_per_call_from_none = (after - before) / CALLS as f64;
    // Late frames are the machine's noise; missing ones would be work that was not done.
    ensure!(
        outcome.missing_share() < 0.01,
        "{:.1} % of the frames did not come back as they were sent",
        outcome.missing_share() * 100.0
    );
    Ok(Needs {
        outcome,
        kib_per_call,
        kib_per_call_from_none,
    })
}

/// Unmeasured and measured time.
pub(super) fn spans(setting: &Setting) -> (Duration, Duration) {
    let measured = if setting.quick { 5 } else { 20 };
    (Duration::from_millis(2_600), Duration::from_secs(measured))
}

/// Sets up calls one after the other; both directions of each.
pub(super) fn place_all(
    phones: &mut Phones,
    sockets: &Sockets,
    calls: Range<usize>,
) -> anyhow::Result<Vec<Stream>> {
    let mut streams = Vec::with_capacity(2 * calls.len());
    for call in calls {
        let audio = (sockets.address(2 * call)?, sockets.address(2 * call + 1)?);
        match phones.place(EXTENSION, audio.0, audio.1)? {
            Placed::Bridged { caller, called } => {
                for (to, back_from) in [(caller, called), (called, caller)] {
                    streams.push(Stream {
                        to,
                        back_from,
                        carries: Carries::MARKS,
                        keys: None,
                    });
                }
            }
            Placed::Refused(status) => bail!("call {call} was refused with {status}"),
        }
    }
    Ok(streams)
}

pub(super) fn details(mut line: Line, ours: &Needs, peer: Option<&Needs>) -> Line {
    let both = [("", Some(ours)), ("peer_", peer)];
    for (prefix, needs) in both {
        let Some(needs) = needs else { continue };
        for (name, value) in [
            ("load", needs.outcome.load),
            ("generator_load", needs.outcome.generator_load),
            ("bad_share", needs.outcome.bad_share()),
            ("transit_p50_ms", needs.outcome.transit_p50_ms),
            ("transit_p99_ms", needs.outcome.transit_p99_ms),
        ] {
            line = line.detail(format!("{prefix}{name}"), value);
        }
    }
    line.detail("calls", CALLS as f64)
}

fn loads(needs: &Needs) -> String {
    let outcome = &needs.outcome;
    format!(
        "core {:.0} %, generator {:.0} %, late {:.2} %",
        outcome.load * 100.0,
        outcome.generator_load * 100.0,
        outcome.bad_share() * 100.0
    )
}

pub(super) fn tell(what: &str, needs: &Needs) {
    say(&format!(
        "  {what}: {CALLS} calls, {}, {:.0} KiB a call",
        loads(needs),
        needs.kib_per_call
    ));
}
