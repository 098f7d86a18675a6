//! Times in JSON.

use serde::Serializer;
use switchhook_model::Timestamp;

pub(super) fn required<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&at.to_rfc3339())
}

pub(super) fn option<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => to.serialize_some(&at.to_rfc3339()),
        None => to.serialize_none(),
    }
}
