//! Conferences: rooms with names, who sits in them, when they start and end, and who is told.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::leg::Leg;
use super::log::{Pulse, WebhookKind, lock};
use super::people::line::Tap;
use super::recordings::{self, Recorder};
use super::room::{self, May, Seat};
use super::sign::{Params, pair};
use super::webhooks::Ask;

/// Who is told of a conference; the first participant's wins.
#[derive(Debug, Clone, Default)]
pub(super) struct Callback {
    pub url: String,
    pub method: String,
    /// `start end join leave mute hold modify speaker announcement`; none by default.
    pub events: Vec<String>,
}

/// How somebody enters.
#[derive(Debug, Clone, Default)]
pub(super) struct Joining {
    pub label: String,
    pub muted: bool,
    pub start_on_enter: bool,
    pub end_on_exit: bool,
    pub record: bool,
    pub recording: recordings::Callback,
    pub callback: Callback,
    pub most: usize,
}

/// Somebody in a conference.
#[derive(Debug)]
pub(super) struct Member {
    pub leg: Arc<Leg>,
    pub label: String,
    pub muted: bool,
    pub hold: bool,
    pub start_on_enter: bool,
    pub end_on_exit: bool,
    seat: Seat,
    out: CancellationToken,
}

#[derive(Debug)]
pub(super) struct ConferenceState {
    /// `init`, `in-progress`, `completed`.
    pub status: &'static str,
    pub members: Vec<Member>,
    pub reason_ended: Option<&'static str>,
    pub ended_by: Option<String>,
    callback: Callback,
    wish: Option<recordings::Callback>,
    recorder: Option<Recorder>,
    mix: Option<Arc<Mutex<Tap>>>,
}

/// A room.
#[derive(Debug)]
pub(super) struct Conference {
    pub sid: String,
    pub name: String,
    pub created: Timestamp,
    pulse: Arc<Pulse>,
    state: Mutex<ConferenceState>,
    sequence: AtomicU32,
}

/// A seat that is left when this is dropped.
pub(super) struct Seated {
    shared: Arc<Shared>,
    conference: Arc<Conference>,
    leg: Arc<Leg>,
    /// Cancelled when the participant is put out.
    pub out: CancellationToken,
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.shared.leave(&self.conference, &self.leg);
    }
}

impl Conference {
    pub(super) fn state(&self) -> MutexGuard<'_, ConferenceState> {
        lock(&self.state)
    }

    pub(super) fn has_started(&self) -> bool {
        self.state().status != "init"
    }

    /// Returns when the conference has started.
    pub(super) async fn started(&self) {
        self.pulse.when(|| self.has_started().then_some(())).await;
    }
}

impl Shared {
    /// A conference that is not over, by sid or name.
    pub(super) fn conference(&self, key: &str) -> Option<Arc<Conference>> {
        let state = self.state();
        let mut found = state.conferences.iter().rev();
        found
            .find(|c| c.sid == key || (c.name == key && c.state().status != "completed"))
            .cloned()
    }

    /// The conference of that name; made if there is none.
    pub(super) fn open_conference(self: &Arc<Self>, name: &str) -> Arc<Conference> {
        if let Some(open) = self.conference(name) {
            return open;
        }
        let conference = Arc::new(Conference {
            sid: super::sid("CF"),
            name: name.to_owned(),
            created: Timestamp::now(),
            pulse: Arc::clone(&self.pulse),
            state: Mutex::new(ConferenceState {
                status: "init",
                members: Vec::new(),
                reason_ended: None,
                ended_by: None,
                callback: Callback::default(),
                wish: None,
                recorder: None,
                mix: None,
            }),
            sequence: AtomicU32::new(0),
        });
        self.state().conferences.push(Arc::clone(&conference));
        super::spawn(carry(Arc::clone(&conference)));
        conference
    }

