//! Users of the configuration file: demo and development only.

use switchhook_store::Store;

use crate::clock;
use crate::config::Config;
use crate::http::auth::{AddUserError, seed_user};

/// Adds them, or brings them up to date.
pub async fn seed(store: &Store, config: &Config) -> anyhow::Result<()> {
    for user in &config.users {
        let role = user.role.parse()?;
        seed_user(
            store,
            &user.name,
            role,
            user.password.expose(),
            clock::now(),
        )
        .await
        .map_err(|error: AddUserError| anyhow::anyhow!("users.{}: {error}", user.name))?;
    }
    Ok(())
}
