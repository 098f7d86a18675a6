//! The operator API as a client sees it.

use std::time::Duration;

use serde_json::{Value, json};
use switchhook_lab::wait::until;

/// A logged-in client.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    client: reqwest::Client,
    token: String,
}

impl Api {
    /// Logs in; panics when that is refused.
    pub async fn log_in(base: String, client: reqwest::Client, user: &str, password: &str) -> Self {
        let answer = client
            .post(format!("{base}/api/auth/token"))
            .json(&json!({"username": user, "password": password}))
            .send()
            .await
            .unwrap_or_else(|e| panic!("{base}/api/auth/token: {e}"));
        let status = answer.status();
        let body: Value = answer.json().await.unwrap_or_default();
        let token = body["access_token"].as_str().or(body["token"].as_str());
        let token = token
            .unwrap_or_else(|| panic!("no token: {status} {body}"))
            .to_owned();
        Self {
            base,
            client,
            token,
        }
    }

    /// GET with JSON answer; panics on any status but 2xx.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.try_get(path).await;
        assert!((200..300).contains(&status), "GET {path}: {status} {body}");
        body
    }

    /// GET with status and JSON.
    pub async fn try_get(&self, path: &str) -> (u16, Value) {
        let request = self.client.get(format!("{}{path}", self.base));
        self.send(request, path).await
    }

    /// GET as bytes with status.
    pub async fn bytes(&self, path: &str, range: Option<&str>) -> (u16, Vec<u8>) {
        let mut request = self
            .client
            .get(format!("{}{path}", self.base))
            .bearer_auth(&self.token);
        if let Some(range) = range {
            request = request.header("range", range);
        }
        let answer = request
            .send()
            .await
            .unwrap_or_else(|e| panic!("GET {path}: {e}"));
        let status = answer.status().as_u16();
        (
            status,
            answer.bytes().await.map(|b| b.to_vec()).unwrap_or_default(),
        )
    }

    /// POST with status and JSON.
    pub async fn try_post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.base)).json(body);
        self.send(request, path).await
    }

    async fn send(&self, request: reqwest::RequestBuilder, path: &str) -> (u16, Value) {
        let answer = request
            .bearer_auth(&self.token)
            .send()
            .await
            .unwrap_or_else(|e| panic!("{path}: {e}"));
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap_or_default();
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    /// All calls, newest first.
    pub async fn calls(&self) -> Vec<Value> {
        items(&self.get("/api/calls?limit=100").await)
    }

    /// One call in full.
    pub async fn call(&self, id: &str) -> Value {
        self.get(&format!("/api/calls/{id}")).await
    }

    /// Messages left and notices sent, newest first.
    pub async fn messages(&self) -> Vec<Value> {
        items(&self.get("/api/messages?limit=100").await)
    }

    /// The newest call in full, waiting until there is one that satisfies the test.
    pub async fn wait_call(
        &self,
        what: &str,
        within: Duration,
        matches: impl Fn(&Value) -> bool,
    ) -> Value {
        until(&format!("a call with {what}"), within, async || {
            let calls = self.calls().await;
            let Some(id) = calls.first().and_then(|call| call["id"].as_str()) else {
                return Err("no call".to_owned());
            };
            let newest = self.call(id).await;
            if matches(&newest) {
                Ok(newest)
            } else {
                Err(pretty(&newest))
            }
        })
        .await
    }

    /// The newest call once it has ended.
    pub async fn ended_call(&self, within: Duration) -> Value {
        let call = self
            .wait_call("status ended", within, |c| c["status"] == "ended")
            .await;
        // What the judge found belongs to every test's verdict.
        let violations = call["violations"].as_array().cloned().unwrap_or_default();
        assert!(
            violations.is_empty(),
            "the judge found {violations:?} in\n{}",
            pretty(&call)
        );
        call
    }
}

/// The only transfer of a call.
pub fn only_transfer(call: &Value) -> &Value {
    let transfers = call["transfers"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    assert_eq!(
        transfers.len(),
        1,
        "one transfer expected in\n{}",
        pretty(call)
    );
    &transfers[0]
}

/// The only dial attempt of the only transfer.
pub fn only_attempt(call: &Value) -> &Value {
    let attempts = only_transfer(call)["attempts"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    assert_eq!(
        attempts.len(),
        1,
        "one dial attempt expected in\n{}",
        pretty(call)
    );
    &attempts[0]
}

/// Everything the assistant or the system told the caller, by the call's own record.
pub fn told(call: &Value) -> String {
    spoken_by(call, |speaker| speaker != "caller" && speaker != "agent")
}

/// Everything the caller said, by the call's own record.
pub fn understood(call: &Value) -> String {
    spoken_by(call, |speaker| speaker == "caller")
}

fn spoken_by(call: &Value, who: impl Fn(&str) -> bool) -> String {
    let turns = call["turns"].as_array().cloned().unwrap_or_default();
    turns
        .iter()
        .filter(|t| who(t["speaker"].as_str().unwrap_or("").to_lowercase().as_str()))
        .filter_map(|t| t["text"].as_str())
        .collect::<Vec<_>>()
        .join(" ")
        .to_lowercase()
}

/// A list answer's items.
pub fn items(list: &Value) -> Vec<Value> {
    list["items"]
        .as_array()
        .cloned()
        .unwrap_or_else(|| panic!("no items in {list}"))
}

/// For messages.
pub fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
