//! `switchhook call`: places a call through the running gateway's API.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{Failure, SourceArgs, runtime, show};
use crate::http::auth::{Role, TokenKeys};
use crate::{clock, signing_key};

#[derive(Debug, Args)]
pub(super) struct CallArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// A number with +, an extension, or a sip: URI that policy allows
    number: String,
    /// Which assistant talks
    #[arg(long)]
    assistant: Option<String>,
    /// Wait for the end of the call and print how it ended
    #[arg(long)]
    wait: bool,
    /// For scripts
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: CallArgs) -> Result<(), Failure> {
    let config = args.source.or_demo().load()?;
    let key = signing_key::load(&config).map_err(Failure::run)?;
    let keys = TokenKeys::new(key.expose()).map_err(Failure::input)?;
    let base = format!("http://{}", config.http.bind);
    let token = || {
        keys.issue(
            "cli",
            Role::Operator,
            clock::now(),
            Duration::from_secs(15 * 60),
        )
    };
    runtime()?.block_on(async {
        let client = reqwest::Client::new();
        let body = json!({ "phone": args.number, "assistant": args.assistant });
        let request = client
            .post(format!("{base}/api/calls/initiate"))
            .bearer_auth(token())
            .json(&body);
        let started = answer(request).await?;
        let id = started["call_id"].as_str().unwrap_or_default().to_owned();
        if !args.wait {
            return print(&started, args.json, &format!("{id} {}", started["status"]));
        }
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let request = client
                .get(format!("{base}/api/calls/{id}"))
                .bearer_auth(token());
            let call = answer(request).await?;
            if call["status"] == "ended" {
                let outcome = &call["outcome"];
                let line = format!("{id} {} ({})", outcome["code"], outcome["detail"]);
                return print(&call, args.json, &line);
            }
        }
    })
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Value, Failure> {
    let answer = request.send().await.map_err(|error| {
        Failure::run(format!(
            "the gateway does not answer: {error}; is `switchhook serve` running?"
        ))
    })?;
    let status = answer.status();
    let body: Value = answer.json().await.map_err(Failure::run)?;
    if status.is_success() {
        return Ok(body);
    }
    let message = body["error"]["message"].as_str().unwrap_or("no message");
    let failure = if status.is_client_error() {
        Failure::input
    } else {
        Failure::run
    };
    Err(failure(format!("{status}: {message}")))
}

fn print(whole: &Value, as_json: bool, line: &str) -> Result<(), Failure> {
    if as_json {
        show(serde_json::to_string_pretty(whole).map_err(Failure::run)?);
    } else {
        show(line.replace('"', ""));
    }
    Ok(())
}
