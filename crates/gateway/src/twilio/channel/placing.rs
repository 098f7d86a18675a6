//! A call we place: the carrier is asked for it once, and what became of that is found out.
//!
//! The carrier's interface has no idempotency key, so a request whose answer never came is not sent
//! again. That it is about to be sent is stored before it leaves ([`Placing::Asked`]); who finds that
//! later looks for the call at the carrier, whose webhooks name ours in their paths as well.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchhook_call::view::Channel as Way;
use switchhook_call::{Call, Event};
use switchhook_model::{CallId, HangupCause, LegId, Target, Timestamp};

use super::arrival::RING_REPORT_S;
use super::{Channel, Effect, LegEnd, Rules, Stage, State};

/// How soon whoever was to ask the carrier is reminded.
const REMIND: Duration = Duration::from_secs(5);
/// How soon a request without an answer is looked for. Its own patience is longer: looking early costs
/// nothing.
const LOOK_AFTER: Duration = Duration::from_secs(12);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(6);
/// Looks before the call is given up: longer than any request is patient, and than the carrier's list
/// lags behind.
const LOOKS: u32 = 3;
/// How often a call that rings is looked at: a report may be lost.
const WATCH_EVERY: Duration = Duration::from_secs(30);

/// What became of asking the carrier for a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placing {
    /// Nothing has left.
    Wanted { remind_at: Timestamp },
    /// The request leaves, or has left. Its answer did not come yet.
    Asked {
        at: Timestamp,
        look_at: Timestamp,
        looks: u32,
    },
    /// The carrier has the call.
    Placed { look_at: Timestamp },
    /// It has not, or not any more.
    Failed,
}

/// A call to be placed.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Already checked: prefix, hours, limits.
    pub target: Target,
    pub assistant: String,
    /// The number that is shown.
    pub caller_id: String,
    pub account: String,
    /// Nobody is called: this program acts the callee.
    pub simulated: bool,
    /// Seconds an answering machine is listened to before the assistant may talk.
    pub detection_s: u32,
}

/// What the carrier is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub to: String,
    pub ring_timeout_s: u32,
    pub max_call_s: u32,
}

/// Who or what picked up, as far as it was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Picker {
    Person,
    Machine,
    Fax,
}

/// A report about the leg of the party we call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CalledStatus {
    Ringing,
    /// Picked up: the first program is asked for by itself, perhaps later.
    Answered,
    Over {
        cause: HangupCause,
        sip_status: Option<u16>,
        /// What the carrier says about it, for operators.
        detail: Option<String>,
        picker: Option<Picker>,
    },
}

impl From<LegEnd> for CalledStatus {
    fn from(end: LegEnd) -> Self {
        Self::Over {
            cause: end.cause,
            sip_status: end.sip_status,
            detail: None,
            picker: None,
        }
    }
}

impl Channel {
    /// We call somebody.
    pub fn outbound(id: CallId, order: Outgoing, rules: Arc<Rules>, now: Timestamp) -> Self {
        let leg = LegId::derive(&id, 1);
        let mut policy = rules.policy.clone();
        policy.ring_report_s = RING_REPORT_S + order.detection_s;
        policy.caller_id = Some(order.caller_id);
        let mut call = Call::new(id, rules.profile.clone(), policy, now).over(Way::Twilio);
        if order.simulated {
            call = call.acted();
        }
        let mut state = State::new(
            order.account,
            String::new(),
            leg,
            String::new(),
            rules.conversation.language,
        );
        state.in_hand = false;
        state.simulated = order.simulated;
        state.placing = Some(Placing::Wanted {
            remind_at: now + REMIND,
        });
        let mut channel = Self::new(call, state, rules);
        channel.queue.push_back(Event::OutboundRequested {
            target: order.target,
            assistant: Some(order.assistant),
        });
        channel.run(now);
        channel
    }

    /// Whether we place this call, or placed it.
    pub fn is_outbound(&self) -> bool {
        self.state.placing.is_some()
    }

    /// Whether the party we call was not connected yet.
    pub fn is_unanswered(&self) -> bool {
        self.is_outbound() && self.state.stage == Stage::New
    }

