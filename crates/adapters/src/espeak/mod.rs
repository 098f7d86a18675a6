//! espeak-ng as a child process: the voice that is always there. One process for each text; the
//! text goes in by standard input, never through a shell or an argument.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream;
use switchhook_model::Language;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::Limit;
use crate::http::{ProviderConfigError, clean};
use crate::pcm::{Pcm, WavReader};
use crate::speak::{
    SpeakRequest, SpeechStream, TextToSpeech, TtsCapabilities, TtsError, is_speakable,
};

const NAME: &str = "espeak-ng";
/// Audio is read in pieces of at most this many bytes.
const READ: usize = 16 * 1024;

/// How espeak-ng is run.
#[derive(Debug, Clone)]
pub struct EspeakConfig {
    /// The program; without a slash it is looked for in `PATH`.
    pub program: PathBuf,
    /// Voice for each language, as `espeak-ng --voices` lists them.
    pub voices: BTreeMap<Language, String>,
    /// Words per minute, 80 to 450.
    pub words_per_minute: u16,
    /// Longest text in characters.
    pub max_text: usize,
    /// Longest audio in seconds.
    pub max_audio_s: u32,
    /// Longest run of one process.
    pub whole: Duration,
    /// Most processes at a time; further texts wait `queue` for a place.
    pub max_processes: usize,
    /// Longest wait for a place.
    pub queue: Duration,
}

impl Default for EspeakConfig {
    fn default() -> Self {
        let voices = [
            (Language::En, "en"),
            (Language::De, "de"),
            (Language::Ar, "ar"),
        ];
        Self {
            program: PathBuf::from("espeak-ng"),
            voices: voices.map(|(l, v)| (l, v.to_owned())).into(),
            words_per_minute: 150,
            max_text: 4096,
            max_audio_s: 300,
            whole: Duration::from_secs(20),
            max_processes: 8,
            queue: Duration::from_secs(2),
        }
    }
}

/// Speaks by espeak-ng.
#[derive(Debug, Clone)]
pub struct Espeak {
    config: EspeakConfig,
    places: Arc<Semaphore>,
}

impl Espeak {
    /// Checks the configuration; starts nothing.
    ///
    /// # Errors
    /// If a voice name or the speed cannot be used.
    pub fn new(config: EspeakConfig) -> Result<Self, ProviderConfigError> {
        for voice in config.voices.values() {
            check_voice(voice)?;
        }
        if !(80..=450).contains(&config.words_per_minute) {
            return Err(ProviderConfigError::Value {
                field: "words_per_minute",
                given: config.words_per_minute.to_string(),
                problem: "80 to 450 is expected".into(),
            });
        }
        Ok(Self {
            places: Arc::new(Semaphore::new(config.max_processes.clamp(1, 1000))),
            config,
        })
    }

    fn start(&self, voice: &str) -> Result<(Child, ChildStdout), TtsError> {
        let program_error = |cause: String| TtsError::Program {
            program: self.config.program.display().to_string(),
            cause,
        };
        let mut child = Command::new(&self.config.program)
            .args(["--stdin", "--stdout", "-b", "1", "-v", voice, "-s"])
            .arg(self.config.words_per_minute.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| program_error(e.to_string()))?;
        let stdout = child.stdout.take().expect("stdout is piped");
        Ok((child, stdout))
    }
}

/// A voice name is an argument: it may not look like an option or a path.
fn check_voice(voice: &str) -> Result<(), ProviderConfigError> {
    let clean = (1..=40).contains(&voice.len())
        && voice.starts_with(|c: char| c.is_ascii_alphanumeric())
        && voice
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+'));
    if clean {
        return Ok(());
    }
    Err(ProviderConfigError::Value {
        field: "voice",
        given: voice.chars().take(64).collect(),
        problem: "an espeak-ng voice holds letters, digits, -, _ and + (see espeak-ng --voices)"
            .into(),
    })
}

/// What espeak-ng is given: one line without control characters, and without `[[…]]`, which it
/// would read as phonemes.
fn plain_text(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '[' | ']' => ' ',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}

#[async_trait]
impl TextToSpeech for Espeak {
    fn capabilities(&self) -> TtsCapabilities {
        TtsCapabilities {
            name: NAME.to_owned(),
            languages: self.config.voices.keys().copied().collect(),
            streaming: true,
            max_text: self.config.max_text,
        }
    }

