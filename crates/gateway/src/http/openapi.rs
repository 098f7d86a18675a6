//! The description of the API, for programs (`/api/openapi.json`) and for people (`/api/docs`).

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Extension;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use serde_json::Value;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

/// General part; paths and shapes come from the handlers themselves.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Switchhook operator API",
        description = "Times are RFC 3339 in UTC, numbers E.164. Lists are {items, next_cursor}, newest first. \
            Errors are {error: {code, message, request_id, details?}}; programs compare the code.",
    ),
    modifiers(&Bearer),
    security(("bearer" = [])),
    tags(
        (name = "auth", description = "Tokens"),
        (name = "calls", description = "Calls, live and past"),
        (name = "live", description = "What changes, as it changes"),
        (name = "messages", description = "Messages to staff and callers"),
        (name = "extensions", description = "Who can be rung"),
        (name = "operations", description = "For those who run the gateway"),
    ),
)]
pub(super) struct General;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("bearer", scheme);
    }
}

/// The finished description in both forms.
#[derive(Debug)]
pub(super) struct Description {
    json: String,
    html: String,
}

impl Description {
    pub fn of(openapi: &utoipa::openapi::OpenApi) -> Self {
        // Plain data of our own: it can always be written.
        let json = serde_json::to_string_pretty(openapi).unwrap_or_default();
        let value = serde_json::from_str(&json).unwrap_or(Value::Null);
        Self {
            html: page(&value),
            json,
        }
    }
}

/// Description for programs
#[utoipa::path(
    get, path = "/api/openapi.json", tag = "operations", security(()),
    responses((status = 200, content_type = "application/json", description = "OpenAPI 3.1")),
)]
pub(super) async fn openapi_json(Extension(description): Extension<Arc<Description>>) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        description.json.clone(),
    )
        .into_response()
}

/// Description for people
#[utoipa::path(
    get, path = "/api/docs", tag = "operations", security(()),
    responses((status = 200, content_type = "text/html", description = "This page")),
)]
pub(super) async fn docs(Extension(description): Extension<Arc<Description>>) -> Html<String> {
    Html(description.html.clone())
}

/// Style of the description for people
#[utoipa::path(
    get, path = "/api/docs.css", tag = "operations", security(()),
    responses((status = 200, content_type = "text/css", description = "A style sheet")),
)]
pub(super) async fn docs_css() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css"),
        (header::CACHE_CONTROL, "max-age=3600"),
    ];
    (headers, include_str!("docs.css")).into_response()
}

/// No script, one style sheet of ours: nothing for the content policy to make an exception for.
fn page(api: &Value) -> String {
    let mut operations = String::new();
    let mut contents = String::new();
    for tag in api["tags"].as_array().into_iter().flatten() {
        let name = text(&tag["name"]);
        let _ = write!(
            operations,
            "<section><h2 id=\"{0}\">{0}</h2><p>{1}</p>",
            escape(name),
            escape(text(&tag["description"]))
        );
        let _ = write!(contents, "<li><a href=\"#{0}\">{0}</a></li>", escape(name));
        for (path, item) in api["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                if operation["tags"][0] == tag["name"] {
                    operation_html(&mut operations, method, path, operation);
                }
            }
        }
        operations.push_str("</section>");
    }
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><link rel=\"stylesheet\" href=\"/api/docs.css\"></head><body>\
         <header><h1>{title}</h1><p>{about}</p><p><a href=\"/api/openapi.json\">openapi.json</a></p>\
         <nav><ul>{contents}</ul></nav></header><main>{operations}</main></body></html>",
        title = escape(text(&api["info"]["title"])),
        about = escape(text(&api["info"]["description"])),
    )
}

fn operation_html(out: &mut String, method: &str, path: &str, operation: &Value) {
    let public = operation["security"]
        .as_array()
        .is_some_and(|list| list.iter().any(|one| *one == serde_json::json!({})));
    let _ = write!(
        out,
        "<article><h3><code class=\"method\">{}</code> <code>{}</code></h3><p><strong>{}</strong>{}</p>",
        escape(&method.to_uppercase()),
        escape(path),
        escape(text(&operation["summary"])),
        if public {
            ""
        } else {
            " <span class=\"auth\">token</span>"
        },
    );
    for paragraph in text(&operation["description"]).split("\n\n") {
        let _ = write!(out, "<p>{}</p>", escape(paragraph));
    }
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let parameters: Vec<&Value> = parameters.collect();
    if !parameters.is_empty() {
        out.push_str("<table><caption>Parameters</caption>");
        for one in parameters {
            let _ = write!(
                out,
                "<tr><th scope=\"row\"><code>{}</code></th><td>{}</td><td>{}</td></tr>",
                escape(text(&one["name"])),
                escape(text(&one["in"])),
                escape(text(&one["description"])),
            );
        }
        out.push_str("</table>");
    }
    out.push_str("<table><caption>Answers</caption>");
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let shape = answer["content"]
            .as_object()
            .and_then(|content| content.values().next())
            .and_then(|media| media["schema"]["$ref"].as_str())
            .and_then(|reference| reference.rsplit('/').next())
            .unwrap_or_default();
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}</th><td><code>{}</code></td><td>{}</td></tr>",
            escape(status),
            escape(shape),
            escape(text(&answer["description"])),
        );
    }
    out.push_str("</table></article>");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
