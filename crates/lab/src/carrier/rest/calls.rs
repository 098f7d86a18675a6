//! Calls: created, shown, changed while they live.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, Refusal, Reply, Request, page};
use crate::carrier::Shared;
use crate::carrier::amd::Wish;
use crate::carrier::executor::Source;
use crate::carrier::leg::{Control, Direction, Leg, NewLeg, Status, Subscription};
use crate::carrier::outbound::{Order, Purpose};
use crate::carrier::people::target::{Kind, Target, is_e164};
use crate::carrier::recordings::Callback;
use crate::carrier::sign::all;

/// Calls: `Twiml` holds at most so many characters.
const TWIML_CHARS: usize = 4_000;

/// REST, call: status never shows `initiated`.
pub(in crate::carrier) fn shown(status: Status) -> &'static str {
    match status {
        Status::Initiated => "queued",
        other => other.as_str(),
    }
}

/// What `From` and `To` of Calls and Participants say.
pub(super) struct Parties {
    pub from: String,
    pub target: Target,
}

/// Calls, errors: 21201 and 21211 To, 21213, 21212 and 21210 From.
pub(super) fn parties(shared: &Shared, request: &Request) -> Result<Parties, Refusal> {
    let to = request.form("To").unwrap_or_default();
    let from = request.form("From").unwrap_or_default();
    if to.is_empty() {
        return Err(Refusal::bad(21201, "No 'To' number is specified"));
    }
    if from.is_empty() {
        return Err(Refusal::bad(21213, "No 'From' number is specified"));
    }
    let credentials = request.form("SipAuthUsername").map(|user| {
        let password = request.form("SipAuthPassword").unwrap_or_default();
        (user.to_owned(), password.to_owned())
    });
    let shown = request.form("CallerId").unwrap_or(from);
    let bad_to = |_| Refusal::bad(21211, "The 'To' number is not a valid phone number");
    let target = Target::of_address(to, shown, credentials).map_err(bad_to)?;
    if target.kind == Kind::Number {
        if !is_e164(from) {
            let text = "The 'From' number is not a valid phone number";
            return Err(Refusal::bad(21212, text));
        }
        if from == target.address {
            return Err(Refusal::bad(21211, "'To' and 'From' are the same"));
        }
        // CallToken: From may be the original caller's.
        if request.form("CallToken").is_none() && !shared.may_call_as(from) {
            let text = "The source phone number provided is not yet verified for your account";
            return Err(Refusal::bad(21210, text));
        }
    }
    Ok(Parties {
        from: from.to_owned(),
        target,
    })
}

/// `StatusCallback…`, array parameters repeat the key.
pub(super) fn subscription(request: &Request) -> Subscription {
    Subscription {
        url: request
            .form("StatusCallback")
            .unwrap_or_default()
            .to_owned(),
        method: request
            .form("StatusCallbackMethod")
            .unwrap_or("POST")
            .to_owned(),
        events: all(&request.form, "StatusCallbackEvent")
            .into_iter()
            .map(str::to_owned)
            .collect(),
    }
}

/// A number of seconds within bounds, or 400 with this code.
pub(super) fn seconds(
    request: &Request,
    name: &str,
    otherwise: u64,
    most: u64,
    code: u32,
) -> Result<Duration, Refusal> {
    let bad = || Refusal::bad(code, &format!("{name} is not valid"));
    let given = match request.form(name) {
        None => otherwise,
        Some(given) => given.parse().map_err(|_| bad())?,
    };
    if given > most {
        return Err(bad());
    }
    Ok(Duration::from_secs(given))
}

/// The document of a request: `Url` before `Twiml` (32019).
fn source(shared: &Shared, request: &Request) -> Result<Option<Source>, Refusal> {
    let method = request.form("Method").unwrap_or("POST");
    if !matches!(method, "GET" | "POST") {
        return Err(Refusal::bad(21209, "Method is neither GET nor POST"));
    }
    match (request.form("Url"), request.form("Twiml")) {
        (Some(url), twiml) => {
            if !(url.starts_with("http://") || url.starts_with("https://")) {
                return Err(Refusal::bad(21205, "Url is not a valid URL"));
            }
            if twiml.is_some() {
                shared.problem(32019, "", "Url and Twiml were both given".to_owned());
            }
            Ok(Some(Source::Fetch {
                url: url.to_owned(),
                method: method.to_owned(),
                extra: Vec::new(),
            }))
        }
        (None, Some(twiml)) if twiml.chars().count() > TWIML_CHARS => {
            Err(Refusal::bad(32018, "Twiml is longer than 4000 characters"))
        }
        (None, Some(twiml)) => Ok(Some(Source::Inline(twiml.to_owned()))),
        (None, None) => Ok(None),
    }
}

