//! Phones by number or SIP address: what they do when they are rung, and how often they were.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::line::{Act, Line};
use super::party::Party;
use crate::carrier::Shared;
use crate::carrier::amd::Nature;
use crate::carrier::leg::{Leg, Status};
use crate::carrier::log::{CarrierError, lock};

/// Which noun, or which kind of address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Sip,
    Client,
}

/// Whom to ring.
#[derive(Clone)]
pub(crate) struct Target {
    pub kind: Kind,
    /// As written.
    pub address: String,
    pub caller_id: String,
    pub credentials: Option<(String, String)>,
}

impl Target {
    /// Errors: 13223, not a number in E.164.
    pub(in crate::carrier) fn number(text: &str, caller_id: String) -> Result<Self, (u32, String)> {
        let number: String = text.chars().filter(|c| !" -()".contains(*c)).collect();
        if !is_e164(&number) {
            return Err((13223, "<Number> holds no number in E.164".to_owned()));
        }
        Ok(Self {
            kind: Kind::Number,
            address: number,
            caller_id,
            credentials: None,
        })
    }

    /// Errors: 13243 bad SIP URI, 13250 longer than 255 characters, 13251 headers longer than 1024,
    /// 32113 a header that is the carrier's own.
    pub(in crate::carrier) fn sip(
        text: &str,
        caller_id: String,
        credentials: Option<(String, String)>,
    ) -> Result<Self, (u32, String)> {
        let uri = text.trim();
        let (address, headers) = uri.split_once('?').unwrap_or((uri, ""));
        let is_sip = address.starts_with("sip:") || address.starts_with("sips:");
        let host = address.split(['@', ':', ';']).nth(1).unwrap_or_default();
        if !is_sip || host.is_empty() || address.contains(char::is_whitespace) {
            return Err((13243, "<Sip> holds no SIP URI".to_owned()));
        }
        if address.len() >= 255 {
            return Err((
                13250,
                "the SIP URI is longer than 254 characters".to_owned(),
            ));
        }
        if headers.len() >= 1_024 {
            return Err((
                13251,
                "the SIP headers are longer than 1023 characters".to_owned(),
            ));
        }
        if headers
            .split('&')
            .any(|h| h.to_ascii_lowercase().starts_with("x-twilio"))
        {
            return Err((32113, "X-Twilio headers are reserved".to_owned()));
        }
        Ok(Self {
            kind: Kind::Sip,
            address: uri.to_owned(),
            caller_id,
            credentials,
        })
    }

    pub(in crate::carrier) fn client(identity: &str, caller_id: String) -> Self {
        Self {
            kind: Kind::Client,
            address: format!("client:{}", identity.trim()),
            caller_id,
            credentials: None,
        }
    }

    /// An address of the REST API: a number, `sip:` or `client:`.
    pub(in crate::carrier) fn of_address(
        to: &str,
        caller_id: &str,
        credentials: Option<(String, String)>,
    ) -> Result<Self, (u32, String)> {
        if let Some(identity) = to.strip_prefix("client:") {
            return Ok(Self::client(identity, caller_id.to_owned()));
        }
        if to.starts_with("sip:") || to.starts_with("sips:") {
            return Self::sip(to, caller_id.to_owned(), credentials);
        }
        Self::number(to, caller_id.to_owned())
    }
}

/// Formats: E.164.
pub(in crate::carrier) fn is_e164(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (2..=15).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.chars().all(|c| c.is_ascii_digit())
}

/// What came of ringing somebody.
#[derive(Debug)]
pub(crate) enum Rung {
    Answered { nature: Nature },
    Refused { status: Status, sip: u16 },
}

/// What whoever answers does then.
#[derive(Debug, Clone, Default)]
pub struct Then {
    says: Vec<String>,
    upon: Vec<(String, String)>,
    hangs_up_after: Option<Duration>,
    by_hand: bool,
}

impl Then {
    /// Stays on the line until somebody hangs up.
    pub fn stays() -> Self {
        Self::default()
    }

    /// Says this when it is their turn; several one after the other.
    #[must_use]
    pub fn says(mut self, text: &str) -> Self {
        self.says.push(text.to_owned());
        self
    }

    /// Presses keys when something with `trigger` in it is heard: an accept key upon a whisper.
    #[must_use]
    pub fn presses(mut self, trigger: &str, digits: &str) -> Self {
        self.upon.push((trigger.to_owned(), digits.to_owned()));
        self
    }

    /// Hangs up so long after answering (carrier time).
    #[must_use]
    pub fn hangs_up_after(mut self, after: Duration) -> Self {
        self.hangs_up_after = Some(after);
        self
    }

    /// The test drives this person: whoever listens is patient ([`crate::carrier::Pace::grace`]).
    #[must_use]
    pub fn by_hand(mut self) -> Self {
        self.by_hand = true;
        self
    }
}

