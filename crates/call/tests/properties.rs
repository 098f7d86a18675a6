//! Whatever happens, in whatever order, twice or never: the call comes to its end, the judge has
//! nothing to say, and the stored call behaves like the one in memory (the world checks that with
//! every event).

mod world;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;
use switchhook_call::judge::CallFact;
use switchhook_call::{
    Action, ActionKind, AssistantEnd, Call, CallEvent, CallPolicy, Event, FallbackStep, Heard,
    LegState, RecordPolicy, ReferReport, Route, SayId, TimerId, TransferMethod,
};
use switchhook_model::{AttemptId, CallId, HangupCause, LegId, MessageId};
use world::{Message, Phone, Receiver, World, request, target};

/// Something that is done to the world.
#[derive(Debug, Clone)]
enum Deed {
    Wait(u64),
    Happens(Event),
    Lose(usize),
    Double(usize, u64),
    Delay(usize, u64),
}

fn leg() -> impl Strategy<Value = LegId> {
    (1..7u32).prop_map(|n| LegId::derive(&CallId::from_unique("t"), n))
}

fn message() -> impl Strategy<Value = MessageId> {
    (1..4u32).prop_map(|n| MessageId::derive(&CallId::from_unique("t"), n))
}

fn say() -> impl Strategy<Value = SayId> {
    (1..15u32).prop_map(SayId)
}

fn cause() -> impl Strategy<Value = HangupCause> {
    select(vec![
        HangupCause::Normal,
        HangupCause::Busy,
        HangupCause::NoAnswer,
        HangupCause::Rejected,
        HangupCause::Unreachable,
        HangupCause::NotAcceptable,
        HangupCause::Canceled,
        HangupCause::MediaLost,
        HangupCause::Failed,
    ])
}

fn timer() -> impl Strategy<Value = TimerId> {
    prop_oneof![
        leg().prop_map(TimerId::Answer),
        leg().prop_map(TimerId::Ring),
        leg().prop_map(TimerId::Settle),
        say().prop_map(TimerId::Say),
        message().prop_map(TimerId::Notice),
        Just(TimerId::Message),
        Just(TimerId::MaxCall),
    ]
}

fn asked() -> impl Strategy<Value = Event> {
    (
        1..5u32,
        select(vec![None, Some("2001"), Some("2009"), Some("+12025550111")]),
        select(vec![None, Some("sales"), Some("unknown")]),
    )
        .prop_map(|(n, to, department)| Event::AssistantAskedForHuman {
            request: request(n),
            target: to.map(target),
            department: department.map(str::to_owned),
            reason: "reason".to_owned(),
            summary: String::new(),
        })
}

fn referred() -> impl Strategy<Value = Event> {
    (leg(), 40..44u32, select(vec!["2001", "2002", "2005"])).prop_map(|(leg, n, to)| {
        Event::Referred {
            leg,
            request: request(n),
            target: target(to),
            referred_by: None,
        }
    })
}

fn report() -> impl Strategy<Value = ReferReport> {
    select(vec![
        ReferReport::Accepted,
        ReferReport::Started,
        ReferReport::Completed,
        ReferReport::Failed {
            sip_status: Some(486),
        },
        ReferReport::Failed { sip_status: None },
    ])
}

