//! What a channel without a process of its own needs: vendor ids, answers, tallies.

use std::time::Duration;

use async_trait::async_trait;
use switchhook_model::{CallId, Timestamp};

use super::MemoryBackend;
use crate::backend::{Answers, Tallies, VendorIds};
use crate::error::StoreError;
use crate::rows::{AnswerRow, VendorIdRow};

#[async_trait]
impl VendorIds for MemoryBackend {
    async fn vendor_id(
        &self,
        vendor: &str,
        vendor_id: &str,
    ) -> Result<Option<VendorIdRow>, StoreError> {
        let key = (vendor.to_owned(), vendor_id.to_owned());
        Ok(self.lock().vendor_ids.get(&key).cloned())
    }

    async fn vendor_ids(&self, call: &CallId) -> Result<Vec<VendorIdRow>, StoreError> {
        let state = self.lock();
        let rows = state.vendor_ids.values().filter(|row| row.call == *call);
        Ok(rows.cloned().collect())
    }
}

#[async_trait]
impl Answers for MemoryBackend {
    async fn answer(&self, key: &str) -> Result<Option<AnswerRow>, StoreError> {
        Ok(self.lock().answers.get(key).cloned())
    }

    async fn forget_answers(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let was = state.answers.len();
        state.answers.retain(|_, row| row.at >= before);
        Ok((was - state.answers.len()) as u64)
    }
}

#[async_trait]
impl Tallies for MemoryBackend {
    async fn tally(
        &self,
        subject: &str,
        add: u64,
        now: Timestamp,
        window: Duration,
    ) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let stored = state.tallies.get_mut(subject);
        let count = match stored.filter(|(began_at, _)| *began_at > now - window) {
            Some((_, count)) => {
                *count = count.saturating_add(add);
                *count
            }
            None => {
                if add > 0 {
                    state.tallies.insert(subject.to_owned(), (now, add));
                }
                add
            }
        };
        Ok(count)
    }

    async fn tallied(
        &self,
        subject: &str,
        now: Timestamp,
        window: Duration,
    ) -> Result<u64, StoreError> {
        let state = self.lock();
        let live = state
            .tallies
            .get(subject)
            .filter(|(began_at, _)| *began_at > now - window);
        Ok(live.map_or(0, |(_, count)| *count))
    }

    async fn clear_tally(&self, subject: &str) -> Result<(), StoreError> {
        self.lock().tallies.remove(subject);
        Ok(())
    }

    async fn forget_tallies(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let was = state.tallies.len();
        state.tallies.retain(|_, (began_at, _)| *began_at >= before);
        Ok((was - state.tallies.len()) as u64)
    }
}
