//! One step of one call: load, take the input, commit, carry out.
//!
//! A step that another node overtook is done again on what that one stored: the machine is pure, and
//! nothing left the process before the commit.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use switchhook_adapters::twilio::Carrier;
use switchhook_call::Event;
use switchhook_conversation::documents::Documents;
use switchhook_model::{CallId, Target, Timestamp};
use switchhook_store::{AnswerRow, CallRow, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::channel::{Arrival, Channel, Rooms, Rules, State};
use super::settings::Settings;
use super::slots::{Loaded, Slot, Slots};
use super::threads::StreamThreads;
use crate::accounts::Accounts;
use crate::calls::{self, OtherCalls, Shared};
use crate::clock;
use crate::config::{AssistantVia, TransferVia};
use crate::outbound;

/// The vendor in the table of foreign ids.
pub(super) const VENDOR: &str = "twilio";
/// Tries of a step that other nodes overtake.
const TRIES: u32 = 8;
/// How late a deadline may be before another node looks after the call.
const ORPHANED_AFTER: Duration = Duration::from_secs(5);
/// How late the carrier may be when it was asked to come, or to end a leg.
pub(super) const ASK_AGAIN_AFTER: Duration = Duration::from_secs(3);
/// How often each node looks for such calls.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Calls looked after at a time.
const LOOK_MAX: u32 = 100;

/// Why a step was not made; nothing of it was kept.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error("the call is not known")]
    Unknown,
    #[error("the stored call cannot be read: {0}")]
    Unreadable(String),
    #[error("the database does not take the step: {0}")]
    Store(String),
    /// The same webhook was answered already.
    #[error("answered before")]
    Answered,
}

/// Where an input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Anywhere,
    /// A media stream of this node.
    Stream,
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

pub struct Engine {
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Settings,
    pub(super) carrier: Option<Arc<dyn Carrier>>,
    rules: Arc<Rules>,
    /// None: nobody is asked for a PIN.
    pub(super) accounts: Option<Accounts>,
    /// Of calls this program acts.
    acted: Arc<Rules>,
    pub(super) slots: Slots,
    pub(super) threads: StreamThreads,
    /// This process: what another one had in mind is dealt with when one of its calls is loaded.
    pub(super) node: String,
    stop: CancellationToken,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("calls", &self.slots.len())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// # Errors
    /// If a PIN of the configuration cannot be hashed, or the system gives no threads.
    pub fn new(
        shared: Arc<Shared>,
        settings: Settings,
        carrier: Option<Arc<dyn Carrier>>,
        stop: CancellationToken,
    ) -> anyhow::Result<Arc<Self>> {
        let mut conversation = shared.conversation.clone();
        conversation.timing = Documents::timing(conversation.timing);
        conversation.pin = settings.pin_rules();
        let accounts = settings.pin.clone().map(Accounts::new).transpose()?;
        let rules = Rules {
            policy: shared.policy.clone(),
            profile: shared.config.profile.clone(),
            assistant: shared.config.assistant.name.clone(),
            conversation,
            accept_key: settings.section.accept_key,
            whisper: settings.section.whisper,
            streams: settings.section.streams,
            rooms: match settings.section.transfer {
                TransferVia::Dial => Rooms::OnDemand,
                TransferVia::Conference => Rooms::Always,
            },
            has_rest: carrier.is_some(),
            elsewhere: settings.section.assistant_via != AssistantVia::Own,
        };
        let acted = rules.acted();
        let threads = StreamThreads::start(shared.config.media.workers)?;
        Ok(Arc::new(Self {
            shared,
            accounts,
            settings,
            carrier,
            rules: Arc::new(rules),
            acted: Arc::new(acted),
            slots: Slots::default(),
            threads,
            node: ulid::Ulid::generate().to_string(),
            stop,
        }))
    }

