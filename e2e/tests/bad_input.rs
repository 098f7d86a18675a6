//! What a network, a vendor, a disk or an attacker may send: a clear error, and every other call
//! unharmed.

use std::time::Duration;

use serde_json::json;
use switchhook_e2e::api::pretty;
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_lab::audio::tone;
use switchhook_lab::phone::message::SipMessage;
use switchhook_lab::phone::{
    Dial, Faults, Peer, Phone, PhoneCall, PhoneConfig, PhoneEvent, Transport,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::common::*;

/// A caller bridged with a human: the call that nothing may harm.
pub struct Witness {
    pub call: PhoneCall,
    pub human: HumanPhone,
}

impl Witness {
    pub async fn start(gateway: &Gateway) -> Self {
        let human = HumanPhone::answering(gateway).await;
        let phone = caller().await;
        let call = greeted(&phone, gateway).await;
        call.send_digits("0");
        human
            .baresip
            .wait_event("CALL_ESTABLISHED", 1, ANSWER)
            .await;
        call.play_tone(CALLER_HZ);
        call.wait_tone(HUMAN_HZ, 0, 1_000, ANSWER).await.unwrap();
        Self { call, human }
    }

    /// Both still hear each other, and the API knows it.
    pub async fn assert_unharmed(&self, gateway: &Gateway) {
        let from = self.call.now_ms();
        self.call
            .wait_tone(HUMAN_HZ, from, 1_500, SOON)
            .await
            .unwrap();
        let human = &self.human.baresip;
        let before = tone::present_ms(&human.heard(0), CALLER_HZ);
        hears_in_all(human, 0, CALLER_HZ, before + 1_000, SOON).await;
        assert!(!self.call.is_over());
        let calls = gateway.api().await.calls().await;
        assert!(
            calls.iter().any(|c| c["status"] == "with_agent"),
            "{calls:?}"
        );
    }
}

/// Sends datagrams and collects what comes back until nothing comes for a while.
async fn answers_to(gateway: &Gateway, datagrams: &[Vec<u8>]) -> Vec<String> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for datagram in datagrams {
        socket.send_to(datagram, gateway.sip()).await.unwrap();
    }
    let mut answers = Vec::new();
    let mut buffer = vec![0; 65_536];
    while let Ok(Ok(len)) =
        tokio::time::timeout(Duration::from_millis(1_500), socket.recv(&mut buffer)).await
    {
        answers.push(String::from_utf8_lossy(&buffer[..len]).into_owned());
    }
    answers
}

fn invite(to: &str, extra: &str, body: &str) -> Vec<u8> {
    format!(
        "INVITE {to} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:x@127.0.0.1>;tag=1\r\nTo: <{to}>\r\n\
         Call-ID: {}\r\nCSeq: 1 INVITE\r\nContact: <sip:x@127.0.0.1:9>\r\n{extra}\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len() + extra.len(),
        extra.len() * 7 + body.len(),
        body.len()
    )
    .into_bytes()
}

#[tokio::test]
async fn malformed_sip_harms_nobody() {
    let gateway = GatewaySettings::demo().start().await;
    let witness = Witness::start(&gateway).await;
    let uri = gateway.assistant();
    let long = "x".repeat(60_000);
    let bad: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"\r\n\r\n".to_vec(),
        b"INVITE".to_vec(),
        b"INVITE sip:assistant@x SIP/2.0\r\n\r\n".to_vec(),
        b"SIP/2.0 200 OK\r\n\r\n".to_vec(),
        b"SIP/2.0 999999999999 Nope\r\nCSeq: 99999999999999999999 INVITE\r\n\r\n".to_vec(),
        vec![0u8; 1400],
        vec![0xff; 1400],
        (0..=255u8).cycle().take(4_000).collect(),
        format!("INVITE {uri} SIP/2.0\r\nVia: {long}\r\n\r\n").into_bytes(),
        format!("OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/UDP ;branch=\r\nFrom: <<<>>>\r\nTo: \"\r\nCSeq: x y\r\nCall-ID:\r\nContent-Length: -5\r\n\r\n").into_bytes(),
        invite(&uri, "Content-Length: 4000000000\r\n", "v=0\r\n"),
        invite(&uri, &format!("X-Long: {long}\r\n"), ""),
        invite("sip:\u{0}\u{1}@%%%", "", ""),
        invite(&uri, "Max-Forwards: 0\r\n", "v=0\r\n"),
        invite(&uri, "Route: <sip:evil@198.51.100.1;lr>\r\n", "v=0\r\n"),
    ];
    answers_to(&gateway, &bad).await;
    // The same over TCP, where a broken frame must not stop other connections either.
    for bytes in &bad {
        let mut stream = TcpStream::connect(gateway.sip()).await.unwrap();
        // The gateway may close the connection while we still write; that is its right.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
    }
    let mut slow = TcpStream::connect(gateway.sip()).await.unwrap();
    slow.write_all(b"INVITE sip:assistant@127.0.0.1 SIP/2.0\r\nVia:")
        .await
        .unwrap();

    witness.assert_unharmed(&gateway).await;
    let phone = Phone::start(PhoneConfig::new("2005").transport(Transport::Tcp))
        .await
        .unwrap();
    let status = phone
        .options(&format!("sip:{};transport=tcp", gateway.sip()), SOON)
        .await
        .unwrap();
    assert_eq!(status, 200);
    drop(slow);
}

