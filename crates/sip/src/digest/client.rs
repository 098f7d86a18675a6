//! Answering challenges as a client (RFC 3261 §22.2, §22.3).

use super::{Challenge, DigestInput, digest_response, ha1};

/// What we log in with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({:?}, …)", self.user)
    }
}

/// The header value that answers the first challenge we can compute, and that challenge. The ones
/// we cannot (SHA-256, `-sess`, `auth-int` only) are passed over (RFC 8760 §2.4).
pub fn answer_challenges<'a>(
    challenges: impl Iterator<Item = &'a str>,
    credentials: &Credentials,
    method: &str,
    uri: &str,
    cnonce: &str,
) -> Option<(String, Challenge)> {
    let challenge = challenges.filter_map(|c| Challenge::parse(c).ok()).next()?;
    let ha1 = ha1(&credentials.user, &challenge.realm, &credentials.password);
    // Every answer is to a new nonce, so the count is always 1.
    let nc = "00000001";
    let response = digest_response(DigestInput {
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
        value.push_str(", algorithm=MD5");
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

    #[test]
    fn the_first_challenge_we_know_is_answered() {
        let credentials = Credentials {
            user: "me".to_owned(),
            password: "pw".to_owned(),
        };
        let offered = [
            r#"Digest realm="r", nonce="n1", algorithm=SHA-256, qop="auth""#,
            r#"Digest realm="r", nonce="n2", algorithm=MD5, qop="auth", opaque="o\"""#,
        ];
        let (value, challenge) =
            answer_challenges(offered.into_iter(), &credentials, "INVITE", "sip:x@h", "cn")
                .expect("one is MD5");
        assert_eq!(challenge.nonce, "n2");
        let auth = Authorization::parse(&value).expect("we write what we read");
        let counted = auth.counted.expect("qop=auth");
        let expected = digest_response(DigestInput {
            ha1: &ha1("me", "r", "pw"),
            method: "INVITE",
            uri: "sip:x@h",
            nonce: "n2",
            counted: Some((&counted.nc_text, &counted.cnonce)),
        });
        assert_eq!(auth.response, expected);
        assert!(value.contains(r#"opaque="o\"""#), "{value}");
        let none = answer_challenges(offered[..1].iter().copied(), &credentials, "A", "u", "c");
        assert!(none.is_none());
    }
}
