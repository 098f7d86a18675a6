//! Many calls at once for a while, each with a script of its own drawn from a seed: transfers, keys,
//! holds, hang-ups by everybody. Afterwards nothing may be held that was not held at the beginning,
//! every call has one outcome, and the judge has found nothing.
//!
//! CI runs this for two minutes. `make soak MINUTES=60` runs it for an hour with 200 calls, and then
//! 50,000 short ones.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use switchhook_e2e::api::{Api, items, pretty};
use switchhook_e2e::audio;
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_e2e::sipp::Sipp;
use switchhook_e2e::usage::Usage;
use switchhook_lab::audio::wav;
use switchhook_lab::phone::{OnCall, Phone, PhoneCall, PhoneConfig};
use switchhook_lab::providers::{FakeProviders, SpeechReply};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::common::*;

/// What `make soak` sets; the rest is what CI runs.
fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a whole number")),
        Err(_) => otherwise,
    }
}

/// Descriptors and tasks of HTTP connections that may be kept.
const SPARE: usize = 12;
/// Timers of transactions, resting ports, and connections to the speech provider that are kept for 90 s.
const RELEASED: Duration = Duration::from_secs(180);

/// SplitMix64: the same seed, the same scripts.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    /// Part of a caller's script: how long they do nothing.
    async fn idle(&mut self, up_to_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.roll(up_to_ms))).await;
    }
}

fn config(humans: usize, keep_recordings: bool) -> String {
    let mut toml = format!(
        "mode = \"demo\"\n[sip]\nloopback_guests = true\nassistant_numbers = [\"assistant\"]\n\
         [assistant]\nname = \"Clara\"\ncompany = \"Example Hotel\"\nbrain = \"scripted\"\n\
         [transfer]\nring_timeout_s = 4\ntargets = [\"2001\", \"2002\"]\n\
         fallback = [\"return_to_assistant\"]\n\
         [recording]\nenabled = {keep_recordings}\nannounce = false\n\
         [users.demo]\npassword = \"demo\"\nrole = \"admin\"\n"
    );
    for n in 0..humans {
        let _ = write!(
            toml,
            "[extensions.{number}]\nname = \"Human {n}\"\npassword = \"demo-{number}\"\n",
            number = 2001 + n
        );
    }
    toml
}

/// A token lasts for minutes, a soak for an hour.
struct Operator {
    gateway: Arc<Gateway>,
    api: Mutex<(Instant, Api)>,
}

impl Operator {
    async fn api(&self) -> Api {
        let mut api = self.api.lock().await;
        if api.0.elapsed() > Duration::from_secs(300) {
            *api = (Instant::now(), self.gateway.api().await);
        }
        api.1.clone()
    }

    /// Does something to the call of this caller; when it is not found, nothing.
    async fn act(&self, caller: &str, action: &str, body: &Value) {
        let api = self.api().await;
        let calls = items(&api.get("/api/calls?limit=100").await);
        let mine = calls
            .iter()
            .find(|c| c["status"] != "ended" && c["caller"].to_string().contains(caller));
        if let Some(id) = mine.and_then(|c| c["id"].as_str()) {
            let (status, answer) = api
                .try_post(&format!("/api/calls/{id}/{action}"), body)
                .await;
            // It may have ended meanwhile, or be transferred already.
            assert!(matches!(status, 202 | 409), "{action}: {status} {answer}");
        }
    }
}

/// One human's phone: answers, refuses or rings on, and is exchanged for a new one now and then.
async fn human(gateway: Arc<Gateway>, number: usize, seed: u64, until: Instant) {
    let mut dice = Dice(seed);
    let user = (2001 + number).to_string();
    while Instant::now() < until {
        let config = PhoneConfig::new(&user)
            .server(gateway.sip())
            .password(&format!("demo-{user}"));
        let phone = Phone::start(config).await.unwrap();
        phone.register().await.unwrap();
        let mut talks = JoinSet::new();
        for n in 0..20 {
            phone.set_on_call(match dice.roll(10) {
                0 => OnCall::RingOnly,
                1 => OnCall::RejectAfter {
                    status: 486,
                    after: Duration::ZERO,
                },
                2 => OnCall::RejectAfter {
                    status: 603,
                    after: Duration::from_millis(dice.roll(1_000)),
                },
                _ => OnCall::AnswerAfter(Duration::from_millis(dice.roll(1_500))),
            });
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                break;
            };
            let Ok(call) = phone.incoming(n, left.min(Duration::from_secs(60))).await else {
                break;
            };
            let mut dice = Dice(dice.roll(u64::MAX));
            talks.spawn(async move {
                if call.wait_answered(SOON).await.is_ok() {
                    call.play_tone(HUMAN_HZ);
                    if dice.roll(3) == 0 {
                        dice.idle(6_000).await;
                        call.start_hangup();
                    }
                }
                call.wait_ended(Duration::from_secs(120)).await.unwrap();
            });
        }
        phone.set_on_call(OnCall::RejectAfter {
            status: 486,
            after: Duration::ZERO,
        });
        phone.register_for(0).await.unwrap();
        while let Some(talk) = talks.join_next().await {
            talk.unwrap();
        }
    }
}

