//! A gateway with the Twilio channel, over SQLite, that can be killed and started again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::Request;
use switchhook_adapters::Secret;
use switchhook_adapters::twilio::signature::sign_form;
use switchhook_adapters::twilio::{Params, Verifier};
use switchhook_store::{CallFilter, CallHead, Store, StoreOptions};
use tower::ServiceExt;

use crate::calls::tests::{config, shared};
use crate::calls::{self, Shared};
use crate::config::Config;
use crate::twilio::http::{Webhooks, routes};
use crate::twilio::{Engine, Settings};

pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
pub(super) const BASE: &str = "https://gw.example.com";
pub(super) const CALL: &str = "CA00000000000000000000000000000001";

pub(super) struct World {
    pub store: Store,
    pub shared: Arc<Shared>,
    router: Router,
    directory: tempfile::TempDir,
    change: fn(&mut Config),
    pub peer: SocketAddr,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

impl Answer {
    /// The value of an attribute, or the text of an element.
    pub fn attribute(&self, name: &str) -> Option<String> {
        let from = self.body.split_once(&format!("{name}=\""))?.1;
        let value = from.split('"').next()?;
        Some(value.replace("&amp;", "&"))
    }

    /// The path with query that comes next: of an action, or of a redirect.
    pub fn next(&self) -> String {
        let url = self.attribute("action").or_else(|| {
            let from = self.body.split_once("<Redirect")?.1;
            let from = from.split_once('>')?.1;
            Some(from.split('<').next()?.replace("&amp;", "&"))
        });
        let url = url.unwrap_or_else(|| panic!("nothing comes next: {}", self.body));
        url.strip_prefix(BASE)
            .unwrap_or_else(|| panic!("not ours: {url}"))
            .to_owned()
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: fn(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::in_directory(directory, change).await
    }

    async fn in_directory(directory: tempfile::TempDir, change: fn(&mut Config)) -> Self {
        let path = directory.path().join("switchhook.db");
        let url = format!("sqlite://{}", path.display());
        let store = Store::open(&url, &StoreOptions::default()).await.unwrap();
        let mut config = config(&directory);
        config.public_url = Some(BASE.to_owned());
        change(&mut config);
        let shared = shared(config, &store, "127.0.0.1:0".parse().unwrap()).await;
        let key = crate::config::Secret::new("k".repeat(40));
        let mut settings = Settings::of(&shared.config, 120, &key).unwrap();
        settings.allow_unsigned_loopback = false;
        settings.sip_domain = Some("pbx.example.com".to_owned());
        let verifier = Verifier::new(BASE, vec![Secret::new(TOKEN)], BTreeMap::new()).unwrap();
        let stop = tokio_util::sync::CancellationToken::new();
        let engine = Engine::new(Arc::clone(&shared), settings, None, stop).unwrap();
        let router = routes(Webhooks::new(engine, Some(verifier), Vec::new()));
        Self {
            store,
            shared,
            router,
            directory,
            change,
            peer: "192.0.2.7:40000".parse().unwrap(),
        }
    }

    /// The process dies; another one starts on what is stored.
    pub async fn restarted(self) -> Self {
        self.shared.sip.shutdown();
        self.shared.media.shutdown();
        self.store.close().await;
        let world = Self::in_directory(self.directory, self.change).await;
        calls::recover(&world.shared).await.unwrap();
        world
    }

    /// A webhook as Twilio sends it.
    pub async fn post(&self, target: &str, form: &[(&str, &str)]) -> Answer {
        self.signed(target, form, None, TOKEN).await
    }

    pub async fn signed(
        &self,
        target: &str,
        form: &[(&str, &str)],
        idempotency: Option<&str>,
        token: &str,
    ) -> Answer {
        let params = params(form);
        let url = format!("{BASE}{target}");
        let signature = sign_form(&Secret::new(token), &url, &params);
        let mut headers = vec![("x-twilio-signature", signature)];
        if let Some(token) = idempotency {
            headers.push(("i-twilio-idempotency-token", token.to_owned()));
        }
        self.raw("POST", target, &params.to_form(), &headers).await
    }

    pub async fn raw(
        &self,
        method: &str,
        target: &str,
        body: &str,
        headers: &[(&str, String)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(target).header(
            "content-type",
            "application/x-www-form-urlencoded; charset=UTF-8",
        );
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let content_type = response
            .headers()
            .get("content-type")
            .map_or_else(String::new, |value| value.to_str().unwrap().to_owned());
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Answer {
            status,
            content_type,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub async fn calls(&self) -> Vec<CallHead> {
        let filter = CallFilter {
            limit: 100,
            ..CallFilter::default()
        };
        self.store.calls(&filter).await.unwrap().items
    }
}

pub(super) fn params(form: &[(&str, &str)]) -> Params {
    form.iter().map(|(name, value)| (*name, *value)).collect()
}

/// What an inbound call's webhooks hold.
pub(super) fn inbound<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![
        ("AccountSid", "AC00000000000000000000000000000001"),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", CALL),
        ("CallStatus", "in-progress"),
        ("Direction", "inbound"),
        ("From", "+12025550142"),
        ("To", "+493023125001"),
        ("FromCity", ""),
    ];
    for (name, value) in more {
        form.retain(|(known, _)| known != name);
        form.push((name, value));
    }
    form
}
