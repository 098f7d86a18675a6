//! What goes into a conversation and what comes out of it.
//!
//! `Debug` of these types hides every word that was spoken: it ends up in logs.

use serde::{Deserialize, Serialize};
use switchhook_model::{ChatMessage, Digit, ModelDelta, Timestamp, ToolSpec};

use crate::pin::Pin;

/// One verbatim text of call control. The number is call control's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SayId(pub u32);

/// How much of a verbatim text the caller heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    Full,
    Cut,
    None,
}

/// A fact or a request that reached the conversation.
#[derive(Clone, PartialEq)]
pub enum Input {
    /// The assistant takes the caller. `opening` is spoken instead of the configured greeting;
    /// `note` tells the model what happened before.
    Start {
        opening: Option<String>,
        note: Option<String>,
    },
    /// The assistant falls silent and deaf; verbatim texts are still spoken.
    Pause,
    /// The assistant listens again. `note` tells the model what happened meanwhile; it answers the
    /// model's transfer request if one is open.
    Resume { note: Option<String> },
    /// The conversation is over: nothing is spoken any more. A message being left is still
    /// completed from what was recorded.
    Stop,
    /// The caller may leave a message after a beep.
    TakeMessage,
    /// A verbatim text of call control, spoken in any state but after [`Input::Stop`]. Answered by
    /// exactly one [`Output::SayFinished`].
    Say {
        id: SayId,
        text: String,
        /// Whether the caller may speak over it.
        interruptible: bool,
    },
    /// The caller began to speak, by [`crate::Endpointing`].
    SpeechStarted,
    /// The caller stopped speaking. `silence_ms` ago the voice ended; `duration_ms` is the length
    /// of the voice itself.
    SpeechEnded {
        utterance: u32,
        duration_ms: u64,
        silence_ms: u64,
    },
    /// The final transcript of an utterance.
    Transcript { utterance: u32, text: String },
    /// The recogniser failed on an utterance.
    TranscriptFailed { utterance: u32, error: String },
    /// A piece of the model's reply to [`Output::Think`] `request`.
    Delta { request: u32, delta: ModelDelta },
    /// The result of [`Output::CallTool`].
    ToolResult {
        request: u32,
        id: String,
        content: String,
    },
    /// `played_ms` of an item were heard so far. `total_ms` once the synthesis is complete. After
    /// [`Output::StopPlayout`] one of these tells where the item was cut.
    PlayoutProgress {
        item: u32,
        played_ms: u64,
        total_ms: Option<u64>,
    },
    /// An item was heard to its end.
    PlayoutFinished { item: u32 },
    /// An item could not be made audible.
    SynthesisFailed { item: u32, error: String },
    /// A key of the caller's keypad.
    Digit(Digit),
    /// The answer to [`Output::CheckPin`].
    PinChecked(PinAnswer),
    /// The whole message, from a channel that records it by itself after [`Output::Beep`]. `text`
    /// is empty where it was not recognised; `recorded` says that there is audio of it. Without
    /// both the caller left none.
    MessageRecorded {
        text: String,
        duration_ms: u64,
        recorded: bool,
    },
    /// [`crate::Conversation::next_deadline`] has come.
    Timeout,
}

/// Something the gateway is to do, or a fact it is to store.
#[derive(Clone, PartialEq)]
pub enum Output {
    /// Recognise the utterance that just ended.
    Transcribe { utterance: u32 },
    /// Nobody will ask for this utterance; its audio may go.
    DropUtterance { utterance: u32 },
    /// End the running utterance now ([`crate::Endpointing::finish`]), do not wait for silence.
    EndUtterance,
    /// Ask the model.
    Think {
        request: u32,
        messages: Vec<ChatMessage>,
        tools: Vec<ToolSpec>,
    },
    /// Nobody waits for this reply any more.
    CancelThink { request: u32 },
    /// Synthesise and queue for playout, behind all earlier items.
    Speak { item: u32, text: String },
    /// Queue a beep for playout, behind all earlier items.
    Beep { item: u32 },
    /// Throw away everything queued and cut what is playing. The cut item's
    /// [`Input::PlayoutProgress`] follows; the others are never heard.
    StopPlayout,
    /// Call control: the caller wants a human.
    AskForHuman {
        request: u32,
        department: Option<String>,
        target: Option<String>,
        reason: String,
        summary: String,
    },
    /// Carry out a tool of the model.
    CallTool {
        request: u32,
        id: String,
        name: String,
        arguments: String,
    },
    /// Look this PIN up; [`Input::PinChecked`] answers.
    CheckPin { pin: Pin },
    /// The assistant is done and the caller has heard the farewell.
    EndCall { reason: EndReason },
    /// A message was left. `text` is empty where transcription failed; `recorded` says that there
    /// is audio of it.
    MessageTaken {
        text: String,
        duration_ms: u64,
        recorded: bool,
    },
    /// The caller left no message.
    MessageAbandoned,
    /// The one answer to [`Input::Say`].
    SayFinished { id: SayId, heard: Heard },
    /// A party's go is over.
    TurnEnded(Turn),
}

/// Why the assistant ends the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The caller or the model said goodbye.
    Goodbye,
    /// Nobody spoke.
    Silence,
    TurnLimit,
    TimeLimit,
    /// Too many provider errors in a row.
    Errors,
    /// The caller gave no right PIN.
    NotIdentified,
}

/// What became of a PIN that was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinAnswer {
    /// It is right.
    Accepted {
        /// How the caller is greeted.
        name: Option<String>,
        /// Whose it is.
        account: String,
    },
    /// Nobody has it.
    Refused {
        /// How many more the caller's number or account is allowed.
        tries_left: u32,
    },
    /// The caller's number, or the account, is allowed no more for now.
    Locked,
    /// It could not be looked up.
    Unavailable,
}

/// Who spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    Caller,
    Assistant,
    Agent,
    /// A verbatim text of call control.
    System,
}

/// One party's go.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Counts from 1 within the conversation.
    pub n: u32,
    pub speaker: Speaker,
    /// The caller's words as transcribed, the assistant's as far as they were heard.
    pub text: String,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    /// The caller spoke over it and the rest was dropped.
    pub interrupted: bool,
    /// Of an assistant's turn that answers the caller.
    pub latency: Option<TurnLatency>,
}

/// Where the time went between the end of the caller's voice and the first audio of the answer,
/// in milliseconds. The parts add up to `first_audio_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TurnLatency {
    /// Waiting to be sure that the caller has finished.
    pub endpoint_ms: u64,
    pub transcribe_ms: u64,
    /// The model, until its first sentence was complete; all rounds before it together.
    pub think_ms: u64,
    /// Tools carried out before the first sentence.
    pub tool_ms: u64,
    /// From the order to speak to the first audio.
    pub synthesize_ms: u64,
    /// All the rest: ours.
    pub ours_ms: u64,
    /// The whole, from the end of the voice to the first audio of the answer.
    pub first_audio_ms: u64,
    /// From the end of the voice to a filler ("one moment, please"), where one was needed.
    pub filler_ms: Option<u64>,
}
