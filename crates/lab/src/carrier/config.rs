//! Who the account is, how fast the carrier's clock runs, and what goes wrong on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::page::PageConfig;
use super::trunk::exchange::ElasticTrunk;
use crate::audio::Audio;

/// How fast the carrier's clock runs.
///
/// Everything the carrier waits for, and everything people do "after" a while, is counted in
/// *carrier time*: `speed` seconds of it pass in a second on the wall. The order of things is so
/// the same as at the real pace. Not scaled: HTTP (its limits are real) and audio (a frame is
/// 20 ms).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Carrier seconds in a second.
    pub speed: f64,
    /// How long speaking one character takes, in milliseconds of carrier time.
    pub ms_per_char: u64,
    /// Whoever listens (Gather, Record) waits at least this long on the wall for a person before it
    /// counts as silent, so that a test on a busy machine is not too late; not for persons who were
    /// told to be silent ([`super::Party::stays_silent`]).
    pub grace: Duration,
}

impl Pace {
    /// As in the world.
    pub fn real() -> Self {
        Self {
            speed: 1.0,
            ms_per_char: 65,
            grace: Duration::ZERO,
        }
    }

    /// For tests: twenty times as fast, and patient with the test.
    pub fn fast() -> Self {
        Self {
            speed: 20.0,
            ms_per_char: 65,
            grace: Duration::from_secs(20),
        }
    }

    /// So long on the wall.
    pub(super) fn wall(&self, carrier: Duration) -> Duration {
        carrier.div_f64(self.speed.max(0.001))
    }

    /// So long for the carrier.
    pub(super) fn carrier(&self, wall: Duration) -> Duration {
        wall.mul_f64(self.speed.max(0.001))
    }

    /// How long a text is spoken, in carrier time.
    pub(super) fn speaking(&self, text: &str) -> Duration {
        let chars = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        Duration::from_millis(chars.saturating_mul(self.ms_per_char))
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::fast()
    }
}

/// A phone number of the account, with the URLs of IncomingPhoneNumbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// `PN…`.
    pub sid: String,
    /// E.164.
    pub number: String,
    /// Where an incoming call is announced; empty: calls fail at once and without any alert.
    pub voice_url: String,
    /// `POST` or `GET`.
    pub voice_method: String,
    /// Asked when `voice_url` fails.
    pub voice_fallback_url: String,
    /// Told when an incoming call is over: only `completed`.
    pub status_callback: String,
    /// Whether messages may be sent from it.
    pub messages: bool,
    /// Whether it is on the account's trunk: then its URLs are ignored (IncomingPhoneNumbers: `TrunkSid`).
    pub is_on_trunk: bool,
}

impl Number {
    /// A number whose calls are announced at this URL.
    pub fn new(number: &str, voice_url: &str) -> Self {
        Self {
            sid: super::sid("PN"),
            number: number.to_owned(),
            voice_url: voice_url.to_owned(),
            voice_method: "POST".to_owned(),
            voice_fallback_url: String::new(),
            status_callback: String::new(),
            messages: true,
            is_on_trunk: false,
        }
    }

    /// A number of the account's trunk ([`CarrierConfig::trunk`]).
    pub fn on_trunk(number: &str) -> Self {
        Self {
            is_on_trunk: true,
            ..Self::new(number, "")
        }
    }

    /// With a status callback.
    #[must_use]
    pub fn status_callback(mut self, url: &str) -> Self {
        url.clone_into(&mut self.status_callback);
        self
    }

    /// With a fallback URL.
    #[must_use]
    pub fn fallback(mut self, url: &str) -> Self {
        url.clone_into(&mut self.voice_fallback_url);
        self
    }
}

/// What is to be spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The text.
    pub text: String,
    /// `voice` of the Say.
    pub voice: Option<String>,
    /// `language` of the Say.
    pub language: Option<String>,
}

/// Speaks: audio of 8 kHz, or nothing if it cannot.
pub type Voice = Arc<dyn Fn(Words) -> BoxFuture<'static, Option<Audio>> + Send + Sync>;

/// Understands: the words of some audio of 8 kHz in a language (`de-DE`), or nothing.
pub type Recogniser =
    Arc<dyn Fn(Audio, Option<String>) -> BoxFuture<'static, Option<String>> + Send + Sync>;

