//! What the page may do. Everything is JSON; a refusal has a code for which the page has words.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::journal::Step;
use super::{Desk, Refusal};
use crate::carrier::CallIn;
use crate::carrier::leg::{Leg, Status};
use crate::carrier::log::lock;
use crate::carrier::messages::{Fate, MessageFate};
use crate::carrier::people::target::is_e164;
use crate::carrier::people::{Behaviour, Party, Then};

/// Calls under way at once that the page may begin.
const MOST_CALLS: usize = 20;
/// Phones on the page.
const MOST_PHONES: usize = 24;
/// Characters typed at once.
const MOST_CHARS: usize = 1_000;
/// Keys pressed at once.
const MOST_KEYS: usize = 32;
/// A mailbox's greeting.
const GREETING: Duration = Duration::from_secs(4);

type Desks = State<Arc<Desk>>;
type Body<T> = Result<Json<T>, JsonRejection>;
type Answer = Result<Json<Value>, Refusal>;

fn bad(message: &'static str) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, "bad_request", message)
}

fn body<T>(body: Body<T>) -> Result<T, Refusal> {
    body.map(|Json(body)| body)
        .map_err(|_| bad("the fields are not as they should be"))
}

fn done() -> Answer {
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
pub(super) struct CallRequest {
    from: String,
    /// The account's first number, if missing.
    to: Option<String>,
}

/// `POST /lab/calls`: somebody calls in. Answers with the `sid` of the call.
pub(super) async fn call_in(State(desk): Desks, given: Body<CallRequest>) -> Answer {
    let CallRequest { from, to } = body(given)?;
    let from: String = from.chars().filter(|c| !" -()/".contains(*c)).collect();
    if !is_e164(&from) && from != "anonymous" {
        let message = "the caller's number must be in E.164, such as +12025550123";
        return Err(Refusal(StatusCode::BAD_REQUEST, "bad_number", message));
    }
    let (to, live) = {
        let state = desk.shared.state();
        let is_live = |leg: &&Arc<Leg>| leg.direction.comes_in() && !leg.status().is_final();
        let first = state.numbers.first().map(|number| number.number.clone());
        (to.or(first), state.legs.iter().filter(is_live).count())
    };
    if live >= MOST_CALLS {
        let message = "hang up another call first";
        return Err(Refusal(StatusCode::TOO_MANY_REQUESTS, "too_many", message));
    }
    let to = to.ok_or(bad("the account has no number"))?;
    let party = desk
        .shared
        .call_in(CallIn::new(&from, &to))
        .map_err(|_| bad("that number is not the account's"))?;
    Ok(Json(json!({ "sid": party.call_sid() })))
}

#[derive(Deserialize)]
pub(super) struct Words {
    text: String,
    /// Of the voice that says it where only sound is understood: `en`, `de`.
    language: Option<String>,
}

/// `POST /lab/calls/SID/say`: words typed, said when it is the person's turn. Where a stream listens
/// they are spoken, if there is a voice.
pub(super) async fn say(State(desk): Desks, Path(sid): Path<String>, given: Body<Words>) -> Answer {
    let Words { text, language } = body(given)?;
    let text = text.trim();
    if text.is_empty() || text.chars().count() > MOST_CHARS {
        return Err(bad("give 1 to 1000 characters"));
    }
    let (leg, party) = desk.party(&sid)?;
    if matches!(desk.listens(&leg), Some("stream" | "trunk")) {
        let spoken = match &desk.speech {
            Some(speech) => speech.speak(text, language.as_deref()).await,
            None => None,
        };
        let message = "only sound is heard there: use the microphone or a file";
        let silent = Refusal(StatusCode::CONFLICT, "sound_only", message);
        party.plays_audio(&spoken.ok_or(silent)?);
    } else {
        party.says(text);
    }
    lock(&desk.journal).add(&sid, Step::new("mine", text, ""));
    desk.shared.pulse.beat();
    done()
}

#[derive(Deserialize)]
pub(super) struct Keys {
    digits: String,
}

/// `POST /lab/calls/SID/keys`: keys, at once.
pub(super) async fn keys(State(desk): Desks, Path(sid): Path<String>, given: Body<Keys>) -> Answer {
    let Keys { digits } = body(given)?;
    let is_key = |c: char| c.is_ascii_digit() || "*#".contains(c);
    if digits.is_empty() || digits.len() > MOST_KEYS || !digits.chars().all(is_key) {
        return Err(bad("keys are 0 to 9, * and #"));
    }
    let (_, party) = desk.party(&sid)?;
    party.presses_now(&digits);
    lock(&desk.journal).add(&sid, Step::new("mine_keys", &digits, ""));
    desk.shared.pulse.beat();
    done()
}

/// `POST /lab/calls/SID/hangup`.
pub(super) async fn hang_up(State(desk): Desks, Path(sid): Path<String>) -> Answer {
    let (_, party) = desk.party(&sid)?;
    party.hangs_up();
    done()
}

/// `POST /lab/calls/SID/answer`: the handset that rings with this leg is taken up.
pub(super) async fn answer(State(desk): Desks, Path(sid): Path<String>) -> Answer {
    desk.decide(&sid, true)
}

/// `POST /lab/calls/SID/decline`.
pub(super) async fn decline(State(desk): Desks, Path(sid): Path<String>) -> Answer {
    desk.decide(&sid, false)
}

#[derive(Deserialize)]
pub(super) struct PhoneRequest {
    /// `2001`, a number, a SIP address.
    name: String,
    does: String,
}

/// `POST /lab/phones`: what a phone does when it is rung; a new one is put on the page.
pub(super) async fn phone(State(desk): Desks, given: Body<PhoneRequest>) -> Answer {
    let PhoneRequest { name, does } = body(given)?;
    let name: String = name.chars().filter(|c| !c.is_whitespace()).collect();
    let is_extension = (1..=10).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_digit());
    let is_sip = name.starts_with("sip:") && name.len() <= 128 && name.is_ascii();
    if !is_extension && !is_sip && !is_e164(&name) {
        let message = "a phone is an extension, a number in E.164 or a SIP address";
        return Err(Refusal(StatusCode::BAD_REQUEST, "bad_number", message));
    }
    let behaviour = match does.as_str() {
        "by_hand" => Behaviour::AnswersWhenTold(Then::stays().by_hand()),
        "no_answer" => Behaviour::NoAnswer,
        "busy" => Behaviour::Busy,
        "declines" => Behaviour::Rejects,
        "unreachable" => Behaviour::Unreachable,
        "machine" => Behaviour::machine(GREETING),
        _ => return Err(bad("no phone does that")),
    };
    let is_known = lock(&desk.handsets).iter().any(|one| one.name == name);
    if !is_known && lock(&desk.handsets).len() >= MOST_PHONES {
        let message = "there are phones enough on this page";
        return Err(Refusal(StatusCode::TOO_MANY_REQUESTS, "too_many", message));
    }
    desk.plug_in(&name, behaviour);
    desk.shared.pulse.beat();
    done()
}

