//! Where an INVITE goes when the first address fails (RFC 3263 §4.3): within one dial the next one
//! is tried after a connection that cannot be opened, silence, or 503. Each try is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rsipstack::sip::{Method, Response};
use switchhook_model::HangupCause;
use tokio::time::Instant;

use super::{Leg, LegCommand, LegInput, Phase};
use crate::client::{Outcome, run_client};
use crate::config::SipTransport;
use crate::core::Core;
use crate::dial::Route;
use crate::message;
use crate::record::DialogRecord;
use crate::transport::{Path, Target};
use crate::uri::SipUri;

/// How many T1 an address may be silent while there is another: 4 s, as carriers advise.
const SILENCE_IN_T1: u32 = 8;

/// Where the INVITE may go still, and how the tries before went.
#[derive(Default)]
pub(super) struct Failover {
    left: VecDeque<Target>,
    tries: Vec<String>,
    /// The address of the first that is left was tried by TCP, because the INVITE is large.
    tried_by_tcp: Option<SocketAddr>,
    /// Attempts that were sent, the newest last.
    attempts: Vec<(u32, Arc<OnceLock<Abandoned>>)>,
}

/// An INVITE we no longer want: if it is heard after all it is cancelled, and ended if answered.
pub(super) struct Abandoned {
    core: Arc<Core>,
    record: DialogRecord,
    path: Path,
    attempt: u32,
    cancelled: AtomicBool,
}

impl Failover {
    /// Another address is there to try.
    pub(super) fn has_more(&self) -> bool {
        !self.left.is_empty()
    }

    /// The targets before have had their say: the dial goes on elsewhere.
    pub(super) fn forget_targets(&mut self) {
        self.left.clear();
        self.tried_by_tcp = None;
    }

    /// A handle by which the attempt's responses are taken away from the leg.
    pub(super) fn begin(&mut self, attempt: u32) -> Arc<OnceLock<Abandoned>> {
        let handle = Arc::new(OnceLock::new());
        self.attempts.push((attempt, handle.clone()));
        handle
    }

    /// A response of an attempt before that was on its way to the leg when it was given over.
    pub(super) fn late(&self, attempt: u32, outcome: Outcome) {
        let of = self.attempts.iter().find(|(n, _)| *n == attempt);
        if let Some(abandoned) = of.and_then(|(_, handle)| handle.get()) {
            abandoned.outcome(outcome);
        }
    }

    /// The reason with what was tried before.
    pub(super) fn with_tries(&self, reason: &str) -> String {
        if self.tries.is_empty() {
            return reason.to_owned();
        }
        format!("{reason}; before that: {}", self.tries.join("; "))
    }
}

impl Abandoned {
    pub(super) fn outcome(&self, outcome: Outcome) {
        let Outcome::Response(response) = outcome else {
            return;
        };
        match response.status_code.code() {
            100..=199 => self.cancel(),
            200..=299 => self.core.end_fork(self.record.forked(&response)),
            // The transaction has acknowledged it.
            _ => {}
        }
    }

    /// RFC 3261 §9.1: only what was heard is cancelled.
    fn cancel(&self) {
        if self.cancelled.swap(true, Ordering::Relaxed) {
            return;
        }
        let remote = self.record.remote.clone();
        let agent = &self.core.config.user_agent;
        let request = self
            .record
            .attempt_request(Method::Cancel, self.attempt, remote, agent);
        if let Ok(request) = request {
            run_client(&self.core, &self.path, request, |_| {});
        }
    }
}

impl Leg {
    /// Looks the address up if it has to be, and sends the next INVITE: the first, or the one that
    /// follows a redirection.
    pub(super) async fn place(&mut self, route: Route) {
        let targets = match route {
            Route::Known(targets) => Ok(targets),
            Route::Ask(question) => {
                let core = self.core.clone();
                let look_up = async move { core.resolver.look_up(&question).await };
                match self.unless_given_up(look_up).await {
                    Some(found) => found,
                    None => return,
                }
            }
        };
        match targets.map(|targets| self.core.reachable(targets)) {
            Ok(targets) if targets.is_empty() => {
                self.failed(None, HangupCause::Unreachable, "no usable address");
            }
            Ok(targets) => {
                self.failover.left = targets.into();
                self.try_targets(None).await;
            }
            Err(cause) => {
                let reason = format!("the host cannot be resolved: {cause}");
                self.failed(None, HangupCause::Unreachable, reason);
            }
        }
    }

    /// Gives the current address up for the next one.
    pub(super) async fn next_target(&mut self, why: &str, status: Option<u16>) {
        let Phase::Calling(calling) = &self.phase else {
            return;
        };
        let attempt = calling.attempt;
        let target = self.record.target();
        self.core.resolver.rest(&target, None);
        self.note_try(&target, why);
        if let Some(path) = self.path.take()
            && let Some((_, handle)) = self.failover.attempts.last()
        {
            // Set once: an attempt is given over once.
            let _ = handle.set(Abandoned {
                core: self.core.clone(),
                record: self.record.clone(),
                path,
                attempt,
                cancelled: AtomicBool::new(false),
            });
        }
        self.try_targets(status).await;
    }

