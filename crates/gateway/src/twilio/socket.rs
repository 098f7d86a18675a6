//! The carrier's websocket, taken from the HTTP server to the threads of media streams.
//!
//! The socket has to change its reactor with its thread, so it is taken out of the upgraded
//! connection. The handshake (RFC 6455, section 4.2) and the frames are the library's.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures::{SinkExt, StreamExt};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use switchhook_adapters::twilio::stream::MAX_MESSAGE;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

/// What is read at a time: a message has some 300 octets.
const READ_BUFFER: usize = 4 * 1024;
/// How long the other side may take to close, too.
const CLOSING: Duration = Duration::from_secs(2);

pub(super) type Socket = WebSocketStream<TcpStream>;

/// The answer to the request for a websocket, and what becomes the socket when it was sent.
///
/// # Errors
/// What is wrong with the request.
pub(super) fn upgrade(request: &mut Request) -> Result<(Response, OnUpgrade), String> {
    let response = create_response_with_body(request, Body::empty)
        .map_err(|error| format!("no request for a websocket: {error}"))?;
    Ok((response, hyper::upgrade::on(request)))
}

/// A connection that is nobody's websocket yet; it belongs to no reactor.
pub(super) struct Taken {
    socket: std::net::TcpStream,
    /// Read already.
    read: Vec<u8>,
}

impl Taken {
    /// # Errors
    /// If the connection broke before the answer was sent.
    pub async fn from(upgrade: OnUpgrade) -> anyhow::Result<Self> {
        let parts = downcast::<TokioIo<TcpStream>>(upgrade.await?)
            .map_err(|_| anyhow::anyhow!("a websocket over something else than TCP"))?;
        Ok(Self {
            socket: parts.io.into_inner().into_std()?,
            read: parts.read_buf.to_vec(),
        })
    }

    /// On the thread that shall serve it.
    ///
    /// # Errors
    /// If the reactor does not take the socket.
    pub async fn open(self) -> std::io::Result<Socket> {
        let socket = TcpStream::from_std(self.socket)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let role = Role::Server;
        Ok(WebSocketStream::from_partially_read(socket, self.read, role, Some(config)).await)
    }
}

