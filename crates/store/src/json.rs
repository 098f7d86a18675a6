//! JSON as text.

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

/// A JSON document as it is stored: written straight from what it describes and read straight into
/// it, without a tree of values between. A call's state is written with every step, so this is a
/// fifth of what a short call costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(Box<str>);

impl Json {
    /// `null` for what cannot be written (a map whose keys are not texts), which no row of ours holds.
    pub fn of(described: &impl Serialize) -> Self {
        Self(
            serde_json::to_string(described)
                .unwrap_or_else(|_| "null".to_owned())
                .into(),
        )
    }

    /// The text if it is JSON.
    ///
    /// # Errors
    /// Of the parser.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<IgnoredAny>(text)?;
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it describes.
    ///
    /// # Errors
    /// When it describes something else.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// For readers that do not know what it describes.
    pub fn value(&self) -> Value {
        // Each way to make one ends in valid JSON.
        self.read().unwrap_or(Value::Null)
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self(value.to_string().into())
    }
}
