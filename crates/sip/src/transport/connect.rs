//! Connections we open: one at a time to each target, so that many calls at once share one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex as AsyncMutex;
use tokio_rustls::TlsConnector;

use super::stream::tune;
use super::{Hub, PathError, StreamPeer, Target};
use crate::config::SipTransport;
use crate::core::Core;
use crate::tls::handshake_cause;

/// Turns at opening a connection.
#[derive(Default)]
pub(super) struct Connecting {
    turns: Mutex<HashMap<Target, Arc<AsyncMutex<()>>>>,
}

impl Connecting {
    fn turn(&self, target: &Target) -> Arc<AsyncMutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(target.clone()).or_default().clone()
    }

    /// Forgets a turn nobody waits for.
    fn done(&self, target: &Target, turn: Arc<AsyncMutex<()>>) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's and ours.
        if Arc::strong_count(&turn) <= 2 {
            turns.remove(target);
        }
    }
}

impl Hub {
    /// The open connection to a target, or a new one.
    pub(super) async fn connection(
        &self,
        core: &Arc<Core>,
        target: &Target,
    ) -> Result<StreamPeer, PathError> {
        if let Some(peer) = self.open_stream(target) {
            return Ok(peer);
        }
        if target.transport.is_opened_by_peer() && target.name.is_none() {
            return Err(PathError::Gone {
                transport: target.transport,
                peer: target.address,
            });
        }
        let turn = self.connecting.turn(target);
        let result = {
            let _turn = turn.lock().await;
            match self.open_stream(target) {
                Some(peer) => Ok(peer),
                None => self.connect(core, target).await,
            }
        };
        self.connecting.done(target, turn);
        result.map_err(|cause| PathError::Connect {
            transport: target.transport,
            peer: target.address,
            cause,
        })
    }

    async fn connect(&self, core: &Arc<Core>, target: &Target) -> Result<StreamPeer, String> {
        let opening = TcpStream::connect(target.address);
        let stream = tokio::time::timeout(self.connect_timeout, opening)
            .await
            .map_err(|_| "no answer in time".to_owned())?
            .map_err(|error| error.to_string())?;
        tune(&stream).map_err(|error| error.to_string())?;
        let local = stream.local_addr().map_err(|error| error.to_string())?;
        let adopted = match (&target.name, target.transport) {
            (Some(name), SipTransport::Tls) => {
                let stream = self.shake_hands(core, stream, name).await?;
                self.adopt(core, stream, local, target.clone(), None).await
            }
            (None, _) | (Some(_), SipTransport::Tcp) => {
                self.adopt(core, stream, local, target.clone(), None).await
            }
            (Some(_), SipTransport::Udp | SipTransport::Ws | SipTransport::Wss) => {
                return Err("this transport cannot be opened by us".to_owned());
            }
        };
        adopted.map_err(|error| error.to_string())
    }

    /// TLS as a client: the certificate must be for `name` and signed by somebody we trust.
    async fn shake_hands(
        &self,
        core: &Arc<Core>,
        stream: TcpStream,
        name: &str,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| format!("TLS: {name} is not a name a certificate can be for"))?;
        let owner = core.clone();
        // The first use reads the system's roots from disk.
        let config = tokio::task::spawn_blocking(move || owner.hub.tls.client())
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        let handshake = TlsConnector::from(config).connect(server, stream);
        tokio::time::timeout(self.handshake_timeout, handshake)
            .await
            .map_err(|_| format!("TLS: {name} did not finish the handshake in time"))?
            .map_err(|error| handshake_cause(&error, name))
    }
}
