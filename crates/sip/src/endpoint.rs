//! What the user of this crate holds.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use switchhook_model::{Digit, Extension, HangupCause, LegId};
use tokio::sync::mpsc::{self, UnboundedSender};

use crate::config::{SipConfig, SipStartError};
use crate::core::Core;
use crate::dial::PreparedDial;
use crate::event::{DialError, DialFrom, DialRequest, DialTarget, LegGone, SipEvent};
use crate::leg::{Decision, LegCommand, LegInput};
use crate::record::{DialogRecord, RecordError};
use crate::refer::Replaces;
use crate::registrar::Binding;
use crate::tap::{EventQueue, now};
use crate::tls::TlsError;
use crate::transport::{WebConnection, WebError};
use crate::trunks::TrunkStatus;
use crate::uri::SipUri;

/// Events that may wait in the channel handed out by [`SipEndpoint::start`]; more wait inside.
const EVENT_CHANNEL: usize = 1_024;

/// A running SIP endpoint. Cheap to clone. No function blocks on the network except where it is
/// `async`; what comes of a command is told by events.
#[derive(Clone)]
pub struct SipEndpoint {
    core: Arc<Core>,
}

impl std::fmt::Debug for SipEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SipEndpoint")
            .field("local", &self.local_addrs())
            .field("legs", &self.leg_count())
            .finish()
    }
}

impl SipEndpoint {
    /// Binds all listeners and begins to serve.
    ///
    /// # Errors
    /// Names the address that is taken or cannot be used, or the setting that is wrong; nothing
    /// listens then.
    pub async fn start(
        config: SipConfig,
    ) -> Result<(Self, mpsc::Receiver<SipEvent>), SipStartError> {
        check(&config)?;
        let (events, receiver) = EventQueue::new(EVENT_CHANNEL);
        let core = Core::start(config, events).await?;
        Ok((Self { core }, receiver))
    }

    /// Bound UDP and TCP addresses, with the ports the system chose.
    pub fn local_addrs(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        self.core.hub.local_addrs()
    }

    /// Bound TLS addresses.
    pub fn tls_addrs(&self) -> Vec<SocketAddr> {
        self.core.hub.tls_addrs()
    }

