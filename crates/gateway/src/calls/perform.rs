//! Carries a call's actions out, after the step that decided them is committed.

use switchhook_call::{Action, ActionKind, CallEvent, Event, Opening};
use switchhook_conversation::{Input, SayId};
use switchhook_media::MediaDirection;
use switchhook_model::{HangupCause, LegId, Target, Timestamp};
use switchhook_sip::{DialFrom, DialRequest, DialTarget, TrunkId};

use super::audio;
use super::facts;
use super::legs::{LegMedia, LegParts, Signalling};
use super::policy;
use super::talk::Talk;
use super::task::CallTask;
use crate::clock;

/// Longer than any ring timeout: call control gives up first, this is the belt to its braces.
const DIAL_LIMIT: std::time::Duration = std::time::Duration::from_secs(330);

impl CallTask {
    /// What has to exist before the commit: a dial's record is stored before its INVITE leaves.
    pub(super) async fn prepare(&mut self, actions: &[Action]) {
        for action in actions {
            if let ActionKind::Dial {
                leg,
                target,
                caller_id,
                display,
                ..
            } = &action.kind
            {
                let prepared = self
                    .prepare_dial(leg, target, caller_id.as_deref(), display)
                    .await;
                if let Err((cause, reason)) = prepared {
                    // The reason may hold the number: it goes to the database, not to the log.
                    tracing::warn!(leg.id = %leg, cause = cause.code(), "cannot be dialled");
                    self.fact(clock::now(), facts::dial_refused(leg, &reason));
                    self.queue.push_back(Event::LegFailed {
                        leg: leg.clone(),
                        cause,
                        sip_status: None,
                        detail: Some(reason),
                    });
                }
            }
        }
    }

    async fn prepare_dial(
        &mut self,
        leg: &LegId,
        target: &Target,
        caller_id: Option<&str>,
        display: &str,
    ) -> Result<(), (HangupCause, String)> {
        let target = self.dial_target(target)?;
        let may_refer_out = policy::may_refer_out(&self.shared.config, &target);
        let peer = self.shared.sip.likely_peer(&target);
        let media = self
            .shared
            .open_media(leg, peer)
            .map_err(|error| (HangupCause::Failed, error.to_string()))?;
        let audio =
            audio::of_target(&self.shared.config, &target).beginning_with(self.legs.codec_in_use());
        let media = LegMedia::offering(media, audio);
        let request = DialRequest {
            leg: leg.clone(),
            from: self.dial_from(&target, caller_id, display),
            target,
            sdp_offer: media.description.clone(),
            timeout: DIAL_LIMIT,
            headers: self.dial_headers(),
        };
        let (record, prepared) = self
            .shared
            .sip
            .prepare_dial(request)
            .await
            .map_err(|error| (error.cause(), error.to_string()))?;
        self.legs.insert(
            leg.clone(),
            LegParts {
                signalling: Signalling::Prepared(Box::new(prepared)),
                media: Some(media),
                record: Some(record),
                may_refer_out,
            },
        );
        Ok(())
    }

    /// Who is shown as the caller there.
    pub(super) fn dial_from(
        &self,
        target: &DialTarget,
        caller_id: Option<&str>,
        display: &str,
    ) -> DialFrom {
        // A trunk shows a number of ours only; an extension sees who calls.
        let user = match target {
            DialTarget::Trunk { .. } => caller_id.map(str::to_owned),
            DialTarget::Extension(_) | DialTarget::Uri(_) => {
                Some(self.call.view().caller).filter(|caller| !caller.is_empty())
            }
        };
        DialFrom {
            user,
            display: Some(display.to_owned()).filter(|d| !d.is_empty()),
        }
    }

    /// What the called party is told beside the protocol's own headers.
    fn dial_headers(&self) -> Vec<(String, String)> {
        let outbound = &self.shared.config.outbound;
        let view = self.call.view();
        let mut headers = vec![("X-Switchhook-Call-Id".to_owned(), self.id.to_string())];
        let passed = outbound
            .pass_headers
            .iter()
            .filter_map(|name| Some((name.clone(), view.sip_headers.get(name)?.clone())));
        headers.extend(passed);
        let fixed = outbound.headers.iter();
        headers.extend(fixed.map(|(name, value)| (name.clone(), value.clone())));
        let referred_by = view.transfers.into_iter().last();
        let referred_by = referred_by.filter(|transfer| transfer.outcome.is_none());
        if let Some(by) = referred_by.and_then(|transfer| transfer.referred_by) {
            headers.push(("Referred-By".to_owned(), by));
        }
        headers
    }

