//! REFER within the dialog, both ways (RFC 3515), and what asks a leg about its dialog.

use rsipstack::sip::{Method, Request, Response};
use rsipstack::transaction::Transaction;
use switchhook_model::LegId;

use super::{ClientKind, Leg, Phase};
use crate::event::{ReferOutcome, SipLegEvent};
use crate::message::{self, header_of, random_token};
use crate::refer::{self, ReferTo};
use crate::uri::SipUri;

/// REFERs of the other side that may wait for an answer at once.
const MAX_PENDING: usize = 4;
/// How long the other side may wait for what comes of its REFER, as announced.
const SUBSCRIPTION_S: u32 = 300;

/// A REFER of ours, from its sending to its last report.
pub(super) struct OwnRefer {
    /// CSeq: the id of its subscription.
    id: u32,
    to: String,
    referred_by: Option<String>,
    retried: bool,
    is_accepted: bool,
}

/// A REFER of the other side that waits for its answer.
pub(super) struct PendingRefer {
    id: u32,
    transaction: Transaction,
}

/// What a dialog is like now, for Replaces.
#[derive(Debug)]
pub(crate) struct DialogInfo {
    pub leg: LegId,
    pub stage: DialogStage,
    /// Tags of the other side; several while it is early.
    pub remote_tags: Vec<String>,
}

/// As RFC 3891 §3 distinguishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DialogStage {
    /// We called, and are not answered.
    EarlyOurs,
    /// We were called, and have not answered.
    EarlyTheirs,
    Confirmed,
    Over,
}

impl Leg {
    pub(super) fn describe(&self) -> DialogInfo {
        let mut remote_tags = self.early_tags.clone();
        remote_tags.extend(self.record.remote_tag.clone());
        DialogInfo {
            leg: self.id.clone(),
            stage: match &self.phase {
                Phase::Calling(calling) if calling.giving_up.is_none() => DialogStage::EarlyOurs,
                Phase::Incoming(_) => DialogStage::EarlyTheirs,
                Phase::Answering { hang_up: None } | Phase::Established => DialogStage::Confirmed,
                Phase::Calling(_)
                | Phase::Answering { hang_up: Some(_) }
                | Phase::Ending { .. }
                | Phase::Over => DialogStage::Over,
            },
            remote_tags,
        }
    }

    // From the other side

    pub(super) async fn refer(&mut self, mut transaction: Transaction) {
        let request = transaction.original.clone();
        let to = refer::refer_to(&request.headers);
        let id = message::cseq(&request.headers).map(|(number, _)| number);
        let refusal = match (&self.phase, &to) {
            (Phase::Established, Some(_)) if self.refers.len() >= MAX_PENDING => Some(500),
            (Phase::Established, Some(_)) => None,
            (Phase::Established, None) => Some(400),
            (
                Phase::Calling(_)
                | Phase::Incoming(_)
                | Phase::Answering { .. }
                | Phase::Ending { .. }
                | Phase::Over,
                _,
            ) => Some(481),
        };
        let (Some(to), Some(id), None) = (to, id, refusal) else {
            let mut response = self.dialog_response(&request, refusal.unwrap_or(400));
            if refusal == Some(500) {
                response.headers.push(header_of("Retry-After", "5"));
            }
            return self.core.finish(&mut transaction, response).await;
        };
        self.refers.push(PendingRefer { id, transaction });
        let ReferTo { uri, replaces } = to;
        self.emit(SipLegEvent::Refer {
            id,
            uri: uri.to_string(),
            replaces,
            referred_by: refer::referred_by(&request.headers),
        });
    }

    pub(super) async fn answer_refer(&mut self, id: u32, status: u16) {
        let Some(at) = self.refers.iter().position(|refer| refer.id == id) else {
            return;
        };
        let mut pending = self.refers.remove(at);
        let request = pending.transaction.original.clone();
        let mut response = self.dialog_response(&request, status);
        if status < 300 {
            let contact = self.contact(&self.record.sent_by);
            response.headers.push(header_of("Contact", contact));
            self.first_refer.get_or_insert(id);
        }
        self.core.finish(&mut pending.transaction, response).await;
    }

    /// How the target's INVITE goes; from 200 on it is the last report (RFC 3515 §2.4.5).
    pub(super) async fn notify_refer(&mut self, id: u32, status: u16) {
        if !matches!(self.phase, Phase::Established) {
            return;
        }
        let Some((mut request, path)) = self.own_request(Method::Notify).await else {
            return;
        };
        // The first subscription of a dialog goes without an id, as older phones expect (§2.4.6).
        let event = if self.first_refer == Some(id) {
            "refer".to_owned()
        } else {
            format!("refer;id={id}")
        };
        request.headers.push(header_of("Event", event));
        // RFC 6665 demands one in every NOTIFY; Asterisk answers 400 without.
        let contact = self.contact(&self.record.sent_by);
        request.headers.push(header_of("Contact", contact));
        let state = if status < 200 {
            format!("active;expires={SUBSCRIPTION_S}")
        } else {
            "terminated;reason=noresource".to_owned()
        };
        request.headers.push(header_of("Subscription-State", state));
        let body = refer::sipfrag(status);
        request
            .headers
            .unique_push(header_of("Content-Type", "message/sipfrag;version=2.0"));
        request
            .headers
            .unique_push(header_of("Content-Length", body.len().to_string()));
        request.body = body.into_bytes();
        self.send_in_dialog(ClientKind::Notify, request, &path);
    }