    /// Reads certificate and key files again. Those that cannot be used change nothing.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn reload_tls(&self) -> Result<(), TlsError> {
        self.core.hub.tls.reload()
    }

    /// Takes a WebSocket with the subprotocol `sip` that an HTTP server accepted (RFC 7118).
    /// `remote` is the client's address with a port no other socket of that client has; `secure`
    /// when the browser came over TLS.
    ///
    /// # Errors
    /// When there are too many connections.
    pub async fn attach_web(
        &self,
        remote: SocketAddr,
        secure: bool,
    ) -> Result<WebConnection, WebError> {
        self.core.hub.attach_web(&self.core, remote, secure).await
    }

    /// Where a dial would go, as far as it is known now: which of our addresses its media should
    /// name.
    pub fn likely_peer(&self, target: &DialTarget) -> Option<IpAddr> {
        self.core.likely_peer(target)
    }

    /// Legs that are not over.
    pub fn leg_count(&self) -> usize {
        self.core.leg_count()
    }

    /// Live bindings of all extensions.
    pub fn bindings(&self) -> Vec<Binding> {
        let registrar = self.core.registrar.lock();
        registrar.unwrap_or_else(PoisonError::into_inner).all(now())
    }

    /// Live bindings of one extension, the newest last.
    pub fn bindings_of(&self, extension: &Extension) -> Vec<Binding> {
        let registrar = self.core.registrar.lock();
        registrar
            .unwrap_or_else(PoisonError::into_inner)
            .live(extension, now())
    }

    /// What we know of each trunk now, by name.
    pub fn trunks(&self) -> Vec<TrunkStatus> {
        self.core.trunks.all()
    }

    /// Takes our registrations at PBXs back, for at most `within`; they are not renewed afterwards.
    /// To be called before [`Self::shutdown`].
    pub async fn unregister_trunks(&self, within: Duration) {
        self.core.unregister_trunks(within).await;
    }

    /// While draining, new INVITEs get 503 with Retry-After; running legs go on.
    pub fn set_draining(&self, draining: bool) {
        self.core.draining.store(draining, Ordering::Relaxed);
    }

    /// Makes everything a dial needs, and its record, without sending. Commit the record, then
    /// call [`PreparedDial::send`].
    ///
    /// # Errors
    /// Says why the target cannot be dialled; nothing was sent and the leg does not exist.
    pub async fn prepare_dial(
        &self,
        request: DialRequest,
    ) -> Result<(DialogRecord, PreparedDial), DialError> {
        self.core.prepare_dial(request).await
    }

    /// Prepares and sends at once, for users without a store.
    ///
    /// # Errors
    /// As [`Self::prepare_dial`].
    pub async fn dial(&self, request: DialRequest) -> Result<DialogRecord, DialError> {
        let (record, prepared) = self.prepare_dial(request).await?;
        prepared.send();
        Ok(record)
    }

    /// Inbound: 180.
    ///
    /// # Errors
    /// When the leg is over; so for all commands below.
    pub fn ring(&self, leg: &LegId) -> Result<(), LegGone> {
        self.command(leg, LegCommand::Ring)
    }

    /// Inbound: 183 with an SDP answer, for early media.
    pub fn progress(&self, leg: &LegId, sdp: String) -> Result<(), LegGone> {
        self.command(leg, LegCommand::Progress { sdp })
    }

    /// Inbound: 200 with our SDP.
    pub fn answer(&self, leg: &LegId, sdp: String) -> Result<(), LegGone> {
        self.command(leg, LegCommand::Answer { sdp })
    }

    /// Inbound: a final refusal, 300 to 699. `reason` goes into a Reason header.
    pub fn reject(&self, leg: &LegId, status: u16, reason: Option<String>) -> Result<(), LegGone> {
        self.command(leg, LegCommand::Reject { status, reason })
    }

    /// Outbound: gives the dial up. If the answer crosses it, the leg is ended at once.
    pub fn cancel(&self, leg: &LegId) -> Result<(), LegGone> {
        self.command(leg, LegCommand::Cancel)
    }

    /// Ends the leg in the way its state asks for: BYE, CANCEL or refusal.
    pub fn hangup(&self, leg: &LegId, cause: HangupCause) -> Result<(), LegGone> {
        self.command(leg, LegCommand::Hangup { cause })
    }

    /// Offers new media to an answered leg, for example hold.
    pub fn reinvite(&self, leg: &LegId, sdp: String) -> Result<(), LegGone> {
        self.command(leg, LegCommand::ReInvite { sdp })
    }

    /// Sends a key by INFO (`application/dtmf-relay`) to an answered leg, after those sent before.
    pub fn send_digit(&self, leg: &LegId, digit: Digit) -> Result<(), LegGone> {
        self.command(leg, LegCommand::SendDigit { digit })
    }

    /// Answers a REFER of the other side: 202, or a refusal.
    ///
    /// # Errors
    /// When the leg is over; so for the commands below.
    pub fn answer_refer(&self, leg: &LegId, id: u32, status: u16) -> Result<(), LegGone> {
        let status = if (200..700).contains(&status) {
            status
        } else {
            500
        };
        self.command(leg, LegCommand::AnswerRefer { id, status })
    }

    /// Tells the other side how its REFER goes, after a 202. From 200 on it is the last report.
    pub fn notify_refer(&self, leg: &LegId, id: u32, status: u16) -> Result<(), LegGone> {
        self.command(leg, LegCommand::NotifyRefer { id, status })
    }

    /// Asks the other side of an answered leg to go to `to`, a SIP URI. One at a time.
    /// `referred_by` is a name-addr.
    pub fn refer(
        &self,
        leg: &LegId,
        to: String,
        referred_by: Option<String>,
    ) -> Result<(), LegGone> {
        self.command(leg, LegCommand::Refer { to, referred_by })
    }

    /// The confirmed leg that a Refer-To's Replaces names.
    pub async fn confirmed_leg(&self, named: &Replaces) -> Option<LegId> {
        self.core.confirmed_leg(named).await
    }

    /// Lets a redirected dial go on to `to`. `RedirectReady` follows.
    ///
    /// # Errors
    /// When that cannot be dialled; the dial waits for another word.
    pub fn follow_redirect(
        &self,
        leg: &LegId,
        to: DialTarget,
        from: DialFrom,
    ) -> Result<(), DialError> {
        let to = self.core.redirection(leg, to, from)?;
        // A leg that is over meanwhile has reported its end.
        let _ = self.command(leg, LegCommand::FollowRedirect(Box::new(to)));
        Ok(())
    }

    /// Sends the INVITE of a redirection whose record is stored.
    ///
    /// # Errors
    /// When the leg is over.
    pub fn proceed(&self, leg: &LegId) -> Result<(), LegGone> {
        self.command(leg, LegCommand::Proceed)
    }

    /// Fails a redirected dial with its 3xx; `why` is for people.
    ///
    /// # Errors
    /// When the leg is over.
    pub fn refuse_redirect(&self, leg: &LegId, why: String) -> Result<(), LegGone> {
        self.command(leg, LegCommand::RefuseRedirect { why })
    }

    /// Ends a leg of a process before this one by its record: CANCEL while it rings (a 200 that
    /// comes instead is acknowledged and ended), BYE when it talks. Reports
    /// [`SipEvent::OrphanEnded`].
    ///
    /// # Errors
    /// When the record is not usable; nothing was sent.
    pub fn end_orphan(&self, record: &DialogRecord) -> Result<(), RecordError> {
        record.check()?;
        tokio::spawn(self.core.clone().end_orphan(record.clone()));
        Ok(())
    }

    /// Stops at once: no BYE is sent, sockets close with their last user.
    pub fn shutdown(&self) {
        self.core.stop.cancel();
    }

    fn command(&self, leg: &LegId, command: LegCommand) -> Result<(), LegGone> {
        if self.core.send_to_leg(leg, LegInput::Command(command)) {
            Ok(())
        } else {
            Err(LegGone(leg.clone()))
        }
    }
}

