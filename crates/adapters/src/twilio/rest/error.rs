//! Why a request over REST failed, and whether it may have been carried out.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;

use crate::http;
use crate::twilio::catalogue;

/// Longest message of the vendor that is kept, in characters.
const MAX_MESSAGE: usize = 500;
/// Codes of what has ended or never was.
const GONE: [u32; 2] = [20404, 21220];
/// Code of too many requests at once.
const RATE: u32 = 20429;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Twilio said no: it was not carried out, and would not be the next time.
    Refused,
    /// Too many at once: it was not carried out, and may be later.
    RateLimited,
    /// What it was about has ended or is not known (20404, 21220). Of a hang-up that is success.
    Gone,
    /// It never left: no connection.
    Unreachable,
    /// It left, and no usable answer came: it may have been carried out. Look before asking again:
    /// there is no idempotency key.
    Unknown,
}

/// A request that failed. Its text names cause and cure and holds nothing of the vendor's message,
/// which may repeat numbers: that is [`TwilioError::vendor_message`], for the operator only.
#[derive(Clone, PartialEq, Eq)]
pub struct TwilioError {
    pub kind: ErrorKind,
    /// What was to be done: `create a call`.
    pub operation: &'static str,
    /// HTTP status, if an answer came.
    pub status: Option<u16>,
    /// Twilio's code: see [`catalogue`].
    pub code: Option<u32>,
    /// Twilio's id of the request, for its support.
    pub request_id: Option<String>,
    /// How long Twilio asks to wait.
    pub retry_after: Option<Duration>,
    /// What happened on the way, in our words.
    cause: String,
    message: Option<String>,
}

impl TwilioError {
    /// Without an answer.
    pub(super) fn new(kind: ErrorKind, operation: &'static str, cause: impl Into<String>) -> Self {
        Self {
            kind,
            operation,
            status: None,
            code: None,
            request_id: None,
            retry_after: None,
            cause: cause.into(),
            message: None,
        }
    }

    /// Reads an answer other than 2xx. Both forms of body have `code`; where the older has
    /// `message`, the newer (RFC 9457) has `title` and `detail`.
    pub(super) fn read(
        operation: &'static str,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let code = match &body["code"] {
            serde_json::Value::Number(number) => number.as_u64(),
            serde_json::Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let code = code
            .and_then(|code| u32::try_from(code).ok())
            .filter(|code| *code >= 10_000);
        let message = ["message", "detail", "title"]
            .iter()
            .find_map(|name| body[*name].as_str())
            .map(|text| http::clean(text, MAX_MESSAGE));
        let kind = match (status, code) {
            (429, _) | (_, Some(RATE)) => ErrorKind::RateLimited,
            (_, Some(code)) if GONE.contains(&code) => ErrorKind::Gone,
            (408, _) | (500.., _) => ErrorKind::Unknown,
            _ => ErrorKind::Refused,
        };
        Self {
            status: Some(status),
            code,
            request_id: request_id(headers),
            retry_after: http::retry_after(headers, SystemTime::now()),
            message,
            ..Self::new(kind, operation, "")
        }
    }

    /// What Twilio wrote. It may repeat numbers and texts: show it to the operator of this call,
    /// never log it.
    pub fn vendor_message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// The catalogue's explanation of the code.
    pub fn explanation(&self) -> Option<&'static catalogue::Explanation> {
        self.code.and_then(catalogue::explain)
    }

    /// It was certainly not carried out and may be asked for again, later.
    pub fn is_retryable(&self) -> bool {
        match self.kind {
            ErrorKind::RateLimited | ErrorKind::Unreachable => true,
            ErrorKind::Refused | ErrorKind::Gone | ErrorKind::Unknown => false,
        }
    }
}

/// `Twilio-Request-Id`: letters and digits, with a letter among them, so that no number is one.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("twilio-request-id")?.to_str().ok()?;
    let is_id = (1..=64).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && id.bytes().any(|b| b.is_ascii_alphabetic());
    is_id.then(|| id.to_owned())
}