    pub(super) fn dial_target(&self, target: &Target) -> Result<DialTarget, (HangupCause, String)> {
        match target {
            Target::Extension(extension) => Ok(DialTarget::Extension(extension.clone())),
            Target::Number(number) => {
                let trunk = self
                    .shared
                    .config
                    .outbound
                    .trunk
                    .as_ref()
                    .or_else(|| self.shared.config.trunks.keys().next());
                let trunk = trunk.ok_or_else(|| {
                    (
                        HangupCause::Unreachable,
                        "no trunk is configured: numbers cannot be dialled".to_owned(),
                    )
                })?;
                Ok(DialTarget::Trunk {
                    trunk: TrunkId::new(trunk.clone()),
                    number: number.to_string(),
                })
            }
            Target::SipUri(uri) => Ok(DialTarget::Uri(uri.clone())),
        }
    }

    /// Carries one action out. What fails comes back as an event.
    pub(super) async fn perform(&mut self, now: Timestamp, action: Action) {
        match action.kind {
            ActionKind::Ring { leg } => {
                if let Some(Signalling::Offered(handle)) = self.signalling(&leg) {
                    // An error means that the caller has gone; that is reported on its own.
                    let _ = handle.ring();
                }
            }
            ActionKind::Answer { leg } => self.answer(&leg),
            ActionKind::Reject { leg, status } => self.reject(&leg, status),
            ActionKind::Dial { leg, .. } => self.send_dial(&leg),
            // It belongs to another call now.
            ActionKind::Cancel { leg } | ActionKind::Hangup { leg, .. }
                if self.legs.is_given(&leg) =>
            {
                self.gone(&leg, HangupCause::Normal);
            }
            ActionKind::Cancel { leg } => {
                // Why it is cancelled goes into the Reason header.
                let cause = self.cause_of(&leg);
                if self.shared.sip.hangup(&leg, cause).is_err() {
                    self.gone(&leg, HangupCause::Canceled);
                }
            }
            ActionKind::Hangup { leg, cause } => {
                // No audio after the hang-up.
                self.legs.close_media(&leg);
                if self.shared.sip.hangup(&leg, cause).is_err() {
                    self.gone(&leg, cause);
                }
            }
            ActionKind::Ringback { leg, on } => {
                if let Some(media) = self.legs.media(&leg) {
                    media.ringback(on);
                }
            }
            ActionKind::EarlyMedia { leg, from, on } => self.early_media(leg, from, on),
            ActionKind::Bridge { a, b } => self.bridge(a, b),
            ActionKind::Unbridge { a, b } => {
                self.bridged = None;
                if let (Some(a), Some(b)) = (self.legs.media(&a), self.legs.media(&b)) {
                    self.shared.media.unbridge(a, b);
                }
            }
            ActionKind::StartAssistant { leg, opening } => {
                self.start_assistant(now, &leg, &opening);
            }
            ActionKind::ResumeAssistant { note } => {
                self.talk(now, Input::Resume { note: Some(note) });
            }
            ActionKind::PauseAssistant => self.talk(now, Input::Pause),
            ActionKind::StopAssistant => {
                self.talk(now, Input::Stop);
                if let Some(media) = self
                    .talk
                    .as_ref()
                    .and_then(|talk| self.legs.media(talk.leg()))
                {
                    media.detach_assistant();
                }
                self.forget_finished_talk();
            }
            ActionKind::Say { say, key: _, text } => {
                let is_connected = self.talk.is_some();
                let input = Input::Say {
                    id: SayId(say.0),
                    text,
                    interruptible: false,
                };
                self.talk(now, input);
                if !is_connected {
                    let heard = switchhook_call::Heard::None;
                    self.queue.push_back(Event::SayFinished { say, heard });
                }
            }
            ActionKind::TakeMessage => self.talk(now, Input::TakeMessage),
            ActionKind::FinishMessage => {
                let is_connected = self.talk.is_some();
                self.talk(now, Input::Stop);
                if !is_connected {
                    self.queue.push_back(Event::MessageAbandoned);
                }
            }
            // Its rows were written with the step; the outbox worker does the rest.
            ActionKind::Notify { .. } => {}
            ActionKind::StartRecording { leg, recording } => {
                self.start_recording(&leg, recording, now);
            }
            ActionKind::StopRecording { .. } => self.stop_recording().await,
            ActionKind::Hold { leg } => self.offer_direction(&leg, MediaDirection::SendOnly),
            ActionKind::Resume { leg } => self.offer_direction(&leg, MediaDirection::SendRecv),
            ActionKind::HoldMusic { leg, on } => self.hold_music(&leg, on),
            ActionKind::AcceptRefer { leg, request } => self.answer_refer(&leg, &request, 202),
            ActionKind::RefuseRefer {
                leg,
                request,
                status,
            } => self.answer_refer(&leg, &request, status),
            ActionKind::NotifyTransferor {
                leg,
                request,
                status,
            } => self.notify_transferor(&leg, &request, status),
            ActionKind::Refer {
                leg,
                attempt,
                target,
            } => self.refer(&leg, attempt, &target),
            ActionKind::Emit(event) => log(&event),
        }
    }

