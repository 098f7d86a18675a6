//! A carrier that does what it is told, on a clock of its own.

use std::sync::Arc;
use std::time::Duration;

use switchhook_call::judge::{CallFact, CallRecord, Stamped, judge};
use switchhook_call::{ActionKind, Call, CallPolicy, Event};
use switchhook_conversation::documents::Documents;
use switchhook_conversation::{ConversationConfig, Input, LocalZone, Pin, PinAnswer, Turn};
use switchhook_model::{
    CallId, CallerIdentity, HangupCause, Language, LegId, MessageId, ModelDelta, Timestamp,
    ToolCall,
};

use crate::twilio::channel::{
    Arrival, Came, Channel, ChildStatus, DialEnd, Effect, LegEnd, Program, Recorded, Rooms, Rules,
    Seen, State,
};

/// The agent's leg.
const AGENT: &str = "CA00000000000000000000000000000002";

/// One thing that happens at the carrier or around it.
#[derive(Debug, Clone)]
pub(super) enum Move {
    /// The carrier comes for the next program.
    Comes(Came),
    /// The caller says something to a program that listens.
    Says(&'static str),
    Presses(&'static str),
    Silent,
    /// Everything was said.
    Back,
    Dialled(&'static str, Option<bool>),
    Rings,
    PicksUp,
    Accepts,
    /// The agent's leg is over, with this status.
    Over(&'static str),
    /// The caller is in the conference.
    Waits,
    /// The carrier took the dial over REST, or did not.
    Dials,
    DialsNot(HangupCause),
    /// The carrier has ended the agent's leg.
    Drops,
    /// It says what became of the caller's leg.
    Sees(Seen),
    /// The same of the agent.
    SeesAgent(Seen),
    HangsUp,
    /// The last PIN was looked up.
    PinIs(PinAnswer),
    Leaves(u64),
    /// The recording the last program made, or the one before it, is reported.
    Reports(u64),
    ReportsLate(u64),
    /// The model answers the last question.
    Thinks(&'static str),
    /// Or calls a tool, without arguments.
    Calls(&'static str),
    /// The staff's receiver accepts the last notice.
    Accepted,
    /// Or refuses it for good.
    Refused,
    /// Time passes, with its deadlines.
    Passes(u64),
    Operator(Event),
}

/// A call with everything it did.
pub(super) struct World {
    pub channel: Channel,
    rules: Arc<Rules>,
    now: Timestamp,
    pub programs: Vec<Program>,
    pub facts: Vec<Stamped<CallFact>>,
    pub effects: Vec<&'static str>,
    thought: Option<(u32, u32)>,
    /// The PIN that is being looked up.
    pub pin: Option<(u32, Pin)>,
    pub turns: Vec<Turn>,
    notices: Vec<MessageId>,
    /// Crash after so many moves.
    crash_after: Option<usize>,
    moves: usize,
}

pub(super) fn rules(change: impl FnOnce(&mut CallPolicy), accept_key: Option<char>) -> Arc<Rules> {
    let mut policy = CallPolicy {
        ring_timeout_s: 20,
        default_targets: vec!["2001".parse().unwrap()],
        ..CallPolicy::default()
    };
    change(&mut policy);
    let zone: LocalZone = "Europe/Berlin".parse().unwrap();
    let mut conversation = ConversationConfig::new(Language::En, zone);
    conversation.timing = Documents::timing(conversation.timing);
    Arc::new(Rules {
        policy,
        profile: "test".to_owned(),
        assistant: "Clara".to_owned(),
        conversation,
        accept_key,
        whisper: accept_key.is_some(),
        streams: false,
        rooms: Rooms::OnDemand,
        has_rest: false,
        elsewhere: false,
    })
}

/// The same, with agents met in conferences.
pub(super) fn rooms(change: impl FnOnce(&mut CallPolicy), accept_key: Option<char>) -> Arc<Rules> {
    let mut rules = Arc::into_inner(rules(change, accept_key)).unwrap();
    rules.rooms = Rooms::Always;
    rules.has_rest = true;
    Arc::new(rules)
}

impl World {
    pub fn begin(rules: &Arc<Rules>) -> Self {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let arrival = Arrival {
            account: "AC00000000000000000000000000000001".to_owned(),
            sid: "CA00000000000000000000000000000001".to_owned(),
            caller: CallerIdentity::from_untrusted("+12025550142", None),
            callee: "+493023125001".to_owned(),
            prefix: String::new(),
            sip_headers: std::collections::BTreeMap::new(),
            call_token: None,
        };
        let id = CallId::from_unique("t1");
        let mut world = Self {
            channel: Channel::inbound(id, arrival, Arc::clone(rules), now),
            rules: Arc::clone(rules),
            now,
            programs: Vec::new(),
            facts: Vec::new(),
            effects: Vec::new(),
            thought: None,
            pin: None,
            turns: Vec::new(),
            notices: Vec::new(),
            crash_after: None,
            moves: 0,
        };
        world.take();
        world.step(Move::Comes(Came::First));
        world
    }

    /// The same moves; the process dies after the `n`th of them.
    pub fn run(rules: &Arc<Rules>, moves: &[Move], crash_after: Option<usize>) -> Self {
        let mut world = Self::begin(rules);
        world.crash_after = crash_after;
        if crash_after == Some(0) {
            world.crash();
        }
        for one in moves {
            world.step(one.clone());
        }
        world
    }

    /// What is stored is all that is left.
    fn crash(&mut self) {
        let stored = serde_json::to_string(&self.channel.state).unwrap();
        let snapshot = self.channel.call.snapshot();
        let state: State = serde_json::from_str(&stored).unwrap();
        let call = Call::restore(&snapshot).unwrap();
        let rules = Arc::clone(&self.rules);
        self.channel = Channel::restore(call, state, rules, true, self.now).unwrap();
        self.thought = None;
        self.take();
    }

    pub fn step(&mut self, one: Move) {
        self.now = self.now + Duration::from_millis(400);
        let now = self.now;
        match one {
            Move::Comes(came) => self.comes(came),
            Move::Says(text) => {
                self.now = self.now + Duration::from_secs(15);
                self.comes(Came::Heard {
                    digits: None,
                    speech: Some(text.to_owned()),
                });
            }
            Move::Presses(keys) => {
                self.now = self.now + Duration::from_secs(15);
                self.comes(Came::Heard {
                    digits: Some(keys.to_owned()),
                    speech: None,
                });
            }
            Move::Silent => {
                self.now = self.now + Duration::from_secs(25);
                self.comes(Came::Heard {
                    digits: None,
                    speech: None,
                });
            }
            Move::Back => {
                self.now = self.now + Duration::from_secs(6);
                self.comes(Came::Back);
            }
            Move::Dialled(status, bridged) => self.comes(Came::DialEnded(end(status, bridged))),
            Move::Rings => self.child(ChildStatus::Ringing),
            Move::PicksUp => self.child(ChildStatus::Answered),
            Move::Accepts => {
                let leg = self.agent();
                self.channel.accepted(now, &leg);
            }
            Move::Over(status) => self.child(ChildStatus::Over(leg_end(status))),
            Move::Waits => {
                let leg = self.agent();
                self.channel.waits(now, &leg);
            }
            Move::Dials => {
                let leg = self.agent();
                self.channel.invited(now, &leg, AGENT);
            }
            Move::DialsNot(cause) => {
                let leg = self.agent();
                self.channel.not_invited(now, &leg, cause, "refused");
                self.give();
            }
            Move::Drops => {
                let leg = self.agent();
                self.channel.dropped(now, &leg);
            }
            Move::Sees(seen) => {
                let leg = self.channel.state.caller_leg.clone();
                self.channel.seen(now, &leg, seen);
            }
            Move::SeesAgent(seen) => {
                let leg = self.agent();
                self.channel.seen(now, &leg, seen);
            }
            Move::HangsUp => self.channel.caller_gone(now),
            Move::PinIs(answer) => {
                let (talk, _) = self.pin.take().expect("a PIN is looked up");
                self.channel.pin_checked(now, talk, answer);
                self.give();
            }
            Move::Leaves(duration_ms) => {
                self.now = self.now + Duration::from_millis(duration_ms);
                self.comes(Came::Recorded(Recorded {
                    duration_ms,
                    text: String::new(),
                }));
            }
            Move::Reports(ms) => {
                let program = self.channel.state.given;
                self.channel.message_reported(now, program, ms);
                self.give();
            }
            Move::ReportsLate(ms) => {
                let program = self.channel.state.given - 1;
                self.channel.message_reported(now, program, ms);
                self.give();
            }
            Move::Thinks(text) => self.model(ModelDelta::Text(text.to_owned())),
            Move::Calls(tool) => self.model(ModelDelta::ToolCall(ToolCall {
                id: "t".to_owned(),
                name: tool.to_owned(),
                arguments: "{}".to_owned(),
            })),
            Move::Accepted => {
                let message = self.notices.last().cloned().expect("a notice is owed");
                self.channel
                    .event(now, Event::NoticeAccepted { message, way: 0 });
                self.give();
            }
            Move::Refused => {
                let message = self.notices.last().cloned().expect("a notice is owed");
                let error = "no route".to_owned();
                let will_retry = false;
                self.channel.event(
                    now,
                    Event::NoticeRefused {
                        message,
                        error,
                        will_retry,
                    },
                );
                self.give();
            }
            Move::Passes(ms) => {
                let until = self.now + Duration::from_millis(ms);
                while let Some(at) = self.channel.next_deadline().filter(|at| *at <= until) {
                    self.now = self.now.max(at);
                    self.channel.timers(self.now);
                    self.give();
                    self.take();
                }
                self.now = until;
            }
            Move::Operator(event) => {
                self.channel.event(now, event);
                self.give();
            }
        }
        self.take();
        self.moves += 1;
        if self.crash_after == Some(self.moves - 1) && self.moves > 1 {
            self.crash();
        }
    }

    fn model(&mut self, said: ModelDelta) {
        let (talk, request) = self.thought.expect("somebody asked the model");
        for delta in [said, ModelDelta::Done] {
            self.channel
                .hear(self.now, talk, Input::Delta { request, delta });
        }
        self.give();
    }

    fn comes(&mut self, came: Came) {
        self.channel.came(self.now, came);
        self.give();
    }

    fn give(&mut self) {
        if let Some(program) = self.channel.program(self.now) {
            self.programs.push(program);
        }
    }

    fn child(&mut self, status: ChildStatus) {
        let leg = self.agent();
        self.channel
            .child(self.now, &leg, Some(AGENT), None, status);
        self.give();
    }

    pub fn agent(&self) -> LegId {
        let legs = self.channel.call.view().legs;
        legs.last().expect("a leg").id.clone()
    }

    fn take(&mut self) {
        let Some(done) = self.channel.take_done() else {
            return;
        };
        for (event, actions) in done.steps {
            let at = self.now;
            self.facts.push(Stamped {
                at,
                fact: CallFact::Seen(event),
            });
            for action in actions {
                if let ActionKind::Notify { message, .. } = &action.kind {
                    self.notices.push(message.clone());
                }
                self.facts.push(Stamped {
                    at,
                    fact: CallFact::Done(action),
                });
            }
        }
        self.turns.extend(done.turns);
        for effect in done.effects {
            self.effects.push(match effect {
                Effect::Think { talk, request, .. } => {
                    self.thought = Some((talk, request));
                    "think"
                }
                Effect::CancelThink { .. } => "cancel_think",
                Effect::Book { .. } => "book",
                Effect::Fetch { .. } => "fetch",
                Effect::Complete { .. } => "complete",
                Effect::Record { .. } => "record",
                Effect::Place => "place",
                Effect::Find => "find",
                Effect::LeaveStream => "leave_stream",
                Effect::CheckPin { talk, pin, .. } => {
                    self.pin = Some((talk, pin));
                    "check_pin"
                }
                Effect::Invite { again: false, .. } => "invite",
                Effect::Invite { again: true, .. } => "invite_again",
                Effect::Drop { .. } => "drop",
                Effect::Hold { on: true, .. } => "hold",
                Effect::Hold { on: false, .. } => "unhold",
                Effect::Look { .. } => "look",
            });
        }
    }

    /// What the judge finds, by code.
    pub fn findings(&self) -> Vec<String> {
        let record = CallRecord {
            view: self.channel.call.view(),
            facts: self.facts.clone(),
        };
        judge(&record)
            .into_iter()
            .map(|found| format!("{}: {}", found.code, found.detail))
            .collect()
    }

    /// The last program in a few words.
    pub fn last(&self) -> String {
        self.programs.last().map_or("nothing".to_owned(), describe)
    }

    pub fn outcome(&self) -> &'static str {
        let outcome = self.channel.call.view().outcome;
        outcome.map_or("none", |outcome| outcome.code.code())
    }

    pub fn attempts(&self) -> Vec<String> {
        let view = self.channel.call.view();
        let attempts = view
            .transfers
            .iter()
            .flat_map(|transfer| &transfer.attempts);
        attempts
            .map(|attempt| {
                attempt
                    .result
                    .map_or("open".to_owned(), |r| r.code().to_owned())
            })
            .collect()
    }
}

pub(super) fn describe(program: &Program) -> String {
    match program {
        Program::Listen {
            say,
            over,
            pin: true,
            ..
        } => format!("ask for a PIN {say:?} {over:?}"),
        Program::Listen { say, over, .. } => format!("listen {say:?} {over:?}"),
        Program::Tell { say } => format!("tell {say:?}"),
        Program::Wait => "wait".to_owned(),
        Program::Dial { say, order } => format!("dial {} {say:?}", order.target),
        Program::Meet { say, order } => format!("meet {} {say:?}", order.target),
        Program::Elsewhere => "elsewhere".to_owned(),
        Program::Stream => "stream".to_owned(),
        Program::TakeMessage { say } => format!("record {say:?}"),
        Program::Refuse { busy } => format!("refuse busy={busy}"),
        Program::Hangup => "hangup".to_owned(),
    }
}

fn end(status: &str, bridged: Option<bool>) -> DialEnd {
    let (answered, cause, sip_status) = match status {
        "completed" => (true, HangupCause::Normal, Some(200)),
        "busy" => (false, HangupCause::Busy, Some(486)),
        "no-answer" => (false, HangupCause::NoAnswer, Some(487)),
        "failed" => (false, HangupCause::Unreachable, Some(404)),
        "canceled" => (false, HangupCause::Canceled, None),
        other => panic!("no such status: {other}"),
    };
    DialEnd {
        bridged,
        answered,
        cause,
        sip_status,
        sid: Some(AGENT.to_owned()),
    }
}

/// The same as the agent's leg reports it.
fn leg_end(status: &str) -> LegEnd {
    let DialEnd {
        answered,
        cause,
        sip_status,
        ..
    } = end(status, None);
    LegEnd {
        answered,
        cause,
        sip_status,
    }
}
