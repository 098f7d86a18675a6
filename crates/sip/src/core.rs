//! The middle of the endpoint: what comes in is checked, limited and sent to where it belongs.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rsipstack::EndpointBuilder;
use rsipstack::sip::{Method, Request, Response, SipMessage};
use rsipstack::transaction::endpoint::{EndpointInnerRef, EndpointOption, MessageInspector};
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transaction::{Transaction, TransactionReceiver, TransactionTimer};
use rsipstack::transport::{SipAddr, SipConnection, TransportLayer};
use switchhook_model::LegId;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::auth::Authenticator;
use crate::config::{SipConfig, SipStartError, SipTransport, TrunkId};
use crate::door::{Refusal, read_message};
use crate::event::WireDirection;
use crate::leg::LegInput;
use crate::message::{self, LOCAL_HEADER, header_of};
use crate::registrar::Registrar;
use crate::resolve::Resolver;
use crate::scanner::{Watch, count_refused};
use crate::stack_error;
use crate::tap::{EventQueue, Tap, now};
use crate::throttle::RateLimiter;
use crate::transport::{Hub, RawReply, stack_address};
use crate::trunks::{Line, TrunkBook};
use crate::wire::stateless_reply;

/// Call-ID and our tag: what names a dialog on our side (RFC 3261 §12).
pub(crate) type DialogKey = (String, String);

/// Shared by all tasks of an endpoint.
pub(crate) struct Core {
    pub config: SipConfig,
    pub endpoint: EndpointInnerRef,
    pub hub: Hub,
    pub tap: Arc<Tap>,
    pub events: EventQueue,
    pub registrar: Mutex<Registrar>,
    pub authenticator: Mutex<Authenticator>,
    pub resolver: Resolver,
    pub admission: Admission,
    pub watch: Watch,
    limiter: Mutex<RateLimiter>,
    legs: Mutex<Legs>,
    pub trunks: TrunkBook,
    /// Our registered contacts.
    pub lines: Mutex<BTreeMap<TrunkId, Line>>,
    /// Tasks that keep us registered; they end after `leaving`.
    pub registrations: Mutex<Vec<JoinHandle<()>>>,
    pub leaving: CancellationToken,
    pub draining: AtomicBool,
    pub stop: CancellationToken,
}

#[derive(Default)]
struct Legs {
    by_id: HashMap<LegId, UnboundedSender<LegInput>>,
    by_dialog: HashMap<DialogKey, UnboundedSender<LegInput>>,
    /// Inbound: Call-ID and the caller's tag, to recognise an INVITE that came two ways.
    by_caller: HashMap<DialogKey, LegId>,
    /// Legs from before a restart that are being ended.
    orphans: HashMap<DialogKey, UnboundedSender<SipMessage>>,
}

/// Puts a mark on responses the transaction layer makes up: they come with no address.
struct LocalMarker;

impl MessageInspector for LocalMarker {
    fn before_send(&self, msg: SipMessage, _: Option<&SipAddr>) -> SipMessage {
        msg
    }

    fn after_received(&self, msg: SipMessage, from: Option<&SipAddr>) -> SipMessage {
        match msg {
            SipMessage::Response(mut response) if from.is_none() => {
                response.headers.push(header_of(LOCAL_HEADER, "1"));
                SipMessage::Response(response)
            }
            SipMessage::Response(_) | SipMessage::Request(_) => msg,
        }
    }
}