#[tokio::test]
async fn malformed_sdp_and_unknown_codecs_are_refused() {
    let gateway = GatewaySettings::demo().start().await;
    let witness = Witness::start(&gateway).await;
    let phone = caller().await;
    let bodies = [
        ("v=0\r\n", 400..=488),
        ("not sdp at all", 400..=488),
        (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 999.1.1.1\r\nt=0 0\r\nm=audio 99999 RTP/AVP 0\r\n",
            400..=488,
        ),
        // Only G.729: a proper offer that we cannot take (RFC 3261 §21.4.26).
        (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n",
            488..=488,
        ),
        // Only encrypted media, which has its own issue.
        (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 4000 RTP/AVP 34\r\n",
            488..=488,
        ),
    ];
    for (body, expected) in bodies {
        let call = phone
            .place(Dial::to(&gateway.assistant()).sdp(body))
            .await
            .unwrap();
        let end = call.wait_ended(SOON).await.unwrap();
        let PhoneEvent::Failed { status, .. } = end else {
            panic!("{body:?} gave {end:?}")
        };
        assert!(expected.contains(&status), "{body:?} gave {status}");
    }
    witness.assert_unharmed(&gateway).await;
}

#[tokio::test]
async fn rtp_that_is_none_harms_nobody() {
    let gateway = GatewaySettings::demo().start().await;
    let witness = Witness::start(&gateway).await;
    for junk in [
        Vec::new(),
        vec![0x80],
        vec![0u8; 1400],
        vec![0xff; 1400],
        // Claims 15 CSRCs and an extension it does not have.
        [vec![0x9f, 0x00], vec![0xff; 14]].concat(),
        // An event packet of one byte, on the payload type agreed for events.
        [vec![0x80, 101, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1], vec![1]].concat(),
        // Unknown payload type.
        [
            vec![0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1],
            vec![0x55; 500],
        ]
        .concat(),
    ] {
        for _ in 0..20 {
            witness.call.send_raw_rtp(junk.clone());
        }
    }
    // A stranger who guesses the port must neither be heard nor take the call over.
    let media = witness.call.heard().sources;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for n in 0..100u16 {
        let mut packet = vec![0x80, 0x00];
        packet.extend_from_slice(&n.to_be_bytes());
        packet.extend_from_slice(&(u32::from(n) * 160).to_be_bytes());
        packet.extend_from_slice(&[1, 2, 3, 4]);
        packet.extend(std::iter::repeat_n(0x00, 160));
        for addr in &media {
            stranger.send_to(&packet, addr).await.unwrap();
        }
    }
    witness.assert_unharmed(&gateway).await;
    assert_eq!(witness.call.heard().sources, media);
}

