//! What the HTTP providers share: clients, base URLs, bounded bodies, and what a refusal means.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::HeaderMap;
use url::Url;

/// Why a provider cannot even be asked: something in its configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderConfigError {
    /// The base URL cannot be read, or is neither http nor https.
    #[error("base URL {given:?}: {problem}; give one such as http://127.0.0.1:8000/v1")]
    BaseUrl { given: String, problem: String },
    /// A key or a header value holds characters HTTP does not allow.
    #[error(
        "the {what} holds characters that cannot stand in an HTTP header; set it again without line breaks"
    )]
    HeaderValue { what: &'static str },
    /// The operating system's certificates could not be loaded, or the like.
    #[error("cannot prepare the HTTP client: {0}; for https install the package ca-certificates")]
    Client(String),
    /// A setting outside what is allowed.
    #[error("{field} = {given:?}: {problem}")]
    Value {
        field: &'static str,
        given: String,
        problem: String,
    },
}

/// Longest error body that is read, in bytes.
pub(crate) const ERROR_BODY: usize = 16 * 1024;

/// Checks a base URL (`http://host:port/v1`) and gives it with a trailing slash, so that
/// [`Url::join`] keeps its path.
pub(crate) fn base_url(given: &str) -> Result<Url, ProviderConfigError> {
    let mut url = checked_url(given)?;
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// The host and port of a URL, for messages: never its path or query, which may hold a key.
pub(crate) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Checks a URL as it stands: http or https, a host, no credentials in it.
pub(crate) fn checked_url(given: &str) -> Result<Url, ProviderConfigError> {
    let error = |problem: String| ProviderConfigError::BaseUrl {
        given: without_credentials(given),
        problem,
    };
    let url = Url::parse(given.trim()).map_err(|e| error(e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(error(format!("the scheme is {:?}", url.scheme())));
    }
    if url.host_str().is_none() {
        return Err(error("it names no host".into()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(error(
            "it holds a user name or password; use the api_key setting".into(),
        ));
    }
    Ok(url)
}

fn without_credentials(given: &str) -> String {
    match (given.find("://"), given.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            format!("{}***{}", &given[..scheme + 3], &given[at..])
        }
        _ => given.chars().take(200).collect(),
    }
}

/// A client for one provider. Redirects are not followed: they would carry the key, or a signed
/// notice, to an address nobody configured. Loopback servers are never reached through a proxy.
pub(crate) fn client(url: &Url, connect: Duration) -> Result<reqwest::Client, ProviderConfigError> {
    // Two providers may be linked (ring, aws-lc-rs); the first that is installed stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("switchhook/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect)
        .redirect(reqwest::redirect::Policy::none())
        .pool_idle_timeout(Duration::from_secs(50))
        .tcp_nodelay(true);
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    if url.scheme() == "http" {
        // Without TLS no certificates are needed, and a bare system may have none.
        builder = builder.tls_certs_only([]);
    }
    builder
        .build()
        .map_err(|e| ProviderConfigError::Client(chain(&e)))
}

/// The URL's host is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// An error with its causes, without the URL (it is named by our own errors).
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Pause before try number `tries + 1` where the provider named none: 0.2 s doubling to 2 s, each
/// with up to a quarter more, so that many calls do not come back in the same instant.
pub(crate) fn backoff(tries: u32) -> Duration {
    let base = Duration::from_millis(200) * 2u32.pow(tries.min(4));
    let base = base.min(Duration::from_secs(2));
    base.mul_f64(1.0 + rand::random::<f64>() / 4.0)
}

/// Why a body could not be read to its end.
#[derive(Debug)]
pub(crate) enum BodyError {
    TooLarge,
    Read(reqwest::Error),
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read_body(
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(BodyError::Read)? {
        if body.len() + piece.len() > limit {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Reads what there is of an error body: never fails, never more than [`ERROR_BODY`] bytes, never
/// longer than two seconds.
pub(crate) async fn read_error_body(mut response: reqwest::Response) -> Bytes {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(piece)) = response.chunk().await {
            let room = ERROR_BODY - body.len();
            body.extend_from_slice(&piece[..piece.len().min(room)]);
            if body.len() == ERROR_BODY {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(2), read).await;
    Bytes::from(body)
}

/// How a provider refused. Its words are not kept: an error text may repeat what the caller said, a
/// number or the key, and this is logged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusal {
    /// HTTP status; 200 if the refusal came inside a stream.
    pub status: u16,
    /// The provider's error code or type, if it gave one that is a code ([`word`]).
    pub code: Option<String>,
    /// The provider's id of the request (`x-request-id`), for its support; not part of the text.
    pub request_id: Option<String>,
    /// How long the provider asks to wait before the next try.
    pub retry_after: Option<Duration>,
    /// The same request may succeed later.
    pub retryable: bool,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, " ({code})")?;
        }
        let cure = match self.status {
            401 | 403 => "check the API key",
            404 => "check the base URL (it usually ends in /v1) and the model name",
            413 => "send less text or audio",
            _ if self.code.as_deref() == Some("insufficient_quota") => {
                "the account has no credit left"
            }
            429 => "the provider is busy or the rate limit is reached; it is tried again later",
            status if status >= 500 => "the provider failed; it is tried again later",
            _ => return Ok(()),
        };
        write!(f, "; {cure}")
    }
}

impl Refusal {
    /// Reads the status, the headers and an OpenAI-style error body
    /// (`{"error":{"message","type","code"}}`), tolerating any other.
    pub(crate) fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let code = error_code(body);
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
        let by_status = matches!(status, 408 | 409 | 429) || status >= 500;
        let retryable = match text("x-should-retry") {
            Some("true") => true,
            Some("false") => false,
            _ => by_status,
        } && code.as_deref() != Some("insufficient_quota");
        Self {
            status,
            code,
            request_id: request_id(headers),
            retry_after: retry_after(headers, SystemTime::now()),
            retryable,
        }
    }

    /// The refusal in a stream event after a 200.
    pub(crate) fn in_stream(error: &serde_json::Value, request_id: Option<String>) -> Self {
        let code = read_error_value(error);
        let retryable = matches!(
            code.as_deref(),
            Some("server_error" | "overloaded_error" | "rate_limit_exceeded" | "rate_limit_error")
        ) || error
            .get("code")
            .and_then(serde_json::Value::as_u64)
            .is_some_and(|code| code == 429 || code >= 500);
        Self {
            status: 200,
            code,
            request_id,
            retry_after: None,
            retryable,
        }
    }
}

/// The provider's id of a request: `x-request-id`, or `request-id`. Anything else than letters,
/// digits, `-` and `_` is no id, and neither is what has digits only: it may be a number.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    ["x-request-id", "request-id"]
        .iter()
        .find_map(|name| headers.get(*name))
        .and_then(|v| v.to_str().ok())
        .filter(|id| (1..=128).contains(&id.len()))
        .filter(|id| {
            id.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                && id.bytes().any(|b| b.is_ascii_alphabetic())
        })
        .map(str::to_owned)
}

fn error_code(body: &[u8]) -> Option<String> {
    let value = serde_json::from_slice::<serde_json::Value>(body).ok()?;
    read_error_value(value.get("error").unwrap_or(&value))
}

/// `{"message","type","code"}`.
fn read_error_value(error: &serde_json::Value) -> Option<String> {
    let field = |name: &str| match error.get(name) {
        Some(serde_json::Value::String(text)) => word(text).map(str::to_owned),
        Some(serde_json::Value::Number(number)) => number
            .as_u64()
            .filter(|code| (100..600).contains(code))
            .map(|code| code.to_string()),
        _ => None,
    };
    field("code").or_else(|| field("type"))
}

/// The text if it is a code such as `rate_limit_exceeded`: small letters and `_`, at most 48. What
/// a provider writes in place of a code may be anything, and codes are logged.
pub(crate) fn word(text: &str) -> Option<&str> {
    let is_code =
        (1..=48).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_code.then_some(text)
}

/// What is wrong with JSON from outside, without a word of it: serde's own text repeats values.
pub(crate) fn json_fault(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Io => "it cannot be read",
        serde_json::error::Category::Syntax => "it is not JSON",
        serde_json::error::Category::Data => "a field is missing or of the wrong type",
        serde_json::error::Category::Eof => "it ends early",
    };
    format!("{kind} (line {}, column {})", error.line(), error.column())
}

