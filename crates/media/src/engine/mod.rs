//! The media engine: starts the workers, hands out legs, connects them.

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use rtrb::RingBuffer;
use switchhook_model::LegId;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::conference::{CONFERENCES_MAX, Conference, ConferenceError};
use crate::jitter::JitterMode;
use crate::leg::MediaLeg;
use crate::music::Music;
use crate::placement::{Place, Placement};
use crate::ports::{NoPort, PortPool};
use crate::reaper::{Belongings, Reaper};
use crate::recording::{RecordError, Writer, WriterHandle};
use crate::stats::EngineStats;
use crate::sys;
use crate::tone::ToneCountry;
use crate::worker::{
    Command, LINK_FRAMES, LegShared, LegState, Link, SilenceLimits, Slot, Worker, WorkerShared,
};

/// Events of one leg that may wait to be read.
const LEG_EVENTS: usize = 256;

/// How the engine is set up.
#[derive(Debug, Clone)]
pub struct MediaConfig {
    /// Media worker threads; one for each core that is to carry audio.
    pub workers: usize,
    /// Address the RTP sockets are bound to.
    pub bind_ip: IpAddr,
    /// Address announced in SDP; differs from `bind_ip` behind a NAT.
    pub advertised_ip: IpAddr,
    /// Ports for RTP: even ones carry RTP, the one above RTCP.
    pub port_range: RangeInclusive<u16>,
    /// Relative recording paths begin here.
    pub recording_dir: PathBuf,
    /// Core of each worker, in order; none pins no worker.
    pub pin_cores: Option<Vec<usize>>,
    pub scheduling: Scheduling,
    /// Legs that may be open at once; further ones are refused.
    pub max_legs: usize,
    pub jitter: JitterMode,
    /// How long a released port is left alone.
    pub port_rest: Duration,
    /// Silence after which [`crate::MediaEvent::NoRtp`] is sent, once a leg is watched.
    pub no_rtp_after: Duration,
    /// Silence after which [`crate::MediaEvent::RtpTimedOut`] is sent: the party is gone. `None`:
    /// never.
    pub rtp_timeout: Option<Duration>,
    /// Ringback as callers of this country know it.
    pub tones: ToneCountry,
    /// What a party hears while the other one holds.
    pub music: Music,
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self {
            workers: 1,
            bind_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            advertised_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port_range: 10_000..=20_000,
            recording_dir: PathBuf::from("var/recordings"),
            pin_cores: None,
            scheduling: Scheduling::RealtimeIfAllowed,
            max_legs: 2_000,
            jitter: JitterMode::default(),
            port_rest: Duration::from_secs(5),
            no_rtp_after: Duration::from_secs(3),
            rtp_timeout: Some(Duration::from_secs(60)),
            tones: ToneCountry::De,
            music: Music::chime(),
        }
    }
}

/// Where a leg's socket is bound and what its SDP says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegAddress {
    pub bind_ip: IpAddr,
    pub advertised_ip: IpAddr,
}

/// How the workers compete with other threads for the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheduling {
    /// Before all ordinary threads where the system permits it, else as `Normal`.
    #[default]
    RealtimeIfAllowed,
    Normal,
}

/// Why the engine did not start.
#[derive(Debug, Error)]
pub enum MediaStartError {
    #[error("media.workers is 0; at least one worker is needed")]
    NoWorkers,
    #[error("media.port_range {0:?} has no even port with its odd neighbour; widen it")]
    EmptyPortRange(RangeInclusive<u16>),
    #[error(
        "cannot bind RTP sockets to {ip}: {source}; set the bind address to one of this host's"
    )]
    Bind { ip: IpAddr, source: io::Error },
    #[error("cannot start a media thread: {0}")]
    Thread(io::Error),
}

/// Why a leg was not opened. All mean: refuse this call, the others go on.
#[derive(Debug, Error)]
pub enum OpenLegError {
    #[error("all {0} media legs are in use; raise media.max_legs or add a node")]
    Full(usize),
    #[error("the media workers are overloaded; the call is refused to protect the running ones")]
    Overloaded,
    #[error("all RTP ports of {range:?} are in use or resting; widen media.port_range")]
    NoPort { range: RangeInclusive<u16> },
    #[error("no RTP port of {range:?} can be bound on {ip}: {source}")]
    Bind {
        range: RangeInclusive<u16>,
        ip: IpAddr,
        source: io::Error,
    },
    #[error("the media engine has been shut down")]
    ShutDown,
}

