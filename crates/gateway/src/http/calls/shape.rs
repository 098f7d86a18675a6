//! The call's own view, described. The call makes it (`switchhook_call::CallView`) and it is handed
//! on as stored, so that calls of older versions can be shown; these types exist for the OpenAPI
//! document, and a test holds them against what the call really writes.

#![expect(dead_code, reason = "described in OpenAPI, filled by the call itself")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// A call, its legs and its transfers.
#[derive(Debug, ToSchema)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct CallView {
    #[schema(example = "call_01k9x3m5t7")]
    id: String,
    /// `inbound` or `outbound`, seen from the gateway.
    direction: String,
    /// `sip`, `twilio`, `browser` or `livekit`.
    channel: String,
    /// Nobody was really called: the program acted both ends.
    simulated: Option<bool>,
    profile: String,
    assistant: Option<String>,
    /// `ringing`, `assistant`, `transferring`, `with_agent` or `ended`.
    status: String,
    caller: String,
    caller_name: Option<String>,
    callee: String,
    #[schema(format = DateTime)]
    started_at: String,
    #[schema(format = DateTime)]
    answered_at: Option<String>,
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    outcome: Option<Outcome>,
    /// The sentence that says what happened, as a key with arguments.
    headline: Option<Value>,
    /// Headers of the caller's INVITE that the configuration keeps.
    sip_headers: Option<BTreeMap<String, String>>,
    legs: Vec<Leg>,
    transfers: Vec<Transfer>,
}

/// How a call ended.
#[derive(Debug, ToSchema)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
struct Outcome {
    /// Stable.
    code: String,
    /// `caller`, `agent`, `assistant`, `operator` or `system`.
    ended_by: String,
    /// Whose doing it is.
    responsible: String,
    detail: String,
    remedy: Option<String>,
}

/// One party's path to us.
#[derive(Debug, ToSchema)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
struct Leg {
    id: String,
    kind: String,
    /// `caller` or `agent`.
    party: String,
    target: Option<String>,
    /// `ringing`, `answered`, `canceling` or `ended`.
    state: String,
    #[schema(format = DateTime)]
    started_at: String,
    #[schema(format = DateTime)]
    answered_at: Option<String>,
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// `normal`, `busy`, `no_answer`, `rejected`, `unreachable`, `not_acceptable`, `canceled`,
    /// `answered_elsewhere`, `media_lost` or `failed`.
    cause: Option<String>,
    sip_status: Option<u16>,
    /// What the far end said beside its status.
    detail: Option<String>,
    /// Since when its own phone holds the call.
    #[schema(format = DateTime)]
    held_by_party_since: Option<String>,
    /// Since when an operator holds it.
    #[schema(format = DateTime)]
    held_by_operator_since: Option<String>,
    /// What its audio is like; at its end what it was like.
    media: Option<LegMedia>,
}

/// A leg's audio, at the call's last step or at the leg's end.
#[derive(Debug, ToSchema)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
struct LegMedia {
    /// `pcmu` or `pcma`.
    codec: Option<String>,
    /// The crypto suite; null for plain RTP.
    srtp: Option<String>,
    alarms: Vec<AudioAlarm>,
    packets_received: Option<u64>,
    packets_sent: Option<u64>,
    /// Never came, in packets and per cent of what was sent to us.
    lost: Option<u64>,
    loss_percent: Option<f64>,
    /// Came too late to be played, in packets.
    late: Option<u64>,
    /// Audio made up for what was missing, in milliseconds.
    concealed_ms: Option<u64>,
    jitter_ms: Option<f64>,
    /// There and back by RTCP; null when the party does not report.
    round_trip_ms: Option<f64>,
    /// How we hear the party, 1 to 4.5: an estimate after ITU-T G.107.
    mos: Option<f64>,
    /// What the party reports about our audio.
    far: Option<FarMedia>,
    /// SRTP packets that were not believed.
    unauthentic: Option<u64>,
}

/// What a party reports about our audio by RTCP.
#[derive(Debug, ToSchema)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
struct FarMedia {
    reports: u64,
    lost: u64,
    loss_percent: f64,
    jitter_ms: f64,
    mos: f64,
}

