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
        .insert("https://gw.example.com".into(), app.address);
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
