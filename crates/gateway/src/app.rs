//! The whole gateway: start, run, drain. On two screens on purpose: every part is built here once
//! and handed to those that need it.

use std::sync::Arc;
use std::time::Duration;

use switchhook_adapters::twilio::Carrier;
use switchhook_adapters::webhook::{WebhookLimits, WebhookSender};
use switchhook_media::{MediaConfig, MediaEngine, Music};
use switchhook_model::Extension;
use switchhook_sip::{
    AccountSecret, Binding, ExtensionAccount, SipConfig, SipEndpoint, SipEvent, TrunkAuth,
    TrunkConfig,
};
use switchhook_store::{Access, Store, StoreOptions};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::{Bus, LiveEvent};
use crate::calls::{self, CallInput, Registry, Shared, policy};
use crate::config::{Config, TrunkSection};
use crate::notices::NoticeWorker;
use crate::speech::SpeechServer;
use crate::switchboard::Switchboard;
use crate::twilio::http::Webhooks;
use crate::wire::WireLog;
use crate::{brains, clock, laboratory, registrations, signing_key, trunks, twilio, users, voices};

/// Longest wait for running calls when the program is asked to stop.
const DRAIN: Duration = Duration::from_secs(30);
/// How long registrars may take to confirm that we are gone.
const UNREGISTER: Duration = Duration::from_secs(2);
/// How long cancelled and hung-up legs may take to confirm after that.
const SETTLE: Duration = Duration::from_secs(3);

/// Runs until `stop`. Errors are of the start only.
pub async fn run(mut config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let lab = laboratory::adopt(&mut config).await;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let config = Arc::new(config);
    std::fs::create_dir_all(&config.data.recordings).map_err(|error| {
        anyhow::anyhow!(
            "cannot create {}: {error}",
            config.data.recordings.display()
        )
    })?;
    let signing_key = signing_key::load(&config)?;
    let metrics = crate::metrics::install()?;
    let store = open_store(&config, Access::Serve).await?;
    users::seed(&store, &config).await?;

    let tasks = TaskTracker::new();
    // Cancelled last: while calls drain, they are still heard, operators can still act, notices go
    // out and signalling works.
    let last = CancellationToken::new();
    let (speech_url, is_ours) = match &config.speech.url {
        Some(url) => (url.clone(), false),
        None => {
            let server = SpeechServer::locate(&config.speech.dir)?;
            let url = server.url();
            tasks.spawn(server.supervise(last.clone()));
            laboratory::tell_speech(&config, &url);
            (url, true)
        }
    };
    let voices = voices::build(&config.speech, &speech_url, is_ours)?;

    let music = match &config.media.hold_music {
        Some(path) => Music::read(path).map_err(|error| {
            anyhow::anyhow!(
                "media.hold_music (SWITCHHOOK_HOLD_MUSIC) {}: {error}",
                path.display()
            )
        })?,
        None => Music::chime(),
    };
    let media = MediaEngine::start(MediaConfig {
        music,
        workers: config.media.workers,
        bind_ip: config.media.bind_ip,
        advertised_ip: config.media.advertised_ip,
        port_range: config.media.first_port..=config.media.last_port,
        recording_dir: config.data.recordings.clone(),
        max_legs: config.media.max_legs,
        rtp_timeout: config.media.rtp_timeout,
        no_rtp_after: config.media.one_way_audio,
        ..MediaConfig::default()
    })?;
    let bindings = registrations::load(&store).await?;
    let (sip, sip_events) = SipEndpoint::start(sip_config(&config, bindings))
        .await
        .map_err(|error| anyhow::anyhow!("sip.bind (SWITCHHOOK_SIP_BIND): {error}"))?;
    tasks.spawn(reload_on_hangup(sip.clone(), last.clone()));

    let ways = policy::ways(&config);
    let settings = twilio::Settings::of(&config, policy::call(&config).max_message_s, &signing_key);
    let rest = settings.as_ref().map(twilio::Settings::rest).transpose()?;
    let rest = rest.flatten();
    let shared = Arc::new(Shared {
        policy: policy::call(&config),
        conversation: policy::conversation(&config)?,
        endpointing: policy::endpointing(&config),
        store: store.clone(),
        media: media.clone(),
        sip: sip.clone(),
        listener: voices.listener,
        voice: voices.voice,
        brain: brains::build(&config)?,
        notices: ways.clone(),
        registry: Registry::default(),
        bus: Bus::default(),
        config: Arc::clone(&config),
    });
    shared.policy.validate()?;

    let recovered = calls::recover(&shared).await?;
    if recovered > 0 {
        tracing::warn!(
            calls = recovered,
            "calls left open by the last process were closed"
        );
    }

    let worker = NoticeWorker {
        store: store.clone(),
        ways,
        sender: Arc::new(WebhookSender::new(WebhookLimits::default())?),
        carrier: rest.clone(),
        report_url: settings.as_ref().map(|known| known.public_url.clone()),
        calls: shared.registry.clone(),
        bus: shared.bus.clone(),
    };
    let draining = CancellationToken::new();
    tasks.spawn(route_sip(Arc::clone(&shared), sip_events, last.clone()));
    tasks.spawn(trunks::measure(sip.clone(), last.clone()));

    let (webhooks, engine) = match settings {
        Some(settings) => {
            let (webhooks, engine) = carrier(&shared, settings, rest, &tasks, last.clone())?;
            (twilio::http::routes(webhooks), Some(engine))
        }
        None => (axum::Router::new(), None),
    };
    // Calls of the carrier can be told by now.
    tasks.spawn(worker.run(last.clone()));
    let board =
        Switchboard::new(Arc::clone(&shared), speech_url, draining.clone()).with_twilio(engine);
    let http =
        crate::http_server::start(&shared, board, signing_key, metrics, webhooks, last.clone())
            .await?;
    announce(&config, lab.as_deref());

    stop.cancelled().await;
    draining.cancel();
    sip.set_draining(true);
    // First, so that no PBX sends new calls here while the running ones finish.
    sip.unregister_trunks(UNREGISTER).await;
    drain(&shared).await;
    last.cancel();
    http.await??;
    sip.shutdown();
    media.shutdown();
    tasks.close();
    tasks.wait().await;
    store.close().await;
    Ok(())
}

