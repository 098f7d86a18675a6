//! Looks at everything a call over the carrier depends on and says what is wrong, why, and what to do.
//!
//! What belongs here: questions from outside, as the carrier would ask them, beside a running gateway.
//! What does not: anything that changes a call, a number or a setting. Nothing is repaired by itself.

mod carrier;
mod door;
mod pbx;

use std::fmt;

use serde::Serialize;
use switchhook_adapters::twilio::catalogue;
use switchhook_model::Language;

use crate::config::Config;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    /// Nothing to look at: it is not set up, or something it needs failed.
    Skipped,
    /// Calls work; something does not.
    Warning,
    Failed,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `account`, `number`, `clock`, `public_url`, `paths`, `signature`, `pbx`, `trunk:NAME`.
    pub check: String,
    pub state: State,
    /// What was seen, in the reader's language.
    pub found: String,
    pub cause: Option<String>,
    pub cure: Option<String>,
}

/// Everything that was found.
#[derive(Debug, Serialize)]
pub struct Report {
    pub ok: bool,
    pub findings: Vec<Finding>,
}

/// Says things in the reader's language.
#[derive(Debug, Clone, Copy)]
struct Speaker(Language);

impl Speaker {
    fn say(self, en: impl Into<String>, de: impl Into<String>) -> String {
        match self.0 {
            Language::De => de.into(),
            Language::En | Language::Ar => en.into(),
        }
    }
}

impl Finding {
    fn new(check: impl Into<String>, state: State, found: String) -> Self {
        Self {
            check: check.into(),
            state,
            found,
            cause: None,
            cure: None,
        }
    }

    fn because(mut self, cause: String) -> Self {
        self.cause = Some(cause);
        self
    }

    fn cure(mut self, cure: String) -> Self {
        self.cure = Some(cure);
        self
    }
}

/// Runs all checks. Each asks over the network and gives up after some seconds.
pub async fn examine(config: &Config, language: Language) -> Report {
    let speaker = Speaker(language);
    let mut findings = carrier::examine(config, speaker).await;
    findings.extend(door::examine(config, speaker).await);
    findings.extend(pbx::examine(config, speaker).await);
    Report {
        ok: findings
            .iter()
            .all(|finding| finding.state != State::Failed),
        findings,
    }
}

/// What an error code of the carrier means. None if it is not in the catalogue.
pub fn explain(code: u32, language: Language) -> Option<Finding> {
    let known = catalogue::explain(code)?;
    let speaker = Speaker(language);
    let found = speaker.say(
        format!("Twilio error {code}"),
        format!("Twilio-Fehler {code}"),
    );
    let finding = Finding::new(code.to_string(), State::Failed, found)
        .because(known.cause.of(language).to_owned())
        .cure(known.cure.of(language).to_owned());
    Some(finding)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, finding) in self.findings.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Ok => "ok",
            State::Skipped => "-",
            State::Warning => "warning",
            State::Failed => "FAILED",
        };
        write!(f, "{state:<8} {:<12} {}", self.check, self.found)?;
        // By sign, not by word: the lines are read in two languages.
        for (sign, text) in [("?", &self.cause), ("→", &self.cure)] {
            if let Some(text) = text {
                write!(f, "\n{:21} {sign} {text}", "")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_explained_in_the_readers_language() {
        let english = explain(11200, Language::En).unwrap();
        let german = explain(11200, Language::De).unwrap();
        assert_ne!(english.cause, german.cause);
        assert!(english.cure.is_some() && german.cure.is_some());
        assert_eq!(explain(1, Language::En), None);
    }

    #[test]
    fn lines_name_check_cause_and_cure() {
        let finding = Finding::new("clock", State::Failed, "an hour apart".to_owned())
            .because("nobody sets it".to_owned())
            .cure("set it".to_owned());
        assert_eq!(
            finding.to_string(),
            "FAILED   clock        an hour apart\n                      ? nobody sets it\n                      → set it"
        );
    }
}
