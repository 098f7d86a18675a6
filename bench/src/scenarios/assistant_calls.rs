//! Calls with an instant assistant, and what voice detection costs.

use anyhow::Context;
use switchhook_media::Codec;
use switchhook_media::bench_io::pin_to_core;

use super::{Named, Setting, capacity};
use crate::assistants::Assistants;
use crate::report::{Line, Report, Target, loads};
use crate::speech;

const UNIT: &str = "concurrent calls with an assistant per core";

pub(super) fn subjects(setting: &Setting) -> Vec<Named> {
    let effort = setting.effort.with_assistants();
    figures(setting)
        .into_iter()
        .map(|figure| -> Named { (figure.what, Box::new(figure.subject), effort) })
        .collect()
}

/// A figure of this scenario.
struct Figure {
    name: &'static str,
    what: &'static str,
    subject: Assistants,
    target: Option<f64>,
}

fn figures(setting: &Setting) -> Vec<Figure> {
    let plain = Assistants::PLAIN;
    let listening = Assistants {
        voice_detection: true,
        ..Assistants::PLAIN
    };
    let recorded = Assistants {
        record_into: Some(setting.data_dir.clone()),
        ..listening.clone()
    };
    let protected = Assistants {
        is_protected: true,
        ..recorded.clone()
    };
    let opus = Assistants {
        codec: Codec::Opus,
        ..listening.clone()
    };
    let figure = |name, what, subject, target| Figure {
        name,
        what,
        subject,
        target,
    };
    vec![
        figure(
            "assistant_calls_per_core",
            "assistant, no voice detection",
            plain,
            None,
        ),
        figure(
            "assistant_calls_vad_per_core",
            "assistant, voice detection",
            listening,
            Some(600.0),
        ),
        figure(
            "assistant_calls_vad_recorded_per_core",
            "assistant, voice detection, recorded",
            recorded,
            None,
        ),
        figure(
            "assistant_calls_vad_recorded_srtp_per_core",
            "assistant, voice detection, recorded, SRTP",
            protected,
            Some(300.0),
        ),
        figure(
            "assistant_calls_vad_opus_per_core",
            "assistant, voice detection, Opus",
            opus,
            None,
        ),
    ]
}

pub(super) fn run(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let effort = setting.effort.with_assistants();
    for figure in figures(setting) {
        let what = figure.what;
        let found = capacity(setting, what, &figure.subject, effort).context(what)?;
        let mut line = Line::new(found.calls as f64, UNIT)
            .run("", &found)
            .detail("speech_duty", speech::DUTY)
            .note(loads(&found));
        if let Some(target) = figure.target {
            line = line.target(Target::AtLeast(target));
        }
        report.add(figure.name, line);
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
