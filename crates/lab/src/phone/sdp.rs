//! Just enough SDP for a phone that does plain RTP (RFC 8866, RFC 3264).

use std::net::{IpAddr, SocketAddr};

use super::srtp::Crypto;
use crate::audio::g711::Law;

/// `a=sendrecv` and its relatives, as the describing side sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MediaDirection {
    /// Both ways.
    #[default]
    SendRecv,
    /// Only sends: the other side is on hold.
    SendOnly,
    /// Only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl MediaDirection {
    /// As an attribute name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The answer to an offer of this direction (RFC 3264 §6.1).
    pub fn answered(self) -> Self {
        match self {
            Self::SendRecv => Self::SendRecv,
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::Inactive => Self::Inactive,
        }
    }

    /// Whether the describing side sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }
}

/// What an SDP says about its first audio stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaDescription {
    /// Where to send RTP; `None` when the address is not numeric.
    pub addr: Option<SocketAddr>,
    /// Payload types in order of preference.
    pub payload_types: Vec<u8>,
    /// Payload type of `telephone-event`.
    pub telephone_event: Option<u8>,
    /// Direction as the describing side sees it.
    pub direction: MediaDirection,
    /// `RTP/AVP` or `RTP/SAVP`.
    pub profile: String,
    /// The first key the phone can use.
    pub crypto: Option<Crypto>,
}

impl MediaDescription {
    /// Reads an SDP; says which line is missing.
    pub fn parse(sdp: &str) -> Result<Self, String> {
        let mut address: Option<IpAddr> = None;
        let mut port = None;
        let mut payload_types = Vec::new();
        let mut telephone_event = None;
        let mut direction = MediaDirection::default();
        let mut in_audio = false;
        let mut profile = String::new();
        let mut crypto = None;
        for line in sdp.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("m=") {
                in_audio = rest.starts_with("audio") && port.is_none();
                if in_audio {
                    let mut words = rest.split_whitespace().skip(1);
                    port = words.next().and_then(|p| p.parse::<u16>().ok());
                    profile = words.next().unwrap_or("").to_owned();
                    payload_types = words.filter_map(|p| p.parse().ok()).collect();
                }
            } else if let Some(rest) = line.strip_prefix("c=IN IP4 ") {
                if in_audio || port.is_none() {
                    address = rest.split('/').next().and_then(|a| a.parse().ok());
                }
            } else if let Some(rest) = line.strip_prefix("a=") {
                if port.is_some() && !in_audio {
                    continue;
                }
                match rest {
                    "sendrecv" => direction = MediaDirection::SendRecv,
                    "sendonly" => direction = MediaDirection::SendOnly,
                    "recvonly" => direction = MediaDirection::RecvOnly,
                    "inactive" => direction = MediaDirection::Inactive,
                    _ => {}
                }
                if let Some(line) = rest.strip_prefix("crypto:") {
                    crypto = crypto.or_else(|| Crypto::parse(line));
                }
                if let Some(map) = rest.strip_prefix("rtpmap:")
                    && let Some((pt, name)) = map.split_once(' ')
                    && name
                        .to_ascii_lowercase()
                        .starts_with("telephone-event/8000")
                {
                    telephone_event = pt.parse().ok();
                }
            }
        }
        let port = port.ok_or("no m=audio line with a port")?;
        let addr = address.map(|ip| SocketAddr::new(ip, port));
        Ok(Self {
            addr,
            payload_types,
            telephone_event,
            direction,
            profile,
            crypto,
        })
    }

    /// Whether plain RTP is out of the question.
    pub fn is_secure(&self) -> bool {
        self.profile == "RTP/SAVP"
    }

    /// The first of our laws that is offered, in the offer's order.
    pub fn first_law(&self, ours: &[Law]) -> Option<Law> {
        self.payload_types
            .iter()
            .filter_map(|pt| Law::of_payload_type(*pt))
            .find(|law| ours.contains(law))
    }
}

/// Writes an SDP. `version` grows with every offer of the same dialog (RFC 3264 §8).
pub fn write(
    addr: SocketAddr,
    laws: &[Law],
    telephone_event: Option<u8>,
    direction: MediaDirection,
    version: u32,
) -> String {
    let ip = addr.ip();
    let mut payload_types: Vec<String> =
        laws.iter().map(|l| l.payload_type().to_string()).collect();
    payload_types.extend(telephone_event.map(|pt| pt.to_string()));
    let mut sdp = format!(
        "v=0\r\no=lab 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {} RTP/AVP {}\r\n",
        addr.port(),
        payload_types.join(" ")
    );
    for law in laws {
        sdp.push_str(&format!(
            "a=rtpmap:{} {}/8000\r\n",
            law.payload_type(),
            law.encoding_name()
        ));
    }
    if let Some(pt) = telephone_event {
        sdp.push_str(&format!(
            "a=rtpmap:{pt} telephone-event/8000\r\na=fmtp:{pt} 0-16\r\n"
        ));
    }
    sdp.push_str(&format!("a=ptime:20\r\na={}\r\n", direction.as_str()));
    sdp
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let addr = "127.0.0.1:4000".parse().unwrap();
        let sdp = write(
            addr,
            &[Law::Mu, Law::A],
            Some(101),
            MediaDirection::SendOnly,
            3,
        );
        let read = MediaDescription::parse(&sdp).unwrap();
        assert_eq!(read.addr, Some(addr));
        assert_eq!(read.payload_types, [0, 8, 101]);
        assert_eq!(read.telephone_event, Some(101));
        assert_eq!(read.direction, MediaDirection::SendOnly);
        assert_eq!(read.first_law(&[Law::A]), Some(Law::A));
    }

    #[test]
    fn the_missing_line_is_named() {
        assert!(
            MediaDescription::parse("v=0\r\n")
                .unwrap_err()
                .contains("m=audio")
        );
    }
}
