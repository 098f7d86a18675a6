//! What happened on each call, step by step, in the order in which the page is to show it. The
//! carrier keeps webhooks, verbs and what people heard apart; here they are brought into one row.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::Desk;
use crate::carrier::leg::Leg;
use crate::carrier::log::{Answer, CarrierLog, Verb, Webhook, WebhookKind, lock};
use crate::carrier::people::Heard;
use crate::carrier::people::target::plain;
use crate::carrier::shared::Shared;
use crate::carrier::sign::first;

/// Steps kept of a call.
const MOST: usize = 300;

/// One step of a call.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Step {
    /// Larger than that of every earlier step.
    n: u64,
    /// Milliseconds since 1970.
    at: i64,
    /// `status`, `leg`, `webhook`, `verb`, `said`, `voice`, `mine`, `keys`, `played`, `beep`,
    /// `ringing`, `music`, `mine_keys`, `report`, `problem`.
    kind: &'static str,
    /// Words, a status, a path, the name of a verb.
    text: String,
    /// What belongs to it: an answer's status, attributes, a language.
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

impl Step {
    pub(super) fn new(
        kind: &'static str,
        text: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            n: 0,
            at: Timestamp::now().as_millisecond(),
            kind,
            text: text.into(),
            detail: detail.into(),
        }
    }
}

/// How far each list was read, and what became of it.
#[derive(Debug, Default)]
pub(super) struct Journal {
    calls: HashMap<String, VecDeque<Step>>,
    legs: HashMap<String, Known>,
    webhooks: usize,
    /// Webhooks that were not answered when they were read.
    open: Vec<usize>,
    verbs: usize,
    problems: usize,
    count: u64,
}

/// What was read of a leg.
#[derive(Debug, Default)]
struct Known {
    status: &'static str,
    heard: usize,
}

/// Writes on whenever something changes, until the carrier stops.
pub(super) async fn keep(desk: Arc<Desk>) {
    let mut changes = desk.shared.pulse.changes();
    while !desk.shared.is_stopped() {
        changes.borrow_and_update();
        lock(&desk.journal).catch_up(&desk.shared);
        if changes.changed().await.is_err() {
            return;
        }
    }
}

impl Journal {
    /// Reads what is new.
    pub(super) fn catch_up(&mut self, shared: &Shared) {
        let legs = shared.state().legs.clone();
        let mut turned = Vec::new();
        for leg in &legs {
            let (status, is_over) = (leg.status().as_str(), leg.status().is_final());
            let known = self.legs.entry(leg.sid.clone()).or_default();
            if std::mem::replace(&mut known.status, status) != status {
                // What led to the end comes before it.
                if !is_over {
                    self.add(&leg.sid, Step::new("status", status, ""));
                }
                turned.push((leg, status, is_over));
            }
        }
        let log = shared.log();
        self.answers(&log);
        for verb in log.verbs.get(self.verbs..).unwrap_or_default() {
            // What is said and played is told by whoever hears it.
            if !matches!(verb.name.as_str(), "Say" | "Play") {
                self.add(&verb.call_sid, step_of(verb));
            }
        }
        self.verbs = log.verbs.len();
        for problem in log.problems.get(self.problems..).unwrap_or_default() {
            let step = Step::new("problem", &problem.text, problem.code.to_string());
            self.add(&problem.call_sid, step);
        }
        self.problems = log.problems.len();
        drop(log);
        for leg in &legs {
            self.heard(leg);
        }
        // Last: what dials comes before who is dialled.
        for (leg, status, is_over) in turned {
            if is_over {
                self.add(&leg.sid, Step::new("status", status, ""));
            }
            if let Some(parent) = &leg.parent {
                self.add(parent, Step::new("leg", plain(&leg.to), status));
            }
        }
    }

    /// The steps of a call, the oldest first.
    pub(super) fn of(&self, call_sid: &str) -> Vec<Step> {
        let steps = self.calls.get(call_sid);
        steps.map_or_else(Vec::new, |steps| steps.iter().cloned().collect())
    }

    /// Something that was done by the page.
    pub(super) fn add(&mut self, call_sid: &str, mut step: Step) {
        self.count += 1;
        step.n = self.count;
        let steps = self.calls.entry(call_sid.to_owned()).or_default();
        if steps.len() >= MOST {
            steps.pop_front();
        }
        steps.push_back(step);
    }

    fn answers(&mut self, log: &CarrierLog) {
        let fresh = self.webhooks..log.webhooks.len();
        self.webhooks = log.webhooks.len();
        let unread: Vec<usize> = self.open.drain(..).chain(fresh).collect();
        for at in unread {
            let Some(webhook) = log.webhooks.get(at) else {
                continue;
            };
            match step_of_webhook(webhook) {
                Some(step) => {
                    if let Some(sid) = first(&webhook.params, "CallSid") {
                        self.add(sid, step);
                    }
                }
                None => self.open.push(at),
            }
        }
    }

    fn heard(&mut self, leg: &Leg) {
        let known = self.legs.entry(leg.sid.clone()).or_default();
        let state = leg.line.state();
        let fresh = state.heard.get(known.heard..).unwrap_or_default().to_vec();
        known.heard = state.heard.len();
        drop(state);
        for heard in &fresh {
            self.add(&leg.sid, step_of_heard(heard));
        }
    }
}

/// None while it is not answered.
fn step_of_webhook(webhook: &Webhook) -> Option<Step> {
    let kind = match webhook.kind {
        WebhookKind::Twiml => "webhook",
        WebhookKind::CallStatus
        | WebhookKind::Recording
        | WebhookKind::Amd
        | WebhookKind::Stream
        | WebhookKind::Conference
        | WebhookKind::Message
        | WebhookKind::Partial => "report",
    };
    let detail = match &webhook.answer {
        Answer::Pending => return None,
        Answer::Http { status, .. } => status.to_string(),
        Answer::Failed { code, .. } => code.to_string(),
    };
    Some(Step::new(kind, webhook.path(), detail))
}

fn step_of(verb: &Verb) -> Step {
    // What somebody wants to see at a glance; URLs are not.
    let shown = ["input", "language", "timeout", "answerOnBridge", "length"];
    let attributes = verb.attributes.iter();
    let detail: Vec<String> = attributes
        .filter(|(name, _)| shown.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    Step::new("verb", &verb.name, detail.join(" "))
}

fn step_of_heard(heard: &Heard) -> Step {
    match heard {
        Heard::Said { text, language, .. } => {
            Step::new("said", text, language.clone().unwrap_or_default())
        }
        Heard::Voice { text } => Step::new("voice", text, ""),
        Heard::Played { url } => Step::new("played", url, ""),
        Heard::Keys { digits } => Step::new("keys", digits, ""),
        Heard::Beep => Step::new("beep", "", ""),
        Heard::Ringing => Step::new("ringing", "", ""),
        Heard::Music { url } => Step::new("music", url, ""),
    }
}
