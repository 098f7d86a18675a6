//! One task per leg owns its dialog. Commands, responses and requests come through one queue, so
//! that they have one order.

mod early;
mod extras;
mod failover;
mod in_dialog;
mod inbound;
mod info;
mod outbound;
mod redirect;
mod referring;
mod reliable;
mod session;
mod update;

pub(crate) use extras::supported;
use failover::Failover;
pub(crate) use in_dialog::dtmf_digit;
pub(crate) use outbound::challenge_headers;
pub(crate) use redirect::Redirection;
pub(crate) use referring::{DialogInfo, DialogStage};
use referring::{OwnRefer, PendingRefer};

use std::sync::Arc;

use rsipstack::sip::{Method, Request, Response};
use rsipstack::transaction::Transaction;
use rsipstack::transaction::transaction::{TransactionEvent, TransactionEventSender};
use switchhook_model::{Digit, HangupCause, LegId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::Instant;

use crate::admission::Admitted;
use crate::client::Outcome;
use crate::config::SipTransport;
use crate::core::{Core, DialogKey};
use crate::dial::Route;
use crate::digest::Credentials;
use crate::event::SipLegEvent;
use crate::message::{self, header_of};
use crate::record::{DialogRecord, DialogState};
use crate::transport::{Path, PathError, Target};
use crate::uri::SipUri;

use extras::{Extras, ReInviteOrder};

/// What a leg is told, by us or by the network.
pub(crate) enum LegInput {
    Command(LegCommand),
    /// Our INVITE number `attempt`.
    Invite {
        attempt: u32,
        outcome: Outcome,
    },
    /// A 2xx to our INVITE after its transaction ended: again, or from another fork.
    StrayAnswer(Box<Response>),
    /// The caller's INVITE.
    Caller(ServerEvent),
    /// A request within the dialog.
    Request(Box<Transaction>),
    /// A BYE, CANCEL, INFO, re-INVITE, UPDATE or PRACK of ours.
    Client {
        kind: ClientKind,
        outcome: Outcome,
    },
    /// The caller's re-INVITE number `id`.
    ReInvite {
        id: u64,
        event: ServerEvent,
    },
    /// Somebody wants to know what the dialog is like.
    Describe(tokio::sync::oneshot::Sender<DialogInfo>),
    /// The decision on it.
    ReInviteDecision {
        id: u64,
        decision: Decision,
    },
}

/// What the user of the endpoint wants.
#[derive(Debug)]
pub(crate) enum LegCommand {
    Ring,
    Progress {
        sdp: String,
    },
    Answer {
        sdp: String,
    },
    Reject {
        status: u16,
        reason: Option<String>,
    },
    Cancel,
    Hangup {
        cause: HangupCause,
    },
    ReInvite {
        sdp: String,
    },
    SendDigit {
        digit: Digit,
    },
    AnswerRefer {
        id: u32,
        status: u16,
    },
    NotifyRefer {
        id: u32,
        status: u16,
    },
    Refer {
        to: String,
        referred_by: Option<String>,
    },
    FollowRedirect(Box<Redirection>),
    Proceed,
    RefuseRedirect {
        why: String,
    },
}

/// What a server INVITE transaction reports.
pub(crate) enum ServerEvent {
    /// With the Reason of the CANCEL.
    Canceled(String),
    Acknowledged(Box<Request>),
    /// The transaction is over; if no ACK was reported, none came.
    Finished,
}

/// Which request of ours within the dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientKind {
    Cancel,
    Bye,
    ReInvite,
    Info,
    Update,
    Prack,
    Refer,
    Notify,
}

/// The answer to a re-INVITE.
#[derive(Debug)]
pub(crate) enum Decision {
    Answer(String),
    Reject(u16),
}

/// Where the dialog is.
enum Phase {
    /// Our INVITE is out.
    Calling(Calling),
    /// The caller's INVITE waits for us.
    Incoming(Incoming),
    /// We sent 200 and wait for the ACK; `hang_up` when the user wants out already.
    Answering {
        hang_up: Option<HangupCause>,
    },
    Established,
    /// Our BYE is out.
    Ending {
        cause: HangupCause,
    },
    /// The final event is out.
    Over,
}

