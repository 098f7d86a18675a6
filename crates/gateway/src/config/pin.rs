//! `[pin]`: whether callers say who they are, and whose PINs there are.

use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use switchhook_model::E164;

use super::problems::Problems;
use super::raw::{RawPin, RawPinAccount};
use super::secret::Secret;
use super::types::{Mode, PinAccount, PinProof, PinSection};

/// Each wrong PIN is compared with all of them, unless the caller's number chooses.
const MOST_ACCOUNTS: usize = 50;

/// Nothing if nobody is asked.
pub(super) fn resolve(raw: RawPin, mode: Mode, problems: &mut Problems) -> Option<PinSection> {
    let is_test = raw.enable_test_pin.unwrap_or(false);
    if is_test && mode == Mode::Production {
        problems.add(
            "pin.enable_test_pin (ENABLE_TEST_PIN): a test PIN lets anybody in; only development and demo mode take one",
        );
    }
    if !raw.enabled.unwrap_or(false) {
        return None;
    }
    let caller_number = raw.caller_number.unwrap_or(false);
    let mut accounts: Vec<PinAccount> = raw
        .accounts
        .into_iter()
        .filter_map(|(id, account)| self::account(id, account, caller_number, problems))
        .collect();
    if !caller_number && accounts.len() > MOST_ACCOUNTS {
        problems.add(format!(
            "pin.accounts: with more than {MOST_ACCOUNTS} accounts set pin.caller_number = true, so that a PIN is looked for among the accounts of the caller's number"
        ));
    }
    let mut shared = |id: &str, key: &str, pin: Option<Secret>| {
        let Some(pin) = pin else { return };
        if !is_pin(pin.expose()) {
            problems.add(format!("{key}: a PIN has four to six digits"));
            return;
        }
        accounts.push(PinAccount {
            id: id.to_owned(),
            name: None,
            proof: PinProof::Shared(pin),
            numbers: Vec::new(),
        });
    };
    shared("everybody", "pin.shared (VOICE_PIN)", raw.shared);
    if is_test && mode != Mode::Production {
        let pin = raw.test_pin.unwrap_or_else(|| Secret::new("1234"));
        shared("test", "pin.test_pin (TEST_VOICE_PIN)", Some(pin));
    }
    if accounts.is_empty() {
        problems.add(
            "pin.enabled (ENABLE_VOICE_PIN) is set and there is no account: add [pin.accounts.NAME] with the hash that `switchhook pin` prints",
        );
    }
    let pepper = problems.secret("pin.pepper", raw.pepper, raw.pepper_file);
    let lock_minutes = problems.in_range(
        "pin.lock_minutes",
        raw.lock_minutes.unwrap_or(60),
        1,
        7 * 24 * 60,
    );
    Some(PinSection {
        accounts,
        human_without_pin: raw.human_without_pin.unwrap_or(true),
        caller_number,
        tries: problems.in_range("pin.tries", raw.tries.unwrap_or(3), 1, 10),
        lock_after: problems.in_range("pin.lock_after", raw.lock_after.unwrap_or(10), 1, 100),
        lock: Duration::from_secs(u64::from(lock_minutes) * 60),
        pepper,
    })
}

fn account(
    id: String,
    raw: RawPinAccount,
    caller_number: bool,
    problems: &mut Problems,
) -> Option<PinAccount> {
    let key = format!("pin.accounts.{id}");
    let numbers: Vec<E164> = raw
        .numbers
        .iter()
        .filter_map(|text| problems.parse(&format!("{key}.numbers"), text))
        .collect();
    if caller_number && numbers.is_empty() {
        problems.add(format!(
            "{key}.numbers is missing: with pin.caller_number an account is reached from its numbers only"
        ));
    }
    let hash = problems.secret(&format!("{key}.hash"), raw.hash, raw.hash_file);
    let Some(hash) = hash else {
        problems.add(format!(
            "{key}.hash is missing: `printf %s PIN | switchhook pin` prints it"
        ));
        return None;
    };
    if PasswordHash::new(hash.expose()).is_err() {
        problems.add(format!(
            "{key}.hash is not a hash: `printf %s PIN | switchhook pin` prints one"
        ));
        return None;
    }
    Some(PinAccount {
        id,
        name: raw.name,
        proof: PinProof::Hash(hash),
        numbers,
    })
}

fn is_pin(text: &str) -> bool {
    (4..=6).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(raw: RawPin, mode: Mode) -> Result<Option<PinSection>, String> {
        let mut problems = Problems::default();
        let section = resolve(raw, mode, &mut problems);
        problems
            .none()
            .map(|()| section)
            .map_err(|error| error.to_string())
    }

    fn on() -> RawPin {
        RawPin {
            enabled: Some(true),
            shared: Some(Secret::new("739164")),
            ..RawPin::default()
        }
    }

    #[test]
    fn nobody_is_asked_unless_it_is_said() {
        assert!(
            resolved(RawPin::default(), Mode::Production)
                .unwrap()
                .is_none()
        );
        let section = resolved(on(), Mode::Production).unwrap().unwrap();
        assert_eq!(section.accounts.len(), 1);
        assert!(!format!("{section:?}").contains("739164"));
    }

    #[test]
    fn what_would_let_anybody_in_is_refused() {
        let refused = |change: fn(&mut RawPin), words: &str| {
            let mut raw = on();
            change(&mut raw);
            let error = resolved(raw, Mode::Production).unwrap_err();
            assert!(error.contains(words), "{error}");
            assert!(!error.contains("739164"), "{error}");
        };
        refused(|raw| raw.enable_test_pin = Some(true), "ENABLE_TEST_PIN");
        refused(|raw| raw.shared = None, "no account");
        refused(
            |raw| raw.shared = Some(Secret::new("12")),
            "four to six digits",
        );
        refused(
            |raw| {
                let account = RawPinAccount {
                    hash: Some(Secret::new("739164")),
                    ..RawPinAccount::default()
                };
                raw.accounts.insert("anna".to_owned(), account);
            },
            "pin.accounts.anna.hash is not a hash",
        );
        refused(
            |raw| {
                raw.caller_number = Some(true);
                raw.accounts
                    .insert("anna".to_owned(), RawPinAccount::default());
            },
            "pin.accounts.anna.numbers is missing",
        );
        let mut raw = on();
        raw.shared = None;
        raw.enable_test_pin = Some(true);
        let section = resolved(raw, Mode::Demo).unwrap().unwrap();
        assert_eq!(section.accounts[0].id, "test");
    }
}
