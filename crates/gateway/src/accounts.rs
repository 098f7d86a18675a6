//! Whose PIN it is: accounts of the configuration, compared by slow hashes, and locked after too many
//! wrong PINs from one number or for one account, on whichever node.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use switchhook_conversation::{Pin, PinAnswer};
use switchhook_model::Timestamp;
use switchhook_store::{Store, StoreError};
use tokio::sync::Semaphore;

use crate::config::{PinProof, PinSection, Secret};

/// A comparison takes some 20 MB and tens of milliseconds of a core.
const CHECKS_AT_ONCE: usize = 2;
/// How long a caller waits for their turn before being told to try again.
const PATIENCE: Duration = Duration::from_secs(4);

/// Compares PINs.
#[derive(Debug)]
pub struct Accounts {
    section: PinSection,
    hashes: Arc<Vec<Account>>,
    slots: Semaphore,
}

#[derive(Debug)]
struct Account {
    id: String,
    name: Option<String>,
    /// A PHC string.
    hash: String,
    numbers: Vec<String>,
}

impl Accounts {
    /// # Errors
    /// If a PIN of the configuration cannot be hashed.
    pub fn new(section: PinSection) -> anyhow::Result<Self> {
        let hashes: anyhow::Result<Vec<Account>> = section
            .accounts
            .iter()
            .map(|account| {
                Ok(Account {
                    id: account.id.clone(),
                    name: account.name.clone(),
                    hash: match &account.proof {
                        PinProof::Hash(hash) => hash.expose().to_owned(),
                        PinProof::Shared(pin) => hash(pin.expose(), section.pepper.as_ref())?,
                    },
                    numbers: account.numbers.iter().map(ToString::to_string).collect(),
                })
            })
            .collect();
        Ok(Self {
            hashes: Arc::new(hashes?),
            section,
            slots: Semaphore::new(CHECKS_AT_ONCE),
        })
    }

    /// Whose PIN this is. `caller` is the number the carrier vouches for, or empty; one that hides it
    /// shares its count with all who do.
    pub async fn check(&self, store: &Store, caller: &str, pin: Pin, now: Timestamp) -> PinAnswer {
        match self.try_check(store, caller, pin, now).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(%error, "a PIN could not be checked: the counts of wrong ones cannot be read");
                PinAnswer::Unavailable
            }
        }
    }

    async fn try_check(
        &self,
        store: &Store,
        caller: &str,
        pin: Pin,
        now: Timestamp,
    ) -> Result<PinAnswer, StoreError> {
        let Ok(Ok(_slot)) = tokio::time::timeout(PATIENCE, self.slots.acquire()).await else {
            return Ok(PinAnswer::Unavailable);
        };
        let most = u64::from(self.section.lock_after);
        let window = self.section.lock;
        // Those whom the number points at are locked with it, from wherever they are tried.
        let own: Vec<usize> = (0..self.hashes.len())
            .filter(|at| self.hashes[*at].numbers.iter().any(|own| own == caller))
            .collect();
        let mut subjects = vec![by_number(caller)];
        subjects.extend(own.iter().map(|at| by_account(&self.hashes[*at].id)));
        // Counted before it is compared: of many calls at once none has a try too many.
        let mut count = 0;
        for subject in &subjects {
            count = count.max(store.tally(subject, 1, now, window).await?);
        }
        if count > most {
            return Ok(PinAnswer::Locked);
        }
        let candidates = if self.section.caller_number {
            own
        } else {
            (0..self.hashes.len()).collect()
        };
        let mut open = Vec::new();
        for at in candidates {
            let subject = by_account(&self.hashes[at].id);
            if store.tallied(&subject, now, window).await? <= most {
                open.push(at);
            }
        }
        let Some(found) = self.compare(pin, open).await else {
            return Ok(PinAnswer::Unavailable);
        };
        let found = match found[..] {
            [one] => Some(&self.hashes[one]),
            [] => None,
            // A PIN alone does not say who it is: whom the number points at, if anybody.
            _ => {
                let mut own = found
                    .iter()
                    .map(|at| &self.hashes[*at])
                    .filter(|account| account.numbers.iter().any(|own| own == caller));
                match (own.next(), own.next()) {
                    (Some(one), None) => Some(one),
                    _ => {
                        tracing::warn!(
                            "two accounts have the same PIN, so neither is let in: set pin.caller_number, or change one"
                        );
                        None
                    }
                }
            }
        };
        let Some(account) = found else {
            let left = u32::try_from(most.saturating_sub(count)).unwrap_or(u32::MAX);
            metrics::counter!("switchhook_pins_total", "result" => "wrong").increment(1);
            return Ok(PinAnswer::Refused { tries_left: left });
        };
        for subject in &subjects {
            store.clear_tally(subject).await?;
        }
        metrics::counter!("switchhook_pins_total", "result" => "right").increment(1);
        Ok(PinAnswer::Accepted {
            name: account.name.clone(),
            account: account.id.clone(),
        })
    }

    /// Those of these accounts whose PIN it is. As slowly where there is none.
    async fn compare(&self, pin: Pin, candidates: Vec<usize>) -> Option<Vec<usize>> {
        let hashes = Arc::clone(&self.hashes);
        let pepper = self.section.pepper.clone();
        let compared = tokio::task::spawn_blocking(move || {
            if candidates.is_empty() {
                is_of(&pin, nobodys_hash(), pepper.as_ref());
            }
            candidates
                .into_iter()
                .filter(|at| is_of(&pin, &hashes[*at].hash, pepper.as_ref()))
                .collect()
        });
        compared.await.ok()
    }
}

