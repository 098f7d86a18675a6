//! TwiML: the documents that answer a webhook and tell Twilio what to do with a call.
//!
//! What belongs here: the verbs and nouns this program uses, as types; their limits; XML. What does
//! not: which of them a call needs. Attributes are written in a fixed order, so that equal documents
//! are equal text.
//! <https://www.twilio.com/docs/voice/twiml>

mod conference;
mod dial;
mod sip_uri;
mod text;
mod verbs;
mod xml;

pub use conference::{Beep, Conference, ConferenceCallbackEvent};
pub use dial::{Amd, AmdMode, CallEvent, Client, Dial, DialRecord, Noun, Number, Sip, Trim};
pub use sip_uri::{SipTransport, SipUri};
pub use verbs::{
    Connect, Gather, GatherInput, Method, Play, Prompt, Record, RecordingEvent, RejectReason, Say,
    SpeechTimeout, StartRecording, Stream,
};

use xml::Xml;

/// Largest document Twilio reads, in bytes (11750).
pub const MAX_DOCUMENT: usize = 64 * 1024;
/// Longest document that goes over REST in place of a URL, in characters (32018).
pub const MAX_INLINE: usize = 4_000;
/// The type to answer with.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";

/// Why a document cannot be made. Each would make Twilio end the call or ignore a part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TwimlError {
    #[error("{what} is no URL Twilio can call: {problem}")]
    Url {
        what: &'static str,
        problem: &'static str,
    },
    #[error("the SIP address is unusable: {problem}")]
    SipUri { problem: String },
    #[error("the SIP header {name:?} is unusable: {problem}")]
    SipHeader { name: String, problem: &'static str },
    #[error("{what}: {problem}")]
    Value {
        what: &'static str,
        problem: &'static str,
    },
    #[error(
        "the document has {size} {unit}, more than {limit}; say less, or put parts of it behind a redirect"
    )]
    TooLong {
        size: usize,
        unit: &'static str,
        limit: usize,
    },
}

/// One thing Twilio does with the call.
#[derive(Clone, PartialEq, Eq)]
pub enum Verb {
    Say(Say),
    Play(Play),
    /// Silence, in seconds.
    Pause(u32),
    Gather(Gather),
    Record(Record),
    Dial(Dial),
    Redirect {
        url: String,
        method: Method,
    },
    Reject(RejectReason),
    Hangup,
    Connect(Connect),
    StartRecording(StartRecording),
}

impl Verb {
    /// Its element.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Say(_) => "Say",
            Self::Play(_) => "Play",
            Self::Pause(_) => "Pause",
            Self::Gather(_) => "Gather",
            Self::Record(_) => "Record",
            Self::Dial(_) => "Dial",
            Self::Redirect { .. } => "Redirect",
            Self::Reject(_) => "Reject",
            Self::Hangup => "Hangup",
            Self::Connect(_) => "Connect",
            Self::StartRecording(_) => "Start",
        }
    }
}

impl std::fmt::Debug for Verb {
    /// The element only: what is said and who is called is in the rest.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A document. Verbs run in their order; when they run out, Twilio hangs up.
///
/// ```
/// use switchhook_adapters::twilio::twiml::{Document, Gather, Prompt, Say};
/// let say = Say::new("Which department?").language("en-US");
/// let gather = Gather {
///     action: Some("/twilio/menu?step=1".into()),
///     prompts: vec![Prompt::Say(say)],
///     ..Gather::default()
/// };
/// let xml = Document::new().gather(gather).hangup().to_xml()?;
/// assert!(xml.contains(r#"<Say language="en-US">Which department?</Say>"#));
/// # Ok::<(), switchhook_adapters::twilio::twiml::TwimlError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    verbs: Vec<Verb>,
}

impl Document {
    /// Without verbs: as an answer to a whisper it connects both parties, elsewhere it hangs up.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends any verb.
    #[must_use]
    pub fn with(mut self, verb: Verb) -> Self {
        self.verbs.push(verb);
        self
    }

