//! One call's task. It owns the machine, gives it events one after the other, commits each step,
//! and carries the actions out after the commit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use switchhook_call::{Action, ActionKind, Call, Event};
use switchhook_conversation::{Input, Speaker, Turn};
use switchhook_media::MediaEvent;
use switchhook_model::{AttemptId, CallId, Digit, HangupCause, LegId, Timestamp};
use switchhook_sip::SipLegEvent;
use switchhook_sip::reason::read_cause;
use switchhook_store::Step;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::booking::{self, BookingRequest};
use super::figures::Alarm;
use super::inbox::{CallInput, Inbox};
use super::legs::Legs;
use super::recording::Recording;
use super::talk::{Talk, TalkResult};
use super::{Shared, elsewhere, facts, policy, rows};
use crate::bus::LiveEvent;
use crate::clock;
use crate::config::DtmfMode;

/// Longest sleep of an idle call: a forgotten deadline shows as a warning instead of a stuck call.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

pub(super) struct CallTask {
    pub(super) shared: Arc<Shared>,
    pub(super) id: CallId,
    pub(super) call: Call,
    pub(super) legs: Legs,
    pub(super) talk: Option<Talk>,
    pub(super) recording: Option<Recording>,
    pub(super) inbox: Inbox,
    /// Rows of finished recordings, facts and turns that wait for the next commit.
    pub(super) pending: Step,
    pub(super) queue: VecDeque<Event>,
    /// Our REFER that is under way: whose leg, which attempt.
    pub(super) referring: Option<(LegId, AttemptId)>,
    /// The host of the exchange that transfers the caller itself.
    pub(super) exchange: Option<String>,
    /// Legs that hear each other.
    pub(super) bridged: Option<(LegId, LegId)>,
    /// A leg that hears another one which has not answered.
    pub(super) early: Option<(LegId, LegId)>,
    /// Conversations so far; the number of the running one.
    pub(super) talks: u32,
    revision: u64,
    /// Something is to be stored that is not in [`Self::pending`].
    is_owed: bool,
    turns: u32,
    bookings: u32,
}

impl CallTask {
    pub(super) fn new(shared: Arc<Shared>, call: Call, legs: Legs, inbox: Inbox) -> Self {
        Self {
            id: call.id().clone(),
            shared,
            call,
            legs,
            talk: None,
            recording: None,
            inbox,
            pending: Step::default(),
            queue: VecDeque::new(),
            referring: None,
            exchange: None,
            bridged: None,
            early: None,
            talks: 0,
            revision: 0,
            is_owed: false,
            turns: 0,
            bookings: 0,
        }
    }

    /// Runs the call from its first event to its settled end. Boxed, as each step is: a call waits
    /// almost all of its life, and should be small then.
    pub(super) async fn run(
        mut self: Box<Self>,
        first: Event,
        mut inputs: mpsc::Receiver<CallInput>,
        overrun: CancellationToken,
        stored: CancellationToken,
    ) {
        self.queue.push_back(first);
        Box::pin(self.drain()).await;
        stored.cancel();
        while !self.call.is_settled() {
            let deadline = self.next_deadline();
            tokio::select! {
                biased;
                () = overrun.cancelled() => {
                    self.queue.push_back(Event::ShuttingDown);
                    Box::pin(self.drain()).await;
                    break;
                }
                input = inputs.recv() => match input {
                    Some(input) => Box::pin(self.inputs(input, &mut inputs)).await,
                    None => break,
                },
                () = tokio::time::sleep_until(deadline) => Box::pin(self.timers()).await,
            }
        }
        Box::pin(self.finish(inputs)).await;
    }

    pub(super) fn next_deadline(&self) -> Instant {
        let call = self.call.next_deadline().map(|(at, _)| at);
        let talk = self.talk.as_ref().and_then(Talk::next_deadline);
        let wait = call
            .into_iter()
            .chain(talk)
            .min()
            .map_or(LONGEST_SLEEP, clock::until)
            .min(LONGEST_SLEEP);
        Instant::now() + wait
    }

    pub(super) async fn timers(&mut self) {
        let now = clock::now();
        if let Some((at, timer)) = self.call.next_deadline()
            && at <= now
        {
            self.queue.push_back(Event::TimerFired(timer));
        }
        let talk_is_due = self
            .talk
            .as_ref()
            .and_then(Talk::next_deadline)
            .is_some_and(|at| at <= now);
        if talk_is_due {
            self.talk(now, Input::Timeout);
        }
        self.drain().await;
    }

