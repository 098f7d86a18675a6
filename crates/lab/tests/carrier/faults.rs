//! What goes wrong on demand, and what is tried again.

use std::sync::atomic::{AtomicUsize, Ordering};

use switchhook_lab::carrier::{Behaviour, Carrier, Forgery, WebhookKind};

use crate::app::{App, Reply, Rest, xml};
use crate::{AGENT, CALLER, OUR_NUMBER, SOON};

async fn hello() -> App {
    App::start(|hit| match hit.path.as_str() {
        "/voice" => xml("<Say>hello</Say>"),
        _ => Reply::Status(204),
    })
    .await
}

#[tokio::test]
async fn a_duplicate_has_the_same_token_and_no_effect() {
    let app = hello().await;
    let carrier = app.carrier().await;
    carrier.faults(|f| f.duplicates = true);
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.ended(SOON).await.unwrap();
    carrier.until_quiet(SOON).await.unwrap();
    let hits = app.hits("/voice");
    assert_eq!(hits.len(), 2);
    assert_eq!(hits[0].token, hits[1].token);
    assert_eq!(hits[0].params, hits[1].params);
    assert_eq!(caller.transcript(), ["hello"]);
    let log = carrier.log();
    let twiml = log.webhooks.iter().filter(|w| w.kind == WebhookKind::Twiml);
    let flags: Vec<bool> = twiml.map(|w| w.duplicate).collect();
    assert_eq!(flags, [false, true]);
}

#[tokio::test]
async fn forged_copies_are_refused_by_who_checks() {
    for forgery in [Forgery::Unsigned, Forgery::WrongToken, Forgery::Tampered] {
        let app = hello().await;
        let carrier = app.carrier().await;
        carrier.faults(|f| f.forge = Some(forgery));
        let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
        caller.until_hears("hello", SOON).await.unwrap();
        let signed: Vec<bool> = app.hits("/voice").iter().map(|h| h.signed).collect();
        assert_eq!(signed, [false, true], "{forgery:?}");
        let log = carrier.log();
        let forged = log.webhooks.iter().find(|w| w.forged).unwrap();
        assert_eq!(forged.status(), 403);
    }
}

#[tokio::test]
async fn status_callbacks_come_late_reversed_or_not_at_all() {
    let app = hello().await;
    let carrier = app.carrier().await;
    carrier.phone(AGENT, Behaviour::answers());
    carrier.faults(|f| {
        f.reverse_status = true;
        f.drop_status.insert("ringing".into());
    });
    let (url, status) = (app.url("/voice"), app.url("/status"));
    let form = [
        ("To", AGENT),
        ("From", OUR_NUMBER),
        ("Url", url.as_str()),
        ("StatusCallback", status.as_str()),
        ("StatusCallbackEvent", "initiated"),
        ("StatusCallbackEvent", "ringing"),
        ("StatusCallbackEvent", "answered"),
        ("StatusCallbackEvent", "completed"),
    ];
    Rest::of(&carrier).post("/Calls.json", &form).await;
    carrier
        .until("three callbacks", SOON, |_| {
            (app.hits("/status").len() == 3).then_some(())
        })
        .await
        .unwrap();
    let hits = app.hits("/status");
    let numbers: Vec<&str> = hits
        .iter()
        .map(|h| h.param("SequenceNumber").unwrap())
        .collect();
    assert_eq!(numbers, ["3", "2", "0"]);
}

#[tokio::test]
async fn overrides_in_the_fragment_try_again_with_the_same_token() {
    let tries = AtomicUsize::new(0);
    let app = App::start(move |hit| match hit.path.as_str() {
        "/voice" if tries.fetch_add(1, Ordering::Relaxed) < 2 => Reply::Status(503),
        "/voice" => xml("<Say>third time</Say>"),
        _ => Reply::Status(204),
    })
    .await;
    let mut config = app.config();
    config.numbers[0].voice_url = app.url("/voice#rc=3&rp=5xx");
    let carrier = Carrier::start(config).await.unwrap();
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("third time", SOON).await.unwrap();
    let hits = app.hits("/voice");
    assert_eq!(hits.len(), 3);
    assert!(hits.iter().all(|h| h.signed && h.token == hits[0].token));
    let log = carrier.log();
    assert_eq!(log.webhooks[0].attempts, 3);
    assert!(!log.webhooks[0].url.contains('#'));
}

#[tokio::test]
async fn a_refused_connection_is_tried_once_more() {
    let app = hello().await;
    let mut config = app.config();
    // A port that was free a moment ago, and that nobody serves.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    config.numbers[0].voice_url = format!("http://{address}/voice");
    let carrier = Carrier::start(config).await.unwrap();
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.ended(SOON).await.unwrap();
    let log = carrier.log();
    let first = &log.webhooks[0];
    assert_eq!(first.attempts, 2);
    assert_eq!(log.problems[0].code, 11205);
}