    fn cause_of(&self, leg: &LegId) -> HangupCause {
        let view = self.call.view();
        let cause = view.legs.iter().find(|one| one.id == *leg);
        cause
            .and_then(|leg| leg.cause)
            .unwrap_or(HangupCause::Canceled)
    }

    fn signalling(&mut self, leg: &LegId) -> Option<&mut Signalling> {
        self.legs.get_mut(leg).map(|parts| &mut parts.signalling)
    }

    /// Takes what the leg's signalling holds; it counts as running from now on.
    fn take_signalling(&mut self, leg: &LegId) -> Option<Signalling> {
        self.signalling(leg)
            .map(|signalling| std::mem::replace(signalling, Signalling::Running))
    }

    fn gone(&mut self, leg: &LegId, cause: HangupCause) {
        self.legs.close(leg);
        self.queue.push_back(Event::LegEnded {
            leg: leg.clone(),
            cause,
        });
    }

    fn bridge(&mut self, a: LegId, b: LegId) {
        match (self.legs.media(&a), self.legs.media(&b)) {
            (Some(first), Some(second)) => {
                let pair = Some((a, b));
                second.deafen(false);
                // One of them is heard already: that goes on without a gap.
                if self.early.take() != pair {
                    self.shared.media.bridge(first, second);
                }
                self.bridged = pair;
            }
            (None, _) => self.media_lost(&a),
            (_, None) => self.media_lost(&b),
        }
    }

    fn start_assistant(&mut self, now: Timestamp, leg: &LegId, opening: &Opening) {
        let Some(media) = self.legs.media(leg) else {
            return self.media_lost(leg);
        };
        self.talks += 1;
        let inbox = self.inbox.of_talk(self.talks);
        self.talk = Some(Talk::open(&self.shared, &self.id, leg, media, inbox, now));
        match opening {
            Opening::Greeting => self.talk(
                now,
                Input::Start {
                    opening: None,
                    note: None,
                },
            ),
            // Before its start a conversation speaks verbatim texts only.
            Opening::Silent => {}
        }
    }

    fn answer(&mut self, leg: &LegId) {
        let Some(Signalling::Offered(handle)) = self.take_signalling(leg) else {
            return;
        };
        let Some(media) = self
            .legs
            .get_mut(leg)
            .and_then(|parts| parts.media.as_ref())
        else {
            return self.media_lost(leg);
        };
        if handle.answer(media.description.clone()).is_err() {
            self.gone(leg, HangupCause::Canceled);
        }
    }

    fn reject(&mut self, leg: &LegId, status: u16) {
        if let Some(Signalling::Offered(handle)) = self.take_signalling(leg) {
            // An error means that the caller has gone already.
            let _ = handle.reject(status, None);
        }
        self.gone(leg, HangupCause::Rejected);
    }

    fn send_dial(&mut self, leg: &LegId) {
        if let Some(Signalling::Prepared(prepared)) = self.take_signalling(leg) {
            prepared.send();
        }
    }

