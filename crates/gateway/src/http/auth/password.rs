//! Passwords: Argon2id (RFC 9106), made and checked away from the async workers.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

/// A check takes some 20 MB and tens of milliseconds of a core: two at once leave room for calls.
const CHECKS_AT_ONCE: usize = 2;
/// How long a login waits for its turn before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);

pub(in crate::http) const LENGTH_MIN: usize = 12;
/// Longer ones only cost time.
pub(in crate::http) const LENGTH_MAX: usize = 256;

/// Why a password is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    #[error("the password has {0} characters; use 12 to 256")]
    Length(usize),
    #[error("the password contains the user name")]
    ContainsName,
    #[error(
        "the password is one of the first that are tried; use several words or a generated one"
    )]
    Common,
}

/// Refuses what is guessed first. Length counts more than kinds of characters (NIST SP 800-63B
/// §5.1.1.2).
pub(super) fn check_strength(name: &str, password: &str) -> Result<(), WeakPassword> {
    let length = password.chars().count();
    if length < LENGTH_MIN || password.len() > LENGTH_MAX {
        return Err(WeakPassword::Length(length));
    }
    let lower = password.to_lowercase();
    if name.len() >= 3 && lower.contains(&name.to_lowercase()) {
        return Err(WeakPassword::ContainsName);
    }
    let mut kinds: Vec<char> = lower.chars().collect();
    kinds.sort_unstable();
    kinds.dedup();
    const COMMON: [&str; 7] = [
        "password",
        "passwort",
        "switchhook",
        "123456789",
        "qwertyuiop",
        "qwertzuiop",
        "letmein",
    ];
    let rest = COMMON
        .iter()
        .fold(lower, |text, common| text.replace(common, ""));
    if kinds.len() < 5 || rest.chars().count() < 4 {
        return Err(WeakPassword::Common);
    }
    Ok(())
}

/// A PHC string with a fresh salt.
pub(super) async fn hash(password: String) -> Result<String, String> {
    tokio::task::spawn_blocking(move || {
        let hash: PasswordHash = Argon2::default()
            .hash_password(password.as_bytes())
            .map_err(|error| error.to_string())?;
        Ok(hash.to_string())
    })
    .await
    .map_err(|error| error.to_string())?
}

/// Checks passwords, as slowly for names that do not exist as for those that do.
#[derive(Debug)]
pub(in crate::http) struct PasswordCheck {
    slots: Arc<Semaphore>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Verdict {
    Right,
    Wrong,
    /// Too many logins at once.
    Busy,
}

impl PasswordCheck {
    pub fn new() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
        }
    }

    /// `stored` is `None` for a name that does not exist: then a hash nobody has the password of is
    /// checked, and the answer is [`Verdict::Wrong`].
    pub async fn check(&self, password: String, stored: Option<String>) -> Verdict {
        let Ok(Ok(slot)) = tokio::time::timeout(PATIENCE, self.slots.clone().acquire_owned()).await
        else {
            return Verdict::Busy;
        };
        let right = tokio::task::spawn_blocking(move || {
            let exists = stored.is_some();
            let hash = stored.as_deref().unwrap_or_else(|| nobodys_hash());
            let right = PasswordHash::new(hash).is_ok_and(|hash| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok()
            });
            drop(slot);
            right && exists
        })
        .await
        .unwrap_or(false);
        if right {
            Verdict::Right
        } else {
            Verdict::Wrong
        }
    }
}

/// With the same parameters as real ones; of a password drawn once for each process.
fn nobodys_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| {
        let unguessable: [u8; 32] = rand::random();
        let hash: PasswordHash = Argon2::default()
            .hash_password(&unguessable)
            .expect("fixed parameters and a random salt");
        hash.to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_guessed_first_is_refused() {
        assert_eq!(check_strength("ada", "short"), Err(WeakPassword::Length(5)));
        for common in [
            "passwordpassword",
            "aaaaaaaaaaaaaaaa",
            "switchhook12",
            "1212121212121",
        ] {
            assert_eq!(
                check_strength("ada", common),
                Err(WeakPassword::Common),
                "{common}"
            );
        }
        assert_eq!(
            check_strength("lovelace", "my-Lovelace-2026"),
            Err(WeakPassword::ContainsName)
        );
        assert_eq!(check_strength("ada", "correct horse battery"), Ok(()));
        assert!(check_strength("ada", &"xyzzy1".repeat(50)).is_err());
    }

    #[tokio::test]
    async fn only_the_right_password_of_an_existing_user_is_right() {
        let check = PasswordCheck::new();
        let stored = hash("correct horse battery".into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$"));
        let right = check
            .check("correct horse battery".into(), Some(stored.clone()))
            .await;
        assert_eq!(right, Verdict::Right);
        let wrong = check.check("wrong".into(), Some(stored)).await;
        assert_eq!(wrong, Verdict::Wrong);
        let nobody = check.check("correct horse battery".into(), None).await;
        assert_eq!(nobody, Verdict::Wrong);
        let damaged = check.check("x".into(), Some("not a hash".into())).await;
        assert_eq!(damaged, Verdict::Wrong);
    }
}
