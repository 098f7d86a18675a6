//! REFER both ways, Replaces, and why a call ended.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::{DEADLINE, Message, Peer, SDP, World, authorization, extension};
use switchhook_model::{HangupCause, LegId};
use switchhook_sip::{DialTarget, IncomingCall, ReferOutcome, SipEvent, SipLegEvent};

/// An answered inbound call: the world, the caller, the leg, our 200.
async fn talking() -> (World, Peer, LegId, Message) {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    let (leg, ok) = answered(&mut world, &peer).await;
    (world, peer, leg, ok)
}

async fn answered(world: &mut World, peer: &Peer) -> (LegId, Message) {
    peer.invite("assistant").await;
    let call = world.incoming().await;
    call.handle.answer(SDP.to_owned()).unwrap();
    let ok = peer.response("INVITE", 200).await;
    peer.send(&compose(world, peer, &ok, "ACK", 1, "")).await;
    world.leg_event(&call.leg).await;
    (call.leg, ok)
}

fn compose(
    world: &World,
    peer: &Peer,
    ok: &Message,
    method: &str,
    cseq: u32,
    more: &str,
) -> String {
    let uri = format!("sip:assistant@{}", world.udp);
    peer.compose(method, &uri, cseq, ok.tag("To"), more, "")
}

/// A request within the dialog of a call of ours, by the one who was called.
fn back(peer: &Peer, invite: &Message, method: &str, cseq: u32, more: &str, body: &str) -> String {
    format!(
        "{method} sip:us@{} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKb{cseq}{method}{};rport\r\n\
         Max-Forwards: 70\r\nFrom: {};tag={}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:peer@{}>\r\n{more}Content-Length: {}\r\n\r\n{body}",
        peer.to,
        peer.addr(),
        peer.tag,
        invite.header("To"),
        peer.tag,
        invite.header("From"),
        invite.header("Call-ID"),
        peer.addr(),
        body.len(),
    )
}

/// An answered call of ours: the world, the phone, the leg, our INVITE.
async fn called() -> (World, Peer, LegId, Message) {
    let mut world = World::start().await;
    let phone = Peer::new(world.udp).await;
    let uri = format!("sip:bob@{}", phone.addr());
    let leg = world.dial(DialTarget::Uri(uri)).await;
    let invite = phone.request("INVITE").await;
    phone.reply(&invite, "200 OK", SDP).await;
    phone.request("ACK").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Answered { .. }
    ));
    (world, phone, leg, invite)
}

#[tokio::test]
async fn a_phone_passes_its_partner_on_and_hears_how_it_goes() {
    let (mut world, peer, leg, ok) = talking().await;
    let more =
        "Refer-To: <sip:2005@example.com>\r\nReferred-By: \"X\" <sip:2001@example.com>;x=y\r\n";
    peer.send(&compose(&world, &peer, &ok, "REFER", 2, more))
        .await;
    let id = match world.leg_event(&leg).await {
        SipLegEvent::Refer {
            id,
            uri,
            replaces: None,
            referred_by,
        } => {
            assert_eq!(uri, "sip:2005@example.com");
            assert_eq!(referred_by.as_deref(), Some("<sip:2001@example.com>"));
            id
        }
        other => panic!("{other:?}"),
    };
    world.endpoint.answer_refer(&leg, id, 202).unwrap();
    peer.response("REFER", 202).await;
    for (status, state, line) in [
        (100, "active;expires=300", "SIP/2.0 100 Trying"),
        (180, "active;expires=300", "SIP/2.0 180 Ringing"),
        (486, "terminated;reason=noresource", "SIP/2.0 486 Busy Here"),
    ] {
        world.endpoint.notify_refer(&leg, id, status).unwrap();
        let notify = peer.request("NOTIFY").await;
        assert_eq!(notify.header("Event"), "refer");
        assert_eq!(notify.header("Subscription-State"), state);
        let contact = format!("@{}>", world.udp);
        assert!(notify.header("Contact").ends_with(&contact), "{contact}");
        assert_eq!(notify.header("Content-Type"), "message/sipfrag;version=2.0");
        assert_eq!(notify.body().trim_end(), line);
        peer.reply(&notify, "200 OK", "").await;
    }
    // The second one of the dialog is named (RFC 3515 §2.4.6), also when the first was refused.
    peer.send(&compose(
        &world,
        &peer,
        &ok,
        "REFER",
        3,
        "r: <sip:2002@example.com>\r\n",
    ))
    .await;
    let SipLegEvent::Refer { id, .. } = world.leg_event(&leg).await else {
        panic!("a REFER");
    };
    world.endpoint.answer_refer(&leg, id, 202).unwrap();
    peer.response("REFER", 202).await;
    world.endpoint.notify_refer(&leg, id, 200).unwrap();
    assert_eq!(peer.request("NOTIFY").await.header("Event"), "refer;id=3");
}

