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
use switchhook_conversation::{Input, Pin, PinAnswer};
use switchhook_model::{CallId, Target, Timestamp};
use switchhook_store::{AnswerRow, CallRow, CommitError, Json, Step, StoreError, VendorIdRow};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::channel::{Arrival, Channel, Done, Effect, Rooms, Rules, State};
use super::settings::Settings;
use super::slots::{Loaded, Slot, Slots};
use super::{brain, stream};
use crate::accounts::Accounts;
use crate::bus::LiveEvent;
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
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(3);
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
    accounts: Option<Accounts>,
    /// Of calls this program acts.
    acted: Arc<Rules>,
    pub(super) slots: Slots,
    /// This process: what another one had in mind is dealt with when one of its calls is loaded.
    node: String,
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
    /// If a PIN of the configuration cannot be hashed.
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
        Ok(Arc::new(Self {
            shared,
            accounts,
            settings,
            carrier,
            rules: Arc::new(rules),
            acted: Arc::new(acted),
            slots: Slots::default(),
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

    /// A caller nobody knows: a new call. Two requests at once make one.
    pub(super) async fn arrive(self: &Arc<Self>, arrival: Arrival) -> Result<CallId, StepError> {
        let id = clock::new_call_id();
        let slot = self.slots.get(&id);
        let mut guard = slot.call.lock().await;
        let now = clock::now();
        let sid = arrival.sid.clone();
        let channel = Channel::inbound(id.clone(), arrival, Arc::clone(&self.rules), now);
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
                *guard = Some(loaded);
                Ok(id)
            }
            Err(StepError::Answered) => {
                drop(guard);
                self.slots.forget(&id);
                self.call_of(&sid).await?.ok_or(StepError::Unknown)
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

    /// Stores what came of an input, then does what it wants outside.
    pub(super) async fn commit(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        mut loaded: Loaded,
        answers: Vec<AnswerRow>,
        now: Timestamp,
    ) -> Result<Loaded, StepError> {
        let id = loaded.channel.call.id().clone();
        let Some(done) = loaded.channel.take_done() else {
            self.set_alarm(slot, &id, loaded.channel.next_deadline());
            hand_over(slot, &mut loaded.channel);
            return Ok(loaded);
        };
        let revision = loaded.revision + 1;
        let mut step = self.rows(&mut loaded.channel, &done, revision, now);
        step.answers = answers;
        let step = Arc::new(step);
        match self.shared.store.commit(Arc::clone(&step)).await {
            Ok(_) => {}
            Err(CommitError::Answered { .. }) => return Err(StepError::Answered),
            Err(CommitError::StaleRevision { .. }) => {
                return Err(StepError::Store(STALE.to_owned()));
            }
            Err(error) => {
                tracing::error!(%error, "the call's step could not be stored");
                metrics::counter!("switchhook_store_errors_total").increment(1);
                return Err(StepError::Store(error.to_string()));
            }
        }
        loaded.revision = revision;
        if let Some(row) = &step.call {
            self.shared.bus.send(LiveEvent::call(&row.head));
        }
        for message in &step.messages {
            self.shared.bus.send(LiveEvent::message(message));
        }
        slot.stored.send_modify(|n| *n = n.wrapping_add(1));
        self.set_alarm(slot, &id, loaded.channel.next_deadline());
        for effect in done.effects {
            self.carry_out(slot, &id, &loaded.channel, effect);
        }
        hand_over(slot, &mut loaded.channel);
        Ok(loaded)
    }

    fn rows(&self, channel: &mut Channel, done: &Done, revision: u64, now: Timestamp) -> Step {
        let id = channel.call.id().clone();
        let mut step = Step::default();
        for (event, actions) in &done.steps {
            step.events.extend(calls::told(event, actions, &id, now));
        }
        for turn in &done.turns {
            channel.state.turns += 1;
            step.turns
                .push(calls::turn_row(&id, channel.state.turns, turn));
        }
        let actions: Vec<_> = done.actions().cloned().collect();
        let is_settled = channel.is_settled();
        calls::fill_step(
            &mut step,
            &channel.call,
            revision,
            is_settled,
            &actions,
            &self.shared.notices,
            now,
        );
        if let Some(row) = &mut step.call {
            row.channel_state = Some(Json::of(&channel.state));
            row.node = Some(self.node.clone());
            // A process that dies before it has asked the carrier is followed by one that asks.
            let asked = channel.is_asked().then(|| now + ASK_AGAIN_AFTER);
            let due = channel.next_deadline().into_iter().chain(asked).min();
            row.due_at = due.filter(|_| !is_settled);
        }
        let own = channel.take_new_sid();
        let own = own.filter(|_| !channel.state.simulated).map(|sid| {
            self.slots.know(&sid, &id);
            (channel.state.caller_leg.clone(), sid)
        });
        let ids = own.into_iter().chain(done.sids.iter().cloned());
        step.vendor_ids.extend(ids.map(|(leg, sid)| VendorIdRow {
            vendor: VENDOR.to_owned(),
            vendor_id: sid,
            call: id.clone(),
            leg: Some(leg),
        }));
        step
    }

    fn set_alarm(self: &Arc<Self>, slot: &Arc<Slot>, id: &CallId, at: Option<Timestamp>) {
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

    fn carry_out(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        id: &CallId,
        channel: &Channel,
        effect: Effect,
    ) {
        match effect {
            Effect::Think {
                talk,
                request,
                messages,
                tools,
            } => {
                let model = Arc::clone(&self.shared.brain);
                let engine = Arc::clone(self);
                let call = id.clone();
                let task = tokio::spawn(async move {
                    let pass = |deltas: Vec<_>| {
                        let (engine, call) = (&engine, &call);
                        async move {
                            let input = |delta| Input::Delta { request, delta };
                            let inputs = deltas.into_iter().map(input).collect();
                            engine.hear(call, talk, inputs).await;
                        }
                    };
                    brain::think(model, messages, tools, pass).await;
                });
                slot.keep_thought(talk, request, task.abort_handle());
            }
            Effect::CheckPin { talk, caller, pin } => {
                let engine = Arc::clone(self);
                let call = id.clone();
                tokio::spawn(async move { engine.check_pin(&call, talk, &caller, pin).await });
            }
            Effect::CancelThink { talk, request } => slot.drop_thought(talk, request),
            Effect::Book {
                talk,
                number,
                wanted,
            } => {
                let caller = calls::booker(&channel.call.view());
                let engine = Arc::clone(self);
                let call = id.clone();
                tokio::spawn(async move {
                    let shared = &engine.shared;
                    let parts = (&shared.store, &shared.bus, &shared.notices);
                    let now = clock::now();
                    let result = calls::book(wanted, &call, number, &caller, parts, now).await;
                    engine.hear(&call, talk, vec![result]).await;
                });
            }
            Effect::Place => self.place(id),
            Effect::Find => self.find(id),
            Effect::Complete { .. } if channel.state.simulated => self.acted_is_over(id),
            Effect::Fetch { .. } | Effect::Record { .. } if channel.state.simulated => {}
            Effect::LeaveStream => {
                if let Some(stream) = slot.stream() {
                    stream.send(stream::Order::Leave);
                }
            }
            Effect::Fetch { .. }
            | Effect::Complete { .. }
            | Effect::Record { .. }
            | Effect::Invite { .. }
            | Effect::Drop { .. }
            | Effect::Hold { .. }
            | Effect::Look { .. } => self.ask(slot, id, channel, effect),
        }
    }

    async fn check_pin(self: &Arc<Self>, id: &CallId, talk: u32, caller: &str, pin: Pin) {
        let answer = match &self.accounts {
            Some(accounts) => {
                let store = &self.shared.store;
                accounts.check(store, caller, pin, clock::now()).await
            }
            None => PinAnswer::Unavailable,
        };
        let told = self
            .step(id, |channel, now| {
                channel.pin_checked(now, talk, answer.clone());
            })
            .await;
        match told {
            Ok(()) | Err(StepError::Unknown) => {}
            Err(error) => tracing::error!(call.id = %id, %error, "an answer could not be taken"),
        }
    }

    /// For the conversation of that number.
    async fn hear(self: &Arc<Self>, id: &CallId, talk: u32, inputs: Vec<Input>) {
        let heard = self
            .step(id, |channel, now| {
                for input in &inputs {
                    channel.hear(now, talk, input.clone());
                }
            })
            .await;
        match heard {
            Ok(()) | Err(StepError::Unknown) => {}
            Err(error) => tracing::error!(call.id = %id, %error, "an answer could not be taken"),
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

/// What ears and mouth are to do goes to the stream, after the step it came with.
fn hand_over(slot: &Slot, channel: &mut Channel) {
    let voice = channel.take_voice();
    if voice.is_empty() {
        return;
    }
    if let Some(stream) = slot.stream() {
        for output in voice {
            stream.send(stream::Order::Voice(output));
        }
    }
}

/// Told apart from other reasons of the database.
const STALE: &str = "another node stored the call first";

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
