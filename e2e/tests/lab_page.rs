//! The lab and the demo as two programs: whoever opens the page calls in, is the human, and hangs up.

use std::time::Duration;

use serde_json::Value;
use switchhook_e2e::api::{only_attempt, only_transfer, pretty};
use switchhook_e2e::gateway::{Gateway, GatewaySettings, binary};
use switchhook_e2e::lab::{Lab, data, environment};
use switchhook_e2e::process::Process;
use switchhook_e2e::{audio, ports, repository};
use switchhook_lab::audio::wav;
use switchhook_lab::transcribe::http_client;
use switchhook_lab::visitor::{call, talk};
use tempfile::TempDir;
use tokio::process::Command;

use crate::common::*;

/// How long ears and model take to understand a sentence.
const UNDERSTOOD: Duration = Duration::from_secs(6);
const CALLER: &str = "+12025550177";
const STAFF: &str = "+493023125190";

struct Pair {
    lab: Lab,
    gateway: Gateway,
    _dir: TempDir,
}

/// The lab, then the demo, which finds the lab's account by itself.
async fn pair(settings: GatewaySettings) -> Pair {
    let dir = tempfile::tempdir().unwrap();
    let http = ([127, 0, 0, 1], ports::free()).into();
    let lab = Lab::start(dir.path(), http).await;
    let gateway = settings
        .env("SWITCHHOOK_HTTP_BIND", http)
        .env("SWITCHHOOK_DATA_DIR", data(dir.path()))
        .start()
        .await;
    Pair {
        lab,
        gateway,
        _dir: dir,
    }
}

impl Pair {
    /// The human takes the receiver, talks, and hangs up; gives the ended call.
    async fn is_taken_and_ended(&self, sid: &str) -> Value {
        let page = &self.lab.page;
        let agent = page.until_phone("2001", "ringing").await.unwrap();
        page.presses(&agent, "answer").await.unwrap();
        page.until_phone("2001", "talking").await.unwrap();
        let api = self.gateway.api().await;
        api.wait_call("with a human", ANSWER, |call| {
            call["status"] == "with_agent"
        })
        .await;
        page.presses(&agent, "hangup").await.unwrap();
        page.until_over(sid).await.unwrap();
        api.ended_call(ENDED).await
    }

    /// Both end when they are asked to, and nothing was wrong.
    async fn ends(mut self) {
        let state = self.lab.page.state().await.unwrap();
        let problems: Vec<&Value> = state["calls"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|call| call["steps"].as_array().unwrap())
            .filter(|step| step["kind"] == "problem")
            .collect();
        assert!(problems.is_empty(), "{problems:#?}");
        assert_eq!(self.gateway.stop(ENDED).await, 0);
        assert_eq!(self.lab.stop().await, 0, "{}", self.lab.log());
    }
}