impl Core {
    pub(crate) async fn start(
        config: SipConfig,
        events: EventQueue,
    ) -> Result<Arc<Self>, SipStartError> {
        let stop = CancellationToken::new();
        let tap = Arc::new(Tap::new(events.clone()));
        let hub = Hub::bind(&config, tap.clone(), stop.clone()).await?;
        let t1 = config.timers.t1;
        let endpoint = EndpointBuilder::new()
            .with_user_agent(&config.user_agent)
            .with_transport_layer(TransportLayer::new(stop.clone()))
            .with_cancel_token(stop.clone())
            .with_inspector(Box::new(LocalMarker))
            .with_option(EndpointOption {
                t1,
                t2: t1 * 8,
                t4: t1 * 10,
                t1x64: t1 * 64,
                // How long a call may ring is the dial's business, not the transaction's.
                timerc: std::time::Duration::from_secs(3_600),
                // The ACK for a 2xx is the dialog's (RFC 3261 §13.2.2.4).
                auto_ack_2xx: false,
                ..EndpointOption::default()
            })
            .build();
        let incoming = endpoint
            .incoming_transactions()
            .expect("the receiver of a new endpoint is there to take");
        let limits = &config.limits;
        let core = Arc::new(Self {
            endpoint: endpoint.inner.clone(),
            hub,
            tap,
            events: events.clone(),
            registrar: Mutex::new(Registrar::restore(
                config.initial_bindings.iter().cloned(),
                now(),
            )),
            authenticator: Mutex::new(Authenticator::new(&config)),
            resolver: Resolver::new(config.dns.clone()),
            admission: Admission::new(&config),
            watch: Watch::new(&config.limits),
            limiter: Mutex::new(RateLimiter::new(
                limits.messages_per_s,
                limits.message_burst,
                limits.max_sources,
            )),
            legs: Mutex::default(),
            trunks: TrunkBook::new(&config, events.clone()),
            lines: Mutex::default(),
            registrations: Mutex::default(),
            leaving: CancellationToken::new(),
            draining: AtomicBool::new(false),
            stop,
            config,
        });
        core.spawn_timers();
        core.prefetch();
        tokio::spawn(core.clone().keep_alive());
        tokio::spawn(core.clone().dispatch(incoming));
        core.hub.serve(&core);
        core.watch_trunks();
        Ok(core)
    }

