//! Phones that reach the gateway through a proxy nobody here wrote: Kamailio. It adds itself to
//! registrations (Path) and to calls (Record-Route); media goes past it. And browsers, which the
//! proxy serves over WebSocket, or the gateway itself.

use std::net::SocketAddr;

use serde_json::Value;
use switchhook_e2e::api::{Api, items, pretty};
use switchhook_e2e::baresip::{Baresip, BaresipConfig};
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_e2e::kamailio::Kamailio;
use switchhook_lab::phone::message::SipMessage;
use switchhook_lab::phone::{
    LadderLine, OnCall, Phone, PhoneCall, PhoneConfig, PhoneEvent, Transport,
};

use crate::common::*;

/// Frequency of the phone under test; the other plays [`CALLER_HZ`].
const PHONE_HZ: f64 = 2000.0;

/// Everybody proves who they are, also on loopback: the proxy is nobody's credentials.
async fn gateway() -> Gateway {
    GatewaySettings::media(
        "mode = \"demo\"\n[sip]\nloopback_guests = false\nwebsocket = true\n\
         [extensions.2001]\npassword = \"demo-2001\"\n\
         [extensions.2005]\npassword = \"demo-2005\"\n\
         [extensions.2006]\npassword = \"demo-2006\"\n\
         [users.demo]\npassword = \"demo\"\nrole = \"admin\"\n",
    )
    .start()
    .await
}

fn config(extension: &str, server: SocketAddr) -> PhoneConfig {
    PhoneConfig::new(extension)
        .server(server)
        .password(&format!("demo-{extension}"))
}

/// 2001, which knows the proxy only.
async fn behind(proxy: &Kamailio, transport: Transport) -> Phone {
    let server = match transport {
        Transport::Wss => proxy.tls(),
        _ => proxy.sip(),
    };
    let config = config("2001", server)
        .transport(transport)
        .trusting(&proxy.ca().file());
    let phone = Phone::start(config).await.unwrap();
    phone.register().await.unwrap();
    phone
}

/// One that needs no proxy.
async fn beside(gateway: &Gateway, extension: &str) -> Phone {
    let phone = Phone::start(config(extension, gateway.sip()))
        .await
        .unwrap();
    phone.register().await.unwrap();
    phone
}

/// What `GET /api/extensions` says of 2001.
async fn registered(api: &Api) -> Value {
    let all = items(&api.get("/api/extensions").await);
    let found = all.into_iter().find(|one| one["extension"] == "2001");
    found.expect("2001 is configured")
}

/// Requests within a dialog the phone sent (or got) so far, of one method.
fn in_dialog(phone: &Phone, method: &str, sent: bool) -> Vec<SipMessage> {
    let of_way = |line: LadderLine| (line.sent == sent).then_some(line.message.ok()).flatten();
    let all: Vec<SipMessage> = phone.messages().into_iter().filter_map(of_way).collect();
    let invites: Vec<String> = all
        .iter()
        .filter(|m| m.status().is_none() && m.method() == "INVITE")
        .map(SipMessage::branch)
        .collect();
    let fits = |m: &SipMessage| {
        // The ACK of a refusal is no request of its own: it has the branch of its INVITE.
        let of_refusal = method == "ACK" && invites.contains(&m.branch());
        m.status().is_none() && m.method() == method && m.to_tag().is_some() && !of_refusal
    };
    all.into_iter().filter(fits).collect()
}

/// These requests went through the proxy: the phone's carry the Route the proxy asked for, the
/// gateway's have the proxy's Via above its own.
fn assert_through_the_proxy(phone: &Phone, proxy: &Kamailio, methods: &[(&str, bool)]) {
    for (method, sent) in methods {
        let messages = in_dialog(phone, method, *sent);
        assert!(!messages.is_empty(), "no {method}\n{}", phone.ladder());
        for message in messages {
            if *sent {
                let route = message.header("Route");
                assert!(
                    route.contains(&proxy.sip().to_string())
                        || route.contains(&proxy.tls().to_string()),
                    "{method}: {route:?}"
                );
            } else {
                assert_eq!(message.all("Via").len(), 2, "{method}: {message:?}");
            }
        }
    }
    let proxies = [proxy.sip(), proxy.tls()];
    // What comes over a connection that the proxy opened comes from any of its ports.
    let past = |line: &LadderLine| {
        let is_request = line.message.as_ref().is_ok_and(|m| m.status().is_none());
        line.sent && is_request && !proxies.contains(&line.peer)
    };
    assert!(
        !phone.messages().iter().any(past),
        "past the proxy\n{}",
        phone.ladder()
    );
}

