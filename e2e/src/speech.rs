//! The one speech server all tests share.

use std::path::PathBuf;
use std::time::Duration;

use switchhook_lab::audio::Audio;
use switchhook_lab::audio::speech::{Sound, stretches};
use switchhook_lab::transcribe::{http_client, transcribe};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::ports;
use crate::process::Process;
use crate::repository;

/// Loading the recogniser's model takes seconds, on a busy machine many.
const READY_WITHIN: Duration = Duration::from_secs(120);

struct Shared {
    url: String,
    _process: Option<Process>,
}

static SHARED: OnceCell<Shared> = OnceCell::const_new();

/// Where the speech server is installed: `SWITCHHOOK_SPEECH_DIR`, else `var/speech`.
pub fn directory() -> PathBuf {
    match std::env::var_os("SWITCHHOOK_SPEECH_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => repository().join("var/speech"),
    }
}

/// Base URL of the shared server, started on first use; `SWITCHHOOK_TEST_SPEECH_URL` names one
/// that runs already.
pub async fn url() -> String {
    SHARED.get_or_init(start).await.url.clone()
}

/// Text of some audio, in lower case. Each stretch of speech is sent by itself, as a caller's
/// sentences reach the recogniser: several with pauses in one piece make it stop early.
pub async fn text_of(audio: &Audio, language: &str) -> String {
    let url = url().await;
    let mut text = String::new();
    for stretch in stretches(audio).iter().filter(|s| s.sound == Sound::Speech) {
        let (from, to) = (
            stretch.span.from_ms.saturating_sub(250),
            stretch.span.to_ms + 250,
        );
        let part = audio.window(from, to).padded(500);
        let said = transcribe(&url, &part, language)
            .await
            .unwrap_or_else(|e| panic!("{e}"));
        text.push_str(&said.to_lowercase());
        text.push(' ');
    }
    text
}

async fn start() -> Shared {
    if let Ok(url) = std::env::var("SWITCHHOOK_TEST_SPEECH_URL") {
        return Shared {
            url,
            _process: None,
        };
    }
    let dir = directory();
    let python = dir.join("venv/bin/python");
    assert!(
        python.exists(),
        "{} is missing; install the speech server with scripts/install-speech.sh {}",
        python.display(),
        dir.display()
    );
    let port = ports::free();
    let url = format!("http://127.0.0.1:{port}");
    let mut command = Command::new(python);
    command
        .arg(repository().join("scripts/speech-server/server.py"))
        .args(["--port", &port.to_string(), "--model"])
        .arg(dir.join("model"))
        .current_dir(&dir);
    let log = std::env::temp_dir().join(format!("switchhook-e2e-speech-{port}.log"));
    let mut process = Process::start(
        "the speech server",
        "scripts/install-speech.sh",
        command,
        &log,
    );
    let client = http_client();
    let is_well = async || {
        let health = client.get(format!("{url}/healthz")).send().await;
        health.is_ok_and(|r| r.status().is_success())
    };
    process.ready(READY_WITHIN, is_well).await;
    Shared {
        url,
        _process: Some(process),
    }
}
