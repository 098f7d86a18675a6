//! Phrases made at test time, in voices nobody tuned on, as they sound over a telephone.

use std::process::Stdio;

use switchhook_lab::audio::{Audio, wav};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// What to say and in which voice.
#[derive(Debug, Clone, Copy)]
pub struct Phrase {
    /// The words.
    pub text: &'static str,
    /// espeak-ng voice, such as `en-us+f2`.
    pub voice: &'static str,
    /// Words per minute.
    pub speed: u16,
}

impl Phrase {
    /// At an ordinary speed.
    pub const fn new(text: &'static str, voice: &'static str) -> Self {
        Self {
            text,
            voice,
            speed: 150,
        }
    }

    /// Synthesizes it: 0.3 s of silence, the words through a telephone's band and µ-law, 0.4 s of
    /// silence.
    pub async fn audio(&self) -> Audio {
        let speed = self.speed.to_string();
        let mut child = Command::new("espeak-ng")
            .args([
                "-v", self.voice, "-s", &speed, "-b", "1", "--stdin", "--stdout",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| panic!("espeak-ng cannot be started ({e}); install espeak-ng"));
        let mut input = child.stdin.take().expect("its input is piped");
        input
            .write_all(self.text.as_bytes())
            .await
            .expect("espeak-ng reads its input");
        drop(input);
        let output = child
            .wait_with_output()
            .await
            .expect("our own child can be waited for");
        assert!(
            output.status.success(),
            "espeak-ng knows no voice {}",
            self.voice
        );
        let spoken = streamed_wav(&output.stdout);
        let mut samples = vec![0; 2400];
        samples.extend(wav::telephone(&spoken).samples);
        Audio::phone(samples).padded(400)
    }
}

/// WAV from a pipe: the sizes in its header are not to be trusted.
fn streamed_wav(bytes: &[u8]) -> Audio {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let path = dir.path().join("spoken.wav");
    std::fs::write(&path, bytes).expect("the temporary directory is writable");
    wav::read_unfinished(&path)
        .unwrap_or_else(|e| panic!("{e}"))
        .swap_remove(0)
}
