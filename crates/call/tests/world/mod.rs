//! A world around one call: phones, a caller, speech, a receiver for notices, and virtual time. It
//! carries out the call's actions, draws the ladder, and keeps the facts for the judge. With every
//! event the call is stored and read back, and the copy has to behave the same.
#![allow(dead_code, reason = "each test file uses its own part")]

mod deeds;
mod describe;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use switchhook_call::judge::{CallFact, CallRecord, Stamped, Violation, judge};
use switchhook_call::{
    ActionKind, AssistantEnd, Call, CallPolicy, CallView, Event, Party, ReferReport, Route,
};
use switchhook_model::{CallId, CallerIdentity, HangupCause, LegId, RequestId, Target, Timestamp};

/// 2026-01-13T09:00:00Z, a Tuesday.
pub const START: Timestamp = Timestamp::from_millis(1_768_294_800_000);

/// What a phone does when it is dialled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Phone {
    AnswersAfter(u64),
    NeverAnswers,
    Busy,
    Rejects,
    NotRegistered,
    /// Answers although it was cancelled: the 200 crosses the CANCEL.
    AnswersTheCancel,
}

/// What the caller does when asked for a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    Speaks(&'static str),
    SaysNothing,
    /// Talks without end.
    TalksOn(&'static str),
}

/// What the receiver of notices does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Receiver {
    AcceptsAfter(u64),
    Refuses,
    Silent,
}

pub struct World {
    pub call: Call,
    pub now: Timestamp,
    pub phones: BTreeMap<String, Vec<Phone>>,
    pub message: Message,
    pub receiver: Receiver,
    /// What the caller's exchange reports about a REFER, and when.
    pub exchange: Vec<(u64, ReferReport)>,
    queue: BTreeMap<(Timestamp, u32), Event>,
    queued: u32,
    legs: BTreeMap<LegId, String>,
    behaviour: BTreeMap<LegId, Phone>,
    rows: Vec<(Timestamp, String, String, String)>,
    pub facts: Vec<Stamped<CallFact>>,
}

pub fn target(text: &str) -> Target {
    text.parse().expect("a target")
}

pub fn request(n: u32) -> RequestId {
    RequestId::from_unique(&n.to_string())
}

/// The demo's policy: 2001, then the full chain.
pub fn policy() -> CallPolicy {
    CallPolicy {
        default_targets: vec![target("2001")],
        ..CallPolicy::default()
    }
}

impl World {
    pub fn new(policy: CallPolicy) -> Self {
        assert_eq!(policy.validate(), Ok(()));
        let id = CallId::from_unique("t");
        Self {
            call: Call::new(id, "demo".to_owned(), policy, START),
            now: START,
            phones: BTreeMap::new(),
            message: Message::Speaks("please call me back"),
            receiver: Receiver::AcceptsAfter(300),
            exchange: Vec::new(),
            queue: BTreeMap::new(),
            queued: 0,
            legs: BTreeMap::new(),
            behaviour: BTreeMap::new(),
            rows: Vec::new(),
            facts: Vec::new(),
        }
    }

    /// The caller has arrived and hears the assistant.
    pub fn with_assistant(policy: CallPolicy) -> Self {
        let mut world = Self::new(policy);
        world.caller_arrives(Route::Assistant {
            name: "reception".to_owned(),
        });
        world.run_until_s(2);
        world
    }

    pub fn caller_leg(&self) -> LegId {
        LegId::derive(self.call.id(), 1)
    }

    /// The leg of the latest dial to an agent.
    pub fn agent_leg(&self) -> LegId {
        let view = self.call.view();
        let agent = view.legs.iter().rfind(|leg| leg.party == Party::Agent);
        agent.expect("an agent was dialled").id.clone()
    }

    pub fn phone(mut self, number: &str, behaviour: Phone) -> Self {
        let script = self.phones.entry(number.to_owned()).or_default();
        script.push(behaviour);
        self
    }

    pub fn message(mut self, message: Message) -> Self {
        self.message = message;
        self
    }

    pub fn receiver(mut self, receiver: Receiver) -> Self {
        self.receiver = receiver;
        self
    }