    /// 503: this one is not to be asked for a while (RFC 3261 §21.5.4).
    pub(super) async fn unavailable(&mut self, response: &Response) {
        let retry_after = message::header(&response.headers, "Retry-After")
            .and_then(|value| value.split([';', ' ', '(']).next())
            .and_then(|value| value.parse().ok())
            .map(Duration::from_secs);
        let target = self.record.target();
        if retry_after.is_some() {
            self.core.resolver.rest(&target, retry_after);
        }
        let phrase = response.status_code.text();
        self.next_target(&format!("503 {phrase}"), Some(503)).await;
    }

    fn note_try(&mut self, target: &Target, why: &str) {
        let transport = target.transport.as_via();
        let note = format!("{} ({transport}): {why}", target.address);
        tracing::info!(leg = %self.id, note, "SIP target failed");
        self.failover.tries.push(note);
    }

    /// Sends the INVITE to the next address that can be reached; fails the dial when none is left.
    async fn try_targets(&mut self, status: Option<u16>) {
        let before = self.failover.attempts.last().map_or(0, |(n, _)| *n);
        loop {
            let Some(target) = self.failover.left.pop_front() else {
                let reason = self.failover.tries.join("; ");
                let cause = status.map_or(HangupCause::Unreachable, HangupCause::from_sip_status);
                return self.failed(status, cause, reason);
            };
            if let Some(tcp) = self.instead_of_udp(&target, before + 1) {
                let (core, to) = (self.core.clone(), tcp.clone());
                let opening = async move { core.hub.path(&core, &to).await };
                match self.unless_given_up(opening).await {
                    Some(Ok(path)) => {
                        // That it opens does not say that anybody reads it.
                        self.failover.tried_by_tcp = Some(target.address);
                        self.failover.left.push_front(target);
                        return self.invite_at(&tcp, path, before + 1);
                    }
                    Some(Err(error)) => {
                        // Then a large datagram it is (§18.1.1), for a while without asking again.
                        tracing::debug!(leg = %self.id, %error, "too large for UDP, but no TCP");
                        let pause = Some(Duration::from_secs(600));
                        self.core.resolver.rest(&tcp, pause);
                    }
                    None => return,
                }
            }
            let (core, to) = (self.core.clone(), target.clone());
            let opening = async move { core.hub.path(&core, &to).await };
            let path = match self.unless_given_up(opening).await {
                Some(Ok(path)) => path,
                Some(Err(error)) => {
                    self.core.resolver.rest(&target, None);
                    self.note_try(&target, &error.to_string());
                    continue;
                }
                None => return,
            };
            return self.invite_at(&target, path, before + 1);
        }
    }

    /// TCP for a request that is too large for UDP, where nobody asked for UDP: not for a phone, which
    /// is reached the way it registered, nor for a URI that says so.
    fn instead_of_udp(&mut self, target: &Target, attempt: u32) -> Option<Target> {
        let asked =
            SipUri::parse(&self.record.request_uri).is_ok_and(|uri| uri.transport().is_some());
        let was_tried = self.failover.tried_by_tcp == Some(target.address);
        if target.transport != SipTransport::Udp || self.record.symmetric || asked || was_tried {
            return None;
        }
        self.record.go_to(target);
        if !self.is_large(attempt) {
            return None;
        }
        let tcp = Target::unnamed(SipTransport::Tcp, target.address);
        (!self.core.resolver.is_resting(&tcp)).then_some(tcp)
    }

    fn invite_at(&mut self, target: &Target, path: Path, attempt: u32) {
        self.record.go_to(target);
        self.record.sent_by.clone_from(&path.sent_by);
        self.record.alternatives = self.failover.left.iter().map(|t| t.address).collect();
        self.record.invite_attempts = attempt;
        self.record.invite_cseq = attempt;
        self.record.local_cseq = attempt;
        self.path = Some(path.clone());
        // Another server's challenge is another challenge.
        self.authorization = None;
        if let Phase::Calling(calling) = &mut self.phase {
            calling.attempt = attempt;
            calling.first_attempt = attempt;
            calling.heard = false;
            let silence = self.core.config.timers.t1 * SILENCE_IN_T1;
            calling.next_target_at =
                (!self.failover.left.is_empty()).then(|| Instant::now() + silence);
        }
        if self.stored_target.take().as_ref() != Some(target) {
            self.emit_record();
        }
        self.send_invite(attempt, &path);
    }

    /// Waits for `work` unless the dial is given up or its time is over; then it has failed.
    async fn unless_given_up<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let deadline = match &self.phase {
            Phase::Calling(calling) => calling.deadline,
            Phase::Incoming(_)
            | Phase::Answering { .. }
            | Phase::Established
            | Phase::Ending { .. }
            | Phase::Over => return None,
        };
        let mut work = std::pin::pin!(work);
        let cause = loop {
            tokio::select! {
                // A command that was there first is obeyed first.
                biased;
                input = self.inputs.recv() => match input {
                    Some(LegInput::Command(LegCommand::Cancel)) => break HangupCause::Canceled,
                    Some(LegInput::Command(LegCommand::Hangup { cause })) => break cause,
                    Some(LegInput::Invite { attempt, outcome }) => {
                        self.failover.late(attempt, outcome);
                    }
                    Some(_) => {}
                    None => break HangupCause::Canceled,
                },
                done = &mut work => return Some(done),
                () = tokio::time::sleep_until(deadline) => break HangupCause::Unreachable,
            }
        };
        let reason = match cause {
            HangupCause::Unreachable => "no address could be reached in time",
            _ => "given up before anything was sent",
        };
        self.failed(None, cause, self.failover.with_tries(reason));
        None
    }
}
