//! A conversation that begins with the question for a PIN.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail loudly")]

use std::time::Duration;

use switchhook_conversation::{
    Conversation, ConversationConfig, EndReason, Input, LocalZone, Output, Pin, PinAnswer,
    PinConfig, PinRules, PinTexts,
};
use switchhook_model::{Language, Timestamp};

const DIGITS: &str = "739164";

struct Talk {
    conversation: Conversation,
    config: ConversationConfig,
    now: Timestamp,
    out: Vec<Output>,
    utterances: u32,
    /// All that was said, in order.
    said: Vec<String>,
}

impl Talk {
    fn begin(change: impl FnOnce(&mut PinConfig)) -> Self {
        let mut config = ConversationConfig::new(Language::En, LocalZone::utc());
        let mut pin = PinConfig::default();
        change(&mut pin);
        config.texts.greeting = Some("Hello.".to_owned());
        config.pin = Some(PinRules {
            config: pin,
            texts: PinTexts::defaults(Language::En),
        });
        let now = Timestamp::from_millis(1_800_000_000_000);
        let mut talk = Self {
            conversation: Conversation::new(config.clone(), now),
            config,
            now,
            out: Vec::new(),
            utterances: 0,
            said: Vec::new(),
        };
        talk.give(Input::Start {
            opening: None,
            note: None,
        });
        talk
    }

    fn give(&mut self, input: Input) {
        self.now = self.now + Duration::from_millis(200);
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for output in self.conversation.handle(self.now, input) {
                if let Output::Speak { item, text } = &output {
                    self.said.push(text.clone());
                    inputs.insert(0, Input::PlayoutFinished { item: *item });
                }
                self.out.push(output);
            }
        }
    }

    fn presses(&mut self, keys: &str) {
        for key in keys.chars() {
            self.give(Input::Digit(key.try_into().unwrap()));
        }
    }

    fn says(&mut self, text: &str) {
        self.utterances += 1;
        let utterance = self.utterances;
        self.give(Input::SpeechStarted);
        self.give(Input::SpeechEnded {
            utterance,
            duration_ms: 1_500,
            silence_ms: 100,
        });
        self.give(Input::Transcript {
            utterance,
            text: text.to_owned(),
        });
    }

    fn waits(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.give(Input::Timeout);
    }

    fn pins(&self) -> Vec<Pin> {
        let pins = self.out.iter().filter_map(|output| match output {
            Output::CheckPin { pin } => Some(pin.clone()),
            _ => None,
        });
        pins.collect()
    }

    fn thoughts(&self) -> Vec<String> {
        let thoughts = self.out.iter().filter_map(|output| match output {
            Output::Think { messages, .. } => {
                Some(messages.iter().map(|m| m.content.clone()).collect())
            }
            _ => None,
        });
        thoughts.collect()
    }

    fn ended(&self) -> Option<EndReason> {
        self.out.iter().find_map(|output| match output {
            Output::EndCall { reason } => Some(*reason),
            _ => None,
        })
    }

    fn accepted(&mut self) {
        self.give(Input::PinChecked(PinAnswer::Accepted {
            name: Some("Anna".to_owned()),
            account: "anna-1".to_owned(),
        }));
    }

    fn last(&self) -> &str {
        self.said.last().map_or("", String::as_str)
    }

    /// Everything that leaves the machine, and what is stored of it.
    fn traces(&self) -> String {
        let turns: Vec<&str> = self
            .out
            .iter()
            .filter_map(|output| match output {
                Output::TurnEnded(turn) => Some(turn.text.as_str()),
                _ => None,
            })
            .collect();
        let stored = serde_json::to_string(&self.conversation.snapshot()).unwrap();
        format!("{:?} {turns:?} {stored} {:?}", self.out, self.conversation)
    }
}

fn pin(digits: &str) -> Pin {
    Pin::new(digits).unwrap()
}

#[test]
fn keys_are_looked_up_and_the_caller_is_greeted_by_name() {
    let mut talk = Talk::begin(|_| {});
    assert!(talk.last().contains("PIN"), "{:?}", talk.said);
    assert!(talk.conversation.asks_for_pin());
    talk.presses("739164#");
    assert_eq!(talk.pins(), [pin(DIGITS)]);
    assert!(
        !talk.conversation.wants_to_listen(),
        "it waits for the answer"
    );
    talk.accepted();
    assert!(
        talk.last().contains("Welcome back, Anna"),
        "{:?}",
        talk.said
    );
    assert!(talk.conversation.wants_to_listen());
    talk.says("when do you open");
    let thoughts = talk.thoughts();
    assert_eq!(thoughts.len(), 1, "nothing was asked before");
    assert!(thoughts[0].contains("anna-1") && thoughts[0].contains("Anna"));
    assert!(!thoughts[0].contains(DIGITS));
}

