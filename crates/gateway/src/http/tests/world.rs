//! One HTTP side with everything behind it under control.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode, header};
use metrics_exporter_prometheus::PrometheusRecorder;
use serde_json::{Value, json};
use switchhook_lab::postgres::Cluster;
use switchhook_model::{CallId, Direction, LegId, RecordingId, Timestamp, TurnId};
use switchhook_store::{
    CallHead, CallRow, Json, RecordingRow, RecordingState, Step, Store, StoreOptions, TurnRow,
};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::bus::LiveEvent;
use crate::http::auth::{Role, TokenKeys};
use crate::http::ports::{
    CallOrder, Capacity, CommandError, Contact, ExtensionStatus, InitiateError, Initiated,
    Integration, IntegrationState, Operator, Readiness, RecordingOrder, SipListener, SipReach,
    TransferOrder, TrunkRegistration, TrunkView,
};
use crate::http::{HttpConfig, HttpState, router};

pub const KEY: &str = "0123456789abcdef0123456789abcdef";
/// 2026-11-21T14:30:00Z.
const START: i64 = 1_795_271_400_000;

pub struct World {
    pub router: Router,
    pub store: Store,
    pub operator: Arc<FakeOperator>,
    pub keys: TokenKeys,
    pub shutdown: CancellationToken,
    /// What `/metrics` shows; it records only where it is set as the local recorder.
    pub recorder: PrometheusRecorder,
    pub recordings: std::path::PathBuf,
    clock: Arc<AtomicI64>,
    _directory: tempfile::TempDir,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: impl AsRef<str>) -> &str {
        self.headers
            .get(name.as_ref())
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The refusal has the one shape, with this status and code.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> &Self {
        let body = self.json();
        assert_eq!(body["error"]["code"], code, "{body}");
        assert_eq!(self.status.as_u16(), status, "{body}");
        assert!(!body["error"]["message"].as_str().unwrap().is_empty());
        assert_eq!(body["error"]["request_id"], self.header("x-request-id"));
        self
    }

    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text());
        self.json()
    }
}

impl World {
    /// Over memory, SQLite and PostgreSQL.
    pub async fn each() -> [Self; 3] {
        [
            Self::memory().await,
            Self::sqlite().await,
            Self::postgres().await,
        ]
    }

    pub async fn memory() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut HttpConfig)) -> Self {
        Self::over(Store::memory(), tempfile::tempdir().unwrap(), change)
    }

    async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("t.db").display());
        let store = Store::open(&url, &StoreOptions::default()).await.unwrap();
        Self::over(store, directory, |_| {})
    }

    async fn postgres() -> Self {
        let url = Cluster::shared().database();
        let store = Store::open(&url, &StoreOptions::default()).await.unwrap();
        Self::over(store, tempfile::tempdir().unwrap(), |_| {})
    }

    pub fn over(
        store: Store,
        directory: tempfile::TempDir,
        change: impl FnOnce(&mut HttpConfig),
    ) -> Self {
        let recordings = directory.path().join("recordings");
        std::fs::create_dir_all(&recordings).unwrap();
        let mut config = HttpConfig {
            recordings: recordings.clone(),
            ..HttpConfig::default()
        };
        change(&mut config);
        let operator = Arc::new(FakeOperator::default());
        let clock = Arc::new(AtomicI64::new(START));
        let shutdown = CancellationToken::new();
        let recorder = crate::metrics::recorder().unwrap();
        let reads = clock.clone();
        let state = HttpState::new(
            store.clone(),
            operator.clone(),
            TokenKeys::new(KEY).unwrap(),
            config,
            move || Timestamp::from_millis(reads.load(Ordering::Relaxed)),
            Some(recorder.handle()),
            shutdown.clone(),
        );
        Self {
            router: router(state),
            store,
            operator,
            keys: TokenKeys::new(KEY).unwrap(),
            shutdown,
            recorder,
            recordings,
            clock,
            _directory: directory,
        }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.load(Ordering::Relaxed))
    }

    pub fn pass(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).unwrap();
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    pub fn token(&self, role: Role) -> String {
        let name = format!("test-{role}");
        self.keys
            .issue(&name, role, self.now(), Duration::from_secs(900))
    }

    pub async fn send(&self, mut request: Request<Body>) -> Answer {
        if request
            .extensions()
            .get::<ConnectInfo<SocketAddr>>()
            .is_none()
        {
            let peer: SocketAddr = "127.0.0.1:40000".parse().unwrap();
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: to_bytes(body, usize::MAX).await.unwrap().to_vec(),
        }
    }

    /// With an operator's token.
    pub async fn get(&self, path: &str) -> Answer {
        self.get_as(Some(&self.token(Role::Operator)), path).await
    }

    pub async fn get_as(&self, token: Option<&str>, path: &str) -> Answer {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// With an operator's token.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.post_as(Some(&self.token(Role::Operator)), path, body)
            .await
    }

    pub async fn post_as(&self, token: Option<&str>, path: &str, body: Value) -> Answer {
        let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    /// Stores a call; `second` is its start, counted from the world's beginning.
    pub async fn call(&self, name: &str, second: i64) -> CallRow {
        let row = call(name, second);
        self.store.commit(Step::of(row.clone())).await.unwrap();
        row
    }

    /// Stores a recording and, if it has content, its file.
    pub async fn recording(&self, call: &str, state: RecordingState, content: Option<&[u8]>) {
        let id = RecordingId::derive(&call_id(call), 1);
        let file = format!("{id}.wav");
        if let Some(content) = content {
            std::fs::write(self.recordings.join(&file), content).unwrap();
        }
        self.recording_row(call, state, &file).await;
    }

    pub async fn recording_row(&self, call: &str, state: RecordingState, file: &str) {
        let row = RecordingRow {
            id: RecordingId::derive(&call_id(call), 1),
            call: call_id(call),
            file: file.to_owned(),
            state,
            started_at: at(1),
            ended_at: Some(at(2)),
            duration_ms: Some(1000),
            error: None,
        };
        self.store
            .commit(Step {
                recordings: vec![row],
                ..Step::default()
            })
            .await
            .unwrap();
    }
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(START + second * 1000)
}

