//! A busy office in virtual time: many calls at once, two humans with one phone each, callers who
//! lose patience, a receiver with bad days, and a gateway that dies and comes back. Whatever
//! happens, every call ends in order and the judge has nothing to say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use switchhook_call::judge::{CallFact, CallRecord, Stamped, judge};
use switchhook_call::{
    Action, ActionKind, Call, CallEvent, CallPolicy, Event, Heard, Opening, Route,
};
use switchhook_lab::virtual_time::{VirtualTime, Weather};
use switchhook_model::{CallId, CallerIdentity, HangupCause, LegId, RequestId, Target, Timestamp};

const CALLS: usize = 30;

#[derive(Debug, Clone)]
enum Happening {
    /// For one call's machine.
    To(usize, Event),
    CallerDials(usize),
    CallerAsks(usize, u32),
    CallerHangsUp(usize),
    /// The human at this leg picks up, if it still rings.
    HumanAnswers(usize, LegId, String),
    HumanHangsUp(usize, LegId, String),
    /// The process dies and comes back.
    Crash,
}

struct Running {
    call: Call,
    facts: Vec<Stamped<CallFact>>,
    caller_up: bool,
    speaking_until: u64,
}

struct Office {
    time: VirtualTime<Happening>,
    calls: BTreeMap<usize, Running>,
    /// Which leg is at which phone.
    phones: BTreeMap<String, LegId>,
    answered: BTreeSet<LegId>,
    bridges: usize,
}

fn stamp(ms: u64) -> Timestamp {
    Timestamp::from_millis(1_768_294_800_000) + Duration::from_millis(ms)
}

fn target(text: &str) -> Target {
    text.parse().expect("an extension")
}

impl Office {
    fn open(seed: u64) -> Self {
        let weather = Weather {
            delay_ms: 0..=80,
            lost_percent: 0,
            twice_percent: 10,
        };
        let mut time = VirtualTime::new(seed, weather);
        for n in 0..CALLS {
            let at = time.pick(0..=1_200_000);
            time.at(at, Happening::CallerDials(n));
        }
        for _ in 0..2 {
            let at = time.pick(0..=1_200_000);
            time.at(at, Happening::Crash);
        }
        Self {
            time,
            calls: BTreeMap::new(),
            phones: BTreeMap::new(),
            answered: BTreeSet::new(),
            bridges: 0,
        }
    }

    fn run(&mut self) {
        loop {
            let timer = self
                .calls
                .iter()
                .filter_map(|(n, c)| c.call.next_deadline().map(|(at, timer)| (at, *n, timer)))
                .min_by_key(|(at, n, _)| (*at, *n));
            let timer_at = timer.as_ref().map(|(at, ..)| at.millis_since(stamp(0)));
            let event_at = self.time.next_at_ms();
            match (event_at, timer_at, timer) {
                (Some(event), Some(due), Some((_, n, timer))) if due < event => {
                    self.time.jump_to(due);
                    self.tell(n, Event::TimerFired(timer));
                }
                (None, Some(due), Some((_, n, timer))) => {
                    self.time.jump_to(due);
                    self.tell(n, Event::TimerFired(timer));
                }
                (Some(_), ..) => {
                    let happening = self.time.step().expect("one is due");
                    self.happen(happening);
                }
                (None, ..) => return,
            }
            assert!(self.time.now_ms() < 100_000_000, "the office never closes");
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::To(n, event) => self.tell(n, event),
            Happening::CallerDials(n) => self.caller_dials(n),
            Happening::CallerAsks(n, request) => {
                let ask = Event::AssistantAskedForHuman {
                    request: RequestId::from_unique(&format!("{n}x{request}")),
                    target: None,
                    department: None,
                    reason: "wants a human".into(),
                    summary: String::new(),
                };
                self.time.send(0, Happening::To(n, ask));
            }
            Happening::CallerHangsUp(n) => {
                if let Some(running) = self.calls.get_mut(&n)
                    && std::mem::replace(&mut running.caller_up, false)
                {
                    let leg = LegId::derive(running.call.id(), 1);
                    let cause = HangupCause::Normal;
                    self.time
                        .send(0, Happening::To(n, Event::LegEnded { leg, cause }));
                }
            }
            Happening::HumanAnswers(n, leg, phone) => {
                if self.phones.get(&phone) == Some(&leg) && self.answered.insert(leg.clone()) {
                    self.time
                        .send(5, Happening::To(n, Event::LegAnswered { leg: leg.clone() }));
                    let talk = self.time.pick(500..=90_000);
                    self.time
                        .after(talk, Happening::HumanHangsUp(n, leg, phone));
                }
            }
            Happening::HumanHangsUp(n, leg, phone) => {
                if self.phones.get(&phone) == Some(&leg) {
                    self.phones.remove(&phone);
                    let cause = HangupCause::Normal;
                    self.time
                        .send(5, Happening::To(n, Event::LegEnded { leg, cause }));
                }
            }
            Happening::Crash => self.crash(),
        }
    }

