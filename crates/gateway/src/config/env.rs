//! The one table of environment variables: our own and, as aliases, every variable named in a
//! deployment this product replaces. A variable may mean different keys in different profiles.

use std::collections::BTreeMap;

use figment::providers::Serialized;
use figment::value::{Dict, Map};
use figment::{Metadata, Provider};

/// How the text of a variable is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Secret,
    Number,
    Bool,
    /// Separated by commas.
    List,
}

/// What a variable is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meaning {
    /// Sets this configuration key.
    Key(&'static str, Kind),
    /// Known from a deployment; has no effect until this part of the product exists.
    Later(&'static str),
    /// Read elsewhere: logging, the installer.
    Process,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Variable {
    pub name: &'static str,
    pub meaning: Meaning,
    /// Profiles in which this row holds; empty: all.
    pub profiles: &'static [&'static str],
}

const fn key(name: &'static str, path: &'static str, kind: Kind) -> Variable {
    Variable {
        name,
        meaning: Meaning::Key(path, kind),
        profiles: &[],
    }
}

const fn key_in(
    profiles: &'static [&'static str],
    name: &'static str,
    path: &'static str,
    kind: Kind,
) -> Variable {
    Variable {
        name,
        meaning: Meaning::Key(path, kind),
        profiles,
    }
}

const fn later(name: &'static str, part: &'static str) -> Variable {
    Variable {
        name,
        meaning: Meaning::Later(part),
        profiles: &[],
    }
}

const fn process(name: &'static str) -> Variable {
    Variable {
        name,
        meaning: Meaning::Process,
        profiles: &[],
    }
}

