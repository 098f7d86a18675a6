//! Executing documents on a leg: fetched, run verb by verb, replaced in the middle.
//!
//! A verb is a future; whatever interrupts it (a live update, a hang-up) drops it, and what it had
//! begun beside itself (dialled legs, a stream, a seat in a conference) ends with its guards.

mod child;
pub(super) mod conference;
mod connect;
mod dial;
mod ear;
mod gather;
pub(super) mod record;
mod speak;

pub(super) use child::hung_up;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use url::Url;

use super::Shared;
use super::leg::{Control, Leg, OnHangup, Status};
use super::log::{Verb, WebhookKind};
use super::people::Heard;
use super::sign::{Params, pair};
use super::twiml::{self, Element};
use super::webhooks::{Ask, Failed, Got};

/// A call whose documents lead nowhere is ended after so many.
const DOCUMENTS: usize = 500;

/// Where a document comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// From the application.
    Fetch {
        url: String,
        method: String,
        /// What the verb before adds to the standard parameters.
        extra: Params,
    },
    /// Given with a REST request.
    Inline(String),
}

/// Where a document runs: decides which verbs it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On a leg of its own.
    Call,
    /// On a called leg before the bridge (Number, Sip: url).
    Whisper,
    /// While somebody waits for a conference (Conference: waitUrl).
    Wait,
}

/// How the documents of a leg ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// There are no verbs left.
    RanOut,
    /// A verb or an error ended the call.
    HungUp(Status),
    /// The person hung up.
    Gone,
    /// The API, or the other side of a bridge, hung up.
    Killed(Status),
}

/// What comes after a verb.
pub(super) enum Step {
    Next,
    Goto(Source),
    HangUp(Status),
}

/// A document being run.
pub(super) struct Run {
    pub shared: Arc<Shared>,
    pub leg: Arc<Leg>,
    pub place: Place,
    /// What relative URLs are relative to; `None` for a document given inline.
    pub base: Option<String>,
}

/// Runs documents until they end or somebody ends them.
pub(super) fn run<'a>(
    shared: &'a Arc<Shared>,
    leg: &'a Arc<Leg>,
    control: &'a mut UnboundedReceiver<Control>,
    source: Source,
    place: Place,
) -> BoxFuture<'a, Outcome> {
    Box::pin(async move {
        let mut source = source;
        loop {
            let told = tokio::select! {
                biased;
                told = control.recv() => told,
                () = leg.line.gone() => return Outcome::Gone,
                outcome = documents(shared, leg, source, place) => return outcome,
            };
            match told {
                Some(Control::Replace(next)) => source = next,
                Some(Control::HangUp(status)) => return Outcome::Killed(status),
                // The leg holds the sender.
                None => return Outcome::Killed(Status::Completed),
            }
            let left = std::mem::take(&mut leg.state().on_hangup);
            after_hangup(shared, leg, left, false).await;
        }
    })
}

/// Runs documents on a leg to its end, and ends the leg.
pub(super) async fn run_to_end(
    shared: &Arc<Shared>,
    leg: &Arc<Leg>,
    control: &mut UnboundedReceiver<Control>,
    source: Source,
) {
    let (status, by_person) = match run(shared, leg, control, source, Place::Call).await {
        Outcome::RanOut => (Status::Completed, false),
        Outcome::HungUp(status) | Outcome::Killed(status) => (status, false),
        Outcome::Gone => (Status::Completed, true),
    };
    // An inbound call that nobody answered and the caller gave up.
    let was_answered = leg.state().answered_at.is_some();
    let status = match status {
        Status::Completed if !was_answered && by_person => Status::NoAnswer,
        other => other,
    };
    shared.finish(leg, status, by_person).await;
}

/// What a verb left to be done when the person hung up in its middle.
/// A recording is kept also if the API ended the call; its action is for a person who hung up.
pub(super) async fn after_hangup(
    shared: &Arc<Shared>,
    leg: &Arc<Leg>,
    left: OnHangup,
    by_person: bool,
) {
    let recorded = left
        .record
        .map(|unfinished| record::finish(shared, leg, unfinished, "hangup"));
    for source in [recorded, left.dial].into_iter().flatten() {
        if by_person {
            ask_without_effect(shared, leg, source).await;
        }
    }
}