async fn both_hear(phone: &PhoneCall, other: &PhoneCall) {
    phone.play_tone(PHONE_HZ);
    other.play_tone(CALLER_HZ);
    hears(phone, CALLER_HZ).await;
    hears(other, PHONE_HZ).await;
}

/// 2001 is called, holds, takes back and hangs up.
async fn is_called(gateway: &Gateway, phone: &Phone, other: &Phone) {
    let call = other
        .dial(&format!("sip:2001@{}", gateway.sip()))
        .await
        .unwrap();
    call.wait_answered(SOON).await.unwrap();
    let answered = phone.incoming(0, SOON).await.unwrap();
    both_hear(&answered, &call).await;
    for event in [answered.hold().await, answered.resume().await] {
        assert!(
            matches!(event, Ok(PhoneEvent::ReInviteAnswered { status: 200, .. })),
            "{event:?}"
        );
    }
    hears(&call, PHONE_HZ).await;
    hears(&answered, CALLER_HZ).await;
    answered.hangup().await.unwrap();
    call.wait_ended(SOON).await.unwrap();
    clean(&gateway.api().await.ended_call(ENDED).await);
}

/// 2001 calls as it would: its own server's name in the address. An operator holds it and takes it
/// back, and the other side hangs up.
async fn calls(gateway: &Gateway, phone: &Phone, server: SocketAddr, other: &Phone) {
    let call = phone.dial(&format!("sip:2005@{server}")).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    let answered = other.incoming(0, SOON).await.unwrap();
    both_hear(&call, &answered).await;
    let api = gateway.api().await;
    let record = api
        .wait_call("a bridged call", SOON, |one| one["status"] == "with_agent")
        .await;
    operator_holds_and_resumes(&api, &record, &call).await;
    hears(&call, CALLER_HZ).await;
    hears(&answered, PHONE_HZ).await;
    answered.hangup().await.unwrap();
    call.wait_ended(SOON).await.unwrap();
    clean(&api.ended_call(ENDED).await);
}

/// The caller gives up while it rings: the CANCEL takes the way of the INVITE.
async fn gives_up(gateway: &Gateway, caller: &Phone, to: String, called: &Phone) {
    called.set_on_call(OnCall::RingOnly);
    let seen = called.received("INVITE").len();
    let call = caller.dial(&to).await.unwrap();
    let is_ringing = |event: &PhoneEvent| matches!(event, PhoneEvent::Progress { status: 180, .. });
    call.wait_for("180", is_ringing, SOON).await.unwrap();
    call.hangup().await.unwrap();
    let is_cancelled = |event: &PhoneEvent| matches!(event, PhoneEvent::Cancelled { .. });
    called
        .wait_for("a CANCEL", is_cancelled, SOON)
        .await
        .unwrap();
    assert!(called.received("INVITE").len() > seen);
    clean(&gateway.api().await.ended_call(ENDED).await);
}

/// Everything a phone does, through the proxy, which speaks to the gateway over `to_gateway`.
async fn a_phone_lives_behind_the_proxy(transport: Transport, to_gateway: &str) {
    let gateway = gateway().await;
    let proxy = Kamailio::start(gateway.sip(), to_gateway).await;
    let phone = behind(&proxy, transport).await;
    let api = gateway.api().await;
    let seen = registered(&api).await;
    assert_eq!(seen["registered"], true, "{}", pretty(&seen));
    let contact = seen["contacts"][0]["uri"].as_str().unwrap();
    if transport == Transport::Wss {
        assert!(contact.contains(".invalid;transport=ws"), "{contact}");
    } else {
        assert!(contact.contains(&phone.local().to_string()), "{contact}");
    }
    let accepted = |line: LadderLine| {
        let message = line.message.ok()?;
        (message.status() == Some(200)).then(|| message.all("Path"))
    };
    let path = phone.messages().into_iter().find_map(accepted).unwrap();
    // One entry for each side of the proxy.
    assert_eq!(path.len(), 2, "{path:?}");
    let other = beside(&gateway, "2005").await;
    is_called(&gateway, &phone, &other).await;
    let invite = phone.received("INVITE")[0].message.clone().unwrap();
    assert_eq!(invite.all("Via").len(), 2, "{}", phone.ladder());
    assert!(!invite.header("Record-Route").is_empty(), "{invite:?}");
    assert_through_the_proxy(
        &phone,
        &proxy,
        &[
            ("ACK", false),
            ("INVITE", true),
            ("ACK", true),
            ("BYE", true),
        ],
    );
    calls(&gateway, &phone, proxy.sip(), &other).await;
    assert_through_the_proxy(
        &phone,
        &proxy,
        &[("INVITE", false), ("ACK", true), ("BYE", false)],
    );
    let to = format!("sip:2001@{}", gateway.sip());
    gives_up(&gateway, &other, to, &phone).await;
    let to = format!("sip:2005@{}", proxy.sip());
    gives_up(&gateway, &phone, to, &other).await;
    assert!(!proxy.log().contains("proxy: "), "{}", proxy.log());
    phone.register_for(0).await.unwrap();
    assert_eq!(registered(&api).await["registered"], false);
}

