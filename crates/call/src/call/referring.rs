//! Transfers that a party's phone asks for (REFER). The phone's user is the transferor, the one they
//! talk to the transferee, whom they are passed on to the target (RFC 5589).

use serde::{Deserialize, Serialize};
use switchhook_model::{CallId, EndedBy, HangupCause, LegId, RequestId, Target};

use crate::action::{ActionKind, CallEvent};
use crate::call::{Call, Code, Ending, Out, Phase};
use crate::leg::{Leg, LegState, Party};
use crate::outcome::OutcomeCode;
use crate::policy::DialPlan;
use crate::transfer::{AttemptResult, Requester, TransferKind, TransferOutcome};
use crate::transferring::{Request, Step};

/// Not a request this call can follow in its state.
const FORBIDDEN: u16 = 403;
/// No such dialog (RFC 3261 §12.2.2).
const NO_DIALOG: u16 = 481;
/// Another one is under way (RFC 3261 §21.4.27).
const PENDING: u16 = 491;

/// Transfers that phones may ask for in one call: each leaves its rows, whether it succeeds or not.
const MAX_BY_PARTIES: usize = 20;

/// A phone's REFER that is under way: its target is being rung.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Referral {
    pub request: RequestId,
    pub transferor: LegId,
    /// Whom the caller (or who stands in their place) was talking to.
    pub agent: LegId,
    /// Whether the transferor is still there. Many phones hang up as soon as they got their 202.
    pub is_connected: bool,
}

impl Call {
    /// Whether an answered leg could be joined with the far party of `replaces` now.
    pub fn can_take_in(&self, replaces: &LegId) -> bool {
        self.partner_of(replaces).is_some()
    }

    /// Who talks with the party of `leg`, when the two are connected and nothing else goes on.
    pub fn partner_of(&self, leg: &LegId) -> Option<LegId> {
        let Phase::WithAgent { agent } = &self.phase else {
            return None;
        };
        let caller = self.caller_leg_id();
        let is_answered = |id: &LegId| {
            self.leg(id)
                .is_some_and(|leg| leg.state == LegState::Answered)
        };
        if !is_answered(&caller) || !is_answered(agent) {
            return None;
        }
        match leg {
            leg if *leg == caller => Some(agent.clone()),
            leg if leg == agent => Some(caller),
            _ => None,
        }
    }

    pub(crate) fn referred(
        &mut self,
        out: &mut Out,
        leg: &LegId,
        request: RequestId,
        target: Target,
        referred_by: Option<String>,
    ) {
        if self.transfers.iter().any(|known| known.request == request) {
            return;
        }
        let Some(agent) = self.admit_refer(out, leg, &request) else {
            return;
        };
        self.operator_resume(out);
        let plan = DialPlan {
            targets: vec![target.clone()],
            instead: false,
        };
        self.open_referred(
            out,
            request.clone(),
            Some(target),
            plan,
            referred_by,
            TransferKind::Blind,
        );
        self.links.referral = Some(Referral {
            request,
            transferor: leg.clone(),
            agent,
            is_connected: true,
        });
        self.report_to_transferor(out, 100);
        self.dial_next(out, None);
    }

