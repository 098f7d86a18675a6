//! One leg: its identity, its status, and the status callbacks that follow from it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Shared;
use super::amd::Detection;
use super::executor::Source;
use super::log::{WebhookKind, lock};
use super::people::line::Line;
use super::recordings::Recorder;
use super::sign::{Params, pair};
use super::webhooks::Ask;

/// Voice webhooks, standard parameters: `Direction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Inbound,
    OutboundApi,
    OutboundDial,
    /// From the telephone network over a trunk to the gateway (REST).
    TrunkOriginating,
    /// From the gateway over a trunk to the telephone network (REST).
    TrunkTerminating,
}

impl Direction {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::OutboundApi => "outbound-api",
            Self::OutboundDial => "outbound-dial",
            Self::TrunkOriginating => "trunking-originating",
            Self::TrunkTerminating => "trunking-terminating",
        }
    }

    /// Whether somebody calls the account, and nobody is called by it.
    pub(super) fn comes_in(self) -> bool {
        match self {
            Self::Inbound | Self::TrunkOriginating | Self::TrunkTerminating => true,
            Self::OutboundApi | Self::OutboundDial => false,
        }
    }
}

/// Voice webhooks, standard parameters: `CallStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Queued,
    /// In status callbacks only: REST says `queued` (Calls: "REST status never shows initiated").
    Initiated,
    Ringing,
    InProgress,
    Completed,
    Busy,
    Failed,
    NoAnswer,
    Canceled,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::Failed => "failed",
            Self::NoAnswer => "no-answer",
            Self::Canceled => "canceled",
        }
    }

    pub(super) fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Initiated | Self::Ringing | Self::InProgress => false,
            Self::Completed | Self::Busy | Self::Failed | Self::NoAnswer | Self::Canceled => true,
        }
    }
}

/// Who wants to know of a call's progress.
#[derive(Debug, Clone, Default)]
pub(super) struct Subscription {
    pub url: String,
    pub method: String,
    /// `initiated ringing answered completed`; empty means the default, `completed`.
    pub events: Vec<String>,
}

impl Subscription {
    fn wants(&self, event: &str) -> bool {
        !self.url.is_empty()
            && if self.events.is_empty() {
                event == "completed"
            } else {
                self.events.iter().any(|e| e == event)
            }
    }
}

/// What somebody else wants of a leg's task.
#[derive(Debug)]
pub(super) enum Control {
    /// A live update: this document from now on.
    Replace(Source),
    /// Hung up by the API, or because the other side of a bridge is gone.
    HangUp(Status),
}

/// What remains to be done if the person hangs up in the middle of a verb.
#[derive(Debug, Default)]
pub(super) struct OnHangup {
    /// `<Record>`: the recording, and the request to its action.
    pub record: Option<super::executor::record::Unfinished>,
    /// `<Dial action>`, where the configuration wants it asked.
    pub dial: Option<Source>,
}

#[derive(Debug)]
pub(super) struct LegState {
    pub status: Status,
    pub subscription: Subscription,
    pub sequence: u32,
    /// Held back, to be delivered in reverse order.
    pub held: Vec<Ask>,
    pub answered_at: Option<Instant>,
    pub ended_at: Option<Instant>,
    pub start_time: Option<Timestamp>,
    pub end_time: Option<Timestamp>,
    pub sip_code: Option<u16>,
    /// Whether SIP says it (`SipResponseCode`).
    pub sip_call_id: Option<String>,
    pub detection: Option<Detection>,
    pub queue_time: Duration,
    pub cookies: BTreeMap<String, String>,
    /// Parameters every request of this leg carries besides the standard ones.
    pub extra: Params,
    pub fallback: Option<(String, String)>,
    pub error: Option<(u32, String)>,
    pub on_hangup: OnHangup,
    /// Running recordings that were started beside the document.
    pub recorders: Vec<Recorder>,
    /// One-way streams by name; they stop when dropped.
    pub streams: Vec<(String, tokio_util::sync::DropGuard)>,
}