/// The account and its surroundings.
#[derive(Clone)]
pub struct CarrierConfig {
    /// `AC…`.
    pub account_sid: String,
    /// Signs webhooks and opens the REST API.
    pub auth_token: String,
    /// API keys (`SK…`) with their secrets: open the REST API, never sign.
    pub api_keys: BTreeMap<String, String>,
    /// Numbers of the account.
    pub numbers: Vec<Number>,
    /// Verified caller ids (OutgoingCallerIds).
    pub verified: Vec<String>,
    /// WhatsApp senders, without `whatsapp:`.
    pub whatsapp_senders: Vec<String>,
    /// The sandbox's sender, without `whatsapp:`; recipients have to join it.
    pub whatsapp_sandbox: Option<String>,
    /// How fast the clock runs.
    pub pace: Pace,
    /// Origins that are reached elsewhere: `https://gw.example.com` → 127.0.0.1:8080. What is sent
    /// there is signed for the public URL and goes unencrypted, with `X-Forwarded-*`, as behind a
    /// proxy that takes TLS off. Websockets are looked up under the same `https://` origin. With
    /// several addresses requests go to them in turn, as to the nodes of a cluster.
    pub offload: BTreeMap<String, Vec<SocketAddr>>,
    /// Makes what `Say` says heard as audio, at the real pace, for people who listen with their
    /// ears. Without one it is heard as words only.
    pub voice: Option<Voice>,
    /// Turns what a person says aloud into a Gather into words. Without one only words are
    /// understood ([`super::Party::says`]).
    pub recogniser: Option<Recogniser>,
    /// Streams may go to `ws://` (the carrier itself wants `wss://`).
    pub allow_plain_streams: bool,
    /// Hosts of `<Sip>` targets that are really dialled, and where they listen. Other SIP targets
    /// are scripted phones.
    pub sip: BTreeMap<String, SocketAddr>,
    /// The Elastic SIP trunk beside it, if there is one.
    pub trunk: Option<ElasticTrunk>,
    /// Calls created per second (carrier time); what is above is queued. Nothing is, if `None`.
    pub calls_per_second: Option<f64>,
    /// Whether `<Dial action>` is asked although the caller has hung up. Not documented either way.
    pub dial_action_after_hangup: bool,
    /// A page for people beside the API, who call in and take calls by it.
    pub page: Option<PageConfig>,
    /// Where it listens; port 0 takes any.
    pub bind: SocketAddr,
}

impl std::fmt::Debug for CarrierConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CarrierConfig({})", self.account_sid)
    }
}

impl Default for CarrierConfig {
    fn default() -> Self {
        Self {
            account_sid: "AC00000000000000000000000000000001".to_owned(),
            auth_token: "0123456789abcdef0123456789abcdef".to_owned(),
            api_keys: BTreeMap::new(),
            numbers: Vec::new(),
            verified: Vec::new(),
            whatsapp_senders: Vec::new(),
            whatsapp_sandbox: Some("+12025550186".to_owned()),
            pace: Pace::default(),
            offload: BTreeMap::new(),
            voice: None,
            recogniser: None,
            allow_plain_streams: true,
            sip: BTreeMap::new(),
            trunk: None,
            calls_per_second: None,
            dial_action_after_hangup: false,
            page: None,
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }
}

impl CarrierConfig {
    /// An account with one number.
    pub fn with_number(number: &str, voice_url: &str) -> Self {
        Self {
            numbers: vec![Number::new(number, voice_url)],
            ..Self::default()
        }
    }
}

/// How a copy of a webhook is forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgery {
    /// Without a signature.
    Unsigned,
    /// Signed with another token.
    WrongToken,
    /// With the right signature of other parameters.
    Tampered,
}

/// What goes wrong with webhooks from now on.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Every webhook comes twice, with the same idempotency token, the second when the first was
    /// answered; the first answer counts.
    pub duplicates: bool,
    /// The second comes together with the first instead.
    pub at_once: bool,
    /// Every webhook is sent so much later (wall time).
    pub delay: Duration,
    /// Call status callbacks are sent so much later still (wall time): also after the call.
    pub delay_status: Duration,
    /// Call status callbacks come in reverse order, when the call is over.
    pub reverse_status: bool,
    /// Call status callbacks of these events (`initiated`, `ringing`, …) never come.
    pub drop_status: BTreeSet<String>,
    /// Before each webhook a forged copy of it is sent.
    pub forge: Option<Forgery>,
}

/// What the next REST requests get instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestFault {
    /// 429, code 20429, with `Retry-After` in seconds if given; not processed.
    TooMany(Option<u64>),
    /// This status with an error body; not processed.
    Status(u16, u32),
    /// The connection is closed without an answer; not processed.
    Drop,
    /// The request is processed and the answer never comes.
    ProcessedButSilent,
}
