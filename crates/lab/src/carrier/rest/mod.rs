//! The REST API, version 2010-04-01: authentication, errors, faults on demand, and which request
//! goes where.

pub(super) mod calls;
mod conferences;
mod messages;
mod numbers;
mod recordings;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, OriginalUri, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Shared;
use super::config::RestFault;
use super::log::{RestRequest, lock};
use super::sign::{Params, decode, first};

/// One request, taken apart.
pub(super) struct Request {
    pub method: Method,
    /// Below the account, without `.json`.
    pub path: Vec<String>,
    /// What follows the last dot of the path.
    pub suffix: String,
    pub query: Params,
    pub form: Params,
    /// Path and query as they came.
    pub target: String,
}

impl Request {
    fn form(&self, name: &str) -> Option<&str> {
        first(&self.form, name)
    }

    fn query(&self, name: &str) -> Option<&str> {
        first(&self.query, name)
    }
}

/// A good answer.
pub(super) enum Reply {
    /// 201 with the resource.
    Created(Value),
    /// 200 with the resource.
    Found(Value),
    /// 204.
    Gone,
    /// 200 with a file.
    Wav(Vec<u8>),
}

/// A refusal: HTTP status, code and text.
#[derive(Debug)]
pub(super) struct Refusal(pub u16, pub u32, pub String);

impl Refusal {
    /// 400 with a code of the error catalogue.
    pub(super) fn bad(code: u32, text: &str) -> Self {
        Self(400, code, text.to_owned())
    }

    /// 404, code 20404.
    pub(super) fn missing(what: &str) -> Self {
        let text = format!("The requested resource {what} was not found");
        Self(404, 20404, text)
    }
}

type Answer = Result<Reply, Refusal>;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .fallback(handle)
        .layer(DefaultBodyLimit::max(1024 * 1024))
        .with_state(shared)
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    let form = decode(&body);
    let fault = lock(&shared.rest_faults).pop_front();
    let note = |status: u16, code: Option<u32>| {
        shared.log().rest.push(RestRequest {
            method: method.to_string(),
            path: target.clone(),
            params: form.clone(),
            status,
            code,
        });
        shared.pulse.beat();
    };
    let early = match &fault {
        None | Some(RestFault::ProcessedButSilent) => None,
        Some(RestFault::TooMany(after)) => {
            let text = "Too many requests".to_owned();
            let mut response = refusal(&Refusal(429, 20429, text));
            if let Some(seconds) = after {
                let seconds = header::HeaderValue::from(*seconds);
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
            }
            note(429, Some(20429));
            Some(response)
        }
        Some(RestFault::Status(status, code)) => {
            note(*status, Some(*code));
            let text = "refused on demand".to_owned();
            Some(refusal(&Refusal(*status, *code, text)))
        }
        Some(RestFault::Drop) => {
            note(0, None);
            let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            let stream = futures::stream::iter([Err::<Bytes, _>(broken)]);
            Some(Response::new(Body::from_stream(stream)))
        }
    };
    if let Some(response) = early {
        return response;
    }
    let answer = match authenticate(&shared, &headers, uri.path()) {
        Err(refused) => Err(refused),
        Ok(()) => {
            let request = take_apart(&shared, method.clone(), uri.path(), &target, form.clone());
            request.and_then(|request| dispatch(&shared, &request))
        }
    };
    let response = match &answer {
        Ok(reply) => accept(reply),
        Err(refused) => refusal(refused),
    };
    let code = answer.err().map(|Refusal(_, code, _)| code);
    if fault == Some(RestFault::ProcessedButSilent) {
        note(0, code);
        return std::future::pending().await;
    }
    note(response.status().as_u16(), code);
    response
}

/// REST, basics: HTTP Basic with the account's SID and token, or with an API key; standard keys
/// cannot use /Accounts.
fn authenticate(shared: &Shared, headers: &HeaderMap, path: &str) -> Result<(), Refusal> {
    let refused = || Err(Refusal(401, 20003, "Authenticate".to_owned()));
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Basic "))
        .and_then(|v| STANDARD.decode(v.trim()).ok())
        .and_then(|v| String::from_utf8(v).ok());
    let Some(given) = given else { return refused() };
    let Some((user, password)) = given.split_once(':') else {
        return refused();
    };
    let config = &shared.config;
    if user == config.account_sid {
        return if password == config.auth_token {
            Ok(())
        } else {
            refused()
        };
    }
    let is_key = config.api_keys.get(user).is_some_and(|s| s == password);
    let is_account = path.matches('/').count() <= 3;
    if is_key && !is_account {
        Ok(())
    } else {
        refused()
    }
}

fn take_apart(
    shared: &Shared,
    method: Method,
    path: &str,
    target: &str,
    form: Params,
) -> Result<Request, Refusal> {
    let missing = || Refusal::missing(path);
    let rest = path
        .strip_prefix("/2010-04-01/Accounts/")
        .ok_or_else(missing)?;
    let (rest, suffix) = match rest.rsplit_once('.') {
        Some((rest, suffix)) if !suffix.contains('/') => (rest, suffix),
        _ => (rest, ""),
    };
    let mut parts = rest.split('/').map(|part| {
        let part = part.replace('+', "%2B");
        let decoded = decode(part.as_bytes()).into_iter().next();
        decoded.map(|(name, _)| name).unwrap_or_default()
    });
    if parts.next().as_deref() != Some(shared.config.account_sid.as_str()) {
        return Err(missing());
    }
    let query = target.split_once('?').map_or("", |(_, query)| query);
    Ok(Request {
        method,
        path: parts.collect(),
        suffix: suffix.to_owned(),
        query: decode(query.as_bytes()),
        form,
        target: target.to_owned(),
    })
}

