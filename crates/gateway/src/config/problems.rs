//! What is wrong with a configuration, and how its values are read.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use switchhook_media::Codec;
use switchhook_media::srtp::sdes::SrtpPolicy;
use switchhook_model::Target;

use super::ConfigError;
use super::secret::Secret;
use super::types::DtmfMode;

/// Collects problems; each method returns something usable so that the rest is checked too.
#[derive(Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    pub(super) fn add(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    pub(super) fn parse<T: FromStr>(&mut self, key: &str, text: &str) -> Option<T>
    where
        T::Err: Display,
    {
        text.parse()
            .map_err(|error: T::Err| {
                let error = error.to_string();
                // Our own errors show the text, those of the standard library do not.
                if error.contains(text) {
                    self.add(format!("{key}: {error}"));
                } else {
                    self.add(format!("{key}: {text:?}: {error}"));
                }
            })
            .ok()
    }

    pub(super) fn targets(&mut self, key: &str, texts: &[String]) -> Vec<Target> {
        texts
            .iter()
            .filter_map(|text| self.parse(key, text))
            .collect()
    }

    /// Codecs in order of preference: at least one, none twice.
    pub(super) fn codecs(&mut self, key: &str, names: &[String]) -> Vec<Codec> {
        let mut codecs = Vec::new();
        for name in names {
            let Some(codec) = self.parse::<Codec>(key, name) else {
                continue;
            };
            if codecs.contains(&codec) {
                self.add(format!("{key}: {name:?} is there twice"));
            } else {
                codecs.push(codec);
            }
        }
        if names.is_empty() {
            self.add(format!("{key}: at least one codec is needed"));
        }
        codecs
    }

    pub(super) fn in_range(&mut self, key: &str, value: u32, least: u32, most: u32) -> u32 {
        if (least..=most).contains(&value) {
            return value;
        }
        self.add(format!("{key}: {value} is outside {least} to {most}"));
        value.clamp(least, most)
    }

    pub(super) fn srtp(
        &mut self,
        key: &str,
        text: Option<&str>,
        default: SrtpPolicy,
    ) -> SrtpPolicy {
        text.map_or(default, |text| {
            text.parse()
                .map_err(|error| self.add(format!("{key}: {error}")))
                .unwrap_or(default)
        })
    }

    pub(super) fn dtmf(&mut self, key: &str, text: Option<&str>, default: DtmfMode) -> DtmfMode {
        match text {
            None => default,
            Some("auto") => DtmfMode::Auto,
            Some("info") => DtmfMode::Info,
            Some(other) => {
                self.add(format!("{key}: expected auto or info, got {other:?}"));
                default
            }
        }
    }

    /// The text of a secret, given directly or in a file.
    pub(super) fn secret(
        &mut self,
        key: &str,
        direct: Option<Secret>,
        file: Option<PathBuf>,
    ) -> Option<Secret> {
        let Some(file) = file else { return direct };
        if direct.is_some() {
            self.add(format!("{key} and {key}_file are both set: keep one"));
        }
        match std::fs::read_to_string(&file) {
            Ok(text) => Some(Secret::new(text.trim())),
            Err(error) => {
                self.add(format!(
                    "{key}_file: cannot read {}: {error}",
                    file.display()
                ));
                None
            }
        }
    }

    /// `Ok` if there was none.
    pub(super) fn none(self) -> Result<(), ConfigError> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(ConfigError { problems: self.0 })
    }
}
