//! Signed webhooks of the Twilio channel, each answered after its step is in the database: how many
//! a core takes, how long they wait at half of that, and whether anything that was answered is
//! missing after `kill -9`.
//!
//! A call here is six webhooks: it comes in, the caller speaks four times (the demo's scripted
//! assistant answers each time), and the carrier reports the end. The database is SQLite in a file,
//! with a flush before each answer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use switchhook_media::bench_io::pin_to_core;
use switchhook_store::{Store, StoreOptions};

use super::Setting;
use crate::carrier::{Connection, call_sid, config};
use crate::gateway::Gateway;
use crate::machine::{load_average, own_thread_time};
use crate::report::{Line, Report, Target};
use crate::say;

const UNIT: &str = "signed webhooks per second, answered after their commit";
/// Calls under way at once: the next begins when one has ended.
const AT_ONCE: usize = 64;
/// What the caller says; one after the other.
const WORDS: [&str; 4] = [
    "What are your opening hours?",
    "Do you have a table for two?",
    "Is there parking?",
    "Thank you, that is all.",
];
/// A document may say "wait" a few times before the answer is ready.
const DETOURS: usize = 20;

pub(super) fn run(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let gateway = Gateway::start(setting, "http://127.0.0.1:9", &config("gather"))?;
    let seconds = if setting.quick { 6 } else { 20 };
    let sids = Arc::new(AtomicU64::new(1));
    // Statements are prepared, pages read, the allocator has its arenas.
    drive(
        setting,
        &gateway,
        &sids,
        Pace::Closed,
        Duration::from_secs(2),
    )?;
    let most = drive(
        setting,
        &gateway,
        &sids,
        Pace::Closed,
        Duration::from_secs(seconds),
    )?;
    tell("as many as it takes", &most);
    let half = most.per_second() / 2.0;
    let calm = drive(
        setting,
        &gateway,
        &sids,
        Pace::Open(half),
        Duration::from_secs(seconds),
    )?;
    tell("half as many", &calm);
    let missing = killed(setting, gateway, &sids)?;
    add(report, &most, &calm, &missing);
    Ok(())
}

fn add(report: &mut Report, most: &Run, calm: &Run, missing: &Missing) {
    let line = Line::new(most.per_second(), UNIT)
        .target(Target::AtLeast(1_500.0))
        .detail("calls", most.calls as f64)
        .detail("failed", most.failed as f64)
        .detail("us_per_webhook", most.us_per_webhook())
        .detail("load", most.load())
        .detail("generator_load", most.generator_load())
        .detail("load_average", most.load_average)
        .detail("p50_ms", most.percentile(0.5))
        .detail("p99_ms", most.percentile(0.99))
        .note(note(most));
    report.add("twilio_webhooks_per_s", line);
    let line = Line::new(
        calm.percentile(0.99),
        "ms, 99 % of webhooks at half that load",
    )
    .less_is_better()
    .target(Target::AtMost(25.0))
    .detail("per_second", calm.per_second())
    .detail("p50_ms", calm.percentile(0.5))
    .detail("failed", calm.failed as f64)
    .detail("load", calm.load())
    .detail("load_average", calm.load_average)
    .note(note(calm));
    report.add("twilio_webhooks_p99_ms", line);
    let line = Line::new(
        missing.missing as f64,
        "answered webhooks that are not stored after kill -9",
    )
    .less_is_better()
    .target(Target::AtMost(0.0))
    .detail("answered", missing.answered as f64)
    .detail("calls", missing.calls as f64)
    .note(format!(
        "{} answered of {} calls",
        missing.answered, missing.calls
    ));
    report.add("twilio_webhooks_lost", line);
}

fn note(run: &Run) -> String {
    format!(
        "{:.0} µs each, core {:.0} %, generator {:.0} %, {} failed, p50 {:.1} p99 {:.1} ms, machine's load {:.1}",
        run.us_per_webhook(),
        run.load() * 100.0,
        run.generator_load() * 100.0,
        run.failed,
        run.percentile(0.5),
        run.percentile(0.99),
        run.load_average,
    )
}

fn tell(what: &str, run: &Run) {
    say(&format!(
        "  {what}: {:.0} webhooks/s, {}",
        run.per_second(),
        note(run)
    ));
}

/// How webhooks follow each other.
#[derive(Debug, Clone, Copy)]
enum Pace {
    /// Each connection sends its next one when the last is answered.
    Closed,
    /// So many a second, whether those before are answered or not: what waits, waits in the figure.
    Open(f64),
}

