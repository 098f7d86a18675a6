//! SDP for RTP and SRTP audio: offer and answer (RFC 3264, RFC 8866, RFC 4566), PCMU, PCMA and
//! G.722 (RFC 3551), Opus (RFC 7587), telephone-event (RFC 4733), keys by SDES (RFC 4568). Pure text
//! handling, no I/O.
//!
//! Left out on purpose: names instead of addresses in `c=`, multicast, AVPF and SAVPF profiles,
//! ICE, bundling. A stream we cannot carry is refused with port 0, the rest of the call goes on.

mod parse;
mod secure;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::codec::Codec;
use crate::codec::opus::OpusParams;
use crate::dtmf;
use crate::params::{MediaDirection, PayloadFormat, RtcpParams, RtpParams};
use crate::srtp::sdes::{self, CryptoLine, LocalSrtp};
pub use parse::SDP_MAX;
use parse::{Description, Media, quote};

/// What is wrong with a description, or why there is no agreement.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SdpError {
    #[error("SDP of {octets} octets; at most {SDP_MAX} are read")]
    TooLarge { octets: usize },
    #[error("SDP line {line}, {field}: {problem}")]
    Syntax {
        /// From 1.
        line: usize,
        field: String,
        problem: String,
    },
    #[error("SDP has no {0} line")]
    Missing(&'static str),
    #[error("SDP line {line}, m=: no connection address (c=) for this stream or the session")]
    NoConnection { line: usize },
    #[error("SDP offers no audio over RTP/AVP or RTP/SAVP; it offers {offered}")]
    NoAudio { offered: String },
    #[error("the party's media is protected (RTP/SAVP), and srtp is \"off\" for it")]
    SrtpOff,
    #[error("the party's media is plain RTP, and srtp is \"required\" for it")]
    SrtpRequired,
    #[error("no common crypto suite: the party has {offered}")]
    NoCommonSuite { offered: String },
    #[error("the answer's a=crypto is none of those we offered")]
    CryptoNotOffered,
    #[error("no common codec: the party has {offered}, we have {ours}")]
    NoCommonCodec { offered: String, ours: String },
    #[error("the party refused our audio stream (port 0 in its answer)")]
    Refused,
    #[error("SDP answer has {answered} streams, our offer had 1")]
    StreamCount { answered: usize },
}

impl SdpError {
    /// True when the text itself is broken (SIP: 400), false when it is understood but not
    /// acceptable (SIP: 488).
    pub fn is_malformed(&self) -> bool {
        match self {
            Self::TooLarge { .. }
            | Self::Syntax { .. }
            | Self::Missing(_)
            | Self::NoConnection { .. }
            | Self::CryptoNotOffered
            | Self::StreamCount { .. } => true,
            Self::NoAudio { .. }
            | Self::SrtpOff
            | Self::SrtpRequired
            | Self::NoCommonSuite { .. }
            | Self::NoCommonCodec { .. }
            | Self::Refused => false,
        }
    }
}

/// Our side of a leg's media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMedia {
    /// Announced address and RTP port.
    pub address: SocketAddr,
    /// In order of preference; used when we offer. When we answer, the party's order counts
    /// (RFC 3264 §6.1).
    pub codecs: Vec<Codec>,
    /// Payload type offered for telephone-event, and the next one for the same at the clock of
    /// Opus; none to do without. In an answer the party's number is used.
    pub dtmf_pt: Option<u8>,
    /// What we want: `SendOnly` puts the party on hold.
    pub direction: MediaDirection,
    /// Whether media is protected, and our keys.
    pub srtp: LocalSrtp,
    /// Unchanged for all descriptions of one dialog.
    pub session_id: u64,
    /// One more with each changed description of the dialog (RFC 3264 §8).
    pub session_version: u64,
}

impl LocalMedia {
    /// PCMU, PCMA and telephone-event, both ways.
    pub fn new(address: SocketAddr, session_id: u64) -> Self {
        Self {
            address,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            dtmf_pt: Some(dtmf::DEFAULT_PAYLOAD_TYPE),
            direction: MediaDirection::SendRecv,
            srtp: LocalSrtp::default(),
            session_id,
            session_version: 1,
        }
    }

