//! The trunk to Asterisk 22 with TLS and SRTP, with G.722, and over the refresh of its sessions.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use switchhook_e2e::api::{only_transfer, pretty};
use switchhook_e2e::asterisk::{Asterisk, AsteriskConfig, TONE_HZ, TONE_NUMBER, free_address};
use switchhook_e2e::certs::Ca;
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_lab::audio::codec::PhoneCodec;
use switchhook_lab::audio::tone;
use switchhook_lab::phone::{PhoneCall, PhoneConfig, PhoneEvent};

use crate::common::*;
use crate::pbx::*;

/// How long the PBX hears the caller at least.
const TALK_MS: u64 = 1_000;
/// A session of 90 s is refreshed after half of it.
const REFRESH: Duration = Duration::from_secs(90);

/// Asterisk with certificates, over TLS; the gateway demands SRTP on the trunk or does not.
async fn start_tls(srtp: &str) -> (Gateway, Asterisk, Ca) {
    let ca = Ca::new();
    // Both are at this address, and each shows this certificate.
    let own = ca.issue("127.0.0.1");
    let tls = free_address();
    let listen = format!(
        "[sip]\ntls = [\"{tls}\"]\ntls_certificate_file = \"{}\"\ntls_key_file = \"{}\"\n\
         tls_ca_file = \"{}\"\ntls_system_roots = false\n",
        own.certificate.display(),
        own.key.display(),
        ca.file().display(),
    );
    let trunk = format!("[trunks.pbx]\ntransport = \"tls\"\nsrtp = \"{srtp}\"\n");
    let (gateway, asterisk) = start(
        |pbx: SocketAddr| {
            GatewaySettings::media(
                &mute_toml(pbx)
                    .replace("[sip]\n", &listen)
                    .replace("[trunks.pbx]\n", &trunk),
            )
        },
        |_, config| AsteriskConfig {
            gateway: tls,
            transport: "tls",
            certificates: Some((own.clone(), ca.file())),
            media_encryption: "sdes",
            ..config
        },
    )
    .await;
    // The gateway looks at its files again and again.
    (gateway, asterisk, ca)
}

/// A phone of the PBX calls in over the trunk and is connected over the trunk to a number of the
/// PBX; it and the PBX hear each other. Returns the call and its record once that is so.
async fn in_and_out(
    gateway: &Gateway,
    asterisk: &Asterisk,
    change: impl FnOnce(PhoneConfig) -> PhoneConfig,
) -> (PhoneCall, String) {
    let phone = pbx_phone_with(asterisk, "301", change).await;
    let (call, id) = transferred(gateway, asterisk, &phone, TONE_NUMBER).await;
    call.play_tone(CALLER_HZ);
    call.wait_tone(TONE_HZ, call.now_ms(), TALK_MS * 2, ANSWER)
        .await
        .unwrap();
    (call, id)
}

/// Ends the call and returns its record; the PBX has recorded the caller.
async fn finished(gateway: &Gateway, asterisk: &Asterisk, call: &PhoneCall) -> Value {
    call.hangup().await.unwrap();
    let record = gateway.api().await.ended_call(ENDED).await;
    assert_eq!(
        only_transfer(&record)["outcome"],
        "bridged",
        "{}",
        pretty(&record)
    );
    asterisk.wait_channels(0, SOON).await;
    let found = tone::present_ms(&asterisk.heard(), CALLER_HZ);
    assert!(found >= TALK_MS, "the PBX heard {found} ms of the caller");
    record
}

/// What `legs[].media` says of both legs.
fn media<'a>(record: &'a Value, figure: &str) -> Vec<&'a Value> {
    let legs = record["legs"].as_array().unwrap();
    assert_eq!(legs.len(), 2, "{}", pretty(record));
    legs.iter().map(|leg| &leg["media"][figure]).collect()
}