#[test]
fn a_pin_is_said_or_left_without_its_end() {
    let mut talk = Talk::begin(|_| {});
    talk.says("it is seven three nine one six four");
    assert_eq!(talk.pins(), [pin(DIGITS)]);
    let mut talk = Talk::begin(|_| {});
    talk.presses(DIGITS);
    assert!(talk.pins().is_empty());
    talk.waits(5);
    assert_eq!(talk.pins(), [pin(DIGITS)]);
}

#[test]
fn no_digit_leaves_a_trace() {
    let mut talk = Talk::begin(|_| {});
    talk.says("739164");
    talk.give(Input::PinChecked(PinAnswer::Refused { tries_left: 2 }));
    talk.says("seven three nine one six four");
    assert_eq!(talk.pins().len(), 2);
    let traces = talk.traces();
    assert!(!traces.contains(DIGITS), "{traces}");
    assert!(!traces.contains("seven"), "{traces}");
    // In the middle of an entry.
    let mut talk = Talk::begin(|_| {});
    talk.presses("7391");
    let traces = talk.traces();
    assert!(!traces.contains("7391"), "{traces}");
    assert_eq!(
        format!("{:?}", Input::Digit('7'.try_into().unwrap())),
        "Digit(·)"
    );
}

#[test]
fn wrong_pins_end_in_a_lock() {
    let mut talk = Talk::begin(|_| {});
    for left in [9, 8] {
        talk.presses("1111#");
        talk.give(Input::PinChecked(PinAnswer::Refused { tries_left: left }));
        assert!(talk.last().contains("not right"), "{:?}", talk.said);
    }
    talk.presses("1111#");
    talk.give(Input::PinChecked(PinAnswer::Refused { tries_left: 7 }));
    assert!(
        talk.last().contains("too many wrong PINs"),
        "{:?}",
        talk.said
    );
    assert_eq!(talk.ended(), Some(EndReason::NotIdentified));
    // Locked by the account holder, with the first one.
    let mut talk = Talk::begin(|_| {});
    talk.presses("1111#");
    talk.give(Input::PinChecked(PinAnswer::Locked));
    assert_eq!(talk.ended(), Some(EndReason::NotIdentified));
}

#[test]
fn silence_ends_too() {
    let mut talk = Talk::begin(|_| {});
    for _ in 0..3 {
        assert_eq!(talk.ended(), None);
        talk.waits(9);
    }
    assert_eq!(talk.ended(), Some(EndReason::NotIdentified));
}

#[test]
fn a_human_is_reached_without_a_pin_where_that_is_allowed() {
    let asked = |talk: &Talk| {
        talk.out
            .iter()
            .any(|output| matches!(output, Output::AskForHuman { .. }))
    };
    let mut talk = Talk::begin(|_| {});
    talk.says("I want to speak to a human");
    assert!(asked(&talk));
    talk.give(Input::Pause);
    talk.give(Input::Resume { note: None });
    assert!(talk.last().contains("PIN"), "back: {:?}", talk.said);
    talk.presses("0#");
    let mut never = Talk::begin(|pin| pin.human_without_pin = false);
    never.says("I want to speak to a human");
    never.presses("0#");
    assert!(!asked(&never));
    assert!(never.thoughts().is_empty());
}

/// The process that looked a PIN up died: the caller is asked again, and it is no wrong try.
#[test]
fn a_lookup_that_is_lost_is_asked_again() {
    let mut talk = Talk::begin(|_| {});
    talk.presses("739164#");
    let stored = serde_json::to_string(&talk.conversation.snapshot()).unwrap();
    assert!(!stored.contains(DIGITS));
    let stored = serde_json::from_str(&stored).unwrap();
    let mut again = Conversation::restore(talk.config.clone(), stored).unwrap();
    let outputs = again.reconsider(talk.now);
    let asks = outputs.iter().any(
        |output| matches!(output, Output::Speak { text, .. } if text.contains("could not check")),
    );
    assert!(asks, "{outputs:?}");
    assert!(again.asks_for_pin());
}

/// What comes late, twice, or from elsewhere identifies nobody.
#[test]
fn an_answer_nobody_waits_for_changes_nothing() {
    let mut talk = Talk::begin(|_| {});
    talk.accepted();
    assert!(talk.conversation.is_identifying());
    talk.presses("1111#");
    talk.give(Input::PinChecked(PinAnswer::Refused { tries_left: 5 }));
    talk.accepted();
    assert!(talk.conversation.is_identifying());
}
