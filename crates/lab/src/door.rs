//! A door before a gateway's HTTP, for tests that end the gateway between two requests, or within one.
//!
//! What comes is passed on, websockets included; to several gateways in turn, and past one that does not
//! listen. Requests of one visitor (a call, say) are counted; behind
//! the one that was asked for, everybody waits until the door is opened again. The answer to that one is
//! given, or it is kept: then the gateway has done what it was asked, and nobody learns of it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longest request that is passed on.
const MAX_REQUEST: usize = 1 << 20;

/// A request before it is passed on.
#[derive(Debug, Clone)]
pub struct Knock {
    /// Path and query.
    pub target: String,
    /// Of the form, then of the query.
    pub params: Vec<(String, String)>,
}

impl Knock {
    /// The first parameter with that name.
    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The path alone.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// Where a visitor is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Behind the answer to the request of this number, counted from 1.
    Answered(usize),
    /// Before the answer to it: the gateway has given it, and nobody gets it.
    Unanswered(usize),
}

impl Stop {
    fn nth(self) -> usize {
        match self {
            Self::Answered(nth) | Self::Unanswered(nth) => nth,
        }
    }
}

#[derive(Debug, Default)]
struct Visitor {
    stop: Option<Stop>,
    begun: usize,
    /// The request at which it is stopped was answered.
    has_stopped: bool,
}

type Names = Box<dyn Fn(&Knock) -> Option<String> + Send + Sync>;

struct Inner {
    gateways: Vec<SocketAddr>,
    /// Requests passed on to each.
    taken: Vec<AtomicUsize>,
    turn: AtomicUsize,
    names: Mutex<Names>,
    visitors: Mutex<HashMap<String, Visitor>>,
    changed: watch::Sender<u64>,
}

/// An open door on a loopback port; it ends when dropped.
pub struct Door {
    inner: Arc<Inner>,
    address: SocketAddr,
    _stop: DropGuard,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Door({} to {:?})", self.address, self.inner.gateways)
    }
}

/// A lock whose holder may have panicked.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Door {
    /// Before gateways that listen, or will listen, there.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn open(gateways: Vec<SocketAddr>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let inner = Arc::new(Inner {
            taken: gateways.iter().map(|_| AtomicUsize::new(0)).collect(),
            gateways,
            turn: AtomicUsize::new(0),
            names: Mutex::new(Box::new(|_| None)),
            visitors: Mutex::default(),
            changed: watch::Sender::new(0),
        });
        let stop = CancellationToken::new();
        let (door, stopped) = (Arc::clone(&inner), stop.clone());
        crate::runtime().spawn(async move {
            while let Some(Ok((socket, _))) = stopped.run_until_cancelled(listener.accept()).await {
                let (door, stopped) = (Arc::clone(&door), stopped.clone());
                tokio::spawn(async move {
                    // Whoever knocks sees a broken connection.
                    let _ = stopped.run_until_cancelled(door.pass(socket)).await;
                });
            }
        });
        Ok(Self {
            inner,
            address,
            _stop: stop.drop_guard(),
        })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How visitors are told apart; whoever has no name is always let in.
    pub fn tells_apart_by(
        &self,
        names: impl Fn(&Knock) -> Option<String> + Send + Sync + 'static,
    ) -> &Self {
        *lock(&self.inner.names) = Box::new(names);
        self
    }

    /// Stops a visitor, who is counted from now on.
    pub fn stops(&self, name: &str, stop: Stop) -> &Self {
        let visitor = Visitor {
            stop: Some(stop),
            ..Visitor::default()
        };
        lock(&self.inner.visitors).insert(name.to_owned(), visitor);
        self
    }

    /// Requests passed on to each gateway so far.
    pub fn taken(&self) -> Vec<usize> {
        let each = self.inner.taken.iter();
        each.map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Requests of a visitor so far, those that wait included.
    pub fn count(&self, name: &str) -> usize {
        lock(&self.inner.visitors).get(name).map_or(0, |v| v.begun)
    }

    /// Whether a visitor was stopped.
    pub fn has_stopped(&self, name: &str) -> bool {
        let visitors = lock(&self.inner.visitors);
        visitors.get(name).is_some_and(|v| v.has_stopped)
    }

    /// Waits until something is true, looking whenever something happens at the door and now and then.
    pub async fn until(&self, limit: Duration, mut look: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + limit;
        let mut changed = self.inner.changed.subscribe();
        while Instant::now() < deadline {
            changed.borrow_and_update();
            if look() {
                return true;
            }
            let soon = (Instant::now() + Duration::from_millis(100)).min(deadline);
            // Neither a change nor its absence matters: it is looked again.
            let _ = timeout_at(soon, changed.changed()).await;
        }
        look()
    }

    /// Answers that were kept never come; whoever waits is let in. Nobody is stopped any more.
    pub fn opens(&self) -> &Self {
        for visitor in lock(&self.inner.visitors).values_mut() {
            visitor.stop = None;
        }
        self.inner.beat();
        self
    }
}

