//! How a call begins: a caller arrives, or we call somebody.

use switchhook_model::{CallerIdentity, Direction, LegId, RecordingId, Target};

use crate::action::{ActionKind, CallEvent, Opening};
use crate::call::{ANSWER_GUARD, Call, Out, Phase, Voice, seconds};
use crate::event::Route;
use crate::leg::{Leg, Party};
use crate::policy::RecordPolicy;

impl Call {
    pub(crate) fn caller_arrived(
        &mut self,
        out: &mut Out,
        leg: LegId,
        caller: CallerIdentity,
        callee: String,
        route: Route,
    ) {
        match self.phase {
            Phase::Idle => {}
            Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::Transferring(_)
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => return,
        }
        self.caller = caller;
        self.callee = callee;
        let offered = Leg::offered(leg.clone(), out.now).by(self.leg_kind());
        self.legs.push(offered);
        out.emit(CallEvent::CallStarted { leg: leg.clone() });
        match route {
            Route::Assistant { name } => {
                self.assistant = Some(name);
                self.answer_caller(out);
                self.phase = Phase::Answering {
                    leg,
                    until: out.now + ANSWER_GUARD,
                };
            }
            Route::Extension(target) => {
                let ring_timeout_s = self.policy.ring_timeout_for(&target);
                let agent = self.dial(out, Party::Agent, target, ring_timeout_s, None);
                self.phase = Phase::Direct {
                    agent,
                    until: out.now + seconds(ring_timeout_s + self.policy.ring_report_s),
                };
            }
        }
    }

    pub(crate) fn outbound_requested(
        &mut self,
        out: &mut Out,
        target: Target,
        assistant: Option<String>,
    ) {
        match self.phase {
            Phase::Idle => {}
            Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::Transferring(_)
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => return,
        }
        self.direction = Direction::Outbound;
        self.assistant = Some(assistant.unwrap_or_else(|| "assistant".to_owned()));
        self.caller.number = self.policy.caller_id.clone().unwrap_or_default();
        self.callee = target.to_string();
        let ring_timeout_s = self.policy.outbound_ring_timeout_s;
        let leg = self.dial(out, Party::Caller, target, ring_timeout_s, None);
        out.emit(CallEvent::CallStarted { leg: leg.clone() });
        self.phase = Phase::Calling {
            leg,
            until: out.now + seconds(ring_timeout_s + self.policy.ring_report_s),
        };
    }

    /// The caller and the assistant can talk now.
    pub(crate) fn caller_connected(&mut self, out: &mut Out, leg: LegId) {
        self.answered_at = Some(out.now);
        out.emit(CallEvent::CallAnswered { leg: leg.clone() });
        match self.policy.record {
            RecordPolicy::Off => {}
            RecordPolicy::AssistantCalls | RecordPolicy::AllCalls => {
                self.start_recording(out, leg.clone());
            }
        }
        out.push(ActionKind::StartAssistant {
            leg,
            opening: Opening::Greeting,
        });
        self.voice = Voice::Listening;
        self.phase = Phase::Assistant;
    }

    /// Caller and extension of a direct call can talk now.
    pub(crate) fn direct_connected(&mut self, out: &mut Out, leg: LegId, agent: LegId) {
        self.answered_at = Some(out.now);
        out.emit(CallEvent::CallAnswered { leg: leg.clone() });
        match self.policy.record {
            RecordPolicy::Off | RecordPolicy::AssistantCalls => {}
            RecordPolicy::AllCalls => self.start_recording(out, leg),
        }
        self.bridge(out, agent);
    }

    fn start_recording(&mut self, out: &mut Out, leg: LegId) {
        self.counters.recording += 1;
        let recording = RecordingId::derive(&self.id, self.counters.recording);
        out.push(ActionKind::StartRecording {
            leg,
            recording: recording.clone(),
        });
        self.recording = Some(recording);
    }

    pub(crate) fn stop_recording(&mut self, out: &mut Out) {
        if let Some(recording) = self.recording.take() {
            out.push(ActionKind::StopRecording { recording });
        }
    }

    pub(crate) fn answer_caller(&mut self, out: &mut Out) {
        let Some(leg) = self.caller_leg_mut() else {
            return;
        };
        if leg.answering() {
            let leg = leg.id.clone();
            out.push(ActionKind::Answer { leg });
        }
    }
}
