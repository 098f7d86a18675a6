//! The phone's audio: real RTP over its own UDP socket at an exact 20 ms pace (RFC 3550), its codecs,
//! and keypad digits as events (RFC 4733).
//!
//! What is heard is laid on a timeline that starts when the socket is opened: a packet's place is
//! its RTP timestamp, anchored at the arrival of the stream's first packet, so that loss and late
//! delivery leave holes instead of moving what follows.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use tokio::net::UdpSocket;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::event::{EventLog, PhoneEvent};
use super::mouth::{Mouth, digit_of, event_of, next_packets};
use super::rtcp::{Reporter, Reports};
use super::srtp::{Crypto, SecureMedia, Suite};
use super::wire::RtpHeader;
use crate::audio::codec::{PhoneCodec, PhoneDecoder};
use crate::audio::g711::Law;
use crate::audio::{Audio, PHONE_RATE_HZ};

/// A packet this far from its expected place starts a new anchor, in samples.
const REANCHOR: i64 = 4_000;
/// What is kept of a packet that cannot be opened: the header of RTP (RFC 3550, section 5.1), in octets.
const REFUSED_OCTETS: usize = 12;

/// Something to play.
#[derive(Debug, Clone)]
pub enum Playable {
    /// Once, then silence.
    Audio(Audio),
    /// A sine at −12 dBFS until something else is played.
    Tone {
        /// Frequency in Hz.
        hz: f64,
    },
    /// Silence packets, as a phone sends when nobody speaks.
    Silence,
    /// Whatever somebody else puts in, as it comes; silence in between.
    Live(LiveAudio),
}

/// Samples on their way into a call. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct LiveAudio(Arc<Mutex<VecDeque<i16>>>);

impl LiveAudio {
    /// Adds samples of 8 kHz behind what waits.
    pub fn extend(&self, samples: impl IntoIterator<Item = i16>) {
        let mut waiting = self.0.lock().expect("no holder of this lock panics");
        waiting.extend(samples);
    }

    pub(super) fn fill(&self, frame: &mut [i16]) {
        let mut waiting = self.0.lock().expect("no holder of this lock panics");
        let count = waiting.len().min(frame.len());
        for (sample, value) in frame.iter_mut().zip(waiting.drain(..count)) {
            *sample = value;
        }
    }
}

/// What one call has heard so far.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Everything received, decoded, from the moment the call's audio socket was opened.
    pub audio: Audio,
    /// When that was.
    pub started: Instant,
    /// The same as wall-clock time.
    pub started_at: SystemTime,
    /// Arrival of every RTP packet, counted from `started`.
    pub arrivals: Vec<Duration>,
    /// Who sent them.
    pub sources: BTreeSet<SocketAddr>,
    /// Payload types seen.
    pub payload_types: BTreeSet<u8>,
    /// Keypad digits received, with their time from `started`.
    pub digits: Vec<(char, Duration)>,
    /// Packets sent by us.
    pub sent: u64,
    /// Packets that could not be opened with the agreed key: from whom, and their first octets.
    pub refused: Vec<(SocketAddr, Vec<u8>)>,
    /// Whether the media is protected now.
    pub is_protected: bool,
    /// What both sides reported; nothing unless the phone sends reports.
    pub reports: Reports,
}

impl Heard {
    /// Packets that arrived later than this after `started`.
    pub fn packets_after(&self, at: Duration) -> usize {
        self.arrivals.iter().filter(|a| **a > at).count()
    }
}

#[derive(Debug)]
pub(super) struct Control {
    pub remote: Option<SocketAddr>,
    /// With its payload type.
    pub codec: (u8, PhoneCodec),
    pub telephone_event: Option<u8>,
    pub sending: bool,
    pub playing: Playable,
    pub play_id: u32,
    pub at_sample: u64,
    pub digits: VecDeque<u8>,
    pub raw: VecDeque<Vec<u8>>,
}

#[derive(Debug)]
struct Ears {
    samples: Vec<i16>,
    anchor: Option<(u32, i64)>,
    arrivals: Vec<Duration>,
    sources: BTreeSet<SocketAddr>,
    payload_types: BTreeSet<u8>,
    digits: Vec<(char, Duration)>,
    last_digit_ts: Option<u32>,
    sent: u64,
    /// Of the stream that is coming in.
    decoder: Option<PhoneDecoder>,
    refused: Vec<(SocketAddr, Vec<u8>)>,
    reporter: Reporter,
}

