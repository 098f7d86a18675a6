//! Reading Authorization, Proxy-Authorization, WWW-Authenticate and Proxy-Authenticate.

use super::{Algorithm, DigestHash};
use crate::uri::unquote;

/// Longest credentials or challenge header we read, in bytes.
const MAX_HEADER_BYTES: usize = 4096;

/// Why a digest header is not one. Names the parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigestParseError {
    #[error("scheme is not Digest")]
    Scheme,
    #[error("header is longer than {MAX_HEADER_BYTES} bytes")]
    TooLong,
    #[error("a quoted value is not closed")]
    Quote,
    #[error("parameter {0} is missing")]
    Missing(&'static str),
    #[error("parameter {0} is malformed")]
    Malformed(&'static str),
    #[error("parameter {0} stands twice")]
    Twice(&'static str),
    #[error("algorithm is not supported")]
    Algorithm,
    #[error("qop is not supported")]
    Qop,
    #[error("a hashed user name was not offered")]
    UserHash,
}

/// Credentials in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    pub username: String,
    pub realm: String,
    pub nonce: String,
    pub uri: String,
    /// Lower-case hex digits, as many as the algorithm makes.
    pub response: String,
    pub algorithm: Algorithm,
    /// With `qop=auth`: the count as written, its value, and the client's nonce.
    pub counted: Option<Counted>,
}

/// `nc` and `cnonce` of `qop=auth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    pub nc_text: String,
    pub nc: u32,
    pub cnonce: String,
}

impl Authorization {
    /// Reads the value of an Authorization or Proxy-Authorization header.
    pub fn parse(value: &str) -> Result<Self, DigestParseError> {
        let params = digest_params(value)?;
        let take =
            |name: &'static str| lookup(&params, name)?.ok_or(DigestParseError::Missing(name));
        let algorithm = read_algorithm(lookup(&params, "algorithm")?.as_deref())?;
        let response = take("response")?.to_ascii_lowercase();
        let digits = algorithm.hash.hex_digits();
        if response.len() != digits || !response.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(DigestParseError::Malformed("response"));
        }
        let counted = match lookup(&params, "qop")? {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                let nc_text = take("nc")?;
                if nc_text.len() != 8 {
                    return Err(DigestParseError::Malformed("nc"));
                }
                let nc = u32::from_str_radix(&nc_text, 16)
                    .map_err(|_| DigestParseError::Malformed("nc"))?;
                Some(Counted {
                    nc_text,
                    nc,
                    cnonce: take("cnonce")?,
                })
            }
            Some(_) => return Err(DigestParseError::Qop),
        };
        if algorithm.session && counted.is_none() {
            // HA1 is made with it.
            return Err(DigestParseError::Missing("cnonce"));
        }
        // RFC 7616 §3.4.4: only when the server says that it can look such names up.
        if lookup(&params, "userhash")?.is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            return Err(DigestParseError::UserHash);
        }
        Ok(Self {
            username: take("username")?,
            realm: take("realm")?,
            nonce: take("nonce")?,
            uri: take("uri")?,
            response,
            algorithm,
            counted,
        })
    }
}

/// A challenge we can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    pub realm: String,
    pub nonce: String,
    pub opaque: Option<String>,
    /// Whether the server offered `qop=auth`.
    pub qop_auth: bool,
    pub stale: bool,
    pub algorithm: Algorithm,
    /// Whether the server named the algorithm, so that the answer names it too.
    pub algorithm_named: bool,
}

impl Challenge {
    /// Reads the value of a WWW-Authenticate or Proxy-Authenticate header.
    pub fn parse(value: &str) -> Result<Self, DigestParseError> {
        let params = digest_params(value)?;
        let take =
            |name: &'static str| lookup(&params, name)?.ok_or(DigestParseError::Missing(name));
        let named = lookup(&params, "algorithm")?;
        let qop_auth = match lookup(&params, "qop")? {
            None => false,
            Some(list) => {
                let offered = list
                    .split(',')
                    .any(|q| q.trim().eq_ignore_ascii_case("auth"));
                if !offered {
                    return Err(DigestParseError::Qop);
                }
                true
            }
        };
        let algorithm = read_algorithm(named.as_deref())?;
        if algorithm.session && !qop_auth {
            // Without qop there is no cnonce to make HA1 with.
            return Err(DigestParseError::Qop);
        }
        Ok(Self {
            realm: take("realm")?,
            nonce: take("nonce")?,
            opaque: lookup(&params, "opaque")?,
            qop_auth,
            stale: lookup(&params, "stale")?.is_some_and(|s| s.eq_ignore_ascii_case("true")),
            algorithm,
            algorithm_named: named.is_some(),
        })
    }
}

fn read_algorithm(name: Option<&str>) -> Result<Algorithm, DigestParseError> {
    match name {
        None => Ok(Algorithm::plain(DigestHash::Md5)),
        Some(name) => Algorithm::by_name(name).ok_or(DigestParseError::Algorithm),
    }
}

