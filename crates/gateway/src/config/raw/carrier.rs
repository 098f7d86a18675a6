//! As written in the file: calls at Twilio, calls out, and PINs of callers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::RawHours;
use crate::config::Secret;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawOutbound {
    /// Number prefixes that may be dialled; empty: none.
    #[serde(default)]
    pub allowed_prefixes: Vec<String>,
    /// Hosts to which SIP URIs may be dialled; empty: none.
    #[serde(default)]
    pub allowed_sip_hosts: Vec<String>,
    /// Trunk for numbers.
    pub trunk: Option<String>,
    /// Headers written on every INVITE of ours: X- headers and User-to-User.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Kept headers of the caller that are written on INVITEs to the targets.
    #[serde(default)]
    pub pass_headers: Vec<String>,
    /// Redirections (3xx) one dial follows; default 3.
    pub max_redirects: Option<usize>,
    /// Whose national numbers are understood: two letters of ISO 3166, `DE`. Default: none.
    pub region: Option<String>,
    /// When numbers may be called, by the called party's clock; default: at any time.
    pub hours: Option<RawHours>,
    /// Time zones by the beginning of the number; the longest that fits, else `time_zone`.
    #[serde(default)]
    pub time_zones: BTreeMap<String, String>,
    /// Calls to numbers begun in a minute; default 30.
    pub calls_per_minute: Option<u32>,
    /// Calls to one number, or for one `customer_id`, in a day; default 5.
    pub customer_calls_per_day: Option<u32>,
    /// Calls to numbers at the same time; default 20.
    pub max_calls: Option<u32>,
    /// Minutes of calls to numbers in a day; default 1000.
    pub minutes_per_day: Option<u32>,
    /// Most that calls to numbers may cost in a day, by `price_per_minute`; default: no limit.
    pub spend_per_day: Option<f64>,
    /// Prices of a begun minute by the beginning of the number; the longest that fits, else the
    /// highest.
    #[serde(default)]
    pub price_per_minute: BTreeMap<String, f64>,
    /// What follows when a machine answers: `hang_up` (default), `message` or `go_on`.
    pub machine: Option<String>,
    /// `before` (default: the party hears nothing until it is known), `beside` (the assistant talks
    /// meanwhile) or `off`.
    pub machine_detection: Option<String>,
    /// What is said to a machine; default: a sentence of the language.
    pub machine_message: Option<String>,
    /// Call nobody: every call to a number is acted by this program. Default false.
    pub simulate: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTwilio {
    /// Take calls of Twilio. Default: whether an account or a token is set.
    pub enabled: Option<bool>,
    /// `AC` and 32 hexadecimal digits.
    pub account_sid: Option<String>,
    /// Signs webhooks and opens the REST API.
    pub auth_token: Option<Secret>,
    pub auth_token_file: Option<PathBuf>,
    /// The former token while it is being replaced: webhooks signed with it are still taken.
    pub old_auth_token: Option<Secret>,
    /// Keys of the webhook rules by their ids.
    #[serde(default)]
    pub shared_keys: BTreeMap<String, Secret>,
    /// Base of the REST API; default `https://api.twilio.com`. A region or an imitation.
    pub api_url: Option<String>,
    /// Our number there: shown to those we call.
    pub number: Option<String>,
    /// The number at which an assistant of somebody else's (ElevenLabs) answers.
    pub assistant_number: Option<String>,
    /// Who talks to those we call: `own` assistant, or somebody else's at `assistant_number`, reached
    /// by `number` or by `sip`. Default: `number` where `assistant_number` is set, else `own`.
    pub assistant_via: Option<String>,
    /// Where `assistant_number` is reached by SIP: host, host:port, with `;transport=tcp` or `tls`.
    /// Default `sip.rtc.elevenlabs.io:5060;transport=tcp`.
    pub assistant_sip: Option<String>,
    /// The number agents see when a caller is transferred; default: the caller's own if
    /// `pass_caller`, else `number`.
    pub caller_id: Option<String>,
    /// Agents see the caller's number, which Twilio allows on the caller's own leg. Default true.
    pub pass_caller: Option<bool>,
    /// The PBX at which extensions are reached: host or host:port.
    pub sip_domain: Option<String>,
    /// `udp` (default), `tcp` or `tls`.
    pub sip_transport: Option<String>,
    /// What the PBX asks of Twilio.
    pub sip_username: Option<String>,
    pub sip_password: Option<Secret>,
    pub sip_password_file: Option<PathBuf>,
    /// Agents are told who calls before they are connected. Default false.
    pub whisper: Option<bool>,
    /// The key an agent presses to take a call; without one answering is enough.
    pub accept_key: Option<String>,
    /// `dial` (default) or `conference`.
    pub transfer: Option<String>,
    /// How the assistant talks: `gather` (default: Twilio's recognition and voices) or `stream`
    /// (our own, over a websocket).
    pub talk: Option<String>,
    /// Who speaks: a voice of Twilio's. Default: one of the language.
    pub voice: Option<String>,
    /// BCP 47 tag of what is spoken and recognised. Default: the language's.
    pub voice_language: Option<String>,
    /// Words the recogniser should expect.
    #[serde(default)]
    pub hints: Vec<String>,
    pub speech_model: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPin {
    /// Callers over Twilio say or enter a PIN before they talk to the assistant. Default false.
    pub enabled: Option<bool>,
    /// Callers without a PIN may ask for a human. Default true.
    pub human_without_pin: Option<bool>,
    /// An account is reached from its `numbers` only. Default false.
    pub caller_number: Option<bool>,
    /// Wrong PINs in one call; default 3.
    pub tries: Option<u32>,
    /// Wrong PINs from one number, and for one account, until it is locked; default 10.
    pub lock_after: Option<u32>,
    /// For so long, from the first wrong PIN; default 60.
    pub lock_minutes: Option<u32>,
    /// Goes into every hash, so that the hashes alone are worth nothing.
    pub pepper: Option<Secret>,
    pub pepper_file: Option<PathBuf>,
    /// One PIN for everybody who may call, of four to six digits.
    pub shared: Option<Secret>,
    /// Take `test_pin`; not in production. Default false.
    pub enable_test_pin: Option<bool>,
    /// Default 1234.
    pub test_pin: Option<Secret>,
    /// Keyed by the account's id.
    #[serde(default)]
    pub accounts: BTreeMap<String, RawPinAccount>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPinAccount {
    /// How the caller is greeted.
    pub name: Option<String>,
    /// What `switchhook pin` prints.
    pub hash: Option<Secret>,
    pub hash_file: Option<PathBuf>,
    /// Numbers the caller calls from.
    #[serde(default)]
    pub numbers: Vec<String>,
}
