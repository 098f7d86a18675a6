//! A conversation outlives the process that held it: stored and read again it goes on as if nothing
//! had happened, and what only the dead process knew is dealt with.

mod world;

use insta::assert_snapshot;
use proptest::prelude::*;
use switchhook_conversation::{
    Conversation, ConversationConfig, ConversationSnapshot, Heard, Input, LocalZone, OnErrors,
    Output, SNAPSHOT_VERSION, SayId, SnapshotError,
};
use switchhook_model::{ChatRole, Language, ModelDelta};
use world::ops::{Books, input, op, pass_time};
use world::{World, at, calls, says};

const LONG: &str = "We are open from nine to six. On Saturday we are open until noon, and on \
                    Sunday we are closed.";

fn stored(conversation: &Conversation) -> String {
    serde_json::to_string(&conversation.snapshot()).expect("serialises")
}

fn restored(config: &ConversationConfig, stored: &str) -> Conversation {
    let snapshot: ConversationSnapshot = serde_json::from_str(stored).expect("reads");
    Conversation::restore(config.clone(), snapshot).expect("is sound")
}

fn config(barge_in: bool, human_on_errors: bool) -> ConversationConfig {
    let mut config = ConversationConfig::new(Language::En, LocalZone::utc());
    config.barge_in = barge_in;
    config.tools.book_appointment = true;
    if human_on_errors {
        config.bounds.on_errors = OnErrors::AskForHuman;
    }
    config
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whether it is stored and read again before every input, or never: the outputs are the same.
    #[test]
    fn reading_it_again_changes_nothing(
        ops in proptest::collection::vec(op(), 1..120),
        barge_in in any::<bool>(),
        human_on_errors in any::<bool>(),
    ) {
        let config = config(barge_in, human_on_errors);
        let mut now = 0;
        let mut kept = Conversation::new(config.clone(), at(now));
        let mut read = kept.clone();
        let mut books = Books::default();
        for op in &ops {
            pass_time(op, &mut now, &kept);
            let Some(input) = input(op, &mut books) else { continue };
            let expected = kept.handle(at(now), input.clone());
            books.check(&expected);
            let before = stored(&read);
            read = restored(&config, &before);
            prop_assert_eq!(&stored(&read), &before);
            let found = read.handle(at(now), input);
            prop_assert!(expected == found, "{expected:?} became {found:?}");
            prop_assert_eq!(kept.next_deadline(), read.next_deadline());
            prop_assert_eq!(kept.turn_state(), read.turn_state());
            prop_assert_eq!(kept.silence_allowed_ms(), read.silence_allowed_ms());
        }
        prop_assert_eq!(stored(&kept), stored(&read));
    }

    /// Whenever the process dies, and however often: nothing heard is said again, no tool is
    /// carried out twice, each text of call control is answered once, and a stop ends everything.
    #[test]
    fn going_on_keeps_the_rules(
        ops in proptest::collection::vec((op(), 0..12_u8, 0..60_000_u64, any::<bool>()), 1..100),
        barge_in in any::<bool>(),
        human_on_errors in any::<bool>(),
    ) {
        let mut config = config(barge_in, human_on_errors);
        // The model's own messages are answered like call control's: count only the latter.
        config.tools.take_message = false;
        let mut now = 0;
        let mut conversation = Conversation::new(config.clone(), at(now));
        let mut books = Books::default();
        for (op, dies, gap_ms, audio_lost) in &ops {
            if *dies == 0 {
                now += gap_ms;
                conversation = restored(&config, &stored(&conversation));
                if *audio_lost {
                    books.check(&conversation.audio_lost(at(now)));
                }
                books.check(&conversation.reconsider(at(now)));
            }
            pass_time(op, &mut now, &conversation);
            let Some(input) = input(op, &mut books) else { continue };
            books.check(&conversation.handle(at(now), input));
        }
        books.check(&conversation.handle(at(now), Input::Stop));
        books.stopped = true;
        conversation = restored(&config, &stored(&conversation));
        books.check(&conversation.reconsider(at(now)));
        for _ in 0..20 {
            let Some(deadline) = conversation.next_deadline() else { break };
            books.check(&conversation.handle(deadline, Input::Timeout));
        }
        prop_assert!(conversation.is_finished(), "the stop leaves something open");
        prop_assert_eq!(books.asked.len(), books.answered.len(), "each text is answered");
        prop_assert!(books.messages_answered <= books.messages_wanted);
        prop_assert!(books.messages_wanted == 0 || books.messages_answered > 0);
    }
}

