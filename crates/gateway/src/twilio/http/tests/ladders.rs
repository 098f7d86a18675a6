//! Calls from the first webhook to the last, with a process that dies after each of them.

use switchhook_store::MessageFilter;

use super::world::{Answer, CALL, World, inbound};

pub(super) const WISH: &str = "I would like to speak to a human please";

#[tokio::test]
async fn a_new_call_is_greeted_under_every_prefix() {
    for prefix in ["", "/api", "/anthropic/convonet_todo", "/convonet_todo"] {
        for path in ["voice", "call"] {
            let world = World::new().await;
            let target = format!("{prefix}/twilio/{path}");
            let answer = world
                .post(&target, &inbound(&[("CallStatus", "ringing")]))
                .await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert_eq!(answer.content_type, "text/xml; charset=utf-8");
            assert!(
                answer.body.contains("<Gather input=\"dtmf speech\""),
                "{}",
                answer.body
            );
            assert!(
                answer
                    .next()
                    .starts_with(&format!("{prefix}/twilio/process_audio"))
            );
            let calls = world.calls().await;
            assert_eq!(calls.len(), 1);
            assert_eq!(calls[0].channel, "twilio");
            assert_eq!(calls[0].caller, "+12025550142");
            assert_eq!(calls[0].callee, "+493023125001");
            assert_eq!(calls[0].status, "assistant");
        }
    }
}

/// The example of older deployments: a transfer of a call nobody knows yet.
#[tokio::test]
async fn the_transfer_endpoint_dials_the_extension() {
    let world = World::new().await;
    let form = [("CallSid", "CAtest123"), ("From", "+12025550142")];
    for prefix in ["/anthropic/convonet_todo", ""] {
        let target = format!("{prefix}/twilio/transfer?extension=2001");
        let sid = format!("CAtest{}", prefix.len());
        let form: Vec<(&str, &str)> = form
            .iter()
            .map(|(name, value)| {
                if *name == "CallSid" {
                    (*name, sid.as_str())
                } else {
                    (*name, *value)
                }
            })
            .collect();
        let answer = world.post(&target, &form).await;
        let body = &answer.body;
        assert!(body.contains("<Dial "), "{body}");
        assert_eq!(answer.attribute("answerOnBridge").as_deref(), Some("true"));
        assert_eq!(answer.attribute("timeout").as_deref(), Some("20"));
        assert_eq!(
            answer.attribute("callerId").as_deref(),
            Some("+12025550142")
        );
        let action = answer.next();
        assert!(
            action.starts_with(&format!("{prefix}/twilio/transfer_callback?extension=2001")),
            "{action}"
        );
        assert!(
            body.contains("sip:2001@pbx.example.com;transport=udp?X-Switchhook-Call-Id=call_"),
            "{body}"
        );
        assert_eq!(body.matches("<Sip").count(), 1);
    }
    let bad = world
        .post("/twilio/transfer?extension=%2B1900", &inbound(&[]))
        .await;
    assert_eq!(bad.status, 400, "a number is no extension: {}", bad.body);
}

