//! Delays a caller notices, beside loaded neighbours: from the end of speech to the first packet of
//! the reply, from the beginning of speech to silence, and how evenly packets come.
//!
//! The assistant behind the measured calls is instant: at the end of a turn it says three seconds of
//! a tone, at the beginning of one it falls silent. What turns ask for by configuration (silence
//! before an end, voice before an interruption) is taken off and stated.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use switchhook_conversation::EndpointingConfig;
use switchhook_media::bench_io::{RecvBatch, enable_arrival_times, pin_to_core, schedule_realtime};
use switchhook_media::rtp::RtpPacket;
use switchhook_media::vad::VoiceDetector;
use switchhook_media::{Codec, FRAME_SAMPLES, Law, MediaLeg, RtpParams};
use switchhook_model::{CallId, LegId};

use super::Setting;
use crate::assistants::{Assistants, answering, reply};
use crate::generator::{self, Sockets};
use crate::machine::thread_time;
use crate::report::{Line, Report, Target};
use crate::search::{Subject, v4};
use crate::speech::{self, Payload};

/// Calls that are looked at.
const CALLERS: usize = 20;
const FRAME: Duration = Duration::from_millis(20);
/// Frames of the pause after a phrase: the end of the turn (700 ms), the reply's way, and some of
/// the reply before it is interrupted by the next phrase.
const PAUSE_FRAMES: usize = 70;
/// A reply is looked for this long after the end of a turn should have been noticed.
const LOST_AFTER_MS: f64 = 600.0;

pub(super) fn run(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let neighbours = report
        .ours("assistant_calls_vad_per_core")
        .map_or(100, |found| (found * 0.7) as usize);
    let cycles = if setting.quick { 4 } else { 12 };
    let script = Script::new(cycles);
    let assistants = Assistants {
        voice_detection: true,
        ..Assistants::PLAIN
    };
    let sockets = Sockets::bind()?;
    pin_to_core(setting.cores.tested)?;
    let mut calls = assistants.open(neighbours, CALLERS, setting.cores.tested, &sockets)?;
    let mut callers = Vec::new();
    for n in 0..CALLERS {
        let id = CallId::from_unique(&format!("probe{n}"));
        let leg = calls.engine().open_leg(LegId::derive(&id, 0))?;
        let caller = Caller::new(leg, n)?;
        let (ear, mouth) = caller.leg.assistant();
        let stop = calls.stop_token();
        calls.add_task(Box::pin(answering(ear, mouth, stop)));
        callers.push(caller);
    }
    let streams = calls.take_streams();
    calls.start()?;
    let threads = assistants.threads();
    let core = setting.cores.generator;
    let span = FRAME * script.frames.len() as u32;
    let load = std::thread::spawn(move || {
        let clock = Box::new(move || thread_time(threads));
        generator::run(sockets, streams, core, clock, Duration::from_secs(2), span)
    });
    let script = Arc::new(script);
    let probing = Arc::clone(&script);
    let callers = std::thread::spawn(move || {
        let _ = pin_to_core(core);
        let _ = schedule_realtime();
        probe(callers, &probing)
    })
    .join();
    let background = load.join();
    drop(calls);
    let (Ok(callers), Ok(background)) = (callers, background) else {
        anyhow::bail!("the load generator had a fault");
    };
    let background = background?;
    let figures = Figures::of(&callers, &script);
    ensure!(
        !figures.reply_ms.is_empty() && !figures.cut_ms.is_empty(),
        "no reply came within {LOST_AFTER_MS} ms"
    );
    add(report, &figures, &background, neighbours, &script);
    Ok(())
}