pub(super) fn create(shared: &Arc<Shared>, request: &Request) -> Answer {
    let Parties { from, target } = parties(shared, request)?;
    let Some(source) = source(shared, request)? else {
        return Err(Refusal::bad(21205, "Url parameter is required"));
    };
    let timeout = seconds(request, "Timeout", 60, 600, 21208)?;
    let detection = Wish::of_form(&request.form, false);
    let detection = detection.map_err(|code| Refusal::bad(code, "MachineDetection"))?;
    let send_digits = request.form("SendDigits");
    let allowed = |c: char| c.is_ascii_digit() || "ABCD#*wW".contains(c);
    if send_digits.is_some_and(|d| d.len() > 32 || !d.chars().all(allowed)) {
        return Err(Refusal::bad(21206, "SendDigits is not valid"));
    }
    let limit = request.form("TimeLimit").and_then(|l| l.parse().ok());
    let (leg, control) = Leg::create(
        shared,
        NewLeg {
            direction: Direction::OutboundApi,
            from,
            to: target.address.clone(),
            parent: None,
            is_sip: target.kind == Kind::Sip,
            subscription: subscription(request),
        },
    );
    set_fallback(&leg, request);
    if request.form("Record") == Some("true") {
        let dual = request.form("RecordingChannels") == Some("dual");
        let recorder = shared.start_recording(
            &leg.sid,
            None,
            "OutboundAPI",
            if dual { 2 } else { 1 },
            leg.line.put_tap(),
            Callback::of_form(&request.form),
        );
        leg.state().recorders.push(recorder);
    }
    let order = Order {
        target,
        timeout,
        send_digits: send_digits.map(str::to_owned),
        detection,
        time_limit: limit.map(Duration::from_secs),
        purpose: Purpose::Document(source),
    };
    let created = json_of(shared, &leg);
    shared.call_out(leg, control, order);
    Ok(Reply::Created(created))
}

fn set_fallback(leg: &Leg, request: &Request) {
    if let Some(url) = request.form("FallbackUrl") {
        let method = request.form("FallbackMethod").unwrap_or("POST");
        leg.state().fallback = Some((url.to_owned(), method.to_owned()));
    }
}

fn find(shared: &Shared, sid: &str) -> Result<Arc<Leg>, Refusal> {
    let missing = || Refusal::missing(&format!("/Calls/{sid}.json"));
    shared.leg(sid).ok_or_else(missing)
}

pub(super) fn fetch(shared: &Shared, sid: &str) -> Answer {
    let leg = find(shared, sid)?;
    Ok(Reply::Found(json_of(shared, &leg)))
}

pub(super) fn list(shared: &Shared, request: &Request) -> Answer {
    let legs = shared.state().legs.clone();
    let is = |name: &str, value: &str| request.query(name).is_none_or(|wanted| wanted == value);
    let found = legs
        .iter()
        .rev()
        .filter(|leg| {
            is("ParentCallSid", leg.parent.as_deref().unwrap_or_default())
                && is("To", &leg.to)
                && is("From", &leg.from)
                && is("Status", shown(leg.status()))
        })
        .map(|leg| json_of(shared, leg))
        .collect();
    Ok(page(request, "calls", found))
}

/// Calls: only finished ones can be deleted (20009).
pub(super) fn delete(shared: &Shared, sid: &str) -> Answer {
    let leg = find(shared, sid)?;
    if !leg.status().is_final() {
        return Err(Refusal::bad(20009, "Call is still in progress"));
    }
    shared.state().legs.retain(|l| l.sid != sid);
    Ok(Reply::Gone)
}

