//! Calls with an instant assistant, and what voice detection costs.

use anyhow::Context;
use switchhook_media::bench_io::pin_to_core;

use super::{Named, Setting, capacity};
use crate::assistants::Assistants;
use crate::report::{Line, Report, Target, loads};
use crate::speech;

const UNIT: &str = "concurrent calls with an assistant per core";

pub(super) fn subjects(setting: &Setting) -> Vec<Named> {
    let effort = setting.effort.with_assistants();
    let boxed = |name, subject| -> Named { (name, Box::new(subject), effort) };
    vec![
        boxed("assistant, no voice detection", plain()),
        boxed("assistant, voice detection", with_voice_detection()),
        boxed("assistant, voice detection, recorded", recorded(setting)),
    ]
}

fn plain() -> Assistants {
    Assistants::default()
}

fn with_voice_detection() -> Assistants {
    Assistants {
        voice_detection: true,
        ..Assistants::default()
    }
}

fn recorded(setting: &Setting) -> Assistants {
    Assistants {
        record_into: Some(setting.data_dir.clone()),
        ..with_voice_detection()
    }
}

pub(super) fn run(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let effort = setting.effort.with_assistants();
    for (name, what, subject, target) in [
        (
            "assistant_calls_per_core",
            "no voice detection",
            plain(),
            None,
        ),
        (
            "assistant_calls_vad_per_core",
            "voice detection",
            with_voice_detection(),
            Some(600.0),
        ),
        (
            "assistant_calls_vad_recorded_per_core",
            "voice detection, recorded",
            recorded(setting),
            Some(300.0),
        ),
    ] {
        let found = capacity(setting, what, &subject, effort).context(what)?;
        let mut line = Line::new(found.calls as f64, UNIT)
            .run("", &found)
            .detail("speech_duty", speech::DUTY)
            .note(loads(&found));
        if let Some(target) = target {
            line = line.target(Target::AtLeast(target));
        }
        report.add(name, line);
    }
    voice_cost(setting, report)
}

/// The detector alone, in speech and in pauses: shows whether the gate before the network works.
fn voice_cost(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    pin_to_core(setting.cores.tested)?;
    let cost = speech::voice_cost(if setting.quick { 10 } else { 50 });
    for (name, us, voiced) in [
        ("vad_speech_frame", cost.speech_us, cost.voiced_in_speech),
        ("vad_pause_frame", cost.pause_us, cost.voiced_in_pauses),
    ] {
        let line = Line::new(us, "µs of processor time per frame of 20 ms")
            .detail("voiced_share", voiced)
            .note(format!("{:.0} % of them heard as voice", voiced * 100.0));
        report.add(name, line);
    }
    Ok(())
}
