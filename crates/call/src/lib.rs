//! Call control as a pure function: `(Call, now, Event) -> Vec<Action>`.
//!
//! What belongs here: calls, legs, transfers, dial attempts, the policy that decides about them,
//! outcomes, the texts the call itself says, and the invariants every ended call is judged by.
//! What does not: SIP, HTTP, SQL, audio, tasks, the clock, randomness. A channel translates the
//! world into [`Event`]s and carries [`Action`]s out; time comes in as an argument.
//!
//! Start reading at [`Call::handle`], then [`event`] and [`action`] for the two vocabularies, and
//! `transferring` for the transfer. `docs/invariants.md` lists what [`judge`] checks.
//!
//! # Contract with the shell
//! - One owner per call hands in events one after the other. Late, doubled and out-of-order events
//!   are fine: they change nothing twice.
//! - Actions are carried out in the order of [`Action::seq`], each at most once per number.
//! - [`Call::next_deadline`] says when to send which [`Event::TimerFired`]; a timer that is not due
//!   or no longer wanted is ignored.
//! - Every leg the call names is confirmed to have ended ([`Event::LegEnded`] or
//!   [`Event::LegFailed`]), also after our own `Hangup`, `Cancel` or `Reject`; until then
//!   [`Call::is_settled`] is false and a stored call is to be handed [`Event::Restarted`] when the
//!   process comes back.
#![warn(clippy::wildcard_enum_match_arm, missing_docs)]

pub mod action;
pub mod call;
pub mod event;
pub mod explain;
pub mod headline;
pub mod hours;
pub mod judge;
pub mod leg;
pub mod notice;
pub mod outcome;
pub mod policy;
pub mod texts;
pub mod timer;
pub mod transfer;
mod transferring;
pub mod view;

pub use action::{Action, ActionKind, CallEvent, Opening};
pub use call::{Call, RestoreError};
pub use event::{AssistantEnd, Event, Heard, ReferReport, Route, SayId};
pub use explain::Explanation;
pub use headline::Headline;
pub use hours::{HoursError, OpenHours};
pub use leg::{HeldBy, Leg, LegKind, LegState, Party};
pub use notice::{NoticeBody, NoticeState, NoticeTemplate};
pub use outcome::{CallOutcome, OutcomeCode, Responsible};
pub use policy::{CallPolicy, FallbackStep, MachinePolicy, PolicyError, RecordPolicy};
pub use texts::{TextError, TextKey, Texts};
pub use timer::TimerId;
pub use transfer::{
    AttemptResult, Requester, TransferKind, TransferMethod, TransferOutcome, TransferRefusal,
};
pub use view::{AttemptView, CallStatus, CallView, LegView, OutcomeView, TransferView};
