//! One call at Twilio as data: what happened at the carrier becomes events of the call, what the
//! call wants becomes what the carrier is to do next. No I/O and no clock, so that every webhook of
//! every ladder can be followed by a crash in a test.
//!
//! The carrier has the audio. It is given one [`Program`] at a time for the caller's leg, carries it
//! out, and comes back for the next one. In between it holds the call, also while no process of ours
//! runs: what is needed to go on is stored with each step ([`State`]).

mod arrival;
mod elsewhere;
mod meeting;
mod message;
mod parting;
mod perform;
mod placing;
mod program;
mod returned;
mod state;
mod streaming;
mod talking;
mod watching;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use switchhook_call::{Action, Call, CallPolicy, Event, RecordPolicy};
use switchhook_conversation::{Conversation, ConversationConfig, Output, Pin, Turn};
use switchhook_model::{ChatMessage, LegId, Timestamp, ToolSpec};

pub use arrival::Arrival;
pub use placing::{CalledStatus, Outgoing, Picker, Placing, Request};
pub use program::Program;
pub use returned::{Came, ChildStatus, DialEnd, LegEnd, Lost, Recorded};
pub use state::{CallToken, Stage, State};
pub use watching::Seen;

use crate::calls::BookingRequest;

/// What does not change during a call and is not stored with it.
#[derive(Debug, Clone)]
pub struct Rules {
    pub policy: CallPolicy,
    pub profile: String,
    pub assistant: String,
    pub conversation: ConversationConfig,
    /// An agent presses this key to take a call; without one, answering is enough.
    pub accept_key: Option<char>,
    /// Whether an agent is told who calls before the bridge.
    pub whisper: bool,
    /// Whether the conversation goes over a media stream, with ears and mouth of ours.
    pub streams: bool,
    pub rooms: Rooms,
    /// Whether the carrier can be asked for anything over REST.
    pub has_rest: bool,
    /// Whether those we call are connected with somebody else's assistant.
    pub elsewhere: bool,
}

impl Rules {
    /// The same for calls this program acts: nothing of them is recorded, and nobody else talks.
    #[must_use]
    pub fn acted(&self) -> Self {
        let mut rules = self.clone();
        rules.policy.record = RecordPolicy::Off;
        Self {
            accept_key: None,
            whisper: false,
            streams: false,
            rooms: Rooms::OnDemand,
            has_rest: false,
            elsewhere: false,
            ..rules
        }
    }
}

/// When caller and agent meet in a conference, in place of a dial from the caller's leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rooms {
    /// When whoever asks for the transfer wants it.
    OnDemand,
    Always,
}

/// Something to be done outside, after the step that wants it is committed.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Ask the model.
    Think {
        talk: u32,
        request: u32,
        messages: Vec<ChatMessage>,
        tools: Vec<ToolSpec>,
    },
    /// Nobody waits for that answer any more.
    CancelThink { talk: u32, request: u32 },
    /// Look up whose PIN this is. `caller` is the number the carrier gave, or empty.
    CheckPin { talk: u32, caller: String, pin: Pin },
    /// The model wants something booked: the call's booking of that number.
    Book {
        talk: u32,
        number: u32,
        wanted: BookingRequest,
    },
    /// The carrier is to come for a new program at once; what it does now is over.
    Fetch { sid: String },
    /// The carrier is to end the leg at once.
    Complete { sid: String },
    /// Record both sides of the leg, on separate channels.
    Record { sid: String },
    /// Dial the agent of this leg into the conference, once. With `again` the carrier may have been
    /// asked before, from `since` on.
    Invite {
        leg: LegId,
        since: Timestamp,
        again: bool,
    },
    /// End the agent's leg.
    Drop { leg: LegId, sid: String },
    /// Hold the caller in the conference, or take them back.
    Hold { room: String, sid: String, on: bool },
    /// Ask the carrier what became of a leg.
    Look { leg: LegId, sid: String },
    /// Ask the carrier for the call.
    Place,
    /// Find out what became of that.
    Find,
    /// Close the media stream: the carrier comes for the next program.
    LeaveStream,
}

/// What one input led to.
#[derive(Debug, Default)]
pub struct Done {
    /// Events the call was told, each with the actions that came of it, in order.
    pub steps: Vec<(Event, Vec<Action>)>,
    pub turns: Vec<Turn>,
    pub effects: Vec<Effect>,
    /// Ids the carrier gave legs of the call.
    pub sids: Vec<(LegId, String)>,
}

impl Done {
    /// Whether there is anything beside the talk itself.
    fn has_news(&self) -> bool {
        !self.steps.is_empty() || !self.turns.is_empty() || !self.effects.is_empty()
    }

    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.steps.iter().flat_map(|(_, actions)| actions)
    }
}

/// A call with its channel.
#[derive(Debug)]
pub struct Channel {
    pub call: Call,
    pub state: State,
    rules: Arc<Rules>,
    talk: Option<Conversation>,
    queue: VecDeque<Event>,
    done: Done,
    /// Something is to be stored.
    is_touched: bool,
    /// The media stream stands. Not stored: it ends with the process.
    line_up: bool,
    /// The carrier's id of the caller's leg is to be stored.
    has_new_sid: bool,
    /// For ears and mouth.
    voice: Vec<Output>,
}

impl Channel {
    fn new(call: Call, state: State, rules: Arc<Rules>) -> Self {
        Self {
            call,
            state,
            rules,
            talk: None,
            queue: VecDeque::new(),
            done: Done::default(),
            is_touched: false,
            line_up: false,
            has_new_sid: false,
            voice: Vec::new(),
        }
    }