    /// Enters a conference. Errors: 16020 full, 16023 label bad or in use.
    pub(super) fn join(
        self: &Arc<Self>,
        name: &str,
        leg: &Arc<Leg>,
        joining: Joining,
    ) -> Result<(Arc<Conference>, Seated), (u32, String)> {
        let conference = self.open_conference(name);
        let out = CancellationToken::new();
        let starts = {
            let mut state = conference.state();
            if state.members.len() >= joining.most.clamp(2, 250) {
                return Err((16020, "the conference is full".into()));
            }
            let label = joining.label.as_str();
            let taken = state.members.iter().any(|m| m.label == label);
            if !label.is_empty() && (taken || label.len() > 128 || label.contains('/')) {
                return Err((16023, "the participant label is bad or in use".into()));
            }
            if state.callback.url.is_empty() {
                state.callback = joining.callback;
            }
            if joining.record && state.wish.is_none() {
                state.wish = Some(joining.recording);
            }
            state.members.push(Member {
                leg: Arc::clone(leg),
                label: joining.label,
                muted: joining.muted,
                hold: false,
                start_on_enter: joining.start_on_enter,
                end_on_exit: joining.end_on_exit,
                seat: Seat::take(&leg.line),
                out: out.clone(),
            });
            // Conference: it starts with two participants of which one may start it.
            let may = state.members.iter().any(|m| m.start_on_enter);
            let starts = state.status == "init" && state.members.len() >= 2 && may;
            if starts {
                state.status = "in-progress";
            }
            starts
        };
        self.tell_conference(
            &conference,
            "join",
            "participant-join",
            Some(leg),
            Vec::new(),
        );
        if starts {
            self.tell_conference(&conference, "start", "conference-start", None, Vec::new());
            self.record_conference(&conference);
        }
        self.pulse.beat();
        let seated = Seated {
            shared: Arc::clone(self),
            conference: Arc::clone(&conference),
            leg: Arc::clone(leg),
            out,
        };
        Ok((conference, seated))
    }

    fn record_conference(self: &Arc<Self>, conference: &Arc<Conference>) {
        let (wish, call) = {
            let state = conference.state();
            let first = state.members.first().map(|m| m.leg.sid.clone());
            (state.wish.clone(), first.unwrap_or_default())
        };
        let Some(wish) = wish else { return };
        let tap = Arc::new(Mutex::new(Tap::default()));
        let sid = &conference.sid;
        let mix = Arc::clone(&tap);
        // Conference recordings are mono.
        let recorder = self.start_recording(&call, Some(sid), "Conference", 1, tap, wish);
        let mut state = conference.state();
        state.recorder = Some(recorder);
        state.mix = Some(mix);
    }

    fn leave(self: &Arc<Self>, conference: &Arc<Conference>, leg: &Arc<Leg>) {
        let (member, ended) = {
            let mut state = conference.state();
            let Some(at) = state.members.iter().position(|m| m.leg.sid == leg.sid) else {
                return;
            };
            let member = state.members.remove(at);
            let over = state.status != "completed";
            let ended = if over && member.end_on_exit {
                Some("participant-with-end-conference-on-exit-left")
            } else if over && state.members.is_empty() {
                Some("last-participant-left")
            } else {
                None
            };
            (member, ended)
        };
        let reason = if conference.state().status == "completed" {
            "moderator_ended_conference"
        } else if member.out.is_cancelled() {
            "participant_updated_via_api"
        } else {
            "participant_hung_up"
        };
        let extra = vec![
            pair("ReasonParticipantLeft", reason),
            pair("ParticipantCallStatus", leg.status().as_str()),
            pair("Muted", member.muted.to_string()),
            pair("Hold", member.hold.to_string()),
            pair("ParticipantLabel", &member.label),
        ];
        self.tell_conference(conference, "leave", "participant-leave", Some(leg), extra);
        if let Some(reason) = ended {
            self.end_conference(conference, reason, Some(leg));
        }
        self.pulse.beat();
    }

