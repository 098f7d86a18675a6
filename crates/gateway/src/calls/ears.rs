//! What the caller says, as the conversation needs it: where an utterance begins and ends, and its
//! audio. One task per assistant reads the leg's frames; the audio of an utterance waits here until
//! the conversation wants it recognised or dropped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use switchhook_conversation::{EndpointEvent, Endpointing, EndpointingConfig};
use switchhook_media::AudioIn;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::inbox::TalkInbox;

/// Finished utterances that may wait for a decision; beyond that the oldest is dropped.
const KEPT_UTTERANCES: usize = 8;

/// The handle the call's task holds. Dropping it ends the task.
#[derive(Debug)]
pub struct Ears {
    audio: Arc<Mutex<BTreeMap<u32, Vec<i16>>>>,
    assistant_speaks: Arc<AtomicBool>,
    finish: mpsc::Sender<()>,
    _stop: DropGuard,
}

impl Ears {
    pub fn open(input: AudioIn, config: EndpointingConfig, inbox: TalkInbox) -> Self {
        let stop = CancellationToken::new();
        let (finish, finishing) = mpsc::channel(1);
        let ears = Self {
            audio: Arc::default(),
            assistant_speaks: Arc::default(),
            finish,
            _stop: stop.clone().drop_guard(),
        };
        let listener = Listener {
            input,
            pre_roll_samples: usize::try_from(config.pre_roll_ms * 8).unwrap_or(0),
            endpointing: Endpointing::new(config),
            recent: VecDeque::new(),
            utterance: None,
            audio: Arc::clone(&ears.audio),
            assistant_speaks: Arc::clone(&ears.assistant_speaks),
            inbox,
        };
        tokio::spawn(listener.run(finishing, stop));
        ears
    }

    /// Whether more voice is asked for before something counts as speech.
    pub fn set_assistant_speaks(&self, speaks: bool) {
        self.assistant_speaks.store(speaks, Ordering::Relaxed);
    }

    /// The same for another task to say.
    pub fn assistant_speaks(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.assistant_speaks)
    }

    /// Ends a running utterance now.
    pub fn finish(&self) {
        // Full means that the wish is already there.
        let _ = self.finish.try_send(());
    }

    /// The audio of an utterance, 8 kHz.
    pub fn take(&self, utterance: u32) -> Option<Vec<i16>> {
        self.audio
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&utterance)
    }
}

struct Listener {
    input: AudioIn,
    endpointing: Endpointing,
    pre_roll_samples: usize,
    /// Audio before a beginning.
    recent: VecDeque<i16>,
    utterance: Option<Vec<i16>>,
    audio: Arc<Mutex<BTreeMap<u32, Vec<i16>>>>,
    assistant_speaks: Arc<AtomicBool>,
    inbox: TalkInbox,
}

impl Listener {
    async fn run(mut self, mut finishing: mpsc::Receiver<()>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = finishing.recv() => {
                    if let Some(event) = self.endpointing.finish() {
                        self.report(event);
                    }
                }
                frame = self.input.recv() => {
                    let Some(frame) = frame else {
                        // The leg is gone. What was being said is still an utterance: it may be
                        // the caller's message.
                        if let Some(event) = self.endpointing.finish() {
                            self.report(event);
                        }
                        return;
                    };
                    self.keep(&frame.samples);
                    let speaks = self.assistant_speaks.load(Ordering::Relaxed);
                    if let Some(event) = self.endpointing.frame(frame.voice, speaks) {
                        self.report(event);
                    }
                }
            }
        }
    }

    fn keep(&mut self, samples: &[i16]) {
        match &mut self.utterance {
            Some(audio) => audio.extend_from_slice(samples),
            None => {
                self.recent.extend(samples);
                let surplus = self.recent.len().saturating_sub(self.pre_roll_samples);
                self.recent.drain(..surplus);
            }
        }
    }

    fn report(&mut self, event: EndpointEvent) {
        match event {
            EndpointEvent::Started { .. } => {
                self.utterance = Some(self.recent.drain(..).collect());
            }
            EndpointEvent::Ended { utterance, .. } => {
                let audio = self.utterance.take().unwrap_or_default();
                let mut kept = self.audio.lock().unwrap_or_else(PoisonError::into_inner);
                kept.insert(utterance, audio);
                while kept.len() > KEPT_UTTERANCES {
                    kept.pop_first();
                }
            }
        }
        self.inbox.send(event.into());
    }
}
