//! Who signed a webhook: `X-Twilio-Signature`, made and checked.
//!
//! What belongs here: the signed text, its variants, the comparison. What does not: headers of a
//! web framework, and replay: a valid signature says nothing about it
//! ([`webhook::idempotency_key`](super::webhook::idempotency_key)).
//!
//! The signed text is the URL as Twilio called it and, of a form, each name with its values, sorted,
//! without separators. The key is the auth token of the account that owns the call.
//! <https://www.twilio.com/docs/usage/security#validating-requests>

mod base;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::form::Params;
use crate::{ProviderConfigError, Secret};
use base::Base;

/// The query parameter with the SHA-256 of a body that is not a form, in hexadecimal.
const BODY_HASH: &str = "bodySHA256";

/// A request as it came, as far as it is signed.
#[derive(Clone, Copy, Default)]
pub struct Signed<'a> {
    /// The request target byte by byte as received: `/twilio/voice?a=b%20c`. Neither decoded nor
    /// encoded again.
    pub path_and_query: &'a str,
    /// The parameters of a form body. `None` for GET, whose parameters stand in the query.
    pub form: Option<&'a Params>,
    /// The body, byte by byte, if it is not a form. It needs `bodySHA256` in the query.
    pub json_body: Option<&'a [u8]>,
    /// `X-Twilio-Signature`.
    pub signature: Option<&'a str>,
    /// `X-Twilio-Webhooks-Signature-Settings`, sent with shared keys.
    pub settings: Option<&'a str>,
    /// The request upgrades to a websocket: Twilio signed a `wss://` URL.
    pub is_websocket: bool,
}

impl std::fmt::Debug for Signed<'_> {
    /// Nothing of the query or the body: they hold numbers and words.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path_and_query.split('?').next();
        f.debug_struct("Signed")
            .field("path", &path.unwrap_or(""))
            .field("signed", &self.signature.is_some())
            .field("is_websocket", &self.is_websocket)
            .finish_non_exhaustive()
    }
}

/// Why a request is not taken for Twilio's. Answer 403 and change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    #[error(
        "the request has no X-Twilio-Signature; it is not from Twilio, or a proxy drops the header"
    )]
    Missing,
    #[error(
        "the signature is not that of this URL and these parameters; the public base URL must be the one Twilio calls, the auth token that of the account that owns the call, and no proxy may change the path"
    )]
    Wrong,
    #[error("the body is not the one that was signed; a proxy may have changed it")]
    BodyHash,
    #[error(
        "the signature was made with a shared key that is not configured; add it, or sign with the auth token"
    )]
    UnknownKey,
    #[error("the signature was made by an algorithm other than HMAC_SHA1 and HMAC_SHA256")]
    UnknownAlgorithm,
}

/// Which key signed a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningKey {
    /// The auth token at this place of the list. Other than 0: the token was rotated.
    Token(usize),
    /// The shared key with this id.
    Shared(String),
}

/// Which form of the URL was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UrlForm {
    /// The configured base URL and the request target, as they are, or without port, or with the
    /// scheme's own port: Twilio is not consistent about it.
    Plain,
    /// A websocket's path with its last slash added or removed.
    Slash,
    /// The query as the legacy serialiser of Node.js writes it.
    LegacyQuery,
    /// `https:` in place of `wss:`.
    Https,
}

/// A request is Twilio's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    pub key: SigningKey,
    pub form: UrlForm,
}

impl Matched {
    /// Right, but not as documented; worth a warning.
    pub fn is_odd(&self) -> bool {
        match self.form {
            UrlForm::Plain | UrlForm::Slash | UrlForm::LegacyQuery => false,
            UrlForm::Https => true,
        }
    }
}

/// What may have signed a request.
type Keys<'a> = Vec<(SigningKey, &'a Secret)>;

/// Checks signatures against the URL under which Twilio knows us.
#[derive(Debug, Clone)]
pub struct Verifier {
    base: Base,
    tokens: Vec<Secret>,
    shared_keys: BTreeMap<String, Secret>,
}

impl Verifier {
    /// A verifier for requests below `public_base_url` (`https://gw.example.com`), which may have a
    /// port, a path that a proxy removes, and the user name and password Twilio is to log in with.
    /// `tokens` are auth tokens; two while one replaces the other. `shared_keys` by their id
    /// (`webhooks_sharedkey_…`).
    ///
    /// # Errors
    /// If the URL cannot be read, or there is neither token nor key.
    pub fn new(
        public_base_url: &str,
        tokens: Vec<Secret>,
        shared_keys: BTreeMap<String, Secret>,
    ) -> Result<Self, ProviderConfigError> {
        // An empty key would accept what anybody can sign.
        let empty = tokens
            .iter()
            .chain(shared_keys.values())
            .any(Secret::is_empty);
        if empty || (tokens.is_empty() && shared_keys.is_empty()) {
            return Err(ProviderConfigError::Value {
                field: "auth_token",
                given: String::new(),
                problem: "it is empty; without it nobody can tell Twilio's webhooks from others"
                    .into(),
            });
        }
        Ok(Self {
            base: Base::read(public_base_url)?,
            tokens,
            shared_keys,
        })
    }

