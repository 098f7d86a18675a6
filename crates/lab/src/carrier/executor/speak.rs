//! Say, Play and Pause.

use std::time::Duration;

use super::{Run, Step};
use crate::audio::wav;
use crate::audio::{Audio, FRAME_SAMPLES};
use crate::carrier::Words;
use crate::carrier::leg::Status;
use crate::carrier::people::Heard;
use crate::carrier::room;
use crate::carrier::twiml::Element;

/// How long a file lasts that is no WAV.
const UNKNOWN_FILE: Duration = Duration::from_secs(2);
/// Say: at most so many characters.
const SAY_CHARS: usize = 4_096;

/// Plays nested Say, Play and Pause one after the other.
pub(super) async fn prompts(run: &Run, verbs: &[Element]) {
    for verb in verbs {
        run.note(verb);
        match verb.name.as_str() {
            "Say" => drop(say(run, verb).await),
            "Play" => drop(play(run, verb).await),
            "Pause" => drop(pause(run, verb).await),
            _ => {}
        }
    }
}

pub(super) async fn say(run: &Run, verb: &Element) -> Step {
    run.answer();
    let text = verb.text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() > SAY_CHARS {
        let warning = format!("<Say> holds more than {SAY_CHARS} characters");
        run.shared.problem(12200, &run.leg.sid, warning);
    }
    if text.is_empty() {
        return Step::Next;
    }
    let attribute = |name: &str| verb.attribute(name).map(str::to_owned);
    let words = Words {
        text: text.clone(),
        voice: attribute("voice"),
        language: attribute("language"),
    };
    let spoken = match &run.shared.config.voice {
        Some(voice) => voice(words).await,
        None => None,
    };
    let mut left = times(verb);
    while left > 0 {
        left -= 1;
        let place = run.leg.line.hear(Heard::Said {
            text: text.clone(),
            voice: attribute("voice"),
            language: attribute("language"),
            to_end: false,
        });
        match &spoken {
            Some(audio) => aloud(run, audio).await,
            None => run.pass(run.shared.config.pace.speaking(&text)).await,
        }
        run.leg.line.heard_to_end(place);
    }
    Step::Next
}

/// Audio is not hurried: a frame is 20 ms.
async fn aloud(run: &Run, audio: &Audio) {
    let mut beat = room::beat();
    for samples in audio.samples.chunks(FRAME_SAMPLES) {
        beat.tick().await;
        let mut frame = [0i16; FRAME_SAMPLES];
        frame[..samples.len()].copy_from_slice(samples);
        run.leg.line.hear_frame(&frame);
    }
}

/// `loop`: 1 if missing; 0 repeats until somebody ends it.
fn times(verb: &Element) -> u64 {
    match verb.number("loop", 1) {
        0 => u64::MAX,
        given => given,
    }
}

pub(super) async fn play(run: &Run, verb: &Element) -> Step {
    run.answer();
    if let Some(digits) = verb.attribute("digits") {
        run.leg.line.hear(Heard::Keys {
            digits: digits.to_owned(),
        });
        let each = u32::try_from(digits.chars().count()).unwrap_or(u32::MAX);
        run.pass(Duration::from_millis(200).saturating_mul(each))
            .await;
        return Step::Next;
    }
    let Some(url) = run.resolve(verb.text.trim()) else {
        return Step::HangUp(Status::Completed);
    };
    let audio = match file(run, &url).await {
        Ok(audio) => audio,
        Err(cause) => {
            run.shared.problem(11200, &run.leg.sid, cause);
            return Step::Next;
        }
    };
    let mut left = times(verb);
    while left > 0 {
        left -= 1;
        run.leg.line.hear(Heard::Played { url: url.clone() });
        match &audio {
            Some(audio) => aloud(run, audio).await,
            None => run.pass(UNKNOWN_FILE).await,
        }
    }
    Step::Next
}

/// A file to be played; `None` if it is there but no WAV.
async fn file(run: &Run, url: &str) -> Result<Option<Audio>, String> {
    let parsed = url::Url::parse(url).map_err(|e| format!("{url}: {e}"))?;
    let (target, host) = run.shared.route(&parsed);
    let mut request = crate::carrier::client(Duration::from_secs(5)).get(target);
    if let Some(host) = host {
        request = request.header("host", host);
    }
    let sent = request.timeout(Duration::from_secs(15)).send().await;
    let response = sent.map_err(|e| format!("{url}: {e}"))?;
    if !response.status().is_success() {
        return Err(format!("{url} answered {}", response.status()));
    }
    let bytes = response.bytes().await.map_err(|e| format!("{url}: {e}"))?;
    let Ok(mut reader) = hound::WavReader::new(&bytes[..]) else {
        return Ok(None);
    };
    let spec = reader.spec();
    let samples: Result<Vec<i16>, _> = reader
        .samples::<i16>()
        .step_by(usize::from(spec.channels.max(1)))
        .collect();
    Ok(samples.ok().map(|samples| {
        wav::to_phone_rate(&Audio {
            rate_hz: spec.sample_rate,
            samples,
        })
    }))
}

/// Pause: as the first verb the call is answered after it.
pub(super) async fn pause(run: &Run, verb: &Element) -> Step {
    run.pass(Duration::from_secs(verb.number("length", 1)))
        .await;
    run.answer();
    Step::Next
}
