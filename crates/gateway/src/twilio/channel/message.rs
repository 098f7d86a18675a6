//! A message the caller records. The carrier tells of it twice: by the Record's action, which comes for the
//! next program, and by the report of the recording (status callback), in any order. Either may be lost.

use switchhook_call::Event;
use switchhook_conversation::documents::Returned;
use switchhook_model::Timestamp;

use super::{Channel, Recorded, Stage};

impl Channel {
    /// By the action.
    pub(super) fn recorded(&mut self, now: Timestamp, recorded: &Recorded) {
        self.state.message_ms = None;
        let returned = if recorded.duration_ms == 0 {
            Returned::NoMessage
        } else {
            message(recorded.duration_ms, recorded.text.clone())
        };
        self.said(now, returned);
    }

    /// By the report of the recording that the program of this number made. The action goes on with the
    /// call, so this waits for it; where it was lost, this is what is known.
    pub fn message_reported(&mut self, now: Timestamp, program: u32, duration_ms: u64) {
        if duration_ms == 0 {
            return;
        }
        if self.state.missed_message == Some(program) {
            self.state.missed_message = None;
            let event = Event::MessageTaken {
                text: String::new(),
                duration_ms,
                recorded: true,
            };
            return self.event(now, event);
        }
        if program != self.state.given {
            return;
        }
        match self.state.stage {
            // What is recorded when the carrier is called away is taken again.
            Stage::TakingMessage if !self.state.is_fetched => {
                self.state.message_ms = Some(duration_ms);
                self.is_touched = true;
            }
            // The caller hung up within it.
            Stage::Over => {
                self.said(now, message(duration_ms, String::new()));
                self.run(now);
            }
            Stage::New
            | Stage::TakingMessage
            | Stage::Listening
            | Stage::Telling
            | Stage::Dialing { .. }
            | Stage::Elsewhere
            | Stage::Streaming => {}
        }
    }

    /// The carrier came, and not by the action: it recorded nothing, or the action was lost.
    pub(super) fn message_by_report(&mut self) -> Returned {
        match self.state.message_ms.take() {
            Some(duration_ms) => message(duration_ms, String::new()),
            None => {
                self.state.missed_message = Some(self.state.given);
                Returned::NoMessage
            }
        }
    }

    /// The caller hung up within a message whose recording was reported before.
    pub(super) fn message_of_leaver(&mut self, now: Timestamp) {
        if let Some(duration_ms) = self.state.message_ms.take() {
            self.said(now, message(duration_ms, String::new()));
            self.run(now);
        }
    }
}

fn message(duration_ms: u64, text: String) -> Returned {
    Returned::Message {
        text,
        duration_ms,
        recorded: true,
    }
}
