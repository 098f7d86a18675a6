//! Judges an ended call against what must always hold: in tests over every simulated call, in
//! production over the stored facts of every ended call. `docs/invariants.md` is the same list in
//! prose, and a test keeps the two together.

mod audio;
mod legs;
mod record;
mod transfers;
mod truth;

use serde::{Deserialize, Serialize};
use switchhook_model::Timestamp;

pub use record::{CallFact, CallRecord, Stamped};

/// Something that must always hold.
#[derive(Debug, Clone, Copy)]
pub struct Invariant {
    /// The stable code.
    pub code: &'static str,
    /// What must hold, in one sentence.
    pub holds: &'static str,
    /// What usually breaks it.
    pub cause: &'static str,
    /// What to do about it.
    pub cure: &'static str,
    check: fn(&CallRecord) -> Vec<Finding>,
}

/// A place where an invariant is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    detail: String,
    at: Option<Timestamp>,
}

impl Finding {
    fn new(at: impl Into<Option<Timestamp>>, detail: String) -> Self {
        Self {
            detail,
            at: at.into(),
        }
    }
}

/// A broken invariant, as it is stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The invariant's code.
    pub code: String,
    /// What was found.
    pub detail: String,
    /// When, if it belongs to an instant.
    #[serde(with = "crate::view::rfc3339::option")]
    pub at: Option<Timestamp>,
    /// What usually breaks it.
    pub cause: String,
    /// What to do about it.
    pub cure: String,
}

