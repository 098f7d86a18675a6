//! Twilio's REST interface.
//!
//! What belongs here: requests, answers, authentication, and the question whether a request that
//! failed may have been carried out. What does not: when to ask, and what to tell the caller.
//! Nothing is sent twice that may have been carried out once: v2010 knows no idempotency key.
//! <https://www.twilio.com/docs/usage/requests-to-twilio>

mod answers;
mod carrier;
mod error;
mod methods;
mod requests;

pub use answers::{
    AccountInfo, CallInfo, CallerIdInfo, Capabilities, ConferenceInfo, MessageInfo,
    ParticipantInfo, PhoneNumberInfo, RecordingInfo,
};
pub use carrier::{AudioFile, Carrier, RecordingMedia};
pub use error::{ErrorKind, TwilioError};
pub use requests::{
    CallAmd, CallDocument, CallQuery, CallUpdate, ConferenceChange, MessageContent, MessageQuery,
    NewCall, NewMessage, NewParticipant, NewRecording, ParticipantUpdate, RecordingChange, Sender,
    SipLogin,
};

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use reqwest::{Method, Response};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::Secret;
use crate::http::{self, BodyError, ProviderConfigError};
use requests::Form;

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;
/// Most pages of a list, of 50 entries each.
const MAX_PAGES: usize = 5;
/// Most redirects on the way to a recording.
const MAX_REDIRECTS: usize = 3;
/// Longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Who asks: the account, and what it logs in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `AC…`; in every path.
    account_sid: String,
    /// The account, or an API key (`SK…`).
    user: String,
    secret: Secret,
}

impl Credentials {
    /// By the account's auth token.
    pub fn token(account_sid: impl Into<String>, auth_token: Secret) -> Self {
        let account_sid = account_sid.into();
        Self {
            user: account_sid.clone(),
            account_sid,
            secret: auth_token,
        }
    }

    /// By an API key. Standard keys cannot fetch the account (20003).
    pub fn api_key(
        account_sid: impl Into<String>,
        key_sid: impl Into<String>,
        secret: Secret,
    ) -> Self {
        Self {
            account_sid: account_sid.into(),
            user: key_sid.into(),
            secret,
        }
    }

    pub fn account_sid(&self) -> &str {
        &self.account_sid
    }
}

/// Time limits of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestLimits {
    /// For the connection, each try.
    pub connect: Duration,
    /// For each try, up to the end of the answer; of a recording between two pieces.
    pub whole: Duration,
    /// Most tries of what was certainly not carried out.
    pub tries: u32,
    /// All tries with the pauses between them; a longer pause than fits ends them.
    pub patience: Duration,
}

impl Default for RestLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            whole: Duration::from_secs(10),
            tries: 4,
            patience: Duration::from_secs(15),
        }
    }
}

/// Which account at which server.
#[derive(Debug, Clone)]
pub struct RestConfig {
    pub credentials: Credentials,
    /// In place of Twilio: `http://127.0.0.1:9000`. Region and edge do not count then.
    pub base_url: Option<String>,
    /// `ie1`, `au1`: with an edge only; without, requests reach the United States and are refused.
    pub region: Option<String>,
    /// `dublin`, `sydney`.
    pub edge: Option<String>,
    pub limits: RestLimits,
}

impl RestConfig {
    /// Twilio itself, with the usual limits.
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            base_url: None,
            region: None,
            edge: None,
            limits: RestLimits::default(),
        }
    }
}

/// Where a product of Twilio answers: `https://api.dublin.ie1.twilio.com`. `product` is `api`,
/// `trunking`, `messaging`, …; an edge without region belongs to `us1`.
///
/// # Errors
/// If there is a region without an edge, or one of them is no word of letters, digits and hyphens.
pub fn product_url(
    product: &str,
    region: Option<&str>,
    edge: Option<&str>,
) -> Result<String, ProviderConfigError> {
    let error = |field, given: &str, problem: &str| ProviderConfigError::Value {
        field,
        given: given.chars().take(64).collect(),
        problem: problem.into(),
    };
    for (field, part) in [
        ("region", region),
        ("edge", edge),
        ("product", Some(product)),
    ] {
        let part = part.unwrap_or("x");
        let is_word = part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if part.is_empty() || !is_word {
            return Err(error(field, part, "it is a word such as ie1 or dublin"));
        }
    }
    match (region, edge) {
        (None, None) => Ok(format!("https://{product}.twilio.com")),
        (region, Some(edge)) => {
            let region = region.unwrap_or("us1");
            Ok(format!("https://{product}.{edge}.{region}.twilio.com"))
        }
        (Some(region), None) => Err(error(
            "region",
            region,
            "without an edge Twilio answers from the United States and refuses; name the edge too",
        )),
    }
}

