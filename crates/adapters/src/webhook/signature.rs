//! Standard Webhooks signatures: HMAC-SHA256 over `id.timestamp.body`, sent as `v1,` and base64.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::Secret;

/// A signing key made from a secret of the form `whsec_` and base64.
#[derive(Clone)]
pub struct SigningKey(Vec<u8>);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

impl SigningKey {
    /// Reads a secret: `whsec_` and the base64 of 24 to 64 bytes, as the specification asks.
    ///
    /// # Errors
    /// Says what is wrong, without the secret.
    pub fn from_secret(secret: &Secret) -> Result<Self, String> {
        let encoded = secret
            .expose()
            .strip_prefix("whsec_")
            .ok_or("it does not begin with whsec_")?;
        let key = STANDARD
            .decode(encoded)
            .map_err(|_| "the part after whsec_ is not base64".to_owned())?;
        if !(24..=64).contains(&key.len()) {
            return Err(format!("it holds {} bytes", key.len()));
        }
        Ok(Self(key))
    }

    /// The value of the header `webhook-signature` for one delivery.
    ///
    /// `timestamp` is in seconds since 1970.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(timestamp.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vector_is_reproduced() {
        let key = SigningKey::from_secret(&Secret::new(
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        ))
        .expect("a valid secret");
        let body = r#"{"object":"event","id":"evt_1","type":"realtime.call.incoming","created_at":1750287018,"data":{"call_id":"rtc_1","sip_headers":[{"name":"From","value":"sip:+12025550100@sip.example.com"}]}}"#;
        assert_eq!(
            key.sign("wh_1", 1_750_287_018, body.as_bytes()),
            "v1,T+QI9VA81jpmm+vQ9xa6h+jqftaO9wCiYP2VyjKtYaU="
        );
    }

    #[test]
    fn unusable_secrets_are_explained_without_being_shown() {
        for (secret, problem) in [
            ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "whsec_"),
            ("whsec_???", "base64"),
            ("whsec_AAEC", "3 bytes"),
        ] {
            let error = SigningKey::from_secret(&Secret::new(secret)).expect_err(secret);
            assert!(error.contains(problem), "{error}");
            assert!(!error.contains("AAEC"), "{error}");
        }
    }
}
