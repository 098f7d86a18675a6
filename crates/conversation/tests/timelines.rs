//! Whole conversations on virtual time, drawn as ladders.

mod world;

use insta::assert_snapshot;
use switchhook_conversation::{EndReason, Heard, Input, Output, SayId};
use switchhook_model::ModelDelta;
use world::{World, calls, says};

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
