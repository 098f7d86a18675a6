//! Calls with an assistant: a leg whose audio is read frame by frame, with voice detection, and an
//! instant assistant that says back whatever it hears.
//!
//! The reading side is built as the gateway's is: one tokio task per call that waits for frames,
//! detects voice, and follows turns. It shares the tested core with the media worker and the
//! recorder. Saying everything back keeps both directions busy all the time, more than a talk does,
//! and lets the generator verify both: what it hears must be, octet by octet, what it said.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use switchhook_conversation::{EndpointEvent, Endpointing, EndpointingConfig};
use switchhook_media::{
    AudioIn, AudioOut, Codec, FRAME_SAMPLES, MediaConfig, MediaEngine, MediaLeg, RtpParams,
};
use switchhook_model::{CallId, LegId};
use tokio_util::sync::CancellationToken;

use crate::generator::{Carries, Sockets, Stream};
use crate::search::{Running, Subject, leg_keys, party_keys, v4};
use crate::{lossy, speech};

/// Name of the readers' thread, for measuring.
const THREAD: &str = "bench-readers";
/// Audio an assistant keeps ahead of playout, as a voice that is faster than its listener does.
const AHEAD: usize = 2 * FRAME_SAMPLES;

/// Calls with assistants.
#[derive(Debug, Clone)]
pub struct Assistants {
    pub codec: Codec,
    pub is_protected: bool,
    pub voice_detection: bool,
    /// Every call is recorded into this directory.
    pub record_into: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct Counts {
    frames: AtomicU64,
    voiced: AtomicU64,
    turns: AtomicU64,
}

/// One call's reading side.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What runs until it is dropped.
pub struct Calls {
    stop: CancellationToken,
    legs: Vec<MediaLeg>,
    engine: MediaEngine,
    /// Until they are started.
    tasks: Vec<Task>,
    streams: Vec<Stream>,
    readers: Option<JoinHandle<()>>,
    counts: Arc<Counts>,
    recordings: Option<tempfile::TempDir>,
}

impl Subject for Assistants {
    fn threads(&self) -> &'static [&'static str] {
        &["media-0", "media-recorder", THREAD]
    }

    fn probe_calls(&self) -> usize {
        if self.codec == Codec::Opus { 50 } else { 100 }
    }

    fn start(
        &self,
        calls: usize,
        core: usize,
        sockets: &Sockets,
    ) -> anyhow::Result<(Box<dyn Running>, Vec<Stream>)> {
        let mut calls = self.open(calls, 0, core, sockets)?;
        calls.start()?;
        let streams = calls.take_streams();
        Ok((Box::new(calls), streams))
    }
}

impl Assistants {
    /// PCMU, nothing else.
    pub const PLAIN: Self = Self {
        codec: Codec::Pcmu,
        is_protected: false,
        voice_detection: false,
        record_into: None,
    };

    /// Sets up `calls` calls; `room` more legs may be opened beside them. Their readers begin with
    /// [`Calls::start`].
    pub fn open(
        &self,
        calls: usize,
        room: usize,
        core: usize,
        sockets: &Sockets,
    ) -> anyhow::Result<Calls> {
        if self.codec == Codec::Opus {
            lossy::prepare();
        }
        let recordings = match &self.record_into {
            Some(directory) => {
                std::fs::create_dir_all(directory)
                    .with_context(|| format!("cannot create {}", directory.display()))?;
                Some(tempfile::tempdir_in(directory)?)
            }
            None => None,
        };
        let mut config = MediaConfig {
            workers: 1,
            pin_cores: Some(vec![core]),
            port_range: 10_000..=60_000,
            max_legs: calls + room,
            port_rest: Duration::ZERO,
            ..MediaConfig::default()
        };
        if let Some(directory) = &recordings {
            config.recording_dir = directory.path().to_owned();
        }
        let mut opened = Calls {
            stop: CancellationToken::new(),
            legs: Vec::with_capacity(calls),
            engine: MediaEngine::start(config)?,
            tasks: Vec::with_capacity(calls + room),
            streams: Vec::with_capacity(calls),
            readers: None,
            counts: Arc::new(Counts::default()),
            recordings,
        };
        for call in 0..calls {
            self.open_call(&mut opened, call, sockets)?;
        }
        Ok(opened)
    }

    fn open_call(&self, calls: &mut Calls, n: usize, sockets: &Sockets) -> anyhow::Result<()> {
        let id = CallId::from_unique(&format!("bench{n}"));
        let leg = calls.engine.open_leg(LegId::derive(&id, 0))?;
        let srtp = leg_keys(self.is_protected);
        leg.start(RtpParams {
            srtp,
            ..RtpParams::new(sockets.address(n)?, self.codec)
        });
        let (ear, mouth) = leg.assistant();
        let ear = if self.voice_detection {
            ear
        } else {
            ear.without_voice_detection()
        };
        if calls.recordings.is_some() {
            leg.record(format!("{n}.wav").as_ref())?;
        }
        let local = v4(leg.local_addr())?;
        calls.streams.push(Stream {
            to: local,
            back_from: local,
            carries: Carries::Speech {
                sent_as: self.codec,
                back_as: self.codec,
                offset: speech::spread(n),
            },
            keys: party_keys(srtp, srtp),
        });
        let (counts, stop) = (Arc::clone(&calls.counts), calls.stop.clone());
        calls.tasks.push(Box::pin(talk(ear, mouth, counts, stop)));
        calls.legs.push(leg);
        Ok(())
    }
}

