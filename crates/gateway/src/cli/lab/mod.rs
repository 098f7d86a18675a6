//! `switchhook lab`: a carrier that runs on this machine, and test calls.

mod call;
mod carrier;

use clap::{Args, Subcommand};

use super::Failure;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct LabArgs {
    #[command(subcommand)]
    command: Option<LabCommand>,
    #[command(flatten)]
    carrier: carrier::LabCarrierArgs,
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Call a running gateway, say something, print what was heard
    Call(call::LabCallArgs),
}

pub(super) fn run(args: LabArgs) -> Result<(), Failure> {
    match args.command {
        Some(LabCommand::Call(args)) => call::run(args),
        None => carrier::run(args.carrier),
    }
}
