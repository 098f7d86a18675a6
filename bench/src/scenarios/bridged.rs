//! Two bridged legs of the media engine, beside the plain UDP echo.

use anyhow::Context;

use super::{Named, Setting, capacity};
use crate::report::{Line, Report, Target, loads};
use crate::search::{Bridges, Capacity, PlainEcho};

const UNIT: &str = "concurrent calls of two legs per core";

pub(super) fn subjects(setting: &Setting) -> Vec<Named> {
    vec![
        ("plain UDP echo", Box::new(PlainEcho), setting.effort),
        ("bridged", Box::new(Bridges::SAME_CODEC), setting.effort),
        (
            "bridged and transcoded",
            Box::new(Bridges::TRANSCODED),
            setting.effort,
        ),
    ]
}

pub(super) fn run(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let effort = setting.effort;
    let echo = capacity(setting, "plain UDP echo", &PlainEcho, effort).context("plain UDP echo")?;
    let bridge =
        capacity(setting, "bridged", &Bridges::SAME_CODEC, effort).context("bridged calls")?;
    let line = calls(&bridge, &echo).target(Target::RatioAtLeast(0.6));
    report.add("bridged_pcmu_calls_per_core", line);
    // What a packet costs, whatever load was reached: less noisy than the search.
    let cost = Line::new(
        us_per_packet(&bridge),
        "µs of processor time per packet in and out",
    )
    .less_is_better()
    .ceiling(us_per_packet(&echo));
    report.add("bridged_pcmu_packet_cost", cost);
    if !setting.quick {
        let transcoded = capacity(setting, "transcoded", &Bridges::TRANSCODED, effort)
            .context("transcoded calls")?;
        report.add(
            "bridged_pcmu_pcma_calls_per_core",
            calls(&transcoded, &echo),
        );
    }
    Ok(())
}

fn calls(ours: &Capacity, echo: &Capacity) -> Line {
    Line::new(ours.calls as f64, UNIT)
        .ceiling(echo.calls as f64)
        .run("", ours)
        .run("ceiling_", echo)
        .note(loads(ours))
}

/// Two streams of 50 packets a second for each call.
fn us_per_packet(run: &Capacity) -> f64 {
    run.outcome.load * 1e6 / (run.calls as f64 * 100.0)
}
