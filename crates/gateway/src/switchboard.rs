//! What the API can do to the running gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use switchhook_adapters::twilio::ErrorKind;
use switchhook_call::Event;
use switchhook_model::{CallId, E164, Extension, Target};
use tokio::sync::{broadcast, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::bus::LiveEvent;
use crate::calls::{self, CallInput, Shared, StartError, destination};
use crate::clock;
use crate::config::Mode;
use crate::http::ports::{
    CallOrder, CallTo, Capacity, CommandError, Contact, ExtensionStatus, InitiateError, Initiated,
    Integration, IntegrationState, Operator, Readiness, RecordingOrder, SipListener, SipReach,
    TransferOrder, TransferTo, TrunkView,
};
use crate::twilio::{OrderFault, Placed};
use crate::{outbound, trunks, twilio};

/// How long a call may take to obey: its task may be storing a step.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// How often integrations are checked.
const CHECK_EVERY: Duration = Duration::from_secs(15);

pub struct Switchboard {
    shared: Arc<Shared>,
    draining: CancellationToken,
    speech: watch::Receiver<Integration>,
    twilio: Option<Arc<twilio::Engine>>,
    /// Held from the look at the limits until the call that passed them is stored.
    admission: tokio::sync::Mutex<()>,
}

impl Switchboard {
    /// Starts the checks; they end with `draining`.
    pub fn new(shared: Arc<Shared>, speech_url: String, draining: CancellationToken) -> Self {
        let (report, speech) = watch::channel(integration("speech", IntegrationState::Degraded));
        let stop = draining.clone();
        tokio::spawn(async move {
            let client = reqwest::Client::new();
            loop {
                let checked = check_speech(&client, &speech_url).await;
                // While it starts it is looked at often, so that readiness is known soon.
                let wait = match checked.state {
                    IntegrationState::Ok => CHECK_EVERY,
                    _ => Duration::from_secs(1),
                };
                if report.send(checked).is_err() {
                    return;
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        });
        Self {
            shared,
            draining,
            speech,
            twilio: None,
            admission: tokio::sync::Mutex::new(()),
        }
    }

    /// With calls over Twilio.
    #[must_use]
    pub fn with_twilio(mut self, engine: Option<Arc<twilio::Engine>>) -> Self {
        self.twilio = engine;
        self
    }

    /// Whether policy allows an operator to dial this, and why not.
    fn check_target(&self, target: &Target) -> Result<(), String> {
        destination::check(&self.shared.config, target)
    }

    /// Whether this is a demo that can call no number, so that any may be tried.
    fn acts_numbers(&self) -> bool {
        let config = &self.shared.config;
        let can_call = self.twilio.as_ref().is_some_and(|engine| engine.can_call());
        let has_way = !config.trunks.is_empty() || can_call;
        config.mode == Mode::Demo && (config.outbound.simulate || !has_way)
    }

    /// Its stored status. A call that has ended takes no orders, though its task may still tidy up.
    async fn live_status(&self, call: &CallId) -> Result<String, CommandError> {
        let stored = self.shared.store.call(call).await;
        let row = stored.map_err(|error| CommandError::Internal {
            detail: error.to_string(),
        })?;
        match row {
            Some(row) if row.head.status != "ended" => Ok(row.head.status),
            Some(_) | None => Err(CommandError::NotLive),
        }
    }

    /// A call without media of ours is recorded by its carrier.
    async fn recording_at_carrier(
        &self,
        call: &CallId,
        paused: bool,
        by: &str,
    ) -> Result<(), CommandError> {
        self.live_status(call).await?;
        let engine = self.twilio.as_ref().ok_or(CommandError::NotLive)?;
        let (engine, call, by) = (Arc::clone(engine), call.clone(), by.to_owned());
        // An order that has left is noted, however long its answer takes.
        let ordered = tokio::spawn(async move { engine.order_recording(&call, paused, &by).await });
        match tokio::time::timeout(COMMAND_TIMEOUT, ordered).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(OrderFault::NotHere))) => Err(CommandError::NotLive),
            Ok(Ok(Err(OrderFault::NotRecorded))) => Err(not_recorded()),
            Ok(Ok(Err(OrderFault::Carrier(error)))) => Err(CommandError::Conflict {
                reason: match error.kind {
                    ErrorKind::Unknown => {
                        format!("whether the carrier did it is not known, order it again: {error}")
                    }
                    _ => format!("the carrier records as before: {error}"),
                },
            }),
            Ok(Ok(Err(OrderFault::Store(error)))) => Err(CommandError::Internal {
                detail: error.to_string(),
            }),
            Ok(Err(fault)) => Err(CommandError::Internal {
                detail: fault.to_string(),
            }),
            Err(_) => Err(CommandError::Busy),
        }
    }

    async fn over_sip(
        &self,
        target: Target,
        assistant: Option<String>,
    ) -> Result<CallId, InitiateError> {
        calls::start_outbound(&self.shared, target, assistant)
            .await
            .map_err(|StartError::Store(detail)| InitiateError::Internal { detail })
    }

    /// Over SIP.
    fn ringing(&self, call: CallId) -> Initiated {
        Initiated {
            call,
            status: "ringing".to_owned(),
            call_sid: None,
            twilio_configured: self.has_account(),
            message: "the phone is being called".to_owned(),
        }
    }

    /// An account by which telephones are reached.
    fn has_account(&self) -> bool {
        let is_real = |engine: &Arc<twilio::Engine>| engine.has_account() && !engine.is_lab();
        self.twilio.as_ref().is_some_and(is_real)
    }

    /// Over Twilio where that is set up, else over a trunk; without either it is acted.
    async fn call_number(
        &self,
        number: &E164,
        (assistant, customer): (Option<String>, Option<String>),
        by: &str,
    ) -> Result<Initiated, InitiateError> {
        let config = &self.shared.config;
        let simulates = config.outbound.simulate;
        let engine = self.twilio.as_ref();
        let carrier = engine.filter(|engine| engine.can_call() || simulates);
        let has_trunk = !config.trunks.is_empty() && !simulates;
        let engine = match (carrier, has_trunk) {
            (Some(engine), _) => Some(engine),
            (None, true) => None,
            (None, false) => match engine {
                None => return Err(InitiateError::NoTrunk),
                Some(engine) if engine.has_account() => return Err(InitiateError::NoNumber),
                // Without an account it is acted.
                Some(engine) => Some(engine),
            },
        };
        let admission = self.admission.lock().await;
        let customer = customer.as_deref();
        outbound::admit(
            &self.shared,
            outbound::Wish { number, customer },
            clock::now(),
        )
        .await?;
        tracing::info!(by, "call to a number requested");
        let target = Target::Number(number.clone());
        let Some(engine) = engine else {
            let call = self.over_sip(target, assistant).await?;
            return Ok(self.ringing(call));
        };
        let simulated = simulates || !engine.can_call();
        let assistant = assistant.unwrap_or_else(|| config.assistant.name.clone());
        let call = engine
            .begin_call(target, assistant, simulated)
            .await
            .map_err(|error| InitiateError::Internal {
                detail: error.to_string(),
            })?;
        drop(admission);
        let mut begun = self.ringing(call.clone());
        match engine.placed(&call, simulated).await {
            Placed::Yes { sid } => begun.call_sid = Some(sid),
            Placed::Acted => {
                begun.status = "simulation".to_owned();
                begun.message = if simulates && begun.twilio_configured {
                    "nobody is called: calls are simulated (outbound.simulate, TELEPHONY_MOCK)"
                } else {
                    "nobody is called: without TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN the call is simulated"
                }
                .to_owned();
            }
            Placed::No { detail } => {
                let message = format!("the call was not placed: {detail}");
                return Err(InitiateError::Carrier { call, message });
            }
            Placed::Unknown => {
                begun.message =
                    "it is not known yet whether Twilio places the call; see its page".to_owned();
            }
        }
        Ok(begun)
    }

    async fn tell(&self, call: &CallId, event: Event) -> Result<(), CommandError> {
        if self.shared.registry.tell(call, event).await {
            Ok(())
        } else {
            Err(CommandError::NotLive)
        }
    }

    fn sip_reach(&self) -> SipReach {
        let config = &self.shared.config;
        let (udp, tcp) = self.shared.sip.local_addrs();
        let listeners = |transport: &str, addresses: Vec<SocketAddr>| -> Vec<SipListener> {
            let listener = |address: SocketAddr| SipListener {
                transport: transport.to_owned(),
                ip: address.ip().to_string(),
                port: address.port(),
            };
            addresses.into_iter().map(listener).collect()
        };
        let advertised = config.media.advertised_ip;
        SipReach {
            assistant: config.sip.assistant_numbers.first().cloned(),
            host: (!advertised.is_loopback() && !advertised.is_unspecified())
                .then(|| advertised.to_string()),
            listeners: [listeners("udp", udp), listeners("tcp", tcp)].concat(),
        }
    }

    fn is_registered(&self, extension: &Extension) -> bool {
        self.shared
            .sip
            .bindings()
            .iter()
            .any(|binding| binding.extension == *extension)
    }
}