#[test]
fn a_reply_being_thought_is_asked_for_again() {
    let mut world = World::greeted(|_| {});
    world.ladder();
    world.reply(vec![(60_000, ModelDelta::Done)]);
    world.caller_says("When are you open?", 1_200);
    world.run_ms(3_000);
    world.reply(says("From nine to six."));
    world.crash(2_000);
    assert_eq!(world.histories.len(), 2);
    assert_eq!(world.histories[0], world.histories[1]);
    // What is still on its way from the first request is late.
    world.input(Input::Delta {
        request: 1,
        delta: ModelDelta::Text("A ghost speaks. And again.".into()),
    });
    world.run_until_quiet();
    assert_snapshot!(world.ladder());
}

#[test]
fn a_reply_that_broke_off_is_finished_and_not_repeated() {
    let mut world = World::greeted(|_| {});
    world.reply(vec![
        (
            200,
            ModelDelta::Text("We are open from nine to six. On Sat".into()),
        ),
        (60_000, ModelDelta::Done),
    ]);
    world.caller_says("When are you open?", 1_200);
    world.run_ms(6_000);
    world.reply(says("On Saturday until noon."));
    world.ladder();
    world.crash(1_000);
    let asked = world.find(|o| match o {
        Output::Think { messages, .. } => Some(messages.clone()),
        _ => None,
    });
    let last = asked.last().expect("asked again");
    assert_eq!(last.last().map(|m| m.role), Some(ChatRole::User));
    assert!(
        last[0].content.contains("We are open from nine to six."),
        "the model is told where it stopped: {}",
        last[0].content
    );
    world.run_until_quiet();
    // Later the words stand where they were said.
    world.reply(says("Yes."));
    world.caller_says("Thanks, and in summer?", 900);
    world.run_until_quiet();
    assert_snapshot!(format!("{}\n{}", world.ladder(), world.last_history()));
}