/// Everything that must hold.
pub const INVARIANTS: [Invariant; 22] = [
    Invariant {
        code: "one_end",
        holds: "An ended call has exactly one end, with one outcome and one time.",
        cause: "Two events ended the call, or a crash lost the step that ended it.",
        cure: "Compare the call's last events; hand Restarted to calls that were open when the process died.",
        check: legs::one_end,
    },
    Invariant {
        code: "actions_once",
        holds: "Each action has a number of its own, and they grow.",
        cause: "A step was carried out twice, or two tasks owned the call.",
        cure: "Check that one task owns the call and that a step is committed before it is carried out.",
        check: legs::actions_once,
    },
    Invariant {
        code: "times_in_order",
        holds: "Nothing ends before it was answered, and nothing is answered before it began.",
        cause: "The machine's clock was set back, or facts of two calls were mixed.",
        cure: "Check time synchronisation; compare the leg ids.",
        check: legs::times_in_order,
    },
    Invariant {
        code: "no_living_leg",
        holds: "When a call has ended, every leg of it has ended, or got Cancel, Hangup or Reject.",
        cause: "A leg was forgotten: a phone goes on ringing, or somebody sits in a dead call.",
        cure: "End the named leg at the PBX or trunk; report the call's events.",
        check: legs::no_living_leg,
    },
    Invariant {
        code: "late_answer_hung_up",
        holds: "A leg that answers after it was cancelled is hung up within a second.",
        cause: "The 200 crossed our CANCEL on the wire and nobody took care of it.",
        cure: "Keep the call's task until every leg has confirmed its end.",
        check: legs::late_answer_hung_up,
    },
    Invariant {
        code: "caller_gone_cancels_at_once",
        holds: "When the caller is gone, every phone still ringing for them is cancelled within a second.",
        cause: "The caller's BYE or CANCEL was noticed late, or the call's task was held up.",
        cure: "Look for slow steps in the log (database, full inbox) at that time.",
        check: legs::caller_gone_cancels_at_once,
    },
    Invariant {
        code: "no_bridge_with_ended_leg",
        holds: "Two legs are bridged only while both are answered and neither has ended.",
        cause: "A human was put into an empty call.",
        cure: "Report the call's events: the machine must have seen the end first.",
        check: legs::no_bridge_with_ended_leg,
    },
    Invariant {
        code: "one_dial_per_attempt",
        holds: "Each dial attempt dials once: one Dial, one leg, one INVITE transaction.",
        cause: "A dial was repeated after a crash or by a retrying layer below.",
        cure: "Check that the outbox row of a dial is settled before the INVITE is sent again.",
        check: transfers::one_dial_per_attempt,
    },
    Invariant {
        code: "one_result_per_attempt",
        holds: "Each dial attempt ends with exactly one result.",
        cause: "Timeout and answer were both counted, or the attempt was left open.",
        cure: "Report the call's events around the attempt.",
        check: transfers::one_result_per_attempt,
    },
    Invariant {
        code: "ring_timeout_kept",
        holds: "A phone rings no longer than its timeout and two seconds, and no shorter before we give up.",
        cause: "The timer fired late (overload) or early (clock), or the CANCEL was delayed.",
        cure: "Check the load and the clock of the machine at that time.",
        check: transfers::ring_timeout_kept,
    },
    Invariant {
        code: "one_outcome_per_transfer",
        holds: "Each transfer ends with exactly one outcome.",
        cause: "Two events decided it, or the call ended without deciding it.",
        cure: "Report the call's events from the request on.",
        check: transfers::one_outcome_per_transfer,
    },
    Invariant {
        code: "bridged_means_joined",
        holds: "A transfer is bridged if, and only if, its target answered and was bridged with the caller.",
        cause: "A human answered and heard nobody, or success was reported without a bridge.",
        cure: "Compare the attempt's leg with the Bridge action; check the media of both legs.",
        check: transfers::bridged_means_joined,
    },
    Invariant {
        code: "no_caller_lost",
        holds: "A caller who asked for a human and stayed is joined with one, or told why not, before the call ends.",
        cause: "The call ended by our own doing between the last attempt and the sentence about it.",
        cure: "Check speech output at that time; give the fallback chain a step that keeps the caller.",
        check: truth::no_caller_lost,
    },
    Invariant {
        code: "told_result_is_true",
        holds: "What the caller is told about the attempts is what came of them.",
        cause: "A sentence was chosen before the result was known, or for another transfer.",
        cure: "Report the call's events; check texts overridden in the configuration.",
        check: truth::told_result_is_true,
    },
    Invariant {
        code: "told_informed_is_true",
        holds: "The caller is told that the team was informed only after a receiver accepted the notice.",
        cause: "The sentence did not wait for the delivery.",
        cure: "Check the notice's deliveries; never word this claim in another text.",
        check: truth::told_informed_is_true,
    },
    Invariant {
        code: "informed_arrives",
        holds: "A notice that was accepted reaches the staff, or another one does.",
        cause: "The carrier took the message and could not deliver it: number, opt-out, WhatsApp window.",
        cure: "Read the message's error; give the notice a second way; call the caller back.",
        check: truth::informed_arrives,
    },
    Invariant {
        code: "told_saved_is_true",
        holds: "The caller is told that the message is saved only after a message was taken.",
        cause: "An empty or failed recording was treated as a message.",
        cure: "Check the recording and the transcription of that call.",
        check: truth::told_saved_is_true,
    },
    Invariant {
        code: "message_becomes_notice",
        holds: "Each message taken becomes exactly one notice, and a notice is delivered at most once.",
        cause: "The notice was lost or doubled between the step and the outbox.",
        cure: "Compare the outbox with the call's messages; the receiver can recognise the webhook id.",
        check: truth::message_becomes_notice,
    },
    Invariant {
        code: "no_audio_after_end",
        holds: "Nothing is played to or said to a leg that has ended.",
        cause: "The assistant, the ringing tone or a media worker went on after the hang-up.",
        cure: "Check the media worker's log for the leg; report the call's events.",
        check: audio::no_audio_after_end,
    },
    Invariant {
        code: "assistant_silent_with_human",
        holds: "While caller and human are bridged, the assistant neither speaks nor listens.",
        cause: "The assistant was not stopped, or a late sentence reached the caller.",
        cure: "Report the call's events from the bridge on.",
        check: audio::assistant_silent_with_human,
    },
    Invariant {
        code: "no_sentence_under_ringback",
        holds: "The ringing tone is off while the caller is told something, and so is early media.",
        cause: "The tone was not stopped before the sentence.",
        cure: "Report the call's events from the dial on.",
        check: audio::no_sentence_under_ringback,
    },
    Invariant {
        code: "assistant_silent_on_hold",
        holds: "The assistant does not go on while the caller's leg is held.",
        cause: "A hold was missed, or the assistant was resumed by something else meanwhile.",
        cure: "Compare the re-INVITEs of the ladder with the hold facts; report the call's events.",
        check: audio::assistant_silent_on_hold,
    },
];

/// What of [`INVARIANTS`] the call broke.
pub fn judge(record: &CallRecord) -> Vec<Violation> {
    INVARIANTS
        .iter()
        .flat_map(|invariant| {
            (invariant.check)(record)
                .into_iter()
                .map(|finding| Violation {
                    code: invariant.code.to_owned(),
                    detail: finding.detail,
                    at: finding.at,
                    cause: invariant.cause.to_owned(),
                    cure: invariant.cure.to_owned(),
                })
        })
        .collect()
}
