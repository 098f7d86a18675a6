//! Calls from the world to a number of the account.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::executor::{Source, run_to_end};
use super::leg::{Direction, Leg, NewLeg, Status, Subscription};
use super::log::CarrierError;
use super::people::Party;
use super::sign::{Params, pair};
use super::trunk::exchange;

/// A call to a number of the account.
#[derive(Debug, Clone)]
pub struct CallIn {
    from: String,
    to: String,
    extra: Params,
    is_sip: bool,
}

impl CallIn {
    /// From a number, or whatever the caller shows (`anonymous`), to a number of the account.
    pub fn new(from: &str, to: &str) -> Self {
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            extra: Vec::new(),
            is_sip: false,
        }
    }

    /// With one more parameter in every webhook of the call: `ForwardedFrom`, `StirVerstat`,
    /// `CallerName`, `CallToken`, or one nobody knows.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.extra.push(pair(name, value));
        self
    }

    /// As a call from SIP: `SipDomain`, `SipCallId`, `SipSourceIp`, and a `SipHeader_X-…` for each
    /// header given. Other rules for caller ids hold for it.
    #[must_use]
    pub fn over_sip(mut self, domain: &str, headers: &[(&str, &str)]) -> Self {
        self.is_sip = true;
        self.extra.push(pair("SipDomain", domain));
        self.extra.push(pair("SipCallId", super::sid("")));
        self.extra.push(pair("SipSourceIp", "192.0.2.10"));
        for (name, value) in headers {
            self.extra.push(pair(&format!("SipHeader_{name}"), *value));
        }
        self
    }
}

impl Shared {
    /// Announces a call; returns at once.
    pub(super) fn call_in(self: &Arc<Self>, call: CallIn) -> Result<Party, CarrierError> {
        let number = {
            let state = self.state();
            state.numbers.iter().find(|n| n.number == call.to).cloned()
        };
        let number = number.ok_or_else(|| CarrierError {
            what: "a call to a number that is not the account's".to_owned(),
            limit: Duration::ZERO,
            seen: "add it to CarrierConfig.numbers".to_owned(),
        })?;
        if number.is_on_trunk {
            let trunk = self.config.trunk.as_ref().ok_or_else(|| CarrierError {
                what: "a call to a number on a trunk that is not there".to_owned(),
                limit: Duration::ZERO,
                seen: "set CarrierConfig.trunk".to_owned(),
            })?;
            let origination = trunk.origination;
            return Ok(exchange::originate(self, origination, call.from, call.to));
        }
        let (leg, mut control) = Leg::create(
            self,
            NewLeg {
                direction: Direction::Inbound,
                from: call.from,
                to: call.to,
                parent: None,
                is_sip: call.is_sip,
                subscription: Subscription {
                    // A number's own StatusCallback fires only `completed`.
                    url: number.status_callback,
                    method: "POST".to_owned(),
                    events: Vec::new(),
                },
            },
        );
        {
            let mut state = leg.state();
            state.extra = call.extra;
            if !number.voice_fallback_url.is_empty() {
                state.fallback = Some((number.voice_fallback_url, "POST".to_owned()));
            }
        }
        self.advance(&leg, Status::Ringing);
        let party = Party::new(Arc::clone(&leg.line), &leg.sid);
        let shared = Arc::clone(self);
        super::spawn(async move {
            if number.voice_url.is_empty() {
                // An empty VoiceUrl makes calls fail at once and without any alert.
                shared.finish(&leg, Status::Failed, false).await;
                return;
            }
            let source = Source::Fetch {
                url: number.voice_url,
                method: number.voice_method,
                extra: Vec::new(),
            };
            run_to_end(&shared, &leg, &mut control, source).await;
        });
        Ok(party)
    }
}
