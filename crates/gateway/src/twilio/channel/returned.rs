//! The carrier comes back, or reports: what that means for the call.

use serde::{Deserialize, Serialize};
use switchhook_call::Event;
use switchhook_conversation::documents::Returned;
use switchhook_model::{HangupCause, LegId, RequestId, Target, Timestamp};

use super::{Channel, Picker, Stage};

/// Why the carrier comes for a new program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// For the first one.
    First,
    /// The party we call is connected; who picked up, if that was found out.
    Connected(Option<Picker>),
    /// Everything of the last one was carried out, or it was told to come.
    Back,
    /// The caller pressed keys, or spoke, or neither.
    Heard {
        digits: Option<String>,
        speech: Option<String>,
    },
    /// The dial is over.
    DialEnded(DialEnd),
    /// The message is over.
    Recorded(Recorded),
    /// Whoever asks wants the caller transferred: an endpoint of older deployments.
    Transfer {
        target: Target,
        /// Both are to meet in a conference.
        in_room: bool,
    },
}

/// How a dial ended (TwiML Dial, action parameters).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialEnd {
    /// Whether two parties were connected; not known to older scripts.
    pub bridged: Option<bool>,
    /// Whether it is told that somebody answered.
    pub answered: bool,
    /// Why nobody did.
    pub cause: HangupCause,
    pub sip_status: Option<u16>,
    pub sid: Option<String>,
}

/// A recorded message (TwiML Record, action parameters).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub duration_ms: u64,
    /// What was understood; empty until somebody listens.
    pub text: String,
}

/// Which report it was whose answer the carrier did not get, as far as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The announcement of the call.
    First,
    /// One about the program of this number.
    Of(u32),
    /// One that was ordered: it belongs to no program.
    Order,
    /// What the caller hears while waiting in a conference: nothing was said with it.
    Music,
    Unknown,
}

/// A status callback of a leg the carrier dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildStatus {
    /// It left the queue.
    Dialled,
    Ringing,
    Answered,
    /// Over. What came of a dial from the caller's leg is told by the dial's end.
    Over(LegEnd),
}

/// How a leg of the carrier's ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegEnd {
    /// Somebody had answered.
    pub answered: bool,
    /// Why nobody had.
    pub cause: HangupCause,
    pub sip_status: Option<u16>,
}

impl Channel {
    /// The carrier comes for the next program of the caller's leg.
    pub fn came(&mut self, now: Timestamp, came: Came) {
        let end = match &came {
            Came::DialEnded(end) => Some(end),
            _ => None,
        };
        self.parted_by_dial(now, end);
        if self.is_parting() {
            // There is nobody to be given anything.
            return;
        }
        if self.state.stage == Stage::Over {
            // A late recording: the caller hung up within it.
            if let Came::Recorded(recorded) = came {
                self.recorded_over(now, &recorded);
            }
            self.state.in_hand = true;
            return self.run(now);
        }
        let before = std::mem::replace(&mut self.state.stage, Stage::Telling);
        self.state.in_hand = true;
        let was_fetched = std::mem::take(&mut self.state.is_fetched);
        self.state.is_crossed = was_fetched && !matches!(came, Came::Back | Came::Connected(_));
        self.ask_no_more();
        // With the stream's end, whoever closed it.
        self.line_up = false;
        self.state.leaves_stream = false;
        match came {
            Came::First => self.state.stage = before,
            Came::Connected(picker) if before == Stage::New => {
                self.state.stage = before;
                self.connected(picker);
            }
            Came::Connected(_) | Came::Back => {
                let returned = match before {
                    Stage::TakingMessage if !was_fetched || self.state.message_ms.is_some() => {
                        self.message_by_report()
                    }
                    _ if was_fetched => Returned::Replaced,
                    _ => Returned::Nothing,
                };
                self.said(now, returned);
                self.leave_dial(&before);
            }
            Came::Heard { digits, speech } => {
                let speech = speech.filter(|text| !text.trim().is_empty());
                let mut digits = digits.filter(|keys| !keys.is_empty());
                if let Some(keys) = &mut digits
                    && self.asks_for_pin()
                {
                    // The carrier keeps the key that ended it.
                    keys.push('#');
                }
                let returned = match (digits, speech) {
                    (Some(digits), _) => Returned::Digits(digits),
                    (None, Some(text)) => Returned::Speech { text },
                    (None, None) => Returned::Silence,
                };
                self.said(now, returned);
            }
            Came::DialEnded(end) => {
                self.said(now, Returned::Nothing);
                match &before {
                    Stage::Elsewhere => self.left_other(&end),
                    Stage::Dialing { leg } if self.has_seat(leg) => self.left_room(now, leg),
                    _ => self.dial_ended(&before, end),
                }
            }
            Came::Recorded(recorded) => self.recorded(now, &recorded),
            Came::Transfer { target, in_room } => {
                if before == Stage::New {
                    self.state.stage = before;
                }
                self.said(now, Returned::Nothing);
                self.state.in_rooms |= in_room;
                self.asked_to_transfer(now, target);
            }
        }
        self.run(now);
    }

