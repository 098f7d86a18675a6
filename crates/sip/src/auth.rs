//! Who is who: digest verification against our accounts, with bounds on guessing.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};

use rsipstack::sip::{Headers, Request};
use rsipstack::transaction::Transaction;
use switchhook_model::Timestamp;

use crate::accounts::{Account, Who, ha1_by_hash, offered_hashes};
use crate::config::{AccountSecret, SipConfig, TrunkAddress};
use crate::core::Core;
use crate::digest::{
    Authorization, DigestHash, DigestInput, NonceBook, NonceVerdict, constant_time_eq,
    digest_response, hex,
};
use crate::message::{self, header_of};
use crate::scanner::count_refused;
use crate::tap::now;
use crate::throttle::FailureCounter;
use crate::uri::SipUri;

const FAILURE_WINDOW_MS: u64 = 60_000;

/// How many times as many failures one address may cause over all users.
const PER_ADDRESS_FACTOR: u32 = 10;

/// What credentials are worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Verified(Who),
    /// 401 with a new nonce.
    Challenge {
        stale: bool,
    },
    /// 403: too many failures. The same for users that exist and users that do not.
    Refused,
}

/// Accounts, nonces and failure counters.
pub(crate) struct Authenticator {
    realm: String,
    /// Strongest first.
    offered: Vec<DigestHash>,
    accounts: HashMap<String, Account>,
    /// Stands in for the HA1 of users we do not have, so that the work is the same.
    decoy_ha1: String,
    nonces: NonceBook,
    by_user: FailureCounter<(IpAddr, String)>,
    by_address: FailureCounter<IpAddr>,
    /// Whose address says nothing about who failed.
    proxies: Vec<TrunkAddress>,
}

impl Authenticator {
    pub(crate) fn new(config: &SipConfig) -> Self {
        // The endpoint does not start without any.
        let offered = offered_hashes(config).unwrap_or_default();
        let mut accounts = HashMap::new();
        for account in &config.extensions {
            let name = account.extension.as_str();
            let ha1 = ha1_by_hash(&offered, name, &config.realm, &account.secret);
            let who = Who::Extension(account.extension.clone());
            accounts.insert(name.to_owned(), Account { ha1, who });
        }
        for trunk in &config.trunks {
            if let Some(auth) = &trunk.inbound_auth {
                let secret = AccountSecret::Password(auth.password.clone());
                let ha1 = ha1_by_hash(&offered, &auth.user, &config.realm, &secret);
                let who = Who::Trunk(trunk.id.clone());
                accounts.insert(auth.user.clone(), Account { ha1, who });
            }
        }
        let limits = &config.limits;
        let lifetime_ms = u64::try_from(config.timers.nonce_lifetime.as_millis());
        Self {
            realm: config.realm.clone(),
            offered,
            accounts,
            decoy_ha1: hex(&rand::random::<[u8; 32]>()),
            nonces: NonceBook::new(
                rand::random(),
                lifetime_ms.unwrap_or(u64::MAX),
                limits.max_nonces,
            ),
            by_user: FailureCounter::new(
                limits.max_auth_failures,
                FAILURE_WINDOW_MS,
                limits.max_sources,
            ),
            by_address: FailureCounter::new(
                limits.max_auth_failures.saturating_mul(PER_ADDRESS_FACTOR),
                FAILURE_WINDOW_MS,
                limits.max_sources,
            ),
            proxies: config.proxies.clone(),
        }
    }

    /// Values of WWW-Authenticate, one header each, strongest first (RFC 3261 §22.4, RFC 8760 §2.4).
    pub(crate) fn challenges(&self, now: Timestamp, source: IpAddr, stale: bool) -> Vec<String> {
        let stale = if stale { ", stale=true" } else { "" };
        let challenge = |hash: &DigestHash| {
            let nonce = self.nonces.make(now, source, rand::random());
            format!(
                "Digest realm=\"{}\", nonce=\"{nonce}\", algorithm={hash}, qop=\"auth\"{stale}",
                self.realm
            )
        };
        self.offered.iter().map(challenge).collect()
    }

