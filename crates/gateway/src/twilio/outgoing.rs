//! Calls of ours at the carrier: asked for once, and looked for when the answer never came.

use std::sync::Arc;
use std::time::Duration;

use switchhook_adapters::twilio::rest::{CallAmd, CallDocument, CallInfo, CallQuery, NewCall};
use switchhook_adapters::twilio::twiml::{AmdMode, CallEvent};
use switchhook_adapters::twilio::webhook::{AnsweredBy, CallStatus};
use switchhook_adapters::twilio::{CallSid, Carrier, ErrorKind, TwilioError};
use switchhook_call::MachinePolicy;
use switchhook_model::{CallId, Direction, HangupCause, Target, Timestamp};
use tokio::time::Instant;

use super::channel::{CalledStatus, Channel, Outgoing, Picker, Placing, Request};
use super::engine::{Engine, StepError, VENDOR};
use super::simulation;
use super::slots::Loaded;
use crate::clock;
use crate::config::Detection;

/// Longest wait for the carrier's answer before whoever ordered the call is told that it is not known.
const PATIENCE: Duration = Duration::from_secs(20);
/// The carrier's clock and ours may differ by so much.
const CLOCKS: Duration = Duration::from_secs(10);
/// Codes of the carrier that say that the number is no good.
const BAD_NUMBER: [u32; 5] = [21211, 21214, 21217, 21401, 13224];

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// The carrier has the call.
    Yes { sid: String },
    /// This program acts it.
    Acted,
    /// The carrier has it not; what it said, with cause and cure.
    No { detail: String },
    /// Its answer never came; it is being looked for.
    Unknown,
}

impl Engine {
    /// Whether calls can really be placed.
    pub fn can_call(&self) -> bool {
        self.carrier.is_some() && self.settings.section.number.is_some()
    }

    /// Whether there are credentials.
    pub fn has_account(&self) -> bool {
        self.carrier.is_some()
    }

    /// Whether the account is the lab's.
    pub fn is_lab(&self) -> bool {
        self.settings.section.is_lab
    }

    /// Calls somebody, or acts it. The destination was checked. Returns when that is stored.
    ///
    /// # Errors
    /// If it could not be stored: nobody is called.
    pub async fn begin_call(
        self: &Arc<Self>,
        target: Target,
        assistant: String,
        simulated: bool,
    ) -> Result<CallId, StepError> {
        let section = &self.settings.section;
        let caller_id = section.number.as_ref().map(ToString::to_string);
        let detection_s = match self.shared.config.outbound.detection {
            Detection::Before => DETECTION_S,
            Detection::Beside | Detection::Off => 0,
        };
        self.begin(Outgoing {
            target,
            assistant,
            caller_id: caller_id.unwrap_or_default(),
            account: section.account_sid.clone().unwrap_or_default(),
            simulated,
            detection_s,
        })
        .await
    }

    /// We call somebody. Returns once that is stored; whoever is to be called is called then.
    async fn begin(self: &Arc<Self>, order: Outgoing) -> Result<CallId, StepError> {
        let id = clock::new_call_id();
        let slot = self.slots.get(&id);
        let mut guard = slot.call.lock().await;
        let now = clock::now();
        let rules = self.rules_of(order.simulated);
        let loaded = Loaded {
            channel: Channel::outbound(id.clone(), order, rules, now),
            revision: 0,
        };
        match self.commit(&slot, loaded, Vec::new(), now).await {
            Ok(loaded) => {
                *guard = Some(loaded);
                Ok(id)
            }
            Err(error) => {
                drop(guard);
                self.slots.forget(&id);
                Err(error)
            }
        }
    }

    /// A look at the call as it is, without a step.
    pub(super) async fn look<T>(
        &self,
        id: &CallId,
        look: impl FnOnce(&Channel) -> T,
    ) -> Result<T, StepError> {
        if let Some(slot) = self.slots.find(id) {
            let guard = slot.call.lock().await;
            if let Some(loaded) = guard.as_ref().filter(|_| !self.shared.store.is_shared()) {
                return Ok(look(&loaded.channel));
            }
        }
        let row = self.shared.store.call(id).await?;
        let stored = row.ok_or(StepError::Unknown)?;
        let is_adopted = false;
        let loaded = self.read(stored, is_adopted, clock::now())?;
        Ok(look(&loaded.channel))
    }

