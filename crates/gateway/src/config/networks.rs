//! Named lists of addresses: `addresses = ["@twilio"]`. Vendors' own lists are shipped; a list of
//! the same name in the configuration takes their place.

use std::collections::BTreeMap;

use serde::Deserialize;
use switchhook_sip::TrunkAddress;

use super::problems::Problems;

/// Shipped lists: name and text.
const SHIPPED: &[(&str, &str)] = &[(
    "twilio",
    include_str!("../../../../profiles/networks/twilio.toml"),
)];

/// A vendor's addresses.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shipped {
    /// The page they are from.
    #[serde(rename = "source")]
    _source: String,
    /// The day they were read there.
    #[serde(rename = "as_of")]
    _as_of: String,
    /// Where SIP comes from: `@name`.
    signalling: Vec<String>,
    /// Where RTP comes from: `@name.media`.
    media: Vec<String>,
}

/// All lists by name.
pub(super) struct Networks(BTreeMap<String, Vec<String>>);

impl Networks {
    pub(super) fn new(configured: BTreeMap<String, Vec<String>>) -> Self {
        let mut lists = BTreeMap::new();
        for (name, text) in SHIPPED {
            // A test reads every shipped list.
            if let Ok(shipped) = toml::from_str::<Shipped>(text) {
                lists.insert((*name).to_owned(), shipped.signalling);
                lists.insert(format!("{name}.media"), shipped.media);
            }
        }
        lists.extend(configured);
        Self(lists)
    }

    /// Addresses, networks and `@names` as addresses. Names what is wrong with the key.
    pub(super) fn addresses(
        &self,
        key: &str,
        texts: &[String],
        problems: &mut Problems,
    ) -> Vec<TrunkAddress> {
        let mut addresses = Vec::new();
        for text in texts {
            let Some(name) = text.strip_prefix('@') else {
                addresses.extend(problems.parse::<TrunkAddress>(key, text));
                continue;
            };
            match self.0.get(name) {
                Some(list) => addresses.extend(
                    list.iter()
                        .filter_map(|entry| problems.parse::<TrunkAddress>(key, entry)),
                ),
                None => {
                    let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
                    problems.add(format!(
                        "{key}: there is no list {text:?}; known are @{}",
                        known.join(", @")
                    ));
                }
            }
        }
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_list_can_be_read() {
        for (name, text) in SHIPPED {
            let shipped: Shipped = toml::from_str(text).unwrap();
            assert!(shipped._source.starts_with("https://"), "{name}");
            assert_eq!(shipped._as_of.len(), 10, "{name}");
            for entry in shipped.signalling.iter().chain(&shipped.media) {
                entry.parse::<TrunkAddress>().unwrap();
            }
        }
    }

    #[test]
    fn european_calls_and_media_of_twilio_are_known() {
        let networks = Networks::new(BTreeMap::new());
        let mut problems = Problems::default();
        let of = |text: &str, problems: &mut Problems| {
            networks.addresses("k", &[text.to_owned()], problems)
        };
        let signalling = of("@twilio", &mut problems);
        let media = of("@twilio.media", &mut problems);
        let within = |list: &[TrunkAddress], address: &str| {
            list.iter().any(|a| a.matches(address.parse().unwrap()))
        };
        assert!(within(&signalling, "35.156.191.129:5060"));
        assert!(!within(&signalling, "35.156.191.132:5060"));
        assert!(within(&media, "168.86.137.12:17654"));
        assert!(!within(&media, "35.156.191.129:5060"));
    }
}