    /// A dialled participant did not come: leave without having joined.
    pub(super) fn not_joined(self: &Arc<Self>, conference: &Arc<Conference>, leg: &Arc<Leg>) {
        let extra = vec![
            pair("ReasonParticipantLeft", "participant_add_failed"),
            pair("ParticipantCallStatus", leg.status().as_str()),
        ];
        self.tell_conference(conference, "leave", "participant-leave", Some(leg), extra);
    }

    /// Ends a conference: everybody is put out.
    pub(super) fn end_conference(
        self: &Arc<Self>,
        conference: &Arc<Conference>,
        reason: &'static str,
        by: Option<&Arc<Leg>>,
    ) {
        let recorder = {
            let mut state = conference.state();
            if state.status == "completed" {
                return;
            }
            state.status = "completed";
            state.reason_ended = Some(reason);
            state.ended_by = by.map(|leg| leg.sid.clone());
            for member in &state.members {
                member.out.cancel();
            }
            state.mix = None;
            state.recorder.take()
        };
        if let Some(recorder) = recorder {
            self.finish_recording(recorder);
        }
        let mut extra = vec![pair("ReasonConferenceEnded", reason)];
        if let Some(leg) = by {
            extra.push(pair("CallSidEndingConference", &leg.sid));
        }
        self.tell_conference(conference, "end", "conference-end", None, extra);
        self.pulse.beat();
    }

    /// Puts a participant out (Participants: DELETE).
    pub(super) fn kick(&self, conference: &Conference, key: &str) -> bool {
        let state = conference.state();
        let mut found = state.members.iter();
        let member = found.find(|m| m.leg.sid == key || (!key.is_empty() && m.label == key));
        member.inspect(|m| m.out.cancel()).is_some()
    }

    /// Conference status callback.
    pub(super) fn tell_conference(
        self: &Arc<Self>,
        conference: &Arc<Conference>,
        wanted: &str,
        event: &str,
        leg: Option<&Arc<Leg>>,
        extra: Params,
    ) {
        let (callback, about) = {
            let state = conference.state();
            let member = leg.and_then(|leg| state.members.iter().find(|m| m.leg.sid == leg.sid));
            let about = member.map(|m| {
                vec![
                    pair("Muted", m.muted.to_string()),
                    pair("Hold", m.hold.to_string()),
                    pair("ParticipantLabel", &m.label),
                    pair("StartConferenceOnEnter", m.start_on_enter.to_string()),
                    pair("EndConferenceOnExit", m.end_on_exit.to_string()),
                ]
            });
            (state.callback.clone(), about.unwrap_or_default())
        };
        if callback.url.is_empty() || !callback.events.iter().any(|e| e == wanted) {
            return;
        }
        let sequence = conference.sequence.fetch_add(1, Ordering::Relaxed);
        let mut params = vec![
            pair("AccountSid", &self.config.account_sid),
            pair("ConferenceSid", &conference.sid),
            pair("FriendlyName", &conference.name),
            pair("Timestamp", super::rfc2822(Timestamp::now())),
            pair("SequenceNumber", sequence.to_string()),
            pair("StatusCallbackEvent", event),
        ];
        if let Some(leg) = leg {
            params.push(pair("CallSid", &leg.sid));
        }
        params.extend(about);
        params.extend(extra);
        let ask = Ask {
            kind: WebhookKind::Conference,
            leg: None,
            url: callback.url,
            method: callback.method,
            params,
        };
        self.notify_beside(ask);
    }
}

/// Carries words, keys and audio until the conference is over.
async fn carry(conference: Arc<Conference>) {
    let mut beat = room::beat();
    loop {
        beat.tick().await;
        let state = conference.state();
        match state.status {
            "completed" => return,
            // Before it has started nobody hears anybody.
            "init" => continue,
            _ => {}
        }
        let seats: Vec<(&Seat, May)> = state
            .members
            .iter()
            .map(|m| {
                let may = May {
                    speak: !m.muted && !m.hold,
                    hear: !m.hold,
                };
                (&m.seat, may)
            })
            .collect();
        let carried = room::carry(&seats);
        if let Some(mix) = &state.mix {
            lock(mix).inbound.extend(carried.mix);
        }
    }
}