    /// The request, if it is to be sent now. From then on its fate is looked for: it is sent once.
    pub fn ask_carrier(&mut self, now: Timestamp) -> Option<Request> {
        let Some(Placing::Wanted { .. }) = self.state.placing else {
            return None;
        };
        self.is_touched = true;
        if self.call.is_ended() {
            self.state.placing = Some(Placing::Failed);
            return None;
        }
        self.state.placing = Some(Placing::Asked {
            at: now,
            look_at: now + LOOK_AFTER,
            looks: 0,
        });
        let policy = self.call.policy();
        Some(Request {
            to: self.call.view().callee,
            ring_timeout_s: policy.outbound_ring_timeout_s,
            max_call_s: policy.max_call_s,
        })
    }

    /// The carrier has the call, under this id. False if it is another leg than the one that is known.
    pub fn placed(&mut self, now: Timestamp, sid: &str) -> bool {
        if !self.is_outbound() {
            return false;
        }
        if !self.state.caller_sid.is_empty() {
            return self.state.caller_sid == sid;
        }
        sid.clone_into(&mut self.state.caller_sid);
        self.has_new_sid = true;
        self.state.placing = Some(Placing::Placed {
            look_at: now + WATCH_EVERY,
        });
        if self.state.hung_up || self.call.is_ended() {
            let sid = sid.to_owned();
            self.done.effects.push(Effect::Complete { sid });
        }
        self.run(now);
        true
    }

    /// The carrier does not have it, for certain.
    pub fn not_placed(&mut self, now: Timestamp, cause: HangupCause, detail: Option<String>) {
        if !matches!(self.state.placing, Some(Placing::Asked { .. })) {
            return;
        }
        self.state.placing = Some(Placing::Failed);
        self.state.stage = Stage::Over;
        self.queue.push_back(Event::LegFailed {
            leg: self.state.caller_leg.clone(),
            cause,
            sip_status: None,
            detail,
        });
        self.run(now);
    }

    /// The request has no answer: it is looked for soon.
    pub fn placing_unknown(&mut self, now: Timestamp) {
        if let Some(Placing::Asked { look_at, .. }) = &mut self.state.placing {
            *look_at = (now + Duration::from_secs(2)).min(*look_at);
            self.is_touched = true;
        }
    }

    /// A report about the leg of the party we call. They come in any order, more than once, and late.
    pub fn called(&mut self, now: Timestamp, sequence: Option<u32>, status: CalledStatus) {
        if self.state.stage == Stage::Over || !self.is_outbound() {
            return;
        }
        let is_late = sequence.is_some() && sequence <= self.state.sequence;
        self.state.sequence = sequence.max(self.state.sequence);
        let leg = self.state.caller_leg.clone();
        match status {
            CalledStatus::Ringing | CalledStatus::Answered if is_late => {}
            CalledStatus::Ringing | CalledStatus::Answered => {
                if self.state.stage == Stage::New {
                    self.queue.push_back(Event::LegRinging { leg });
                }
            }
            // Nothing follows an end, whatever else was late.
            CalledStatus::Over {
                cause,
                sip_status,
                detail,
                picker,
            } => {
                if self.state.stage != Stage::New {
                    return self.caller_gone(now);
                }
                self.state.stage = Stage::Over;
                self.state.placing = Some(Placing::Failed);
                match (cause, picker.or(self.state.picked_up_by)) {
                    (HangupCause::Normal, picker) => {
                        if let Some(is_fax) = machine(picker) {
                            let leg = leg.clone();
                            self.queue.push_back(Event::MachineAnswered { leg, is_fax });
                        }
                        self.queue.push_back(Event::LegEnded { leg, cause });
                    }
                    (cause, _) => self.queue.push_back(Event::LegFailed {
                        leg,
                        cause,
                        sip_status: sip_status.filter(|status| *status >= 300),
                        detail,
                    }),
                }
            }
        }
        self.run(now);
    }