#[test]
fn a_tool_under_way_is_not_carried_out_twice() {
    let mut world = World::greeted(|c| c.tools.book_appointment = true);
    world.reply(calls("book_appointment", "{}"));
    world.tool_answers(60_000, r#"{"status":"booked"}"#);
    world.caller_says("Book a table.", 1_000);
    world.run_ms(2_500);
    world.reply(says("I am not sure whether that worked."));
    world.crash(1_000);
    // The answer of the dead process's request, at last: too late to matter.
    world.input(Input::ToolResult {
        request: 1,
        id: "call_1.1.0".into(),
        content: r#"{"status":"booked"}"#.into(),
    });
    world.run_until_quiet();
    let carried_out = world.find(|o| matches!(o, Output::CallTool { .. }).then_some(()));
    assert_eq!(carried_out.len(), 1);
    assert!(
        world.last_history().contains("it is not known"),
        "{}",
        world.last_history()
    );
}

#[test]
fn words_nobody_will_write_down_are_asked_for_again() {
    let mut world = World::greeted(|_| {});
    world.ladder();
    world.caller_says("When are you open?", 1_200);
    world.run_ms(2_000);
    world.crash(1_000);
    world.run_until_quiet();
    assert_snapshot!(world.ladder());
}

#[test]
fn what_the_caller_said_before_is_not_lost_with_what_came_after() {
    let mut world = World::greeted(|_| {});
    // The first half is transcribed while the second is spoken.
    world.caller_says("I would like a table", 800);
    world.run_ms(1_700);
    world.caller_says("for two", 5_000);
    world.run_ms(600);
    world.reply(says("For how many?"));
    world.crash(1_000);
    world.run_until_quiet();
    assert!(
        world.last_history().contains("I would like a table"),
        "{}",
        world.last_history()
    );
    assert!(!world.conversation.is_thinking());
}

#[test]
fn lost_audio_is_spoken_from_where_it_stopped() {
    let mut world = World::greeted(|_| {});
    world.say(7, LONG, false);
    world.run_ms(4_000);
    world.ladder();
    world.crash(500);
    world.run_until_quiet();
    let heard = world.find(|o| match o {
        Output::SayFinished { id, heard } => Some((*id, *heard)),
        _ => None,
    });
    assert_eq!(heard, [(SayId(7), Heard::Full)]);
    assert_snapshot!(world.ladder());
}

#[test]
fn a_message_being_left_counts_as_far_as_it_was_heard() {
    let mut world = World::greeted(|_| {});
    world.input(Input::TakeMessage);
    world.run_until_quiet();
    world.caller_says("Please call me back.", 1_500);
    world.run_until_quiet();
    world.caller_says("My number", 5_000);
    world.run_ms(1_500);
    world.crash(10_000);
    world.run_ms(20_000);
    let taken = world.find(|o| match o {
        Output::MessageTaken { text, recorded, .. } => Some((text.clone(), *recorded)),
        _ => None,
    });
    assert_eq!(taken, [("Please call me back.".to_owned(), true)]);
}

#[test]
fn sixty_turns_are_small_and_their_words_are_not_shown() {
    let mut world = World::greeted(|c| {
        c.bounds.max_turns = 100;
        c.tools.book_appointment = true;
    });
    let question = "Could you tell me whether there is a table for four people on that evening, \
                    please, and what it costs?";
    for turn in 0..60 {
        if turn % 5 == 0 {
            world.reply(calls(
                "book_appointment",
                r#"{"datetime":"2026-11-21T19:00"}"#,
            ));
            world.tool_answers(100, r#"{"status":"booked","reference":"A-1234567"}"#);
        }
        world.reply(says(&format!("{LONG} {LONG} Is there anything else?")));
        world.caller_says(question, 5_000);
        world.run_until_quiet();
    }
    assert!(world.histories.len() >= 72, "{}", world.histories.len());
    let text = stored(&world.conversation);
    assert!(text.contains("costs?"), "nothing is left out");
    assert!(text.len() < 64 * 1024, "{} bytes", text.len());

    let snapshot = world.conversation.snapshot();
    let read: ConversationSnapshot = serde_json::from_str(&text).expect("reads");
    for shown in [
        format!("{snapshot:?}"),
        format!("{read:?}"),
        format!("{:?}", world.conversation),
    ] {
        assert!(
            !shown.contains("table") && !shown.contains("Saturday") && shown.len() < 300,
            "{shown}"
        );
    }
}

#[test]
fn what_cannot_be_read_is_refused_without_a_word_of_the_talk() {
    let mut world = World::greeted(|_| {});
    world.reply(says(LONG));
    world.caller_says("My secret is tangerine.", 1_200);
    world.run_ms(3_000);
    let text = stored(&world.conversation);
    assert!(text.contains("tangerine") && text.contains("On Saturday"));
    let refused = |text: String| {
        let snapshot: ConversationSnapshot = serde_json::from_str(&text).expect("is JSON");
        let error = Conversation::restore(world.config.clone(), snapshot).expect_err("is refused");
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("tangerine") && !shown.contains("Saturday"),
            "{shown}"
        );
        error
    };
    let ours = format!(r#""version":{SNAPSHOT_VERSION}"#);
    assert!(text.contains(&ours));
    assert_eq!(
        refused(text.replace(&ours, r#""version":99"#)),
        SnapshotError::Version { found: 99 }
    );
    assert_eq!(
        refused(text.replace(r#""caller_turns":1"#, r#""caller_turns":"tangerine""#)),
        SnapshotError::Shape
    );
    assert_eq!(
        refused(text.replace(r#""segment":"#, r#""segment":9"#)),
        SnapshotError::Words
    );
    assert_eq!(
        refused(format!("{{{ours},\"state\":\"tangerine\"}}")),
        SnapshotError::Shape
    );
    // The order of the fields does not matter: some stores sort them.
    let value: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
    let turned = format!(
        "{{\"state\":{},\"version\":{SNAPSHOT_VERSION}}}",
        value["state"]
    );
    assert_eq!(stored(&restored(&world.config, &turned)), text);
}