/// Any event at all, also one nobody would send now.
fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => leg().prop_map(|leg| Event::LegRinging { leg }),
        2 => (leg(), any::<bool>()).prop_map(|(leg, plays)| Event::LegEarlyMedia { leg, plays }),
        4 => leg().prop_map(|leg| Event::LegAnswered { leg }),
        4 => (leg(), cause(), any::<bool>()).prop_map(|(leg, cause, status)| Event::LegFailed {
            leg,
            cause,
            sip_status: status.then_some(500), detail: None,
        }),
        4 => (leg(), cause()).prop_map(|(leg, cause)| Event::LegEnded { leg, cause }),
        5 => asked(),
        3 => (say(), select(vec![Heard::Full, Heard::Cut]))
            .prop_map(|(say, heard)| Event::SayFinished { say, heard }),
        2 => (select(vec!["hello", "again", ""]), any::<bool>()).prop_map(|(text, recorded)| {
            Event::MessageTaken { text: text.to_owned(), duration_ms: 500, recorded }
        }),
        1 => Just(Event::MessageAbandoned),
        1 => select(vec![
            AssistantEnd::Goodbye,
            AssistantEnd::Silence,
            AssistantEnd::TurnLimit,
            AssistantEnd::Errors,
            AssistantEnd::TimeLimit,
            AssistantEnd::NotIdentified,
        ])
        .prop_map(|reason| Event::AssistantEnded { reason }),
        2 => (message(), 0..3_u32).prop_map(|(message, way)| Event::NoticeAccepted { message, way }),
        2 => (message(), any::<bool>()).prop_map(|(message, will_retry)| Event::NoticeRefused {
            message,
            error: "refused".to_owned(),
            will_retry,
        }),
        3 => timer().prop_map(Event::TimerFired),
        1 => Just(Event::OperatorHangup { by: "olga".to_owned() }),
        2 => (20..23u32, select(vec![None, Some("2005")])).prop_map(|(n, to)| {
            Event::OperatorTransfer {
                target: to.map(target),
                department: None,
                request: request(n),
                anew: false,
            }
        }),
        1 => Just(Event::ShuttingDown),
        3 => leg().prop_map(|leg| Event::LegHeld { leg }),
        3 => leg().prop_map(|leg| Event::LegResumed { leg }),
        1 => leg().prop_map(|leg| Event::HoldRefused { leg, sip_status: Some(488) }),
        1 => Just(Event::OperatorHold { by: "olga".to_owned() }),
        1 => Just(Event::OperatorResume { by: "olga".to_owned() }),
        4 => referred(),
        1 => leg().prop_map(|replaces| Event::LegTakenIn {
            leg: LegId::derive(&CallId::from_unique("u"), 1),
            request: request(60),
            replaces,
            target: Some(target("2002")),
            referred_by: None,
        }),
        1 => leg().prop_map(|leg| Event::LegTakenAway { leg, into: CallId::from_unique("u") }),
        2 => (leg(), 1..3u32).prop_map(|(replaces, n)| Event::ReplacementArrived {
            leg: LegId::derive(&CallId::from_unique("v"), n),
            replaces,
        }),
        3 => (1..6u32, report()).prop_map(|(n, report)| Event::ReferReported {
            leg: LegId::derive(&CallId::from_unique("t"), 1),
            attempt: AttemptId::derive(&CallId::from_unique("t"), n),
            report,
        }),
        1 => leg().prop_map(|leg| Event::CallerArrived {
            leg,
            caller: Default::default(),
            callee: "again".to_owned(),
            route: Route::Extension(target("2001")), sip_headers: Default::default(),
        }),
        1 => Just(Event::OutboundRequested { target: target("2001"), assistant: None }),
    ]
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        12 => (0..9000u64).prop_map(Deed::Wait),
        2 => any_event().prop_map(Deed::Happens),
        8 => asked().prop_map(Deed::Happens),
        3 => referred().prop_map(Deed::Happens),
        2 => any::<usize>().prop_map(Deed::Lose),
        3 => (any::<usize>(), 0..3000u64).prop_map(|(n, ms)| Deed::Double(n, ms)),
        3 => (any::<usize>(), 0..9000u64).prop_map(|(n, ms)| Deed::Delay(n, ms)),
    ]
}

fn chain() -> impl Strategy<Value = Vec<FallbackStep>> {
    let steps = vec![FallbackStep::TakeMessage, FallbackStep::NotifyStaff];
    let last = vec![
        None,
        Some(FallbackStep::ReturnToAssistant),
        Some(FallbackStep::Goodbye),
    ];
    (prop::collection::vec(select(steps), 0..4), select(last))
        .prop_map(|(steps, last)| steps.into_iter().chain(last).collect())
}

