//! What a caller said in a message that the carrier recorded. Staff get it in words, behind the notice that
//! there is a message: that could not wait until the carrier had its file.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchhook_adapters::{ListenHints, Pcm};
use switchhook_media::wav::{Wav, WavError};
use switchhook_model::{MessageId, RecordingId, Timestamp};
use switchhook_store::{
    MessageRow, NewWork, Queue, RecordingRow, Settlement, Step, StoreError, WorkRow,
};

use super::Engine;
use crate::bus::LiveEvent;
use crate::{clock, notices};

/// The kind of these jobs.
pub(super) const KIND: &str = "twilio_words";
/// Tries of a recogniser that is away: about ten minutes.
const TRIES: u32 = 9;
/// Quieter than this all along, nobody spoke: a recogniser would make something up.
const SILENCE: u16 = 500;

#[derive(Debug, Serialize, Deserialize)]
struct Job {
    recording: RecordingId,
}

/// Why there are no words.
struct Fault {
    text: String,
    is_retryable: bool,
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self {
            text: error.to_string(),
            is_retryable: true,
        }
    }
}

/// The job of a message that has just been fetched.
pub(super) fn owed(message: &RecordingRow, now: Timestamp) -> NewWork {
    NewWork {
        queue: Queue::Jobs,
        key: format!("words:{}", message.id),
        kind: KIND.to_owned(),
        call: Some(message.call.clone()),
        payload: serde_json::json!(Job {
            recording: message.id.clone(),
        }),
        at: now,
        next_at: now,
        claimed_until: None,
    }
}

impl Engine {
    /// One try; the words and the end of the job are one step.
    pub(super) async fn write_down(&self, row: &WorkRow) {
        let mut step = Step::default();
        let settlement = match self.words_of(row).await {
            Ok(Some((message, work))) => {
                step.messages.push(message);
                step.work.push(work);
                Settlement::Done
            }
            // Nobody spoke.
            Ok(None) => Settlement::Done,
            Err(fault) if fault.is_retryable && row.attempts < TRIES => {
                let wait = Duration::from_secs(2_u64.saturating_pow(row.attempts.clamp(1, 10)));
                let next_at = clock::now() + wait;
                let error = fault.text;
                Settlement::Retry { next_at, error }
            }
            Err(fault) => {
                tracing::warn!(
                    key = row.key,
                    error = fault.text,
                    "a message is not in words"
                );
                Settlement::Failed { error: fault.text }
            }
        };
        step.settle.push(row.settle(clock::now(), settlement));
        let shown: Vec<LiveEvent> = step.messages.iter().map(LiveEvent::message).collect();
        match self.shared.store.commit(step).await {
            Ok(_) => {
                for event in shown {
                    self.shared.bus.send(event);
                }
            }
            Err(error) => {
                tracing::error!(key = row.key, %error, "a message's words could not be stored");
            }
        }
    }

    async fn words_of(&self, row: &WorkRow) -> Result<Option<(MessageRow, NewWork)>, Fault> {
        let broken = |text: String| Fault {
            text,
            is_retryable: false,
        };
        let job: Job = serde_json::from_value(row.payload.clone())
            .map_err(|error| broken(format!("{:?} error", error.classify())))?;
        let id = row.call.as_ref();
        let id = id.ok_or_else(|| broken("a job without a call".to_owned()))?;
        let shared = &self.shared;
        let file = format!("{}.wav", job.recording.as_str());
        let path = shared.config.data.recordings.join(file);
        let most_s = shared.listener.capabilities().max_audio_s;
        let audio = tokio::task::spawn_blocking(move || spoken(&path, most_s))
            .await
            .map_err(|error| broken(error.to_string()))?
            .map_err(|error| broken(error.to_string()))?;
        let Some(audio) = audio else {
            return Ok(None);
        };
        let hints = ListenHints::default();
        let language = shared.config.language;
        let heard = shared.listener.transcribe(&audio, language, &hints).await;
        let heard = heard.map_err(|error| {
            metrics::counter!("switchhook_stt_errors_total").increment(1);
            Fault {
                is_retryable: error.is_retryable(),
                text: error.to_string(),
            }
        })?;
        let words = heard.text.trim();
        if words.is_empty() {
            return Ok(None);
        }
        let call = shared.store.call(id).await?;
        let caller = call.map(|call| call.head.caller).unwrap_or_default();
        let message = MessageId::from_unique(&format!("{}-words", job.recording.unique()));
        let text = (caller.as_str(), words);
        let now = clock::now();
        Ok(Some(notices::transcript(
            &shared.notices,
            id,
            &message,
            text,
            now,
        )))
    }
}

/// The caller's side, if anything is on it; of a long one as much as the recogniser takes.
fn spoken(path: &Path, most_s: u32) -> Result<Option<Pcm>, WavError> {
    let wav = Wav::read(path)?;
    let side = wav.samples.iter().step_by(usize::from(wav.channels.max(1)));
    let most = usize::try_from(most_s.saturating_mul(wav.rate_hz)).unwrap_or(usize::MAX);
    let samples: Vec<i16> = side.copied().take(most).collect();
    let is_heard = samples.iter().any(|sample| sample.unsigned_abs() > SILENCE);
    Ok(is_heard.then(|| Pcm::new(samples, wav.rate_hz)))
}
