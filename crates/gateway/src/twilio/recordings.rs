//! Recordings the carrier made: fetched into our own directory, so that they are there when the
//! carrier's are deleted, and behind our own rights.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use switchhook_adapters::twilio::rest::{AudioFile, RecordingChange};
use switchhook_adapters::twilio::webhook::{RecordingStatus, RecordingUpdate, Webhook};
use switchhook_adapters::twilio::{CallSid, Carrier, ErrorKind, Params, TwilioError};
use switchhook_model::{CallId, RecordingId, Timestamp};
use switchhook_store::{
    Claim, NewWork, Queue, RecordingRow, RecordingState, Settlement, Step, StoreError, WorkRow,
};
use tokio::io::AsyncWriteExt;

use super::Engine;
use super::channel::State;
use super::engine::StepError;
use super::words;
use crate::{calls, clock};

/// The kind of these jobs.
const KIND: &str = "twilio_recording";
const LEASE: Duration = Duration::from_secs(120);
/// Tries until a recording counts as lost: about two hours.
const TRIES: u32 = 12;

#[derive(Debug, Serialize, Deserialize)]
struct Job {
    sid: String,
    recording: RecordingId,
    call: CallId,
    started_at: i64,
    /// What a caller left: staff get its words, too.
    #[serde(default)]
    is_message: bool,
}

/// How a recorded message is marked (Recording status callback, `RecordingSource`).
const MESSAGE: &str = "RecordVerb";

/// Why a recording was not paused or resumed.
#[derive(Debug)]
pub enum OrderFault {
    /// The call is not the carrier's.
    NotHere,
    /// Nothing is recorded, or not any more.
    NotRecorded,
    /// The carrier did not take it.
    Carrier(TwilioError),
    Store(StoreError),
}

impl From<StoreError> for OrderFault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Engine {
    /// Pauses or resumes what the carrier records of a call that goes on: from when this returns, the
    /// file holds silence, or audio again.
    pub async fn order_recording(
        &self,
        call: &CallId,
        paused: bool,
        by: &str,
    ) -> Result<(), OrderFault> {
        let store = &self.shared.store;
        let row = store.call(call).await?;
        let stored = row.and_then(|row| row.channel_state);
        let state = stored.ok_or(OrderFault::NotHere)?.read::<State>().ok();
        // A call that is acted, or that the carrier has not told of yet, has no leg there.
        let sid: Option<CallSid> = state.and_then(|state| state.caller_sid.parse().ok());
        let (Some(sid), Some(carrier)) = (sid, &self.carrier) else {
            return Err(OrderFault::NotRecorded);
        };
        let change = if paused {
            RecordingChange::PauseSilent
        } else {
            RecordingChange::Resume
        };
        let told = carrier.update_recording(&sid, None, change).await;
        told.map_err(|error| match error.kind {
            ErrorKind::Gone => OrderFault::NotRecorded,
            _ => OrderFault::Carrier(error),
        })?;
        let step = Step {
            events: vec![calls::recording_paused(call, clock::now(), paused, by)],
            ..Step::default()
        };
        // It is done: that it cannot be noted changes nothing for whoever asked.
        if let Err(error) = store.commit(step).await {
            tracing::error!(call.id = %call, %error, "that a recording was paused is not noted");
        }
        Ok(())
    }

    /// The carrier has a recording: it is to be fetched, once.
    pub(super) async fn recording_reported(
        self: &Arc<Self>,
        params: &Params,
    ) -> Result<(), StepError> {
        let webhook = Webhook::new(params);
        let (Some(update), Ok(leg)) = (webhook.recording(), webhook.call_sid()) else {
            return Ok(());
        };
        if update.status != Some(RecordingStatus::Completed) {
            return Ok(());
        }
        let Some(call) = self.call_of(leg.as_str()).await? else {
            return Ok(());
        };
        let is_message = update.source == Some(MESSAGE);
        let told = if is_message {
            let program = params.get("n").and_then(|n| n.parse().ok());
            let length = update.duration.unwrap_or_default();
            self.tell_message(&call, program, length).await
        } else {
            Ok(())
        };
        // The file is fetched whether or not the call can take it.
        self.owe_recording(call, &update, is_message)
            .await
            .and(told)
    }