/// Starts and owns the media plane. Cheap to clone; the threads end with the last clone and leg.
#[derive(Debug, Clone)]
pub struct MediaEngine {
    inner: Arc<EngineInner>,
}

pub(crate) struct EngineInner {
    pub config: MediaConfig,
    workers: Vec<WorkerHandle>,
    pub state: Arc<EngineState>,
    writer: Mutex<Writer>,
    writer_handle: WriterHandle,
    reaper: Mutex<Reaper>,
    random: RandomState,
    random_counter: AtomicU64,
}

impl std::fmt::Debug for EngineInner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaEngine")
            .field("workers", &self.workers.len())
            .finish_non_exhaustive()
    }
}

/// What signalling and reaper share; the workers never touch it.
pub(crate) struct EngineState {
    pub ports: Mutex<PortPool>,
    placement: Mutex<Placement>,
}

struct WorkerHandle {
    shared: Arc<WorkerShared>,
    thread: Thread,
    join: Mutex<Option<JoinHandle<()>>>,
    conferences: AtomicUsize,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing between lock and unlock can leave the value half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MediaEngine {
    /// Starts workers, recording writer and reaper.
    pub fn start(config: MediaConfig) -> Result<Self, MediaStartError> {
        if config.workers == 0 {
            return Err(MediaStartError::NoWorkers);
        }
        let ports = PortPool::new(&config.port_range, config.port_rest);
        if ports.is_empty() {
            return Err(MediaStartError::EmptyPortRange(config.port_range));
        }
        // A wrong address is told now, not by the first call.
        std::net::UdpSocket::bind((config.bind_ip, 0)).map_err(|source| MediaStartError::Bind {
            ip: config.bind_ip,
            source,
        })?;
        // A leg needs two file descriptors; what is left must do for files and other sockets.
        match sys::raise_file_limit() {
            Ok(limit) if limit < 2 * config.max_legs as u64 + 256 => tracing::warn!(
                limit,
                max_legs = config.max_legs,
                "media.file_limit: too few open files for media.max_legs; raise LimitNOFILE"
            ),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "media.file_limit_unknown"),
        }
        let state = Arc::new(EngineState {
            ports: Mutex::new(ports),
            placement: Mutex::new(Placement::new(config.workers, config.max_legs)),
        });
        let writer = Writer::start().map_err(MediaStartError::Thread)?;
        let (mut graves, mut buried) = (Vec::new(), Vec::new());
        for _ in 0..config.workers {
            let (put, take) = RingBuffer::new(4 * config.max_legs + 64);
            graves.push(put);
            buried.push(take);
        }
        let reaper = Reaper::start(buried, Arc::clone(&state)).map_err(MediaStartError::Thread)?;
        let mut workers = Vec::new();
        for (index, graves) in graves.into_iter().enumerate() {
            let shared = Arc::new(WorkerShared::new());
            let worker = Worker::new(
                Arc::clone(&shared),
                config.max_legs,
                graves,
                reaper.thread().clone(),
            );
            let core = config
                .pin_cores
                .as_ref()
                .and_then(|cores| cores.get(index).copied());
            let scheduling = config.scheduling;
            let join = std::thread::Builder::new()
                .name(format!("media-{index}"))
                .spawn(move || {
                    prepare_thread(core, scheduling);
                    worker.run();
                })
                .map_err(MediaStartError::Thread)?;
            workers.push(WorkerHandle {
                shared,
                thread: join.thread().clone(),
                join: Mutex::new(Some(join)),
                conferences: AtomicUsize::new(0),
            });
        }
        let writer_handle = writer.handle.clone();
        Ok(Self {
            inner: Arc::new(EngineInner {
                config,
                workers,
                state,
                writer: Mutex::new(writer),
                writer_handle,
                reaper: Mutex::new(reaper),
                random: RandomState::new(),
                random_counter: AtomicU64::new(0),
            }),
        })
    }

    /// Opens a leg: a place on a worker and a bound RTP port. No audio flows before
    /// [`MediaLeg::start`].
    pub fn open_leg(&self, id: LegId) -> Result<MediaLeg, OpenLegError> {
        let config = &self.inner.config;
        let address = LegAddress {
            bind_ip: config.bind_ip,
            advertised_ip: config.advertised_ip,
        };
        self.open_leg_at(id, address)
    }

