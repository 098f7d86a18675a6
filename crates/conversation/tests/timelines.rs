//! Whole conversations on virtual time, drawn as ladders.

mod world;

use std::sync::Arc;

use insta::assert_snapshot;
use switchhook_conversation::scripted::{IntentsFile, Persona, ScriptedBrain};
use switchhook_conversation::{EndReason, Heard, Input, OnErrors, Output, SayId};
use switchhook_model::{Language, ModelDelta, ToolCall};
use world::{World, calls, says};

const HOURS: &str = "We are open from nine to six. On Saturday we are open until noon, and on \
                     Sunday we are closed.";

#[test]
fn a_question_is_answered_sentence_by_sentence() {
    let mut world = World::new(|_| {});
    world.start();
    world.run_until_quiet();
    world.reply(vec![
        (400, ModelDelta::Text("We are open from nine".into())),
        (100, ModelDelta::Text(" to six. And on".into())),
        (300, ModelDelta::Text(" Saturday until noon.".into())),
        (10, ModelDelta::Done),
    ]);
    world.caller_says("When are you open?", 1_200);
    world.run_until_quiet();
    assert_snapshot!(world.ladder());
}

#[test]
fn a_barge_in_stops_the_assistant_and_history_keeps_what_was_heard() {
    let mut world = World::greeted(|_| {});
    world.ladder();
    world.reply(says(HOURS));
    world.caller_says("When are you open?", 1_200);
    world.run_ms(5_500);
    world.reply(says("Yes, we have parking."));
    world.caller_says("Do you have parking?", 1_000);
    world.run_until_quiet();
    assert_snapshot!(format!("{}\n{}", world.ladder(), world.last_history()));
}

#[test]
fn noise_over_the_assistant_makes_it_take_up_the_unheard_rest() {
    let mut world = World::greeted(|_| {});
    world.reply(says(HOURS));
    world.caller_says("When are you open?", 1_200);
    world.run_ms(7_500);
    world.ladder();
    world.caller_says("[cough]", 300);
    world.run_until_quiet();
    world.reply(says("You are welcome."));
    world.caller_says("I see.", 700);
    world.run_until_quiet();
    assert_snapshot!(format!("{}\n{}", world.ladder(), world.last_history()));
}

#[test]
fn a_caller_who_goes_on_speaking_is_answered_once() {
    let mut world = World::greeted(|_| {});
    world.ladder();
    world.reply(says("This is never heard."));
    world.caller_says("I would like", 600);
    world.run_ms(1_700);
    world.reply(says("A table, with pleasure."));
    world.caller_says("a table please", 800);
    world.run_until_quiet();
    assert_snapshot!(format!("{}\n{}", world.ladder(), world.last_history()));
}

#[test]
fn noise_while_thinking_holds_the_answer_and_lets_it_go() {
    let mut world = World::greeted(|_| {});
    world.ladder();
    world.reply(vec![
        (900, ModelDelta::Text("Yes, we do.".into())),
        (10, ModelDelta::Done),
    ]);
    world.caller_says("Do you have parking?", 1_000);
    world.run_ms(2_100);
    world.caller_says("", 400);
    world.run_until_quiet();
    assert_snapshot!(world.ladder());
}