#[tokio::test]
async fn a_udp_phone_behind_a_proxy() {
    a_phone_lives_behind_the_proxy(Transport::Udp, "udp").await;
}

#[tokio::test]
async fn a_tcp_phone_behind_a_proxy_that_comes_over_tcp() {
    a_phone_lives_behind_the_proxy(Transport::Tcp, "tcp").await;
}

#[tokio::test]
async fn a_browser_behind_a_proxy() {
    a_phone_lives_behind_the_proxy(Transport::Wss, "udp").await;
}

/// A softphone that trusts the proxy's certificate: called, it passes its caller on, so that REFER
/// and NOTIFY take the proxy's way, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_softphone_over_tls_behind_a_proxy_passes_its_caller_on() {
    let gateway = gateway().await;
    let proxy = Kamailio::start(gateway.sip(), "udp").await;
    let mut config = BaresipConfig::with_tone("2001", proxy.tls(), HUMAN_HZ);
    config.transport = "tls";
    config.ca_file = Some(proxy.ca().file());
    let mut human = Baresip::start(config).await;
    let api = gateway.api().await;
    assert_eq!(registered(&api).await["registered"], true);
    let (first, second) = (
        beside(&gateway, "2005").await,
        beside(&gateway, "2006").await,
    );
    let call = first
        .dial(&format!("sip:2001@{}", gateway.sip()))
        .await
        .unwrap();
    call.wait_answered(SOON).await.unwrap();
    human.wait_event("CALL_ESTABLISHED", 1, SOON).await;
    call.play_tone(CALLER_HZ);
    hears(&call, HUMAN_HZ).await;
    baresip_hears(&human, 0, CALLER_HZ).await;
    human
        .command("transfer", &format!("sip:2006@{}", proxy.sip()))
        .await;
    let taken = second.incoming(0, SOON).await.unwrap();
    both_hear(&taken, &call).await;
    human.wait_event("CALL_CLOSED", 1, SOON).await;
    assert!(human.events("TRANSFER_FAILED").is_empty());
    call.hangup().await.unwrap();
    taken.wait_ended(SOON).await.unwrap();
    clean(&api.ended_call(ENDED).await);
    human.kill().await;
}

/// No proxy: the gateway's own `/sip`. With the socket the registration ends.
#[tokio::test]
async fn a_browser_at_the_gateway_itself() {
    let gateway = gateway().await;
    let page = || config("2001", gateway.http()).transport(Transport::Ws);
    let stranger = Phone::start(page().password("wrong")).await.unwrap();
    let refused = stranger.try_register(60).await.unwrap();
    assert!(
        matches!(refused, PhoneEvent::RegistrationRefused { status: 401 }),
        "{refused:?}"
    );
    let phone = Phone::start(page()).await.unwrap();
    phone.register().await.unwrap();
    let api = gateway.api().await;
    assert_eq!(registered(&api).await["registered"], true);
    let other = beside(&gateway, "2005").await;
    is_called(&gateway, &phone, &other).await;
    calls(&gateway, &phone, gateway.sip(), &other).await;
    drop(phone);
    until(
        "the end of the registration with its socket",
        SOON,
        async || {
            let phone = registered(&api).await;
            check(phone["registered"] != true, || phone)
        },
    )
    .await;
}