/// Closes as RFC 6455, section 7.1.1, asks for: it waits for the other side's close.
///
/// A connection that is closed with something unread in it is reset, and the other side loses what it has
/// not read yet; the carrier sends a frame every 20 ms.
pub(super) async fn close(mut socket: Socket) {
    let normal = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    let closing = async {
        if socket.send(Message::Close(Some(normal))).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    // Whoever does not close in time is left.
    let _ = timeout(CLOSING, closing).await;
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use axum::response::IntoResponse;
    use axum::routing::get;
    use axum::{Router, http::StatusCode};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::threads::StreamThreads;
    use super::*;

    /// How long anything may take; then it is not coming.
    const LIMIT: Duration = Duration::from_secs(10);
    const REQUEST: &str = "GET /media HTTP/1.1\r\nHost: gw.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    /// Says back what it hears, and on which thread.
    async fn echo(taken: Taken) {
        let mut socket = taken.open().await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            let Ok(text) = message.into_text() else {
                return;
            };
            let thread = std::thread::current();
            let said = format!("{} {text}", thread.name().unwrap_or_default());
            if socket.send(said.into()).await.is_err() {
                return;
            }
        }
    }

    async fn server() -> SocketAddr {
        let threads = Arc::new(StreamThreads::start(1).unwrap());
        let media = async move |mut request: Request| match upgrade(&mut request) {
            Ok((response, upgrade)) => {
                tokio::spawn(async move {
                    let taken = Taken::from(upgrade).await.unwrap();
                    threads.spawn(echo(taken));
                    // As long as the streams.
                    std::future::pending::<()>().await;
                    drop(threads);
                });
                response
            }
            Err(why) => (StatusCode::BAD_REQUEST, why).into_response(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/media", get(media));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    /// What comes until the other side closes, or this text is there.
    async fn read_until(socket: &mut TcpStream, wanted: &str) -> String {
        let mut read = Vec::new();
        let mut buffer = [0; 1024];
        loop {
            let text = String::from_utf8_lossy(&read).into_owned();
            if text.contains(wanted) {
                return text;
            }
            let more = timeout(LIMIT, socket.read(&mut buffer)).await;
            match more.unwrap_or_else(|_| panic!("neither {wanted} nor an end behind {text}")) {
                Ok(0) | Err(_) => return text,
                Ok(length) => read.extend_from_slice(&buffer[..length]),
            }
        }
    }

    /// A client's frame, masked with zeroes.
    fn frame(header: &[u8], payload: &str) -> Vec<u8> {
        [header, &[0; 4], payload.as_bytes()].concat()
    }

    #[tokio::test]
    async fn what_came_with_the_request_is_heard_on_the_streams_thread() {
        let mut socket = TcpStream::connect(server().await).await.unwrap();
        let with_frame = [REQUEST.as_bytes(), &frame(&[0x81, 0x85], "first")].concat();
        socket.write_all(&with_frame).await.unwrap();
        let heard = read_until(&mut socket, "stream first").await;
        assert!(heard.starts_with("HTTP/1.1 101"), "{heard}");
        // The key's answer as RFC 6455, section 1.3, has it.
        assert!(heard.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{heard}");
        assert!(heard.contains("stream first"), "{heard}");
        socket
            .write_all(&frame(&[0x81, 0x86], "second"))
            .await
            .unwrap();
        let heard = read_until(&mut socket, "stream second").await;
        assert!(heard.contains("stream second"), "{heard}");
    }

    #[tokio::test]
    async fn what_is_too_long_ends_the_stream() {
        let mut socket = TcpStream::connect(server().await).await.unwrap();
        socket.write_all(REQUEST.as_bytes()).await.unwrap();
        read_until(&mut socket, "\r\n\r\n").await;
        let length = (MAX_MESSAGE as u64 + 1).to_be_bytes();
        let header = [&[0x81, 0xff], &length[..]].concat();
        socket.write_all(&frame(&header, "")).await.unwrap();
        let heard = read_until(&mut socket, "stream").await;
        assert!(!heard.contains("stream"), "{heard}");
    }

    #[tokio::test]
    async fn what_was_sent_last_arrives_although_something_is_unread() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let carrier = TcpStream::connect(listener.local_addr().unwrap());
        let (carrier, ours) = tokio::join!(carrier, listener.accept());
        let mut carrier =
            WebSocketStream::from_raw_socket(carrier.unwrap(), Role::Client, None).await;
        let mut ours = WebSocketStream::from_raw_socket(ours.unwrap().0, Role::Server, None).await;
        for _ in 0..50 {
            carrier.send("a frame".into()).await.unwrap();
        }
        ours.send("the last words".into()).await.unwrap();
        let mut closing = std::pin::pin!(close(ours));
        assert!(
            futures::poll!(&mut closing).is_pending(),
            "the carrier has not closed"
        );
        // It reads late, and has more to say before.
        let reads = async {
            carrier.send("another frame".into()).await.unwrap();
            let words = carrier.next().await.unwrap();
            assert_eq!(words.unwrap(), "the last words".into());
            let closed = carrier.next().await;
            let Some(Ok(Message::Close(Some(frame)))) = closed else {
                panic!("{closed:?}");
            };
            assert_eq!(frame.code, CloseCode::Normal);
            let end = carrier.next().await;
            assert!(end.is_none(), "{end:?}");
        };
        let both = timeout(LIMIT, async { tokio::join!(closing, reads) });
        both.await.unwrap();
    }

    #[tokio::test]
    async fn a_request_for_something_else_is_refused() {
        let mut socket = TcpStream::connect(server().await).await.unwrap();
        let plain = "GET /media HTTP/1.1\r\nHost: gw.example.com\r\nConnection: close\r\n\r\n";
        socket.write_all(plain.as_bytes()).await.unwrap();
        let answer = read_until(&mut socket, "never").await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(
            answer.contains("no request for a websocket") && answer.contains("Connection: upgrade"),
            "{answer}"
        );
    }
}
