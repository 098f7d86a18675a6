//! Calls we place: asked for once whatever happens, and one right end whatever the order of reports.

use std::sync::Arc;
use std::time::Duration;

use switchhook_call::{Call, Event, MachinePolicy};
use switchhook_conversation::{PinConfig, PinRules, PinTexts};
use switchhook_model::{CallId, HangupCause, Language, RequestId, Timestamp};

use super::world::{describe, rules};
use crate::twilio::channel::{
    CalledStatus, Came, Channel, DialEnd, Effect, Outgoing, Picker, Placing, Program, Rules, State,
};

const SID: &str = "CA00000000000000000000000000000009";

struct Placed {
    channel: Channel,
    rules: Arc<Rules>,
    now: Timestamp,
    effects: Vec<&'static str>,
}

fn outgoing() -> Outgoing {
    Outgoing {
        target: "+12025550142".parse().unwrap(),
        assistant: "Clara".to_owned(),
        caller_id: "+493023125000".to_owned(),
        account: "AC00000000000000000000000000000001".to_owned(),
        simulated: false,
        detection_s: 30,
    }
}

fn with(machine: MachinePolicy) -> Arc<Rules> {
    rules(|policy| policy.machine = machine, None)
}

impl Placed {
    fn wanted(rules: Arc<Rules>) -> Self {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let id = CallId::from_unique("o1");
        let mut placed = Self {
            channel: Channel::outbound(id, outgoing(), Arc::clone(&rules), now),
            rules,
            now,
            effects: Vec::new(),
        };
        placed.take();
        placed
    }

    /// It rings.
    fn ringing(rules: Arc<Rules>) -> Self {
        let mut placed = Self::wanted(rules);
        assert!(placed.ask());
        assert!(placed.channel.placed(placed.now, SID));
        placed.report(Some(1), CalledStatus::Ringing);
        placed
    }

    fn ask(&mut self) -> bool {
        let request = self.channel.ask_carrier(self.now);
        self.take();
        request.is_some()
    }

    fn take(&mut self) {
        let Some(done) = self.channel.take_done() else {
            return;
        };
        self.effects
            .extend(done.effects.iter().map(|effect| match effect {
                Effect::Place => "place",
                Effect::Find => "find",
                Effect::Complete { .. } => "complete",
                Effect::Fetch { .. } => "fetch",
                _ => "other",
            }));
    }

    fn effects(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.effects)
    }

    fn passes(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.channel.next_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.channel.timers(self.now);
            self.take();
        }
        self.now = until;
    }

    /// What is stored is all that is left.
    fn crash(&mut self) {
        self.take();
        self.effects.clear();
        let stored = serde_json::to_string(&self.channel.state).unwrap();
        let state: State = serde_json::from_str(&stored).unwrap();
        let call = Call::restore(&self.channel.call.snapshot()).unwrap();
        let rules = Arc::clone(&self.rules);
        self.channel = Channel::restore(call, state, rules, true, self.now).unwrap();
        self.take();
    }

    fn report(&mut self, sequence: Option<u32>, status: CalledStatus) {
        self.now = self.now + Duration::from_secs(1);
        self.channel.called(self.now, sequence, status);
        self.take();
    }

    fn comes(&mut self, came: Came) -> String {
        self.now = self.now + Duration::from_secs(1);
        self.channel.came(self.now, came);
        let program = self.channel.program(self.now);
        self.take();
        program.as_ref().map_or("nothing".to_owned(), describe)
    }

    fn outcome(&self) -> String {
        let outcome = self.channel.call.view().outcome;
        outcome.map_or("none".to_owned(), |outcome| outcome.code.code().to_owned())
    }
}

fn over(cause: HangupCause) -> CalledStatus {
    CalledStatus::Over {
        cause,
        sip_status: None,
        detail: None,
        picker: None,
    }
}

#[test]
fn a_crash_before_the_request_makes_one_call() {
    let mut call = Placed::wanted(with(MachinePolicy::HangUp));
    assert_eq!(call.effects(), ["place"]);
    call.crash();
    assert_eq!(
        call.effects(),
        ["place"],
        "it is asked for by whoever is left"
    );
    assert!(call.ask());
    assert!(!call.ask(), "and only once");
    // Nor is it when whoever asked is reminded late.
    call.passes(10);
    assert!(!call.effects().contains(&"place"));
}

#[test]
fn a_crash_after_the_request_makes_no_second_call() {
    let mut call = Placed::wanted(with(MachinePolicy::HangUp));
    assert!(call.ask());
    call.crash();
    assert_eq!(call.effects(), ["find"]);
    assert!(!call.ask());
    // The carrier shows it, or its webhook comes first.
    assert!(call.channel.placed(call.now, SID));
    assert!(call.comes(Came::Connected(None)).starts_with("listen"));
    assert!(
        !call.channel.placed(call.now, "CA1"),
        "another leg is not ours"
    );
}

