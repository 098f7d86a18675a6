//! What is asked of the carrier over REST, beside the call's own steps: the carrier may be slow, and
//! its answer is one more input of the call.
//!
//! What may be repeated is, while the call still wants it. A dial may not: whether one whose answer is
//! missing was made is looked up first.

use std::sync::Arc;
use std::time::Duration;

use switchhook_adapters::twilio::rest::{
    CallQuery, CallUpdate, NewCall, NewRecording, ParticipantUpdate,
};
use switchhook_adapters::twilio::twiml::{RecordingEvent, Trim};
use switchhook_adapters::twilio::webhook::{CallDirection, CallStatus};
use switchhook_adapters::twilio::{CallSid, Carrier, ErrorKind, TwilioError};
use switchhook_model::{CallId, HangupCause, LegId, Timestamp};

use super::channel::{Channel, Effect, LegEnd, Seen};
use super::engine::{Engine, StepError};
use super::invitation;
use super::slots::Slot;
use crate::clock;

/// Pauses before what may be asked again is.
const PAUSES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// Nobody who asked for a dial so long ago still waits for the answer.
const IN_FLIGHT: Duration = Duration::from_secs(12);
/// How often it is looked for a dial meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Tries of a dial of which certainly nothing came.
const DIALS: u32 = 2;
/// By how much our clock and the carrier's may differ.
const SKEW: Duration = Duration::from_secs(5);

/// One call at the carrier, with what it takes to ask about it.
struct Asking {
    engine: Arc<Engine>,
    carrier: Arc<dyn Carrier>,
    id: CallId,
    /// Of the URLs the carrier is given.
    base: String,
}

impl Engine {
    /// Carries out what a step wants of the carrier.
    pub(super) fn ask(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        id: &CallId,
        channel: &Channel,
        effect: Effect,
    ) {
        let Some(carrier) = self.carrier.clone() else {
            tracing::warn!(call.id = %id, "no Twilio credentials: the carrier cannot be told");
            return;
        };
        // A call of another account, or one made up by hand while developing: the carrier would say that
        // there is no such call, and it would count as gone.
        let is_ours = channel.state.placing.is_some()
            || self.settings.section.account_sid.as_deref() == Some(channel.state.account.as_str());
        if !is_ours && !matches!(effect, Effect::Invite { .. } | Effect::Drop { .. }) {
            tracing::warn!(call.id = %id, "the call is not one of the Twilio account: the carrier cannot be told");
            return;
        }
        let asking = Asking {
            engine: Arc::clone(self),
            carrier,
            id: id.clone(),
            base: format!(
                "{}{}/twilio",
                self.settings.public_url, channel.state.prefix
            ),
        };
        if let Effect::Invite { leg, since, again } = effect {
            if !slot.begin_invitation(&leg) {
                return;
            }
            let wanted = invitation::call(channel, &leg, &self.settings);
            let slot = Arc::clone(slot);
            tokio::spawn(async move {
                match wanted {
                    Ok(wanted) => asking.invite(&leg, since, again, &wanted).await,
                    Err(why) => asking.refused(&leg, HangupCause::Unreachable, &why).await,
                }
                slot.end_invitation(&leg);
            });
        } else {
            tokio::spawn(async move { asking.carry_out(effect).await });
        }
    }
}