    /// Judges the credentials of a request; those for other realms are not ours to judge.
    pub(crate) fn verify(
        &mut self,
        now: Timestamp,
        source: IpAddr,
        method: &str,
        request_uri: &str,
        headers: &Headers,
    ) -> Verdict {
        let Some(auth) = self.credentials(headers) else {
            return Verdict::Challenge { stale: false };
        };
        let key = (source, auth.username.chars().take(64).collect::<String>());
        if self.is_blocked(now, &key) {
            return Verdict::Refused;
        }
        let account = self.accounts.get(&auth.username);
        let hash = auth.algorithm.hash;
        let known = account.and_then(|a| a.ha1.get(&hash));
        let expected = digest_response(DigestInput {
            algorithm: auth.algorithm,
            ha1: known.unwrap_or(&self.decoy_ha1),
            method,
            uri: &auth.uri,
            nonce: &auth.nonce,
            counted: auth
                .counted
                .as_ref()
                .map(|c| (c.nc_text.as_str(), c.cnonce.as_str())),
        });
        let right = constant_time_eq(expected.as_bytes(), auth.response.as_bytes());
        // An algorithm that was not offered is worth nothing, however right the digest is.
        let right = right && known.is_some() && self.offered.contains(&hash);
        let Some(account) = account.filter(|_| right && names_same(&auth.uri, request_uri)) else {
            self.by_user.failed(key, now);
            if !self.proxies.iter().any(|proxy| proxy.matches_ip(source)) {
                self.by_address.failed(source, now);
            }
            return Verdict::Challenge { stale: false };
        };
        let nc = auth.counted.as_ref().map(|c| c.nc);
        match self.nonces.take(now, source, &auth.nonce, nc) {
            NonceVerdict::Fresh => {
                self.by_user.succeeded(&key);
                Verdict::Verified(account.who.clone())
            }
            // The password is right, so the client may try again without asking its user: with a
            // replayed nonce, one that is too old, or one of the process before us.
            NonceVerdict::Stale | NonceVerdict::Foreign => Verdict::Challenge { stale: true },
        }
    }

    /// Whether the request carries credentials for our realm.
    pub(crate) fn has_credentials(&self, headers: &Headers) -> bool {
        self.credentials(headers).is_some()
    }

    /// Whether the request answers a challenge that went to this address and is not too old, from
    /// somebody who may still be wrong: then it is worth judging.
    pub(crate) fn is_answer(&self, now: Timestamp, source: IpAddr, headers: &Headers) -> bool {
        self.credentials(headers).is_some_and(|auth| {
            let key = (source, auth.username.chars().take(64).collect());
            self.nonces.is_current(now, source, &auth.nonce) && !self.is_blocked(now, &key)
        })
    }

    /// Those for our realm.
    fn credentials(&self, headers: &Headers) -> Option<Authorization> {
        message::headers_all(headers, "Authorization")
            .filter_map(|value| Authorization::parse(value).ok())
            .find(|auth| auth.realm == self.realm)
    }

    /// Too many failures, of this user there or of all users there; of a proxy's address the former
    /// only.
    fn is_blocked(&self, now: Timestamp, key: &(IpAddr, String)) -> bool {
        self.by_address.is_blocked(&key.0, now) || self.by_user.is_blocked(key, now)
    }
}

/// RFC 2617 §3.2.2.5: the digest must be for this request. Some clients (SIPp among them) sign the
/// server's address instead of the Request-URI, so host and port decide; that a digest is used once
/// is the nonce count's business.
fn names_same(digest_uri: &str, request_uri: &str) -> bool {
    if digest_uri == request_uri {
        return true;
    }
    match (SipUri::parse(digest_uri), SipUri::parse(request_uri)) {
        (Ok(a), Ok(b)) => a.same_host(&b),
        _ => false,
    }
}