    /// A stored call, with what a process left of it that may be gone: what only that process knew
    /// is dealt with if `is_adopted`.
    ///
    /// # Errors
    /// If what is stored cannot be read; without a word of it.
    pub fn restore(
        call: Call,
        state: State,
        rules: Arc<Rules>,
        is_adopted: bool,
        now: Timestamp,
    ) -> Result<Self, state::Unreadable> {
        let mut channel = Self::new(call, state, rules);
        channel.restore_talk(now, is_adopted)?;
        if is_adopted && channel.state.simulated && !channel.call.is_ended() {
            // Whoever acted the callee is gone.
            channel.event(now, Event::Restarted);
            channel.leave(now);
        } else if is_adopted {
            channel.place_again();
            channel.ask_again();
        }
        Ok(channel)
    }

    /// What was asked of the carrier before may not have left the machine.
    fn ask_again(&mut self) {
        self.invite_again();
        let sid = self.state.caller_sid.clone();
        if self.state.in_hand || self.state.stage == Stage::Over || sid.is_empty() {
            return;
        }
        if self.state.hung_up {
            self.done.effects.push(Effect::Complete { sid });
            self.is_touched = true;
        } else if self.state.is_fetched {
            self.done.effects.push(Effect::Fetch { sid });
            self.is_touched = true;
        }
    }

    /// The carrier is here, or the leg is gone: asking it to come would take it from what it is to do now.
    fn ask_no_more(&mut self) {
        let asks =
            |effect: &Effect| matches!(effect, Effect::Fetch { .. } | Effect::Complete { .. });
        self.done.effects.retain(|effect| !asks(effect));
    }

    /// Whether the carrier was asked to come, or to end the leg, and did not show yet that it was.
    pub fn is_asked(&self) -> bool {
        let is_there = self.state.in_hand || self.state.stage == Stage::Over;
        let has_leg = !self.state.caller_sid.is_empty();
        !is_there && has_leg && (self.state.is_fetched || self.state.hung_up)
    }

    /// What came of everything since this was last asked; nothing if nothing was done.
    pub fn take_done(&mut self) -> Option<Done> {
        if !std::mem::take(&mut self.is_touched) {
            return None;
        }
        self.state.conversation = self.talk.as_ref().map(Conversation::snapshot);
        Some(std::mem::take(&mut self.done))
    }

    /// The carrier's id of the caller's leg, once it is new.
    pub fn take_new_sid(&mut self) -> Option<String> {
        std::mem::take(&mut self.has_new_sid).then(|| self.state.caller_sid.clone())
    }

    /// Something that is no webhook: an operator, a notice.
    pub fn event(&mut self, now: Timestamp, event: Event) {
        self.queue.push_back(event);
        self.run(now);
    }

    /// When [`Self::timers`] is to be asked, unless something else comes before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let call = self.call.next_deadline().map(|(at, _)| at);
        let talk = self.talk.as_ref().and_then(Conversation::next_deadline);
        // While the carrier speaks and listens, it keeps the time.
        let talk = talk.filter(|_| self.keeps_time());
        let carrier = self.next_look();
        let placing = self.placing_deadline();
        call.into_iter()
            .chain(talk)
            .chain(carrier)
            .chain(placing)
            .chain(self.state.parting)
            .min()
    }

    /// Deadlines that have passed.
    pub fn timers(&mut self, now: Timestamp) {
        if self.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        if let Some((at, timer)) = self.call.next_deadline()
            && at <= now
        {
            self.queue.push_back(Event::TimerFired(timer));
        }
        if self.keeps_time()
            && self
                .talk
                .as_ref()
                .and_then(Conversation::next_deadline)
                .is_some_and(|at| at <= now)
        {
            self.talk_input(now, switchhook_conversation::Input::Timeout);
        }
        self.parting_due(now);
        self.look(now);
        self.placing_due(now);
        self.run(now);
    }

    /// Whether the conversation's own deadlines hold.
    fn keeps_time(&self) -> bool {
        self.state.in_hand || self.line_up
    }

    /// Whether nothing can come any more that the call would have to take.
    pub fn is_settled(&self) -> bool {
        self.call.is_settled() && self.talk.is_none()
    }

    /// Tells the call what is queued, and what that leads to, until nothing is left.
    fn run(&mut self, now: Timestamp) {
        self.is_touched = true;
        while let Some(event) = self.queue.pop_front() {
            let actions = self.call.handle(now, event.clone());
            for action in &actions {
                self.perform(now, action);
            }
            self.done.steps.push((event, actions));
        }
        self.record();
        self.forget_finished_talk();
        self.leave_stream();
    }

    /// What is recorded holds no PIN: until it is known who calls, nothing is. The first program
    /// begins a recording itself, because the carrier takes no order for a call that is not answered.
    fn record(&mut self) {
        let is_answered = self.state.given > 0 && self.state.stage != Stage::Over;
        if self.state.is_to_be_recorded && is_answered && !self.asks_who_calls() {
            self.state.is_to_be_recorded = false;
            let sid = self.state.caller_sid.clone();
            self.done.effects.push(Effect::Record { sid });
        }
    }

    /// Whether a leg of the call still lives, as far as the call knows.
    fn is_living(&self, leg: &LegId) -> bool {
        self.call
            .view()
            .legs
            .iter()
            .any(|known| known.id == *leg && known.ended_at.is_none())
    }
}