    fn caller_dials(&mut self, n: usize) {
        let id = CallId::from_unique(&format!("sim{n}"));
        let policy = CallPolicy {
            default_targets: vec![target("2001"), target("2005")],
            ring_timeout_s: 12,
            ..CallPolicy::default()
        };
        let leg = LegId::derive(&id, 1);
        let call = Call::new(id, "demo".into(), policy, stamp(self.time.now_ms()));
        self.calls.insert(
            n,
            Running {
                call,
                facts: Vec::new(),
                caller_up: true,
                speaking_until: 0,
            },
        );
        self.tell(
            n,
            Event::CallerArrived {
                leg,
                caller: CallerIdentity::from_untrusted("+12025550123", None),
                callee: "assistant".into(),
                route: Route::Assistant {
                    name: "reception".into(),
                },
                sip_headers: BTreeMap::new(),
            },
        );
        let patience = self.time.pick(1_000..=150_000);
        self.time.after(patience, Happening::CallerHangsUp(n));
        for request in 0..self.time.pick(0..=3) {
            let at = self.time.pick(2_000..=40_000);
            self.time
                .after(at, Happening::CallerAsks(n, request as u32));
        }
    }

    fn crash(&mut self) {
        // What was under way inside the process is gone; phones and receivers live on.
        self.time.forget(|h| {
            matches!(
                h,
                Happening::To(
                    _,
                    Event::SayFinished { .. }
                        | Event::MessageTaken { .. }
                        | Event::MessageAbandoned
                        | Event::AssistantAskedForHuman { .. }
                )
            )
        });
        let numbers: Vec<usize> = self.calls.keys().copied().collect();
        for n in numbers {
            let running = self.calls.get_mut(&n).expect("it is listed");
            running.call = Call::restore(&running.call.snapshot()).expect("our own snapshot");
            running.speaking_until = 0;
            if !running.call.is_settled() {
                self.tell(n, Event::Restarted);
            }
        }
    }

    fn tell(&mut self, n: usize, event: Event) {
        let now = stamp(self.time.now_ms());
        let running = self.calls.get_mut(&n).expect("calls are never removed");
        running.facts.push(Stamped {
            at: now,
            fact: CallFact::Seen(event.clone()),
        });
        let actions = running.call.handle(now, event);
        for action in &actions {
            running.facts.push(Stamped {
                at: now,
                fact: CallFact::Done(action.clone()),
            });
        }
        for action in actions {
            self.carry_out(n, action);
        }
    }

    fn carry_out(&mut self, n: usize, action: Action) {
        let inward = |event| Happening::To(n, event);
        match action.kind {
            ActionKind::Answer { leg } => self.time.send(20, inward(Event::LegAnswered { leg })),
            ActionKind::Reject { leg, .. } => {
                self.over(n, leg, HangupCause::Rejected);
            }
            ActionKind::Dial { leg, target, .. } => self.dial(n, leg, &target),
            ActionKind::Cancel { leg } => self.cancel(n, leg),
            ActionKind::Hangup { leg, .. } => self.over(n, leg, HangupCause::Normal),
            ActionKind::Say { say, .. } => {
                let now = self.time.now_ms();
                let running = self.calls.get_mut(&n).expect("calls are never removed");
                running.speaking_until = running.speaking_until.max(now) + 2_000;
                let at = running.speaking_until;
                self.time.at(
                    at,
                    inward(Event::SayFinished {
                        say,
                        heard: Heard::Full,
                    }),
                );
            }
            ActionKind::TakeMessage => {
                let event = if self.time.happens(70) {
                    message()
                } else {
                    Event::MessageAbandoned
                };
                let ms = self.time.pick(2_000..=20_000);
                self.time.after(ms, inward(event));
            }
            ActionKind::FinishMessage => {
                self.time.forget(|h| {
                    matches!(h, Happening::To(m, Event::MessageTaken { .. } | Event::MessageAbandoned) if *m == n)
                });
                self.time.after(500, inward(message()));
            }
            ActionKind::Notify { message, .. } => {
                let ms = self.time.pick(50..=12_000);
                if self.time.happens(30) {
                    let error = "500".to_owned();
                    let refused = Event::NoticeRefused {
                        message: message.clone(),
                        error,
                        will_retry: true,
                    };
                    self.time.send(100, inward(refused));
                }
                self.time
                    .send(ms, inward(Event::NoticeAccepted { message, way: 0 }));
            }
            ActionKind::Bridge { .. } => self.bridges += 1,
            ActionKind::StartAssistant { opening, .. } => {
                assert!(matches!(opening, Opening::Greeting | Opening::Silent));
            }
            ActionKind::StopAssistant => {
                self.time.forget(|h| {
                    matches!(h, Happening::To(m, Event::SayFinished { .. } | Event::MessageTaken { .. } | Event::MessageAbandoned) if *m == n)
                });
            }
            ActionKind::Emit(CallEvent::CallEnded { .. })
            | ActionKind::Emit(_)
            | ActionKind::Ring { .. }
            | ActionKind::Ringback { .. }
            | ActionKind::EarlyMedia { .. }
            | ActionKind::Unbridge { .. }
            | ActionKind::ResumeAssistant { .. }
            | ActionKind::PauseAssistant
            | ActionKind::Hold { .. }
            | ActionKind::Resume { .. }
            | ActionKind::HoldMusic { .. }
            | ActionKind::AcceptRefer { .. }
            | ActionKind::RefuseRefer { .. }
            | ActionKind::NotifyTransferor { .. }
            | ActionKind::Refer { .. }
            | ActionKind::StartRecording { .. }
            | ActionKind::StopRecording { .. } => {}
        }
    }