/// Of several variables for one key the first in the table that is set wins.
pub(super) const TABLE: &[Variable] = &[
    key("SWITCHHOOK_MODE", "mode", Kind::Text),
    key("SWITCHHOOK_PUBLIC_URL", "public_url", Kind::Text),
    key(
        "VOICE_ASSISTANT_TRANSFER_BASE_URL",
        "public_url",
        Kind::Text,
    ),
    key("PUBLIC_BASE_URL", "public_url", Kind::Text),
    key("WEBHOOK_BASE_URL", "public_url", Kind::Text),
    key("API_URL", "public_url", Kind::Text),
    key("RENDER_EXTERNAL_URL", "public_url", Kind::Text),
    key("SWITCHHOOK_LANGUAGE", "language", Kind::Text),
    key("SWITCHHOOK_TIME_ZONE", "time_zone", Kind::Text),
    key("SWITCHHOOK_SIGNING_KEY", "http.signing_key", Kind::Secret),
    key("JWT_SECRET_KEY", "http.signing_key", Kind::Secret),
    key("JWT_SECRET", "http.signing_key", Kind::Secret),
    key("SWITCHHOOK_HTTP_BIND", "http.bind", Kind::Text),
    key(
        "SWITCHHOOK_TRUSTED_PROXIES",
        "http.trusted_proxies",
        Kind::List,
    ),
    key("PORT", "http.port", Kind::Number),
    key("SWITCHHOOK_DATA_DIR", "data.dir", Kind::Text),
    key("DATABASE_URL", "data.database_url", Kind::Secret),
    key("DB_URI", "data.database_url", Kind::Secret),
    key("DB_URL", "data.database_url", Kind::Secret),
    key("SWITCHHOOK_NODE", "data.node", Kind::Text),
    key("SWITCHHOOK_SIP_BIND", "sip.bind", Kind::Text),
    key("SWITCHHOOK_CODECS", "sip.codecs", Kind::List),
    key("SWITCHHOOK_HOLD_MUSIC", "media.hold_music", Kind::Text),
    key("SWITCHHOOK_RTP_PORTS", "media.rtp_ports", Kind::Text),
    key(
        "SWITCHHOOK_ADVERTISED_IP",
        "media.advertised_ip",
        Kind::Text,
    ),
    key(
        "SWITCHHOOK_TRUNK_TERMINATION",
        "trunks.main.termination",
        Kind::Text,
    ),
    key(
        "SWITCHHOOK_TRUNK_TRANSPORT",
        "trunks.main.transport",
        Kind::Text,
    ),
    key(
        "SWITCHHOOK_TRUNK_ADDRESSES",
        "trunks.main.addresses",
        Kind::List,
    ),
    key(
        "SWITCHHOOK_TRUNK_QUALIFY_S",
        "trunks.main.qualify_s",
        Kind::Number,
    ),
    key(
        "SWITCHHOOK_TRUNK_USERNAME",
        "trunks.main.username",
        Kind::Text,
    ),
    key(
        "SWITCHHOOK_TRUNK_PASSWORD",
        "trunks.main.password",
        Kind::Secret,
    ),
    key(
        "SWITCHHOOK_TRUNK_CALLER_ID",
        "trunks.main.caller_id",
        Kind::Text,
    ),
    key("TWILIO_ACCOUNT_SID", "twilio.account_sid", Kind::Text),
    key("TWILIO_AUTH_TOKEN", "twilio.auth_token", Kind::Secret),
    key("SWITCHHOOK_TWILIO_API_URL", "twilio.api_url", Kind::Text),
    key("SWITCHHOOK_TWILIO_TALK", "twilio.talk", Kind::Text),
    key("SWITCHHOOK_TWILIO_TRANSFER", "twilio.transfer", Kind::Text),
    key(
        "SWITCHHOOK_TWILIO_ACCEPT_KEY",
        "twilio.accept_key",
        Kind::Text,
    ),
    key("TWILIO_PHONE_NUMBER", "twilio.number", Kind::Text),
    key("TWILIO_INBOUND_NUMBER", "twilio.number", Kind::Text),
    key("TWILIO_NUMBER", "twilio.number", Kind::Text),
    key(
        "ELEVENLABS_PHONE_NUMBER",
        "twilio.assistant_number",
        Kind::Text,
    ),
    key("TWILIO_TRANSFER_CALLER_ID", "twilio.caller_id", Kind::Text),
    key("TWILIO_CALLER_ID", "twilio.caller_id", Kind::Text),
    key("FREEPBX_DOMAIN", "twilio.sip_domain", Kind::Text),
    key("FUSIONPBX_SIP_DOMAIN", "twilio.sip_domain", Kind::Text),
    key(
        "FUSIONPBX_SIP_TRANSPORT",
        "twilio.sip_transport",
        Kind::Text,
    ),
    key("FREEPBX_SIP_USERNAME", "twilio.sip_username", Kind::Text),
    key("FUSIONPBX_SIP_USERNAME", "twilio.sip_username", Kind::Text),
    key("FREEPBX_SIP_PASSWORD", "twilio.sip_password", Kind::Secret),
    key(
        "FUSIONPBX_SIP_PASSWORD",
        "twilio.sip_password",
        Kind::Secret,
    ),
    key("ENABLE_VOICE_PIN", "pin.enabled", Kind::Bool),
    key("VOICE_PIN", "pin.shared", Kind::Secret),
    key("ENABLE_TEST_PIN", "pin.enable_test_pin", Kind::Bool),
    key("TEST_VOICE_PIN", "pin.test_pin", Kind::Secret),
    key("SWITCHHOOK_PIN_PEPPER", "pin.pepper", Kind::Secret),
    key(
        "SWITCHHOOK_PIN_HUMAN_WITHOUT",
        "pin.human_without_pin",
        Kind::Bool,
    ),
    key("SWITCHHOOK_PIN_LOCK_AFTER", "pin.lock_after", Kind::Number),
    key("SWITCHHOOK_ASSISTANT_NAME", "assistant.name", Kind::Text),
    key("AI_NAME", "assistant.name", Kind::Text),
    key("SWITCHHOOK_BRAIN", "assistant.brain", Kind::Text),
    key("AI_SYSTEM_PROMPT", "assistant.instructions", Kind::Text),
    key("AI_WELCOME_MESSAGE", "assistant.greeting", Kind::Text),
    key("SWITCHHOOK_LLM_BASE_URL", "llm.base_url", Kind::Text),
    key("AGENT_LLM_URL", "llm.base_url", Kind::Text),
    key("SWITCHHOOK_LLM_API_KEY", "llm.api_key", Kind::Secret),
    key("OPENAI_API_KEY", "llm.api_key", Kind::Secret),
    key("SWITCHHOOK_LLM_MODEL", "llm.model", Kind::Text),
    key("OPENAI_MODEL", "llm.model", Kind::Text),
    key("LLM_MODEL", "llm.model", Kind::Text),
    key("LLM_MAX_TOKENS", "llm.max_tokens", Kind::Number),
    key("SWITCHHOOK_SPEECH_URL", "speech.url", Kind::Text),
    key("SWITCHHOOK_SPEECH_DIR", "speech.dir", Kind::Text),
    key("TTS_VOICE", "speech.voice", Kind::Text),
    key(
        "SWITCHHOOK_RING_TIMEOUT_S",
        "transfer.ring_timeout_s",
        Kind::Number,
    ),
    key(
        "RING_TIMEOUT_SECONDS",
        "transfer.ring_timeout_s",
        Kind::Number,
    ),
    key("TRANSFER_TIMEOUT", "transfer.ring_timeout_s", Kind::Number),
    key(
        "SWITCHHOOK_TRANSFER_TARGETS",
        "transfer.targets",
        Kind::List,
    ),
    key("DEFAULT_FORWARD_NUMBER", "transfer.targets", Kind::List),
    key(
        "VOICE_AGENT_FALLBACK_EXTENSION",
        "transfer.targets",
        Kind::List,
    ),
    key(
        "SUPPORT_EXTENSION",
        "transfer.departments.support",
        Kind::List,
    ),
    key("SALES_EXTENSION", "transfer.departments.sales", Kind::List),
    key(
        "GENERAL_EXTENSION",
        "transfer.departments.general",
        Kind::List,
    ),
    key(
        "OPERATOR_EXTENSION",
        "transfer.departments.operator",
        Kind::List,
    ),
    key(
        "VOICE_AGENT_DEPARTMENTS",
        "transfer.department_names",
        Kind::List,
    ),
    key(
        "VOICE_AGENT_FALLBACK_DEPARTMENT",
        "transfer.default_department",
        Kind::Text,
    ),
    key(
        "USE_TRUNK_NUMBER_TRANSFER",
        "transfer.use_trunk_number",
        Kind::Bool,
    ),
    key("TWILIO_TRUNK_NUMBER", "transfer.trunk_number", Kind::Text),
    key("TELEPHONY_MOCK", "outbound.simulate", Kind::Bool),
    key("SWITCHHOOK_OUTBOUND_REGION", "outbound.region", Kind::Text),
    key(
        "SWITCHHOOK_OUTBOUND_PREFIXES",
        "outbound.allowed_prefixes",
        Kind::List,
    ),
    key(
        "SWITCHHOOK_OUTBOUND_CALLS_PER_DAY",
        "outbound.customer_calls_per_day",
        Kind::Number,
    ),
    key(
        "SWITCHHOOK_OUTBOUND_MACHINE",
        "outbound.machine",
        Kind::Text,
    ),
    key(
        "SWITCHHOOK_ASSISTANT_VIA",
        "twilio.assistant_via",
        Kind::Text,
    ),
    key("SWITCHHOOK_NOTICE_WAYS", "notice.ways", Kind::List),
    key("TWILIO_SMS_TO", "notice.sms_to", Kind::Text),
    key("TWILIO_WHATSAPP_FROM", "notice.whatsapp_from", Kind::Text),
    key("TWILIO_WHATSAPP_TO", "notice.whatsapp_to", Kind::Text),
    key("SWITCHHOOK_NOTICE_URL", "notice.url", Kind::Text),
    key("SWITCHHOOK_NOTICE_SECRET", "notice.secret", Kind::Secret),
    key("SWITCHHOOK_RECORDING", "recording.enabled", Kind::Bool),
    key("SWITCHHOOK_MEDIA_WORKERS", "media.workers", Kind::Number),
    key("SWITCHHOOK_MAX_LEGS", "media.max_legs", Kind::Number),
    key(
        "SWITCHHOOK_RTP_TIMEOUT_S",
        "media.rtp_timeout_s",
        Kind::Number,
    ),
    key(
        "SWITCHHOOK_ONE_WAY_AUDIO_S",
        "media.one_way_audio_s",
        Kind::Number,
    ),
    key("SWITCHHOOK_SRTP", "media.srtp", Kind::Text),
    key_in(
        &["custom"],
        "SWITCHHOOK_DEMO_PASSWORD",
        "users.demo.password",
        Kind::Secret,
    ),
    process("RUST_LOG"),
    process("LOG_LEVEL"),
    process("SWITCHHOOK_LOG_FORMAT"),
    process("SWITCHHOOK_LAB_LISTEN"),
    process("SWITCHHOOK_LAB_TRUNK"),
    // Deployments' variables whose part of the product does not exist yet.
    later(
        "VOICE_ASSISTANT_TRANSFER_USER_NUMBER",
        "a number of each user",
    ),
    later("VOICE_GATEWAY_PUBLIC_URL", "browser calls"),
    later("WEBSOCKET_BASE_URL", "browser calls"),
    later("LLM_PROVIDER", "more brains"),
    later("LLM_CHOICE", "more brains"),
    later("ANTHROPIC_API_KEY", "more brains"),
    later("ANTHROPIC_MODEL", "more brains"),
    later("GOOGLE_API_KEY", "more brains"),
    later("GOOGLE_MODEL", "more brains"),
    later("GEMINI_MODEL", "more brains"),
    later("GEMINI_MAX_TOOLS", "more brains"),
    later("SKIP_GEMINI_TOOL_BINDING", "more brains"),
    later("GROQ_API_KEY", "more brains"),
    later("DEEPGRAM_API_KEY", "more speech"),
    later("DEEPGRAM_VOICE_ID", "more speech"),
    later("ELEVENLABS_API_KEY", "ElevenLabs"),
    later("ELEVENLABS_VOICE_ID", "ElevenLabs"),
    later("ELEVENLABS_WEBHOOK_SECRET", "ElevenLabs"),
    later("ELEVENLABS_HMAC_SECRET", "ElevenLabs"),
    later("ELEVENLABS_SUPPORT_AGENT_ID", "ElevenLabs"),
    later("ELEVENLABS_SALES_AGENT_ID", "ElevenLabs"),
    later("VOICE_STT_PROVIDER", "more speech"),
    later("VOICE_TTS_PROVIDER", "more speech"),
    later("AZURE_SPEECH_KEY", "more speech"),
    later("AZURE_SPEECH_REGION", "more speech"),
    later("AZURE_OPENAI_API_KEY", "more brains"),
    later("AZURE_OPENAI_ENDPOINT", "more brains"),
    later("AZURE_OPENAI_DEPLOYMENT_NAME", "more brains"),
    later("AZURE_OPENAI_API_VERSION", "more brains"),
    later("REDIS_HOST", "nothing: state is in the database"),
    later("REDIS_PORT", "nothing: state is in the database"),
    later("REDIS_PASSWORD", "nothing: state is in the database"),
    later("REDIS_DB", "nothing: state is in the database"),
    later("REDIS_URL", "nothing: state is in the database"),
    later("LIVEKIT_URL", "LiveKit"),
    later("LIVEKIT_API_KEY", "LiveKit"),
    later("LIVEKIT_API_SECRET", "LiveKit"),
    later("LIVEKIT_WEBHOOK_SECRET", "LiveKit"),
    later("SIP_TRUNK_NAME", "LiveKit"),
    later("LIVEKIT_SIP_TRUNK", "LiveKit"),
    later("N8N_WEBHOOK_URL", "n8n"),
    later("PINECONE_API_KEY", "knowledge base"),
    later("PINECONE_ENV", "knowledge base"),
    later("PINECONE_INDEX", "knowledge base"),
    later("TTS_SERVICE_URL", "n8n"),
    later("STT_SERVICE_URL", "n8n"),
    later("LLM_SERVICE_URL", "n8n"),
    later("TTS_RATE", "n8n"),
    later("WHISPER_MODEL", "n8n"),
    later("TTS_PORT", "n8n"),
    later("STT_PORT", "n8n"),
    later("LLM_PORT", "n8n"),
    later("API_PORT", "trigger API"),
    later("ASTERISK_HOST", "Asterisk"),
    later("AI_GOODBYE_MESSAGE", "n8n"),
    later("AI_FALLBACK_MESSAGE", "n8n"),
    later("FLASK_KEY", "nothing: browsers get tokens"),
    later("RATELIMIT_DEFAULT", "nothing: limits are per endpoint"),
    later("TENANT_ID", "tenants"),
    later("BACKEND_URL", "nothing: one server"),
    later("SENTRY_DSN", "nothing: logs and metrics"),
    later("RESEND_API_KEY", "e-mail"),
    later("DEBUG_MODE", "nothing: RUST_LOG"),
];