/// The channel of calls whose audio is at Twilio.
fn carrier(
    shared: &Arc<Shared>,
    settings: twilio::Settings,
    rest: Option<Arc<dyn Carrier>>,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> anyhow::Result<(Webhooks, Arc<twilio::Engine>)> {
    let verifier = settings.verifier()?;
    let engine = twilio::Engine::new(Arc::clone(shared), settings, rest, stop)?;
    let handle = twilio::Handle(Arc::clone(&engine));
    shared.registry.also_ask(Arc::new(handle));
    tasks.spawn(Arc::clone(&engine).look_after_orphans());
    tasks.spawn(Arc::clone(&engine).fetch_recordings());
    let proxies = shared.config.http.trusted_proxies.clone();
    Ok((
        Webhooks::new(Arc::clone(&engine), verifier, proxies),
        engine,
    ))
}

/// Opens the database named by the configuration.
pub async fn open_store(config: &Config, access: Access) -> anyhow::Result<Store> {
    let data = &config.data;
    let options = StoreOptions {
        access,
        node: data.node.clone(),
        ..StoreOptions::default()
    };
    Ok(Store::open(&data.database.url(), &options).await?)
}

/// Sends every signalling event where it belongs. Never waits for a call.
async fn route_sip(
    shared: Arc<Shared>,
    mut events: mpsc::Receiver<SipEvent>,
    stop: CancellationToken,
) {
    let wire = WireLog::start(shared.store.clone(), shared.registry.clone());
    let (registrations, keeper) = keep_registrations(Arc::clone(&shared));
    loop {
        // After the stop only what is there already: the ladder of the calls just ended.
        let event = match stop.run_until_cancelled(events.recv()).await {
            Some(event) => event,
            None => events.try_recv().ok(),
        };
        let Some(event) = event else { break };
        match event {
            SipEvent::Incoming(incoming) => {
                calls::accept(&shared, *incoming);
            }
            SipEvent::Leg { leg, event } => {
                shared.registry.send_to_leg(
                    &leg,
                    CallInput::Sip {
                        leg: leg.clone(),
                        event,
                    },
                );
            }
            SipEvent::Registered {
                extension,
                bindings,
            } => {
                // Unbounded is bounded here: the registrar limits how often a phone may register.
                let _ = registrations.send((extension, bindings));
            }
            SipEvent::Unregistered {
                extension,
                bindings,
                reason,
            } => {
                tracing::info!(?reason, "registration ended");
                let _ = registrations.send((extension, bindings));
            }
            SipEvent::TrunkChanged(status) => trunks::log(&status),
            SipEvent::WireMessage(message) => wire.keep(*message),
            SipEvent::OrphanEnded { leg, outcome } => {
                tracing::info!(leg.id = %leg, ?outcome, "a leg of before the restart is over");
            }
        }
    }
    // The store is closed after this task's end.
    drop(registrations);
    if keeper.await.is_err() {
        tracing::error!("the writer of registrations had a fault");
    }
    wire.close().await;
}

/// Stores registrations one after the other: of two changes the later one stays.
fn keep_registrations(
    shared: Arc<Shared>,
) -> (
    mpsc::UnboundedSender<(Extension, Vec<Binding>)>,
    JoinHandle<()>,
) {
    let (sender, mut changes) = mpsc::unbounded_channel::<(Extension, Vec<Binding>)>();
    let keeper = tokio::spawn(async move {
        while let Some((extension, bindings)) = changes.recv().await {
            if let Err(error) = registrations::keep(&shared.store, &extension, bindings).await {
                tracing::error!(%error, "a registration could not be stored");
            }
            let changed = LiveEvent::Extensions(Arc::new(extension.to_string().into()));
            shared.bus.send(changed);
        }
    });
    (sender, keeper)
}

/// SIGHUP: certificates are read again at once. (Changed files are noticed by themselves, too.)
async fn reload_on_hangup(sip: SipEndpoint, stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        tracing::warn!("SIGHUP cannot be received: certificates are read again when they change");
        return;
    };
    while let Some(Some(())) = stop.run_until_cancelled(hangup.recv()).await {
        let sip = sip.clone();
        // Files may lie on a slow disk.
        match tokio::task::spawn_blocking(move || sip.reload_tls()).await {
            Ok(Ok(())) => tracing::info!("TLS certificates read again"),
            Ok(Err(error)) => tracing::error!(%error, "the old TLS certificates stay in use"),
            Err(error) => tracing::error!(%error, "TLS certificates not read"),
        }
    }
}

