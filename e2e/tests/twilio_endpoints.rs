//! The endpoints that older deployments and the carrier call, under every prefix: what they answer, and
//! that whoever is not the carrier changes nothing.

use switchhook_e2e::api::{only_transfer, pretty};
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_lab::carrier::{Behaviour, Carrier, CarrierConfig, Party, Phone, Webhook, sign};
use switchhook_lab::postgres::Cluster;

use crate::common::*;
use crate::twilio_line::*;

const PREFIXES: [&str; 4] = ["", "/api", "/anthropic/convonet_todo", "/convonet_todo"];

/// Everything that is signed, with its method.
const SIGNED: [&str; 19] = [
    "voice",
    "call",
    "verify_pin",
    "process_audio",
    "transfer?extension=2001",
    "transfer_callback?extension=2001",
    "voice_assistant/transfer_bridge?extension=2001",
    "room/SESSION?leg=LEG",
    "connect/SESSION",
    "dial_status/SESSION",
    "message/SESSION",
    "whisper/SESSION?leg=LEG",
    "accept/SESSION?leg=LEG",
    "amd/SESSION",
    "status",
    "status/SESSION?leg=LEG",
    "recording",
    "message_status?message=MESSAGE",
    "error",
];

/// The deployment's own check, with curl: `<Dial>` of the extension, under every prefix.
#[tokio::test]
async fn the_transfer_endpoint_answers_the_shell() {
    let line = line(gather().ring_timeout_s(30), |_| {}).await;
    for (n, prefix) in PREFIXES.iter().enumerate() {
        let url = line
            .gateway
            .http_url(&format!("{prefix}/twilio/transfer?extension=2001"));
        let sid = format!("CallSid=CA{n:032}");
        let output = tokio::process::Command::new("curl")
            .args(["-sS", "-X", "POST", &url, "-d", &sid, "-d"])
            .arg("From=%2B12025550142")
            .output()
            .await
            .unwrap_or_else(|e| panic!("curl cannot be started ({e}); install curl"));
        let xml = String::from_utf8(output.stdout).unwrap();
        let xml = xml.replace("&amp;", "&");
        for part in [
            "<Dial ",
            "answerOnBridge=\"true\"",
            "timeout=\"30\"",
            "callerId=\"+12025550142\"",
            &format!("action=\"{HOST}{prefix}/twilio/transfer_callback?extension=2001"),
            "<Sip",
            "sip:2001@pbx.example.com;transport=udp",
        ] {
            assert!(xml.contains(part), "{prefix}: {part} is missing in {xml}");
        }
        assert_eq!(xml.matches("<Sip").count(), 1, "{xml}");
        let status = line.gateway.http_url(&format!("{prefix}/twilio/health"));
        let health = line.gateway.client().get(status).send().await.unwrap();
        assert_eq!(health.status(), 200);
    }
    assert_eq!(line.gateway.api().await.calls().await.len(), PREFIXES.len());
}

/// The same by telephone, under every prefix: the words of the deployment's test list.
#[tokio::test]
async fn callers_are_transferred_under_every_prefix() {
    let line = line(gather(), |_| {}).await;
    let agent = line.carrier.phone(EXTENSION, Behaviour::answers());
    let wishes = [
        "Transfer me",
        "I need to speak to an agent",
        "Transfer me to an agent",
        "I need to speak to an agent",
    ];
    for (n, (prefix, wish)) in PREFIXES.iter().zip(wishes).enumerate() {
        let voice = format!("{HOST}{prefix}/twilio/call");
        line.carrier.set_voice_url(OURS, &voice);
        let from = format!("+120255501{n:02}");
        let caller = line.carrier.call_in(&from, OURS).await.unwrap();
        caller.until_hears("How can I help", ANSWER).await.unwrap();
        caller.says(wish);
        let colleague = agent.until_answered(n, ANSWER).await.unwrap();
        colleague.hangs_up();
        caller.ended(ANSWER).await.unwrap();
        assert_eq!(agent.rung(), n + 1, "exactly one dial");
        let call = line.ended().await;
        assert_eq!(call["caller"], from);
        assert_eq!(
            only_transfer(&call)["outcome"],
            "bridged",
            "{}",
            pretty(&call)
        );
        line.is_clean(&call).await;
    }
    let log = line.carrier.log();
    for prefix in PREFIXES {
        let path = format!("{prefix}/twilio/transfer_callback");
        let kept = log.webhooks.iter().filter(|w| w.path() == path);
        assert_eq!(kept.count(), 1, "what comes next keeps the prefix {prefix}");
    }
}