#[tokio::test]
async fn a_refer_that_says_nothing_usable_is_refused_and_the_call_goes_on() {
    let (mut world, peer, leg, ok) = talking().await;
    let bad = [
        "",
        "Refer-To: tel:+12025550100\r\n",
        "Refer-To: <sip:a@b;method=BYE>\r\n",
        "Refer-To: <sip:a@b>\r\nRefer-To: <sip:c@d>\r\n",
        "Refer-To: <sip:a@b?Replaces=x>\r\n",
    ];
    let mut cseq = 1;
    for more in bad {
        cseq += 1;
        peer.send(&compose(&world, &peer, &ok, "REFER", cseq, more))
            .await;
        peer.response("REFER", 400).await;
    }
    // One too many at once.
    for _ in 0..4 {
        cseq += 1;
        peer.send(&compose(
            &world,
            &peer,
            &ok,
            "REFER",
            cseq,
            "Refer-To: <sip:a@b>\r\n",
        ))
        .await;
        assert!(matches!(
            world.leg_event(&leg).await,
            SipLegEvent::Refer { .. }
        ));
    }
    cseq += 1;
    peer.send(&compose(
        &world,
        &peer,
        &ok,
        "REFER",
        cseq,
        "Refer-To: <sip:a@b>\r\n",
    ))
    .await;
    peer.response("REFER", 500).await;
    // Those that wait are answered when the leg ends; the reason of a BYE is understood.
    let bye = "Reason: Q.850;cause=17;text=\"User busy\"\r\n";
    peer.send(&compose(&world, &peer, &ok, "BYE", cseq + 1, bye))
        .await;
    match world.leg_event(&leg).await {
        SipLegEvent::Ended {
            by_remote: true,
            cause: HangupCause::Busy,
            reason,
        } => {
            assert!(reason.contains("User busy"));
        }
        other => panic!("{other:?}"),
    }
    peer.response("REFER", 481).await;
    // Outside of any dialog.
    let stray = Peer::new(world.udp).await;
    stray
        .send(&stray.compose(
            "REFER",
            &format!("sip:a@{}", world.udp),
            1,
            "",
            "Refer-To: <sip:a@b>\r\n",
            "",
        ))
        .await;
    stray.response("REFER", 405).await;
}

#[tokio::test]
async fn we_ask_the_other_side_and_read_its_reports() {
    let (mut world, phone, leg, invite) = called().await;
    let ask = || {
        world.endpoint.refer(
            &leg,
            "sip:+12025550100@example.com".to_owned(),
            Some("<sip:us@example.com>".to_owned()),
        )
    };
    ask().unwrap();
    let refer = phone.request("REFER").await;
    assert_eq!(refer.header("Refer-To"), "<sip:+12025550100@example.com>");
    assert_eq!(refer.header("Referred-By"), "<sip:us@example.com>");
    phone.reply(&refer, "202 Accepted", "").await;
    let mut expect = async |wanted: ReferOutcome| match world.leg_event(&leg).await {
        SipLegEvent::ReferReported(got) => assert_eq!(got, wanted),
        other => panic!("{other:?}"),
    };
    expect(ReferOutcome::Accepted).await;
    let notify = |cseq: u32, event: &str, state: &str, body: &str| {
        let more = format!(
            "Event: {event}\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag\r\n"
        );
        back(&phone, &invite, "NOTIFY", cseq, &more, body)
    };
    // Reports on something else, and ones that say nothing, change nothing.
    phone
        .send(&notify(10, "presence", "active", "SIP/2.0 200 OK"))
        .await;
    phone.response("NOTIFY", 489).await;
    phone
        .send(&notify(11, "refer;id=99", "active", "SIP/2.0 200 OK"))
        .await;
    phone.response("NOTIFY", 481).await;
    phone.send(&notify(12, "refer", "active", "hello")).await;
    phone.response("NOTIFY", 400).await;
    phone
        .send(&notify(
            13,
            "refer",
            "active;expires=60",
            "SIP/2.0 100 Trying\r\n",
        ))
        .await;
    phone.response("NOTIFY", 200).await;
    phone
        .send(&notify(14, "refer", "active", "SIP/2.0 180 Ringing\r\n"))
        .await;
    phone.response("NOTIFY", 200).await;
    expect(ReferOutcome::Progress { status: 180 }).await;
    phone
        .send(&notify(
            15,
            "refer",
            "terminated;reason=noresource",
            "SIP/2.0 200 OK\r\n",
        ))
        .await;
    phone.response("NOTIFY", 200).await;
    expect(ReferOutcome::Completed { status: 200 }).await;
    phone
        .send(&notify(16, "refer", "active", "SIP/2.0 200 OK\r\n"))
        .await;
    phone.response("NOTIFY", 481).await;
}

