//! Dial: one or several legs rung, the first to answer bridged, and what the action is told.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use super::child::{self, ChildSpec, Report};
use super::{Run, Source, Step, conference};
use crate::carrier::amd::Wish;
use crate::carrier::leg::{Control, Leg, NewLeg, Status, Subscription};
use crate::carrier::people::Heard;
use crate::carrier::people::target::{Kind, Target};
use crate::carrier::recordings::{Callback, Recorder};
use crate::carrier::room::{self, May, Seat};
use crate::carrier::sign::{Params, pair};
use crate::carrier::twiml::Element;

/// Dial, timeout: the carrier always adds about so much.
const ADDED: Duration = Duration::from_secs(5);
/// Dial: nouns in one Dial.
const MOST: usize = 10;

/// The legs a Dial has begun; they end with it.
struct Children(Vec<Arc<Leg>>);

impl Children {
    fn hang_up(&self, which: impl Fn(usize) -> bool, status: Status) {
        for (_, leg) in self.0.iter().enumerate().filter(|(at, _)| which(*at)) {
            if !leg.status().is_final() {
                leg.tell(Control::HangUp(status));
            }
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.hang_up(|_| true, Status::Canceled);
    }
}

/// How a Dial ended.
struct Dialled {
    status: &'static str,
    bridged: bool,
    child: Option<Arc<Leg>>,
    /// Seconds, where they are told.
    talked_s: Option<u64>,
    recording: Option<String>,
}

pub(super) async fn dial(run: &Run, verb: &Element) -> Step {
    if let Some(noun) = verb.child("Conference") {
        return conference::dial(run, verb, noun).await;
    }
    // Errors: 13212 and 13216, a timeout outside 5 to 600 or a time limit of nothing.
    let timeout = verb.number("timeout", 30);
    if !(5..=600).contains(&timeout) {
        let text = format!("timeout=\"{timeout}\" is not within 5 to 600");
        run.shared.problem(13212, &run.leg.sid, text);
    }
    if verb.attribute("timeLimit").is_some() && verb.number("timeLimit", 0) == 0 {
        let text = "timeLimit must be positive".to_owned();
        run.shared.problem(13216, &run.leg.sid, text);
    }
    if !verb.is_true("answerOnBridge", false) {
        run.answer();
    }
    let result = match nouns(run, verb) {
        Ok(nouns) => ring(run, verb, &nouns, timeout.clamp(5, 600)).await,
        Err((code, text)) => {
            run.shared.problem(code, &run.leg.sid, text);
            Dialled {
                status: "failed",
                bridged: false,
                child: None,
                talked_s: None,
                recording: None,
            }
        }
    };
    let extra = told(run, &result);
    run.leg.state().on_hangup.dial = None;
    run.action(verb, extra).unwrap_or(Step::Next)
}

/// The parameters of the action: without `DialCallDuration` where the child went its own way.
fn told(run: &Run, result: &Dialled) -> Params {
    let mut extra = vec![
        pair("DialCallStatus", result.status),
        pair("DialBridged", result.bridged.to_string()),
    ];
    if let Some(child) = &result.child {
        extra.push(pair("DialCallSid", &child.sid));
        if child.is_sip {
            let state = child.state();
            if let Some(code) = state.sip_code {
                extra.push(pair("DialSipResponseCode", code.to_string()));
            }
            if let Some(call_id) = &state.sip_call_id {
                extra.push(pair("DialSipCallId", call_id));
            }
        }
    }
    if let Some(talked) = result.talked_s {
        extra.push(pair("DialCallDuration", talked.to_string()));
    }
    if let Some(sid) = &result.recording {
        extra.push(pair("RecordingUrl", run.shared.recording_url(sid)));
        extra.push(pair("RecordingSid", sid));
    }
    extra
}

/// Who is to be dialled, with the noun it came from.
type Noun<'a> = (Target, Option<&'a Element>);

/// The nouns, or which error forbids them.
fn nouns<'a>(run: &Run, verb: &'a Element) -> Result<Vec<Noun<'a>>, (u32, String)> {
    let mut found = Vec::new();
    if verb.children.is_empty() && !verb.text.is_empty() {
        let caller_id = caller_id(run, verb, Kind::Number)?;
        found.push((Target::number(&verb.text, caller_id)?, None));
    }
    for noun in &verb.children {
        let target = match noun.name.as_str() {
            "Number" => {
                let caller_id = caller_id(run, verb, Kind::Number)?;
                Target::number(&noun.text, caller_id)?
            }
            "Sip" => {
                let caller_id = caller_id(run, verb, Kind::Sip)?;
                let credentials = noun.attribute("username").map(|user| {
                    let password = noun.attribute("password").unwrap_or_default();
                    (user.to_owned(), password.to_owned())
                });
                Target::sip(&noun.text, caller_id, credentials)?
            }
            "Client" => {
                let caller_id = caller_id(run, verb, Kind::Client)?;
                let identity = noun.child("Identity").map_or(&noun.text, |i| &i.text);
                Target::client(identity, caller_id)
            }
            _ => continue,
        };
        found.push((target, Some(noun)));
    }
    if found.is_empty() || found.len() > MOST {
        let text = format!("<Dial> names {} parties; 1 to {MOST} may be", found.len());
        return Err((13223, text));
    }
    Ok(found)
}

