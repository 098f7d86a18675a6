//! Conferences and their participants.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};

use super::calls::{Parties, parties, seconds, subscription};
use super::{Answer, Refusal, Reply, Request, page};
use crate::carrier::Shared;
use crate::carrier::amd::Wish;
use crate::carrier::conferences::{Callback, Conference, Joining};
use crate::carrier::leg::{Direction, Leg, NewLeg};
use crate::carrier::outbound::{Order, Purpose};
use crate::carrier::people::Heard;
use crate::carrier::people::target::Kind;
use crate::carrier::recordings;
use crate::carrier::sign::all;

fn find(shared: &Shared, key: &str) -> Result<Arc<Conference>, Refusal> {
    let missing = || Refusal::missing(&format!("/Conferences/{key}.json"));
    shared.conference(key).ok_or_else(missing)
}

pub(super) fn fetch(shared: &Shared, key: &str) -> Answer {
    let conference = find(shared, key)?;
    Ok(Reply::Found(json_of(shared, &conference)))
}

pub(super) fn list(shared: &Shared, request: &Request) -> Answer {
    let conferences = shared.state().conferences.clone();
    let is = |name: &str, value: &str| request.query(name).is_none_or(|wanted| wanted == value);
    let found = conferences
        .iter()
        .rev()
        .filter(|c| is("FriendlyName", &c.name) && is("Status", c.state().status))
        .map(|c| json_of(shared, c))
        .collect();
    Ok(page(request, "conferences", found))
}

/// `Status=completed` ends it; `AnnounceUrl` is heard by all.
pub(super) fn update(shared: &Arc<Shared>, key: &str, request: &Request) -> Answer {
    let conference = find(shared, key)?;
    if let Some(url) = request.form("AnnounceUrl") {
        for member in &conference.state().members {
            member.leg.line.hear(Heard::Played {
                url: url.to_owned(),
            });
        }
    }
    if request.form("Status") == Some("completed") {
        shared.end_conference(&conference, "conference-ended-via-api", None);
    }
    Ok(Reply::Found(json_of(shared, &conference)))
}

/// Completed conferences list no participants.
pub(super) fn participants(shared: &Shared, key: &str, request: &Request) -> Answer {
    let conference = find(shared, key)?;
    let state = conference.state();
    let each = state.members.iter();
    let found = each
        .map(|m| {
            let flags = (m.muted, m.hold, m.start_on_enter, m.end_on_exit);
            participant_json(shared, &conference, &m.leg, &m.label, flags)
        })
        .collect();
    Ok(page(request, "participants", found))
}

/// Add participant: a friendly name creates the room if there is none.
pub(super) fn add(shared: &Arc<Shared>, key: &str, request: &Request) -> Answer {
    let Parties { from, target } = parties(shared, request)?;
    let timeout = seconds(request, "Timeout", 60, 600, 21208)?;
    let detection = Wish::of_form(&request.form, true);
    let detection = detection.map_err(|code| Refusal::bad(code, "MachineDetection"))?;
    let conference = if key.starts_with("CF") && key.len() == 34 {
        find(shared, key)?
    } else {
        shared.open_conference(key)
    };
    let is = |name: &str, otherwise: bool| request.form(name).map_or(otherwise, |v| v == "true");
    let text = |name: &str| request.form(name).unwrap_or_default().to_owned();
    let label = text("Label");
    // Errors: 16025, the label is in use.
    if !label.is_empty() && conference.state().members.iter().any(|m| m.label == label) {
        return Err(Refusal::bad(16025, "the participant label is in use"));
    }
    let joining = Joining {
        label: label.clone(),
        muted: is("Muted", false),
        start_on_enter: is("StartConferenceOnEnter", true),
        end_on_exit: is("EndConferenceOnExit", false),
        record: matches!(
            request.form("ConferenceRecord"),
            Some("true" | "record-from-start")
        ),
        recording: recordings::Callback {
            url: text("ConferenceRecordingStatusCallback"),
            method: text("ConferenceRecordingStatusCallbackMethod"),
            events: Vec::new(),
        },
        callback: Callback {
            url: text("ConferenceStatusCallback"),
            method: text("ConferenceStatusCallbackMethod"),
            events: all(&request.form, "ConferenceStatusCallbackEvent")
                .into_iter()
                .flat_map(str::split_whitespace)
                .map(str::to_owned)
                .collect(),
        },
        most: 250,
    };
    let flags = (
        joining.muted,
        false,
        joining.start_on_enter,
        joining.end_on_exit,
    );
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
    let created = participant_json(shared, &conference, &leg, &label, flags);
    let order = Order {
        target,
        timeout,
        send_digits: None,
        detection,
        time_limit: limit.map(Duration::from_secs),
        purpose: Purpose::Conference(conference, joining),
    };
    shared.call_out(leg, control, order);
    Ok(Reply::Created(created))
}

