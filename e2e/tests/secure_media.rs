//! SRTP with keys in SDP, against baresip: its own implementation of RFC 3711 and RFC 4568.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use switchhook_e2e::api::{Api, items};
use switchhook_e2e::baresip::{Baresip, BaresipConfig};
use switchhook_e2e::certs::Ca;
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_e2e::ports;
use switchhook_lab::audio::tone;
use switchhook_lab::phone::{OnCall, Phone, PhoneConfig, PhoneEvent, Srtp, Suite};

use crate::common::*;

/// Long enough for the tones to be judged.
const TALK_MS: u64 = 2_000;

/// Guests speak plain RTP; each extension as the test wants.
async fn gateway(srtp_2001: &str, srtp_2005: &str) -> Gateway {
    GatewaySettings::media(&format!(
        "mode = \"demo\"\n[sip]\nloopback_guests = true\n\
         [extensions.2001]\npassword = \"demo-2001\"\nsrtp = \"{srtp_2001}\"\n\
         [extensions.2005]\npassword = \"demo-2005\"\nsrtp = \"{srtp_2005}\"\n\
         [users.demo]\npassword = \"demo\"\nrole = \"admin\"\n"
    ))
    .start()
    .await
}

async fn baresip(server: SocketAddr, transport: &'static str, encryption: &'static str) -> Baresip {
    let mut config = BaresipConfig::with_tone("2001", server, HUMAN_HZ);
    config.transport = transport;
    config.media_encryption = Some(encryption);
    Baresip::start(config).await
}

/// Nothing that is kept or printed holds a key: 30 octets are 40 characters of base64.
async fn assert_no_key_is_kept(gateway: &Gateway, call: &str) {
    let events = gateway
        .api()
        .await
        .get(&format!("/api/calls/{call}/events?limit=500"))
        .await
        .to_string();
    assert!(events.contains("a=crypto:"), "{events}");
    assert!(!events.contains("inline:"), "{events}");
    assert!(!gateway.log().contains("inline:"), "in the log");
    for file in files_below(&gateway.data_dir()) {
        let content = std::fs::read(&file).unwrap();
        let found = content.windows(7).any(|w| w == b"inline:");
        assert!(!found, "a key in {}", file.display());
    }
}

fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// A plain caller and a phone that insists on SRTP hear each other; with SAVP, and with keys in
/// RTP/AVP for a phone that would do without.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_caller_and_a_protected_phone_are_bridged() {
    for (policy, transport, encryption) in [
        ("required", "udp", "srtp-mand"),
        ("optional", "tcp", "srtp"),
    ] {
        let gateway = gateway(policy, "off").await;
        let mut human = baresip(gateway.sip(), transport, encryption).await;
        let phone = caller().await;
        let call = phone
            .dial(&format!("sip:2001@{}", gateway.sip()))
            .await
            .unwrap();
        call.wait_answered(SOON).await.unwrap();
        human.wait_event("CALL_ESTABLISHED", 1, SOON).await;
        call.play_tone(CALLER_HZ);
        let heard = call.wait_tone(HUMAN_HZ, 0, TALK_MS, ANSWER).await.unwrap();
        assert!(!heard.is_protected);
        call.hangup().await.unwrap();
        human.wait_event("CALL_CLOSED", 1, SOON).await;
        let heard = human.heard(0);
        assert!(tone::present_ms(&heard, CALLER_HZ) > 1_000, "{policy}");
        let record = gateway.api().await.ended_call(ENDED).await;
        assert_no_key_is_kept(&gateway, record["id"].as_str().unwrap()).await;
        human.kill().await;
    }
}

/// The offer is baresip's: RTP/SAVP with its key. Called is the lab's phone, over another suite.
#[tokio::test(flavor = "multi_thread")]
async fn two_protected_phones_are_bridged_and_keep_their_keys_over_a_re_invite() {
    let gateway = gateway("optional", "required").await;
    let called = Phone::start(
        PhoneConfig::new("2005")
            .server(gateway.sip())
            .password("demo-2005")
            .srtp(Srtp::On(Suite::Tag32))
            .on_call(OnCall::AnswerAfter(Duration::ZERO)),
    )
    .await
    .unwrap();
    called.register().await.unwrap();
    let mut human = baresip(gateway.sip(), "udp", "srtp-mand").await;
    human.dial(&format!("sip:2005@{}", gateway.sip())).await;
    let call = called.incoming(0, SOON).await.unwrap();
    human.wait_event("CALL_ESTABLISHED", 1, SOON).await;
    call.play_tone(CALLER_HZ);
    let heard = call.wait_tone(HUMAN_HZ, 0, TALK_MS, ANSWER).await.unwrap();
    assert!(heard.is_protected);
    assert!(heard.refused.is_empty(), "{:?}", heard.refused);
    call.hold().await.unwrap();
    call.resume().await.unwrap();
    let resumed_ms = call.now_ms();
    let heard = call
        .wait_tone(HUMAN_HZ, resumed_ms, TALK_MS, ANSWER)
        .await
        .unwrap();
    assert!(
        heard.refused.is_empty(),
        "other keys after the re-INVITE: {:?}",
        heard.refused
    );
    call.hangup().await.unwrap();
    human.wait_event("CALL_CLOSED", 1, SOON).await;
    assert!(tone::present_ms(&human.heard(0), CALLER_HZ) > 1_000);
    let record = gateway.api().await.ended_call(ENDED).await;
    assert_no_key_is_kept(&gateway, record["id"].as_str().unwrap()).await;
    human.kill().await;
}