    /// The action of a Record names the recording of the message: it is fetched if its report is lost.
    pub(super) async fn message_recorded(
        self: &Arc<Self>,
        params: &Params,
    ) -> Result<(), StepError> {
        let webhook = Webhook::new(params);
        let (Some(update), Ok(leg)) = (webhook.recording(), webhook.call_sid()) else {
            return Ok(());
        };
        // Of silence there may be no file.
        if update.duration.unwrap_or_default().is_zero() {
            return Ok(());
        }
        match self.call_of(leg.as_str()).await? {
            Some(call) => self.owe_recording(call, &update, true).await,
            None => Ok(()),
        }
    }

    async fn owe_recording(
        &self,
        call: CallId,
        update: &RecordingUpdate<'_>,
        is_message: bool,
    ) -> Result<(), StepError> {
        let Some(sid) = update.sid else { return Ok(()) };
        let now = clock::now();
        let started_at = now - update.duration.unwrap_or_default();
        // By the carrier's id: a repeated report names the same row.
        let unique: String = sid.chars().filter(char::is_ascii_alphanumeric).collect();
        let recording = RecordingId::from_unique(&format!("{}-{unique}", call.unique()));
        let row = RecordingRow {
            id: recording.clone(),
            call: call.clone(),
            file: format!("{}.wav", recording.as_str()),
            state: RecordingState::Recording,
            started_at,
            ended_at: None,
            duration_ms: None,
            error: None,
        };
        let key = format!("recording:{sid}");
        let store = &self.shared.store;
        if store.work(Queue::Jobs, &key).await?.is_some() {
            return Ok(());
        }
        let job = Job {
            sid: sid.to_owned(),
            recording,
            call: call.clone(),
            started_at: started_at.as_millis(),
            is_message,
        };
        let work = NewWork {
            queue: Queue::Jobs,
            key,
            kind: KIND.to_owned(),
            call: Some(call),
            payload: serde_json::json!(job),
            at: now,
            next_at: now,
            claimed_until: None,
        };
        let step = Step {
            recordings: vec![row],
            work: vec![work],
            ..Step::default()
        };
        store
            .commit(step)
            .await
            .map(|_| ())
            .map_err(|error| StepError::Store(error.to_string()))
    }

    /// Tells the call, in case the Record's action is lost.
    async fn tell_message(
        self: &Arc<Self>,
        call: &CallId,
        program: Option<u32>,
        length: Duration,
    ) -> Result<(), StepError> {
        let Some(program) = program else {
            return Ok(());
        };
        let ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let told = self.step(call, |channel, now| {
            channel.message_reported(now, program, ms);
        });
        match told.await {
            // Over for so long that nothing is kept of it: the file is still theirs.
            Err(StepError::Unknown) => Ok(()),
            told => told,
        }
    }

