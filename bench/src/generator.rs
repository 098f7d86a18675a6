//! Plays the parties of many calls: sends a marked packet per stream every 20 ms and checks each
//! one that comes back: whose it is, through which port it came, every octet, and when.

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use socket2::{Domain, Protocol, Socket, Type};
use switchhook_media::bench_io::{RecvBatch, SendBatch, pin_to_core, schedule_realtime};
use switchhook_media::rtp::RtpPacket;
use switchhook_media::{Codec, Law};

use crate::machine::thread_time;
use crate::process::Clock;
use crate::speech;

/// Name of its thread, for measuring.
pub const THREAD: &str = "bench-load";

/// Sockets of the generator. Few, so that sending and receiving in batches keeps it cheaper than
/// what it measures; the parties are told apart by what they carry.
pub const SOCKETS: usize = 8;
/// Datagrams per system call.
const BATCH: usize = 64;
const PAYLOAD: usize = 160;
const PACKET: usize = 12 + PAYLOAD;
const TICK: Duration = Duration::from_millis(20);
/// The streams of a tick are spread over this many moments, so that they do not come in one burst.
const SLICES: usize = 20;
/// A frame is late when it comes this much after the fastest frame of its stream: a phone's jitter
/// buffer would have given it up.
const LATE: Duration = Duration::from_millis(30);
/// Whatever its stream's rhythm, a frame that needs longer is late: queues that have grown once and
/// stay so do not make a talk.
const LATE_AT_ALL: Duration = Duration::from_millis(200);

/// The codec of a law, for its payload type.
pub fn codec(law: Law) -> Codec {
    match law {
        Law::Mu => Codec::Pcmu,
        Law::A => Codec::Pcma,
    }
}

/// One direction of audio.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    /// Where it is sent, and as what.
    pub to: SocketAddrV4,
    pub sent_as: Law,
    /// From where its audio must come back, and as what.
    pub back_from: SocketAddrV4,
    pub back_as: Law,
    pub carries: Carries,
}

/// What a stream's packets hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// Stream and frame number; all streams of a run or none.
    Marks,
    /// A caller's speech from this place of the loop on; PCMU both ways.
    Speech { offset: u32 },
}

/// What came of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    pub expected: u64,
    /// Came back unharmed and in time.
    pub on_time: u64,
    pub late: u64,
    /// Share of its core that the tested thread and the generator used while packets were sent.
    pub load: f64,
    pub generator_load: f64,
    /// Median time from sending to getting back, and the 99th percentile of 100.
    pub transit_p50_ms: f64,
    pub transit_p99_ms: f64,
}

impl Outcome {
    /// Frames that did not come back or came back wrong, of all expected.
    pub fn missing_share(&self) -> f64 {
        1.0 - (self.on_time + self.late) as f64 / self.expected.max(1) as f64
    }

    /// Frames that were late, lost or wrong, of all expected.
    pub fn bad_share(&self) -> f64 {
        1.0 - self.on_time as f64 / self.expected.max(1) as f64
    }
}

/// The generator's sockets, bound before the gateway is told about them.
pub struct Sockets(Vec<UdpSocket>);

impl Sockets {
    pub fn bind() -> anyhow::Result<Self> {
        let mut sockets = Vec::new();
        for _ in 0..SOCKETS {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            // Room for a tick of all streams; the system may grant less.
            let _ = socket.set_recv_buffer_size(16 << 20);
            let _ = socket.set_send_buffer_size(4 << 20);
            socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
            sockets.push(socket.into());
        }
        Ok(Self(sockets))
    }

    /// The address of the party that stream `n` belongs to.
    pub fn address(&self, n: usize) -> anyhow::Result<SocketAddr> {
        self.0[n % SOCKETS]
            .local_addr()
            .context("the generator's socket has no address")
    }
}