/// What a phone does when it is rung. Times are carrier time.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Rings, and somebody answers.
    Answers {
        /// After so long.
        after: Duration,
        /// What they do then.
        then: Then,
    },
    /// Rings until the test says [`Phone::answers_now`].
    AnswersWhenTold(Then),
    /// Rings until the carrier gives up.
    NoAnswer,
    /// 486.
    Busy,
    /// 603: somebody presses "decline".
    Rejects,
    /// 404: there is no such number or host.
    Unreachable,
    /// Any final SIP status.
    Fails(u16),
    /// A machine answers.
    Machine {
        /// After so long.
        after: Duration,
        /// How long its greeting is.
        greeting: Duration,
        /// Whether it beeps then.
        beep: bool,
    },
    /// A fax answers.
    Fax,
}

impl Behaviour {
    /// Rings three seconds, and somebody answers and stays.
    pub fn answers() -> Self {
        Self::answers_then(Then::stays())
    }

    /// Rings three seconds, and somebody answers.
    pub fn answers_then(then: Then) -> Self {
        Self::Answers {
            after: Duration::from_secs(3),
            then,
        }
    }
}

/// One time a phone was rung.
#[derive(Debug, Clone)]
pub struct RungOnce {
    /// `CA…` of the leg.
    pub call_sid: String,
    /// The caller id shown.
    pub from: String,
    /// As dialled, with URI parameters and headers.
    pub to: String,
    /// The user name offered for a challenge.
    pub username: Option<String>,
}

#[derive(Debug)]
pub(crate) struct PhoneState {
    behaviour: Behaviour,
    next: VecDeque<Behaviour>,
    rung: Vec<RungOnce>,
    answered: Vec<Party>,
    /// How often it may still answer when told.
    told: usize,
}

/// A phone's handle in a test. Cheap to clone.
#[derive(Clone)]
pub struct Phone {
    shared: Arc<Shared>,
    state: Arc<Mutex<PhoneState>>,
    address: String,
}

impl std::fmt::Debug for Phone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Phone({:?})", lock(&self.state).rung)
    }
}

/// Without URI parameters and headers, so that a phone is found however it is dialled.
pub(in crate::carrier) fn plain(address: &str) -> String {
    let end = address.find([';', '?']).unwrap_or(address.len());
    address[..end].trim().to_owned()
}

impl Phone {
    pub(in crate::carrier) fn plug_in(
        shared: &Arc<Shared>,
        address: &str,
        behaviour: Behaviour,
    ) -> Self {
        let address = plain(address);
        let state = {
            let mut all = shared.state();
            let state = all.phones.entry(address.clone()).or_insert_with(|| {
                Arc::new(Mutex::new(PhoneState {
                    behaviour: behaviour.clone(),
                    next: VecDeque::new(),
                    rung: Vec::new(),
                    answered: Vec::new(),
                    told: 0,
                }))
            });
            Arc::clone(state)
        };
        lock(&state).behaviour = behaviour;
        Self {
            shared: Arc::clone(shared),
            state,
            address,
        }
    }

    /// What it does from now on.
    pub fn behaves(&self, behaviour: Behaviour) -> &Self {
        lock(&self.state).behaviour = behaviour;
        self
    }

    /// What it does the next time; several are used in order, then what it does otherwise.
    pub fn next(&self, behaviour: Behaviour) -> &Self {
        lock(&self.state).next.push_back(behaviour);
        self
    }

    /// Somebody answers, once ([`Behaviour::AnswersWhenTold`]).
    pub fn answers_now(&self) -> &Self {
        lock(&self.state).told += 1;
        self.shared.pulse.beat();
        self
    }

    /// How often it was rung.
    pub fn rung(&self) -> usize {
        lock(&self.state).rung.len()
    }

    /// Each time it was rung.
    pub fn rings(&self) -> Vec<RungOnce> {
        lock(&self.state).rung.clone()
    }

    /// Whoever answered, in order.
    pub fn answered(&self) -> Vec<Party> {
        lock(&self.state).answered.clone()
    }

    /// Waits until it was rung `times` in all.
    ///
    /// # Errors
    /// If it was not within `limit` (wall time).
    pub async fn until_rung(&self, times: usize, limit: Duration) -> Result<(), CarrierError> {
        let look = || (self.rung() >= times).then_some(());
        self.wait("the phone to be rung", limit, look).await
    }

    /// Waits until somebody has answered for the `nth` time, counted from 0, and gives who did.
    ///
    /// # Errors
    /// If nobody has within `limit` (wall time).
    pub async fn until_answered(&self, nth: usize, limit: Duration) -> Result<Party, CarrierError> {
        let look = || self.answered().get(nth).cloned();
        self.wait("the phone to be answered", limit, look).await
    }

    async fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        look: impl FnMut() -> Option<T>,
    ) -> Result<T, CarrierError> {
        let found = self.shared.pulse.until(Instant::now() + limit, look).await;
        found.ok_or_else(|| CarrierError {
            what: format!("{what} at {}", self.address),
            limit,
            seen: format!("{:?}, answered {}", self.rings(), self.answered().len()),
        })
    }
}