    /// Looks after calls whose deadlines nobody kept: those of a process that is gone.
    pub async fn look_after_orphans(self: Arc<Self>) {
        self.take_up_placed().await;
        let mut due = tokio::time::interval(LOOK_EVERY);
        while self.stop.run_until_cancelled(due.tick()).await.is_some() {
            let late = clock::now() - ORPHANED_AFTER;
            match self.shared.store.due_calls(late, LOOK_MAX).await {
                Ok(calls) => {
                    for call in calls {
                        self.ring(&call).await;
                    }
                }
                Err(error) => tracing::error!(%error, "calls that are due cannot be looked up"),
            }
        }
    }

    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// The call with this leg, wherever it was stored.
    pub(super) async fn call_of(&self, sid: &str) -> Result<Option<CallId>, StoreError> {
        if let Some(call) = self.slots.call_of(sid) {
            return Ok(Some(call));
        }
        let row = self.shared.store.vendor_id(VENDOR, sid).await?;
        if let Some(row) = &row {
            self.slots.know(sid, &row.call);
        }
        Ok(row.map(|row| row.call))
    }

    /// A caller nobody knows: a new call, which takes its first input with the same commit. Two requests
    /// at once make one call, and for the second nothing is taken.
    pub(super) async fn arrive<T>(
        self: &Arc<Self>,
        arrival: Arrival,
        take: impl FnOnce(&mut Channel, Timestamp) -> T,
    ) -> Result<(CallId, Option<T>), StepError> {
        let id = clock::new_call_id();
        let slot = self.slots.get(&id);
        let mut guard = slot.call.lock().await;
        let now = clock::now();
        let sid = arrival.sid.clone();
        let mut channel = Channel::inbound(id.clone(), arrival, Arc::clone(&self.rules), now);
        let result = take(&mut channel, now);
        let first = AnswerRow {
            key: format!("arrival:{sid}"),
            call: Some(id.clone()),
            at: now,
            body: String::new(),
        };
        let loaded = Loaded {
            channel,
            revision: 0,
        };
        match self.commit(&slot, loaded, vec![first], now).await {
            Ok(loaded) => {
                self.slots.know(&sid, &id);
                let is_over = loaded.channel.is_settled();
                *guard = Some(loaded);
                drop(guard);
                if is_over {
                    self.over(&id).await;
                }
                Ok((id, Some(result)))
            }
            Err(StepError::Answered) => {
                drop(guard);
                self.slots.forget(&id);
                let other = self.call_of(&sid).await?.ok_or(StepError::Unknown)?;
                Ok((other, None))
            }
            Err(error) => {
                drop(guard);
                self.slots.forget(&id);
                Err(error)
            }
        }
    }

    pub(super) fn rules_of(&self, is_acted: bool) -> Arc<Rules> {
        Arc::clone(if is_acted { &self.acted } else { &self.rules })
    }

    /// Lets the call take one input. `take` may be called more than once, each time on what is stored
    /// then; its last result counts.
    pub(super) async fn step<T>(
        self: &Arc<Self>,
        id: &CallId,
        take: impl FnMut(&mut Channel, Timestamp) -> T,
    ) -> Result<T, StepError> {
        self.step_from(id, Origin::Anywhere, take).await
    }

    /// The same for what comes over a media stream of this node. Once another node has stored the call,
    /// the stream is nobody's any more and is closed; the carrier comes for another.
    pub(super) async fn step_of_stream<T>(
        self: &Arc<Self>,
        id: &CallId,
        take: impl FnMut(&mut Channel, Timestamp) -> T,
    ) -> Result<T, StepError> {
        self.step_from(id, Origin::Stream, take).await
    }

    async fn step_from<T>(
        self: &Arc<Self>,
        id: &CallId,
        origin: Origin,
        mut take: impl FnMut(&mut Channel, Timestamp) -> T,
    ) -> Result<T, StepError> {
        let slot = self.slots.get(id);
        let mut guard = slot.call.lock().await;
        for _ in 0..TRIES {
            let now = clock::now();
            let mut is_adopted = false;
            let mut loaded = match guard.take() {
                // Another node may have stored something since.
                Some(loaded) if !self.shared.store.is_shared() || loaded.channel.has_stream() => {
                    loaded
                }
                Some(_) | None if origin == Origin::Stream => {
                    slot.close_stream();
                    return Err(StepError::Unknown);
                }
                Some(_) | None => match self.load(id, now).await {
                    Ok((loaded, adopted)) => {
                        is_adopted = adopted;
                        loaded
                    }
                    Err(error) => {
                        drop(guard);
                        self.slots.forget(id);
                        return Err(error);
                    }
                },
            };
            let result = take(&mut loaded.channel, now);
            if is_adopted && self.shared.store.is_shared() {
                loaded.channel.leave_foreign_stream();
            }
            match self.commit(&slot, loaded, Vec::new(), now).await {
                Ok(loaded) => {
                    let is_over = loaded.channel.is_settled();
                    *guard = Some(loaded);
                    drop(guard);
                    if is_over {
                        self.over(id).await;
                    }
                    return Ok(result);
                }
                Err(StepError::Store(why)) if why == STALE => slot.close_stream(),
                Err(error) => return Err(error),
            }
        }
        Err(StepError::Store(
            "the call changes too often on other nodes".to_owned(),
        ))
    }

