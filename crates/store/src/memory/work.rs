//! Outbox and jobs.

use async_trait::async_trait;
use switchhook_model::Timestamp;

use super::MemoryBackend;
use crate::backend::Work;
use crate::error::{CommitError, StoreError};
use crate::work::{Claim, Queue, Settle, WorkRow, WorkState};

fn may_be_claimed(row: &WorkRow) -> bool {
    match row.state {
        WorkState::Pending | WorkState::InFlight => true,
        WorkState::Done | WorkState::Failed => false,
    }
}

#[async_trait]
impl Work for MemoryBackend {
    async fn claim(&self, claim: Claim<'_>) -> Result<Vec<WorkRow>, StoreError> {
        let mut state = self.lock();
        let mut due: Vec<&mut WorkRow> = state
            .work
            .values_mut()
            .filter(|row| row.queue == claim.queue && may_be_claimed(row))
            .filter(|row| row.next_at <= claim.now)
            .filter(|row| claim.kinds.is_empty() || claim.kinds.contains(&row.kind.as_str()))
            .collect();
        due.sort_by_key(|row| (row.next_at, row.id));
        due.truncate(claim.limit as usize);
        Ok(due
            .into_iter()
            .map(|row| {
                row.state = WorkState::InFlight;
                row.attempts += 1;
                row.next_at = claim.until;
                row.updated_at = claim.now;
                row.clone()
            })
            .collect())
    }

    async fn settle(&self, settle: Settle) -> Result<(), CommitError> {
        let mut state = self.lock();
        state.check_claim(&settle)?;
        state.settle(settle);
        Ok(())
    }

    async fn work(&self, queue: Queue, key: &str) -> Result<Option<WorkRow>, StoreError> {
        Ok(self.lock().work.get(&(queue, key.to_owned())).cloned())
    }

    async fn works(&self, queue: Queue, keys: &[String]) -> Result<Vec<WorkRow>, StoreError> {
        let state = self.lock();
        Ok(keys
            .iter()
            .filter_map(|key| state.work.get(&(queue, key.clone())).cloned())
            .collect())
    }

    async fn next_due(&self, queue: Queue) -> Result<Option<Timestamp>, StoreError> {
        Ok(self
            .lock()
            .work
            .values()
            .filter(|row| row.queue == queue && may_be_claimed(row))
            .map(|row| row.next_at)
            .min())
    }

    async fn forget_done(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let was = state.work.len();
        state
            .work
            .retain(|_, row| row.state != WorkState::Done || row.updated_at >= before);
        Ok((was - state.work.len()) as u64)
    }
}
