//! A carrier that runs on a laptop: a stand-in for Twilio's Programmable Voice and Messaging, good
//! enough to develop against.
//!
//! It serves the REST API, executes TwiML, signs and repeats webhooks, opens media streams, and
//! scripts the people at the other ends. What it does is written from the vendor's documentation
//! (the comments name the page or the fact); where that is silent, the comment says so. It shares
//! no code with the gateway's client of the same vendor: neither signing nor reading TwiML.
//!
//! What belongs here: the vendor's side of every conversation, its SIP trunk ([`Trunk`]) and a page
//! for people ([`PageConfig`]) included. What does not: anything of the gateway.
//!
//! ```no_run
//! # use std::time::Duration; use switchhook_lab::carrier::*;
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let config = CarrierConfig::with_number("+493023125000", "http://127.0.0.1:8080/twilio/voice");
//! let carrier = Carrier::start(config).await?;
//! let agent = carrier.phone("+493023125101", Behaviour::answers());
//! let caller = carrier.call_in("+12025550123", "+493023125000").await?;
//! caller.until_hears("how can I help", Duration::from_secs(30)).await?;
//! caller.says("a human, please");
//! let colleague = agent.until_answered(0, Duration::from_secs(30)).await?;
//! assert_eq!(agent.rung(), 1);
//! colleague.hangs_up();
//! # Ok(()) }
//! ```

mod amd;
mod conferences;
mod config;
mod executor;
mod grammar;
mod inbound;
mod leg;
mod log;
mod messages;
mod outbound;
mod page;
mod people;
mod recordings;
mod rest;
mod room;
mod shared;
mod sign;
mod stream;
mod trunk;
mod twiml;
mod webhooks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

pub use amd::Nature;
pub use config::{
    CarrierConfig, Faults, Forgery, Number, Pace, Recogniser, RestFault, Voice, Words,
};
pub use inbound::CallIn;
pub use log::{Answer, CarrierError, CarrierLog, Problem, RestRequest, Verb, Webhook, WebhookKind};
pub use messages::{Fate, Message, MessageFate};
pub use page::{PageConfig, SpeechAt};
pub use people::phone::RungOnce;
pub use people::{Behaviour, Ended, Heard, Party, Phone, Then};
pub use recordings::Recording;
pub use sign::{Params, sign};
pub use stream::StreamSeen;
pub use trunk::exchange::ElasticTrunk;
pub use trunk::{Terminated, Trunk, TrunkConfig};
pub use twiml::Element;

use log::lock;
use shared::{Shared, client, rfc2822, sid, spawn};

/// What REST shows of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallSeen {
    /// `CA…`.
    pub sid: String,
    /// The leg that dialled it.
    pub parent: Option<String>,
    /// `inbound`, `outbound-api`, `outbound-dial`.
    pub direction: String,
    /// Caller id.
    pub from: String,
    /// Who was called.
    pub to: String,
    /// `queued`, `ringing`, `in-progress`, `completed`, …
    pub status: String,
    /// What answering machine detection found.
    pub answered_by: Option<String>,
}

/// A running carrier on a loopback port. It stops when dropped.
pub struct Carrier {
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Carrier({})", self.shared.address())
    }
}

/// Whoever is on the line is cut off, and nobody is told.
impl Drop for Carrier {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Carrier {
    /// Starts serving the REST API, and the trunk if there is one.
    ///
    /// # Errors
    /// If a port cannot be had.
    pub async fn start(mut config: CarrierConfig) -> std::io::Result<Self> {
        let bind = config.bind;
        let page = config
            .page
            .take()
            .map(|page| page::Page::prepare(page, &mut config));
        if let Some(trunk) = &config.trunk {
            // Origination is really dialled.
            let origination = trunk.origination;
            config.sip.insert(origination.to_string(), origination);
        }
        let shared = Shared::new(config);
        if let Some(trunk) = shared.config.trunk.clone() {
            let opened = trunk::exchange::open(&shared, trunk).await;
            shared.runs_trunk(opened.map_err(std::io::Error::other)?);
        }
        let mut router = rest::router(Arc::clone(&shared));
        if let Some(page) = page {
            router = page.router(&shared).fallback_service(router);
        }
        let (address, stop) = crate::providers::serve(bind, router).await?;
        shared.listens_at(address);
        Ok(Self {
            shared,
            _stop: stop,
        })
    }

    /// The base URL of the REST API: `http://127.0.0.1:PORT` instead of `https://api.twilio.com`.
    pub fn url(&self) -> String {
        self.shared.url()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address()
    }

    /// Where the SIP of its trunk is, if it has one.
    pub fn trunk_address(&self) -> Option<SocketAddr> {
        self.shared.trunk().map(Trunk::address)
    }

    /// `AC…`.
    pub fn account_sid(&self) -> &str {
        &self.shared.config.account_sid
    }

    /// Somebody calls one of the account's numbers.
    ///
    /// # Errors
    /// If the number is not the account's.
    pub async fn call_in(&self, from: &str, to: &str) -> Result<Party, CarrierError> {
        self.place(CallIn::new(from, to)).await
    }

