//! Recordings: started and stopped on a live call, shown, and fetched as WAV.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Answer, Refusal, Reply, Request, page};
use crate::carrier::Shared;
use crate::carrier::leg::Status;
use crate::carrier::recordings::{Callback, Paused, Recording};

pub(super) fn start(shared: &Arc<Shared>, call: &str, request: &Request) -> Answer {
    let leg = shared
        .leg(call)
        .ok_or_else(|| Refusal::missing(&format!("/Calls/{call}/Recordings.json")))?;
    if leg.status() != Status::InProgress {
        let text = "Requested resource is not eligible for recording";
        return Err(Refusal::bad(21220, text));
    }
    let dual = request.form("RecordingChannels") == Some("dual");
    let recorder = shared.start_recording(
        call,
        None,
        "StartCallRecordingAPI",
        if dual { 2 } else { 1 },
        leg.line.put_tap(),
        Callback::of_form(&request.form),
    );
    let sid = recorder.sid.clone();
    leg.state().recorders.push(recorder);
    Ok(Reply::Created(shown(shared, &sid)?))
}

/// `Status=paused|in-progress|stopped`, by sid or `Twilio.CURRENT`.
pub(super) fn control(
    shared: &Arc<Shared>,
    call: &str,
    recording: &str,
    request: &Request,
) -> Answer {
    let missing = || Refusal::missing(&format!("/Calls/{call}/Recordings/{recording}.json"));
    let leg = shared.leg(call).ok_or_else(missing)?;
    let mut stopped = None;
    let sid = {
        let mut state = leg.state();
        let found = state
            .recorders
            .iter()
            .position(|r| recording == "Twilio.CURRENT" || r.sid == recording);
        let at = found.ok_or_else(missing)?;
        let sid = state.recorders[at].sid.clone();
        match request.form("Status") {
            // Without PauseBehavior the pause is silence.
            Some("paused") => {
                state.recorders[at].set_pause(Some(match request.form("PauseBehavior") {
                    Some("skip") => Paused::Skip,
                    _ => Paused::Silence,
                }))
            }
            Some("in-progress") => state.recorders[at].set_pause(None),
            Some("stopped") => stopped = Some(state.recorders.remove(at)),
            _ => return Err(Refusal::bad(20001, "Status is not valid")),
        }
        sid
    };
    if let Some(recorder) = stopped {
        shared.finish_recording(recorder);
    } else if let Some(status) = request.form("Status") {
        let mut state = shared.state();
        for recording in state.recordings.iter_mut().filter(|r| r.sid == sid) {
            status.clone_into(&mut recording.status);
        }
    }
    Ok(Reply::Found(shown(shared, &sid)?))
}

/// `.json` shows it, `.wav` and no suffix give the file.
pub(super) fn fetch(shared: &Shared, sid: &str, request: &Request) -> Answer {
    if request.suffix == "json" {
        return Ok(Reply::Found(shown(shared, sid)?));
    }
    let recording = shared.recording(sid);
    let finished = recording.filter(|r| r.status == "completed");
    let missing = || Refusal::missing(&format!("/Recordings/{sid}"));
    Ok(Reply::Wav(finished.ok_or_else(missing)?.wav))
}

pub(super) fn list(shared: &Shared, request: &Request, call: Option<&str>) -> Answer {
    let call = call.or_else(|| request.query("CallSid"));
    let conference = request.query("ConferenceSid");
    let all = shared.state().recordings.clone();
    let found = all
        .iter()
        .rev()
        .filter(|r| call.is_none_or(|c| r.call_sid == c))
        .filter(|r| conference.is_none_or(|c| r.conference_sid.as_deref() == Some(c)))
        .map(|r| json_of(shared, r))
        .collect();
    Ok(page(request, "recordings", found))
}

pub(super) fn delete(shared: &Shared, sid: &str) -> Answer {
    let mut state = shared.state();
    let before = state.recordings.len();
    state.recordings.retain(|r| r.sid != sid);
    if state.recordings.len() == before {
        return Err(Refusal::missing(&format!("/Recordings/{sid}.json")));
    }
    Ok(Reply::Gone)
}

fn shown(shared: &Shared, sid: &str) -> Result<Value, Refusal> {
    let recording = shared.recording(sid);
    let missing = || Refusal::missing(&format!("/Recordings/{sid}.json"));
    Ok(json_of(shared, &recording.ok_or_else(missing)?))
}

fn json_of(shared: &Shared, recording: &Recording) -> Value {
    let over = recording.status == "completed";
    let sid = &recording.sid;
    let account = &shared.config.account_sid;
    json!({
        "sid": sid,
        "account_sid": account,
        "call_sid": recording.call_sid,
        "conference_sid": recording.conference_sid,
        "channels": recording.channels,
        "duration": over.then(|| recording.duration_s.to_string()),
        "status": recording.status,
        "source": recording.source,
        "start_time": crate::carrier::rfc2822(recording.start_time),
        "date_created": crate::carrier::rfc2822(recording.start_time),
        "media_url": shared.recording_url(sid),
        "error_code": null,
        "price": null,
        "price_unit": "USD",
        "encryption_details": null,
        "api_version": "2010-04-01",
        "uri": format!("/2010-04-01/Accounts/{account}/Recordings/{sid}.json"),
    })
}