/// One participant: shown, changed, or put out (DELETE, 204).
pub(super) fn participant(shared: &Arc<Shared>, key: &str, who: &str, request: &Request) -> Answer {
    let conference = find(shared, key)?;
    let missing = || Refusal::missing(&format!("/Conferences/{key}/Participants/{who}.json"));
    if request.method == Method::DELETE {
        return if shared.kick(&conference, who) {
            Ok(Reply::Gone)
        } else {
            Err(missing())
        };
    }
    let mut events = Vec::new();
    let (leg, label, flags) = {
        let mut state = conference.state();
        let mut members = state.members.iter_mut();
        let member = members
            .find(|m| m.leg.sid == who || m.label == who)
            .ok_or_else(missing)?;
        if request.method == Method::POST {
            let flag = |name: &str| request.form(name).map(|v| v == "true");
            if let Some(muted) = flag("Muted") {
                member.muted = muted;
                events.push(if muted {
                    ("mute", "participant-mute")
                } else {
                    ("mute", "participant-unmute")
                });
            }
            if let Some(hold) = flag("Hold") {
                member.hold = hold;
                events.push(if hold {
                    ("hold", "participant-hold")
                } else {
                    ("hold", "participant-unhold")
                });
                if hold {
                    let url = request.form("HoldUrl").unwrap_or_default().to_owned();
                    member.leg.line.hear(Heard::Music { url });
                }
            }
            if let Some(end_on_exit) = flag("EndConferenceOnExit") {
                member.end_on_exit = end_on_exit;
                events.push(("modify", "participant-modify"));
            }
            if let Some(url) = request.form("AnnounceUrl") {
                member.leg.line.hear(Heard::Played {
                    url: url.to_owned(),
                });
            }
        }
        let flags = (
            member.muted,
            member.hold,
            member.start_on_enter,
            member.end_on_exit,
        );
        (Arc::clone(&member.leg), member.label.clone(), flags)
    };
    for (wanted, event) in events {
        shared.tell_conference(&conference, wanted, event, Some(&leg), Vec::new());
    }
    let shown = participant_json(shared, &conference, &leg, &label, flags);
    Ok(Reply::Found(shown))
}

fn json_of(shared: &Shared, conference: &Conference) -> Value {
    let account = &shared.config.account_sid;
    let state = conference.state();
    json!({
        "sid": conference.sid,
        "account_sid": account,
        "friendly_name": conference.name,
        "status": state.status,
        "region": "us1",
        "reason_conference_ended": state.reason_ended,
        "call_sid_ending_conference": state.ended_by,
        "date_created": crate::carrier::rfc2822(conference.created),
        "api_version": "2010-04-01",
        "uri": format!("/2010-04-01/Accounts/{account}/Conferences/{}.json", conference.sid),
    })
}

fn participant_json(
    shared: &Shared,
    conference: &Conference,
    leg: &Leg,
    label: &str,
    (muted, hold, start_on_enter, end_on_exit): (bool, bool, bool, bool),
) -> Value {
    use crate::carrier::leg::Status;
    let account = &shared.config.account_sid;
    let (sid, call) = (&conference.sid, &leg.sid);
    let status = match leg.status() {
        Status::Queued => "queued",
        Status::Initiated => "connecting",
        Status::Ringing => "ringing",
        Status::InProgress => "connected",
        Status::Completed => "complete",
        Status::Busy | Status::Failed | Status::NoAnswer | Status::Canceled => "failed",
    };
    json!({
        "account_sid": account,
        "call_sid": call,
        "conference_sid": sid,
        "label": (!label.is_empty()).then_some(label),
        "status": status,
        "muted": muted,
        "hold": hold,
        "coaching": false,
        "call_sid_to_coach": null,
        "start_conference_on_enter": start_on_enter,
        "end_conference_on_exit": end_on_exit,
        "queue_time": "0",
        "uri": format!("/2010-04-01/Accounts/{account}/Conferences/{sid}/Participants/{call}.json"),
    })
}