/// One call's audio socket.
#[derive(Debug)]
pub struct Media {
    local: SocketAddr,
    started: Instant,
    started_at: SystemTime,
    control: Mutex<Control>,
    ears: Mutex<Ears>,
    /// Our key for this call, the same in every description.
    key: [u8; 30],
    secure: Mutex<Option<SecureMedia>>,
}

impl Media {
    /// Opens a socket and starts listening; sends nothing until [`Media::send_to`]. With `reports`
    /// there is a second one, on the next port, for RTCP at this pace.
    pub(super) async fn open(
        ip: IpAddr,
        reports: Option<Duration>,
        call: usize,
        log: Arc<EventLog>,
    ) -> io::Result<Arc<Self>> {
        let (socket, reporting) = match reports {
            None => (UdpSocket::bind((ip, 0)).await?, None),
            Some(every) => {
                let [rtp, rtcp] = bind_pair(ip).await?;
                (rtp, Some((rtcp, every)))
            }
        };
        let media = Arc::new(Self {
            local: socket.local_addr()?,
            started: Instant::now(),
            started_at: SystemTime::now(),
            control: Mutex::new(Control {
                remote: None,
                codec: (0, Law::Mu.into()),
                telephone_event: None,
                sending: false,
                playing: Playable::Silence,
                play_id: 0,
                at_sample: 0,
                digits: VecDeque::new(),
                raw: VecDeque::new(),
            }),
            ears: Mutex::new(Ears {
                samples: Vec::new(),
                anchor: None,
                arrivals: Vec::new(),
                sources: BTreeSet::new(),
                payload_types: BTreeSet::new(),
                digits: Vec::new(),
                last_digit_ts: None,
                sent: 0,
                decoder: None,
                refused: Vec::new(),
                reporter: Reporter::default(),
            }),
            key: rand::random(),
            secure: Mutex::new(None),
        });
        // The task holds no strong reference: it ends with the call's last handle.
        tokio::spawn(run(Arc::downgrade(&media), socket, reporting, call, log));
        Ok(media)
    }

    /// Our RTP address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// How long the socket has been open.
    pub(super) fn started_elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Where to send, how, and whether at all.
    pub(super) fn send_to(
        &self,
        remote: Option<SocketAddr>,
        codec: (u8, PhoneCodec),
        telephone_event: Option<u8>,
        sending: bool,
    ) {
        let mut control = self.control();
        control.remote = remote;
        control.codec = codec;
        control.telephone_event = telephone_event;
        control.sending = sending;
    }

    /// Our `a=crypto` for this call.
    pub(super) fn crypto(&self, tag: u32, suite: Suite) -> Crypto {
        Crypto::new(tag, suite, self.key)
    }

    /// Protects the media from now on, or no longer. The same keys again keep their counters.
    pub(super) fn protect(&self, theirs: Option<&Crypto>) {
        let mut secure = self.secure.lock().expect("no holder of this lock panics");
        let Some(theirs) = theirs else {
            *secure = None;
            return;
        };
        let ours = self.crypto(theirs.tag, theirs.suite);
        if !secure.as_ref().is_some_and(|now| now.is(&ours, theirs)) {
            *secure = SecureMedia::new(ours, theirs.clone());
        }
    }

    /// Stops sending; keeps listening, so that audio after the end of a call is noticed.
    pub(super) fn stop_sending(&self) {
        self.control().sending = false;
    }

    /// Starts or stops sending packets without touching anything else.
    pub fn set_sending(&self, sending: bool) {
        self.control().sending = sending;
    }

    /// Plays from now on instead of what was playing; returns the number that
    /// [`PhoneEvent::PlayFinished`] will carry.
    pub fn play(&self, what: Playable) -> u32 {
        let mut control = self.control();
        control.playing = what;
        control.at_sample = 0;
        control.play_id += 1;
        control.play_id
    }

    /// Queues keypad digits; characters that are not on a keypad are left out.
    pub fn send_digits(&self, digits: &str) {
        self.control()
            .digits
            .extend(digits.chars().filter_map(event_of));
    }

    /// Sends these bytes as one datagram from the call's audio socket.
    pub fn send_raw(&self, datagram: Vec<u8>) {
        self.control().raw.push_back(datagram);
    }

