//! Everything in memory: for tests, and as the plainest statement of what a back end must do.

mod channel;
mod reads;
mod state;
mod work;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::backend::{Backend, Steps};
use crate::error::{CommitError, StoreError};
use crate::step::{Committed, Step};
use state::State;

/// One mutex around plain tables; held for the length of one operation, never over an await.
#[derive(Debug, Default)]
pub struct MemoryBackend {
    state: Mutex<State>,
}

impl MemoryBackend {
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Steps are checked before they are applied, so a panic elsewhere leaves whole rows.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Steps for MemoryBackend {
    async fn commit_batch(&self, steps: Vec<Arc<Step>>) -> Vec<Result<Committed, CommitError>> {
        let mut state = self.lock();
        steps
            .into_iter()
            .map(|step| {
                state.check(&step)?;
                Ok(state.apply(Arc::unwrap_or_clone(step)))
            })
            .collect()
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    fn name(&self) -> &str {
        "memory"
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn work_elsewhere(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn close(&self) {}
}