impl Shared {
    /// Rings somebody: scripted, or over SIP where the configuration says so. Returns when they
    /// have answered or refused; whoever dials gives up by dropping this.
    pub(in crate::carrier) async fn ring(
        self: &Arc<Self>,
        leg: &Arc<Leg>,
        target: &Target,
    ) -> Rung {
        if target.kind == Kind::Sip
            && let Some(address) = super::sip::where_to(self, &target.address)
        {
            return super::sip::ring(self, leg, target, address).await;
        }
        let known = self.state().phones.get(&plain(&target.address)).cloned();
        let Some(phone) = known else {
            // Nobody has such a number here.
            return Rung::Refused {
                status: Status::Failed,
                sip: 404,
            };
        };
        let behaviour = {
            let mut state = lock(&phone);
            state.rung.push(RungOnce {
                call_sid: leg.sid.clone(),
                from: target.caller_id.clone(),
                to: target.address.clone(),
                username: target.credentials.as_ref().map(|(user, _)| user.clone()),
            });
            let next = state.next.pop_front();
            next.unwrap_or_else(|| state.behaviour.clone())
        };
        self.pulse.beat();
        let refused = |status, sip| Rung::Refused { status, sip };
        let (after, then, nature) = match behaviour {
            Behaviour::AnswersWhenTold(then) => {
                self.advance(leg, Status::Ringing);
                let told = || {
                    let mut state = lock(&phone);
                    state.told = state.told.checked_sub(1)?;
                    Some(())
                };
                self.pulse.when(told).await;
                (Duration::ZERO, then, Nature::Human)
            }
            Behaviour::Busy => return refused(Status::Busy, 486),
            Behaviour::Rejects => return refused(Status::Busy, 603),
            Behaviour::Unreachable => return refused(Status::Failed, 404),
            Behaviour::Fails(sip) => return refused(status_of_sip(sip), sip),
            Behaviour::NoAnswer => {
                self.advance(leg, Status::Ringing);
                return std::future::pending().await;
            }
            Behaviour::Answers { after, then } => (after, then, Nature::Human),
            Behaviour::Machine {
                after,
                greeting,
                beep,
            } => (after, Then::stays(), Nature::Machine { greeting, beep }),
            Behaviour::Fax => (Duration::from_secs(3), Then::stays(), Nature::Fax),
        };
        if leg.status() != Status::Ringing {
            self.advance(leg, Status::Ringing);
        }
        tokio::time::sleep(self.config.pace.wall(after)).await;
        self.pick_up(leg, &then);
        lock(&phone)
            .answered
            .push(Party::new(Arc::clone(&leg.line), &leg.sid));
        self.pulse.beat();
        Rung::Answered { nature }
    }

    /// Somebody takes the receiver and does what they were told.
    fn pick_up(&self, leg: &Arc<Leg>, then: &Then) {
        {
            let mut state = leg.line.state();
            state.silent = !then.by_hand;
            for (trigger, digits) in &then.upon {
                let keys = digits.chars().map(Act::Presses).collect();
                state.rules.push((trigger.to_lowercase(), keys, false));
            }
            let words = then.says.iter().map(|text| Act::Says {
                text: text.clone(),
                confidence: 0.93,
            });
            state.pending.extend(words);
        }
        if let Some(after) = then.hangs_up_after {
            let wall = self.config.pace.wall(after);
            let line: Arc<Line> = Arc::clone(&leg.line);
            crate::carrier::spawn(async move {
                tokio::time::sleep(wall).await;
                line.state().hung_up = true;
                line.pulse.beat();
            });
        }
    }
}

/// A final SIP status as a call's status.
pub(in crate::carrier) fn status_of_sip(sip: u16) -> Status {
    match sip {
        486 | 600 | 603 => Status::Busy,
        408 | 480 => Status::NoAnswer,
        487 => Status::Canceled,
        _ => Status::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_judged() {
        let sip = |uri: &str| Target::sip(uri, "x".into(), None).map(|t| plain(&t.address));
        assert_eq!(
            sip("sip:2001@pbx.example.com:5061;transport=tls?X-Ref=42"),
            Ok("sip:2001@pbx.example.com:5061".to_owned())
        );
        let code = |uri: &str| sip(uri).unwrap_err().0;
        assert_eq!(code("2001@pbx.example.com"), 13243);
        assert_eq!(code("sip:"), 13243);
        assert_eq!(code(&format!("sip:{}@example.com", "a".repeat(255))), 13250);
        assert_eq!(code("sip:a@example.com?X-Twilio-Foo=1"), 32113);
        let number = |text: &str| Target::number(text, "x".into()).map(|t| t.address);
        assert_eq!(number("+49 30 23125-100"), Ok("+493023125100".to_owned()));
        assert_eq!(number("030 23125100").unwrap_err().0, 13223);
    }
}
