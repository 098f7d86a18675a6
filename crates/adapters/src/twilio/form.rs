//! Parameters of a webhook: an ordered multimap of decoded names and values, from a form body or a
//! query string.
//!
//! What belongs here: decoding, bounds, look-up. What the parameters mean is in
//! [`webhook`](super::webhook), whether they are Twilio's in [`signature`](super::signature).

use std::fmt;

use percent_encoding::percent_decode_str;
use url::form_urlencoded::Serializer;

/// Longest form that is read, in bytes.
pub const MAX_FORM: usize = 64 * 1024;
/// Most parameters that are read.
pub const MAX_PARAMS: usize = 256;

/// Why a form cannot be read. Never repeats the form: it holds numbers and spoken words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    #[error(
        "the form has {bytes} bytes, more than {MAX_FORM}; webhooks of the carrier are shorter"
    )]
    TooLong { bytes: usize },
    #[error("the form has more than {MAX_PARAMS} parameters; webhooks of the carrier have fewer")]
    TooMany,
    #[error("the form is not UTF-8 behind its percent encoding; check what sends it")]
    NotUtf8,
}

/// Decoded parameters in the order in which they came. Names are case-sensitive; one may occur
/// several times; unknown ones are kept, because the signature covers all of them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// Reads `application/x-www-form-urlencoded` (WHATWG URL §5.1): a POST body, or a query string
    /// without its `?`. Unlike there, text that is not UTF-8 is an error: replaced characters would
    /// be signed differently.
    ///
    /// # Errors
    /// Over [`MAX_FORM`] bytes or [`MAX_PARAMS`] parameters, and if it is not UTF-8.
    pub fn parse(form: &[u8]) -> Result<Self, FormError> {
        if form.len() > MAX_FORM {
            return Err(FormError::TooLong { bytes: form.len() });
        }
        let form = std::str::from_utf8(form).map_err(|_| FormError::NotUtf8)?;
        let mut pairs = Vec::new();
        for pair in form.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == MAX_PARAMS {
                return Err(FormError::TooMany);
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(name)?, decode(value)?));
        }
        Ok(Self { pairs })
    }

    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of `name`, in their order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.iter()
            .filter_map(move |(key, value)| (key == name).then_some(value))
    }

    /// All parameters in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// Appends a parameter.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.pairs.push((name.into(), value.into()));
    }

    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The parameters as a form body.
    pub fn to_form(&self) -> String {
        Serializer::new(String::new())
            .extend_pairs(self.iter())
            .finish()
    }
}

fn decode(text: &str) -> Result<String, FormError> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| FormError::NotUtf8)
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Params {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let pairs = pairs.into_iter().map(|(k, v)| (k.into(), v.into()));
        Self {
            pairs: pairs.collect(),
        }
    }
}

impl fmt::Debug for Params {
    /// Names only: values are numbers and spoken words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Params")?;
        f.debug_list()
            .entries(self.pairs.iter().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms_are_decoded_and_keep_order_duplicates_and_empty_values() {
        let params = Params::parse(b"ToCity=Berlin+M%C3%B6ckern&B=2&FromCity=&&B=1&flag&a%3Db=c=d")
            .expect("a form");
        let pairs: Vec<_> = params.iter().collect();
        assert_eq!(
            pairs,
            [
                ("ToCity", "Berlin Möckern"),
                ("B", "2"),
                ("FromCity", ""),
                ("B", "1"),
                ("flag", ""),
                ("a=b", "c=d"),
            ]
        );
        assert_eq!(params.get("B"), Some("2"));
        assert_eq!(params.all("B").collect::<Vec<_>>(), ["2", "1"]);
        assert_eq!(params.get("b"), None, "names are case-sensitive");
        assert_eq!(params.len(), 6);
        assert!(Params::parse(b"").expect("an empty form").is_empty());
    }

    #[test]
    fn forms_are_bounded_and_must_be_utf8() {
        let long = vec![b'a'; MAX_FORM + 1];
        assert_eq!(
            Params::parse(&long),
            Err(FormError::TooLong {
                bytes: MAX_FORM + 1
            })
        );
        assert!(Params::parse(&long[..MAX_FORM]).is_ok());
        let many = "a=1&".repeat(MAX_PARAMS);
        assert_eq!(
            Params::parse(many.as_bytes()).expect("just enough").len(),
            MAX_PARAMS
        );
        assert_eq!(
            Params::parse(format!("{many}b=2").as_bytes()),
            Err(FormError::TooMany)
        );
        for odd in [&b"a=%FF"[..], b"a=\xff", b"%C3=1"] {
            assert_eq!(Params::parse(odd), Err(FormError::NotUtf8));
        }
    }

    #[test]
    fn debug_output_shows_names_only() {
        let params = Params::parse(b"From=%2B12025550100&SpeechResult=my+pin").expect("a form");
        assert_eq!(format!("{params:?}"), r#"Params["From", "SpeechResult"]"#);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(pairs in prop::collection::vec(("(?s).{0,12}", "(?s).{0,40}"), 0..20)) {
            let params: Params = pairs.into_iter().collect();
            prop_assert_eq!(Params::parse(params.to_form().as_bytes()), Ok(params));
        }
    }
}