async fn ask_without_effect(shared: &Arc<Shared>, leg: &Arc<Leg>, source: Source) {
    if let Source::Fetch { url, method, extra } = source {
        let ask = ask_of(shared, leg, &url, &method, &extra);
        if let Err(failed) = shared.ask(ask).await {
            shared.problem(failed.code, &leg.sid, failed.cause);
        }
    }
}

async fn documents(shared: &Arc<Shared>, leg: &Arc<Leg>, first: Source, place: Place) -> Outcome {
    let mut source = first;
    for _ in 0..DOCUMENTS {
        let (verbs, base) = match document(shared, leg, &source, place).await {
            Ok(read) => read,
            // A failing waitUrl drops the participant out of the conference.
            Err(_) if place == Place::Wait => return Outcome::HungUp(Status::Completed),
            Err(failed) => return give_up(shared, leg, &failed).await,
        };
        let run = Run {
            shared: Arc::clone(shared),
            leg: Arc::clone(leg),
            place,
            base,
        };
        for text in twiml::warnings(&verbs) {
            shared.problem(12200, &leg.sid, text);
        }
        match run.verbs(&verbs).await {
            Step::Next => return Outcome::RanOut,
            Step::Goto(next) => source = next,
            Step::HangUp(status) => return Outcome::HungUp(status),
        }
    }
    let text =
        format!("more than {DOCUMENTS} documents; the application sends the call in circles");
    shared.problem(12200, &leg.sid, text);
    Outcome::HungUp(Status::Completed)
}

/// Fallback URL: "if both fail the caller hears an application error and the call ends".
async fn give_up(shared: &Arc<Shared>, leg: &Arc<Leg>, failed: &Failed) -> Outcome {
    leg.state().error = Some((failed.code, failed.cause.clone()));
    if leg.status() == Status::Ringing {
        shared.advance(leg, Status::InProgress);
    }
    leg.line.hear(Heard::Said {
        text: "We are sorry, an application error has occurred. Goodbye.".to_owned(),
        voice: None,
        language: None,
        to_end: true,
    });
    Outcome::HungUp(Status::Completed)
}

type Document = (Vec<Element>, Option<String>);

async fn document(
    shared: &Arc<Shared>,
    leg: &Arc<Leg>,
    source: &Source,
    place: Place,
) -> Result<Document, Failed> {
    let (url, method, extra) = match source {
        Source::Inline(text) => {
            return match twiml::parse(text.as_bytes()) {
                Ok(verbs) => Ok((verbs, None)),
                Err(unreadable) => {
                    shared.problem(unreadable.code, &leg.sid, unreadable.text.clone());
                    Err(Failed {
                        code: unreadable.code,
                        cause: unreadable.text,
                    })
                }
            };
        }
        Source::Fetch { url, method, extra } => (url, method, extra),
    };
    let failed = match fetch(shared, leg, url, method, extra).await {
        Ok(document) => return Ok(document),
        Err(failed) => failed,
    };
    shared.problem(failed.code, &leg.sid, failed.cause.clone());
    // Fallback URL: the standard parameters, ErrorCode and ErrorUrl.
    let fallback = leg.state().fallback.clone();
    let is_for_call = |(fallback, _): &(String, String)| fallback != url && place != Place::Wait;
    let Some((fallback, method)) = fallback.filter(is_for_call) else {
        return Err(failed);
    };
    let extra = vec![
        pair("ErrorCode", failed.code.to_string()),
        pair("ErrorUrl", url),
    ];
    let second = fetch(shared, leg, &fallback, &method, &extra).await;
    second.inspect_err(|failed| shared.problem(failed.code, &leg.sid, failed.cause.clone()))
}

