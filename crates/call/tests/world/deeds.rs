//! Carries the call's actions out: what phones, caller, speech and receiver make of them.

use switchhook_call::judge::{CallFact, Stamped};
use switchhook_call::{Action, ActionKind, CallEvent, Event, Heard, Opening, SayId};
use switchhook_model::{HangupCause, LegId, Target};

use super::{Message, Phone, Receiver, World};

impl World {
    pub(super) fn carry_out(&mut self, action: &Action) {
        let mut outward = |to: &str, text: String| {
            self.rows
                .push((self.now, "switch".to_owned(), to.to_owned(), text))
        };
        match action.kind.clone() {
            ActionKind::Ring { leg } => {
                let to = self.name(&leg);
                self.row("switch", &to, "180 Ringing".to_owned());
            }
            ActionKind::Answer { leg } => {
                let to = self.name(&leg);
                self.row("switch", &to, "200 OK".to_owned());
                self.event_in(20, Event::LegAnswered { leg });
            }
            ActionKind::Reject { leg, status } => {
                let to = self.name(&leg);
                self.row("switch", &to, status.to_string());
                self.event_in(
                    10,
                    Event::LegEnded {
                        leg,
                        cause: HangupCause::Rejected,
                    },
                );
            }
            ActionKind::Dial { leg, target, .. } => self.dial(leg, &target),
            ActionKind::Cancel { leg } => {
                let to = self.name(&leg);
                self.row("switch", &to, "CANCEL".to_owned());
                self.cancel(leg);
            }
            ActionKind::Hangup { leg, .. } => {
                let to = self.name(&leg);
                self.row("switch", &to, "BYE".to_owned());
                self.queue.retain(|_, event| !matches!(event, Event::LegEnded { leg: other, .. } if *other == leg));
                self.event_in(
                    10,
                    Event::LegEnded {
                        leg,
                        cause: HangupCause::Normal,
                    },
                );
            }
            ActionKind::Ringback { leg, on } => {
                let to = self.name(&leg);
                let text = if on { "ringback on" } else { "ringback off" };
                self.row("switch", &to, text.to_owned());
            }
            ActionKind::EarlyMedia { leg, from, on } => {
                let (to, from) = (self.name(&leg), self.name(&from));
                let text = if on { "begins" } else { "ends" };
                self.row("switch", &to, format!("early media of {from} {text}"));
            }
            ActionKind::Bridge { a, b } => {
                let (a, b) = (self.name(&a), self.name(&b));
                self.row("switch", "", format!("bridges {a} and {b}"));
            }
            ActionKind::Unbridge { a, b } => {
                let (a, b) = (self.name(&a), self.name(&b));
                self.row("switch", "", format!("separates {a} and {b}"));
            }
            ActionKind::StartAssistant { opening, .. } => {
                let text = match opening {
                    Opening::Greeting => "starts, with greeting",
                    Opening::Silent => "starts, silent",
                };
                outward("assistant", text.to_owned());
            }
            ActionKind::ResumeAssistant { note } => {
                outward("assistant", format!("resumes: {note}"))
            }
            ActionKind::PauseAssistant => outward("assistant", "pauses".to_owned()),
            ActionKind::StopAssistant => {
                outward("assistant", "stops".to_owned());
                self.forget_speech();
            }
            ActionKind::Say { say, text, .. } => {
                outward("caller", format!("\"{text}\""));
                self.speak(say);
            }
            ActionKind::TakeMessage => {
                outward("assistant", "takes a message".to_owned());
                match self.message.clone() {
                    Message::Speaks(text) => self.event_in(5000, message_event(text)),
                    Message::SaysNothing => self.event_in(6000, Event::MessageAbandoned),
                    Message::TalksOn(_) => {}
                }
            }
            ActionKind::FinishMessage => {
                outward("assistant", "finishes the message".to_owned());
                self.queue.retain(|_, event| {
                    !matches!(event, Event::MessageTaken { .. } | Event::MessageAbandoned)
                });
                let event = match self.message.clone() {
                    Message::Speaks(text) | Message::TalksOn(text) => message_event(text),
                    Message::SaysNothing => Event::MessageAbandoned,
                };
                self.event_in(1000, event);
            }
            ActionKind::Notify {
                message, template, ..
            } => {
                outward("staff", format!("notice {template:?}"));
                match self.receiver {
                    Receiver::AcceptsAfter(ms) => {
                        self.event_in(ms, Event::NoticeAccepted { message, way: 0 });
                    }
                    Receiver::Refuses => self.event_in(
                        200,
                        Event::NoticeRefused {
                            message,
                            error: "500".to_owned(),
                            will_retry: true,
                        },
                    ),
                    Receiver::Silent => {}
                }
            }
            ActionKind::StartRecording { .. } => outward("", "starts recording".to_owned()),
            ActionKind::StopRecording { .. } => outward("", "stops recording".to_owned()),
            ActionKind::Hold { leg } => {
                let to = self.name(&leg);
                self.row("switch", &to, "re-INVITE sendonly".to_owned());
            }
            ActionKind::Resume { leg } => {
                let to = self.name(&leg);
                self.row("switch", &to, "re-INVITE sendrecv".to_owned());
            }
            ActionKind::HoldMusic { leg, on } => {
                let to = self.name(&leg);
                let text = if on { "music on" } else { "music off" };
                self.row("switch", &to, text.to_owned());
            }
            ActionKind::AcceptRefer { leg, .. } => {
                let to = self.name(&leg);
                self.row("switch", &to, "202 Accepted".to_owned());
            }
            ActionKind::RefuseRefer { leg, status, .. } => {
                let to = self.name(&leg);
                self.row("switch", &to, status.to_string());
            }
            ActionKind::NotifyTransferor { leg, status, .. } => {
                let to = self.name(&leg);
                self.row("switch", &to, format!("NOTIFY {status}"));
            }
            ActionKind::Refer {
                leg,
                attempt,
                target,
            } => {
                let to = self.name(&leg);
                self.row("switch", &to, format!("REFER to {target}"));
                for (ms, report) in self.exchange.clone() {
                    let (leg, attempt) = (leg.clone(), attempt.clone());
                    self.event_in(
                        ms,
                        Event::ReferReported {
                            leg,
                            attempt,
                            report,
                        },
                    );
                }
            }
            ActionKind::Emit(event) => {
                let text = match event {
                    CallEvent::HoldIgnored { detail } => format!("* hold ignored: {detail}"),
                    CallEvent::ReferRefused { detail, .. } => format!("* REFER refused: {detail}"),

                    CallEvent::AttemptEnded { result, .. } => {
                        format!("* attempt {}", result.code())
                    }
                    CallEvent::TransferEnded { outcome, .. } => {
                        format!("* transfer {}", outcome.code())
                    }
                    CallEvent::TransferIgnored { detail, .. } => {
                        format!("* request ignored: {detail}")
                    }
                    CallEvent::CallEnded { outcome } => format!(
                        "* call {} by {:?}: {}",
                        outcome.code.code(),
                        outcome.ended_by,
                        outcome.detail
                    ),
                    _ => return,
                };
                outward("", text);
            }
        }
    }

