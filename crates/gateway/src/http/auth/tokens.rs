//! Signed tokens: JWT (RFC 7519) with HS256, nothing else.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use switchhook_model::Timestamp;

use super::role::Role;

const ISSUER: &str = "switchhook";
const AUDIENCE: &str = "switchhook-api";

/// What a token is for. One kind is never accepted where the other is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenUse {
    Access,
    Refresh,
}

/// What a token says (RFC 7519 §4.1, and ours).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::http) struct Claims {
    iss: String,
    aud: String,
    pub sub: String,
    pub role: Role,
    #[serde(rename = "use")]
    pub token_use: TokenUse,
    /// Seconds since the epoch.
    pub iat: i64,
    /// Seconds since the epoch.
    pub exp: i64,
    jti: String,
    /// [`switchhook_store::UserRow::credential_version`]; missing in tokens made by the command line.
    pub ver: Option<u32>,
}

/// The key is shorter than 256 bits (RFC 7518 §3.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "SWITCHHOOK_SIGNING_KEY has {length} characters; set one of at least 32, for example with: openssl rand -hex 32"
)]
pub struct WeakKey {
    length: usize,
}

/// Makes and checks tokens.
pub struct TokenKeys {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl std::fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKeys(hidden)")
    }
}

impl TokenKeys {
    /// # Errors
    /// If the key is too short to be safe.
    pub fn new(signing_key: &str) -> Result<Self, WeakKey> {
        let key = signing_key.trim().as_bytes();
        if key.len() < 32 {
            return Err(WeakKey { length: key.len() });
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Checked against our own clock in `read`.
        validation.validate_exp = false;
        Ok(Self {
            encoding: EncodingKey::from_secret(key),
            decoding: DecodingKey::from_secret(key),
            validation,
        })
    }

    /// A token for `switchhook token`: no user stands behind it, so only its time ends it.
    pub fn issue(&self, name: &str, role: Role, now: Timestamp, ttl: Duration) -> String {
        self.sign(name, role, TokenUse::Access, None, now, ttl)
    }

    pub(in crate::http) fn sign(
        &self,
        name: &str,
        role: Role,
        token_use: TokenUse,
        version: Option<u32>,
        now: Timestamp,
        ttl: Duration,
    ) -> String {
        let iat = now.as_millis().div_euclid(1000);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: name.to_owned(),
            role,
            token_use,
            iat,
            exp: iat.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)),
            jti: ulid::Ulid::generate().to_string().to_lowercase(),
            ver: version,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .expect("claims of plain texts and numbers can be encoded")
    }

    /// The claims of a token that is ours, for this use, and not over.
    pub(in crate::http) fn read(
        &self,
        token: &str,
        wanted: TokenUse,
        now: Timestamp,
    ) -> Result<Claims, TokenError> {
        // Ours have about 400 bytes.
        if token.len() > 2048 {
            return Err(TokenError::Invalid);
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|_| TokenError::Invalid)?
            .claims;
        if claims.token_use != wanted {
            return Err(TokenError::WrongUse);
        }
        if now.as_millis() >= claims.exp.saturating_mul(1000) {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::http) enum TokenError {
    #[error("the token is not one of this gateway")]
    Invalid,
    #[error("a refresh token is not accepted here, nor an access token for refreshing")]
    WrongUse,
    #[error("the token has expired; refresh it or sign in again")]
    Expired,
}
