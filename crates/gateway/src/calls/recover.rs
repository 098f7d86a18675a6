//! After a crash: every call without an end is closed with what is true.
//!
//! Its media died with the process. Legs that still ring get the CANCEL of their own INVITE, talking
//! ones a BYE; a recording is closed; what was owed is in the outbox already and stays owed once.

use std::sync::Arc;

use switchhook_call::{ActionKind, Call, Event};
use switchhook_media::wav_length;
use switchhook_model::{CallId, HangupCause, MessageId};
use switchhook_sip::DialogRecord;
use switchhook_store::{CallRow, CommitError, LegRow, RecordingState, Step, Store, StoreError};

use super::legs::{LegParts, Legs, Signalling};
use super::shared::Shared;
use super::{facts, rows, unreadable, verdict};
use crate::bus::{Bus, LiveEvent};
use crate::clock;
use crate::notices::{Ways, notice_of, way_of};

/// Closes what the last process left open. Returns how many calls that were. At a database that
/// other nodes share, their calls are left alone, and so are those that belong to no node.
pub async fn recover(shared: &Arc<Shared>) -> Result<usize, StoreError> {
    let mut open = shared.store.open_calls().await?;
    // A call whose audio is elsewhere goes on there, and is taken up with its next word.
    open.retain(|row| row.channel_state.is_none() && is_ours(shared, row));
    let count = open.len();
    for row in open {
        let id = row.head.id.clone();
        match close(shared, row).await {
            Ok(legs) => {
                tracing::warn!(call.id = %id, legs, "a call of before the restart was closed");
                verdict::pronounce(&shared.store, &id).await;
            }
            Err(error) => {
                tracing::error!(call.id = %id, %error, "a call of before the restart cannot be closed");
            }
        }
    }
    close_recordings(shared).await?;
    Ok(count)
}

fn is_ours(shared: &Shared, row: &CallRow) -> bool {
    let own = shared.config.data.node.as_deref();
    !shared.store.is_shared() || (own.is_some() && row.node.as_deref() == own)
}

