//! `GET /sip`: SIP over WebSocket (RFC 7118) for browsers, on the HTTP port. Who may call is decided
//! by SIP as for any phone; here it is decided which pages may open a socket at all.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use switchhook_sip::{SipEndpoint, WebConnection};
use tokio_util::sync::CancellationToken;

use super::client::Source;
use crate::network::Network;

/// Largest message: one SIP request with its SDP is a tenth of it.
const MAX_MESSAGE: usize = 65_535;

/// One write to a browser.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the route needs.
#[derive(Debug, Clone)]
pub struct SipSockets {
    pub sip: SipEndpoint,
    /// Origins whose pages may connect; empty: only pages from this very host and port.
    pub origins: Vec<String>,
    /// Browsers reach us over TLS, which ends before us.
    pub secure: bool,
    pub trusted_proxies: Vec<Network>,
    /// How often a browser is pinged; one that did not answer by the next time is gone.
    pub ping_every: Duration,
    pub stop: CancellationToken,
}

/// The one route.
pub fn routes(sockets: SipSockets) -> Router {
    Router::new().route("/sip", get(open)).with_state(sockets)
}

async fn open(
    State(sockets): State<SipSockets>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    upgrade: WebSocketUpgrade,
    request: Request,
) -> Response {
    let headers = request.headers();
    if !may_connect(headers, &sockets.origins) {
        tracing::info!(%peer, "SIP socket refused: its page's origin is not allowed");
        metrics::counter!("switchhook_sip_refused_total", "reason" => "origin").increment(1);
        return refuse(
            StatusCode::FORBIDDEN,
            "this origin may not connect: add it to sip.websocket_origins",
        );
    }
    if !offers_sip(headers) {
        return refuse(
            StatusCode::BAD_REQUEST,
            "the subprotocol sip is needed (RFC 7118)",
        );
    }
    let client = Source::of(&request, &sockets.trusted_proxies);
    let remote = SocketAddr::new(client.address, peer.port());
    let connection = match sockets.sip.attach_web(remote, sockets.secure).await {
        Ok(connection) => connection,
        Err(error) => return refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    };
    upgrade
        .protocols(["sip"])
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(move |socket| serve(socket, connection, sockets))
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, format!("{why}\n")).into_response()
}

/// Pages say where they are from (RFC 6455 §10.2); programs without a page say nothing.
fn may_connect(headers: &HeaderMap, origins: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    if origins.is_empty() {
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let from = origin.split_once("://").map(|(_, host)| host);
        return host.is_some() && host == from;
    }
    origins
        .iter()
        .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
}

fn offers_sip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|protocol| protocol.trim() == "sip")
}

async fn serve(mut socket: WebSocket, mut connection: WebConnection, sockets: SipSockets) {
    let mut ping = tokio::time::interval(sockets.ping_every);
    ping.reset();
    let mut is_alive = true;
    let why = loop {
        tokio::select! {
            () = sockets.stop.cancelled() => break close_code::AWAY,
            out = connection.next() => match out {
                Some(bytes) => {
                    if !send(&mut socket, as_message(bytes)).await {
                        break close_code::AWAY;
                    }
                }
                None => break close_code::AWAY,
            },
            _ = ping.tick() => {
                if !is_alive || !send(&mut socket, Message::Ping(Default::default())).await {
                    break close_code::AWAY;
                }
                is_alive = false;
            }
            got = socket.recv() => {
                is_alive = true;
                let bytes = match got {
                    Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
                    Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
                    // Pings are answered below us.
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Close(_))) | None => break close_code::NORMAL,
                    Some(Err(error)) => {
                        tracing::debug!(%error, "SIP socket closed");
                        break close_code::SIZE;
                    }
                };
                if connection.message(&bytes).await.is_err() {
                    break close_code::POLICY;
                }
            }
        }
    };
    let frame = CloseFrame {
        code: why,
        reason: Default::default(),
    };
    send(&mut socket, Message::Close(Some(frame))).await;
}

/// SIP is text; what is not UTF-8 goes as it is.
fn as_message(bytes: Vec<u8>) -> Message {
    match String::from_utf8(bytes) {
        Ok(text) => Message::Text(text.into()),
        Err(error) => Message::Binary(error.into_bytes().into()),
    }
}