    /// An input. A dialog's record goes with what came after it, if that is here already.
    async fn inputs(&mut self, first: CallInput, inputs: &mut mpsc::Receiver<CallInput>) {
        let mut next = Some(first);
        while let Some(input) = next {
            let is_record = matches!(
                &input,
                CallInput::Sip {
                    event: SipLegEvent::Record(_),
                    ..
                }
            );
            self.take(input).await;
            next = if is_record {
                inputs.try_recv().ok()
            } else {
                None
            };
        }
        self.drain().await;
    }

    pub(super) async fn input(&mut self, input: CallInput) {
        self.take(input).await;
        self.drain().await;
    }

    async fn take(&mut self, input: CallInput) {
        let now = clock::now();
        if let CallInput::Sip { leg, .. } | CallInput::Media { leg, .. } = &input
            && self.is_elsewhere(leg)
        {
            // It was on its way when the leg went over to another call.
            let leg = leg.clone();
            self.shared.registry.send_to_leg(&leg, input);
            return;
        }
        match input {
            CallInput::Event(event) => self.queue.push_back(event),
            CallInput::Talk { talk, input } if talk == self.talks => self.talk(now, input),
            CallInput::Talk { .. } => {}
            CallInput::Sip { leg, event } => self.sip(&leg, event).await,
            CallInput::Media { leg, event } => self.media(now, &leg, event),
            CallInput::Recording { paused, by, answer } => {
                let is_recorded = self.pause_recording(now, paused, &by);
                // Who asked may have gone.
                let _ = answer.send(is_recorded);
            }
            CallInput::HandOver(asked) => self.hand_over(*asked).await,
            CallInput::HandedOver(answer) => Box::pin(self.handed_over(*answer)).await,
            CallInput::Replacing(incoming) => self.replacing(*incoming),
        }
    }

    /// Whether the leg belongs to another call now.
    pub(super) fn is_elsewhere(&self, leg: &LegId) -> bool {
        self.legs.is_given(leg) && self.shared.registry.call_of_leg(leg).as_ref() != Some(&self.id)
    }

    /// One input for the conversation, if there is one.
    pub(super) fn talk(&mut self, now: Timestamp, input: Input) {
        if let Some(talk) = &mut self.talk {
            let result = talk.handle(now, input);
            self.talked(result);
        }
    }

    /// A stopped conversation is kept until it has nothing left to tell.
    pub(super) fn forget_finished_talk(&mut self) {
        if self.talk.as_ref().is_some_and(Talk::is_finished) {
            self.talk = None;
        }
    }

    fn talked(&mut self, result: TalkResult) {
        self.queue.extend(result.events);
        for turn in result.turns {
            self.turn_ended(&turn);
        }
        for booking in result.bookings {
            self.take_down(booking);
        }
    }

    /// Beside the call's own loop: a slow disk delays the confirmation, not the call.
    fn take_down(&mut self, wanted: BookingRequest) {
        self.bookings += 1;
        let number = self.bookings;
        let shared = Arc::clone(&self.shared);
        let call = self.id.clone();
        let Some(inbox) = self.talk.as_ref().map(|talk| talk.inbox().clone()) else {
            return;
        };
        let caller = elsewhere::booker(&self.call.view());
        let now = clock::now();
        tokio::spawn(async move {
            let parts = (&shared.store, &shared.bus, &shared.notices);
            inbox.send(booking::take_down(wanted, &call, number, &caller, parts, now).await);
        });
    }

    fn turn_ended(&mut self, turn: &Turn) {
        if let Some(latency) = turn.latency {
            metrics::histogram!("switchhook_turn_first_audio_seconds")
                .record(Duration::from_millis(latency.first_audio_ms).as_secs_f64());
            metrics::histogram!("switchhook_turn_ours_seconds")
                .record(Duration::from_millis(latency.ours_ms).as_secs_f64());
        }
        // A turn's text is what was heard: only after the announcement may anything be kept.
        if let Some(recording) = &mut self.recording
            && turn.speaker == Speaker::Assistant
            && policy::announcement(&self.shared.config)
                .is_some_and(|announcement| turn.text.contains(announcement))
        {
            recording.announced();
        }
        // Counted over all conversations of the call.
        self.turns += 1;
        self.pending
            .turns
            .push(rows::turn(&self.id, self.turns, turn));
    }