/// Waits for a message among those of the call; the last ones are stored after its end.
async fn wait_wire(api: &Api, call: &str, fits: impl Fn(&str) -> bool) {
    let path = format!("/api/calls/{call}/events?limit=500");
    until("the message", SOON, async || {
        let events = items(&api.get(&path).await);
        let texts: Vec<&str> = events.iter().filter_map(|e| e["text"].as_str()).collect();
        check(texts.iter().any(|text| fits(text)), || {
            format!("{texts:#?}")
        })
    })
    .await;
}

/// Nothing in the clear: baresip signs in over TLS, with Opus over SRTP, is called and calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_over_tls_with_protected_opus() {
    let ca = Ca::new();
    let files = ca.issue("127.0.0.1");
    let tls = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let gateway = GatewaySettings::media(&format!(
        "mode = \"demo\"\n[sip]\nloopback_guests = true\ntls = [\"{tls}\"]\n\
         tls_certificate_file = \"{}\"\ntls_key_file = \"{}\"\n\
         [extensions.2001]\npassword = \"demo-2001\"\nsrtp = \"required\"\n\
         [extensions.2005]\npassword = \"demo-2005\"\n\
         [users.demo]\npassword = \"demo\"\nrole = \"admin\"\n",
        files.certificate.display(),
        files.key.display()
    ))
    .start()
    .await;
    let mut config = BaresipConfig::with_tone("2001", tls, HUMAN_HZ);
    config.transport = "tls";
    config.ca_file = Some(ca.file());
    config.media_encryption = Some("srtp-mand");
    config.codec = "opus/48000/2";
    let mut human = Baresip::start(config).await;
    let other = Phone::start(
        PhoneConfig::new("2005")
            .server(gateway.sip())
            .password("demo-2005"),
    )
    .await
    .unwrap();
    other.register().await.unwrap();
    let api = gateway.api().await;
    for (n, caller) in ["phone", "baresip"].into_iter().enumerate() {
        let call = if caller == "phone" {
            let address = format!("sip:2001@{}", gateway.sip());
            other.dial(&address).await.unwrap()
        } else {
            human.dial(&format!("sip:2005@{tls};transport=tls")).await;
            other.incoming(0, SOON).await.unwrap()
        };
        call.wait_answered(SOON).await.unwrap();
        human.wait_event("CALL_ESTABLISHED", n + 1, SOON).await;
        call.play_tone(CALLER_HZ);
        hears(&call, HUMAN_HZ).await;
        baresip_hears(&human, n, CALLER_HZ).await;
        if caller == "phone" {
            call.hangup().await.unwrap();
        } else {
            human.hangup().await;
            call.wait_ended(SOON).await.unwrap();
        }
        human.wait_event("CALL_CLOSED", n + 1, SOON).await;
        let record = api.ended_call(ENDED).await;
        let id = record["id"].as_str().unwrap();
        assert_no_key_is_kept(&gateway, id).await;
        // One leg over TLS, the other over UDP; the protected one takes Opus over SRTP.
        let over_tls = |first: &'static str, rest: &'static [&'static str]| {
            move |text: &str| {
                text.starts_with(first)
                    && text.contains("SIP/2.0/TLS ")
                    && rest.iter().all(|part| text.contains(part))
            }
        };
        wait_wire(&api, id, over_tls("INVITE ", &[])).await;
        wait_wire(
            &api,
            id,
            over_tls("SIP/2.0 200 ", &["RTP/SAVP", "opus/48000/2"]),
        )
        .await;
        wait_wire(&api, id, over_tls("BYE ", &[])).await;
    }
    human.kill().await;
}

/// Policy is kept: nobody gets plain RTP where SRTP is required, nor the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn what_policy_forbids_is_refused_with_488() {
    let gateway = gateway("off", "required").await;
    for (user, srtp) in [("2001", Srtp::On(Suite::Tag80)), ("2005", Srtp::Off)] {
        let phone = Phone::start(
            PhoneConfig::new(user)
                .server(gateway.sip())
                .password(&format!("demo-{user}"))
                .srtp(srtp),
        )
        .await
        .unwrap();
        phone.register().await.unwrap();
        let call = phone.dial(&gateway.assistant()).await.unwrap();
        let end = call.wait_ended(SOON).await.unwrap();
        assert!(
            matches!(end, PhoneEvent::Failed { status: 488, .. }),
            "{user}: {end:?}\n{}",
            phone.ladder()
        );
    }
}