    /// Whether the carrier has such a call, once it has answered, or does not for too long.
    pub async fn placed(self: &Arc<Self>, id: &CallId, simulated: bool) -> Placed {
        if simulated {
            return Placed::Acted;
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let seen = self
                .look(id, |channel| {
                    let state = &channel.state;
                    let leg = channel.call.view().legs.into_iter().next();
                    let detail = leg.and_then(|leg| leg.detail).unwrap_or_default();
                    (state.placing.clone(), state.caller_sid.clone(), detail)
                })
                .await;
            return match seen {
                Ok((_, sid, _)) if !sid.is_empty() => Placed::Yes { sid },
                Ok((Some(Placing::Failed) | None, _, detail)) => Placed::No { detail },
                Ok((Some(_), _, _)) if Instant::now() < until => {
                    self.wait(id, until.min(Instant::now() + POLL)).await;
                    continue;
                }
                Ok((Some(_), _, _)) => Placed::Unknown,
                Err(error) => {
                    tracing::warn!(call.id = %id, %error, "what came of the call is not known yet");
                    Placed::Unknown
                }
            };
        }
    }

    /// Asks the carrier for the call, beside the call's own steps.
    pub(super) fn place(self: &Arc<Self>, id: &CallId) {
        let engine = Arc::clone(self);
        let id = id.clone();
        tokio::spawn(async move {
            if let Err(error) = engine.ask_for(&id).await {
                tracing::error!(call.id = %id, %error, "a call could not be placed yet");
            }
        });
    }

    async fn ask_for(self: &Arc<Self>, id: &CallId) -> Result<(), StepError> {
        let is_acted = self.look(id, |channel| channel.state.simulated).await?;
        // From here on it counts as asked for, whatever becomes of this process.
        let request = self
            .step(id, |channel, now| channel.ask_carrier(now))
            .await?;
        let Some(request) = request else {
            return Ok(());
        };
        if is_acted {
            simulation::play(self, id).await;
            return Ok(());
        }
        let Some(carrier) = self.carrier.clone() else {
            let why = "there are no Twilio credentials (TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN)";
            return self.refused(id, HangupCause::Failed, why.to_owned()).await;
        };
        let Some(call) = self.new_call(id, request) else {
            let why = "twilio.number (TWILIO_PHONE_NUMBER) is missing: the number that is shown";
            return self.refused(id, HangupCause::Failed, why.to_owned()).await;
        };
        match carrier.create_call(&call).await {
            Ok(info) => self.take_in(id, &info).await,
            Err(error) if error.kind == ErrorKind::Unknown => {
                tracing::warn!(call.id = %id, %error, "the call is looked for");
                self.step(id, |channel, now| channel.placing_unknown(now))
                    .await
            }
            Err(error) => {
                tracing::warn!(call.id = %id, %error, "the carrier does not place the call");
                self.refused(id, cause_of(&error), told(&error)).await
            }
        }
    }

    async fn refused(
        self: &Arc<Self>,
        id: &CallId,
        cause: HangupCause,
        why: String,
    ) -> Result<(), StepError> {
        self.step(id, |channel, now| {
            channel.not_placed(now, cause, Some(why.clone()));
        })
        .await
    }

    fn new_call(&self, id: &CallId, request: Request) -> Option<NewCall> {
        let settings = &self.settings;
        let from = settings.section.number.as_ref()?.to_string();
        let base = format!("{}/twilio", settings.public_url);
        let session = session_of(id);
        let document = CallDocument::Url(format!("{base}/connect/{session}?n=0"));
        Some(NewCall {
            fallback_url: Some(format!("{base}/error")),
            status_callback: Some(format!("{base}/status/{session}")),
            status_callback_events: CallEvent::ALL.to_vec(),
            timeout: Some(request.ring_timeout_s),
            time_limit: Some(request.max_call_s),
            amd: self.amd(&format!("{base}/amd/{session}")),
            ..NewCall::new(request.to, from, document)
        })
    }

