//! Being an extension of a PBX: our REGISTER, its renewal and its end (RFC 3261 §10.2).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rsipstack::sip::{Method, Request, Response};
use sha2::Sha256;
use switchhook_model::Timestamp;

use super::{RegistrationState, Standalone, final_outcome, in_future, jittered, status_line};
use crate::client::Outcome;
use crate::config::{SipStartError, TrunkConfig, TrunkId, TrunkRegistration};
use crate::core::Core;
use crate::digest::{Credentials, answer_challenges, constant_time_eq, hex};
use crate::leg::challenge_headers;
use crate::message::{self, header_of, random_token};
use crate::tap::now;
use crate::transport::Path;
use crate::uri::{NameAddr, SipUri, split_entries};

/// Longest registration we take from a 423, in seconds.
const MAX_EXPIRES_S: u32 = 86_400;

/// Requests of one attempt: the first, credentials, `stale`, and each again after a 423.
const MAX_REQUESTS: u32 = 6;

/// Longest `Retry-After` that is followed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// By what an INVITE to our registered contact is known.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub trunk: TrunkId,
    /// Value of the Contact's `line` parameter. Only the registrar has seen it.
    token: String,
    user: String,
    registrar: IpAddr,
}

impl Line {
    /// Whether a request with this Request-URI, from this address, was sent by the registrar.
    pub(crate) fn matches(&self, uri: &SipUri, source: SocketAddr) -> bool {
        match uri.param("line") {
            Some(token) => constant_time_eq(token.as_bytes(), self.token.as_bytes()),
            // A registrar that drops parameters of a Contact is known by its address.
            None => {
                source.ip().to_canonical() == self.registrar
                    && uri.user.as_deref() == Some(self.user.as_str())
            }
        }
    }
}

/// Refuses settings that could never register.
pub(crate) fn check(trunk: &TrunkConfig) -> Result<(), SipStartError> {
    let Some(registration) = &trunk.registration else {
        return Ok(());
    };
    let bad = |why: &str| SipStartError::BadRegistration {
        trunk: trunk.id.clone(),
        why: why.to_owned(),
    };
    if trunk.auth.as_ref().is_none_or(|auth| auth.user.is_empty()) {
        return Err(bad("needs a user and a password"));
    }
    let registrar = registrar_of(trunk, registration);
    let registrar = registrar.ok_or_else(|| bad("needs a registrar or a termination"))?;
    if SipUri::parse(&format!("sip:{registrar}")).is_err() {
        return Err(bad("its registrar is not host or host:port"));
    }
    if registration.expires_s == 0 || registration.expires_s > MAX_EXPIRES_S {
        return Err(bad("expires must be 1 to 86400 seconds"));
    }
    Ok(())
}

fn registrar_of<'a>(
    trunk: &'a TrunkConfig,
    registration: &'a TrunkRegistration,
) -> Option<&'a str> {
    let own = registration.registrar.as_deref();
    own.or(trunk.termination.as_deref())
}

/// Why an attempt failed.
struct Failure {
    status: Option<u16>,
    cause: String,
    retry_after: Option<Duration>,
}

impl Failure {
    fn new(cause: impl Into<String>) -> Self {
        Self {
            status: None,
            cause: cause.into(),
            retry_after: None,
        }
    }
}

/// One registration over its life: all its REGISTERs share Call-ID and From tag, and their CSeq
/// grows (RFC 3261 §10.2).
struct Client {
    core: Arc<Core>,
    trunk: TrunkConfig,
    registrar: SipUri,
    aor: SipUri,
    credentials: Credentials,
    call_id: String,
    tag: String,
    cseq: u32,
    token: String,
    /// Asked for; grows when a registrar says 423.
    expires_s: u32,
    /// The registrar has or may have a binding of ours, so there is something to take back.
    was_bound: bool,
    registered_until: Option<Timestamp>,
}

impl Core {
    /// Registers, renews and, when the endpoint leaves, unregisters.
    pub(super) async fn keep_registered(
        self: Arc<Self>,
        trunk: TrunkConfig,
        registration: TrunkRegistration,
    ) {
        let Some(mut client) = Client::new(&self, trunk, &registration) else {
            // The settings were checked at start.
            return;
        };
        tokio::select! {
            () = self.stop.cancelled() => return,
            () = self.leaving.cancelled() => {}
            () = client.keep() => {}
        }
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = client.leave() => {}
        }
    }

    /// The trunk whose registered contact this INVITE is for.
    pub(crate) fn registered_trunk(
        &self,
        request: &Request,
        source: SocketAddr,
    ) -> Option<TrunkId> {
        let uri = SipUri::parse(&request.uri.to_string()).ok()?;
        let lines = self
            .lines
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let line = lines.values().find(|line| line.matches(&uri, source))?;
        Some(line.trunk.clone())
    }

    /// Whether it comes from the address of a registrar that knows us, or is for our registered
    /// contact.
    pub(crate) fn is_registrar_of_ours(&self, request: &Request, source: SocketAddr) -> bool {
        let ip = source.ip().to_canonical();
        let is_known = self
            .lines
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .values()
            .any(|line| line.registrar == ip);
        is_known || self.registered_trunk(request, source).is_some()
    }
}

