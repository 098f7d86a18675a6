//! `switchhook doctor`: what is wrong, why, and what to do.

use clap::{Args, Subcommand};
use switchhook_model::Language;

use super::{Failure, SourceArgs, runtime, show};
use crate::doctor;

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(subcommand)]
    command: Option<DoctorCommand>,
    #[command(flatten)]
    source: SourceArgs,
    /// en or de; default: the configuration's
    #[arg(long, global = true)]
    language: Option<Language>,
    /// For scripts
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum DoctorCommand {
    /// What an error code of Twilio means, and what to do
    Explain {
        /// For example 11200
        code: u32,
    },
}

pub(super) fn run(args: DoctorArgs) -> Result<(), Failure> {
    if let Some(DoctorCommand::Explain { code }) = args.command {
        let known = doctor::explain(code, args.language.unwrap_or_default());
        let known = known.ok_or_else(|| {
            Failure::run(format!(
                "{code} is not in the catalogue; see https://www.twilio.com/docs/api/errors/{code}"
            ))
        })?;
        if args.json {
            show(serde_json::to_string_pretty(&known).map_err(Failure::run)?);
        } else {
            let lines = [Some(known.found), known.cause, known.cure];
            show(lines.into_iter().flatten().collect::<Vec<_>>().join("\n"));
        }
        return Ok(());
    }
    let config = args.source.or_demo().load()?;
    let language = args.language.unwrap_or(config.language);
    let report = runtime()?.block_on(doctor::examine(&config, language));
    if args.json {
        show(serde_json::to_string_pretty(&report).map_err(Failure::run)?);
    } else {
        show(&report);
    }
    if report.ok {
        return Ok(());
    }
    let failed = report.findings.iter();
    let failed = failed.filter(|finding| finding.state == doctor::State::Failed);
    Err(Failure::run(match language {
        Language::De => format!("{} Prüfung(en) fehlgeschlagen, siehe oben", failed.count()),
        Language::En | Language::Ar => format!("{} check(s) failed, see above", failed.count()),
    }))
}
