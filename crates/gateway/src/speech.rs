//! The local speech server: started, watched and restarted by the gateway. While it is down the
//! voices fall back to espeak-ng and recognition fails with a clear error; calls go on.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// Longest wait between two starts.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum SpeechError {
    #[error(
        "the local speech server is not installed in {0}: run scripts/install-speech.sh, or set speech.url (SWITCHHOOK_SPEECH_URL)"
    )]
    NotInstalled(PathBuf),
    #[error("no free port for the local speech server: {0}")]
    Port(std::io::Error),
}

/// A supervised speech server.
#[derive(Debug)]
pub struct SpeechServer {
    dir: PathBuf,
    port: u16,
}

impl SpeechServer {
    /// Finds the installed server and a free loopback port for it.
    pub fn locate(dir: &Path) -> Result<Self, SpeechError> {
        if !python(dir).exists() || !script(dir).is_file() {
            return Err(SpeechError::NotInstalled(dir.to_owned()));
        }
        // The socket is closed again before the server binds: another program may take the port in
        // between, then the server exits and is started on it once more.
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .map_err(SpeechError::Port)?
            .port();
        Ok(Self {
            dir: dir.to_owned(),
            port,
        })
    }

    /// Where its OpenAI routes are, without `/v1`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Keeps it running until `stop`.
    pub async fn supervise(self, stop: CancellationToken) {
        let mut backoff = Duration::from_secs(1);
        while !stop.is_cancelled() {
            let begun = tokio::time::Instant::now();
            match self.start() {
                Ok(mut child) => {
                    // Held here: waiting for a child closes its input.
                    let _input = child.stdin.take();
                    tracing::info!(port = self.port, "speech server started");
                    tokio::select! {
                        () = stop.cancelled() => {
                            end(&mut child).await;
                            return;
                        }
                        status = child.wait() => {
                            let status = status.map(|s| s.to_string()).unwrap_or_else(|e| e.to_string());
                            tracing::error!(status, "speech server ended; it is started again");
                            metrics::counter!("switchhook_speech_server_restarts_total").increment(1);
                        }
                    }
                }
                Err(error) => {
                    tracing::error!(%error, dir = %self.dir.display(), "speech server cannot be started")
                }
            }
            if begun.elapsed() > MAX_BACKOFF {
                backoff = Duration::from_secs(1);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        let mut child = Command::new(python(&self.dir))
            .arg(script(&self.dir))
            .args([
                "--port",
                &self.port.to_string(),
                "--exit-with-stdin",
                "--model",
            ])
            .arg(self.dir.join("model"))
            // Open as long as we live: the server ends with us, also when we are killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(async move {
                let mut lines = BufReader::new(stderr).lines();
                let mut is_ready = false;
                while let Ok(Some(line)) = lines.next_line().await {
                    if may_be_logged(&line, is_ready) {
                        tracing::debug!(line, "speech server");
                    }
                    is_ready |= line.starts_with(READY);
                }
            });
        }
        Ok(child)
    }
}

/// How the server's own lines begin; they hold no words (`scripts/speech-server/server.py`).
const OWN: &str = "speech-server: ";
/// Its line when it has loaded everything and takes requests.
const READY: &str = "speech-server: ready after";

/// What the server writes while it starts says why it cannot. After that nobody knows what its
/// libraries write: it may be what was said.
fn may_be_logged(line: &str, is_ready: bool) -> bool {
    !is_ready || line.starts_with(OWN)
}

fn python(dir: &Path) -> PathBuf {
    dir.join("venv/bin/python")
}

fn script(dir: &Path) -> PathBuf {
    dir.join("server/server.py")
}

/// Asks the child to end, then makes it.
async fn end(child: &mut Child) {
    if let Err(error) = child.kill().await {
        tracing::warn!(%error, "speech server could not be ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_it_listens_only_its_own_lines_are_logged() {
        assert!(may_be_logged("ModuleNotFoundError: faster_whisper", false));
        assert!(may_be_logged("speech-server: r1 POST /v1 200 30 ms", true));
        assert!(!may_be_logged("decoded: my PIN is 4711", true));
        let server = include_str!("../../../scripts/speech-server/server.py");
        assert!(server.contains("print(f\"speech-server: {text}\""));
        assert!(server.contains("log(f\"ready after"));
    }
}
