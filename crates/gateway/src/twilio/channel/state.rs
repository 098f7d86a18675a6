//! What is stored of a call at Twilio beside the call machine.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use switchhook_conversation::ConversationSnapshot;
use switchhook_conversation::documents::Documents;
use switchhook_model::{Language, LegId, Target, Timestamp};

use super::{LegEnd, Picker, Placing};

/// Raised when an older build could misread what is stored.
pub const STATE_VERSION: u32 = 1;

/// Tokens of webhooks that are remembered: the carrier repeats one within seconds.
const TOKENS: usize = 16;

/// What the carrier does with the caller's leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It rings; nothing was answered yet.
    New,
    /// It says something and listens.
    Listening,
    /// It says something, or waits a moment, and comes back.
    Telling,
    /// It rings an agent, or has bridged the caller with one.
    Dialing { leg: LegId },
    /// It is connected, or about to be, with somebody else's assistant.
    Elsewhere,
    /// It is connected, or about to be, with ears and mouth of ours.
    Streaming,
    /// It records a message.
    TakingMessage,
    /// The leg is over.
    Over,
}

/// A dial that is in no program yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialOrder {
    pub leg: LegId,
    pub target: Target,
    pub ring_timeout_s: u32,
    pub caller_id: Option<String>,
    /// Who calls, for the agent. Untrusted text.
    pub display: String,
    /// Both meet in a conference; else the agent is dialled from the caller's leg.
    #[serde(default)]
    pub in_room: bool,
}

/// A leg the carrier dialled for us.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    pub sid: Option<String>,
    /// Somebody answered there; with a whisper that is not yet an agent who takes the call.
    pub picked_up: bool,
    /// The agent was told who calls, and took the call.
    pub accepted: bool,
    /// The latest sequence number of its status callbacks.
    pub sequence: Option<u32>,
    /// It is over, and nobody had answered; what became of the dial is told by its own end.
    #[serde(default)]
    pub unreached: Option<LegEnd>,
    /// It is dialled over REST, into a conference with the caller.
    #[serde(default)]
    pub seat: Option<Seat>,
}

/// An agent's place in a conference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    pub order: DialOrder,
    pub invited: Invited,
    /// The leg is to end, also if it is only just being dialled.
    #[serde(default)]
    pub is_dropped: bool,
    /// How often the caller was led into the conference.
    #[serde(default)]
    pub entered: u32,
}

/// Whether the agent of a [`Seat`] was dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Invited {
    /// The caller is not in the conference yet.
    Not,
    /// The carrier was asked, and what it said is not known.
    Asked {
        /// When it was asked first.
        since: Timestamp,
        /// When it is looked at again.
        look_at: Timestamp,
    },
    /// The carrier dials, or has dialled.
    Yes,
}

/// Lets a leg over REST show the caller's own number; from the caller's first webhook.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallToken(pub String);