#[tokio::test]
async fn a_public_url_is_reached_behind_its_proxy_and_signed_as_public() {
    let app = hello().await;
    let mut config = app.config();
    config.numbers[0].voice_url = "https://gw.example.com/voice?tenant=a%20b".into();
    config
        .offload
        .insert("https://gw.example.com".into(), vec![app.address]);
    let carrier = Carrier::start(config).await.unwrap();
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("hello", SOON).await.unwrap();
    assert!(app.hits("/voice")[0].signed);
}

#[tokio::test]
async fn a_get_is_signed_over_its_query() {
    let app = hello().await;
    let mut config = app.config();
    config.numbers[0].voice_method = "GET".into();
    let carrier = Carrier::start(config).await.unwrap();
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("hello", SOON).await.unwrap();
    let hit = &app.hits("/voice")[0];
    assert_eq!((hit.method.as_str(), hit.signed), ("GET", true));
    assert_eq!(hit.param("To"), Some(OUR_NUMBER));
}

#[tokio::test]
async fn both_copies_come_together_when_asked_for() {
    let inside = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let app = hello().await;
    let carrier = app.carrier().await;
    carrier.faults(|f| {
        f.duplicates = true;
        f.at_once = true;
    });
    // Neither is answered before both are there.
    app.wait_for_all(&inside);
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("hello", SOON).await.unwrap();
    let hits = app.hits("/voice");
    assert_eq!((hits.len(), &hits[0].token), (2, &hits[1].token));
}

#[tokio::test]
async fn a_slow_answer_is_tried_again_only_where_the_override_says_so() {
    for (fragment, attempts) in [("#rt=150", 1), ("#rt=150&rp=rt&rc=2", 3)] {
        let app = hello().await;
        app.wait_for_all(&std::sync::Arc::new(tokio::sync::Barrier::new(99)));
        let mut config = app.config();
        config.numbers[0].voice_url = app.url(&format!("/voice{fragment}"));
        let carrier = Carrier::start(config).await.unwrap();
        let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
        caller.until_hears("application error", SOON).await.unwrap();
        let log = carrier.log();
        assert_eq!(log.webhooks[0].attempts, attempts, "{fragment}");
        assert_eq!(log.problems[0].code, 11200);
    }
}

#[tokio::test]
async fn an_application_is_stopped_between_two_webhooks_and_the_call_goes_on() {
    let answers = |hit: &crate::app::Hit| match hit.path.as_str() {
        "/voice" => xml("<Say>one</Say><Redirect>/second</Redirect>"),
        "/second" => xml("<Say>two</Say>"),
        _ => Reply::Status(204),
    };
    let first = App::start(answers).await;
    let carrier = first.carrier().await;
    carrier.hold_after(Some(1));
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("one", SOON).await.unwrap();
    let address = first.address;
    first.stop().await;
    let second = App::start_at(address, answers).await;
    carrier.hold_after(None);
    caller.until_hears("two", SOON).await.unwrap();
    carrier.until_quiet(SOON).await.unwrap();
    assert_eq!(
        (first.hits("/second").len(), second.hits("/second").len()),
        (0, 1)
    );
    assert!(second.hits("/voice").is_empty());
    assert!(carrier.log().problems.is_empty());
}

#[tokio::test]
async fn a_dropped_carrier_cuts_everybody_off_and_asks_nothing_more() {
    let app = App::start(|hit| match hit.path.as_str() {
        "/voice" => xml("<Say>hello</Say><Pause length=\"36000\"/>"),
        _ => Reply::Status(204),
    })
    .await;
    let carrier = app.carrier().await;
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("hello", SOON).await.unwrap();
    drop(carrier);
    assert!(!caller.ended(SOON).await.unwrap().by_person);
    assert!(app.hits("/number-status").is_empty());
}

#[tokio::test]
async fn the_nodes_behind_a_public_origin_take_turns() {
    let answers = |hit: &crate::app::Hit| match hit.path.as_str() {
        "/voice" => xml("<Say>one</Say><Redirect>/second</Redirect>"),
        "/second" => xml("<Say>two</Say>"),
        _ => Reply::Status(204),
    };
    let (first, second) = (App::start(answers).await, App::start(answers).await);
    let mut config = first.config();
    config.numbers[0].voice_url = "https://gw.example.com/voice".into();
    config.numbers[0].status_callback = String::new();
    config.offload.insert(
        "https://gw.example.com".into(),
        vec![first.address, second.address],
    );
    let carrier = Carrier::start(config).await.unwrap();
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("two", SOON).await.unwrap();
    assert_eq!(
        (first.hits("/voice").len(), second.hits("/second").len()),
        (1, 1)
    );
}

#[tokio::test]
async fn status_callbacks_come_after_the_call() {
    let app = hello().await;
    let carrier = app.carrier().await;
    let late = std::time::Duration::from_millis(300);
    carrier.faults(|f| f.delay_status = late);
    let began = std::time::Instant::now();
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.ended(SOON).await.unwrap();
    carrier.until_quiet(SOON).await.unwrap();
    assert_eq!(app.hits("/number-status").len(), 1);
    assert!(began.elapsed() >= late);
}