fn integration(name: &str, state: IntegrationState) -> Integration {
    Integration {
        name: name.to_owned(),
        state,
        detail: None,
        cause: None,
        cure: None,
        checked_at: Some(clock::now()),
        latency_ms: None,
    }
}

async fn check_speech(client: &reqwest::Client, url: &str) -> Integration {
    let begun = clock::now();
    let answer = client
        .get(format!("{url}/healthz"))
        .timeout(Duration::from_secs(5))
        .send()
        .await;
    let mut report = match answer {
        // A vendor has no such page, but it answers.
        Ok(answer) if !answer.status().is_server_error() => {
            integration("speech", IntegrationState::Ok)
        }
        Ok(answer) => {
            let mut report = integration("speech", IntegrationState::Degraded);
            report.cause = Some(format!("{url} answered {}", answer.status()));
            report
        }
        Err(error) => {
            let mut report = integration("speech", IntegrationState::Degraded);
            report.cause = Some(error.without_url().to_string());
            report
        }
    };
    if report.state == IntegrationState::Degraded {
        report.detail = Some("callers are not understood; espeak-ng speaks meanwhile".to_owned());
        report.cure = Some(
            "wait while it starts; else look for \"speech server\" in the log and run scripts/install-speech.sh"
                .to_owned(),
        );
    }
    report.latency_ms = Some(clock::now().millis_since(begun));
    report
}

