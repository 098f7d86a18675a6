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
    let accepted = || Event::NoticeAccepted {
        message: message.clone(),
    };
    let lost = |will_retry| Event::NoticeUndelivered {
        message: message.clone(),
        error: "30005".to_owned(),
        will_retry,
    };
    assert_eq!(
        said(&call.handle(now, lost(true))),
        [],
        "nobody was told yet"
    );
    assert_eq!(said(&call.handle(now, accepted())), [TextKey::TeamInformed]);
    assert_eq!(
        said(&call.handle(now, lost(true))),
        [TextKey::TryingAnotherWay]
    );
    assert_eq!(said(&call.handle(now, lost(true))), [], "told once");
    assert_eq!(said(&call.handle(now, accepted())), [TextKey::TeamInformed]);
    assert_eq!(
        said(&call.handle(now, lost(false))),
        [TextKey::NotInformedAfterAll]
    );
}
