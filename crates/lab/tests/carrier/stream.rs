//! Media streams, against a websocket server written by hand.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use switchhook_lab::audio::g711::Law;
use switchhook_lab::audio::{Audio, tone};
use switchhook_lab::carrier::{Carrier, Party, sign};
use tokio::sync::mpsc;

use crate::app::{App, Reply, Rest, TOKEN, xml};
use crate::{CALLER, OUR_NUMBER, SOON};

/// What the test has the server do.
enum Do {
    Send(Value),
    Close,
}

/// A server for one stream at a time.
#[derive(Clone)]
struct Server {
    address: std::net::SocketAddr,
    signed: Arc<Mutex<Vec<bool>>>,
    got: Arc<Mutex<Vec<Value>>>,
    does: mpsc::UnboundedSender<Do>,
    orders: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Do>>>,
}

impl Server {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (does, orders) = mpsc::unbounded_channel();
        let server = Self {
            address: listener.local_addr().unwrap(),
            signed: Arc::default(),
            got: Arc::default(),
            does,
            orders: Arc::new(tokio::sync::Mutex::new(orders)),
        };
        let router = Router::new().fallback(upgrade).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    fn send(&self, message: Value) {
        assert!(self.does.send(Do::Send(message)).is_ok());
    }

    fn close(&self) {
        assert!(self.does.send(Do::Close).is_ok());
    }

    fn of(&self, event: &str) -> Vec<Value> {
        let got = self.got.lock().unwrap();
        got.iter()
            .filter(|m| m["event"] == event)
            .cloned()
            .collect()
    }

