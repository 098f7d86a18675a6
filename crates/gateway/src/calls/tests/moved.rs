//! Legs that are not what they were: redirected to another party, or given to another call.

use switchhook_lab::phone::message::SipMessage;
use switchhook_lab::phone::{Peer, Transport};
use switchhook_media::MediaEvent;
use switchhook_sip::SipLegEvent;
use tokio::sync::mpsc;

use super::*;
use crate::app::sip_config;
use crate::calls::task::CallTask;

/// Extension 2001, and the numbers from +49 30 23125 110 on over a trunk that ends at `trunk`.
fn with_trunk(directory: &tempfile::TempDir, trunk: SocketAddr) -> Config {
    let text = format!(
        "mode = \"demo\"\n\
         [sip]\nbind = \"127.0.0.1:0\"\n\
         [extensions.2001]\npassword = \"demo-2001\"\n\
         [trunks.pbx]\ntermination = \"{trunk}\"\n\
         [outbound]\ntrunk = \"pbx\"\nallowed_prefixes = [\"+493023125\"]\n"
    );
    let file = directory.path().join("switchhook.toml");
    std::fs::write(&file, text).unwrap();
    let data = directory.path().display().to_string();
    let environment = Environment::from_pairs([("SWITCHHOOK_DATA_DIR", data.as_str())]);
    load(&Source::File(file), &environment).unwrap()
}

/// A call that does what it is given here, and nothing by itself.
fn by_hand(shared: &Arc<Shared>, name: &str) -> (CallTask, mpsc::Receiver<CallInput>) {
    let id = CallId::from_unique(name);
    let policy = policy::call(&shared.config);
    let call = Call::new(id.clone(), "demo".into(), policy, clock::now());
    let (inbox, inputs, _) = Inbox::open();
    shared.registry.insert(id, inbox.clone());
    let task = CallTask::new(Arc::clone(shared), call, Legs::default(), inbox);
    (task, inputs)
}

/// A phone that forwards its calls to a number lends nobody its own rights.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_reached_by_a_redirection_may_refer_as_if_dialled_there() {
    let directory = tempfile::tempdir().unwrap();
    let outside = Phone::start(PhoneConfig::new("outside").on_call(OnCall::RingOnly))
        .await
        .unwrap();
    let config = with_trunk(&directory, outside.local());
    let sip = sip_config(&config, Vec::new());
    let shared = shared_with(config, &Store::memory(), sip).await;
    let at = shared.sip.local_addrs().0[0];
    let desk = PhoneConfig::new("2001")
        .server(at)
        .password("demo-2001")
        .on_call(OnCall::Manual);
    let desk = Phone::start(desk).await.unwrap();
    desk.register().await.unwrap();

    let (mut task, mut inputs) = by_hand(&shared, "forwarded");
    let to_desk = Event::OutboundRequested {
        target: "2001".parse().unwrap(),
        assistant: Some("Clara".into()),
    };
    task.input(CallInput::Event(to_desk)).await;
    let leg = task.call.view().legs[0].id.clone();
    assert!(task.legs.may_refer_out(&leg), "an extension may");

    desk.incoming(0, SOON).await.unwrap();
    let line = desk.received("INVITE").remove(0);
    let moved = SipMessage::response_to(&line.message.unwrap(), 302, "Moved Temporarily", "moved")
        .with("Contact", format!("<sip:+493023125110@{at}>"));
    let peer = Peer {
        addr: line.peer,
        transport: Transport::Udp,
    };
    desk.send_raw(moved.to_bytes(), peer);
    while outside.received("INVITE").is_empty() {
        let input = tokio::time::timeout(SOON, inputs.recv()).await;
        let input = input.unwrap_or_else(|_| panic!("no INVITE\n{}", desk.ladder()));
        task.input(input.unwrap()).await;
    }
    assert!(
        !task.legs.may_refer_out(&leg),
        "a party over that trunk may not"
    );
    shared.sip.shutdown();
}

/// What was on its way when the leg went over reaches the call that has it now.
#[tokio::test(flavor = "multi_thread")]
async fn inputs_of_a_leg_that_was_given_away_are_passed_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::memory();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let shared = shared(config(&directory), &store, any).await;
    let (mut giver, _) = by_hand(&shared, "giver");
    let (taker, mut taken) = by_hand(&shared, "taker");
    let leg = LegId::derive(&giver.id, 0);
    let ended = || CallInput::Sip {
        leg: leg.clone(),
        event: SipLegEvent::Ended {
            by_remote: true,
            cause: HangupCause::Normal,
            reason: String::new(),
        },
    };
    giver.legs.mark_given(leg.clone());
    shared.registry.adopt(leg.clone(), taker.id.clone());
    giver.input(ended()).await;
    let heard = CallInput::Media {
        leg: leg.clone(),
        event: MediaEvent::RtpResumed,
    };
    giver.input(heard).await;
    let passed = taken.try_recv().unwrap();
    assert!(
        matches!(&passed, CallInput::Sip { leg: of, event: SipLegEvent::Ended { .. } } if *of == leg),
        "{passed:?}"
    );
    let passed = taken.try_recv().unwrap();
    assert!(
        matches!(&passed, CallInput::Media { leg: of, event: MediaEvent::RtpResumed } if *of == leg),
        "{passed:?}"
    );
    let facts = store.events(&giver.id).await.unwrap();
    assert!(facts.is_empty(), "not the giver's business: {facts:?}");

    // It came back.
    shared.registry.adopt(leg.clone(), giver.id.clone());
    giver.input(ended()).await;
    assert!(taken.try_recv().is_err());
    assert!(!store.events(&giver.id).await.unwrap().is_empty());
    shared.sip.shutdown();
}