/// The process environment as data, so that tests need none.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    values: BTreeMap<String, String>,
}

impl Environment {
    /// The real one, with `.env` of the working directory below it.
    pub fn of_process() -> Result<Self, super::ConfigError> {
        match dotenvy::dotenv() {
            Ok(_) => {}
            Err(dotenvy::Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(super::ConfigError::one(format!(".env: {error}"))),
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the environment"
        )]
        let values = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Ok(Self { values })
    }

    /// A made-up one.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self {
            values: pairs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    /// The value if it is set and not empty: an empty variable counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .map(String::as_str)
            .map(str::trim)
            .filter(|v| !v.is_empty())
    }

    /// Our own variables that no row names: most often a slip of the pen.
    pub(super) fn unknown(&self) -> Vec<&str> {
        self.values
            .keys()
            .map(String::as_str)
            .filter(|name| name.starts_with("SWITCHHOOK_"))
            .filter(|name| !TABLE.iter().any(|row| row.name == *name))
            .collect()
    }

    /// A problem begins with the key it is about; who set the key by a variable looks for that.
    pub(super) fn name_variable(&self, profile: &str, problem: String) -> String {
        let setter = self.rows(profile).find(|(row, value)| {
            let Meaning::Key(path, _) = row.meaning else {
                return false;
            };
            value.is_some()
                && problem
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.starts_with(':'))
        });
        match setter {
            Some((row, _)) => format!("{} sets {problem}", row.name),
            None => problem,
        }
    }

    /// Rows that hold in this profile, with their value if set.
    pub(super) fn rows<'a>(
        &'a self,
        profile: &'a str,
    ) -> impl Iterator<Item = (&'static Variable, Option<&'a str>)> + 'a {
        TABLE
            .iter()
            .filter(move |row| row.profiles.is_empty() || row.profiles.contains(&profile))
            .map(|row| (row, self.get(row.name)))
    }

    /// One setting for each key that a variable sets, or what is wrong with the variable.
    pub(super) fn settings(&self, profile: &str) -> Vec<Result<Setting, String>> {
        let mut taken: Vec<&str> = Vec::new();
        let mut settings = Vec::new();
        for (row, value) in self.rows(profile) {
            let (Meaning::Key(path, kind), Some(value)) = (row.meaning, value) else {
                continue;
            };
            if taken.contains(&path) {
                continue;
            }
            taken.push(path);
            settings.push(Setting::read(row.name, path, kind, value));
        }
        settings
    }
}