    /// Fetches what is due until the engine stops.
    pub async fn fetch_recordings(self: Arc<Self>) {
        let mut ready = self.shared.store.work_ready();
        loop {
            let wait = match self.fetch_due().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(%error, "jobs cannot be read");
                    Duration::from_secs(5)
                }
            };
            tokio::select! {
                () = self.stopped() => return,
                changed = ready.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn fetch_due(&self) -> Result<Duration, StoreError> {
        let store = &self.shared.store;
        loop {
            let now = clock::now();
            let claimed = store
                .claim(Claim {
                    queue: Queue::Jobs,
                    kinds: &[KIND, words::KIND],
                    now,
                    until: now + LEASE,
                    limit: 4,
                })
                .await?;
            if claimed.is_empty() {
                let due = store.next_due(Queue::Jobs).await?;
                let wait = due.map_or(Duration::from_secs(60), clock::until);
                return Ok(wait.clamp(Duration::from_millis(50), Duration::from_secs(60)));
            }
            let done = claimed.iter().map(async |row| match row.kind.as_str() {
                words::KIND => self.write_down(row).await,
                _ => self.fetch(row).await,
            });
            futures::future::join_all(done).await;
        }
    }

    async fn fetch(&self, row: &WorkRow) {
        let now = clock::now();
        let mut step = Step::default();
        let settlement = match serde_json::from_value::<Job>(row.payload.clone()) {
            Ok(job) => {
                let (settlement, recording) = self.fetched(row, &job).await;
                let is_there = |got: &&RecordingRow| got.state == RecordingState::Ready;
                if let Some(message) = recording
                    .as_ref()
                    .filter(is_there)
                    .filter(|_| job.is_message)
                {
                    step.work.push(words::owed(message, now));
                }
                step.recordings.extend(recording);
                settlement
            }
            Err(error) => {
                let error = format!("{:?} error", error.classify());
                Settlement::Failed { error }
            }
        };
        step.settle.push(row.settle(now, settlement));
        if let Err(error) = self.shared.store.commit(step).await {
            tracing::error!(key = row.key, %error, "a recording's job could not be settled");
        }
    }

    fn path_of(&self, job: &Job) -> PathBuf {
        let file = format!("{}.wav", job.recording.as_str());
        self.shared.config.data.recordings.join(file)
    }

    async fn fetched(&self, row: &WorkRow, job: &Job) -> (Settlement, Option<RecordingRow>) {
        let started_at = Timestamp::from_millis(job.started_at);
        let mut recording = RecordingRow {
            file: format!("{}.wav", job.recording.as_str()),
            id: job.recording.clone(),
            call: job.call.clone(),
            state: RecordingState::Recording,
            started_at,
            ended_at: Some(clock::now()),
            duration_ms: None,
            error: None,
        };
        let path = self.path_of(job);
        let got = match &self.carrier {
            Some(carrier) => store_media(carrier.as_ref(), &job.sid, &path).await,
            None => Err(Fault {
                text: "no Twilio credentials: the recording stays at the carrier".to_owned(),
                is_retryable: false,
            }),
        };
        match got {
            Ok(duration_ms) => {
                recording.state = RecordingState::Ready;
                recording.duration_ms = Some(duration_ms);
                recording.ended_at = Some(started_at + Duration::from_millis(duration_ms));
                (Settlement::Done, Some(recording))
            }
            Err(fault) if fault.is_retryable && row.attempts < TRIES => {
                let wait = Duration::from_secs(2_u64.saturating_pow(row.attempts.clamp(1, 10)));
                let next_at = clock::now() + wait;
                let error = fault.text;
                (Settlement::Retry { next_at, error }, None)
            }
            Err(fault) => {
                tracing::error!(recording.id = %recording.id, error = fault.text, "a recording could not be fetched");
                recording.state = RecordingState::Failed;
                recording.error = Some(fault.text.clone());
                (Settlement::Failed { error: fault.text }, Some(recording))
            }
        }
    }
}

struct Fault {
    text: String,
    is_retryable: bool,
}

impl From<TwilioError> for Fault {
    fn from(error: TwilioError) -> Self {
        Self {
            is_retryable: match error.kind {
                // Just recorded, it may not be there yet, and what says so is no page of the API.
                _ if error.status == Some(404) => true,
                ErrorKind::Gone
                | ErrorKind::RateLimited
                | ErrorKind::Unreachable
                | ErrorKind::Unknown => true,
                ErrorKind::Refused => false,
            },
            text: error.to_string(),
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self {
            text: format!("the recording cannot be written: {error}"),
            is_retryable: true,
        }
    }
}

/// Writes the recording beside its place and moves it there when it is whole. Returns its length.
async fn store_media(carrier: &dyn Carrier, sid: &str, path: &Path) -> Result<u64, Fault> {
    let mut media = carrier
        .recording_media(sid, AudioFile::Wav, true)
        .await?
        .bytes;
    let part = path.with_extension("part");
    let mut file = tokio::fs::File::create(&part).await?;
    while let Some(piece) = media.next().await {
        file.write_all(&piece?).await?;
    }
    file.sync_all().await?;
    tokio::fs::rename(&part, path).await?;
    let path = path.to_owned();
    let measured =
        tokio::task::spawn_blocking(move || switchhook_media::wav_length::duration_ms(&path))
            .await
            .map_err(|error| Fault {
                text: error.to_string(),
                is_retryable: false,
            })?;
    measured.map_err(|error| Fault {
        text: format!("the carrier's recording is no WAV file: {error}"),
        is_retryable: false,
    })
}
