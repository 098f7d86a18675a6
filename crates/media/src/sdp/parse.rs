//! Reading session descriptions (RFC 8866). Lenient where phones are sloppy and it does no harm
//! (bare LF, missing `s=` and `t=`, unknown lines), strict where a guess would cost audio.

use std::net::IpAddr;

use super::SdpError;
use crate::params::MediaDirection;
use crate::srtp::sdes::{CRYPTO_LINES_MAX, Crypto};

/// Longest description read, in octets. Browsers' are some 6 KB, phones' below 1 KB.
pub const SDP_MAX: usize = 16 * 1024;
const MEDIA_MAX: usize = 16;
const FORMATS_MAX: usize = 64;
const MAPS_MAX: usize = 64;

/// A description as far as plain RTP audio needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Description {
    pub media: Vec<Media>,
}

/// One `m=` section with what it inherits from the session level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Media {
    /// Line number of `m=`, from 1.
    pub line: usize,
    pub kind: String,
    pub port: u16,
    pub protocol: String,
    /// As written: payload types for RTP, anything for other protocols.
    pub formats: Vec<String>,
    pub connection: Option<IpAddr>,
    pub direction: MediaDirection,
    pub maps: Vec<FormatMap>,
    /// `a=fmtp` by payload type, as written.
    pub parameters: Vec<(u8, String)>,
    pub ptime_ms: Option<u32>,
    /// `a=crypto`, in order.
    pub crypto: Vec<Crypto>,
    /// Port and perhaps address of `a=rtcp`.
    pub rtcp: Option<(u16, Option<IpAddr>)>,
    pub rtcp_mux: bool,
}

/// One `a=rtpmap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FormatMap {
    pub payload_type: u8,
    pub name: String,
    pub clock_hz: u32,
    pub channels: u8,
}

impl Media {
    /// Audio that RTP or SRTP can carry.
    pub fn is_rtp_audio(&self) -> bool {
        let is_plain = self.protocol.eq_ignore_ascii_case("RTP/AVP");
        self.kind == "audio" && (is_plain || self.is_secure())
    }

    /// Over a profile that knows no plain RTP.
    pub fn is_secure(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("RTP/SAVP")
    }

    /// The payload types in order of preference; what is none is skipped.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> + '_ {
        self.formats
            .iter()
            .filter_map(|format| format.parse::<u8>().ok())
            .filter(|payload_type| *payload_type < 128)
    }

    /// The value of a parameter in `a=fmtp` (RFC 8866 §6.15): `name=value`, parted by semicolons.
    pub fn parameter(&self, payload_type: u8, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .filter(|(of, _)| *of == payload_type)
            .flat_map(|(_, text)| text.split(';'))
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    pub fn map(&self, payload_type: u8) -> Option<&FormatMap> {
        self.maps
            .iter()
            .find(|map| map.payload_type == payload_type)
    }
}

/// A line being read, for errors.
struct Line<'a> {
    number: usize,
    kind: char,
    value: &'a str,
}

impl Line<'_> {
    fn error(&self, problem: impl Into<String>) -> SdpError {
        self.field_error(format!("{}=", self.kind), problem)
    }

    fn field_error(&self, field: impl Into<String>, problem: impl Into<String>) -> SdpError {
        SdpError::Syntax {
            line: self.number,
            field: field.into(),
            problem: problem.into(),
        }
    }
}

impl Description {
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > SDP_MAX {
            return Err(SdpError::TooLarge { octets: text.len() });
        }
        let mut media: Vec<Media> = Vec::new();
        let mut session_connection = None;
        let mut session_direction = MediaDirection::SendRecv;
        let mut seen_version = false;
        for (index, raw) in text.split('\n').enumerate() {
            let raw = raw.strip_suffix('\r').unwrap_or(raw);
            if raw.is_empty() {
                continue; // the end, or a blank line some phones add
            }
            let line = split_line(index + 1, raw)?;
            if !seen_version && line.kind != 'v' {
                return Err(line.error("the first line must be \"v=0\""));
            }
            match line.kind {
                'v' => {
                    if line.value.trim() != "0" {
                        return Err(
                            line.error(format!("version is {}, expected 0", quote(line.value)))
                        );
                    }
                    seen_version = true;
                }
                'o' => check_origin(&line)?,
                'c' => {
                    let address = parse_connection(&line)?;
                    match media.last_mut() {
                        Some(section) => section.connection = Some(address),
                        None => session_connection = Some(address),
                    }
                }
                'm' => {
                    if media.len() == MEDIA_MAX {
                        return Err(line.error(format!("more than {MEDIA_MAX} streams")));
                    }
                    let mut section = parse_media(&line)?;
                    section.direction = session_direction;
                    media.push(section);
                }
                'a' => match media.last_mut() {
                    Some(section) => parse_attribute(&line, section)?,
                    None => {
                        if let Some(direction) = parse_direction(line.value) {
                            session_direction = direction;
                        }
                    }
                },
                // s, i, u, e, p, b, t, r, z, k and letters not yet invented: nothing we need.
                _ => {}
            }
        }
        if !seen_version {
            return Err(SdpError::Missing("v="));
        }
        if media.is_empty() {
            return Err(SdpError::Missing("m="));
        }
        for section in &mut media {
            section.connection = section.connection.or(session_connection);
        }
        Ok(Self { media })
    }
}

