//! What a step wants outside of the call: the model, bookings, PINs and the media stream are asked here,
//! the carrier in [`super::asking`]. Answers come back as steps of their own.

use std::sync::Arc;

use switchhook_conversation::{Input, Pin, PinAnswer};
use switchhook_model::{CallId, Timestamp};

use super::channel::{Channel, Effect};
use super::engine::{Engine, StepError};
use super::slots::Slot;
use super::{brain, giving, stream};
use crate::calls;
use crate::clock;

impl Engine {
    pub(super) fn carry_out(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        id: &CallId,
        channel: &Channel,
        effect: Effect,
    ) {
        match effect {
            Effect::Think {
                talk,
                request,
                messages,
                tools,
            } => {
                let model = Arc::clone(&self.shared.brain);
                let engine = Arc::clone(self);
                let call = id.clone();
                let task = tokio::spawn(async move {
                    let pass = |deltas: Vec<_>| {
                        let (engine, call) = (&engine, &call);
                        async move {
                            let input = |delta| Input::Delta { request, delta };
                            let inputs = deltas.into_iter().map(input).collect();
                            engine.hear(call, talk, inputs).await;
                        }
                    };
                    brain::think(model, messages, tools, pass).await;
                });
                slot.keep_thought(talk, request, task.abort_handle());
            }
            Effect::CheckPin { talk, caller, pin } => {
                let engine = Arc::clone(self);
                let call = id.clone();
                tokio::spawn(async move { engine.check_pin(&call, talk, &caller, pin).await });
            }
            Effect::CancelThink { talk, request } => slot.drop_thought(talk, request),
            Effect::Book {
                talk,
                number,
                wanted,
            } => {
                let caller = calls::booker(&channel.call.view());
                let engine = Arc::clone(self);
                let call = id.clone();
                tokio::spawn(async move {
                    let shared = &engine.shared;
                    let parts = (&shared.store, &shared.bus, &shared.notices);
                    let now = clock::now();
                    let result = calls::book(wanted, &call, number, &caller, parts, now).await;
                    engine.hear(&call, talk, vec![result]).await;
                });
            }
            Effect::Place => self.place(id),
            Effect::Find => self.find(id),
            Effect::Complete { .. } if channel.state.simulated => self.acted_is_over(id),
            Effect::Fetch { .. } | Effect::Record { .. } if channel.state.simulated => {}
            Effect::LeaveStream => {
                if let Some(stream) = slot.stream() {
                    stream.send(stream::Order::Leave);
                }
            }
            Effect::Fetch { .. }
            | Effect::Complete { .. }
            | Effect::Record { .. }
            | Effect::Invite { .. }
            | Effect::Drop { .. }
            | Effect::Hold { .. }
            | Effect::Look { .. } => self.ask(slot, id, channel, effect),
        }
    }

    async fn check_pin(self: &Arc<Self>, id: &CallId, talk: u32, caller: &str, pin: Pin) {
        let answer = match &self.accounts {
            Some(accounts) => {
                let store = &self.shared.store;
                accounts.check(store, caller, pin, clock::now()).await
            }
            None => PinAnswer::Unavailable,
        };
        let told = self
            .step(id, |channel, now| {
                channel.pin_checked(now, talk, answer.clone());
                self.give_at_once(channel, now);
            })
            .await;
        match told {
            Ok(()) | Err(StepError::Unknown) => {}
            Err(error) => tracing::error!(call.id = %id, %error, "an answer could not be taken"),
        }
    }

    /// A carrier that waits gets what the answer led to with the commit of the answer. Not for a request
    /// that is gone, which would count as answered, nor for a callee this program acts.
    fn give_at_once(&self, channel: &mut Channel, now: Timestamp) {
        let id = channel.call.id();
        let is_awaited = self.slots.find(id).is_some_and(|slot| slot.is_awaited());
        if channel.state.in_hand && !channel.state.simulated && is_awaited {
            giving::give(channel, now, false, &self.settings);
        }
    }

    /// For the conversation of that number.
    async fn hear(self: &Arc<Self>, id: &CallId, talk: u32, inputs: Vec<Input>) {
        let heard = self
            .step(id, |channel, now| {
                for input in &inputs {
                    channel.hear(now, talk, input.clone());
                }
                self.give_at_once(channel, now);
            })
            .await;
        match heard {
            Ok(()) | Err(StepError::Unknown) => {}
            Err(error) => tracing::error!(call.id = %id, %error, "an answer could not be taken"),
        }
    }
}

/// What ears and mouth are to do goes to the stream, after the step it came with.
pub(super) fn hand_over(slot: &Slot, channel: &mut Channel) {
    let voice = channel.take_voice();
    if voice.is_empty() {
        return;
    }
    if let Some(stream) = slot.stream() {
        for output in voice {
            stream.send(stream::Order::Voice(output));
        }
    }
}