    #[must_use]
    pub fn say(self, say: Say) -> Self {
        self.with(Verb::Say(say))
    }

    #[must_use]
    pub fn play(self, play: Play) -> Self {
        self.with(Verb::Play(play))
    }

    #[must_use]
    pub fn pause(self, seconds: u32) -> Self {
        self.with(Verb::Pause(seconds))
    }

    #[must_use]
    pub fn gather(self, gather: Gather) -> Self {
        self.with(Verb::Gather(gather))
    }

    #[must_use]
    pub fn record(self, record: Record) -> Self {
        self.with(Verb::Record(record))
    }

    #[must_use]
    pub fn dial(self, dial: Dial) -> Self {
        self.with(Verb::Dial(dial))
    }

    /// Goes on with another document, fetched by POST.
    #[must_use]
    pub fn redirect(self, url: impl Into<String>) -> Self {
        self.with(Verb::Redirect {
            url: url.into(),
            method: Method::Post,
        })
    }

    /// Refuses a call without answering it. Must be the first verb.
    #[must_use]
    pub fn reject(self, reason: RejectReason) -> Self {
        self.with(Verb::Reject(reason))
    }

    #[must_use]
    pub fn hangup(self) -> Self {
        self.with(Verb::Hangup)
    }

    #[must_use]
    pub fn connect(self, connect: Connect) -> Self {
        self.with(Verb::Connect(connect))
    }

    #[must_use]
    pub fn start_recording(self, recording: StartRecording) -> Self {
        self.with(Verb::StartRecording(recording))
    }

    pub fn verbs(&self) -> &[Verb] {
        &self.verbs
    }

    /// The document as it is sent: XML declaration first, no white space between elements.
    ///
    /// # Errors
    /// If Twilio would not take it.
    pub fn to_xml(&self) -> Result<String, TwimlError> {
        self.write(false)
    }

    /// The document for REST (`Twiml=`): at most [`MAX_INLINE`] characters, and all URLs absolute,
    /// because there is no document they could be relative to.
    ///
    /// # Errors
    /// As [`Document::to_xml`], or if it is too long or has a relative URL.
    pub fn to_inline_xml(&self) -> Result<String, TwimlError> {
        let xml = self.write(true)?;
        let size = xml.chars().count();
        if size > MAX_INLINE {
            return Err(TwimlError::TooLong {
                size,
                unit: "characters",
                limit: MAX_INLINE,
            });
        }
        Ok(xml)
    }

    fn write(&self, absolute: bool) -> Result<String, TwimlError> {
        let mut xml = Xml::new(absolute);
        xml.open("Response", &[]);
        for (place, verb) in self.verbs.iter().enumerate() {
            match verb {
                Verb::Say(say) => say.write(&mut xml),
                Verb::Play(play) => play.write(&mut xml)?,
                Verb::Pause(seconds) => verbs::write_pause(*seconds, &mut xml),
                Verb::Gather(gather) => gather.write(&mut xml)?,
                Verb::Record(record) => record.write(&mut xml)?,
                Verb::Dial(dial) => dial.write(&mut xml)?,
                Verb::Redirect { url, method } => {
                    let url = xml.url("Redirect", url)?;
                    xml.element("Redirect", &[("method", method.attribute())], &url);
                }
                Verb::Reject(reason) => {
                    if place > 0 {
                        return Err(TwimlError::Value {
                            what: "Reject",
                            problem: "it refuses only as the first verb; later the call was answered",
                        });
                    }
                    xml.empty("Reject", &[("reason", Some(reason.as_str().to_owned()))]);
                }
                Verb::Hangup => xml.empty("Hangup", &[]),
                Verb::Connect(connect) => connect.write(&mut xml)?,
                Verb::StartRecording(recording) => recording.write(&mut xml)?,
            }
        }
        xml.close("Response");
        let text = xml.finish();
        if text.len() > MAX_DOCUMENT {
            return Err(TwimlError::TooLong {
                size: text.len(),
                unit: "bytes",
                limit: MAX_DOCUMENT,
            });
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