fn policy() -> impl Strategy<Value = CallPolicy> {
    (
        chain(),
        prop::collection::vec(select(vec!["2001", "2002", "2005"]), 0..4),
        1..4u32,
        1..4u32,
        select(vec![12u32, 120, 3600]),
        any::<bool>(),
        select(vec![
            TransferMethod::Bridge,
            TransferMethod::Bridge,
            TransferMethod::Refer,
        ]),
    )
        .prop_map(
            |(
                fallback,
                targets,
                max_attempts,
                max_transfers,
                max_call_s,
                spoken,
                transfer_method,
            )| CallPolicy {
                transfer_method,
                closed_fallback: fallback.clone(),
                fallback,
                default_targets: targets.into_iter().map(target).collect(),
                max_attempts,
                max_transfers,
                max_call_s,
                allow_spoken_extension: spoken,
                dialable_extensions: ["2001".parse().expect("an extension")].into(),
                record: if spoken {
                    RecordPolicy::AllCalls
                } else {
                    RecordPolicy::Off
                },
                ..CallPolicy::default()
            },
        )
}

fn phone() -> impl Strategy<Value = Phone> {
    prop_oneof![
        3 => (0..25_000u64).prop_map(Phone::AnswersAfter),
        5 => select(vec![
            Phone::NeverAnswers,
            Phone::Busy,
            Phone::Rejects,
            Phone::NotRegistered,
            Phone::AnswersTheCancel,
        ]),
    ]
}

fn beginning() -> impl Strategy<Value = Event> {
    let arrived = |route| Event::CallerArrived {
        leg: LegId::derive(&CallId::from_unique("t"), 1),
        caller: Default::default(),
        callee: "assistant".to_owned(),
        route,
        sip_headers: Default::default(),
    };
    prop_oneof![
        6 => Just(arrived(Route::Assistant { name: "reception".to_owned() })),
        1 => Just(arrived(Route::Extension(target("2005")))),
        1 => Just(Event::OutboundRequested { target: target("2002"), assistant: None }),
    ]
}

/// A world with some phones, a caller and a receiver of some temper.
fn any_world() -> impl Strategy<Value = (CallPolicy, Vec<Phone>, Message, Receiver)> {
    (
        policy(),
        prop::collection::vec(phone(), 3),
        select(vec![
            Message::Speaks("call me"),
            Message::SaysNothing,
            Message::TalksOn("on and on"),
        ]),
        prop_oneof![
            (0..12_000u64).prop_map(Receiver::AcceptsAfter),
            Just(Receiver::Refuses),
            Just(Receiver::Silent),
        ],
    )
}

fn check(world: &World) -> Result<(), TestCaseError> {
    let unheard = world.count(|kind| {
        matches!(
            kind,
            ActionKind::Emit(CallEvent::TextTold {
                heard: Heard::None,
                ..
            })
        )
    });
    let found: Vec<_> = world
        .violations()
        .into_iter()
        // A caller who hears nothing is told nothing: the judge is right, and it is no fault of
        // the machine's.
        .filter(|found| unheard == 0 || found.code != "no_caller_lost")
        .collect();
    prop_assert_eq!(found, vec![]);
    let view = world.view();
    for leg in &view.legs {
        let released = world.count(|kind| match kind {
            ActionKind::Cancel { leg: ended }
            | ActionKind::Hangup { leg: ended, .. }
            | ActionKind::Reject { leg: ended, .. }
            | ActionKind::Emit(CallEvent::LegEnded { leg: ended, .. }) => *ended == leg.id,
            _ => false,
        });
        prop_assert!(released > 0, "{} was forgotten", leg.id);
    }
    let actions: Vec<&Action> = world
        .facts
        .iter()
        .filter_map(|stamped| match &stamped.fact {
            CallFact::Done(action) => Some(action),
            _ => None,
        })
        .collect();
    let expected: Vec<u64> = (1..).take(actions.len()).collect();
    let numbers: Vec<u64> = actions.iter().map(|action| action.seq).collect();
    prop_assert_eq!(numbers, expected);
    Ok(())
}

