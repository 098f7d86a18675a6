//! SIP over WebSocket from the browser's side (RFC 7118): one message is one frame.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures::{SinkExt as _, StreamExt as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::transport::{Inbound, Peer, Transport};

/// How the server is reached and whom it must be vouched for by.
#[derive(Debug, Clone)]
pub struct WebSettings {
    /// Path of the URL.
    pub path: String,
    /// PEM file with the CA of the server's certificate; the only one that is trusted.
    pub ca_file: Option<PathBuf>,
}

impl Default for WebSettings {
    fn default() -> Self {
        Self {
            path: "/sip".to_owned(),
            ca_file: None,
        }
    }
}

/// Opens a socket; what is sent into the channel goes over it.
pub(super) async fn open(
    to: Peer,
    settings: &WebSettings,
    inbox: mpsc::UnboundedSender<Inbound>,
) -> io::Result<mpsc::UnboundedSender<Vec<u8>>> {
    let stream = TcpStream::connect(to.addr).await?;
    let (to_write, written) = mpsc::unbounded_channel();
    if to.transport == Transport::Wss {
        let name = ServerName::from(to.addr.ip());
        let stream = connector(settings)?.connect(name, stream).await?;
        let socket = handshake(stream, to, settings).await?;
        tokio::spawn(serve(socket, to, inbox, written));
    } else {
        let socket = handshake(stream, to, settings).await?;
        tokio::spawn(serve(socket, to, inbox, written));
    }
    Ok(to_write)
}

fn connector(settings: &WebSettings) -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = &settings.ca_file {
        let ca = CertificateDer::from_pem_file(file).map_err(io::Error::other)?;
        roots.add(ca).map_err(io::Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    to: Peer,
    settings: &WebSettings,
) -> io::Result<WebSocketStream<S>> {
    let scheme = if to.transport == Transport::Wss {
        "wss"
    } else {
        "ws"
    };
    let mut request = format!("{scheme}://{}{}", to.addr, settings.path)
        .into_client_request()
        .map_err(io::Error::other)?;
    let protocol = HeaderValue::from_static("sip");
    request
        .headers_mut()
        .insert("sec-websocket-protocol", protocol);
    let connected = tokio_tungstenite::client_async(request, stream).await;
    // A server that does not take the subprotocol is an error here, too.
    Ok(connected.map_err(io::Error::other)?.0)
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: WebSocketStream<S>,
    peer: Peer,
    inbox: mpsc::UnboundedSender<Inbound>,
    mut written: mpsc::UnboundedReceiver<Vec<u8>>,
) {
    loop {
        tokio::select! {
            bytes = written.recv() => {
                let Some(bytes) = bytes else { return };
                let frame = match String::from_utf8(bytes) {
                    Ok(text) => Frame::Text(text.into()),
                    Err(error) => Frame::Binary(error.into_bytes().into()),
                };
                if socket.send(frame).await.is_err() {
                    return;
                }
            }
            got = socket.next() => {
                let bytes = match got {
                    Some(Ok(Frame::Text(text))) => text.as_bytes().to_vec(),
                    Some(Ok(Frame::Binary(bytes))) => bytes.to_vec(),
                    // Pings are answered below us.
                    Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => continue,
                    Some(Ok(Frame::Close(_)) | Err(_)) | None => return,
                };
                if inbox.send((bytes, peer)).is_err() {
                    return;
                }
            }
        }
    }
}
