//! The assistant's side: the conversation machine without ears and mouth of ours.

use switchhook_call::{AssistantEnd, Event, Heard};
use switchhook_conversation::documents::Documents;
use switchhook_conversation::{
    self as conversation, Conversation, EndReason, Input, Output, PinAnswer, SayId, tools,
};
use switchhook_model::{RequestId, Target, Timestamp};

use super::state::Unreadable;
use super::{Channel, Effect};
use crate::calls::BookingRequest;

impl Channel {
    pub(super) fn is_talking(&self) -> bool {
        self.talk.is_some()
    }

    pub(super) fn begin_talk(&mut self, now: Timestamp) {
        self.state.talks += 1;
        self.state.documents = Documents::new(self.rules.conversation.language);
        let mut config = self.rules.conversation.clone();
        if !self.asks_for_pins() {
            config.pin = None;
        }
        self.talk = Some(Conversation::new(config, now));
    }

    pub(super) fn restore_talk(
        &mut self,
        now: Timestamp,
        is_adopted: bool,
    ) -> Result<(), Unreadable> {
        self.state.check()?;
        let Some(stored) = self.state.conversation.clone() else {
            return Ok(());
        };
        let mut talk = Conversation::restore(self.rules.conversation.clone(), stored)
            .map_err(|error| Unreadable::Conversation(error.to_string()))?;
        let mut outputs = Vec::new();
        if is_adopted {
            if self.rules.streams {
                outputs.extend(talk.audio_lost(now));
            }
            outputs.extend(talk.reconsider(now));
        }
        self.talk = Some(talk);
        self.carry_out(now, outputs);
        self.run(now);
        Ok(())
    }

    pub(super) fn forget_finished_talk(&mut self) {
        if self.talk.as_ref().is_some_and(Conversation::is_finished) {
            self.talk = None;
        }
    }

    /// Whether a PIN is what the caller is listened to for.
    pub(super) fn asks_for_pin(&self) -> bool {
        self.talk.as_ref().is_some_and(Conversation::asks_for_pin)
    }

    /// Whether this call begins with the question for a PIN. Whom we call need not say who they are.
    fn asks_for_pins(&self) -> bool {
        self.rules.conversation.pin.is_some() && !self.is_outbound()
    }

    /// Whether the caller may still be saying a PIN, and no agent listens.
    pub(super) fn asks_who_calls(&self) -> bool {
        let is_asked = self.asks_for_pins() && self.state.identified.is_none();
        let agent = self.state.dialling();
        let agent = agent.and_then(|leg| self.state.children.get(leg));
        is_asked && !agent.is_some_and(|agent| self.took(agent))
    }

    /// Whose the PIN was that the caller gave.
    pub fn pin_checked(&mut self, now: Timestamp, talk: u32, answer: PinAnswer) {
        if talk == self.state.talks
            && let PinAnswer::Accepted { account, .. } = &answer
        {
            self.state.identified = Some(account.clone());
        }
        self.hear(now, talk, Input::PinChecked(answer));
    }

    /// For the running conversation, if it has this number: late words of a provider are nobody's.
    pub fn hear(&mut self, now: Timestamp, talk: u32, input: Input) {
        if talk == self.state.talks {
            self.talk_input(now, input);
            self.run(now);
        }
    }

    pub(super) fn talk_input(&mut self, now: Timestamp, input: Input) {
        let Some(talk) = &mut self.talk else { return };
        let took = talk.takes_own_message();
        let outputs = talk.handle(now, input);
        let taking = talk.takes_own_message();
        self.carry_out(now, outputs);
        if taking != took {
            self.queue
                .push_back(Event::AssistantTakesMessage { taking });
        }
    }

    pub(super) fn carry_out(&mut self, now: Timestamp, outputs: Vec<Output>) {
        if self.rules.streams {
            for output in outputs {
                self.put_out(now, output);
            }
            return;
        }
        let reports = self.state.documents.collect(now, &outputs);
        for output in outputs {
            self.put_out(now, output);
        }
        for (at, report) in reports {
            self.talk_input(at, report);
        }
    }

    fn put_out(&mut self, now: Timestamp, output: Output) {
        let talk = self.state.talks;
        match output {
            // Without a stream these are in a document, and the carrier recognises: the words come
            // with the utterance.
            Output::Speak { .. }
            | Output::Beep { .. }
            | Output::StopPlayout
            | Output::Transcribe { .. }
            | Output::DropUtterance { .. }
            | Output::EndUtterance => {
                if self.rules.streams {
                    self.give_voice(output);
                }
            }
            Output::Think {
                request,
                messages,
                tools,
            } => self.done.effects.push(Effect::Think {
                talk,
                request,
                messages,
                tools,
            }),
            Output::CancelThink { request } => {
                self.done
                    .effects
                    .push(Effect::CancelThink { talk, request });
            }
            Output::AskForHuman {
                request,
                department,
                target,
                reason,
                summary,
            } => {
                let request = RequestId::derive(self.call.id(), request);
                // A target that is no target is no reason to lose the wish for a human.
                let target = target.and_then(|text| text.parse::<Target>().ok());
                self.queue.push_back(Event::AssistantAskedForHuman {
                    request,
                    target,
                    department,
                    reason,
                    summary,
                });
            }
            Output::CallTool {
                request,
                id,
                name,
                arguments,
            } => {
                if name == tools::BOOK_APPOINTMENT {
                    self.state.bookings += 1;
                    self.done.effects.push(Effect::Book {
                        talk,
                        number: self.state.bookings,
                        wanted: BookingRequest {
                            request,
                            id,
                            arguments,
                        },
                    });
                } else {
                    // Its name is the model's text: in the transcript's place, not in the log.
                    tracing::warn!(request, "the model called a tool that is not offered");
                    let content = format!("{{\"error\":\"there is no tool {name:?}\"}}");
                    self.talk_input(
                        now,
                        Input::ToolResult {
                            request,
                            id,
                            content,
                        },
                    );
                }
            }
            Output::CheckPin { pin } => self.done.effects.push(Effect::CheckPin {
                talk,
                caller: self.call.view().caller,
                pin,
            }),
            Output::EndCall { reason } => {
                let reason = match reason {
                    EndReason::Goodbye => AssistantEnd::Goodbye,
                    EndReason::Silence => AssistantEnd::Silence,
                    EndReason::TurnLimit => AssistantEnd::TurnLimit,
                    EndReason::TimeLimit => AssistantEnd::TimeLimit,
                    EndReason::Errors => AssistantEnd::Errors,
                    EndReason::NotIdentified => AssistantEnd::NotIdentified,
                };
                self.queue.push_back(Event::AssistantEnded { reason });
            }
            Output::MessageTaken {
                text,
                duration_ms,
                recorded,
            } => self.queue.push_back(Event::MessageTaken {
                text,
                duration_ms,
                recorded,
            }),
            Output::MessageAbandoned => self.queue.push_back(Event::MessageAbandoned),
            Output::SayFinished {
                id: SayId(id),
                heard,
            } => {
                let heard = match heard {
                    conversation::Heard::Full => Heard::Full,
                    conversation::Heard::Cut => Heard::Cut,
                    conversation::Heard::None => Heard::None,
                };
                self.queue.push_back(Event::SayFinished {
                    say: switchhook_call::SayId(id),
                    heard,
                });
            }
            Output::TurnEnded(turn) => self.done.turns.push(turn),
        }
    }
}