#[tokio::test]
async fn a_refused_or_silent_refer_fails_and_keeps_the_call() {
    let (mut world, phone, leg, invite) = called().await;
    for (answer, wanted) in [
        ("603 Decline", Some(603)),
        ("202 Accepted", Some(404)),
        ("202 Accepted", None),
    ] {
        world
            .endpoint
            .refer(&leg, "sip:a@example.com".to_owned(), None)
            .unwrap();
        let refer = phone.request("REFER").await;
        phone.reply(&refer, answer, "").await;
        if answer.starts_with("202") {
            assert!(matches!(
                world.leg_event(&leg).await,
                SipLegEvent::ReferReported(ReferOutcome::Accepted)
            ));
            let (state, body) = match wanted {
                Some(status) => ("active", format!("SIP/2.0 {status} No\r\n")),
                None => (
                    "terminated;reason=timeout",
                    "SIP/2.0 100 Trying\r\n".to_owned(),
                ),
            };
            let more = format!(
                "Event: refer\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag\r\n"
            );
            phone
                .send(&back(
                    &phone,
                    &invite,
                    "NOTIFY",
                    refer.cseq() + 100,
                    &more,
                    &body,
                ))
                .await;
            phone.response("NOTIFY", 200).await;
        }
        match world.leg_event(&leg).await {
            SipLegEvent::ReferReported(ReferOutcome::Failed { status }) => {
                assert_eq!(status, wanted)
            }
            other => panic!("{other:?}"),
        }
    }
    world.endpoint.hangup(&leg, HangupCause::Normal).unwrap();
    let bye = phone.request("BYE").await;
    assert_eq!(
        bye.header("Reason"),
        "Q.850;cause=16;text=\"Normal call clearing\""
    );
}

/// The exchange agrees and says nothing more: the next target is asked for all the same, and what it
/// says late of the first one is not taken for the second.
#[tokio::test]
async fn a_refer_left_without_a_report_does_not_stand_in_the_way() {
    let (mut world, phone, leg, invite) = called().await;
    let mut first = 0;
    for to in ["sip:a@example.com", "sip:b@example.com"] {
        world.endpoint.refer(&leg, to.to_owned(), None).unwrap();
        let refer = phone.request("REFER").await;
        assert_eq!(refer.header("Refer-To"), format!("<{to}>"));
        phone.reply(&refer, "202 Accepted", "").await;
        assert!(matches!(
            world.leg_event(&leg).await,
            SipLegEvent::ReferReported(ReferOutcome::Accepted)
        ));
        if first == 0 {
            first = refer.cseq();
        }
    }
    let second = first + 1;
    let notify = |cseq: u32, event: &str, status: &str| {
        let more = format!(
            "Event: {event}\r\nSubscription-State: active\r\nContent-Type: message/sipfrag\r\n"
        );
        back(&phone, &invite, "NOTIFY", cseq, &more, status)
    };
    for (cseq, event) in [(10, format!("refer;id={first}")), (11, "refer".to_owned())] {
        phone
            .send(&notify(cseq, &event, "SIP/2.0 200 OK\r\n"))
            .await;
        phone.response("NOTIFY", 481).await;
    }
    let event = format!("refer;id={second}");
    phone
        .send(&notify(12, &event, "SIP/2.0 486 Busy Here\r\n"))
        .await;
    phone.response("NOTIFY", 200).await;
    match world.leg_event(&leg).await {
        SipLegEvent::ReferReported(ReferOutcome::Failed { status: Some(486) }) => {}
        other => panic!("{other:?}"),
    }
}

