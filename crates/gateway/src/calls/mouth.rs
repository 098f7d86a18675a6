//! What the assistant says: items are synthesised as soon as they are known and written to the leg
//! one after the other. Cutting is immediate, also while a writer waits for room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use switchhook_adapters::{SpeakRequest, TextToSpeech};
use switchhook_conversation::Input;
use switchhook_media::resample::Converter;
use switchhook_media::{AudioOut, PlayoutCutter, PlayoutError, SAMPLE_RATE_HZ, Tone};
use switchhook_model::Language;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::inbox::TalkInbox;

/// Items that may wait to be written; the conversation queues a few sentences at most.
const QUEUED_ITEMS: usize = 64;
/// Pieces of one item's audio that may wait: a voice is faster than its listener.
const QUEUED_PIECES: usize = 256;

struct Order {
    item: u32,
    generation: u32,
    audio: mpsc::Receiver<Vec<i16>>,
}

/// The handle the call's task holds.
pub struct Mouth {
    orders: mpsc::Sender<Order>,
    generation: watch::Sender<u32>,
    cutter: PlayoutCutter,
    totals: Arc<Mutex<BTreeMap<u32, u64>>>,
    voice: Arc<dyn TextToSpeech>,
    language: Language,
    voice_name: Option<String>,
    inbox: TalkInbox,
    /// Where it was opened: speech is made there, whoever orders it.
    runtime: Handle,
}

impl std::fmt::Debug for Mouth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mouth").finish_non_exhaustive()
    }
}

impl Mouth {
    pub fn open(
        out: AudioOut,
        voice: Arc<dyn TextToSpeech>,
        language: Language,
        voice_name: Option<String>,
        inbox: TalkInbox,
    ) -> Self {
        let (orders, queue) = mpsc::channel(QUEUED_ITEMS);
        let mouth = Self {
            orders,
            generation: watch::Sender::new(0),
            cutter: out.cutter(),
            totals: Arc::default(),
            voice,
            language,
            voice_name,
            inbox,
            runtime: Handle::current(),
        };
        let writer = Writer {
            out,
            generation: mouth.generation.subscribe(),
            totals: Arc::clone(&mouth.totals),
        };
        tokio::spawn(writer.run(queue));
        mouth
    }

    /// Queues a text.
    pub fn speak(&self, item: u32, text: String) {
        let (audio, pieces) = mpsc::channel(QUEUED_PIECES);
        if !self.queue(item, pieces) {
            return;
        }
        let request = SpeakRequest {
            text,
            language: self.language,
            voice: self.voice_name.clone(),
        };
        let voice = Arc::clone(&self.voice);
        let inbox = self.inbox.clone();
        self.runtime.spawn(async move {
            if let Err(error) = synthesize(voice.as_ref(), &request, &audio).await {
                tracing::warn!(%error, item, "speech failed");
                metrics::counter!("switchhook_tts_errors_total").increment(1);
                inbox.send(Input::SynthesisFailed { item, error });
            }
        });
    }

    /// Queues the message beep.
    pub fn beep(&self, item: u32) {
        let (audio, pieces) = mpsc::channel(1);
        // The channel has room for its one piece.
        let _ = audio.try_send(Tone::beep().render());
        self.queue(item, pieces);
    }

    fn queue(&self, item: u32, audio: mpsc::Receiver<Vec<i16>>) -> bool {
        let generation = *self.generation.borrow();
        let queued = self
            .orders
            .try_send(Order {
                item,
                generation,
                audio,
            })
            .is_ok();
        if !queued {
            let error = format!("{QUEUED_ITEMS} items wait to be spoken");
            self.inbox.send(Input::SynthesisFailed { item, error });
        }
        queued
    }

    /// Silence now; everything queued is thrown away.
    pub fn cut(&self) {
        self.generation
            .send_modify(|generation| *generation = generation.wrapping_add(1));
        self.cutter.stop();
    }

    /// Length of an item in milliseconds once all of it is synthesised.
    pub fn total_ms(&self, item: u32) -> Option<u64> {
        self.totals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&item)
            .copied()
    }
}

/// Passes a text's audio on as 8 kHz pieces.
async fn synthesize(
    voice: &dyn TextToSpeech,
    request: &SpeakRequest,
    audio: &mpsc::Sender<Vec<i16>>,
) -> Result<(), String> {
    let mut stream = voice
        .synthesize(request)
        .await
        .map_err(|error| error.to_string())?;
    let mut converter: Option<(u32, Converter)> = None;
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| error.to_string())?;
        let rate = piece.rate_hz;
        if converter.as_ref().is_none_or(|(from, _)| *from != rate) {
            let new = Converter::new(rate, SAMPLE_RATE_HZ).map_err(|error| error.to_string())?;
            converter = Some((rate, new));
        }
        let (_, running) = converter
            .as_mut()
            .expect("it was made for this rate just now");
        if audio.send(running.push(&piece.samples)).await.is_err() {
            // Cut: nobody wants the rest.
            return Ok(());
        }
    }
    if let Some((_, converter)) = converter {
        // A closed channel means that the item was cut.
        let _ = audio.send(converter.finish()).await;
    }
    Ok(())
}

struct Writer {
    out: AudioOut,
    generation: watch::Receiver<u32>,
    totals: Arc<Mutex<BTreeMap<u32, u64>>>,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Order>) {
        while let Some(order) = queue.recv().await {
            match self.play(order).await {
                Ok(()) | Err(PlayoutError::Cut { .. }) => {}
                Err(PlayoutError::Closed) => return,
            }
        }
    }

    fn is_cut(&self, order: &Order) -> bool {
        *self.generation.borrow() != order.generation
    }

    async fn play(&mut self, mut order: Order) -> Result<(), PlayoutError> {
        let mut samples = 0;
        let mut begun = false;
        loop {
            // A slow voice of a cut item must not hold up the next one.
            let piece = tokio::select! {
                biased;
                _ = self.generation.wait_for(|now| *now != order.generation) => return Ok(()),
                piece = order.audio.recv() => piece,
            };
            let Some(piece) = piece else { break };
            samples += piece.len();
            self.out.write(order.item, &piece).await?;
            if !begun {
                begun = true;
                // Cut between the look and the first write: the item would count as a new one.
                if self.is_cut(&order) {
                    self.out.stop();
                    return Ok(());
                }
            }
        }
        if self.is_cut(&order) {
            return Ok(());
        }
        if samples > 0 {
            self.remember_total(order.item, samples as u64 / 8);
            self.out.end_item(order.item).await?;
        }
        Ok(())
    }

    fn remember_total(&self, item: u32, total_ms: u64) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.insert(item, total_ms);
        while totals.len() > QUEUED_ITEMS * 2 {
            totals.pop_first();
        }
    }
}