    pub fn caller_arrives(&mut self, route: Route) {
        let leg = self.caller_leg();
        self.legs.insert(leg.clone(), "caller".to_owned());
        self.event(Event::CallerArrived {
            leg,
            caller: CallerIdentity::from_untrusted("+12025550123", Some("Ada")),
            callee: "assistant".to_owned(),
            route,
            sip_headers: Default::default(),
        });
    }

    pub fn ask(&mut self, n: u32) {
        self.ask_for(n, None, None);
    }

    pub fn ask_for(&mut self, n: u32, to: Option<&str>, department: Option<&str>) {
        self.event(Event::AssistantAskedForHuman {
            request: request(n),
            target: to.map(target),
            department: department.map(str::to_owned),
            reason: "wants a human".to_owned(),
            summary: "about an invoice".to_owned(),
        });
    }

    pub fn caller_hangs_up(&mut self) {
        let leg = self.caller_leg();
        self.event(Event::LegEnded {
            leg,
            cause: HangupCause::Normal,
        });
    }

    pub fn agent_hangs_up(&mut self) {
        let leg = self.agent_leg();
        self.event(Event::LegEnded {
            leg,
            cause: HangupCause::Normal,
        });
    }

    /// The first human who was dialled hangs up.
    pub fn agent_hangs_up_first(&mut self) {
        let view = self.call.view();
        let agent = view.legs.iter().find(|leg| leg.party == Party::Agent);
        let leg = agent.expect("an agent was dialled").id.clone();
        self.event(Event::LegEnded {
            leg,
            cause: HangupCause::Normal,
        });
    }

    /// The process dies and comes back a second later: nothing but the stored call and the outbox
    /// survives.
    pub fn restart(&mut self) {
        self.restart_after_s(1);
    }

    /// The process dies and comes back after so many seconds.
    pub fn restart_after_s(&mut self, s: u64) {
        let stored = self.call.snapshot();
        self.queue
            .retain(|_, event| matches!(event, Event::NoticeAccepted { .. }));
        self.row("", "switch", "killed".to_owned());
        self.now = self.now + std::time::Duration::from_secs(s);
        self.row("", "switch", "back".to_owned());
        self.call = Call::restore(&stored).expect("our own snapshot");
        self.event(Event::Restarted);
    }

    /// A phone of the call asks to pass the other on.
    pub fn refer(&mut self, leg: LegId, n: u32, to: &str) {
        self.event(Event::Referred {
            leg,
            request: request(n),
            target: target(to),
            referred_by: Some("<sip:2001@example.com>".to_owned()),
        });
    }

    /// A leg of another call, for joining or replacing.
    pub fn foreign_leg(&mut self, name: &str) -> LegId {
        let leg = LegId::derive(&CallId::from_unique("u"), 1);
        self.legs.insert(leg.clone(), name.to_owned());
        leg
    }

    /// Hands in an event now.
    pub fn event(&mut self, event: Event) {
        if let Some((from, to, text)) = self.describe_event(&event) {
            self.row(&from, &to, text);
        }
        self.facts.push(Stamped {
            at: self.now,
            fact: CallFact::Seen(event.clone()),
        });
        let mut copy = Call::restore(&self.call.snapshot()).expect("our own snapshot");
        assert_eq!(copy, self.call, "a stored call reads back as it was");
        let actions = self.call.handle(self.now, event.clone());
        assert_eq!(
            copy.handle(self.now, event),
            actions,
            "the copy behaves the same"
        );
        assert_eq!(copy, self.call);
        for action in actions {
            self.facts.push(Stamped {
                at: self.now,
                fact: CallFact::Done(action.clone()),
            });
            self.carry_out(&action);
        }
    }

    /// Hands in an event after `ms`.
    pub fn event_in(&mut self, ms: u64, event: Event) {
        self.queued += 1;
        let at = self.now + std::time::Duration::from_millis(ms);
        self.queue.insert((at, self.queued), event);
    }

    /// The `n`th event that is on its way never arrives.
    pub fn lose(&mut self, n: usize) {
        if let Some(key) = self.on_its_way(n) {
            self.queue.remove(&key);
        }
    }

