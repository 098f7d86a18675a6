//! What the carrier is to do next with the caller's leg.

use switchhook_call::Event;
use switchhook_conversation::documents::Then;
use switchhook_conversation::{Conversation, TurnState};
use switchhook_model::{HangupCause, Timestamp};

use super::state::{Child, DialOrder};
use super::{Channel, Stage};

/// One document's worth. `say` is spoken first, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// Listen: keys and speech. The caller may speak over `over`. Silence of `silence_ms` after the
    /// last word of ours comes back, too.
    Listen {
        say: Vec<String>,
        over: Vec<String>,
        silence_ms: u64,
        /// For a PIN: keys in a row, ended by `#`.
        pin: bool,
    },
    /// Come back at once.
    Tell { say: Vec<String> },
    /// Come back after a second: nothing is there to be said yet.
    Wait,
    /// Ring an agent and bridge.
    Dial { say: Vec<String>, order: DialOrder },
    /// Wait in a conference for the agent, who is dialled when the caller is there.
    Meet { say: Vec<String>, order: DialOrder },
    /// Ring somebody else's assistant and connect both.
    Elsewhere,
    /// Connect ears and mouth of ours.
    Stream,
    /// Beep and record.
    TakeMessage { say: Vec<String> },
    /// Do not answer the call.
    Refuse { busy: bool },
    /// Over.
    Hangup,
}

impl Channel {
    /// The next program, if there is one already and the carrier waits for it. It counts as given.
    pub fn program(&mut self, now: Timestamp) -> Option<Program> {
        if !self.state.in_hand {
            return None;
        }
        let program = self.decide(now)?;
        self.given(now, &program);
        Some(program)
    }

    /// The same when the carrier cannot be kept waiting: it comes back in a moment.
    pub fn program_now(&mut self, now: Timestamp) -> Program {
        self.program(now).unwrap_or_else(|| {
            self.given(now, &Program::Wait);
            Program::Wait
        })
    }

    fn decide(&mut self, now: Timestamp) -> Option<Program> {
        if let Some(status) = self.state.refused {
            let busy = matches!(status, 486 | 600);
            return Some(Program::Refuse { busy });
        }
        if self.state.hung_up || self.call.is_ended() {
            return Some(Program::Hangup);
        }
        // A dial that is dropped would ring twice, and words that are dropped would count as heard. A
        // second is enough for the other request to arrive.
        if std::mem::take(&mut self.state.is_crossed) {
            return Some(Program::Wait);
        }
        if self.rules.streams {
            return self.decide_streaming();
        }
        if let Some(order) = self.state.dial.take() {
            let say = self.spoken(now);
            return Some(connecting(say, order));
        }
        if let Some(program) = self.elsewhere_program() {
            return Some(program);
        }
        let talk = self.talk.as_ref()?;
        if !self.state.documents.has_words() && !talk.wants_to_listen() {
            return None;
        }
        let mut spoken = self.state.documents.take(talk, now);
        let over = spoken.items.split_off(spoken.listen_from);
        let texts = |items: Vec<(u32, String)>| items.into_iter().map(|(_, text)| text).collect();
        let (mut say, over): (Vec<String>, Vec<String>) = (texts(spoken.items), texts(over));
        Some(match spoken.then {
            Then::Listen { silence_ms } => Program::Listen {
                say,
                over,
                silence_ms,
                pin: self.asks_for_pin(),
            },
            Then::Record => {
                say.extend(over);
                Program::TakeMessage { say }
            }
            Then::ComeBack => {
                say.extend(over);
                Program::Tell { say }
            }
        })
    }

    /// With ears and mouth of ours everything that is said goes over the stream.
    fn decide_streaming(&mut self) -> Option<Program> {
        let has_words = self.talk.as_ref().is_some_and(Conversation::is_speaking);
        if !has_words && let Some(order) = self.state.dial.take() {
            return Some(connecting(Vec::new(), order));
        }
        if let Some(program) = self.elsewhere_program() {
            return Some(program);
        }
        let talk = self.talk.as_ref()?;
        let is_wanted =
            has_words || talk.wants_to_listen() || talk.turn_state() != TurnState::Inactive;
        is_wanted.then_some(Program::Stream)
    }

    /// All that is to be said before something else.
    fn spoken(&mut self, now: Timestamp) -> Vec<String> {
        let Some(talk) = &self.talk else {
            return Vec::new();
        };
        let spoken = self.state.documents.take(talk, now);
        spoken.items.into_iter().map(|(_, text)| text).collect()
    }

    fn given(&mut self, now: Timestamp, program: &Program) {
        self.state.in_hand = false;
        self.state.had_stream = false;
        let begins = !matches!(program, Program::Refuse { .. } | Program::Hangup);
        self.state.is_recorded_from_here =
            begins && self.state.is_to_be_recorded && !self.asks_who_calls();
        self.state.is_to_be_recorded &= !self.state.is_recorded_from_here;
        self.state.given += 1;
        self.state.stage = match program {
            Program::Listen { .. } => Stage::Listening,
            Program::Tell { .. } | Program::Wait => Stage::Telling,
            Program::Meet { order, .. } => self.enters(order),
            Program::Dial { order, .. } => {
                self.state
                    .children
                    .insert(order.leg.clone(), Child::default());
                Stage::Dialing {
                    leg: order.leg.clone(),
                }
            }
            Program::Elsewhere => Stage::Elsewhere,
            Program::Stream => Stage::Streaming,
            Program::TakeMessage { .. } => {
                self.state.message_ms = None;
                Stage::TakingMessage
            }
            Program::Refuse { .. } | Program::Hangup => {
                // Nothing of this leg comes any more that would have to be waited for.
                self.queue.push_back(Event::LegEnded {
                    leg: self.state.caller_leg.clone(),
                    cause: HangupCause::Normal,
                });
                Stage::Over
            }
        };
        self.heard_of(now);
        self.run(now);
    }

    /// The carrier would not take the program: nothing of it was done.
    pub fn not_carried_out(&mut self, now: Timestamp, program: &Program, why: &str) {
        self.state.in_hand = true;
        self.state.is_to_be_recorded |= self.state.is_recorded_from_here;
        if let Program::Dial { order, .. } | Program::Meet { order, .. } = program {
            self.state.stage = Stage::Telling;
            self.state.children.remove(&order.leg);
            self.queue.push_back(Event::LegFailed {
                leg: order.leg.clone(),
                cause: HangupCause::Unreachable,
                sip_status: None,
                detail: Some(why.to_owned()),
            });
        }
        self.run(now);
    }
}

fn connecting(say: Vec<String>, order: DialOrder) -> Program {
    if order.in_room {
        Program::Meet { say, order }
    } else {
        Program::Dial { say, order }
    }
}