/// One call after the other by one caller; each ends with everything released.
async fn calls(
    operator: Arc<Operator>,
    caller: u64,
    seed: u64,
    until: Instant,
    humans: u64,
) -> u64 {
    let mut dice = Dice(seed);
    let mut placed = 0;
    dice.idle(3_000).await;
    while Instant::now() < until {
        let user = format!("caller-{caller}-{placed}-");
        let phone = Phone::start(PhoneConfig::new(&user)).await.unwrap();
        let call = phone.dial(&operator.gateway.assistant()).await.unwrap();
        placed += 1;
        one_call(&operator, &call, &user, &mut dice, humans).await;
    }
    placed
}

async fn one_call(operator: &Operator, call: &PhoneCall, user: &str, dice: &mut Dice, humans: u64) {
    if dice.roll(20) == 0 {
        // Perhaps before the answer, perhaps across it.
        dice.idle(60).await;
        call.hangup().await.unwrap();
        return;
    }
    call.wait_answered(ANSWER).await.unwrap();
    for _ in 0..=dice.roll(4) {
        dice.idle(3_000).await;
        if call.is_over() {
            break;
        }
        match dice.roll(8) {
            0 | 1 => call.send_digits("0"),
            2 => {
                let target = (2001 + dice.roll(humans)).to_string();
                let body = json!({"target": target});
                operator.act(user, "transfer", &body).await;
            }
            3 | 4 => hold(call, dice).await,
            5 => {
                let phrase = wav::read_phone(&audio("human-a.wav")).unwrap();
                // The other side may hang up meanwhile.
                let _ = call.say(phrase).await;
            }
            6 => call.play_tone(CALLER_HZ),
            _ => call.set_sending_rtp(dice.roll(2) == 0),
        }
    }
    call.set_sending_rtp(true);
    match dice.roll(8) {
        0 => operator.act(user, "hangup", &json!({})).await,
        // Whoever it is that ends it, or nobody.
        1 => drop(call.wait_ended(Duration::from_secs(8)).await),
        _ => {}
    }
    call.hangup().await.unwrap();
}

async fn hold(call: &PhoneCall, dice: &mut Dice) {
    for step in 0..2 {
        let answered = if step == 0 {
            call.hold().await
        } else {
            call.resume().await
        };
        if let Err(error) = answered {
            assert!(call.is_over(), "no answer to a re-INVITE: {error}");
            return;
        }
        dice.idle(2_000).await;
    }
}