#[derive(Deserialize)]
pub(super) struct RecipientRequest {
    /// `+49…` or `whatsapp:+49…`.
    address: String,
    fate: String,
}

/// `POST /lab/recipients`: what becomes of messages to somebody from now on.
pub(super) async fn recipient(State(desk): Desks, given: Body<RecipientRequest>) -> Answer {
    let RecipientRequest { address, fate } = body(given)?;
    if !is_e164(address.strip_prefix("whatsapp:").unwrap_or(&address)) {
        let message = "a recipient is a number in E.164, perhaps behind whatsapp:";
        return Err(Refusal(StatusCode::BAD_REQUEST, "bad_number", message));
    }
    let mut state = desk.shared.state();
    match fate.as_str() {
        // WhatsApp: free text for 24 hours from now on.
        "writes" => {
            state.windows.insert(address);
        }
        "delivered" => {
            state
                .fates
                .insert(address, MessageFate::of(Fate::Delivered));
        }
        "read" => {
            state.fates.insert(address, MessageFate::of(Fate::Read));
        }
        // Messages: 30005, unknown destination; 21610, the recipient has opted out.
        "undelivered" => {
            let fate = MessageFate::of(Fate::Undelivered(30005));
            state.fates.insert(address, fate);
        }
        "refused" => {
            state
                .fates
                .insert(address, MessageFate::of(Fate::Refused(21610)));
        }
        "not_joined" => {
            state.fates.insert(address, MessageFate::not_joined());
        }
        _ => return Err(bad("no message ends like that")),
    }
    drop(state);
    desk.shared.pulse.beat();
    done()
}

impl Desk {
    /// Somebody who is on the line.
    fn party(&self, sid: &str) -> Result<(Arc<Leg>, Party), Refusal> {
        let missing = Refusal(StatusCode::NOT_FOUND, "no_call", "there is no such call");
        let leg = self.shared.leg(sid).ok_or(missing)?;
        if leg.status().is_final() {
            return Err(Refusal(StatusCode::GONE, "over", "the call is over"));
        }
        let party = Party::new(Arc::clone(&leg.line), &leg.sid);
        Ok((leg, party))
    }

    fn decide(&self, sid: &str, answers: bool) -> Answer {
        let missing = Refusal(
            StatusCode::NOT_FOUND,
            "no_call",
            "nothing rings by that name",
        );
        let leg = self.shared.leg(sid).ok_or(missing)?;
        if leg.status() != Status::Ringing {
            let message = "it does not ring any more";
            return Err(Refusal(StatusCode::GONE, "over", message));
        }
        let handsets = lock(&self.handsets);
        let mut handsets = handsets.iter();
        let rung = handsets.find(|one| one.phone.rings().iter().any(|ring| ring.call_sid == sid));
        let rung = rung.ok_or(Refusal(
            StatusCode::NOT_FOUND,
            "no_call",
            "no phone of the page rings with that",
        ))?;
        rung.phone.decides(sid, answers);
        done()
    }
}
