//! Documents as text, read back by an XML reader.

use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::*;
use crate::Secret;

/// Elements with attributes and text, in the order in which they begin.
type Elements = Vec<(String, Vec<(String, String)>, String)>;

/// Reads a document by the library's reader, which checks that it is well-formed.
fn parsed(xml: &str) -> Elements {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let mut elements = Elements::new();
    let mut open = Vec::new();
    loop {
        match reader.read_event().expect("well-formed") {
            Event::Start(start) => {
                open.push(elements.len());
                elements.push(element(&start));
            }
            Event::Empty(start) => elements.push(element(&start)),
            Event::Text(text) => {
                let at = *open.last().expect("text stands in an element");
                elements[at].2 += &text.decode().expect("UTF-8");
            }
            Event::GeneralRef(reference) => {
                let at = *open.last().expect("a reference stands in an element");
                let name = reference.decode().expect("UTF-8");
                elements[at].2 +=
                    &quick_xml::escape::unescape(&format!("&{name};")).expect("a known reference");
            }
            Event::End(_) => {
                open.pop();
            }
            Event::Decl(_) => {}
            Event::Eof => break,
            other => panic!("nothing else is written: {other:?}"),
        }
    }
    assert!(open.is_empty());
    elements
}

fn element(start: &quick_xml::events::BytesStart<'_>) -> (String, Vec<(String, String)>, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let attributes = start
        .attributes()
        .map(|attribute| {
            let attribute = attribute.expect("an attribute");
            let value = text(&attribute.value);
            let value = quick_xml::escape::unescape(&value).expect("known references");
            (text(attribute.key.as_ref()), value.into_owned())
        })
        .collect();
    (text(start.name().as_ref()), attributes, String::new())
}

