//! The end of a call's task, and the recording that ends with it.

use std::time::Duration;

use switchhook_call::Event;
use switchhook_conversation::Input;
use switchhook_model::{HangupCause, LegId, RecordingId, Timestamp};
use switchhook_store::RecordingState;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::facts;
use super::inbox::CallInput;
use super::recording::Recording;
use super::recover::late_event;
use super::task::CallTask;
use super::verdict;
use crate::{clock, outbound};

/// Longest wait for the last transcript of a call that is over.
const TALK_LIMIT: Duration = Duration::from_secs(60);
/// Waits between tries to store the end of a call while the database fails, in seconds.
const STORE_RETRIES_S: [u64; 5] = [1, 2, 5, 10, 20];

impl CallTask {
    /// After the last leg is gone: what is still being made out is taken, the recording is closed,
    /// the end is stored, and the call is judged.
    pub(super) async fn finish(&mut self, mut inputs: mpsc::Receiver<CallInput>) {
        self.finish_talk(&mut inputs).await;
        self.talk = None;
        self.stop_recording().await;
        self.drain().await;
        // Once more, because only now nothing is left to recover.
        self.commit(clock::now(), &[]).await;
        for wait_s in STORE_RETRIES_S {
            if self.pending.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(wait_s)).await;
            self.commit(clock::now(), &[]).await;
        }
        while let Ok(input) = inputs.try_recv() {
            self.input(input).await;
        }
        self.shared.registry.remove(&self.id);
        inputs.close();
        // What came between the look and the removal; from now on others find the stored call.
        while let Ok(input) = inputs.try_recv() {
            let shared = &self.shared;
            match input {
                CallInput::Event(event) => {
                    late_event(&shared.store, &shared.notices, &shared.bus, &self.id, event).await;
                }
                // Whoever waits for this call is not left waiting.
                CallInput::Replacing(incoming) => {
                    // An error means that the caller has gone already.
                    let _ = incoming.handle.reject(481, None);
                }
                CallInput::HandOver(asked) => asked.decline(shared),
                CallInput::HandedOver(answer) => answer.abandon(shared),
                CallInput::Talk { .. }
                | CallInput::Sip { .. }
                | CallInput::Media { .. }
                | CallInput::Recording { .. } => {}
            }
        }
        outbound::account(&self.shared, &self.id).await;
        verdict::pronounce(&self.shared.store, &self.id).await;
        tracing::info!(outcome = ?self.call.view().outcome.map(|o| o.code.code()), "call ended");
    }

    /// A message that the caller broke off may still wait for its transcript: the call takes it
    /// after its end, and the notice goes out.
    async fn finish_talk(&mut self, inputs: &mut mpsc::Receiver<CallInput>) {
        self.talk(clock::now(), Input::Stop);
        self.drain().await;
        let limit = Instant::now() + TALK_LIMIT;
        while self.talk.is_some() && Instant::now() < limit {
            let deadline = self.next_deadline().min(limit);
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => self.input(input).await,
                    None => return,
                },
                () = tokio::time::sleep_until(deadline) => self.timers().await,
            }
        }
    }

    /// The leg's audio is gone: nobody may sit in a silent call.
    pub(super) fn media_lost(&mut self, leg: &LegId) {
        if self.is_elsewhere(leg) {
            return;
        }
        if self.shared.sip.hangup(leg, HangupCause::MediaLost).is_err() {
            tracing::debug!(leg.id = %leg, "the leg was over before its media");
        }
        self.legs.close(leg);
        self.queue.push_back(Event::LegEnded {
            leg: leg.clone(),
            cause: HangupCause::MediaLost,
        });
    }

    /// A dial whose record could not be stored is not sent.
    pub(super) fn dial_not_stored(&mut self, leg: &LegId) {
        self.legs.close(leg);
        self.queue.push_back(Event::LegFailed {
            leg: leg.clone(),
            cause: HangupCause::Failed,
            sip_status: None,
            detail: None,
        });
    }

    pub(super) fn start_recording(&mut self, leg: &LegId, id: RecordingId, now: Timestamp) {
        let Some(media) = self.legs.media(leg) else {
            return;
        };
        let directory = &self.shared.config.data.recordings;
        match Recording::start(directory, media, &self.id, id, now) {
            Ok(mut recording) => {
                if self.shared.config.recording.announce {
                    recording.wait_for_announcement();
                }
                self.pending.recordings.push(recording.row.clone());
                self.recording = Some(recording);
            }
            Err(row) => {
                tracing::error!(error = row.error, "recording cannot be started");
                self.pending.recordings.push(*row);
            }
        }
    }

    /// By an operator; false when the call is not recorded.
    pub(super) fn pause_recording(&mut self, now: Timestamp, paused: bool, by: &str) -> bool {
        let Some(recording) = &mut self.recording else {
            return false;
        };
        recording.set_paused(paused);
        self.fact(now, facts::recording_paused(paused, by));
        true
    }

    pub(super) async fn stop_recording(&mut self) {
        if let Some(recording) = self.recording.take() {
            let row = recording.stop(clock::now()).await;
            self.pending.recordings.push(row);
        }
    }

    pub(super) fn recording_failed(&mut self, error: String) {
        if let Some(recording) = &mut self.recording {
            recording.row.state = RecordingState::Failed;
            recording.row.error = Some(error);
            self.pending.recordings.push(recording.row.clone());
        }
    }
}