    fn amd(&self, callback: &str) -> Option<CallAmd> {
        let outbound = &self.shared.config.outbound;
        // A message begins after the machine's own words.
        let mode = match outbound.machine {
            MachinePolicy::Message => AmdMode::DetectMessageEnd,
            MachinePolicy::HangUp | MachinePolicy::GoOn => AmdMode::Enable,
        };
        let callback = match outbound.detection {
            Detection::Off => return None,
            Detection::Before => None,
            Detection::Beside => Some(callback.to_owned()),
        };
        Some(CallAmd {
            mode,
            timeout: Some(DETECTION_S),
            callback,
        })
    }

    /// Looks at the carrier for a call, beside the call's own steps.
    pub(super) fn find(self: &Arc<Self>, id: &CallId) {
        let Some(carrier) = self.carrier.clone() else {
            return;
        };
        let engine = Arc::clone(self);
        let id = id.clone();
        tokio::spawn(async move {
            match engine.found(carrier.as_ref(), &id).await {
                Ok(Some(info)) => {
                    if let Err(error) = engine.take_in(&id, &info).await {
                        tracing::error!(call.id = %id, %error, "a call that was found could not be kept");
                    }
                }
                Ok(None) => tracing::info!(call.id = %id, "the carrier does not show the call"),
                Err(error) => {
                    tracing::warn!(call.id = %id, %error, "the call could not be looked for")
                }
            }
        });
    }

    async fn found(
        &self,
        carrier: &dyn Carrier,
        id: &CallId,
    ) -> Result<Option<CallInfo>, Box<dyn std::error::Error + Send + Sync>> {
        let (sid, to, placing) = self
            .look(id, |channel| {
                let to = channel.call.view().callee;
                (
                    channel.state.caller_sid.clone(),
                    to,
                    channel.state.placing.clone(),
                )
            })
            .await?;
        if let Ok(sid) = sid.parse::<CallSid>() {
            return Ok(Some(carrier.call(&sid).await?));
        }
        let (Some(Placing::Asked { at, .. }), Some(from)) =
            (placing, self.settings.section.number.as_ref())
        else {
            return Ok(None);
        };
        let query = CallQuery {
            parent: None,
            to: Some(to),
            from: Some(from.to_string()),
        };
        let mut ours = Vec::new();
        for info in carrier.calls(&query).await? {
            if may_be(&info, at) && self.is_nobodys(id, &info.sid).await? {
                ours.push(info);
            }
        }
        // Of several it could be any: their webhooks tell which one is ours.
        Ok(if ours.len() == 1 { ours.pop() } else { None })
    }

    async fn is_nobodys(&self, id: &CallId, sid: &CallSid) -> Result<bool, StepError> {
        let row = self.shared.store.vendor_id(VENDOR, sid.as_str()).await?;
        Ok(row.is_none_or(|row| row.call == *id))
    }

    /// The carrier has the call, and shows it in this state.
    async fn take_in(self: &Arc<Self>, id: &CallId, info: &CallInfo) -> Result<(), StepError> {
        let over = info.status.cause(None).map(|cause| CalledStatus::Over {
            cause,
            sip_status: None,
            detail: None,
            picker: info
                .answered_by
                .as_deref()
                .map(AnsweredBy::read)
                .and_then(picker),
        });
        self.step(id, |channel, now| {
            if channel.placed(now, info.sid.as_str())
                && let Some(over) = &over
            {
                channel.called(now, None, over.clone());
            }
        })
        .await
    }