    /// The 200 of a leg we dialled.
    pub(super) fn outbound_answered(&mut self, leg: &LegId, answer: Option<&str>) {
        self.agreed(leg, |media| media.answered(answer));
    }

    /// The ACK to our 200: audio can flow. It carries the answer if we had to offer.
    pub(super) fn inbound_confirmed(&mut self, leg: &LegId, answer: Option<&str>) {
        self.agreed(leg, |media| {
            if media.we_offered() {
                media.answered(answer)
            } else {
                // Offer and answer are done: a body in this ACK means nothing (RFC 3264 §4).
                Ok(())
            }
        });
    }

    fn agreed(&mut self, leg: &LegId, start: impl FnOnce(&mut LegMedia) -> Result<(), String>) {
        let Some(media) = self
            .legs
            .get_mut(leg)
            .and_then(|parts| parts.media.as_mut())
        else {
            // We hung up while the answer was on its way; the hang-up follows it.
            self.queue
                .push_back(Event::LegAnswered { leg: leg.clone() });
            return;
        };
        match start(media) {
            Ok(()) => {
                // From now on silence is a fault.
                media.leg.watch();
                self.queue
                    .push_back(Event::LegAnswered { leg: leg.clone() });
                self.note_hold(leg);
            }
            Err(reason) => {
                tracing::warn!(leg.id = %leg, reason, "the party's SDP cannot be used");
                // The party is connected: only a BYE ends it.
                if self
                    .shared
                    .sip
                    .hangup(leg, HangupCause::NotAcceptable)
                    .is_err()
                {
                    self.legs.close(leg);
                }
                self.queue.push_back(Event::LegFailed {
                    leg: leg.clone(),
                    cause: HangupCause::NotAcceptable,
                    sip_status: None,
                    detail: None,
                });
            }
        }
    }
}

/// The facts an operator reads in the log. Numbers and texts stay in the database.
fn log(event: &CallEvent) {
    match event {
        CallEvent::CallStarted { leg } => tracing::info!(leg.id = %leg, "call started"),
        CallEvent::CallAnswered { leg } => tracing::info!(leg.id = %leg, "call answered"),
        CallEvent::TransferRequested { transfer, .. } => {
            tracing::info!(transfer.id = %transfer, "transfer requested");
        }
        CallEvent::AttemptStarted {
            attempt,
            ring_timeout_s,
            ..
        } => {
            tracing::info!(attempt.id = %attempt, ring_timeout_s, "dial attempt started");
        }
        CallEvent::AttemptEnded {
            attempt,
            result,
            sip_status,
        } => {
            tracing::info!(attempt.id = %attempt, ?result, sip_status, "dial attempt ended");
        }
        CallEvent::TransferEnded { transfer, outcome } => {
            tracing::info!(transfer.id = %transfer, ?outcome, "transfer ended");
            metrics::counter!("switchhook_transfers_total", "outcome" => super::rows::word(outcome))
                .increment(1);
        }
        CallEvent::CallEnded { outcome } => {
            metrics::counter!("switchhook_calls_total", "outcome" => outcome.code.code())
                .increment(1);
        }
        CallEvent::LegRinging { .. }
        | CallEvent::LegEarlyMedia { .. }
        | CallEvent::LegAnswered { .. }
        | CallEvent::LegEnded { .. }
        | CallEvent::LegHeld { .. }
        | CallEvent::LegResumed { .. }
        | CallEvent::HoldRefused { .. }
        | CallEvent::HoldIgnored { .. }
        | CallEvent::ReferRefused { .. }
        | CallEvent::LegReplaced { .. }
        | CallEvent::ReferReported { .. }
        | CallEvent::TransferIgnored { .. }
        | CallEvent::Bridged { .. }
        | CallEvent::TextTold { .. }
        | CallEvent::MessageTaken { .. }
        | CallEvent::NoticeOwed { .. }
        | CallEvent::NoticeAccepted { .. }
        | CallEvent::NoticeRefused { .. }
        | CallEvent::NoticeUndelivered { .. } => {
            tracing::debug!(event = ?std::mem::discriminant(event), "call event")
        }
    }
}