    fn codec_names(&self) -> String {
        let names: Vec<&str> = self.codecs.iter().map(|codec| codec.name()).collect();
        names.join(", ")
    }
}

/// A party's description, read and checked. Also what a party answers is read as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    description: Description,
}

impl Offer {
    /// Reads a description.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        Description::parse(text).map(|description| Self { description })
    }

    /// The direction the party asks for, seen from the party. `Inactive` without audio.
    pub fn direction(&self) -> MediaDirection {
        self.audio().map_or(MediaDirection::Inactive, |(_, media)| {
            party_direction(media)
        })
    }

    /// True when the party will not listen to us: hold (RFC 3264 §8.4, and 0.0.0.0 as before it).
    pub fn is_hold(&self) -> bool {
        !self.direction().receives()
    }

    /// The first stream that RTP can carry, with its index.
    fn audio(&self) -> Option<(usize, &Media)> {
        self.audio_streams().next()
    }

    /// All of them: some offer one stream protected and the same again plain.
    fn audio_streams(&self) -> impl Iterator<Item = (usize, &Media)> {
        self.description
            .media
            .iter()
            .enumerate()
            .filter(|(_, media)| media.is_rtp_audio() && media.port != 0)
    }

    fn no_audio(&self) -> SdpError {
        let streams: Vec<String> = self
            .description
            .media
            .iter()
            .map(|media| format!("{} over {}", quote(&media.kind), quote(&media.protocol)))
            .collect();
        SdpError::NoAudio {
            offered: streams.join(", "),
        }
    }
}

/// The direction of a stream, with the old way of holding taken into account.
fn party_direction(media: &Media) -> MediaDirection {
    if media.connection.is_some_and(|ip| ip.is_unspecified()) {
        media.direction.and(MediaDirection::SendOnly)
    } else {
        media.direction
    }
}

/// Where the party receives RTCP.
fn party_rtcp(media: &Media, ip: IpAddr, mux: bool) -> RtcpParams {
    let rtp = SocketAddr::new(ip, media.port);
    let remote = match media.rtcp {
        Some((port, address)) => SocketAddr::new(address.unwrap_or(ip), port),
        None => RtcpParams::beside(rtp).remote,
    };
    RtcpParams { remote, mux }
}

/// A stream's formats that we know, in its order.
struct Formats {
    codecs: Vec<PayloadFormat>,
    dtmf: Vec<DtmfFormat>,
}

/// telephone-event with its clock in Hz.
#[derive(Debug, Clone, Copy)]
struct DtmfFormat {
    payload_type: u8,
    clock_hz: u32,
}

impl Formats {
    /// telephone-event as it goes with a codec: of the same clock (RFC 4733 §2.1), else of 8000 Hz,
    /// because phones offer it so beside Opus.
    fn dtmf_for(&self, codec: Codec) -> Option<DtmfFormat> {
        [codec.clock_hz(), 8_000]
            .into_iter()
            .find_map(|clock_hz| self.dtmf.iter().find(|dtmf| dtmf.clock_hz == clock_hz))
            .copied()
    }
}

/// What the party asks of an encoder (RFC 7587 §6.1).
fn opus_params(media: &Media, payload_type: u8) -> OpusParams {
    let is_on = |name| media.parameter(payload_type, name) == Some("1");
    let max_bit_rate = media.parameter(payload_type, "maxaveragebitrate");
    OpusParams {
        inband_fec: is_on("useinbandfec"),
        constant_bit_rate: is_on("cbr"),
        max_bit_rate: max_bit_rate.and_then(|text| text.parse().ok()),
    }
}

fn known_formats(media: &Media, ours: &[Codec]) -> Formats {
    let mut formats = Formats {
        codecs: Vec::new(),
        dtmf: Vec::new(),
    };
    for payload_type in media.payload_types() {
        // Static types need no map, but one that is there counts (RFC 3551 §6).
        let (name, clock_hz, channels) = match (media.map(payload_type), payload_type) {
            (Some(map), _) => (map.name.as_str(), map.clock_hz, map.channels),
            (None, 0) => ("PCMU", 8_000, 1),
            (None, 8) => ("PCMA", 8_000, 1),
            (None, 9) => ("G722", 8_000, 1),
            (None, _) => continue,
        };
        if name.eq_ignore_ascii_case("telephone-event") {
            if [8_000, 48_000].contains(&clock_hz) {
                formats.dtmf.push(DtmfFormat {
                    payload_type,
                    clock_hz,
                });
            }
        } else if let Some(codec) = ours.iter().copied().find(|codec| {
            codec.name().eq_ignore_ascii_case(name)
                && codec.clock_hz() == clock_hz
                && codec.map_channels() == channels
        }) {
            formats.codecs.push(PayloadFormat {
                codec,
                payload_type,
            });
        }
    }
    formats
}