    async fn until(&self, what: &str, look: impl Fn(&Self) -> bool) {
        let until = tokio::time::Instant::now() + SOON;
        while !look(self) {
            assert!(tokio::time::Instant::now() < until, "in vain: {what}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    fn sid(&self) -> String {
        self.of("start")[0]["streamSid"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn media(&self, audio: &Audio) {
        let bytes: Vec<u8> = audio.samples.iter().map(|s| Law::Mu.encode(*s)).collect();
        let payload = STANDARD.encode(bytes);
        self.send(
            json!({"event": "media", "streamSid": self.sid(), "media": {"payload": payload}}),
        );
    }

    fn mark(&self, name: &str) {
        self.send(json!({"event": "mark", "streamSid": self.sid(), "mark": {"name": name}}));
    }

    fn clear(&self) {
        self.send(json!({"event": "clear", "streamSid": self.sid()}));
    }

    fn marks(&self) -> Vec<String> {
        let marks = self.of("mark");
        let names = marks.iter().map(|m| m["mark"]["name"].as_str().unwrap());
        names.map(str::to_owned).collect()
    }

    /// Everything received as audio.
    fn audio(&self) -> Audio {
        let samples = self
            .of("media")
            .iter()
            .flat_map(|m| {
                STANDARD
                    .decode(m["media"]["payload"].as_str().unwrap())
                    .unwrap()
            })
            .map(|byte| Law::Mu.decode(byte))
            .collect();
        Audio::phone(samples)
    }
}

async fn upgrade(
    State(server): State<Server>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    socket: WebSocketUpgrade,
) -> Response {
    let host = headers["host"].to_str().unwrap();
    let scheme = if host.starts_with("127.") {
        "ws"
    } else {
        "wss"
    };
    let right = sign(TOKEN, &format!("{scheme}://{host}{uri}"), &[]);
    let given = headers["x-twilio-signature"].to_str().unwrap();
    server.signed.lock().unwrap().push(right == given);
    socket.on_upgrade(move |socket| serve(server, socket))
}

async fn serve(server: Server, mut socket: WebSocket) {
    let mut orders = server.orders.lock().await;
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Do::Send(message)) => {
                    let text = Message::Text(message.to_string().into());
                    if socket.send(text).await.is_err() {
                        return;
                    }
                }
                Some(Do::Close) | None => {
                    let close = CloseFrame { code: 1000, reason: "done".into() };
                    let _ = socket.send(Message::Close(Some(close))).await;
                    return;
                }
            },
            got = socket.recv() => match got {
                Some(Ok(Message::Text(text))) => {
                    let message = serde_json::from_str(&text).unwrap();
                    server.got.lock().unwrap().push(message);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}

async fn connected() -> (App, Server, Carrier, Party) {
    let server = Server::start().await;
    let address = server.address;
    let app = App::start(move |hit| match hit.path.as_str() {
        "/voice" => xml(&format!(
            "<Say>one moment</Say><Connect action=\"/after\"><Stream url=\"ws://{address}/media\" \
             statusCallback=\"http://{}/stream\" name=\"main\"><Parameter name=\"token\" value=\"a&amp;b\"/>\
             </Stream></Connect>",
            hit.host
        )),
        "/after" => xml("<Say>after</Say>"),
        _ => Reply::Status(204),
    })
    .await;
    let carrier = app.carrier().await;
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    server.until("start", |s| s.of("start").len() == 1).await;
    (app, server, carrier, caller)
}

#[tokio::test]
async fn audio_keys_and_marks_go_both_ways() {
    let (app, server, carrier, caller) = connected().await;
    assert_eq!(*server.signed.lock().unwrap(), [true]);
    caller.plays_audio(&tone::sine(500.0, 1_000)).presses("7");
    server.media(&tone::sine(900.0, 1_000));
    server.mark("said");
    server.until("the mark", |s| s.marks() == ["said"]).await;
    server.until("the key", |s| s.of("dtmf").len() == 1).await;
    server
        .until("the tone", |s| tone::present_ms(&s.audio(), 500.0) >= 700)
        .await;
    let heard = |a: &Audio| tone::present_ms(a, 900.0) >= 700;
    caller.until_audio("900 Hz", SOON, heard).await.unwrap();
    // Nothing is queued: at once.
    server.mark("idle");
    server
        .until("the second mark", |s| s.marks().len() == 2)
        .await;

    let got = server.got.lock().unwrap().clone();
    assert_eq!(
        got[0],
        json!({"event": "connected", "protocol": "Call", "version": "1.0.0"})
    );
    let start = &got[1];
    assert_eq!(start["sequenceNumber"], "1");
    assert_eq!(start["start"]["callSid"], caller.call_sid());
    assert_eq!(start["start"]["streamSid"], start["streamSid"]);
    assert_eq!(start["start"]["tracks"], json!(["inbound"]));
    assert_eq!(start["start"]["customParameters"], json!({"token": "a&b"}));
    assert_eq!(
        start["start"]["mediaFormat"],
        json!({"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1})
    );
    for (n, message) in got.iter().skip(1).enumerate() {
        assert_eq!(message["sequenceNumber"], (n + 1).to_string());
    }
    let media: Vec<&Value> = got.iter().filter(|m| m["event"] == "media").collect();
    for (n, message) in media.iter().enumerate() {
        assert_eq!(message["media"]["chunk"], (n + 1).to_string());
        assert_eq!(message["media"]["track"], "inbound");
        assert_eq!(message["media"]["payload"].as_str().unwrap().len(), 216);
        assert!(message["media"]["timestamp"].is_string());
    }
    assert_eq!(
        server.of("dtmf")[0]["dtmf"],
        json!({"track": "inbound_track", "digit": "7"})
    );

    server.close();
    caller.until_hears("after", SOON).await.unwrap();
    assert_eq!(app.hits("/after").len(), 1);
    let seen = &carrier.streams()[0];
    assert_eq!(seen.closed_by_application, Some(true));
    assert_eq!(seen.marks, ["said", "idle"]);
    server
        .until("both callbacks", |_| app.hits("/stream").len() == 2)
        .await;
    let events: Vec<String> = app
        .hits("/stream")
        .iter()
        .map(|h| h.param("StreamEvent").unwrap().to_owned())
        .collect();
    assert_eq!(events, ["stream-started", "stream-stopped"]);
    assert_eq!(app.hits("/stream")[0].param("StreamName"), Some("main"));
}

#[tokio::test]
async fn a_clear_throws_away_and_gives_all_marks_back_at_once() {
    let (_app, server, carrier, caller) = connected().await;
    server.media(&tone::sine(900.0, 400_000));
    server.mark("one");
    server.mark("two");
    let heard = |a: &Audio| tone::present_ms(a, 900.0) >= 400;
    caller.until_audio("900 Hz", SOON, heard).await.unwrap();
    assert!(server.marks().is_empty());
    server.clear();
    server
        .until("both marks", |s| s.marks() == ["one", "two"])
        .await;
    let seen = &carrier.streams()[0];
    assert_eq!(seen.clears, 1);
    assert!(seen.cleared_ms > 300_000, "{seen:?}");
}

#[tokio::test]
async fn a_hang_up_over_rest_stops_the_stream() {
    let (app, server, carrier, caller) = connected().await;
    let path = format!("/Calls/{}.json", caller.call_sid());
    let twiml = "<Response><Say>transferring</Say></Response>";
    Rest::of(&carrier).post(&path, &[("Twiml", twiml)]).await;
    server.until("stop", |s| s.of("stop").len() == 1).await;
    assert_eq!(server.of("stop")[0]["stop"]["callSid"], caller.call_sid());
    caller.until_hears("transferring", SOON).await.unwrap();
    assert!(app.hits("/after").is_empty());
    carrier.until_quiet(SOON).await.unwrap();
    assert_eq!(carrier.streams()[0].closed_by_application, Some(false));
}

#[tokio::test]
async fn the_callers_hang_up_stops_the_stream() {
    let (_app, server, _carrier, caller) = connected().await;
    caller.hangs_up();
    server.until("stop", |s| s.of("stop").len() == 1).await;
    assert!(caller.ended(SOON).await.unwrap().by_person);
}

#[tokio::test]
async fn what_does_not_conform_is_dropped_and_complained_of_once() {
    let (_app, server, carrier, _caller) = connected().await;
    let sid = server.sid();
    let payload = "//8=";
    server.send(json!({"event": "media", "streamSid": sid, "media": {"payload": payload, "x": 1}}));
    server.send(json!({"event": "hangup", "streamSid": sid}));
    server.mark("after");
    server.until("the mark", |s| s.marks() == ["after"]).await;
    let codes: Vec<u32> = carrier.log().problems.iter().map(|p| p.code).collect();
    assert_eq!(
        codes.iter().filter(|c| **c == 31951).count(),
        1,
        "{codes:?}"
    );
    assert_eq!(carrier.streams()[0].media, 0);
}

#[tokio::test]
async fn a_public_socket_is_signed_as_public_and_a_query_is_refused() {
    let server = Server::start().await;
    let app = App::start(|hit| match hit.path.as_str() {
        "/voice" => xml(
            "<Connect><Stream url=\"wss://gw.example.com/media?x=1\"/></Connect>\
             <Connect><Stream url=\"https://gw.example.com/media\"/></Connect>\
             <Connect><Stream url=\"wss://gw.example.com/media\"/></Connect>",
        ),
        _ => Reply::Status(204),
    })
    .await;
    let mut config = app.config();
    config
        .offload
        .insert("https://gw.example.com".into(), vec![server.address]);
    let carrier = Carrier::start(config).await.unwrap();
    carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    server.until("start", |s| s.of("start").len() == 1).await;
    assert_eq!(*server.signed.lock().unwrap(), [true]);
    let codes: Vec<u32> = carrier.log().problems.iter().map(|p| p.code).collect();
    assert_eq!(codes, [31920, 31922]);
}

#[tokio::test]
async fn nobody_at_the_socket_is_an_error_and_the_document_goes_on() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let app = App::start(move |hit| match hit.path.as_str() {
        "/voice" => xml(&format!(
            "<Connect><Stream url=\"ws://{address}/media\"/></Connect><Say>recovered</Say>"
        )),
        _ => Reply::Status(204),
    })
    .await;
    let carrier = app.carrier().await;
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("recovered", SOON).await.unwrap();
    assert_eq!(carrier.log().problems[0].code, 31902);
}

#[tokio::test]
async fn a_one_way_stream_hears_a_bridge_and_the_document_goes_on() {
    let server = Server::start().await;
    let address = server.address;
    let app = App::start(move |hit| match hit.path.as_str() {
        "/voice" => xml(&format!(
            "<Start><Stream url=\"ws://{address}/media\" track=\"both_tracks\" name=\"spy\"/></Start>\
             <Dial>+493023125101</Dial>"
        )),
        _ => Reply::Status(204),
    })
    .await;
    let carrier = app.carrier().await;
    let phone = carrier.phone(crate::AGENT, switchhook_lab::carrier::Behaviour::answers());
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    let agent = phone.until_answered(0, SOON).await.unwrap();
    server.until("start", |s| s.of("start").len() == 1).await;
    agent.plays_audio(&tone::sine(900.0, 3_000));
    let outbound = |s: &Server| {
        let media = s.of("media").into_iter();
        let samples = media
            .filter(|m| m["media"]["track"] == "outbound")
            .flat_map(|m| {
                STANDARD
                    .decode(m["media"]["payload"].as_str().unwrap())
                    .unwrap()
            })
            .map(|byte| Law::Mu.decode(byte));
        Audio::phone(samples.collect())
    };
    server
        .until("the agent's tone", |s| {
            tone::present_ms(&outbound(s), 900.0) >= 500
        })
        .await;
    // Nothing comes back over a one-way stream.
    server.mark("ignored");
    caller.hangs_up();
    server.until("stop", |s| s.of("stop").len() == 1).await;
    assert!(server.marks().is_empty());
}
