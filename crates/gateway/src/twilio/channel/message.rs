//! A message the caller records. The carrier tells of it twice: by the Record's action, which comes for the
//! next program, and by the report of the recording (status callback), in any order. Either may be lost.

use switchhook_call::Event;
use switchhook_conversation::documents::Returned;
use switchhook_model::Timestamp;

use super::{Channel, Recorded, Stage};

impl Channel {
    /// By the action.
    pub(super) fn recorded(&mut self, now: Timestamp, recorded: &Recorded) {
        let returned = if recorded.duration_ms == 0 {
            self.message_by_report()
        } else {
            self.state.message_ms = None;
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
        let is_last = program == self.state.given;
        match self.state.stage {
            // What is recorded when the carrier is called away is taken again, and what is known of an
            // earlier one would be taken for this one.
            Stage::TakingMessage => {
                if is_last && !self.state.is_fetched {
                    self.state.message_ms = Some(duration_ms);
                    self.is_touched = true;
                }
            }
            Stage::Over if is_last => self.recorded_over(now, &message_of(duration_ms)),
            Stage::New
            | Stage::Listening
            | Stage::Telling
            | Stage::Dialing { .. }
            | Stage::Elsewhere
            | Stage::Streaming
            | Stage::Over => {
                if self.state.missed_message == Some(program) {
                    self.state.missed_message = None;
                    self.event(now, taken(duration_ms));
                }
            }
        }
    }

    /// The caller hung up within it.
    pub(super) fn recorded_over(&mut self, now: Timestamp, recorded: &Recorded) {
        self.recorded(now, recorded);
        let is_taken = |event: &Event| matches!(event, Event::MessageTaken { .. });
        // The assistant who was to take it may be gone; the call knows what it has already.
        if recorded.duration_ms > 0 && !self.queue.iter().any(is_taken) {
            self.queue.push_back(taken(recorded.duration_ms));
        }
        self.run(now);
    }

    /// The carrier came without a message by the action: nothing was said, or the action was lost.
    pub(super) fn message_by_report(&mut self) -> Returned {
        match self.state.message_ms.take() {
            Some(duration_ms) => message(duration_ms, String::new()),
            None => {
                self.state.missed_message = Some(self.state.given);
                Returned::NoMessage
            }
        }
    }

    /// The caller hangs up within a message whose recording was reported before.
    pub(super) fn message_of_leaver(&mut self, now: Timestamp) {
        if let Some(duration_ms) = self.state.message_ms.take() {
            self.recorded_over(now, &message_of(duration_ms));
        }
    }
}

fn message_of(duration_ms: u64) -> Recorded {
    Recorded {
        duration_ms,
        text: String::new(),
    }
}

fn taken(duration_ms: u64) -> Event {
    Event::MessageTaken {
        text: String::new(),
        duration_ms,
        recorded: true,
    }
}

fn message(duration_ms: u64, text: String) -> Returned {
    Returned::Message {
        text,
        duration_ms,
        recorded: true,
    }
}