/// One leg of a call.
pub(super) struct Leg {
    pub sid: String,
    pub direction: Direction,
    pub from: String,
    pub to: String,
    pub parent: Option<String>,
    /// Whether the far end is SIP: its caller id rules differ.
    pub is_sip: bool,
    pub created: Timestamp,
    pub line: Arc<Line>,
    control: mpsc::UnboundedSender<Control>,
    state: Mutex<LegState>,
}

impl std::fmt::Debug for Leg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Leg({}, {:?})", self.sid, self.direction)
    }
}

/// Who a new leg is.
pub(super) struct NewLeg {
    pub direction: Direction,
    pub from: String,
    pub to: String,
    pub parent: Option<String>,
    pub is_sip: bool,
    pub subscription: Subscription,
}

impl Leg {
    /// A leg, entered in the list of calls; what its task is told comes over the receiver.
    pub(super) fn create(
        shared: &Shared,
        new: NewLeg,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Control>) {
        let (control, receiver) = mpsc::unbounded_channel();
        let leg = Arc::new(Self {
            sid: super::sid("CA"),
            direction: new.direction,
            from: new.from,
            to: new.to,
            parent: new.parent,
            is_sip: new.is_sip,
            created: Timestamp::now(),
            line: Line::new(Arc::clone(&shared.pulse)),
            control,
            state: Mutex::new(LegState {
                status: Status::Queued,
                subscription: new.subscription,
                sequence: 0,
                held: Vec::new(),
                answered_at: None,
                ended_at: None,
                start_time: None,
                end_time: None,
                sip_code: None,
                sip_call_id: None,
                detection: None,
                queue_time: Duration::ZERO,
                cookies: BTreeMap::new(),
                extra: Vec::new(),
                fallback: None,
                error: None,
                on_hangup: OnHangup::default(),
                recorders: Vec::new(),
                streams: Vec::new(),
            }),
        });
        shared.state().legs.push(Arc::clone(&leg));
        shared.pulse.beat();
        (leg, receiver)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, LegState> {
        lock(&self.state)
    }

    pub(super) fn status(&self) -> Status {
        self.state().status
    }

    /// Tells the leg's task; false if there is none any more.
    pub(super) fn tell(&self, control: Control) -> bool {
        self.control.send(control).is_ok()
    }

    /// The standard parameters of every voice request (Voice webhooks, standard parameters).
    pub(super) fn params(&self, shared: &Shared) -> Params {
        let state = self.state();
        let mut params = vec![
            pair("AccountSid", &shared.config.account_sid),
            pair("ApiVersion", "2010-04-01"),
            pair("CallSid", &self.sid),
            pair("CallStatus", state.status.as_str()),
            pair("Called", &self.to),
            pair("Caller", &self.from),
            pair("Direction", self.direction.as_str()),
            pair("From", &self.from),
            pair("To", &self.to),
        ];
        if let Some(parent) = &self.parent {
            params.push(pair("ParentCallSid", parent));
        }
        // Present and empty, as for most numbers outside North America.
        for who in ["From", "To", "Caller", "Called"] {
            for field in ["City", "State", "Zip", "Country"] {
                params.push(pair(&format!("{who}{field}"), ""));
            }
        }
        params.extend(state.extra.iter().cloned());
        params
    }

    /// Seconds from the answer to the end (or now), carrier time, begun ones counted.
    pub(super) fn talked_s(&self, shared: &Shared) -> u64 {
        let state = self.state();
        let Some(from) = state.answered_at else {
            return 0;
        };
        let to = state.ended_at.unwrap_or_else(Instant::now);
        let talked = shared
            .config
            .pace
            .carrier(to.saturating_duration_since(from));
        talked.as_secs() + u64::from(talked.subsec_nanos() > 0)
    }
}

impl Shared {
    /// The call is being rung, answered, …: the status is set and whoever wants to know is told.
    /// A final status stays.
    pub(super) fn advance(self: &Arc<Self>, leg: &Arc<Leg>, status: Status) {
        {
            let mut state = leg.state();
            if state.status.is_final() {
                return;
            }
            state.status = status;
            match status {
                Status::InProgress if state.answered_at.is_none() => {
                    state.answered_at = Some(Instant::now());
                    state.start_time = Some(Timestamp::now());
                }
                Status::Queued | Status::Initiated | Status::Ringing | Status::InProgress => {}
                Status::Completed
                | Status::Busy
                | Status::Failed
                | Status::NoAnswer
                | Status::Canceled => {
                    state.ended_at = Some(Instant::now());
                    state.end_time = Some(Timestamp::now());
                }
            }
        }
        if status == Status::InProgress {
            leg.line.state().answered = true;
        }
        // Call status callback, events: `completed` stands for every end.
        let event = match status {
            Status::Queued => None,
            Status::Initiated => Some("initiated"),
            Status::Ringing => Some("ringing"),
            Status::InProgress => Some("answered"),
            Status::Completed
            | Status::Busy
            | Status::Failed
            | Status::NoAnswer
            | Status::Canceled => Some("completed"),
        };
        if let Some(event) = event {
            self.tell_progress(leg, event, status);
        }
        self.pulse.beat();
    }

