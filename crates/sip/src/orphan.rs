//! Ending legs of a process that is gone, by what it wrote down.

use std::sync::Arc;
use std::time::Duration;

use rsipstack::sip::{Header, Method, Request, Response, SipMessage, StatusCode, Version};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, timeout_at};

use crate::client::{Order, Outcome, Turn, run_client, run_client_in};
use crate::config::SipTransport;
use crate::core::{Core, DialogKey};
use crate::dial::transport_of;
use crate::digest::answer_challenges;
use crate::event::{OrphanOutcome, SipEvent};
use crate::leg::challenge_headers;
use crate::message::{self, header_of, random_token};
use crate::record::{DialogRecord, DialogRole, DialogState};
use crate::resolve::Question;
use crate::transport::Path;
use crate::uri::SipUri;

/// Requests after a restart begin this much higher: the process before us may have counted on
/// after its last record. Gaps are allowed (RFC 3261 §12.2.1.1), repetition is not.
const CSEQ_GAP: u32 = 1_000;

impl Core {
    /// Ends the leg of `record` and reports how it went.
    pub(crate) async fn end_orphan(self: Arc<Self>, record: DialogRecord) {
        let leg = record.leg.clone();
        let dialog: DialogKey = (record.sip_call_id.clone(), record.local_tag.clone());
        let (sender, messages) = mpsc::unbounded_channel();
        self.tap.bind(&record.sip_call_id, &leg);
        self.enter_orphan(dialog.clone(), sender);
        let mut orphan = Orphan {
            core: self.clone(),
            record,
            messages,
            places: Vec::new(),
        };
        let outcome = tokio::select! {
            () = self.stop.cancelled() => return,
            outcome = orphan.end() => outcome,
        };
        tracing::info!(leg = %leg, ?outcome, "leg from before the restart ended");
        self.events.send(SipEvent::OrphanEnded { leg, outcome });
        // A 200 or 487 may still come again.
        let linger = Instant::now() + self.config.timers.t1 * 64;
        while let Ok(Some(message)) = timeout_at(linger, orphan.messages.recv()).await {
            orphan.late(message).await;
        }
        self.leave_orphan(&dialog);
        self.release_tap_later(dialog.0);
    }

    /// Ends the call of a fork we did not want: ACK, then BYE (RFC 3261 §13.2.2.4).
    pub(crate) fn end_fork(self: &Arc<Self>, fork: DialogRecord) {
        let (_, messages) = mpsc::unbounded_channel();
        let mut orphan = Orphan {
            core: self.clone(),
            record: fork,
            messages,
            places: Vec::new(),
        };
        tokio::spawn(async move {
            orphan.acknowledge().await;
            orphan.bye().await;
        });
    }
}

struct Orphan {
    core: Arc<Core>,
    record: DialogRecord,
    messages: UnboundedReceiver<SipMessage>,
    /// Ways to where the INVITE may be.
    places: Vec<Path>,
}

impl Orphan {
    async fn end(&mut self) -> OrphanOutcome {
        match (self.record.state, self.record.role) {
            (DialogState::Ended, _) => OrphanOutcome::AlreadyGone,
            (DialogState::Established, _) => self.bye().await,
            (DialogState::Pending, DialogRole::Uac) => self.cancel().await,
            (DialogState::Pending, DialogRole::Uas) => self.refuse_caller().await,
        }
    }

    fn t1(&self) -> Duration {
        self.core.config.timers.t1
    }

    /// CANCEL of an INVITE that rings. It is sent although no provisional response is known: the
    /// process before us may have seen one it could not write down, and an INVITE that is not
    /// there costs a 481.
    async fn cancel(&mut self) -> OrphanOutcome {
        let last = self.record.invite_attempts.max(1);
        let further = u32::from(self.record.may_retry);
        let places = self.places().await;
        if places.is_empty() {
            return OrphanOutcome::NoResponse;
        }
        self.places = places.iter().map(|(path, _)| path.clone()).collect();
        let (sender, mut answers) = mpsc::unbounded_channel();
        let mut open = 0usize;
        for (path, is_alternative) in &places {
            // What is known to be out comes first.
            let mut order = Order::default();
            // At another address it would have been the attempt after the one that is known.
            let first = last + u32::from(*is_alternative);
            for attempt in first..=first + further {
                let remote = self.record.remote.clone();
                let agent = &self.core.config.user_agent;
                let mut record = self.record.clone();
                record.transport = path.transport;
                record.sent_by.clone_from(&path.sent_by);
                let request = record.attempt_request(Method::Cancel, attempt, remote, agent);
                if let Ok(request) = request {
                    open += 1;
                    self.run(path, request, order.next(), sender.clone());
                }
            }
        }
        let mut deadline = Instant::now() + self.t1() * 70;
        let (mut accepted, mut answered) = (false, false);
        loop {
            tokio::select! {
                message = self.messages.recv() => match message {
                    Some(SipMessage::Response(response)) => {
                        if let Some(outcome) = self.invite_response(response).await {
                            return outcome;
                        }
                    }
                    Some(SipMessage::Request(_)) | None => {}
                },
                Some(answer) = answers.recv(), if open > 0 => {
                    open -= 1;
                    accepted |= answer.is_some_and(|status| status / 100 == 2);
                    answered |= answer.is_some();
                    if open == 0 && !accepted {
                        // Nobody knows the INVITE. A 200 that crossed us would come again soon.
                        deadline = Instant::now() + self.t1() * 8;
                    } else if open == 0 {
                        deadline = Instant::now() + self.t1() * 64;
                    }
                }
                () = tokio::time::sleep_until(deadline) => {
                    return match (accepted, answered) {
                        (true, _) => OrphanOutcome::Canceled,
                        (false, true) => OrphanOutcome::AlreadyGone,
                        (false, false) => OrphanOutcome::NoResponse,
                    };
                }
            }
        }
    }

