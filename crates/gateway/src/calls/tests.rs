//! After a crash, against real sockets: what the rows say is ended, closed and told.

mod moved;
mod nodes;

use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use switchhook_call::{ActionKind, Call, Event, Route};
use switchhook_lab::phone::{OnCall, Phone, PhoneConfig, PhoneEvent};
use switchhook_media::{MediaConfig, MediaEngine, wav};
use switchhook_model::{
    CallId, CallerIdentity, HangupCause, LegId, RecordingId, RequestId, Target,
};
use switchhook_sip::{
    DialFrom, DialRequest, DialTarget, DialogRecord, SipConfig, SipEndpoint, SipEvent,
};
use switchhook_store::{MessageFilter, RecordingRow, RecordingState, Step, Store};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::inbox::{CallInput, Inbox};
use super::legs::{LegParts, Legs, Signalling};
use super::{Registry, Shared, facts, new_leg_id, policy, recover, rows};
use crate::bus::Bus;
use crate::config::{Config, Environment, Source, load};
use crate::http::ports::{CommandError, Operator as _, TransferOrder, TransferTo};
use crate::notices::Ways;
use crate::switchboard::Switchboard;
use crate::{brains, clock, voices};

const SOON: Duration = Duration::from_secs(20);

/// The demo, keeping everything in `directory`.
pub(crate) fn config(directory: &tempfile::TempDir) -> Config {
    let data = directory.path().display().to_string();
    let environment = Environment::from_pairs([("SWITCHHOOK_DATA_DIR", data.as_str())]);
    let config = load(&Source::Profile("demo".into()), &environment).unwrap();
    std::fs::create_dir_all(&config.data.recordings).unwrap();
    config
}

fn endpoint(at: SocketAddr) -> SipConfig {
    SipConfig::new(at, Arc::new(new_leg_id))
}

/// What a gateway consists of, with its SIP port at `sip`. Nobody listens, thinks or speaks.
pub(crate) async fn shared(config: Config, store: &Store, sip: SocketAddr) -> Arc<Shared> {
    shared_with(config, store, endpoint(sip)).await
}

/// The same with a SIP side that knows more; what happens to legs reaches their calls.
async fn shared_with(config: Config, store: &Store, sip: SipConfig) -> Arc<Shared> {
    let (sip, mut events) = SipEndpoint::start(sip).await.unwrap();
    let registry = Registry::default();
    let calls = registry.clone();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let SipEvent::Leg { leg, event } = event {
                let input = CallInput::Sip {
                    leg: leg.clone(),
                    event,
                };
                calls.send_to_leg(&leg, input);
            }
        }
    });
    let voices = voices::build(&config.speech, "http://127.0.0.1:9", false).unwrap();
    let media = MediaConfig {
        recording_dir: config.data.recordings.clone(),
        ..MediaConfig::default()
    };
    Arc::new(Shared {
        policy: policy::call(&config),
        conversation: policy::conversation(&config).unwrap(),
        endpointing: policy::endpointing(&config),
        store: store.clone(),
        media: MediaEngine::start(media).unwrap(),
        sip,
        listener: voices.listener,
        voice: voices.voice,
        brain: brains::build(&config).unwrap(),
        notices: Ways::inbox(),
        registry,
        bus: Bus::default(),
        config: Arc::new(config),
    })
}

/// A call of ours that rings at a phone, as far as it was stored: its rows, and the leg.
fn ringing(config: &Config, id: &CallId, record: Option<&DialogRecord>) -> Step {
    let now = clock::now();
    let mut call = Call::new(id.clone(), "demo".into(), policy::call(config), now);
    let target: Target = "2001".parse().unwrap();
    let event = Event::OutboundRequested {
        target,
        assistant: Some("Clara".into()),
    };
    let actions = call.handle(now, event);
    let mut legs = Legs::default();
    for action in &actions {
        if let ActionKind::Dial { leg, .. } = &action.kind {
            let parts = LegParts {
                signalling: Signalling::Running,
                media: None,
                record: record.cloned(),
                may_refer_out: false,
            };
            legs.insert(leg.clone(), parts);
        }
    }
    let mut step = Step::default();
    let position = rows::Position {
        revision: 1,
        is_settled: false,
        node: None,
    };
    step.events.extend(facts::actions(&actions, call.id(), now));
    rows::fill(
        &mut step,
        &call,
        &legs,
        position,
        &actions,
        &Ways::inbox(),
        now,
    );
    step
}

/// Dials from a process that is then gone without a word.
fn dialled_and_killed(phone: &Phone, leg: &LegId) -> (DialogRecord, SocketAddr) {
    let first = Runtime::new().unwrap();
    let dialled = first.block_on(async {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (sip, mut events) = SipEndpoint::start(endpoint(any)).await.unwrap();
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        let at = sip.local_addrs().0[0];
        let record = sip
            .dial(DialRequest {
                leg: leg.clone(),
                target: DialTarget::Uri(format!("sip:2001@{}", phone.local())),
                from: DialFrom {
                    user: Some("assistant".into()),
                    display: None,
                },
                sdp_offer: "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n".into(),
                timeout: SOON * 3,
                headers: Vec::new(),
            })
            .await
            .unwrap();
        phone.incoming(0, SOON).await.unwrap();
        (record, at)
    });
    first.shutdown_timeout(SOON);
    dialled
}