/// Runs the load on its own thread and core: `warm_up` unmeasured, then `measure`.
pub fn run(
    sockets: Sockets,
    streams: Vec<Stream>,
    core: usize,
    tested: Clock,
    warm_up: Duration,
    measure: Duration,
) -> anyhow::Result<Outcome> {
    let thread = std::thread::Builder::new()
        .name(THREAD.to_owned())
        .spawn(move || {
            let _ = pin_to_core(core);
            let _ = schedule_realtime();
            let mut load = Load::new(sockets, streams, warm_up, measure);
            let (tested, own) = load.run(&tested);
            let span = TICK.as_secs_f64() * f64::from(load.frames);
            Outcome {
                load: tested.as_secs_f64() / span,
                generator_load: own.as_secs_f64() / span,
                ..load.outcome()
            }
        })?;
    match thread.join() {
        Ok(result) => Ok(result),
        Err(_) => bail!("the load generator had a fault"),
    }
}

/// Transit times are kept in steps of 1 ms up to this.
const BUCKETS: usize = 400;

struct Load {
    sockets: Sockets,
    streams: Vec<Stream>,
    first_measured: u32,
    frames: u32,
    epoch: Instant,
    /// Per stream, when frame n was sent, by n modulo its length; in microseconds.
    sent_us: Vec<[u32; 32]>,
    /// Per stream: frames that came back, by transit time.
    transit: Vec<[u16; BUCKETS]>,
    /// Per stream: the newest frame that came back, so that none counts twice.
    newest: Vec<Option<u32>>,
    /// Stream by the port its audio comes back from, where it carries no number.
    by_port: Vec<Option<u32>>,
    through: Through,
    recv: RecvBatch<BATCH>,
    send: SendBatch<BATCH>,
}

impl Load {
    fn new(sockets: Sockets, streams: Vec<Stream>, warm_up: Duration, measure: Duration) -> Self {
        let ticks = |time: Duration| (time.as_millis() / TICK.as_millis()) as u32;
        let mut by_port = vec![None; 1 << 16];
        for (n, stream) in streams.iter().enumerate() {
            by_port[usize::from(stream.back_from.port())] = Some(n as u32);
        }
        Self {
            sockets,
            first_measured: ticks(warm_up),
            frames: ticks(warm_up) + ticks(measure),
            epoch: Instant::now(),
            sent_us: vec![[0; 32]; streams.len()],
            transit: vec![[0; BUCKETS]; streams.len()],
            newest: vec![None; streams.len()],
            by_port,
            through: Through::new(),
            recv: RecvBatch::new(),
            send: SendBatch::new(),
            streams,
        }
    }

    /// Returns the processor time of what is tested and of this one while packets were sent.
    fn run(&mut self, tested: &Clock) -> (Duration, Duration) {
        let used = || (tested(), thread_time(&[THREAD]));
        let before = used();
        let mut after = before;
        self.epoch = Instant::now();
        let slice_time = TICK / SLICES as u32;
        let per_slice = self.streams.len().div_ceil(SLICES).max(1);
        // The last frames are waited for.
        let drain = 15;
        for frame in 0..self.frames + drain {
            if frame == self.frames {
                after = used();
            }
            for slice in 0..SLICES {
                let due = TICK * frame + slice_time * slice as u32;
                while let Some(wait) = due.checked_sub(self.epoch.elapsed()) {
                    // Park, not spin: the generator's load is a figure we print.
                    std::thread::park_timeout(wait);
                }
                if frame < self.frames {
                    let first = slice * per_slice;
                    let end = (first + per_slice).min(self.streams.len());
                    self.send_slice(first..end.max(first), frame);
                }
                self.receive_all();
            }
        }
        (
            after.0.saturating_sub(before.0),
            after.1.saturating_sub(before.1),
        )
    }

    fn send_slice(&mut self, range: std::ops::Range<usize>, frame: u32) {
        for socket in 0..SOCKETS {
            for n in range.clone().filter(|n| n % SOCKETS == socket) {
                let stream = self.streams[n];
                self.sent_us[n][frame as usize % 32] = self.epoch.elapsed().as_micros() as u32;
                self.send.push(stream.to, PACKET, |out| {
                    let marked;
                    RtpPacket {
                        marker: frame == 0,
                        payload_type: codec(stream.sent_as).payload_type(),
                        sequence: frame as u16,
                        timestamp: frame * 160,
                        ssrc: n as u32,
                        payload: match stream.carries {
                            Carries::Marks => {
                                marked = payload(n as u32, frame, stream.sent_as);
                                &marked
                            }
                            Carries::Speech { offset } => speech::caller().frame(offset + frame),
                        },
                    }
                    .write(out);
                });
                if self.send.is_full() {
                    self.send.flush(&self.sockets.0[socket]);
                }
            }
            self.send.flush(&self.sockets.0[socket]);
        }
    }

