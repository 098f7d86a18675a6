//! Roles and what they allow: one table.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a user is. Stored and written in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees calls, figures and states; hears nothing.
    Viewer,
    /// A human who takes calls.
    Desk,
    /// Runs the switchboard.
    Operator,
    /// Runs the program.
    Admin,
}

/// What an endpoint asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Lists, details, transcripts, live events, extensions, figures.
    SeeCalls,
    /// Messages on the wire with their full text.
    SeeWire,
    /// Messages that were sent, with their text.
    SeeMessages,
    /// Recordings.
    HearCalls,
    /// End, transfer and start calls.
    ActOnCalls,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Desk, Self::Operator, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Desk => "desk",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    pub fn may(self, permission: Permission) -> bool {
        match permission {
            Permission::SeeCalls => true,
            Permission::SeeMessages => match self {
                Self::Viewer => false,
                Self::Desk | Self::Operator | Self::Admin => true,
            },
            Permission::SeeWire | Permission::HearCalls | Permission::ActOnCalls => match self {
                Self::Viewer | Self::Desk => false,
                Self::Operator | Self::Admin => true,
            },
        }
    }
}

/// The text is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a role: viewer, desk, operator or admin, got {0:?}")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.chars().take(32).collect()))
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
