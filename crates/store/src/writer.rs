//! Group commit: one task commits the steps of many calls in one transaction.
//!
//! A commit costs one flush to the disk, whoever shares it. While one transaction is being flushed
//! the next steps queue up and form the next one, so the batch grows with the load by itself and a
//! lone step never waits for company.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot, watch};

use crate::backend::Backend;
use crate::error::{CommitError, StoreError};
use crate::step::{Committed, Step};

/// Most steps in one transaction: bounds how long the first of them waits for the last.
const BATCH_MAX: usize = 256;

pub(crate) enum Order {
    Commit {
        step: Arc<Step>,
        reply: oneshot::Sender<Result<Committed, CommitError>>,
    },
    /// Commit what is queued, then let go of the database.
    Close { reply: oneshot::Sender<()> },
}

/// What the writer tells others about itself.
#[derive(Debug)]
pub(crate) struct WriterState {
    /// Steps queued or being committed.
    pub waiting: AtomicUsize,
    /// Why the last transaction failed; `None` after one that succeeded.
    pub trouble: watch::Sender<Option<StoreError>>,
    /// Counts commits that queued work, here or elsewhere, so that whoever carries it out need not poll.
    pub work_ready: watch::Sender<u64>,
}

pub(crate) async fn run(
    backend: Arc<dyn Backend>,
    mut orders: mpsc::Receiver<Order>,
    state: Arc<WriterState>,
) {
    let mut closing = Vec::new();
    while let Some(first) = orders.recv().await {
        let mut steps = Vec::new();
        let mut replies = Vec::new();
        let mut next = Some(first);
        let mut has_yielded = false;
        while let Some(order) = next {
            match order {
                Order::Commit { step, reply } => {
                    steps.push(step);
                    replies.push(reply);
                }
                Order::Close { reply } => {
                    orders.close();
                    closing.push(reply);
                }
            }
            if steps.len() >= BATCH_MAX {
                break;
            }
            next = orders.try_recv().ok();
            if next.is_none() && !has_yielded {
                // Whoever can run now may bring a step; when nobody can, this comes back at once.
                has_yielded = true;
                tokio::task::yield_now().await;
                next = orders.try_recv().ok();
            }
        }
        commit(backend.as_ref(), steps, replies, &state).await;
    }
    backend.close().await;
    for reply in closing {
        // Nobody waits any more: nothing to tell.
        let _ = reply.send(());
    }
}

async fn commit(
    backend: &dyn Backend,
    steps: Vec<Arc<Step>>,
    replies: Vec<oneshot::Sender<Result<Committed, CommitError>>>,
    state: &WriterState,
) {
    if steps.is_empty() {
        return;
    }
    let count = steps.len();
    let queues_work: Vec<bool> = steps.iter().map(|step| !step.work.is_empty()).collect();
    let results = backend.commit_batch(steps).await;
    debug_assert_eq!(results.len(), count, "one result per step");

    let trouble = results.iter().find_map(|result| match result {
        Err(CommitError::Store(error)) => Some(error.clone()),
        _ => None,
    });
    report(state, trouble, count);
    if results
        .iter()
        .zip(queues_work)
        .any(|(result, work)| result.is_ok() && work)
    {
        state.work_ready.send_modify(|n| *n = n.wrapping_add(1));
    }
    state.waiting.fetch_sub(count, Ordering::Relaxed);
    for (reply, result) in replies.into_iter().zip(results) {
        // A caller that went away does not undo its step.
        let _ = reply.send(result);
    }
}

/// Logs the change only: while a disk is full, one line says so.
fn report(state: &WriterState, trouble: Option<StoreError>, steps: usize) {
    state
        .trouble
        .send_if_modified(|known| match (known.as_ref(), &trouble) {
            (None, None) => false,
            (Some(a), Some(b)) if a.code() == b.code() => false,
            (_, Some(error)) => {
                tracing::error!(
                    error.code = error.code(),
                    steps,
                    "steps not committed: {error}"
                );
                *known = trouble.clone();
                true
            }
            (Some(_), None) => {
                tracing::info!("the store commits again");
                *known = None;
                true
            }
        });
}