    /// A final response to the INVITE: 487 is acknowledged, 2xx acknowledged and ended.
    async fn invite_response(&mut self, response: Response) -> Option<OrphanOutcome> {
        match response.status_code.code() {
            100..=199 => None,
            200..=299 => {
                self.learn(&response);
                self.acknowledge().await;
                self.bye().await;
                Some(OrphanOutcome::AnsweredAndEnded)
            }
            _ => {
                self.acknowledge_failure(&response).await;
                Some(OrphanOutcome::Canceled)
            }
        }
    }

    /// ACK within the INVITE transaction (RFC 3261 §17.1.1.3): its branch, the response's To.
    async fn acknowledge_failure(&self, response: &Response) {
        let attempt = message::cseq(&response.headers).map_or(1, |(number, _)| number);
        let to = message::header(&response.headers, "To").unwrap_or("");
        let agent = &self.core.config.user_agent;
        let ack = self
            .record
            .attempt_request(Method::Ack, attempt, to.to_owned(), agent);
        let Ok(ack) = ack else {
            return;
        };
        // Which address answered is not known; to the others it means nothing.
        for path in &self.places {
            path.send(SipMessage::Request(ack.clone())).await;
        }
    }

    fn learn(&mut self, response: &Response) {
        let headers = &response.headers;
        let to = message::name_addr(headers, "To").ok();
        self.record.remote_tag = to.as_ref().and_then(|to| to.tag()).map(str::to_owned);
        self.record.remote_target = None;
        self.record.learn_target(headers);
        self.record.route_set = message::route_entries(headers, "Record-Route");
        self.record.route_set.reverse();
        if let Some((number, _)) = message::cseq(headers) {
            self.record.invite_cseq = number;
            self.record.local_cseq = self.record.local_cseq.max(number);
        }
        self.record.state = DialogState::Established;
    }

    async fn acknowledge(&self) {
        let branch = format!("z9hG4bK{}", random_token(16));
        let agent = &self.core.config.user_agent;
        let cseq = self.record.invite_cseq;
        let ack = self
            .record
            .dialog_request(Method::Ack, cseq, &branch, agent);
        if let (Ok(ack), Ok(path)) = (ack, self.path().await) {
            path.send(SipMessage::Request(ack)).await;
        }
    }