fn not_recorded() -> CommandError {
    CommandError::Conflict {
        reason: "the call is not recorded".to_owned(),
    }
}

#[async_trait]
impl Operator for Switchboard {
    async fn hangup(&self, call: &CallId, by: &str) -> Result<(), CommandError> {
        // Does not ask the store: also while that is in trouble a call can be ended.
        self.tell(call, Event::OperatorHangup { by: by.to_owned() })
            .await
    }

    async fn recording(
        &self,
        call: &CallId,
        order: RecordingOrder,
        by: &str,
    ) -> Result<(), CommandError> {
        let paused = order == RecordingOrder::Pause;
        let Some(inbox) = self.shared.registry.get(call) else {
            return self.recording_at_carrier(call, paused, by).await;
        };
        let (answer, answered) = oneshot::channel();
        inbox.send(CallInput::Recording {
            paused,
            by: by.to_owned(),
            answer,
        });
        match tokio::time::timeout(COMMAND_TIMEOUT, answered).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(not_recorded()),
            // The call ended meanwhile.
            Ok(Err(_)) => Err(CommandError::NotLive),
            Err(_) => Err(CommandError::Busy),
        }
    }

    async fn transfer(&self, call: &CallId, order: TransferOrder) -> Result<(), CommandError> {
        let (target, department) = match order.to {
            TransferTo::Target(target) => {
                self.check_target(&target)
                    .map_err(|reason| CommandError::NotAllowed {
                        target: target.to_string(),
                        reason,
                    })?;
                (Some(target), None)
            }
            TransferTo::Department(given) => {
                let known = &self.shared.config.transfer.departments;
                if !known.contains_key(&given.to_lowercase()) {
                    let known = known.keys().cloned().collect();
                    return Err(CommandError::UnknownDepartment { given, known });
                }
                (None, Some(given))
            }
        };
        let event = Event::OperatorTransfer {
            target,
            department,
            request: order.request,
            anew: false,
        };
        self.live_status(call).await?;
        self.tell(call, event).await
    }

    async fn hold(&self, call: &CallId, by: &str) -> Result<(), CommandError> {
        let reason = match self.live_status(call).await?.as_str() {
            "ringing" => {
                Some("the call is not answered yet; try again when the caller is connected")
            }
            "transferring" => Some("a transfer of this call is under way; wait for its outcome"),
            _ => None,
        };
        if let Some(reason) = reason {
            let reason = reason.to_owned();
            return Err(CommandError::Conflict { reason });
        }
        self.tell(call, Event::OperatorHold { by: by.to_owned() })
            .await
    }

    async fn resume(&self, call: &CallId, by: &str) -> Result<(), CommandError> {
        self.live_status(call).await?;
        self.tell(call, Event::OperatorResume { by: by.to_owned() })
            .await
    }

    async fn initiate(&self, order: CallOrder) -> Result<Initiated, InitiateError> {
        if self.draining.is_cancelled() {
            return Err(InitiateError::Draining);
        }
        let config = &self.shared.config;
        if let Some(given) = &order.assistant
            && *given != config.assistant.name
        {
            return Err(InitiateError::UnknownAssistant {
                given: given.clone(),
                known: vec![config.assistant.name.clone()],
            });
        }
        let target = match order.to {
            CallTo::Target(target) => target,
            CallTo::National(text) => {
                Target::Number(outbound::number(&text, config.outbound.region)?)
            }
        };
        let is_acted = matches!(target, Target::Number(_)) && self.acts_numbers();
        self.check_target(&target)
            .or_else(|reason| if is_acted { Ok(()) } else { Err(reason) })
            .map_err(|reason| InitiateError::NotAllowed {
                target: target.to_string(),
                reason,
            })?;
        if let Target::Number(number) = &target {
            let wish = (order.assistant, order.customer_id);
            return self.call_number(number, wish, &order.by).await;
        }
        match &target {
            Target::Extension(extension) if !self.is_registered(extension) => {
                return Err(InitiateError::Unregistered {
                    extension: extension.to_string(),
                });
            }
            Target::Extension(_) | Target::Number(_) | Target::SipUri(_) => {}
        }
        tracing::info!(by = order.by, "call requested");
        let call = self.over_sip(target, order.assistant).await?;
        Ok(self.ringing(call))
    }

    async fn extensions(&self) -> Vec<ExtensionStatus> {
        let bindings = self.shared.sip.bindings();
        self.shared
            .config
            .extensions
            .iter()
            .map(|(extension, account)| {
                let contacts: Vec<Contact> = bindings
                    .iter()
                    .filter(|binding| binding.extension == *extension)
                    .map(|binding| Contact {
                        uri: binding.contact.clone(),
                        user_agent: Some(binding.user_agent.clone()).filter(|a| !a.is_empty()),
                        expires_at: Some(binding.expires_at),
                    })
                    .collect();
                ExtensionStatus {
                    extension: extension.to_string(),
                    display_name: account.name.clone(),
                    registered: !contacts.is_empty(),
                    contacts,
                }
            })
            .collect()
    }

    async fn trunks(&self) -> Vec<TrunkView> {
        let trunks = self.shared.sip.trunks();
        trunks.into_iter().map(trunks::view).collect()
    }

    async fn readiness(&self) -> Readiness {
        let config = &self.shared.config;
        let mut database = integration("database", IntegrationState::Ok);
        if let Some(trouble) = self.shared.store.health().await.trouble {
            database.state = IntegrationState::Degraded;
            database.cause = Some(trouble.to_string());
            database.cure = Some("the cause names it; see also the log".to_owned());
        }
        let mut notices = integration("notices", IntegrationState::Ok);
        if config.notice.ways.is_empty() {
            notices.detail = Some("the built-in inbox".to_owned());
        }
        let mut integrations = vec![database, self.speech.borrow().clone(), notices];
        integrations.extend(trunks::integrations(&self.shared.sip.trunks()));
        let calls_active = u32::try_from(self.shared.registry.len()).unwrap_or(u32::MAX);
        // A bridged call has two legs.
        let calls_max = u32::try_from(config.media.max_legs / 2).unwrap_or(u32::MAX);
        Readiness {
            ready: !self.draining.is_cancelled(),
            mode: match config.mode {
                Mode::Production => "production",
                Mode::Development => "development",
                Mode::Demo => "demo",
            }
            .to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capacity: Capacity {
                calls_active,
                calls_max,
            },
            sip: self.sip_reach(),
            integrations,
        }
    }

    fn subscribe(&self) -> broadcast::Receiver<LiveEvent> {
        self.shared.bus.subscribe()
    }
}
