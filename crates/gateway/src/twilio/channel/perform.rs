//! What the call wants, as far as it concerns the carrier.

use switchhook_call::event::ReferReport;
use switchhook_call::{Action, ActionKind, Event, Heard, Opening};
use switchhook_conversation::{Input, SayId};
use switchhook_model::{HangupCause, LegId, Timestamp};

use super::state::DialOrder;
use super::{Channel, Effect, Stage};

impl Channel {
    pub(super) fn perform(&mut self, now: Timestamp, action: &Action) {
        match &action.kind {
            // The carrier rings until it is answered, and plays its own tone while an agent rings.
            ActionKind::Ring { .. }
            | ActionKind::Ringback { .. }
            | ActionKind::EarlyMedia { .. }
            | ActionKind::HoldMusic { .. }
            | ActionKind::Bridge { .. }
            | ActionKind::Unbridge { .. }
            | ActionKind::Notify { .. }
            | ActionKind::StopRecording { .. }
            | ActionKind::Emit(_) => {}
            // The first program answers.
            ActionKind::Answer { leg } => {
                self.queue
                    .push_back(Event::LegAnswered { leg: leg.clone() });
            }
            ActionKind::Reject { leg, status } => {
                self.state.refused = Some(*status);
                self.queue.push_back(Event::LegEnded {
                    leg: leg.clone(),
                    cause: HangupCause::Rejected,
                });
            }
            ActionKind::Dial { leg, .. } if *leg == self.state.caller_leg => {
                self.done.effects.push(Effect::Place);
            }
            ActionKind::Dial {
                leg,
                target,
                ring_timeout_s,
                caller_id,
                attempt: _,
                display,
            } => {
                self.state.dial = Some(DialOrder {
                    leg: leg.clone(),
                    target: target.clone(),
                    ring_timeout_s: *ring_timeout_s,
                    caller_id: caller_id.clone(),
                    display: display.clone(),
                    in_room: self.meets_in_rooms(),
                });
                self.fetch();
            }
            ActionKind::Cancel { leg } if *leg == self.state.caller_leg => {
                self.hang_up_caller(HangupCause::Canceled);
            }
            ActionKind::Cancel { leg } => self.drop_child(leg, HangupCause::Canceled),
            ActionKind::Hangup { leg, cause } if *leg == self.state.caller_leg => {
                self.hang_up_caller(*cause);
            }
            ActionKind::Hangup { leg, cause } => self.drop_child(leg, *cause),
            ActionKind::StartAssistant {
                opening: Opening::Greeting,
                ..
            } if self.talks_elsewhere() => self.begin_elsewhere(),
            ActionKind::StartAssistant { opening, .. } => {
                self.begin_talk(now);
                match opening {
                    Opening::Greeting => self.talk_input(
                        now,
                        Input::Start {
                            opening: None,
                            note: None,
                        },
                    ),
                    Opening::Silent => {}
                }
            }
            ActionKind::ResumeAssistant { .. } if self.talks_elsewhere() => {
                self.resume_elsewhere(now);
                self.fetch();
            }
            ActionKind::ResumeAssistant { note } => {
                self.talk_input(
                    now,
                    Input::Resume {
                        note: Some(note.clone()),
                    },
                );
                self.fetch();
            }
            ActionKind::PauseAssistant => {
                self.state.with_other = false;
                self.talk_input(now, Input::Pause);
            }
            ActionKind::StopAssistant => {
                self.state.with_other = false;
                self.talk_input(now, Input::Stop);
            }
            ActionKind::Say { say, key: _, text } => {
                self.speak_ourselves(now);
                if self.is_talking() {
                    self.talk_input(
                        now,
                        Input::Say {
                            id: SayId(say.0),
                            text: text.clone(),
                            interruptible: false,
                        },
                    );
                    self.fetch();
                } else {
                    self.queue.push_back(Event::SayFinished {
                        say: *say,
                        heard: Heard::None,
                    });
                }
            }
            ActionKind::TakeMessage => {
                self.speak_ourselves(now);
                self.talk_input(now, Input::TakeMessage);
                self.fetch();
            }
            ActionKind::FinishMessage => {
                // The recording's end is reported after the leg's.
                if !self.is_talking() {
                    self.queue.push_back(Event::MessageAbandoned);
                }
            }
            // The carrier names its recordings itself.
            ActionKind::StartRecording { .. } => self.state.is_to_be_recorded = true,
            ActionKind::Hold { leg } => self.hold(leg, true),
            ActionKind::Resume { leg } => self.hold(leg, false),
            ActionKind::Refer { leg, attempt, .. } => {
                self.queue.push_back(Event::ReferReported {
                    leg: leg.clone(),
                    attempt: attempt.clone(),
                    report: ReferReport::Failed { sip_status: None },
                });
            }
            // No REFER of a phone reaches us over the carrier.
            ActionKind::AcceptRefer { .. }
            | ActionKind::RefuseRefer { .. }
            | ActionKind::NotifyTransferor { .. } => {}
        }
    }

    /// Something is to be done with the caller's leg: the carrier comes by itself while it waits for
    /// our answer or is about to come, else it is asked to.
    pub(super) fn fetch(&mut self) {
        if self.state.in_hand || self.state.is_fetched {
            return;
        }
        match self.state.stage {
            // The stream is left when everything was said.
            Stage::New | Stage::Over | Stage::Telling | Stage::Streaming => return,
            Stage::Listening | Stage::Dialing { .. } | Stage::Elsewhere | Stage::TakingMessage => {}
        }
        self.state.is_fetched = true;
        let sid = self.state.caller_sid.clone();
        self.done.effects.push(Effect::Fetch { sid });
    }

    /// Ends a leg the carrier dialled, or was to dial.
    fn drop_child(&mut self, leg: &LegId, cause: HangupCause) {
        if self
            .state
            .dial
            .as_ref()
            .is_some_and(|order| order.leg == *leg)
        {
            self.state.dial = None;
        } else if self.has_seat(leg) {
            return self.drop_seat(leg);
        } else if self.state.dialling() == Some(leg) && self.state.stage != Stage::Over {
            // A new program for the caller's leg drops the leg that was dialled from it; that it is
            // gone is known when the carrier comes for it.
            self.fetch();
            return;
        }
        self.queue.push_back(Event::LegEnded {
            leg: leg.clone(),
            cause,
        });
    }

    fn hang_up_caller(&mut self, cause: HangupCause) {
        self.state.hung_up = true;
        self.state.dial = None;
        if self.is_unanswered() && !self.state.in_hand {
            return self.give_up_placing(cause);
        }
        // A stream that stands is closed, and the carrier comes.
        if self.state.in_hand || self.line_up {
            return;
        }
        match self.state.stage {
            Stage::Over => self.queue.push_back(Event::LegEnded {
                leg: self.state.caller_leg.clone(),
                cause,
            }),
            Stage::New
            | Stage::Listening
            | Stage::Telling
            | Stage::Streaming
            | Stage::Dialing { .. }
            | Stage::Elsewhere
            | Stage::TakingMessage => {
                let sid = self.state.caller_sid.clone();
                self.done.effects.push(Effect::Complete { sid });
            }
        }
    }
}