    fn media(&mut self, now: Timestamp, leg: &LegId, event: MediaEvent) {
        match &event {
            MediaEvent::RtpStarted { .. } => self.audio_began(leg),
            MediaEvent::NoRtp { silent_ms, reason } => {
                tracing::warn!(leg.id = %leg, silent_ms, ?reason, "one-way audio: no RTP arrives");
                self.fact(now, facts::one_way_audio(leg, *silent_ms, *reason));
                if let Some(figures) = self.legs.figures_mut(leg) {
                    figures.raise(Alarm::nothing_heard(now, *reason));
                }
            }
            MediaEvent::RtpResumed => {
                tracing::info!(leg.id = %leg, "RTP arrives again");
                self.fact(now, facts::audio_resumed(leg));
                if let Some(figures) = self.legs.figures_mut(leg) {
                    figures.heard();
                }
            }
            MediaEvent::NotHeard => {
                tracing::warn!(leg.id = %leg, "one-way audio: the party reports that it hears nothing");
                self.fact(now, facts::not_heard(leg, true));
                if let Some(figures) = self.legs.figures_mut(leg) {
                    figures.raise(Alarm::not_heard(now));
                }
            }
            MediaEvent::HeardAgain => {
                tracing::info!(leg.id = %leg, "the party hears us again");
                self.fact(now, facts::not_heard(leg, false));
                if let Some(figures) = self.legs.figures_mut(leg) {
                    figures.hears();
                }
            }
            MediaEvent::RtpTimedOut { silent_ms } => {
                tracing::warn!(leg.id = %leg, silent_ms, "no RTP for too long: the leg is given up");
                self.media_lost(leg);
            }
            // Audio crosses a bridge as samples; a key press is an event of its own (RFC 4733).
            MediaEvent::Digit { digit, .. } => {
                if let Some(other) = self.bridged_with(leg).cloned() {
                    self.send_digit(&other, *digit);
                }
            }
            MediaEvent::RecordingFailed { error } => {
                tracing::error!(error, "recording failed");
                self.recording_failed(error.clone());
            }
            MediaEvent::Failed { error } => {
                tracing::error!(leg.id = %leg, error, "media failed");
                self.media_lost(leg);
            }
            _ => {}
        }
        if let Some(talk) = &mut self.talk
            && talk.leg() == leg
        {
            let result = talk.media(now, &event);
            self.talked(result);
        }
    }

    /// A key to a party, in the way its configuration asks for.
    fn send_digit(&self, leg: &LegId, digit: Digit) {
        match self.legs.dtmf(leg) {
            Some(DtmfMode::Auto) => {
                if let Some(media) = self.legs.media(leg) {
                    media.send_digit(digit);
                }
            }
            Some(DtmfMode::Info) if self.shared.sip.send_digit(leg, digit).is_err() => {
                tracing::debug!(leg.id = %leg, "the leg was over before the key");
            }
            Some(DtmfMode::Info) | None => {}
        }
    }

    pub(super) fn bridged_with(&self, leg: &LegId) -> Option<&LegId> {
        match &self.bridged {
            Some((a, b)) if a == leg => Some(b),
            Some((a, b)) if b == leg => Some(a),
            Some(_) | None => None,
        }
    }

    /// Handles what is queued, and what that leads to, until nothing is left.
    pub(super) async fn drain(&mut self) {
        while !self.queue.is_empty() {
            self.step().await;
        }
        self.forget_finished_talk();
        if self.is_owed || !self.pending.is_empty() {
            self.commit(clock::now(), &[]).await;
        }
    }

    /// All that is queued, with one commit: the machine takes one event after the other, and what
    /// it wants done is done in that order.
    async fn step(&mut self) {
        let now = clock::now();
        let mut actions = Vec::new();
        while let Some(event) = self.queue.pop_front() {
            self.fact(now, facts::event(&event));
            let wanted = self.call.handle(now, event);
            let rows = facts::actions(&wanted, &self.id, now);
            self.pending.events.extend(rows);
            actions.extend(wanted);
        }
        self.prepare(&actions).await;
        let is_stored = self.commit(now, &actions).await;
        for action in actions {
            match &action.kind {
                // Nobody could cancel it after a crash, so it does not ring.
                ActionKind::Dial { leg, .. } if !is_stored => self.dial_not_stored(leg),
                _ => self.perform(now, action).await,
            }
        }
    }

    pub(super) fn fact(&mut self, now: Timestamp, fact: facts::Fact) {
        self.pending.events.push(fact.into_row(&self.id, now));
    }

    /// Nothing is left that a crash could lose: no leg, no message on its way.
    fn is_settled(&self) -> bool {
        self.call.is_settled() && self.talk.is_none()
    }

