//! What all parts of the carrier share: configuration, the calls, the log, and small tools.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::CallSeen;
use super::conferences::Conference;
use super::config::{CarrierConfig, Faults, Number, RestFault};
use super::leg::{Control, Leg, Status};
use super::log::{CarrierLog, Problem, Pulse, lock};
use super::messages::{Message, MessageFate};
use super::people::phone::PhoneState;
use super::recordings::Recording;
use super::stream::StreamSeen;
use super::trunk::Trunk;
use super::webhooks::Ask;

/// Everything that changes.
pub(super) struct State {
    pub numbers: Vec<Number>,
    pub legs: Vec<Arc<Leg>>,
    pub conferences: Vec<Arc<Conference>>,
    pub recordings: Vec<Recording>,
    pub streams: Vec<StreamSeen>,
    pub messages: Vec<Message>,
    pub fates: HashMap<String, MessageFate>,
    /// Who has written within 24 hours.
    pub windows: BTreeSet<String>,
    pub phones: BTreeMap<String, Arc<Mutex<PhoneState>>>,
    /// When the next queued call may begin.
    pub next_call: Option<Instant>,
}

pub(super) struct Shared {
    pub config: CarrierConfig,
    pub pulse: Arc<Pulse>,
    pub faults: Mutex<Faults>,
    pub rest_faults: Mutex<VecDeque<RestFault>>,
    /// The carrier was dropped.
    stopped: AtomicBool,
    /// Whose turn it is behind a public origin.
    pub turn: AtomicUsize,
    /// How many webhooks have begun, and how many may.
    allowance: Mutex<(usize, Option<usize>)>,
    /// How much is under way that is not a call.
    busy: AtomicUsize,
    address: OnceLock<SocketAddr>,
    trunk: OnceLock<Trunk>,
    log: Mutex<CarrierLog>,
    state: Mutex<State>,
}

/// Something is under way as long as this lives.
pub(super) struct Busy(Arc<Shared>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
        self.0.pulse.beat();
    }
}

impl Shared {
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::SeqCst);
        Busy(Arc::clone(self))
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::SeqCst) > 0
    }

    /// No more webhooks begin than this.
    pub(super) fn allow(&self, webhooks: Option<usize>) {
        lock(&self.allowance).1 = webhooks;
        self.pulse.beat();
    }

    /// Ends every call without telling anybody.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        let legs = self.state().legs.clone();
        for leg in legs {
            leg.tell(Control::HangUp(Status::Completed));
        }
        self.pulse.beat();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Waits until a webhook may begin.
    pub(super) async fn may_ask(&self) {
        let may = || {
            if self.is_stopped() {
                return Some(());
            }
            let mut allowance = lock(&self.allowance);
            let may = allowance.1.is_none_or(|most| allowance.0 < most);
            may.then(|| allowance.0 += 1)
        };
        self.pulse.when(may).await;
    }

    /// A task beside the calls, which nobody's hang-up ends: a request that was begun is finished.
    pub(super) fn beside<F>(self: &Arc<Self>, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let busy = self.busy();
        spawn(async move {
            let output = task.await;
            drop(busy);
            output
        })
    }

    /// Makes a request beside the calls, whose answer has no effect.
    pub(super) fn notify_beside(self: &Arc<Self>, ask: Ask) {
        let shared = Arc::clone(self);
        self.beside(async move { shared.notify(ask).await });
    }

    pub(super) fn new(config: CarrierConfig) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                numbers: config.numbers.clone(),
                legs: Vec::new(),
                conferences: Vec::new(),
                recordings: Vec::new(),
                streams: Vec::new(),
                messages: Vec::new(),
                fates: HashMap::new(),
                windows: BTreeSet::new(),
                phones: BTreeMap::new(),
                next_call: None,
            }),
            config,
            pulse: Arc::new(Pulse::new()),
            faults: Mutex::default(),
            rest_faults: Mutex::default(),
            stopped: AtomicBool::new(false),
            turn: AtomicUsize::new(0),
            allowance: Mutex::default(),
            busy: AtomicUsize::new(0),
            address: OnceLock::new(),
            trunk: OnceLock::new(),
            log: Mutex::default(),
        })
    }

    pub(super) fn listens_at(&self, address: SocketAddr) {
        // Said once, by whoever starts it.
        let _ = self.address.set(address);
    }

    pub(super) fn runs_trunk(&self, trunk: Trunk) {
        // Said once, by whoever starts it.
        let _ = self.trunk.set(trunk);
    }

    pub(super) fn trunk(&self) -> Option<&Trunk> {
        self.trunk.get()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address.get().copied().unwrap_or(self.config.bind)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn log(&self) -> MutexGuard<'_, CarrierLog> {
        lock(&self.log)
    }

    /// Notes something for the debugger.
    pub(super) fn problem(&self, code: u32, call_sid: &str, text: String) {
        self.log().problems.push(Problem {
            code,
            call_sid: call_sid.to_owned(),
            text,
        });
        self.pulse.beat();
    }

    pub(super) fn leg(&self, sid: &str) -> Option<Arc<Leg>> {
        self.state().legs.iter().find(|l| l.sid == sid).cloned()
    }

    /// Whether a number is owned or verified.
    pub(super) fn may_call_as(&self, number: &str) -> bool {
        self.config.verified.iter().any(|v| v == number)
            || self.state().numbers.iter().any(|n| n.number == number)
    }
}

/// What REST shows of a leg.
pub(super) fn seen(leg: &Leg) -> CallSeen {
    let state = leg.state();
    CallSeen {
        sid: leg.sid.clone(),
        parent: leg.parent.clone(),
        direction: leg.direction.as_str().to_owned(),
        from: leg.from.clone(),
        to: leg.to.clone(),
        status: super::rest::calls::shown(state.status).to_owned(),
        answered_by: state.detection.map(|d| d.answered_by.to_owned()),
    }
}

/// A made-up sid: a prefix and 32 hexadecimal digits.
pub(super) fn sid(prefix: &str) -> String {
    format!("{prefix}{:032x}", rand::random::<u128>())
}

/// Dates of the API and of webhooks: RFC 2822 in GMT.
pub(super) fn rfc2822(at: Timestamp) -> String {
    let zoned = at.to_zoned(TimeZone::UTC);
    jiff::fmt::rfc2822::to_string(&zoned).unwrap_or_default()
}

/// A task on the lab's runtime.
pub(super) fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    crate::runtime().spawn(task)
}

/// An HTTP client that follows nothing by itself and waits this long for a connection.
pub(super) fn client(connect: Duration) -> reqwest::Client {
    static CLIENTS: OnceLock<Mutex<HashMap<Duration, reqwest::Client>>> = OnceLock::new();
    let mut clients = lock(CLIENTS.get_or_init(Mutex::default));
    let made = clients.entry(connect).or_insert_with(|| {
        // Somebody else having installed one is just as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .no_proxy()
            // A connection kept open would hide that the application was restarted.
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(connect)
            .build()
            .expect("a client without special settings can be built")
    });
    made.clone()
}