pub fn call_id(name: &str) -> CallId {
    CallId::from_unique(name)
}

/// The ids of a page's items, in its order.
pub fn ids(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|row| row["id"].as_str().unwrap())
        .collect()
}

/// A call that talks to the assistant.
pub fn call(name: &str, second: i64) -> CallRow {
    let id = call_id(name);
    let head = CallHead {
        id: id.clone(),
        status: "assistant".into(),
        direction: Direction::Inbound,
        channel: "sip".into(),
        profile: "demo".into(),
        assistant: Some("Mia".into()),
        caller: "+12025550100".into(),
        caller_name: None,
        callee: "assistant".into(),
        started_at: at(second),
        answered_at: Some(at(second + 1)),
        ended_at: None,
        outcome: None,
    };
    let view = json!({
        "id": id,
        "direction": "inbound",
        "channel": "sip",
        "profile": "demo",
        "assistant": "Mia",
        "status": "assistant",
        "caller": "+12025550100",
        "callee": "assistant",
        "started_at": at(second).to_rfc3339(),
        "answered_at": at(second + 1).to_rfc3339(),
        "ended_at": null,
        "outcome": null,
        "legs": [{
            "id": LegId::derive(&id, 1), "kind": "sip", "party": "caller", "target": null,
            "state": "answered", "started_at": at(second).to_rfc3339(),
            "answered_at": at(second + 1).to_rfc3339(), "ended_at": null,
        }],
        "transfers": [],
        "headline": {"key": "talking_to_assistant", "args": {}},
    });
    CallRow {
        head,
        revision: 1,
        snapshot_version: 1,
        snapshot: json!({"secret": "the machine"}).into(),
        view: view.into(),
        channel_state: None,
        due_at: None,
        node: None,
    }
}

/// The row's view with these fields in place of its own.
pub fn shown_with(row: &CallRow, fields: Value) -> Json {
    let (Value::Object(mut view), Value::Object(fields)) = (row.view.value(), fields) else {
        panic!("views are objects");
    };
    view.extend(fields);
    Value::Object(view).into()
}

pub fn turn(call: &str, n: u32, text: &str, first_audio_ms: Option<u64>) -> TurnRow {
    TurnRow {
        id: TurnId::derive(&call_id(call), n),
        call: call_id(call),
        n,
        speaker: if n % 2 == 1 { "caller" } else { "assistant" }.into(),
        text: text.into(),
        started_at: at(i64::from(n)),
        ended_at: Some(at(i64::from(n) + 1)),
        interrupted: false,
        latency: first_audio_ms.map(|ms| json!({"first_audio_ms": ms, "ours_ms": ms / 10})),
    }
}

/// What the API asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    Hangup {
        call: CallId,
        by: String,
    },
    Transfer {
        call: CallId,
        order: TransferOrder,
    },
    Hold {
        call: CallId,
        by: String,
    },
    Resume {
        call: CallId,
        by: String,
    },
    Initiate(CallOrder),
    Recording {
        call: CallId,
        order: RecordingOrder,
        by: String,
    },
}