impl Inner {
    fn beat(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Counts a request; its number if it is the one at which its visitor is stopped.
    fn count(&self, name: &str) -> usize {
        let mut visitors = lock(&self.visitors);
        let visitor = visitors.entry(name.to_owned()).or_default();
        visitor.begun += 1;
        visitor.begun
    }

    fn stop(&self, name: &str) -> Option<Stop> {
        lock(&self.visitors).get(name).and_then(|v| v.stop)
    }

    fn stopped(&self, name: &str) {
        if let Some(visitor) = lock(&self.visitors).get_mut(name) {
            visitor.has_stopped = true;
        }
        self.beat();
    }

    /// To the gateway whose turn it is, or the next one that listens.
    async fn connect(&self) -> io::Result<TcpStream> {
        let count = self.gateways.len();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut refused = io::Error::from(io::ErrorKind::NotConnected);
        for at in (0..count).map(|n| (turn + n) % count) {
            match TcpStream::connect(self.gateways[at]).await {
                Ok(socket) => {
                    self.taken[at].fetch_add(1, Ordering::Relaxed);
                    return Ok(socket);
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Until the visitor is stopped nowhere, or not before its request of that number.
    async fn let_in(&self, name: &str, number: usize) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if self.stop(name).is_none_or(|stop| number <= stop.nth()) {
                return;
            }
            // The sender lives as long as this.
            let _ = changed.changed().await;
        }
    }

    async fn pass(&self, mut guest: TcpStream) -> io::Result<()> {
        let Some((head, body)) = request(&mut guest).await? else {
            return Ok(());
        };
        let knock = knock(&head, &body);
        let name = (lock(&self.names))(&knock);
        let number = name.as_deref().map_or(0, |name| self.count(name));
        self.beat();
        if let Some(name) = &name {
            self.let_in(name, number).await;
        }
        let stop = name.as_deref().and_then(|name| self.stop(name));
        let mut gateway = self.connect().await?;
        let is_upgrade = header(&head, "upgrade").is_some();
        gateway
            .write_all(last_request(&head, is_upgrade).as_bytes())
            .await?;
        gateway.write_all(&body).await?;
        if is_upgrade {
            tokio::io::copy_bidirectional(&mut guest, &mut gateway).await?;
            return Ok(());
        }
        let mut answer = Vec::new();
        gateway.read_to_end(&mut answer).await?;
        let Some(name) = name.filter(|_| !answer.is_empty()) else {
            return guest.write_all(&answer).await;
        };
        match stop.filter(|stop| stop.nth() == number) {
            Some(Stop::Unanswered(_)) => {
                self.stopped(&name);
                self.let_in(&name, number + 1).await;
            }
            Some(Stop::Answered(_)) => {
                guest.write_all(&answer).await?;
                self.stopped(&name);
            }
            None => guest.write_all(&answer).await?,
        }
        Ok(())
    }
}

/// Head and body of the connection's first request; nothing if there is none.
async fn request(guest: &mut TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if bytes.len() > MAX_REQUEST || guest.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let mut body = bytes.split_off(end);
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let length: usize = header(&head, "content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    while body.len() < length.min(MAX_REQUEST) {
        if guest.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some((head, body)))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The head, with the connection's end behind the answer: nothing comes after it.
fn last_request(head: &str, is_upgrade: bool) -> String {
    if is_upgrade {
        return head.to_owned();
    }
    let mut lines: Vec<&str> = head.trim_end().lines().collect();
    lines.retain(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n"))
}

fn knock(head: &str, body: &[u8]) -> Knock {
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let form = url::form_urlencoded::parse(body);
    let params = form
        .chain(url::form_urlencoded::parse(query.as_bytes()))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    Knock { target, params }
}

#[cfg(test)]
mod tests {
    use super::*;
    const SOON: Duration = Duration::from_secs(20);

    async fn ask(door: &Door, path: &str) -> Result<String, reqwest::Error> {
        let url = format!("http://{}{path}", door.address());
        let client = crate::transcribe::http_client();
        client.post(url).body("who=anna").send().await?.text().await
    }

    #[tokio::test]
    async fn a_visitor_is_stopped_at_its_nth_request_and_no_other() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let answer = move || async move { count.fetch_add(1, Ordering::SeqCst).to_string() };
        let router = axum::Router::new().fallback(answer);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (gateway, _stop) = crate::providers::serve(any, router).await.unwrap();
        let door = Door::open(vec![gateway]).await.unwrap();
        door.tells_apart_by(|knock| {
            let name = knock.param("who")?.to_owned();
            (knock.path() != "/free").then_some(name)
        });
        door.stops("anna", Stop::Answered(2));
        assert_eq!(ask(&door, "/a").await.unwrap(), "0");
        assert!(!door.has_stopped("anna"));
        assert_eq!(ask(&door, "/b?x=1").await.unwrap(), "1");
        assert!(door.until(SOON, || door.has_stopped("anna")).await);
        let third = async { ask(&door, "/c").await };
        let others = async {
            assert!(door.until(SOON, || door.count("anna") == 3).await);
            assert_eq!(ask(&door, "/free").await.unwrap(), "2");
            door.opens();
        };
        let (third, ()) = tokio::join!(third, others);
        assert_eq!(third.unwrap(), "3");
        // Done, and nobody learns of it.
        door.stops("anna", Stop::Unanswered(1));
        let kept = async { ask(&door, "/d").await };
        let opened = async {
            assert!(door.until(SOON, || door.has_stopped("anna")).await);
            assert_eq!(asked.load(Ordering::SeqCst), 5);
            door.opens();
        };
        let (kept, ()) = tokio::join!(kept, opened);
        assert!(kept.is_err(), "{kept:?}");
    }

    #[tokio::test]
    async fn gateways_take_turns_and_one_that_is_gone_is_passed_over() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let named = |name: &'static str| axum::Router::new().fallback(move || async move { name });
        let (a, _stop) = crate::providers::serve(any, named("a")).await.unwrap();
        let (b, stop) = crate::providers::serve(any, named("b")).await.unwrap();
        let door = Door::open(vec![a, b]).await.unwrap();
        let mut answers = Vec::new();
        for _ in 0..3 {
            answers.push(ask(&door, "/").await.unwrap());
        }
        assert_eq!(answers, ["a", "b", "a"]);
        drop(stop);
        let is_gone = || std::net::TcpStream::connect(b).is_err();
        assert!(door.until(SOON, is_gone).await);
        assert_eq!(ask(&door, "/").await.unwrap(), "a");
        assert_eq!(door.taken(), [3, 1]);
    }
}
