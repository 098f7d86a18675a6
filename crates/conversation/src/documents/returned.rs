//! The carrier's next request in the machine's own inputs.

use std::fmt;
use std::time::Duration;

use switchhook_model::{Digit, Timestamp};

use super::{Documents, Given, Piece, START_MS};
use crate::io::Input;
use crate::io_debug::Chars;

/// Assumed time from the caller's last word to the request that brings it: the carrier waits to be
/// sure, recognises, and asks.
const ENDPOINT_MS: u64 = 1_000;
/// The same where it is quick.
const LEAST_ENDPOINT_MS: u64 = 600;
/// One key, pressed and released.
const KEY_MS: u64 = 400;
const LEAST_KEY_MS: u64 = 100;
/// Speech is at least this long, whatever its text.
const MIN_SPEECH_MS: u64 = 300;
/// A quick speaker's time for each letter, spaces included.
const LEAST_MS_PER_LETTER: u64 = 40;
/// Voices differ from the estimate: when only this part of a text is missing, it was heard.
const SLACK: u64 = 10;

/// What the carrier comes back with.
#[derive(Clone, PartialEq, Eq)]
pub enum Returned {
    /// It listened for as long as it was told to, and heard nothing.
    Silence,
    /// The caller said something, perhaps over the assistant's words.
    Speech { text: String },
    /// The caller pressed keys, in this order; other characters than keys do not count.
    Digits(String),
    /// It reached the end of a document that does not listen: all of it was heard.
    Nothing,
    /// A message was left. `text` is empty as long as nobody has recognised it; `recorded` says
    /// that there is audio of it.
    Message {
        text: String,
        duration_ms: u64,
        recorded: bool,
    },
    /// It was to record a message, and there is none.
    NoMessage,
    /// The caller is gone. What they heard counts; [`Input::Stop`] is for call control to give,
    /// and where a message is being recorded, only after [`Returned::Message`] or
    /// [`Returned::NoMessage`].
    HungUp,
    /// The document was taken from it now, before its end: another one follows at once.
    Replaced,
    /// The document never reached it: nothing of it was heard.
    NotDelivered,
}

/// How far the carrier came with a document.
pub(super) struct Progress {
    /// Reports of the texts that were heard to their end.
    pub(super) heard: Vec<(Timestamp, Input)>,
    /// The position in the one that was being spoken.
    pub(super) cut: Option<Input>,
    /// How many pieces were heard to their end.
    pieces: usize,
}

impl Documents {
    /// The inputs a request amounts to, each with its time, in order. Times before one that was
    /// handed in already count as that.
    #[must_use]
    pub fn returned(&mut self, now: Timestamp, returned: Returned) -> Vec<(Timestamp, Input)> {
        let now = now.max(self.latest);
        let given = self.given.take().unwrap_or_else(|| Given {
            at: self.latest,
            pieces: Vec::new(),
            listen_from: 0,
            silence_ms: 0,
            void: false,
        });
        let inputs = match returned {
            Returned::Silence => self.silence(&given, now),
            Returned::Speech { text } => self.speech(given, now, text),
            Returned::Digits(keys) => self.digits(given, now, &keys),
            Returned::Nothing => {
                let mut inputs = self.all_heard(&given, now);
                // Whatever came due while the carrier spoke.
                inputs.push((now, Input::Timeout));
                inputs
            }
            Returned::Message {
                text,
                duration_ms,
                recorded,
            } => {
                let began = now - Duration::from_millis(duration_ms);
                let mut inputs = self.all_heard(&given, began);
                inputs.push((
                    now,
                    Input::MessageRecorded {
                        text,
                        duration_ms,
                        recorded,
                    },
                ));
                inputs
            }
            Returned::NoMessage => {
                let mut inputs = self.all_heard(&given, now);
                inputs.push((
                    now,
                    Input::MessageRecorded {
                        text: String::new(),
                        duration_ms: 0,
                        recorded: false,
                    },
                ));
                inputs
            }
            Returned::HungUp | Returned::Replaced => {
                let progress = self.heard_until(&given, now, now, 0);
                let mut inputs = progress.heard;
                inputs.extend(progress.cut.map(|cut| (now, cut)));
                self.put_back_from(given, progress.pieces);
                inputs
            }
            Returned::NotDelivered => {
                self.put_back(given);
                Vec::new()
            }
        };
        let last = inputs.iter().map(|(at, _)| *at).max();
        self.latest = now.max(last.unwrap_or(now));
        inputs
    }

    /// The carrier measured the silence: the words were over that long ago, whatever was estimated.
    fn silence(&self, given: &Given, now: Timestamp) -> Vec<(Timestamp, Input)> {
        let silence = Duration::from_millis(given.silence_ms);
        let mut inputs = self.all_heard(given, now - silence);
        let since = inputs.last().map_or(given.at, |(at, _)| *at).max(given.at);
        // Carriers count whole seconds.
        inputs.push((now.max(since + silence), Input::Timeout));
        inputs
    }

