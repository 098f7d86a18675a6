//! The fallback URL: the carrier could not use an answer of ours, or got none.

use std::sync::Arc;

use axum::response::Response;
use switchhook_adapters::twilio::catalogue;

use super::guard::Asked;
use super::{calls, given, twiml, xml};
use crate::twilio::channel::Lost;
use crate::twilio::{Engine, document};

/// An answer that did not arrive is given again, so that a call outlives a process that dies while it
/// answers. Behind one that the carrier could not read stands an apology, and the end.
pub(super) async fn error(engine: &Arc<Engine>, asked: &Asked) -> Response {
    let code = given(&asked.params, "ErrorCode").and_then(|code| code.parse::<u32>().ok());
    let explained = code.and_then(catalogue::explain);
    tracing::error!(
        code,
        cause = explained.map(|known| known.cause.en),
        cure = explained.map(|known| known.cure.en),
        "the carrier could not use our answer"
    );
    metrics::counter!("switchhook_carrier_errors_total", "vendor" => "twilio").increment(1);
    if code.is_some_and(is_transport) {
        match calls::go_on(engine, asked, lost(asked)).await {
            Ok(Some(text)) => return xml(text),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the call cannot go on"),
        }
    }
    twiml(&document::apology(&engine.settings))
}

/// Errors of retrieval, in distinction from those of documents (12xxx).
fn is_transport(code: u32) -> bool {
    (11200..11300).contains(&code)
}

/// By the URL that failed: it names the number of the program it was about.
fn lost(asked: &Asked) -> Lost {
    let Some(url) = given(&asked.params, "ErrorUrl").and_then(|url| url::Url::parse(url).ok())
    else {
        return Lost::Unknown;
    };
    let number = url.query_pairs().find(|(name, _)| name == "n");
    let number = number.and_then(|(_, number)| number.parse().ok());
    let path = url.path();
    match number {
        Some(number) => Lost::Of(number),
        None if path.ends_with("/twilio/voice") || path.ends_with("/twilio/call") => Lost::First,
        None if path.contains("/twilio/connect/") => Lost::Order,
        None if path.contains("/twilio/room/") => Lost::Music,
        None => Lost::Unknown,
    }
}