    /// Whether Twilio signed this request.
    ///
    /// # Errors
    /// [`Unsigned`] says why not. Takes the same time for all wrong signatures of one length.
    pub fn verify(&self, request: &Signed<'_>) -> Result<Matched, Unsigned> {
        let signature = request.signature.ok_or(Unsigned::Missing)?;
        let (algorithm, keys) = self.keys(request.settings)?;
        check_body(request)?;
        let signature = STANDARD.decode(signature).map_err(|_| Unsigned::Wrong)?;
        let parameters = request.form.map(signed_parameters).unwrap_or_default();
        for (form, url) in self
            .base
            .candidates(request.path_and_query, request.is_websocket)
        {
            for (key, secret) in &keys {
                if algorithm.verify(secret, &url, &parameters, &signature) {
                    let key = key.clone();
                    return Ok(Matched { key, form });
                }
            }
        }
        Err(Unsigned::Wrong)
    }

    /// What may have signed a request with this settings header:
    /// `key=webhooks_sharedkey_…,algorithm=HMAC_SHA256`. Without a key it is the auth token, without
    /// an algorithm HMAC-SHA1. <https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys>
    fn keys(&self, settings: Option<&str>) -> Result<(Algorithm, Keys<'_>), Unsigned> {
        let setting = |wanted: &str| {
            settings?.split(',').find_map(|part| {
                let (name, value) = part.split_once('=')?;
                (name.trim() == wanted).then_some(value.trim())
            })
        };
        let algorithm = match setting("algorithm") {
            None | Some("HMAC_SHA1") => Algorithm::Sha1,
            Some("HMAC_SHA256") => Algorithm::Sha256,
            Some(_) => return Err(Unsigned::UnknownAlgorithm),
        };
        let keys = match setting("key") {
            None => {
                let tokens = self.tokens.iter().enumerate();
                tokens
                    .map(|(i, token)| (SigningKey::Token(i), token))
                    .collect()
            }
            Some(id) => {
                let secret = self.shared_keys.get(id).ok_or(Unsigned::UnknownKey)?;
                vec![(SigningKey::Shared(id.to_owned()), secret)]
            }
        };
        Ok((algorithm, keys))
    }
}

/// The hash in the query, which is signed, against the body, which is not. A body that is neither a
/// form nor hashed would be nobody's.
fn check_body(request: &Signed<'_>) -> Result<(), Unsigned> {
    let query = request
        .path_and_query
        .split_once('?')
        .map_or("", |(_, q)| q);
    let hash = url::form_urlencoded::parse(query.as_bytes())
        .find_map(|(name, value)| (name == BODY_HASH).then_some(value));
    let body = request.json_body.filter(|body| !body.is_empty());
    match (hash, body) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(Unsigned::BodyHash),
        (Some(hash), body) => {
            if request.form.is_some() && body.is_none() {
                return Err(Unsigned::BodyHash);
            }
            if body_hash(body.unwrap_or_default()).eq_ignore_ascii_case(&hash) {
                Ok(())
            } else {
                Err(Unsigned::BodyHash)
            }
        }
    }
}

fn body_hash(body: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(body) {
        write!(hex, "{byte:02x}").expect("a String takes everything");
    }
    hex
}

/// Names sorted by code point, each followed by its distinct values, sorted.
fn signed_parameters(params: &Params) -> String {
    let mut pairs: Vec<_> = params.iter().collect();
    // UTF-8 sorts as code points do.
    pairs.sort_unstable();
    pairs.dedup();
    let mut text = String::new();
    for (name, value) in pairs {
        text.push_str(name);
        text.push_str(value);
    }
    text
}

#[derive(Debug, Clone, Copy)]
enum Algorithm {
    Sha1,
    Sha256,
}

impl Algorithm {
    fn verify(self, key: &Secret, url: &str, parameters: &str, signature: &[u8]) -> bool {
        match self {
            Self::Sha1 => mac::<Hmac<Sha1>>(key, url, parameters)
                .verify_slice(signature)
                .is_ok(),
            Self::Sha256 => mac::<Hmac<Sha256>>(key, url, parameters)
                .verify_slice(signature)
                .is_ok(),
        }
    }

    fn sign(self, key: &Secret, url: &str, parameters: &str) -> String {
        // The fragment holds connection settings and stays with Twilio.
        let url = url.split('#').next().unwrap_or(url);
        match self {
            Self::Sha1 => STANDARD.encode(
                mac::<Hmac<Sha1>>(key, url, parameters)
                    .finalize()
                    .into_bytes(),
            ),
            Self::Sha256 => STANDARD.encode(
                mac::<Hmac<Sha256>>(key, url, parameters)
                    .finalize()
                    .into_bytes(),
            ),
        }
    }
}

fn mac<M: Mac + KeyInit>(key: &Secret, url: &str, parameters: &str) -> M {
    let mut mac = <M as KeyInit>::new_from_slice(key.expose().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(url.as_bytes());
    mac.update(parameters.as_bytes());
    mac
}

/// The signature Twilio sends with a form POST to `url`.
pub fn sign_form(token: &Secret, url: &str, params: &Params) -> String {
    Algorithm::Sha1.sign(token, url, &signed_parameters(params))
}

/// The signature of a GET, or of a websocket upgrade (`wss://…`): the URL with its query.
pub fn sign_url(token: &Secret, url: &str) -> String {
    Algorithm::Sha1.sign(token, url, "")
}

/// The URL with the hash of `body`, and the signature, as Twilio sends a body that is not a form.
pub fn sign_body(token: &Secret, url: &str, body: &[u8]) -> (String, String) {
    let url = url.split('#').next().unwrap_or(url);
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}{BODY_HASH}={}", body_hash(body));
    let signature = sign_url(token, &url);
    (url, signature)
}

/// The signature of a form POST made with a shared key: HMAC-SHA256.
pub fn sign_form_sha256(key: &Secret, url: &str, params: &Params) -> String {
    Algorithm::Sha256.sign(key, url, &signed_parameters(params))
}

#[cfg(test)]
mod tests;