/// What came of a run.
#[derive(Debug, Default)]
struct Run {
    span: Duration,
    /// Milliseconds of each webhook, in order.
    waited_ms: Vec<f64>,
    calls: u64,
    failed: u64,
    tested: Duration,
    generator: Duration,
    load_average: f64,
}

impl Run {
    fn per_second(&self) -> f64 {
        self.waited_ms.len() as f64 / self.span.as_secs_f64().max(1e-3)
    }

    fn load(&self) -> f64 {
        self.tested.as_secs_f64() / self.span.as_secs_f64().max(1e-3)
    }

    fn generator_load(&self) -> f64 {
        self.generator.as_secs_f64() / self.span.as_secs_f64().max(1e-3)
    }

    fn us_per_webhook(&self) -> f64 {
        self.tested.as_secs_f64() * 1e6 / self.waited_ms.len().max(1) as f64
    }

    fn percentile(&self, share: f64) -> f64 {
        let last = self.waited_ms.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.waited_ms.get(at).copied().unwrap_or(f64::NAN)
    }
}

/// What all connections of a run share.
struct Course {
    to: SocketAddr,
    sids: Arc<AtomicU64>,
    pace: Pace,
    began: Instant,
    until: Instant,
    /// Webhooks begun, for an even pace.
    begun: AtomicU64,
    done: Mutex<Done>,
}

#[derive(Debug, Default)]
struct Done {
    waited_ms: Vec<f64>,
    calls: u64,
    failed: u64,
    why: Option<String>,
    /// What was answered: the call and the number of its last document.
    answered: Vec<(String, u64)>,
}

/// Sends webhooks from the generator's core for a while.
fn drive(
    setting: &Setting,
    gateway: &Gateway,
    sids: &Arc<AtomicU64>,
    pace: Pace,
    span: Duration,
) -> anyhow::Result<Run> {
    let (done, mut run) = course(setting, gateway, sids, pace, span)?;
    ensure!(
        !done.waited_ms.is_empty(),
        "no webhook was answered: {}",
        done.why.unwrap_or_default()
    );
    if let Some(why) = done.why {
        say(&format!(
            "  {} webhooks failed; the first: {why}",
            done.failed
        ));
    }
    run.waited_ms = done.waited_ms;
    run.waited_ms.sort_by(f64::total_cmp);
    (run.calls, run.failed) = (done.calls, done.failed);
    Ok(run)
}

fn course(
    setting: &Setting,
    gateway: &Gateway,
    sids: &Arc<AtomicU64>,
    pace: Pace,
    span: Duration,
) -> anyhow::Result<(Done, Run)> {
    let began = Instant::now();
    let course = Arc::new(Course {
        to: gateway.http,
        sids: Arc::clone(sids),
        pace,
        began,
        until: began + span,
        begun: AtomicU64::new(0),
        done: Mutex::default(),
    });
    let core = setting.cores.generator;
    let tested_before = gateway.program.time();
    let thread = {
        let course = Arc::clone(&course);
        std::thread::spawn(move || -> anyhow::Result<Duration> {
            pin_to_core(core)?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let before = own_thread_time();
            runtime.block_on(async {
                let mut callers = tokio::task::JoinSet::new();
                for _ in 0..AT_ONCE {
                    callers.spawn(caller(Arc::clone(&course)));
                }
                callers.join_all().await;
            });
            Ok(own_thread_time().saturating_sub(before))
        })
    };
    let generator = match thread.join() {
        Ok(used) => used?,
        Err(_) => bail!("the load generator had a fault"),
    };
    let run = Run {
        span: began.elapsed(),
        tested: gateway.program.time().saturating_sub(tested_before),
        generator,
        load_average: load_average(),
        ..Run::default()
    };
    let done = std::mem::take(&mut *course.lock());
    Ok((done, run))
}

/// One connection: call after call.
async fn caller(course: Arc<Course>) {
    let mut connection = None;
    while Instant::now() < course.until {
        let sid = call_sid(course.sids.fetch_add(1, Ordering::Relaxed));
        if let Err(error) = call(&course, &mut connection, &sid).await {
            connection = None;
            let mut done = course.lock();
            done.failed += 1;
            done.why.get_or_insert(format!("{error:#}"));
        } else {
            course.lock().calls += 1;
        }
    }
}