fn by_number(caller: &str) -> String {
    format!("pin:number:{caller}")
}

fn by_account(id: &str) -> String {
    format!("pin:account:{id}")
}

fn is_of(pin: &Pin, stored: &str, pepper: Option<&Secret>) -> bool {
    let Ok(stored) = PasswordHash::new(stored) else {
        return false;
    };
    hasher(pepper).is_ok_and(|hasher| {
        hasher
            .verify_password(pin.digits().as_bytes(), &stored)
            .is_ok()
    })
}

/// Argon2id with a fresh salt (RFC 9106), as a PHC string. The pepper is no part of it: without it the
/// hash of a PIN is worth nothing to whoever reads the configuration, with it ten thousand guesses are
/// soon made.
///
/// # Errors
/// If the pepper is too long.
pub fn hash(pin: &str, pepper: Option<&Secret>) -> anyhow::Result<String> {
    let hash: PasswordHash = hasher(pepper)?
        .hash_password(pin.as_bytes())
        .map_err(|error| anyhow::anyhow!("the PIN cannot be hashed: {error}"))?;
    Ok(hash.to_string())
}

fn hasher(pepper: Option<&Secret>) -> anyhow::Result<Argon2<'_>> {
    let Some(pepper) = pepper else {
        return Ok(Argon2::default());
    };
    let pepper = pepper.expose().as_bytes();
    Argon2::new_with_secret(pepper, Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
        .map_err(|error| anyhow::anyhow!("pin.pepper cannot be used: {error}"))
}