/// Failing seeds are kept beside this file and tried first.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 1500,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_meddled_world_comes_to_a_sound_end(
        (policy, phones, message, receiver) in any_world(),
        begins in beginning(),
        exchange in prop::collection::vec((0..9000u64, report()), 0..4),
        deeds in prop::collection::vec(deed(), 0..40),
        killed_before in prop::option::of(0..40usize),
    ) {
        let mut world = World::new(policy).message(message).receiver(receiver);
        world.exchange = exchange;
        for (number, phone) in ["2001", "2002", "2005"].into_iter().zip(phones) {
            world = world.phone(number, phone);
        }
        world.event(begins);
        for (n, deed) in deeds.into_iter().enumerate() {
            if killed_before == Some(n) {
                world.restart();
            }
            match deed {
                Deed::Wait(ms) => world.run_for_ms(ms),
                Deed::Happens(event) => world.event(event),
                Deed::Lose(n) => world.lose(n),
                Deed::Double(n, ms) => world.double(n, ms),
                Deed::Delay(n, ms) => world.delay(n, ms),
            }
        }
        world.run_to_the_end();
        check(&world)?;
    }

    /// Nothing but timers: however the world falls silent, the call ends by itself.
    #[test]
    fn a_silent_world_cannot_hold_a_call(
        policy in policy(),
        begins in beginning(),
        events in prop::collection::vec(any_event(), 0..12),
    ) {
        let mut call = Call::new(CallId::from_unique("t"), "demo".to_owned(), policy, world::START);
        let mut now = world::START;
        call.handle(now, begins);
        for event in events {
            call.handle(now, event);
        }
        let mut fired = 0;
        while let Some((at, timer)) = call.next_deadline() {
            now = now.max(at);
            call.handle(now, Event::TimerFired(timer));
            fired += 1;
            prop_assert!(fired < 200, "timers for ever: {:#?}", call);
        }
        prop_assert!(call.is_settled(), "{:#?}", call);
    }

    /// A timer that is not due, or not wanted, changes nothing.
    #[test]
    fn foreign_timers_change_nothing(
        policy in policy(),
        begins in beginning(),
        events in prop::collection::vec(any_event(), 0..12),
        timer in timer(),
    ) {
        let mut call = Call::new(CallId::from_unique("t"), "demo".to_owned(), policy, world::START);
        call.handle(world::START, begins);
        for event in events {
            call.handle(world::START, event);
        }
        let before = call.clone();
        prop_assert_eq!(call.handle(world::START, Event::TimerFired(timer)), vec![]);
        prop_assert_eq!(call, before);
    }

    /// Every event said twice at once has the effect of being said once, but for a message that
    /// the second time finds another state.
    #[test]
    fn the_second_saying_is_silent(
        policy in policy(),
        begins in beginning(),
        events in prop::collection::vec(any_event(), 0..12),
        again in any_event(),
    ) {
        let mut call = Call::new(CallId::from_unique("t"), "demo".to_owned(), policy, world::START);
        call.handle(world::START, begins);
        for event in events {
            call.handle(world::START, event);
        }
        call.handle(world::START, again.clone());
        let actions = call.handle(world::START, again.clone());
        let loud: Vec<_> = actions
            .iter()
            .filter(|action| {
                !matches!(
                    &action.kind,
                    ActionKind::Emit(
                        CallEvent::TransferIgnored { .. }
                            | CallEvent::NoticeRefused { .. }
                            | CallEvent::HoldRefused { .. }
                            | CallEvent::HoldIgnored { .. }
                            | CallEvent::ReferRefused { .. }
                    ) | ActionKind::RefuseRefer { .. }
                )
            })
            .collect();
        let declined_again = matches!(again, Event::AssistantAskedForHuman { .. });
        prop_assert!(loud.is_empty() || declined_again, "{:?} did {:?}", again, loud);
    }
}

/// No living leg is left in an ended call, also between its end and its settling.
#[test]
fn an_ended_call_has_no_living_leg_at_once() {
    let mut world = World::with_assistant(world::policy());
    world.ask(1);
    world.run_until_s(6);
    world.caller_hangs_up();
    assert!(world.call.is_ended() && !world.call.is_settled());
    let stored: serde_json::Value = serde_json::from_str(&world.call.snapshot()).unwrap();
    let states: Vec<LegState> = stored["legs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|leg| serde_json::from_value(leg["state"].clone()).unwrap())
        .collect();
    assert!(states.iter().all(|state| !state.is_living()), "{states:?}");
}