#[tokio::test]
async fn tls_and_srtp_on_the_trunk() {
    let (gateway, asterisk, _ca) = start_tls("required").await;
    let (call, id) = in_and_out(&gateway, &asterisk, |config| config).await;
    let record = finished(&gateway, &asterisk, &call).await;
    for suite in media(&record, "srtp") {
        assert!(suite.is_string(), "{}", pretty(&record));
    }
    for count in media(&record, "packets_received") {
        assert!(count.as_u64() > Some(0), "{}", pretty(&record));
    }
    let events = events_of(&gateway.api().await, &id).await;
    for ours in [true, false] {
        for sip in ["INVITE ", "SIP/2.0 200"] {
            assert!(
                on_the_wire(&events, |sent, text| sent == ours
                    && text.starts_with(sip)
                    && text.contains("SIP/2.0/TLS")
                    && text.contains(" RTP/SAVP ")
                    && text.contains("a=crypto:")
                    && !text.contains("inline:")),
                "sent by us: {ours}, {sip}\n{}",
                drawn(&events)
            );
        }
    }
}

/// The PBX insists on SRTP and the gateway has none: nobody talks in the clear.
#[tokio::test]
async fn a_pbx_that_insists_on_srtp_gets_488_from_a_trunk_without() {
    let (gateway, asterisk, _ca) = start_tls("off").await;
    let phone = pbx_phone(&asterisk, "301").await;
    let call = phone.dial(&at_pbx(&asterisk, "2001")).await.unwrap();
    let end = call.wait_ended(SOON).await.unwrap();
    assert!(
        matches!(end, PhoneEvent::Failed { status: 488, .. }),
        "{end:?}"
    );
    asterisk.wait_channels(0, SOON).await;
    assert!(gateway.api().await.calls().await.is_empty());
}

#[tokio::test]
async fn g722_over_the_trunk() {
    let codecs = "[trunks.pbx]\ncodecs = [\"g722\"]\n";
    let (gateway, asterisk) = start(
        |pbx| GatewaySettings::media(&mute_toml(pbx).replace("[trunks.pbx]\n", codecs)),
        |_, config| AsteriskConfig {
            codecs: "g722",
            ..config
        },
    )
    .await;
    let wide = |config: PhoneConfig| config.codecs(&[PhoneCodec::G722]);
    let (call, _) = in_and_out(&gateway, &asterisk, wide).await;
    let heard: Vec<u8> = call.heard().payload_types.into_iter().collect();
    assert_eq!(heard, [PhoneCodec::G722.payload_type()]);
    let record = finished(&gateway, &asterisk, &call).await;
    assert_eq!(
        media(&record, "codec"),
        ["g722", "g722"],
        "{}",
        pretty(&record)
    );
}

/// Both sides agree on the shortest session, 90 s. Asterisk refreshes the one it began, we the other;
/// the call is there when both would have ended without.
#[tokio::test]
async fn sessions_are_refreshed_by_both_sides() {
    let expires = "[sip]\nsession_expires_s = 90\n";
    let (gateway, asterisk) = start(
        |pbx| GatewaySettings::media(&mute_toml(pbx).replace("[sip]\n", expires)),
        |_, config| AsteriskConfig {
            timers: "always",
            ..config
        },
    )
    .await;
    let (call, id) = in_and_out(&gateway, &asterisk, |config| config).await;
    let api = gateway.api().await;
    for ours in [true, false] {
        let events = wait_wire(&api, &id, "a refresh", REFRESH, |sent, text| {
            sent == ours && is_refresh(text)
        })
        .await;
        let refresh = events
            .iter()
            .filter(|one| (one["from"] == "switchhook") == ours)
            .filter_map(|one| one["text"].as_str())
            .find(|text| is_refresh(text))
            .unwrap()
            .to_owned();
        wait_wire(&api, &id, "its answer", SOON, |sent, text| {
            let same = |name: &str| header(text, name) == header(&refresh, name);
            sent != ours
                && text.starts_with("SIP/2.0 200")
                && same("Call-ID")
                && same("CSeq")
                && header(text, "Session-Expires").starts_with("90")
        })
        .await;
    }
    // Without a refresh that was answered, each session would be over after 90 s.
    let ended_by_ms = 95_000;
    call.wait_tone(TONE_HZ, ended_by_ms, 500, Duration::from_secs(120))
        .await
        .unwrap();
    finished(&gateway, &asterisk, &call).await;
}

/// Whether it is a request within a dialog that keeps it alive.
fn is_refresh(text: &str) -> bool {
    (text.starts_with("UPDATE ") || text.starts_with("INVITE "))
        && header(text, "To").contains(";tag=")
        && header(text, "Session-Expires") == "90;refresher=uac"
}

/// A header's value.
fn header<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(given, _)| given.eq_ignore_ascii_case(name))
        .map_or("", |(_, value)| value.trim())
}