/// A call that ends early, because the time is over, leaves the gateway with an open call.
async fn call(
    course: &Course,
    connection: &mut Option<Connection>,
    sid: &str,
) -> anyhow::Result<()> {
    let mut target = "/twilio/voice".to_owned();
    let mut words = WORDS.iter();
    let mut said: Option<&str> = None;
    for _ in 0..WORDS.len() + DETOURS {
        let more: Vec<(&str, &str)> = match said.take() {
            Some(text) => vec![("SpeechResult", text), ("Confidence", "0.93")],
            None => Vec::new(),
        };
        let status = if target == "/twilio/voice" {
            "ringing"
        } else {
            "in-progress"
        };
        let next = one(course, connection, &target, sid, status, &more).await?;
        let Some(next) = next else { break };
        if Instant::now() >= course.until {
            return Ok(());
        }
        if next.contains("/process_audio") {
            said = words.next().copied();
            if said.is_none() {
                break;
            }
        }
        target = next;
    }
    let more = [("CallDuration", "37"), ("SequenceNumber", "0")];
    one(
        course,
        connection,
        "/twilio/status",
        sid,
        "completed",
        &more,
    )
    .await?;
    Ok(())
}

/// One webhook; where its document leads.
async fn one(
    course: &Course,
    connection: &mut Option<Connection>,
    target: &str,
    sid: &str,
    status: &str,
    more: &[(&str, &str)],
) -> anyhow::Result<Option<String>> {
    let due = match course.pace {
        Pace::Closed => Instant::now(),
        Pace::Open(per_second) => {
            let n = course.begun.fetch_add(1, Ordering::Relaxed);
            let due = course.began + Duration::from_secs_f64(n as f64 / per_second);
            tokio::time::sleep_until(due.into()).await;
            due
        }
    };
    let open = match connection {
        Some(open) => open,
        None => connection.insert(Connection::open(course.to).await?),
    };
    let answer = open.webhook(target, sid, status, more).await?;
    if !matches!(answer.status, 200 | 204) {
        bail!("{target} was answered {}: {}", answer.status, answer.body);
    }
    let mut done = course.lock();
    done.waited_ms.push(due.elapsed().as_secs_f64() * 1e3);
    done.answered
        .push((sid.to_owned(), answer.program().unwrap_or(0)));
    drop(done);
    Ok(answer.next())
}

impl Course {
    fn lock(&self) -> std::sync::MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Missing {
    answered: usize,
    calls: usize,
    missing: usize,
}

/// Kills the gateway in the midst of full load and looks for everything that was answered.
fn killed(
    setting: &Setting,
    mut gateway: Gateway,
    sids: &Arc<AtomicU64>,
) -> anyhow::Result<Missing> {
    let kill = gateway.program.killer();
    let killer = std::thread::spawn(move || {
        std::thread::park_timeout(Duration::from_secs(2));
        kill();
    });
    // What is under way when it dies fails, and so does what comes after.
    let (done, _) = course(
        setting,
        &gateway,
        sids,
        Pace::Closed,
        Duration::from_millis(2_050),
    )?;
    let _ = killer.join();
    ensure!(
        gateway.program.has_ended(),
        "the gateway is still there after kill -9"
    );
    ensure!(!done.answered.is_empty(), "nothing was answered before");
    let mut last = std::collections::BTreeMap::<&str, u64>::new();
    for (sid, program) in &done.answered {
        let known = last.entry(sid).or_default();
        *known = (*known).max(*program);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let missing = runtime.block_on(missing(&gateway.database(), &last))?;
    say(&format!(
        "  after kill -9: {} answered webhooks of {} calls, {missing} missing",
        done.answered.len(),
        last.len()
    ));
    Ok(Missing {
        answered: done.answered.len(),
        calls: last.len(),
        missing,
    })
}

async fn missing(url: &str, last: &std::collections::BTreeMap<&str, u64>) -> anyhow::Result<usize> {
    let store = Store::open(url, &StoreOptions::default())
        .await
        .context("the database cannot be opened after kill -9")?;
    let mut missing = 0;
    for (sid, program) in last {
        let stored = match store.vendor_id("twilio", sid).await? {
            Some(row) => store.call(&row.call).await?,
            None => None,
        };
        let state = stored.and_then(|row| row.channel_state);
        let given = state.and_then(|state| state.value()["given"].as_u64());
        if given.is_none_or(|given| given < *program) {
            missing += 1;
        }
    }
    store.close().await;
    Ok(missing)
}
