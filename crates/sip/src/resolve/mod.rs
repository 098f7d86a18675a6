//! From a host to addresses (RFC 3263): NAPTR, SRV, then address records or /etc/hosts. Answers are
//! kept as long as they live; failures and addresses that failed are remembered for a while, so that
//! no call waits for the same silence twice. Hosts of trunks are looked up ahead of time.

mod select;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver as Dns, TokioResolver};
use tokio::time::Instant;

use crate::config::SipTransport;
use crate::core::Core;
use crate::transport::Target;
use crate::uri::SipUri;
use select::{Naptr, Service, in_order, service_name, usable};

/// How names are looked up.
#[derive(Debug, Clone)]
pub struct DnsConfig {
    /// Name servers; empty: those of the system (`/etc/resolv.conf`).
    pub servers: Vec<SocketAddr>,
    /// How long one question may take before it is asked again, once.
    pub timeout: Duration,
    /// How long a name that was not found is not asked for again.
    pub negative_ttl: Duration,
    /// Answers are kept at least and at most this long, whatever they say.
    pub min_ttl: Duration,
    pub max_ttl: Duration,
    /// How long an address that failed is tried last.
    pub rest: Duration,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Duration::from_secs(2),
            negative_ttl: Duration::from_secs(30),
            min_ttl: Duration::from_secs(5),
            max_ttl: Duration::from_secs(3_600),
            rest: Duration::from_secs(30),
        }
    }
}

/// Names and addresses we remember something about.
const MAX_ANSWERS: usize = 1_024;
const MAX_RESTING: usize = 4_096;

/// Targets one dial tries at most.
const MAX_TARGETS: usize = 16;

/// Longest look-up as a whole.
const DEADLINE: Duration = Duration::from_secs(8);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub host: String,
    pub port: Option<u16>,
    /// None: NAPTR decides, else UDP.
    pub transport: Option<SipTransport>,
    /// `sips:`.
    pub secure: bool,
}

impl Question {
    pub(crate) fn of(uri: &SipUri, transport: Option<SipTransport>) -> Self {
        Self {
            host: uri.host.to_ascii_lowercase(),
            port: uri.port,
            transport,
            secure: uri.secure,
        }
    }
}

#[derive(Clone)]
enum Answer {
    Found(Vec<Service>),
    Nothing(String),
}

struct Kept {
    answer: Answer,
    until: Instant,
}

/// A look-up that came to nothing, for people.
pub(crate) type Cause = String;

/// The look-up and what it remembers.
pub(crate) struct Resolver {
    config: DnsConfig,
    dns: Option<TokioResolver>,
    answers: Mutex<HashMap<Question, Kept>>,
    resting: Mutex<HashMap<(SipTransport, SocketAddr), Instant>>,
}

impl Resolver {
    pub(crate) fn new(config: DnsConfig) -> Self {
        let dns = build(&config);
        Self {
            config,
            dns,
            answers: Mutex::default(),
            resting: Mutex::default(),
        }
    }

    /// What is known without asking: targets in the order to try them, or why there are none.
    pub(crate) fn known(&self, question: &Question) -> Option<Result<Vec<Target>, Cause>> {
        if let Ok(ip) = question.host.parse::<IpAddr>() {
            return Some(Ok(vec![self.literal(question, ip)]));
        }
        let answers = lock(&self.answers);
        let kept = answers
            .get(question)
            .filter(|kept| kept.until > Instant::now())?;
        Some(match &kept.answer {
            Answer::Found(services) => Ok(self.targets(question, services.clone())),
            Answer::Nothing(cause) => Err(cause.clone()),
        })
    }

    /// Asks unless it is known.
    pub(crate) async fn look_up(&self, question: &Question) -> Result<Vec<Target>, Cause> {
        if let Some(known) = self.known(question) {
            return known;
        }
        match self.refresh(question).await.0 {
            Answer::Found(services) => Ok(self.targets(question, services)),
            Answer::Nothing(cause) => Err(cause),
        }
    }

    /// Asks and remembers; says how long the answer lives.
    async fn refresh(&self, question: &Question) -> (Answer, Instant) {
        let asked = tokio::time::timeout(DEADLINE, self.ask(question)).await;
        let now = Instant::now();
        let (answer, until) = match asked {
            Ok(Ok((services, until))) => {
                let until = until.clamp(now + self.config.min_ttl, now + self.config.max_ttl);
                (Answer::Found(services), until)
            }
            Ok(Err(cause)) => self.after_failure(question, cause, now),
            Err(_) => self.after_failure(question, "no answer from DNS in time".to_owned(), now),
        };
        let mut answers = lock(&self.answers);
        if answers.len() >= MAX_ANSWERS {
            answers.retain(|_, kept| kept.until > now);
            if answers.len() >= MAX_ANSWERS {
                answers.clear();
            }
        }
        let kept = Kept {
            answer: answer.clone(),
            until,
        };
        answers.insert(question.clone(), kept);
        (answer, until)
    }