    fn spawn_timers(self: &Arc<Self>) {
        let core = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = core.stop.cancelled() => {}
                () = core.endpoint.process_timer() => {}
            }
        });
        // The stack's timer queue can miss a wake-up when a timer is set while it falls asleep. A
        // timer that is due at once makes it look again.
        let core = self.clone();
        tokio::spawn(async move {
            let nudge = nudge_key();
            let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
            let mut ticks = 0u32;
            loop {
                tokio::select! {
                    () = core.stop.cancelled() => return,
                    _ = tick.tick() => {}
                }
                if let Some(key) = &nudge {
                    let due = TransactionTimer::TimerCleanup(key.clone());
                    core.endpoint.timers.timeout(std::time::Duration::ZERO, due);
                }
                ticks = ticks.wrapping_add(1);
                if ticks.is_multiple_of(10) {
                    core.tap.sweep();
                    core.expire_bindings();
                }
            }
        });
    }

    /// One message from the network.
    pub(crate) async fn received(
        self: &Arc<Self>,
        bytes: &[u8],
        transport: SipTransport,
        source: SocketAddr,
        connection: &SipConnection,
        reply: &RawReply,
    ) {
        let is_counted =
            !self.is_trunk_source(transport, source) && !self.is_proxy_source(transport, source);
        if is_counted && !self.within_rate(source) {
            count_refused("message_rate");
            tracing::debug!(%source, "SIP message dropped: source is over its rate");
            return;
        }
        self.tap
            .message(WireDirection::Received, transport, source, bytes);
        if bytes.len() > self.config.limits.max_message_bytes {
            count_refused("too_large");
            self.refuse(bytes, 513, "Message Too Large", source, reply)
                .await;
            return;
        }
        // The parser is fuzzed, but a panic here would take the listener with it.
        let read = catch_unwind(AssertUnwindSafe(|| read_message(bytes, transport, source)));
        match read {
            Ok(Ok(SipMessage::Request(request))) => {
                self.received_request(request, transport, source, connection)
                    .await;
            }
            Ok(Ok(SipMessage::Response(response))) => {
                self.received_response(response, transport, source, connection)
                    .await;
            }
            Ok(Err(Refusal { status, reason })) => {
                count_refused("malformed");
                self.refuse(bytes, status, &reason, source, reply).await;
            }
            Err(_) => tracing::error!(%source, "SIP parser panicked; message dropped"),
        }
    }

    /// Answers a request that goes no further. Silent for responses, ACKs and noise.
    pub(crate) async fn refuse(
        &self,
        bytes: &[u8],
        status: u16,
        reason: &str,
        source: SocketAddr,
        reply: &RawReply,
    ) {
        tracing::debug!(%source, status, reason, "SIP message refused");
        if let Some(answer) = stateless_reply(bytes, status, reason, &self.config.user_agent) {
            reply.send(answer, source).await;
        }
    }

    async fn received_request(
        self: &Arc<Self>,
        request: Request,
        transport: SipTransport,
        source: SocketAddr,
        connection: &SipConnection,
    ) {
        if let Some(reason) = self.ignores(&request, transport, source) {
            tracing::debug!(%source, reason, "SIP request dropped without an answer");
            return count_refused(reason);
        }
        if request.method == Method::Ack
            && let Some(orphan) = self.orphan_of(&request.headers, "To")
        {
            let _ = orphan.send(SipMessage::Request(request));
            return;
        }
        self.to_transactions(SipMessage::Request(request), transport, source, connection)
            .await;
    }

    async fn received_response(
        self: &Arc<Self>,
        response: Response,
        transport: SipTransport,
        source: SocketAddr,
        connection: &SipConnection,
    ) {
        let is_invite = message::cseq(&response.headers).is_some_and(|(_, m)| m == "INVITE");
        let known = TransactionKey::from_response(&response, TransactionRole::Client)
            .is_ok_and(|key| self.endpoint.transactions.get(&key).is_some());
        if is_invite && !known {
            if let Some(orphan) = self.orphan_of(&response.headers, "From") {
                let _ = orphan.send(SipMessage::Response(response));
                return;
            }
            // A 2xx that comes again or from another fork belongs to the dialog (§13.2.2.4).
            if response.status_code.code() / 100 == 2 {
                if let Some(leg) = self.leg_of(&response.headers, "From") {
                    let _ = leg.send(LegInput::StrayAnswer(Box::new(response)));
                }
                return;
            }
        }
        self.to_transactions(
            SipMessage::Response(response),
            transport,
            source,
            connection,
        )
        .await;
    }

    async fn to_transactions(
        self: &Arc<Self>,
        message: SipMessage,
        transport: SipTransport,
        source: SocketAddr,
        connection: &SipConnection,
    ) {
        let from = stack_address(transport, source);
        let result = self
            .endpoint
            .on_received_message(message, connection.clone(), &from)
            .await;
        if let Err(error) = result {
            tracing::debug!(%source, error.kind = stack_error::kind(&error), "SIP message not processed");
        }
    }

    async fn dispatch(self: Arc<Self>, mut incoming: TransactionReceiver) {
        loop {
            let transaction = tokio::select! {
                () = self.stop.cancelled() => return,
                transaction = incoming.recv() => match transaction {
                    Some(transaction) => transaction,
                    None => return,
                },
            };
            self.route(transaction);
        }
    }

    /// Requests of a leg keep their order: they go straight into its queue.
    fn route(self: &Arc<Self>, transaction: Transaction) {
        let headers = &transaction.original.headers;
        let in_dialog = message::name_addr(headers, "To").is_ok_and(|to| to.tag().is_some());
        let leg = in_dialog.then(|| self.leg_of(headers, "To")).flatten();
        let core = self.clone();
        match (transaction.original.method, leg) {
            (Method::Options, None) => spawn_options(core, transaction),
            (Method::Register, _) => {
                tokio::spawn(core.handle_register(transaction));
            }
            (_, Some(leg)) => {
                let _ = leg.send(LegInput::Request(Box::new(transaction)));
            }
            (Method::Invite, None) if !in_dialog => {
                tokio::spawn(core.handle_invite(transaction));
            }
            (
                Method::Message
                | Method::Notify
                | Method::Publish
                | Method::Refer
                | Method::Subscribe,
                None,
            ) => spawn_reply(core, transaction, 405),
            (
                Method::Invite
                | Method::Ack
                | Method::Bye
                | Method::Cancel
                | Method::Info
                | Method::PRack
                | Method::Update,
                None,
            ) => spawn_reply(core, transaction, 481),
        }
    }

    /// Whether the request is for a dialog of ours, by Call-ID and our tag. REGISTER never is.
    pub(crate) fn is_in_dialog(&self, request: &Request) -> bool {
        let key = (request.method != Method::Register)
            .then(|| dialog_key(&request.headers, "To"))
            .flatten();
        key.is_some_and(|key| {
            let legs = self.legs();
            legs.by_dialog.contains_key(&key) || legs.orphans.contains_key(&key)
        })
    }

    /// The leg of a message, by Call-ID and our tag (in `ours`: From of a response, To of a request).
    fn leg_of(
        &self,
        headers: &rsipstack::sip::Headers,
        ours: &str,
    ) -> Option<UnboundedSender<LegInput>> {
        let key = dialog_key(headers, ours)?;
        self.legs().by_dialog.get(&key).cloned()
    }

    pub(crate) fn leg_of_dialog(
        &self,
        sip_call_id: &str,
        our_tag: &str,
    ) -> Option<UnboundedSender<LegInput>> {
        let key = (sip_call_id.to_owned(), our_tag.to_owned());
        self.legs().by_dialog.get(&key).cloned()
    }

    fn orphan_of(
        &self,
        headers: &rsipstack::sip::Headers,
        ours: &str,
    ) -> Option<UnboundedSender<SipMessage>> {
        let key = dialog_key(headers, ours)?;
        self.legs().orphans.get(&key).cloned()
    }

    fn legs(&self) -> MutexGuard<'_, Legs> {
        self.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a leg. `caller_tag` is given for inbound ones. Fails when the id or the INVITE is
    /// known already or there is no room.
    pub(crate) fn enter_leg(
        &self,
        leg: &LegId,
        dialog: DialogKey,
        caller_tag: Option<&str>,
        inputs: UnboundedSender<LegInput>,
    ) -> Result<(), EnterError> {
        let mut legs = self.legs();
        if legs.by_id.len() >= self.config.limits.max_legs {
            return Err(EnterError::Full);
        }
        if legs.by_id.contains_key(leg) {
            return Err(EnterError::Duplicate);
        }
        if let Some(tag) = caller_tag {
            let caller = (dialog.0.clone(), tag.to_owned());
            if legs.by_caller.contains_key(&caller) {
                return Err(EnterError::Merged);
            }
            legs.by_caller.insert(caller, leg.clone());
        }
        legs.by_id.insert(leg.clone(), inputs.clone());
        legs.by_dialog.insert(dialog, inputs);
        Ok(())
    }

    /// Takes a leg out at its end; late messages still find their way to the ladder for a while.
    pub(crate) fn leave_leg(
        self: &Arc<Self>,
        leg: &LegId,
        dialog: &DialogKey,
        caller_tag: Option<&str>,
    ) {
        let mut legs = self.legs();
        legs.by_id.remove(leg);
        legs.by_dialog.remove(dialog);
        if let Some(tag) = caller_tag {
            legs.by_caller.remove(&(dialog.0.clone(), tag.to_owned()));
        }
        drop(legs);
        self.release_tap_later(dialog.0.clone());
    }

    pub(crate) fn release_tap_later(self: &Arc<Self>, sip_call_id: String) {
        let core = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = core.stop.cancelled() => {}
                () = tokio::time::sleep(core.config.timers.t1 * 64) => {}
            }
            core.tap.release(&sip_call_id);
        });
    }

    pub(crate) fn send_to_leg(&self, leg: &LegId, input: LegInput) -> bool {
        let sender = self.legs().by_id.get(leg).cloned();
        sender.is_some_and(|sender| sender.send(input).is_ok())
    }

    pub(crate) fn leg_count(&self) -> usize {
        self.legs().by_id.len()
    }

    pub(crate) fn enter_orphan(&self, dialog: DialogKey, sender: UnboundedSender<SipMessage>) {
        self.legs().orphans.insert(dialog, sender);
    }

    pub(crate) fn leave_orphan(&self, dialog: &DialogKey) {
        self.legs().orphans.remove(dialog);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn is_trunk_address(&self, source: SocketAddr) -> bool {
        let mut addresses = self.config.trunks.iter().flat_map(|t| &t.addresses);
        addresses.any(|address| address.matches(source))
    }

    fn within_rate(&self, source: SocketAddr) -> bool {
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        limiter.allow(source.ip().to_canonical(), now())
    }
}

