//! `switchhook lab call`: calls a running gateway, says something, prints what was heard.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

use crate::audio::speech::{self, Sound, Stretch};
use crate::audio::wav::{self, WavError};
use crate::phone::{Phone, PhoneConfig, PhoneError, PhoneEvent, Transport};
use crate::transcribe::{TranscribeError, transcribe};

/// The greeting is over when it has been silent for this long.
const PAUSE_MS: u64 = 1_000;
/// This much speech makes a greeting.
const GREETING_MS: u64 = 300;

/// What to do.
#[derive(Debug, Clone)]
pub struct CallArgs {
    /// WAV file to say after the greeting; any rate, first channel.
    pub say: Option<PathBuf>,
    /// Whom to call.
    pub to: String,
    /// Send the call here instead of to the URI's own host.
    pub server: Option<SocketAddr>,
    /// UDP or TCP.
    pub transport: Transport,
    /// User name and password, when the gateway asks for them.
    pub credentials: Option<(String, String)>,
    /// Keypad digits to send after the greeting (and after the file).
    pub digits: Option<String>,
    /// Where to write what was heard.
    pub record: Option<PathBuf>,
    /// Base URL of a speech server that turns what was heard into text.
    pub speech_url: Option<String>,
    /// Language of that text, `en` or `de`.
    pub language: String,
    /// How long it may take until somebody answers.
    pub answer_within: Duration,
    /// How long to wait for the greeting.
    pub greeting_within: Duration,
    /// How long to listen after everything is said, before hanging up.
    pub listen: Duration,
}

impl Default for CallArgs {
    fn default() -> Self {
        Self {
            say: None,
            to: "sip:assistant@127.0.0.1:5060".into(),
            server: None,
            transport: Transport::Udp,
            credentials: None,
            digits: None,
            record: None,
            speech_url: None,
            language: "en".into(),
            answer_within: Duration::from_secs(30),
            greeting_within: Duration::from_secs(20),
            listen: Duration::from_secs(30),
        }
    }
}

/// Why the call could not be tried.
#[derive(Debug, Error)]
pub enum CallError {
    /// A WAV file cannot be read or written.
    #[error(transparent)]
    Wav(#[from] WavError),
    /// The phone failed.
    #[error(transparent)]
    Phone(#[from] PhoneError),
    /// What was heard could not be turned into text.
    #[error(transparent)]
    Transcribe(#[from] TranscribeError),
}

impl CallError {
    /// Whether what was given is at fault (exit code 2), rather than the world (1).
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Wav(_) => true,
            Self::Phone(error) => matches!(error, PhoneError::Dial { .. }),
            Self::Transcribe(_) => false,
        }
    }
}

/// Who ended the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The gateway refused it, or nobody answered at all.
    NotAnswered,
    /// The gateway said BYE.
    Gateway,
    /// We did, after listening.
    Us,
}

/// What came of it. Times are milliseconds since the INVITE was sent.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Who was called.
    pub to: String,
    /// Final status of the INVITE.
    pub status: u16,
    /// Reason phrase when it was refused.
    pub reason: Option<String>,
    /// When it was answered.
    pub answered_at_ms: Option<u64>,
    /// When the greeting was over; `None` when none was heard in time.
    pub greeting_ended_at_ms: Option<u64>,
    /// When the file began to be played.
    pub said_at_ms: Option<u64>,
    /// Every stretch of speech and every tone.
    pub heard: Vec<Stretch>,
    /// All speech together.
    pub speech_ms: u64,
    /// RTP packets received.
    pub packets: usize,
    /// Keypad digits received.
    pub digits: String,
    /// How long the call lasted.
    pub duration_ms: u64,
    /// Who ended it.
    pub ended_by: Ending,
    /// Text of what was heard.
    pub text: Option<String>,
    /// Every SIP message.
    pub ladder: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: u64| ms as f64 / 1000.0;
        let reason = self.reason.as_deref().unwrap_or("OK");
        writeln!(f, "called {}: {} {reason}", self.to, self.status)?;
        let Some(answered) = self.answered_at_ms else {
            return write!(f, "{}", self.ladder);
        };
        writeln!(f, "{:8.2} s  answered", seconds(answered))?;
        for stretch in &self.heard {
            let what = match stretch.sound {
                Sound::Speech => "speech".to_owned(),
                Sound::Tone { hz } => format!("tone of {hz} Hz"),
            };
            writeln!(
                f,
                "{:8.2} s  heard {:.2} s of {what}",
                seconds(stretch.span.from_ms),
                seconds(stretch.span.duration_ms())
            )?;
        }
        match self.greeting_ended_at_ms {
            Some(at) => writeln!(f, "{:8.2} s  the greeting was over", seconds(at))?,
            None => writeln!(f, "            no greeting was heard")?,
        }
        if let Some(at) = self.said_at_ms {
            writeln!(f, "{:8.2} s  said the file", seconds(at))?;
        }
        if !self.digits.is_empty() {
            writeln!(f, "            digits heard: {}", self.digits)?;
        }
        let by = match self.ended_by {
            Ending::NotAnswered => "not answered",
            Ending::Gateway => "the gateway hung up",
            Ending::Us => "we hung up",
        };
        writeln!(
            f,
            "{:8.2} s  {by}; {:.2} s of speech heard in {} packets",
            seconds(self.duration_ms),
            seconds(self.speech_ms),
            self.packets
        )?;
        if let Some(text) = &self.text {
            writeln!(f, "text: {text}")?;
        }
        Ok(())
    }
}

