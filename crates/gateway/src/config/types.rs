//! The resolved configuration: what the rest of the program sees.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use switchhook_call::{AttemptResult, FallbackStep, MachinePolicy, OpenHours, TransferMethod};
use switchhook_media::Codec;
use switchhook_media::srtp::sdes::SrtpPolicy;
use switchhook_model::{E164, Extension, Language, Target};
use switchhook_sip::digest::DigestHash;
use switchhook_sip::{CallLimits, SessionTimerConfig, TrunkRegistration};
use switchhook_sip::{SipTransport, TrunkAddress};

use super::database::Database;
use super::secret::Secret;
use super::sip_network::SipNetwork;
use crate::network::Network;

/// How strict the program is about its surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Production,
    Development,
    Demo,
}

#[derive(Debug, Clone)]
pub struct Config {
    pub profile: String,
    pub mode: Mode,
    pub public_url: Option<String>,
    pub language: Language,
    /// IANA name, checked.
    pub time_zone: String,
    pub http: HttpConfig,
    pub data: DataConfig,
    pub sip: SipSection,
    pub extensions: BTreeMap<Extension, ExtensionConfig>,
    pub trunks: BTreeMap<String, TrunkSection>,
    pub media: MediaSection,
    pub assistant: AssistantConfig,
    pub speech: SpeechConfig,
    pub transfer: TransferConfig,
    pub notice: NoticeConfig,
    pub recording: RecordingConfig,
    pub outbound: OutboundConfig,
    pub limits: LimitsConfig,
    /// None: no calls of Twilio are taken.
    pub twilio: Option<TwilioSection>,
    /// None: callers need not say who they are.
    pub pin: Option<PinSection>,
    pub users: Vec<UserSeed>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct HttpConfig {
    pub bind: SocketAddr,
    /// None only in `demo` and `development`: then one is made and kept in the data directory.
    pub signing_key: Option<Secret>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
}

#[derive(Debug, Clone)]
pub struct DataConfig {
    pub dir: PathBuf,
    pub database: Database,
    /// The name we serve under, set where others may share the database.
    pub node: Option<String>,
    pub recordings: PathBuf,
}

#[derive(Debug, Clone)]
pub struct SipSection {
    pub bind: SocketAddr,
    pub realm: String,
    pub digest: Vec<DigestHash>,
    pub session_timer: Option<SessionTimerConfig>,
    pub reliable_provisionals: bool,
    pub loopback_guests: bool,
    pub assistant_numbers: Vec<String>,
    pub keep_headers: Vec<String>,
    /// In order of preference, none twice, at least one.
    pub codecs: Vec<Codec>,
    pub network: SipNetwork,
}

/// How keys are sent to a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtmfMode {
    /// Telephone-event (RFC 4733), else as tones.
    #[default]
    Auto,
    /// SIP INFO, `application/dtmf-relay`.
    Info,
}

#[derive(Debug, Clone)]
pub struct ExtensionConfig {
    pub name: Option<String>,
    pub password: Secret,
    pub srtp: SrtpPolicy,
    pub dtmf: DtmfMode,
}

#[derive(Debug, Clone)]
pub struct TrunkSection {
    pub termination: Option<String>,
    pub transport: SipTransport,
    pub addresses: Vec<TrunkAddress>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// User and password the other side must prove for calls in.
    pub inbound: Option<(String, Secret)>,
    pub from_user: Option<String>,
    pub from_domain: Option<String>,
    pub caller_id: Option<E164>,
    /// In place of those of `sip`.
    pub codecs: Option<Vec<Codec>>,
    pub srtp: SrtpPolicy,
    pub dtmf: DtmfMode,
    /// Whether callers hear what it plays before the answer.
    pub early_media: bool,
    pub watch: TrunkWatch,
    pub calls: CallLimits,
    pub transfer: TransferMethod,
    /// Whether its parties may have others sent to numbers and addresses outside, by REFER.
    pub may_refer: bool,
}