struct Calling {
    attempt: u32,
    /// A provisional response came: CANCEL may be sent (RFC 3261 §9.1).
    heard: bool,
    /// 180 or so was reported, so that 100 is not.
    ringing: bool,
    /// The dial is being given up; why.
    giving_up: Option<HangupCause>,
    cancel_sent: bool,
    deadline: Instant,
    /// The first attempt at this target; those after it carry credentials.
    first_attempt: u32,
    /// When the next target is tried unless this one is heard.
    next_target_at: Option<Instant>,
    /// A 3xx came and where to go is being decided: no INVITE is out.
    redirected_by: Option<u16>,
    /// Where it goes on, once the record of that is stored.
    route: Option<Route>,
    /// Where the dial was redirected from.
    visited: Vec<SipUri>,
}

struct Incoming {
    invite: Request,
    responder: TransactionEventSender,
}

/// An offer from the other side that waits for a decision, or for the ACK of its re-INVITE.
struct PendingReInvite {
    id: u64,
    request: Request,
    responder: Respond,
    decided: bool,
}

/// Where the answer to an offer goes.
enum Respond {
    /// A re-INVITE.
    Invite(TransactionEventSender),
    /// An UPDATE or PRACK.
    Transaction(Box<Transaction>),
}

/// What our INVITE carries beside what every request does.
struct Offer {
    sdp: String,
    /// Of the way it goes: whom to show over this trunk.
    planned: Vec<(String, String)>,
    headers: Vec<(String, String)>,
}

/// What an outbound leg starts with.
pub(crate) struct OutboundStart {
    pub record: DialogRecord,
    pub contact_user: String,
    pub sdp_offer: String,
    /// Headers of the way it goes, and those of the dial.
    pub planned: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub credentials: Option<Credentials>,
    pub timeout: std::time::Duration,
    /// Where it may go.
    pub route: Route,
    /// Route of the INVITE: proxies on the way to a phone (RFC 3327).
    pub path: Vec<String>,
}

/// The task's state.
pub(crate) struct Leg {
    core: Arc<Core>,
    id: LegId,
    record: DialogRecord,
    dialog: DialogKey,
    caller_tag: Option<String>,
    path: Option<Path>,
    contact_user: String,
    credentials: Option<Credentials>,
    phase: Phase,
    inputs: UnboundedReceiver<LegInput>,
    myself: UnboundedSender<LegInput>,
    /// Outbound: what the INVITE carries.
    offer: Option<Offer>,
    /// Outbound: proxies the INVITE goes through.
    proxies: Vec<String>,
    /// Outbound: the target that the stored record of the next INVITE names.
    stored_target: Option<Target>,
    /// Outbound: where the INVITE may go and went.
    failover: Failover,
    /// Last ACK of a 2xx, to send again when the 2xx comes again.
    last_ack: Option<Request>,
    /// Credentials that were accepted for the INVITE; its ACK repeats them (RFC 3261 §22.1).
    authorization: Option<(String, String)>,
    /// Who sent the last request of the other side, by tag, and its CSeq: each callee of a dial that
    /// forked counts for itself.
    remote_cseq: Option<(Option<String>, u32)>,
    /// Our re-INVITE in flight: its CSeq and offer, and whether credentials were tried.
    reinvite: Option<OwnReInvite>,
    bye_retried: bool,
    keys: info::Keys,
    pending: Option<PendingReInvite>,
    next_reinvite_id: u64,
    timer: Option<Instant>,
    /// The final event is out although the dialog still needs looking after.
    reported: bool,
    /// Inbound: its place among the calls that are let in.
    _admitted: Option<Admitted>,
    /// Outbound: `Answered` was reported.
    was_answered: bool,
    ext: Extras,
    /// Outbound: tags of who rings.
    early_tags: Vec<String>,
    /// REFERs of the other side without an answer yet, and the first that was accepted.
    refers: Vec<PendingRefer>,
    first_refer: Option<u32>,
    own_refer: Option<OwnRefer>,
    /// An earlier REFER of ours may still be reported on.
    refer_superseded: bool,
}

struct OwnReInvite {
    cseq: u32,
    order: ReInviteOrder,
    retried: bool,
}