    /// Commits the machine's state with everything the actions owe; false if that failed.
    pub(super) async fn commit(&mut self, now: Timestamp, actions: &[Action]) -> bool {
        let is_settled = self.is_settled();
        self.is_owed = false;
        self.revision += 1;
        let mut step = std::mem::take(&mut self.pending);
        rows::fill(
            &mut step,
            &self.call,
            &self.legs,
            rows::Position {
                revision: self.revision,
                is_settled,
                node: self.shared.config.data.node.as_deref(),
            },
            actions,
            &self.shared.notices,
            now,
        );
        let step = Arc::new(step);
        let stored = self.shared.store.commit(Arc::clone(&step)).await;
        if let Some(row) = &step.call {
            self.shared.bus.send(LiveEvent::call(&row.head));
        }
        match &stored {
            Ok(_) => {
                for message in &step.messages {
                    self.shared.bus.send(LiveEvent::message(message));
                }
            }
            Err(error) => {
                // The caller is not dropped because a disk is full: the call goes on, and what could
                // not be kept is tried again with the next step. New calls are refused meanwhile.
                tracing::error!(%error, "the call's step could not be stored");
                metrics::counter!("switchhook_store_errors_total").increment(1);
                // What the next step does not make anew.
                let step = Arc::unwrap_or_clone(step);
                self.pending = Step {
                    turns: step.turns,
                    recordings: step.recordings,
                    messages: step.messages,
                    events: step.events,
                    work: step.work,
                    ..Step::default()
                };
            }
        }
        stored.is_ok()
    }

    // Signalling

    async fn sip(&mut self, leg: &LegId, event: SipLegEvent) {
        match event {
            SipLegEvent::Record(record) => {
                self.legs.remember(*record);
                // Stored with the step of what came with it, else at once: a crash may come first.
                self.is_owed = true;
            }
            SipLegEvent::Trying => {}
            SipLegEvent::Ringing {
                early_sdp,
                is_forked,
                ..
            } => {
                self.queue.push_back(Event::LegRinging { leg: leg.clone() });
                self.rings(leg, early_sdp.as_deref(), is_forked);
            }
            SipLegEvent::Answered { sdp } => self.outbound_answered(leg, sdp.as_deref()),
            SipLegEvent::Confirmed { sdp } => self.inbound_confirmed(leg, sdp.as_deref()),
            SipLegEvent::Failed {
                status,
                cause,
                reason,
            } => {
                // The phrase is the peer's and may hold a number: it is in the ladder, not in the log.
                tracing::info!(leg.id = %leg, status, cause = cause.code(), "leg failed");
                self.legs.close(leg);
                self.queue.push_back(Event::LegFailed {
                    leg: leg.clone(),
                    cause,
                    sip_status: status,
                    detail: Some(reason).filter(|reason| !reason.is_empty()),
                });
            }
            SipLegEvent::Ended { cause, .. } => {
                self.leg_over(leg, cause).await;
            }
            SipLegEvent::Canceled { reason } => {
                // A caller whose call was taken elsewhere says so; all else is a cancel.
                let cause = read_cause(&reason)
                    .filter(|cause| *cause == HangupCause::AnsweredElsewhere)
                    .unwrap_or(HangupCause::Canceled);
                self.leg_over(leg, cause).await;
            }
            SipLegEvent::ReInvite { sdp, responder } => {
                self.re_invited(leg, sdp.as_deref(), responder);
            }
            SipLegEvent::ReInviteAnswered { sdp } => self.reoffer_answered(leg, sdp.as_deref()),
            SipLegEvent::ReInviteFailed { status } => self.reoffer_failed(leg, status),
            SipLegEvent::Refer {
                id,
                uri,
                replaces,
                referred_by,
            } => {
                self.refer_received(leg, id, &uri, replaces, referred_by)
                    .await;
            }
            SipLegEvent::ReferReported(outcome) => self.refer_reported(leg, outcome),
            SipLegEvent::Redirected { status, uris } => self.redirected(leg, status, uris),
            SipLegEvent::RedirectReady(record) => {
                self.legs.remember(*record);
                // Nobody could cancel it after a crash, so without this it does not leave.
                if self.commit(clock::now(), &[]).await {
                    // An error means that the leg is over.
                    let _ = self.shared.sip.proceed(leg);
                } else {
                    let why = "redirected, but its record could not be stored".to_owned();
                    let _ = self.shared.sip.refuse_redirect(leg, why);
                }
            }
            SipLegEvent::DigitRefused { status } => {
                tracing::warn!(leg.id = %leg, status, "a key sent by INFO was not taken");
                self.fact(clock::now(), facts::key_refused(leg, status));
            }
            SipLegEvent::Digit(digit) => {
                let event = MediaEvent::Digit { digit, at_ms: 0 };
                self.media(clock::now(), leg, event);
            }
        }
    }

    async fn leg_over(&mut self, leg: &LegId, cause: HangupCause) {
        let is_recorded = self.recording.as_ref().is_some_and(|r| r.leg == *leg);
        if is_recorded {
            self.stop_recording().await;
        }
        self.legs.close(leg);
        self.queue.push_back(Event::LegEnded {
            leg: leg.clone(),
            cause,
        });
    }
}