    /// An old answer is better than none while DNS fails (RFC 8767).
    fn after_failure(&self, question: &Question, cause: Cause, now: Instant) -> (Answer, Instant) {
        let until = now + self.config.negative_ttl;
        let answers = lock(&self.answers);
        match answers.get(question).map(|kept| &kept.answer) {
            Some(Answer::Found(services)) => (Answer::Found(services.clone()), until),
            Some(Answer::Nothing(_)) | None => (Answer::Nothing(cause), until),
        }
    }

    /// The address failed: it is tried last for a while.
    pub(crate) fn rest(&self, target: &Target, at_least: Option<Duration>) {
        let now = Instant::now();
        let pause = at_least
            .unwrap_or(self.config.rest)
            .min(Duration::from_secs(600));
        let mut resting = lock(&self.resting);
        if resting.len() >= MAX_RESTING {
            resting.retain(|_, until| *until > now);
        }
        if resting.len() < MAX_RESTING {
            resting.insert((target.transport, target.address), now + pause);
        }
    }

    /// The address answered.
    pub(crate) fn awake(&self, target: &Target) {
        lock(&self.resting).remove(&(target.transport, target.address));
    }

    pub(crate) fn is_resting(&self, target: &Target) -> bool {
        lock(&self.resting)
            .get(&(target.transport, target.address))
            .is_some_and(|until| *until > Instant::now())
    }

    fn literal(&self, question: &Question, ip: IpAddr) -> Target {
        let transport = question.transport.unwrap_or(if question.secure {
            SipTransport::Tls
        } else {
            SipTransport::Udp
        });
        let port = question.port.unwrap_or(transport.default_port());
        named(question, transport, SocketAddr::new(ip, port))
    }

    fn targets(&self, question: &Question, services: Vec<Service>) -> Vec<Target> {
        let drawn = in_order(services, |sum| rand::random_range(0..=sum));
        let mut targets = Vec::new();
        for service in drawn {
            for ip in service.addresses {
                let address = SocketAddr::new(ip, service.port);
                let target = named(question, service.transport, address);
                if !targets.contains(&target) && targets.len() < MAX_TARGETS {
                    targets.push(target);
                }
            }
        }
        // A stable sort: order stays among those that work and among those that did not.
        targets.sort_by_cached_key(|target| self.is_resting(target));
        targets
    }

    async fn ask(&self, question: &Question) -> Result<(Vec<Service>, Instant), Cause> {
        let Some(dns) = &self.dns else {
            return Err("no name server is configured".to_owned());
        };
        let mut until = Instant::now() + self.config.max_ttl;
        let secure = question.secure || question.transport == Some(SipTransport::Tls);
        let default = question.transport.unwrap_or(if secure {
            SipTransport::Tls
        } else {
            SipTransport::Udp
        });
        if let Some(port) = question.port {
            let addresses = addresses(dns, &question.host, &mut until).await?;
            return Ok((vec![plain(default, port, addresses)], until));
        }
        let names = match question.transport {
            Some(transport) => service_name(transport, &question.host)
                .map(|name| (transport, name))
                .into_iter()
                .collect(),
            None => {
                let records = naptr(dns, &question.host, &mut until).await;
                let mut names = usable(records, secure);
                if names.is_empty() {
                    names.extend(service_name(default, &question.host).map(|n| (default, n)));
                }
                names
            }
        };
        let mut services = Vec::new();
        for (rank, (transport, name)) in names.into_iter().enumerate() {
            let rank = u16::try_from(rank).unwrap_or(u16::MAX);
            for (record, host) in srv(dns, &name, &mut until).await {
                // A target of "." says that the service is not there (RFC 2782).
                let Ok(addresses) = addresses(dns, &host, &mut until).await else {
                    continue;
                };
                services.push(Service {
                    transport,
                    // NAPTR's order comes before the priority within each service.
                    priority: record.0.saturating_add(rank.saturating_mul(4_096)),
                    weight: record.1,
                    port: record.2,
                    addresses,
                });
            }
        }
        if services.is_empty() {
            let addresses = addresses(dns, &question.host, &mut until).await?;
            services.push(plain(default, default.default_port(), addresses));
        }
        Ok((services, until))
    }
}

fn plain(transport: SipTransport, port: u16, addresses: Vec<IpAddr>) -> Service {
    Service {
        transport,
        priority: 0,
        weight: 0,
        port,
        addresses,
    }
}

