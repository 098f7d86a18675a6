//! What signalling asks of a worker, and what the worker gives back to be freed elsewhere.

use rtrb::{Consumer, Producer};
use switchhook_model::Digit;

use crate::assistant::AssistantTap;
use crate::codec::Codec;
use crate::frame::FRAME_SAMPLES;
use crate::params::RtpParams;
use crate::recording::RecordingTap;
use crate::srtp::SrtpSession;
use crate::tone::Tone;

use super::leg::LegState;

/// A leg's place in its worker's table. The generation tells it from a former leg of that place,
/// whose handle may outlive it after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub index: u32,
    pub generation: u32,
}

/// Everything that allocates was allocated by the sender.
pub(crate) enum Command {
    Open {
        slot: Slot,
        phase: usize,
        leg: Box<LegState>,
    },
    Start {
        slot: Slot,
        params: RtpParams,
        /// Made of the keys in `params`, which have none here.
        srtp: Option<Box<SrtpSession>>,
    },
    /// Alarms may sound from now on.
    Watch {
        slot: Slot,
    },
    Assistant {
        slot: Slot,
        tap: Option<Box<AssistantTap>>,
    },
    Record {
        slot: Slot,
        tap: Box<RecordingTap>,
    },
    /// Until switched off, whenever there is nothing else to play.
    Ringback {
        slot: Slot,
        tone: Option<Tone>,
    },
    /// At once, over everything else, until it ends; nothing stops it.
    Tone {
        slot: Slot,
        tone: Option<Tone>,
    },
    SendDigit {
        slot: Slot,
        digit: Digit,
    },
    /// Both legs are on this worker.
    Bridge {
        a: Slot,
        b: Slot,
    },
    /// The peer is on another worker.
    Link {
        slot: Slot,
        link: Box<Link>,
    },
    /// Ends whatever bridge the leg is in.
    Unbridge {
        slot: Slot,
    },
    Close {
        slot: Slot,
    },
    /// Makes the leg panic in its next tick.
    #[cfg(test)]
    Fault {
        slot: Slot,
        while_sending: bool,
    },
}

/// Frames that may wait between two workers. Their clocks are the same, so one waits at most;
/// more come after a hiccup, and then the oldest are left out.
pub(crate) const LINK_FRAMES: usize = 8;

/// A bridge to a leg on another worker.
pub(crate) struct Link {
    pub to_peer: Producer<LinkFrame>,
    pub from_peer: Consumer<LinkFrame>,
}

/// One frame on its way between workers, as it came from the network.
pub(crate) struct LinkFrame {
    pub codec: Codec,
    pub octets: [u8; FRAME_SAMPLES],
}

/// What a worker no longer needs. Freed by the reaper: freeing may take long.
pub(crate) enum Grave {
    Leg { slot: Slot, leg: Box<LegState> },
    Assistant(Box<AssistantTap>),
    Recording(Box<RecordingTap>),
    Link(Box<Link>),
    Srtp(Box<SrtpSession>),
}
