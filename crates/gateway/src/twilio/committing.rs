//! Stores a step of a call in one transaction; whatever it wants outside follows only then.

use std::sync::Arc;

use switchhook_model::Timestamp;
use switchhook_store::{AnswerRow, CommitError, Json, Step, VendorIdRow};

use super::channel::{Channel, Done};
use super::effects::hand_over;
use super::engine::{ASK_AGAIN_AFTER, Engine, STALE, StepError, VENDOR};
use super::slots::{Loaded, Slot};
use crate::bus::LiveEvent;
use crate::calls;

impl Engine {
    /// Stores what came of an input, then does what it wants outside.
    pub(super) async fn commit(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        mut loaded: Loaded,
        answers: Vec<AnswerRow>,
        now: Timestamp,
    ) -> Result<Loaded, StepError> {
        let id = loaded.channel.call.id().clone();
        let Some(done) = loaded.channel.take_done() else {
            self.set_alarm(slot, &id, loaded.channel.next_deadline());
            hand_over(slot, &mut loaded.channel);
            return Ok(loaded);
        };
        let revision = loaded.revision + 1;
        let mut step = self.rows(&mut loaded.channel, &done, revision, now);
        step.answers = answers;
        let step = Arc::new(step);
        match self.shared.store.commit(Arc::clone(&step)).await {
            Ok(_) => {}
            Err(CommitError::Answered { .. }) => return Err(StepError::Answered),
            Err(CommitError::StaleRevision { .. }) => {
                return Err(StepError::Store(STALE.to_owned()));
            }
            Err(error) => {
                tracing::error!(%error, "the call's step could not be stored");
                metrics::counter!("switchhook_store_errors_total").increment(1);
                return Err(StepError::Store(error.to_string()));
            }
        }
        loaded.revision = revision;
        if let Some(row) = &step.call {
            self.shared.bus.send(LiveEvent::call(&row.head));
        }
        for message in &step.messages {
            self.shared.bus.send(LiveEvent::message(message));
        }
        slot.stored.send_modify(|n| *n = n.wrapping_add(1));
        self.set_alarm(slot, &id, loaded.channel.next_deadline());
        for effect in done.effects {
            self.carry_out(slot, &id, &loaded.channel, effect);
        }
        hand_over(slot, &mut loaded.channel);
        Ok(loaded)
    }

    fn rows(&self, channel: &mut Channel, done: &Done, revision: u64, now: Timestamp) -> Step {
        let id = channel.call.id().clone();
        let mut step = Step::default();
        for (event, actions) in &done.steps {
            step.events.extend(calls::told(event, actions, &id, now));
        }
        for turn in &done.turns {
            channel.state.turns += 1;
            step.turns
                .push(calls::turn_row(&id, channel.state.turns, turn));
        }
        let actions: Vec<_> = done.actions().cloned().collect();
        let is_settled = channel.is_settled();
        calls::fill_step(
            &mut step,
            &channel.call,
            revision,
            is_settled,
            &actions,
            &self.shared.notices,
            now,
        );
        if let Some(row) = &mut step.call {
            row.channel_state = Some(Json::of(&channel.state));
            row.node = Some(self.node.clone());
            // A process that dies before it has asked the carrier is followed by one that asks.
            let asked = channel.is_asked().then(|| now + ASK_AGAIN_AFTER);
            let due = channel.next_deadline().into_iter().chain(asked).min();
            row.due_at = due.filter(|_| !is_settled);
        }
        let own = channel.take_new_sid();
        let own = own.filter(|_| !channel.state.simulated).map(|sid| {
            self.slots.know(&sid, &id);
            (channel.state.caller_leg.clone(), sid)
        });
        let ids = own.into_iter().chain(done.sids.iter().cloned());
        step.vendor_ids.extend(ids.map(|(leg, sid)| VendorIdRow {
            vendor: VENDOR.to_owned(),
            vendor_id: sid,
            call: id.clone(),
            leg: Some(leg),
        }));
        step
    }
}
