//! Timers as data: a name for each deadline, so that a late one is recognised as stale.

use serde::{Deserialize, Serialize};
use switchhook_model::{AttemptId, LegId, MessageId};

use crate::event::SayId;

/// Which deadline passed, and for what. Two timers are equal only if they guard the same thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimerId {
    /// The inbound leg was to be answered, and neither success nor failure was reported.
    Answer(LegId),
    /// A dialled leg rang long enough.
    Ring(LegId),
    /// The far end of our REFER had long enough to say what came of it.
    Refer(AttemptId),
    /// The end of a sentence was never reported: the call goes on as if nothing had been heard.
    Say(SayId),
    /// The message being left, or its text, takes too long.
    Message,
    /// The caller waited long enough for the notice to be accepted.
    Notice(MessageId),
    /// The call reached its longest allowed duration.
    MaxCall,
    /// A leg that was cancelled or hung up never confirmed its end.
    Settle(LegId),
}
