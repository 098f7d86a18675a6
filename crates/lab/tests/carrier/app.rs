//! A small application: it answers what the test says, and keeps what it was asked. Every request
//! must be signed, or the application answers 403.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use switchhook_lab::carrier::{Carrier, CarrierConfig, Number, Params, sign};

use tokio::sync::Barrier;
use tokio_util::sync::CancellationToken;

use crate::OUR_NUMBER;
use switchhook_lab::wait::{check, until};

/// One request.
#[derive(Debug, Clone)]
pub struct Hit {
    pub method: String,
    pub path: String,
    pub params: Params,
    pub token: String,
    pub cookie: Option<String>,
    pub host: String,
    pub signed: bool,
}

impl Hit {
    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The verbs of a document.
    Xml(String),
    /// A body as it is, with its type.
    Body(&'static str, String),
    Status(u16),
    Redirect(u16, String),
    Cookie(&'static str, String),
}

pub fn xml(verbs: &str) -> Reply {
    Reply::Xml(verbs.to_owned())
}

type Answers = Arc<dyn Fn(&Hit) -> Reply + Send + Sync>;

#[derive(Clone)]
pub struct App {
    pub address: SocketAddr,
    hits: Arc<Mutex<Vec<Hit>>>,
    answers: Answers,
    barrier: Arc<Mutex<Option<Arc<Barrier>>>>,
    stop: CancellationToken,
}

impl App {
    pub async fn start(answers: impl Fn(&Hit) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), answers).await
    }

    /// At a given address, for an application that comes back.
    pub async fn start_at(
        address: SocketAddr,
        answers: impl Fn(&Hit) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let app = Self {
            address: listener.local_addr().unwrap(),
            hits: Arc::default(),
            answers: Arc::new(answers),
            barrier: Arc::default(),
            stop: CancellationToken::new(),
        };
        let router = Router::new().fallback(handle).with_state(app.clone());
        let stop = app.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = axum::serve(listener, router) => {}
                () = stop.cancelled() => {}
            }
            stop.cancel();
        });
        app
    }

    /// Stops listening.
    pub async fn stop(&self) {
        self.stop.cancel();
        // The port is free when nobody takes a connection any more.
        until("nobody to listen", crate::SOON, async || {
            let connected = tokio::net::TcpStream::connect(self.address).await;
            check(connected.is_err(), || self.address)
        })
        .await;
    }

    /// Calls are announced only when as many requests are there as the barrier wants.
    pub fn wait_for_all(&self, barrier: &Arc<Barrier>) {
        *self.barrier.lock().unwrap() = Some(Arc::clone(barrier));
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Requests for a path.
    pub fn hits(&self, path: &str) -> Vec<Hit> {
        let hits = self.hits.lock().unwrap();
        hits.iter().filter(|h| h.path == path).cloned().collect()
    }

    /// A carrier with one number whose calls are announced at `/voice`.
    pub fn config(&self) -> CarrierConfig {
        CarrierConfig {
            numbers: vec![
                Number::new(OUR_NUMBER, &self.url("/voice"))
                    .status_callback(&self.url("/number-status")),
            ],
            ..CarrierConfig::default()
        }
    }

    pub async fn carrier(&self) -> Carrier {
        Carrier::start(self.config()).await.unwrap()
    }
}

/// What both sides know.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

async fn handle(
    State(app): State<App>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| {
        let value = headers.get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let read =
        |bytes: &[u8]| -> Params { url::form_urlencoded::parse(bytes).into_owned().collect() };
    let form = read(&body);
    let signed_url = match header("x-forwarded-host") {
        host if host.is_empty() => format!("http://{}{uri}", app.address),
        host => format!("https://{host}{uri}"),
    };
    let mut params = form.clone();
    if method == Method::GET {
        params = read(uri.query().unwrap_or_default().as_bytes());
    }
    let cookie = header("cookie");
    let hit = Hit {
        method: method.to_string(),
        path: uri.path().to_owned(),
        params,
        token: header("i-twilio-idempotency-token"),
        host: header("host"),
        cookie: (!cookie.is_empty()).then_some(cookie),
        signed: header("x-twilio-signature") == sign(TOKEN, &signed_url, &form),
    };
    app.hits.lock().unwrap().push(hit.clone());
    if !hit.signed {
        return StatusCode::FORBIDDEN.into_response();
    }
    let barrier = app.barrier.lock().unwrap().clone();
    if let Some(barrier) = barrier.filter(|_| hit.path == "/voice") {
        barrier.wait().await;
    }
    let document = |verbs: &str| {
        let text =
            format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>{verbs}</Response>");
        ([("content-type", "text/xml; charset=utf-8")], text)
    };
    match (app.answers)(&hit) {
        Reply::Xml(verbs) => document(&verbs).into_response(),
        Reply::Body(kind, text) => ([("content-type", kind)], text).into_response(),
        Reply::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Reply::Redirect(status, to) => {
            let status = StatusCode::from_u16(status).unwrap();
            (status, [("location", to)]).into_response()
        }
        Reply::Cookie(cookie, verbs) => {
            ([("set-cookie", cookie)], document(&verbs)).into_response()
        }
    }
}

/// A client of the REST API.
pub struct Rest {
    base: String,
    client: reqwest::Client,
    user: String,
    password: String,
}

pub struct Answered {
    pub status: u16,
    pub body: serde_json::Value,
    pub retry_after: Option<String>,
}

impl Rest {
    pub fn of(carrier: &Carrier) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            base: format!(
                "{}/2010-04-01/Accounts/{}",
                carrier.url(),
                carrier.account_sid()
            ),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            user: carrier.account_sid().to_owned(),
            password: TOKEN.to_owned(),
        }
    }

    pub fn with_credentials(mut self, user: &str, password: &str) -> Self {
        user.clone_into(&mut self.user);
        password.clone_into(&mut self.password);
        self
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answered {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request = self
            .client
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        self.send(request).await
    }

    pub async fn get(&self, path: &str) -> Answered {
        let request = self.client.get(format!("{}{path}", self.base));
        self.send(request).await
    }

    pub async fn delete(&self, path: &str) -> Answered {
        let request = self.client.delete(format!("{}{path}", self.base));
        self.send(request).await
    }

    pub async fn bytes(&self, url: &str) -> Vec<u8> {
        let request = self.client.get(url);
        let request = request.basic_auth(&self.user, Some(&self.password));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.bytes().await.unwrap().to_vec()
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answered {
        let request = request.basic_auth(&self.user, Some(&self.password));
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.map(|v| v.to_str().unwrap().to_owned());
        let body = response.bytes().await.unwrap();
        Answered {
            status,
            body: serde_json::from_slice(&body).unwrap_or_default(),
            retry_after,
        }
    }
}
