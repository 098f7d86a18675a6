//! What the ladder says of an event.

use switchhook_call::{Event, Route};

use super::World;

impl World {
    pub(super) fn describe_event(&self, event: &Event) -> Option<(String, String, String)> {
        let inward =
            |from: &str, text: &str| Some((from.to_owned(), "switch".to_owned(), text.to_owned()));
        match event {
            Event::CallerArrived { route, .. } => match route {
                Route::Assistant { .. } => inward("caller", "INVITE assistant"),
                Route::Extension(target) => inward("caller", &format!("INVITE {target}")),
            },
            Event::OutboundRequested { target, .. } => {
                inward("operator", &format!("call {target}"))
            }
            Event::LegRinging { leg } => inward(&self.name(leg), "180 Ringing"),
            Event::LegEarlyMedia { leg, plays: true } => {
                inward(&self.name(leg), "183 Session Progress")
            }
            Event::LegEarlyMedia { leg, plays: false } => {
                inward(&self.name(leg), "plays nothing any more")
            }
            Event::LegAnswered { leg } if *leg == self.caller_leg() => inward("caller", "ACK"),
            Event::LegAnswered { leg } => inward(&self.name(leg), "200 OK"),
            Event::MachineAnswered { leg, is_fax } => {
                let what = if *is_fax { "fax" } else { "machine" };
                inward(&self.name(leg), &format!("200 OK ({what})"))
            }
            Event::LegFailed {
                leg, sip_status, ..
            } => {
                let status = sip_status.map_or("failed".to_owned(), |status| status.to_string());
                inward(&self.name(leg), &status)
            }
            Event::LegEnded { leg, cause } => {
                inward(&self.name(leg), &format!("ended, {}", cause.code()))
            }
            Event::AssistantAskedForHuman {
                target, department, ..
            } => {
                let whom = target.as_ref().map(ToString::to_string);
                let whom = whom.or_else(|| department.clone()).unwrap_or_default();
                inward("assistant", format!("human wanted {whom}").trim())
            }
            Event::SayFinished { .. } => None,
            Event::MessageTaken { text, .. } => inward("assistant", &format!("message: {text}")),
            Event::MessageAbandoned => inward("assistant", "no message"),
            Event::AssistantTakesMessage { taking: true } => inward("assistant", "takes a message"),
            Event::AssistantTakesMessage { taking: false } => inward("assistant", "has taken it"),
            Event::AssistantEnded { reason } => inward("assistant", &format!("ended, {reason:?}")),
            Event::NoticeAccepted { .. } => inward("staff", "notice accepted"),
            Event::NoticeRefused { error, .. } => {
                inward("staff", &format!("notice refused: {error}"))
            }
            Event::NoticeUndelivered { error, .. } => {
                inward("staff", &format!("notice lost: {error}"))
            }
            Event::TimerFired(timer) => {
                let text = format!("{timer:?}");
                Some((
                    String::new(),
                    "switch".to_owned(),
                    format!("timer {}", text.split('(').next().unwrap_or_default()),
                ))
            }
            Event::OperatorHangup { .. } => inward("operator", "hang up"),
            Event::OperatorTransfer { target, .. } => {
                let whom = target
                    .as_ref()
                    .map_or("department".to_owned(), ToString::to_string);
                inward("operator", &format!("transfer to {whom}"))
            }
            Event::LegHeld { leg } => inward(&self.name(leg), "re-INVITE, holds"),
            Event::LegResumed { leg } => inward(&self.name(leg), "re-INVITE, resumes"),
            Event::HoldRefused { leg, sip_status } => {
                inward(&self.name(leg), &format!("hold refused {sip_status:?}"))
            }
            Event::OperatorHold { .. } => inward("operator", "hold"),
            Event::OperatorResume { .. } => inward("operator", "resume"),
            Event::Referred { leg, target, .. } => {
                inward(&self.name(leg), &format!("REFER to {target}"))
            }
            Event::LegTakenIn { replaces, .. } => {
                inward(&self.name(replaces), "REFER with Replaces")
            }
            Event::LegTakenAway { leg, into } => {
                inward(&self.name(leg), &format!("went over to {into}"))
            }
            Event::ReplacementArrived { leg, replaces } => inward(
                &self.name(leg),
                &format!("INVITE replaces {}", self.name(replaces)),
            ),
            Event::ReferReported { report, .. } => {
                inward("caller", &format!("about the REFER: {report:?}"))
            }
            Event::Restarted => None,
            Event::ShuttingDown => inward("operator", "shut down"),
        }
    }
}