fn add(
    report: &mut Report,
    figures: &Figures,
    background: &generator::Outcome,
    neighbours: usize,
    script: &Script,
) {
    let config = EndpointingConfig::default();
    let with = |line: Line| {
        line.less_is_better()
            .detail("neighbours", neighbours as f64)
            .detail("load", background.load)
            .detail("generator_load", background.generator_load)
    };
    let about = format!(
        "{neighbours} neighbours, core {:.0} %",
        background.load * 100.0
    );
    let beyond = format!("beyond {} ms of silence, {about}", config.end_silence_ms);
    let expected = (CALLERS * script.cycles) as f64;
    for (name, share, bound) in [("reply_p50_ms", 0.5, 10.0), ("reply_p95_ms", 0.95, 30.0)] {
        let line = Line::new(
            percentile(&figures.reply_ms, share),
            "ms from end of speech to first reply packet",
        )
        .detail("end_silence_ms", config.end_silence_ms as f64)
        .detail(
            "jitter_buffer_p50_ms",
            percentile(&figures.buffered_ms, 0.5),
        )
        .detail("replies", figures.reply_ms.len() as f64)
        .detail("replies_expected", expected)
        .target(Target::AtMost(bound))
        .note(beyond.clone());
        report.add(name, with(line));
    }
    let line = Line::new(
        percentile(&figures.cut_ms, 0.95),
        "ms from speech over the assistant to silence",
    )
    .detail("barge_in_ms", config.barge_in_ms as f64)
    .detail("p50", percentile(&figures.cut_ms, 0.5))
    .detail("cuts", figures.cut_ms.len() as f64)
    .target(Target::AtMost(100.0))
    .note(format!(
        "beyond {} ms of voice, {about}",
        config.barge_in_ms
    ));
    report.add("barge_in_cut_p95_ms", with(line));
    for (name, share) in [("pacing_p50_ms", 0.5), ("pacing_p99_ms", 0.99)] {
        let mut line = Line::new(
            percentile(&figures.pacing_ms, share),
            "ms a packet leaves the even rhythm",
        )
        .note(about.clone());
        if share > 0.9 {
            line = line.target(Target::AtMost(5.0));
        }
        report.add(name, with(line));
    }
}

/// What every caller says, frame by frame, and where turns begin and end in it.
struct Script {
    frames: Vec<Payload>,
    cycles: usize,
    /// First and last frame of each phrase that the detector itself calls voice: what it makes of
    /// the phrases is not measured here.
    phrases: Vec<(usize, usize)>,
}

impl Script {
    fn new(cycles: usize) -> Self {
        let caller = speech::caller();
        let (phrase, pause) = caller.phrase_and_pause();
        let mut frames: Vec<Payload> = pause.iter().cycle().take(100).copied().collect();
        let mut bounds = Vec::new();
        for cycle in 0..cycles {
            let first = frames.len();
            frames.extend(&phrase);
            bounds.push((first, frames.len()));
            let from = cycle * 7;
            frames.extend(pause.iter().cycle().skip(from).take(PAUSE_FRAMES));
        }
        let mut detector = VoiceDetector::new();
        let voiced: Vec<bool> = frames
            .iter()
            .map(|octets| {
                let mut samples = [0; FRAME_SAMPLES];
                Law::Mu.decode(octets, &mut samples);
                detector.is_voice(&samples)
            })
            .collect();
        let phrases = bounds
            .into_iter()
            .map(|(first, end)| {
                // The detector may call a frame or two after the phrase voice.
                let range = first..(end + PAUSE_FRAMES / 2).min(voiced.len());
                let begin = range.clone().find(|at| voiced[*at]).unwrap_or(first);
                let last = range.rev().find(|at| voiced[*at]).unwrap_or(end);
                (begin, last)
            })
            .collect();
        Self {
            frames,
            cycles,
            phrases,
        }
    }
}

/// A packet that came back.
#[derive(Debug, Clone, Copy)]
struct Came {
    /// By the kernel's clock, in nanoseconds since 1970.
    at_ns: u64,
    sequence: u16,
    /// The assistant speaks in its last octets.
    speaks: bool,
}

struct Caller {
    leg: MediaLeg,
    socket: UdpSocket,
    to: SocketAddr,
    ssrc: u32,
    /// When each frame was sent, by the same clock.
    sent_ns: Vec<u64>,
    came: Vec<Came>,
}

impl Caller {
    fn new(leg: MediaLeg, n: usize) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_nonblocking(true)?;
        enable_arrival_times(&socket).context("the kernel gives no arrival times")?;
        leg.start(RtpParams::new(socket.local_addr()?, Codec::Pcmu));
        let to = SocketAddr::V4(v4(leg.local_addr())?);
        Ok(Self {
            leg,
            socket,
            to,
            ssrc: n as u32,
            sent_ns: Vec::new(),
            came: Vec::new(),
        })
    }

    fn send(&mut self, frame: usize, payload: &Payload) {
        let mut packet = [0; 12 + FRAME_SAMPLES];
        RtpPacket {
            marker: frame == 0,
            payload_type: Codec::Pcmu.payload_type(),
            sequence: frame as u16,
            timestamp: frame as u32 * FRAME_SAMPLES as u32,
            ssrc: self.ssrc,
            payload,
        }
        .write(&mut packet);
        self.sent_ns.push(now_ns());
        // A lost packet shows as what it is, a gap.
        let _ = self.socket.send_to(&packet, self.to);
    }

    fn receive(&mut self, batch: &mut RecvBatch<8>, tone: u8) {
        loop {
            let received = batch.receive(&self.socket);
            for i in 0..received {
                let Some(datagram) = batch.get(i) else {
                    continue;
                };
                if let Ok(packet) = RtpPacket::parse(datagram.data) {
                    let loudest = packet.payload.last().copied();
                    self.came.push(Came {
                        at_ns: datagram.arrival_ns,
                        sequence: packet.sequence,
                        speaks: loudest.is_some_and(|octet| octet & 0x7F == tone & 0x7F),
                    });
                }
            }
            if received < 8 {
                break;
            }
        }
    }
}

