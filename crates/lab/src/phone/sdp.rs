//! Just enough SDP for a phone that does plain RTP (RFC 8866, RFC 3264).

use std::net::{IpAddr, SocketAddr};

use super::srtp::Crypto;
use crate::audio::codec::PhoneCodec;

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
    /// Codecs of ours with their payload types, in order of preference.
    pub codecs: Vec<(u8, PhoneCodec)>,
    /// Payload type of `telephone-event` at 8 kHz.
    pub telephone_event: Option<u8>,
    /// The same at 48 kHz, for Opus.
    pub telephone_event_48: Option<u8>,
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
        let mut telephone_event_48 = None;
        let mut maps: Vec<(u8, &str)> = Vec::new();
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
                    && let Ok(pt) = pt.parse()
                {
                    maps.push((pt, name.trim()));
                    match name.trim().to_ascii_lowercase().as_str() {
                        "telephone-event/8000" => telephone_event = Some(pt),
                        "telephone-event/48000" => telephone_event_48 = Some(pt),
                        _ => {}
                    }
                }
            }
        }
        let port = port.ok_or("no m=audio line with a port")?;
        let addr = address.map(|ip| SocketAddr::new(ip, port));
        let map_of = |pt: u8| maps.iter().find(|(of, _)| *of == pt).map(|(_, map)| *map);
        let codecs = payload_types
            .iter()
            .filter_map(|pt: &u8| Some((*pt, PhoneCodec::of(*pt, map_of(*pt))?)))
            .collect();
        Ok(Self {
            addr,
            payload_types,
            codecs,
            telephone_event,
            telephone_event_48,
            direction,
            profile,
            crypto,
        })
    }

    /// Whether plain RTP is out of the question.
    pub fn is_secure(&self) -> bool {
        self.profile == "RTP/SAVP"
    }

    /// The first of our codecs that is offered, in the offer's order, with its payload type.
    pub fn first_codec(&self, ours: &[PhoneCodec]) -> Option<(u8, PhoneCodec)> {
        self.codecs
            .iter()
            .find(|(_, codec)| ours.contains(codec))
            .copied()
    }

    /// The payload type for keypad digits beside a codec.
    pub fn events_for(&self, codec: PhoneCodec) -> Option<u8> {
        match codec {
            PhoneCodec::Opus => self.telephone_event_48.or(self.telephone_event),
            PhoneCodec::Law(_) | PhoneCodec::G722 => self.telephone_event,
        }
    }
}

/// Our codecs with the payload types of our offers.
pub fn offered(codecs: &[PhoneCodec]) -> Vec<(u8, PhoneCodec)> {
    codecs
        .iter()
        .map(|codec| (codec.payload_type(), *codec))
        .collect()
}

/// Writes an SDP. `version` grows with every offer of the same dialog (RFC 3264 §8).
pub fn write(
    addr: SocketAddr,
    codecs: &[(u8, PhoneCodec)],
    telephone_event: Option<u8>,
    direction: MediaDirection,
    version: u32,
) -> String {
    let ip = addr.ip();
    let mut payload_types: Vec<String> = codecs.iter().map(|(pt, _)| pt.to_string()).collect();
    payload_types.extend(telephone_event.map(|pt| pt.to_string()));
    let mut sdp = format!(
        "v=0\r\no=lab 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {} RTP/AVP {}\r\n",
        addr.port(),
        payload_types.join(" ")
    );
    for (pt, codec) in codecs {
        sdp.push_str(&format!("a=rtpmap:{pt} {}\r\n", codec.map()));
        if *codec == PhoneCodec::Opus {
            sdp.push_str(&format!("a=fmtp:{pt} useinbandfec=1;minptime=10\r\n"));
        }
    }
    if let Some(pt) = telephone_event {
        // Only Opus has another clock; beside others phones offer 8 kHz.
        let only_opus = codecs.iter().all(|(_, codec)| *codec == PhoneCodec::Opus);
        let clock = if only_opus { 48_000 } else { 8_000 };
        sdp.push_str(&format!(
            "a=rtpmap:{pt} telephone-event/{clock}\r\na=fmtp:{pt} 0-16\r\n"
        ));
    }
    sdp.push_str(&format!("a=ptime:20\r\na={}\r\n", direction.as_str()));
    sdp
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::g711::Law;

    #[test]
    fn what_is_written_is_read() {
        let addr = "127.0.0.1:4000".parse().unwrap();
        let sdp = write(
            addr,
            &offered(&[Law::Mu.into(), Law::A.into(), PhoneCodec::Opus]),
            Some(101),
            MediaDirection::SendOnly,
            3,
        );
        let read = MediaDescription::parse(&sdp).unwrap();
        assert_eq!(read.addr, Some(addr));
        assert_eq!(read.payload_types, [0, 8, 107, 101]);
        assert_eq!(read.telephone_event, Some(101));
        assert_eq!(read.direction, MediaDirection::SendOnly);
        let a_law = PhoneCodec::from(Law::A);
        assert_eq!(read.first_codec(&[a_law]), Some((8, a_law)));
        assert_eq!(
            read.first_codec(&[PhoneCodec::Opus, PhoneCodec::G722]),
            Some((107, PhoneCodec::Opus))
        );
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