    /// It was found out who picked up, while the call already runs.
    pub fn detected(&mut self, now: Timestamp, picker: Picker) {
        match self.state.stage {
            Stage::Over => return,
            // Nobody is talked to yet.
            Stage::New => {
                self.state.picked_up_by = Some(picker);
                self.is_touched = true;
                return;
            }
            Stage::Telling
            | Stage::Listening
            | Stage::Dialing { .. }
            | Stage::Elsewhere
            | Stage::Streaming
            | Stage::TakingMessage => {}
        }
        if let Some(is_fax) = machine(Some(picker)) {
            let leg = self.state.caller_leg.clone();
            self.queue.push_back(Event::MachineAnswered { leg, is_fax });
            self.run(now);
        }
    }

    /// The party we call is connected: the carrier asks for the first program.
    pub(super) fn connected(&mut self, picker: Option<Picker>) {
        let leg = self.state.caller_leg.clone();
        let picker = picker.or(self.state.picked_up_by);
        self.queue.push_back(match machine(picker) {
            Some(is_fax) => Event::MachineAnswered { leg, is_fax },
            None => Event::LegAnswered { leg },
        });
    }

    /// What this call wants looked at, and when.
    pub(super) fn placing_deadline(&self) -> Option<Timestamp> {
        if self.state.stage == Stage::Over || self.state.simulated {
            return None;
        }
        match self.state.placing.as_ref()? {
            Placing::Wanted { remind_at } => Some(*remind_at),
            Placing::Asked { look_at, .. } => Some(*look_at),
            Placing::Placed { look_at } if self.state.stage == Stage::New => Some(*look_at),
            Placing::Placed { .. } | Placing::Failed => None,
        }
    }

    /// That time has come.
    pub(super) fn placing_due(&mut self, now: Timestamp) {
        if self.placing_deadline().is_none_or(|at| at > now) {
            return;
        }
        self.is_touched = true;
        match &mut self.state.placing {
            Some(Placing::Wanted { remind_at }) => {
                *remind_at = now + REMIND;
                self.done.effects.push(Effect::Place);
            }
            Some(Placing::Asked { looks, .. }) if *looks >= LOOKS => {
                let detail = "the carrier's answer never came, and its list does not show the call";
                self.not_placed(now, HangupCause::Failed, Some(detail.to_owned()));
            }
            Some(Placing::Asked { look_at, looks, .. }) => {
                *look_at = now + LOOK_EVERY;
                *looks += 1;
                self.done.effects.push(Effect::Find);
            }
            Some(Placing::Placed { look_at }) => {
                *look_at = now + WATCH_EVERY;
                self.done.effects.push(Effect::Find);
            }
            Some(Placing::Failed) | None => {}
        }
    }

    /// What a process that is gone may not have done any more.
    pub(super) fn place_again(&mut self) {
        if self.state.stage != Stage::New {
            return;
        }
        let effect = match &self.state.placing {
            Some(Placing::Wanted { .. }) => Effect::Place,
            Some(Placing::Asked { .. } | Placing::Placed { .. }) => Effect::Find,
            Some(Placing::Failed) | None => return,
        };
        self.is_touched = true;
        self.done.effects.push(effect);
    }

    /// The call ends a leg that was not connected yet.
    pub(super) fn give_up_placing(&mut self, cause: HangupCause) {
        self.state.hung_up = true;
        match &self.state.placing {
            Some(Placing::Wanted { .. }) => {
                self.state.placing = Some(Placing::Failed);
                self.state.stage = Stage::Over;
                self.queue.push_back(Event::LegEnded {
                    leg: self.state.caller_leg.clone(),
                    cause,
                });
            }
            // As soon as it is known under which id.
            Some(Placing::Asked { .. }) => {}
            Some(Placing::Placed { .. } | Placing::Failed) | None => {
                let sid = self.state.caller_sid.clone();
                self.done.effects.push(Effect::Complete { sid });
            }
        }
    }
}

/// Whether it is a fax, of a machine.
fn machine(picker: Option<Picker>) -> Option<bool> {
    match picker {
        Some(Picker::Machine) => Some(false),
        Some(Picker::Fax) => Some(true),
        Some(Picker::Person) | None => None,
    }
}