/// Audio that does not flow one way.
#[derive(Debug, ToSchema)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
struct AudioAlarm {
    /// `nothing_heard`: the party is not heard. `not_heard`: it reports that it does not hear us.
    kind: String,
    #[schema(format = DateTime)]
    since: String,
    /// Of `nothing_heard`: `nothing_arrives`, `not_authentic`, `foreign_source` or `not_usable`.
    reason: Option<String>,
}

/// The caller leaves the assistant for a human.
#[derive(Debug, ToSchema)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
struct Transfer {
    id: String,
    /// `assistant`, `operator` or `party` (a phone's REFER).
    requested_by: String,
    /// `attended` if the transferor talked to the target first; else `blind` or nothing.
    kind: Option<String>,
    /// Who says so, from the phone's Referred-By; unproven.
    referred_by: Option<String>,
    /// The leg that was joined without a dial of ours.
    joined: Option<String>,
    reason: String,
    summary: Option<String>,
    department: Option<String>,
    /// Requested outside the open hours.
    closed: bool,
    #[schema(format = DateTime)]
    requested_at: String,
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    attempts: Vec<DialAttempt>,
    /// `bridged`, `handed_over`, `returned_to_transferor`, `returned_to_assistant`, `message_taken`, `notified`, `callback_scheduled`,
    /// `declined`, `caller_gone` or `failed`.
    outcome: Option<String>,
    /// Ids of messages to staff.
    notices: Vec<String>,
}

/// One try to reach one target.
#[derive(Debug, ToSchema)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
struct DialAttempt {
    id: String,
    leg: String,
    target: String,
    ring_timeout_s: u32,
    /// `refer` if the caller's own exchange is asked; else `bridge` or nothing.
    method: Option<String>,
    /// The last that exchange said: `accepted`, `started`, `completed` or `failed`.
    report: Option<Value>,
    /// `answered`, `no_answer`, `busy`, `failed`, `canceled` or `handed_over`.
    result: Option<String>,
    sip_status: Option<u16>,
    explanation: Option<Explanation>,
    #[schema(format = DateTime)]
    started_at: String,
    #[schema(format = DateTime)]
    ended_at: Option<String>,
}

/// What a refusal means and what to do about it.
#[derive(Debug, ToSchema)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
struct Explanation {
    /// Stable, for example `dial.unknown_number`.
    code: String,
    detail: String,
    remedy: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use switchhook_call::CallView as Written;

    /// A view with everything set, as the call's own type reads it, so that the two cannot differ.
    #[test]
    fn the_description_is_what_the_call_writes() {
        let at = "2026-11-21T14:30:00.000Z";
        let legs = json!([{
            "id": "leg_a-1", "kind": "sip", "party": "agent", "target": "2001",
            "state": "ended", "started_at": at, "answered_at": at, "ended_at": at,
            "cause": "busy", "sip_status": 486, "detail": "Busy Here",
            "held_by_party_since": at, "held_by_operator_since": at,
        }]);
        let transfers = json!([{
            "id": "tr_a-1", "requested_by": "party", "kind": "attended",
            "referred_by": "<sip:2001@example.com>", "joined": "leg_b-1", "reason": "asked", "summary": "wants help",
            "department": "sales", "closed": false, "requested_at": at, "ended_at": at,
            "attempts": [{
                "id": "att_a-1", "leg": "leg_a-1", "target": "2001", "ring_timeout_s": 20,
                "method": "refer", "report": { "failed": { "sip_status": 486 } },
                "explanation": { "code": "dial.busy", "detail": "d", "remedy": "r" },
                "result": "busy", "sip_status": 486, "started_at": at, "ended_at": at,
            }],
            "outcome": "message_taken", "notices": ["msg_a-1"],
        }]);
        let full = json!({
            "id": "call_a", "direction": "inbound", "channel": "sip", "profile": "demo",
            "assistant": "Mia", "status": "ended", "caller": "+12025550100", "caller_name": "Ada",
            "callee": "assistant", "started_at": at, "answered_at": at, "ended_at": at,
            "outcome": null, "sip_headers": { "X-Ticket": "7" },
            "legs": legs, "transfers": transfers,
        });
        let written: Written = serde_json::from_value(full.clone()).unwrap();
        let again = serde_json::to_value(&written).unwrap();
        assert_eq!(again, full, "the call writes what it reads");
        serde_json::from_value::<super::CallView>(again).unwrap();
    }
}