/// Why a leg was not entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EnterError {
    Full,
    Duplicate,
    /// The same INVITE came another way (RFC 3261 §8.2.2.2).
    Merged,
}

fn spawn_reply(core: Arc<Core>, mut transaction: Transaction, status: u16) {
    tokio::spawn(async move {
        let response = core.response(&transaction.original, status, None);
        if let Err(error) = transaction.respond(response).await {
            tracing::debug!(
                error.kind = stack_error::kind(&error),
                status,
                "SIP response not sent"
            );
        }
    });
}

/// OPTIONS is answered as an INVITE would be (RFC 3261 §11.2), as far as that is known here.
fn spawn_options(core: Arc<Core>, mut transaction: Transaction) {
    tokio::spawn(async move {
        let request = &transaction.original;
        let response = core
            .unsupported_options(request)
            .unwrap_or_else(|| core.response(request, 200, None));
        core.finish(&mut transaction, response).await;
    });
}

impl Core {
    /// A response with the headers every response of ours has.
    pub(crate) fn response(
        &self,
        request: &Request,
        status: u16,
        to_tag: Option<&str>,
    ) -> Response {
        let fresh = message::random_token(10);
        let tag = to_tag.unwrap_or(&fresh);
        let mut response = message::respond(request, status, Some(tag), &self.config.user_agent);
        let is_options = request.method == Method::Options;
        if matches!(status, 405 | 501) || (status == 200 && is_options) {
            response.headers.push(header_of("Allow", message::ALLOW));
        }
        if status / 100 == 2 && (is_options || request.method == Method::Invite) {
            response.headers.push(crate::leg::supported(&self.config));
        }
        if is_options && status == 200 {
            response
                .headers
                .push(header_of("Accept", "application/sdp"));
        }
        response
    }
}

/// Call-ID and the tag in From or To.
fn dialog_key(headers: &rsipstack::sip::Headers, ours: &str) -> Option<DialogKey> {
    let call_id = message::header(headers, "Call-ID")?;
    let party = message::name_addr(headers, ours).ok()?;
    Some((call_id.to_owned(), party.tag()?.to_owned()))
}

/// A transaction key that no transaction has.
fn nudge_key() -> Option<TransactionKey> {
    let text = "OPTIONS sip:nobody@invalid SIP/2.0\r\nVia: SIP/2.0/UDP invalid;branch=z9hG4bKnudge\r\n\
                From: <sip:nobody@invalid>;tag=nudge\r\nTo: <sip:nobody@invalid>\r\n\
                Call-ID: nudge\r\nCSeq: 1 OPTIONS\r\n\r\n";
    let request = Request::try_from(text).ok()?;
    TransactionKey::from_request(&request, TransactionRole::Client).ok()
}
