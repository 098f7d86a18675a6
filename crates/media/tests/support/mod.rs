//! A telephone made of a UDP socket and a thread: sends a tone or given packets every 20 ms,
//! keeps what it hears.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::f32::consts::TAU;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rtc_srtp::context::Context;
use switchhook_media::resample::FrameResampler;
use switchhook_media::rtp::RtpPacket;
use switchhook_media::srtp::{MasterKey, SrtpParams, Suite};
use switchhook_media::{
    Codec, Encoder, Law, MediaConfig, MediaEngine, MediaEvent, MediaLeg, OpusParams, PAYLOAD_MAX,
    RtpParams,
};
use switchhook_model::{CallId, LegId};
use tokio::sync::mpsc::Receiver;

/// How long a test waits for anything.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// An engine on loopback with ports of its own.
pub fn engine(workers: usize) -> (MediaEngine, tempfile::TempDir) {
    engine_with(workers, |_| {})
}

pub fn engine_with(
    workers: usize,
    change: impl FnOnce(&mut MediaConfig),
) -> (MediaEngine, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut config = MediaConfig {
        workers,
        port_range: free_range(),
        recording_dir: directory.path().to_owned(),
        max_legs: 64,
        ..MediaConfig::default()
    };
    change(&mut config);
    (MediaEngine::start(config).unwrap(), directory)
}

/// Tests run in parallel, in processes too: a random place in the range, 400 ports wide.
fn free_range() -> std::ops::RangeInclusive<u16> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let start = socket.local_addr().unwrap().port().clamp(20_000, 64_000) & !1;
    start..=start + 400
}

pub fn leg_id(call: &str, n: u32) -> LegId {
    LegId::derive(&CallId::from_unique(call), n)
}

/// Waits for an event that `pick` accepts; others are passed over.
pub async fn event<T>(
    events: &mut Receiver<MediaEvent>,
    mut pick: impl FnMut(&MediaEvent) -> Option<T>,
) -> T {
    let search = async {
        loop {
            let event = events.recv().await.expect("the leg is open");
            if let Some(found) = pick(&event) {
                return found;
            }
        }
    };
    tokio::time::timeout(DEADLINE, search)
        .await
        .expect("the event came in time")
}

/// Waits until a condition holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub struct Phone {
    pub addr: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    tone_hz: Arc<Mutex<f32>>,
    /// Peak of the tone.
    volume: Arc<Mutex<f32>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    socket: UdpSocket,
    secure: Option<Arc<Mutex<Secure>>>,
}

/// SRTP by somebody else's hand: both directions as the phone sees them.
pub struct Secure {
    protect: Context,
    open: Context,
    /// Packets that could not be opened.
    pub refused: usize,
    /// The last packet as it was on the wire.
    pub last_sent: Vec<u8>,
}

/// A key made of one repeated octet.
pub fn srtp_key(suite: Suite, octet: u8) -> MasterKey {
    MasterKey::new(suite, &vec![octet; suite.inline_len()]).unwrap()
}

/// What the leg is told: it sends with `local` and hears `remote`, see [`srtp_key`].
pub fn srtp_params(suite: Suite, local: u8, remote: u8) -> SrtpParams {
    SrtpParams {
        local: srtp_key(suite, local),
        remote: srtp_key(suite, remote),
    }
}

impl Secure {
    /// `sends` and `hears` are the octets of the phone's keys, see [`srtp_key`].
    pub fn new(suite: Suite, sends: u8, hears: u8) -> Self {
        use rtc_srtp::protection_profile::ProtectionProfile as Profile;
        let profile = match suite {
            Suite::AesCm128HmacSha1Tag80 => Profile::Aes128CmHmacSha1_80,
            Suite::AesCm128HmacSha1Tag32 => Profile::Aes128CmHmacSha1_32,
            Suite::Aes256CmHmacSha1Tag80 => Profile::Aes256CmHmacSha1_80,
            Suite::Aes256CmHmacSha1Tag32 => Profile::Aes256CmHmacSha1_32,
        };
        let provider = rtc_srtp::crypto::default_provider().unwrap();
        let context = |octet: u8| {
            let key = vec![octet; profile.key_len()];
            let salt = vec![octet; profile.salt_len()];
            Context::new(&key, &salt, profile, None, None, provider.crypto()).unwrap()
        };
        Self {
            protect: context(sends),
            open: context(hears),
            refused: 0,
            last_sent: Vec::new(),
        }
    }