    /// After a restart: what the last process had begun to place, or acted, and agents it dialled over
    /// REST. What was reported of those meanwhile found nobody and does not come again. Where others
    /// share the database, whoever notices first that nobody looks after such a call does that.
    pub(super) async fn take_up_placed(self: &Arc<Self>) {
        if self.shared.store.is_shared() {
            return;
        }
        let open = match self.shared.store.open_calls().await {
            Ok(open) => open,
            Err(error) => {
                tracing::error!(%error, "calls of before the restart cannot be looked up");
                return;
            }
        };
        for row in open {
            if row.channel_state.is_none() {
                continue;
            }
            let is_placed = row.head.direction == Direction::Outbound;
            let id = row.head.id;
            let taken_up = match self.look(&id, Channel::has_open_seat).await {
                // The carrier comes by itself for everything else.
                Ok(false) if !is_placed => continue,
                Ok(_) => self.step(&id, |_, _| ()).await,
                Err(error) => Err(error),
            };
            if let Err(error) = taken_up {
                tracing::error!(call.id = %id, %error, "a call of before the restart cannot be taken up");
            }
        }
    }

    /// Whoever acts the callee hangs up.
    pub(super) fn acted_is_over(self: &Arc<Self>, id: &CallId) {
        let engine = Arc::clone(self);
        let id = id.clone();
        tokio::spawn(async move {
            let ended = engine
                .step(&id, |channel, now| channel.caller_gone(now))
                .await;
            if let Err(error) = ended {
                tracing::debug!(call.id = %id, %error, "the end came by itself");
            }
        });
    }

    /// The call a webhook is about by the session in its path: one of ours whose leg this is, or turns
    /// out to be.
    pub(super) async fn call_of_session(
        self: &Arc<Self>,
        session: &str,
        sid: &str,
    ) -> Result<Option<CallId>, StepError> {
        let Some(id) = call_of_session(session) else {
            return Ok(None);
        };
        match self
            .step(&id, |channel, now| channel.placed(now, sid))
            .await
        {
            Ok(true) => Ok(Some(id)),
            Ok(false) | Err(StepError::Unknown) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Seconds a machine is listened to, at most: the carrier's own choice.
const DETECTION_S: u32 = 30;
/// How often it is looked whether the carrier answered, at least.
const POLL: Duration = Duration::from_millis(500);

/// The name of a call in the paths the carrier is given.
pub fn session_of(call: &CallId) -> String {
    format!("vs_{}", call.unique())
}

/// The call of such a name, or of its id.
pub(super) fn call_of_session(session: &str) -> Option<CallId> {
    match session.strip_prefix("vs_") {
        Some(unique) => format!("{}{unique}", CallId::PREFIX).parse().ok(),
        None => session.parse().ok(),
    }
}

/// Who picked up, if the carrier could tell.
pub(super) fn picker(by: AnsweredBy) -> Option<Picker> {
    match by {
        AnsweredBy::Human => Some(Picker::Person),
        AnsweredBy::Machine(_) => Some(Picker::Machine),
        AnsweredBy::Fax => Some(Picker::Fax),
        AnsweredBy::Unknown => None,
    }
}

fn may_be(info: &CallInfo, asked_at: Timestamp) -> bool {
    let is_ours = info
        .direction
        .as_deref()
        .is_none_or(|way| way == "outbound-api");
    // Without a date it is not known to be an older one; the path of its webhooks decides.
    is_ours
        && info
            .date_created
            .is_none_or(|created| created >= asked_at - CLOCKS)
}

fn cause_of(error: &TwilioError) -> HangupCause {
    match error.code {
        Some(code) if BAD_NUMBER.contains(&code) => HangupCause::Unreachable,
        Some(_) | None => HangupCause::Failed,
    }
}

/// Cause and cure, and what the carrier wrote: for the operator of this call.
fn told(error: &TwilioError) -> String {
    match error.vendor_message() {
        Some(message) => format!("{error} (Twilio: {message})"),
        None => error.to_string(),
    }
}

/// What a status means for the leg we placed.
pub(super) fn called_status(
    status: &CallStatus,
    sip_status: Option<u16>,
    detail: Option<String>,
    picker: Option<Picker>,
) -> Option<CalledStatus> {
    match status {
        CallStatus::Ringing => Some(CalledStatus::Ringing),
        CallStatus::InProgress => Some(CalledStatus::Answered),
        status => Some(CalledStatus::Over {
            cause: status.cause(sip_status)?,
            sip_status,
            detail,
            picker,
        }),
    }
}
