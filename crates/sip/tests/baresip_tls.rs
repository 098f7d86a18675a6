//! baresip over TLS: registers, and is called back over the connection it opened.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::path::Path;
use std::process::Stdio;

use common::certs::Ca;
use common::{SDP, World, config, dial_request, extension, leg_id};
use switchhook_model::HangupCause;
use switchhook_sip::{DialTarget, SipEvent, SipLegEvent, SipTransport};

const MODULE_DIRS: [&str; 2] = [
    "/usr/lib/baresip/modules",
    "/usr/lib/x86_64-linux-gnu/baresip/modules",
];

fn write_config(dir: &Path, ca: &Ca, server: std::net::SocketAddr, account: &str) {
    let modules = MODULE_DIRS
        .iter()
        .find(|dir| Path::new(dir).exists())
        .unwrap_or_else(|| panic!("no baresip modules in {MODULE_DIRS:?}; install baresip-core"));
    let text = format!(
        "sip_listen 127.0.0.1:0\nsip_cafile {}\nnet_interface 127.0.0.1\nmodule_path {modules}\n\
         module g711.so\nmodule aufile.so\nmodule uuid.so\nmodule account.so\n\
         module_app contact.so\nmodule_app menu.so\naudio_source aufile,{}\n",
        ca.file().display(),
        dir.join("silence.wav").display()
    );
    let account = format!(
        "<sip:2001@{server};transport=tls>;auth_user=2001;auth_pass=demo-2001;regint=60;{account}\n"
    );
    std::fs::write(dir.join("silence.wav"), silence()).unwrap();
    for (name, content) in [
        ("config", text),
        ("accounts", account),
        ("contacts", String::new()),
    ] {
        std::fs::write(dir.join(name), content).unwrap();
    }
}

/// A minute of silence as a WAV file: at the end of its file baresip hangs up.
fn silence() -> Vec<u8> {
    let (rate, bytes) = (8_000u32, 8_000u32 * 2 * 60);
    let mut wav = Vec::new();
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + bytes).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    wav.extend_from_slice(&16u32.to_le_bytes());
    wav.extend_from_slice(&[1, 0, 1, 0]);
    wav.extend_from_slice(&rate.to_le_bytes());
    wav.extend_from_slice(&(rate * 2).to_le_bytes());
    wav.extend_from_slice(&[2, 0, 16, 0]);
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&bytes.to_le_bytes());
    wav.resize(wav.len() + bytes as usize, 0);
    wav
}

#[tokio::test]
async fn baresip_registers_over_tls_and_is_called_back() {
    let ca = Ca::new();
    let mut settings = config();
    settings.tls.listen = vec!["127.0.0.1:0".parse().unwrap()];
    settings.tls.server = Some(ca.good("gateway", "127.0.0.1"));
    let mut world = World::with(settings).await;
    let server = world.endpoint.tls_addrs()[0];
    let dir = tempfile::tempdir().unwrap();
    write_config(dir.path(), &ca, server, "answermode=auto;audio_codecs=pcmu");
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let _phone = tokio::process::Command::new("baresip")
        .arg("-f")
        .arg(dir.path())
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .expect("baresip starts; install baresip-core");
    let said = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    let registered = tokio::time::timeout(common::DEADLINE, world.event())
        .await
        .unwrap_or_else(|_| panic!("baresip registers; it said:\n{}", said()));
    let SipEvent::Registered { bindings, .. } = registered else {
        panic!("{registered:?}");
    };
    assert_eq!(bindings[0].transport, SipTransport::Tls);

    let leg = leg_id();
    let request = dial_request(&leg, DialTarget::Extension(extension("2001")));
    let record = world.endpoint.dial(request).await.unwrap();
    // The address it wrote from, not the one it listens on.
    assert_eq!(record.peer, bindings[0].source);
    loop {
        match world.leg_event(&leg).await {
            SipLegEvent::Trying | SipLegEvent::Ringing { .. } => {}
            SipLegEvent::Answered { sdp } => {
                assert!(sdp.unwrap().contains("m=audio"), "our offer: {SDP}");
                break;
            }
            other => panic!("{other:?}; baresip said:\n{}", said()),
        }
    }
    world.endpoint.hangup(&leg, HangupCause::Normal).unwrap();
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ended {
            by_remote: false,
            ..
        }
    ));
}
