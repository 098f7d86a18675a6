//! Reading the tables.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;
use switchhook_model::{CallId, MessageId, Timestamp};

use super::MemoryBackend;
use crate::backend::{
    Bindings, Calls, Events, Legs, Messages, Recordings, Transfers, Turns, Users, Violations,
};
use crate::error::{StoreError, UserError};
use crate::query::{CallCursor, CallFilter, MessageFilter, Page, cursor_text};
use crate::rows::{
    AttemptRow, BindingRow, CallHead, CallRow, EventRow, LegRow, MessageRow, RecordingRow,
    RecordingState, TransferRow, TurnRow, UserRow, ViolationRow, WireRow,
};
use crate::stats::{Count, LATENCIES_MAX, Stats};

#[async_trait]
impl Calls for MemoryBackend {
    async fn call(&self, id: &CallId) -> Result<Option<CallRow>, StoreError> {
        Ok(self.lock().calls.get(id).cloned())
    }

    async fn calls(&self, filter: &CallFilter) -> Result<Page<CallHead>, StoreError> {
        let limit = filter.page_size();
        let mut heads: Vec<CallHead> = self
            .lock()
            .calls
            .values()
            .map(|row| &row.head)
            .filter(|head| matches(head, filter))
            .cloned()
            .collect();
        heads.sort_by(|a, b| (b.started_at, &b.id).cmp(&(a.started_at, &a.id)));
        heads.truncate(limit as usize + 1);
        Ok(Page::cut(heads, limit, |head| {
            CallCursor {
                started_at: head.started_at,
                id: head.id.clone(),
            }
            .to_string()
        }))
    }

    async fn views(&self, calls: &[CallId]) -> Result<BTreeMap<CallId, Value>, StoreError> {
        let state = self.lock();
        Ok(calls
            .iter()
            .filter_map(|id| Some((id.clone(), state.calls.get(id)?.view.value())))
            .collect())
    }

    async fn open_calls(&self) -> Result<Vec<CallRow>, StoreError> {
        let mut rows: Vec<CallRow> = self
            .lock()
            .calls
            .values()
            .filter(|row| row.head.ended_at.is_none())
            .cloned()
            .collect();
        rows.sort_by_key(|row| (row.head.started_at, row.head.id.clone()));
        Ok(rows)
    }

    async fn due_calls(&self, now: Timestamp, limit: u32) -> Result<Vec<CallId>, StoreError> {
        let state = self.lock();
        let mut due: Vec<(Timestamp, &CallId)> = state
            .calls
            .values()
            .filter(|row| row.head.ended_at.is_none())
            .filter_map(|row| Some((row.due_at.filter(|at| *at <= now)?, &row.head.id)))
            .collect();
        due.sort();
        due.truncate(limit as usize);
        Ok(due.into_iter().map(|(_, id)| id.clone()).collect())
    }

    async fn stats(&self, from: Timestamp, to: Timestamp) -> Result<Stats, StoreError> {
        let state = self.lock();
        let span = from..to;
        let heads: Vec<&CallHead> = state
            .calls
            .values()
            .map(|row| &row.head)
            .filter(|head| span.contains(&head.started_at))
            .collect();
        let inside = |call: &CallId| heads.iter().any(|head| head.id == *call);
        let talks: Vec<u64> = heads
            .iter()
            .filter_map(|head| Some(head.ended_at?.millis_since(head.answered_at?)))
            .collect();
        let mut turns: Vec<&TurnRow> = state
            .turns
            .iter()
            .filter(|turn| turn.latency.is_some() && span.contains(&turn.started_at))
            .collect();
        turns.sort_by_key(|turn| std::cmp::Reverse(turn.started_at));
        Ok(Stats {
            calls: heads.len() as u64,
            by_status: count(heads.iter().map(|head| head.status.as_str())),
            by_direction: count(heads.iter().map(|head| match head.direction {
                switchhook_model::Direction::Inbound => "inbound",
                switchhook_model::Direction::Outbound => "outbound",
            })),
            by_outcome: count(heads.iter().filter_map(|head| head.outcome.as_deref())),
            transfers_by_outcome: count(
                state
                    .transfers
                    .iter()
                    .filter(|row| inside(&row.call))
                    .filter_map(|row| row.outcome.as_deref()),
            ),
            violations: state
                .violations
                .iter()
                .filter(|row| inside(&row.call))
                .count() as u64,
            mean_talk_ms: (!talks.is_empty())
                .then(|| talks.iter().sum::<u64>() / talks.len() as u64),
            latencies: turns
                .iter()
                .take(LATENCIES_MAX)
                .filter_map(|turn| turn.latency.clone())
                .collect(),
        })
    }
}