    fn open(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        match self.open.decrypt_rtp(packet) {
            Ok(plain) => Some(plain.to_vec()),
            Err(_) => {
                self.refused += 1;
                None
            }
        }
    }

    fn protect(&mut self, packet: &[u8]) -> Vec<u8> {
        self.last_sent = self.protect.encrypt_rtp(packet).unwrap().to_vec();
        self.last_sent.clone()
    }
}

/// A packet the phone got.
#[derive(Clone)]
pub struct Heard {
    pub from: SocketAddr,
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload: Vec<u8>,
}

impl Phone {
    /// Sends a tone to `target` every 20 ms.
    pub fn with_tone(target: SocketAddr, codec: Codec, tone_hz: f32) -> Self {
        let phone = Self::listening(codec);
        phone.set_tone(tone_hz);
        phone.start_sending(target, codec)
    }

    /// The same over SRTP.
    pub fn secure(target: SocketAddr, codec: Codec, tone_hz: f32, secure: Secure) -> Self {
        let mut phone = Self::listening(codec);
        phone.secure = Some(Arc::new(Mutex::new(secure)));
        phone.set_tone(tone_hz);
        phone.start_sending(target, codec)
    }

    /// Packets that could not be opened.
    pub fn refused(&self) -> usize {
        self.secure.as_ref().unwrap().lock().unwrap().refused
    }

    /// The last protected packet once more.
    pub fn replay(&self, target: SocketAddr) {
        let last = self.secure.as_ref().unwrap().lock().unwrap();
        self.socket.send_to(&last.last_sent, target).unwrap();
    }

    /// Only listens.
    pub fn silent() -> Self {
        let phone = Self::listening(Codec::Pcmu);
        phone.start_receiving_only()
    }