/// Dial, callerId (Errors: 13214): caller, called, owned or verified; on a call from SIP neither
/// caller nor called. To SIP and clients any of `A-Za-z0-9+-_.`.
fn caller_id(run: &Run, verb: &Element, kind: Kind) -> Result<String, (u32, String)> {
    let leg = &run.leg;
    let Some(wanted) = verb.attribute("callerId") else {
        return Ok(leg.from.clone());
    };
    let allowed = match kind {
        Kind::Sip | Kind::Client => wanted
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-_.@:".contains(c)),
        Kind::Number => {
            let own = !leg.is_sip && (wanted == leg.from || wanted == leg.to);
            own || run.shared.may_call_as(wanted)
        }
    };
    if allowed {
        Ok(wanted.to_owned())
    } else {
        let text = "callerId is neither caller, called, owned nor verified".to_owned();
        Err((13214, text))
    }
}

async fn ring(run: &Run, verb: &Element, nouns: &[Noun<'_>], timeout_s: u64) -> Dialled {
    let shared = &run.shared;
    let (sender, mut reports) = unbounded_channel();
    let mut children = Children(Vec::new());
    run.leg.line.hear(Heard::Ringing);
    let mut tape = Tape::of(run, verb);
    tape.begin("ringing");
    if shared.config.dial_action_after_hangup {
        let extra = vec![
            pair("DialCallStatus", "canceled"),
            pair("DialBridged", "false"),
        ];
        let action = run.action(verb, extra);
        run.leg.state().on_hangup.dial = action.and_then(|step| match step {
            Step::Goto(source) => Some(source),
            Step::Next | Step::HangUp(_) => None,
        });
    }
    let sequential = verb.is_true("sequential", false);
    let mut waiting = nouns.iter().enumerate();
    let at_once = if sequential { 1 } else { nouns.len() };
    for (number, noun) in waiting.by_ref().take(at_once) {
        children.0.push(begin(run, number, noun, &sender));
    }
    let allowed = shared
        .config
        .pace
        .wall(Duration::from_secs(timeout_s) + ADDED);
    let mut due = Instant::now() + allowed;
    let mut winner: Option<usize> = None;
    let mut ringing = children.0.len();
    let mut worst = Status::Canceled;
    let chosen = loop {
        let report = tokio::select! {
            report = reports.recv() => report,
            () = sleep_until(due), if winner.is_none() => {
                // Call status callback: SipResponseCode 487 is the carrier's own timeout.
                children.hang_up(|_| true, Status::NoAnswer);
                due = Instant::now() + Duration::from_secs(3_600);
                continue;
            }
        };
        match report {
            Some(Report::Answered { child }) if winner.is_none() => {
                winner = Some(child);
                children.hang_up(|at| at != child, Status::Canceled);
            }
            Some(Report::Ready { child }) if winner == Some(child) => break Some((child, true)),
            Some(Report::Ended { child } | Report::Left { child }) if winner == Some(child) => {
                break Some((child, false));
            }
            Some(Report::Failed { status }) => {
                ringing -= 1;
                worst = graver(worst, status);
                if let (None, 0) = (winner, ringing) {
                    let Some((number, noun)) = waiting.next() else {
                        break None;
                    };
                    children.0.push(begin(run, number, noun, &sender));
                    ringing = 1;
                    due = Instant::now() + allowed;
                }
            }
            Some(
                Report::Answered { child }
                | Report::Ready { child }
                | Report::Ended { child }
                | Report::Left { child },
            ) => {
                // It answered together with the one that won.
                children.hang_up(|at| at == child && winner != Some(child), Status::Canceled);
            }
            // We hold a sender.
            None => break None,
        }
    };
    let Some((at, is_ready)) = chosen else {
        return Dialled {
            status: worst.as_str(),
            bridged: false,
            child: children.0.last().cloned(),
            talked_s: None,
            recording: None,
        };
    };
    let child = Arc::clone(&children.0[at]);
    if !is_ready {
        // A whisper that hangs up still says completed; DialBridged tells the truth.
        let talked_s = Some(child.talked_s(shared));
        return Dialled {
            status: "completed",
            bridged: false,
            child: Some(child),
            talked_s,
            recording: None,
        };
    }
    run.answer();
    if shared.config.dial_action_after_hangup
        && let Some(Source::Fetch { extra, .. }) = &mut run.leg.state().on_hangup.dial
    {
        *extra = vec![
            pair("DialCallStatus", "completed"),
            pair("DialBridged", "true"),
            pair("DialCallSid", &child.sid),
        ];
    }
    tape.begin("answer");
    let left = bridge(run, verb, at, &child, &mut reports).await;
    let talked_s = (!left).then(|| child.talked_s(shared));
    if !left {
        child.tell(Control::HangUp(Status::Completed));
    } else {
        // It goes its own way and must not end with this Dial.
        children.0.clear();
    }
    Dialled {
        status: "completed",
        bridged: true,
        child: Some(child),
        talked_s,
        recording: tape.stop(),
    }
}

/// Several that did not answer: the one that says most.
fn graver(one: Status, other: Status) -> Status {
    let weight = |status| match status {
        Status::Busy => 3,
        Status::NoAnswer => 2,
        Status::Failed => 1,
        Status::Queued
        | Status::Initiated
        | Status::Ringing
        | Status::InProgress
        | Status::Completed
        | Status::Canceled => 0,
    };
    if weight(other) > weight(one) {
        other
    } else {
        one
    }
}

fn begin(
    run: &Run,
    number: usize,
    (target, noun): &Noun<'_>,
    reports: &UnboundedSender<Report>,
) -> Arc<Leg> {
    let text = |name: &str| noun.and_then(|n| n.attribute(name));
    let resolved = |url: &str| run.resolve(url);
    let (leg, control) = Leg::create(
        &run.shared,
        NewLeg {
            direction: crate::carrier::leg::Direction::OutboundDial,
            from: target.caller_id.clone(),
            to: target.address.clone(),
            parent: Some(run.leg.sid.clone()),
            is_sip: target.kind == Kind::Sip,
            subscription: Subscription {
                url: text("statusCallback")
                    .and_then(resolved)
                    .unwrap_or_default(),
                method: text("statusCallbackMethod").unwrap_or("POST").to_owned(),
                events: text("statusCallbackEvent")
                    .unwrap_or_default()
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect(),
            },
        },
    );
    let whisper = text("url").filter(|url| !url.is_empty()).and_then(resolved);
    let spec = ChildSpec {
        number,
        target: target.clone(),
        whisper: whisper.map(|url| Source::Fetch {
            url,
            method: text("method").unwrap_or("POST").to_owned(),
            extra: Vec::new(),
        }),
        send_digits: text("sendDigits").map(str::to_owned),
        detection: noun.and_then(|noun| Wish::of_noun(noun, resolved)),
        reports: reports.clone(),
    };
    child::spawn(Arc::clone(&run.shared), Arc::clone(&leg), control, spec);
    leg
}

/// Both talk until one hangs up, `*` is pressed, or the time is over; true if the child was given
/// a document of its own.
async fn bridge(
    run: &Run,
    verb: &Element,
    at: usize,
    child: &Arc<Leg>,
    reports: &mut UnboundedReceiver<Report>,
) -> bool {
    let seats = [Seat::take(&run.leg.line), Seat::take(&child.line)];
    let limit = Duration::from_secs(verb.number("timeLimit", 14_400).max(1));
    let until = Instant::now() + run.shared.config.pace.wall(limit);
    let on_star = verb.is_true("hangupOnStar", false);
    let mut beat = room::beat();
    loop {
        tokio::select! {
            biased;
            report = reports.recv() => match report {
                Some(Report::Ended { child }) if child == at => return false,
                Some(Report::Left { child }) if child == at => return true,
                Some(_) => {}
                None => return false,
            },
            () = sleep_until(until) => return false,
            _ = beat.tick() => {
                let carried = room::carry(&[(&seats[0], May::BOTH), (&seats[1], May::BOTH)]);
                // hangupOnStar: the caller's star.
                if on_star && carried.keys.contains(&(0, '*')) {
                    return false;
                }
            }
        }
    }
}

/// The recording of a Dial; it is finished when the Dial ends, however.
struct Tape<'a> {
    run: &'a Run,
    wish: String,
    callback: Callback,
    recorder: Option<Recorder>,
}

impl<'a> Tape<'a> {
    fn of(run: &'a Run, verb: &Element) -> Self {
        let wish = match verb.attribute("record").unwrap_or_default() {
            "true" => "record-from-answer",
            "false" => "do-not-record",
            other => other,
        };
        Self {
            run,
            wish: wish.to_owned(),
            callback: Callback::of(verb, |url| run.resolve(url)),
            recorder: None,
        }
    }

    /// Dual: the parent is channel 1, the child is channel 2.
    fn begin(&mut self, from: &str) {
        if self.recorder.is_none() && self.wish.starts_with(&format!("record-from-{from}")) {
            let channels = if self.wish.ends_with("-dual") { 2 } else { 1 };
            let leg = &self.run.leg;
            self.recorder = Some(self.run.shared.start_recording(
                &leg.sid,
                None,
                "DialVerb",
                channels,
                leg.line.put_tap(),
                self.callback.clone(),
            ));
        }
    }

    fn stop(&mut self) -> Option<String> {
        let recorder = self.recorder.take()?;
        Some(self.run.shared.finish_recording(recorder))
    }
}

impl Drop for Tape<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}