    async fn synthesize(&self, request: &SpeakRequest) -> Result<SpeechStream, TtsError> {
        let characters = request.text.chars().count();
        if characters > self.config.max_text {
            return Err(TtsError::TooLong {
                provider: NAME.to_owned(),
                characters,
                limit: self.config.max_text,
            });
        }
        // A voice of another provider (a fallback passes the request on) is not an error here.
        let own = self.config.voices.get(&request.language);
        let voice = request
            .voice
            .as_ref()
            .filter(|v| check_voice(v).is_ok() && self.config.voices.values().any(|own| own == *v))
            .or(own)
            .ok_or_else(|| TtsError::Language {
                provider: NAME.to_owned(),
                language: request.language,
            })?;
        if !is_speakable(&request.text) {
            return Ok(Box::pin(stream::empty()));
        }
        let place = Arc::clone(&self.places).acquire_owned();
        let place = match timeout(self.config.queue, place).await {
            Ok(place) => place.expect("the semaphore is never closed"),
            Err(_) => {
                return Err(TtsError::Busy {
                    provider: NAME.to_owned(),
                    limit: self.config.max_processes,
                    waited_ms: u64::try_from(self.config.queue.as_millis()).unwrap_or(u64::MAX),
                });
            }
        };
        let started = Instant::now();
        let (mut child, stdout) = self.start(voice)?;
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let text = plain_text(&request.text);
        let deadline = started + self.config.whole;
        // espeak-ng reads all of its input before it speaks, so writing first cannot block for
        // ever; if it died meanwhile, its own words below say more than a broken pipe.
        let write = async {
            let _ = stdin.write_all(text.as_bytes()).await;
            let _ = stdin.shutdown().await;
            drop(stdin);
        };
        let mut run = Run {
            stdout: Some(stdout),
            child,
            _place: place,
            wav: WavReader::new(),
            samples: 0,
            max_audio_s: self.config.max_audio_s,
            deadline,
            whole: self.config.whole,
        };
        if timeout_at(deadline, write).await.is_err() {
            return Err(run.timed_out());
        }
        let Some(head) = run.next().await? else {
            return Err(TtsError::Silent {
                provider: NAME.to_owned(),
                characters,
            });
        };
        let rest = stream::unfold(Some(run), |run| async {
            let mut run = run?;
            match run.next().await {
                Ok(Some(pcm)) => Some((Ok(pcm), Some(run))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        let head = stream::once(async { Ok(head) });
        Ok(Box::pin(stream::StreamExt::chain(head, rest)))
    }
}

/// A running process. Dropping it kills the process.
struct Run {
    stdout: Option<ChildStdout>,
    child: Child,
    _place: OwnedSemaphorePermit,
    wav: WavReader,
    samples: u64,
    max_audio_s: u32,
    deadline: Instant,
    whole: Duration,
}

impl Run {
    async fn next(&mut self) -> Result<Option<Pcm>, TtsError> {
        let mut buffer = vec![0u8; READ];
        loop {
            let Some(stdout) = &mut self.stdout else {
                return Ok(None);
            };
            let read = match timeout_at(self.deadline, stdout.read(&mut buffer)).await {
                Err(_) => return Err(self.timed_out()),
                Ok(Err(error)) => return Err(cut_short(error.to_string())),
                Ok(Ok(read)) => read,
            };
            if read == 0 {
                self.stdout = None;
                return self.ended().await.map(|()| None);
            }
            let samples = self
                .wav
                .push(&buffer[..read])
                .map_err(|cause| TtsError::Audio {
                    provider: NAME.to_owned(),
                    cause,
                })?;
            let rate_hz = self.wav.rate_hz().unwrap_or_default();
            self.samples += samples.len() as u64;
            if self.samples > u64::from(rate_hz) * u64::from(self.max_audio_s) {
                return Err(TtsError::TooMuchAudio {
                    provider: NAME.to_owned(),
                    limit_s: self.max_audio_s,
                });
            }
            if !samples.is_empty() {
                return Ok(Some(Pcm::new(samples, rate_hz)));
            }
        }
    }

    /// The output has ended: the exit status says whether that was all.
    async fn ended(&mut self) -> Result<(), TtsError> {
        let Ok(status) = timeout_at(self.deadline, self.child.wait()).await else {
            return Err(self.timed_out());
        };
        let status = status.map_err(|e| cut_short(e.to_string()))?;
        if status.success() {
            return Ok(());
        }
        let mut said = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            let mut stderr = stderr.take(2_000);
            let _ = timeout(Duration::from_millis(500), stderr.read_to_end(&mut said)).await;
        }
        let said = clean(&String::from_utf8_lossy(&said), 200);
        Err(cut_short(format!("{status}: {said}")))
    }

    fn timed_out(&self) -> TtsError {
        TtsError::TimedOut {
            provider: NAME.to_owned(),
            limit: Limit::Whole,
            limit_ms: u64::try_from(self.whole.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn cut_short(cause: String) -> TtsError {
    TtsError::CutShort {
        provider: NAME.to_owned(),
        cause,
    }
}
