//! Answering challenges as a client (RFC 3261 §22.2, §22.3).

use super::{Challenge, DigestHash, DigestInput, digest_response};

/// What we log in with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
    /// Realm and hash of the answer before: a weaker hash for the same realm is not answered, since
    /// whoever asks for it has seen that we can do better.
    pub floor: Option<(String, DigestHash)>,
}

impl Credentials {
    /// Credentials that were not used yet.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            password: password.into(),
            floor: None,
        }
    }

    fn accepts(&self, challenge: &Challenge) -> bool {
        match &self.floor {
            Some((realm, least)) if *realm == challenge.realm => challenge.algorithm.hash >= *least,
            Some(_) | None => true,
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({:?}, …)", self.user)
    }
}

/// The header value that answers the strongest challenge we can compute, and that challenge; of
/// equals the first. The ones we cannot (unknown algorithms, `auth-int` only) are passed over.
///
/// RFC 8760 §2.4 takes the topmost instead. A server writes its strongest on top, so that is the
/// same one, unless somebody on the way has changed the order.
pub fn answer_challenges<'a>(
    challenges: impl Iterator<Item = &'a str>,
    credentials: &Credentials,
    method: &str,
    uri: &str,
    cnonce: &str,
) -> Option<(String, Challenge)> {
    let challenge = challenges
        .filter_map(|c| Challenge::parse(c).ok())
        .filter(|c| credentials.accepts(c))
        .reduce(|best, c| {
            if c.algorithm.hash > best.algorithm.hash {
                c
            } else {
                best
            }
        })?;
    let hash = challenge.algorithm.hash;
    let ha1 = hash.ha1(&credentials.user, &challenge.realm, &credentials.password);
    // Every answer is to a new nonce, so the count is always 1.
    let nc = "00000001";
    let response = digest_response(DigestInput {
        algorithm: challenge.algorithm,
        ha1: &ha1,
        method,
        uri,
        nonce: &challenge.nonce,
        counted: challenge.qop_auth.then_some((nc, cnonce)),
    });
    let mut value = format!(
        "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\"",
        quote(&credentials.user),
        quote(&challenge.realm),
        quote(&challenge.nonce),
        quote(uri),
    );
    if challenge.algorithm_named {
        value.push_str(&format!(", algorithm={}", challenge.algorithm));
    }
    if challenge.qop_auth {
        value.push_str(&format!(", qop=auth, nc={nc}, cnonce={}", quote(cnonce)));
    }
    if let Some(opaque) = &challenge.opaque {
        value.push_str(&format!(", opaque={}", quote(opaque)));
    }
    Some((value, challenge))
}

fn quote(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).collect();
    format!("\"{}\"", clean.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::super::Authorization;
    use super::*;

    fn answer(offered: &[&str], credentials: &Credentials) -> Option<(String, Challenge)> {
        answer_challenges(
            offered.iter().copied(),
            credentials,
            "INVITE",
            "sip:x@h",
            "cn",
        )
    }

    #[test]
    fn the_strongest_challenge_we_know_is_answered() {
        let credentials = Credentials::new("me", "pw");
        let offered = [
            r#"Digest realm="r", nonce="n1", algorithm=AKAv1-MD5, qop="auth""#,
            r#"Digest realm="r", nonce="n2", algorithm=MD5, qop="auth", opaque="o\"""#,
            r#"Digest realm="r", nonce="n3", algorithm=SHA-256, qop="auth""#,
            r#"Digest realm="r", nonce="n4", algorithm=SHA-512-256-sess, qop="auth", opaque="o\"""#,
            r#"Digest realm="r", nonce="n5", algorithm=SHA-512-256, qop="auth-int""#,
        ];
        for (count, nonce, algorithm) in [
            (2, "n2", "MD5"),
            (3, "n3", "SHA-256"),
            (5, "n4", "SHA-512-256-sess"),
        ] {
            let (value, challenge) = answer(&offered[..count], &credentials).expect("one fits");
            assert_eq!(challenge.nonce, nonce);
            let auth = Authorization::parse(&value).expect("we write what we read");
            assert_eq!(auth.algorithm.to_string(), algorithm);
            let counted = auth.counted.expect("qop=auth");
            let expected = digest_response(DigestInput {
                algorithm: auth.algorithm,
                ha1: &auth.algorithm.hash.ha1("me", "r", "pw"),
                method: "INVITE",
                uri: "sip:x@h",
                nonce,
                counted: Some((&counted.nc_text, &counted.cnonce)),
            });
            assert_eq!(auth.response, expected);
            assert_eq!(value.contains(r#"opaque="o\"""#), count != 3, "{value}");
        }
        assert!(answer(&offered[..1], &credentials).is_none());
    }

    #[test]
    fn a_weaker_hash_is_not_answered_after_a_stronger_one() {
        let mut credentials = Credentials::new("me", "pw");
        credentials.floor = Some(("r".to_owned(), DigestHash::Sha256));
        let weaker = [r#"Digest realm="r", nonce="n", qop="auth""#];
        assert!(answer(&weaker, &credentials).is_none());
        let elsewhere = [r#"Digest realm="other", nonce="n", qop="auth""#];
        assert!(answer(&elsewhere, &credentials).is_some());
        let same = [r#"Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth""#];
        assert!(answer(&same, &credentials).is_some());
    }
}
