//! What is counted of requests.

use std::time::Duration;

use axum::http::Method;

/// One answered request. The route is a template: paths would make a series for each call.
pub(super) fn count_request(route: &str, method: &Method, status: u16, took: Duration) {
    // Others are not ours: a client could make a series for each word.
    let method = match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    };
    let route = route.to_owned();
    metrics::counter!(
        "switchhook_http_requests_total",
        "route" => route.clone(), "method" => method, "status" => status.to_string()
    )
    .increment(1);
    metrics::histogram!("switchhook_http_request_seconds", "route" => route)
        .record(took.as_secs_f64());
}