impl Core {
    /// Judges a request. On anything but `Ok` the request has been answered.
    pub(crate) async fn authenticate(
        self: &Arc<Self>,
        transaction: &mut Transaction,
        source: SocketAddr,
    ) -> Option<Who> {
        let request: &Request = &transaction.original;
        let ip = source.ip().to_canonical();
        let (verdict, challenges) = {
            let mut authenticator = self
                .authenticator
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // The stack escapes percent signs again when it writes what it read.
            let uri = request.uri.to_string().replace("%25", "%");
            let method = request.method.to_string();
            let verdict = authenticator.verify(now(), ip, &method, &uri, &request.headers);
            let challenges = match verdict {
                Verdict::Challenge { stale } => authenticator.challenges(now(), ip, stale),
                Verdict::Verified(_) | Verdict::Refused => Vec::new(),
            };
            (verdict, challenges)
        };
        let mut response = match &verdict {
            Verdict::Verified(who) => {
                self.watch.proven(ip);
                return Some(who.clone());
            }
            Verdict::Challenge { .. } => self.response(request, 401, None),
            Verdict::Refused => {
                tracing::warn!(%source, "SIP log-in refused: too many failures");
                count_refused("log_in");
                self.response(request, 403, None)
            }
        };
        if !self.config.is_proxy(ip) {
            self.watch.unproven(ip);
        }
        for challenge in challenges {
            response
                .headers
                .push(header_of("WWW-Authenticate", challenge));
        }
        self.finish(transaction, response).await;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ExtensionAccount;
    use crate::digest::Algorithm;
    use switchhook_model::LegId;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn authenticator() -> Authenticator {
        Authenticator::new(&config())
    }

    fn config() -> SipConfig {
        let address = "127.0.0.1:5060".parse().expect("valid");
        let mut config = SipConfig::new(address, Arc::new(|| LegId::from_unique("1")));
        config.extensions.push(ExtensionAccount {
            extension: "2001".parse().expect("valid"),
            secret: AccountSecret::Password("pw".to_owned()),
        });
        config.limits.max_auth_failures = 3;
        config
    }

    fn headers(auth: &Authenticator, user: &str, password: &str, nc: u32, nonce: &str) -> Headers {
        headers_by("MD5", auth, [user, password], nc, nonce)
    }

    fn headers_by(
        algorithm: &str,
        auth: &Authenticator,
        [user, password]: [&str; 2],
        nc: u32,
        nonce: &str,
    ) -> Headers {
        let algorithm = Algorithm::by_name(algorithm).expect("known");
        let ha1 = algorithm.hash.ha1(user, &auth.realm, password);
        let nc = format!("{nc:08x}");
        let response = digest_response(DigestInput {
            algorithm,
            ha1: &ha1,
            method: "REGISTER",
            uri: "sip:h",
            nonce,
            counted: Some((&nc, "c")),
        });
        vec![header_of(
            "Authorization",
            format!(
                "Digest username=\"{user}\", realm=\"{}\", nonce=\"{nonce}\", uri=\"sip:h\", \
                 response=\"{response}\", algorithm={algorithm}, qop=auth, nc={nc}, cnonce=\"c\"",
                auth.realm
            ),
        )]
        .into()
    }

    fn nonce_of(auth: &Authenticator, now: Timestamp) -> String {
        let challenge = auth.challenges(now, HOME, false).remove(0);
        let (_, rest) = challenge.split_once("nonce=\"").expect("has one");
        rest.split('"').next().expect("closed").to_owned()
    }

    #[test]
    fn right_password_once_per_count() {
        let now = Timestamp::from_millis(1_000_000);
        let mut auth = authenticator();
        let nonce = nonce_of(&auth, now);
        let good = headers(&auth, "2001", "pw", 1, &nonce);
        let who = Verdict::Verified(Who::Extension("2001".parse().expect("valid")));
        assert_eq!(auth.verify(now, HOME, "REGISTER", "sip:h", &good), who);
        let again = auth.verify(now, HOME, "REGISTER", "sip:h", &good);
        assert_eq!(again, Verdict::Challenge { stale: true });
        let next = headers(&auth, "2001", "pw", 2, &nonce);
        assert_eq!(auth.verify(now, HOME, "REGISTER", "sip:h", &next), who);
    }

    #[test]
    fn unknown_users_and_wrong_passwords_are_treated_alike() {
        let now = Timestamp::from_millis(1_000_000);
        let mut auth = authenticator();
        for user in ["2001", "9999"] {
            let nonce = nonce_of(&auth, now);
            let mut answers = Vec::new();
            for nc in 1..=5 {
                let wrong = headers(&auth, user, "guess", nc, &nonce);
                answers.push(auth.verify(now, HOME, "REGISTER", "sip:h", &wrong));
            }
            let challenge = Verdict::Challenge { stale: false };
            assert_eq!(
                answers[..3],
                [challenge.clone(), challenge.clone(), challenge]
            );
            assert_eq!(answers[3..], [Verdict::Refused, Verdict::Refused]);
        }
    }

    #[test]
    fn only_answers_to_a_challenge_of_ours_are_worth_judging() {
        let now = Timestamp::from_millis(1_000_000);
        let mut auth = authenticator();
        let nonce = nonce_of(&auth, now);
        let guess = headers(&auth, "2001", "guess", 1, &nonce);
        assert!(auth.is_answer(now, HOME, &guess));
        assert!(!auth.is_answer(now, HOME, &Headers::default()));
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        assert!(!auth.is_answer(now, elsewhere, &guess));
        let next_day = Timestamp::from_millis(1_000_000 + 86_400_000);
        assert!(!auth.is_answer(next_day, HOME, &guess));
        for _ in 0..3 {
            auth.verify(now, HOME, "REGISTER", "sip:h", &guess);
        }
        assert!(!auth.is_answer(now, HOME, &guess), "a guess too many");
        let other = headers(&auth, "2005", "guess", 1, &nonce);
        assert!(auth.is_answer(now, HOME, &other));
    }

    #[test]
    fn a_digest_for_another_request_is_worthless() {
        let now = Timestamp::from_millis(1_000_000);
        let mut auth = authenticator();
        let nonce = nonce_of(&auth, now);
        let good = headers(&auth, "2001", "pw", 1, &nonce);
        let challenge = Verdict::Challenge { stale: false };
        assert_eq!(auth.verify(now, HOME, "INVITE", "sip:h", &good), challenge);
        assert_eq!(
            auth.verify(now, HOME, "REGISTER", "sip:elsewhere", &good),
            challenge
        );
        let none = Headers::default();
        assert_eq!(
            auth.verify(now, HOME, "REGISTER", "sip:h", &none),
            challenge
        );
    }

    #[test]
    fn offered_algorithms_and_no_others() {
        let now = Timestamp::from_millis(1_000_000);
        let mut config = config();
        config.limits.max_auth_failures = 100;
        config.digest = vec![DigestHash::Sha256, DigestHash::Sha512_256];
        let mut auth = Authenticator::new(&config);
        let challenges = auth.challenges(now, HOME, false);
        assert_eq!(challenges.len(), 2);
        assert!(challenges[0].contains("algorithm=SHA-512-256,"));
        assert!(challenges[1].contains("algorithm=SHA-256,"));
        for (algorithm, welcome) in [
            ("SHA-256", true),
            ("SHA-512-256", true),
            ("SHA-256-sess", true),
            ("MD5", false),
            ("MD5-sess", false),
        ] {
            let nonce = nonce_of(&auth, now);
            let headers = headers_by(algorithm, &auth, ["2001", "pw"], 1, &nonce);
            let verdict = auth.verify(now, HOME, "REGISTER", "sip:h", &headers);
            assert_eq!(
                matches!(verdict, Verdict::Verified(_)),
                welcome,
                "{algorithm}"
            );
            // The same nonce with the same count by another algorithm is a replay all the same.
            let other = headers_by("SHA-256", &auth, ["2001", "pw"], 1, &nonce);
            let again = auth.verify(now, HOME, "REGISTER", "sip:h", &other);
            assert_eq!(again == Verdict::Challenge { stale: true }, welcome);
        }
    }

    #[test]
    fn stored_ha1_decides_what_is_offered() {
        let now = Timestamp::from_millis(1_000_000);
        let mut config = config();
        config.digest = DigestHash::STRONGEST_FIRST.to_vec();
        let md5 = DigestHash::Md5.ha1("2001", &config.realm, "pw");
        config.extensions[0].secret = AccountSecret::Ha1(md5.to_uppercase());
        let mut auth = Authenticator::new(&config);
        assert_eq!(auth.offered, [DigestHash::Md5]);
        let nonce = nonce_of(&auth, now);
        let good = headers(&auth, "2001", "pw", 1, &nonce);
        let verdict = auth.verify(now, HOME, "REGISTER", "sip:h", &good);
        assert!(matches!(verdict, Verdict::Verified(_)));
        // With an HA1 for each they are all offered again.
        let all = DigestHash::STRONGEST_FIRST;
        let all = all.map(|hash| (hash, hash.ha1("2001", &config.realm, "pw")));
        config.extensions[0].secret = AccountSecret::Ha1s(all.to_vec());
        let mut auth = Authenticator::new(&config);
        for hash in DigestHash::STRONGEST_FIRST {
            let nonce = nonce_of(&auth, now);
            let good = headers_by(hash.name(), &auth, ["2001", "pw"], 1, &nonce);
            let verdict = auth.verify(now, HOME, "REGISTER", "sip:h", &good);
            assert!(matches!(verdict, Verdict::Verified(_)), "{hash}");
        }
        config.digest = vec![DigestHash::Sha256];
        config.extensions[0].secret = AccountSecret::Ha1(md5);
        let error = offered_hashes(&config).expect_err("nothing is left");
        assert!(error.to_string().contains("2001"), "{error}");
    }
}
