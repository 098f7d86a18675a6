//! A language model that is slow or silent, in a call whose audio stays at the carrier. The carrier waits
//! fifteen seconds for a document and then gives up; the caller waits less for a word.

use std::time::Duration;

use switchhook_e2e::api::pretty;
use switchhook_lab::carrier::Party;
use switchhook_lab::providers::{ChatReply, FakeProviders};

use crate::common::*;
use crate::twilio_line::*;

const QUESTION: &str = "When are you open?";
const FILLER: &str = "One moment, please";

async fn thinking(model: &FakeProviders) -> Line {
    line(gather().openai_brain(&model.base_url()), |_| {}).await
}

/// A caller who has asked, and hears that it takes a moment.
async fn asks(line: &Line) -> Party {
    let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
    caller.until_hears("How can I help", ANSWER).await.unwrap();
    caller.says(QUESTION);
    caller.until_hears(FILLER, ANSWER).await.unwrap();
    caller
}

/// Its first sentence takes longer than the carrier is kept waiting: documents come meanwhile, and the
/// sentence is spoken when it is there.
#[tokio::test]
async fn an_answer_that_comes_late_is_spoken_late() {
    let model = FakeProviders::start().await.unwrap();
    // A model that says nothing for four seconds counts as gone: this one speaks word by word.
    let slow = ChatReply::text("We open at ten today.").gap(Duration::from_secs(2));
    model.chat(slow);
    let line = thinking(&model).await;
    let caller = asks(&line).await;
    caller.until_hears("ten today", ANSWER).await.unwrap();
    caller.hangs_up();
    let call = line.ended().await;
    assert_eq!(
        call["outcome"]["code"],
        "caller_hung_up",
        "{}",
        pretty(&call)
    );
    assert_eq!(model.chats().len(), 1, "asked once");
    let log = line.carrier.log();
    let waited = log.verbs.iter().filter(|verb| verb.name == "Pause");
    assert!(waited.count() >= 1, "{:#?}", log.verbs);
    // Not one document was too late for the carrier.
    line.is_clean(&call).await;
}

/// The caller is not left in silence, hears the truth, and may ask again.
#[tokio::test]
async fn a_model_that_says_nothing_does_not_end_the_call() {
    let model = FakeProviders::start().await.unwrap();
    model.chat(ChatReply::text("Far too late.").first_after(Duration::from_secs(20)));
    model.chat(ChatReply::text("We are open until ten today."));
    let line = thinking(&model).await;
    let caller = asks(&line).await;
    caller
        .until_hears("something went wrong on my side", ANSWER)
        .await
        .unwrap();
    caller.says(QUESTION);
    caller.until_hears("ten today", ANSWER).await.unwrap();
    caller.hangs_up();
    let call = line.ended().await;
    assert_eq!(
        call["outcome"]["code"],
        "caller_hung_up",
        "{}",
        pretty(&call)
    );
    let heard = caller.transcript().join(" ");
    assert!(!heard.contains("too late"), "{heard}");
    line.is_clean(&call).await;
}
