//! Record: what the caller plays or says after the beep.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::{Run, Source, Step};
use crate::audio::{rms, tone};
use crate::carrier::Shared;
use crate::carrier::leg::{Leg, Status};
use crate::carrier::log::lock;
use crate::carrier::people::Heard;
use crate::carrier::people::line::{Act, Wanted};
use crate::carrier::recordings::{Callback, samples_of};
use crate::carrier::sign::pair;
use crate::carrier::twiml::Element;

/// What is louder than this is no silence.
const SILENCE: f64 = 0.003;
/// The pitch that stands for words in the file.
const VOICE_HZ: f64 = 220.0;

/// A recording whose end is still to come, also if the person hangs up.
#[derive(Debug)]
pub(in crate::carrier) struct Unfinished {
    samples: Arc<Mutex<Vec<i16>>>,
    began: Instant,
    callback: Callback,
    /// Without the parameters of the recording.
    action: Source,
}

pub(super) async fn record(run: &Run, verb: &Element) -> Step {
    run.answer();
    let line = &run.leg.line;
    let own = verb.attribute("action").filter(|a| !a.is_empty());
    let own = own.or(run.base.as_deref()).unwrap_or_default();
    let Some(action) = run.source(own, verb, Vec::new()) else {
        return Step::HangUp(Status::Completed);
    };
    let listening = line.listen();
    line.attach();
    if verb.is_true("playBeep", true) {
        line.hear(Heard::Beep);
    }
    let samples = Arc::new(Mutex::new(Vec::new()));
    run.leg.state().on_hangup.record = Some(Unfinished {
        samples: Arc::clone(&samples),
        began: Instant::now(),
        callback: Callback::of(verb, |url| run.resolve(url)),
        action,
    });
    let ended_by = listen(run, verb, &samples).await;
    drop(listening);
    let unfinished = run.leg.state().on_hangup.record.take();
    let is_empty = lock(&samples).is_empty();
    match unfinished {
        // Record: a caller who does not speak at all falls through to the next verb.
        Some(_) if is_empty && ended_by.is_none() => Step::Next,
        Some(unfinished) => {
            let digits = ended_by.map(String::from).unwrap_or_default();
            Step::Goto(finish(&run.shared, &run.leg, unfinished, &digits))
        }
        None => Step::Next,
    }
}

/// Records until a key, the maximum, or silence; gives the key.
async fn listen(run: &Run, verb: &Element, samples: &Mutex<Vec<i16>>) -> Option<char> {
    let line = &run.leg.line;
    let pace = run.shared.config.pace;
    let finish_on = verb.attribute("finishOnKey").unwrap_or("1234567890*#");
    // Record: 0 switches the end by silence off.
    let silence = Duration::from_secs(verb.number("timeout", 5));
    let longest = pace.wall(Duration::from_secs(verb.number("maxLength", 3_600)));
    let began = Instant::now();
    let mut voice_until = began;
    let mut beat = super::super::room::beat();
    loop {
        beat.tick().await;
        let now = Instant::now();
        if let Some(frame) = line.frame() {
            lock(samples).extend(frame);
            if rms(&frame) > SILENCE {
                voice_until = now;
            }
        }
        match line.take(Wanted::ALL, !line.is_playing()) {
            Some(Act::Presses(key)) if finish_on.contains(key) => return Some(key),
            Some(Act::Says { text, .. }) => {
                let lasts = pace.speaking(&text);
                let ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
                lock(samples).extend(tone::sine(VOICE_HZ, ms).samples);
                voice_until = now + pace.wall(lasts);
            }
            Some(Act::Presses(_)) | None => {}
        }
        if now - began >= longest {
            return None;
        }
        let nothing_yet = lock(samples).is_empty();
        let patience = if nothing_yet && !line.state().silent {
            pace.grace.max(pace.wall(silence))
        } else {
            pace.wall(silence)
        };
        let is_silent = now.saturating_duration_since(voice_until) >= patience;
        if !silence.is_zero() && is_silent && !line.is_playing() {
            return None;
        }
    }
}

/// Keeps the recording, and gives the request to the action with `RecordingUrl`,
/// `RecordingDuration` and `Digits` (the ending key, or `hangup`).
pub(in crate::carrier) fn finish(
    shared: &Arc<Shared>,
    leg: &Arc<Leg>,
    unfinished: Unfinished,
    digits: &str,
) -> Source {
    let mut samples = std::mem::take(&mut *lock(&unfinished.samples));
    // What was silent at the end belongs to it.
    let lasted = unfinished.began.elapsed();
    samples.resize(samples.len().max(samples_of(lasted)), 0);
    let played = Duration::from_millis(samples.len() as u64 / 8);
    let seconds = shared
        .config
        .pace
        .carrier(lasted)
        .max(played)
        .as_secs()
        .max(1);
    let sid = shared.add_recording(
        &leg.sid,
        "RecordVerb",
        &samples,
        seconds,
        &unfinished.callback,
    );
    match unfinished.action {
        Source::Fetch {
            url,
            method,
            mut extra,
        } => {
            extra.push(pair("RecordingUrl", shared.recording_url(&sid)));
            extra.push(pair("RecordingSid", &sid));
            extra.push(pair("RecordingDuration", seconds.to_string()));
            extra.push(pair("Digits", digits));
            Source::Fetch { url, method, extra }
        }
        inline @ Source::Inline(_) => inline,
    }
}