#[test]
fn a_slow_tool_is_bridged_by_a_filler() {
    let mut world = World::greeted(|c| c.tools.book_appointment = true);
    world.ladder();
    world.reply(calls(
        "book_appointment",
        r#"{"datetime":"2026-11-21T19:00:00+01:00"}"#,
    ));
    world.tool_answers(2_500, r#"{"status":"booked"}"#);
    world.reply(says("Your table is booked."));
    world.caller_says("Book a table for tomorrow at seven.", 2_000);
    world.run_until_quiet();
    assert_snapshot!(format!("{}\n{}", world.ladder(), world.last_history()));
}

#[test]
fn a_tool_that_never_answers_is_told_to_the_model() {
    let mut world = World::greeted(|c| c.tools.book_appointment = true);
    world.reply(calls("book_appointment", "{}"));
    world.reply(says("That did not work."));
    world.caller_says("Book a table.", 1_000);
    world.run_ms(12_000);
    world.run_until_quiet();
    assert!(
        world.last_history().contains("did not answer in time"),
        "{}",
        world.last_history()
    );
}

#[test]
fn speech_while_a_tool_runs_waits_for_its_result() {
    let mut world = World::greeted(|c| c.tools.book_appointment = true);
    world.ladder();
    world.reply(calls("book_appointment", "{}"));
    world.tool_answers(3_000, r#"{"status":"booked"}"#);
    world.reply(says("It is booked, with a high chair."));
    world.caller_says("Book a table.", 1_000);
    world.run_ms(2_500);
    world.caller_says("And a high chair please.", 1_000);
    world.run_until_quiet();
    assert_snapshot!(format!("{}\n{}", world.ladder(), world.last_history()));
}

#[test]
fn a_wish_for_a_human_goes_to_call_control_without_the_model() {
    let mut world = World::greeted(|c| c.allow_spoken_extension = true);
    world.ladder();
    world.caller_says("Transfer me to extension two zero zero one please.", 1_500);
    world.run_until_quiet();
    world.say(1, "One moment, I am connecting you.", false);
    world.input(Input::Pause);
    world.run_ms(20_000);
    world.say(2, "Nobody answered. How else can I help?", false);
    world.input(Input::Resume {
        note: Some("The transfer to 2001 failed: no answer within 20 s.".into()),
    });
    world.run_until_quiet();
    world.reply(says("You can leave a message."));
    world.caller_says("What now?", 700);
    world.run_until_quiet();
    assert_snapshot!(format!("{}\n{}", world.ladder(), world.last_history()));
}

#[test]
fn the_models_transfer_request_is_answered_by_what_came_of_it() {
    let mut world = World::greeted(|_| {});
    world.ladder();
    world.reply(vec![
        (
            200,
            ModelDelta::Text("I will find somebody for you.".into()),
        ),
        (
            50,
            ModelDelta::ToolCall(ToolCall {
                id: "abc".into(),
                name: "request_human_transfer".into(),
                arguments: r#"{"reason":"complaint","summary":"Room was cold","extension":"2001"}"#
                    .into(),
            }),
        ),
        (10, ModelDelta::Done),
    ]);
    world.caller_says("My room was cold, this is unacceptable.", 1_500);
    world.run_until_quiet();
    world.say(1, "One moment, I am connecting you.", false);
    world.input(Input::Pause);
    world.run_ms(5_000);
    world.input(Input::Resume {
        note: Some("2001 was busy.".into()),
    });
    world.reply(says("I am sorry."));
    world.caller_says("And?", 700);
    world.run_until_quiet();
    assert_snapshot!(format!("{}\n{}", world.ladder(), world.last_history()));
}

#[test]
fn a_transfer_request_without_an_answer_gives_the_caller_back() {
    let mut world = World::greeted(|_| {});
    world.caller_says("I want a human", 1_000);
    world.run_until_quiet();
    world.run_ms(16_000);
    world.reply(says("Yes?"));
    world.caller_says("Hello, are you still working?", 1_000);
    world.run_until_quiet();
    assert_eq!(world.histories.len(), 1, "{}", world.ladder());
}

#[test]
fn key_zero_asks_for_a_human_at_any_time_but_once() {
    let mut world = World::greeted(|_| {});
    world.reply(says(HOURS));
    world.caller_says("When are you open?", 1_200);
    world.run_ms(5_000);
    world.ladder();
    world.press('0');
    world.press('0');
    world.run_until_quiet();
    assert_snapshot!(world.ladder());
}

#[test]
fn silence_is_asked_about_three_times_and_then_ends_the_call() {
    let mut world = World::greeted(|_| {});
    world.ladder();
    world.run_ms(60_000);
    assert_snapshot!(world.ladder());
}

#[test]
fn speech_without_words_counts_as_silence() {
    let mut world = World::greeted(|_| {});
    for _ in 0..4 {
        world.caller_says("", 1_500);
        world.run_until_quiet();
    }
    world.run_until_quiet();
    let ends = world.find(|o| match o {
        Output::EndCall { reason } => Some(*reason),
        _ => None,
    });
    assert_eq!(ends, [EndReason::Silence]);
}

#[test]
fn a_goodbye_is_answered_and_ends_the_call() {
    let mut world = World::greeted(|_| {});
    world.ladder();
    world.caller_says("That's all, thank you, bye.", 1_200);
    world.run_until_quiet();
    assert_snapshot!(world.ladder());
}

#[test]
fn one_more_thing_during_the_farewell_keeps_the_call() {
    let mut world = World::greeted(|_| {});
    world.ladder();
    world.caller_says("Okay, bye.", 800);
    world.run_ms(2_000);
    world.reply(says("Yes, please?"));
    world.caller_says("Oh wait, one more thing.", 900);
    world.run_until_quiet();
    assert_snapshot!(world.ladder());
}

#[test]
fn the_model_may_end_the_call() {
    let mut world = World::greeted(|_| {});
    world.ladder();
    world.reply(calls("end_call", ""));
    world.caller_says("I think we are through here.", 900);
    world.run_until_quiet();
    assert_snapshot!(world.ladder());
}

#[test]
fn failing_providers_end_in_an_apology_and_a_goodbye() {
    let mut world = World::greeted(|_| {});
    world.ladder();
    for _ in 0..3 {
        world.reply(vec![(300, ModelDelta::Failed("503".into()))]);
        world.caller_says("When are you open?", 900);
        world.run_until_quiet();
    }
    assert_snapshot!(world.ladder());
}

#[test]
fn failing_providers_may_lead_to_a_human_instead() {
    let mut world = World::greeted(|c| {
        c.bounds.max_errors = 1;
        c.bounds.on_errors = OnErrors::AskForHuman;
    });
    world.reply(vec![(300, ModelDelta::Failed("503".into()))]);
    world.caller_says("When are you open?", 900);
    world.run_until_quiet();
    let asked = world.find(|o| match o {
        Output::AskForHuman { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(asked, ["the assistant has a technical problem"]);
    // The human was not there, and the model still fails: now the call ends.
    world.input(Input::Pause);
    world.input(Input::Resume { note: None });
    world.reply(vec![(300, ModelDelta::Failed("503".into()))]);
    world.caller_says("Hello?", 900);
    world.run_until_quiet();
    let ends = world.find(|o| match o {
        Output::EndCall { reason } => Some(*reason),
        _ => None,
    });
    assert_eq!(ends, [EndReason::Errors]);
}

#[test]
fn a_model_that_stalls_is_given_up() {
    let mut world = World::greeted(|_| {});
    world.ladder();
    world.reply(vec![(200, ModelDelta::Text("Well".into()))]);
    world.caller_says("When are you open?", 900);
    world.run_ms(30_000);
    assert_snapshot!(world.ladder());
}

#[test]
fn late_and_repeated_answers_change_nothing() {
    let mut world = World::greeted(|_| {});
    world.reply(says("We are open until six."));
    let utterance = world.caller_says("When are you open?", 900);
    world.run_until_quiet();
    world.ladder();
    world.input(Input::Transcript {
        utterance,
        text: "When are you open?".into(),
    });
    for request in [0, 1, 2, 99] {
        world.input(Input::Delta {
            request,
            delta: ModelDelta::Text("Ghost. Ghost.".into()),
        });
        world.input(Input::Delta {
            request,
            delta: ModelDelta::Done,
        });
    }
    world.input(Input::PlayoutFinished { item: 2 });
    world.input(Input::SynthesisFailed {
        item: 2,
        error: "late".into(),
    });
    world.input(Input::ToolResult {
        request: 1,
        id: "nobody".into(),
        content: "{}".into(),
    });
    assert_snapshot!(world.ladder());
}

#[test]
fn a_verbatim_text_is_heard_in_full_though_the_caller_speaks() {
    let mut world = World::greeted(|_| {});
    world.ladder();
    world.say(7, "This call is recorded for training.", false);
    world.run_ms(500);
    world.reply(says("Good to hear."));
    world.caller_says("Fine with me", 800);
    world.run_until_quiet();
    assert_snapshot!(world.ladder());
}

#[test]
fn an_interruptible_text_is_cut_by_words_but_not_by_noise() {
    let mut world = World::greeted(|_| {});
    world.ladder();
    world.say(
        7,
        "We have many offers this week, and I could tell you all of them.",
        true,
    );
    world.run_ms(1_000);
    world.caller_says("[noise]", 300);
    world.run_ms(2_500);
    world.reply(says("All right."));
    world.caller_says("No thanks, stop", 600);
    world.run_until_quiet();
    assert_snapshot!(world.ladder());
}

#[test]
fn a_message_is_taken_until_the_caller_falls_silent() {
    let mut world = World::greeted(|_| {});
    world.ladder();
    world.say(1, "Please leave a message after the tone.", false);
    world.input(Input::TakeMessage);
    world.run_until_quiet();
    world.caller_says("This is Jane Doe, room twelve.", 2_000);
    world.run_ms(3_500);
    world.caller_says("Please call me back.", 1_500);
    world.run_until_quiet();
    world.run_ms(4_000);
    assert_snapshot!(world.ladder());
}

#[test]
fn the_hash_key_ends_a_message() {
    let mut world = World::new(|_| {});
    world.input(Input::TakeMessage);
    world.run_until_quiet();
    world.caller_says("Call me.", 1_000);
    world.run_ms(800);
    world.ladder();
    world.press('#');
    world.run_until_quiet();
    assert_snapshot!(world.ladder());
}

#[test]
fn a_message_ends_after_sixty_seconds() {
    let mut world = World::new(|_| {});
    world.input(Input::TakeMessage);
    world.run_until_quiet();
    for _ in 0..4 {
        world.caller_says("and so on", 14_500);
        world.run_ms(15_300);
    }
    world.run_ms(10_000);
    let taken = world.find(|o| match o {
        Output::MessageTaken {
            text,
            duration_ms,
            recorded,
        } => Some((text.clone(), *duration_ms, *recorded)),
        _ => None,
    });
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].0, "and so on and so on and so on and so on");
    assert!(taken[0].1 <= 62_000 && taken[0].2, "{taken:?}");
}

#[test]
fn nobody_speaks_after_the_tone() {
    let mut world = World::new(|_| {});
    world.input(Input::TakeMessage);
    world.run_ms(20_000);
    assert_snapshot!(world.ladder());
}

#[test]
fn a_message_survives_the_callers_hang_up() {
    let mut world = World::greeted(|_| {});
    world.input(Input::TakeMessage);
    world.run_until_quiet();
    world.caller_says("Please call me back.", 1_500);
    world.run_ms(2_300);
    world.ladder();
    world.input(Input::Stop);
    world.run_until_quiet();
    assert!(world.conversation.is_finished());
    assert_snapshot!(world.ladder());
}

#[test]
fn a_message_whose_transcription_fails_still_counts() {
    let mut world = World::greeted(|_| {});
    world.input(Input::TakeMessage);
    world.run_until_quiet();
    world.caller_speaks(Err("503".into()), 1_500);
    world.run_until_quiet();
    world.run_ms(4_000);
    let taken = world.find(|o| match o {
        Output::MessageTaken { text, recorded, .. } => Some((text.clone(), *recorded)),
        _ => None,
    });
    assert_eq!(taken, [(String::new(), true)]);
}

#[test]
fn the_model_takes_a_message_and_goes_on() {
    let mut world = World::greeted(|_| {});
    world.ladder();
    world.reply(calls("take_message", "{}"));
    world.caller_says("Can I leave something for the manager?", 1_000);
    world.run_until_quiet();
    world.reply(says("Your message is saved."));
    world.caller_says("The heating is broken.", 1_500);
    world.run_until_quiet();
    world.run_ms(3_500);
    world.run_until_quiet();
    assert_snapshot!(format!("{}\n{}", world.ladder(), world.last_history()));
}

#[test]
fn bounds_on_turns_and_minutes_end_the_call() {
    let mut world = World::greeted(|c| c.bounds.max_turns = 2);
    for _ in 0..3 {
        world.reply(says("Yes."));
        world.caller_says("And then what?", 700);
        world.run_until_quiet();
    }
    let ends = |world: &World| {
        world.find(|o| match o {
            Output::EndCall { reason } => Some(*reason),
            _ => None,
        })
    };
    assert_eq!(ends(&world), [EndReason::TurnLimit]);

    let mut world = World::greeted(|c| {
        c.bounds.max_minutes = 1;
        c.bounds.max_silence_prompts = 100;
    });
    world.run_ms(70_000);
    assert_eq!(ends(&world), [EndReason::TimeLimit]);
}

#[test]
fn a_pause_silences_the_assistant_but_not_call_control() {
    let mut world = World::greeted(|_| {});
    world.reply(says(HOURS));
    world.caller_says("When are you open?", 1_200);
    world.run_ms(3_000);
    world.say(3, "A colleague is taking over now.", false);
    world.run_ms(500);
    world.ladder();
    world.input(Input::Pause);
    world.run_until_quiet();
    assert_snapshot!(world.ladder());
}

#[test]
fn after_the_stop_nothing_is_spoken() {
    let mut world = World::greeted(|_| {});
    world.reply(says(HOURS));
    world.caller_says("When are you open?", 1_200);
    world.run_ms(4_000);
    world.say(4, "Goodbye.", false);
    world.ladder();
    world.input(Input::Stop);
    world.say(5, "Too late.", false);
    world.input(Input::TakeMessage);
    world.start();
    world.run_until_quiet();
    let finished = world.find(|o| match o {
        Output::SayFinished { id, heard } => Some((*id, *heard)),
        _ => None,
    });
    assert_eq!(finished, [(SayId(4), Heard::None), (SayId(5), Heard::None)]);
    assert_snapshot!(world.ladder());
}

#[test]
fn speech_that_cannot_be_synthesised_is_no_endless_loop() {
    let mut world = World::new(|_| {});
    world.input(Input::Start {
        opening: None,
        note: None,
    });
    for item in 1..20 {
        world.input(Input::SynthesisFailed {
            item,
            error: "no voice".into(),
        });
        world.run_ms(9_000);
    }
    let ends = world.find(|o| match o {
        Output::EndCall { reason } => Some(*reason),
        _ => None,
    });
    assert_eq!(ends, [EndReason::Errors]);
}

#[test]
fn a_tool_that_is_not_offered_is_refused_to_the_model() {
    let mut world = World::greeted(|c| c.tools.request_human_transfer = false);
    world.reply(calls("request_human_transfer", "{}"));
    world.reply(says("I cannot do that."));
    world.caller_says("Do something.", 700);
    world.run_until_quiet();
    assert!(
        world.last_history().contains("there is no tool"),
        "{}",
        world.last_history()
    );
    assert_eq!(
        world.find(|o| matches!(o, Output::AskForHuman { .. }).then_some(())),
        []
    );
}

#[test]
fn endless_tool_calls_are_bounded() {
    let mut world = World::greeted(|c| c.tools.book_appointment = true);
    for _ in 0..20 {
        world.reply(calls("book_appointment", "{}"));
        world.tool_answers(10, "{}");
    }
    world.caller_says("Book it.", 700);
    world.run_until_quiet();
    let calls = world.find(|o| matches!(o, Output::CallTool { .. }).then_some(()));
    assert!(calls.len() <= 7, "{}", calls.len());
}

#[test]
fn a_whole_call_with_the_scripted_brain() {
    let mut world = World::greeted(|c| c.tools.book_appointment = true);
    let file = IntentsFile::parse(ScriptedBrain::shipped_intents(Language::En)).expect("valid");
    world.brain = Some(ScriptedBrain::new(
        Arc::new(file),
        Persona {
            assistant: "Clara".into(),
            company: "Example Hotel".into(),
            zone: "Europe/Berlin".parse().expect("a zone"),
        },
    ));
    world.ladder();
    world.caller_says("Book a table for two tomorrow at seven.", 2_000);
    world.tool_answers(300, r#"{"status":"booked"}"#);
    world.run_until_quiet();
    world.caller_says("And can I leave a message for the chef?", 1_500);
    world.run_until_quiet();
    world.caller_says("My wife does not eat nuts.", 1_500);
    world.run_until_quiet();
    world.run_ms(3_100);
    world.run_until_quiet();
    world.caller_says("No thanks.", 500);
    world.run_until_quiet();
    assert_snapshot!(world.ladder());
}

#[test]
fn a_hang_up_within_a_sentence_of_the_message_loses_nothing() {
    let taken = |world: &World| {
        world.find(|o| match o {
            Output::MessageTaken { text, recorded, .. } => Some((text.clone(), *recorded)),
            _ => None,
        })
    };
    let speaking = || {
        let mut world = World::greeted(|_| {});
        world.input(Input::TakeMessage);
        world.run_until_quiet();
        world.caller_says("Please call me", 3_000);
        world.run_ms(1_000);
        world.input(Input::Stop);
        assert_eq!(
            world.find(|o| matches!(o, Output::EndUtterance).then_some(())),
            [()]
        );
        world
    };
    // The gateway ends the utterance as told.
    let mut world = speaking();
    world.run_until_quiet();
    assert_eq!(taken(&world), [("Please call me".to_owned(), true)]);
    assert!(world.conversation.is_finished());

    // It does not: the recording counts all the same.
    let mut world = speaking();
    world.forget_events();
    world.run_ms(60_000);
    assert_eq!(taken(&world), [(String::new(), true)]);
    assert!(world.conversation.is_finished());
}