fn matches(head: &CallHead, filter: &CallFilter) -> bool {
    let CallFilter {
        statuses,
        direction,
        from,
        to,
        q,
        limit: _,
        cursor,
    } = filter;
    (statuses.is_empty() || statuses.contains(&head.status))
        && direction.is_none_or(|wanted| wanted == head.direction)
        && from.is_none_or(|from| head.started_at >= from)
        && to.is_none_or(|to| head.started_at < to)
        && q.as_ref().is_none_or(|q| found_in(head, q))
        && cursor
            .as_ref()
            .is_none_or(|at| (head.started_at, &head.id) < (at.started_at, &at.id))
}

fn found_in(head: &CallHead, q: &str) -> bool {
    if q.contains('\0') {
        return false;
    }
    let q = q.to_ascii_lowercase();
    [
        Some(head.id.as_str()),
        Some(&head.caller),
        head.caller_name.as_deref(),
        Some(&head.callee),
        head.assistant.as_deref(),
        head.outcome.as_deref(),
    ]
    .into_iter()
    .flatten()
    .any(|text| text.to_ascii_lowercase().contains(&q))
}

fn count<'a>(values: impl Iterator<Item = &'a str>) -> Vec<Count> {
    let mut counts = BTreeMap::<&str, u64>::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|(value, count)| Count {
            value: value.to_owned(),
            count,
        })
        .collect()
}

#[async_trait]
impl Legs for MemoryBackend {
    async fn legs(&self, call: &CallId) -> Result<Vec<LegRow>, StoreError> {
        let mut rows = of_call(&self.lock().legs, |row| row.call == *call);
        rows.sort_by_key(|row| row.started_at);
        Ok(rows)
    }

    async fn open_legs(&self) -> Result<Vec<LegRow>, StoreError> {
        let mut rows = of_call(&self.lock().legs, |row| row.ended_at.is_none());
        rows.sort_by_key(|row| row.started_at);
        Ok(rows)
    }
}

#[async_trait]
impl Transfers for MemoryBackend {
    async fn transfers(&self, call: &CallId) -> Result<Vec<TransferRow>, StoreError> {
        let mut rows = of_call(&self.lock().transfers, |row| row.call == *call);
        rows.sort_by_key(|row| row.requested_at);
        Ok(rows)
    }

    async fn attempts(&self, call: &CallId) -> Result<Vec<AttemptRow>, StoreError> {
        let mut rows = of_call(&self.lock().attempts, |row| row.call == *call);
        rows.sort_by_key(|row| row.started_at);
        Ok(rows)
    }
}

#[async_trait]
impl Turns for MemoryBackend {
    async fn turns(&self, call: &CallId) -> Result<Vec<TurnRow>, StoreError> {
        let mut rows = of_call(&self.lock().turns, |row| row.call == *call);
        rows.sort_by_key(|row| row.n);
        Ok(rows)
    }

    async fn latencies(
        &self,
        calls: &[CallId],
    ) -> Result<BTreeMap<CallId, Vec<Value>>, StoreError> {
        let mut found = BTreeMap::<CallId, Vec<Value>>::new();
        for turn in &self.lock().turns {
            if let Some(latency) = &turn.latency
                && calls.contains(&turn.call)
            {
                found
                    .entry(turn.call.clone())
                    .or_default()
                    .push(latency.clone());
            }
        }
        Ok(found)
    }
}

#[async_trait]
impl Recordings for MemoryBackend {
    async fn recordings(&self, call: &CallId) -> Result<Vec<RecordingRow>, StoreError> {
        let mut rows = of_call(&self.lock().recordings, |row| row.call == *call);
        rows.sort_by_key(|row| row.started_at);
        Ok(rows)
    }

    async fn unfinished_recordings(&self) -> Result<Vec<RecordingRow>, StoreError> {
        Ok(of_call(&self.lock().recordings, |row| {
            row.state == RecordingState::Recording
        }))
    }
}

