//! Secrets that cannot be printed by accident.

use std::fmt;

/// An API key, a password or a signing secret. `Debug` shows that it is there, never what it is;
/// there is no `Display` and no serialisation.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret as read from the environment or a file. Surrounding white space is removed,
    /// because a key read from a file usually ends in a newline.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into().trim().to_owned())
    }

    /// The secret itself. Call it where the secret leaves the process, nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Nothing but white space was configured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() {
            "Secret(empty)"
        } else {
            "Secret(***)"
        })
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_never_shows_the_secret() {
        let secret = Secret::new("sk-very-secret\n");
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert_eq!(secret.expose(), "sk-very-secret");
        assert_eq!(format!("{:?}", Secret::new(" ")), "Secret(empty)");
    }
}
