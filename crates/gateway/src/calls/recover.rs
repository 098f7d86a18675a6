//! After a crash: every call without an end is closed with what is true.
//!
//! Its media died with the process. Legs that still ring get the CANCEL of their own INVITE, talking
//! ones a BYE; a recording is closed; what was owed is in the outbox already and stays owed once.

use std::sync::Arc;

use switchhook_call::{ActionKind, Call, Event};
use switchhook_media::wav::Wav;
use switchhook_model::{CallId, HangupCause};
use switchhook_sip::DialogRecord;
use switchhook_store::{CallRow, RecordingState, Step, Store, StoreError};

use super::legs::{LegParts, Legs, Signalling};
use super::shared::Shared;
use super::{facts, rows, verdict};
use crate::bus::{Bus, LiveEvent};
use crate::clock;
use crate::notices::Destination;

/// Closes what the last process left open. Returns how many calls that were.
pub async fn recover(shared: &Arc<Shared>) -> Result<usize, StoreError> {
    let open = shared.store.open_calls().await?;
    let count = open.len();
    for row in open {
        let id = row.head.id.clone();
        if let Err(error) = close(shared, row).await {
            tracing::error!(call.id = %id, %error, "a call of before the restart cannot be closed");
        }
    }
    close_recordings(shared).await?;
    Ok(count)
}

#[derive(Debug, thiserror::Error)]
enum CloseError {
    #[error(transparent)]
    Unreadable(#[from] switchhook_call::RestoreError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] switchhook_store::CommitError),
}

async fn close(shared: &Arc<Shared>, row: CallRow) -> Result<(), CloseError> {
    let id = row.head.id.clone();
    let mut call = Call::restore(&row.snapshot.to_string())?;
    let legs = stored_legs(&shared.store, &id).await?;
    let mut revision = row.revision;
    let mut events = vec![Event::Restarted];
    let mut orphans: Vec<DialogRecord> = Vec::new();
    while let Some(event) = events.pop() {
        let now = clock::now();
        let mut step = Step::default();
        step.events.push(facts::event(&event).into_row(&id, now));
        let actions = call.handle(now, event);
        for action in &actions {
            match &action.kind {
                ActionKind::Cancel { leg } | ActionKind::Hangup { leg, .. } => {
                    orphans.extend(legs.dialog(leg).cloned());
                    let cause = HangupCause::MediaLost;
                    events.push(Event::LegEnded {
                        leg: leg.clone(),
                        cause,
                    });
                }
                ActionKind::Reject { leg, .. } => {
                    orphans.extend(legs.dialog(leg).cloned());
                    events.push(Event::LegFailed {
                        leg: leg.clone(),
                        cause: HangupCause::MediaLost,
                        sip_status: None,
                    });
                }
                _ => {}
            }
        }
        revision += 1;
        rows::fill(
            &mut step,
            &call,
            &legs,
            revision,
            &actions,
            &shared.notices,
            now,
        );
        shared.store.commit(step).await?;
    }
    tracing::warn!(call.id = %id, legs = orphans.len(), "a call of before the restart was closed");
    for record in orphans {
        if let Err(error) = shared.sip.end_orphan(&record) {
            tracing::error!(leg.id = %record.leg, %error, "a leg of before the restart cannot be ended");
        }
    }
    verdict::pronounce(&shared.store, &id).await;
    Ok(())
}

/// What happens to a call after its task is gone: a notice is accepted an hour later. The stored
/// call takes it, so that its page tells the truth.
pub async fn late_event(
    store: &Store,
    destination: &Destination,
    bus: &Bus,
    id: &CallId,
    event: Event,
) {
    let result = async {
        let Some(row) = store.call(id).await? else {
            return Ok(());
        };
        if row.head.ended_at.is_none() {
            // Another task owns it, or the next start closes it.
            return Ok(());
        }
        let mut call = Call::restore(&row.snapshot.to_string())?;
        let now = clock::now();
        let mut step = Step::default();
        step.events.push(facts::event(&event).into_row(id, now));
        let actions = call.handle(now, event);
        let legs = stored_legs(store, id).await?;
        rows::fill(
            &mut step,
            &call,
            &legs,
            row.revision + 1,
            &actions,
            destination,
            now,
        );
        store.commit(step).await?;
        bus.send(LiveEvent::call(&rows::head(&call.view(), true)));
        Ok::<(), CloseError>(())
    };
    if let Err(error) = result.await {
        tracing::error!(call.id = %id, %error, "an ended call could not take what happened to it");
    }
}

/// The stored legs, without anything that runs.
async fn stored_legs(store: &Store, id: &CallId) -> Result<Legs, StoreError> {
    let mut legs = Legs::default();
    for leg in store.legs(id).await? {
        let record = leg
            .dialog
            .and_then(|dialog| serde_json::from_value(dialog).ok());
        let parts = LegParts {
            signalling: Signalling::Over,
            media: None,
            record,
        };
        legs.insert(leg.id, parts);
    }
    Ok(legs)
}

/// Recordings whose writer died: the file is valid up to its last second.
async fn close_recordings(shared: &Shared) -> Result<(), StoreError> {
    for mut row in shared.store.unfinished_recordings().await? {
        let path = shared.config.data.recordings.join(&row.file);
        match Wav::read(&path) {
            Ok(wav) => {
                row.state = RecordingState::Ready;
                row.duration_ms = Some(wav.duration_ms());
            }
            Err(error) => {
                row.state = RecordingState::Failed;
                row.error = Some(error.to_string());
            }
        }
        row.ended_at = Some(clock::now());
        let step = Step {
            recordings: vec![row],
            ..Step::default()
        };
        if let Err(error) = shared.store.commit(step).await {
            tracing::error!(%error, "a recording's row could not be stored");
        }
    }
    Ok(())
}