impl Client {
    fn new(core: &Arc<Core>, trunk: TrunkConfig, registration: &TrunkRegistration) -> Option<Self> {
        let auth = trunk.auth.clone()?;
        let host = registrar_of(&trunk, registration)?.to_owned();
        let registrar = SipUri::parse(&format!("sip:{host}")).ok()?;
        let user = trunk.from_user.as_deref().unwrap_or(&auth.user);
        let aor_host = trunk.from_domain.as_ref().unwrap_or(&registrar.host);
        // Made of the password, so that it is the same after a restart (the contact replaces the
        // one of before instead of standing beside it) and nobody else can guess it.
        let mut mac = Hmac::<Sha256>::new_from_slice(auth.password.as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(format!("line\0{user}\0{host}").as_bytes());
        Some(Self {
            core: core.clone(),
            aor: SipUri::new(Some(user), aor_host, None),
            credentials: Credentials::new(auth.user, auth.password),
            call_id: format!("{}@{}", random_token(24), core.config.domain),
            tag: random_token(16),
            cseq: 0,
            token: hex(&mac.finalize().into_bytes()[..16]),
            expires_s: registration.expires_s,
            was_bound: false,
            registered_until: None,
            registrar,
            trunk,
        })
    }

    /// Never returns.
    async fn keep(&mut self) {
        let timers = self.core.config.timers.clone();
        let mut failures = 0u32;
        loop {
            let wait = match self.register(self.expires_s).await {
                Ok(granted_s) => {
                    failures = 0;
                    let granted = Duration::from_secs(u64::from(granted_s));
                    self.registered_until = Some(in_future(granted));
                    // In time for several tries before it expires.
                    let wait = granted * 3 / 4;
                    self.report(RegistrationState::Registered, None, wait);
                    wait
                }
                Err(failure) => {
                    let doubled = timers.registration_retry * 2u32.saturating_pow(failures.min(16));
                    failures = failures.saturating_add(1);
                    let backed_off = jittered(doubled.min(timers.registration_retry_max));
                    let asked = failure.retry_after.unwrap_or_default();
                    let mut wait = backed_off.max(asked);
                    // While the old one lasts, look again when it ends at the latest.
                    let left_ms = self.registered_until.map(|end| end.millis_since(now()));
                    let state = match left_ms.filter(|ms| *ms > 0) {
                        Some(left_ms) => {
                            wait = wait.min(Duration::from_millis(left_ms));
                            RegistrationState::Registered
                        }
                        None => {
                            self.was_bound &= failure.status.is_none();
                            self.forget();
                            RegistrationState::Failed
                        }
                    };
                    tracing::warn!(
                        trunk = %self.trunk.id, error = failure.cause, retry_s = wait.as_secs(),
                        "registration failed"
                    );
                    self.report(state, Some(failure), wait);
                    wait
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes the binding back (§10.2.2).
    async fn leave(&mut self) {
        if self.was_bound
            && let Err(failure) = self.register(0).await
        {
            tracing::warn!(
                trunk = %self.trunk.id, error = failure.cause,
                "unregistering failed; the binding expires"
            );
        }
        self.forget();
        self.report(RegistrationState::Unregistered, None, Duration::ZERO);
    }

    fn forget(&mut self) {
        self.registered_until = None;
        self.core
            .lines
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(&self.trunk.id);
    }

    fn report(&self, state: RegistrationState, failure: Option<Failure>, next: Duration) {
        self.core.trunks.update(&self.trunk.id, |status| {
            let Some(registration) = &mut status.registration else {
                return;
            };
            registration.state = state;
            registration.registered_until = self.registered_until;
            registration.last_status = failure.as_ref().and_then(|f| f.status);
            registration.last_error = failure.map(|f| f.cause);
            registration.next_attempt_at = (!next.is_zero()).then(|| in_future(next));
        });
    }

    /// One attempt, credentials and 423 included; the seconds that were granted.
    async fn register(&mut self, expires_s: u32) -> Result<u32, Failure> {
        let mut asked_s = expires_s;
        let mut authorization = None;
        for _ in 0..MAX_REQUESTS {
            let (path, request) = self.request(asked_s, authorization.as_ref()).await?;
            let contact = self.contact(&path);
            self.was_bound = true;
            let response = match final_outcome(&self.core, &path, request).await {
                Outcome::Response(response) => *response,
                Outcome::NoResponse { .. } => {
                    return Err(Failure::new(format!("no answer from {}", path.remote)));
                }
            };
            let status = response.status_code.code();
            match status {
                200..=299 => return self.bound(asked_s, &contact, &response, &path),
                401 | 407 => {
                    let (value, stale) = self.answer(&response).ok_or_else(|| Failure {
                        status: Some(status),
                        cause: format!("{}: no challenge we can answer", status_line(&response)),
                        retry_after: None,
                    })?;
                    if authorization.is_some() && !stale {
                        return Err(refusal(&response));
                    }
                    authorization = Some((challenge_headers(status).1, value));
                }
                423 if asked_s > 0 => {
                    asked_s = min_expires(&response)
                        .filter(|least| *least > asked_s && *least <= MAX_EXPIRES_S)
                        .ok_or_else(|| refusal(&response))?;
                    self.expires_s = asked_s;
                    // Its nonce was used with the request that was too brief.
                    authorization = None;
                }
                _ => return Err(refusal(&response)),
            }
        }
        Err(Failure::new(
            "the registrar asks for credentials over and over",
        ))
    }

    async fn request(
        &mut self,
        expires_s: u32,
        authorization: Option<&(&'static str, String)>,
    ) -> Result<(Path, Request), Failure> {
        let target = self
            .core
            .resolve(&self.registrar, Some(self.trunk.transport))
            .await
            .map_err(Failure::new)?;
        let path = self.core.hub.path(&self.core, &target).await;
        let path = path.map_err(|e| Failure::new(e.to_string()))?;
        self.cseq += 1;
        let mut request = self.core.trunk_request(
            Method::Register,
            Standalone {
                path: &path,
                uri: &self.registrar,
                aor: &self.aor,
                to: &self.aor,
                tag: &self.tag,
                call_id: &self.call_id,
                cseq: self.cseq,
            },
        );
        let headers = &mut request.headers;
        headers.push(header_of("Contact", format!("<{}>", self.contact(&path))));
        headers.push(header_of("Expires", expires_s.to_string()));
        headers.push(header_of("Allow", message::ALLOW));
        if let Some((name, value)) = authorization {
            headers.push(header_of(name, value.as_str()));
        }
        Ok((path, request))
    }

    /// Where the registrar is to send our calls.
    fn contact(&self, path: &Path) -> SipUri {
        let (host, port) = match path.sent_by.parse::<SocketAddr>() {
            Ok(address) => (address.ip().to_string(), Some(address.port())),
            Err(_) => (path.sent_by.clone(), None),
        };
        let mut contact = SipUri::new(self.aor.user.as_deref(), &host, port);
        if let Some(transport) = path.transport.uri_param() {
            let transport = ("transport".to_owned(), Some(transport.to_owned()));
            contact.params.push(transport);
        }
        let line = ("line".to_owned(), Some(self.token.clone()));
        contact.params.push(line);
        contact
    }

    fn answer(&mut self, response: &Response) -> Option<(String, bool)> {
        let (asked, _) = challenge_headers(response.status_code.code());
        let (value, challenge) = answer_challenges(
            message::headers_all(&response.headers, asked),
            &self.credentials,
            "REGISTER",
            &message::stack_uri(&self.registrar).to_string(),
            &random_token(16),
        )?;
        self.credentials.floor = Some((challenge.realm, challenge.algorithm.hash));
        Some((value, challenge.stale))
    }

    /// A 2xx: how long the binding lasts, and from now on INVITEs for it are the trunk's.
    fn bound(
        &mut self,
        asked_s: u32,
        contact: &SipUri,
        response: &Response,
        path: &Path,
    ) -> Result<u32, Failure> {
        if asked_s == 0 {
            self.was_bound = false;
            return Ok(0);
        }
        let granted_s = granted(contact, response).unwrap_or(asked_s);
        if granted_s == 0 {
            return Err(Failure {
                status: Some(response.status_code.code()),
                cause: "the registrar accepted the REGISTER but kept no binding".to_owned(),
                retry_after: None,
            });
        }
        let line = Line {
            trunk: self.trunk.id.clone(),
            token: self.token.clone(),
            user: self.aor.user.clone().unwrap_or_default(),
            registrar: path.remote.ip().to_canonical(),
        };
        self.core
            .lines
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(self.trunk.id.clone(), line);
        // A registrar may grant seconds; then we do not ask more often than once in one.
        Ok(granted_s.clamp(2, MAX_EXPIRES_S))
    }
}

/// Seconds granted to `contact`: its own parameter, else Expires (RFC 3261 §10.2.4).
fn granted(contact: &SipUri, response: &Response) -> Option<u32> {
    let own = message::headers_all(&response.headers, "Contact")
        .flat_map(split_entries)
        .filter_map(|entry| NameAddr::parse(entry).ok())
        .find(|entry| entry.sip_uri().is_ok_and(|uri| uri.same_resource(contact)))
        .and_then(|entry| entry.param("expires").and_then(|s| s.parse().ok()));
    let general = || message::header(&response.headers, "Expires")?.parse().ok();
    own.or_else(general)
}

fn min_expires(response: &Response) -> Option<u32> {
    message::header(&response.headers, "Min-Expires")?
        .parse()
        .ok()
}

fn refusal(response: &Response) -> Failure {
    let seconds = message::retry_after_s(&response.headers).map(u64::from);
    Failure {
        status: Some(response.status_code.code()),
        cause: status_line(response),
        retry_after: seconds.map(|s| Duration::from_secs(s).min(MAX_RETRY_AFTER)),
    }
}