/// Typed words, understood by the carrier: Gather and Say.
#[tokio::test]
async fn somebody_types_at_the_page_and_is_the_human_too() {
    let settings = GatewaySettings::demo()
        .without_speech()
        .env("SWITCHHOOK_SPEECH_URL", "http://127.0.0.1:9");
    let pair = pair(settings).await;
    let page = &pair.lab.page;
    let printed = pair.lab.log();
    assert!(printed.contains("call it: http://127.0.0.1:"), "{printed}");
    let secret = std::fs::read_to_string(pair.gateway.data_dir().join("lab.json")).unwrap();
    let secret: Value = serde_json::from_str(&secret).unwrap();
    let token = secret["auth_token"].as_str().unwrap();
    assert!(!printed.contains(token), "the token is not printed");
    let sid = page.calls_in(CALLER).await.unwrap();
    page.until_step(&sid, "said", "How can I help")
        .await
        .unwrap();
    page.says(&sid, "I would like to speak to a human please")
        .await
        .unwrap();
    let call = pair.is_taken_and_ended(&sid).await;
    assert_eq!(call["outcome"]["code"], "transferred", "{}", pretty(&call));
    assert_eq!(only_transfer(&call)["outcome"], "bridged");
    assert_eq!(
        call["violations"],
        serde_json::json!([]),
        "{}",
        pretty(&call)
    );
    // What is not signed with the account's token is still refused.
    let forged = pair
        .gateway
        .client()
        .post(pair.gateway.http_url("/twilio/voice"))
        .header("x-twilio-signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("CallSid=CA00000000000000000000000000000001");
    assert_eq!(forged.send().await.unwrap().status(), 403);
    pair.ends().await;
}

/// A WAV over the page's socket into a media stream, with our own ears and mouth.
#[tokio::test]
async fn somebody_plays_a_file_into_a_media_stream() {
    let settings = GatewaySettings::demo().env("SWITCHHOOK_TWILIO_TALK", "stream");
    let pair = pair(settings).await;
    let page = &pair.lab.page;
    let sid = page.calls_in(CALLER).await.unwrap();
    let path = format!("calls/{sid}/audio");
    let mut line = page.opens(&path).await.unwrap();
    page.until("the stream", |state| {
        (call(state, &sid)?["listens"] == "stream").then_some(())
    })
    .await
    .unwrap();
    let said = wav::read_phone(&audio("human-a.wav")).unwrap();
    // Into the greeting is as good as after it; whoever is not heard says it again.
    until("2001 to ring", ANSWER, async || {
        talk(&mut line, &said).await.unwrap();
        let rings = page.until("a ring", |state| {
            (state["phones"][0]["rings"] != serde_json::json!([])).then_some(())
        });
        tokio::time::timeout(UNDERSTOOD, rings).await
    })
    .await
    .unwrap();
    let call = pair.is_taken_and_ended(&sid).await;
    assert_eq!(call["outcome"]["code"], "transferred", "{}", pretty(&call));
    pair.ends().await;
}

/// Nobody answers: staff's SMS is on the page, with what became of it.
#[tokio::test]
async fn the_notice_to_staff_is_read_on_the_page() {
    let settings = GatewaySettings::demo()
        .without_speech()
        .env("SWITCHHOOK_SPEECH_URL", "http://127.0.0.1:9")
        .env("TWILIO_SMS_TO", STAFF);
    let pair = pair(settings).await;
    let page = &pair.lab.page;
    let busy = serde_json::json!({ "name": "2001", "does": "busy" });
    page.does("phones", busy).await.unwrap();
    let sid = page.calls_in(CALLER).await.unwrap();
    page.until_step(&sid, "said", "How can I help")
        .await
        .unwrap();
    page.says(&sid, "I would like to speak to a human please")
        .await
        .unwrap();
    page.until_step(&sid, "said", "leave a message")
        .await
        .unwrap();
    page.says(&sid, "Please call me back").await.unwrap();
    let message = page
        .until("the SMS to be delivered", |state| {
            let message = state["messages"].get(0)?;
            (message["status"] == "delivered").then(|| message.clone())
        })
        .await
        .unwrap();
    assert_eq!(message["to"], STAFF);
    assert!(
        message["body"].as_str().unwrap().contains(CALLER),
        "{message:#}"
    );
    page.until_over(&sid).await.unwrap();
    let call = pair.gateway.api().await.ended_call(ENDED).await;
    assert_eq!(only_attempt(&call)["result"], "busy", "{}", pretty(&call));
    pair.ends().await;
}

/// What `make run` starts: one signal to the group, and nothing is left.
#[tokio::test]
async fn demo_and_lab_start_and_end_together() {
    let dir = tempfile::tempdir().unwrap();
    let lab = format!("127.0.0.1:{}", ports::free());
    let demo = format!("127.0.0.1:{}", ports::free());
    let mut command = Command::new(repository().join("scripts/run.sh"));
    command
        .arg(binary())
        .current_dir(dir.path())
        .env_clear()
        .envs(environment(dir.path()))
        .env("SWITCHHOOK_LAB_LISTEN", &lab)
        .env("SWITCHHOOK_HTTP_BIND", &demo)
        .env(
            "SWITCHHOOK_SIP_BIND",
            format!("127.0.0.1:{}", ports::free()),
        )
        .env("SWITCHHOOK_SPEECH_URL", "http://127.0.0.1:9");
    let log = dir.path().join("run.log");
    let mut run = Process::start_group("run.sh", "bash", command, &log);
    let call_it = format!("call it: http://{lab}  by microphone");
    for text in ["demo is up", &call_it] {
        until(text, ENDED, async || {
            let printed = std::fs::read_to_string(&log).unwrap_or_default();
            check(printed.contains(text), || printed)
        })
        .await;
    }
    let group = format!("-{}", run.pid());
    let killed = Command::new("kill").args(["-TERM", "--", &group]).status();
    assert!(killed.await.unwrap().success());
    tokio::time::timeout(ENDED, run.wait())
        .await
        .expect("the demo ends");
    let client = http_client();
    for address in [lab, demo] {
        until("nobody to answer", ENDED, async || {
            let asked = client.get(format!("http://{address}/")).send().await;
            check(asked.is_err(), || format!("{address}: {asked:?}"))
        })
        .await;
    }
    let is_left = || {
        let mut kill = Command::new("kill");
        kill.args(["-0", "--", &group])
            .stderr(std::process::Stdio::null());
        kill.status()
    };
    until("the last process to end", ENDED, async || {
        check(!is_left().await.unwrap().success(), || &group)
    })
    .await;
}

/// The lab ends with the demo however that ends: nobody has to look for it.
#[tokio::test]
async fn the_lab_ends_with_whoever_started_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    let listen = format!("127.0.0.1:{}", ports::free());
    command
        .args(["lab", "--listen", &listen, "--exit-with-stdin"])
        .current_dir(dir.path())
        .env_clear()
        .envs(environment(dir.path()))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true);
    let mut lab = command.spawn().unwrap();
    let page = http_client();
    until("the lab", ENDED, async || {
        page.get(format!("http://{listen}/")).send().await
    })
    .await;
    drop(lab.stdin.take());
    let ended = tokio::time::timeout(ENDED, lab.wait())
        .await
        .expect("it ends");
    assert!(ended.unwrap().success());
}
