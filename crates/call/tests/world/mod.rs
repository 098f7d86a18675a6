//! A world around one call: phones, a caller, speech, a receiver for notices, and virtual time. It
//! carries out the call's actions, draws the ladder, and keeps the facts for the judge. With every
//! event the call is stored and read back, and the copy has to behave the same.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use switchhook_call::judge::{CallFact, CallRecord, Stamped, Violation, judge};
use switchhook_call::{
    Action, ActionKind, AssistantEnd, Call, CallEvent, CallPolicy, CallView, Event, Heard, Opening,
    Party, ReferReport, Route, SayId,
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
        let _ = writeln!(drawing, "\n{}", self.call.headline().en);
        let _ = writeln!(drawing, "{}", self.call.headline().de);
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

    fn describe_event(&self, event: &Event) -> Option<(String, String, String)> {
        let inward =
            |from: &str, text: &str| Some((from.to_owned(), "switch".to_owned(), text.to_owned()));
        match event {
            Event::CallerArrived { route, .. } => match route {
                Route::Assistant { .. } => inward("caller", "INVITE assistant"),
                Route::Extension(target) => inward("caller", &format!("INVITE {target}")),
            },
            Event::OutboundRequested { target, .. } => {
                inward("operator", &format!("call {target}"))
            }
            Event::LegRinging { leg } => inward(&self.name(leg), "180 Ringing"),
            Event::LegEarlyMedia { leg, plays: true } => {
                inward(&self.name(leg), "183 Session Progress")
            }
            Event::LegEarlyMedia { leg, plays: false } => {
                inward(&self.name(leg), "plays nothing any more")
            }
            Event::LegAnswered { leg } if *leg == self.caller_leg() => inward("caller", "ACK"),
            Event::LegAnswered { leg } => inward(&self.name(leg), "200 OK"),
            Event::LegFailed {
                leg, sip_status, ..
            } => {
                let status = sip_status.map_or("failed".to_owned(), |status| status.to_string());
                inward(&self.name(leg), &status)
            }
            Event::LegEnded { leg, cause } => {
                inward(&self.name(leg), &format!("ended, {}", cause.code()))
            }
            Event::AssistantAskedForHuman {
                target, department, ..
            } => {
                let whom = target.as_ref().map(ToString::to_string);
                let whom = whom.or_else(|| department.clone()).unwrap_or_default();
                inward("assistant", format!("human wanted {whom}").trim())
            }
            Event::SayFinished { .. } => None,
            Event::MessageTaken { text, .. } => inward("assistant", &format!("message: {text}")),
            Event::MessageAbandoned => inward("assistant", "no message"),
            Event::AssistantTakesMessage { taking: true } => inward("assistant", "takes a message"),
            Event::AssistantTakesMessage { taking: false } => inward("assistant", "has taken it"),
            Event::AssistantEnded { reason } => inward("assistant", &format!("ended, {reason:?}")),
            Event::NoticeAccepted { .. } => inward("staff", "notice accepted"),
            Event::NoticeRefused { error, .. } => {
                inward("staff", &format!("notice refused: {error}"))
            }
            Event::TimerFired(timer) => {
                let text = format!("{timer:?}");
                Some((
                    String::new(),
                    "switch".to_owned(),
                    format!("timer {}", text.split('(').next().unwrap_or_default()),
                ))
            }
            Event::OperatorHangup { .. } => inward("operator", "hang up"),
            Event::OperatorTransfer { target, .. } => {
                let whom = target
                    .as_ref()
                    .map_or("department".to_owned(), ToString::to_string);
                inward("operator", &format!("transfer to {whom}"))
            }
            Event::LegHeld { leg } => inward(&self.name(leg), "re-INVITE, holds"),
            Event::LegResumed { leg } => inward(&self.name(leg), "re-INVITE, resumes"),
            Event::HoldRefused { leg, sip_status } => {
                inward(&self.name(leg), &format!("hold refused {sip_status:?}"))
            }
            Event::OperatorHold { .. } => inward("operator", "hold"),
            Event::OperatorResume { .. } => inward("operator", "resume"),
            Event::Referred { leg, target, .. } => {
                inward(&self.name(leg), &format!("REFER to {target}"))
            }
            Event::LegTakenIn { replaces, .. } => {
                inward(&self.name(replaces), "REFER with Replaces")
            }
            Event::LegTakenAway { leg, into } => {
                inward(&self.name(leg), &format!("went over to {into}"))
            }
            Event::ReplacementArrived { leg, replaces } => inward(
                &self.name(leg),
                &format!("INVITE replaces {}", self.name(replaces)),
            ),
            Event::ReferReported { report, .. } => {
                inward("caller", &format!("about the REFER: {report:?}"))
            }
            Event::Restarted => None,
            Event::ShuttingDown => inward("operator", "shut down"),
        }
    }

    fn carry_out(&mut self, action: &Action) {
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
                        self.event_in(ms, Event::NoticeAccepted { message });
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

pub fn goodbye() -> Event {
    Event::AssistantEnded {
        reason: AssistantEnd::Goodbye,
    }
}