fn body(document: &Document) -> String {
    let xml = document.to_xml().expect("a document");
    let body = xml
        .strip_prefix(r#"<?xml version="1.0" encoding="UTF-8"?><Response>"#)
        .expect("declaration and root, nothing before them");
    body.strip_suffix("</Response>")
        .expect("its end")
        .to_owned()
}

#[test]
fn an_empty_document_is_one() {
    assert_eq!(body(&Document::new()), "");
    assert_eq!(
        parsed(&Document::new().to_xml().expect("a document")).len(),
        1
    );
}

#[test]
fn the_test_call_says_its_sentence_and_hangs_up() {
    let document = Document::new()
        .say(Say::new("Hello, this is a test call from the system."))
        .hangup();
    assert_eq!(
        body(&document),
        "<Say>Hello, this is a test call from the system.</Say><Hangup/>"
    );
}

#[test]
fn a_menu_listens_for_speech_and_keys() {
    let gather = Gather {
        input: GatherInput::Both,
        action: Some("https://gw.example.com/twilio/menu?call=abc&step=1".into()),
        timeout: Some(5),
        speech_timeout: Some(SpeechTimeout::Seconds(2)),
        num_digits: Some(1),
        finish_on_key: Some(String::new()),
        language: Some("de-DE".into()),
        hints: vec!["Vertrieb".into(), " ".into(), "Support, Technik".into()],
        barge_in: Some(true),
        action_on_empty_result: true,
        prompts: vec![
            Prompt::Say(
                Say::new("Für den Vertrieb drücken Sie die \"1\".")
                    .voice("Polly.Vicki-Neural")
                    .language("de-DE"),
            ),
            Prompt::Pause(1),
            Prompt::Play(Play::Url("https://gw.example.com/a.wav".into())),
        ],
        ..Gather::default()
    };
    let document = Document::new()
        .gather(gather)
        .redirect("/twilio/menu?step=2");
    assert_eq!(
        body(&document),
        concat!(
            r#"<Gather input="dtmf speech" action="https://gw.example.com/twilio/menu?call=abc&amp;step=1" "#,
            r#"timeout="5" speechTimeout="2" numDigits="1" finishOnKey="" language="de-DE" "#,
            r#"hints="Vertrieb, Support  Technik" bargeIn="true" actionOnEmptyResult="true">"#,
            r#"<Say voice="Polly.Vicki-Neural" language="de-DE">"#,
            "Für den Vertrieb drücken Sie die &quot;1&quot;.</Say>",
            r#"<Pause length="1"/><Play>https://gw.example.com/a.wav</Play></Gather>"#,
            "<Redirect>/twilio/menu?step=2</Redirect>",
        )
    );
}

#[test]
fn a_screened_transfer_dials_a_number_with_a_whisper() {
    let dial = Dial {
        action: Some("https://gw.example.com/twilio/after-dial?c=abc".into()),
        answer_on_bridge: true,
        timeout: Some(20),
        caller_id: Some("+493023125001".into()),
        ..Dial::to(Noun::Number(Number {
            number: "+12025550142".into(),
            url: Some("https://gw.example.com/twilio/whisper?c=abc".into()),
            status_callback: Some("https://gw.example.com/twilio/status".into()),
            status_callback_events: CallEvent::ALL.to_vec(),
            amd: Some(Amd {
                mode: AmdMode::Enable,
                timeout: Some(2),
                callback: None,
            }),
            ..Number::default()
        }))
    };
    assert_eq!(
        body(&Document::new().dial(dial)),
        concat!(
            r#"<Dial answerOnBridge="true" timeout="20" callerId="+493023125001" action="https://gw.example.com/twilio/after-dial?c=abc">"#,
            r#"<Number url="https://gw.example.com/twilio/whisper?c=abc" statusCallback="https://gw.example.com/twilio/status" "#,
            r#"statusCallbackEvent="initiated ringing answered completed" machineDetection="Enable" machineDetectionTimeout="3">"#,
            "+12025550142</Number></Dial>",
        )
    );
}

#[test]
fn a_transfer_to_the_pbx_dials_a_sip_address_with_its_credentials() {
    let uri = SipUri::new("2001", "pbx.example.com", None, Some(SipTransport::Udp))
        .and_then(|uri| uri.header("X-Call", "a&b"))
        .expect("an address");
    let sip = Sip {
        username: Some("gw".into()),
        password: Some(Secret::new("p<w")),
        ..Sip::new(uri)
    };
    let dial = Dial {
        timeout: Some(1),
        record: Some(DialRecord::FromAnswerDual),
        hangup_on_star: true,
        ..Dial::to(Noun::Sip(sip))
    };
    let document = Document::new().dial(dial);
    assert_eq!(
        body(&document),
        concat!(
            r#"<Dial timeout="5" hangupOnStar="true" record="record-from-answer-dual">"#,
            r#"<Sip username="gw" password="p&lt;w">sip:2001@pbx.example.com;transport=udp?X-Call=a%26b</Sip></Dial>"#,
        )
    );
    assert_eq!(format!("{document:?}"), "Document { verbs: [Dial] }");
}

#[test]
fn conferences_clients_streams_and_recordings_are_written() {
    let conference = Conference {
        name: "room-abc".into(),
        start_on_enter: Some(false),
        end_on_exit: Some(true),
        beep: Some(Beep::Never),
        participant_label: Some("caller".into()),
        wait_url: Some(String::new()),
        status_callback: Some("https://gw.example.com/c".into()),
        status_callback_events: vec![
            ConferenceCallbackEvent::Join,
            ConferenceCallbackEvent::Leave,
        ],
        ..Conference::default()
    };
    assert_eq!(
        body(&Document::new().dial(Dial::to(Noun::Conference(conference)))),
        concat!(
            r#"<Dial><Conference startConferenceOnEnter="false" endConferenceOnExit="true" beep="false" "#,
            r#"participantLabel="caller" waitUrl="" statusCallback="https://gw.example.com/c" "#,
            r#"statusCallbackEvent="join leave">room-abc</Conference></Dial>"#,
        )
    );
    let client = Client {
        identity: "desk".into(),
        parameters: vec![("call".into(), "1".into())],
        ..Client::default()
    };
    assert_eq!(
        body(&Document::new().dial(Dial::to(Noun::Client(client)))),
        r#"<Dial><Client><Identity>desk</Identity><Parameter name="call" value="1"/></Client></Dial>"#
    );
    let connect = Connect {
        action: Some("https://gw.example.com/twilio/after".into()),
        method: Method::Get,
        stream: Stream {
            url: "wss://gw.example.com/twilio/media".into(),
            parameters: vec![("token".into(), "one-time-\"secret\"".into())],
            ..Stream::default()
        },
    };
    let document = Document::new()
        .start_recording(StartRecording {
            is_dual: true,
            recording_status_callback: Some("https://gw.example.com/r".into()),
            recording_status_callback_events: vec![
                RecordingEvent::Completed,
                RecordingEvent::Absent,
            ],
            keep_silence: true,
        })
        .connect(connect)
        .record(Record {
            max_length: Some(120),
            play_beep: Some(true),
            ..Record::default()
        })
        .play(Play::Digits("1w#".into()))
        .pause(0);
    assert_eq!(
        body(&document),
        concat!(
            r#"<Start><Recording recordingStatusCallback="https://gw.example.com/r" "#,
            r#"recordingStatusCallbackEvent="completed absent" channels="dual" trim="do-not-trim"/></Start>"#,
            r#"<Connect action="https://gw.example.com/twilio/after" method="GET"><Stream url="wss://gw.example.com/twilio/media">"#,
            r#"<Parameter name="token" value="one-time-&quot;secret&quot;"/></Stream></Connect>"#,
            r#"<Record maxLength="120" playBeep="true"/><Play digits="1w#"/><Pause length="1"/>"#,
        )
    );
    assert_eq!(
        body(&Document::new().reject(RejectReason::Busy)),
        r#"<Reject reason="busy"/>"#
    );
}

#[test]
fn what_twilio_would_refuse_is_refused() {
    let stream = |url: &str| {
        Document::new().connect(Connect {
            action: None,
            method: Method::Post,
            stream: Stream {
                url: url.into(),
                ..Stream::default()
            },
        })
    };
    assert!(stream("ws://127.0.0.1:8080/media").to_xml().is_ok());
    let auto = Gather {
        speech_timeout: Some(SpeechTimeout::Auto),
        speech_model: Some("googlev2_telephony".into()),
        ..Gather::default()
    };
    let room = |name: &str| {
        Noun::Conference(Conference {
            name: name.into(),
            ..Conference::default()
        })
    };
    let number = |number: &str| {
        Noun::Number(Number {
            number: number.into(),
            ..Number::default()
        })
    };
    let uri = SipUri::new("a", "example.com", None, None).expect("an address");
    let half = Sip {
        username: Some("gw".into()),
        ..Sip::new(uri)
    };
    let two = Dial {
        targets: vec![room("a"), number("+12025550142")],
        ..Dial::default()
    };
    for (document, named) in [
        (stream("ws://gw.example.com/media"), "wss"),
        (stream("https://gw.example.com/media"), "wss"),
        (stream("wss://gw.example.com/media?token=x"), "query"),
        (stream("media"), "wss://"),
        (Document::new().gather(auto), "speechTimeout"),
        (Document::new().redirect("javascript:alert(1)"), "http"),
        (
            Document::new().redirect("https://gw.example.com/a b"),
            "percent",
        ),
        (Document::new().redirect(""), "empty"),
        (
            Document::new().hangup().reject(RejectReason::Busy),
            "first verb",
        ),
        (Document::new().dial(Dial::default()), "targets"),
        (Document::new().dial(two), "only target"),
        (Document::new().dial(Dial::to(room(""))), "name"),
        (
            Document::new().dial(Dial::to(number("2001x"))),
            "telephone number",
        ),
        (Document::new().dial(Dial::to(Noun::Sip(half))), "password"),
        (Document::new().play(Play::Digits("x".into())), "digits"),
        (
            Document::new().say(Say::new("word ".repeat(14_000))),
            "65536",
        ),
    ] {
        let error = document.to_xml().expect_err(named).to_string();
        assert!(error.contains(named), "{named}: {error}");
    }
}

#[test]
fn inline_documents_are_short_and_know_no_relative_urls() {
    let document = Document::new()
        .say(Say::new("hello"))
        .redirect("/twilio/next");
    assert!(document.to_xml().is_ok());
    let error = document.to_inline_xml().expect_err("relative").to_string();
    assert!(error.contains("relative"), "{error}");
    let document = Document::new().say(Say::new("hello ".repeat(700)));
    assert!(document.to_xml().is_ok());
    let error = document.to_inline_xml().expect_err("too long").to_string();
    assert!(error.contains("4000"), "{error}");
    let document = Document::new().redirect("https://gw.example.com/twilio/next");
    assert!(document.to_inline_xml().is_ok());
}

#[test]
fn long_texts_become_several_says() {
    let text = "Ein Satz mit einigen Wörtern. ".repeat(200);
    let document = Document::new().say(Say::new(&text).language("de-DE"));
    let says = parsed(&document.to_xml().expect("a document"));
    assert_eq!(says.len(), 1 + 2);
    for (name, attributes, text) in &says[1..] {
        assert_eq!(name, "Say");
        assert_eq!(attributes, &[("language".to_owned(), "de-DE".to_owned())]);
        assert!(text.chars().count() <= 4_096 && text.ends_with('.'));
    }
    assert_eq!(
        body(&Document::new().say(Say::new(" \n"))),
        "",
        "nothing to say"
    );
}

proptest! {
    #[test]
    fn any_text_survives_the_xml(spoken in "(?s).{0,80}", value in "(?s).{0,80}") {
        let document = Document::new()
            .say(Say::new(&spoken).voice(&value))
            .dial(Dial::to(Noun::Conference(Conference {
                name: format!("room{spoken}"),
                ..Conference::default()
            })));
        let xml = document.to_xml().expect("a document");
        prop_assert!(xml.starts_with("<?xml "));
        let elements = parsed(&xml);
        let expected = text::clean(&spoken);
        if expected.trim().is_empty() {
            prop_assert!(!elements.iter().any(|(name, ..)| name == "Say"));
        } else {
            let (_, attributes, text) = &elements[1];
            prop_assert_eq!(text, expected.trim());
            prop_assert_eq!(&attributes[0].1, &text::clean(&value));
        }
        let (name, _, room) = elements.last().expect("a conference");
        prop_assert_eq!(name, "Conference");
        prop_assert_eq!(room, &format!("room{expected}"));
    }
}