/// The stored machine is damaged, or of another version: the phone stops ringing all the same, and
/// the call is closed with the truth.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_state_cannot_be_read_is_ended_and_told() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let phone = Phone::start(PhoneConfig::new("2001").on_call(OnCall::RingOnly))
        .await
        .unwrap();
    let id = CallId::from_unique("damaged");
    let leg = ringing(&config, &id, None).legs[0].id.clone();
    let (record, sip) = tokio::task::block_in_place(|| dialled_and_killed(&phone, &leg));
    let mut step = ringing(&config, &id, Some(&record));
    let row = step.call.as_mut().unwrap();
    row.snapshot = json!({"version": 9_999, "caller": "+12025550142"}).into();
    let store = Store::memory();
    store.commit(step).await.unwrap();

    let shared = shared(config, &store, sip).await;
    assert_eq!(recover(&shared).await.unwrap(), 1);
    phone
        .wait_for(
            "the CANCEL",
            |event| matches!(event, PhoneEvent::Cancelled { .. }),
            SOON,
        )
        .await
        .unwrap();
    let row = store.call(&id).await.unwrap().unwrap();
    assert!(row.head.ended_at.is_some());
    assert_eq!(
        (row.head.status.as_str(), row.head.outcome.as_deref()),
        ("ended", Some("restarted"))
    );
    let view = row.view.value();
    assert_eq!(view["outcome"]["ended_by"], "system");
    let legs = store.legs(&id).await.unwrap();
    assert!(legs.iter().all(|leg| leg.ended_at.is_some()), "{legs:?}");
    assert_eq!(view["legs"][0]["state"], "ended");
    assert_eq!(view["headline"]["clauses"][0]["key"], "ended_by_restart");
    // Once: the next start finds nothing open.
    assert_eq!(recover(&shared).await.unwrap(), 0);
    shared.sip.shutdown();
}

/// Neither machine nor view: the list row tells the truth, and others are closed as ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_which_nothing_can_be_read_holds_up_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let store = Store::memory();
    for (name, damaged) in [("a", true), ("b", false)] {
        let id = CallId::from_unique(name);
        let mut step = ringing(&config, &id, None);
        let row = step.call.as_mut().unwrap();
        if damaged {
            row.snapshot = json!(null).into();
            row.view = json!("?").into();
        }
        store.commit(step).await.unwrap();
    }
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let shared = shared(config, &store, any).await;
    assert_eq!(recover(&shared).await.unwrap(), 2);
    for name in ["a", "b"] {
        let row = store.call(&CallId::from_unique(name)).await.unwrap();
        let head = row.unwrap().head;
        assert!(head.ended_at.is_some(), "{name}");
        assert_eq!(head.status, "ended", "{name}");
        assert_eq!(head.outcome.as_deref(), Some("restarted"), "{name}");
    }
    shared.sip.shutdown();
}

/// A leg that went over to another call is that call's: closing the older call leaves it alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_leg_that_was_given_away_stays_with_its_new_call() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let store = Store::memory();
    let (older, newer) = (CallId::from_unique("older"), CallId::from_unique("newer"));
    let step = ringing(&config, &older, None);
    let mut given = step.legs[0].clone();
    store.commit(step).await.unwrap();
    given.call = newer.clone();
    given.dialog = Some(json!({"of": "the newer call"}).into());
    let mut step = ringing(&config, &newer, None);
    step.legs.push(given.clone());
    store.commit(step).await.unwrap();

    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let shared = shared(config, &store, any).await;
    assert_eq!(recover(&shared).await.unwrap(), 2);
    let legs = store.legs(&newer).await.unwrap();
    assert!(legs.contains(&given), "{legs:#?}");
    assert!(store.legs(&older).await.unwrap().is_empty());
    shared.sip.shutdown();
}

