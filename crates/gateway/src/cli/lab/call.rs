//! `switchhook lab call`: calls a running gateway, says something, prints what was heard.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use switchhook_lab::call::{CallArgs, CallError, run as lab_call};
use switchhook_lab::phone::Transport;

use crate::cli::{Failure, runtime, show};

#[derive(Debug, Args)]
pub(super) struct LabCallArgs {
    /// WAV file to say after the greeting
    #[arg(long, value_name = "FILE.wav")]
    say: Option<PathBuf>,
    /// Whom to call
    #[arg(long, default_value = "sip:assistant@127.0.0.1:5060")]
    to: String,
    /// Send the call to this address instead of the URI's host
    #[arg(long, value_name = "ADDRESS:PORT")]
    server: Option<SocketAddr>,
    /// Use TCP instead of UDP
    #[arg(long)]
    tcp: bool,
    /// Keypad digits to press after the greeting
    #[arg(long)]
    digits: Option<String>,
    /// Write what was heard to this WAV file
    #[arg(long, value_name = "FILE.wav")]
    record: Option<PathBuf>,
    /// Turn what was heard into text with this speech server
    #[arg(long, value_name = "URL")]
    speech: Option<String>,
    /// Language of that text
    #[arg(long, default_value = "en")]
    language: String,
    /// Seconds to listen after everything is said
    #[arg(long, default_value_t = 30)]
    listen: u64,
    /// For scripts
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: LabCallArgs) -> Result<(), Failure> {
    let report = runtime()?.block_on(lab_call(CallArgs {
        say: args.say,
        to: args.to,
        server: args.server,
        transport: if args.tcp {
            Transport::Tcp
        } else {
            Transport::Udp
        },
        digits: args.digits,
        record: args.record,
        speech_url: args.speech,
        language: args.language,
        listen: Duration::from_secs(args.listen),
        ..CallArgs::default()
    }));
    let report = report.map_err(|error| match error {
        CallError::Wav(_) => Failure::input(error),
        CallError::Phone(_) | CallError::Transcribe(_) => Failure::run(error),
    })?;
    if args.json {
        show(serde_json::to_string_pretty(&report).map_err(Failure::run)?);
    } else {
        show(&report);
    }
    if report.answered_at_ms.is_none() {
        return Err(Failure::run(format!(
            "the call was refused: {} {}; is the gateway running and is the number right?",
            report.status,
            report.reason.unwrap_or_default()
        )));
    }
    Ok(())
}
