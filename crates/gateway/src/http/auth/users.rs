//! Adding users: for `switchhook user` and the demo profile.

use switchhook_model::Timestamp;
use switchhook_store::{Store, StoreError, UserError, UserRow};

use super::password::{self, WeakPassword};
use super::role::Role;

/// Why a user was not added or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddUserError {
    #[error("user name {0:?}: use 1 to 64 letters, digits, - _ . @")]
    BadName(String),
    #[error(transparent)]
    Weak(#[from] WeakPassword),
    #[error("user {0:?} exists already; change its password instead")]
    Exists(String),
    #[error("there is no user {0:?}")]
    Unknown(String),
    #[error("the password could not be hashed: {0}")]
    Hash(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds a user.
///
/// # Errors
/// [`AddUserError`]; passwords must be strong.
pub async fn add_user(
    store: &Store,
    name: &str,
    role: Role,
    password: &str,
    now: Timestamp,
) -> Result<(), AddUserError> {
    check_name(name)?;
    password::check_strength(name, password)?;
    let user = UserRow {
        name: name.to_owned(),
        password_hash: password::hash(password.to_owned())
            .await
            .map_err(AddUserError::Hash)?,
        role: role.as_str().to_owned(),
        credential_version: 1,
        disabled: false,
        created_at: now,
    };
    store.add_user(user).await.map_err(|error| match error {
        UserError::Exists { name } => AddUserError::Exists(name),
        UserError::Store(error) => error.into(),
    })
}

/// Adds a user of the configuration, or brings its role and password up to date. The strength of the
/// password is not checked: the demo's is meant to be known.
///
/// # Errors
/// [`AddUserError`].
pub async fn seed_user(
    store: &Store,
    name: &str,
    role: Role,
    password: &str,
    now: Timestamp,
) -> Result<(), AddUserError> {
    check_name(name)?;
    let known = store.user(name).await?;
    if let Some(user) = &known
        && user.role == role.as_str()
        && password::PasswordCheck::new()
            .check(password.to_owned(), Some(user.password_hash.clone()))
            .await
            == password::Verdict::Right
    {
        return Ok(());
    }
    let user = UserRow {
        name: name.to_owned(),
        password_hash: password::hash(password.to_owned())
            .await
            .map_err(AddUserError::Hash)?,
        role: role.as_str().to_owned(),
        credential_version: known
            .as_ref()
            .map_or(1, |user| user.credential_version.saturating_add(1)),
        disabled: known.as_ref().is_some_and(|user| user.disabled),
        created_at: known.as_ref().map_or(now, |user| user.created_at),
    };
    if known.is_some() {
        store.update_user(user).await?;
        return Ok(());
    }
    store.add_user(user).await.map_err(|error| match error {
        UserError::Exists { name } => AddUserError::Exists(name),
        UserError::Store(error) => error.into(),
    })
}

/// Changes a password; tokens made with the old one cannot be refreshed any more.
///
/// # Errors
/// [`AddUserError`].
pub async fn set_password(store: &Store, name: &str, password: &str) -> Result<(), AddUserError> {
    let unknown = || AddUserError::Unknown(name.to_owned());
    let mut user = store.user(name).await?.ok_or_else(unknown)?;
    password::check_strength(name, password)?;
    user.password_hash = password::hash(password.to_owned())
        .await
        .map_err(AddUserError::Hash)?;
    user.credential_version = user.credential_version.saturating_add(1);
    if store.update_user(user).await? {
        Ok(())
    } else {
        Err(unknown())
    }
}

fn check_name(name: &str) -> Result<(), AddUserError> {
    let fits = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@'));
    if fits {
        Ok(())
    } else {
        Err(AddUserError::BadName(name.chars().take(64).collect()))
    }
}
