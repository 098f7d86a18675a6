//! The relay in front of a SIP phone, with its audio.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use super::line::{Counts, Passed};
use super::pipe::{self, Ends, Pipe, Way};
use super::{BothWays, Impairment};
use crate::phone::message::{SipMessage, StartLine};
use crate::phone::sdp::MediaDescription;

/// How bad the network is.
#[derive(Debug, Clone, Copy, Default)]
pub struct SipRelaySettings {
    /// Decides the fate of every datagram, given their order.
    pub seed: u64,
    /// Of SIP messages.
    pub signalling: BothWays<Impairment>,
    /// Of audio.
    pub media: BothWays<Impairment>,
}

/// A relay between one phone and the gateway, over UDP; it ends when dropped.
#[derive(Debug)]
pub struct SipRelay {
    pipe: Pipe,
    calls: Arc<Mutex<Calls>>,
}

impl SipRelay {
    /// Opens a relay on loopback in front of a gateway.
    pub fn open(gateway: SocketAddr, settings: SipRelaySettings) -> io::Result<Self> {
        let sockets = [pipe::bind()?, pipe::bind()?];
        let (front, back) = (sockets[0].local_addr()?, sockets[1].local_addr()?);
        let calls = Arc::new(Mutex::new(Calls {
            settings,
            by_call_id: HashMap::new(),
            media: Vec::new(),
        }));
        let mut rewriter = Rewriter {
            front,
            back,
            gateway,
            phone: None,
            calls: Arc::clone(&calls),
        };
        let ends = Ends {
            phone: None,
            gateway: Some(gateway),
            learn_phone: true,
        };
        let pipe = Pipe::start(
            sockets,
            ends,
            settings.signalling,
            settings.seed,
            Box::new(move |way, from, bytes| rewriter.rewrite(way, from, bytes)),
        )?;
        Ok(Self { pipe, calls })
    }

    /// What the phone uses as its server.
    pub fn addr(&self) -> SocketAddr {
        self.pipe.front
    }

    /// What the gateway takes for the phone.
    pub fn phone_as_seen(&self) -> SocketAddr {
        self.pipe.back
    }

    /// What happened to SIP so far.
    pub fn signalling(&self) -> BothWays<Counts> {
        self.pipe.counts()
    }

    /// What happened so far to the audio of the `n`th call (from 0); `None` before its first SDP.
    pub fn media(&self, n: usize) -> Option<BothWays<Counts>> {
        lock(&self.calls).media.get(n).map(|m| m.rtp.counts())
    }

    /// What the gateway should take for the round trip in the `n`th call, in milliseconds, by each
    /// of the phone's last reports that reached it: how long that report was on its way here, and
    /// how long the gateway's report was that it answers.
    pub fn round_trips_ms(&self, n: usize) -> Vec<f64> {
        let passed = lock(&self.calls).media.get(n).map(|m| m.rtcp.passed());
        let passed = passed.unwrap_or_default();
        round_trips_ms(&passed)
    }
}

#[derive(Debug)]
struct Calls {
    settings: SipRelaySettings,
    by_call_id: HashMap<String, usize>,
    media: Vec<Media>,
}

#[derive(Debug)]
struct Media {
    rtp: Pipe,
    rtcp: Pipe,
}

fn lock(calls: &Mutex<Calls>) -> MutexGuard<'_, Calls> {
    calls.lock().expect("no holder of this lock panics")
}

impl Calls {
    fn media_of(&mut self, call_id: &str) -> io::Result<&Media> {
        let at = match self.by_call_id.get(call_id) {
            Some(at) => *at,
            None => {
                let at = self.media.len();
                self.media.push(Media::open(&self.settings, at as u64)?);
                self.by_call_id.insert(call_id.to_owned(), at);
                at
            }
        };
        Ok(&self.media[at])
    }
}

impl Media {
    fn open(settings: &SipRelaySettings, number: u64) -> io::Result<Self> {
        let [front_rtp, front_rtcp] = pipe::bind_pair()?;
        let [back_rtp, back_rtcp] = pipe::bind_pair()?;
        let seed = settings.seed.wrapping_add(1_000 * (number + 1));
        let open = |sockets, seed| {
            let unchanged = Box::new(|_, _, bytes| bytes);
            Pipe::start(sockets, Ends::default(), settings.media, seed, unchanged)
        };
        Ok(Self {
            rtp: open([front_rtp, back_rtp], seed)?,
            rtcp: open([front_rtcp, back_rtcp], seed + 1)?,
        })
    }

    /// Notes where one end listens; returns where the other end is to send instead.
    fn announced(&self, way: Way, addr: SocketAddr) -> SocketAddr {
        let rtcp = SocketAddr::new(addr.ip(), addr.port().saturating_add(1));
        for (pipe, addr) in [(&self.rtp, addr), (&self.rtcp, rtcp)] {
            pipe.set_ends(|ends| match way {
                Way::ToGateway => ends.phone = Some(addr),
                Way::ToPhone => ends.gateway = Some(addr),
            });
        }
        match way {
            Way::ToGateway => self.rtp.back,
            Way::ToPhone => self.rtp.front,
        }
    }
}