    /// The call as it is stored, and whether another process stored it.
    async fn load(&self, id: &CallId, now: Timestamp) -> Result<(Loaded, bool), StepError> {
        let row = self
            .shared
            .store
            .call(id)
            .await?
            .ok_or(StepError::Unknown)?;
        let is_adopted = row.node.as_deref() != Some(self.node.as_str());
        let loaded = self.read(row, is_adopted, now)?;
        Ok((loaded, is_adopted))
    }

    pub(super) fn read(
        &self,
        row: CallRow,
        is_adopted: bool,
        now: Timestamp,
    ) -> Result<Loaded, StepError> {
        let stored = row.channel_state.ok_or(StepError::Unknown)?;
        let call = switchhook_call::Call::restore(row.snapshot.as_str())
            .map_err(|error| StepError::Unreadable(error.to_string()))?;
        let state: State = stored
            .read()
            .map_err(|error| StepError::Unreadable(format!("{:?} error", error.classify())))?;
        let rules = self.rules_of(state.simulated);
        let channel = Channel::restore(call, state, rules, is_adopted, now)
            .map_err(|error| StepError::Unreadable(error.to_string()))?;
        Ok(Loaded {
            channel,
            revision: row.revision,
        })
    }

    pub(super) fn set_alarm(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        id: &CallId,
        at: Option<Timestamp>,
    ) {
        let engine = Arc::clone(self);
        let id = id.clone();
        slot.set_alarm(at, move |at| {
            tokio::spawn(async move {
                tokio::time::sleep(clock::until(at)).await;
                if let Some(slot) = engine.slots.find(&id) {
                    slot.alarm_rang();
                }
                // A task of its own: the next alarm replaces this one.
                tokio::spawn(async move { engine.ring(&id).await });
            })
            .abort_handle()
        });
    }

    /// The call's deadlines.
    async fn ring(self: &Arc<Self>, id: &CallId) {
        let rang = self
            .step(id, |channel, now| {
                channel.timers(now);
            })
            .await;
        match rang {
            Ok(()) | Err(StepError::Unknown) => {}
            Err(error) => tracing::error!(call.id = %id, %error, "a deadline could not be kept"),
        }
    }

    /// Until something of the call was stored, one of its deadlines passed, or `until`.
    pub(super) async fn wait(&self, id: &CallId, until: Instant) {
        let Some(slot) = self.slots.find(id) else {
            return;
        };
        let mut stored = slot.stored.subscribe();
        // What was stored between the look and this is looked at by the caller's next step at the
        // latest when a deadline passes.
        let _ = tokio::time::timeout_at(until, stored.changed()).await;
    }

    /// Whom a caller is passed on to when nobody is named.
    pub(super) fn default_target(&self) -> Option<Target> {
        self.shared.policy.default_targets.first().cloned()
    }

    async fn over(&self, id: &CallId) {
        self.slots.forget(id);
        outbound::account(&self.shared, id).await;
        calls::judge(&self.shared.store, id).await;
        tracing::info!(call.id = %id, "call ended");
    }
}

/// Told apart from other reasons of the database.
pub(super) const STALE: &str = "another node stored the call first";

#[async_trait]
impl OtherCalls for Handle {
    async fn tell(&self, id: &CallId, event: Event) -> bool {
        let told = self
            .0
            .step(id, |channel, now| channel.event(now, event.clone()))
            .await;
        match told {
            Ok(()) => true,
            Err(StepError::Unknown) => false,
            Err(error) => {
                tracing::error!(call.id = %id, %error, "the call could not be told");
                true
            }
        }
    }
}

/// The engine as the registry knows it.
#[derive(Debug)]
pub struct Handle(pub Arc<Engine>);