    pub(super) fn said(&mut self, now: Timestamp, returned: Returned) {
        // What was heard over a stream is known from the stream.
        if self.rules.streams {
            return;
        }
        for (at, input) in self.state.documents.returned(now, returned) {
            self.talk_input(at, input);
        }
    }

    /// The carrier came without reporting the end of its dial: a new program was asked for, which
    /// dropped the leg, or the report was lost, and the leg's own tells what became of it.
    pub(super) fn leave_dial(&mut self, before: &Stage) {
        if let Stage::Dialing { leg } = before
            && self.is_living(leg)
        {
            if self.has_seat(leg) {
                return self.drop_seat(leg);
            }
            let child = self.state.children.get(leg);
            self.queue
                .push_back(match child.and_then(|child| child.unreached) {
                    Some(end) if end.cause != HangupCause::Canceled => Event::LegFailed {
                        leg: leg.clone(),
                        cause: end.cause,
                        sip_status: end.sip_status.filter(|status| *status >= 300),
                        detail: None,
                    },
                    _ => Event::LegEnded {
                        leg: leg.clone(),
                        cause: HangupCause::Canceled,
                    },
                });
        }
    }

    fn dial_ended(&mut self, before: &Stage, end: DialEnd) {
        // Whichever was dialled last: older scripts report without a dial of ours.
        let leg = match before {
            Stage::Dialing { leg } => Some(leg.clone()),
            _ => self.state.children.keys().next_back().cloned(),
        };
        let Some(leg) = leg else { return };
        let took = self.was_taken(&leg, &end);
        let child = self.state.children.entry(leg.clone()).or_default();
        child.sid = end.sid.or(child.sid.take());
        if took {
            self.queue
                .push_back(Event::LegAnswered { leg: leg.clone() });
            self.queue.push_back(Event::LegEnded {
                leg,
                cause: HangupCause::Normal,
            });
        } else {
            let cause = if end.answered {
                // Somebody picked up and did not take the call: a mailbox, or an agent who declined.
                HangupCause::Rejected
            } else {
                end.cause
            };
            self.queue.push_back(Event::LegFailed {
                leg,
                cause,
                sip_status: end.sip_status.filter(|status| *status >= 300),
                detail: None,
            });
        }
    }

    /// Whether an agent took the call, by what is told of the dial's end.
    pub(super) fn was_taken(&self, leg: &LegId, end: &DialEnd) -> bool {
        let whispered = self.rules.whisper || self.rules.accept_key.is_some();
        let accepted = || {
            let child = self.state.children.get(leg);
            child.is_some_and(|child| child.accepted)
        };
        match end.bridged {
            Some(bridged) => bridged,
            // Without a word about it, an answer counts, unless the agent had to take the call.
            None => end.answered && (!whispered || accepted()),
        }
    }

    fn asked_to_transfer(&mut self, now: Timestamp, target: Target) {
        let n = self.call.view().transfers.len();
        let request = RequestId::from_unique(&format!("{}-asked-{n}", self.call.id().unique()));
        if self.call.transfer_refusal().is_some() {
            tracing::info!(call.id = %self.call.id(), "asked to transfer a call that cannot be transferred now");
        }
        let policy = self.call.policy();
        let hours = policy.open_hours.as_ref();
        let is_open = hours.is_none_or(|hours| hours.is_open(now));
        let event = if is_open && policy.may_reach(&target) {
            Event::OperatorTransfer {
                target: Some(target),
                department: None,
                request,
                // The carrier came for a new program, which dropped whom it had dialled.
                anew: true,
            }
        } else {
            // Whoever can call us by webhook reaches whom the assistant reaches, and when it does.
            Event::AssistantAskedForHuman {
                request,
                target: Some(target),
                department: None,
                reason: "asked by webhook".to_owned(),
                summary: String::new(),
            }
        };
        self.event(now, event);
    }