    /// The same with everything one may want to set.
    ///
    /// # Errors
    /// If the number is not the account's.
    pub async fn place(&self, call: CallIn) -> Result<Party, CarrierError> {
        self.shared.call_in(call)
    }

    /// The phone of a number, SIP address or client, which does this when it is rung. Who has no
    /// phone is unreachable.
    pub fn phone(&self, address: &str, behaviour: Behaviour) -> Phone {
        Phone::plug_in(&self.shared, address, behaviour)
    }

    /// What becomes of messages to a recipient (`+49…` or `whatsapp:+49…`) from now on.
    pub fn recipient(&self, address: &str, fate: MessageFate) -> &Self {
        let mut state = self.shared.state();
        state.fates.insert(address.to_owned(), fate);
        drop(state);
        self
    }

    /// A recipient writes: the 24-hour window of WhatsApp is open from now on.
    pub fn writes_in(&self, from: &str) -> &Self {
        let mut state = self.shared.state();
        state.windows.insert(from.to_owned());
        drop(state);
        self
    }

    /// Everything sent so far.
    pub fn messages(&self) -> Vec<Message> {
        self.shared.state().messages.clone()
    }

    /// Changes what goes wrong with webhooks.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) -> &Self {
        change(&mut lock(&self.shared.faults));
        self
    }

    /// Webhooks beyond the `nth` of this carrier, counted from 1 in the order in which they begin,
    /// are held back until more are allowed; `None` allows all. So an application can be stopped
    /// exactly between two of them, and started again. Forged and duplicate copies, and further
    /// tries of the same webhook, are not counted. The clock does not stop meanwhile.
    pub fn hold_after(&self, nth: Option<usize>) -> &Self {
        self.shared.allow(nth);
        self
    }

    /// The next REST requests fail so, one each.
    pub fn rest_faults(&self, faults: impl IntoIterator<Item = RestFault>) -> &Self {
        lock(&self.shared.rest_faults).extend(faults);
        self
    }

    /// Where the calls of a number are announced from now on.
    pub fn set_voice_url(&self, number: &str, url: &str) -> &Self {
        let mut state = self.shared.state();
        for n in state.numbers.iter_mut().filter(|n| n.number == number) {
            url.clone_into(&mut n.voice_url);
        }
        drop(state);
        self
    }

    /// What the carrier did so far.
    pub fn log(&self) -> CarrierLog {
        self.shared.log().clone()
    }

    /// Every call so far, in the order in which they began.
    pub fn calls(&self) -> Vec<CallSeen> {
        let legs = self.shared.state().legs.clone();
        legs.iter().map(|leg| shared::seen(leg)).collect()
    }

    /// Every recording so far.
    pub fn recordings(&self) -> Vec<Recording> {
        self.shared.state().recordings.clone()
    }

    /// Every media stream so far.
    pub fn streams(&self) -> Vec<StreamSeen> {
        self.shared.state().streams.clone()
    }

    /// Waits until `look` finds something in what the carrier did.
    ///
    /// # Errors
    /// If it does not within `limit` (wall time).
    pub async fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, CarrierError> {
        let found = self
            .shared
            .pulse
            .until(Instant::now() + limit, || look(self))
            .await;
        found.ok_or_else(|| CarrierError {
            what: what.to_owned(),
            limit,
            seen: self.summary(),
        })
    }

    /// Waits for a webhook that satisfies a condition and was answered; forged and duplicate ones
    /// do not count.
    ///
    /// # Errors
    /// If there is none within `limit` (wall time).
    pub async fn until_webhook(
        &self,
        what: &str,
        limit: Duration,
        condition: impl Fn(&Webhook) -> bool,
    ) -> Result<Webhook, CarrierError> {
        let look = |carrier: &Self| {
            let log = carrier.shared.log();
            let mut own = log.webhooks.iter().filter(|w| !w.forged && !w.duplicate);
            own.find(|w| w.answer != Answer::Pending && condition(w))
                .cloned()
        };
        self.until(what, limit, look).await
    }

    /// Waits until no call is under way and no webhook is unanswered.
    ///
    /// # Errors
    /// If that is not so within `limit` (wall time).
    pub async fn until_quiet(&self, limit: Duration) -> Result<(), CarrierError> {
        let look = |carrier: &Self| {
            let legs = carrier.shared.state().legs.clone();
            let over = legs.iter().all(|leg| leg.status().is_final());
            let log = carrier.shared.log();
            let answered = log.webhooks.iter().all(|w| w.answer != Answer::Pending);
            (over && answered && !carrier.shared.is_busy()).then_some(())
        };
        self.until("all calls to be over", limit, look).await
    }

    fn summary(&self) -> String {
        let log = self.shared.log();
        let webhooks: Vec<String> = log
            .webhooks
            .iter()
            .map(|w| format!("{} {} -> {}", w.method, w.path(), w.status()))
            .collect();
        let verbs: Vec<&str> = log.verbs.iter().map(|v| v.name.as_str()).collect();
        format!(
            "webhooks {webhooks:?}, verbs {verbs:?}, problems {:?}",
            log.problems
        )
    }
}
