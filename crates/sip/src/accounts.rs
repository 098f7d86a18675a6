//! Accounts that may log in, and with which hashes.

use std::collections::HashMap;

use switchhook_model::Extension;

use crate::config::{AccountSecret, SipConfig, SipStartError, TrunkId};
use crate::digest::DigestHash;

/// An account that proved itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    Extension(Extension),
    Trunk(TrunkId),
}

pub(crate) struct Account {
    /// One for each hash that is offered.
    pub ha1: HashMap<DigestHash, String>,
    pub who: Who,
}

/// The hashes challenges offer, strongest first: those configured that every account can be
/// verified with.
pub(crate) fn offered_hashes(config: &SipConfig) -> Result<Vec<DigestHash>, SipStartError> {
    let mut offered: Vec<DigestHash> = DigestHash::STRONGEST_FIRST
        .into_iter()
        .filter(|hash| config.digest.contains(hash))
        .collect();
    for account in &config.extensions {
        let known = |hash: DigestHash| match &account.secret {
            AccountSecret::Password(_) => true,
            AccountSecret::Ha1(_) => hash == DigestHash::Md5,
            AccountSecret::Ha1s(all) => all.iter().any(|(of, _)| *of == hash),
        };
        offered.retain(|hash| known(*hash));
        if offered.is_empty() {
            let why = format!("extension {} has none", account.extension);
            return Err(SipStartError::NoDigest(why));
        }
    }
    if offered.is_empty() {
        return Err(SipStartError::NoDigest("none is configured".to_owned()));
    }
    Ok(offered)
}

pub(crate) fn ha1_by_hash(
    offered: &[DigestHash],
    name: &str,
    realm: &str,
    secret: &AccountSecret,
) -> HashMap<DigestHash, String> {
    let of = |hash: DigestHash| match secret {
        AccountSecret::Password(password) => Some(hash.ha1(name, realm, password)),
        AccountSecret::Ha1(ha1) => (hash == DigestHash::Md5).then(|| ha1.to_ascii_lowercase()),
        AccountSecret::Ha1s(all) => all
            .iter()
            .find(|(given, _)| *given == hash)
            .map(|(_, ha1)| ha1.to_ascii_lowercase()),
    };
    offered
        .iter()
        .filter_map(|hash| Some((*hash, of(*hash)?)))
        .collect()
}
