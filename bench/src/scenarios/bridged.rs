//! Two bridged legs of the media engine, beside the plain UDP echo.

use anyhow::Context;

use super::{Named, Setting, capacity};
use crate::report::{Line, Report, Target, loads};
use crate::search::{Bridges, Capacity, PlainEcho};
use crate::speech;

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
        (
            "bridged, SRTP on both legs",
            Box::new(Bridges::PROTECTED),
            setting.effort,
        ),
        (
            "bridged, PCMU and Opus",
            Box::new(Bridges::OPUS),
            setting.effort.with_assistants(),
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
    let protected = capacity(setting, "SRTP on both legs", &Bridges::PROTECTED, effort)
        .context("calls with SRTP")?;
    report.add("bridged_srtp_calls_per_core", calls(&protected, &echo));
    // Most of it is coding, so an echo is no ceiling of it.
    let opus = capacity(
        setting,
        "PCMU and Opus",
        &Bridges::OPUS,
        effort.with_assistants(),
    )
    .context("calls between PCMU and Opus")?;
    let line = Line::new(opus.calls as f64, UNIT)
        .run("", &opus)
        .detail("speech_duty", speech::DUTY)
        .note(loads(&opus));
    report.add("bridged_pcmu_opus_calls_per_core", line);
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
