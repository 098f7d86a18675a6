//! What the channel is told by the configuration.

use std::sync::Arc;

use switchhook_adapters::Secret;
use switchhook_adapters::twilio::rest::RestConfig;
use switchhook_adapters::twilio::{Carrier, Credentials, TwilioRest, Verifier};
use switchhook_conversation::{PinConfig, PinRules, PinTexts};
use switchhook_model::Language;

use crate::calls;
use crate::config::{self, Config, Mode, PinSection, TwilioSection};

/// Everything.
#[derive(Debug, Clone)]
pub struct Settings {
    pub section: TwilioSection,
    /// The address at which the carrier reaches us, without a slash at its end.
    pub public_url: String,
    /// Unsigned requests from this machine are taken, with a warning: demo and development.
    pub allow_unsigned_loopback: bool,
    /// The PBX at which extensions are reached.
    pub sip_domain: Option<String>,
    pub language: Language,
    /// Calls with the assistant are recorded.
    pub records: bool,
    pub max_message_s: u32,
    /// Whose PINs there are; none: nobody is asked.
    pub pin: Option<PinSection>,
    /// What is said of a recording before the question for a PIN.
    pub announcement: Option<&'static str>,
    /// Makes the tokens of media streams; the same on all nodes.
    pub stream_key: Secret,
}

impl Settings {
    /// None if no calls of Twilio are taken.
    pub fn of(config: &Config, max_message_s: u32, signing_key: &config::Secret) -> Option<Self> {
        let section = config.twilio.clone()?;
        let here = format!("http://{}", config.http.bind);
        let public_url = config.public_url.clone().unwrap_or(here);
        // While developing, our own registrar is as good a PBX as any.
        let own = (config.mode != Mode::Production).then(|| config.sip.bind.to_string());
        Some(Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            allow_unsigned_loopback: match config.mode {
                Mode::Development | Mode::Demo => true,
                Mode::Production => false,
            },
            sip_domain: section.sip_domain.clone().or(own),
            language: config.language,
            records: config.recording.enabled,
            max_message_s,
            pin: config.pin.clone(),
            announcement: calls::policy::announcement(config),
            stream_key: exposed(signing_key),
            section,
        })
    }

    /// The carrier over REST. None without an account: what needs it is not done, and said so.
    ///
    /// # Errors
    /// If the API's URL cannot be one.
    pub fn rest(&self) -> anyhow::Result<Option<Arc<dyn Carrier>>> {
        let section = &self.section;
        let (Some(account), Some(token)) = (&section.account_sid, section.auth_tokens.first())
        else {
            return Ok(None);
        };
        let mut config = RestConfig::new(Credentials::token(account, exposed(token)));
        config.base_url = Some(section.api_url.clone());
        Ok(Some(Arc::new(TwilioRest::new(config)?)))
    }

    /// The question for a PIN, if callers are asked.
    pub fn pin_rules(&self) -> Option<PinRules> {
        let pin = self.pin.as_ref()?;
        let mut texts = PinTexts::defaults(self.language);
        if let Some(announcement) = self.announcement {
            texts.prompt = format!("{announcement} {}", texts.prompt);
        }
        Some(PinRules {
            config: PinConfig {
                max_tries: pin.tries,
                human_without_pin: pin.human_without_pin,
                ..PinConfig::default()
            },
            texts,
        })
    }

    /// Checks signatures. None without a token: then only unsigned requests of this machine are taken,
    /// where those are allowed.
    ///
    /// # Errors
    /// If the public URL cannot be one.
    pub fn verifier(&self) -> anyhow::Result<Option<Verifier>> {
        let section = &self.section;
        if section.auth_tokens.is_empty() && section.shared_keys.is_empty() {
            return Ok(None);
        }
        let tokens = section.auth_tokens.iter().map(exposed).collect();
        let keys = section
            .shared_keys
            .iter()
            .map(|(id, key)| (id.clone(), exposed(key)))
            .collect();
        Ok(Some(Verifier::new(&self.public_url, tokens, keys)?))
    }
}

fn exposed(secret: &config::Secret) -> Secret {
    Secret::new(secret.expose())
}