    /// The same with addresses of its own: another address family, another network.
    pub fn open_leg_at(&self, id: LegId, address: LegAddress) -> Result<MediaLeg, OpenLegError> {
        let inner = &self.inner;
        let overloaded = |w: &WorkerHandle| w.shared.overloaded.load(Ordering::Relaxed);
        if inner.workers.iter().all(overloaded) {
            return Err(OpenLegError::Overloaded);
        }
        if inner
            .workers
            .iter()
            .any(|w| w.shared.stop.load(Ordering::Relaxed))
        {
            return Err(OpenLegError::ShutDown);
        }
        let call = call_part(&id).to_owned();
        let place = lock(&inner.state.placement)
            .take(&call)
            .ok_or(OpenLegError::Full(inner.config.max_legs))?;
        let bind_ip = address.bind_ip;
        let bound = lock(&inner.state.ports).take(bind_ip, Instant::now());
        let (port, socket, rtcp_socket) = match bound {
            Ok(bound) => bound,
            Err(no_port) => {
                lock(&inner.state.placement).give_back(place, &call);
                let range = inner.config.port_range.clone();
                return Err(match no_port {
                    NoPort::Exhausted => OpenLegError::NoPort { range },
                    NoPort::Bind(source) => OpenLegError::Bind {
                        range,
                        ip: bind_ip,
                        source,
                    },
                });
            }
        };
        // Without kernel times jitter is not measured, everything else works.
        let _ = sys::enable_arrival_times(&socket);
        let _ = sys::enable_arrival_times(&rtcp_socket);
        let shared = Arc::new(LegShared::default());
        let (events, receiver) = mpsc::channel(LEG_EVENTS);
        let silence = SilenceLimits::new(inner.config.no_rtp_after, inner.config.rtp_timeout);
        let leg = Box::new(LegState::new(
            [socket, rtcp_socket],
            Arc::clone(&shared),
            events.clone(),
            inner.config.jitter,
            silence,
            std::array::from_fn(|_| inner.random_number()),
            Belongings {
                port,
                call,
                phase: place.phase,
            },
        ));
        inner.send(
            place.worker,
            Command::Open {
                slot: place.slot,
                phase: place.phase,
                leg,
            },
        );
        let advertised = SocketAddr::new(address.advertised_ip, port);
        Ok(MediaLeg::new(
            id,
            Arc::clone(inner),
            place,
            advertised,
            shared,
            events,
            receiver,
        ))
    }

    /// Lets both parties hear each other from the next tick on. Former bridges of both end.
    pub fn bridge(&self, a: &MediaLeg, b: &MediaLeg) {
        let (place_a, place_b) = (a.place(), b.place());
        if place_a.worker == place_b.worker {
            self.inner.send(
                place_a.worker,
                Command::Bridge {
                    a: place_a.slot,
                    b: place_b.slot,
                },
            );
            return;
        }
        let (to_b, from_a) = RingBuffer::new(LINK_FRAMES);
        let (to_a, from_b) = RingBuffer::new(LINK_FRAMES);
        let links = [
            (
                place_a,
                Link {
                    to_peer: to_b,
                    from_peer: from_b,
                },
            ),
            (
                place_b,
                Link {
                    to_peer: to_a,
                    from_peer: from_a,
                },
            ),
        ];
        for (place, link) in links {
            self.inner.send(
                place.worker,
                Command::Link {
                    slot: place.slot,
                    link: Box::new(link),
                },
            );
        }
    }

    /// Ends the bridge of two legs; each hears its assistant or silence again.
    pub fn unbridge(&self, a: &MediaLeg, b: &MediaLeg) {
        for place in [a.place(), b.place()] {
            self.inner
                .send(place.worker, Command::Unbridge { slot: place.slot });
        }
    }

    /// Opens a conference on the worker of `leg`, which joins like any other.
    pub fn conference(&self, leg: &MediaLeg) -> Result<Conference, ConferenceError> {
        Conference::open(leg, &self.inner)
    }

    pub fn stats(&self) -> EngineStats {
        let inner = &self.inner;
        let sum =
            |read: fn(&WorkerShared) -> u64| inner.workers.iter().map(|w| read(&w.shared)).sum();
        EngineStats {
            legs: lock(&inner.state.placement).open() as u64,
            legs_max: inner.config.max_legs as u64,
            ports_in_use: lock(&inner.state.ports).in_use() as u64,
            skipped_ticks: sum(|w| w.skipped_ticks.load(Ordering::Relaxed)),
            worst_lateness_us: inner
                .workers
                .iter()
                .map(|w| w.shared.worst_lateness_us.swap(0, Ordering::Relaxed))
                .max()
                .unwrap_or(0),
            faults: sum(|w| w.faults.load(Ordering::Relaxed)),
        }
    }