fn split_line(number: usize, raw: &str) -> Result<Line<'_>, SdpError> {
    let wrong = |problem: &str| SdpError::Syntax {
        line: number,
        field: "line".to_owned(),
        problem: format!("{problem}: {}", quote(raw)),
    };
    let mut chars = raw.chars();
    let (Some(kind), Some('=')) = (chars.next(), chars.next()) else {
        return Err(wrong("expected a letter and \"=\""));
    };
    if !kind.is_ascii_lowercase() {
        return Err(wrong("expected a lower-case letter before \"=\""));
    }
    if raw.chars().any(|c| c.is_control() && c != '\t') {
        return Err(wrong("control character"));
    }
    Ok(Line {
        number,
        kind,
        value: &raw[2..],
    })
}

/// RFC 8866 §5.2. Nothing of it is used, but what is malformed here is hardly SDP.
fn check_origin(line: &Line<'_>) -> Result<(), SdpError> {
    let fields: Vec<&str> = line.value.split_ascii_whitespace().collect();
    if fields.len() != 6 {
        return Err(line.error(format!("{} fields, expected 6", fields.len())));
    }
    for (name, field) in [("sess-id", fields[1]), ("sess-version", fields[2])] {
        if field.is_empty() || !field.bytes().all(|b| b.is_ascii_digit()) {
            return Err(line.field_error(
                format!("o= {name}"),
                format!("{} is not a number", quote(field)),
            ));
        }
    }
    Ok(())
}

/// RFC 8866 §5.7. Names are not resolved: an answer must not wait for DNS.
fn parse_connection(line: &Line<'_>) -> Result<IpAddr, SdpError> {
    let mut fields = line.value.split_ascii_whitespace();
    let (net, family, address) = (fields.next(), fields.next(), fields.next());
    if net != Some("IN") {
        return Err(line.field_error(
            "c= nettype",
            format!("is {}, expected \"IN\"", quote(net.unwrap_or(""))),
        ));
    }
    let address = address.unwrap_or("");
    let bare = address.split('/').next().unwrap_or("");
    let ip: IpAddr = bare.parse().map_err(|_| {
        line.field_error(
            "c= address",
            format!("{} is not an IP address", quote(address)),
        )
    })?;
    let expected = if ip.is_ipv4() { "IP4" } else { "IP6" };
    if family != Some(expected) {
        return Err(line.field_error(
            "c= addrtype",
            format!("is {}, expected {expected:?}", quote(family.unwrap_or(""))),
        ));
    }
    if ip.is_multicast() {
        return Err(line.field_error("c= address", "multicast is not supported"));
    }
    Ok(ip)
}

/// RFC 8866 §5.14.
fn parse_media(line: &Line<'_>) -> Result<Media, SdpError> {
    let mut fields = line.value.split_ascii_whitespace();
    let (Some(kind), Some(port), Some(protocol)) = (fields.next(), fields.next(), fields.next())
    else {
        return Err(line.error("expected media, port, protocol and formats"));
    };
    let bare_port = port.split('/').next().unwrap_or("");
    let port = bare_port.parse().map_err(|_| {
        line.field_error(
            "m= port",
            format!("{} is not a number from 0 to 65535", quote(port)),
        )
    })?;
    let formats: Vec<String> = fields.take(FORMATS_MAX + 1).map(str::to_owned).collect();
    if formats.is_empty() {
        return Err(line.error("no formats"));
    }
    if formats.len() > FORMATS_MAX {
        return Err(line.error(format!("more than {FORMATS_MAX} formats")));
    }
    let section = Media {
        line: line.number,
        kind: kind.to_owned(),
        port,
        protocol: protocol.to_owned(),
        formats,
        connection: None,
        direction: MediaDirection::SendRecv,
        maps: Vec::new(),
        parameters: Vec::new(),
        ptime_ms: None,
        crypto: Vec::new(),
        rtcp: None,
        rtcp_mux: false,
    };
    if section.is_rtp_audio()
        && let Some(format) = section.formats.iter().find(|format| {
            !format
                .parse::<u8>()
                .is_ok_and(|payload_type| payload_type < 128)
        })
    {
        return Err(line.field_error(
            "m= format",
            format!("{} is not a payload type from 0 to 127", quote(format)),
        ));
    }
    Ok(section)
}