async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(
        tokio::time::timeout(WRITE_TIMEOUT, socket.send(message)).await,
        Ok(Ok(()))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = header::HeaderName::from_static(name);
            (name, value.parse().unwrap())
        });
        pairs.collect()
    }

    #[test]
    fn pages_from_elsewhere_may_not_connect() {
        let none: &[String] = &[];
        let own = headers(&[
            ("host", "gw.example.com:8080"),
            ("origin", "http://gw.example.com:8080"),
        ]);
        assert!(may_connect(&own, none));
        let other = headers(&[
            ("host", "gw.example.com"),
            ("origin", "https://evil.example.com"),
        ]);
        assert!(!may_connect(&other, none));
        let listed = ["https://evil.example.com".to_owned()];
        assert!(may_connect(&other, &listed));
        assert!(!may_connect(&own, &listed));
        assert!(may_connect(&other, &["*".to_owned()]));
        assert!(may_connect(&headers(&[("host", "gw.example.com")]), none));
        assert!(!may_connect(
            &headers(&[("host", "null"), ("origin", "null")]),
            none
        ));
    }

    #[test]
    fn the_subprotocol_is_one_of_those_offered() {
        assert!(offers_sip(&headers(&[(
            "sec-websocket-protocol",
            "chat, sip"
        )])));
        assert!(!offers_sip(&headers(&[("sec-websocket-protocol", "sips")])));
        assert!(!offers_sip(&headers(&[])));
    }

    mod over_a_socket {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicU32, Ordering};

        use futures::{SinkExt as _, StreamExt as _};
        use switchhook_model::LegId;
        use switchhook_sip::SipConfig;
        use tokio::net::TcpStream;
        use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
        use tokio_tungstenite::tungstenite::{Error, Message as Frame};
        use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

        use super::*;

        const DEADLINE: Duration = Duration::from_secs(20);

        type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

        struct World {
            address: SocketAddr,
            _sip: SipEndpoint,
        }

        async fn world(ping_every: Duration) -> World {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let leg = || LegId::from_unique(&format!("w{}", NEXT.fetch_add(1, Ordering::Relaxed)));
            let config = SipConfig::new("127.0.0.1:0".parse().unwrap(), Arc::new(leg));
            let (sip, mut events) = SipEndpoint::start(config).await.unwrap();
            tokio::spawn(async move { while events.recv().await.is_some() {} });
            let sockets = SipSockets {
                sip: sip.clone(),
                origins: vec!["https://app.example.com".to_owned()],
                secure: false,
                trusted_proxies: Vec::new(),
                ping_every,
                stop: CancellationToken::new(),
            };
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let service = routes(sockets).into_make_service_with_connect_info::<SocketAddr>();
            tokio::spawn(async move { axum::serve(listener, service).await });
            World { address, _sip: sip }
        }

        async fn connect(world: &World, pairs: &[(&'static str, &str)]) -> Result<Socket, Error> {
            let mut request = format!("ws://{}/sip", world.address)
                .into_client_request()
                .unwrap();
            for (name, value) in pairs {
                request.headers_mut().insert(*name, value.parse().unwrap());
            }
            let (socket, response) = tokio_tungstenite::connect_async(request).await?;
            assert_eq!(response.headers()["sec-websocket-protocol"], "sip");
            Ok(socket)
        }

        async fn next(socket: &mut Socket) -> Option<Result<Frame, Error>> {
            tokio::time::timeout(DEADLINE, socket.next())
                .await
                .expect("a frame in time")
        }

        fn refused_with(result: Result<Socket, Error>) -> u16 {
            match result {
                Err(Error::Http(response)) => response.status().as_u16(),
                other => panic!("refused, not {other:?}"),
            }
        }

        const SIP: (&str, &str) = ("sec-websocket-protocol", "sip");

        const OPTIONS: &str = "OPTIONS sip:gw.example.com SIP/2.0\r\n\
            Via: SIP/2.0/WS x.invalid;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
            From: <sip:a@x.invalid>;tag=1\r\nTo: <sip:gw.example.com>\r\nCall-ID: c1\r\n\
            CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

        #[tokio::test]
        async fn a_message_is_answered_and_pings_come() {
            let world = world(Duration::from_millis(50)).await;
            let mut socket = connect(&world, &[SIP]).await.unwrap();
            socket.send(Frame::Text(OPTIONS.into())).await.unwrap();
            let (mut answered, mut pinged) = (false, false);
            while !(answered && pinged) {
                match next(&mut socket).await.unwrap().unwrap() {
                    Frame::Text(text) => {
                        assert!(text.starts_with("SIP/2.0 200 OK"), "{text}");
                        assert!(text.contains("Via: SIP/2.0/WS x.invalid"), "{text}");
                        answered = true;
                    }
                    Frame::Ping(_) => pinged = true,
                    other => panic!("{other:?}"),
                }
            }
        }

        #[tokio::test]
        async fn strangers_are_told_why_they_stay_outside() {
            let world = world(Duration::from_secs(25)).await;
            let evil = connect(&world, &[SIP, ("origin", "https://evil.example.com")]).await;
            assert_eq!(refused_with(evil), 403);
            let mute = connect(&world, &[("sec-websocket-protocol", "chat")]).await;
            assert_eq!(refused_with(mute), 400);
            let good = connect(&world, &[SIP, ("origin", "https://app.example.com")]).await;
            good.unwrap();
        }

        #[tokio::test]
        async fn what_is_too_large_closes_the_socket() {
            let world = world(Duration::from_secs(25)).await;
            let mut socket = connect(&world, &[SIP]).await.unwrap();
            let large = "x".repeat(MAX_MESSAGE + 1);
            // The other end may close while we are still sending.
            let _ = socket.send(Frame::Text(large.into())).await;
            let end = next(&mut socket).await;
            assert!(
                matches!(end, None | Some(Ok(Frame::Close(_)) | Err(_))),
                "{end:?}"
            );
            let mut other = connect(&world, &[SIP]).await.unwrap();
            other.send(Frame::Text(OPTIONS.into())).await.unwrap();
            assert!(matches!(next(&mut other).await, Some(Ok(Frame::Text(_)))));
        }
    }
}