    /// BYE within the dialog, with credentials if the trunk asks for them.
    async fn bye(&mut self) -> OrphanOutcome {
        let Ok(path) = self.path().await else {
            return OrphanOutcome::NoResponse;
        };
        let mut authorization: Option<(&'static str, String)> = None;
        for round in 0..2u32 {
            let branch = format!("z9hG4bK{}", random_token(16));
            let agent = &self.core.config.user_agent;
            let cseq = self.record.local_cseq + CSEQ_GAP + round;
            let Ok(mut request) = self
                .record
                .dialog_request(Method::Bye, cseq, &branch, agent)
            else {
                return OrphanOutcome::NoResponse;
            };
            if let Some((name, value)) = &authorization {
                request.headers.push(header_of(name, value.as_str()));
            }
            let Some(response) = self.bye_response(&path, request).await else {
                return OrphanOutcome::NoResponse;
            };
            match response.status_code.code() {
                status @ (401 | 407) if round == 0 => match self.credentials_for(&response) {
                    Some(value) => authorization = Some((challenge_headers(status).1, value)),
                    None => return OrphanOutcome::Ended,
                },
                481 => return OrphanOutcome::AlreadyGone,
                _ => return OrphanOutcome::Ended,
            }
        }
        OrphanOutcome::Ended
    }

    async fn bye_response(&mut self, path: &Path, request: Request) -> Option<Response> {
        let (sender, mut outcomes) = mpsc::unbounded_channel();
        run_client(&self.core, path, request, move |outcome| {
            let _ = sender.send(outcome);
        });
        let mut inbox_open = true;
        loop {
            tokio::select! {
                outcome = outcomes.recv() => match outcome {
                    Some(Outcome::Response(r)) if r.status_code.code() < 200 => {}
                    Some(Outcome::Response(response)) => return Some(*response),
                    Some(Outcome::NoResponse { .. }) | None => return None,
                },
                message = self.messages.recv(), if inbox_open => match message {
                    Some(message) => self.late(message).await,
                    None => inbox_open = false,
                },
            }
        }
    }

    fn credentials_for(&self, response: &Response) -> Option<String> {
        let credentials = self.core.trunk_credentials(self.record.trunk.as_ref()?)?;
        let (asked, _) = challenge_headers(response.status_code.code());
        let uri = self.record.remote_target.as_ref();
        let (value, _) = answer_challenges(
            message::headers_all(&response.headers, asked),
            &credentials,
            "BYE",
            uri.unwrap_or(&self.record.request_uri),
            &random_token(16),
        )?;
        Some(value)
    }

    /// An inbound INVITE that had no answer: 480 until it is acknowledged. When no ACK comes, our
    /// 200 may have left before the end, so a BYE follows.
    async fn refuse_caller(&mut self) -> OrphanOutcome {
        let Ok(path) = self.path().await else {
            return OrphanOutcome::NoResponse;
        };
        let response = self.refusal();
        for round in 0..4u32 {
            path.send(SipMessage::Response(response.clone())).await;
            let deadline = Instant::now() + self.t1() * (1 << round.min(2));
            while let Ok(Some(message)) = timeout_at(deadline, self.messages.recv()).await {
                match message {
                    SipMessage::Request(ack) if ack.method == Method::Ack => {
                        return OrphanOutcome::Rejected;
                    }
                    SipMessage::Request(_) | SipMessage::Response(_) => {}
                }
            }
        }
        self.bye().await
    }

    fn refusal(&self) -> Response {
        let record = &self.record;
        let mut headers: Vec<Header> = record
            .vias
            .iter()
            .map(|via| Header::Via(via.as_str().into()))
            .collect();
        headers.extend([
            Header::From(record.remote_value().into()),
            Header::To(record.local_value().into()),
            Header::CallId(record.sip_call_id.as_str().into()),
            header_of("CSeq", format!("{} INVITE", record.invite_cseq)),
            header_of("Server", self.core.config.user_agent.as_str()),
            header_of("Content-Length", "0"),
        ]);
        Response {
            status_code: StatusCode::TemporarilyUnavailable,
            wire_reason: None,
            version: Version::V2,
            headers: headers.into(),
            body: Vec::new(),
        }
    }

    /// What comes again after all was said.
    async fn late(&mut self, message: SipMessage) {
        let SipMessage::Response(response) = message else {
            return;
        };
        let status = response.status_code.code();
        if status >= 300 {
            self.acknowledge_failure(&response).await;
        } else if status >= 200 {
            let known = self.record.state == DialogState::Established;
            if known {
                self.acknowledge().await;
            } else {
                self.learn(&response);
                self.core.end_fork(self.record.clone());
            }
        }
    }

    /// Where the INVITE may be, and whether it is another address than the one that is known.
    async fn places(&self) -> Vec<(Path, bool)> {
        let record = &self.record;
        let mut targets = Vec::new();
        if record.is_unplaced() {
            // The address was looked up after this was written: it is asked for again.
            if let Ok(uri) = SipUri::parse(&record.request_uri)
                && let Ok(transport) = transport_of(&uri, Some(record.transport))
            {
                let question = Question::of(&uri, transport);
                let found = self.core.resolver.look_up(&question).await;
                let found = self.core.reachable(found.unwrap_or_default());
                targets.extend(found.into_iter().map(|target| (target, false)));
            }
        } else {
            targets.push((record.target(), false));
        }
        targets.extend(record.alternatives.iter().map(|address| {
            let mut target = record.target();
            if target.transport == SipTransport::Tcp && target.address == *address {
                // An INVITE too large for UDP whose connection failed.
                target.transport = SipTransport::Udp;
            }
            target.address = *address;
            (target, true)
        }));
        let mut places = Vec::new();
        for (target, is_alternative) in targets {
            if let Ok(path) = self.core.hub.path(&self.core, &target).await {
                places.push((path, is_alternative));
            }
        }
        places
    }

    async fn path(&self) -> Result<Path, crate::transport::PathError> {
        let hop = if self.record.state == DialogState::Pending {
            self.record.target()
        } else {
            self.core.next_hop(&self.record).await
        };
        self.core.hub.path(&self.core, &hop).await
    }

    fn run(
        &self,
        path: &Path,
        request: Request,
        turn: Turn,
        answers: UnboundedSender<Option<u16>>,
    ) {
        run_client_in(&self.core, path, request, turn, move |outcome| {
            let status = match outcome {
                Outcome::Response(r) if r.status_code.code() < 200 => return,
                Outcome::Response(r) => Some(r.status_code.code()),
                Outcome::NoResponse { .. } => None,
            };
            let _ = answers.send(status);
        });
    }
}
