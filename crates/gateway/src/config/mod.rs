//! Configuration in two steps: [`raw`] is what file and environment say, [`Config`] is resolved and
//! valid. Only the second leaves this module; nothing else in the program reads the environment.
//!
//! Precedence: built-in defaults, the profile or configuration file, the environment (`.env` in
//! the working directory is loaded first and never overrides what is already set). Secrets come
//! from the environment or from `*_file` keys.

mod addresses;
mod assistant;
mod check;
mod database;
mod env;
mod headers;
mod http;
mod media;
mod networks;
mod notice;
mod outbound;
mod people;
mod pin;
mod problems;
mod raw;
mod resolve;
mod secret;
mod signalling;
mod sip_network;
mod transfer;
mod trunks;
mod twilio;
mod types;

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format, Toml};

pub use addresses::connection_address;
pub use check::{CheckReport, CheckRow, RowState};
pub use database::Database;
pub use env::Environment;
pub use secret::Secret;
pub use sip_network::SipNetwork;
pub use types::{
    AssistantConfig, AssistantVia, BrainConfig, CallingHours, Config, DataConfig, Detection,
    DtmfMode, ExtensionConfig, HttpConfig, LimitsConfig, LlmConfig, MediaSection, Mode,
    NoticeConfig, NoticeWay, OutboundConfig, OutboundLimits, PinAccount, PinProof, PinSection,
    Prices, RecordingConfig, SipSection, SpeechConfig, TransferConfig, TransferVia, TrunkSection,
    TrunkWatch, TwilioSection, TwilioVoice, UserSeed,
};

/// Profiles that are part of the binary: name and text.
const SHIPPED_PROFILES: &[(&str, &str)] = &[
    ("demo", include_str!("../../../../profiles/demo.toml")),
    (
        "phone-to-pbx",
        include_str!("../../../../profiles/phone-to-pbx.toml"),
    ),
    (
        "outbound-agent",
        include_str!("../../../../profiles/outbound-agent.toml"),
    ),
    (
        "receptionist-de",
        include_str!("../../../../profiles/receptionist-de.toml"),
    ),
];

/// Everything wrong with the configuration, all of it at once.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be used:\n  - {}", .problems.join("\n  - "))]
pub struct ConfigError {
    pub problems: Vec<String>,
}

impl ConfigError {
    fn one(problem: impl Into<String>) -> Self {
        Self {
            problems: vec![problem.into()],
        }
    }
}

/// Where the configuration is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    Profile(String),
}

impl Source {
    /// From `--config` and `--profile`; neither means `switchhook.toml` if it is there.
    pub fn choose(file: Option<PathBuf>, profile: Option<String>) -> Result<Self, ConfigError> {
        match (file, profile) {
            (Some(_), Some(_)) => Err(ConfigError::one(
                "--config and --profile exclude each other: give one",
            )),
            (Some(file), None) => Ok(Self::File(file)),
            (None, Some(profile)) => Ok(Self::Profile(profile)),
            (None, None) if Path::new("switchhook.toml").exists() => {
                Ok(Self::File("switchhook.toml".into()))
            }
            (None, None) => Err(ConfigError::one(
                "no configuration: give --config FILE, --profile demo, or put a switchhook.toml here",
            )),
        }
    }

    /// Name of the profile, `custom` for a file.
    pub fn profile_name(&self) -> &str {
        match self {
            Self::File(path) => path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .filter(|stem| *stem != "switchhook")
                .unwrap_or("custom"),
            Self::Profile(name) => name,
        }
    }

    fn text(&self) -> Result<(String, String), ConfigError> {
        match self {
            Self::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    ConfigError::one(format!("cannot read {}: {error}", path.display()))
                })?;
                Ok((path.display().to_string(), text))
            }
            Self::Profile(name) => {
                let on_disk = PathBuf::from("profiles").join(format!("{name}.toml"));
                let plain_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
                if plain_name && let Ok(text) = std::fs::read_to_string(&on_disk) {
                    return Ok((on_disk.display().to_string(), text));
                }
                SHIPPED_PROFILES
                    .iter()
                    .find(|(shipped, _)| shipped == name)
                    .map(|(_, text)| (format!("profile {name}"), (*text).to_owned()))
                    .ok_or_else(|| {
                        let names: Vec<_> = SHIPPED_PROFILES.iter().map(|(n, _)| *n).collect();
                        ConfigError::one(format!(
                            "no profile '{name}': shipped are {}; your own goes to profiles/{name}.toml",
                            names.join(", ")
                        ))
                    })
            }
        }
    }
}

/// Reads, merges, resolves and validates.
pub fn load(source: &Source, environment: &Environment) -> Result<Config, ConfigError> {
    let (raw, mut problems) = read(source, environment)?;
    let resolved = resolve::resolve(raw, source.profile_name(), environment);
    match resolved {
        Ok(config) if problems.is_empty() => Ok(config),
        Ok(_) => Err(ConfigError { problems }),
        Err(error) => {
            let named = |problem| environment.name_variable(source.profile_name(), problem);
            problems.extend(error.problems.into_iter().map(named));
            Err(ConfigError { problems })
        }
    }
}

/// What `switchhook config check` prints: every known variable and every problem.
pub fn check(source: &Source, environment: &Environment) -> CheckReport {
    let outcome = load(source, environment);
    check::report(source.profile_name(), environment, outcome)
}

/// What file and environment say, and which variables could not be read: the rest is checked all
/// the same, so that everything wrong is told at once.
fn read(
    source: &Source,
    environment: &Environment,
) -> Result<(raw::RawConfig, Vec<String>), ConfigError> {
    let (name, text) = source.text()?;
    // Parsed apart first: figment would report a syntax error without the file's name.
    text.parse::<toml::Table>().map_err(|error| {
        ConfigError::one(format!(
            "{name} is not valid TOML: {}",
            error.to_string().trim_end()
        ))
    })?;
    let mut figment = Figment::new().merge(Named(name, Toml::string(&text)));
    let mut problems = Vec::new();
    for setting in environment.settings(source.profile_name()) {
        match setting {
            Ok(setting) => figment = figment.merge(setting),
            Err(problem) => problems.push(problem),
        }
    }
    let raw = figment.extract::<raw::RawConfig>();
    match raw {
        Ok(raw) => Ok((raw, problems)),
        Err(errors) => {
            problems.extend(errors.into_iter().map(|error| {
                let place = error
                    .metadata
                    .as_ref()
                    .map(|m| format!(" (in {})", m.name))
                    .unwrap_or_default();
                format!("{}: {}{place}", error.path.join("."), error.kind)
            }));
            Err(ConfigError { problems })
        }
    }
}

/// A provider that carries the file's name into error messages.
struct Named<P>(String, P);

impl<P: figment::Provider> figment::Provider for Named<P> {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named(self.0.clone())
    }

    fn data(
        &self,
    ) -> Result<figment::value::Map<figment::Profile, figment::value::Dict>, figment::Error> {
        self.1.data()
    }
}

#[cfg(test)]
mod tests;
