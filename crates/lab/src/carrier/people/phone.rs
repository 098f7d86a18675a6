//! Phones by number or SIP address: what they do when they are rung, and how often they were.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::line::{Act, Heard, Line, Rule};
use super::party::Party;
use super::target::{Kind, Target, anywhere, plain};
use crate::carrier::Shared;
use crate::carrier::amd::Nature;
use crate::carrier::leg::{Leg, Status};
use crate::carrier::log::{CarrierError, lock};

/// How sure the recogniser is of what people say.
const CONFIDENCE: f64 = 0.93;

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
    upon: Vec<Rule>,
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
        let keys = digits.chars().map(Act::Presses).collect();
        self.upon.push((trigger.to_lowercase(), keys, false));
        self
    }

    /// Says this each time something with `trigger` in it is heard, as soon as it is their turn.
    #[must_use]
    pub fn says_upon(mut self, trigger: &str, text: &str) -> Self {
        let words = Act::Says {
            text: text.to_owned(),
            confidence: CONFIDENCE,
        };
        self.upon.push((trigger.to_lowercase(), vec![words], false));
        self
    }

    /// Hangs up when something with `trigger` in it is heard.
    #[must_use]
    pub fn hangs_up_upon(mut self, trigger: &str) -> Self {
        self.upon.push((trigger.to_lowercase(), Vec::new(), true));
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
    /// Rings until somebody says [`Phone::answers_now`] or [`Phone::decides`].
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
        /// The words of it: whoever listens takes them for a person's.
        text: String,
        /// Whether it beeps then.
        beep: bool,
    },
    /// A fax answers.
    Fax,
}

impl Behaviour {
    /// Rings three seconds, and a machine answers; it beeps after its greeting (carrier time).
    pub fn machine(greeting: Duration) -> Self {
        Self::Machine {
            after: Duration::from_secs(3),
            greeting,
            text: "You have reached the mailbox of this number.".to_owned(),
            beep: true,
        }
    }

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
    /// What is to become of calls that ring until told.
    told: Vec<Told>,
}

/// What the person at a phone decides.
#[derive(Debug)]
struct Told {
    /// Of which leg; any, if `None`.
    call_sid: Option<String>,
    /// Declined otherwise.
    answers: bool,
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
                    told: Vec::new(),
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
        self.tell(None, true)
    }

    /// Somebody answers this leg, or declines it with 603 ([`Behaviour::AnswersWhenTold`]).
    pub fn decides(&self, call_sid: &str, answers: bool) -> &Self {
        self.tell(Some(call_sid.to_owned()), answers)
    }

    fn tell(&self, call_sid: Option<String>, answers: bool) -> &Self {
        lock(&self.state).told.push(Told { call_sid, answers });
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

    /// Waits until it was rung by this caller.
    ///
    /// # Errors
    /// If it was not within `limit` (wall time).
    pub async fn until_rung_by(&self, from: &str, limit: Duration) -> Result<(), CarrierError> {
        let is_theirs = |ring: &RungOnce| ring.from == from;
        let look = || {
            let state = lock(&self.state);
            state.rung.iter().any(is_theirs).then_some(())
        };
        let what = format!("a ring by {from}");
        self.wait(&what, limit, look).await
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
        let known = {
            let state = self.state();
            let address = plain(&target.address);
            let found = state.phones.get(&address);
            found
                .or_else(|| state.phones.get(&anywhere(&address)))
                .cloned()
        };
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
                    let is_for_it = |told: &Told| match &told.call_sid {
                        Some(sid) => *sid == leg.sid,
                        None => true,
                    };
                    let at = state.told.iter().position(is_for_it)?;
                    Some(state.told.swap_remove(at).answers)
                };
                if !self.pulse.when(told).await {
                    return refused(Status::Busy, 603);
                }
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
                text,
                beep,
            } => {
                let then = Then::stays().says(&text);
                (after, then, Nature::Machine { greeting, beep })
            }
            Behaviour::Fax => (Duration::from_secs(3), Then::stays(), Nature::Fax),
        };
        if leg.status() != Status::Ringing {
            self.advance(leg, Status::Ringing);
        }
        tokio::time::sleep(self.config.pace.wall(after)).await;
        self.pick_up(leg, &then);
        if let Nature::Machine {
            greeting,
            beep: true,
        } = nature
        {
            let (line, wall) = (Arc::clone(&leg.line), self.config.pace.wall(greeting));
            crate::carrier::spawn(async move {
                tokio::time::sleep(wall).await;
                line.hear(Heard::Beep);
            });
        }
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
            state.rules.extend(then.upon.iter().cloned());
            let words = then.says.iter().map(|text| Act::Says {
                text: text.clone(),
                confidence: CONFIDENCE,
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