impl std::fmt::Display for TwilioError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let operation = self.operation;
        match self.kind {
            ErrorKind::Refused => write!(f, "Twilio refused to {operation}")?,
            ErrorKind::RateLimited => write!(f, "Twilio put off to {operation}")?,
            ErrorKind::Gone => write!(f, "Twilio could not {operation}")?,
            ErrorKind::Unreachable => write!(f, "no connection to Twilio to {operation}")?,
            ErrorKind::Unknown => write!(f, "it is not known whether Twilio did {operation}")?,
        }
        match (self.status, self.code) {
            (Some(status), Some(code)) => write!(f, " (status {status}, code {code})")?,
            (Some(status), None) => write!(f, " (status {status})")?,
            (None, _) => {}
        }
        if let Some(explanation) = self.explanation() {
            return write!(f, ": {}; {}", explanation.cause.en, explanation.cure.en);
        }
        if !self.cause.is_empty() {
            write!(f, ": {}", self.cause)?;
        }
        let cure = match (self.kind, self.status) {
            (ErrorKind::Refused, Some(401 | 403)) => "check account SID and auth token or API key",
            (ErrorKind::Refused, Some(300..=399 | 404)) => "check the base URL and the account SID",
            (ErrorKind::Refused, Some(_)) => "see what Twilio wrote, beside the call or message",
            (ErrorKind::Refused, None) => "correct it and try again",
            (ErrorKind::RateLimited, _) => "too many requests at once; it was not carried out",
            (ErrorKind::Gone, _) => "it has ended or never was",
            (ErrorKind::Unreachable, _) => {
                "check network, proxy and base URL; it was not carried out"
            }
            (ErrorKind::Unknown, _) => "it may have been carried out: look before trying again",
        };
        write!(f, "; {cure}")
    }
}

impl std::error::Error for TwilioError {}

impl std::fmt::Debug for TwilioError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TwilioError")
            .field("kind", &self.kind)
            .field("operation", &self.operation)
            .field("status", &self.status)
            .field("code", &self.code)
            .field("request_id", &self.request_id)
            .field("retry_after", &self.retry_after)
            .field("cause", &self.cause)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> TwilioError {
        TwilioError::read("create a call", status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn both_forms_of_error_bodies_are_read() {
        let old = read(
            400,
            r#"{"code":21211,"message":"+12025550142 is bad","more_info":"https://www.twilio.com/docs/errors/21211","status":400}"#,
        );
        let new = read(
            400,
            r#"{"type":"https://www.twilio.com/docs/errors/21211","title":"Invalid","status":400,"code":21211,"detail":"+12025550142 is bad"}"#,
        );
        for error in [old, new] {
            assert_eq!((error.kind, error.code), (ErrorKind::Refused, Some(21_211)));
            assert_eq!(error.vendor_message(), Some("+12025550142 is bad"));
            let text = format!("{error} {error:?}");
            assert!(!text.contains("2025550142"), "{text}");
            assert!(text.contains("code 21211"), "{text}");
            assert!(text.contains("country code"), "{text}");
        }
    }

    #[test]
    fn the_kind_says_whether_it_was_carried_out() {
        for (status, body, kind) in [
            (400, r#"{"code":21210}"#, ErrorKind::Refused),
            (401, r#"{"code":20003}"#, ErrorKind::Refused),
            (403, "", ErrorKind::Refused),
            (404, "<html>", ErrorKind::Refused),
            (301, "", ErrorKind::Refused),
            (404, r#"{"code":20404}"#, ErrorKind::Gone),
            (400, r#"{"code":"21220"}"#, ErrorKind::Gone),
            (429, "", ErrorKind::RateLimited),
            (429, r#"{"code":20429}"#, ErrorKind::RateLimited),
            (503, r#"{"code":20429}"#, ErrorKind::RateLimited),
            (500, "", ErrorKind::Unknown),
            (503, "", ErrorKind::Unknown),
            (408, "", ErrorKind::Unknown),
        ] {
            let error = read(status, body);
            assert_eq!(error.kind, kind, "{status} {body}");
            assert_eq!(error.is_retryable(), kind == ErrorKind::RateLimited);
        }
    }

    #[test]
    fn each_failure_says_what_to_do() {
        for (error, part) in [
            (read(401, r#"{"code":20003}"#), "account SID and auth token"),
            (read(403, ""), "auth token"),
            (read(404, ""), "base URL"),
            (read(400, r#"{"code":99999}"#), "what Twilio wrote"),
            (read(500, ""), "look before trying again"),
            (read(429, ""), "not carried out"),
            (
                TwilioError::new(ErrorKind::Unreachable, "create a call", "refused"),
                "not carried out",
            ),
        ] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn what_stands_in_the_headers_is_kept() {
        let mut headers = HeaderMap::new();
        headers.insert(
            "twilio-request-id",
            "RQ0123456789abcdef".parse().expect("header"),
        );
        headers.insert("retry-after", "2".parse().expect("header"));
        let error = TwilioError::read("fetch a call", 429, &headers, b"");
        assert_eq!(error.request_id.as_deref(), Some("RQ0123456789abcdef"));
        assert_eq!(error.retry_after, Some(Duration::from_secs(2)));
        headers.insert("twilio-request-id", "12025550142".parse().expect("header"));
        assert_eq!(TwilioError::read("x", 429, &headers, b"").request_id, None);
    }
}
