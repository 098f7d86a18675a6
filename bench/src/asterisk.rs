//! Asterisk 22 as another product that bridges calls: unpacked by `scripts/install-asterisk.sh` and
//! run by chroot, with a configuration of its own that does nothing but bridge.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use tempfile::TempDir;

use crate::process::{Program, free_port};
use crate::scenarios::{NotInstalled, Setting};
use crate::ua::Phones;

const FILES: [(&str, &str); 6] = [
    ("asterisk.conf", include_str!("../asterisk/asterisk.conf")),
    ("modules.conf", include_str!("../asterisk/modules.conf")),
    ("pjsip.conf", include_str!("../asterisk/pjsip.conf")),
    (
        "extensions.conf",
        include_str!("../asterisk/extensions.conf"),
    ),
    ("rtp.conf", include_str!("../asterisk/rtp.conf")),
    ("logger.conf", include_str!("../asterisk/logger.conf")),
];

/// A running Asterisk.
pub struct Asterisk {
    pub program: Program,
    pub phones: Phones,
    _home: Home,
    _log: TempDir,
}

/// Its directories inside the root; removed in the end.
struct Home {
    root: PathBuf,
    name: String,
}

impl Drop for Home {
    fn drop(&mut self) {
        for parent in ["etc", "run"] {
            // Left-overs in a folder that only tests use harm nobody.
            let _ = std::fs::remove_dir_all(self.root.join(parent).join(&self.name));
        }
    }
}

impl Asterisk {
    /// Starts it on the tested core; it bridges calls to 2001 with the called phone.
    pub fn start(setting: &Setting) -> anyhow::Result<Self> {
        let root = root()?;
        let sip = free_port()?;
        let phones = Phones::new(sip)?;
        let home = Home {
            root,
            name: format!("switchhook-bench-{}", sip.port()),
        };
        write_files(&home, sip, phones.called_address()?)?;
        let mut command = Command::new("chroot");
        command
            .arg(&home.root)
            // -p: before ordinary programs, as the gateway's media worker is.
            .args(["/usr/sbin/asterisk", "-f", "-n", "-p", "-C"])
            .arg(format!("/etc/{}/asterisk.conf", home.name));
        let log = tempfile::tempdir()?;
        let file = log.path().join("asterisk.log");
        let mut program = Program::start("Asterisk", command, setting.cores.tested, &file)?;
        program.wait_ready(|| phones.is_answered())?;
        Ok(Self {
            program,
            phones,
            _home: home,
            _log: log,
        })
    }
}

/// Where it is unpacked: `SWITCHHOOK_ASTERISK_DIR`, else `var/asterisk`.
fn root() -> anyhow::Result<PathBuf> {
    let dir = std::env::var_os("SWITCHHOOK_ASTERISK_DIR")
        .map_or_else(|| PathBuf::from("var/asterisk"), PathBuf::from);
    if dir.join("complete").exists() {
        return Ok(std::path::absolute(dir.join("root"))?);
    }
    let why = format!(
        "no Asterisk in {}: scripts/install-asterisk.sh unpacks it",
        dir.display()
    );
    Err(NotInstalled(why).into())
}

fn write_files(home: &Home, sip: SocketAddr, called: SocketAddr) -> anyhow::Result<()> {
    let (etc, run) = (
        home.root.join("etc").join(&home.name),
        home.root.join("run").join(&home.name),
    );
    for directory in [&etc, &run] {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
    }
    let values = [
        ("@ETC@", format!("/etc/{}", home.name)),
        ("@RUN@", format!("/run/{}", home.name)),
        ("@MODULES@", modules(&home.root)?),
        ("@SIP@", sip.port().to_string()),
        ("@CALLED@", called.to_string()),
    ];
    for (name, text) in FILES {
        let text = values.iter().fold(text.to_owned(), |text, (key, value)| {
            text.replace(key, value)
        });
        std::fs::write(etc.join(name), text)?;
    }
    Ok(())
}

/// The folder of its modules has the machine's name in it.
fn modules(root: &Path) -> anyhow::Result<String> {
    let library = root.join("usr/lib");
    let entries = std::fs::read_dir(&library)
        .with_context(|| format!("cannot read {}", library.display()))?;
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .find(|name| library.join(name).join("asterisk/modules").exists())
        .map(|name| format!("/usr/lib/{name}/asterisk/modules"))
        .context("the unpacked Asterisk has no modules")
}