    fn speech(&mut self, given: Given, now: Timestamp, text: String) -> Vec<(Timestamp, Input)> {
        let letters = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        let least_ms = letters
            .saturating_mul(LEAST_MS_PER_LETTER)
            .max(MIN_SPEECH_MS);
        let duration_ms = self
            .speech_ms(&text)
            .min(now.millis_since(given.at))
            .max(least_ms);
        let began = before(now, ENDPOINT_MS + duration_ms).max(given.at);
        let latest = before(now, LEAST_ENDPOINT_MS + least_ms).max(began);
        let progress = self.heard_until(&given, began, latest, given.listen_from);
        let mut inputs = progress.heard;
        inputs.extend(progress.cut.clone().map(|cut| (began, cut)));
        inputs.push((began, Input::SpeechStarted));
        // If it stops what is queued now, it waits to be told where.
        inputs.extend(progress.cut.map(|cut| (began, cut)));
        let utterance = self.next_utterance;
        self.next_utterance = self.next_utterance.wrapping_add(1);
        inputs.push((
            now,
            Input::SpeechEnded {
                utterance,
                duration_ms,
                silence_ms: ENDPOINT_MS,
            },
        ));
        inputs.push((now, Input::Transcript { utterance, text }));
        self.put_back_from(given, progress.pieces);
        inputs
    }

    fn digits(&mut self, given: Given, now: Timestamp, keys: &str) -> Vec<(Timestamp, Input)> {
        let digits: Vec<Digit> = keys
            .chars()
            .filter_map(|key| Digit::try_from(key).ok())
            .collect();
        let count = u64::try_from(digits.len()).unwrap_or(0);
        let began = before(now, count * KEY_MS).max(given.at);
        let latest = before(now, count * LEAST_KEY_MS).max(began);
        let progress = self.heard_until(&given, began, latest, given.listen_from);
        let mut inputs = progress.heard;
        inputs.extend(progress.cut.clone().map(|cut| (began, cut)));
        inputs.extend(digits.into_iter().map(|digit| (now, Input::Digit(digit))));
        inputs.extend(progress.cut.map(|cut| (now, cut)));
        self.put_back_from(given, progress.pieces);
        inputs
    }

    /// What was not heard to its end is said in the next document, unless the machine stops it.
    fn put_back_from(&mut self, mut given: Given, heard: usize) {
        given.pieces.drain(..heard);
        self.put_back(given);
    }

    /// Reports that everything was heard, the last of it at `end` or, by estimate, earlier.
    fn all_heard(&self, given: &Given, end: Timestamp) -> Vec<(Timestamp, Input)> {
        if given.void {
            return Vec::new();
        }
        let mut at = (given.at + Duration::from_millis(START_MS)).min(end.max(given.at));
        let room = end.millis_since(at);
        let estimate = self.length_ms(&given.pieces);
        let mut inputs = Vec::new();
        for piece in &given.pieces {
            let ms = self.piece_ms(piece);
            let total_ms = if estimate > room {
                // The voice was faster than estimated.
                u64::try_from(u128::from(ms) * u128::from(room) / u128::from(estimate.max(1)))
                    .unwrap_or(0)
            } else {
                ms
            };
            at = at + Duration::from_millis(total_ms);
            inputs.extend(heard(piece, at, total_ms));
        }
        inputs
    }

    /// How far the carrier came until it stopped, by estimate at `stop`. Most callers wait for the
    /// end: what was over by `latest`, the last moment it may have stopped, counts as heard. The
    /// first `certain` pieces cannot be spoken over.
    pub(super) fn heard_until(
        &self,
        given: &Given,
        stop: Timestamp,
        latest: Timestamp,
        certain: usize,
    ) -> Progress {
        let mut progress = Progress {
            heard: Vec::new(),
            cut: None,
            pieces: 0,
        };
        if given.void {
            return progress;
        }
        let mut over = given.at + Duration::from_millis(START_MS);
        let mut begin = over.min(stop);
        for (n, piece) in given.pieces.iter().enumerate() {
            let ms = self.piece_ms(piece);
            over = over + Duration::from_millis(ms);
            let played_ms = stop.millis_since(begin);
            if n >= certain && before(over, ms / SLACK) > latest {
                progress.cut = Some(Input::PlayoutProgress {
                    item: piece.item,
                    played_ms: played_ms.min(ms - ms / SLACK),
                    total_ms: Some(ms),
                });
                return progress;
            }
            let total_ms = ms.min(played_ms);
            begin = begin + Duration::from_millis(total_ms);
            progress.heard.extend(heard(piece, begin, total_ms));
            progress.pieces = n + 1;
        }
        progress
    }
}

fn before(at: Timestamp, ms: u64) -> Timestamp {
    at - Duration::from_millis(ms)
}

/// A piece that took `total_ms` was over `at`.
fn heard(piece: &Piece, at: Timestamp, total_ms: u64) -> [(Timestamp, Input); 2] {
    [
        (
            at,
            Input::PlayoutProgress {
                item: piece.item,
                played_ms: total_ms,
                total_ms: Some(total_ms),
            },
        ),
        (at, Input::PlayoutFinished { item: piece.item }),
    ]
}

impl fmt::Debug for Returned {
    /// Hides words and keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence => f.write_str("Silence"),
            Self::Speech { text } => f
                .debug_struct("Speech")
                .field("text", &Chars(text))
                .finish(),
            Self::Digits(keys) => f.debug_tuple("Digits").field(&Chars(keys)).finish(),
            Self::Nothing => f.write_str("Nothing"),
            Self::Message {
                text,
                duration_ms,
                recorded,
            } => f
                .debug_struct("Message")
                .field("text", &Chars(text))
                .field("duration_ms", duration_ms)
                .field("recorded", recorded)
                .finish(),
            Self::NoMessage => f.write_str("NoMessage"),
            Self::HungUp => f.write_str("HungUp"),
            Self::Replaced => f.write_str("Replaced"),
            Self::NotDelivered => f.write_str("NotDelivered"),
        }
    }
}
