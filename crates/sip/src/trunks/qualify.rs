//! OPTIONS to a trunk every so often (RFC 3261 §11): does it answer, and how fast.

use std::sync::Arc;
use std::time::Duration;

use rsipstack::sip::Method;
use tokio::time::Instant;

use super::{Reachability, Standalone, final_outcome, jittered, status_line};
use crate::client::Outcome;
use crate::config::TrunkConfig;
use crate::core::Core;
use crate::message::{header_of, random_token};
use crate::tap::now;
use crate::uri::SipUri;

impl Core {
    /// Asks until the endpoint stops.
    pub(super) async fn qualify(self: Arc<Self>, trunk: TrunkConfig, every: Duration) {
        loop {
            let answer = tokio::select! {
                () = self.stop.cancelled() => return,
                answer = self.ask(&trunk) => answer,
            };
            self.trunks.update(&trunk.id, |status| {
                status.checked_at = Some(now());
                match answer {
                    Ok(rtt) => {
                        status.reachability = Reachability::Up;
                        status.rtt_ms = Some(u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX));
                        status.last_error = None;
                    }
                    Err(error) => {
                        if status.reachability != Reachability::Down {
                            tracing::warn!(trunk = %trunk.id, error, "trunk is down");
                        }
                        status.reachability = Reachability::Down;
                        status.last_error = Some(error);
                    }
                }
            });
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(jittered(every)) => {}
            }
        }
    }

    /// One OPTIONS: its round trip, or why there is none.
    async fn ask(self: &Arc<Self>, trunk: &TrunkConfig) -> Result<Duration, String> {
        let termination = trunk.termination.as_deref().unwrap_or_default();
        let uri = SipUri::parse(&format!("sip:{termination}")).map_err(|e| e.to_string())?;
        let target = self.resolve(&uri, Some(trunk.transport)).await?;
        let peer = target.address;
        let path = self.hub.path(self, &target).await;
        let path = path.map_err(|e| e.to_string())?;
        let host = trunk.from_domain.as_ref().unwrap_or(&self.config.domain);
        let request = self.trunk_request(
            Method::Options,
            Standalone {
                path: &path,
                uri: &uri,
                aor: &SipUri::new(trunk.from_user.as_deref(), host, None),
                to: &uri,
                tag: &random_token(16),
                call_id: &format!("{}@{}", random_token(24), self.config.domain),
                cseq: 1,
            },
        );
        let mut request = request;
        request.headers.push(header_of("Accept", "application/sdp"));
        let begun = Instant::now();
        let limit = self.config.timers.qualify_timeout;
        let outcome = tokio::time::timeout(limit, final_outcome(self, &path, request)).await;
        match outcome {
            Err(_) => Err(format!(
                "no answer to OPTIONS from {peer} within {} ms",
                limit.as_millis()
            )),
            Ok(Outcome::NoResponse { connection_lost }) => Err(if connection_lost {
                format!("the connection to {peer} was lost")
            } else {
                format!("no answer to OPTIONS from {peer}")
            }),
            // Whoever refuses OPTIONS is there all the same; these say that it is not.
            Ok(Outcome::Response(response)) => match response.status_code.code() {
                408 | 503 | 504 => Err(format!(
                    "{peer} answered OPTIONS with {}",
                    status_line(&response)
                )),
                _ => Ok(begun.elapsed()),
            },
        }
    }
}
