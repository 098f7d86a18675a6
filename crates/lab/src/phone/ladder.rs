//! What happened on the wire, as telephony people draw it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::message::SipMessage;

/// One message sent or received.
#[derive(Debug, Clone)]
pub struct LadderLine {
    /// Time since the phone was started.
    pub at: Duration,
    /// The same as wall-clock time.
    pub wall: SystemTime,
    /// Sent by the phone, or received.
    pub sent: bool,
    /// The other side.
    pub peer: SocketAddr,
    /// The message; a received datagram that is not SIP has only a reason.
    pub message: Result<SipMessage, String>,
    /// What was on the wire.
    pub raw: String,
}

/// Draws the lines; one row each: time, direction, peer, start line, CSeq, branch, Call-ID.
pub fn draw(name: &str, lines: &[LadderLine]) -> String {
    let mut out = format!("ladder of phone {name}:\n");
    if lines.is_empty() {
        out.push_str("    (no SIP message sent or received)\n");
    }
    for line in lines {
        let arrow = if line.sent { "-->" } else { "<--" };
        let text = match &line.message {
            Ok(m) => {
                let sdp = if m.body.is_empty() { "" } else { " (SDP)" };
                format!(
                    "{m}{sdp}  [CSeq {}, {}, {}]",
                    m.header("CSeq"),
                    m.branch(),
                    m.call_id()
                )
            }
            Err(reason) => format!("not SIP: {reason}"),
        };
        let _ = writeln!(
            out,
            "  {:8.3}s {arrow} {} {text}",
            line.at.as_secs_f64(),
            line.peer
        );
    }
    out
}