/// Answers an incoming call. All of it is also on [`SipEndpoint`] by leg id.
#[derive(Clone)]
pub struct InboundHandle {
    endpoint: SipEndpoint,
    leg: LegId,
}

impl std::fmt::Debug for InboundHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InboundHandle({})", self.leg)
    }
}

impl InboundHandle {
    pub(crate) fn new(core: Arc<Core>, leg: LegId) -> Self {
        Self {
            endpoint: SipEndpoint { core },
            leg,
        }
    }

    /// 180.
    ///
    /// # Errors
    /// When the leg is over; so for all functions here.
    pub fn ring(&self) -> Result<(), LegGone> {
        self.endpoint.ring(&self.leg)
    }

    /// 183 with an SDP answer, for early media.
    pub fn progress(&self, sdp: String) -> Result<(), LegGone> {
        self.endpoint.progress(&self.leg, sdp)
    }

    /// 200 with our SDP.
    pub fn answer(&self, sdp: String) -> Result<(), LegGone> {
        self.endpoint.answer(&self.leg, sdp)
    }

    /// A final refusal, 300 to 699.
    pub fn reject(&self, status: u16, reason: Option<String>) -> Result<(), LegGone> {
        self.endpoint.reject(&self.leg, status, reason)
    }
}

/// Decides on a re-INVITE. Dropped undecided, it refuses with 488: the media stay as they were.
pub struct ReInviteResponder {
    leg: Option<UnboundedSender<LegInput>>,
    id: u64,
}

impl std::fmt::Debug for ReInviteResponder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReInviteResponder({})", self.id)
    }
}

impl ReInviteResponder {
    pub(crate) fn new(leg: UnboundedSender<LegInput>, id: u64) -> Self {
        Self { leg: Some(leg), id }
    }

    /// 200 with our SDP.
    pub fn answer(mut self, sdp: String) {
        self.decide(Decision::Answer(sdp));
    }

    /// A refusal, for example 488.
    pub fn reject(mut self, status: u16) {
        let status = if (300..700).contains(&status) {
            status
        } else {
            500
        };
        self.decide(Decision::Reject(status));
    }

    fn decide(&mut self, decision: Decision) {
        if let Some(leg) = self.leg.take() {
            // The leg may be over; then nobody waits.
            let _ = leg.send(LegInput::ReInviteDecision {
                id: self.id,
                decision,
            });
        }
    }
}

impl Drop for ReInviteResponder {
    fn drop(&mut self) {
        self.decide(Decision::Reject(488));
    }
}

fn check(config: &SipConfig) -> Result<(), SipStartError> {
    if config.udp.is_empty() && config.tcp.is_empty() && config.tls.listen.is_empty() {
        return Err(SipStartError::NoListener);
    }
    if !config.tls.listen.is_empty() && config.tls.server.is_none() {
        return Err(SipStartError::NoCertificate);
    }
    for text in [&config.user_agent, &config.realm, &config.domain] {
        if text.is_empty() || text.chars().any(|c| c.is_control() || c == '"') {
            return Err(SipStartError::BadText(text.clone()));
        }
    }
    if SipUri::parse(&format!("sip:{}", bracketed(&config.domain))).is_err() {
        return Err(SipStartError::BadText(config.domain.clone()));
    }
    crate::accounts::offered_hashes(config)?;
    if let Some(timer) = config.session_timer
        && (timer.min_s == 0 || timer.expires_s < timer.min_s)
    {
        return Err(SipStartError::BadSessionTimer {
            expires_s: timer.expires_s,
            min_s: timer.min_s,
        });
    }
    let mut extensions = std::collections::BTreeSet::new();
    for account in &config.extensions {
        if !extensions.insert(&account.extension) {
            return Err(SipStartError::DuplicateExtension(account.extension.clone()));
        }
    }
    let mut trunks = std::collections::BTreeSet::new();
    for trunk in &config.trunks {
        if !trunks.insert(&trunk.id) {
            return Err(SipStartError::DuplicateTrunk(trunk.id.clone()));
        }
        crate::trunks::check_registration(trunk)?;
        if let Some(termination) = &trunk.termination
            && SipUri::parse(&format!("sip:{termination}")).is_err()
        {
            return Err(SipStartError::BadTermination {
                trunk: trunk.id.clone(),
                value: termination.clone(),
            });
        }
    }
    Ok(())
}

/// IPv6 addresses stand in brackets within URIs.
pub(crate) fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}