    /// Ends the threads at once; open legs fall silent, recordings are completed. Blocks for some
    /// milliseconds.
    pub fn shutdown(&self) {
        self.inner.shutdown();
    }
}

/// Affinity and scheduling of a worker. Both are wishes: audio works without.
fn prepare_thread(core: Option<usize>, scheduling: Scheduling) {
    if let Some(core) = core
        && let Err(error) = sys::pin_to_core(core)
    {
        let thread = std::thread::current();
        tracing::warn!(thread = thread.name(), core, %error, "media.pin_failed");
    }
    schedule_thread(scheduling);
}

/// Puts the calling thread where `scheduling` wants it. The workers do; it is for other threads that
/// carry audio as well.
pub fn schedule_thread(scheduling: Scheduling) {
    let thread = std::thread::current();
    let thread = thread.name();
    match scheduling {
        Scheduling::RealtimeIfAllowed => match sys::schedule_realtime() {
            Ok(()) => tracing::debug!(thread, "media.realtime"),
            Err(error) => tracing::info!(
                thread,
                %error,
                "media.realtime_denied: audio may stutter under load; grant CAP_SYS_NICE or rtprio 1"
            ),
        },
        Scheduling::Normal => {}
    }
}

/// Ids of a call's legs are the call's unique part, a dash and a number.
fn call_part(id: &LegId) -> &str {
    id.unique()
        .rsplit_once('-')
        .map_or(id.unique(), |(call, _)| call)
}

impl EngineInner {
    pub fn writer(&self) -> &WriterHandle {
        &self.writer_handle
    }

    /// Never drops a command: waits while the worker is behind, which is a tick at most.
    pub fn send(&self, worker: usize, mut command: Command) {
        let worker = &self.workers[worker];
        while let Err(full) = worker.shared.commands.push(command) {
            if worker.shared.stop.load(Ordering::Relaxed) {
                return;
            }
            command = full;
            worker.thread.unpark();
            std::thread::yield_now();
        }
        worker.thread.unpark();
    }

    /// The id of a new conference; nothing when the worker has no place for one.
    pub fn open_conference(&self, worker: usize) -> Option<u64> {
        let open = &self.workers[worker].conferences;
        open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
            (open < CONFERENCES_MAX).then_some(open + 1)
        })
        .ok()?;
        Some(self.random_counter.fetch_add(1, Ordering::Relaxed))
    }

    /// After its command was sent: the worker obeys in order, so the place is free for the next.
    pub fn close_conference(&self, worker: usize) {
        self.workers[worker]
            .conferences
            .fetch_sub(1, Ordering::Relaxed);
    }

    /// Relative paths lie in the recording directory; absolute ones are taken as they are.
    pub fn recording_path(&self, path: &Path) -> Result<PathBuf, RecordError> {
        if path.is_absolute() {
            return Ok(path.to_owned());
        }
        if path
            .components()
            .any(|part| !matches!(part, Component::Normal(_)))
        {
            return Err(RecordError::OutsideDirectory(path.to_owned()));
        }
        Ok(self.config.recording_dir.join(path))
    }

    /// SSRCs and first sequence numbers need to be unpredictable, not secret (RFC 3550 §9.1); the
    /// standard hasher is keyed from the system's random source.
    fn random_number(&self) -> u64 {
        let mut hasher = self.random.build_hasher();
        hasher.write_u64(self.random_counter.fetch_add(1, Ordering::Relaxed));
        hasher.finish()
    }

    fn shutdown(&self) {
        for worker in &self.workers {
            worker.shared.stop.store(true, Ordering::Release);
            worker.thread.unpark();
        }
        for worker in &self.workers {
            if let Some(join) = lock(&worker.join).take()
                && join.join().is_err()
            {
                tracing::error!("a media worker had a fault");
            }
        }
        lock(&self.reaper).stop();
        lock(&self.writer).stop();
    }
}

impl Drop for EngineInner {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl EngineState {
    /// Called by the reaper when a leg's socket is closed.
    pub fn release(&self, worker: usize, slot: Slot, phase: usize, port: u16, call: &str) {
        lock(&self.ports).release(port, Instant::now());
        lock(&self.placement).give_back(
            Place {
                worker,
                slot,
                phase,
            },
            call,
        );
    }
}
