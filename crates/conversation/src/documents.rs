//! A turn without an audio path: the carrier speaks whole texts and hands back whole texts.
//!
//! What belongs here: what the next document says and how it ends, and what the carrier's next
//! request means in the machine's own inputs. What does not: how a document is written (TwiML is
//! the channel's), and any rule of the talk: the machine's are used as they are.
//!
//! Between two requests nobody tells how far the carrier came. The times are therefore estimated
//! from the number of letters, and from what the carrier measured itself, where it did. Whether the
//! caller waited for the end cannot be known to the second; where it is doubtful they did, as most
//! do.
//!
//! One request of the carrier, step by step:
//!
//! 1. [`Documents::returned`] makes the inputs of it; each goes to [`Conversation::handle`], and all
//!    outputs go to [`Documents::collect`], whose reports are inputs again. There is no audio to
//!    transcribe: [`Output::Transcribe`] is answered by the input that follows.
//! 2. While [`Conversation::is_thinking`], the channel may wait for deltas and deadlines, as long as
//!    its carrier allows, or until there is something to say ([`Documents::has_words`]).
//! 3. [`Documents::take`] is the next document. Conversation and documents are stored together, then
//!    the request is answered.
//!
//! Between two requests no deadline needs to be kept: the next request makes up for it. The timing
//! the conversation is configured with comes from [`Documents::timing`].

mod returned;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchhook_model::{Language, Timestamp};

use crate::config::Timing;
use crate::conversation::Conversation;
use crate::heard::speaking_ms;
use crate::io::{Input, Output};
use crate::io_debug::Chars;

pub use returned::Returned;

/// Assumed time for each letter, in milliseconds; a space counts as one, a pause and a figure as
/// four. About 15 letters a second, as telephone voices read at their normal speed. Arabic leaves
/// out its short vowels in writing, so a letter stands for more sound.
const EN_MS_PER_LETTER: u64 = 55;
const DE_MS_PER_LETTER: u64 = 57;
const AR_MS_PER_LETTER: u64 = 78;
/// The carrier fetches the document and makes the first words audible.
const START_MS: u64 = 300;
/// The tone before a message.
const BEEP_MS: u64 = 500;
/// The carrier fetches a document at the latest after the one before is over, and no single text it
/// takes is longer than this.
const PLAYOUT_TIMEOUT_MS: u64 = 900_000;

/// What is to be said, and what the carrier was given to say. Stored with the conversation.
#[derive(Clone, Serialize, Deserialize)]
pub struct Documents {
    language: Language,
    /// Not in a document yet.
    pending: Vec<Piece>,
    /// The document the carrier has.
    given: Option<Given>,
    next_utterance: u32,
    /// The last time that was handed in.
    latest: Timestamp,
}

/// One item of the conversation.
#[derive(Clone, Serialize, Deserialize)]
struct Piece {
    item: u32,
    /// None for the tone.
    words: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Given {
    at: Timestamp,
    pieces: Vec<Piece>,
    /// The first piece the caller may speak over.
    listen_from: usize,
    /// How long the caller may be silent after it.
    silence_ms: u64,
    /// The conversation stopped it: nothing of it is spoken again.
    void: bool,
}

/// The next document.
#[derive(Clone, PartialEq, Eq)]
pub struct Spoken {
    /// Item and text, in the order in which they are to be heard.
    pub items: Vec<(u32, String)>,
    /// Estimated time until the last word was heard, from the answer to the request on.
    pub est_ms: u64,
    /// The first of `items` the caller may speak over: it and all behind it belong inside what
    /// listens, those before it in front.
    pub listen_from: usize,
    pub then: Then,
}

/// What follows the last word of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Listen for speech and keys; with neither for `silence_ms`, [`Returned::Silence`].
    Listen { silence_ms: u64 },
    /// A tone, then record a message: [`Returned::Message`] or [`Returned::NoMessage`].
    Record,
    /// Ask for the next document: [`Returned::Nothing`]. Where `items` is empty, a pause stands
    /// before it.
    ComeBack,
}

impl Documents {
    /// For a conversation in this language.
    pub fn new(language: Language) -> Self {
        Self {
            language,
            pending: Vec::new(),
            given: None,
            next_utterance: 1,
            latest: Timestamp::default(),
        }
    }

    /// The waiting times of a conversation that is spoken in documents: an item may be silent for
    /// as long as the longest document takes.
    pub fn timing(timing: Timing) -> Timing {
        Timing {
            playout_timeout_ms: timing.playout_timeout_ms.max(PLAYOUT_TIMEOUT_MS),
            ..timing
        }
    }

    /// How long a text is estimated to take, from the request for it to its last word, in milliseconds.
    pub fn speaking_ms(language: Language, text: &str) -> u64 {
        START_MS + Self::new(language).speech_ms(text)
    }