/// How we know whether a trunk is there, and it whether we are.
#[derive(Debug, Clone)]
pub struct TrunkWatch {
    pub qualify_every: Option<Duration>,
    pub skip_when_down: bool,
    pub registration: Option<TrunkRegistration>,
}

#[derive(Debug, Clone)]
pub struct MediaSection {
    pub bind_ip: IpAddr,
    /// For peers of IPv6 when `bind_ip` is of IPv4.
    pub bind_ip6: Option<IpAddr>,
    pub advertised_ip: IpAddr,
    pub first_port: u16,
    pub last_port: u16,
    pub workers: usize,
    pub max_legs: usize,
    pub hold_music: Option<PathBuf>,
    /// Silence of a party that should send until its leg is given up; `None`: never.
    pub rtp_timeout: Option<Duration>,
    pub one_way_audio: Duration,
    pub srtp: SrtpPolicy,
    pub dtmf: DtmfMode,
}

#[derive(Debug, Clone)]
pub struct AssistantConfig {
    pub name: String,
    pub company: Option<String>,
    pub brain: BrainConfig,
    pub greeting: Option<String>,
    pub instructions: Option<String>,
    pub intents_file: Option<PathBuf>,
    pub end_silence: Duration,
}

#[derive(Debug, Clone)]
pub enum BrainConfig {
    Scripted,
    OpenAi(LlmConfig),
}

#[derive(Debug, Clone)]
pub struct LlmConfig {
    pub base_url: String,
    pub api_key: Option<Secret>,
    pub model: String,
    pub temperature: Option<f32>,
    pub max_tokens: u32,
}

#[derive(Debug, Clone)]
pub struct SpeechConfig {
    /// A server somebody else runs; None: ours, installed in `dir`.
    pub url: Option<String>,
    pub dir: PathBuf,
    pub api_key: Option<Secret>,
    pub stt_model: Option<String>,
    pub tts_model: Option<String>,
    pub gain_control: bool,
    pub voice: Option<String>,
}

#[derive(Debug, Clone)]
pub struct TransferConfig {
    pub ring_timeout: Duration,
    pub targets: Vec<Target>,
    pub departments: BTreeMap<String, Vec<Target>>,
    pub spoken_extension: bool,
    /// Whether phrase lists decide without the model.
    pub phrases: bool,
    pub fallback: Vec<FallbackStep>,
    /// Instead, after a last attempt that ended so.
    pub fallback_on: BTreeMap<AttemptResult, Vec<FallbackStep>>,
    pub closed_fallback: Vec<FallbackStep>,
    pub max_transfers: u32,
    pub open_hours: Option<OpenHours>,
}

/// A way to reach staff.
#[derive(Debug, Clone)]
pub enum NoticeWay {
    Webhook(String, Option<Secret>),
    Inbox,
    Sms {
        from: E164,
        to: E164,
    },
    WhatsApp {
        from: E164,
        to: E164,
        template: Option<String>,
    },
}

#[derive(Debug, Clone)]
pub struct NoticeConfig {
    /// The best one first; empty: the built-in inbox.
    pub ways: Vec<NoticeWay>,

    pub wait: Duration,
}

#[derive(Debug, Clone, Copy)]
pub struct RecordingConfig {
    pub enabled: bool,
    pub announce: bool,
}

#[derive(Debug, Clone)]
pub struct OutboundConfig {
    pub allowed_prefixes: Vec<String>,
    pub allowed_sip_hosts: Vec<String>,
    pub trunk: Option<String>,
    pub headers: BTreeMap<String, String>,
    pub pass_headers: Vec<String>,
    pub max_redirects: usize,
    /// Whose national numbers are understood.
    pub region: Option<phonenumber::country::Id>,
    pub hours: Option<CallingHours>,
    pub limits: OutboundLimits,
    pub machine: MachinePolicy,
    pub detection: Detection,
    pub machine_message: Option<String>,
    /// Nobody is really called.
    pub simulate: bool,
}