    /// The `n`th event that is on its way arrives once more, `ms` later.
    pub fn double(&mut self, n: usize, ms: u64) {
        if let Some(key) = self.on_its_way(n) {
            let event = self.queue[&key].clone();
            self.event_in(key.0.millis_since(self.now) + ms, event);
        }
    }

    /// The `n`th event that is on its way comes `ms` late, and may be overtaken.
    pub fn delay(&mut self, n: usize, ms: u64) {
        if let Some(key) = self.on_its_way(n) {
            let event = self.queue.remove(&key).expect("just seen");
            self.event_in(key.0.millis_since(self.now) + ms, event);
        }
    }

    fn on_its_way(&self, n: usize) -> Option<(Timestamp, u32)> {
        let keys: Vec<_> = self.queue.keys().copied().collect();
        (!keys.is_empty()).then(|| keys[n % keys.len()])
    }

    /// Lets `ms` pass, carrying out what falls due.
    pub fn run_for_ms(&mut self, ms: u64) {
        self.run_until(self.now + std::time::Duration::from_millis(ms));
    }

    /// Lets time pass until `s` seconds after the start, carrying out what falls due.
    pub fn run_until_s(&mut self, s: u64) {
        self.run_until(START + std::time::Duration::from_secs(s));
    }

    fn run_until(&mut self, end: Timestamp) {
        loop {
            let event_at = self.queue.keys().next().map(|(at, _)| *at);
            let timer = self.call.next_deadline();
            let timer_at = timer.as_ref().map(|(at, _)| *at);
            let Some(next) = event_at.into_iter().chain(timer_at).min() else {
                break;
            };
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            // In the same instant what arrived goes before what ran out.
            if event_at == Some(next) {
                let (_, event) = self.queue.pop_first().expect("seen above");
                self.event(event);
            } else if let Some((_, timer)) = timer {
                let before = self.call.next_deadline();
                self.event(Event::TimerFired(timer));
                assert_ne!(before, self.call.next_deadline(), "a due timer is used up");
            }
        }
        self.now = self.now.max(end);
    }

    /// Lets time pass until nothing is left to happen.
    pub fn run_to_the_end(&mut self) {
        self.run_until_s(100_000);
        assert!(self.call.is_settled(), "{:#?}", self.call);
        assert_eq!(self.call.next_deadline(), None);
    }

    pub fn view(&self) -> CallView {
        self.call.view()
    }

    pub fn record(&self) -> CallRecord {
        CallRecord {
            view: self.call.view(),
            facts: self.facts.clone(),
        }
    }

    pub fn violations(&self) -> Vec<Violation> {
        judge(&self.record())
    }

    /// The ladder with the head line, after checking that the judge has nothing to say.
    pub fn ladder(&self) -> String {
        assert_eq!(self.violations(), vec![]);
        let mut drawing = String::new();
        for (at, from, to, text) in &self.rows {
            let ms = at.millis_since(START);
            let arrow = if from.is_empty() || to.is_empty() {
                "  "
            } else {
                "->"
            };
            let line = format!(
                "{:>4}.{:03}  {from:>9} {arrow} {to:<9}  {text}",
                ms / 1000,
                ms % 1000
            );
            let _ = writeln!(drawing, "{}", line.trim_end());
        }
        let headline = self.call.headline(&self.call.view());
        let _ = writeln!(drawing, "\n{}\n{}", headline.en, headline.de);
        drawing
    }

    pub fn count(&self, wanted: impl Fn(&ActionKind) -> bool) -> usize {
        self.facts
            .iter()
            .filter(|stamped| match &stamped.fact {
                CallFact::Done(action) => wanted(&action.kind),
                _ => false,
            })
            .count()
    }

    fn row(&mut self, from: &str, to: &str, text: String) {
        self.rows
            .push((self.now, from.to_owned(), to.to_owned(), text));
    }

    fn name(&self, leg: &LegId) -> String {
        self.legs
            .get(leg)
            .cloned()
            .unwrap_or_else(|| leg.to_string())
    }
}

pub fn goodbye() -> Event {
    Event::AssistantEnded {
        reason: AssistantEnd::Goodbye,
    }
}
