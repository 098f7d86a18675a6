//! What the judge reads: the call's last view, and the facts in the order they happened.

use serde::{Deserialize, Serialize};
use switchhook_model::{LegId, MessageId, Timestamp};

use crate::action::{Action, ActionKind, CallEvent};
use crate::event::Event;
use crate::leg::Party;
use crate::view::{CallView, LegView};

/// A fact with its instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamped<T> {
    /// When.
    pub at: Timestamp,
    /// What.
    pub fact: T,
}

/// Something that happened in or around a call.
///
/// `Done` of all actions is what the judge needs; `Seen` explains a violation to its reader. The
/// others come from the layers below, which know what really left the machine; where they are
/// missing, the judge does without.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallFact {
    /// The call was told this.
    Seen(Event),
    /// The call wanted this, and it was committed to.
    Done(Action),
    /// An INVITE transaction was opened for a leg; retransmissions do not count.
    InviteSent {
        /// The leg.
        leg: LegId,
        /// The SIP Call-ID (RFC 3261 §8.1.1.4).
        sip_call_id: String,
    },
    /// Audio was sent to a leg after it had ended.
    AudioAfterEnd {
        /// The leg.
        leg: LegId,
        /// How many frames of 20 ms.
        frames: u64,
    },
    /// A receiver accepted a notice (2xx).
    NoticeDelivered {
        /// The notice.
        message: MessageId,
    },
}

/// A whole call, for the judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The call as it was in the end.
    pub view: CallView,
    /// What happened, in order.
    pub facts: Vec<Stamped<CallFact>>,
}

impl CallRecord {
    /// The actions with their position among the facts and their instant.
    pub(super) fn actions(&self) -> impl Iterator<Item = (usize, Timestamp, &ActionKind)> {
        self.facts
            .iter()
            .enumerate()
            .filter_map(|(position, stamped)| match &stamped.fact {
                CallFact::Done(action) => Some((position, stamped.at, &action.kind)),
                CallFact::Seen(_)
                | CallFact::InviteSent { .. }
                | CallFact::AudioAfterEnd { .. }
                | CallFact::NoticeDelivered { .. } => None,
            })
    }

    /// The emitted events with their position and instant.
    pub(super) fn events(&self) -> impl Iterator<Item = (usize, Timestamp, &CallEvent)> {
        self.actions().filter_map(|(position, at, kind)| {
            if let ActionKind::Emit(event) = kind {
                Some((position, at, event))
            } else {
                None
            }
        })
    }

    /// Where and when a leg was over: its end was reported, or we ended it.
    pub(super) fn leg_over(&self, leg: &LegId) -> Option<(usize, Timestamp)> {
        self.actions()
            .find(|(_, _, kind)| ends(kind, leg))
            .map(|(position, at, _)| (position, at))
    }

    /// Where a leg was answered.
    pub(super) fn leg_answered(&self, leg: &LegId) -> Option<(usize, Timestamp)> {
        self.events()
            .find(|(_, _, event)| {
                matches!(event, CallEvent::LegAnswered { leg: answered, .. } if answered == leg)
            })
            .map(|(position, at, _)| (position, at))
    }

    pub(super) fn caller_leg(&self) -> Option<&LegView> {
        self.view.legs.iter().find(|leg| leg.party == Party::Caller)
    }
}

/// Whether this action ends the leg, or reports its end.
pub(super) fn ends(kind: &ActionKind, leg: &LegId) -> bool {
    match kind {
        ActionKind::Cancel { leg: ended }
        | ActionKind::Reject { leg: ended, .. }
        | ActionKind::Hangup { leg: ended, .. }
        | ActionKind::Emit(CallEvent::LegEnded { leg: ended, .. }) => ended == leg,
        ActionKind::Ring { .. }
        | ActionKind::Answer { .. }
        | ActionKind::Dial { .. }
        | ActionKind::Ringback { .. }
        | ActionKind::EarlyMedia { .. }
        | ActionKind::Bridge { .. }
        | ActionKind::Unbridge { .. }
        | ActionKind::StartAssistant { .. }
        | ActionKind::ResumeAssistant { .. }
        | ActionKind::PauseAssistant
        | ActionKind::StopAssistant
        | ActionKind::Say { .. }
        | ActionKind::TakeMessage
        | ActionKind::FinishMessage
        | ActionKind::Notify { .. }
        | ActionKind::StartRecording { .. }
        | ActionKind::StopRecording { .. }
        | ActionKind::Hold { .. }
        | ActionKind::Resume { .. }
        | ActionKind::HoldMusic { .. }
        | ActionKind::AcceptRefer { .. }
        | ActionKind::RefuseRefer { .. }
        | ActionKind::NotifyTransferor { .. }
        | ActionKind::Refer { .. }
        | ActionKind::Emit(_) => false,
    }
}