    /// A copy of what was heard so far.
    pub fn heard(&self) -> Heard {
        let ears = self.ears();
        // Nothing received is silence heard, up to now.
        let elapsed = (self.started.elapsed().as_secs_f64() * f64::from(PHONE_RATE_HZ)) as usize;
        let mut samples = ears.samples.clone();
        samples.resize(samples.len().max(elapsed), 0);
        Heard {
            audio: Audio::phone(samples),
            started: self.started,
            started_at: self.started_at,
            arrivals: ears.arrivals.clone(),
            sources: ears.sources.clone(),
            payload_types: ears.payload_types.clone(),
            digits: ears.digits.clone(),
            sent: ears.sent,
            refused: ears.refused.clone(),
            is_protected: self
                .secure
                .lock()
                .expect("no holder of this lock panics")
                .is_some(),
            reports: ears.reporter.reports(),
        }
    }

    /// What was received from this sample on, without the silence since.
    pub fn heard_since(&self, sample: usize) -> Vec<i16> {
        let ears = self.ears();
        ears.samples.get(sample..).unwrap_or_default().to_vec()
    }

    /// The keypad digits received so far.
    pub fn digits_heard(&self) -> Vec<char> {
        self.ears().digits.iter().map(|(digit, _)| *digit).collect()
    }

    /// The plain packet; nothing when it is not protected as agreed.
    fn opened(&self, packet: &[u8]) -> Option<Vec<u8>> {
        match &mut *self.secure.lock().expect("no holder of this lock panics") {
            None => Some(packet.to_vec()),
            Some(secure) => secure.open(packet),
        }
    }

    fn protected(&self, packet: Vec<u8>) -> Vec<u8> {
        match &mut *self.secure.lock().expect("no holder of this lock panics") {
            None => packet,
            Some(secure) => secure.protect(&packet).unwrap_or(packet),
        }
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().expect("no holder of this lock panics")
    }

    fn ears(&self) -> MutexGuard<'_, Ears> {
        self.ears.lock().expect("no holder of this lock panics")
    }

    /// A report and where it goes, while we send.
    fn report(&self, mouth: &Mouth) -> Option<(Vec<u8>, SocketAddr)> {
        let (remote, codec) = {
            let control = self.control();
            let remote = control.remote.filter(|_| control.sending)?;
            (remote, control.codec.1)
        };
        let to = SocketAddr::new(remote.ip(), remote.port().checked_add(1)?);
        let mut ears = self.ears();
        let report = ears
            .reporter
            .report(mouth.ssrc, mouth.timestamp, clock_hz(codec));
        Some((report, to))
    }

    fn hear(&self, packet: &[u8], from: SocketAddr, call: usize, log: &EventLog) {
        let arrival = self.started.elapsed();
        let Some(packet) = self.opened(packet) else {
            let head = packet[..packet.len().min(REFUSED_OCTETS)].to_vec();
            self.ears().refused.push((from, head));
            return;
        };
        let Some(rtp) = RtpHeader::parse(&packet) else {
            return;
        };
        let payload = &packet[rtp.payload_at..];
        let (telephone_event, agreed) = {
            let control = self.control();
            (control.telephone_event, control.codec)
        };
        let mut ears = self.ears();
        let first = ears.arrivals.is_empty();
        ears.arrivals.push(arrival);
        let clock_hz = clock_hz(agreed.1);
        let at = self.started + arrival;
        ears.reporter.heard(&rtp, clock_hz, at, self.started);
        ears.sources.insert(from);
        ears.payload_types.insert(rtp.payload_type);
        if first {
            log.push(PhoneEvent::FirstRtp { call });
        }
        if Some(rtp.payload_type) == telephone_event {
            if let [event, flags, ..] = payload
                && flags & 0x80 != 0
                && ears.last_digit_ts != Some(rtp.timestamp)
                && let Some(digit) = digit_of(*event)
            {
                ears.last_digit_ts = Some(rtp.timestamp);
                ears.digits.push((digit, arrival));
                log.push(PhoneEvent::DigitHeard { call, digit });
            }
            return;
        }
        let codec = if rtp.payload_type == agreed.0 {
            Some(agreed.1)
        } else {
            PhoneCodec::of(rtp.payload_type, None)
        };
        let Some(codec) = codec else {
            return;
        };
        if ears.decoder.as_ref().is_none_or(|d| d.codec() != codec) {
            ears.decoder = Some(PhoneDecoder::new(codec));
            ears.anchor = None;
        }
        let decoded = ears
            .decoder
            .as_mut()
            .map(|decoder| decoder.decode(payload))
            .unwrap_or_default();
        let arrived_at = (arrival.as_secs_f64() * f64::from(PHONE_RATE_HZ)) as i64;
        let place = |anchor: (u32, i64)| {
            let units = rtp.timestamp.wrapping_sub(anchor.0).cast_signed();
            anchor.1 + i64::from(units) / i64::from(codec.clock_per_sample())
        };
        let at = match ears.anchor.map(place) {
            Some(at) if (at - arrived_at).abs() < REANCHOR => at,
            _ => {
                ears.anchor = Some((rtp.timestamp, arrived_at));
                arrived_at
            }
        };
        let Ok(at) = usize::try_from(at) else { return };
        if ears.samples.len() < at + decoded.len() {
            ears.samples.resize(at + decoded.len(), 0);
        }
        ears.samples[at..at + decoded.len()].copy_from_slice(&decoded);
    }
}