/// Twilio over REST.
#[derive(Debug, Clone)]
pub struct TwilioRest {
    credentials: Credentials,
    base: Url,
    limits: RestLimits,
    client: reqwest::Client,
}

impl TwilioRest {
    /// Checks the configuration; connects to nothing.
    ///
    /// # Errors
    /// If URL, region, edge, account or secret cannot be used.
    pub fn new(config: RestConfig) -> Result<Self, ProviderConfigError> {
        let RestConfig {
            credentials,
            base_url,
            region,
            edge,
            limits,
        } = config;
        let value = |field, given: &str, problem: &str| ProviderConfigError::Value {
            field,
            given: given.chars().take(64).collect(),
            problem: problem.into(),
        };
        if segment(&credentials.account_sid).is_none() {
            let given = &credentials.account_sid;
            return Err(value(
                "account_sid",
                given,
                "it is AC and 32 hexadecimal digits",
            ));
        }
        if credentials.secret.is_empty() || credentials.user.is_empty() {
            return Err(value(
                "auth_token",
                "",
                "it is empty; set the auth token or an API key",
            ));
        }
        let base_url = match base_url {
            Some(url) => url,
            None => product_url("api", region.as_deref(), edge.as_deref())?,
        };
        let base = http::base_url(&base_url)?;
        Ok(Self {
            client: http::client(&base, limits.connect)?,
            credentials,
            base,
            limits,
        })
    }

    /// Host and port that are asked, for messages.
    pub fn host(&self) -> String {
        http::host(&self.base)
    }

    /// `{base}/2010-04-01/Accounts/{AC}/{path}.json`. Each part of the path is one segment, escaped.
    fn url(&self, operation: &'static str, path: &[&str]) -> Result<Url, TwilioError> {
        let mut url = self.base.clone();
        {
            let mut segments = url.path_segments_mut().expect("http has a path");
            segments.pop_if_empty().extend(["2010-04-01", "Accounts"]);
            segments.push(&self.credentials.account_sid);
            for (place, part) in path.iter().enumerate() {
                let part = segment(part).ok_or_else(|| {
                    let cause = "an id or name is empty, too long, or cannot stand in a path";
                    TwilioError::new(ErrorKind::Refused, operation, cause)
                })?;
                if place + 1 == path.len() {
                    segments.push(&format!("{part}.json"));
                } else {
                    segments.push(part);
                }
            }
        }
        if path.is_empty() {
            let path = format!("{}.json", url.path());
            url.set_path(&path);
        }
        Ok(url)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        method: Method,
        url: &Url,
        form: Option<&Form>,
    ) -> Result<T, TwilioError> {
        let body = self.tried(operation, &method, url, form).await?;
        parsed(operation, &body)
    }

