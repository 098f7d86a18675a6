//! Whom to ring: numbers, SIP addresses and clients, and what is wrong with them.

/// Which noun, or which kind of address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Sip,
    Client,
}

/// Whom to ring.
#[derive(Clone)]
pub(crate) struct Target {
    pub kind: Kind,
    /// As written.
    pub address: String,
    pub caller_id: String,
    pub credentials: Option<(String, String)>,
}

impl Target {
    /// Errors: 13223, not a number in E.164.
    pub(in crate::carrier) fn number(text: &str, caller_id: String) -> Result<Self, (u32, String)> {
        let number: String = text.chars().filter(|c| !" -()".contains(*c)).collect();
        if !is_e164(&number) {
            return Err((13223, "<Number> holds no number in E.164".to_owned()));
        }
        Ok(Self {
            kind: Kind::Number,
            address: number,
            caller_id,
            credentials: None,
        })
    }

    /// Errors: 13243 bad SIP URI, 13250 longer than 255 characters, 13251 headers longer than 1024,
    /// 32113 a header that is the carrier's own.
    pub(in crate::carrier) fn sip(
        text: &str,
        caller_id: String,
        credentials: Option<(String, String)>,
    ) -> Result<Self, (u32, String)> {
        let uri = text.trim();
        let (address, headers) = uri.split_once('?').unwrap_or((uri, ""));
        let is_sip = address.starts_with("sip:") || address.starts_with("sips:");
        let host = address.split(['@', ':', ';']).nth(1).unwrap_or_default();
        if !is_sip || host.is_empty() || address.contains(char::is_whitespace) {
            return Err((13243, "<Sip> holds no SIP URI".to_owned()));
        }
        if address.len() >= 255 {
            return Err((
                13250,
                "the SIP URI is longer than 254 characters".to_owned(),
            ));
        }
        if headers.len() >= 1_024 {
            return Err((
                13251,
                "the SIP headers are longer than 1023 characters".to_owned(),
            ));
        }
        if headers
            .split('&')
            .any(|h| h.to_ascii_lowercase().starts_with("x-twilio"))
        {
            return Err((32113, "X-Twilio headers are reserved".to_owned()));
        }
        Ok(Self {
            kind: Kind::Sip,
            address: uri.to_owned(),
            caller_id,
            credentials,
        })
    }

    pub(in crate::carrier) fn client(identity: &str, caller_id: String) -> Self {
        Self {
            kind: Kind::Client,
            address: format!("client:{}", identity.trim()),
            caller_id,
            credentials: None,
        }
    }

    /// An address of the REST API: a number, `sip:` or `client:`.
    pub(in crate::carrier) fn of_address(
        to: &str,
        caller_id: &str,
        credentials: Option<(String, String)>,
    ) -> Result<Self, (u32, String)> {
        if let Some(identity) = to.strip_prefix("client:") {
            return Ok(Self::client(identity, caller_id.to_owned()));
        }
        if to.starts_with("sip:") || to.starts_with("sips:") {
            return Self::sip(to, caller_id.to_owned(), credentials);
        }
        Self::number(to, caller_id.to_owned())
    }
}

/// Formats: E.164.
pub(in crate::carrier) fn is_e164(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (2..=15).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.chars().all(|c| c.is_ascii_digit())
}

/// Without URI parameters and headers, so that a phone is found however it is dialled.
pub(in crate::carrier) fn plain(address: &str) -> String {
    let end = address.find([';', '?']).unwrap_or(address.len());
    address[..end].trim().to_owned()
}

/// The same user at any host: a phone plugged in as `sip:2001@*` is found wherever 2001 is dialled.
pub(in crate::carrier) fn anywhere(address: &str) -> String {
    match address.split_once('@') {
        Some((user, _)) if address.starts_with("sip") => format!("{user}@*"),
        Some(_) | None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_judged() {
        let sip = |uri: &str| Target::sip(uri, "x".into(), None).map(|t| plain(&t.address));
        assert_eq!(
            sip("sip:2001@pbx.example.com:5061;transport=tls?X-Ref=42"),
            Ok("sip:2001@pbx.example.com:5061".to_owned())
        );
        let code = |uri: &str| sip(uri).unwrap_err().0;
        assert_eq!(code("2001@pbx.example.com"), 13243);
        assert_eq!(code("sip:"), 13243);
        assert_eq!(code(&format!("sip:{}@example.com", "a".repeat(255))), 13250);
        assert_eq!(code("sip:a@example.com?X-Twilio-Foo=1"), 32113);
        assert_eq!(
            anywhere("sip:2001@192.0.2.1:5060"),
            anywhere("sip:2001@pbx.example.com")
        );
        assert_eq!(anywhere("+493023125100"), "+493023125100");
        let number = |text: &str| Target::number(text, "x".into()).map(|t| t.address);
        assert_eq!(number("+49 30 23125-100"), Ok("+493023125100".to_owned()));
        assert_eq!(number("030 23125100").unwrap_err().0, 13223);
    }
}