/// Every call has ended with an outcome and without a finding.
async fn assert_clean(api: &Api, calls_at_least: u64) -> Value {
    let stats = api.get("/api/stats").await;
    if stats["violations"] != 0 {
        let all = items(&api.get("/api/calls?limit=100").await);
        for call in all {
            let record = api.call(call["id"].as_str().unwrap()).await;
            if record["violations"]
                .as_array()
                .is_some_and(|v| !v.is_empty())
            {
                panic!("the judge has found something: {}", pretty(&record));
            }
        }
        panic!("the judge has found something in an older call: {stats}");
    }
    let calls = stats["calls"].as_u64().unwrap();
    assert_eq!(stats["live"], 0, "{stats}");
    let outcomes = stats["by_outcome"].as_object().unwrap();
    let with_outcome: u64 = outcomes.values().filter_map(Value::as_u64).sum();
    assert_eq!(with_outcome, calls, "one outcome for each call: {stats}");
    assert!(calls >= calls_at_least, "{stats}");
    stats
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_leave_nothing_behind() {
    let run = Duration::from_secs(60 * setting("SWITCHHOOK_SOAK_MINUTES", 1));
    let callers = setting("SWITCHHOOK_SOAK_CALLS", 24);
    let seed = setting("SWITCHHOOK_SOAK_SEED", 4);
    let humans = (callers / 3).clamp(4, 60);
    eprintln!("soak: {callers} callers, {humans} humans, {run:?}, seed {seed}");

    let providers = FakeProviders::start().await.unwrap();
    providers.transcript_otherwise("I would like to speak to a human agent please.");
    providers.speech_otherwise(SpeechReply::tone(440.0).ms_per_character(20));
    let keep_recordings = run <= Duration::from_secs(300);
    let gateway = GatewaySettings::file(&config(humans as usize, keep_recordings))
        .without_speech()
        .env("SWITCHHOOK_SPEECH_URL", providers.url())
        .env("RUST_LOG", "warn")
        .room_for(callers as u16)
        .start()
        .await;
    let gateway = Arc::new(gateway);
    let api = gateway.api().await;
    let operator = Arc::new(Operator {
        gateway: Arc::clone(&gateway),
        api: Mutex::new((Instant::now(), api)),
    });
    // Nothing has rung yet; registrations hold nothing.
    let before = Usage::of(&gateway).await;
    let started = Instant::now();
    let until = started + run;

    let mut people = JoinSet::new();
    for n in 0..humans as usize {
        people.spawn(human(
            Arc::clone(&gateway),
            n,
            seed * 7_919 + n as u64,
            until,
        ));
    }
    let placed = Arc::new(AtomicUsize::new(0));
    let mut ringing = JoinSet::new();
    for n in 0..callers {
        let (operator, placed) = (Arc::clone(&operator), Arc::clone(&placed));
        ringing.spawn(async move {
            let count = calls(operator, n, seed * 104_729 + n, until, humans).await;
            placed.fetch_add(count as usize, Ordering::Relaxed);
        });
    }
    // Memory is compared under load: first when all have called a few times, then at the end.
    tokio::time::sleep(run / 3).await;
    let warm = Usage::of(&gateway).await;
    tokio::time::sleep_until((until - Duration::from_secs(2)).into()).await;
    let late = Usage::of(&gateway).await;
    while let Some(ended) = ringing.join_next().await {
        ended.unwrap();
    }
    while let Some(ended) = people.join_next().await {
        ended.unwrap();
    }
    let after = before.returned_to(&gateway, SPARE, RELEASED).await;
    let placed = placed.load(Ordering::Relaxed) as u64;
    let stats = assert_clean(&operator.api().await, placed * 9 / 10).await;
    eprintln!(
        "soak: {placed} calls placed\nbefore {before:?}\nwarm   {warm:?}\nlate   {late:?}\n\
         after  {after:?}\n{}",
        pretty(&stats)
    );
    assert!(warm.calls > callers / 2, "too few at once: {warm:?}");
    let bound = warm.resident_kb + warm.resident_kb / 10 + 12_000;
    assert!(
        late.resident_kb <= bound,
        "memory grows under a steady load: {warm:?}, then {late:?}"
    );
}

/// Half are answered by the assistant and ended at once, half are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a quarter of an hour: make soak"]
async fn thousands_of_short_calls_leave_nothing_behind() {
    let total = setting("SWITCHHOOK_SOAK_SHORT_CALLS", 50_000) as u32;
    let rate = setting("SWITCHHOOK_SOAK_RATE", 60) as u32;
    let providers = FakeProviders::start().await.unwrap();
    // Trunk addresses are exempt from the limit of messages per source.
    let toml = config(2, false) + "[trunks.load]\naddresses = [\"127.0.0.1\"]\n";
    let gateway = GatewaySettings::file(&toml)
        .without_speech()
        .env("SWITCHHOOK_SPEECH_URL", providers.url())
        .env("RUST_LOG", "warn")
        .room_for(1_000)
        .start()
        .await;
    let before = Usage::of(&gateway).await;
    // Caches, pools and the database's pages are filled by the first ones, and the allocator has
    // what the most calls at once took. Whatever a call leaves behind is four times as much later.
    let first_fifth = Duration::from_secs(u64::from(total / rate.max(1)) / 5);
    let (warm, ()) = tokio::join!(
        async {
            tokio::time::sleep(first_fifth).await;
            Usage::of(&gateway).await
        },
        short_calls(&gateway, total, rate)
    );
    let after = before.returned_to(&gateway, SPARE, RELEASED).await;
    let stats = gateway.api().await.get("/api/stats").await;
    eprintln!(
        "short calls: {total} at {rate}/s\nbefore {before:?}\nwarm   {warm:?}\nafter  {after:?}\n{}",
        pretty(&stats)
    );
    assert_eq!(stats["violations"], 0, "{stats}");
    assert_eq!(stats["live"], 0, "{stats}");
    assert!(
        after.resident_kb <= warm.resident_kb + warm.resident_kb / 20,
        "memory grew by more than 5 %: {warm:?}, then {after:?}"
    );
}

async fn short_calls(gateway: &Gateway, total: u32, rate: u32) {
    let target = gateway.sip().to_string();
    let half = (rate / 2).max(1).to_string();
    let within = Duration::from_secs(u64::from(total / rate.max(1)) * 3 + 120);
    let mut runs = Vec::new();
    for (scenario, user) in [
        ("caller-short-call.xml", "assistant"),
        ("caller-refused.xml", "nobody"),
    ] {
        let extra = [
            "-s",
            user,
            "-r",
            &half,
            "-l",
            "400",
            "-buff_size",
            "4194304",
        ];
        runs.push(Sipp::load(scenario, total / 2, &target, &extra).await);
    }
    for mut run in runs {
        run.succeed(within).await;
    }
}