/// Of a PIN that cannot be said.
fn nobodys_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash("nobody's", None).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::config::PinAccount;
    use switchhook_store::StoreOptions;

    const ANNA: &str = "739164";
    const BEN: &str = "5820";
    const HERS: &str = "+12025550142";
    const OTHER: &str = "+12025550177";

    fn account(id: &str, pin: &str, number: Option<&str>, pepper: Option<&Secret>) -> PinAccount {
        PinAccount {
            id: id.to_owned(),
            name: Some(id.to_uppercase()),
            proof: PinProof::Hash(Secret::new(hash(pin, pepper).unwrap())),
            numbers: number
                .into_iter()
                .map(|number| number.parse().unwrap())
                .collect(),
        }
    }

    async fn world(change: impl FnOnce(&mut PinSection)) -> (Accounts, Store, tempfile::TempDir) {
        let mut section = PinSection {
            accounts: vec![
                account("anna", ANNA, Some(HERS), None),
                account("ben", BEN, None, None),
            ],
            human_without_pin: true,
            caller_number: false,
            tries: 3,
            lock_after: 3,
            lock: Duration::from_secs(600),
            pepper: None,
        };
        change(&mut section);
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("pins.db").display());
        let store = Store::open(&url, &StoreOptions::default()).await.unwrap();
        (Accounts::new(section).unwrap(), store, directory)
    }

    fn pin(digits: &str) -> Pin {
        Pin::new(digits).unwrap()
    }

    fn is(answer: &PinAnswer, account: &str) -> bool {
        matches!(answer, PinAnswer::Accepted { account: id, .. } if id == account)
    }

    #[tokio::test]
    async fn a_pin_is_its_accounts_and_nobody_elses() {
        let (accounts, store, _directory) = world(|_| {}).await;
        let now = clock::now();
        assert!(is(
            &accounts.check(&store, OTHER, pin(ANNA), now).await,
            "anna"
        ));
        assert!(is(
            &accounts.check(&store, OTHER, pin(BEN), now).await,
            "ben"
        ));
        let wrong = accounts.check(&store, OTHER, pin("0000"), now).await;
        assert_eq!(wrong, PinAnswer::Refused { tries_left: 2 });
    }

    #[tokio::test]
    async fn the_callers_number_can_be_a_second_factor() {
        let (accounts, store, _directory) = world(|section| {
            section.caller_number = true;
            section.accounts.pop();
        })
        .await;
        let now = clock::now();
        let elsewhere = accounts.check(&store, OTHER, pin(ANNA), now).await;
        assert_eq!(elsewhere, PinAnswer::Refused { tries_left: 2 });
        let hidden = accounts.check(&store, "", pin(ANNA), now).await;
        assert_eq!(hidden, PinAnswer::Refused { tries_left: 2 });
        assert!(is(
            &accounts.check(&store, HERS, pin(ANNA), now).await,
            "anna"
        ));
    }

    #[tokio::test]
    async fn numbers_and_accounts_are_locked_for_a_while() {
        let (accounts, store, _directory) = world(|_| {}).await;
        let now = clock::now();
        for left in [2, 1, 0] {
            let wrong = accounts.check(&store, HERS, pin("0000"), now).await;
            assert_eq!(wrong, PinAnswer::Refused { tries_left: left });
        }
        // The right one is too late, from her number and from any other.
        let late = accounts.check(&store, HERS, pin(ANNA), now).await;
        assert_eq!(late, PinAnswer::Locked);
        let around = accounts.check(&store, OTHER, pin(ANNA), now).await;
        assert_eq!(around, PinAnswer::Refused { tries_left: 2 });
        // Nobody else is.
        assert!(is(
            &accounts.check(&store, OTHER, pin(BEN), now).await,
            "ben"
        ));
        let later = now + Duration::from_secs(601);
        assert!(is(
            &accounts.check(&store, HERS, pin(ANNA), later).await,
            "anna"
        ));
    }

    #[tokio::test]
    async fn many_calls_at_once_have_no_try_too_many() {
        let (accounts, store, _directory) = world(|_| {}).await;
        let now = clock::now();
        let tries = (0..8).map(|_| accounts.check(&store, OTHER, pin("0000"), now));
        let answers = futures::future::join_all(tries).await;
        let compared = answers
            .iter()
            .filter(|answer| matches!(answer, PinAnswer::Refused { .. }))
            .count();
        assert_eq!(compared, 3, "{answers:?}");
    }

    #[tokio::test]
    async fn two_accounts_of_one_pin_are_told_apart_by_the_number_or_not_at_all() {
        let (accounts, store, _directory) = world(|section| {
            section.accounts[1] = account("ben", ANNA, None, None);
        })
        .await;
        let now = clock::now();
        let whose = accounts.check(&store, OTHER, pin(ANNA), now).await;
        assert_eq!(whose, PinAnswer::Refused { tries_left: 2 });
        assert!(is(
            &accounts.check(&store, HERS, pin(ANNA), now).await,
            "anna"
        ));
    }

    #[tokio::test]
    async fn a_hash_is_worth_nothing_without_its_pepper() {
        let pepper = Secret::new("a pepper of this installation");
        let (accounts, store, _directory) = world(|section| {
            section.accounts = vec![account("anna", ANNA, None, Some(&pepper))];
        })
        .await;
        let now = clock::now();
        let without = accounts.check(&store, OTHER, pin(ANNA), now).await;
        assert_eq!(without, PinAnswer::Refused { tries_left: 2 });
        let (accounts, store, _directory) = world(|section| {
            section.accounts = vec![account("anna", ANNA, None, Some(&pepper))];
            section.pepper = Some(pepper);
        })
        .await;
        assert!(is(
            &accounts.check(&store, OTHER, pin(ANNA), now).await,
            "anna"
        ));
    }

    #[tokio::test]
    async fn a_database_that_fails_lets_nobody_in() {
        let (accounts, store, _directory) = world(|_| {}).await;
        store.close().await;
        let answer = accounts.check(&store, OTHER, pin(ANNA), clock::now()).await;
        assert_eq!(answer, PinAnswer::Unavailable);
    }
}
