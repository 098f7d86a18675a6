//! A receiver of notices: staff's side of a signed webhook (Standard Webhooks). It verifies by
//! itself, counts by `webhook-id`, and answers as the test wants.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{DefaultBodyLimit, OriginalUri, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::providers::{WaitError, serve};

/// Clocks may differ by so many seconds, by the specification.
const TOLERANCE_S: i64 = 300;

/// What the receiver found of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// It is right.
    Valid,
    /// The receiver has no secret and looked at none.
    Unchecked,
    /// It is not, or is missing; the text says why.
    Wrong(String),
}

/// One delivery as it arrived.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// `webhook-id`; empty if it was missing.
    pub id: String,
    pub path: String,
    pub body: Value,
    pub signature: Signature,
    /// What was answered; `None` while it is being withheld.
    pub status: Option<u16>,
}

/// How a delivery is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// With this status.
    Status(u16),
    /// With this status after a while.
    After(Duration, u16),
    /// Never.
    Hang,
}

struct State {
    secret: Option<Vec<u8>>,
    deliveries: Mutex<Vec<Delivery>>,
    plan: Mutex<(VecDeque<Answer>, Answer)>,
    changed: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running receiver on a loopback port. It stops when dropped.
pub struct NoticeReceiver {
    address: SocketAddr,
    state: Arc<State>,
    _stop: oneshot::Sender<()>,
}

impl std::fmt::Debug for NoticeReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NoticeReceiver({})", self.address)
    }
}

impl NoticeReceiver {
    /// Starts on a free port of 127.0.0.1, answering 200. With a secret (`whsec_…`) a delivery
    /// whose signature is wrong is answered 401, whatever was planned.
    ///
    /// # Errors
    /// If no port can be had.
    ///
    /// # Panics
    /// If the secret is not one.
    pub async fn start(secret: Option<&str>) -> std::io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), secret).await
    }

    /// Starts on a given address, for a receiver that "comes back".
    ///
    /// # Errors
    /// If the port is taken.
    ///
    /// # Panics
    /// If the secret is not one.
    pub async fn start_at(address: SocketAddr, secret: Option<&str>) -> std::io::Result<Self> {
        let state = Arc::new(State {
            secret: secret.map(|s| {
                let encoded = s
                    .strip_prefix("whsec_")
                    .expect("a secret begins with whsec_");
                STANDARD.decode(encoded).expect("a secret is base64")
            }),
            deliveries: Mutex::default(),
            plan: Mutex::new((VecDeque::new(), Answer::Status(200))),
            changed: Notify::new(),
        });
        let router = Router::new()
            .fallback(receive)
            .layer(DefaultBodyLimit::max(1024 * 1024))
            .with_state(Arc::clone(&state));
        let (address, stop) = serve(address, router).await?;
        Ok(Self {
            address,
            state,
            _stop: stop,
        })
    }

    /// Where notices are to be sent.
    pub fn url(&self) -> String {
        format!("http://{}/notices", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next deliveries are answered so, in order, before [`NoticeReceiver::otherwise`].
    pub fn answers(&self, answers: impl IntoIterator<Item = Answer>) -> &Self {
        lock(&self.state.plan).0.extend(answers);
        self
    }

    /// How deliveries are answered that nothing was planned for.
    pub fn otherwise(&self, answer: Answer) -> &Self {
        lock(&self.state.plan).1 = answer;
        self
    }

    /// Everything that arrived, in order.
    pub fn deliveries(&self) -> Vec<Delivery> {
        lock(&self.state.deliveries).clone()
    }

    /// How often a notice arrived, whatever was answered.
    pub fn count(&self, id: &str) -> usize {
        self.deliveries().iter().filter(|d| d.id == id).count()
    }

    /// The ids of notices that were accepted (2xx), one entry for each acceptance: an id that
    /// stands here twice was delivered twice.
    pub fn accepted(&self) -> Vec<String> {
        let deliveries = self.deliveries().into_iter();
        deliveries
            .filter(|d| d.status.is_some_and(|s| (200..300).contains(&s)))
            .map(|d| d.id)
            .collect()
    }

    /// Waits until the deliveries satisfy `condition`, and gives them.
    ///
    /// # Errors
    /// If they do not within `limit`; the error shows what there was.
    pub async fn wait_until(
        &self,
        limit: Duration,
        condition: impl Fn(&[Delivery]) -> bool + Send,
    ) -> Result<Vec<Delivery>, WaitError> {
        let deadline = Instant::now() + limit;
        loop {
            // Listened for before looking, so that a change in between is not missed.
            let changed = self.state.changed.notified();
            let all = self.deliveries();
            if condition(&all) {
                return Ok(all);
            }
            if timeout_at(deadline, changed).await.is_err() {
                return Err(WaitError {
                    limit,
                    seen: format!("{all:?}"),
                });
            }
        }
    }
}

async fn receive(
    Shared(state): Shared<Arc<State>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let text = |name: &str| -> String {
        let value = headers.get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let id = text("webhook-id");
    let signature = match &state.secret {
        None => Signature::Unchecked,
        Some(secret) => match verify(
            secret,
            &id,
            &text("webhook-timestamp"),
            &text("webhook-signature"),
            &body,
            unix_seconds(),
        ) {
            Ok(()) => Signature::Valid,
            Err(why) => Signature::Wrong(why),
        },
    };
    let answer = if matches!(signature, Signature::Wrong(_)) {
        Answer::Status(401)
    } else {
        let mut plan = lock(&state.plan);
        let planned = plan.0.pop_front();
        planned.unwrap_or(plan.1)
    };
    let index = {
        let mut deliveries = lock(&state.deliveries);
        deliveries.push(Delivery {
            id,
            path: uri.path().to_owned(),
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            signature,
            status: None,
        });
        deliveries.len() - 1
    };
    state.changed.notify_waiters();
    let status = match answer {
        Answer::Status(status) => status,
        Answer::After(wait, status) => {
            tokio::time::sleep(wait).await;
            status
        }
        Answer::Hang => std::future::pending().await,
    };
    lock(&state.deliveries)[index].status = Some(status);
    state.changed.notify_waiters();
    StatusCode::from_u16(status).expect("an answer is a real status")
}

fn unix_seconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|d| i64::try_from(d.as_secs()).ok())
        .unwrap_or(0)
}