    /// Asks until there is an answer, or a failure after which it may have been carried out.
    async fn tried(
        &self,
        operation: &'static str,
        method: &Method,
        url: &Url,
        form: Option<&Form>,
    ) -> Result<Vec<u8>, TwilioError> {
        let began = Instant::now();
        let mut tries = 0;
        loop {
            let error = match self.once(operation, method, url, form).await {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            tries += 1;
            let pause = error.retry_after.unwrap_or_else(|| backoff(tries));
            if !error.is_retryable()
                || tries >= self.limits.tries
                || pause > MAX_PAUSE
                || began.elapsed() + pause > self.limits.patience
            {
                return Err(error);
            }
            tracing::debug!(operation, tries, ?pause, kind = ?error.kind, "carrier asked again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn once(
        &self,
        operation: &'static str,
        method: &Method,
        url: &Url,
        form: Option<&Form>,
    ) -> Result<Vec<u8>, TwilioError> {
        let deadline = Instant::now() + self.limits.whole;
        let mut request = self
            .client
            .request(method.clone(), url.clone())
            .basic_auth(
                &self.credentials.user,
                Some(self.credentials.secret.expose()),
            )
            .header(ACCEPT, "application/json");
        if let Some(form) = form {
            request = request
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.body());
        }
        let response = self.sent(operation, deadline, request).await?;
        if !response.status().is_success() {
            return Err(refusal(operation, response).await);
        }
        match timeout_at(deadline, http::read_body(response, MAX_ANSWER)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(BodyError::TooLarge)) => Err(unknown(operation, "the answer is too large")),
            Ok(Err(BodyError::Read(error))) => Err(unknown(
                operation,
                &format!(
                    "the answer broke off: {}",
                    http::chain(&error.without_url())
                ),
            )),
            Err(_) => Err(self.too_late(operation)),
        }
    }

    /// Up to the headers of the answer.
    async fn sent(
        &self,
        operation: &'static str,
        deadline: Instant,
        request: reqwest::RequestBuilder,
    ) -> Result<Response, TwilioError> {
        match timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                let kind = if error.is_connect() {
                    ErrorKind::Unreachable
                } else if error.is_builder() {
                    ErrorKind::Refused
                } else {
                    ErrorKind::Unknown
                };
                let cause = http::chain(&error.without_url());
                Err(TwilioError::new(
                    kind,
                    operation,
                    format!("{}: {cause}", self.host()),
                ))
            }
            Err(_) => Err(self.too_late(operation)),
        }
    }

    fn too_late(&self, operation: &'static str) -> TwilioError {
        let limit = self.limits.whole.as_millis();
        unknown(operation, &format!("no whole answer within {limit} ms"))
    }

    /// All entries of a list, page by page. What leads elsewhere is not followed.
    async fn list<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        collection: &str,
        key: &str,
        query: &Form,
    ) -> Result<Vec<T>, TwilioError> {
        let mut url = self.url(operation, &[collection])?;
        url.query_pairs_mut()
            .extend_pairs(query.pairs())
            .append_pair("PageSize", "50");
        let mut entries = Vec::new();
        for _ in 0..MAX_PAGES {
            let mut page: serde_json::Value = self.ask(operation, Method::GET, &url, None).await?;
            let list = page
                .get_mut(key)
                .map(serde_json::Value::take)
                .unwrap_or_default();
            let list: Vec<T> = serde_json::from_value(list).map_err(|error| {
                unknown(
                    operation,
                    &format!("the answer is unreadable: {}", http::json_fault(&error)),
                )
            })?;
            entries.extend(list);
            let Some(next) = page["next_page_uri"].as_str() else {
                break;
            };
            match self.base.join(next) {
                Ok(next) if next.origin() == self.base.origin() => url = next,
                Ok(_) | Err(_) => {
                    return Err(unknown(operation, "the list goes on at another address"));
                }
            }
        }
        Ok(entries)
    }

    /// A recording, by way of redirects. Only Twilio itself is given the credentials.
    async fn media(&self, operation: &'static str, mut url: Url) -> Result<Response, TwilioError> {
        let origin = self.base.origin();
        for _ in 0..=MAX_REDIRECTS {
            let deadline = Instant::now() + self.limits.whole;
            let mut request = self.client.get(url.clone());
            if url.origin() == origin {
                let secret = self.credentials.secret.expose();
                request = request.basic_auth(&self.credentials.user, Some(secret));
            }
            let response = self.sent(operation, deadline, request).await?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let target = response
                .headers()
                .get(LOCATION)
                .and_then(|location| location.to_str().ok())
                .and_then(|location| url.join(location).ok())
                .filter(|next| next.scheme() == "https" || self.base.scheme() == "http");
            url = target.ok_or_else(|| {
                let cause = "it is redirected to an address that is not https";
                TwilioError::new(ErrorKind::Refused, operation, cause)
            })?;
        }
        let cause = "it is redirected too often";
        Err(TwilioError::new(ErrorKind::Refused, operation, cause))
    }
}

/// An id or a name as one segment of a path. `.` and `..` would change the path.
fn segment(text: &str) -> Option<&str> {
    let usable = (1..=128).contains(&text.chars().count())
        && !text.chars().any(char::is_control)
        && !text.bytes().all(|b| b == b'.');
    usable.then_some(text)
}

fn unknown(operation: &'static str, cause: &str) -> TwilioError {
    TwilioError::new(ErrorKind::Unknown, operation, cause)
}

async fn refusal(operation: &'static str, response: Response) -> TwilioError {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let body = http::read_error_body(response).await;
    TwilioError::read(operation, status, &headers, &body)
}

fn parsed<T: DeserializeOwned>(operation: &'static str, body: &[u8]) -> Result<T, TwilioError> {
    serde_json::from_slice(body).map_err(|error| {
        unknown(
            operation,
            &format!("the answer is unreadable: {}", http::json_fault(&error)),
        )
    })
}

/// Pause before the next try: around 0.1 s, 0.2 s, 0.4 s, …, scattered so that many calls do not
/// come back in the same instant.
fn backoff(tries: u32) -> Duration {
    let base = Duration::from_millis(100) * 2u32.pow(tries.saturating_sub(1).min(9));
    base.min(MAX_PAUSE)
        .mul_f64(0.5 + rand::random::<f64>() / 2.0)
}