/// An INVITE of extension 2005 with these header lines, digest and all, until its answer.
async fn invite_as_2005(world: &World, phone: &Peer, more: &str) {
    let uri = format!("sip:assistant@{}", world.udp);
    let plain = |cseq, more: &str| {
        phone
            .compose("INVITE", &uri, cseq, "", more, SDP)
            .replace("<sip:caller@", "<sip:2005@")
    };
    phone.send(&plain(1, more)).await;
    let challenge = phone.response("INVITE", 401).await;
    let ack = plain(1, "")
        .replace("INVITE sip", "ACK sip")
        .replace("1 INVITE", "1 ACK")
        .replace(SDP, "");
    let _ = ack;
    let auth = authorization(&challenge, "2005", "demo-2005", "INVITE", &uri, 1);
    phone.send(&plain(2, &format!("{auth}{more}"))).await;
}

fn replaces(peer: &Peer, our_tag: &str, more: &str) -> String {
    format!(
        "Replaces: {};to-tag={our_tag};from-tag={}{more}\r\nRequire: replaces\r\n",
        peer.call_id, peer.tag
    )
}

async fn replacing(world: &mut World, phone: &Peer, more: &str) -> IncomingCall {
    invite_as_2005(world, phone, more).await;
    world.incoming().await
}

#[tokio::test]
async fn an_invite_with_replaces_names_the_leg_it_means() {
    let (mut world, peer, leg, ok) = talking().await;
    let named = switchhook_sip::Replaces {
        sip_call_id: peer.call_id.clone(),
        to_tag: ok.tag("To").to_owned(),
        from_tag: peer.tag.clone(),
        early_only: false,
    };
    assert_eq!(
        world.endpoint.confirmed_leg(&named).await,
        Some(leg.clone())
    );
    let swapped = switchhook_sip::Replaces {
        to_tag: named.from_tag.clone(),
        from_tag: named.to_tag.clone(),
        ..named.clone()
    };
    assert_eq!(
        world.endpoint.confirmed_leg(&swapped).await,
        Some(leg.clone())
    );

    let phone = Peer::new(world.udp).await;
    let call = replacing(&mut world, &phone, &replaces(&peer, ok.tag("To"), "")).await;
    assert_eq!(call.replaces, Some(leg));
    call.handle.reject(603, None).unwrap();
    phone.response("INVITE", 603).await;

    for (more, status) in [
        // Confirmed, but only an early one was wanted.
        (replaces(&peer, ok.tag("To"), ";early-only"), 486),
        (replaces(&peer, "other", ""), 481),
        ("Replaces: nonsense\r\n".to_owned(), 400),
        (
            replaces(&peer, ok.tag("To"), "")
                .repeat(2)
                .replace("Require: replaces\r\n", ""),
            400,
        ),
    ] {
        let phone = Peer::new(world.udp).await;
        invite_as_2005(&world, &phone, &more).await;
        phone.response("INVITE", status).await;
    }
}

