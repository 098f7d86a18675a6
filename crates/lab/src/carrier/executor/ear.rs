//! The carrier's ear during a Gather: what a person says aloud becomes words by the recogniser of
//! the configuration.

use std::time::Duration;

use tokio::time::Instant;

use super::Run;
use crate::audio::{Audio, FRAME_SAMPLES, rms};
use crate::carrier::people::line::Act;
use crate::carrier::room;

/// Louder than this is speech.
const LOUD: f64 = 0.01;
/// So many loud frames in a row begin a sentence.
const BEGINS: usize = 4;
/// A sentence is over after so much silence (wall time).
const PAUSE: Duration = Duration::from_millis(800);
/// Gather: at most 60 s of speech.
const LONGEST: Duration = Duration::from_secs(60);
/// Kept from before a sentence, so that its first sound is not lost.
const BEFORE: usize = 8_000 * 3 / 10;

/// Listens for ever; what it understands is said on the line.
pub(super) async fn listen(run: &Run, language: Option<&str>, wanted: bool) {
    let Some(recogniser) = run.shared.config.recogniser.clone().filter(|_| wanted) else {
        return std::future::pending().await;
    };
    let line = &run.leg.line;
    line.attach();
    let mut beat = room::beat();
    let mut heard: Vec<i16> = Vec::new();
    let (mut loud, mut began, mut last) = (0, None, Instant::now());
    loop {
        beat.tick().await;
        let frame = line.frame().unwrap_or([0; FRAME_SAMPLES]);
        heard.extend(frame);
        let now = Instant::now();
        if rms(&frame) > LOUD {
            loud += 1;
            last = now;
        } else {
            loud = 0;
        }
        match began {
            None if loud >= BEGINS => {
                began = Some(now);
                line.state().speaking = true;
                line.pulse.beat();
            }
            None => {
                let surplus = heard.len().saturating_sub(BEFORE);
                heard.drain(..surplus);
            }
            Some(at) if now - last >= PAUSE || now - at >= LONGEST => {
                let audio = Audio::phone(std::mem::take(&mut heard));
                began = None;
                let words = recogniser(audio, language.map(str::to_owned)).await;
                if let Some(text) = words.filter(|text| !text.trim().is_empty()) {
                    line.act_now(Act::Says {
                        text: text.trim().to_owned(),
                        confidence: 0.9,
                    });
                }
                line.state().speaking = false;
                line.pulse.beat();
            }
            Some(_) => {}
        }
    }
}