fn dispatch(shared: &Arc<Shared>, request: &Request) -> Answer {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let is = |method: Method| request.method == method;
    match path.as_slice() {
        [] if is(Method::GET) => Ok(Reply::Found(numbers::account(shared))),
        ["Calls"] if is(Method::POST) => calls::create(shared, request),
        ["Calls"] if is(Method::GET) => calls::list(shared, request),
        ["Calls", sid] if is(Method::GET) => calls::fetch(shared, sid),
        ["Calls", sid] if is(Method::POST) => calls::update(shared, sid, request),
        ["Calls", sid] if is(Method::DELETE) => calls::delete(shared, sid),
        ["Calls", sid, "Notifications"] if is(Method::GET) => {
            calls::notifications(shared, sid, request)
        }
        ["Calls", sid, "Recordings"] if is(Method::POST) => recordings::start(shared, sid, request),
        ["Calls", sid, "Recordings"] if is(Method::GET) => {
            recordings::list(shared, request, Some(sid))
        }
        ["Calls", sid, "Recordings", recording] if is(Method::POST) => {
            recordings::control(shared, sid, recording, request)
        }
        ["Calls", _, "Recordings", recording] if is(Method::GET) => {
            recordings::fetch(shared, recording, request)
        }
        ["Recordings"] if is(Method::GET) => recordings::list(shared, request, None),
        ["Recordings", sid] if is(Method::GET) => recordings::fetch(shared, sid, request),
        ["Recordings", sid] if is(Method::DELETE) => recordings::delete(shared, sid),
        ["Conferences"] if is(Method::GET) => conferences::list(shared, request),
        ["Conferences", key] if is(Method::GET) => conferences::fetch(shared, key),
        ["Conferences", key] if is(Method::POST) => conferences::update(shared, key, request),
        ["Conferences", key, "Participants"] if is(Method::GET) => {
            conferences::participants(shared, key, request)
        }
        ["Conferences", key, "Participants"] if is(Method::POST) => {
            conferences::add(shared, key, request)
        }
        ["Conferences", key, "Participants", who] => {
            conferences::participant(shared, key, who, request)
        }
        ["Messages"] if is(Method::POST) => messages::create(shared, request),
        ["Messages"] if is(Method::GET) => messages::list(shared, request),
        ["Messages", sid] if is(Method::GET) => messages::fetch(shared, sid),
        ["IncomingPhoneNumbers"] if is(Method::GET) => numbers::list(shared, request),
        ["IncomingPhoneNumbers", sid] if is(Method::GET) => numbers::fetch(shared, sid),
        ["IncomingPhoneNumbers", sid] if is(Method::POST) => numbers::update(shared, sid, request),
        ["OutgoingCallerIds"] if is(Method::GET) => numbers::caller_ids(shared, request),
        _ => Err(Refusal::missing(&request.target)),
    }
}

fn accept(reply: &Reply) -> Response {
    let (status, kind, body) = match reply {
        Reply::Created(value) => (StatusCode::CREATED, "application/json", json_body(value)),
        Reply::Found(value) => (StatusCode::OK, "application/json", json_body(value)),
        Reply::Gone => (StatusCode::NO_CONTENT, "application/json", Body::empty()),
        Reply::Wav(bytes) => (StatusCode::OK, "audio/x-wav", Body::from(bytes.clone())),
    };
    respond(status, kind, body)
}

/// REST, basics: the error body.
fn refusal(Refusal(status, code, text): &Refusal) -> Response {
    let body = json!({
        "code": code,
        "message": text,
        "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
        "status": status,
    });
    let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST);
    respond(status, "application/json", json_body(&body))
}

fn json_body(value: &Value) -> Body {
    Body::from(value.to_string())
}

fn respond(status: StatusCode, kind: &str, body: Body) -> Response {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, kind)
        .header("Twilio-Request-Id", super::sid("RQ"))
        .header("Twilio-Concurrent-Requests", "1")
        .body(body)
        .expect("a valid response")
}

/// REST, basics: a page of a list, `next_page_uri` to be followed verbatim.
pub(super) fn page(request: &Request, key: &str, all: Vec<Value>) -> Reply {
    let number = |name: &str, otherwise: usize| {
        let given = request.query(name).and_then(|v| v.parse().ok());
        given.unwrap_or(otherwise)
    };
    let size = number("PageSize", 50).clamp(1, 1_000);
    let page = number("Page", 0);
    let start = page.saturating_mul(size).min(all.len());
    let end = (start + size).min(all.len());
    let path = request.target.split('?').next().unwrap_or_default();
    let next = (end < all.len()).then(|| {
        let kept = request
            .query
            .iter()
            .filter(|(n, _)| !matches!(n.as_str(), "Page" | "PageSize" | "PageToken"))
            .cloned();
        let mut query: Params = kept.collect();
        query.push(super::sign::pair("PageSize", size.to_string()));
        query.push(super::sign::pair("Page", (page + 1).to_string()));
        query.push(super::sign::pair("PageToken", super::sid("PA")));
        format!("{path}?{}", super::sign::encode(&query))
    });
    Reply::Found(json!({
        key: all[start..end],
        "page": page,
        "page_size": size,
        "start": start,
        "end": end.saturating_sub(1),
        "uri": request.target,
        "first_page_uri": format!("{path}?PageSize={size}&Page=0"),
        "next_page_uri": next,
        "previous_page_uri": null,
    }))
}