    /// Sentences take two seconds each, one after the other.
    fn speak(&mut self, say: SayId) {
        let busy_until = self
            .queue
            .iter()
            .filter(|(_, event)| matches!(event, Event::SayFinished { .. }))
            .map(|((at, _), _)| *at)
            .max()
            .unwrap_or(self.now);
        let ms = busy_until.millis_since(self.now) + 2000;
        self.event_in(
            ms,
            Event::SayFinished {
                say,
                heard: Heard::Full,
            },
        );
    }

    fn forget_speech(&mut self) {
        self.queue.retain(|_, event| {
            !matches!(
                event,
                Event::SayFinished { .. } | Event::MessageTaken { .. } | Event::MessageAbandoned
            )
        });
    }

    fn dial(&mut self, leg: LegId, to: &Target) {
        let number = to.to_string();
        self.legs.insert(leg.clone(), number.clone());
        self.row("switch", &number, "INVITE".to_owned());
        self.facts.push(Stamped {
            at: self.now,
            fact: CallFact::InviteSent {
                leg: leg.clone(),
                sip_call_id: leg.to_string(),
            },
        });
        let script = self.phones.entry(number).or_default();
        let behaviour = if script.len() > 1 {
            script.remove(0)
        } else {
            script.first().copied().unwrap_or(Phone::NeverAnswers)
        };
        self.behaviour.insert(leg.clone(), behaviour);
        let failed = |cause, status| Event::LegFailed {
            leg: leg.clone(),
            cause,
            sip_status: Some(status),
            detail: None,
        };
        match behaviour {
            Phone::AnswersAfter(ms) => {
                self.event_in(50, Event::LegRinging { leg: leg.clone() });
                self.event_in(ms, Event::LegAnswered { leg });
            }
            Phone::NeverAnswers | Phone::AnswersTheCancel => {
                self.event_in(50, Event::LegRinging { leg });
            }
            Phone::Busy => self.event_in(50, failed(HangupCause::Busy, 486)),
            Phone::Rejects => self.event_in(1500, failed(HangupCause::Rejected, 603)),
            Phone::NotRegistered => self.event_in(5, failed(HangupCause::Unreachable, 480)),
        }
    }

    fn cancel(&mut self, leg: LegId) {
        self.queue.retain(|_, event| {
            !matches!(event, Event::LegAnswered { leg: other } | Event::LegRinging { leg: other } if *other == leg)
        });
        if self.behaviour.get(&leg) == Some(&Phone::AnswersTheCancel) {
            return self.event_in(5, Event::LegAnswered { leg });
        }
        self.event_in(
            10,
            Event::LegFailed {
                leg,
                cause: HangupCause::Canceled,
                sip_status: Some(487),
                detail: None,
            },
        );
    }
}

fn message_event(text: &str) -> Event {
    Event::MessageTaken {
        text: text.to_owned(),
        duration_ms: 4200,
        recorded: true,
    }
}
