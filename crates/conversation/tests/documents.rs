//! Whole calls in documents: the carrier speaks and listens by itself, and everything is stored and
//! read again between two of its requests.

mod carrier;
mod world;

use carrier::{Act, Carrier};
use insta::assert_snapshot;
use proptest::prelude::*;
use switchhook_conversation::{EndReason, Heard, Input, Output, Returned, SayId, Speaker, Then};
use switchhook_model::ModelDelta;
use world::{at, calls, says};

const HOURS: &str = "We are open from nine to six. On Saturday we are open until noon, and on \
                     Sunday we are closed.";

fn turns(carrier: &Carrier) -> Vec<(Speaker, String, bool)> {
    carrier.find(|o| match o {
        Output::TurnEnded(t) => Some((t.speaker, t.text.clone(), t.interrupted)),
        _ => None,
    })
}

fn ends(carrier: &Carrier) -> Vec<EndReason> {
    carrier.find(|o| match o {
        Output::EndCall { reason } => Some(*reason),
        _ => None,
    })
}

#[test]
fn a_question_is_asked_after_the_greeting_and_answered() {
    let mut carrier = Carrier::answered(|_| {});
    carrier.reply(says(HOURS));
    carrier.caller(Act::Says("When are you open?", 600, 1_200));
    carrier.reply(says("You are welcome."));
    carrier.caller(Act::Says(
        "Thank you, and have you got parking?",
        400,
        1_800,
    ));
    assert!(
        turns(&carrier)
            .iter()
            .all(|(_, _, interrupted)| !interrupted),
        "nobody was interrupted: {}",
        carrier.ladder()
    );
    assert_snapshot!(format!("{}\n{}", carrier.ladder(), carrier.last_history()));
}

#[test]
fn a_barge_in_leaves_what_was_heard() {
    let mut carrier = Carrier::answered(|_| {});
    carrier.reply(says(HOURS));
    carrier.caller(Act::Says("When are you open?", 600, 1_200));
    carrier.ladder();
    carrier.reply(says("Yes, we have parking."));
    carrier.caller(Act::SaysOver("Do you have parking?", 3_500, 1_200));
    let interrupted = turns(&carrier).iter().filter(|(_, _, i)| *i).count();
    assert_eq!(interrupted, 1);
    assert!(
        !carrier.last_history().contains("Sunday we are closed"),
        "{}",
        carrier.last_history()
    );
    assert_eq!(carrier.texts(), ["Yes, we have parking."]);
    assert_snapshot!(format!("{}\n{}", carrier.ladder(), carrier.last_history()));
}

#[test]
fn a_barge_in_into_the_first_words_means_nothing_was_heard() {
    let mut carrier = Carrier::answered(|_| {});
    carrier.reply(says("Good evening."));
    carrier.caller(Act::SaysOver("Hello", 0, 400));
    let heard: Vec<_> = turns(&carrier)
        .into_iter()
        .filter(|(speaker, _, _)| *speaker == Speaker::Assistant)
        .collect();
    assert_eq!(heard, [], "{}", carrier.ladder());
    assert_eq!(carrier.last_history(), "user: Hello\n");
}

#[test]
fn three_silences_end_the_call() {
    let mut carrier = Carrier::answered(|_| {});
    for _ in 0..3 {
        carrier.caller(Act::StaysSilent);
        assert!(matches!(carrier.then(), Some(Then::Listen { .. })));
    }
    carrier.caller(Act::StaysSilent);
    assert_eq!(carrier.then(), Some(Then::ComeBack));
    assert_eq!(
        carrier.texts(),
        ["I can't hear you, so I will end the call now. Goodbye."]
    );
    carrier.now_ms += 5_000;
    carrier.request(Returned::Nothing);
    assert_eq!(ends(&carrier), [EndReason::Silence]);
    assert_snapshot!(carrier.ladder());
}

#[test]
fn a_slow_model_is_bridged_by_a_filler() {
    let mut carrier = Carrier::answered(|_| {});
    carrier.ladder();
    carrier.reply(vec![
        (7_000, ModelDelta::Text("From nine to six.".into())),
        (10, ModelDelta::Done),
    ]);
    carrier.caller(Act::Says("When are you open?", 600, 1_200));
    assert_eq!(carrier.texts(), ["One moment, please."]);
    assert_eq!(carrier.then(), Some(Then::ComeBack));
    carrier.reply(says("Yes."));
    carrier.caller(Act::Says("On Monday too?", 500, 900));
    assert!(carrier.audible.contains(&"From nine to six.".to_owned()));
    assert_snapshot!(carrier.ladder());
}