    /// The carrier got no answer to a report, and asks what to do instead. If the report was taken, the
    /// program given for it is given again; what it said is lost otherwise. Nothing is done twice: where
    /// it is not known, it counts as lost.
    pub fn unanswered(&mut self, now: Timestamp, lost: Lost) {
        self.state.rescues += 1;
        self.is_touched = true;
        let was_taken = match lost {
            Lost::First => self.state.given <= 1,
            Lost::Of(program) => program < self.state.given,
            Lost::Order => !self.state.is_fetched && self.state.stage != Stage::New,
            Lost::Music => true,
            Lost::Unknown => false,
        };
        if self.state.in_hand || was_taken {
            return;
        }
        let came = match self.state.stage {
            Stage::Listening if lost != Lost::Order => Came::Heard {
                digits: None,
                speech: None,
            },
            Stage::New if self.is_outbound() => Came::Connected(None),
            Stage::New
            | Stage::Listening
            | Stage::Telling
            | Stage::Dialing { .. }
            | Stage::Elsewhere
            | Stage::Streaming
            | Stage::TakingMessage
            | Stage::Over => Came::Back,
        };
        self.came(now, came);
    }

    /// Whether the carrier speaks, listens or records, and was not told to come for something new. What
    /// rings or is connected does not begin a second time.
    pub fn needs_nothing_new(&self) -> bool {
        match self.state.stage {
            Stage::Telling | Stage::Listening | Stage::TakingMessage => {
                !self.state.is_fetched && !self.state.in_hand
            }
            Stage::New | Stage::Dialing { .. } | Stage::Elsewhere => false,
            Stage::Streaming | Stage::Over => false,
        }
    }

    /// A status callback of a leg the carrier dialled. They come in any order.
    pub fn child(
        &mut self,
        now: Timestamp,
        leg: &LegId,
        sid: Option<&str>,
        sequence: Option<u32>,
        status: ChildStatus,
    ) {
        let Some(child) = self.state.children.get(leg) else {
            return;
        };
        let has_seat = child.seat.is_some();
        if let Some(sid) = sid
            && child.sid.is_none()
        {
            self.know(leg, sid);
        }
        // Into a conference nobody comes unheard but an agent who has to press a key.
        let whispered = self.rules.accept_key.is_some() || (self.rules.whisper && !has_seat);
        let Some(child) = self.state.children.get_mut(leg) else {
            return;
        };
        let is_late = sequence.is_some() && sequence <= child.sequence;
        // What a late one says is known by a later one, but for this: that somebody had answered.
        if is_late && (status != ChildStatus::Answered || child.picked_up) {
            return;
        }
        child.sequence = sequence.max(child.sequence);
        match status {
            ChildStatus::Ringing => {
                // The dial comes after our sentences.
                self.said(now, Returned::Nothing);
                self.queue.push_back(Event::LegRinging { leg: leg.clone() });
            }
            ChildStatus::Answered => {
                child.picked_up = true;
                child.unreached = None;
                self.said(now, Returned::Nothing);
                if !whispered {
                    self.queue
                        .push_back(Event::LegAnswered { leg: leg.clone() });
                }
            }
            ChildStatus::Dialled => {}
            ChildStatus::Over(end) if has_seat => self.seat_over(now, leg, end),
            // That somebody had answered may not have been told before.
            ChildStatus::Over(end) if end.answered && !whispered => {
                child.picked_up = true;
                if self.state.dialling() == Some(leg) {
                    self.queue
                        .push_back(Event::LegAnswered { leg: leg.clone() });
                }
            }
            ChildStatus::Over(end) => {
                let is_unreached = !end.answered && !child.picked_up;
                child.unreached = is_unreached.then_some(end);
            }
        }
        self.heard_of(now);
        self.run(now);
        if self.state.dialling() == Some(leg) {
            self.parted_by_child(now, status);
        }
    }

    /// The agent takes the call.
    pub fn accepted(&mut self, now: Timestamp, leg: &LegId) {
        let Some(child) = self.state.children.get_mut(leg) else {
            return;
        };
        child.accepted = true;
        self.queue
            .push_back(Event::LegAnswered { leg: leg.clone() });
        self.heard_of(now);
        self.run(now);
    }
}