/// Text from outside for logs and errors: one line, no control characters, bounded.
pub(crate) fn clean(text: &str, limit: usize) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(limit)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// `retry-after-ms`, or `retry-after` in seconds or as an HTTP date (RFC 9110 §10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .map(str::trim)
    };
    let seconds = |text: &str, factor: f64| {
        let value: f64 = text.parse().ok()?;
        Duration::try_from_secs_f64(value * factor).ok()
    };
    if let Some(wait) = text("retry-after-ms").and_then(|t| seconds(t, 0.001)) {
        return Some(wait);
    }
    let value = text("retry-after")?;
    seconds(value, 1.0).or_else(|| {
        let at = jiff::fmt::rfc2822::parse(value).ok()?;
        let at = SystemTime::from(at.timestamp());
        Some(at.duration_since(now).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_checked_and_keep_their_path() {
        let url = base_url("http://127.0.0.1:8000/v1").expect("valid");
        assert_eq!(
            url.join("chat/completions").expect("joins").as_str(),
            "http://127.0.0.1:8000/v1/chat/completions"
        );
        for bad in [
            "",
            "127.0.0.1:8000",
            "ftp://x/",
            "http://",
            "http://u:pw@x/v1",
        ] {
            let error = base_url(bad).expect_err(bad).to_string();
            assert!(!error.contains("pw"), "{error}");
        }
    }

    #[test]
    fn waiting_times_are_read_in_three_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let wait = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().expect("header"));
            retry_after(&headers, now)
        };
        assert_eq!(
            wait("retry-after-ms", "250"),
            Some(Duration::from_millis(250))
        );
        assert_eq!(wait("retry-after", "2"), Some(Duration::from_secs(2)));
        assert_eq!(
            wait("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT"),
            Some(Duration::from_secs(3))
        );
        for odd in ["soon", "-1", "NaN", "1e300"] {
            assert_eq!(wait("retry-after", odd), None, "{odd}");
        }
    }

    #[test]
    fn refusals_say_what_to_do() {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", "req_1".parse().expect("header"));
        let refusal = Refusal::read(
            401,
            &headers,
            br#"{"error":{"message":"bad\nkey","type":"invalid_request_error","code":"invalid_api_key"}}"#,
        );
        assert!(!refusal.retryable);
        assert_eq!(
            refusal.to_string(),
            "status 401 (invalid_api_key); check the API key"
        );
        assert_eq!(refusal.request_id.as_deref(), Some("req_1"));
        let quota = Refusal::read(429, &headers, br#"{"error":{"code":"insufficient_quota"}}"#);
        assert!(!quota.retryable);
        headers.insert("x-should-retry", "false".parse().expect("header"));
        assert!(!Refusal::read(503, &headers, b"down").retryable);
        assert!(Refusal::read(503, &HeaderMap::new(), b"down").retryable);
    }

    #[test]
    fn nothing_of_what_a_provider_writes_is_kept_but_codes() {
        for body in [
            r#"{"error":{"message":"my PIN is 4711","code":"call +12025550142","type":"Bearer sk-x"}}"#,
            r#"{"error":"my PIN is 4711"}"#,
            r#"{"error":{"code":12025550142}}"#,
            r#"{"error":{"code":"4711"},"detail":"my PIN is 4711"}"#,
            "my PIN is 4711",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", "12025550142".parse().expect("header"));
            let refusal = Refusal::read(400, &headers, body.as_bytes());
            assert_eq!(refusal.to_string(), "status 400", "{body}");
            let debug = format!("{refusal:?}");
            for secret in ["4711", "PIN", "2025550142", "sk-x"] {
                assert!(!debug.contains(secret), "{debug}");
            }
        }
        let error = serde_json::from_str::<Vec<u8>>(r#""my PIN is 4711""#).expect_err("a string");
        assert_eq!(
            json_fault(&error),
            "a field is missing or of the wrong type (line 1, column 16)"
        );
    }
}
