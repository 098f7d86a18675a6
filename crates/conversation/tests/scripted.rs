//! Whole dialogues with the scripted brain, and what it recognises.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail loudly")]

use std::fmt::Write as _;
use std::sync::Arc;

use switchhook_conversation::scripted::{IntentsFile, Persona, ScriptedBrain};
use switchhook_model::{ChatMessage, Language, ModelDelta, Timestamp, ToolCall, ToolSpec};

struct Talk {
    brain: ScriptedBrain,
    messages: Vec<ChatMessage>,
    tools: Vec<ToolSpec>,
    now: Timestamp,
    log: String,
}

impl Talk {
    fn new(language: Language) -> Self {
        let file = IntentsFile::parse(ScriptedBrain::shipped_intents(language)).unwrap();
        let persona = Persona {
            assistant: "Clara".into(),
            company: "Example Hotel".into(),
            zone: "Europe/Berlin".parse().unwrap(),
        };
        let tools = [
            "request_human_transfer",
            "end_call",
            "take_message",
            "book_appointment",
        ];
        Self {
            brain: ScriptedBrain::new(Arc::new(file), persona),
            messages: Vec::new(),
            tools: tools.map(tool).to_vec(),
            // Friday, 20 November 2026, 10:00 in Berlin.
            now: Timestamp::parse_rfc3339("2026-11-20T09:00:00Z").unwrap(),
            log: String::new(),
        }
    }

    fn without(mut self, name: &str) -> Self {
        self.tools.retain(|t| t.name != name);
        self
    }

    fn think(&mut self) -> (String, Option<ToolCall>) {
        let deltas = self.brain.respond(&self.messages, &self.tools, self.now);
        let mut text = String::new();
        let mut call = None;
        for delta in &deltas {
            match delta {
                ModelDelta::Text(t) => text.push_str(t),
                ModelDelta::ToolCall(c) => call = Some(c.clone()),
                ModelDelta::Done => {}
                ModelDelta::Failed(error) => panic!("{error}"),
            }
        }
        assert_eq!(deltas.last(), Some(&ModelDelta::Done));
        let mut message = ChatMessage::assistant(text.clone());
        message.tool_calls.extend(call.clone());
        self.messages.push(message);
        if !text.is_empty() {
            writeln!(self.log, "assistant: {text}").unwrap();
        }
        if let Some(call) = &call {
            writeln!(self.log, "tool     : {} {}", call.name, call.arguments).unwrap();
        }
        (text, call)
    }

    fn say(&mut self, text: &str) -> (String, Option<ToolCall>) {
        writeln!(self.log, "caller   : {text}").unwrap();
        self.messages.push(ChatMessage::user(text));
        self.think()
    }

    fn tool_answers(&mut self, content: &str) -> (String, Option<ToolCall>) {
        let id = self.messages.last().and_then(|m| m.tool_calls.first());
        let id = id
            .unwrap_or_else(|| panic!("no tool was called:\n{}", self.log))
            .id
            .clone();
        writeln!(self.log, "result   : {content}").unwrap();
        self.messages.push(ChatMessage::tool(id, content));
        self.think()
    }
}

fn tool(name: &str) -> ToolSpec {
    ToolSpec {
        name: name.into(),
        description: String::new(),
        parameters: serde_json::Value::Null,
    }
}

