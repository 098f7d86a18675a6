//! The carrier's signature on its requests, written from the description and not shared with
//! whoever verifies it.
//!
//! Request signatures, algorithm: the URL as requested (no fragment), then for a form every name in
//! order of its code points with each of its distinct values in order, hashed with HMAC-SHA1 under
//! the account's auth token, in base64.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

/// Name and value pairs of a form, in the order they are sent.
pub type Params = Vec<(String, String)>;

/// `X-Twilio-Signature` of a form POST; with no parameters that of a GET or of a websocket upgrade.
pub fn sign(token: &str, url: &str, params: &[(String, String)]) -> String {
    let mut sorted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in params {
        sorted.entry(name).or_default().insert(value);
    }
    let mut data = without_fragment(url).to_owned();
    for (name, values) in sorted {
        for value in values {
            data.push_str(name);
            data.push_str(value);
        }
    }
    let mut mac =
        Hmac::<Sha1>::new_from_slice(token.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(data.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// A URL without what follows `#`: connection overrides are not part of what is requested.
pub(super) fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or(url)
}

/// The body of a form.
pub(super) fn encode(params: &[(String, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(params)
        .finish()
}

/// The parameters of a form or a query.
pub(super) fn decode(body: &[u8]) -> Params {
    url::form_urlencoded::parse(body).into_owned().collect()
}

/// The first value of a name.
pub(super) fn first<'a>(params: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = params.iter().find(|(n, _)| n == name);
    found.map(|(_, value)| value.as_str())
}

/// All values of a name.
pub(super) fn all<'a>(params: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    let found = params.iter().filter(|(n, _)| n == name);
    found.map(|(_, value)| value.as_str()).collect()
}

/// One pair.
pub(super) fn pair(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    /// The test vector of the official libraries.
    #[test]
    fn the_libraries_own_vector() {
        let params = decode(
            b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234\
              &From=%2B14158675309&To=%2B18005551212",
        );
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        assert_eq!(sign("12345", url, &params), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
    }

    #[test]
    fn a_query_umlauts_and_empty_values() {
        let params = decode(
            b"AccountSid=AC00000000000000000000000000000001&ApiVersion=2010-04-01\
              &CallSid=CA00000000000000000000000000000001&CallStatus=ringing\
              &Called=%2B493012345678&Caller=%2B4915112345678&Direction=inbound\
              &From=%2B4915112345678&FromCity=&FromCountry=DE&To=%2B493012345678\
              &ToCity=Berlin+M%C3%B6ckern",
        );
        let url = "https://gw.example.com/twilio/voice?tenant=acme&leg=a%20b";
        assert_eq!(sign(TOKEN, url, &params), "kQMH5/QeTbQoKKb7mm/CioP3wRw=");
        let with_port = "https://gw.example.com:443/twilio/voice?tenant=acme&leg=a%20b";
        assert_eq!(
            sign(TOKEN, with_port, &params),
            "7b/yt3yt1Em7e/ckuySjFWXu2Nk="
        );
    }

    #[test]
    fn get_duplicates_sockets_ports_and_user_info() {
        let get = "https://gw.example.com/twilio/status\
                   ?CallSid=CA00000000000000000000000000000001&CallStatus=completed&SequenceNumber=3";
        assert_eq!(sign(TOKEN, get, &[]), "hCz83YmTXOZA8s+EkvstzILfSsg=");
        let media = decode(b"MessageSid=SM1&MediaUrl=b&MediaUrl=a&MediaUrl=a");
        let sms = "https://gw.example.com/twilio/sms";
        assert_eq!(sign(TOKEN, sms, &media), "1jXsOdefcLkI5OPk/GA3MZ0xvtQ=");
        for (url, signature) in [
            (
                "wss://gw.example.com/twilio/media",
                "XbuEIyqfcj7N6LuncPZwBi5k3OI=",
            ),
            (
                "https://gw.example.com:8443/x",
                "0h68tPDz7pOLMGXR4Gk3nHJfQ0E=",
            ),
            (
                "https://gw.example.com/x#rc=2&rp=5xx",
                "tA6NvAKgTCWwhL/VYCiIi9xb8q0=",
            ),
            (
                "https://gw.example.com/twilio/voice",
                "9Bi8CPHzgXFe8kGbneg+MVXclzc=",
            ),
            (
                "https://user:pa55@gw.example.com/twilio/voice",
                "eimka3X9H4OwR21BKOgiKUCD7YM=",
            ),
        ] {
            assert_eq!(sign(TOKEN, url, &[]), signature, "{url}");
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let params = vec![pair("To", "+49 30&=ü"), pair("Empty", "")];
        assert_eq!(decode(encode(&params).as_bytes()), params);
    }
}