impl Leg {
    /// Enters the leg's loop; returns when the leg is over. Boxed, as what is done on an input is: a
    /// leg waits almost all of its life, and should be small then.
    pub(crate) async fn run(mut self: Box<Self>) {
        while !matches!(self.phase, Phase::Over) {
            let timer = self.next_timer();
            tokio::select! {
                () = self.core.stop.cancelled() => return,
                input = self.inputs.recv() => match input {
                    Some(input) => Box::pin(self.handle(input)).await,
                    None => return,
                },
                () = sleep_until(timer) => Box::pin(self.timer_fired()).await,
            }
        }
        let caller_tag = self.caller_tag.as_deref();
        self.core.leave_leg(&self.id, &self.dialog, caller_tag);
        Box::pin(self.refuse_what_waits()).await;
    }

    async fn refuse_what_waits(&mut self) {
        self.refuse_refers().await;
        self.refuse_reinvite().await;
        self.refuse_leftovers().await;
    }

    async fn handle(&mut self, input: LegInput) {
        match input {
            LegInput::Command(command) => self.command(command).await,
            LegInput::Invite { attempt, outcome } => self.invite_outcome(attempt, outcome).await,
            LegInput::StrayAnswer(response) => self.stray_answer(*response).await,
            LegInput::Caller(event) => self.caller_event(event).await,
            LegInput::Request(transaction) => self.request(*transaction).await,
            LegInput::Client { kind, outcome } => self.client_outcome(kind, outcome).await,
            LegInput::ReInvite { id, event } => self.reinvite_event(id, event).await,
            LegInput::Describe(answer) => {
                // Whoever asked may have given up.
                let _ = answer.send(self.describe());
            }
            LegInput::ReInviteDecision { id, decision } => {
                self.decide_reinvite(id, decision).await;
            }
        }
    }

    async fn command(&mut self, command: LegCommand) {
        match command {
            LegCommand::Ring => self.ring(None),
            LegCommand::Progress { sdp } => self.ring(Some(&sdp)),
            LegCommand::Answer { sdp } => self.answer(&sdp),
            LegCommand::Reject { status, reason } => self.reject(status, reason),
            LegCommand::Cancel => self.give_up(HangupCause::Canceled).await,
            LegCommand::Hangup { cause } => self.hang_up(cause).await,
            LegCommand::ReInvite { sdp } => self.send_reinvite(sdp).await,
            LegCommand::SendDigit { digit } => self.send_digit(digit).await,
            LegCommand::AnswerRefer { id, status } => self.answer_refer(id, status).await,
            LegCommand::NotifyRefer { id, status } => self.notify_refer(id, status).await,
            LegCommand::Refer { to, referred_by } => self.send_refer(to, referred_by).await,
            LegCommand::FollowRedirect(to) => self.follow_redirect(*to),
            LegCommand::Proceed => self.proceed().await,
            LegCommand::RefuseRedirect { why } => self.refuse_redirect(why),
        }
    }