    fn receive_all(&mut self) {
        for socket in 0..SOCKETS {
            loop {
                let received = self.recv.receive(&self.sockets.0[socket]);
                let now_us = self.epoch.elapsed().as_micros() as u32;
                for i in 0..received {
                    self.check(i, now_us);
                }
                if received < BATCH {
                    break;
                }
            }
        }
    }

    fn check(&mut self, i: usize, now_us: u32) {
        let Some(datagram) = self.recv.get(i) else {
            return;
        };
        // What is not whole and right (silence, a concealed loss, somebody else's audio) counts for
        // nothing, so its frame is missing in the end.
        let Ok(packet) = RtpPacket::parse(datagram.data) else {
            return;
        };
        let parties = Parties {
            by_port: &self.by_port,
            streams: &self.streams,
        };
        let Some((n, frame)) = parties.identify(datagram.from, packet.payload, now_us) else {
            return;
        };
        let Some(stream) = self.streams.get(n as usize) else {
            return;
        };
        let right = packet.payload_type == codec(stream.back_as).payload_type()
            && datagram.from == SocketAddr::V4(stream.back_from)
            && match stream.carries {
                Carries::Marks => self.through.is_right(packet.payload, n, frame, stream),
                // Known by all its octets.
                Carries::Speech { offset: _ } => true,
            };
        if right {
            self.note(n as usize, frame, now_us);
        }
    }

    fn note(&mut self, n: usize, frame: u32, now_us: u32) {
        if self.newest[n].is_some_and(|newest| newest >= frame) {
            return;
        }
        self.newest[n] = Some(frame);
        if frame < self.first_measured || frame >= self.frames {
            return;
        }
        let transit_us = now_us.wrapping_sub(self.sent_us[n][frame as usize % 32]);
        let bucket = (transit_us / 1_000) as usize;
        self.transit[n][bucket.min(BUCKETS - 1)] += 1;
    }

    fn outcome(&self) -> Outcome {
        let frames = u64::from(self.frames - self.first_measured);
        let mut outcome = Outcome {
            expected: frames * self.streams.len() as u64,
            ..Outcome::default()
        };
        let mut all = [0u64; BUCKETS];
        for transit in &self.transit {
            let fastest = transit.iter().position(|count| *count > 0).unwrap_or(0);
            let bound = (fastest + LATE.as_millis() as usize).min(LATE_AT_ALL.as_millis() as usize);
            for (bucket, count) in transit.iter().enumerate() {
                let count = u64::from(*count);
                all[bucket] += count;
                if bucket <= bound {
                    outcome.on_time += count;
                } else {
                    outcome.late += count;
                }
            }
        }
        let percentile = |share: f64| {
            let total: u64 = all.iter().sum();
            let mut seen = 0;
            let found = all.iter().position(|count| {
                seen += count;
                seen as f64 >= total as f64 * share
            });
            found.map_or(f64::NAN, |bucket| bucket as f64)
        };
        outcome.transit_p50_ms = percentile(0.5);
        outcome.transit_p99_ms = percentile(0.99);
        outcome
    }
}

/// Who is who, apart from the buffers that are being read.
struct Parties<'a> {
    by_port: &'a Vec<Option<u32>>,
    streams: &'a [Stream],
}

impl Parties<'_> {
    /// Which frame of which stream this is.
    fn identify(&self, from: SocketAddr, payload: &[u8], now_us: u32) -> Option<(u32, u32)> {
        let n = self.by_port[usize::from(from.port())];
        let carries = n
            .and_then(|n| self.streams.get(n as usize))
            .map(|s| s.carries);
        let (Some(n), Some(Carries::Speech { offset })) = (n, carries) else {
            return read_marks(payload);
        };
        let speech = speech::caller();
        let place = speech.place_of(payload)?;
        // The loop is longer than any delay, so it is the last time this place was played.
        let now = now_us / TICK.as_micros() as u32;
        let ago = (offset + now + speech.len() - place) % speech.len();
        now.checked_sub(ago).map(|frame| (n, frame))
    }
}

