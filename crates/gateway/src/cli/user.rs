//! `switchhook user`: the console's users.

use std::io::Read;

use clap::Subcommand;
use switchhook_store::Access;

use super::{Failure, SourceArgs, runtime, show};
use crate::http::auth::{self, Role};
use crate::{app, clock};

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user; the password is read from standard input
    Add {
        name: String,
        /// operator, admin, desk or viewer
        #[arg(long, default_value = "operator")]
        role: String,
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Change a password, read from standard input
    Password {
        name: String,
        #[command(flatten)]
        source: SourceArgs,
    },
}

pub(super) fn run(command: UserCommand) -> Result<(), Failure> {
    let source = match &command {
        UserCommand::Add { source, .. } | UserCommand::Password { source, .. } => source.clone(),
    };
    let config = source.or_demo().load()?;
    let password = password()?;
    runtime()?.block_on(async {
        let store = app::open_store(&config, Access::Tool)
            .await
            .map_err(Failure::run)?;
        let result = match command {
            UserCommand::Add { name, role, .. } => {
                let role: Role = role
                    .parse()
                    .map_err(|error| Failure::input(format!("--role: {error}")))?;
                auth::add_user(&store, &name, role, &password, clock::now())
                    .await
                    .map(|()| format!("user {name} added"))
            }
            UserCommand::Password { name, .. } => auth::set_password(&store, &name, &password)
                .await
                .map(|()| {
                    format!("password of {name} changed; old sign-ins end within 30 minutes")
                }),
        };
        store.close().await;
        show(result.map_err(Failure::input)?);
        Ok(())
    })
}

/// One line of standard input, at most 1 KiB.
fn password() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(1024)
        .read_to_string(&mut text)
        .map_err(|error| Failure::input(format!("the password cannot be read: {error}")))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(Failure::input(
            "give the password on standard input, for example: printf %s SECRET | switchhook user add NAME",
        ));
    }
    Ok(line.to_owned())
}
