//! Languages the product speaks.

use serde::{Deserialize, Serialize};

use crate::party::ParseError;

/// The assistant's language. Arabic has its place; its phrases follow with their deployment.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    #[default]
    En,
    De,
    Ar,
}

impl Language {
    /// ISO 639-1.
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
            Self::Ar => "ar",
        }
    }
}

impl std::str::FromStr for Language {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "en" => Ok(Self::En),
            "de" => Ok(Self::De),
            "ar" => Ok(Self::Ar),
            _ => Err(ParseError::new("a language: en, de or ar", text)),
        }
    }
}

impl std::fmt::Display for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}