fn parse_direction(attribute: &str) -> Option<MediaDirection> {
    match attribute.trim() {
        "sendrecv" => Some(MediaDirection::SendRecv),
        "sendonly" => Some(MediaDirection::SendOnly),
        "recvonly" => Some(MediaDirection::RecvOnly),
        "inactive" => Some(MediaDirection::Inactive),
        _ => None,
    }
}

fn parse_attribute(line: &Line<'_>, section: &mut Media) -> Result<(), SdpError> {
    if let Some(direction) = parse_direction(line.value) {
        section.direction = direction;
        return Ok(());
    }
    if line.value.trim() == "rtcp-mux" {
        section.rtcp_mux = true;
        return Ok(());
    }
    let Some((name, value)) = line.value.split_once(':') else {
        return Ok(());
    };
    // Other streams are refused, so their attributes are none of our business.
    if !section.is_rtp_audio() {
        return Ok(());
    }
    match name {
        "rtpmap" => {
            if section.maps.len() == MAPS_MAX {
                return Err(line.field_error("a=rtpmap", format!("more than {MAPS_MAX}")));
            }
            section.maps.push(parse_map(line, value)?);
        }
        // What is malformed here are wishes we then do not know of.
        "fmtp" => {
            if let Some((payload_type, text)) = value.split_once(' ')
                && let Ok(payload_type) = payload_type.parse()
                && section.parameters.len() < MAPS_MAX
            {
                section.parameters.push((payload_type, text.to_owned()));
            }
        }
        // Some phones write "20.0" or nothing; it is a wish (RFC 8866 §6.4), so nonsense is skipped.
        "ptime" => section.ptime_ms = value.trim().parse().ok(),
        "rtcp" => section.rtcp = Some(parse_rtcp(line, value)?),
        "crypto" => {
            let wrong = |problem: String| line.field_error("a=crypto", problem);
            if section.crypto.len() == CRYPTO_LINES_MAX {
                return Err(wrong(format!("more than {CRYPTO_LINES_MAX}")));
            }
            let crypto = Crypto::parse(value).map_err(wrong)?;
            if section.crypto.iter().any(|c| c.tag() == crypto.tag()) {
                return Err(wrong(format!("tag {} stands twice", crypto.tag())));
            }
            section.crypto.push(crypto);
        }
        _ => {}
    }
    Ok(())
}

/// RFC 3605 §2.1: `<port> [IN IP4|IP6 <address>]`.
fn parse_rtcp(line: &Line<'_>, value: &str) -> Result<(u16, Option<IpAddr>), SdpError> {
    let wrong = |problem: String| line.field_error("a=rtcp", problem);
    let mut fields = value.split_ascii_whitespace();
    let port = fields.next().unwrap_or("");
    let port = port
        .parse()
        .map_err(|_| wrong(format!("port {} is not a number", quote(port))))?;
    let address = match (fields.next(), fields.next(), fields.next()) {
        (None, _, _) => None,
        (Some("IN"), Some("IP4" | "IP6"), Some(address)) => {
            let ip: IpAddr = address
                .parse()
                .map_err(|_| wrong(format!("{} is not an IP address", quote(address))))?;
            if ip.is_multicast() {
                return Err(wrong("multicast is not supported".to_owned()));
            }
            Some(ip)
        }
        _ => return Err(wrong(format!("{} is no address", quote(value)))),
    };
    Ok((port, address))
}

/// RFC 8866 §6.6: `<payload type> <name>/<clock>[/<channels>]`.
fn parse_map(line: &Line<'_>, value: &str) -> Result<FormatMap, SdpError> {
    let wrong = |problem: String| line.field_error("a=rtpmap", problem);
    let mut fields = value.split_ascii_whitespace();
    let (Some(payload_type), Some(encoding)) = (fields.next(), fields.next()) else {
        return Err(wrong(format!(
            "{}, expected payload type and encoding",
            quote(value)
        )));
    };
    let payload_type = payload_type
        .parse::<u8>()
        .ok()
        .filter(|payload_type| *payload_type < 128)
        .ok_or_else(|| {
            wrong(format!(
                "payload type {} is not 0 to 127",
                quote(payload_type)
            ))
        })?;
    let mut parts = encoding.split('/');
    let name = parts.next().unwrap_or("").to_owned();
    let clock = parts.next().unwrap_or("");
    let clock_hz = clock
        .parse()
        .map_err(|_| wrong(format!("clock rate {} is not a number", quote(clock))))?;
    let channels = match parts.next() {
        None => 1,
        Some(channels) => channels
            .parse()
            .map_err(|_| wrong(format!("channels {} is not a number", quote(channels))))?,
    };
    Ok(FormatMap {
        payload_type,
        name,
        clock_hz,
        channels,
    })
}

/// Foreign text in an error: quoted, escaped, cut to 40 characters.
pub(super) fn quote(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    format!("{short:?}")
}
