//! Plays the parties of many calls: sends a marked packet per stream every 20 ms and checks each
//! one that comes back: whose it is, through which port it came, every octet, and when.

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use socket2::{Domain, Protocol, Socket, Type};
use switchhook_media::bench_io::{RecvBatch, SendBatch, pin_to_core, schedule_realtime};
use switchhook_media::rtp::RtpPacket;
use switchhook_media::srtp::SrtpParams;
use switchhook_media::{Codec, Law};

use crate::ears::Ears;
use crate::machine::thread_time;
use crate::process::Clock;
use crate::{lossy, marks, speech};

/// Name of its thread, for measuring.
pub const THREAD: &str = "bench-load";

/// Sockets of the generator. Few, so that sending and receiving in batches keeps it cheaper than
/// what it measures; the parties are told apart by what they carry.
pub const SOCKETS: usize = 8;
/// Datagrams per system call.
const BATCH: usize = 64;
const TICK: Duration = Duration::from_millis(20);
const FRAMES_PER_SECOND: u32 = 50;
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

/// The tick in which the generator is.
pub fn tick_of(now_us: u32) -> u32 {
    now_us / TICK.as_micros() as u32
}

/// One direction of audio.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    /// Where it is sent.
    pub to: SocketAddrV4,
    /// From where its audio must come back.
    pub back_from: SocketAddrV4,
    pub carries: Carries,
    /// If protected: the key of what is sent (`local`) and of what comes back.
    pub keys: Option<SrtpParams>,
}

/// What a stream's packets hold, as what it is sent, and as what it must come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// Stream and frame number.
    Marks { sent_as: Law, back_as: Law },
    /// A caller's speech from this place of the loop on.
    Speech {
        sent_as: Codec,
        back_as: Codec,
        offset: u32,
    },
}

impl Carries {
    /// PCMU both ways.
    pub const MARKS: Self = Self::Marks {
        sent_as: Law::Mu,
        back_as: Law::Mu,
    };

    pub fn sent_as(self) -> Codec {
        match self {
            Self::Marks { sent_as, .. } => codec(sent_as),
            Self::Speech { sent_as, .. } => sent_as,
        }
    }

    pub fn back_as(self) -> Codec {
        match self {
            Self::Marks { back_as, .. } => codec(back_as),
            Self::Speech { back_as, .. } => back_as,
        }
    }
}

/// Writes a frame of stream `n`, unprotected; returns its length.
pub fn packet(stream: &Stream, n: u32, frame: u32, out: &mut [u8]) -> usize {
    let marked;
    let codec = stream.carries.sent_as();
    RtpPacket {
        marker: frame == 0,
        payload_type: codec.payload_type(),
        sequence: frame as u16,
        timestamp: frame * (codec.clock_hz() / FRAMES_PER_SECOND),
        ssrc: n,
        payload: match stream.carries {
            Carries::Marks { sent_as, .. } => {
                marked = marks::payload(n, frame, sent_as);
                &marked
            }
            Carries::Speech {
                sent_as: Codec::Opus,
                offset,
                ..
            } => lossy::caller().packet(offset + frame),
            Carries::Speech { offset, .. } => speech::caller().frame(offset + frame),
        },
    }
    .write(out)
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
    let ears = Ears::new(&streams)?;
    let thread = std::thread::Builder::new()
        .name(THREAD.to_owned())
        .spawn(move || {
            let _ = pin_to_core(core);
            let _ = schedule_realtime();
            let mut load = Load::new(sockets, streams, ears, warm_up, measure);
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
    ears: Ears,
    recv: RecvBatch<BATCH>,
    send: SendBatch<BATCH>,
}

impl Load {
    fn new(
        sockets: Sockets,
        streams: Vec<Stream>,
        ears: Ears,
        warm_up: Duration,
        measure: Duration,
    ) -> Self {
        let ticks = |time: Duration| (time.as_millis() / TICK.as_millis()) as u32;
        Self {
            sockets,
            first_measured: ticks(warm_up),
            frames: ticks(warm_up) + ticks(measure),
            epoch: Instant::now(),
            sent_us: vec![[0; 32]; streams.len()],
            transit: vec![[0; BUCKETS]; streams.len()],
            newest: vec![None; streams.len()],
            ears,
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
                let ears = &mut self.ears;
                self.send.push(stream.to, |out| {
                    let len = packet(&stream, n as u32, frame, out);
                    ears.protect(n, out, len)
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
        let found = self.ears.identify(datagram.from, datagram.data, now_us);
        if let Some((n, frame)) = found {
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
