//! `switchhook config check|show`.

use clap::Subcommand;

use super::{Failure, SourceArgs, show};
use crate::config::{Environment, Source, check};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print resolved, shadowed and unknown variables and everything that is missing
    Check {
        #[command(flatten)]
        source: SourceArgs,
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// Print the resolved configuration, secrets masked
    Show(SourceArgs),
}

pub(super) fn run(command: ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check { source, json } => {
            let environment = Environment::of_process().map_err(Failure::input)?;
            let source = Source::choose(source.config, source.profile).map_err(Failure::input)?;
            let report = check(&source, &environment);
            if json {
                show(serde_json::to_string_pretty(&report).map_err(Failure::run)?);
            } else {
                show(&report);
            }
            if report.is_usable() {
                Ok(())
            } else {
                Err(Failure::input(format!(
                    "{} problem(s) in the configuration, listed above",
                    report.problems.len()
                )))
            }
        }
        ConfigCommand::Show(source) => {
            show(format!("{:#?}", source.load()?));
            Ok(())
        }
    }
}
