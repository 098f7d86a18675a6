//! Numbers as people write them, and each limit with its own code.

use switchhook_call::{CallPolicy, Event};
use switchhook_store::Step;

use super::*;
use crate::calls;
use crate::calls::tests::{config, shared};
use crate::config::{Environment, Source, load};
use crate::notices::Ways;

#[test]
fn numbers_are_read_as_people_of_a_region_write_them() {
    let region = |code: &str| code.parse::<country::Id>().ok();
    for (code, written, meant) in [
        ("DE", "030 23125110", "+493023125110"),
        ("DE", "(030) 231-25110", "+493023125110"),
        ("US", "(202) 555-0142", "+12025550142"),
        ("DE", "+1 202 555 0142", "+12025550142"),
    ] {
        let read = number(written, region(code)).map(|number| number.to_string());
        assert_eq!(read.as_deref(), Ok(meant), "{written}");
    }
    for written in [
        "",
        "+",
        "12",
        "abc",
        "+0123456789",
        "030 23125110;ext=5",
        "sip:030@example.com",
        "0302312511000000000000000",
        "٠٣٠٢٣١٢٥١١٠",
    ] {
        assert!(number(written, region("DE")).is_err(), "{written}");
    }
    let error = number("030 23125110", None).unwrap_err().to_string();
    assert!(error.contains("outbound.region"), "{error}");
}

fn configured(directory: &tempfile::TempDir, lines: &str) -> Config {
    let data = directory.path().display().to_string();
    let file = directory.path().join("test.toml");
    let text = format!("mode = \"demo\"\ntime_zone = \"Europe/Berlin\"\n[outbound]\n{lines}");
    std::fs::write(&file, text).unwrap();
    let environment = Environment::from_pairs([("SWITCHHOOK_DATA_DIR", data.as_str())]);
    let config = load(&Source::File(file), &environment).unwrap();
    std::fs::create_dir_all(&config.data.recordings).unwrap();
    config
}

fn code(refused: Result<(), InitiateError>) -> &'static str {
    match refused {
        Ok(()) => "ok",
        Err(InitiateError::Limit { code, .. }) => code,
        Err(InitiateError::OutsideHours { .. }) => "hours",
        Err(other) => panic!("{other}"),
    }
}

/// 2026-11-23 is a Monday.
fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

#[tokio::test]
async fn each_limit_refuses_by_its_own_code_and_counts_nothing_then() {
    let directory = tempfile::tempdir().unwrap();
    let lines = "calls_per_minute = 3\ncustomer_calls_per_day = 2\n";
    let store = Store::memory();
    let shared = shared(
        configured(&directory, lines),
        &store,
        "127.0.0.1:0".parse().unwrap(),
    )
    .await;
    let now = at("2026-11-23T10:00:00Z");
    let wish = async |number: &str, customer: Option<&str>, now: Timestamp| {
        let number: E164 = number.parse().unwrap();
        let number = &number;
        code(admit(&shared, Wish { number, customer }, now).await)
    };
    assert_eq!(wish("+12025550142", None, now).await, "ok");
    assert_eq!(wish("+12025550142", None, now).await, "ok");
    for _ in 0..5 {
        assert_eq!(
            wish("+12025550142", None, now).await,
            "outbound.customer_rate"
        );
    }
    // Five refusals are no calls.
    assert_eq!(wish("+12025550143", Some("cust_1"), now).await, "ok");
    assert_eq!(wish("+12025550144", None, now).await, "outbound.rate");
    let later = now + MINUTE;
    assert_eq!(wish("+12025550144", Some("cust_1"), later).await, "ok");
    // Another number does not make another customer.
    assert_eq!(
        wish("+12025550145", Some("cust_1"), later).await,
        "outbound.customer_rate"
    );
    let tomorrow = later + DAY;
    assert_eq!(wish("+12025550142", None, tomorrow).await, "ok");
    store.tally(MINUTES, 1000, tomorrow, DAY).await.unwrap();
    assert_eq!(
        wish("+12025550146", None, tomorrow).await,
        "outbound.minutes"
    );
    shared.sip.shutdown();
    shared.media.shutdown();
}

/// However many calls there are: also beyond what one list holds.
#[tokio::test]
async fn calls_at_the_same_time_are_counted_by_their_rows() {
    let directory = tempfile::tempdir().unwrap();
    let config = configured(&directory, "max_calls = 250\n");
    let store = Store::memory();
    let number = |n: u32| format!("+4930231{n:05}");
    let begins = async |n: u32| {
        let id = CallId::from_unique(&format!("{n}"));
        let now = clock::now() + Duration::from_millis(u64::from(n));
        let mut call =
            switchhook_call::Call::new(id, "demo".to_owned(), CallPolicy::default(), now);
        let target = number(n).parse().unwrap();
        let actions = call.handle(
            now,
            Event::OutboundRequested {
                target,
                assistant: None,
            },
        );
        let mut step = Step::default();
        calls::fill_step(&mut step, &call, 1, false, &actions, &Ways::inbox(), now);
        store.commit(step).await.unwrap();
    };
    let wish = async |n: u32| {
        let number: E164 = number(n).parse().unwrap();
        code(check_live(&store, &config.outbound, &number).await)
    };
    for n in 0..249 {
        begins(n).await;
    }
    assert_eq!(wish(300).await, "ok");
    // The oldest is on the last page.
    assert_eq!(wish(0).await, "outbound.customer_busy");
    begins(249).await;
    assert_eq!(wish(300).await, "outbound.concurrency");
}

#[tokio::test]
async fn people_are_called_by_their_own_clock() {
    let directory = tempfile::tempdir().unwrap();
    let lines = "time_zones = { \"+1202\" = \"America/New_York\" }\n\
        hours = { weekly = [{ days = [\"mon\", \"tue\"], from = \"09:00\", to = \"20:00\" }] }\n";
    let config = configured(&directory, lines);
    let open = |number: &str, now: &str| {
        let number: E164 = number.parse().unwrap();
        check_hours(&config.outbound, &number, at(now)).is_ok()
    };
    // 10:00 in Berlin, 04:00 in New York.
    assert!(open("+493023125110", "2026-11-23T09:00:00Z"));
    assert!(!open("+12025550142", "2026-11-23T09:00:00Z"));
    // 22:00 in Berlin, 16:00 in New York.
    assert!(!open("+493023125110", "2026-11-23T21:00:00Z"));
    assert!(open("+12025550142", "2026-11-23T21:00:00Z"));
    // A Wednesday.
    assert!(!open("+493023125110", "2026-11-25T09:00:00Z"));
}

#[tokio::test]
async fn what_calls_cost_is_counted_once_and_refused_at_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let prices = Prices {
        per_day: 1.0,
        per_minute: [("+49".to_owned(), 0.1), ("+4930".to_owned(), 0.05)].into(),
    };
    assert!((price(&prices, "+493023125110") - 0.05).abs() < 1e-9);
    assert!((price(&prices, "+498923125110") - 0.1).abs() < 1e-9);
    // As much as the dearest that is known.
    assert!((price(&prices, "+12025550142") - 0.1).abs() < 1e-9);
    let mut config = config(&directory);
    config.outbound.limits.prices = Some(prices);
    let now = clock::now();
    let store = Store::memory();
    store.tally(SPENT, 999, now, DAY).await.unwrap();
    assert!(check_spent(&store, &config.outbound, now).await.is_ok());
    store.tally(SPENT, 1, now, DAY).await.unwrap();
    let refused = check_spent(&store, &config.outbound, now).await;
    assert_eq!(code(refused), "outbound.spend");
}