#[test]
fn what_cannot_be_found_ends_with_what_is_true() {
    let mut call = Placed::wanted(with(MachinePolicy::HangUp));
    assert!(call.ask());
    call.channel.placing_unknown(call.now);
    call.effects();
    call.passes(70);
    let looks = call.effects();
    assert!(looks.iter().filter(|effect| **effect == "find").count() >= 3);
    assert_eq!(call.outcome(), "failed");
    let detail = call.channel.call.view().outcome.unwrap().detail;
    assert!(detail.contains("answer never came"), "{detail}");
    // Should it be there after all, nobody is left in it.
    assert!(call.channel.placed(call.now, SID));
    call.take();
    assert_eq!(call.effects(), ["complete"]);
}

#[test]
fn a_refusal_ends_the_call_with_the_carriers_reason() {
    let mut call = Placed::wanted(with(MachinePolicy::HangUp));
    assert!(call.ask());
    let why = "Twilio refused to create a call (status 400, code 21211)".to_owned();
    call.channel
        .not_placed(call.now, HangupCause::Unreachable, Some(why));
    assert_eq!(call.outcome(), "unreachable");
    let detail = call.channel.call.view().outcome.unwrap().detail;
    assert!(detail.contains("21211"), "{detail}");
    assert!(call.channel.is_settled());
}

/// Every order of all reports, each of them also twice, comes to the same end.
#[test]
fn reports_in_any_order_come_to_one_end() {
    for (cause, outcome) in [
        (HangupCause::Busy, "busy"),
        (HangupCause::NoAnswer, "no_answer"),
        (HangupCause::Unreachable, "unreachable"),
        (HangupCause::Canceled, "no_answer"),
        (HangupCause::Normal, "caller_hung_up"),
    ] {
        let reports = [
            (0, CalledStatus::Ringing),
            (1, CalledStatus::Ringing),
            (2, CalledStatus::Answered),
            (3, over(cause)),
        ];
        for order in permutations(reports.len()) {
            let mut call = Placed::wanted(with(MachinePolicy::HangUp));
            assert!(call.ask());
            assert!(call.channel.placed(call.now, SID));
            for n in order.iter().chain(&order) {
                let (sequence, status) = reports[*n].clone();
                call.report(Some(sequence), status);
            }
            assert_eq!(call.outcome(), outcome, "{order:?}");
            assert!(call.channel.is_settled(), "{order:?}");
            // Somebody still asks for a document.
            assert_ne!(call.comes(Came::Connected(None)), "listen");
        }
    }
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(n - 1);
    shorter
        .into_iter()
        .flat_map(|order| {
            (0..n).map(move |at| {
                let mut order = order.clone();
                order.insert(at, n - 1);
                order
            })
        })
        .collect()
}

#[test]
fn a_person_is_greeted_and_the_end_is_known_without_a_word_of_ours() {
    let mut call = Placed::ringing(with(MachinePolicy::HangUp));
    let first = call.comes(Came::Connected(Some(Picker::Person)));
    assert!(first.starts_with("listen [] [\"Hello"), "{first}");
    call.report(Some(3), over(HangupCause::Normal));
    assert_eq!(call.outcome(), "caller_hung_up");
    assert!(call.channel.is_settled());
}

#[test]
fn a_machine_is_treated_as_configured() {
    for (policy, first, outcome) in [
        (MachinePolicy::HangUp, "hangup", "voicemail"),
        (MachinePolicy::Message, "tell [\"Hello, we tried", "none"),
        (MachinePolicy::GoOn, "listen", "none"),
    ] {
        let mut call = Placed::ringing(with(policy));
        let got = call.comes(Came::Connected(Some(Picker::Machine)));
        assert!(got.starts_with(first), "{policy:?}: {got}");
        assert_eq!(call.outcome(), outcome, "{policy:?}");
        if policy == MachinePolicy::Message {
            call.now = call.now + Duration::from_secs(20);
            assert_eq!(call.comes(Came::Back), "hangup");
            assert_eq!(call.outcome(), "voicemail");
            let detail = call.channel.call.view().outcome.unwrap().detail;
            assert!(detail.contains("it has the message"), "{detail}");
        }
    }
    let mut call = Placed::ringing(with(MachinePolicy::Message));
    assert_eq!(call.comes(Came::Connected(Some(Picker::Fax))), "hangup");
    assert_eq!(call.outcome(), "voicemail");
}

#[test]
fn a_machine_that_is_found_out_late_stops_the_assistant() {
    let mut call = Placed::ringing(with(MachinePolicy::HangUp));
    assert!(call.comes(Came::Connected(None)).starts_with("listen"));
    call.effects();
    call.channel.detected(call.now, Picker::Person);
    assert_eq!(call.outcome(), "none");
    call.channel.detected(call.now, Picker::Machine);
    call.take();
    assert_eq!(call.outcome(), "voicemail");
    assert_eq!(call.effects(), ["complete"]);
}