fn verify(
    secret: &[u8],
    id: &str,
    timestamp: &str,
    signatures: &str,
    body: &[u8],
    now: i64,
) -> Result<(), String> {
    let at: i64 = timestamp
        .parse()
        .map_err(|_| format!("webhook-timestamp is {timestamp:?}"))?;
    if (now - at).abs() > TOLERANCE_S {
        return Err(format!("webhook-timestamp is {} s off", now - at));
    }
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let right = signatures
        .split(' ')
        .filter_map(|s| s.strip_prefix("v1,"))
        .filter_map(|s| STANDARD.decode(s).ok())
        .any(|signature| {
            let mut mac =
                Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
            mac.update(&signed);
            mac.verify_slice(&signature).is_ok()
        });
    if right {
        Ok(())
    } else {
        Err(format!("webhook-signature {signatures:?} is not right"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"object":"event","id":"evt_1","type":"realtime.call.incoming","created_at":1750287018,"data":{"call_id":"rtc_1","sip_headers":[{"name":"From","value":"sip:+12025550100@sip.example.com"}]}}"#;
    const SIGNATURE: &str = "v1,T+QI9VA81jpmm+vQ9xa6h+jqftaO9wCiYP2VyjKtYaU=";
    const SIGNED_AT: i64 = 1_750_287_018;

    fn check(id: &str, signatures: &str, body: &[u8], now: i64) -> Result<(), String> {
        let secret: Vec<u8> = (0..32).collect();
        verify(&secret, id, &SIGNED_AT.to_string(), signatures, body, now)
    }

    #[test]
    fn the_published_vector_is_accepted_within_five_minutes() {
        for off in [-300, 0, 300] {
            assert_eq!(check("wh_1", SIGNATURE, BODY, SIGNED_AT + off), Ok(()));
        }
        for off in [-301, 301] {
            assert!(check("wh_1", SIGNATURE, BODY, SIGNED_AT + off).is_err());
        }
        let several = format!("v2,x v1,AAAA {SIGNATURE}");
        assert_eq!(check("wh_1", &several, BODY, SIGNED_AT), Ok(()));
    }

    #[test]
    fn whatever_is_changed_is_noticed() {
        assert!(check("wh_2", SIGNATURE, BODY, SIGNED_AT).is_err());
        assert!(check("wh_1", SIGNATURE, b"{}", SIGNED_AT).is_err());
        assert!(check("wh_1", "", BODY, SIGNED_AT).is_err());
    }
}
