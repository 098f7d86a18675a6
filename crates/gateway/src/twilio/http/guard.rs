//! Who may come in: whoever signed the request with our token, and, while developing, this machine.

use std::net::SocketAddr;

use axum::body::to_bytes;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use switchhook_adapters::twilio::form::MAX_FORM;
use switchhook_adapters::twilio::{Params, Signed};

use super::Webhooks;
use crate::http::Source;

const SIGNATURE: &str = "x-twilio-signature";
const SETTINGS: &str = "x-twilio-webhooks-signature-settings";
const TOKEN: &str = "i-twilio-idempotency-token";
/// Longest idempotency token that is kept.
const MAX_TOKEN: usize = 128;

/// A webhook that was let in.
#[derive(Debug)]
pub(super) struct Asked {
    pub prefix: &'static str,
    /// The last part of the path, where there is one.
    pub session: Option<String>,
    /// Of the body, then of the query: the first one with a name counts.
    pub params: Params,
    /// Equal for all deliveries of one webhook.
    pub token: Option<String>,
}

/// Reads the request and checks its signature. Nothing is changed before this.
pub(super) async fn admit(
    webhooks: &Webhooks,
    peer: SocketAddr,
    prefix: &'static str,
    mut request: Request,
) -> Result<Asked, Response> {
    request.extensions_mut().insert(ConnectInfo(peer));
    let source = Source::of(&request, &webhooks.trusted_proxies);
    let (parts, body) = request.into_parts();
    let target = parts
        .uri
        .path_and_query()
        .map_or_else(|| parts.uri.path().to_owned(), ToString::to_string);
    let Ok(body) = to_bytes(body, MAX_FORM).await else {
        return Err(refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            "webhook.too_large",
            "a webhook has at most 64 KiB",
        ));
    };
    let is_form = content_type(&parts.headers).starts_with("application/x-www-form-urlencoded");
    let malformed = |error: &dyn std::fmt::Display| {
        refuse(StatusCode::BAD_REQUEST, "webhook.form", &error.to_string())
    };
    let form = if is_form {
        Some(Params::parse(&body).map_err(|error| malformed(&error))?)
    } else {
        None
    };
    let signed = Signed {
        path_and_query: &target,
        form: form.as_ref(),
        json_body: form.is_none().then_some(&body[..]),
        ..Signed::default()
    };
    if let Some(refusal) = refusal(webhooks, &parts.headers, signed, source) {
        return Err(refusal);
    }
    let mut params = form.unwrap_or_default();
    if let Some((_, query)) = target.split_once('?') {
        let query = Params::parse(query.as_bytes()).map_err(|error| malformed(&error))?;
        for (name, value) in query.iter() {
            params.push(name, value);
        }
    }
    let token = text(&parts.headers, TOKEN)
        .filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN)
        .map(str::to_owned);
    Ok(Asked {
        prefix,
        session: None,
        params,
        token,
    })
}

/// Why whoever asks may not come in, if so. `signed` is what was signed, without the headers about it.
pub(super) fn refusal(
    webhooks: &Webhooks,
    headers: &HeaderMap,
    signed: Signed<'_>,
    source: Source,
) -> Option<Response> {
    let signature = text(headers, SIGNATURE);
    let settings = &webhooks.engine.settings;
    if signature.is_none() && settings.allow_unsigned_loopback && source.is_local {
        tracing::warn!(
            "AN UNSIGNED WEBHOOK OF THIS MACHINE WAS TAKEN: only in development and demo mode"
        );
        return None;
    }
    let target = signed.path_and_query;
    let signed = Signed {
        signature,
        settings: text(headers, SETTINGS),
        ..signed
    };
    let Some(verifier) = &webhooks.verifier else {
        return Some(forbidden(
            "no auth token is configured (TWILIO_AUTH_TOKEN), so no webhook can be verified",
        ));
    };
    match verifier.verify(&signed) {
        Ok(matched) => {
            if matched.is_odd() {
                tracing::warn!(
                    ?matched,
                    "a webhook's signature fits, but not as documented"
                );
            }
            None
        }
        Err(unsigned) => {
            // The path only: the query may hold numbers.
            let path = target.split('?').next().unwrap_or_default();
            tracing::warn!(path, source = %source.address, reason = %unsigned, "a webhook was refused");
            metrics::counter!("switchhook_webhooks_refused_total", "vendor" => "twilio")
                .increment(1);
            Some(forbidden(&unsigned.to_string()))
        }
    }
}

fn forbidden(why: &str) -> Response {
    refuse(StatusCode::FORBIDDEN, "webhook.signature", why)
}

pub(super) fn refuse(status: StatusCode, code: &str, why: &str) -> Response {
    let body = json!({ "error": { "code": code, "message": why, "request_id": null } });
    (status, axum::Json(body)).into_response()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn content_type(headers: &HeaderMap) -> &str {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