async fn fetch(
    shared: &Arc<Shared>,
    leg: &Arc<Leg>,
    url: &str,
    method: &str,
    extra: &Params,
) -> Result<Document, Failed> {
    let ask = ask_of(shared, leg, url, method, extra);
    let beside = Arc::clone(shared);
    // A hang-up does not take back a request that is under way.
    let asked = shared.beside(async move { beside.ask(ask).await }).await;
    let got = asked.unwrap_or_else(|error| {
        Err(Failed {
            code: 11200,
            cause: error.to_string(),
        })
    })?;
    if got.status >= 400 || got.status < 200 {
        return Err(Failed {
            code: 11200,
            cause: format!("{url} answered {}", got.status),
        });
    }
    let verbs = verbs_of(&got).map_err(|unreadable| Failed {
        code: unreadable.code,
        cause: format!("{url}: {}", unreadable.text),
    })?;
    Ok((verbs, Some(got.url)))
}

fn ask_of(shared: &Arc<Shared>, leg: &Arc<Leg>, url: &str, method: &str, extra: &Params) -> Ask {
    let mut params = leg.params(shared);
    params.extend(extra.iter().cloned());
    Ask {
        kind: WebhookKind::Twiml,
        leg: Some(Arc::clone(leg)),
        url: url.to_owned(),
        method: method.to_owned(),
        params,
    }
}

/// Response Content-Type handling: XML is TwiML, audio is played, plain text is TwiML or read aloud.
fn verbs_of(got: &Got) -> Result<Vec<Element>, twiml::Unreadable> {
    let kind = got.content_type.split(';').next().unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    let simple = |name: &str, text: &str| Element {
        name: name.to_owned(),
        attributes: Vec::new(),
        children: Vec::new(),
        text: text.to_owned(),
    };
    match kind.as_str() {
        "text/xml" | "application/xml" | "text/html" => twiml::parse(&got.body),
        "text/plain" => Ok(twiml::parse(&got.body).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(&got.body);
            vec![simple("Say", &text), simple("Hangup", "")]
        })),
        audio if audio.starts_with("audio/") => {
            Ok(vec![simple("Play", &got.url), simple("Hangup", "")])
        }
        _ if got.body.is_empty() => twiml::parse(b""),
        other => Err(twiml::Unreadable {
            code: 12300,
            text: format!("Content-Type is {other:?}; it must be text/xml"),
        }),
    }
}

impl Run {
    async fn verbs(&self, verbs: &[Element]) -> Step {
        for (at, verb) in verbs.iter().enumerate() {
            self.note(verb);
            if !self.allows(&verb.name) {
                // Number url: a Dial there is 13201; waitUrl: other verbs are 13238.
                let code = if self.place == Place::Wait {
                    13238
                } else {
                    13201
                };
                let text = format!("<{}> may not stand here", verb.name);
                self.shared.problem(code, &self.leg.sid, text);
                return Step::HangUp(Status::Completed);
            }
            let step = match verb.name.as_str() {
                "Say" => speak::say(self, verb).await,
                "Play" => speak::play(self, verb).await,
                "Pause" => speak::pause(self, verb).await,
                "Gather" => gather::gather(self, verb).await,
                "Record" => record::record(self, verb).await,
                "Dial" => dial::dial(self, verb).await,
                "Connect" => connect::connect(self, verb).await,
                "Start" => connect::start(self, verb),
                "Stop" => connect::stop(self, verb),
                "Redirect" => match self.source(&verb.text, verb, Vec::new()) {
                    Some(source) => Step::Goto(source),
                    None => Step::HangUp(Status::Completed),
                },
                "Reject" => self.reject(verb, at == 0),
                "Hangup" => {
                    self.answer();
                    Step::HangUp(Status::Completed)
                }
                // Unknown to the carrier (already warned of), or more than the stand-in does.
                other => {
                    let text = format!("<{other}> is not executed");
                    self.shared.problem(12200, &self.leg.sid, text);
                    Step::Next
                }
            };
            match step {
                Step::Next => {}
                Step::Goto(_) | Step::HangUp(_) => return step,
            }
        }
        Step::Next
    }

    fn allows(&self, verb: &str) -> bool {
        match self.place {
            Place::Call => true,
            Place::Whisper => !matches!(verb, "Dial" | "Enqueue" | "Connect"),
            Place::Wait => matches!(verb, "Say" | "Play" | "Pause" | "Redirect"),
        }
    }

