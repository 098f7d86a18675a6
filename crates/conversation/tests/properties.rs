//! Whatever comes in, in whatever order: no panic, no overlap, one answer each, nothing after the
//! stop, no endless call.

mod world;

use proptest::prelude::*;
use switchhook_conversation::{
    Conversation, ConversationConfig, Input, LocalZone, OnErrors, Output,
};
use switchhook_model::Language;
use world::ops::{Books, input, op, pass_time};
use world::{World, at};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_inputs_keep_the_rules(
        ops in proptest::collection::vec(op(), 1..120),
        barge_in in any::<bool>(),
        human_on_errors in any::<bool>(),
    ) {
        let mut config = ConversationConfig::new(Language::En, LocalZone::utc());
        config.barge_in = barge_in;
        config.tools.book_appointment = true;
        // The model's own messages are answered like call control's: count only the latter.
        config.tools.take_message = false;
        if human_on_errors {
            config.bounds.on_errors = OnErrors::AskForHuman;
        }
        let mut now = 0;
        let mut conversation = Conversation::new(config, at(now));
        let mut books = Books::default();
        for op in &ops {
            pass_time(op, &mut now, &conversation);
            let Some(input) = input(op, &mut books) else { continue };
            let is_timeout = input == Input::Timeout;
            let outputs = conversation.handle(at(now), input);
            books.check(&outputs);
            if is_timeout {
                prop_assert!(conversation.next_deadline().is_none_or(|d| d > at(now)), "a deadline stays due");
            }
        }
        books.check(&conversation.handle(at(now), Input::Stop));
        books.stopped = true;
        for _ in 0..20 {
            let Some(deadline) = conversation.next_deadline() else { break };
            books.check(&conversation.handle(deadline, Input::Timeout));
        }
        prop_assert!(conversation.is_finished(), "the stop leaves something open");
        prop_assert!(conversation.next_deadline().is_none());
        prop_assert_eq!(books.asked.len(), books.answered.len(), "each text is answered");
        prop_assert!(books.messages_answered <= books.messages_wanted);
        prop_assert!(books.messages_wanted == 0 || books.messages_answered > 0);
    }

    /// With a gateway that works and a caller who falls silent, every conversation ends by itself,
    /// after its bounds at the latest, and every item was played or stopped.
    #[test]
    fn every_conversation_ends(
        steps in proptest::collection::vec(
            (0..4_000_u64, 0..9_u8, 200..2_500_u64),
            0..25,
        ),
    ) {
        let mut world = World::new(|c| c.tools.book_appointment = true);
        world.start();
        for (wait, what, voice) in steps {
            world.run_ms(wait);
            match what {
                0 => { world.caller_says("When are you open?", voice); }
                1 => { world.caller_says("", voice); }
                2 => { world.caller_says("Book a table please", voice); }
                3 => { world.reply(world::says("We are open from nine to six. And on Sunday we are closed. Anything else?")); }
                4 => { world.reply(world::calls("book_appointment", "{}")); }
                5 => { world.tool_answers(voice, "{}"); }
                6 => { world.say(u32::try_from(world.outputs.len()).expect("few"), "A notice of the house.", wait % 2 == 0); }
                7 => { world.caller_says("mhm", 250); }
                _ => { world.caller_speaks(Err("503".into()), voice); }
            }
        }
        world.run_ms(31 * 60_000);
        let ends = world.find(|o| matches!(o, Output::EndCall { .. }).then_some(()));
        prop_assert_eq!(ends.len(), 1, "{}", world.ladder());
        let last = world.outputs.last().map(|(_, o)| o.clone());
        prop_assert!(matches!(last, Some(Output::EndCall { .. } | Output::SayFinished { .. } | Output::TurnEnded(_) | Output::DropUtterance { .. })), "{:?}", last);
        prop_assert!(!world.conversation.is_speaking());
    }
}