/// One webhook of a ladder: where to, and what it says beside the usual.
type Rung = (&'static str, Vec<(&'static str, &'static str)>);

/// `next` goes where the last answer said, `child` to the status callback of the dialled leg.
async fn climb(world: &World, last: Option<&Answer>, rung: &Rung) -> Answer {
    let (to, more) = rung;
    let target = match *to {
        "next" => last.expect("an answer").next(),
        "child" => {
            let last = last.expect("an answer");
            let url = last.attribute("statusCallback").expect("a status callback");
            url.strip_prefix(super::world::BASE).unwrap().to_owned()
        }
        other => other.to_owned(),
    };
    world.post(&target, &inbound(more)).await
}

/// Runs the ladder; the process dies after the rung of that number.
async fn run(rungs: &[Rung], crash: Option<usize>) -> (World, Vec<Answer>) {
    let mut world = World::with(|config| {
        config.transfer.fallback = vec![switchhook_call::FallbackStep::ReturnToAssistant];
    })
    .await;
    let mut answers: Vec<Answer> = Vec::new();
    for (at, rung) in rungs.iter().enumerate() {
        // Reports are answered with nothing: the document is the last one before them.
        let document = answers.iter().rev().find(|answer| !answer.body.is_empty());
        let answer = climb(&world, document, rung).await;
        answers.push(answer);
        if crash == Some(at) {
            world = world.restarted().await;
        }
    }
    (world, answers)
}

/// Ids differ from run to run.
fn plain(answers: &[Answer], call: &str) -> Vec<String> {
    answers
        .iter()
        .map(|answer| {
            answer
                .body
                .replace(call, "CALL")
                .replace(&call[5..], "UNIQUE")
        })
        .collect()
}

async fn survives(rungs: &[Rung]) -> (World, Vec<Answer>) {
    let (world, answers) = run(rungs, None).await;
    let calls = world.calls().await;
    assert_eq!(calls.len(), 1);
    let expected = plain(&answers, calls[0].id.as_str());
    for crash in 0..rungs.len() {
        let (again, other) = run(rungs, Some(crash)).await;
        let crashed = again.calls().await;
        assert_eq!(crashed.len(), 1, "crash after {crash}");
        assert_eq!(
            plain(&other, crashed[0].id.as_str()),
            expected,
            "crash after {crash}"
        );
        assert_eq!(crashed[0].outcome, calls[0].outcome, "crash after {crash}");
        assert_eq!(crashed[0].status, calls[0].status);
        assert_eq!(violations(&again).await, 0, "crash after {crash}");
    }
    (world, answers)
}

async fn violations(world: &World) -> usize {
    let mut found = 0;
    for call in world.calls().await {
        let violations = world.store.violations(&call.id).await.unwrap();
        for violation in &violations {
            eprintln!("{}: {}", violation.code, violation.detail);
        }
        found += violations.len();
    }
    found
}

fn voice() -> Rung {
    ("/twilio/voice", vec![("CallStatus", "ringing")])
}

#[tokio::test]
async fn answered() {
    let (world, answers) = survives(&[
        voice(),
        ("next", vec![("SpeechResult", WISH), ("Confidence", "0.9")]),
        (
            "child",
            vec![
                ("CallSid", "CA2"),
                ("CallStatus", "ringing"),
                ("SequenceNumber", "1"),
            ],
        ),
        (
            "child",
            vec![
                ("CallSid", "CA2"),
                ("CallStatus", "in-progress"),
                ("SequenceNumber", "2"),
            ],
        ),
        (
            "next",
            vec![
                ("DialCallStatus", "completed"),
                ("DialBridged", "true"),
                ("DialCallSid", "CA2"),
                ("DialSipResponseCode", "200"),
            ],
        ),
        ("/twilio/status", vec![("CallStatus", "completed")]),
    ])
    .await;
    assert!(answers[1].body.contains("<Dial "), "{}", answers[1].body);
    assert_eq!(answers[2].status, 204);
    assert!(answers[4].body.contains("<Hangup/>"));
    assert_eq!(
        world.calls().await[0].outcome.as_deref(),
        Some("transferred")
    );
    assert_eq!(violations(&world).await, 0);
}

#[tokio::test]
async fn nobody_answers_and_the_assistant_is_back() {
    for (status, sip, words) in [
        ("no-answer", "487", "nobody answered"),
        ("busy", "486", "the line is busy"),
        ("failed", "404", "could not reach anyone"),
    ] {
        let (world, answers) = survives(&[
            voice(),
            ("next", vec![("SpeechResult", WISH)]),
            (
                "next",
                vec![
                    ("DialCallStatus", status),
                    ("DialBridged", "false"),
                    ("DialSipResponseCode", sip),
                ],
            ),
            ("next", vec![]),
            ("next", vec![("SpeechResult", "goodbye")]),
            ("next", vec![]),
            ("/twilio/status", vec![("CallStatus", "completed")]),
        ])
        .await;
        assert!(answers[2].body.contains(words), "{}", answers[2].body);
        assert!(answers[3].body.contains("<Gather"), "{}", answers[3].body);
        assert!(answers[4].body.contains("Goodbye"), "{}", answers[4].body);
        assert!(answers[5].body.contains("<Hangup/>"), "{}", answers[5].body);
        let dials: usize = answers
            .iter()
            .map(|a| a.body.matches("<Dial ").count())
            .sum();
        assert_eq!(dials, 1);
        assert_eq!(world.calls().await[0].status, "ended");
    }
}

#[tokio::test]
async fn the_caller_hangs_up_while_it_rings() {
    let (world, _) = survives(&[
        voice(),
        ("next", vec![("SpeechResult", WISH)]),
        ("/twilio/status", vec![("CallStatus", "completed")]),
        // It crossed the hang-up.
        (
            "child",
            vec![
                ("CallSid", "CA2"),
                ("CallStatus", "canceled"),
                ("SequenceNumber", "3"),
            ],
        ),
    ])
    .await;
    assert_eq!(
        world.calls().await[0].outcome.as_deref(),
        Some("caller_gone")
    );
}

#[tokio::test]
async fn a_repeated_webhook_gets_the_same_answer_and_changes_nothing() {
    let world = World::new().await;
    let token = Some("5b1f8c6e-3f0d-4c0e-9a55-0d6a6f3f2b11");
    let form = inbound(&[("CallStatus", "ringing")]);
    let one = world
        .signed("/twilio/voice", &form, token, super::world::TOKEN)
        .await;
    let two = world
        .signed("/twilio/voice", &form, token, super::world::TOKEN)
        .await;
    assert_eq!(one, two);
    assert_eq!(world.calls().await.len(), 1);
    let target = one.next();
    let form = inbound(&[("SpeechResult", WISH)]);
    let dial = world.post(&target, &form).await;
    assert!(dial.body.contains("<Dial "), "{}", dial.body);
    // Without a token: the number in the URL tells that it was answered.
    let again = world.post(&target, &form).await;
    assert_eq!(again, dial);
    // One that was late: the answer to the latest is given, and nothing else happens.
    let late = world
        .post(&target, &inbound(&[("SpeechResult", "goodbye")]))
        .await;
    assert_eq!(late, dial);
    let transfers = world
        .store
        .transfers(&world.calls().await[0].id)
        .await
        .unwrap();
    assert_eq!(transfers.len(), 1);
    let attempts = world
        .store
        .attempts(&world.calls().await[0].id)
        .await
        .unwrap();
    assert_eq!(attempts.len(), 1);
}

/// The carrier was told to come for something that it had fetched by itself meanwhile: the order takes what
/// it was given from it, so it gets the same again, and nobody was silent.
#[tokio::test]
async fn an_order_that_arrives_late_takes_no_words() {
    let world = World::new().await;
    let greeted = world
        .post("/twilio/voice", &inbound(&[("CallStatus", "ringing")]))
        .await;
    let id = world.calls().await[0].id.clone();
    let ordered = format!("/twilio/connect/{id}");
    for _ in 0..2 {
        let again = world.post(&ordered, &inbound(&[])).await;
        assert_eq!(again, greeted);
    }
    assert!(world.store.turns(&id).await.unwrap().is_empty());
    // What rings does not ring twice.
    let dial = world
        .post(&greeted.next(), &inbound(&[("SpeechResult", WISH)]))
        .await;
    assert!(dial.body.contains("<Dial "), "{}", dial.body);
    let back = world.post(&ordered, &inbound(&[])).await;
    assert!(!back.body.contains("<Dial "), "{}", back.body);
}

/// Two deliveries of the same webhook at the same time make one call, and one answer.
#[tokio::test]
async fn two_deliveries_at_once_make_one_call() {
    let world = World::new().await;
    let form = inbound(&[("CallStatus", "ringing")]);
    let token = Some("t-1");
    let (one, two) = tokio::join!(
        world.signed("/twilio/voice", &form, token, super::world::TOKEN),
        world.signed("/twilio/voice", &form, token, super::world::TOKEN),
    );
    assert_eq!(one, two);
    assert_eq!(world.calls().await.len(), 1);
}

#[tokio::test]
async fn ids_in_urls_of_other_calls_have_no_effect() {
    let world = World::new().await;
    let greeted = world
        .post("/twilio/voice", &inbound(&[("CallStatus", "ringing")]))
        .await;
    assert_eq!(greeted.status, 200);
    let call = world.calls().await[0].id.clone();
    // Another leg of the carrier's claims to be an agent's of this call.
    let target = format!("/twilio/status/{call}?leg=leg_{}-7", call.unique());
    let form = inbound(&[("CallSid", "CA9"), ("CallStatus", "in-progress")]);
    assert_eq!(world.post(&target, &form).await.status, 204);
    let target = format!("/twilio/accept/{call}?leg=leg_{}-7", call.unique());
    let accepted = world
        .post(&target, &inbound(&[("CallSid", "CA9"), ("Digits", "1")]))
        .await;
    assert!(accepted.body.contains("<Hangup/>"), "{}", accepted.body);
    assert_eq!(world.calls().await[0].status, "assistant");
    // Nobody becomes somebody by saying so.
    let target = "/twilio/process_audio?n=1&user_id=1&authenticated=true";
    let answer = world
        .post(
            target,
            &inbound(&[("SpeechResult", "hello"), ("CallSid", CALL)]),
        )
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_message_reaches_the_inbox_and_the_caller_knows() {
    let world = World::new().await;
    let mut answer = world
        .post("/twilio/voice", &inbound(&[("CallStatus", "ringing")]))
        .await;
    answer = world
        .post(&answer.next(), &inbound(&[("SpeechResult", WISH)]))
        .await;
    let form = inbound(&[("DialCallStatus", "no-answer"), ("DialBridged", "false")]);
    answer = world.post(&answer.next(), &form).await;
    answer = world.post(&answer.next(), &inbound(&[])).await;
    assert!(answer.body.contains("<Record "), "{}", answer.body);
    let form = inbound(&[
        ("RecordingDuration", "6"),
        ("RecordingUrl", "https://api.example.com/RE1"),
    ]);
    answer = world.post(&answer.next(), &form).await;
    assert!(
        answer.body.contains("saved your message"),
        "{}",
        answer.body
    );
    let filter = MessageFilter {
        limit: 10,
        ..MessageFilter::default()
    };
    let messages = world.store.messages(&filter).await.unwrap().items;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].channel, "inbox");
}