#[tokio::test]
async fn a_ringing_leg_of_ours_may_be_replaced_and_a_callers_may_not() {
    let mut world = World::start().await;
    let ringing = Peer::new(world.udp).await;
    let leg = world
        .dial(DialTarget::Uri(format!("sip:bob@{}", ringing.addr())))
        .await;
    let invite = ringing.request("INVITE").await;
    ringing.reply(&invite, "180 Ringing", "").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ringing { .. }
    ));
    let more = format!(
        "Replaces: {};to-tag={};from-tag={};early-only\r\n",
        invite.header("Call-ID"),
        invite.tag("From"),
        ringing.tag
    );
    let phone = Peer::new(world.udp).await;
    let call = replacing(&mut world, &phone, &more).await;
    assert_eq!(call.replaces, Some(leg.clone()));
    call.handle.answer(SDP.to_owned()).unwrap();
    phone.response("INVITE", 200).await;
    world
        .endpoint
        .hangup(&leg, HangupCause::AnsweredElsewhere)
        .unwrap();
    let cancel = ringing.request("CANCEL").await;
    assert_eq!(
        cancel.header("Reason"),
        "SIP;cause=200;text=\"Call completed elsewhere\""
    );
    // One that is given up cannot be taken over any more.
    let late = Peer::new(world.udp).await;
    invite_as_2005(&world, &late, &more).await;
    late.response("INVITE", 603).await;

    let caller = Peer::new(world.udp).await;
    caller.invite("assistant").await;
    let waiting = loop {
        if let SipEvent::Incoming(call) = world.event().await {
            break call;
        }
    };
    let ring = world.endpoint.ring(&waiting.leg);
    ring.unwrap();
    let rings = caller.recv_within(DEADLINE).await.unwrap();
    assert_eq!(rings.status(), Some(180));
    let phone = Peer::new(world.udp).await;
    invite_as_2005(&world, &phone, &replaces(&caller, rings.tag("To"), "")).await;
    phone.response("INVITE", 481).await;
}

#[tokio::test]
async fn a_caller_whose_call_was_taken_elsewhere_says_so() {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    let invite = peer.invite("assistant").await;
    let call = world.incoming().await;
    let cancel = invite
        .replacen("INVITE", "CANCEL", 1)
        .replace("1 INVITE", "1 CANCEL")
        .replace(
            "Content-Type: application/sdp\r\n",
            "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n",
        )
        .replace(SDP, "");
    let length = format!("Content-Length: {}", SDP.len());
    peer.send(&cancel.replace(&length, "Content-Length: 0"))
        .await;
    match world.leg_event(&call.leg).await {
        SipLegEvent::Canceled { reason } => assert!(reason.starts_with("SIP;cause=200")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn where_a_call_comes_from_is_told_without_line_breaks() {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    let more = "X-Ticket: 7\r\nDiversion: <sip:+493023125001@example.com>;reason=no-answer\r\n\
                P-Asserted-Identity: <sip:+12025550199@example.com>\r\nUser-to-User: 56a3;encoding=hex\r\n\
                Subject: not told\r\n";
    peer.send(&peer.compose(
        "INVITE",
        &format!("sip:assistant@{}", world.udp),
        1,
        "",
        more,
        SDP,
    ))
    .await;
    let call = world.incoming().await;
    let names: Vec<&str> = call.headers.iter().map(|(name, _)| name.as_str()).collect();
    // A guest's identity is a claim.
    assert_eq!(names, ["X-Ticket", "Diversion", "User-to-User"]);
    assert_eq!(call.from.number, "caller");
    assert_eq!(extension("2005").as_str(), "2005");
}

/// A report may be the last word before BYE: whoever gets BYE first looks for no report any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reports_and_the_bye_that_follows_leave_in_their_order() {
    let (mut world, peer, leg, ok) = talking().await;
    let refer_to = "Refer-To: <sip:2005@example.com>\r\n";
    peer.send(&compose(&world, &peer, &ok, "REFER", 2, refer_to))
        .await;
    let SipLegEvent::Refer { id, .. } = world.leg_event(&leg).await else {
        panic!("a REFER");
    };
    world.endpoint.answer_refer(&leg, id, 202).unwrap();
    for _ in 0..100 {
        world.endpoint.notify_refer(&leg, id, 180).unwrap();
    }
    world.endpoint.hangup(&leg, HangupCause::Normal).unwrap();
    let mut seen = Vec::new();
    loop {
        let message = peer.recv().await;
        if message.status().is_some() {
            continue;
        }
        // Repetitions do not count: nothing is answered here.
        if !seen.contains(&message.cseq()) {
            seen.push(message.cseq());
        }
        if message.method() == "BYE" {
            break;
        }
    }
    assert_eq!(seen.len(), 101, "{seen:?}");
    assert!(seen.is_sorted(), "{seen:?}");
}
