//! What signalling asks of a worker, and what the worker gives back to be freed elsewhere.

use rtrb::{Consumer, Producer};
use switchhook_model::Digit;

use crate::assistant::AssistantTap;
use crate::codec::Codec;
use crate::codec::coders::Coders;
use crate::frame::{FRAME_SAMPLES, Frame};
use crate::music::MusicPlayer;
use crate::params::RtpParams;
use crate::recording::RecordingTap;
use crate::srtp::SrtpSession;
use crate::tone::Tone;

use super::leg::LegState;
use super::mixer::Mixer;

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
        coders: Coders,
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
    /// In place of what the bridge peer says.
    Music {
        slot: Slot,
        player: Option<Box<MusicPlayer>>,
    },
    /// Whether the bridge peer is not heard.
    Deafen {
        slot: Slot,
        on: bool,
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
    OpenConference {
        mixer: Box<Mixer>,
    },
    /// Former bridges and conferences of the leg end.
    Join {
        id: u64,
        slot: Slot,
    },
    CloseConference {
        id: u64,
    },
    /// Ends whatever bridge or conference the leg is in.
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

/// One frame on its way between workers: as it came from the network where the codec has no
/// memory, else decoded.
pub(crate) enum LinkFrame {
    Octets(Codec, [u8; FRAME_SAMPLES]),
    Samples(Frame),
}

/// What a worker no longer needs. Freed by the reaper: freeing may take long.
pub(crate) enum Grave {
    Leg { slot: Slot, leg: Box<LegState> },
    Assistant(Box<AssistantTap>),
    Recording(Box<RecordingTap>),
    Link(Box<Link>),
    Coders(Coders),
    Music(Box<MusicPlayer>),
    Mixer(Box<Mixer>),
    Srtp(Box<SrtpSession>),
}
