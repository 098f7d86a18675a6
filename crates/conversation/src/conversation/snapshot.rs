//! A conversation as data: what is stored of it between two steps, and how it is read again.
//!
//! Configuration and compiled phrases are not stored: whoever goes on with the call brings them.
//! The shape is private and carries a version. The text holds what was said, so it is stored like a
//! transcript and shown by nobody: errors and `Debug` have no word of it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use switchhook_model::Timestamp;

use super::answering::Answer;
use super::ear::Ear;
use super::mouth::Mouth;
use super::{Conversation, Mode};
use crate::config::ConversationConfig;
use crate::history::History;
use crate::pin::PinCheck;

/// Grows whenever a stored conversation of the version before cannot be read any more.
pub const SNAPSHOT_VERSION: u32 = 1;

/// The state of one conversation, for `serde_json`:
/// `{"version": 1, "state": {…}}`. Reading it checks nothing; [`Conversation::restore`] does.
#[derive(Clone, Serialize, Deserialize)]
pub struct ConversationSnapshot {
    version: u32,
    state: Body,
}

/// Written from the state itself; read as whatever is there, so that what surrounds a snapshot can
/// be read although the snapshot cannot.
#[derive(Clone, Serialize)]
#[serde(untagged)]
enum Body {
    Own(Box<State>),
    Stored(Value),
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Value::deserialize(from).map(Self::Stored)
    }
}

impl fmt::Debug for ConversationSnapshot {
    /// Hides every word that was spoken.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConversationSnapshot")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// A stored conversation cannot be gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error(
        "the conversation was stored in version {found} and this program reads version \
         {SNAPSHOT_VERSION}: let the program that stored it finish the call, or start the \
         conversation anew"
    )]
    Version { found: u32 },
    #[error(
        "the stored conversation does not have the shape of version {SNAPSHOT_VERSION}: the row \
         was damaged or changed; start the conversation anew"
    )]
    Shape,
    #[error(
        "the stored conversation names words that are not in its history: the row was damaged or \
         changed; start the conversation anew"
    )]
    Words,
}

/// [`Conversation`] without its configuration.
#[derive(Clone, Serialize, Deserialize)]
struct State {
    now: Timestamp,
    started_at: Option<Timestamp>,
    mode: Mode,
    ear: Ear,
    mouth: Mouth,
    answer: Option<Answer>,
    history: History,
    idle_since: Option<Timestamp>,
    silence_prompts: u32,
    caller_turns: u32,
    errors_in_a_row: u32,
    asked_because_of_errors: bool,
    fillers_spoken: usize,
    open_transfer_call: Option<String>,
    next_request: u32,
    turns: u32,
    #[serde(default)]
    pin: Option<PinCheck>,
}

impl Conversation {
    /// All that a later process needs to go on, between two inputs.
    pub fn snapshot(&self) -> ConversationSnapshot {
        // Taken apart, so that a new field is not forgotten.
        let Self {
            config: _,
            phrases: _,
            now,
            started_at,
            mode,
            ear,
            mouth,
            answer,
            history,
            idle_since,
            silence_prompts,
            caller_turns,
            errors_in_a_row,
            asked_because_of_errors,
            fillers_spoken,
            open_transfer_call,
            next_request,
            turns,
            pin,
            out: _,
        } = self;
        ConversationSnapshot {
            version: SNAPSHOT_VERSION,
            state: Body::Own(Box::new(State {
                now: *now,
                started_at: *started_at,
                mode: mode.clone(),
                // What was heard of a caller who may be saying a PIN is not stored.
                ear: if self.is_identifying() {
                    Ear::default()
                } else {
                    ear.clone()
                },
                mouth: mouth.clone(),
                answer: answer.clone(),
                history: history.clone(),
                idle_since: *idle_since,
                silence_prompts: *silence_prompts,
                caller_turns: *caller_turns,
                errors_in_a_row: *errors_in_a_row,
                asked_because_of_errors: *asked_because_of_errors,
                fillers_spoken: *fillers_spoken,
                open_transfer_call: open_transfer_call.clone(),
                next_request: *next_request,
                turns: *turns,
                pin: pin.clone(),
            })),
        }
    }

    /// Goes on where [`Self::snapshot`] was taken, as if nothing had happened. `config` is the
    /// call's configuration as it was at its beginning. If the process that took the snapshot is
    /// gone, [`Self::reconsider`] follows.
    pub fn restore(
        config: ConversationConfig,
        snapshot: ConversationSnapshot,
    ) -> Result<Self, SnapshotError> {
        if snapshot.version != SNAPSHOT_VERSION {
            return Err(SnapshotError::Version {
                found: snapshot.version,
            });
        }
        let state = match snapshot.state {
            Body::Own(state) => *state,
            // The cause would quote the value, and that may be what somebody said.
            Body::Stored(value) => {
                serde_json::from_value(value).map_err(|_| SnapshotError::Shape)?
            }
        };
        let State {
            now,
            started_at,
            mode,
            ear,
            mouth,
            answer,
            history,
            idle_since,
            silence_prompts,
            caller_turns,
            errors_in_a_row,
            asked_because_of_errors,
            fillers_spoken,
            open_transfer_call,
            next_request,
            turns,
            pin,
        } = state;
        if !history.is_sound() || !mouth.segments().all(|segment| history.holds(segment)) {
            return Err(SnapshotError::Words);
        }
        Ok(Self {
            phrases: crate::intent::Matcher::new(&config),
            config,
            now,
            started_at,
            mode,
            ear,
            mouth,
            answer,
            history,
            idle_since,
            silence_prompts,
            caller_turns,
            errors_in_a_row,
            asked_because_of_errors,
            fillers_spoken,
            open_transfer_call,
            next_request,
            turns,
            pin,
            out: Vec::new(),
        })
    }
}