fn no_common_codec(media: &Media, local: &LocalMedia) -> SdpError {
    let offered: Vec<String> = media
        .payload_types()
        .map(|payload_type| match media.map(payload_type) {
            Some(map) => format!("{} ({payload_type})", quote(&map.name)),
            None => payload_type.to_string(),
        })
        .collect();
    SdpError::NoCommonCodec {
        offered: offered.join(", "),
        ours: local.codec_names(),
    }
}

/// Answers an offer: the text to send and what was agreed. Streams other than the first audio that
/// our policy on SRTP allows are refused (RFC 3264 §6).
pub fn answer(offer: &Offer, local: &LocalMedia) -> Result<(String, RtpParams), SdpError> {
    let (chosen, media, agreed) = secure::choose(offer, local)?;
    let remote_ip = media
        .connection
        .ok_or(SdpError::NoConnection { line: media.line })?;
    let formats = known_formats(media, &local.codecs);
    let format = *formats
        .codecs
        .first()
        .ok_or_else(|| no_common_codec(media, local))?;
    let direction = party_direction(media).reversed().and(local.direction);
    let dtmf = local.dtmf_pt.and(formats.dtmf_for(format.codec));

    let mut text = session_lines(local);
    for (index, section) in offer.description.media.iter().enumerate() {
        if index == chosen {
            let crypto = agreed.map(|agreed| agreed.ours());
            write_audio(
                &mut text,
                (local.address.port(), &section.protocol),
                &[format],
                dtmf.as_slice(),
                direction,
                crypto.as_slice(),
            );
            // RFC 5761 §5.1.1: only if it was offered.
            if section.rtcp_mux {
                write_line(&mut text, format_args!("a=rtcp-mux"));
            }
        } else {
            let formats = section.formats.join(" ");
            write_line(
                &mut text,
                format_args!("m={} 0 {} {formats}", section.kind, section.protocol),
            );
        }
    }
    let params = RtpParams {
        remote: SocketAddr::new(remote_ip, media.port),
        codec: format.codec,
        payload_type: format.payload_type,
        also_receives: None,
        dtmf_pt: dtmf.map(|dtmf| dtmf.payload_type),
        dtmf_clock_hz: dtmf.map_or(8_000, |dtmf| dtmf.clock_hz),
        opus: opus_params(media, format.payload_type),
        direction,
        rtcp: party_rtcp(media, remote_ip, media.rtcp_mux),
        srtp: agreed.map(|agreed| agreed.params),
    };
    Ok((text, params))
}

/// Our offer.
pub fn offer(local: &LocalMedia) -> String {
    let formats: Vec<PayloadFormat> = local
        .codecs
        .iter()
        .map(|codec| PayloadFormat {
            codec: *codec,
            payload_type: codec.payload_type(),
        })
        .collect();
    // One clock each: a stream's key presses count in the clock of its audio.
    let dtmf: Vec<DtmfFormat> = [(8_000, 0), (48_000, 1)]
        .into_iter()
        .filter(|(clock_hz, _)| local.codecs.iter().any(|c| c.clock_hz() == *clock_hz))
        .filter_map(|(clock_hz, next)| {
            Some(DtmfFormat {
                payload_type: local.dtmf_pt?.saturating_add(next).min(127),
                clock_hz,
            })
        })
        .collect();
    let mut text = session_lines(local);
    let crypto: Vec<CryptoLine> = local.srtp.offered().collect();
    write_audio(
        &mut text,
        (local.address.port(), secure::offered_profile(local)),
        &formats,
        &dtmf,
        local.direction,
        &crypto,
    );
    text
}