    /// Ends a leg: status, callbacks, recordings, and the person's line.
    pub(super) async fn finish(self: &Arc<Self>, leg: &Arc<Leg>, status: Status, by_person: bool) {
        if leg.status().is_final() {
            return;
        }
        // Until everything that belongs to the end is begun.
        let _busy = self.busy();
        let recorders = {
            let mut state = leg.state();
            state.streams.clear();
            std::mem::take(&mut state.recorders)
        };
        for recorder in recorders {
            self.finish_recording(recorder);
        }
        let unfinished = std::mem::take(&mut leg.state().on_hangup);
        self.advance(leg, status);
        leg.line.end(by_person, status.as_str());
        super::executor::after_hangup(self, leg, unfinished, by_person).await;
    }

    fn tell_progress(self: &Arc<Self>, leg: &Arc<Leg>, event: &str, status: Status) {
        let mut params = leg.params(self);
        if let Some(at) = params.iter().position(|(name, _)| name == "CallStatus") {
            params[at].1 = status.as_str().to_owned();
        }
        let talked = leg.talked_s(self);
        let (ask, release) = {
            let mut state = leg.state();
            if !state.subscription.wants(event) {
                return;
            }
            // Call status callback: Timestamp RFC 2822, SequenceNumber from 0.
            params.push(pair("Timestamp", super::rfc2822(Timestamp::now())));
            params.push(pair("CallbackSource", "call-progress-events"));
            params.push(pair("SequenceNumber", state.sequence.to_string()));
            state.sequence += 1;
            if status.is_final() {
                params.push(pair("CallDuration", talked.to_string()));
                if status == Status::Completed {
                    // Billed minutes.
                    params.push(pair("Duration", talked.div_ceil(60).to_string()));
                }
                if let Some(code) = state.sip_code {
                    params.push(pair("SipResponseCode", code.to_string()));
                }
                if let Some(detection) = &state.detection {
                    params.push(pair("AnsweredBy", detection.answered_by));
                }
                if let Some((code, text)) = &state.error {
                    params.push(pair("ErrorCode", code.to_string()));
                    params.push(pair("ErrorMessage", text));
                }
            }
            let ask = Ask {
                kind: WebhookKind::CallStatus,
                leg: None,
                url: state.subscription.url.clone(),
                method: state.subscription.method.clone(),
                params,
            };
            let faults = lock(&self.faults);
            if faults.drop_status.contains(event) {
                return;
            }
            if faults.reverse_status {
                state.held.push(ask);
                let all = std::mem::take(&mut state.held);
                if status.is_final() {
                    (None, all)
                } else {
                    state.held = all;
                    return;
                }
            } else {
                (Some(ask), Vec::new())
            }
        };
        let shared = Arc::clone(self);
        // Separate HTTP requests: nothing orders them.
        self.beside(async move {
            if let Some(ask) = ask {
                shared.notify(ask).await;
            }
            for ask in release.into_iter().rev() {
                shared.notify(ask).await;
            }
        });
    }
}
