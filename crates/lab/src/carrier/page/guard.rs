//! Who may open the page: this machine. A web page from elsewhere that the same browser shows may
//! not: neither by a name that leads here (DNS rebinding: the `Host` is not ours), nor by a request or
//! socket across sites (the `Origin` is not ours).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{Desk, Refusal};

/// Nothing but our own files, and no frame around us.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; media-src 'self' blob:; worker-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

pub(super) async fn admit(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    let mut response = match refusal(request.headers(), request.method(), desk.shared.address()) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(self)",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        let headers = response.headers_mut();
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refusal(headers: &HeaderMap, method: &Method, bound: SocketAddr) -> Option<Refusal> {
    let forbidden = |message| Some(Refusal(StatusCode::FORBIDDEN, "elsewhere", message));
    let host = text(headers, header::HOST).filter(|host| is_ours(host, bound.ip()));
    let Some(host) = host else {
        return forbidden("open the page by the address the lab has printed");
    };
    let origin = headers.get(header::ORIGIN);
    if origin.is_some_and(|origin| origin.as_bytes() != format!("http://{host}").as_bytes()) {
        return forbidden("only the lab's own page may ask");
    }
    let site = text(headers, HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return forbidden("only the lab's own page may ask");
    }
    let kind = text(headers, header::CONTENT_TYPE).unwrap_or_default();
    // What a form of another site can send is no JSON.
    if method == Method::POST && !kind.starts_with("application/json") {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Some(Refusal(status, "bad_request", "send application/json"));
    }
    None
}

/// Loopback, or the address we were told to listen on. A name that leads to us is never an address.
fn is_ours(host: &str, bound: IpAddr) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = name.trim_start_matches('[').trim_end_matches(']');
    address
        .parse::<IpAddr>()
        .is_ok_and(|address| address.is_loopback() || address == bound || bound.is_unspecified())
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_here_is_not_ours() {
        let here: IpAddr = [127, 0, 0, 1].into();
        for ours in [
            "127.0.0.1:8090",
            "localhost:8090",
            "[::1]:8090",
            "127.0.0.1",
        ] {
            assert!(is_ours(ours, here), "{ours}");
        }
        for other in [
            "evil.example.com:8090",
            "localhost.example.com",
            "192.0.2.1:8090",
            "127.0.0.1.example.com",
            "",
        ] {
            assert!(!is_ours(other, here), "{other}");
        }
        assert!(is_ours("192.0.2.1:8090", [192, 0, 2, 1].into()));
        assert!(!is_ours("lab.example.com", [0, 0, 0, 0].into()));
    }
}