/// Places the call. A refused call is a report, not an error.
pub async fn run(args: CallArgs) -> Result<Report, CallError> {
    let say = args.say.as_deref().map(wav::read_phone).transpose()?;
    let mut config = PhoneConfig::new("lab").transport(args.transport);
    if let Some(server) = args.server {
        config = config.server(server);
    }
    if let Some((user, password)) = &args.credentials {
        config.user.clone_from(user);
        config = config.password(password);
    }
    let phone = Phone::start(config).await?;
    let call = phone.dial(&uri_with_transport(&args)).await?;
    let mut report = Report {
        to: args.to.clone(),
        status: 200,
        reason: None,
        answered_at_ms: None,
        greeting_ended_at_ms: None,
        said_at_ms: None,
        heard: Vec::new(),
        speech_ms: 0,
        packets: 0,
        digits: String::new(),
        duration_ms: 0,
        ended_by: Ending::NotAnswered,
        text: None,
        ladder: String::new(),
    };
    let first = call
        .wait_for(
            "an answer",
            |e| e.is_end() || matches!(e, PhoneEvent::Answered { .. }),
            args.answer_within,
        )
        .await;
    match first {
        Ok(PhoneEvent::Answered { .. }) => report.answered_at_ms = Some(call.now_ms()),
        Ok(PhoneEvent::Failed { status, reason, .. }) => {
            report.status = status;
            report.reason = Some(reason);
        }
        Ok(_) => report.status = 487,
        Err(_) => {
            report.status = 408;
            report.reason = Some(format!("nobody answered within {:?}", args.answer_within));
            call.start_hangup();
        }
    }
    if let Some(answered) = report.answered_at_ms {
        let greeting = call
            .wait_speech_ended(answered, GREETING_MS, PAUSE_MS, args.greeting_within)
            .await;
        report.greeting_ended_at_ms = greeting
            .is_ok()
            .then(|| call.now_ms().saturating_sub(PAUSE_MS));
        if let Some(audio) = say
            && !call.is_over()
        {
            report.said_at_ms = Some(call.now_ms());
            // The gateway may hang up while we speak; that is part of the report.
            let _ = call.say(audio).await;
        }
        if let Some(digits) = &args.digits {
            call.send_digits(digits);
        }
        report.ended_by = match call.wait_ended(args.listen).await {
            Ok(_) => Ending::Gateway,
            Err(_) => {
                report.duration_ms = call.now_ms();
                call.hangup().await?;
                Ending::Us
            }
        };
    }
    let heard = call.heard();
    if report.duration_ms == 0 {
        report.duration_ms = call.now_ms();
    }
    report.heard = speech::stretches(&heard.audio);
    report.speech_ms = speech::speech_ms(&heard.audio);
    report.packets = heard.arrivals.len();
    report.digits = heard.digits.iter().map(|(digit, _)| *digit).collect();
    report.ladder = phone.ladder();
    if let Some(path) = &args.record {
        call.save_heard(path)?;
    }
    if let Some(url) = &args.speech_url {
        report.text = Some(transcribe(url, &heard.audio, &args.language).await?);
    }
    Ok(report)
}

fn uri_with_transport(args: &CallArgs) -> String {
    match args.transport {
        Transport::Tcp if !args.to.contains("transport=") => format!("{};transport=tcp", args.to),
        _ => args.to.clone(),
    }
}