#[tokio::test]
async fn wrong_credentials_tell_nothing_about_who_exists() {
    let gateway = GatewaySettings::demo().start().await;
    let mut refused = Vec::new();
    for (user, password) in [("2001", "wrong"), ("2999", "wrong"), ("2999", "demo-2001")] {
        let config = PhoneConfig::new(user)
            .server(gateway.sip())
            .password(password);
        let phone = Phone::start(config).await.unwrap();
        let event = phone.try_register(60).await.unwrap();
        let PhoneEvent::RegistrationRefused { status } = event else {
            panic!("{user} was registered with {password}");
        };
        let shape: Vec<(u16, usize)> = phone
            .messages()
            .iter()
            .filter(|l| !l.sent)
            .filter_map(|l| l.message.as_ref().ok())
            .map(|m: &SipMessage| (m.status().unwrap_or(0), m.headers.len()))
            .collect();
        refused.push((status, shape));
    }
    assert!(
        refused.windows(2).all(|w| w[0] == w[1]),
        "answers differ: {refused:?}"
    );
    assert!(matches!(refused[0].0, 401 | 403), "{refused:?}");
    // And the right password still works.
    let config = PhoneConfig::new("2001")
        .server(gateway.sip())
        .password("demo-2001");
    let phone = Phone::start(config).await.unwrap();
    phone.register().await.unwrap();
}

/// Without the demo's guests, an unknown source is nobody: whatever it dials, known or not.
#[tokio::test]
async fn a_foreign_source_is_refused_without_a_hint() {
    let gateway = GatewaySettings::file(
        "mode = \"development\"\n[sip]\nloopback_guests = false\n\
         [extensions.2001]\nname = \"Front desk\"\npassword = \"a-long-test-password-1\"\n",
    )
    .start()
    .await;
    let phone = caller().await;
    let mut ends = Vec::new();
    for user in ["assistant", "2001", "2999"] {
        let call = phone
            .dial(&format!("sip:{user}@{}", gateway.sip()))
            .await
            .unwrap();
        ends.push(
            match call.wait_ended(Duration::from_secs(40)).await.unwrap() {
                PhoneEvent::Failed { status, .. } => status,
                other => panic!("{user}: {other:?}"),
            },
        );
    }
    assert!(
        ends.iter().all(|s| *s == ends[0]),
        "answers differ: {ends:?}"
    );
    assert!(matches!(ends[0], 401 | 403 | 407 | 408), "{ends:?}");
}

#[tokio::test]
async fn hostile_names_are_only_names() {
    let gateway = GatewaySettings::demo().start().await;
    let phone = caller().await;
    let names = [
        "\"<script>alert(1)</script>\" <sip:evil@127.0.0.1>",
        "\"'; DROP TABLE calls; --\" <sip:';--@127.0.0.1>",
        "\"\u{202e}gnp.exe \u{1f4a3} =cmd|'/c calc'!A1\" <sip:+49301234567890123456789@127.0.0.1>",
        "\"a\\\"b\\\\c\" <sip:quote@127.0.0.1>",
    ];
    for name in names {
        let call = phone
            .place(Dial::to(&gateway.assistant()).from(name))
            .await
            .unwrap();
        let first = call
            .wait_for(
                "an answer or a refusal",
                |e| e.is_end() || matches!(e, PhoneEvent::Answered { .. }),
                SOON,
            )
            .await
            .unwrap();
        if matches!(first, PhoneEvent::Answered { .. }) {
            call.hangup().await.unwrap();
        }
    }
    let api = gateway.api().await;
    let record = api.ended_call(ENDED).await;
    assert!(record["caller"].is_string(), "{}", pretty(&record));
    let answer = gateway
        .client()
        .get(gateway.http_url("/"))
        .send()
        .await
        .unwrap();
    let page = answer.text().await.unwrap_or_default();
    assert!(!page.contains("alert(1)"));
    let call = greeted(&phone, &gateway).await;
    call.hangup().await.unwrap();
}