/// When numbers may be called.
#[derive(Debug, Clone)]
pub struct CallingHours {
    pub otherwise: OpenHours,
    /// By the beginning of the number.
    pub by_prefix: BTreeMap<String, OpenHours>,
}

/// How much may be called. Of calls to numbers only.
#[derive(Debug, Clone)]
pub struct OutboundLimits {
    pub calls_per_minute: u32,
    /// To one number, or for one customer.
    pub customer_calls_per_day: u32,
    /// At the same time.
    pub max_calls: u32,
    pub minutes_per_day: u32,
    pub prices: Option<Prices>,
}

/// What calls cost, and may cost. In whatever currency the prices are in.
#[derive(Debug, Clone)]
pub struct Prices {
    pub per_day: f64,
    /// Of a begun minute, by the beginning of the number; at least one.
    pub per_minute: BTreeMap<String, f64>,
}

/// When it is found out whether a machine answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detection {
    /// Before anybody talks.
    Before,
    /// While the assistant talks.
    Beside,
    Off,
}

/// Who talks to those we call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssistantVia {
    Own,
    /// Somebody else's, dialled by its number.
    Number,
    /// Somebody else's, by SIP.
    Sip,
}

/// How a caller at Twilio is connected with an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferVia {
    /// Dialled from the caller's leg.
    Dial,
    /// Both meet in a conference.
    Conference,
}

#[derive(Debug, Clone)]
pub struct TwilioSection {
    pub account_sid: Option<String>,
    /// The account is the lab's on this machine: nothing here reaches a telephone network.
    pub is_lab: bool,
    /// The current one first.
    pub auth_tokens: Vec<Secret>,
    pub shared_keys: BTreeMap<String, Secret>,
    pub api_url: String,
    pub number: Option<E164>,
    /// Where an assistant of somebody else's answers.
    pub assistant_number: Option<E164>,
    pub assistant_via: AssistantVia,
    /// Host, port and whether TLS is used.
    pub assistant_sip: (String, Option<u16>, bool),
    pub caller_id: Option<E164>,
    pub passes_caller: bool,
    pub sip_domain: Option<String>,
    pub sip_transport: String,
    pub sip_credentials: Option<(String, Secret)>,
    pub whisper: bool,
    pub accept_key: Option<char>,
    /// The assistant talks over a media stream, with our own speech.
    pub streams: bool,
    pub transfer: TransferVia,
    pub voice: TwilioVoice,
}

/// Who speaks and listens at Twilio.
#[derive(Debug, Clone)]
pub struct TwilioVoice {
    pub name: String,
    /// BCP 47.
    pub language: String,
    pub hints: Vec<String>,
    pub speech_model: Option<String>,
}

/// Who callers say they are, and what a wrong PIN costs.
#[derive(Debug, Clone)]
pub struct PinSection {
    pub accounts: Vec<PinAccount>,
    pub human_without_pin: bool,
    /// The caller's number must be one of the account's.
    pub caller_number: bool,
    /// Within one call.
    pub tries: u32,
    /// From one number or for one account, within `lock`.
    pub lock_after: u32,
    pub lock: Duration,
    pub pepper: Option<Secret>,
}

#[derive(Debug, Clone)]
pub struct PinAccount {
    pub id: String,
    pub name: Option<String>,
    pub proof: PinProof,
    pub numbers: Vec<E164>,
}

#[derive(Debug, Clone)]
pub enum PinProof {
    /// A PHC string.
    Hash(Secret),
    /// The PIN itself.
    Shared(Secret),
}

#[derive(Debug, Clone, Copy)]
pub struct LimitsConfig {
    pub call: Duration,
    pub assistant: Duration,
    pub turns: u32,
    pub silent_prompts: u32,
    pub errors: u32,
}

#[derive(Debug, Clone)]
pub struct UserSeed {
    pub name: String,
    pub role: String,
    pub password: Secret,
}
