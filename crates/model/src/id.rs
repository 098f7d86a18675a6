//! Prefixed string ids, one newtype for each thing, so that a leg id cannot stand where a call id
//! belongs.
//!
//! A call id is made from outside randomness. Ids of what belongs to a call are *derived* from it
//! and a number the call counts, so that the pure machine needs no randomness and a step that is
//! carried out again after a restart names the same leg.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::party::ParseError;

macro_rules! make_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The prefix all ids of this kind begin with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an id from a unique part: letters, digits, `-` and `_`, at most 80 bytes.
            ///
            /// # Panics
            /// If `unique` holds another character: ids are made by us, never taken from outside.
            pub fn from_unique(unique: &str) -> Self {
                let id = format!("{}{}", $prefix, unique);
                assert!(is_well_formed(&id, $prefix), "malformed id {id:?}");
                Self(id)
            }

            /// The id of the `n`th thing of this kind within `call`.
            pub fn derive(call: &CallId, n: u32) -> Self {
                Self(format!("{}{}-{}", $prefix, call.unique(), n))
            }

            /// The id without its prefix.
            pub fn unique(&self) -> &str {
                &self.0[$prefix.len()..]
            }

            /// The whole id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                if is_well_formed(text, $prefix) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(ParseError::new(concat!("an id beginning with ", $prefix), text))
                }
            }
        }
    };
}

make_id!(
    /// One conversation as the caller lives it, all legs and transfers included.
    CallId, "call_"
);
make_id!(
    /// One party's signalling and media path to us.
    LegId, "leg_"
);
make_id!(
    /// One transfer transaction of a call.
    TransferId, "tr_"
);
make_id!(
    /// One try to reach one target within a transfer.
    AttemptId, "att_"
);
make_id!(
    /// A message that leaves us: notice, SMS, e-mail.
    MessageId, "msg_"
);
make_id!(
    /// One recording.
    RecordingId, "rec_"
);
make_id!(
    /// One party's go in the conversation.
    TurnId, "turn_"
);
make_id!(
    /// One stored call event.
    EventId, "ev_"
);
make_id!(
    /// One request to a provider, so that late and doubled answers are recognised.
    RequestId, "rq_"
);

fn is_well_formed(text: &str, prefix: &str) -> bool {
    text.len() <= 80
        && text.strip_prefix(prefix).is_some_and(|rest| {
            !rest.is_empty()
                && rest
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_carry_the_call_and_a_number() {
        let call = CallId::from_unique("01abc");
        assert_eq!(LegId::derive(&call, 2).as_str(), "leg_01abc-2");
    }

    #[test]
    fn foreign_text_is_refused() {
        for text in ["", "call_", "leg_1", "call_a b", "call_../x", "call_<b>"] {
            assert!(text.parse::<CallId>().is_err(), "{text:?}");
        }
        assert!("call_01J".parse::<CallId>().is_ok());
    }
}
