//! What `switchhook config check` shows: each variable with where it goes, and each problem.

use serde::Serialize;

use super::env::{Environment, Kind, Meaning};
use super::{Config, ConfigError};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    /// Set and used.
    Resolved,
    /// Set, but an earlier name for the same key wins.
    Shadowed,
    /// Set and known, but this part of the product does not exist yet.
    NoEffect,
    /// Begins with `SWITCHHOOK_` and means nothing.
    Unknown,
}

#[derive(Debug, Serialize)]
pub struct CheckRow {
    pub variable: String,
    pub state: RowState,
    /// The configuration key, or what it waits for.
    pub meaning: String,
    /// Secrets are shown as `***`.
    pub value: String,
}

#[derive(Debug, Serialize)]
pub struct CheckReport {
    pub profile: String,
    pub rows: Vec<CheckRow>,
    pub problems: Vec<String>,
    pub warnings: Vec<String>,
}

impl CheckReport {
    pub fn is_usable(&self) -> bool {
        self.problems.is_empty()
    }
}

impl std::fmt::Display for CheckReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "profile {}", self.profile)?;
        for row in &self.rows {
            let state = match row.state {
                RowState::Resolved => "resolved",
                RowState::Shadowed => "shadowed",
                RowState::NoEffect => "no effect",
                RowState::Unknown => "unknown",
            };
            writeln!(
                f,
                "  {state:<9} {:<36} {:<28} {}",
                row.variable, row.meaning, row.value
            )?;
        }
        for warning in &self.warnings {
            writeln!(f, "  warning   {warning}")?;
        }
        for problem in &self.problems {
            writeln!(f, "  missing   {problem}")?;
        }
        Ok(())
    }
}

pub(super) fn report(
    profile: &str,
    environment: &Environment,
    outcome: Result<Config, ConfigError>,
) -> CheckReport {
    let mut rows = Vec::new();
    let mut taken: Vec<(&str, &str)> = Vec::new();
    let mut warnings = Vec::new();
    for (variable, value) in environment.rows(profile) {
        let Some(value) = value else { continue };
        let (state, meaning, shown) = match variable.meaning {
            Meaning::Key(path, kind) => {
                let shown = if kind == Kind::Secret { "***" } else { value };
                let earlier = taken.iter().find(|(taken_path, _)| *taken_path == path);
                if let Some((_, winner)) = earlier {
                    if environment.get(winner) != Some(value) {
                        warnings.push(format!(
                            "{} and {winner} differ: {winner} is used for {path}",
                            variable.name
                        ));
                    }
                    (RowState::Shadowed, path.to_owned(), shown)
                } else {
                    taken.push((path, variable.name));
                    (RowState::Resolved, path.to_owned(), shown)
                }
            }
            // Masked as a rule: what we do not use we cannot tell to be harmless.
            Meaning::Later(part) => (RowState::NoEffect, part.to_owned(), "***"),
            Meaning::Process => (RowState::Resolved, "process".to_owned(), value),
        };
        rows.push(CheckRow {
            variable: variable.name.to_owned(),
            state,
            meaning,
            value: shown.to_owned(),
        });
    }
    rows.extend(environment.unknown().into_iter().map(|name| CheckRow {
        variable: name.to_owned(),
        state: RowState::Unknown,
        meaning: "not a variable of ours".to_owned(),
        value: "***".to_owned(),
    }));
    let problems = match outcome {
        Ok(config) => {
            warnings.extend(config.warnings);
            Vec::new()
        }
        Err(error) => error.problems,
    };
    CheckReport {
        profile: profile.to_owned(),
        rows,
        problems,
        warnings,
    }
}
