//! A notice that was accepted and then lost: the caller was told something that is not so.

mod world;

use switchhook_call::{ActionKind, Call, Event, TextKey};
use switchhook_model::{CallId, MessageId, Timestamp};

fn said(actions: &[switchhook_call::Action]) -> Vec<TextKey> {
    actions
        .iter()
        .filter_map(|action| match &action.kind {
            ActionKind::Say { key, .. } => Some(*key),
            _ => None,
        })
        .collect()
}

/// A caller who left a message with the assistant, which goes on.
fn with_message() -> (Call, Timestamp, MessageId) {
    let mut call = Call::new(
        CallId::from_unique("t"),
        "demo".to_owned(),
        world::policy(),
        world::START,
    );
    let leg = switchhook_model::LegId::derive(call.id(), 0);
    let now = world::START;
    call.handle(
        now,
        Event::CallerArrived {
            leg: leg.clone(),
            caller: switchhook_model::CallerIdentity::from_untrusted("+12025550142", None),
            callee: "100".to_owned(),
            route: switchhook_call::Route::Assistant {
                name: "Clara".to_owned(),
            },
            sip_headers: std::collections::BTreeMap::new(),
        },
    );
    call.handle(now, Event::LegAnswered { leg });
    call.handle(
        now,
        Event::MessageTaken {
            text: "please call back".to_owned(),
            duration_ms: 3000,
            recorded: false,
        },
    );
    let message = MessageId::derive(call.id(), 1);
    (call, now, message)
}

#[test]
fn the_caller_learns_that_the_team_does_not_know_after_all() {
    let (mut call, now, message) = with_message();
    let accepted = |way| Event::NoticeAccepted {
        message: message.clone(),
        way,
    };
    let lost = |way, will_retry| Event::NoticeUndelivered {
        message: message.clone(),
        way,
        error: "30005".to_owned(),
        will_retry,
    };
    assert_eq!(
        said(&call.handle(now, lost(0, true))),
        [],
        "nobody was told yet"
    );
    assert_eq!(
        said(&call.handle(now, accepted(0))),
        [],
        "it was lost since"
    );
    assert_eq!(
        said(&call.handle(now, accepted(1))),
        [TextKey::TeamInformed]
    );
    assert_eq!(
        said(&call.handle(now, lost(1, true))),
        [TextKey::TryingAnotherWay]
    );
    assert_eq!(said(&call.handle(now, lost(1, true))), [], "told once");
    assert_eq!(
        said(&call.handle(now, accepted(2))),
        [TextKey::TeamInformed]
    );
    assert_eq!(
        said(&call.handle(now, lost(2, false))),
        [TextKey::NotInformedAfterAll]
    );
}

/// The carrier's report may come before the answer to our own request is told.
#[test]
fn a_loss_by_the_last_way_is_told_though_its_acceptance_was_not() {
    let (mut call, now, message) = with_message();
    let lost = Event::NoticeUndelivered {
        message: message.clone(),
        way: 0,
        error: "30005".to_owned(),
        will_retry: false,
    };
    let accepted = Event::NoticeAccepted { message, way: 0 };
    assert_eq!(said(&call.handle(now, lost)), [TextKey::SavedNotDelivered]);
    assert!(call.handle(now, accepted).is_empty(), "it was lost since");
}

/// The next way may have taken it before its loss by the first one is told.
#[test]
fn a_loss_that_is_told_late_takes_nothing_back() {
    let (mut call, now, message) = with_message();
    let accepted = |way| Event::NoticeAccepted {
        message: message.clone(),
        way,
    };
    let lost = |way, will_retry| Event::NoticeUndelivered {
        message: message.clone(),
        way,
        error: "63016".to_owned(),
        will_retry,
    };
    assert_eq!(
        said(&call.handle(now, accepted(0))),
        [TextKey::TeamInformed]
    );
    assert!(!call.lacks_acceptance(&message, 0), "it is known");
    assert!(call.lacks_acceptance(&message, 1), "a later way is news");
    call.handle(now, accepted(1));
    assert!(call.handle(now, lost(0, true)).is_empty());
    assert_eq!(
        said(&call.handle(now, lost(1, false))),
        [TextKey::NotInformedAfterAll],
        "it stood as accepted"
    );
    assert!(!call.lacks_acceptance(&message, 1), "it was lost since");
    assert!(call.lacks_acceptance(&message, 2));
}