    /// Accepts a REFER on this leg, or says why not. Returns whom the caller talks to.
    fn admit_refer(&mut self, out: &mut Out, leg: &LegId, request: &RequestId) -> Option<LegId> {
        let by_parties = self
            .transfers
            .iter()
            .filter(|transfer| transfer.requested_by == Requester::Party)
            .count();
        let refusal = match &self.phase {
            Phase::WithAgent { .. } if by_parties >= MAX_BY_PARTIES => {
                (FORBIDDEN, "the call was transferred too often")
            }
            Phase::WithAgent { agent } if self.partner_of(leg).is_some() => {
                let agent = agent.clone();
                out.push(ActionKind::AcceptRefer {
                    leg: leg.clone(),
                    request: request.clone(),
                });
                return Some(agent);
            }
            Phase::Transferring(_) => (PENDING, "a transfer is under way"),
            Phase::Ended | Phase::Idle => (NO_DIALOG, "the call is over"),
            Phase::WithAgent { .. }
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. } => (FORBIDDEN, "nobody is connected with that phone"),
        };
        let (status, detail) = refusal;
        out.push(ActionKind::RefuseRefer {
            leg: leg.clone(),
            request: request.clone(),
            status,
        });
        out.emit(CallEvent::ReferRefused {
            leg: leg.clone(),
            detail: detail.to_owned(),
        });
        None
    }

    fn open_referred(
        &mut self,
        out: &mut Out,
        request: RequestId,
        target: Option<Target>,
        plan: DialPlan,
        referred_by: Option<String>,
        kind: TransferKind,
    ) {
        let request = Request {
            id: request,
            by: Requester::Party,
            target,
            department: None,
            reason: "refer".to_owned(),
            summary: String::new(),
        };
        self.open_transfer(out, request, plan, false);
        let transfer = self.current_mut();
        transfer.kind = kind;
        transfer.referred_by = referred_by.map(|by| by.chars().take(256).collect());
    }

    /// Tells the transferor, if one waits, how the target's INVITE goes.
    pub(crate) fn report_to_transferor(&mut self, out: &mut Out, status: u16) {
        let Some(referral) = &self.links.referral else {
            return;
        };
        if referral.is_connected {
            out.push(ActionKind::NotifyTransferor {
                leg: referral.transferor.clone(),
                request: referral.request.clone(),
                status,
            });
        }
    }

    /// The call ends while a REFER is under way.
    pub(crate) fn refer_unfinished(&mut self, out: &mut Out) {
        self.report_to_transferor(out, 487);
        self.links.referral = None;
    }

    /// The transferor hung up and leaves the rest to us: the transferee hears it ring. True if that
    /// was so.
    pub(crate) fn transferor_left(&mut self, out: &mut Out, id: &LegId) -> bool {
        let Phase::Transferring(step) = &self.phase else {
            return false;
        };
        let rings = step.is_ringing();
        let Some(referral) = self
            .links
            .referral
            .as_mut()
            .filter(|referral| rings && referral.is_connected && referral.transferor == *id)
        else {
            return false;
        };
        referral.is_connected = false;
        let agent = referral.agent.clone();
        if self.caller_leg_id() == *id {
            self.stand_in(agent);
        }
        // Should the target not answer, it rings at the transferor's again.
        let recall = self.leg(id).and_then(|leg| leg.target.clone());
        let transfer = self.current_mut();
        if let Some(recall) = recall
            && transfer.target.as_ref() != Some(&recall)
        {
            transfer.plan.push(recall);
        }
        self.start_waiting(out);
        true
    }

    /// The human takes the caller's place: the caller passed them on.
    fn stand_in(&mut self, agent: LegId) {
        self.links.anchor = Some(agent);
        self.links.anchor_is_agent = true;
    }

    /// The human whom the caller passes on hung up before the target answered. True if that was so.
    pub(crate) fn transferee_left(&mut self, out: &mut Out, id: &LegId) -> bool {
        let is_transferee = matches!(self.phase, Phase::Transferring(_))
            && self.links.referral.as_ref().is_some_and(|referral| {
                referral.is_connected && referral.agent == *id && referral.transferor != *id
            });
        if is_transferee {
            let ending = Ending {
                by: EndedBy::Agent,
                code: Code::Fixed(OutcomeCode::Completed),
                detail: "The human hung up while being transferred.".to_owned(),
            };
            self.end(out, ending, TransferOutcome::Failed);
        }
        is_transferee
    }

    /// Somebody is there for the transferee: the transferor is out of it.
    pub(crate) fn transferor_done(&mut self, out: &mut Out) {
        self.report_to_transferor(out, 200);
        let Some(referral) = self.links.referral.take() else {
            return;
        };
        if referral.is_connected {
            self.leave_pair(out, &referral.transferor, &referral.agent);
        }
    }

    /// Takes `leaver` out of the caller's pair with `agent`; the other one stays as the anchor.
    fn leave_pair(&mut self, out: &mut Out, leaver: &LegId, agent: &LegId) {
        let caller = self.caller_leg_id();
        self.separate(out, caller.clone(), agent.clone());
        if *leaver == caller {
            self.stand_in(agent.clone());
        }
        self.release(out, leaver, HangupCause::Normal);
    }

    /// The target was not reached while the transferor still waits: the two talk on. False if the
    /// transferor is gone.
    pub(crate) fn returned_to_transferor(&mut self, out: &mut Out) -> bool {
        let Some(referral) = self
            .links
            .referral
            .clone()
            .filter(|referral| referral.is_connected)
        else {
            self.links.referral = None;
            return false;
        };
        let status = self.current().attempts.last().map_or(480, |attempt| {
            attempt
                .sip_status
                .filter(|status| *status >= 300)
                .unwrap_or(match attempt.result {
                    Some(AttemptResult::Busy) => 486,
                    Some(AttemptResult::Failed) => 503,
                    Some(
                        AttemptResult::Answered
                        | AttemptResult::NoAnswer
                        | AttemptResult::Canceled
                        | AttemptResult::HandedOver,
                    )
                    | None => 480,
                })
        });
        self.report_to_transferor(out, status);
        self.links.referral = None;
        self.phase = Phase::WithAgent {
            agent: referral.agent,
        };
        self.settle_transfer(out, TransferOutcome::ReturnedToTransferor);
        true
    }

    pub(crate) fn agent_is_passed_on(&self) -> bool {
        self.links.anchor_is_agent
            || self
                .links
                .referral
                .as_ref()
                .is_some_and(|referral| referral.transferor != referral.agent)
    }

    /// How a human whom the caller passes on is shown.
    pub(crate) fn passed_on_name(&self) -> String {
        let agent = match &self.links.referral {
            Some(referral) => Some(&referral.agent),
            None => self.links.anchor.as_ref(),
        };
        agent
            .and_then(|id| self.leg(id)?.target.as_ref())
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    // Attended

    pub(crate) fn leg_taken_in(
        &mut self,
        out: &mut Out,
        leg: LegId,
        request: RequestId,
        replaces: &LegId,
        target: Option<Target>,
        referred_by: Option<String>,
    ) {
        if self.leg(&leg).is_some() {
            return;
        }
        self.legs.push(Leg::taken_in(
            leg.clone(),
            Party::Agent,
            target.clone(),
            out.now,
        ));
        out.emit(CallEvent::LegAnswered {
            leg: leg.clone(),
            party: Party::Agent,
        });
        let Some(agent) = self.admit_refer(out, replaces, &request) else {
            // It left its own call for this one: nobody is left for it there.
            return self.release(out, &leg, HangupCause::Normal);
        };
        self.operator_resume(out);
        let plan = DialPlan {
            targets: Vec::new(),
            instead: false,
        };
        self.open_referred(
            out,
            request.clone(),
            target,
            plan,
            referred_by,
            TransferKind::Attended,
        );
        self.current_mut().joined = Some(leg.clone());
        out.push(ActionKind::NotifyTransferor {
            leg: replaces.clone(),
            request,
            status: 200,
        });
        self.leave_pair(out, replaces, &agent);
        self.bridge(out, leg);
        self.settle_transfer(out, TransferOutcome::Bridged);
    }

    pub(crate) fn leg_taken_away(&mut self, out: &mut Out, id: &LegId, into: &CallId) {
        let now = out.now;
        if self.partner_of(id).is_none() {
            // Something else happened here meanwhile: for this call the party is gone.
            return self.leg_gone(out, id, HangupCause::Normal, None);
        }
        let Some(leg) = self.leg_mut(id) else { return };
        let party = leg.party;
        if !leg.gone(now, HangupCause::Normal, None) {
            return;
        }
        out.emit(CallEvent::LegEnded {
            leg: id.clone(),
            party,
            cause: HangupCause::Normal,
        });
        let ending = Ending {
            by: match party {
                Party::Caller => EndedBy::Agent,
                Party::Agent => EndedBy::Caller,
            },
            code: Code::Fixed(OutcomeCode::Completed),
            detail: format!("The consultation was joined with {into} by an attended transfer."),
        };
        self.end(out, ending, TransferOutcome::Failed);
    }

    pub(crate) fn keep_detail(&mut self, id: &LegId, detail: Option<String>) {
        if let (Some(detail), Some(leg)) = (detail, self.leg_mut(id)) {
            leg.detail = Some(detail.chars().take(256).collect());
        }
    }

    /// Whether a dial of this step can be taken over by another phone.
    pub(crate) fn rings(step: &Step, id: &LegId) -> bool {
        match step {
            Step::Ringing { leg, .. } => leg == id,
            Step::Telling { .. }
            | Step::TakingMessage { .. }
            | Step::AwaitingNotice { .. }
            | Step::Referring { .. } => false,
        }
    }
}