#[test]
fn a_tool_that_takes_long_is_spoken_of_in_a_later_turn() {
    let mut carrier = Carrier::answered(|c| {
        c.tools.book_appointment = true;
        c.timing.tool_timeout_ms = 60_000;
    });
    carrier.reply(calls("book_appointment", "{}"));
    carrier.tool_answers(40_000, r#"{"status":"booked"}"#);
    carrier.reply(says("Your table is booked."));
    carrier.caller(Act::Says("Book a table.", 600, 1_200));
    assert_eq!(carrier.texts(), ["One moment, please."]);
    let before = carrier.requests;
    carrier.caller(Act::StaysSilent);
    assert!(
        carrier.requests > before + 5,
        "it came back again and again"
    );
    assert!(
        carrier
            .audible
            .contains(&"Your table is booked.".to_owned())
    );
    assert_eq!(ends(&carrier), []);
}

#[test]
fn a_wish_for_a_human_goes_to_call_control() {
    let mut carrier = Carrier::answered(|c| c.allow_spoken_extension = true);
    carrier.ladder();
    carrier.caller(Act::Says(
        "Transfer me to extension 2001 please.",
        500,
        2_000,
    ));
    let asked = carrier.find(|o| match o {
        Output::AskForHuman { target, .. } => target.clone(),
        _ => None,
    });
    assert_eq!(asked, ["2001"]);
    assert_eq!(carrier.then(), Some(Then::ComeBack));
    assert_snapshot!(carrier.ladder());
}

#[test]
fn key_zero_over_the_greeting_asks_for_a_human() {
    let mut carrier = Carrier::answered(|_| {});
    carrier.ladder();
    carrier.caller(Act::PressesOver("0", 800));
    let asked = carrier.find(|o| matches!(o, Output::AskForHuman { .. }).then_some(()));
    assert_eq!(asked.len(), 1);
    assert_eq!(carrier.texts(), Vec::<String>::new());
    assert_snapshot!(carrier.ladder());
}

#[test]
fn another_key_does_not_swallow_what_was_being_said() {
    let mut carrier = Carrier::answered(|_| {});
    carrier.caller(Act::PressesOver("5", 300));
    assert_eq!(carrier.texts(), ["Hello, how can I help you?"]);
    carrier.caller(Act::StaysSilent);
    assert_eq!(
        turns(&carrier)[0],
        (
            Speaker::Assistant,
            "Hello, how can I help you?".to_owned(),
            false
        )
    );
}

#[test]
fn a_text_that_must_be_heard_stands_before_what_listens() {
    let mut carrier = Carrier::new(|_| {});
    carrier.say(1, "This call is recorded.", false);
    carrier.input(Input::Start {
        opening: None,
        note: None,
    });
    carrier.answer();
    let document = carrier.document.clone().expect("a document");
    assert_eq!((document.items.len(), document.listen_from), (2, 1));
    assert!(matches!(document.then, Then::Listen { .. }));
    carrier.reply(says("Good."));
    // As early as the carrier listens at all.
    carrier.caller(Act::SaysOver("Fine with me.", 0, 700));
    let finished = carrier.find(|o| match o {
        Output::SayFinished { id, heard } => Some((*id, *heard)),
        _ => None,
    });
    assert_eq!(finished, [(SayId(1), Heard::Full)]);
    assert!(!carrier.last_history().contains("how can I help"));
}

#[test]
fn without_barge_in_everything_stands_before_what_listens() {
    let mut carrier = Carrier::answered(|c| c.barge_in = false);
    let document = carrier.document.clone().expect("a document");
    assert_eq!(document.listen_from, document.items.len());
    carrier.reply(says("Good."));
    carrier.caller(Act::SaysOver("Fine with me.", 0, 700));
    assert_eq!(carrier.texts(), ["Good."]);
    assert!(carrier.last_history().contains("how can I help"));
}

#[test]
fn noise_over_the_words_does_not_swallow_them() {
    let mut carrier = Carrier::answered(|_| {});
    carrier.reply(says(HOURS));
    carrier.caller(Act::Says("When are you open?", 600, 1_200));
    carrier.caller(Act::SaysOver("mhm", 3_000, 300));
    let rest = carrier.texts().join(" ");
    assert!(
        rest.contains("on Sunday we are closed.") && !rest.contains("nine to six"),
        "{rest}"
    );
}

#[test]
fn a_message_is_recorded_by_the_carrier() {
    let mut carrier = Carrier::answered(|_| {});
    carrier.ladder();
    carrier.reply(calls("take_message", "{}"));
    carrier.caller(Act::Says("Can I leave a message?", 600, 1_200));
    assert_eq!(carrier.then(), Some(Then::Record));
    carrier.reply(says("Your message is saved."));
    carrier.caller(Act::LeavesMessage("The heating is broken.", 4_000));
    let taken = carrier.find(|o| match o {
        Output::MessageTaken {
            text,
            duration_ms,
            recorded,
        } => Some((text.clone(), *duration_ms, *recorded)),
        _ => None,
    });
    assert_eq!(taken, [("The heating is broken.".to_owned(), 4_000, true)]);
    assert_eq!(carrier.texts(), ["Your message is saved."]);
    assert_snapshot!(carrier.ladder());
}

#[test]
fn call_controls_message_may_be_abandoned_or_have_no_words_yet() {
    let results = |carrier: &Carrier| {
        carrier.find(|o| match o {
            Output::MessageTaken {
                text,
                duration_ms,
                recorded,
            } => Some(Some((text.clone(), *duration_ms, *recorded))),
            Output::MessageAbandoned => Some(None),
            _ => None,
        })
    };
    let wanted = || {
        let mut carrier = Carrier::new(|_| {});
        carrier.say(1, "Please leave a message after the tone.", false);
        carrier.input(Input::TakeMessage);
        carrier.say(2, "Thank you.", false);
        carrier.answer();
        assert_eq!(carrier.then(), Some(Then::Record));
        assert_eq!(carrier.texts(), ["Please leave a message after the tone."]);
        carrier
    };
    let mut carrier = wanted();
    carrier.caller(Act::LeavesNone);
    assert_eq!(results(&carrier), [None]);
    assert_eq!(carrier.texts(), ["Thank you."]);

    let mut carrier = wanted();
    carrier.caller(Act::LeavesMessage("", 7_000));
    assert_eq!(results(&carrier), [Some((String::new(), 7_000, true))]);

    // Words without audio: the recording failed, the transcript did not.
    let mut carrier = wanted();
    carrier.now_ms += 9_000;
    carrier.request(Returned::Message {
        text: "Call me back.".into(),
        duration_ms: 3_000,
        recorded: false,
    });
    assert_eq!(
        results(&carrier),
        [Some(("Call me back.".to_owned(), 3_000, false))]
    );

    // Gone before the tone: what was recorded is reported before the stop.
    let mut carrier = wanted();
    carrier.now_ms += 1_000;
    carrier.request(Returned::NoMessage);
    carrier.input(Input::Stop);
    assert_eq!(results(&carrier), [None]);
}

#[test]
fn a_hang_up_tells_how_much_was_heard() {
    let mut carrier = Carrier::answered(|_| {});
    carrier.reply(says(HOURS));
    carrier.caller(Act::Says("When are you open?", 600, 1_200));
    carrier.caller(Act::HangsUp(3_500));
    carrier.input(Input::Stop);
    let (_, text, interrupted) = turns(&carrier).pop().expect("a turn");
    assert!(interrupted);
    assert!(
        text.starts_with("We are open from nine to six. On") && !text.contains("Sunday"),
        "{text}"
    );
    assert!(carrier.conversation.is_finished());
}

#[test]
fn a_document_that_never_arrived_is_given_again() {
    let mut carrier = Carrier::answered(|_| {});
    carrier.now_ms += 400;
    carrier.request(Returned::NotDelivered);
    assert_eq!(carrier.texts(), ["Hello, how can I help you?"]);
    assert_eq!(turns(&carrier), []);
    // The same if nobody even reports it.
    carrier.answer();
    assert_eq!(carrier.texts(), ["Hello, how can I help you?"]);
}

#[test]
fn a_human_who_takes_over_in_the_middle_of_a_document_stops_it() {
    let mut carrier = Carrier::answered(|_| {});
    carrier.reply(says(HOURS));
    carrier.caller(Act::Says("When are you open?", 600, 1_200));
    carrier.now_ms += 3_500;
    assert!(carrier.documents.is_speaking(at(carrier.now_ms)));
    carrier.input(Input::Pause);
    let (_, text, interrupted) = turns(&carrier).pop().expect("a turn");
    assert!(
        interrupted && text.starts_with("We are open from nine to six."),
        "{text}"
    );
    carrier.say(3, "A colleague is taking over now.", false);
    carrier.request(Returned::Replaced);
    assert_eq!(carrier.texts(), ["A colleague is taking over now."]);
}

#[test]
fn a_process_that_dies_between_two_requests_loses_nothing() {
    let mut carrier = Carrier::answered(|_| {});
    carrier.reply(vec![(60_000, ModelDelta::Done)]);
    carrier.caller(Act::Says("When are you open?", 600, 1_200));
    assert_eq!(carrier.texts(), ["One moment, please."]);
    // The one that waited for the model is gone; the carrier still speaks the filler.
    carrier.now_ms += 1_500;
    carrier.reply(says("From nine to six."));
    let outputs = carrier.conversation.reconsider(at(carrier.now_ms));
    carrier.outputs(at(carrier.now_ms), outputs);
    carrier.reply(says("Yes."));
    carrier.caller(Act::Says("On Monday too?", 500, 900));
    let said = turns(&carrier);
    let times = said
        .iter()
        .filter(|(_, t, _)| t.contains("nine to six"))
        .count();
    assert_eq!(times, 1, "{said:?}");
    assert_eq!(carrier.histories[0], carrier.histories[1]);
}

#[test]
fn neither_debug_shows_words_or_keys() {
    let carrier = Carrier::answered(|_| {});
    let returned = [
        Returned::Speech {
            text: "tangerine".into(),
        },
        Returned::Digits("4711".into()),
        Returned::Message {
            text: "tangerine".into(),
            duration_ms: 1,
            recorded: true,
        },
    ];
    let shown = format!(
        "{:?} {:?} {returned:?}",
        carrier.documents, carrier.document
    );
    for word in ["Hello", "tangerine", "4711"] {
        assert!(!shown.contains(word), "{shown}");
    }
}

fn act() -> impl Strategy<Value = Act> {
    let texts = prop_oneof![
        Just("When are you open?"),
        Just("mhm"),
        Just(""),
        Just("Book a table please"),
        Just("Can I leave a message?"),
        Just("goodbye"),
        Just("one more thing"),
    ];
    prop_oneof![
        4 => (texts.clone(), 0..2_000_u64, 200..3_000_u64).prop_map(|(t, a, v)| Act::Says(t, a, v)),
        4 => (texts, 0..6_000_u64, 200..3_000_u64).prop_map(|(t, a, v)| Act::SaysOver(t, a, v)),
        2 => Just(Act::StaysSilent),
        1 => Just(Act::Presses("5", 300)),
        1 => (0..3_000_u64).prop_map(|a| Act::PressesOver("12", a)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the caller does and however fast the voice is: every call ends by its own bounds,
    /// each text of call control is answered once and heard, and nothing stays in the mouth.
    #[test]
    fn every_call_in_documents_ends(
        acts in proptest::collection::vec((act(), 0..8_u8, 100..9_000_u64), 0..20),
        ms_per_char in 40..90_u64,
    ) {
        let mut carrier = Carrier::answered(|c| {
            c.tools.book_appointment = true;
            c.bounds.max_turns = 12;
        });
        carrier.ms_per_char = ms_per_char;
        let mut said = 0;
        let over = |carrier: &Carrier| !ends(carrier).is_empty();
        for (act, what, delay_ms) in acts {
            match what {
                0 => { carrier.reply(calls("take_message", "{}")); }
                1 => {
                    carrier.reply(calls("book_appointment", "{}"));
                    carrier.tool_answers(delay_ms, "{}");
                }
                2 => { carrier.say(said, "A notice of the house, to be heard.", false); said += 1; }
                _ => {
                    carrier.reply(vec![
                        (delay_ms, ModelDelta::Text("We are open. And on Sunday we are closed. ".into())),
                        (delay_ms / 3, ModelDelta::Text("Anything else?".into())),
                        (10, ModelDelta::Done),
                    ]);
                }
            }
            settle(&mut carrier);
            match carrier.then() {
                _ if over(&carrier) => break,
                Some(Then::Listen { .. }) => carrier.caller(act),
                Some(Then::Record) => carrier.caller(Act::LeavesMessage("Call me.", delay_ms)),
                Some(Then::ComeBack) | None => break,
            }
        }
        for _ in 0..12 {
            settle(&mut carrier);
            match carrier.then() {
                Some(Then::Listen { .. }) => carrier.caller(Act::StaysSilent),
                Some(Then::Record) => carrier.caller(Act::LeavesNone),
                Some(Then::ComeBack) | None => break,
            }
        }
        prop_assert_eq!(ends(&carrier).len(), 1, "{}", carrier.ladder());
        prop_assert!(!carrier.conversation.is_speaking(), "{}", carrier.ladder());
        let heard = carrier.find(|o| match o {
            Output::SayFinished { id, heard } => Some((*id, *heard)),
            _ => None,
        });
        let expected: Vec<_> = (0..said).map(|n| (SayId(n), Heard::Full)).collect();
        prop_assert_eq!(heard, expected, "{}", carrier.ladder());
    }
}

/// Executes documents that only come back, until the call ends or the caller's go has come.
fn settle(carrier: &mut Carrier) {
    for _ in 0..200 {
        if carrier.then() != Some(Then::ComeBack) || !ends(carrier).is_empty() {
            return;
        }
        let document = carrier.document.clone().expect("a document");
        let chars: usize = document.items.iter().map(|(_, t)| t.chars().count()).sum();
        let ms = 250 + chars as u64 * carrier.ms_per_char;
        carrier.now_ms += if document.items.is_empty() { 1_250 } else { ms };
        carrier.request(Returned::Nothing);
    }
    panic!("it comes back for ever\n{}", carrier.ladder());
}