    fn listening(_codec: Codec) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        Self {
            addr: socket.local_addr().unwrap(),
            heard: Arc::default(),
            tone_hz: Arc::new(Mutex::new(0.0)),
            volume: Arc::new(Mutex::new(12_000.0)),
            stop: Arc::default(),
            thread: None,
            socket,
            secure: None,
        }
    }

    pub fn set_tone(&self, hz: f32) {
        *self.tone_hz.lock().unwrap() = hz;
    }

    pub fn set_volume(&self, peak: f32) {
        *self.volume.lock().unwrap() = peak;
    }

    fn start_receiving_only(mut self) -> Self {
        let (socket, heard, stop) = (
            self.socket.try_clone().unwrap(),
            self.heard.clone(),
            self.stop.clone(),
        );
        self.thread = Some(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                listen(&socket, &heard, None, Duration::from_millis(20));
            }
        }));
        self
    }

    fn start_sending(mut self, target: SocketAddr, codec: Codec) -> Self {
        let (socket, heard, stop, tone, volume, secure) = (
            self.socket.try_clone().unwrap(),
            self.heard.clone(),
            self.stop.clone(),
            self.tone_hz.clone(),
            self.volume.clone(),
            self.secure.clone(),
        );
        self.thread = Some(std::thread::spawn(move || {
            let start = Instant::now();
            let mut phase = 0.0f32;
            let fec = OpusParams {
                inband_fec: true,
                ..OpusParams::default()
            };
            let mut encoder = Encoder::new(codec, fec);
            for n in 0u32.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let hz = *tone.lock().unwrap();
                let volume = *volume.lock().unwrap();
                let mut pcm = [0i16; 160];
                for sample in &mut pcm {
                    *sample = ((phase * TAU).sin() * volume) as i16;
                    phase = (phase + hz / 8_000.0).fract();
                }
                let mut payload = [0u8; PAYLOAD_MAX];
                let len = encoder.encode(&pcm, &mut payload);
                let packet = RtpPacket {
                    marker: n == 0,
                    payload_type: codec.payload_type(),
                    sequence: n as u16,
                    timestamp: n * (codec.clock_hz() / 50),
                    ssrc: 7,
                    payload: &payload[..len],
                };
                match &secure {
                    None => send(&socket, target, &packet),
                    Some(secure) => {
                        let mut plain = [0; 1_500];
                        let len = packet.write(&mut plain);
                        let protected = secure.lock().unwrap().protect(&plain[..len]);
                        let _ = socket.send_to(&protected, target);
                    }
                }
                let due = Duration::from_millis(20 * u64::from(n + 1));
                while let Some(left) = due.checked_sub(start.elapsed()) {
                    listen(&socket, &heard, secure.as_deref(), left);
                }
            }
        }));
        self
    }

    pub fn send(&self, target: SocketAddr, packet: &RtpPacket<'_>) {
        send(&self.socket, target, packet);
    }

    pub fn packets(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    pub fn packet_count(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    /// The audio packets after the first `skip`, decoded, in the order they came.
    pub fn audio(&self, codec: Codec, skip: usize) -> Vec<i16> {
        let packets = self.packets();
        let payloads = packets
            .iter()
            .skip(skip)
            .filter(|packet| packet.payload_type == codec.payload_type())
            .map(|packet| packet.payload.as_slice());
        decode(codec, payloads)
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Decodes packets of one stream to 8 kHz, by the libraries rather than by the code under test.
pub fn decode<'a>(codec: Codec, payloads: impl Iterator<Item = &'a [u8]>) -> Vec<i16> {
    let mut all = Vec::new();
    let mut opus = opus::Decoder::new(8_000, opus::Channels::Mono).unwrap();
    let mut g722 = audio_codec::g722::G722Decoder::new();
    let mut down = FrameResampler::new(16_000, 8_000).unwrap();
    for payload in payloads {
        let mut pcm = vec![0; 960];
        let made = match codec {
            Codec::Pcmu | Codec::Pcma => {
                let law = if codec == Codec::Pcmu {
                    Law::Mu
                } else {
                    Law::A
                };
                law.decode(payload, &mut pcm);
                payload.len()
            }
            Codec::G722 => {
                let wide = audio_codec::Decoder::decode(&mut g722, payload);
                down.process(&wide, &mut pcm)
            }
            Codec::Opus => opus.decode(payload, &mut pcm, false).unwrap(),
        };
        all.extend_from_slice(&pcm[..made]);
    }
    all
}

fn send(socket: &UdpSocket, target: SocketAddr, packet: &RtpPacket<'_>) {
    let mut buffer = [0; 1_500];
    let len = packet.write(&mut buffer);
    let _ = socket.send_to(&buffer[..len], target);
}

fn listen(
    socket: &UdpSocket,
    heard: &Mutex<Vec<Heard>>,
    secure: Option<&Mutex<Secure>>,
    wait: Duration,
) {
    socket
        .set_read_timeout(Some(wait.max(Duration::from_millis(1))))
        .unwrap();
    let mut buffer = [0; 1_500];
    let Ok((len, from)) = socket.recv_from(&mut buffer) else {
        return;
    };
    let plain = match secure {
        None => buffer[..len].to_vec(),
        Some(secure) => secure
            .lock()
            .unwrap()
            .open(&buffer[..len])
            .unwrap_or_default(),
    };
    if let Ok(packet) = RtpPacket::parse(&plain) {
        heard.lock().unwrap().push(Heard {
            from,
            marker: packet.marker,
            payload_type: packet.payload_type,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            ssrc: packet.ssrc,
            payload: packet.payload.to_vec(),
        });
    }
}

/// A leg started towards a phone.
pub fn start_leg(engine: &MediaEngine, id: LegId, phone: SocketAddr, codec: Codec) -> MediaLeg {
    let leg = engine.open_leg(id).unwrap();
    leg.start(RtpParams::new(phone, codec));
    leg
}

/// Share of the energy at `hz`, 0 to 1 (Goertzel).
pub fn share(pcm: &[i16], hz: f32) -> f32 {
    let omega = TAU * hz / 8_000.0;
    let (mut s1, mut s2) = (0.0f64, 0.0f64);
    let cos = f64::from(2.0 * omega.cos());
    for sample in pcm {
        let s0 = f64::from(*sample) + cos * s1 - s2;
        (s2, s1) = (s1, s0);
    }
    let power = s1 * s1 + s2 * s2 - cos * s1 * s2;
    let energy: f64 = pcm.iter().map(|s| f64::from(*s).powi(2)).sum();
    (2.0 * power / (pcm.len() as f64 * energy.max(1.0))) as f32
}