#[test]
fn an_english_booking_in_one_sentence() {
    let mut talk = Talk::new(Language::En);
    talk.say("Book a table for two tomorrow at seven.");
    talk.tool_answers(r#"{"status":"booked"}"#);
    talk.say("no thank you");
    insta::assert_snapshot!(talk.log);
}

#[test]
fn an_english_booking_step_by_step() {
    let mut talk = Talk::new(Language::En);
    for text in [
        "hi I'd like to make a reservation",
        "what are your prices",
        "four",
        "next saturday",
        "the second one",
        "half past eleven in the evening",
        "hmm seven then",
    ] {
        talk.say(text);
    }
    talk.tool_answers(r#"{"error":"the calendar did not answer"}"#);
    talk.say("yes please");
    insta::assert_snapshot!(talk.log);
}

#[test]
fn a_german_booking() {
    let mut talk = Talk::new(Language::De);
    talk.say("Guten Tag");
    talk.say("Bitte reservieren Sie einen Tisch für zwei Personen morgen um sieben Uhr.");
    talk.tool_answers(r#"{"status":"confirmed","id":"bk_1"}"#);
    talk.say("Nein danke, auf Wiederhören");
    insta::assert_snapshot!(talk.log);
}

#[test]
fn a_german_booking_step_by_step() {
    let mut talk = Talk::new(Language::De);
    for text in [
        "ich möchte einen Tisch reservieren",
        "zu viert",
        "heute",
        "um neun Uhr morgens",
        "dann halb acht abends",
    ] {
        talk.say(text);
    }
    talk.tool_answers("nonsense");
    talk.say("nein");
    talk.say("blabla quak");
    talk.say("mumpitz");
    talk.say("ja bitte");
    insta::assert_snapshot!(talk.log);
}

#[test]
fn questions_are_answered() {
    let cases = [
        (Language::En, "When are you open?", "eleven"),
        (Language::En, "what are your opening hours", "eleven"),
        (Language::En, "how late are you open tonight", "eleven"),
        (Language::En, "where are you located", "Market Square"),
        (Language::En, "how do I get there", "Market Square"),
        (Language::En, "how much is the menu", "euros"),
        (Language::En, "what's your name", "My name is Clara."),
        (Language::En, "are you a robot", "virtual assistant"),
        (
            Language::En,
            "am I talking to a real person",
            "virtual assistant",
        ),
        (Language::En, "thank you", "welcome"),
        (Language::En, "thanks, and one more thing", "what is it"),
        (
            Language::En,
            "I would not have expected such a thing here",
            "did not understand",
        ),
        (Language::De, "danke und noch eine Frage", "worum geht es"),
        (Language::En, "do you have vegan food", "vegan"),
        (Language::De, "Wann haben Sie geöffnet?", "elf"),
        (Language::De, "wie sind Ihre Öffnungszeiten", "elf"),
        (Language::De, "wie lange haben Sie heute auf", "elf"),
        (Language::De, "wo finde ich Sie", "Marktplatz"),
        (Language::De, "wie komme ich zu Ihnen", "Marktplatz"),
        (Language::De, "was kostet ein Essen", "Euro"),
        (Language::De, "Wie heißen Sie?", "Ich heiße Clara."),
        (Language::De, "sind Sie ein Roboter", "Computerstimme"),
        (
            Language::De,
            "spreche ich mit einem Menschen",
            "Computerstimme",
        ),
        (Language::De, "vielen Dank", "Gern geschehen"),
        (Language::Ar, "ما اسمك", "Clara"),
    ];
    for (language, question, expected) in cases {
        let (answer, call) = Talk::new(language).say(question);
        assert!(
            answer.contains(expected) && call.is_none(),
            "{question}: {answer:?} {call:?}"
        );
    }
}

#[test]
fn tools_are_called_for_what_the_caller_wants() {
    let cases = [
        (Language::En, "can I leave a message", "take_message"),
        (
            Language::En,
            "please tell him to call me back",
            "take_message",
        ),
        (
            Language::En,
            "could someone call me back tomorrow",
            "take_message",
        ),
        (
            Language::En,
            "I want to talk to a human",
            "request_human_transfer",
        ),
        (Language::En, "okay goodbye", "end_call"),
        (
            Language::En,
            "I have to get my kids from school, bye",
            "end_call",
        ),
        (
            Language::En,
            "a table for 3 tonight at 8",
            "book_appointment",
        ),
        (
            Language::De,
            "ich möchte eine Nachricht hinterlassen",
            "take_message",
        ),
        (Language::De, "können Sie mich zurückrufen", "take_message"),
        (
            Language::De,
            "einen Menschen bitte",
            "request_human_transfer",
        ),
        (Language::De, "tschüss", "end_call"),
        (
            Language::De,
            "einen Tisch für drei heute um 20 Uhr",
            "book_appointment",
        ),
        (
            Language::Ar,
            "أريد التحدث مع موظف",
            "request_human_transfer",
        ),
    ];
    for (language, text, expected) in cases {
        let (said, call) = Talk::new(language).say(text);
        assert_eq!(
            call.map(|c| c.name).as_deref(),
            Some(expected),
            "{text}: {said}"
        );
    }
}

#[test]
fn a_tool_that_is_not_offered_is_not_called() {
    for name in [
        "request_human_transfer",
        "take_message",
        "book_appointment",
        "end_call",
    ] {
        for text in [
            "I want a human",
            "leave a message",
            "book a table for two tomorrow at seven",
            "goodbye",
            "xyzzy plugh",
        ] {
            let mut talk = Talk::new(Language::En).without(name);
            let (said, call) = talk.say(text);
            assert!(
                call.as_ref().is_none_or(|c| c.name != name),
                "{text}: {call:?}"
            );
            assert!(call.is_some() || !said.is_empty(), "{text}");
        }
    }
}

#[test]
fn success_is_told_only_when_the_tool_says_so() {
    for (content, booked) in [
        (r#"{"status":"booked"}"#, true),
        (r#"{"success":true}"#, true),
        (r#"{"status":"booked","error":"conflict"}"#, false),
        (r#"{"status":"no result yet"}"#, false),
        (r#"{"status":"pending"}"#, false),
        ("booked", false),
        ("", false),
    ] {
        let mut talk = Talk::new(Language::En);
        talk.say("book a table for two tomorrow at 7 pm");
        let (said, _) = talk.tool_answers(content);
        assert_eq!(
            said.contains("taken down your booking"),
            booked,
            "{content}: {said}"
        );
    }
}

#[test]
fn a_message_is_told_saved_only_when_it_was() {
    let mut talk = Talk::new(Language::En);
    talk.say("can I leave a message");
    let (said, _) = talk.tool_answers(r#"{"status":"recorded","text":"hello"}"#);
    assert!(said.contains("saved your message"));
    talk.say("another message please, I want to leave a message");
    let (said, _) = talk.tool_answers(r#"{"status":"no_message"}"#);
    assert!(said.contains("nothing was saved"));
}

#[test]
fn wrong_files_are_refused_with_the_place() {
    let good = ScriptedBrain::shipped_intents(Language::En);
    for (from, to, expected) in [
        ("opens = \"11:00\"", "opens = \"eleven\"", "booking.opens"),
        ("closes = \"22:00\"", "closes = \"09:00\"", "booking.closes"),
        (
            "closed_days = []",
            "closed_days = [\"Montag\"]",
            "booking.closed_days",
        ),
        ("no = [", "no = [\"{nobody}\", ", "phrases.no"),
        ("id = \"prices\"", "id = \"prices\"\nwhat = 3", "what"),
        ("language = \"en\"", "language = \"xx\"", "language"),
        ("farewell = ", "farewel = ", "farewel"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        let error = IntentsFile::parse(&bad).unwrap_err().to_string();
        assert!(error.contains(expected), "{from}: {error}");
    }
}

#[test]
fn the_opening_is_the_greeting() {
    let talk = Talk::new(Language::De);
    let deltas = talk
        .brain
        .respond(&[ChatMessage::system("x")], &[], talk.now);
    let ModelDelta::Text(text) = &deltas[0] else {
        panic!("{deltas:?}")
    };
    assert!(text.contains("Clara") && text.contains("Example Hotel"));
}

#[test]
fn any_bytes_are_survived() {
    for data in [
        &b""[..],
        b"\xff\xfe",
        "zw\u{f6}lf Uhr \u{1F600} 99999999999999999999".as_bytes(),
    ] {
        switchhook_conversation::scripted::fuzz_intents_file(data);
        switchhook_conversation::intent::fuzz_intent(data);
    }
}
