//! A call of before the restart whose stored machine cannot be read: damaged, or written by another
//! version. What its rows still say is enough to end its legs and to close it with the truth.

use std::sync::Arc;

use switchhook_call::view::{CallStatus, LegStateView, OutcomeView};
use switchhook_call::{
    AttemptResult, CallOutcome, CallView, Headline, OutcomeCode, TransferOutcome,
};
use switchhook_model::{EndedBy, HangupCause, Timestamp};
use switchhook_store::{CallRow, CommitError, LegRow, Step, Store, StoreError};

use super::shared::Shared;
use super::{facts, recover, rows};
use crate::clock;

#[derive(Debug, thiserror::Error)]
pub(super) enum Unclosed {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Ends every leg that has a dialog and is not known to be over, and stores the call as ended.
/// Returns how many legs that were.
pub(super) async fn close(shared: &Arc<Shared>, row: CallRow) -> Result<usize, Unclosed> {
    let id = row.head.id.clone();
    let mut orphans = 0;
    for leg in shared.store.legs(&id).await? {
        // A leg that we gave up counts as ended before its far end has confirmed it, so the cause
        // of an end is no proof. Ending a leg twice does no harm; leaving a phone ringing does.
        if let Some(record) = recover::stored_record(&leg) {
            orphans += 1;
            recover::end_orphan(shared, &record);
        }
    }
    let step = ended(&shared.store, row, clock::now()).await?;
    shared.store.commit(step).await?;
    Ok(orphans)
}

/// The rows of a call that the restart cut off.
async fn ended(store: &Store, row: CallRow, now: Timestamp) -> Result<Step, StoreError> {
    let id = row.head.id.clone();
    let mut step = Step {
        legs: store.legs(&id).await?,
        events: vec![facts::unreadable_state().into_row(&id, now)],
        ..Step::default()
    };
    step.legs.iter_mut().for_each(|leg| end_leg(leg, now));
    let mut row = row;
    row.revision += 1;
    // The view is for people and older than nothing: it was stored with the state.
    match row.view.read::<CallView>() {
        Ok(mut view) => {
            end_view(&mut view, now);
            for transfer in &view.transfers {
                let (transfer, attempts) = rows::transfer(&id, transfer);
                step.transfers.push(transfer);
                step.attempts.extend(attempts);
            }
            row.head = rows::head(&view, true);
            row.view = rows::view(Headline::ended_by_restart(), view, |_| None);
        }
        Err(error) => {
            tracing::error!(call.id = %id, kind = ?error.classify(), column = error.column(), "the call's view cannot be read either");
            row.head.status = rows::word(&CallStatus::Ended);
            row.head.ended_at = Some(now);
            let outcome = OutcomeCode::Restarted.code().to_owned();
            row.head.outcome.get_or_insert(outcome);
        }
    }
    step.call = Some(row);
    Ok(step)
}

fn end_leg(leg: &mut LegRow, now: Timestamp) {
    if leg.ended_at.is_none() {
        leg.state = rows::word(&LegStateView::Ended);
        leg.ended_at = Some(now);
        leg.cause = Some(HangupCause::MediaLost.code().to_owned());
    }
}

fn end_view(view: &mut CallView, now: Timestamp) {
    for leg in view.legs.iter_mut().filter(|leg| leg.ended_at.is_none()) {
        leg.state = LegStateView::Ended;
        leg.ended_at = Some(now);
        leg.cause = Some(HangupCause::MediaLost);
    }
    for transfer in &mut view.transfers {
        for attempt in &mut transfer.attempts {
            if attempt.result.is_none() {
                attempt.result = Some(AttemptResult::Canceled);
                attempt.ended_at = Some(now);
            }
        }
        if transfer.outcome.is_none() {
            transfer.outcome = Some(TransferOutcome::Failed);
            transfer.ended_at = Some(now);
        }
    }
    view.status = CallStatus::Ended;
    view.ended_at.get_or_insert(now);
    view.outcome.get_or_insert_with(|| {
        OutcomeView::from(&CallOutcome {
            code: OutcomeCode::Restarted,
            ended_by: EndedBy::System,
            detail: "The program restarted, and the call's stored state could not be read: its \
                     legs were ended, and what it was about to do is not known."
                .to_owned(),
        })
    });
}