struct Installed {
    gateway: Gateway,
    carrier: Carrier,
    database: String,
}

/// A shipped profile on PostgreSQL, in which we can look.
async fn installed() -> Installed {
    let url = tokio::task::spawn_blocking(|| Cluster::shared().database());
    let url = url.await.unwrap();
    let database = url.rsplit('/').next().unwrap().to_owned();
    let port = switchhook_e2e::ports::free();
    let carrier = carrier(vec![([127, 0, 0, 1], port).into()], |_| {}).await;
    let settings = GatewaySettings::profile("phone-to-pbx")
        .without_speech()
        .env("SWITCHHOOK_SPEECH_URL", "http://127.0.0.1:9")
        .env("DATABASE_URL", url)
        .env("TWILIO_SMS_TO", STAFF)
        // Longer than anybody forges.
        .ring_timeout_s(120);
    let gateway = known_to(settings, port, &carrier).start().await;
    Installed {
        gateway,
        carrier,
        database,
    }
}

impl Installed {
    /// Every row of every table.
    async fn rows(&self) -> String {
        let database = self.database.clone();
        let read = tokio::task::spawn_blocking(move || {
            let cluster = Cluster::shared();
            let tables = cluster.sql(
                &database,
                "SELECT table_name FROM information_schema.tables \
                 WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY 1",
            );
            let mut all = String::new();
            for table in tables.lines() {
                let rows = cluster.sql(
                    &database,
                    &format!(
                        "SELECT count(*), md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) \
                         FROM \"{table}\" t"
                    ),
                );
                all += &format!("{table} {rows}");
            }
            all
        });
        read.await.unwrap()
    }

    async fn ask(&self, target: &str, form: &[(String, String)], signature: Option<&str>) -> u16 {
        let body: Vec<String> = form
            .iter()
            .map(|(name, value)| format!("{name}={}", value.replace('+', "%2B")))
            .collect();
        let mut request = self
            .gateway
            .client()
            .post(self.gateway.http_url(target))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("host", "gw.example.com")
            .header("x-forwarded-proto", "https")
            .body(body.join("&"));
        if let Some(signature) = signature {
            request = request.header("x-twilio-signature", signature);
        }
        request.send().await.unwrap().status().as_u16()
    }

    /// Asks for a media stream.
    async fn upgrade(&self, target: &str, signature: Option<&str>) -> u16 {
        let mut request = self
            .gateway
            .client()
            .get(self.gateway.http_url(target))
            .header("host", "gw.example.com")
            .header("x-forwarded-proto", "https")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            // That of RFC 6455: any 16 bytes are a key.
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        if let Some(signature) = signature {
            request = request.header("x-twilio-signature", signature);
        }
        request.send().await.unwrap().status().as_u16()
    }

    /// A caller for whom an agent's phone rings, which is reported and stored.
    async fn rings(&self) -> Ringing {
        let agent = self
            .carrier
            .phone(EXTENSION, Behaviour::AnswersWhenTold(Default::default()));
        let caller = wants_a_human(&self.carrier, CALLER).await;
        agent.until_rung(1, ANSWER).await.unwrap();
        let is_told =
            |w: &Webhook| w.param("CallStatus") == Some("ringing") && w.url.contains("leg=");
        let told = self.carrier.until_webhook("the ringing", ANSWER, is_told);
        Ringing {
            report: told.await.unwrap(),
            caller,
            agent,
        }
    }
}

struct Ringing {
    caller: Party,
    agent: Phone,
    report: Webhook,
}

