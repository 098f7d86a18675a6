//! The signalling side's handle of a leg.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use rtrb::RingBuffer;
use switchhook_model::{Digit, LegId};
use tokio::sync::{mpsc, oneshot};

use crate::assistant::{AudioIn, AudioOut, connect};
use crate::codec::coders::Coders;
use crate::engine::{EngineInner, lock};
use crate::event::MediaEvent;
use crate::music::MusicPlayer;
use crate::params::RtpParams;
use crate::placement::Place;
use crate::recording::{
    NewRecording, QUEUE_FRAMES, RecordError, Recording, RecordingControl, RecordingTap,
};
use crate::srtp::SrtpSession;
use crate::stats::LegStats;
use crate::tone::Tone;
use crate::worker::{Command, LegShared};

/// One party's audio path. Nothing here waits for the worker: commands take effect at the leg's
/// next tick, in the order given. Dropping the handle closes the leg.
#[derive(Debug)]
pub struct MediaLeg {
    id: LegId,
    engine: Arc<EngineInner>,
    place: Place,
    local: SocketAddr,
    shared: Arc<LegShared>,
    events: mpsc::Sender<MediaEvent>,
    receiver: Mutex<Option<mpsc::Receiver<MediaEvent>>>,
}

impl MediaLeg {
    pub(crate) fn new(
        id: LegId,
        engine: Arc<EngineInner>,
        place: Place,
        local: SocketAddr,
        shared: Arc<LegShared>,
        events: mpsc::Sender<MediaEvent>,
        receiver: mpsc::Receiver<MediaEvent>,
    ) -> Self {
        Self {
            id,
            engine,
            place,
            local,
            shared,
            events,
            receiver: Mutex::new(Some(receiver)),
        }
    }

    pub fn id(&self) -> &LegId {
        &self.id
    }

    /// Address for SDP: the advertised address and our RTP port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Starts the media after offer and answer.
    pub fn start(&self, mut params: RtpParams) {
        // Session keys are derived here: the worker only uses them.
        let srtp = params
            .srtp
            .take()
            .map(|keys| Box::new(SrtpSession::new(&keys)));
        self.command(Command::Start {
            slot: self.place.slot,
            params,
            coders: Coders::new(&params),
            srtp,
        });
    }

    /// Changes running media after a re-INVITE: hold, another address, another codec, other keys.
    /// The same address keeps the source we latched on to, the same keys keep their counters.
    pub fn update(&self, params: RtpParams) {
        self.start(params);
    }

    /// From now on the party should be heard, and hear us: it was answered. Until then the alarms
    /// ([`MediaEvent::NoRtp`], [`MediaEvent::NotHeard`]) are silent.
    pub fn watch(&self) {
        self.command(Command::Watch {
            slot: self.place.slot,
        });
    }

    /// The leg's events; nothing the second time. Ends when the leg is closed.
    pub fn take_events(&self) -> Option<mpsc::Receiver<MediaEvent>> {
        lock(&self.receiver).take()
    }

    /// Attaches an assistant. A former one's ends are closed.
    pub fn assistant(&self) -> (AudioIn, AudioOut) {
        let (audio_in, audio_out, tap) = connect(None);
        self.command(Command::Assistant {
            slot: self.place.slot,
            tap: Some(tap),
        });
        (audio_in, audio_out)
    }

    /// Detaches the assistant: its ends are closed, queued audio is not played.
    pub fn detach_assistant(&self) {
        self.command(Command::Assistant {
            slot: self.place.slot,
            tap: None,
        });
    }

    /// Plays the configured ringback whenever nothing else is to be heard.
    pub fn ringback(&self, on: bool) {
        let tone = on.then(|| Tone::ringback(self.engine.config.tones));
        self.command(Command::Ringback {
            slot: self.place.slot,
            tone,
        });
    }

    /// Plays the configured music in place of what the bridge peer says, from its beginning, until
    /// it is switched off: for a party whose other side holds. An assistant that speaks is mixed in.
    pub fn music(&self, on: bool) {
        let player = on.then(|| Box::new(MusicPlayer::new(self.engine.config.music.clone())));
        self.command(Command::Music {
            slot: self.place.slot,
            player,
        });
    }

    /// Whether the party hears nothing of its bridge peer, but is heard: before it has answered.
    pub fn deafen(&self, on: bool) {
        self.command(Command::Deafen {
            slot: self.place.slot,
            on,
        });
    }

    /// Plays a tone over everything else; [`MediaEvent::ToneFinished`] follows if it ends.
    pub fn tone(&self, tone: Tone) {
        self.command(Command::Tone {
            slot: self.place.slot,
            tone: Some(tone),
        });
    }

    pub fn stop_tone(&self) {
        self.command(Command::Tone {
            slot: self.place.slot,
            tone: None,
        });
    }

    /// Sends a key press by RFC 4733, or as a tone where telephone-event was not negotiated. Up to
    /// [`crate::dtmf::SEND_QUEUE`] keys are queued.
    pub fn send_digit(&self, digit: Digit) {
        self.command(Command::SendDigit {
            slot: self.place.slot,
            digit,
        });
    }

    /// Records this leg: left what the party says, right what it hears, 16 bit, 8 kHz. A relative
    /// path lies in the recording directory, which is created. A former recording ends.
    pub fn record(&self, path: &Path) -> Result<Recording, RecordError> {
        let path = self.engine.recording_path(path)?;
        let create = |source| RecordError::Create {
            path: path.clone(),
            source,
        };
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(create)?;
        }
        let file = File::create(&path).map_err(create)?;
        let (put, take) = RingBuffer::new(QUEUE_FRAMES);
        let control = Arc::new(RecordingControl::default());
        let (done_sender, done) = oneshot::channel();
        let begun = self.engine.writer().begin(NewRecording {
            path: path.clone(),
            file,
            frames: take,
            control: Arc::clone(&control),
            events: self.events.clone(),
            done: done_sender,
        });
        if !begun {
            return Err(RecordError::WriterGone);
        }
        self.command(Command::Record {
            slot: self.place.slot,
            tap: Box::new(RecordingTap {
                frames: put,
                control: Arc::clone(&control),
                index: 0,
            }),
        });
        Ok(Recording {
            path,
            control,
            done,
            writer: self.engine.writer().clone(),
        })
    }

    pub fn stats(&self) -> LegStats {
        self.shared.counters.snapshot()
    }

    /// True when a fault of ours took the leg's media.
    pub fn is_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// Closes the leg: no packet is sent from the next tick on, the port rests.
    pub fn close(self) {
        drop(self);
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    fn command(&self, command: Command) {
        self.engine.send(self.place.worker, command);
    }
}

impl Drop for MediaLeg {
    fn drop(&mut self) {
        self.command(Command::Close {
            slot: self.place.slot,
        });
    }
}
