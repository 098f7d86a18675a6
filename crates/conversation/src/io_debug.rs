//! `Debug` of inputs and outputs, without a word of what was said.

use std::fmt;

use crate::io::{Input, Output, PinAnswer, Turn};

/// Shows only how long a text is.
pub(crate) struct Chars<'a>(pub(crate) &'a str);

impl fmt::Debug for Chars<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} chars>", self.0.chars().count())
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { opening, note } => f
                .debug_struct("Start")
                .field("opening", &opening.as_deref().map(Chars))
                .field("note", &note.as_deref().map(Chars))
                .finish(),
            Self::Pause => f.write_str("Pause"),
            Self::Resume { note } => f
                .debug_struct("Resume")
                .field("note", &note.as_deref().map(Chars))
                .finish(),
            Self::Stop => f.write_str("Stop"),
            Self::TakeMessage => f.write_str("TakeMessage"),
            Self::Say {
                id,
                text,
                interruptible,
            } => f
                .debug_struct("Say")
                .field("id", &id.0)
                .field("text", &Chars(text))
                .field("interruptible", interruptible)
                .finish(),
            Self::SpeechStarted => f.write_str("SpeechStarted"),
            Self::SpeechEnded {
                utterance,
                duration_ms,
                silence_ms,
            } => f
                .debug_struct("SpeechEnded")
                .field("utterance", utterance)
                .field("duration_ms", duration_ms)
                .field("silence_ms", silence_ms)
                .finish(),
            Self::Transcript { utterance, text } => f
                .debug_struct("Transcript")
                .field("utterance", utterance)
                .field("text", &Chars(text))
                .finish(),
            Self::TranscriptFailed { utterance, error } => f
                .debug_struct("TranscriptFailed")
                .field("utterance", utterance)
                .field("error", error)
                .finish(),
            Self::Delta { request, delta } => f
                .debug_struct("Delta")
                .field("request", request)
                .field("delta", delta)
                .finish(),
            Self::ToolResult {
                request,
                id,
                content,
            } => f
                .debug_struct("ToolResult")
                .field("request", request)
                .field("id", id)
                .field("content", &Chars(content))
                .finish(),
            Self::PlayoutProgress {
                item,
                played_ms,
                total_ms,
            } => f
                .debug_struct("PlayoutProgress")
                .field("item", item)
                .field("played_ms", played_ms)
                .field("total_ms", total_ms)
                .finish(),
            Self::PlayoutFinished { item } => f
                .debug_struct("PlayoutFinished")
                .field("item", item)
                .finish(),
            Self::SynthesisFailed { item, error } => f
                .debug_struct("SynthesisFailed")
                .field("item", item)
                .field("error", error)
                .finish(),
            // It may be one of a PIN.
            Self::Digit(_) => f.write_str("Digit(·)"),
            Self::PinChecked(PinAnswer::Accepted { .. }) => f.write_str("PinChecked(Accepted)"),
            Self::PinChecked(answer) => f.debug_tuple("PinChecked").field(answer).finish(),
            Self::MessageRecorded {
                text,
                duration_ms,
                recorded,
            } => f
                .debug_struct("MessageRecorded")
                .field("text", &Chars(text))
                .field("duration_ms", duration_ms)
                .field("recorded", recorded)
                .finish(),
            Self::Timeout => f.write_str("Timeout"),
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transcribe { utterance } => f
                .debug_struct("Transcribe")
                .field("utterance", utterance)
                .finish(),
            Self::DropUtterance { utterance } => f
                .debug_struct("DropUtterance")
                .field("utterance", utterance)
                .finish(),
            Self::EndUtterance => f.write_str("EndUtterance"),
            Self::Think {
                request,
                messages,
                tools,
            } => f
                .debug_struct("Think")
                .field("request", request)
                .field("messages", &messages.len())
                .field("tools", &tools.len())
                .finish(),
            Self::CancelThink { request } => f
                .debug_struct("CancelThink")
                .field("request", request)
                .finish(),
            Self::Speak { item, text } => f
                .debug_struct("Speak")
                .field("item", item)
                .field("text", &Chars(text))
                .finish(),
            Self::Beep { item } => f.debug_struct("Beep").field("item", item).finish(),
            Self::StopPlayout => f.write_str("StopPlayout"),
            Self::AskForHuman {
                request,
                department,
                target,
                reason,
                summary,
            } => f
                .debug_struct("AskForHuman")
                .field("request", request)
                .field("department", department)
                .field("target", &target.as_deref().map(Chars))
                .field("reason", &Chars(reason))
                .field("summary", &Chars(summary))
                .finish(),
            Self::CallTool {
                request,
                id,
                name,
                arguments,
            } => f
                .debug_struct("CallTool")
                .field("request", request)
                .field("id", id)
                .field("name", name)
                .field("arguments", &Chars(arguments))
                .finish(),
            Self::CheckPin { .. } => f.write_str("CheckPin"),
            Self::EndCall { reason } => f.debug_struct("EndCall").field("reason", reason).finish(),
            Self::MessageTaken {
                text,
                duration_ms,
                recorded,
            } => f
                .debug_struct("MessageTaken")
                .field("text", &Chars(text))
                .field("duration_ms", duration_ms)
                .field("recorded", recorded)
                .finish(),
            Self::MessageAbandoned => f.write_str("MessageAbandoned"),
            Self::SayFinished { id, heard } => f
                .debug_struct("SayFinished")
                .field("id", &id.0)
                .field("heard", heard)
                .finish(),
            Self::TurnEnded(turn) => f.debug_tuple("TurnEnded").field(turn).finish(),
        }
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("n", &self.n)
            .field("speaker", &self.speaker)
            .field("text", &Chars(&self.text))
            .field("started_at", &self.started_at)
            .field("ended_at", &self.ended_at)
            .field("interrupted", &self.interrupted)
            .field("latency", &self.latency)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_said_is_shown() {
        let secret = "my number is 5551234";
        let shown = [
            format!(
                "{:?}",
                Input::Transcript {
                    utterance: 1,
                    text: secret.into()
                }
            ),
            format!(
                "{:?}",
                Output::Speak {
                    item: 1,
                    text: secret.into()
                }
            ),
            format!(
                "{:?}",
                Output::MessageTaken {
                    text: secret.into(),
                    duration_ms: 1,
                    recorded: true
                }
            ),
        ];
        for text in shown {
            assert!(
                !text.contains("5551234") && text.contains("20 chars"),
                "{text}"
            );
        }
    }
}
