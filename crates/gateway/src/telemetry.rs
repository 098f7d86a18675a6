//! Logs: one line each for people, fields for queries, no numbers, digits, tokens or transcripts.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Parts of libraries that must never log below warning: rsipstack writes whole messages with
/// their Authorization header at INFO.
const QUIET: &[&str] = &[
    "rsipstack=error",
    "sqlx=warn",
    "hyper=warn",
    "reqwest=warn",
    "h2=warn",
];

/// Starts logging to standard error. `level` is `RUST_LOG`'s syntax; `json` for machines.
pub fn start(level: &str, json: bool) {
    let mut filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    for directive in QUIET {
        filter = filter.add_directive(directive.parse().expect("a constant directive"));
    }
    // RUST_LOG may name a module of the stack, which would win over the directive for the whole.
    let no_messages = filter_fn(|metadata| {
        !metadata.target().starts_with("rsipstack") || *metadata.level() == Level::ERROR
    });
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(no_messages);
    // Colours are for people: in a file or a journal their codes stand between the words.
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if json {
        registry.with(layer.json()).init();
    } else {
        registry.with(layer.with_target(false)).init();
    }
}