impl Asking {
    async fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::Fetch { sid } => self.fetch(&sid).await,
            Effect::Complete { sid } => self.complete(&sid).await,
            Effect::Record { sid } => self.record(&sid).await,
            Effect::Drop { leg, sid } => self.drop_leg(&leg, &sid).await,
            Effect::Hold { room, sid, on } => self.hold(&room, &sid, on).await,
            Effect::Look { leg, sid } => self.look(&leg, &sid).await,
            // These are not asked of the carrier, or not here.
            Effect::Invite { .. }
            | Effect::Place
            | Effect::Find
            | Effect::Think { .. }
            | Effect::CancelThink { .. }
            | Effect::CheckPin { .. }
            | Effect::Book { .. }
            | Effect::LeaveStream => {}
        }
    }

    fn sid(&self, text: &str) -> Option<CallSid> {
        let sid = text.parse::<CallSid>();
        if sid.is_err() {
            tracing::error!(call.id = %self.id, "the carrier's id of a leg is no id");
        }
        sid.ok()
    }

    /// The carrier is to come for a new program. Until it has, the caller hears what belongs to the
    /// last one.
    async fn fetch(&self, sid: &str) {
        let Some(sid) = self.sid(sid) else { return };
        // Without a number: it belongs to no program.
        let update = CallUpdate::Url(format!("{}/connect/{}", self.base, self.id));
        let is_wanted = |channel: &Channel| channel.state.is_fetched && !channel.state.in_hand;
        let told = self.until_told(&sid, &update, is_wanted).await;
        if let Err(ErrorKind::Gone) = told {
            self.tell(|channel, now| channel.caller_gone(now)).await;
        }
    }

    async fn complete(&self, sid: &str) {
        let Some(sid) = self.sid(sid) else { return };
        let is_wanted = |channel: &Channel| !channel.is_settled();
        match self.until_told(&sid, &CallUpdate::Hangup, is_wanted).await {
            Ok(()) | Err(ErrorKind::Gone) => {
                self.tell(|channel, now| channel.caller_gone(now)).await;
            }
            Err(_) => {}
        }
    }

    async fn drop_leg(&self, leg: &LegId, sid: &str) {
        let Some(sid) = self.sid(sid) else { return };
        // Also if the call knows of no leg any more: it may have been given up before it was known.
        // What comes of it is the end, whoever brought it about: with the caller's leg the conference
        // ends, and ringing has a limit of its own.
        let _ = self.until_told(&sid, &CallUpdate::Hangup, |_| true).await;
        self.tell(|channel, now| channel.dropped(now, leg)).await;
    }

    /// Tells the carrier to do something with a leg, again after failures that may pass.
    async fn until_told(
        &self,
        sid: &CallSid,
        update: &CallUpdate,
        is_wanted: impl Fn(&Channel) -> bool,
    ) -> Result<(), ErrorKind> {
        let mut last = ErrorKind::Unknown;
        for pause in PAUSES {
            tokio::time::sleep(pause).await;
            if !pause.is_zero() && !self.is(&is_wanted).await {
                return Ok(());
            }
            match self.carrier.update_call(sid, update).await {
                Ok(_) => return Ok(()),
                Err(error) => {
                    tracing::warn!(call.id = %self.id, %error, "the carrier refused");
                    last = error.kind;
                    if matches!(last, ErrorKind::Gone | ErrorKind::Refused) {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    async fn record(&self, sid: &str) {
        let engine = &self.engine;
        let Some(sid) = self.sid(sid).filter(|_| engine.settings.records) else {
            return;
        };
        let recording = NewRecording {
            is_dual: true,
            // As long as the call: what was said when is found again.
            trim: Some(Trim::DoNotTrim),
            status_callback: Some(format!("{}/recording", self.base)),
            status_callback_events: vec![RecordingEvent::Completed],
        };
        if let Err(error) = self.carrier.start_recording(&sid, &recording).await {
            tracing::warn!(call.id = %self.id, %error, "the carrier does not record");
        }
    }

    /// Dials an agent, once.
    async fn invite(&self, leg: &LegId, since: Timestamp, again: bool, wanted: &NewCall) {
        let mut since = since;
        let mut may_exist = again;
        for _ in 0..DIALS {
            if may_exist && self.find_dial(leg, since, wanted).await {
                return;
            }
            if !self.is(|channel| channel.is_inviting(leg)).await {
                return;
            }
            since = clock::now();
            match self.carrier.create_call(wanted).await {
                Ok(call) => return self.dialled(leg, call.sid.as_str()).await,
                Err(error) => {
                    tracing::warn!(call.id = %self.id, %error, "an agent could not be dialled");
                    if error.kind != ErrorKind::Unknown {
                        return self.refused(leg, cause(&error), &error.to_string()).await;
                    }
                    may_exist = true;
                }
            }
        }
        if !self.find_dial(leg, since, wanted).await {
            let why = "the carrier does not say whether the agent was dialled";
            self.refused(leg, HangupCause::Failed, why).await;
        }
    }

    /// Looks for a dial whose answer is missing, until nobody can wait for that answer any more. True
    /// if it is known, or not wanted.
    async fn find_dial(&self, leg: &LegId, since: Timestamp, wanted: &NewCall) -> bool {
        let until = since + IN_FLIGHT;
        loop {
            if !self.is(|channel| channel.is_inviting(leg)).await {
                return true;
            }
            if let Some(sid) = self.listed(since, wanted).await {
                self.dialled(leg, sid.as_str()).await;
                // What it reported found nobody who knew it.
                self.look(leg, sid.as_str()).await;
                return true;
            }
            if clock::now() >= until {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The one leg the carrier has dialled so since then, of which no call knows.
    async fn listed(&self, since: Timestamp, wanted: &NewCall) -> Option<CallSid> {
        // The carrier may write a SIP address otherwise than it was given.
        let is_number = wanted.to.starts_with('+');
        let query = CallQuery {
            to: is_number.then(|| wanted.to.clone()),
            ..CallQuery::default()
        };
        let calls = match self.carrier.calls(&query).await {
            Ok(calls) => calls,
            Err(error) => {
                tracing::warn!(call.id = %self.id, %error, "the carrier does not list its calls");
                return None;
            }
        };
        let mut found = None;
        for call in calls {
            let direction = call.direction.as_deref().map(CallDirection::read);
            let is_ours = direction == Some(CallDirection::OutboundApi)
                && call
                    .to
                    .as_deref()
                    .is_some_and(|to| bare(to) == bare(&wanted.to))
                && call.date_created.is_some_and(|at| at >= since - SKEW);
            let is_known = matches!(self.engine.call_of(call.sid.as_str()).await, Ok(Some(_)));
            if is_ours && !is_known {
                if found.is_some() {
                    // Two of a kind: the status callbacks tell which is whose.
                    return None;
                }
                found = Some(call.sid);
            }
        }
        found
    }

    async fn dialled(&self, leg: &LegId, sid: &str) {
        self.tell(|channel, now| channel.invited(now, leg, sid))
            .await;
    }

    async fn refused(&self, leg: &LegId, cause: HangupCause, why: &str) {
        self.tell(|channel, now| channel.not_invited(now, leg, cause, why))
            .await;
    }

    async fn hold(&self, room: &str, sid: &str, on: bool) {
        let held = async {
            let rooms = self.carrier.conferences(room).await?;
            let update = ParticipantUpdate {
                hold: Some(on),
                ..ParticipantUpdate::default()
            };
            match rooms.first() {
                Some(room) => self
                    .carrier
                    .update_participant(&room.sid, sid, &update)
                    .await
                    .map(|_| true),
                None => Ok(false),
            }
        };
        let held: Result<bool, TwilioError> = held.await;
        match held {
            Ok(true) => {}
            Ok(false) => self.tell(|channel, now| channel.not_held(now)).await,
            Err(error) => {
                tracing::warn!(call.id = %self.id, %error, "the carrier does not hold the caller");
                self.tell(|channel, now| channel.not_held(now)).await;
            }
        }
    }

    /// Nothing was heard of a leg for a while.
    async fn look(&self, leg: &LegId, sid: &str) {
        let Some(sid) = self.sid(sid) else { return };
        let seen = match self.carrier.call(&sid).await {
            Ok(call) => seen(&call.status),
            // Of this account's calls there is none such any more.
            Err(error) if error.kind == ErrorKind::Gone => Seen::Over(LegEnd {
                answered: false,
                cause: HangupCause::Failed,
                sip_status: None,
            }),
            Err(error) => {
                tracing::warn!(call.id = %self.id, %error, "the carrier does not say what became of a leg");
                Seen::Unknown
            }
        };
        self.tell(|channel, now| channel.seen(now, leg, seen)).await;
    }

    async fn tell(&self, mut take: impl FnMut(&mut Channel, Timestamp)) {
        let told = self
            .engine
            .step(&self.id, |channel, now| take(channel, now))
            .await;
        match told {
            Ok(()) | Err(StepError::Unknown) => {}
            Err(error) => {
                tracing::error!(call.id = %self.id, %error, "the carrier's answer could not be kept");
            }
        }
    }

    /// Whether something is so, as far as is stored.
    async fn is(&self, look: impl Fn(&Channel) -> bool) -> bool {
        let seen = self.engine.step(&self.id, |channel, _| look(channel)).await;
        seen.unwrap_or(false)
    }
}

fn seen(status: &CallStatus) -> Seen {
    match status {
        CallStatus::Ringing => Seen::Ringing,
        CallStatus::InProgress => Seen::Talking,
        status => status.cause(None).map_or(Seen::Unknown, |cause| {
            Seen::Over(LegEnd {
                answered: *status == CallStatus::Completed,
                cause,
                sip_status: None,
            })
        }),
    }
}

/// Why there was no dial.
fn cause(error: &TwilioError) -> HangupCause {
    match error.kind {
        // A number that is none, or that may not be called.
        ErrorKind::Refused | ErrorKind::Gone => HangupCause::Unreachable,
        ErrorKind::RateLimited | ErrorKind::Unreachable | ErrorKind::Unknown => HangupCause::Failed,
    }
}

/// An address without parameters and headers.
fn bare(address: &str) -> &str {
    address.split([';', '?']).next().unwrap_or(address)
}