fn now_ns() -> u64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

/// All callers say the script, a millisecond apart.
fn probe(mut callers: Vec<Caller>, script: &Script) -> Vec<Caller> {
    let mut tone = [0; 1];
    Law::Mu.encode(&reply()[..1], &mut tone);
    let mut batch = RecvBatch::<8>::new();
    let began = Instant::now();
    let drain = 50;
    for frame in 0..script.frames.len() + drain {
        for (n, caller) in callers.iter_mut().enumerate() {
            let due = FRAME * frame as u32 + FRAME * n as u32 / CALLERS as u32;
            while let Some(wait) = due.checked_sub(began.elapsed()) {
                std::thread::park_timeout(wait);
            }
            if let Some(payload) = script.frames.get(frame) {
                caller.send(frame, payload);
            }
            caller.receive(&mut batch, tone[0]);
        }
    }
    callers
}

#[derive(Debug, Default)]
struct Figures {
    reply_ms: Vec<f64>,
    cut_ms: Vec<f64>,
    pacing_ms: Vec<f64>,
    /// Audio that waited in the jitter buffers at the end: the largest part of a reply's way.
    buffered_ms: Vec<f64>,
}

impl Figures {
    fn of(callers: &[Caller], script: &Script) -> Self {
        let config = EndpointingConfig::default();
        let mut figures = Self::default();
        for caller in callers {
            for (n, (begin, last)) in script.phrases.iter().enumerate() {
                let began = caller.sent_ns[*begin];
                let ended = caller.sent_ns[*last] + config.end_silence_ms * 1_000_000;
                let reply = first(&caller.came, ended.saturating_sub(100_000_000), true);
                let ms = reply.map(|at| (at as f64 - ended as f64) / 1e6);
                figures.reply_ms.extend(ms.filter(|ms| *ms < LOST_AFTER_MS));
                // Nobody is interrupted by the first phrase.
                let spoke = caller.came.iter().rev().find(|came| came.at_ns <= began);
                if n > 0 && spoke.is_some_and(|came| came.speaks) {
                    let asked = began + config.barge_in_ms * 1_000_000;
                    let cut = first(&caller.came, began, false);
                    let ms = cut.map(|at| (at as f64 - asked as f64) / 1e6);
                    figures.cut_ms.extend(ms);
                }
            }
            figures.pacing_ms.extend(pacing(&caller.came));
            let buffered = caller.leg.stats().buffered_ms;
            figures.buffered_ms.push(buffered as f64);
        }
        figures
    }
}

fn first(came: &[Came], from_ns: u64, speaks: bool) -> Option<u64> {
    let found = came
        .iter()
        .find(|came| came.at_ns >= from_ns && came.speaks == speaks);
    found.map(|came| came.at_ns)
}

/// How far each packet is from where an even rhythm has it, in milliseconds.
fn pacing(came: &[Came]) -> Vec<f64> {
    let Some(start) = came.first() else {
        return Vec::new();
    };
    let mut sequence = 0i64;
    let mut last = start.sequence;
    let mut offsets: Vec<f64> = came
        .iter()
        .map(|came| {
            sequence += i64::from(came.sequence.wrapping_sub(last) as i16);
            last = came.sequence;
            (came.at_ns as f64 - start.at_ns as f64) / 1e6 - sequence as f64 * 20.0
        })
        .collect();
    let middle = percentile(&offsets, 0.5);
    for offset in &mut offsets {
        *offset = (*offset - middle).abs();
    }
    offsets
}

fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(at.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pacing_is_measured_against_the_rhythm_over_lost_packets() {
        let came: Vec<Came> = [(0, 65_534u16), (20, 65_535), (63, 1), (80, 2), (100, 3)]
            .into_iter()
            .map(|(ms, sequence)| Came {
                at_ns: ms * 1_000_000,
                sequence,
                speaks: false,
            })
            .collect();
        assert_eq!(pacing(&came), [0.0, 0.0, 3.0, 0.0, 0.0]);
    }

    #[test]
    fn the_script_has_its_turns_where_it_says() {
        let script = Script::new(2);
        assert_eq!(script.phrases.len(), 2);
        for (begin, last) in &script.phrases {
            assert!(begin + 50 < *last, "{begin} {last}");
        }
    }
}