#[test]
fn a_machine_that_is_found_out_before_the_first_program_is_not_talked_to() {
    let mut call = Placed::ringing(with(MachinePolicy::HangUp));
    call.channel.detected(call.now, Picker::Machine);
    call.take();
    assert_eq!(call.outcome(), "none");
    assert_eq!(call.comes(Came::Connected(None)), "hangup");
    assert_eq!(call.outcome(), "voicemail");
}

#[test]
fn an_operator_ends_a_call_at_any_time() {
    let hangup = || Event::OperatorHangup {
        by: "test".to_owned(),
    };
    // Nothing has left: nothing will.
    let mut call = Placed::wanted(with(MachinePolicy::HangUp));
    call.channel.event(call.now, hangup());
    call.take();
    assert!(!call.ask());
    assert!(call.channel.is_settled());
    // It may have left: it is ended as soon as it is known which it is.
    let mut call = Placed::wanted(with(MachinePolicy::HangUp));
    assert!(call.ask());
    call.channel.event(call.now, hangup());
    call.take();
    call.effects();
    assert!(call.channel.placed(call.now, SID));
    call.take();
    assert_eq!(call.effects(), ["complete"]);
    // It rings.
    let mut call = Placed::ringing(with(MachinePolicy::HangUp));
    call.effects();
    call.channel.event(call.now, hangup());
    call.take();
    assert_eq!(call.effects(), ["complete"]);
    call.report(Some(2), over(HangupCause::Canceled));
    assert_eq!(call.outcome(), "operator_hangup");
    assert!(call.channel.is_settled());
}

#[test]
fn whoever_never_answers_is_not_called_for_ever() {
    let mut call = Placed::ringing(with(MachinePolicy::HangUp));
    call.effects();
    call.passes(200);
    let effects = call.effects();
    assert!(
        effects.contains(&"find"),
        "a report may be lost: {effects:?}"
    );
    assert!(effects.contains(&"complete"), "{effects:?}");
    assert_eq!(call.outcome(), "no_answer");
}

fn elsewhere() -> Arc<Rules> {
    let mut rules = Arc::try_unwrap(with(MachinePolicy::HangUp)).unwrap();
    rules.elsewhere = true;
    Arc::new(rules)
}

#[test]
fn another_assistant_talks_and_its_end_ends_the_call() {
    for (bridged, outcome) in [(true, "completed"), (false, "assistant_errors")] {
        let mut call = Placed::ringing(elsewhere());
        assert_eq!(call.comes(Came::Connected(None)), "elsewhere");
        let end = DialEnd {
            bridged: Some(bridged),
            answered: bridged,
            cause: HangupCause::NoAnswer,
            sip_status: None,
            sid: None,
        };
        assert_eq!(call.comes(Came::DialEnded(end)), "hangup");
        assert_eq!(call.outcome(), outcome);
    }
}

#[test]
fn a_human_takes_over_from_another_assistant() {
    let mut call = Placed::ringing(elsewhere());
    assert_eq!(call.comes(Came::Connected(None)), "elsewhere");
    call.effects();
    let request = RequestId::from_unique("r1");
    call.channel.event(
        call.now,
        Event::OperatorTransfer {
            target: None,
            department: None,
            request,
            anew: false,
        },
    );
    call.take();
    assert_eq!(call.effects(), ["fetch"], "the other assistant is dropped");
    let dial = call.comes(Came::Back);
    assert!(dial.starts_with("dial 2001 [\"One moment"), "{dial}");
}

#[test]
fn what_this_program_acts_ends_with_it() {
    let order = Outgoing {
        simulated: true,
        ..outgoing()
    };
    let rules = Arc::new(with(MachinePolicy::HangUp).acted());
    let now = Timestamp::from_millis(1_800_000_000_000);
    let id = CallId::from_unique("o2");
    let mut call = Placed {
        channel: Channel::outbound(id, order, Arc::clone(&rules), now),
        rules,
        now,
        effects: Vec::new(),
    };
    assert!(call.ask());
    call.channel.placed(call.now, "simulated");
    assert!(call.comes(Came::Connected(None)).starts_with("listen"));
    assert!(call.channel.call.view().simulated);
    call.crash();
    assert_eq!(call.outcome(), "restarted");
    assert!(call.channel.is_settled());
    assert!(matches!(
        call.channel.state.placing,
        Some(Placing::Placed { .. })
    ));
    assert!(!matches!(
        call.channel.program(call.now),
        Some(Program::Listen { .. })
    ));
}

/// Callers are asked for a PIN; whom we call is not, and is recorded from the answer.
#[test]
fn nobody_whom_we_call_is_asked_for_a_pin() {
    let mut rules = Arc::into_inner(with(MachinePolicy::HangUp)).unwrap();
    rules.conversation.pin = Some(PinRules {
        config: PinConfig::default(),
        texts: PinTexts::defaults(Language::En),
    });
    let mut call = Placed::ringing(Arc::new(rules));
    call.effects();
    let program = call.comes(Came::Connected(None));
    assert!(program.starts_with("listen"), "{program}");
    assert!(!program.contains("PIN"), "{program}");
    assert!(call.channel.state.is_recorded_from_here);
}