#[tokio::test]
async fn http_says_what_is_wrong() {
    let gateway = GatewaySettings::demo().start().await;
    let client = gateway.client();
    let answer = client
        .get(gateway.http_url("/api/calls"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    let body: serde_json::Value = answer.json().await.unwrap();
    assert!(
        body["error"]["code"].is_string() && body["error"]["request_id"].is_string(),
        "{body}"
    );

    let api = gateway.api().await;
    // Twenty megabytes are announced and some are sent: nobody waits for the rest.
    let mut huge = TcpStream::connect(gateway.http()).await.unwrap();
    let head = format!(
        "POST /api/auth/token HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
         Content-Length: 20000000\r\n\r\n{{\"username\":\"",
        gateway.http()
    );
    huge.write_all(head.as_bytes()).await.unwrap();
    // It may close while we still write.
    let _ = huge.write_all(&vec![b'x'; 1_000_000]).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(SOON, huge.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413"), "answered: {answer}");
    let (status, body) = api
        .try_post("/api/calls/initiate", &json!({"phone": 7}))
        .await;
    assert!(matches!(status, 400 | 422), "{status} {body}");
    assert!(
        body.to_string().contains("phone"),
        "the field is not named: {body}"
    );
    let (status, body) = api.try_get("/api/calls/call_nonsense").await;
    assert!(matches!(status, 400 | 404), "{status} {body}");
    let (status, body) = api.try_get("/api/calls?limit=minus-one").await;
    assert_eq!(status, 400, "{body}");
    assert!(
        body.to_string().contains("limit"),
        "the parameter is not named: {body}"
    );

    // Guessing passwords is slowed down, and the answer never says which part was wrong.
    let mut seen = Vec::new();
    for n in 0..40 {
        let answer = client
            .post(gateway.http_url("/api/auth/token"))
            .json(&json!({"username": "demo", "password": format!("guess-{n}")}))
            .send()
            .await
            .unwrap();
        seen.push(answer.status().as_u16());
    }
    assert!(seen.iter().all(|s| matches!(s, 401 | 429)), "{seen:?}");
    assert!(
        seen.contains(&429),
        "forty guesses in a row were answered: {seen:?}"
    );

    // A raw connection that sends nonsense, or nothing at all.
    let mut silent = TcpStream::connect(gateway.http()).await.unwrap();
    let mut rude = TcpStream::connect(gateway.http()).await.unwrap();
    rude.write_all(b"\x16\x03\x01 NONSENSE\r\n\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(SOON, rude.read_to_end(&mut rest)).await;
    assert_eq!(api.try_get("/api/calls").await.0, 200);
    silent.shutdown().await.unwrap();
}

/// Callers that misbehave in their dialogs: every request three times, and an ACK that never
/// comes.
#[tokio::test]
async fn duplicates_and_a_lost_ack_make_no_second_call() {
    let gateway = GatewaySettings::demo().start().await;
    let faults = Faults {
        duplicate_requests: 2,
        ..Faults::default()
    };
    let phone = Phone::start(PhoneConfig::new("twice").faults(faults))
        .await
        .unwrap();
    let call = phone.dial(&gateway.assistant()).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    call.wait_heard("some audio", |h| h.arrivals.len() > 50, SOON)
        .await
        .unwrap();
    call.hangup().await.unwrap();
    let api = gateway.api().await;
    api.ended_call(ENDED).await;
    assert_eq!(api.calls().await.len(), 1);

    let faults = Faults {
        drop_ack: true,
        ..Faults::default()
    };
    let phone = Phone::start(PhoneConfig::new("no-ack").faults(faults))
        .await
        .unwrap();
    let call = phone.dial(&gateway.assistant()).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    // RFC 3261 §13.3.1.4: after 64 × T1 without an ACK the answer is void and the call ends.
    call.wait_ended(Duration::from_secs(60)).await.unwrap();
    assert_eq!(api.calls().await.len(), 2);
    api.ended_call(ENDED).await;
}

/// A caller whose network is gone sends nothing any more: the call does not last for ever, and a
/// request for nobody in particular is answered.
#[tokio::test]
async fn requests_outside_any_call() {
    let gateway = GatewaySettings::demo().start().await;
    let phone = caller().await;
    assert_eq!(
        phone
            .options(&format!("sip:{}", gateway.sip()), SOON)
            .await
            .unwrap(),
        200
    );
    let peer = Peer {
        addr: gateway.sip(),
        transport: Transport::Udp,
    };
    let bye = format!(
        "BYE sip:assistant@{0} SIP/2.0\r\nVia: SIP/2.0/UDP {1};branch=z9hG4bKnone\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: none\r\n\
         CSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
        gateway.sip(),
        phone.local()
    );
    phone.send_raw(bye.into_bytes(), peer);
    let answered = || {
        phone
            .messages()
            .iter()
            .any(|l| !l.sent && l.message.as_ref().is_ok_and(|m| m.status() == Some(481)))
    };
    until("a 481", SOON, async || check(answered(), || phone.ladder())).await;
}
