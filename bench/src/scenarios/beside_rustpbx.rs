//! The calls of [`super::sip_bridged`] in rustpbx.

use anyhow::Context;

use super::Setting;
use super::sip_bridged::{self, EXTENSION, PASSWORD, tell};
use crate::report::{Line, Report, Target};
use crate::rustpbx::Rustpbx;

pub(super) fn run(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    // First, because it may not be there.
    let peer = {
        let mut rustpbx = Rustpbx::start(setting, EXTENSION, PASSWORD)?;
        sip_bridged::measure(setting, &rustpbx.program, &mut rustpbx.phones).context("rustpbx")?
    };
    tell("rustpbx", &peer);
    let ours = sip_bridged::gateway(setting)?;
    tell("the gateway", &ours);

    let line = Line::new(1.0 / ours.share(), "concurrent calls of two legs per core")
        .peer(Some(1.0 / peer.share()))
        .target(Target::RatioAtLeast(3.0))
        .note(sip_bridged::note(&ours));
    report.add(
        "beside_rustpbx_calls_per_core",
        sip_bridged::details(line, &ours, Some(&peer)),
    );
    let line = sip_bridged::cpu(&ours, Some(&peer));
    report.add("beside_rustpbx_cpu_per_call", line);
    let line = sip_bridged::memory(&ours, Some(&peer));
    report.add("beside_rustpbx_rss_per_call", line);
    Ok(())
}