impl Ringing {
    /// The caller hangs up, and all was one dial.
    async fn ends(&self) {
        self.caller.hangs_up();
        self.caller.ended(ANSWER).await.unwrap();
        assert_eq!(self.agent.rung(), 1, "exactly one dial");
    }
}

/// While an agent's phone rings, everything is forged under every prefix in every way: 403, and not one
/// row of the database is different.
#[tokio::test]
async fn whoever_is_not_the_carrier_changes_nothing() {
    let house = installed().await;
    let ringing = house.rings().await;
    let report = &ringing.report;
    let session = report.path().rsplit('/').next().unwrap().to_owned();
    let leg = report.url.split("leg=").nth(1).unwrap().to_owned();
    let before = house.rows().await;
    assert!(before.contains("calls 1|"), "{before}");
    let form: Vec<(String, String)> = [
        ("AccountSid", house.carrier.account_sid()),
        ("CallSid", ringing.caller.call_sid()),
        ("CallStatus", "completed"),
        ("DialCallStatus", "completed"),
        ("DialBridged", "true"),
        ("Digits", "1"),
        ("From", CALLER),
        ("MessageStatus", "failed"),
        ("RecordingDuration", "5"),
        ("To", OURS),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let token = CarrierConfig::default().auth_token;
    let wrong_token = "ffffffffffffffffffffffffffffffff";
    let mut asked = 0;
    for prefix in PREFIXES {
        for path in SIGNED {
            let path = path
                .replace("SESSION", &session)
                .replace("LEG", &leg)
                .replace("MESSAGE", "msg_00000000000000000000000000");
            let target = format!("{prefix}/twilio/{path}");
            let url = format!("{HOST}{target}");
            let mut other = form.clone();
            other[2].1 = "busy".to_owned();
            let forged = [
                None,
                Some(String::new()),
                Some("AAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned()),
                Some(sign(wrong_token, &url, &form)),
                // The right one of something else.
                Some(sign(&token, &url, &other)),
                Some(sign(&token, &format!("{url}x"), &form)),
                Some(sign(&token, "https://gw.example.com/twilio/test", &[])),
            ];
            for signature in forged {
                let status = house.ask(&target, &form, signature.as_deref()).await;
                assert_eq!(status, 403, "{target} {signature:?}");
                asked += 1;
            }
        }
    }
    assert_eq!(asked, PREFIXES.len() * SIGNED.len() * 7);
    assert_eq!(house.rows().await, before, "nothing changed");
    // The same with the right signature is taken.
    let target = "/twilio/status";
    let signature = sign(&token, &format!("{HOST}{target}"), &form);
    let status = house.ask(target, &form, Some(&signature)).await;
    assert_eq!(status, 204);
    assert_ne!(house.rows().await, before);
    ringing.ends().await;
}

/// The same of media streams: whoever is not the carrier gets no websocket, so that no message of theirs is
/// read.
#[tokio::test]
async fn whoever_is_not_the_carrier_gets_no_stream() {
    let house = installed().await;
    let ringing = house.rings().await;
    let before = house.rows().await;
    let token = CarrierConfig::default().auth_token;
    let host = HOST.replace("https", "wss");
    for prefix in PREFIXES {
        let target = format!("{prefix}/twilio/media");
        let url = format!("{host}{target}");
        let forged = [
            None,
            Some(String::new()),
            Some("AAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned()),
            Some(sign("ffffffffffffffffffffffffffffffff", &url, &[])),
            // The right one of something else.
            Some(sign(&token, &format!("{url}x"), &[])),
            Some(sign(&token, &format!("{HOST}{prefix}/twilio/voice"), &[])),
        ];
        for signature in forged {
            let status = house.upgrade(&target, signature.as_deref()).await;
            assert_eq!(status, 403, "{target} {signature:?}");
        }
    }
    assert_eq!(house.rows().await, before, "nothing changed");
    for prefix in PREFIXES {
        let target = format!("{prefix}/twilio/media");
        let signature = sign(&token, &format!("{host}{target}"), &[]);
        let status = house.upgrade(&target, Some(&signature)).await;
        assert_eq!(status, 101, "{target}");
    }
    ringing.ends().await;
}
