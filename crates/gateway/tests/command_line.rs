//! What the program writes when nobody sits at a terminal.

use std::net::TcpListener;
use std::process::{Command, Stdio};

/// The log goes to a file or a journal: colour codes would stand between the words.
#[test]
fn a_log_that_is_no_terminal_holds_no_control_characters() {
    let directory = tempfile::tempdir().unwrap();
    // A taken port ends the program by itself, after its first lines.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = directory.path().join("switchhook.toml");
    let text = format!(
        "mode = \"development\"\n[http]\nbind = \"{}\"\n[sip]\nbind = \"127.0.0.1:0\"\n[speech]\nurl = \"http://127.0.0.1:9\"\n",
        taken.local_addr().unwrap()
    );
    std::fs::write(&config, text).unwrap();
    for format in ["text", "json"] {
        let output = Command::new(env!("CARGO_BIN_EXE_switchhook"))
            .args(["serve", "--config"])
            .arg(&config)
            .current_dir(directory.path())
            .env_clear()
            .env("SWITCHHOOK_LOG_FORMAT", format)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(log.contains("already in use"), "{log}");
        let first = log.lines().next().unwrap_or_default();
        assert!(first.contains("WARN"), "{log}");
        assert!(first.contains("no signing key"), "{log}");
        assert_eq!(first.starts_with('{'), format == "json", "{log}");
        let controls = log.chars().filter(|c| c.is_control() && *c != '\n');
        assert_eq!(controls.count(), 0, "{log:?}");
    }
}