/// RTP on an even port and RTCP on the next one (RFC 3550 §11).
async fn bind_pair(ip: IpAddr) -> io::Result<[UdpSocket; 2]> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..100 {
        let rtp = UdpSocket::bind((ip, 0)).await?;
        let port = rtp.local_addr()?.port();
        if port % 2 == 1 {
            continue;
        }
        match UdpSocket::bind((ip, port + 1)).await {
            Ok(rtcp) => return Ok([rtp, rtcp]),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Units of a codec's RTP clock in a second.
fn clock_hz(codec: PhoneCodec) -> u32 {
    PHONE_RATE_HZ * codec.clock_per_sample()
}

async fn run(
    media: std::sync::Weak<Media>,
    socket: UdpSocket,
    reporting: Option<(UdpSocket, Duration)>,
    call: usize,
    log: Arc<EventLog>,
) {
    let mut tick = interval(Duration::from_millis(20));
    // Catching up keeps the pace exact over time: no packet is skipped after a scheduling pause.
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (rtcp, mut report) = match reporting {
        None => (None, None),
        Some((rtcp, every)) => (Some(rtcp), Some(interval(every))),
    };
    let mut mouth = Mouth::new();
    let (mut buffer, mut reports) = ([0u8; 2048], [0u8; 2048]);
    loop {
        tokio::select! {
            biased;
            _ = tick.tick() => {
                let Some(media) = media.upgrade() else { return };
                let (packets, remote, finished) = next_packets(&mut media.control(), &mut mouth);
                if let Some(remote) = remote {
                    for packet in packets {
                        media.ears().reporter.sent(&packet);
                        let packet = media.protected(packet);
                        // The other side may have closed its port already; that is its business.
                        let _ = socket.send_to(&packet, remote).await;
                        media.ears().sent += 1;
                    }
                }
                if let Some(play) = finished {
                    log.push(PhoneEvent::PlayFinished { call, play });
                }
            }
            got = socket.recv_from(&mut buffer) => {
                let (Ok((len, from)), Some(media)) = (got, media.upgrade()) else { continue };
                media.hear(&buffer[..len], from, call, &log);
            }
            got = received(rtcp.as_ref(), &mut reports) => {
                let (Ok(len), Some(media)) = (got, media.upgrade()) else { continue };
                let clock_hz = clock_hz(media.control().codec.1);
                media.ears().reporter.told(&reports[..len], mouth.ssrc, clock_hz);
            }
            () = due(report.as_mut()) => {
                let Some(media) = media.upgrade() else { return };
                if let (Some((packet, to)), Some(rtcp)) = (media.report(&mouth), &rtcp) {
                    // As with audio.
                    let _ = rtcp.send_to(&packet, to).await;
                }
            }
        }
    }
}

/// Never without a socket.
async fn received(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> io::Result<usize> {
    match socket {
        Some(socket) => socket.recv(buffer).await,
        None => std::future::pending().await,
    }
}

/// Never without a pace.
async fn due(pace: Option<&mut Interval>) {
    match pace {
        Some(pace) => drop(pace.tick().await),
        None => std::future::pending().await,
    }
}