/// The assistant was taking a message when the caller hung up; the process died while it was being
/// made out. Staff learn that somebody has to listen, once, and the judge finds nothing wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_being_made_out_is_not_lost_and_alarms_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let store = Store::memory();
    for (name, is_taken) in [("lost", false), ("taken", true)] {
        let id = CallId::from_unique(name);
        let now = clock::now();
        let mut call = Call::new(id.clone(), "demo".into(), policy::call(&config), now);
        let leg = LegId::derive(&id, 0);
        let mut events = vec![
            Event::CallerArrived {
                leg: leg.clone(),
                caller: CallerIdentity {
                    number: "+12025550142".into(),
                    display_name: None,
                },
                callee: "assistant".into(),
                route: Route::Assistant {
                    name: "Clara".into(),
                },
                sip_headers: Default::default(),
            },
            Event::LegAnswered { leg: leg.clone() },
            Event::AssistantTakesMessage { taking: true },
            Event::LegEnded {
                leg,
                cause: HangupCause::Normal,
            },
        ];
        if is_taken {
            events.push(Event::MessageTaken {
                text: "this is Ada".into(),
                duration_ms: 2_000,
                recorded: true,
            });
        }
        for (n, event) in events.into_iter().enumerate() {
            let mut step = Step::default();
            step.events.push(facts::event(&event).into_row(&id, now));
            let actions = call.handle(now, event);
            step.events.extend(facts::actions(&actions, &id, now));
            // Not settled: the conversation has not told everything yet.
            let position = rows::Position {
                revision: n as u64 + 1,
                is_settled: false,
                node: None,
            };
            let to = &Ways::inbox();
            rows::fill(
                &mut step,
                &call,
                &Legs::default(),
                position,
                &actions,
                to,
                now,
            );
            store.commit(step).await.unwrap();
        }
    }
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let shared = shared(config, &store, any).await;
    assert_eq!(recover(&shared).await.unwrap(), 2);
    for (name, text) in [
        ("lost", "listen to the recording"),
        ("taken", "this is Ada"),
    ] {
        let id = CallId::from_unique(name);
        let filter = MessageFilter {
            call: Some(id.clone()),
            limit: 10,
            ..MessageFilter::default()
        };
        let messages = store.messages(&filter).await.unwrap().items;
        assert_eq!(messages.len(), 1, "{name}: {messages:?}");
        assert!(
            messages[0].text.contains(text),
            "{name}: {}",
            messages[0].text
        );
        assert_eq!(store.violations(&id).await.unwrap(), [], "{name}");
        let row = store.call(&id).await.unwrap().unwrap();
        assert!(row.head.ended_at.is_some(), "{name}");
        assert_eq!(row.view.value()["outcome"]["ended_by"], "caller", "{name}");
    }
    shared.sip.shutdown();
}

/// The operator saw that it is over: it is not said of an order that it was taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_has_ended_takes_no_orders_while_it_tidies_up() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let store = Store::memory();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let shared = shared(config.clone(), &store, any).await;
    let stop = CancellationToken::new();
    let operator = Switchboard::new(Arc::clone(&shared), String::new(), stop.clone());
    for (name, status) in [("over", "ended"), ("live", "with_agent")] {
        let id = CallId::from_unique(name);
        let mut step = ringing(&config, &id, None);
        step.call.as_mut().unwrap().head.status = status.to_owned();
        store.commit(step).await.unwrap();
        let (inbox, mut inputs, _) = Inbox::open();
        shared.registry.insert(id.clone(), inbox);
        let order = TransferOrder {
            request: RequestId::from_unique(name),
            to: TransferTo::Target("2001".parse().unwrap()),
            by: "demo".into(),
        };
        let answers = [
            operator.hold(&id, "demo").await,
            operator.resume(&id, "demo").await,
            operator.transfer(&id, order).await,
        ];
        if status == "ended" {
            let refused = Err(CommandError::NotLive);
            assert!(answers.iter().all(|got| *got == refused), "{answers:?}");
            assert!(inputs.try_recv().is_err());
        } else {
            assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            assert_eq!(inputs.len(), 3);
        }
    }
    stop.cancel();
    shared.sip.shutdown();
}

/// Larger than any file that is read whole (docs/media.md).
#[tokio::test(flavor = "multi_thread")]
async fn a_recording_of_hours_is_ready_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let store = Store::memory();
    let id = CallId::from_unique("long");
    let mut step = ringing(&config, &id, None);
    let octets = 4 * 3_600 * 8_000 * 4_u32;
    let row = |n: u32, file: &str| RecordingRow {
        id: RecordingId::derive(&id, n),
        call: id.clone(),
        file: file.to_owned(),
        state: RecordingState::Recording,
        started_at: clock::now(),
        ended_at: None,
        duration_ms: None,
        error: None,
    };
    step.recordings = vec![row(1, "long.wav"), row(2, "missing.wav")];
    store.commit(step).await.unwrap();
    let path = config.data.recordings.join("long.wav");
    std::fs::write(&path, wav::header(8_000, 2, octets)).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    // A hole: it takes no room on the disk.
    file.set_len(44 + u64::from(octets)).unwrap();
    assert!(u64::from(octets) > wav::FILE_MAX);

    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let shared = shared(config, &store, any).await;
    recover(&shared).await.unwrap();
    let recordings = store.recordings(&id).await.unwrap();
    let long = &recordings[0];
    assert_eq!(long.state, RecordingState::Ready, "{:?}", long.error);
    assert_eq!(long.duration_ms, Some(4 * 3_600_000));
    let missing = &recordings[1];
    assert_eq!(missing.state, RecordingState::Failed);
    assert!(missing.error.as_deref().unwrap().contains("missing.wav"));
    shared.sip.shutdown();
}