    /// Nobody will answer them any more.
    pub(super) async fn refuse_refers(&mut self) {
        for mut pending in std::mem::take(&mut self.refers) {
            let response = self.core.response(&pending.transaction.original, 481, None);
            self.core.finish(&mut pending.transaction, response).await;
        }
    }

    // To the other side

    pub(super) async fn send_refer(&mut self, to: String, referred_by: Option<String>) {
        // One that was accepted and then left without a report does not stand in the way.
        let is_free = matches!(self.phase, Phase::Established)
            && self.own_refer.as_ref().is_none_or(|own| own.is_accepted);
        if is_free && self.own_refer.is_some() {
            self.refer_superseded = true;
        }
        if !is_free || SipUri::parse(&to).is_err() {
            return self.refer_outcome_is(ReferOutcome::Failed { status: None });
        }
        self.own_refer = Some(OwnRefer {
            id: 0,
            to,
            referred_by,
            retried: false,
            is_accepted: false,
        });
        self.refer_with(None).await;
    }

    async fn refer_with(&mut self, authorization: Option<(String, String)>) {
        let Some((mut request, path)) = self.own_request(Method::Refer).await else {
            self.own_refer = None;
            return self.refer_outcome_is(ReferOutcome::Failed { status: None });
        };
        let id = self.record.local_cseq;
        let contact = self.contact(&self.record.sent_by);
        request.headers.push(header_of("Contact", contact));
        let Some(own) = self.own_refer.as_mut() else {
            return;
        };
        own.id = id;
        own.retried = authorization.is_some();
        request
            .headers
            .push(header_of("Refer-To", format!("<{}>", own.to)));
        if let Some(by) = &own.referred_by {
            request.headers.push(header_of("Referred-By", by.as_str()));
        }
        if let Some((name, value)) = &authorization {
            request.headers.push(header_of(name, value.as_str()));
        }
        self.send_in_dialog(ClientKind::Refer, request, &path);
    }

    pub(super) async fn refer_outcome(&mut self, response: Option<Response>) {
        let Some(own) = self.own_refer.as_mut() else {
            return;
        };
        let Some(response) = response else {
            self.own_refer = None;
            return self.refer_outcome_is(ReferOutcome::Failed { status: None });
        };
        let status = response.status_code.code();
        match status {
            200..=299 => {
                // A NOTIFY may have come first.
                if !own.is_accepted {
                    own.is_accepted = true;
                    self.refer_outcome_is(ReferOutcome::Accepted);
                }
            }
            401 | 407 if !own.retried => match self.answer_challenge(&response, "REFER") {
                Some(answer) => Box::pin(self.refer_with(Some(answer))).await,
                None => self.refer_refused(status),
            },
            _ => self.refer_refused(status),
        }
    }

    fn refer_refused(&mut self, status: u16) {
        self.own_refer = None;
        self.refer_outcome_is(ReferOutcome::Failed {
            status: Some(status),
        });
    }

    fn refer_outcome_is(&self, outcome: ReferOutcome) {
        self.emit(SipLegEvent::ReferReported(outcome));
    }

    /// A report on our REFER. The status to answer with.
    pub(super) fn refer_notified(&mut self, request: &Request) -> u16 {
        let Some(id) = refer::refer_event(&request.headers) else {
            // Another event than `refer` (RFC 6665 §8.2.1).
            return 489;
        };
        let Some(own) = &mut self.own_refer else {
            return 481;
        };
        // Without an id it may be of the REFER before.
        if id.map_or(self.refer_superseded, |id| id != own.id) {
            return 481;
        }
        let status = refer::sipfrag_status(&request.body);
        let is_terminated = refer::is_terminated(&request.headers);
        let was_accepted = std::mem::replace(&mut own.is_accepted, true);
        if !was_accepted {
            self.refer_outcome_is(ReferOutcome::Accepted);
        }
        match status {
            Some(status) if status >= 200 => {
                self.own_refer = None;
                self.refer_outcome_is(if status < 300 {
                    ReferOutcome::Completed { status }
                } else {
                    ReferOutcome::Failed {
                        status: Some(status),
                    }
                });
            }
            // It will say no more, and never said how it went.
            Some(_) | None if is_terminated => {
                self.own_refer = None;
                self.refer_outcome_is(ReferOutcome::Failed { status: None });
            }
            // 100 only says that it heard us.
            Some(status) if status > 100 => {
                self.refer_outcome_is(ReferOutcome::Progress { status });
            }
            Some(_) => {}
            None => return 400,
        }
        200
    }

    /// The next request of ours within the dialog, and its way.
    pub(super) async fn own_request(
        &mut self,
        method: Method,
    ) -> Option<(Request, crate::transport::Path)> {
        let path = self.dialog_path().await.ok()?;
        self.record.local_cseq += 1;
        let branch = format!("z9hG4bK{}", random_token(16));
        let request = self
            .record
            .dialog_request(method, self.record.local_cseq, &branch, self.user_agent())
            .ok()?;
        Some((request, path))
    }
}
