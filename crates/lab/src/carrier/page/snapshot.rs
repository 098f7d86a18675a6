//! Everything the page shows, as one JSON value.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Desk;
use super::journal::Journal;
use crate::carrier::Number;
use crate::carrier::leg::{Direction, Leg, Status};
use crate::carrier::log::lock;
use crate::carrier::messages::Message;

/// Calls and messages shown.
const MOST_CALLS: usize = 30;
const MOST_MESSAGES: usize = 50;
/// Times a phone was rung that are shown.
const MOST_RINGS: usize = 3;

impl Desk {
    pub(super) fn snapshot(&self) -> Value {
        let shared = &self.shared;
        let (numbers, legs, messages) = {
            let state = shared.state();
            let from = state.legs.len().saturating_sub(MOST_CALLS);
            let legs: Vec<Arc<Leg>> = state.legs[from..].to_vec();
            let messages: Vec<Message> = state
                .messages
                .iter()
                .rev()
                .take(MOST_MESSAGES)
                .cloned()
                .collect();
            let number = |n: &Number| json!({ "number": n.number, "trunk": n.is_on_trunk });
            let numbers: Vec<Value> = state.numbers.iter().map(number).collect();
            (numbers, legs, messages)
        };
        let calls: Vec<Value> = {
            let mut journal = lock(&self.journal);
            journal.catch_up(shared);
            let calls = legs.iter().rev();
            calls.map(|leg| self.call(leg, &journal)).collect()
        };
        json!({
            "account": shared.config.account_sid,
            "numbers": numbers,
            "gateway": self.gateway,
            "speech": self.speech_is_ready(),
            "calls": calls,
            "phones": self.phones(),
            "messages": messages.iter().map(message).collect::<Vec<_>>(),
        })
    }

    fn call(&self, leg: &Leg, journal: &Journal) -> Value {
        let status = leg.status();
        let waiting = leg.line.state().pending.len();
        json!({
            "sid": leg.sid,
            "parent": leg.parent,
            "direction": leg.direction.as_str(),
            "from": leg.from,
            "to": leg.to,
            "status": status.as_str(),
            "over": status.is_final(),
            "listens": self.listens(leg),
            "waiting": waiting,
            "seconds": leg.talked_s(&self.shared),
            "steps": journal.of(&leg.sid),
        })
    }

    /// Who listens to the person now: `speech`, `keys`, `both`, `stream`, `record`, `people`, `trunk`
    /// (somebody beyond it), or nobody.
    pub(super) fn listens(&self, leg: &Leg) -> Option<&'static str> {
        if leg.status().is_final() || !leg.line.is_listened_to() {
            return None;
        }
        if self.is_beside_trunk(leg) {
            return Some("trunk");
        }
        let log = self.shared.log();
        let mut verbs = log.verbs.iter().rev().filter(|v| v.call_sid == leg.sid);
        // Say, Play and Pause may be nested in what listens.
        let verb = verbs.find(|v| !matches!(v.name.as_str(), "Say" | "Play" | "Pause" | "Start"));
        let Some(verb) = verb else {
            return Some("people");
        };
        match verb.name.as_str() {
            "Gather" => {
                let input = verb.attributes.iter().find(|(name, _)| name == "input");
                let input = input.map_or("dtmf", |(_, value)| value.as_str());
                Some(match (input.contains("speech"), input.contains("dtmf")) {
                    (true, true) => "both",
                    (true, false) => "speech",
                    (false, _) => "keys",
                })
            }
            "Connect" => Some("stream"),
            "Record" => Some("record"),
            _ => Some("people"),
        }
    }

    /// Whether the other person is at the far end of the trunk, where words cannot be sent.
    fn is_beside_trunk(&self, leg: &Leg) -> bool {
        let parent = leg.parent.as_deref().and_then(|sid| self.shared.leg(sid));
        leg.direction == Direction::TrunkOriginating
            || parent.is_some_and(|parent| parent.direction == Direction::TrunkTerminating)
    }

    fn phones(&self) -> Vec<Value> {
        let handsets = lock(&self.handsets);
        let phones = handsets.iter().map(|handset| {
            let rings = handset.phone.rings();
            let rings: Vec<Value> = rings
                .iter()
                .rev()
                .filter_map(|ring| {
                    let leg = self.shared.leg(&ring.call_sid)?;
                    let state = match leg.status() {
                        Status::Queued | Status::Initiated | Status::Ringing => "ringing",
                        Status::InProgress => "talking",
                        other => other.as_str(),
                    };
                    Some(json!({ "sid": ring.call_sid, "from": ring.from, "state": state }))
                })
                .take(MOST_RINGS)
                .collect();
            json!({ "name": handset.name, "does": handset.does, "rings": rings })
        });
        phones.collect()
    }
}

fn message(message: &Message) -> Value {
    json!({
        "sid": message.sid,
        "from": message.from,
        "to": message.to,
        "body": message.body,
        "template": message.content_sid,
        "variables": message.content_variables,
        "status": message.status,
        "history": message.history,
        "error": message.error_code,
        "at": message.created.as_millisecond(),
    })
}