/// The certificate must be for the domain that was asked for, not for the server's own name
/// (RFC 5922 §4).
fn named(question: &Question, transport: SipTransport, address: SocketAddr) -> Target {
    Target {
        transport,
        address,
        name: (transport == SipTransport::Tls).then(|| question.host.clone()),
    }
}

fn build(config: &DnsConfig) -> Option<TokioResolver> {
    let builder = if config.servers.is_empty() {
        TokioResolver::builder_tokio()
            .inspect_err(|error| tracing::warn!(%error, "the system's name servers are not known"))
            .unwrap_or_else(|_| {
                // /etc/hosts still holds.
                let nobody = ResolverConfig::from_name_servers(Vec::new());
                Dns::builder_with_config(nobody, TokioRuntimeProvider::default())
            })
    } else {
        let servers = config.servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()]
                .into_iter()
                .map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
            NameServerConfig::new(server.ip(), true, connections.collect())
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        Dns::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let mut options = ResolverOpts::default();
    options.timeout = config.timeout;
    options.attempts = 1;
    options.use_hosts_file = ResolveHosts::Always;
    // What is kept, and for how long, is decided here.
    options.cache_size = 0;
    options.ip_strategy = hickory_resolver::config::LookupIpStrategy::Ipv4AndIpv6;
    builder
        .with_options(options)
        .build()
        .inspect_err(|error| tracing::error!(%error, "names cannot be looked up"))
        .ok()
}

async fn addresses(
    dns: &TokioResolver,
    host: &str,
    until: &mut Instant,
) -> Result<Vec<IpAddr>, Cause> {
    if let Ok(ip) = host.trim_end_matches('.').parse::<IpAddr>() {
        return Ok(vec![ip]);
    }
    let found = dns
        .lookup_ip(host)
        .await
        .map_err(|error| error.to_string())?;
    *until = (*until).min(found.valid_until().into());
    let addresses: Vec<IpAddr> = found.iter().collect();
    if addresses.is_empty() {
        return Err("no address".to_owned());
    }
    Ok(addresses)
}

/// Priority, weight and port, with the host. None at all is no error: then the host itself serves.
async fn srv(
    dns: &TokioResolver,
    name: &str,
    until: &mut Instant,
) -> Vec<((u16, u16, u16), String)> {
    let found = match dns.lookup(name, RecordType::SRV).await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(name, %error, "no service records");
            return Vec::new();
        }
    };
    *until = (*until).min(found.valid_until().into());
    let records = found
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) if !srv.target.is_root() => {
                Some(((srv.priority, srv.weight, srv.port), srv.target.to_string()))
            }
            _ => None,
        });
    records.take(MAX_TARGETS).collect()
}

async fn naptr(dns: &TokioResolver, host: &str, until: &mut Instant) -> Vec<Naptr> {
    let Ok(found) = dns.lookup(host, RecordType::NAPTR).await else {
        return Vec::new();
    };
    *until = (*until).min(found.valid_until().into());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let records = found
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::NAPTR(naptr) => Some(Naptr {
                order: naptr.order,
                preference: naptr.preference,
                flags: text(&naptr.flags),
                service: text(&naptr.services),
                replacement: naptr.replacement.to_string(),
            }),
            _ => None,
        });
    records.take(MAX_TARGETS).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    /// Keeps the answers for all trunks fresh, so that no call waits for them.
    pub(crate) fn prefetch(self: &Arc<Self>) {
        for question in self.trunk_questions() {
            let core = self.clone();
            tokio::spawn(async move {
                loop {
                    let (answer, until) = core.resolver.refresh(&question).await;
                    if let Answer::Nothing(cause) = answer {
                        tracing::warn!(host = question.host, cause, "trunk host not found");
                    }
                    let left = until.saturating_duration_since(Instant::now());
                    // Before it ends, so that there always is one.
                    let pause = (left * 4 / 5).max(Duration::from_millis(100));
                    tokio::select! {
                        () = core.stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            });
        }
    }

    fn trunk_questions(&self) -> Vec<Question> {
        let trunks = self.config.trunks.iter();
        let mut questions: Vec<Question> = trunks
            .filter_map(|trunk| {
                let termination = trunk.termination.as_deref()?;
                let uri = SipUri::parse(&format!("sip:{termination}")).ok()?;
                let transport = crate::dial::transport_of(&uri, Some(trunk.transport)).ok()?;
                uri.ip().is_none().then(|| Question::of(&uri, transport))
            })
            .collect();
        questions.dedup();
        questions
    }

    /// Targets we have a listener for.
    pub(crate) fn reachable(&self, targets: Vec<Target>) -> Vec<Target> {
        let fits = |target: &Target| self.hub.sent_by(target.transport, target.address).is_ok();
        targets.into_iter().filter(fits).collect()
    }
}