/// Live call control: a new document at once, or the end.
pub(super) fn update(shared: &Arc<Shared>, sid: &str, request: &Request) -> Answer {
    let leg = find(shared, sid)?;
    let status = leg.status();
    let source = source(shared, request)?;
    set_fallback(&leg, request);
    if request.form("StatusCallback").is_some() {
        let mut state = leg.state();
        let events = std::mem::take(&mut state.subscription.events);
        state.subscription = Subscription {
            events,
            ..subscription(request)
        };
    }
    match request.form("Status") {
        Some("completed") if status.is_final() => {
            // Seen of a call that is over: 20404 instead of an update.
            return Err(Refusal::missing(&format!("/Calls/{sid}.json")));
        }
        Some("completed") => {
            let by = match status {
                Status::Queued | Status::Initiated | Status::Ringing => Status::Canceled,
                _ => Status::Completed,
            };
            leg.tell(Control::HangUp(by));
        }
        Some("canceled") => match status {
            Status::Queued | Status::Initiated | Status::Ringing => {
                leg.tell(Control::HangUp(Status::Canceled));
            }
            _ => return Err(Refusal::bad(21220, "Call is not queued or ringing")),
        },
        Some(_) => return Err(Refusal::bad(20001, "Status is not valid")),
        None => {}
    }
    if let Some(source) = source {
        if request.form("Status").is_some() {
            return Err(Refusal::bad(
                20001,
                "Status and a document exclude each other",
            ));
        }
        if status != Status::InProgress {
            let text = "Call is not in-progress. Cannot redirect.";
            return Err(Refusal::bad(21220, text));
        }
        leg.tell(Control::Replace(source));
    }
    Ok(Reply::Found(json_of(shared, &leg)))
}

/// Diagnostics: what the debugger shows of a call.
pub(super) fn notifications(shared: &Shared, sid: &str, request: &Request) -> Answer {
    let leg = find(shared, sid)?;
    let log = shared.log();
    let own = log.problems.iter().filter(|p| p.call_sid == leg.sid);
    let found = own
        .map(|p| {
            // 12200 is a warning, everything else ends or changes the call.
            let level = if p.code == 12200 { "1" } else { "0" };
            json!({
                "sid": crate::carrier::sid("NO"),
                "call_sid": p.call_sid,
                "error_code": p.code.to_string(),
                "log": level,
                "message_text": p.text,
                "more_info": format!("https://www.twilio.com/docs/errors/{}", p.code),
                "api_version": "2010-04-01",
            })
        })
        .collect();
    Ok(page(request, "notifications", found))
}

/// A call as REST shows it.
pub(super) fn json_of(shared: &Shared, leg: &Leg) -> Value {
    let account = &shared.config.account_sid;
    let base = format!("/2010-04-01/Accounts/{account}/Calls/{}", leg.sid);
    let duration = leg
        .status()
        .is_final()
        .then(|| leg.talked_s(shared).to_string());
    let number = {
        let state = shared.state();
        let own = |n: &&crate::carrier::Number| n.number == leg.from || n.number == leg.to;
        state.numbers.iter().find(own).map(|n| n.sid.clone())
    };
    let state = leg.state();
    json!({
        "sid": leg.sid,
        "account_sid": account,
        "to": leg.to,
        "to_formatted": leg.to,
        "from": leg.from,
        "from_formatted": leg.from,
        "phone_number_sid": number,
        "parent_call_sid": leg.parent,
        "status": shown(state.status),
        "direction": leg.direction.as_str(),
        "start_time": state.start_time.map(crate::carrier::rfc2822),
        "end_time": state.end_time.map(crate::carrier::rfc2822),
        "duration": duration,
        "price": null,
        "price_unit": "USD",
        "answered_by": state.detection.map(|d| d.answered_by),
        "caller_name": null,
        "forwarded_from": null,
        "group_sid": null,
        "trunk_sid": null,
        "queue_time": state.queue_time.as_millis().to_string(),
        "api_version": "2010-04-01",
        "annotation": null,
        "date_created": crate::carrier::rfc2822(leg.created),
        "date_updated": crate::carrier::rfc2822(leg.created),
        "uri": format!("{base}.json"),
        "subresource_uris": {
            "recordings": format!("{base}/Recordings.json"),
            "notifications": format!("{base}/Notifications.json"),
            "events": format!("{base}/Events.json"),
            "streams": format!("{base}/Streams.json"),
        },
    })
}