/// Notes what it is asked and answers as told.
pub struct FakeOperator {
    pub asked: Mutex<Vec<Asked>>,
    pub command_error: Mutex<Option<CommandError>>,
    pub initiate_error: Mutex<Option<InitiateError>>,
    pub ready: Mutex<bool>,
    pub changes: broadcast::Sender<LiveEvent>,
}

impl Default for FakeOperator {
    fn default() -> Self {
        Self {
            asked: Mutex::default(),
            command_error: Mutex::default(),
            initiate_error: Mutex::default(),
            ready: Mutex::new(true),
            changes: broadcast::Sender::new(64),
        }
    }
}

impl FakeOperator {
    fn answer(&self, asked: Asked) -> Result<(), CommandError> {
        self.asked.lock().unwrap().push(asked);
        match self.command_error.lock().unwrap().clone() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Operator for FakeOperator {
    async fn hangup(&self, call: &CallId, by: &str) -> Result<(), CommandError> {
        self.answer(Asked::Hangup {
            call: call.clone(),
            by: by.to_owned(),
        })
    }

    async fn transfer(&self, call: &CallId, order: TransferOrder) -> Result<(), CommandError> {
        self.answer(Asked::Transfer {
            call: call.clone(),
            order,
        })
    }

    async fn hold(&self, call: &CallId, by: &str) -> Result<(), CommandError> {
        self.answer(Asked::Hold {
            call: call.clone(),
            by: by.to_owned(),
        })
    }

    async fn resume(&self, call: &CallId, by: &str) -> Result<(), CommandError> {
        self.answer(Asked::Resume {
            call: call.clone(),
            by: by.to_owned(),
        })
    }

    async fn recording(
        &self,
        call: &CallId,
        order: RecordingOrder,
        by: &str,
    ) -> Result<(), CommandError> {
        self.answer(Asked::Recording {
            call: call.clone(),
            order,
            by: by.to_owned(),
        })
    }

    async fn initiate(&self, order: CallOrder) -> Result<Initiated, InitiateError> {
        self.asked.lock().unwrap().push(Asked::Initiate(order));
        match self.initiate_error.lock().unwrap().clone() {
            Some(error) => Err(error),
            None => Ok(Initiated {
                call: call_id("new"),
                status: "ringing".into(),
                call_sid: None,
                twilio_configured: false,
                message: "the phone is being called".into(),
            }),
        }
    }

    async fn extensions(&self) -> Vec<ExtensionStatus> {
        vec![ExtensionStatus {
            extension: "2001".into(),
            display_name: Some("<b>Jonas</b>".into()),
            registered: true,
            contacts: vec![Contact {
                uri: "sip:2001@192.0.2.21:5060".into(),
                user_agent: Some("baresip".into()),
                expires_at: Some(at(60)),
            }],
        }]
    }

    async fn trunks(&self) -> Vec<TrunkView> {
        vec![TrunkView {
            trunk: "pbx".into(),
            state: "up".into(),
            since: at(0),
            checked_at: Some(at(30)),
            round_trip_ms: Some(12),
            last_error: None,
            registration: Some(TrunkRegistration {
                state: "failed".into(),
                registered_until: None,
                last_status: Some(403),
                last_error: Some("403 Forbidden".into()),
                next_attempt_at: Some(at(90)),
            }),
        }]
    }

    async fn readiness(&self) -> Readiness {
        Readiness {
            ready: *self.ready.lock().unwrap(),
            mode: "demo".into(),
            version: "0.1.0".into(),
            capacity: Capacity {
                calls_active: 1,
                calls_max: 200,
            },
            sip: SipReach {
                assistant: Some("assistant".into()),
                host: Some("203.0.113.5".into()),
                listeners: vec![SipListener {
                    transport: "udp".into(),
                    ip: "192.0.2.10".into(),
                    port: 5070,
                }],
            },
            integrations: vec![Integration {
                name: "notices".into(),
                state: IntegrationState::Degraded,
                detail: Some("last delivery failed".into()),
                cause: Some("hooks.example.net answered 500".into()),
                cure: Some("look at its log".into()),
                checked_at: Some(at(0)),
                latency_ms: Some(3),
            }]
            .into_iter()
            .chain(crate::trunks::integrations(&[]).into_iter().map(|mut one| {
                one.name = "trunk:carrier".into();
                one
            }))
            .collect(),
        }
    }

    fn subscribe(&self) -> broadcast::Receiver<LiveEvent> {
        self.changes.subscribe()
    }
}