/// One key set from one variable; error messages of figment name the variable.
pub(super) struct Setting {
    variable: &'static str,
    data: Map<figment::Profile, Dict>,
}

impl Setting {
    fn read(
        variable: &'static str,
        path: &'static str,
        kind: Kind,
        value: &str,
    ) -> Result<Self, String> {
        let data = match kind {
            Kind::Text | Kind::Secret => Serialized::global(path, value).data(),
            Kind::Number => {
                let number: u64 = value
                    .parse()
                    .map_err(|_| format!("{variable} must be a whole number, not {value:?}"))?;
                Serialized::global(path, number).data()
            }
            Kind::Bool => {
                let truth = match value.to_ascii_lowercase().as_str() {
                    "true" | "1" | "yes" | "on" => true,
                    "false" | "0" | "no" | "off" => false,
                    _ => return Err(format!("{variable} must be true or false, not {value:?}")),
                };
                Serialized::global(path, truth).data()
            }
            Kind::List => {
                let items: Vec<&str> = value
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .collect();
                Serialized::global(path, items).data()
            }
        };
        let data = data.map_err(|error| format!("{variable}: {error}"))?;
        Ok(Self { variable, data })
    }
}

impl Provider for Setting {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("environment variable {}", self.variable))
    }

    fn data(&self) -> Result<Map<figment::Profile, Dict>, figment::Error> {
        Ok(self.data.clone())
    }
}
