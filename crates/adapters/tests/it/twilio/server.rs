//! A server that answers from a script and keeps what it was asked.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use switchhook_adapters::Secret;
use switchhook_adapters::twilio::rest::{Credentials, RestConfig, TwilioRest};

use super::super::SOON;
use super::ACCOUNT;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub authorization: Option<String>,
    pub form: Vec<(String, String)>,
}

impl Asked {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.form
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

#[derive(Clone)]
pub enum Answer {
    Json(u16, serde_json::Value),
    Head(u16, Vec<(&'static str, String)>, &'static str),
    /// Takes the request and never answers.
    Hang,
}

#[derive(Default)]
pub struct Kept {
    answers: VecDeque<Answer>,
    asked: Vec<Asked>,
}

/// Answers in the order given; when there are no more, with 500.
#[derive(Clone)]
pub struct Server {
    kept: Arc<Mutex<Kept>>,
    pub address: SocketAddr,
}

impl Server {
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let kept = Arc::new(Mutex::new(Kept {
            answers: answers.into_iter().collect(),
            asked: Vec::new(),
        }));
        let app = Router::new().fallback(answer).with_state(kept.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { kept, address }
    }

    pub fn config(&self) -> RestConfig {
        let credentials = Credentials::token(ACCOUNT, Secret::new("auth-token"));
        let mut config = RestConfig::new(credentials);
        config.base_url = Some(format!("http://{}", self.address));
        config.limits.connect = SOON;
        config.limits.whole = SOON;
        config.limits.patience = SOON;
        config
    }

    pub fn rest(&self) -> TwilioRest {
        TwilioRest::new(self.config()).expect("a client")
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.kept.lock().expect("not poisoned").asked.clone()
    }

    /// The only request.
    pub fn only(&self) -> Asked {
        let mut asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.remove(0)
    }
}

async fn answer(
    State(kept): State<Arc<Mutex<Kept>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let next = {
        let mut kept = kept.lock().expect("not poisoned");
        kept.asked.push(Asked {
            method: method.to_string(),
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or("").to_owned(),
            authorization: headers
                .get("authorization")
                .map(|value| value.to_str().expect("text").to_owned()),
            form: url::form_urlencoded::parse(&body).into_owned().collect(),
        });
        kept.answers.pop_front()
    };
    let (status, headers, body) = match next {
        Some(Answer::Json(status, value)) => (status, Vec::new(), Body::from(value.to_string())),
        Some(Answer::Head(status, headers, body)) => (status, headers, Body::from(body)),
        Some(Answer::Hang) => std::future::pending().await,
        None => (500, Vec::new(), Body::from("the script is over")),
    };
    let mut response = Response::builder().status(StatusCode::from_u16(status).expect("a status"));
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body).expect("a response")
}