/// Lets running calls finish for a while, then ends them in order.
async fn drain(shared: &Shared) {
    let running = shared.registry.len();
    if running == 0 {
        return;
    }
    tracing::info!(
        calls = running,
        limit_s = DRAIN.as_secs(),
        "waiting for running calls"
    );
    if shared.registry.wait_empty(DRAIN).await {
        return;
    }
    shared
        .registry
        .send_all(&switchhook_call::Event::ShuttingDown);
    if !shared.registry.wait_empty(SETTLE).await {
        tracing::warn!(
            calls = shared.registry.len(),
            "calls are closed at the next start"
        );
    }
}

pub(crate) fn sip_config(config: &Config, bindings: Vec<Binding>) -> SipConfig {
    let mut sip = SipConfig::new(config.sip.bind, Arc::new(calls::new_leg_id));
    sip.user_agent = concat!("Switchhook/", env!("CARGO_PKG_VERSION")).to_owned();
    sip.realm.clone_from(&config.sip.realm);
    sip.udp.extend(&config.sip.network.listen);
    sip.tcp.extend(&config.sip.network.listen);
    sip.advertised.clone_from(&config.sip.network.advertised);
    sip.tls = config.sip.network.tls.clone();
    sip.dns.servers.clone_from(&config.sip.network.dns_servers);
    sip.digest.clone_from(&config.sip.digest);
    sip.session_timer = config.sip.session_timer;
    sip.reliable_provisionals = config.sip.reliable_provisionals;
    sip.advertised_ip =
        (config.media.advertised_ip != config.sip.bind.ip()).then_some(config.media.advertised_ip);
    if config.sip.bind.ip().is_unspecified() {
        sip.domain = config.media.advertised_ip.to_string();
    }
    sip.allow_loopback_guests = config.sip.loopback_guests;
    sip.initial_bindings = bindings;
    sip.limits.max_legs = config.media.max_legs;
    sip.limits.calls_per_s = config.sip.network.calls_per_s;
    sip.limits.source_calls = config.sip.network.source_calls;
    sip.limits.max_unproven = config.sip.network.max_unproven;
    sip.proxies.clone_from(&config.sip.network.proxies);
    sip.limits.max_redirects = config.outbound.max_redirects;
    sip.extensions = config
        .extensions
        .iter()
        .map(|(extension, account)| ExtensionAccount {
            extension: extension.clone(),
            secret: AccountSecret::Password(account.password.expose().to_owned()),
        })
        .collect();
    sip.trunks = config
        .trunks
        .iter()
        .map(|(name, trunk)| trunk_config(name, trunk))
        .collect();
    sip
}

fn trunk_config(name: &str, section: &TrunkSection) -> TrunkConfig {
    let mut trunk = TrunkConfig::new(name);
    trunk.addresses.clone_from(&section.addresses);
    trunk.calls = section.calls;
    trunk.inbound_auth = section.inbound.as_ref().map(|(user, password)| TrunkAuth {
        user: user.clone(),
        password: password.expose().to_owned(),
    });
    trunk.termination.clone_from(&section.termination);
    trunk.transport = section.transport;
    trunk.auth = section.username.as_ref().map(|user| TrunkAuth {
        user: user.clone(),
        password: section
            .password
            .as_ref()
            .map(|p| p.expose().to_owned())
            .unwrap_or_default(),
    });
    trunk.from_user.clone_from(&section.from_user);
    trunk.from_domain.clone_from(&section.from_domain);
    trunk.caller_id = section.caller_id.as_ref().map(ToString::to_string);
    trunk.qualify_every = section.watch.qualify_every;
    trunk.skip_when_down = section.watch.skip_when_down;
    trunk.registration.clone_from(&section.watch.registration);
    trunk
}

/// What somebody who just started the program wants to know.
fn announce(config: &Config, lab: Option<&str>) {
    use crate::config::Mode;
    tracing::info!(http = %config.http.bind, sip = %config.sip.bind, profile = config.profile, started_at = %clock::now(), "ready");
    if config.mode == Mode::Demo {
        crate::cli::show_demo(config, lab);
    }
}