    /// Takes up what is to be said of the outputs of [`Conversation::handle`]; all of them are to
    /// pass here, in order. The reports that come back are to be handed to the conversation at
    /// once: where it stops the document the carrier is speaking, they tell how far that came.
    #[must_use]
    pub fn collect(&mut self, now: Timestamp, outputs: &[Output]) -> Vec<(Timestamp, Input)> {
        self.latest = self.latest.max(now);
        let mut reports = Vec::new();
        for output in outputs {
            match output {
                Output::Speak { item, text } => self.pending.push(Piece {
                    item: *item,
                    words: Some(text.clone()),
                }),
                Output::Beep { item } => self.pending.push(Piece {
                    item: *item,
                    words: None,
                }),
                Output::StopPlayout => {
                    self.pending.clear();
                    reports.extend(self.stop_given());
                }
                Output::Transcribe { .. }
                | Output::DropUtterance { .. }
                | Output::EndUtterance
                | Output::Think { .. }
                | Output::CancelThink { .. }
                | Output::AskForHuman { .. }
                | Output::CallTool { .. }
                | Output::CheckPin { .. }
                | Output::EndCall { .. }
                | Output::MessageTaken { .. }
                | Output::MessageAbandoned
                | Output::SayFinished { .. }
                | Output::TurnEnded(_) => {}
            }
        }
        reports
    }

    /// Whether there is something to say that no document holds yet.
    pub fn has_words(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether the carrier is estimated to be speaking.
    pub fn is_speaking(&self, now: Timestamp) -> bool {
        self.given.as_ref().is_some_and(|given| {
            let length = START_MS + self.length_ms(&given.pieces);
            !given.pieces.is_empty() && now < given.at + Duration::from_millis(length)
        })
    }

    /// The next document, given to the carrier now. It ends at the tone, where there is one: what
    /// is to be said behind it follows after the message.
    pub fn take(&mut self, conversation: &Conversation, now: Timestamp) -> Spoken {
        self.latest = self.latest.max(now);
        // A document nobody reported on was replaced: better said twice than never.
        if let Some(given) = self.given.take() {
            self.put_back(given);
        }
        let end = self
            .pending
            .iter()
            .position(|piece| piece.words.is_none())
            .map_or(self.pending.len(), |tone| tone + 1);
        let pieces: Vec<Piece> = self.pending.drain(..end).collect();
        let listen_from = pieces
            .iter()
            .rposition(|piece| !conversation.may_be_interrupted(piece.item))
            .map_or(0, |last| last + 1);
        let silence_ms = conversation.silence_allowed_ms();
        let items: Vec<(u32, String)> = pieces
            .iter()
            .filter_map(|piece| Some((piece.item, piece.words.clone()?)))
            .collect();
        let spoken = Spoken {
            est_ms: START_MS + self.length_ms(&pieces),
            listen_from: listen_from.min(items.len()),
            then: if pieces.iter().any(|piece| piece.words.is_none()) {
                Then::Record
            } else if conversation.wants_to_listen() && self.pending.is_empty() {
                Then::Listen { silence_ms }
            } else {
                Then::ComeBack
            },
            items,
        };
        self.given = Some(Given {
            at: self.latest,
            pieces,
            listen_from,
            silence_ms,
            void: false,
        });
        spoken
    }

    /// What was not heard of a document is said in the next one.
    fn put_back(&mut self, given: Given) {
        if !given.void {
            drop(self.pending.splice(0..0, given.pieces));
        }
    }

    /// The conversation stopped what the carrier is speaking.
    fn stop_given(&mut self) -> Vec<(Timestamp, Input)> {
        let stopped = self.latest;
        let Some(given) = &mut self.given else {
            return Vec::new();
        };
        if std::mem::replace(&mut given.void, true) {
            return Vec::new();
        }
        let given = Given {
            void: false,
            ..given.clone()
        };
        let progress = self.heard_until(&given, stopped, stopped, 0);
        // The first position that is reported settles the cut, so it comes last.
        let mut reports = progress.heard;
        reports.retain(|(_, input)| matches!(input, Input::PlayoutFinished { .. }));
        reports.extend(progress.cut.map(|cut| (stopped, cut)));
        reports
    }

    fn length_ms(&self, pieces: &[Piece]) -> u64 {
        pieces.iter().map(|piece| self.piece_ms(piece)).sum()
    }

    fn piece_ms(&self, piece: &Piece) -> u64 {
        match &piece.words {
            Some(words) => self.speech_ms(words),
            None => BEEP_MS,
        }
    }

    /// How long a text takes to be said, by a voice or by the caller.
    fn speech_ms(&self, text: &str) -> u64 {
        let per_letter = match self.language {
            Language::En => EN_MS_PER_LETTER,
            Language::De => DE_MS_PER_LETTER,
            Language::Ar => AR_MS_PER_LETTER,
        };
        speaking_ms(text, per_letter)
    }
}

impl fmt::Debug for Documents {
    /// Hides the words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = self.given.as_ref().map(|given| given.pieces.len());
        f.debug_struct("Documents")
            .field("pending", &self.pending.len())
            .field("given", &given)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Spoken {
    /// Hides the words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items: Vec<_> = self
            .items
            .iter()
            .map(|(item, text)| (item, Chars(text)))
            .collect();
        f.debug_struct("Spoken")
            .field("items", &items)
            .field("est_ms", &self.est_ms)
            .field("listen_from", &self.listen_from)
            .field("then", &self.then)
            .finish()
    }
}