#[async_trait]
impl Messages for MemoryBackend {
    async fn messages(&self, filter: &MessageFilter) -> Result<Page<MessageRow>, StoreError> {
        let limit = filter.page_size();
        let mut rows = of_call(&self.lock().messages, |row| {
            filter
                .call
                .as_ref()
                .is_none_or(|c| row.call.as_ref() == Some(c))
                && filter.state.as_ref().is_none_or(|s| row.state == *s)
                && filter
                    .cursor
                    .as_ref()
                    .is_none_or(|(at, id)| (row.created_at, &row.id) < (*at, id))
        });
        rows.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        rows.truncate(limit as usize + 1);
        Ok(Page::cut(rows, limit, |row| {
            cursor_text(row.created_at, &row.id)
        }))
    }

    async fn message(&self, id: &MessageId) -> Result<Option<MessageRow>, StoreError> {
        Ok(self
            .lock()
            .messages
            .iter()
            .find(|row| row.id == *id)
            .cloned())
    }

    async fn message_of_vendor(
        &self,
        channel: &str,
        vendor_id: &str,
    ) -> Result<Option<MessageRow>, StoreError> {
        Ok(self
            .lock()
            .messages
            .iter()
            .filter(|row| row.channel == channel && row.vendor_id.as_deref() == Some(vendor_id))
            .max_by_key(|row| (row.created_at, &row.id))
            .cloned())
    }
}

#[async_trait]
impl Events for MemoryBackend {
    async fn events(&self, call: &CallId) -> Result<Vec<EventRow>, StoreError> {
        Ok(of_call(&self.lock().events, |row| row.call == *call))
    }

    async fn wire(&self, call: &CallId) -> Result<Vec<WireRow>, StoreError> {
        Ok(of_call(&self.lock().wire, |row| {
            row.call.as_ref() == Some(call)
        }))
    }
}

#[async_trait]
impl Violations for MemoryBackend {
    async fn violations(&self, call: &CallId) -> Result<Vec<ViolationRow>, StoreError> {
        Ok(of_call(&self.lock().violations, |row| row.call == *call))
    }

    async fn violation_counts(
        &self,
        calls: &[CallId],
    ) -> Result<BTreeMap<CallId, u64>, StoreError> {
        let mut counts = BTreeMap::<CallId, u64>::new();
        for row in &self.lock().violations {
            if calls.contains(&row.call) {
                *counts.entry(row.call.clone()).or_default() += 1;
            }
        }
        Ok(counts)
    }
}

fn of_call<T: Clone>(table: &[T], wanted: impl Fn(&T) -> bool) -> Vec<T> {
    table.iter().filter(|row| wanted(row)).cloned().collect()
}

#[async_trait]
impl Users for MemoryBackend {
    async fn add_user(&self, user: UserRow) -> Result<(), UserError> {
        let mut state = self.lock();
        if state.users.contains_key(&user.name) {
            return Err(UserError::Exists { name: user.name });
        }
        state.users.insert(user.name.clone(), user);
        Ok(())
    }

    async fn update_user(&self, user: UserRow) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let Some(stored) = state.users.get_mut(&user.name) else {
            return Ok(false);
        };
        *stored = user;
        Ok(true)
    }

    async fn user(&self, name: &str) -> Result<Option<UserRow>, StoreError> {
        Ok(self.lock().users.get(name).cloned())
    }

    async fn users(&self) -> Result<Vec<UserRow>, StoreError> {
        Ok(self.lock().users.values().cloned().collect())
    }
}

#[async_trait]
impl Bindings for MemoryBackend {
    async fn replace_bindings(
        &self,
        extension: &str,
        bindings: Vec<BindingRow>,
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.bindings.retain(|(owner, _), _| owner != extension);
        for row in bindings {
            let key = (extension.to_owned(), row.contact.clone());
            state.bindings.insert(key, row);
        }
        Ok(())
    }

    async fn bindings(&self, now: Timestamp) -> Result<Vec<BindingRow>, StoreError> {
        Ok(self
            .lock()
            .bindings
            .values()
            .filter(|row| row.expires_at > now)
            .cloned()
            .collect())
    }
}
