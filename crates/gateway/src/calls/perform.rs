//! Carries a call's actions out, after the step that decided them is committed.

use switchhook_call::{Action, ActionKind, CallEvent, Event, Opening};
use switchhook_conversation::{Input, SayId};
use switchhook_model::{HangupCause, LegId, Target, Timestamp};
use switchhook_sip::{DialFrom, DialRequest, DialTarget, ReInviteResponder, TrunkId};

use super::audio;
use super::facts;
use super::legs::{LegMedia, LegParts, Signalling, fault};
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
        let is_trunk = matches!(target, DialTarget::Trunk { .. });
        let peer = self.shared.sip.likely_peer(&target);
        let media = self
            .shared
            .open_media(leg, peer, &self.inbox)
            .map_err(|error| (HangupCause::Failed, error.to_string()))?;
        let audio =
            audio::of_target(&self.shared.config, &target).beginning_with(self.legs.codec_in_use());
        let media = LegMedia::offering(media, audio);
        let caller = self.call.view().caller;
        // A trunk shows a number of ours only; an extension sees who calls.
        let user = if is_trunk {
            caller_id.map(str::to_owned)
        } else {
            Some(caller).filter(|caller| !caller.is_empty())
        };
        let request = DialRequest {
            leg: leg.clone(),
            target,
            from: DialFrom {
                user,
                display: Some(display.to_owned()).filter(|d| !d.is_empty()),
            },
            sdp_offer: media.description.clone(),
            timeout: DIAL_LIMIT,
            headers: vec![("X-Switchhook-Call".to_owned(), self.id.to_string())],
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
            },
        );
        Ok(())
    }

    fn dial_target(&self, target: &Target) -> Result<DialTarget, (HangupCause, String)> {
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
            ActionKind::Cancel { leg } => {
                if self.shared.sip.cancel(&leg).is_err() {
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
            ActionKind::Bridge { a, b } => self.bridge(a, b),
            ActionKind::Unbridge { a, b } => {
                self.bridged = None;
                if let (Some(a), Some(b)) = (self.legs.media(&a), self.legs.media(&b)) {
                    self.shared.media.unbridge(a, b);
                    a.music(false);
                    b.music(false);
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
            ActionKind::Emit(event) => log(&event),
        }
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
                self.shared.media.bridge(first, second);
                self.bridged = Some((a, b));
                self.music_in_bridge();
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
                });
            }
        }
    }

    /// Hold, resume, or another codec or address (RFC 3264 §8).
    pub(super) fn re_invited(
        &mut self,
        leg: &LegId,
        offer: Option<&str>,
        responder: ReInviteResponder,
    ) {
        let Some(media) = self
            .legs
            .get_mut(leg)
            .and_then(|parts| parts.media.as_mut())
        else {
            return responder.reject(481);
        };
        let agreed = offer.map_or(Ok(()), |offer| media.answer(offer));
        match agreed {
            Ok(()) => {
                responder.answer(media.description.clone());
                self.music_for_peer_of(leg);
            }
            Err(error) => {
                tracing::warn!(leg.id = %leg, reason = fault(&error), "the re-INVITE's offer cannot be used");
                responder.reject(if error.is_malformed() { 400 } else { 488 });
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
        | CallEvent::LegAnswered { .. }
        | CallEvent::LegEnded { .. }
        | CallEvent::TransferIgnored { .. }
        | CallEvent::Bridged { .. }
        | CallEvent::TextTold { .. }
        | CallEvent::MessageTaken { .. }
        | CallEvent::NoticeOwed { .. }
        | CallEvent::NoticeAccepted { .. }
        | CallEvent::NoticeRefused { .. } => {
            tracing::debug!(event = ?std::mem::discriminant(event), "call event")
        }
    }
}
