//! The documented messages, and what comes instead of them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const STREAM: &str = "MZ00000000000000000000000000000001";

fn decoded(message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match read(message).expect("readable") {
        Incoming::Media(media) => media.decode(&mut out).expect("base64"),
        other => panic!("no media: {other:?}"),
    }
    out
}

#[test]
fn the_documented_messages_are_read() {
    assert_eq!(
        read(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#),
        Ok(Incoming::Connected {
            protocol: "Call".into(),
            version: "1.0.0".into()
        })
    );
    let start = r#"{"event":"start","sequenceNumber":"1","streamSid":"MZ00000000000000000000000000000001",
     "start":{"accountSid":"AC00000000000000000000000000000001","streamSid":"MZ00000000000000000000000000000001",
      "callSid":"CA00000000000000000000000000000001","tracks":["inbound"],
      "mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},
      "customParameters":{"session":"s_7f3a","token":"one-time-secret"}}}"#;
    let Ok(Incoming::Start(start)) = read(start) else {
        panic!("no start");
    };
    assert_eq!(start.stream_sid, STREAM);
    assert_eq!(
        start.call_sid.as_str(),
        "CA00000000000000000000000000000001"
    );
    assert!(start.format.is_mulaw_8k());
    assert_eq!(start.parameters["session"], "s_7f3a");
    assert_eq!(
        (start.sequence, start.tracks.as_slice()),
        (1, &["inbound".to_owned()][..])
    );
    assert!(!format!("{start:?}").contains("one-time-secret"));

    let media = r#"{"event":"media","sequenceNumber":"2","streamSid":"MZ00000000000000000000000000000001",
     "media":{"track":"inbound","chunk":"1","timestamp":"5","payload":"//////7+/v8="}}"#;
    let Ok(Incoming::Media(media)) = read(media) else {
        panic!("no media");
    };
    assert_eq!((media.sequence, media.chunk, media.timestamp_ms), (2, 1, 5));
    assert!(media.is_inbound());
    assert!(
        matches!(media.payload, Cow::Borrowed(_)),
        "nothing is copied"
    );
    let mut out = vec![7];
    media.decode(&mut out).expect("base64");
    assert_eq!(out, [7, 255, 255, 255, 255, 254, 254, 254, 255]);

    let key = r#"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"57","dtmf":{"track":"inbound_track","digit":"1"}}"#;
    assert_eq!(
        read(key),
        Ok(Incoming::Dtmf {
            sequence: 57,
            digit: Digit::from_event(1).expect("a key")
        })
    );
    assert_eq!(
        read(
            r#"{"event":"mark","sequenceNumber":"90","streamSid":"MZ1","mark":{"name":"utt-17"}}"#
        ),
        Ok(Incoming::Mark {
            sequence: 90,
            name: "utt-17".into()
        })
    );
    assert_eq!(
        read(
            r#"{"event":"stop","sequenceNumber":"312","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#
        ),
        Ok(Incoming::Stop { sequence: 312 })
    );
}

#[test]
fn numbers_may_be_numbers_and_unknown_events_and_fields_do_no_harm() {
    assert_eq!(
        read(r#"{"event":"stop","sequenceNumber":312,"new":{"a":[1]}}"#),
        Ok(Incoming::Stop { sequence: 312 })
    );
    assert_eq!(
        read(r#"{"event":"sing\u0000","sing":{}}"#),
        Ok(Incoming::Unknown {
            event: "sing".into()
        })
    );
    let other = r#"{"event":"start","streamSid":"MZ1","start":{"callSid":"CA1","mediaFormat":{"encoding":"audio/opus","sampleRate":"48000","channels":2}}}"#;
    let Ok(Incoming::Start(start)) = read(other) else {
        panic!("no start");
    };
    assert_eq!(start.stream_sid, "MZ1");
    assert!(!start.format.is_mulaw_8k());
}

#[test]
fn what_is_unreadable_is_named_without_being_repeated() {
    for (text, part) in [
        ("", "ends early"),
        ("my pin is 4711", "not JSON"),
        ("[]", "missing or of the wrong type"),
        (r#"{"event":"media"}"#, "lacks media"),
        (
            r#"{"event":"media","media":{}}"#,
            "missing or of the wrong type",
        ),
        (r#"{"event":"start"}"#, "lacks start"),
        (
            r#"{"event":"start","start":{"callSid":"CA1"}}"#,
            "lacks streamSid",
        ),
        (r#"{"event":"start","start":{"callSid":""}}"#, "wrong type"),
        (r#"{"event":"dtmf","dtmf":{"digit":"4711"}}"#, "wrong type"),
        (r#"{"event":"mark"}"#, "lacks mark"),
        (r#"{"event":"stop","sequenceNumber":"x"}"#, "wrong type"),
    ] {
        let error = read(text).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
        assert!(!error.contains("4711"), "{error}");
    }
    let long = format!(r#"{{"event":"{}"}}"#, "x".repeat(MAX_MESSAGE));
    assert!(matches!(read(&long), Err(StreamError::TooLong { .. })));
}

#[test]
fn audio_is_read_padded_or_not_and_escaped_or_not() {
    let media = |payload: &str| format!(r#"{{"event":"media","media":{{"payload":"{payload}"}}}}"#);
    assert_eq!(decoded(&media("//8=")), [255, 255]);
    assert_eq!(decoded(&media("//8")), [255, 255]);
    assert_eq!(decoded(&media(r"\/\/8=")), [255, 255]);
    assert_eq!(decoded(&media("")), Vec::<u8>::new());
    let text = media("?!");
    let Ok(Incoming::Media(broken)) = read(&text) else {
        panic!("no media");
    };
    let mut out = vec![1, 2];
    assert_eq!(broken.decode(&mut out), Err(StreamError::Audio));
    assert_eq!(out, [1, 2], "as before");
}

#[test]
fn messages_to_twilio_have_exactly_the_documented_fields() {
    let parsed =
        |message: Outgoing<'_>| serde_json::from_str::<Value>(&message.to_json()).expect("JSON");
    assert_eq!(
        parsed(Outgoing::media(STREAM, &[255, 255, 254])),
        json!({"event": "media", "streamSid": STREAM, "media": {"payload": "///+"}})
    );
    assert_eq!(
        parsed(Outgoing::mark(STREAM, "utt-17")),
        json!({"event": "mark", "streamSid": STREAM, "mark": {"name": "utt-17"}})
    );
    assert_eq!(
        parsed(Outgoing::clear(STREAM)),
        json!({"event": "clear", "streamSid": STREAM})
    );
    assert_eq!(
        format!("{:?}", Outgoing::media(STREAM, &[0; 160])),
        "Media(160 bytes)"
    );
}

proptest! {
    #[test]
    fn audio_survives_the_way_out_and_in(
        audio in prop::collection::vec(any::<u8>(), 0..400),
        stream in "(?s).{0,40}",
    ) {
        prop_assert_eq!(decoded(&Outgoing::media(&stream, &audio).to_json()), audio);
    }

    #[test]
    fn names_of_marks_survive(name in "(?s).{0,40}") {
        let json = Outgoing::mark(STREAM, &name).to_json();
        prop_assert_eq!(
            read(&json),
            Ok(Incoming::Mark { sequence: 0, name: name.as_str().into() })
        );
    }
}