/// Parameters of one Digest header, names as written, values without quotes.
fn digest_params(value: &str) -> Result<Vec<(&str, String)>, DigestParseError> {
    if value.len() > MAX_HEADER_BYTES {
        return Err(DigestParseError::TooLong);
    }
    let value = value.trim();
    let (scheme, mut rest) = value
        .split_once(char::is_whitespace)
        .ok_or(DigestParseError::Scheme)?;
    if !scheme.eq_ignore_ascii_case("Digest") {
        return Err(DigestParseError::Scheme);
    }
    let mut params = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Ok(params);
        }
        let (name, after) = rest
            .split_once('=')
            .ok_or(DigestParseError::Malformed("name=value"))?;
        let after = after.trim_start();
        let (text, next) = if let Some(quoted) = after.strip_prefix('"') {
            unquote(quoted).ok_or(DigestParseError::Quote)?
        } else {
            let end = after.find(',').unwrap_or(after.len());
            (after[..end].trim().to_owned(), &after[end..])
        };
        params.push((name.trim(), text));
        rest = next;
    }
}

/// The value of a parameter that may stand once.
fn lookup(
    params: &[(&str, String)],
    name: &'static str,
) -> Result<Option<String>, DigestParseError> {
    let mut found = params.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
    let first = found.next();
    if found.next().is_some() {
        return Err(DigestParseError::Twice(name));
    }
    Ok(first.map(|(_, value)| value.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"Digest username="2001", realm="r, \"x\"", nonce="n",uri="sip:h" ,
        response="0123456789abcdef0123456789ABCDEF", algorithm=MD5, cnonce="c", qop=auth, nc=0000000a"#;

    #[test]
    fn credentials_in_the_forms_phones_use() {
        let auth = Authorization::parse(GOOD).expect("valid");
        assert_eq!(auth.realm, "r, \"x\"");
        assert_eq!(auth.counted.as_ref().map(|c| c.nc), Some(10));
        let quoted = GOOD.replace("qop=auth", "qop=\"auth\"");
        assert!(Authorization::parse(&quoted).is_ok());
        let legacy = r#"digest username="a",realm="r",nonce="n",uri="u",response="00000000000000000000000000000000""#;
        assert_eq!(Authorization::parse(legacy).expect("valid").counted, None);
    }

    #[test]
    fn broken_credentials_name_the_parameter() {
        for (text, error) in [
            ("", DigestParseError::Scheme),
            ("Basic QQ==", DigestParseError::Scheme),
            ("Digest username=\"a", DigestParseError::Quote),
            ("Digest x", DigestParseError::Malformed("name=value")),
            ("Digest realm=\"r\"", DigestParseError::Missing("response")),
            (
                "Digest response=\"zz\"",
                DigestParseError::Malformed("response"),
            ),
            (
                "Digest algorithm=SHA-1, response=\"zz\"",
                DigestParseError::Algorithm,
            ),
        ] {
            assert_eq!(Authorization::parse(text), Err(error), "{text}");
        }
        // As many digits as the algorithm makes, no fewer: a short one would be a weaker secret.
        let short_sha = GOOD.replace("MD5", "SHA-256");
        assert_eq!(
            Authorization::parse(&short_sha),
            Err(DigestParseError::Malformed("response"))
        );
        let session = GOOD
            .replace("algorithm=MD5", "algorithm=MD5-sess")
            .replace("qop=auth, nc=0000000a", "x=y");
        assert_eq!(
            Authorization::parse(&session),
            Err(DigestParseError::Missing("cnonce"))
        );
        let hashed = format!("{GOOD}, userhash=true");
        assert_eq!(
            Authorization::parse(&hashed),
            Err(DigestParseError::UserHash)
        );
        let twice = format!("{GOOD}, nonce=\"m\"");
        assert_eq!(
            Authorization::parse(&twice),
            Err(DigestParseError::Twice("nonce"))
        );
        let short = GOOD.replace("nc=0000000a", "nc=1");
        assert_eq!(
            Authorization::parse(&short),
            Err(DigestParseError::Malformed("nc"))
        );
        let int = GOOD.replace("qop=auth", "qop=auth-int");
        assert_eq!(Authorization::parse(&int), Err(DigestParseError::Qop));
        let long = format!("{GOOD}, x=\"{}\"", "a".repeat(MAX_HEADER_BYTES));
        assert_eq!(Authorization::parse(&long), Err(DigestParseError::TooLong));
    }

    #[test]
    fn challenges_we_can_and_cannot_answer() {
        let both =
            Challenge::parse(r#"Digest realm="r", nonce="n", qop="auth-int,auth", stale=TRUE"#)
                .expect("valid");
        assert!(both.qop_auth && both.stale && !both.algorithm_named);
        assert_eq!(
            Challenge::parse(r#"Digest realm="r", nonce="n", qop="auth-int""#),
            Err(DigestParseError::Qop)
        );
        assert_eq!(
            Challenge::parse(r#"Digest realm="r", nonce="n", algorithm=MD5-sess"#),
            Err(DigestParseError::Qop),
            "without qop there is no cnonce"
        );
        assert_eq!(
            Challenge::parse(r#"Digest realm="r", nonce="n", algorithm=AKAv1-MD5"#),
            Err(DigestParseError::Algorithm)
        );
        let session =
            Challenge::parse(r#"Digest realm="r", nonce="n", algorithm=SHA-256-sess, qop="auth""#)
                .expect("valid");
        assert!(session.algorithm.session);
    }
}