    fn note(&self, verb: &Element) {
        self.shared.log().verbs.push(Verb {
            call_sid: self.leg.sid.clone(),
            name: verb.name.clone(),
            attributes: verb.attributes.clone(),
            text: verb.text.clone(),
        });
        self.shared.pulse.beat();
    }

    /// Answers an incoming call that still rings: most verbs do.
    fn answer(&self) {
        if self.leg.direction.comes_in() && self.leg.status() == Status::Ringing {
            self.shared.advance(&self.leg, Status::InProgress);
        }
    }

    /// Reject: only as the first verb of a call that was not answered; SIP sees 486 for busy and
    /// 404 for rejected.
    fn reject(&self, verb: &Element, is_first: bool) -> Step {
        if !is_first || self.leg.status() != Status::Ringing {
            let text = "<Reject> must be the first verb of an unanswered call".to_owned();
            self.shared.problem(12200, &self.leg.sid, text);
            return Step::HangUp(Status::Completed);
        }
        let (status, sip) = match verb.attribute("reason") {
            Some("busy") => (Status::Busy, 486),
            _ => (Status::Failed, 404),
        };
        self.leg.state().sip_code = Some(sip);
        Step::HangUp(status)
    }

    /// An absolute URL. Relative ones are relative to the document; in a document given inline
    /// there are none (Errors: 11100).
    pub(super) fn resolve(&self, url: &str) -> Option<String> {
        if url.starts_with("http://") || url.starts_with("https://") {
            return Some(url.to_owned());
        }
        let base = self.base.as_deref().and_then(|base| Url::parse(base).ok());
        let resolved = base.and_then(|base| base.join(url).ok());
        if resolved.is_none() {
            let text = format!("{url:?} is not absolute");
            self.shared.problem(11100, &self.leg.sid, text);
        }
        resolved.map(String::from)
    }

    /// The document at a URL, fetched by the verb's method.
    fn source(&self, url: &str, verb: &Element, extra: Params) -> Option<Source> {
        Some(Source::Fetch {
            url: self.resolve(url)?,
            method: verb.attribute("method").unwrap_or("POST").to_owned(),
            extra,
        })
    }

    /// The document of the verb's `action`, if it has one.
    fn action(&self, verb: &Element, extra: Params) -> Option<Step> {
        let action = verb.attribute("action").filter(|a| !a.is_empty())?;
        Some(match self.source(action, verb, extra) {
            Some(source) => Step::Goto(source),
            None => Step::HangUp(Status::Completed),
        })
    }

    /// The same for verbs whose `action` is the current document where none is given.
    fn action_or_self(&self, verb: &Element, extra: Params) -> Step {
        let action = verb.attribute("action").filter(|a| !a.is_empty());
        let own = action.or(self.base.as_deref()).unwrap_or_default();
        match self.source(own, verb, extra) {
            Some(source) => Step::Goto(source),
            None => Step::HangUp(Status::Completed),
        }
    }

    /// Sleeps in carrier time.
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(self.shared.config.pace.wall(time)).await;
    }

    /// Waits for a person, so long in carrier time; longer for one who was not told to be silent.
    async fn patiently<T>(&self, time: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let (began, pace) = (Instant::now(), self.shared.config.pace);
        let due = began + pace.wall(time);
        let found = self.shared.pulse.until(due, &mut look).await;
        if found.is_some() {
            return found;
        }
        let line = &self.leg.line;
        // Somebody is in the middle of a sentence: it is heard out.
        let heard_out = || match look() {
            Some(found) => Some(Some(found)),
            None => (!line.state().speaking).then_some(None),
        };
        if let Some(found) = self.shared.pulse.when(heard_out).await {
            return Some(found);
        }
        let late = due.max(began + pace.grace);
        let look = || match look() {
            Some(found) => Some(Some(found)),
            None => line.state().silent.then_some(None),
        };
        self.shared.pulse.until(late, look).await.flatten()
    }
}
