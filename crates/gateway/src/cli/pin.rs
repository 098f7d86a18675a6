//! `switchhook pin`: the hash of a caller's PIN.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use switchhook_conversation::Pin;

use super::{Failure, show};
use crate::accounts;
use crate::config::{Environment, Secret};

#[derive(Debug, Args)]
pub(super) struct PinArgs {
    /// The file of pin.pepper_file; without it SWITCHHOOK_PIN_PEPPER counts
    #[arg(long, value_name = "FILE")]
    pepper_file: Option<PathBuf>,
}

/// Reads one PIN from standard input and prints what belongs into `pin.accounts.NAME.hash`.
pub(super) fn run(args: PinArgs) -> Result<(), Failure> {
    let pin = pin()?;
    let pepper = pepper(args)?;
    let hash = accounts::hash(pin.digits(), pepper.as_ref()).map_err(Failure::run)?;
    show(hash);
    Ok(())
}

fn pepper(args: PinArgs) -> Result<Option<Secret>, Failure> {
    if let Some(file) = args.pepper_file {
        let text = std::fs::read_to_string(&file).map_err(|error| {
            Failure::input(format!(
                "--pepper-file: cannot read {}: {error}",
                file.display()
            ))
        })?;
        return Ok(Some(Secret::new(text.trim())));
    }
    let environment = Environment::of_process().map_err(Failure::input)?;
    Ok(environment.get("SWITCHHOOK_PIN_PEPPER").map(Secret::new))
}

fn pin() -> Result<Pin, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(64)
        .read_to_string(&mut text)
        .map_err(|error| Failure::input(format!("the PIN cannot be read: {error}")))?;
    Pin::new(text.trim()).ok_or_else(|| {
        Failure::input(
            "give a PIN of four to six digits on standard input, for example: printf %s 739164 | switchhook pin",
        )
    })
}
