//! When the caller begins and stops speaking, from one voice flag for each 20 ms frame.
//!
//! Voice activity is not an end of turn: a flag flickers, a cough is short, a thinking caller
//! pauses. This machine asks for some voice before it believes in speech, for more of it while the
//! assistant is speaking (an echo or a cough must not cut it), and for a real silence before it
//! believes in an end.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::io::Input;

/// Length of one frame.
pub const FRAME_MS: u64 = 20;

/// Thresholds, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointingConfig {
    /// Voice within the last `start_window_ms` that makes a beginning.
    pub start_ms: u64,
    /// The same while the assistant speaks.
    pub barge_in_ms: u64,
    /// Where the voice of a beginning is looked for; a word has gaps.
    pub start_window_ms: u64,
    /// Silence that makes an end.
    pub end_silence_ms: u64,
    /// An utterance is ended when it is this long, even within speech; what follows is the next.
    pub max_utterance_ms: u64,
    /// Voice before the beginning that belongs to the utterance: the gateway keeps that much audio.
    pub pre_roll_ms: u64,
}

impl Default for EndpointingConfig {
    fn default() -> Self {
        Self {
            start_ms: 60,
            barge_in_ms: 200,
            start_window_ms: 300,
            end_silence_ms: 700,
            max_utterance_ms: 15_000,
            pre_roll_ms: 300,
        }
    }
}

/// What the frames meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointEvent {
    /// Speech began; its audio begins `pre_roll_ms` before this frame.
    Started { utterance: u32 },
    /// Speech ended; the audio up to this frame is the utterance.
    Ended {
        utterance: u32,
        /// From the first to the last frame with voice.
        duration_ms: u64,
        /// How long ago the last frame with voice was.
        silence_ms: u64,
    },
}

impl From<EndpointEvent> for Input {
    fn from(event: EndpointEvent) -> Self {
        match event {
            EndpointEvent::Started { utterance: _ } => Self::SpeechStarted,
            EndpointEvent::Ended {
                utterance,
                duration_ms,
                silence_ms,
            } => Self::SpeechEnded {
                utterance,
                duration_ms,
                silence_ms,
            },
        }
    }
}

#[derive(Debug, Clone)]
enum State {
    Quiet {
        /// The last frames, newest at the back, at most `start_window_ms`.
        recent: VecDeque<bool>,
    },
    Speech {
        /// Frames from the first with voice to now.
        frames: u64,
        /// Frames from the last with voice to now.
        silent_frames: u64,
    },
}

/// Fed with every frame; see the module.
#[derive(Debug, Clone)]
pub struct Endpointing {
    config: EndpointingConfig,
    state: State,
    utterances: u32,
}

impl Endpointing {
    /// Starts in silence. The first utterance is number 1.
    pub fn new(config: EndpointingConfig) -> Self {
        Self {
            config,
            state: State::Quiet {
                recent: VecDeque::new(),
            },
            utterances: 0,
        }
    }

    /// One 20 ms frame. `assistant_speaking` from [`crate::Conversation::is_speaking`].
    pub fn frame(&mut self, voice: bool, assistant_speaking: bool) -> Option<EndpointEvent> {
        match &mut self.state {
            State::Quiet { recent } => {
                recent.push_back(voice);
                let window = frames(self.config.start_window_ms).max(1);
                while recent.len() as u64 > window {
                    recent.pop_front();
                }
                let needed = if assistant_speaking {
                    frames(self.config.barge_in_ms)
                } else {
                    frames(self.config.start_ms)
                }
                .clamp(1, window);
                let voiced = recent.iter().filter(|v| **v).count() as u64;
                if !voice || voiced < needed {
                    return None;
                }
                let first = recent.iter().position(|v| *v).unwrap_or(0);
                let since_first = (recent.len() - first) as u64;
                self.utterances = self.utterances.wrapping_add(1);
                self.state = State::Speech {
                    frames: since_first,
                    silent_frames: 0,
                };
                Some(EndpointEvent::Started {
                    utterance: self.utterances,
                })
            }
            State::Speech {
                frames: total,
                silent_frames,
            } => {
                *total += 1;
                *silent_frames = if voice { 0 } else { *silent_frames + 1 };
                let over = *silent_frames >= frames(self.config.end_silence_ms).max(1)
                    || *total >= frames(self.config.max_utterance_ms).max(1);
                if over { self.finish() } else { None }
            }
        }
    }

