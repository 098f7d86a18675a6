//! The command line. Errors are one line with cause and cure on standard error; exit 2 for bad
//! input or configuration, 1 for a failure.

mod call;
mod config;
mod doctor;
mod lab;
mod pin;
mod serve;
mod token;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Environment, Source, load};
use crate::telemetry;

#[derive(Debug, Parser)]
#[command(
    name = "switchhook",
    version,
    about = "The switchboard between AI voice assistants and people"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer and place calls
    Serve(SourceArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Look at everything calls over Twilio depend on, and say what is wrong
    Doctor(doctor::DoctorArgs),
    /// Place a call through a running gateway
    Call(call::CallArgs),
    /// Print an access token for the API
    Token(token::TokenArgs),
    /// Manage the console's users
    #[command(subcommand)]
    User(user::UserCommand),
    /// Print the hash of a caller's PIN, read from standard input
    Pin(pin::PinArgs),
    /// Bring the database to this version's schema
    Migrate(SourceArgs),
    /// Try things out: a carrier on this machine with a page to call by, and test calls
    Lab(Box<lab::LabArgs>),
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Args)]
pub struct SourceArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Shipped profile, for example demo
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
}

impl SourceArgs {
    /// For commands beside a running gateway: what `make run` started, if nothing else is said.
    fn or_demo(self) -> Self {
        let nothing_said = self.config.is_none() && self.profile.is_none();
        if nothing_said && !std::path::Path::new("switchhook.toml").exists() {
            return self.or_profile("demo");
        }
        self
    }

    /// This profile, if nothing is said, whatever else lies here.
    fn or_profile(self, name: &str) -> Self {
        if self.config.is_none() && self.profile.is_none() {
            return Self {
                config: None,
                profile: Some(name.to_owned()),
            };
        }
        self
    }

    fn load(self) -> Result<Config, Failure> {
        let source = Source::choose(self.config, self.profile).map_err(Failure::input)?;
        let environment = Environment::of_process().map_err(Failure::input)?;
        load(&source, &environment).map_err(Failure::input)
    }
}

/// What a command ends with when it does not succeed.
#[derive(Debug)]
struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// Bad input or configuration: exit 2.
    fn input(error: impl std::fmt::Display) -> Self {
        Self {
            code: 2,
            text: error.to_string(),
        }
    }

    /// Something did not work: exit 1.
    fn run(error: impl std::fmt::Display) -> Self {
        Self {
            code: 1,
            text: error.to_string(),
        }
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            // Nothing is left to do when standard output is closed.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    // Two providers are linked through our dependencies: without a choice rustls panics.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        return fail(&Failure::run(
            "the TLS provider was installed twice: this is a bug",
        ));
    }
    let result = match cli.command {
        Command::Serve(source) => serve::run(source),
        Command::Config(command) => config::run(command),
        Command::Doctor(args) => doctor::run(args),
        Command::Call(args) => call::run(args),
        Command::Token(args) => token::run(args),
        Command::User(command) => user::run(command),
        Command::Pin(args) => pin::run(args),
        Command::Migrate(source) => serve::migrate(source),
        Command::Lab(args) => lab::run(*args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the command line's error goes to standard error"
)]
fn fail(failure: &Failure) -> ExitCode {
    eprintln!("switchhook: {}", failure.text);
    ExitCode::from(failure.code)
}

/// Prints a result for the user.
#[expect(
    clippy::print_stdout,
    reason = "the command line's result goes to standard output"
)]
fn show(text: impl std::fmt::Display) {
    println!("{text}");
}

/// What somebody who started the demo wants to know; `lab` is the address of the lab's page, if it
/// runs.
pub fn show_demo(config: &Config, lab: Option<&str>) {
    show(serve::demo_card(config, lab));
}

/// A runtime for commands that need one.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::run(format!("cannot start the runtime: {error}")))
}

/// Logging for commands that do something: `RUST_LOG`, else `level`.
fn start_logging(level: &str) {
    let environment = Environment::of_process().unwrap_or_default();
    let level = environment
        .get("RUST_LOG")
        .or(environment.get("LOG_LEVEL"))
        .unwrap_or(level);
    let json = environment.get("SWITCHHOOK_LOG_FORMAT") == Some("json");
    telemetry::start(&level.to_lowercase(), json);
}