    /// Ends the leg in whatever way its phase allows.
    async fn hang_up(&mut self, cause: HangupCause) {
        match &mut self.phase {
            Phase::Calling(_) => self.give_up(cause).await,
            Phase::Incoming(_) => self.refuse(480, None, cause),
            // A callee sends no BYE before the ACK (RFC 3261 §15).
            Phase::Answering { hang_up } => *hang_up = Some(cause),
            Phase::Established => self.send_bye(cause).await,
            Phase::Ending { .. } | Phase::Over => {}
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        let own = match &self.phase {
            Phase::Calling(calling) => {
                let next = calling.next_target_at.unwrap_or(calling.deadline);
                Some(next.min(calling.deadline))
            }
            Phase::Incoming(_)
            | Phase::Answering { .. }
            | Phase::Established
            | Phase::Ending { .. }
            | Phase::Over => self.timer,
        };
        [own, self.extras_timer()].into_iter().flatten().min()
    }

    async fn timer_fired(&mut self) {
        if self.extras_due().await {
            return;
        }
        match &self.phase {
            Phase::Calling(_) => self.dial_deadline().await,
            Phase::Incoming(_)
            | Phase::Answering { .. }
            | Phase::Established
            | Phase::Ending { .. }
            | Phase::Over => self.timer = None,
        }
    }

    fn emit(&self, event: SipLegEvent) {
        self.core.events.leg(&self.id, event);
    }

    /// Reports the record as it is now, to be stored.
    fn emit_record(&self) {
        self.emit(SipLegEvent::Record(Box::new(self.record.clone())));
    }

    /// The end: from here nothing is owed to the other side.
    fn finish(&mut self, event: SipLegEvent) {
        self.record.state = DialogState::Ended;
        self.emit_record();
        if !self.reported {
            self.emit(event);
        }
        self.phase = Phase::Over;
    }

    fn ended(&mut self, by_remote: bool, cause: HangupCause, reason: impl Into<String>) {
        self.finish(SipLegEvent::Ended {
            by_remote,
            cause,
            reason: reason.into(),
        });
    }

    fn user_agent(&self) -> &str {
        &self.core.config.user_agent
    }

    /// Our Contact (RFC 3261 §8.1.1.8).
    fn contact(&self, sent_by: &str) -> String {
        let (host, port) = match sent_by.parse::<std::net::SocketAddr>() {
            Ok(address) => (address.ip().to_string(), Some(address.port())),
            Err(_) => (sent_by.to_owned(), None),
        };
        let user = (!self.contact_user.is_empty()).then_some(self.contact_user.as_str());
        let mut uri = SipUri::new(user, &host, port);
        // A sips: request wants a sips: Contact (RFC 3261 §8.1.1.8).
        uri.secure = self.record.transport == SipTransport::Tls
            && SipUri::parse(&self.record.request_uri).is_ok_and(|uri| uri.secure);
        if let Some(transport) = self.record.transport.uri_param() {
            uri.params
                .push(("transport".to_owned(), Some(transport.to_owned())));
        }
        format!("<{uri}>")
    }

    /// A response of this dialog: our tag, Contact and Allow where they belong.
    fn dialog_response(&self, request: &Request, status: u16) -> Response {
        let tag = self.record.local_tag.as_str();
        let mut response = self.core.response(request, status, Some(tag));
        let forms_dialog = request.method == Method::Invite && status > 100 && status < 300;
        if forms_dialog {
            let contact = self.contact(&self.record.sent_by);
            response.headers.push(header_of("Contact", contact));
            if status >= 200 {
                response.headers.push(header_of("Allow", message::ALLOW));
            }
        }
        response
    }

    /// The way to the next hop of the dialog.
    async fn dialog_path(&mut self) -> Result<Path, PathError> {
        let open = self.path.as_ref().filter(|p| !p.closed.is_cancelled());
        if let Some(path) = open {
            // A live connection is kept, whatever the next hop's URI says.
            if path.transport.is_connection() && self.record.state == DialogState::Established {
                return Ok(path.clone());
            }
        }
        let hop = self.core.next_hop(&self.record).await;
        let path = self.core.hub.path(&self.core, &hop).await?;
        self.record.go_to(&hop);
        self.record.sent_by = path.sent_by.clone();
        self.path = Some(path.clone());
        Ok(path)
    }

    /// Answers requests that reached a leg that is over.
    async fn refuse_leftovers(&mut self) {
        self.inputs.close();
        while let Ok(input) = self.inputs.try_recv() {
            if let LegInput::Request(mut transaction) = input {
                let response = self.core.response(&transaction.original, 481, None);
                self.core.finish(&mut transaction, response).await;
            }
        }
    }
}

/// Runs the server side of an INVITE: reports what comes, sends what is put into `responder`.
pub(crate) fn run_server_invite(
    mut transaction: Transaction,
    report: impl Fn(ServerEvent) + Send + 'static,
) -> TransactionEventSender {
    let responder = transaction.tu_sender.clone();
    tokio::spawn(async move {
        while let Some(message) = transaction.receive().await {
            let rsipstack::sip::SipMessage::Request(request) = message else {
                continue;
            };
            match request.method {
                Method::Cancel => {
                    let reason = message::header(&request.headers, "Reason").unwrap_or("");
                    let reason = reason.chars().filter(|c| !c.is_control()).take(200);
                    report(ServerEvent::Canceled(reason.collect()));
                }
                Method::Ack => report(ServerEvent::Acknowledged(Box::new(request))),
                _ => {}
            }
        }
        report(ServerEvent::Finished);
    });
    responder
}

/// Puts a response into a server INVITE transaction. It may be over already; then nobody waits.
fn send_response(responder: &TransactionEventSender, response: Response) {
    let _ = responder.send(TransactionEvent::Respond(response));
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