    fn dial(&mut self, n: usize, leg: LegId, target: &Target) {
        let phone = target.to_string();
        let now = stamp(self.time.now_ms());
        let sip_call_id = leg.to_string();
        let fact = CallFact::InviteSent {
            leg: leg.clone(),
            sip_call_id,
        };
        let running = self.calls.get_mut(&n).expect("calls are never removed");
        running.facts.push(Stamped { at: now, fact });
        if self.phones.contains_key(&phone) || self.time.happens(10) {
            let cause = HangupCause::Busy;
            let busy = Event::LegFailed {
                leg,
                cause,
                sip_status: Some(486),
                detail: None,
            };
            self.time.send(30, Happening::To(n, busy));
            return;
        }
        self.phones.insert(phone.clone(), leg.clone());
        self.time
            .send(50, Happening::To(n, Event::LegRinging { leg: leg.clone() }));
        if self.time.happens(75) {
            // Now and then in the very instant of the timeout.
            let ms = if self.time.happens(20) {
                12_000
            } else {
                self.time.pick(200..=15_000)
            };
            self.time.after(ms, Happening::HumanAnswers(n, leg, phone));
        }
    }

    fn cancel(&mut self, n: usize, leg: LegId) {
        // A 200 that is on its way already crosses the CANCEL.
        if self.answered.contains(&leg) {
            return;
        }
        self.phones.retain(|_, at| *at != leg);
        let cause = HangupCause::Canceled;
        let canceled = Event::LegFailed {
            leg,
            cause,
            sip_status: Some(487),
            detail: None,
        };
        self.time.send(10, Happening::To(n, canceled));
    }

    fn over(&mut self, n: usize, leg: LegId, cause: HangupCause) {
        self.phones.retain(|_, at| *at != leg);
        let running = self.calls.get_mut(&n).expect("calls are never removed");
        if leg == LegId::derive(running.call.id(), 1) {
            running.caller_up = false;
        }
        self.time
            .send(10, Happening::To(n, Event::LegEnded { leg, cause }));
    }
}

fn message() -> Event {
    Event::MessageTaken {
        text: "please call back".into(),
        duration_ms: 3_000,
        recorded: true,
    }
}

#[test]
fn a_busy_office_loses_no_caller() {
    let mut bridges = 0;
    for seed in 1..=60 {
        let mut office = Office::open(seed);
        office.run();
        assert!(
            office.phones.is_empty(),
            "seed {seed}: phones still in use: {:?}",
            office.phones
        );
        for (n, running) in &office.calls {
            assert!(
                running.call.is_settled(),
                "seed {seed}, call {n}: {:#?}",
                running.call.view()
            );
            let record = CallRecord {
                view: running.call.view(),
                facts: running.facts.clone(),
            };
            let violations = judge(&record);
            assert!(
                violations.is_empty(),
                "seed {seed}, call {n}: {violations:#?}"
            );
        }
        assert_eq!(office.calls.len(), CALLS);
        bridges += office.bridges;
    }
    assert!(
        bridges > 100,
        "only {bridges} calls reached a human: the office is not realistic"
    );
}