    /// Ends the running utterance now, if there is one: the line went dead, or the conversation
    /// said [`crate::Output::EndUtterance`].
    pub fn finish(&mut self) -> Option<EndpointEvent> {
        match self.state {
            State::Quiet { .. } => None,
            State::Speech {
                frames,
                silent_frames,
            } => {
                self.state = State::Quiet {
                    recent: VecDeque::new(),
                };
                Some(EndpointEvent::Ended {
                    utterance: self.utterances,
                    duration_ms: (frames - silent_frames.min(frames)) * FRAME_MS,
                    silence_ms: silent_frames * FRAME_MS,
                })
            }
        }
    }

    /// Whether an utterance is running.
    pub fn in_speech(&self) -> bool {
        matches!(self.state, State::Speech { .. })
    }
}

fn frames(ms: u64) -> u64 {
    ms.div_ceil(FRAME_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(e: &mut Endpointing, voice: bool, ms: u64, speaking: bool) -> Vec<(u64, EndpointEvent)> {
        (0..ms / FRAME_MS)
            .filter_map(|i| {
                e.frame(voice, speaking)
                    .map(|event| ((i + 1) * FRAME_MS, event))
            })
            .collect()
    }

    #[test]
    fn a_sentence_begins_after_60_ms_and_ends_after_700_ms_of_silence() {
        let mut e = Endpointing::new(EndpointingConfig::default());
        assert_eq!(run(&mut e, false, 1000, false), []);
        assert_eq!(
            run(&mut e, true, 1000, false),
            [(60, EndpointEvent::Started { utterance: 1 })]
        );
        assert_eq!(
            run(&mut e, false, 300, false),
            [],
            "a pause within the sentence"
        );
        assert_eq!(run(&mut e, true, 500, false), []);
        assert_eq!(
            run(&mut e, false, 1000, false),
            [(
                700,
                EndpointEvent::Ended {
                    utterance: 1,
                    duration_ms: 1800,
                    silence_ms: 700
                }
            )]
        );
    }

    #[test]
    fn speaking_over_the_assistant_needs_200_ms_of_voice() {
        let mut e = Endpointing::new(EndpointingConfig::default());
        assert_eq!(run(&mut e, true, 180, true), []);
        assert_eq!(run(&mut e, false, 400, true), []);
        assert_eq!(
            run(&mut e, true, 400, true),
            [(200, EndpointEvent::Started { utterance: 1 })]
        );
    }

    #[test]
    fn single_frames_of_noise_are_nothing() {
        let mut e = Endpointing::new(EndpointingConfig::default());
        for _ in 0..100 {
            assert_eq!(run(&mut e, true, 40, false), []);
            assert_eq!(run(&mut e, false, 400, false), []);
        }
    }

    #[test]
    fn endless_voice_is_cut_at_the_maximum() {
        let mut e = Endpointing::new(EndpointingConfig::default());
        let events = run(&mut e, true, 31_000, false);
        let ends = events
            .iter()
            .filter(|(_, event)| matches!(event, EndpointEvent::Ended { silence_ms: 0, .. }))
            .count();
        assert_eq!(ends, 2, "{events:?}");
    }

    #[test]
    fn a_dead_line_ends_the_utterance() {
        let mut e = Endpointing::new(EndpointingConfig::default());
        assert_eq!(e.finish(), None);
        run(&mut e, true, 500, false);
        assert_eq!(
            e.finish(),
            Some(EndpointEvent::Ended {
                utterance: 1,
                duration_ms: 500,
                silence_ms: 0
            })
        );
        assert!(!e.in_speech());
    }
}