/// What was agreed by the answer to [`offer`]`(local)`.
pub fn apply_answer(local: &LocalMedia, answer: &str) -> Result<RtpParams, SdpError> {
    let answer = Offer::parse(answer)?;
    let [media] = answer.description.media.as_slice() else {
        return Err(SdpError::StreamCount {
            answered: answer.description.media.len(),
        });
    };
    if media.port == 0 {
        return Err(SdpError::Refused);
    }
    if !media.is_rtp_audio() {
        return Err(answer.no_audio());
    }
    let srtp = secure::answered(media, local)?;
    let remote_ip = media
        .connection
        .ok_or(SdpError::NoConnection { line: media.line })?;
    let formats = known_formats(media, &local.codecs);
    let format = *formats
        .codecs
        .first()
        .ok_or_else(|| no_common_codec(media, local))?;
    let dtmf = local.dtmf_pt.and(formats.dtmf_for(format.codec));
    Ok(RtpParams {
        remote: SocketAddr::new(remote_ip, media.port),
        codec: format.codec,
        payload_type: format.payload_type,
        // With several codecs in the answer the party may switch between them (RFC 3264 §7).
        also_receives: formats
            .codecs
            .iter()
            .copied()
            .find(|other| other.codec != format.codec),
        dtmf_pt: dtmf.map(|dtmf| dtmf.payload_type),
        dtmf_clock_hz: dtmf.map_or(8_000, |dtmf| dtmf.clock_hz),
        opus: opus_params(media, format.payload_type),
        direction: party_direction(media).reversed().and(local.direction),
        // We do not offer to share the port.
        rtcp: party_rtcp(media, remote_ip, false),
        srtp,
    })
}

fn session_lines(local: &LocalMedia) -> String {
    let mut text = String::with_capacity(320);
    let ip = local.address.ip();
    let family = match ip {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    };
    let (id, version) = (local.session_id, local.session_version);
    write_line(&mut text, format_args!("v=0"));
    write_line(
        &mut text,
        format_args!("o=switchhook {id} {version} IN {family} {ip}"),
    );
    write_line(&mut text, format_args!("s=-"));
    write_line(&mut text, format_args!("c=IN {family} {ip}"));
    write_line(&mut text, format_args!("t=0 0"));
    text
}

fn write_audio(
    text: &mut String,
    (port, profile): (u16, &str),
    formats: &[PayloadFormat],
    dtmf: &[DtmfFormat],
    direction: MediaDirection,
    crypto: &[CryptoLine],
) {
    let payload_types: Vec<String> = formats
        .iter()
        .map(|format| format.payload_type)
        .chain(dtmf.iter().map(|dtmf| dtmf.payload_type))
        .map(|payload_type| payload_type.to_string())
        .collect();
    write_line(
        text,
        format_args!("m=audio {port} {profile} {}", payload_types.join(" ")),
    );
    for line in crypto {
        write_line(text, format_args!("a={}", sdes::write(line)));
    }
    for format in formats {
        let (payload_type, name) = (format.payload_type, format.codec.name());
        let clock_hz = format.codec.clock_hz();
        match format.codec.map_channels() {
            1 => write_line(
                text,
                format_args!("a=rtpmap:{payload_type} {name}/{clock_hz}"),
            ),
            channels => write_line(
                text,
                format_args!("a=rtpmap:{payload_type} {name}/{clock_hz}/{channels}"),
            ),
        }
        if format.codec == Codec::Opus {
            write_line(
                text,
                format_args!("a=fmtp:{payload_type} {OPUS_PARAMETERS}"),
            );
        }
    }
    for DtmfFormat {
        payload_type,
        clock_hz,
    } in dtmf
    {
        write_line(
            text,
            format_args!("a=rtpmap:{payload_type} telephone-event/{clock_hz}"),
        );
        write_line(text, format_args!("a=fmtp:{payload_type} 0-15"));
    }
    write_line(text, format_args!("a=ptime:20"));
    write_line(text, format_args!("a={}", direction.name()));
}

/// What we ask of the party's Opus encoder (RFC 7587 §6.1): redundancy, and no more than we use.
/// Audio inside the process is 8 kHz mono, so anything above would be sent and decoded for nothing.
const OPUS_PARAMETERS: &str = "useinbandfec=1;stereo=0;maxplaybackrate=8000;minptime=10";

fn write_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line)
        .expect("writing to a String cannot fail");
    text.push_str("\r\n");
}