/// Octets that carry one bit each of stream and frame number, as the sign of a loud sample: that
/// survives transcoding. The rest is one value that follows from both numbers.
const MARKS: usize = 64;

fn payload(stream: u32, frame: u32, law: Law) -> [u8; PAYLOAD] {
    let marks = (u64::from(stream) << 32) | u64::from(frame);
    let mut payload = [filler(stream, frame); PAYLOAD];
    for (bit, octet) in payload[..MARKS].iter_mut().enumerate() {
        *octet = loud(marks >> bit & 1 == 1, law);
    }
    payload
}

/// The loudest positive or negative octet.
fn loud(positive: bool, law: Law) -> u8 {
    let magnitude = match law {
        Law::Mu => 0x00,
        Law::A => 0x2A,
    };
    magnitude | (u8::from(positive) << 7)
}

/// Positive octets only, so that no value has a second zero.
fn filler(stream: u32, frame: u32) -> u8 {
    0x80 | (stream.wrapping_mul(31).wrapping_add(frame.wrapping_mul(7)) % 127) as u8
}

fn read_marks(payload: &[u8]) -> Option<(u32, u32)> {
    let payload: &[u8; PAYLOAD] = payload.try_into().ok()?;
    let marks = (0..MARKS).fold(0u64, |marks, bit| {
        marks | (u64::from(payload[bit] >> 7) << bit)
    });
    Some(((marks >> 32) as u32, marks as u32))
}

/// What each octet becomes between two codecs, computed once.
struct Through([[[u8; 256]; 2]; 2]);

fn index(law: Law) -> usize {
    match law {
        Law::Mu => 0,
        Law::A => 1,
    }
}

impl Through {
    fn new() -> Self {
        let mut tables = [[[0; 256]; 2]; 2];
        for from in [Law::Mu, Law::A] {
            for to in [Law::Mu, Law::A] {
                for octet in 0..=255u8 {
                    let (mut pcm, mut back) = ([0; 1], [0; 1]);
                    from.decode(&[octet], &mut pcm);
                    to.encode(&pcm, &mut back);
                    let becomes = if from == to { octet } else { back[0] };
                    tables[index(from)][index(to)][usize::from(octet)] = becomes;
                }
            }
        }
        Self(tables)
    }

    /// Every octet is what the sent one becomes.
    fn is_right(&self, payload: &[u8], n: u32, frame: u32, stream: &Stream) -> bool {
        let table = &self.0[index(stream.sent_as)][index(stream.back_as)];
        let filler = table[usize::from(filler(n, frame))];
        let plus = table[usize::from(loud(true, stream.sent_as))];
        let minus = table[usize::from(loud(false, stream.sent_as))];
        payload[..MARKS]
            .iter()
            .all(|octet| *octet == plus || *octet == minus)
            && payload[MARKS..].iter().all(|octet| *octet == filler)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_survive_and_wrong_octets_are_seen() {
        let through = Through::new();
        let address = SocketAddrV4::new([127, 0, 0, 1].into(), 1);
        for (sent_as, back_as) in [(Law::Mu, Law::Mu), (Law::Mu, Law::A), (Law::A, Law::Mu)] {
            let stream = Stream {
                to: address,
                sent_as,
                back_from: address,
                back_as,
                carries: Carries::Marks,
            };
            let sent = payload(4_321, 77, sent_as);
            let mut back = sent;
            if sent_as != back_as {
                let mut pcm = [0; PAYLOAD];
                sent_as.decode(&sent, &mut pcm);
                back_as.encode(&pcm, &mut back);
            }
            assert_eq!(read_marks(&back), Some((4_321, 77)));
            assert!(through.is_right(&back, 4_321, 77, &stream));
            back[100] ^= 1;
            assert!(!through.is_right(&back, 4_321, 77, &stream));
        }
    }
}
