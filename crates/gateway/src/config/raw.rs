//! What the file and the environment say, unchecked. Every key's unit and default is here; unknown
//! keys are refused.

mod carrier;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use switchhook_call::FallbackStep;
use switchhook_call::hours::WeeklySpan;

pub use carrier::{RawOutbound, RawPin, RawPinAccount, RawTwilio};

use super::secret::Secret;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// `production` (default), `development` or `demo`.
    pub mode: Option<String>,
    /// The https address at which vendors reach us.
    pub public_url: Option<String>,
    /// `en` (default), `de` or `ar`.
    pub language: Option<String>,
    /// IANA name; default `UTC`.
    pub time_zone: Option<String>,
    #[serde(default)]
    pub http: RawHttp,
    #[serde(default)]
    pub data: RawData,
    #[serde(default)]
    pub sip: RawSip,
    /// Keyed by the extension's digits.
    #[serde(default)]
    pub extensions: BTreeMap<String, RawExtension>,
    /// Lists of addresses by name, for `addresses = ["@name"]`.
    #[serde(default)]
    pub networks: BTreeMap<String, Vec<String>>,
    /// Keyed by the trunk's name.
    #[serde(default)]
    pub trunks: BTreeMap<String, RawTrunk>,
    #[serde(default)]
    pub media: RawMedia,
    #[serde(default)]
    pub assistant: RawAssistant,
    #[serde(default)]
    pub llm: RawLlm,
    #[serde(default)]
    pub speech: RawSpeech,
    #[serde(default)]
    pub transfer: RawTransfer,
    #[serde(default)]
    pub notice: RawNotice,
    #[serde(default)]
    pub recording: RawRecording,
    #[serde(default)]
    pub outbound: RawOutbound,
    #[serde(default)]
    pub limits: RawLimits,
    #[serde(default)]
    pub twilio: RawTwilio,
    #[serde(default)]
    pub pin: RawPin,
    /// Users made at the first start; keyed by name.
    #[serde(default)]
    pub users: BTreeMap<String, RawUser>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawHttp {
    /// Address and port; default `127.0.0.1:8080`.
    pub bind: Option<String>,
    /// Replaces the port of `bind`.
    pub port: Option<u16>,
    /// Key of our JWTs, at least 32 characters.
    pub signing_key: Option<Secret>,
    pub signing_key_file: Option<PathBuf>,
    /// Proxies in front of us whose `X-Forwarded-For` names the client: addresses or networks such
    /// as `10.0.0.0/8`. Default none: the client is whoever connects.
    #[serde(default)]
    pub trusted_proxies: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawData {
    /// Database, recordings and keys; default `var`.
    pub dir: Option<PathBuf>,
    /// `sqlite://PATH` (default: `switchhook.db` in `dir`) or
    /// `postgres://USER:PASSWORD@HOST/DATABASE`.
    pub database_url: Option<Secret>,
    /// Of gateways that share a PostgreSQL database, the name of this one, the same after each
    /// restart; default: the host's name.
    pub node: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSip {
    /// UDP and TCP address; default `127.0.0.1:5060`.
    pub bind: Option<String>,
    /// Digest realm; default `switchhook`.
    pub realm: Option<String>,
    /// Digest algorithms callers and phones may use: `MD5`, `SHA-256`, `SHA-512-256`; the strongest
    /// is offered first. Default `["MD5"]`.
    pub digest: Option<Vec<String>>,
    /// Seconds after which a dialog that nobody refreshes ends (RFC 4028); 0: no session timers.
    /// Default 1800.
    pub session_expires_s: Option<u32>,
    /// Shortest such interval accepted from others. Default 90.
    pub session_min_s: Option<u32>,
    /// 100rel (RFC 3262). Default true.
    pub reliable_provisionals: Option<bool>,
    /// Callers from a loopback address need no credentials. Default false.
    pub loopback_guests: Option<bool>,
    /// Headers of a caller's INVITE that are stored with the call; default Diversion, History-Info,
    /// User-to-User.
    pub keep_headers: Option<Vec<String>>,
    /// User parts and numbers that reach the assistant; default `["assistant"]`.
    pub assistant_numbers: Option<Vec<String>>,
    /// Of `opus`, `g722`, `pcmu`, `pcma`, in the order in which we offer them; default
    /// `["g722", "pcmu", "pcma", "opus"]`.
    pub codecs: Option<Vec<String>>,
    /// Further UDP and TCP addresses, for example `[2001:db8::10]:5060`.
    #[serde(default)]
    pub listen: Vec<String>,
    /// What peers of some networks are told to reach us at, in SIP and SDP; the first that fits.
    #[serde(default)]
    pub advertise: Vec<RawAdvertise>,
    /// TLS addresses, usually port 5061; default none.
    #[serde(default)]
    pub tls: Vec<String>,
    /// Our certificate chain (PEM, our own first) and its key (PEM: PKCS#8, PKCS#1 or SEC1).
    pub tls_certificate_file: Option<PathBuf>,
    pub tls_key_file: Option<PathBuf>,
    /// Certificates (PEM) that may sign those of the servers we connect to.
    pub tls_ca_file: Option<PathBuf>,
    /// Trust the system's roots as well. Default true.
    pub tls_system_roots: Option<bool>,
    /// What we show to servers that ask for a certificate.
    pub tls_client_certificate_file: Option<PathBuf>,
    pub tls_client_key_file: Option<PathBuf>,
    /// SIP over WebSocket for browsers at `/sip` of the HTTP port. Default false.
    pub websocket: Option<bool>,
    /// Origins whose pages may connect, `https://app.example.com`, or `*`; default: that of
    /// `public_url`, without one only pages from the very host that is connected to.
    #[serde(default)]
    pub websocket_origins: Vec<String>,
    /// New calls a second from everybody, and from each source address; default: no limit.
    pub calls_per_s: Option<u32>,
    pub source_calls_per_s: Option<u32>,
    /// Calls at the same time from each source address; default: no limit.
    pub source_calls: Option<u32>,
    /// Proxies of ours in front of phones: nothing is counted by their addresses.
    #[serde(default)]
    pub proxies: Vec<String>,
    /// Requests without proof from one address in five minutes before it hears nothing. Default 200;
    /// 0: no limit.
    pub max_unproven: Option<u32>,
    /// Name servers, address and port; default: the system's.
    #[serde(default)]
    pub dns_servers: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAdvertise {
    /// Addresses, networks, `@name` of a list.
    pub networks: Vec<String>,
    pub address: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawExtension {
    pub name: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    /// `off`, `optional` or `required`; default: `media.srtp`.
    pub srtp: Option<String>,
    /// `auto` or `info`; default: `media.dtmf`.
    pub dtmf: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTrunk {
    /// Host or host:port where calls out are sent.
    pub termination: Option<String>,
    /// `udp` (default), `tcp` or `tls`.
    pub transport: Option<String>,
    /// Source addresses from which calls in are accepted: `203.0.113.7`, `203.0.113.0/24`,
    /// `203.0.113.7:5060`, `@name` of a list.
    #[serde(default)]
    pub addresses: Vec<String>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    /// Credentials the other side must prove for calls in.
    pub inbound_username: Option<String>,
    pub inbound_password: Option<Secret>,
    pub inbound_password_file: Option<PathBuf>,
    pub from_user: Option<String>,
    pub from_domain: Option<String>,
    /// Number shown to the called party.
    pub caller_id: Option<String>,
    /// In place of `sip.codecs`.
    pub codecs: Option<Vec<String>>,
    /// `off`, `optional` or `required`; default: `media.srtp`.
    pub srtp: Option<String>,
    /// `auto` or `info`; default: `media.dtmf`.
    pub dtmf: Option<String>,
    /// Callers hear what it plays before the answer: announcements, the far ringing tone. Default
    /// true; false: our ringing tone.
    pub early_media: Option<bool>,
    /// Seconds between two OPTIONS that ask whether the termination is there, a tenth more or less;
    /// 0: never. Default 30.
    pub qualify_s: Option<u32>,
    /// While it does not answer OPTIONS, dials over it fail at once. Default false: they are tried.
    pub skip_when_down: Option<bool>,
    /// Register there as an extension, with `username` and `password`. Default false.
    pub register: Option<bool>,
    /// Host or host:port of the registrar; default: `termination`.
    pub registrar: Option<String>,
    /// Seconds a registration is asked for; default 3600.
    pub register_expires_s: Option<u32>,
    /// New calls in a second, and calls in at the same time; default: no limit.
    pub calls_per_s: Option<u32>,
    pub max_calls: Option<u32>,
    /// How callers who came over it are transferred: `bridge` (default) or `refer`.
    pub transfer: Option<String>,
    /// Its parties' REFER may lead outside, at our cost (default: to extensions only).
    pub may_refer: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawMedia {
    /// `FIRST-LAST`; default `10000-20000`.
    pub rtp_ports: Option<String>,
    /// Address of our RTP sockets and in our SDP; default: the address of `sip.bind`.
    pub bind_ip: Option<String>,
    /// Address of the RTP sockets for peers of the other family; default: the first of `sip.listen`.
    pub bind_ip6: Option<String>,
    /// Address written into SDP when it differs from `bind_ip` (NAT).
    pub advertised_ip: Option<String>,
    /// Threads that carry audio; default: one per core, at most 4.
    pub workers: Option<usize>,
    /// Legs in all; the next call is refused with 503. Default 2000.
    pub max_legs: Option<usize>,
    /// WAV file that a party hears while the other one holds; default: a quiet chime.
    pub hold_music: Option<PathBuf>,
    /// Seconds without RTP after which a leg is given up; default 60, 0 never.
    pub rtp_timeout_s: Option<u64>,
    /// Silence of a party that should be heard until the one-way-audio alarm, in seconds. Default 3.
    pub one_way_audio_s: Option<u32>,
    /// Protected media: `off` (default), `optional` or `required`. For whoever has no key of its
    /// own: guests, SIP URIs, and extensions and trunks without `srtp`.
    pub srtp: Option<String>,
    /// How keys are sent: `auto` (default: telephone-event, else as tones) or `info` (SIP INFO).
    /// Both are understood at all times.
    pub dtmf: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAssistant {
    /// How the assistant introduces itself.
    pub name: Option<String>,
    /// Who the assistant answers for.
    pub company: Option<String>,
    /// `scripted` (default) or `openai`.
    pub brain: Option<String>,
    /// First words; default: the language's own.
    pub greeting: Option<String>,
    /// What the model is told about its task, before our own rules.
    pub instructions: Option<String>,
    /// Intents of the scripted assistant; default: the shipped file of the language.
    pub intents_file: Option<PathBuf>,
    /// Silence that ends the caller's turn, in milliseconds. Default 700.
    pub end_silence_ms: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLlm {
    /// Base URL of an OpenAI-compatible server, up to and with `/v1`.
    pub base_url: Option<String>,
    pub api_key: Option<Secret>,
    pub api_key_file: Option<PathBuf>,
    pub model: Option<String>,
    pub temperature: Option<f32>,
    /// Limit on tokens of one reply. Default 300.
    pub max_tokens: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSpeech {
    /// A speech server that runs already (OpenAI routes, without `/v1`). Then none is started.
    pub url: Option<String>,
    /// Where the local speech server is installed; default `speech` in `data.dir`.
    pub dir: Option<PathBuf>,
    pub api_key: Option<Secret>,
    pub stt_model: Option<String>,
    pub tts_model: Option<String>,
    /// Callers much too quiet or too loud are brought nearer for the recogniser. Default true.
    pub gain_control: Option<bool>,
    pub voice: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTransfer {
    /// Seconds one target rings; default 20.
    pub ring_timeout_s: Option<u32>,
    /// Rung one after the other.
    pub targets: Option<Vec<String>>,
    /// Targets for each department.
    #[serde(default)]
    pub departments: BTreeMap<String, Vec<String>>,
    /// Departments that ring `targets`, unless they have targets of their own.
    pub department_names: Option<Vec<String>>,
    /// Who names no department is for this one.
    pub default_department: Option<String>,
    /// Everybody is put through by this number, whose route at the PBX does the rest.
    pub trunk_number: Option<String>,
    /// Whether that is so. Default false.
    pub use_trunk_number: Option<bool>,
    /// "Transfer me to extension 2001". Default false.
    pub spoken_extension: Option<bool>,
    /// Phrase lists recognise the wish for a human, and a goodbye, without asking the model. Default:
    /// true for the scripted assistant, false for a model, which has tools for both.
    pub phrases: Option<bool>,
    /// `return_to_assistant`, `take_message`, `notify_staff`, `goodbye`, in this order.
    pub fallback: Option<Vec<FallbackStep>>,
    /// The same after a last attempt that ended so: `busy`, `no_answer`, `failed`.
    #[serde(default)]
    pub fallback_on: BTreeMap<String, Vec<FallbackStep>>,
    /// The same while closed.
    pub closed_fallback: Option<Vec<FallbackStep>>,
    pub max_transfers: Option<u32>,
    pub open_hours: Option<RawHours>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawHours {
    /// For example `{ days = ["mon", "tue"], from = "09:00", to = "17:00" }`.
    pub weekly: Vec<WeeklySpan>,
    /// Closed days, `2026-12-25`.
    #[serde(default)]
    pub holidays: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawNotice {
    /// Where staff notices are posted; without it they go to the built-in inbox.
    pub url: Option<String>,
    /// `whsec_` and base64: signs the notice.
    pub secret: Option<Secret>,
    pub secret_file: Option<PathBuf>,
    /// Seconds a waiting caller is kept before hearing that the notice is still on its way.
    pub wait_s: Option<u32>,
    /// Ways to reach staff, the next one where one fails: `sms`, `whatsapp`, `webhook`, `inbox`.
    /// Default: those that are set up, in this order; the inbox if there is none.
    pub ways: Option<Vec<String>>,
    /// By Twilio, from `twilio.number` unless `sms_from` is set.
    pub sms_to: Option<String>,
    pub sms_from: Option<String>,
    /// With or without `whatsapp:` before the number.
    pub whatsapp_to: Option<String>,
    pub whatsapp_from: Option<String>,
    /// `HX…` of an approved template whose first variable is the text. Without one, messages arrive
    /// only within 24 hours of the receiver's last word (63016).
    pub whatsapp_template: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRecording {
    /// Default true in `demo`, false elsewhere.
    pub enabled: Option<bool>,
    /// Say that the call is recorded before anything else. Default true outside `demo`.
    pub announce: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLimits {
    /// Minutes of one call; default 60.
    pub call_minutes: Option<u32>,
    /// Caller turns with the assistant in one call; default 60.
    pub turns: Option<u32>,
    /// Minutes with the assistant; default 20.
    pub assistant_minutes: Option<u32>,
    /// Silent prompts before the goodbye; default 3.
    pub silent_prompts: Option<u32>,
    /// Provider failures in a row before the goodbye; default 3.
    pub errors: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawUser {
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    /// `operator` (default), `admin` or `desk`.
    pub role: Option<String>,
}