impl std::fmt::Debug for CallToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CallToken(***)")
    }
}

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    version: u32,
    pub account: String,
    /// Empty until the carrier has a call we place.
    pub caller_sid: String,
    pub caller_leg: LegId,
    /// The path prefix under which the carrier called; action URLs keep it.
    pub prefix: String,
    pub stage: Stage,
    /// The carrier waits for our answer.
    pub in_hand: bool,
    /// The carrier was asked to come, and has not come yet.
    #[serde(default)]
    pub is_fetched: bool,
    /// It came by itself while it was asked to: what it is given now it may drop for the asking.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_crossed: bool,
    /// The program's media stream stood, once.
    #[serde(default)]
    pub had_stream: bool,
    /// The media stream is being closed.
    #[serde(default)]
    pub leaves_stream: bool,
    /// A call we place: how far that came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placing: Option<Placing>,
    /// A call we place: found out before its first program was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picked_up_by: Option<Picker>,
    /// This program acts the callee.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// The latest sequence number of the status callbacks of a leg we placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u32>,
    /// Somebody else's assistant talks, or will.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_other: bool,
    #[serde(default)]
    pub dial: Option<DialOrder>,
    #[serde(default)]
    pub children: BTreeMap<LegId, Child>,
    /// Agents are met in conferences from now on, whatever the configuration says.
    #[serde(default)]
    pub in_rooms: bool,
    /// The call wants to be recorded, and is not yet.
    #[serde(default)]
    pub is_to_be_recorded: bool,
    /// Recording begins with the program given last.
    #[serde(default)]
    pub is_recorded_from_here: bool,
    /// The account whose PIN the caller gave. Nothing that comes with a webhook changes it.
    #[serde(default)]
    pub identified: Option<String>,
    #[serde(default)]
    pub call_token: Option<CallToken>,
    /// When the carrier is asked what became of the legs, should nothing be heard of them until then.
    #[serde(default)]
    pub look_at: Option<Timestamp>,
    /// The call refused the caller, with this SIP status.
    #[serde(default)]
    pub refused: Option<u16>,
    /// The call ended the caller's leg.
    #[serde(default)]
    pub hung_up: bool,
    /// A message, by the report of its recording; the Record's action has not come yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_ms: Option<u64>,
    /// The program that was to record a message the last time none was heard of: it may be reported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_message: Option<u32>,
    /// The caller is gone; until then it is waited for what became of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parting: Option<Timestamp>,
    /// Conversations so far; the number of the running one.
    #[serde(default)]
    pub talks: u32,
    #[serde(default)]
    pub conversation: Option<ConversationSnapshot>,
    pub documents: Documents,
    #[serde(default)]
    pub turns: u32,
    #[serde(default)]
    pub bookings: u32,
    /// Programs given so far. Each names its number in the URLs it has the carrier call, so that a
    /// webhook that is late or comes twice is known.
    #[serde(default)]
    pub given: u32,
    /// The last one as the carrier got it: a repeated webhook gets it again.
    #[serde(default)]
    pub last: Option<String>,
    /// How often the carrier had to ask again because an answer of ours did not arrive.
    #[serde(default)]
    pub rescues: u32,
    /// Idempotency tokens of the last webhooks.
    #[serde(default)]
    pub tokens: VecDeque<String>,
}

/// What is stored cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("the stored channel has version {0}, but this program reads version {STATE_VERSION}")]
    Version(u32),
    #[error("the stored conversation cannot be read: {0}")]
    Conversation(String),
}

impl State {
    pub(super) fn new(
        account: String,
        sid: String,
        leg: LegId,
        prefix: String,
        language: Language,
    ) -> Self {
        Self {
            version: STATE_VERSION,
            account,
            caller_sid: sid,
            caller_leg: leg,
            prefix,
            stage: Stage::New,
            in_hand: true,
            is_fetched: false,
            is_crossed: false,
            had_stream: false,
            leaves_stream: false,
            placing: None,
            picked_up_by: None,
            simulated: false,
            sequence: None,
            with_other: false,
            dial: None,
            children: BTreeMap::new(),
            in_rooms: false,
            is_to_be_recorded: false,
            is_recorded_from_here: false,
            identified: None,
            call_token: None,
            look_at: None,
            refused: None,
            hung_up: false,
            message_ms: None,
            missed_message: None,
            parting: None,
            talks: 0,
            conversation: None,
            documents: Documents::new(language),
            turns: 0,
            bookings: 0,
            given: 0,
            last: None,
            rescues: 0,
            tokens: VecDeque::new(),
        }
    }

    pub(super) fn check(&self) -> Result<(), Unreadable> {
        if self.version == STATE_VERSION {
            Ok(())
        } else {
            Err(Unreadable::Version(self.version))
        }
    }

    /// Remembers a webhook's token; false if it was there: the carrier repeats itself.
    pub fn is_new(&mut self, token: &str) -> bool {
        if self.tokens.iter().any(|known| known == token) {
            return false;
        }
        self.tokens.push_back(token.to_owned());
        if self.tokens.len() > TOKENS {
            self.tokens.pop_front();
        }
        true
    }

    /// The leg the carrier is ringing or has bridged.
    pub(super) fn dialling(&self) -> Option<&LegId> {
        match &self.stage {
            Stage::Dialing { leg } => Some(leg),
            Stage::New
            | Stage::Listening
            | Stage::Telling
            | Stage::Elsewhere
            | Stage::Streaming
            | Stage::TakingMessage
            | Stage::Over => None,
        }
    }
}
