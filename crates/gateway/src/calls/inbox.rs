//! What reaches a call's task.

use switchhook_call::Event;
use switchhook_conversation::Input;
use switchhook_media::MediaEvent;
use switchhook_model::LegId;
use switchhook_sip::{IncomingCall, SipLegEvent};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::referring::{HandOver, HandedOver};

/// Inputs that may wait. A task that is this far behind does not come back: the call is closed.
const CAPACITY: usize = 1024;

#[derive(Debug)]
pub enum CallInput {
    /// For call control: operators, notices.
    Event(Event),
    /// For the conversation of that number: ears, providers. Late words for an earlier one are
    /// nobody's.
    Talk {
        talk: u32,
        input: Input,
    },
    Sip {
        leg: LegId,
        event: SipLegEvent,
    },
    Media {
        leg: LegId,
        event: MediaEvent,
    },
    /// Pauses or resumes the recording; the answer tells whether there is one.
    Recording {
        paused: bool,
        by: String,
        answer: oneshot::Sender<bool>,
    },
    /// Another call asks for the far party of one of our legs.
    HandOver(Box<HandOver>),
    /// The answer to it.
    HandedOver(Box<HandedOver>),
    /// Another phone asks to take the place of one of our legs.
    Replacing(Box<IncomingCall>),
}

/// The sending side of one conversation's ears, mouth and brain.
#[derive(Debug, Clone)]
pub struct TalkInbox(To);

#[derive(Debug, Clone)]
enum To {
    /// The call's task, for its conversation of that number.
    Task { inbox: Inbox, talk: u32 },
    /// Whoever reads a conversation's reports alone.
    Channel(mpsc::Sender<Input>),
}

impl TalkInbox {
    /// Reports to this channel instead of a call's task.
    pub fn channel(reports: mpsc::Sender<Input>) -> Self {
        Self(To::Channel(reports))
    }

    /// Never waits.
    pub fn send(&self, input: Input) {
        match &self.0 {
            To::Task { inbox, talk } => {
                let talk = *talk;
                inbox.send(CallInput::Talk { talk, input });
            }
            To::Channel(reports) => {
                // Closed: the conversation is over. Full: its reader stands still, and a report more
                // or less does not matter any more.
                if let Err(mpsc::error::TrySendError::Full(_)) = reports.try_send(input) {
                    tracing::error!("reports of ears and mouth are not read");
                }
            }
        }
    }
}

/// The sending side, held by everything that reports to the call.
#[derive(Debug, Clone)]
pub struct Inbox {
    sender: mpsc::Sender<CallInput>,
    overrun: CancellationToken,
}

impl Inbox {
    /// An inbox, its receiving end, and the token that is cancelled when it overflows.
    pub fn open() -> (Self, mpsc::Receiver<CallInput>, CancellationToken) {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let overrun = CancellationToken::new();
        (
            Self {
                sender,
                overrun: overrun.clone(),
            },
            receiver,
            overrun,
        )
    }

    /// For the parts of the call's `talk`th conversation.
    pub fn of_talk(&self, talk: u32) -> TalkInbox {
        TalkInbox(To::Task {
            inbox: self.clone(),
            talk,
        })
    }

    /// Never waits. A full inbox closes the call; a closed one belongs to a call that is over.
    pub fn send(&self, input: CallInput) {
        let _ = self.deliver(input);
    }

    /// Like [`Self::send`]; gives back what a call that is over cannot take.
    pub fn deliver(&self, input: CallInput) -> Result<(), Box<CallInput>> {
        match self.sender.try_send(input) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                tracing::error!("a call's inbox is full: the call is closed");
                self.overrun.cancel();
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(input)) => Err(Box::new(input)),
        }
    }
}