impl Calls {
    pub fn engine(&self) -> &MediaEngine {
        &self.engine
    }

    /// Cancelled when the calls end.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Another reader beside those of the calls; before [`Self::start`].
    pub fn add_task(&mut self, task: Task) {
        self.tasks.push(task);
    }

    /// What the generator is to send.
    pub fn take_streams(&mut self) -> Vec<Stream> {
        std::mem::take(&mut self.streams)
    }

    /// Starts the readers, on the core of the calling thread.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.readers = Some(start_readers(std::mem::take(&mut self.tasks))?);
        Ok(())
    }
}

/// The thread inherits the core of the one that starts it.
fn start_readers(tasks: Vec<Task>) -> anyhow::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let thread = std::thread::Builder::new()
        .name(THREAD.to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                let mut running = tokio::task::JoinSet::new();
                for task in tasks {
                    running.spawn(task);
                }
                running.join_all().await;
            });
        })?;
    Ok(thread)
}

/// What an assistant says that does not say back: three seconds of a loud tone.
pub fn reply() -> Vec<i16> {
    (0..150 * FRAME_SAMPLES)
        .map(|n| if n / 4 % 2 == 0 { 12_000 } else { -12_000 })
        .collect()
}

/// An instant assistant that takes turns: replies when a turn has ended, falls silent when one
/// begins.
pub async fn answering(mut ear: AudioIn, mut mouth: AudioOut, stop: CancellationToken) {
    let reply = reply();
    let mut turns = Endpointing::new(EndpointingConfig::default());
    let (mut item, mut speaks) = (0, false);
    loop {
        let frame = tokio::select! {
            () = stop.cancelled() => return,
            frame = ear.recv() => frame,
        };
        let Some(frame) = frame else { return };
        match turns.frame(frame.voice, speaks) {
            Some(EndpointEvent::Started { utterance: _ }) => {
                mouth.stop();
                speaks = false;
            }
            Some(EndpointEvent::Ended { .. }) => {
                item += 1;
                speaks = true;
                // Fits into the queue; what does not is the tone's end.
                if mouth.try_write(item, &reply).is_err() {
                    return;
                }
            }
            None => {}
        }
    }
}

/// One call's assistant: hears, follows turns, says back.
async fn talk(mut ear: AudioIn, mut mouth: AudioOut, counts: Arc<Counts>, stop: CancellationToken) {
    const ITEM: u32 = 1;
    let mut turns = Endpointing::new(EndpointingConfig::default());
    let mut begun = false;
    loop {
        let frame = tokio::select! {
            () = stop.cancelled() => return,
            frame = ear.recv() => frame,
        };
        let Some(frame) = frame else { return };
        // Silence until the caller's first packet.
        if !begun && frame.samples.iter().all(|sample| *sample == 0) {
            continue;
        }
        if !begun {
            begun = true;
            if mouth.try_write(ITEM, &[0; AHEAD]).is_err() {
                return;
            }
        }
        counts.frames.fetch_add(1, Ordering::Relaxed);
        counts
            .voiced
            .fetch_add(u64::from(frame.voice), Ordering::Relaxed);
        if turns.frame(frame.voice, false).is_some() {
            counts.turns.fetch_add(1, Ordering::Relaxed);
        }
        // What does not fit is missing at the generator, which is how it is counted.
        if mouth.try_write(ITEM, &frame.samples).is_err() {
            return;
        }
    }
}

impl Running for Calls {
    fn details(&self) -> BTreeMap<&'static str, f64> {
        let frames = self.counts.frames.load(Ordering::Relaxed).max(1) as f64;
        let voiced = self.counts.voiced.load(Ordering::Relaxed) as f64;
        let sum = |read: fn(&switchhook_media::LegStats) -> u64| {
            self.legs.iter().map(|leg| read(&leg.stats())).sum::<u64>() as f64
        };
        BTreeMap::from([
            ("voiced_share", voiced / frames),
            ("turns", self.counts.turns.load(Ordering::Relaxed) as f64),
            ("skipped_ticks", self.engine.stats().skipped_ticks as f64),
            ("unread_frames", sum(|stats| stats.assistant_in_dropped)),
            ("playout_gaps", sum(|stats| stats.assistant_out_underruns)),
            (
                "recording_frames_lost",
                sum(|stats| stats.recording_dropped),
            ),
        ])
    }

    fn harmed_frames(&self) -> u64 {
        self.legs
            .iter()
            .map(|leg| leg.stats().recording_dropped)
            .sum()
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(readers) = self.readers.take() {
            // A fault of theirs has shown as missing frames.
            let _ = readers.join();
        }
        self.legs.clear();
        self.engine.shutdown();
        drop(self.recordings.take());
    }
}