#[derive(Debug, thiserror::Error)]
enum CloseError {
    #[error(transparent)]
    Unreadable(#[from] switchhook_call::RestoreError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl From<unreadable::Unclosed> for CloseError {
    fn from(error: unreadable::Unclosed) -> Self {
        match error {
            unreadable::Unclosed::Store(error) => Self::Store(error),
            unreadable::Unclosed::Commit(error) => Self::Commit(error),
        }
    }
}

/// Returns how many legs were still to be ended.
async fn close(shared: &Arc<Shared>, row: CallRow) -> Result<usize, CloseError> {
    let id = row.head.id.clone();
    let mut call = match Call::restore(row.snapshot.as_str()) {
        Ok(call) => call,
        Err(error) => {
            tracing::error!(call.id = %id, %error, "only the legs of the call are known");
            return Ok(unreadable::close(shared, row).await?);
        }
    };
    let mut legs = stored_legs(&shared.store, &call).await?;
    legs.restore_figures(&row.view.value());
    let mut revision = row.revision;
    let mut events = vec![Event::Restarted];
    let mut orphans = 0;
    while let Some(event) = events.pop() {
        let now = clock::now();
        let mut step = Step::default();
        step.events.push(facts::event(&event).into_row(&id, now));
        let actions = call.handle(now, event);
        step.events.extend(facts::actions(&actions, &id, now));
        revision += 1;
        let position = rows::Position {
            revision,
            is_settled: call.is_settled(),
            node: row.node.as_deref(),
        };
        rows::fill(
            &mut step,
            &call,
            &legs,
            position,
            &actions,
            &shared.notices,
            now,
        );
        shared.store.commit(step).await?;
        for action in &actions {
            // The end is under way before it is noted as done: a crash between the two ends the
            // leg twice, never not at all.
            let (leg, noted) = match &action.kind {
                ActionKind::Cancel { leg } | ActionKind::Hangup { leg, .. } => {
                    let cause = HangupCause::MediaLost;
                    (
                        leg,
                        Event::LegEnded {
                            leg: leg.clone(),
                            cause,
                        },
                    )
                }
                ActionKind::Reject { leg, .. } => {
                    let (cause, sip_status) = (HangupCause::MediaLost, None);
                    (
                        leg,
                        Event::LegFailed {
                            leg: leg.clone(),
                            cause,
                            sip_status,
                            detail: None,
                        },
                    )
                }
                _ => continue,
            };
            if let Some(record) = legs.dialog(leg) {
                orphans += 1;
                end_orphan(shared, record);
            }
            events.push(noted);
        }
    }
    Ok(orphans)
}

pub(super) fn end_orphan(shared: &Shared, record: &DialogRecord) {
    if let Err(error) = shared.sip.end_orphan(record) {
        tracing::error!(leg.id = %record.leg, %error, "a leg of before the restart cannot be ended");
    }
}

/// What happens to a call after its task is gone: a notice is accepted an hour later. The stored
/// call takes it, so that its page tells the truth.
pub async fn late_event(store: &Store, destination: &Ways, bus: &Bus, id: &CallId, event: Event) {
    for _ in 0..STALE_RETRIES {
        match take_late(store, destination, bus, id, event.clone()).await {
            Ok(()) => return,
            // Two notices of one call were settled at the same time.
            Err(CloseError::Commit(CommitError::StaleRevision { .. })) => {}
            Err(error) => {
                tracing::error!(call.id = %id, %error, "an ended call could not take what happened to it");
                return;
            }
        }
    }
    tracing::error!(call.id = %id, "an ended call changed too often to take what happened to it");
}

/// What a call is to be told of a message that was accepted, if it does not know.
pub async fn untold_acceptance(store: &Store, id: &CallId, row: &MessageId) -> Option<Event> {
    let (message, way) = (notice_of(row), way_of(row));
    let stored = match store.call(id).await {
        Ok(stored) => stored?,
        Err(error) => {
            tracing::error!(call.id = %id, %error, "a call that may not know of a notice cannot be read");
            return None;
        }
    };
    // One that cannot be read is reported where it is closed.
    let call = Call::restore(stored.snapshot.as_str()).ok()?;
    let lacks = call.lacks_acceptance(&message, way);
    lacks.then_some(Event::NoticeAccepted { message, way })
}

/// Tries of a change that another one overtook.
const STALE_RETRIES: u32 = 5;

async fn take_late(
    store: &Store,
    destination: &Ways,
    bus: &Bus,
    id: &CallId,
    event: Event,
) -> Result<(), CloseError> {
    let Some(row) = store.call(id).await? else {
        return Ok(());
    };
    if row.head.ended_at.is_none() {
        // Another task owns it, or the next start closes it.
        return Ok(());
    }
    let mut call = Call::restore(row.snapshot.as_str())?;
    let now = clock::now();
    let mut step = Step::default();
    step.events.push(facts::event(&event).into_row(id, now));
    let actions = call.handle(now, event);
    step.events.extend(facts::actions(&actions, id, now));
    let mut legs = stored_legs(store, &call).await?;
    legs.restore_figures(&row.view.value());
    let position = rows::Position {
        revision: row.revision + 1,
        is_settled: true,
        node: row.node.as_deref(),
    };
    rows::fill(
        &mut step,
        &call,
        &legs,
        position,
        &actions,
        destination,
        now,
    );
    store.commit(step).await?;
    bus.send(LiveEvent::call(&rows::head(&call.view(), true)));
    Ok(())
}

/// The dialog record of a stored leg, if it has one that can be read.
pub(super) fn stored_record(leg: &LegRow) -> Option<DialogRecord> {
    leg.dialog
        .as_ref()?
        .read()
        .inspect_err(|error| {
            tracing::error!(leg.id = %leg.id, kind = ?error.classify(), column = error.column(), "the leg's dialog cannot be read: it cannot be ended");
        })
        .ok()
}

/// The stored legs, without anything that runs. Each leg of a call is stored with it from the step on
/// that made it; where one is missing, it went over to another call.
async fn stored_legs(store: &Store, call: &Call) -> Result<Legs, StoreError> {
    let mut legs = Legs::default();
    for leg in call.view().legs {
        legs.mark_given(leg.id);
    }
    for leg in store.legs(call.id()).await? {
        let record = stored_record(&leg);
        let parts = LegParts {
            signalling: Signalling::Over,
            media: None,
            record,
            may_refer_out: false,
        };
        legs.insert(leg.id, parts);
    }
    Ok(legs)
}

/// Recordings whose writer died: the file is valid up to its last second.
async fn close_recordings(shared: &Shared) -> Result<(), StoreError> {
    for mut row in shared.store.unfinished_recordings().await? {
        // Other nodes' files are with them.
        let call = shared.store.call(&row.call).await?;
        // What a carrier recorded is fetched by a job, which outlives a process.
        let is_fetched = shared.config.twilio.is_some();
        let is_carriers = call
            .as_ref()
            .is_some_and(|call| call.channel_state.is_some());
        if is_fetched && is_carriers {
            continue;
        }
        if !call.is_none_or(|call| is_ours(shared, &call)) {
            continue;
        }
        let path = shared.config.data.recordings.join(&row.file);
        let measured = tokio::task::spawn_blocking(move || wav_length::duration_ms(&path)).await;
        match measured {
            Ok(Ok(duration_ms)) => {
                row.state = RecordingState::Ready;
                row.duration_ms = Some(duration_ms);
            }
            Ok(Err(error)) => {
                row.state = RecordingState::Failed;
                row.error = Some(error.to_string());
            }
            Err(error) => {
                row.state = RecordingState::Failed;
                row.error = Some(format!("the file could not be looked at: {error}"));
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
