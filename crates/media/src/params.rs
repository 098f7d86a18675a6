//! What signalling agreed on for a leg's RTP.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::codec::Codec;
use crate::codec::opus::OpusParams;
use crate::srtp::SrtpParams;

/// Which way audio flows, seen from us (RFC 8866 §6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaDirection {
    #[default]
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl MediaDirection {
    /// From what each side is willing to do.
    pub fn from_flags(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same flow seen from the other end.
    pub fn reversed(self) -> Self {
        Self::from_flags(self.receives(), self.sends())
    }

    /// What both allow.
    pub fn and(self, other: Self) -> Self {
        Self::from_flags(
            self.sends() && other.sends(),
            self.receives() && other.receives(),
        )
    }

    /// As an SDP attribute name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// A payload type and what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadFormat {
    pub codec: Codec,
    pub payload_type: u8,
}

/// Where the party receives RTCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtcpParams {
    /// The port above RTP's unless the party named another (RFC 3550 §11, RFC 3605).
    pub remote: SocketAddr,
    /// On the port of RTP instead (RFC 5761).
    pub mux: bool,
}

impl RtcpParams {
    /// The port above.
    pub fn beside(rtp: SocketAddr) -> Self {
        Self {
            remote: SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1)),
            mux: false,
        }
    }
}

/// The agreed media of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtpParams {
    /// Where the party said it receives. Where it sends from is learnt (latching).
    pub remote: SocketAddr,
    pub codec: Codec,
    /// Of `codec`, both ways.
    pub payload_type: u8,
    /// A second format the party may switch to without asking (RFC 3264 §6.1, §7).
    pub also_receives: Option<PayloadFormat>,
    /// Of telephone-event, if negotiated.
    pub dtmf_pt: Option<u8>,
    /// Clock of telephone-event in Hz: durations of key presses count in it.
    pub dtmf_clock_hz: u32,
    /// What the party asks of our Opus encoder.
    pub opus: OpusParams,
    pub direction: MediaDirection,
    pub rtcp: RtcpParams,
    /// Keys, if the media is protected. Never written anywhere.
    #[serde(skip)]
    pub srtp: Option<SrtpParams>,
}

impl RtpParams {
    /// Two-way audio with the static payload type (96 for Opus) and telephone-event 101.
    pub fn new(remote: SocketAddr, codec: Codec) -> Self {
        Self {
            remote,
            codec,
            payload_type: codec.payload_type(),
            also_receives: None,
            dtmf_pt: Some(crate::dtmf::DEFAULT_PAYLOAD_TYPE),
            dtmf_clock_hz: codec.clock_hz(),
            opus: OpusParams::default(),
            direction: MediaDirection::SendRecv,
            rtcp: RtcpParams::beside(remote),
            srtp: None,
        }
    }

    /// True when the address can be sent to: an old-fashioned hold announces 0.0.0.0.
    pub fn has_target(&self) -> bool {
        !self.remote.ip().is_unspecified() && self.remote.port() != 0
    }
}
