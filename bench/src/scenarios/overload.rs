//! Twice the admitted load: the gateway carries as many calls as its configuration admits, as many
//! again knock, and those that run must not notice.

use std::time::Instant;

use anyhow::ensure;

use super::{Setting, sip_bridged};
use crate::gateway::{self, Gateway};
use crate::generator::{self, Sockets};
use crate::report::{Line, Report, Target};
use crate::say;
use crate::ua::Placed;

pub(super) fn run(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let calls = if setting.quick { 150 } else { 400 };
    let limits = gateway::Limits {
        max_legs: 2 * calls,
    };
    let gateway = Gateway::start_limited(
        setting,
        "http://127.0.0.1:9",
        sip_bridged::EXTENSION_CONFIG,
        limits,
    )?;
    let mut phones = sip_bridged::phones_of(&gateway)?;
    let sockets = Sockets::bind()?;
    let streams = sip_bridged::place_all(&mut phones, &sockets, 0..calls)?;
    let audio = sockets.address(0)?;
    let (warm_up, measure) = sip_bridged::spans(setting);
    let clock = gateway.program.clock();
    let core = setting.cores.generator;
    let load =
        std::thread::spawn(move || generator::run(sockets, streams, core, clock, warm_up, measure));
    // They knock while frames are counted.
    let counting = Instant::now() + warm_up;
    while let Some(wait) = counting.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(wait);
    }
    let (mut unavailable, mut otherwise) = (0, 0);
    for _ in 0..calls {
        match phones.place("2001", audio, audio)? {
            Placed::Refused(503) => unavailable += 1,
            Placed::Refused(_) | Placed::Bridged { .. } => otherwise += 1,
        }
        if load.is_finished() {
            break;
        }
    }
    let outcome = match load.join() {
        Ok(outcome) => outcome?,
        Err(_) => anyhow::bail!("the load generator had a fault"),
    };
    let knocked = unavailable + otherwise;
    ensure!(knocked > 0, "nobody knocked while frames were counted");
    say(&format!(
        "  {calls} calls run, {knocked} knocked, {unavailable} got 503; late or lost {:.2} %",
        outcome.bad_share() * 100.0
    ));
    let line = Line::new(
        outcome.bad_share() * 100.0,
        "% of running calls' frames late or lost",
    )
    .target(Target::AtMost(1.0))
    .detail("running_calls", calls as f64)
    .detail("knocked", f64::from(knocked))
    .detail("load", outcome.load)
    .detail("generator_load", outcome.generator_load)
    .note(format!("{calls} calls run, {knocked} more knock"));
    report.add("overload_late_frames", line);
    let share = f64::from(unavailable) / f64::from(knocked) * 100.0;
    let line = Line::new(share, "% of calls beyond the limit refused with 503");
    report.add("overload_refused", line.target(Target::AtLeast(100.0)));
    Ok(())
}