fn round_trips_ms(reports: &BothWays<Vec<Passed>>) -> Vec<f64> {
    let ms = |passed: &Passed| (passed.left - passed.arrived).as_secs_f64() * 1_000.0;
    let answered = |report: &Passed| {
        let reached = |asked: &&Passed| asked.left <= report.arrived;
        reports
            .to_phone
            .iter()
            .filter(reached)
            .max_by_key(|asked| asked.left)
    };
    let there_and_back = |report: &Passed| Some(ms(report) + ms(answered(report)?));
    reports
        .to_gateway
        .iter()
        .filter_map(there_and_back)
        .collect()
}

struct Rewriter {
    front: SocketAddr,
    back: SocketAddr,
    gateway: SocketAddr,
    phone: Option<SocketAddr>,
    calls: Arc<Mutex<Calls>>,
}

impl Rewriter {
    fn rewrite(&mut self, way: Way, from: SocketAddr, bytes: Vec<u8>) -> Vec<u8> {
        // Keep-alives and noise pass as they are.
        let Ok(mut message) = SipMessage::parse(&bytes) else {
            return bytes;
        };
        let replaced = match way {
            Way::ToGateway => {
                self.phone = Some(from);
                (from, self.back)
            }
            Way::ToPhone => (self.gateway, self.front),
        };
        for (name, value) in &mut message.headers {
            if name.eq_ignore_ascii_case("Contact") {
                *value = value.replace(&replaced.0.to_string(), &replaced.1.to_string());
            }
        }
        let in_dialog = message.to_tag().is_some();
        if let StartLine::Request { uri, .. } = &mut message.start {
            let (ours, theirs) = match way {
                Way::ToGateway => (self.front, Some(self.gateway)),
                Way::ToPhone => (self.back, self.phone),
            };
            // What is outside a dialog is signed for the address the phone knows (RFC 7616 §3.4.6).
            if let Some(theirs) = theirs
                && (in_dialog || way == Way::ToPhone)
            {
                *uri = uri.replace(&ours.to_string(), &theirs.to_string());
            }
        }
        if message
            .header("Content-Type")
            .to_ascii_lowercase()
            .contains("application/sdp")
        {
            self.rewrite_sdp(way, &mut message);
        }
        message.to_bytes()
    }

    fn rewrite_sdp(&self, way: Way, message: &mut SipMessage) {
        let sdp = message.body_text();
        let Ok(MediaDescription {
            addr: Some(addr), ..
        }) = MediaDescription::parse(&sdp)
        else {
            return;
        };
        // Refused, or held in the old way (RFC 3264 §8.4): there is nowhere to send to.
        if addr.port() == 0 || addr.ip().is_unspecified() {
            return;
        }
        let instead = {
            let mut calls = lock(&self.calls);
            match calls.media_of(message.call_id()) {
                Ok(media) => media.announced(way, addr),
                // Without sockets the audio passes beside the relay; its counts then show nothing.
                Err(error) => {
                    tracing::error!(%error, "no sockets for the audio of a call");
                    return;
                }
            }
        };
        message.body = with_address(&sdp, instead).into_bytes();
    }
}

/// The same SDP with another address for its audio.
fn with_address(sdp: &str, addr: SocketAddr) -> String {
    let mut out = String::with_capacity(sdp.len() + 16);
    let mut is_first_audio = true;
    for line in sdp.lines() {
        // Its port is the next one, as everybody assumes who is told nothing (RFC 3605 §2.1).
        if line.starts_with("a=rtcp:") {
            continue;
        }
        if line.starts_with("c=IN IP4 ") {
            out.push_str(&format!("c=IN IP4 {}", addr.ip()));
        } else if let Some(rest) = line.strip_prefix("m=audio ")
            && is_first_audio
            && let Some((_, formats)) = rest.split_once(' ')
        {
            is_first_audio = false;
            out.push_str(&format!("m=audio {} {formats}", addr.port()));
        } else {
            out.push_str(line);
        }
        out.push_str("\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_round_trip_is_that_of_a_report_and_of_the_one_it_answers() {
        let start = Instant::now();
        let passed = |arrived: u64, left: u64| Passed {
            arrived: start + Duration::from_millis(arrived),
            left: start + Duration::from_millis(left),
        };
        let reports = BothWays {
            to_phone: vec![passed(1_000, 1_050), passed(3_990, 4_100)],
            to_gateway: vec![passed(500, 510), passed(2_000, 2_020), passed(4_000, 4_030)],
        };
        // The first one answers nothing; the last one left the phone before the second came.
        assert_eq!(round_trips_ms(&reports), [70.0, 80.0]);
    }

    #[test]
    fn only_the_address_of_the_audio_changes() {
        let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nc=IN IP4 192.0.2.1\r\n\
                   m=audio 4000 RTP/AVP 0 101\r\na=rtcp:4001\r\na=sendonly\r\n\
                   m=audio 0 RTP/AVP 0\r\n";
        let new = with_address(sdp, "127.0.0.1:6000".parse().unwrap());
        let expected = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nc=IN IP4 127.0.0.1\r\n\
                        m=audio 6000 RTP/AVP 0 101\r\na=sendonly\r\nm=audio 0 RTP/AVP 0\r\n";
        assert_eq!(new, expected);
    }
}
