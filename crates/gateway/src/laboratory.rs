//! What the demo and `switchhook lab` tell each other through the data directory: the account, made
//! once by the lab, and where the demo's speech server is. Demo mode only; no secret is in a shipped
//! file.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::Rng;
use serde::{Deserialize, Serialize};
use switchhook_call::TransferMethod;
use switchhook_media::srtp::sdes::SrtpPolicy;
use switchhook_sip::{CallLimits, SipTransport};

use crate::config::{Config, DtmfMode, Mode, Secret, TrunkSection, TrunkWatch};

/// How long the lab may take to accept a connection.
const KNOCK: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
#[error("{path}: {cause}")]
pub struct LaboratoryError {
    path: String,
    cause: std::io::Error,
}

/// `lab.json`.
#[derive(Serialize, Deserialize)]
struct File {
    account_sid: String,
    auth_token: String,
    /// The lab's number, E.164.
    number: String,
    /// Where the lab listens.
    address: SocketAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trunk: Option<TrunkFile>,
}

/// The lab's Elastic SIP trunk.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct TrunkFile {
    address: SocketAddr,
    username: String,
    password: String,
    /// E.164.
    number: String,
}

/// The account of the lab.
#[derive(Debug)]
pub struct Account {
    pub sid: String,
    pub token: Secret,
    /// Where both are kept.
    pub path: PathBuf,
}

/// A trunk of the lab.
#[derive(Debug)]
pub struct Trunk {
    pub username: String,
    pub password: Secret,
}

/// The lab's account: the one of last time, or a new one of random digits, readable by its owner only.
///
/// # Errors
/// If the data directory cannot be written.
pub fn account(dir: &Path, number: &str, address: SocketAddr) -> Result<Account, LaboratoryError> {
    let path = path_of(dir);
    let fail = |cause| LaboratoryError {
        path: path.display().to_string(),
        cause,
    };
    std::fs::create_dir_all(dir).map_err(fail)?;
    let known = read(&path).filter(|file| file.auth_token.len() >= 32);
    let (account_sid, auth_token) = match known {
        Some(file) => (file.account_sid, file.auth_token),
        None => (format!("AC{}", random_hex()), random_hex()),
    };
    let file = File {
        account_sid,
        auth_token,
        number: number.to_owned(),
        address,
        // It is there when it has been opened.
        trunk: None,
    };
    file.write(&path).map_err(fail)?;
    Ok(Account {
        sid: file.account_sid,
        token: Secret::new(file.auth_token),
        path,
    })
}

/// The lab has opened a trunk: who may call over it. The password is as old as the account's token.
///
/// # Errors
/// If the data directory cannot be written.
pub fn trunk(dir: &Path, number: &str, address: SocketAddr) -> Result<Trunk, LaboratoryError> {
    let path = path_of(dir);
    let fail = |cause| LaboratoryError {
        path: path.display().to_string(),
        cause,
    };
    let mut file = read(&path).ok_or_else(|| fail(std::io::ErrorKind::NotFound.into()))?;
    let trunk = TrunkFile {
        address,
        username: "lab".to_owned(),
        // Twilio's credentials need capitals, too (REST: CredentialLists).
        password: format!("Lab-{}", &file.auth_token[..20.min(file.auth_token.len())]),
        number: number.to_owned(),
    };
    file.trunk = Some(trunk.clone());
    file.write(&path).map_err(fail)?;
    Ok(Trunk {
        username: trunk.username,
        password: Secret::new(trunk.password),
    })
}

impl File {
    fn write(&self, path: &Path) -> std::io::Result<()> {
        write_private(path, &serde_json::to_string_pretty(self)?)
    }
}

/// The demo without an account of its own takes the lab's, if the lab runs. Gives the address of the
/// lab's page. Calls out stay simulated.
pub async fn adopt(config: &mut Config) -> Option<String> {
    if config.mode != Mode::Demo {
        return None;
    }
    let twilio = config.twilio.as_mut()?;
    if twilio.account_sid.is_some() || !twilio.auth_tokens.is_empty() {
        return None;
    }
    let file = read(&path_of(&config.data.dir))?;
    let knock = tokio::net::TcpStream::connect(file.address);
    if !matches!(tokio::time::timeout(KNOCK, knock).await, Ok(Ok(_))) {
        tracing::debug!("there is an account of the lab, but no lab that runs");
        return None;
    }
    let url = format!("http://{}", file.address);
    twilio.is_lab = true;
    twilio.account_sid = Some(file.account_sid);
    twilio.auth_tokens = vec![Secret::new(file.auth_token)];
    twilio.api_url.clone_from(&url);
    if let Ok(number) = file.number.parse() {
        twilio.number = Some(number);
    }
    // The lab has nobody to call but the phones of its page: who orders a call out gets what a demo
    // without the lab gives, too.
    if config.trunks.is_empty() {
        config.outbound.simulate = true;
    }
    if let Some(trunk) = file.trunk
        && config.trunks.is_empty()
    {
        tracing::info!(trunk = %trunk.address, "calls over the lab's trunk are taken");
        config.sip.assistant_numbers.push(trunk.number.clone());
        config.trunks.insert("lab".to_owned(), section(trunk));
    }
    tracing::info!(lab = url, "calls of the lab are taken");
    Some(url)
}

/// Calls come from the port at which the trunk listens, so no other program here is taken for it.
fn section(trunk: TrunkFile) -> TrunkSection {
    TrunkSection {
        termination: Some(trunk.address.to_string()),
        transport: SipTransport::Udp,
        addresses: trunk.address.to_string().parse().into_iter().collect(),
        username: Some(trunk.username),
        password: Some(Secret::new(trunk.password)),
        inbound: None,
        from_user: None,
        from_domain: None,
        caller_id: trunk.number.parse().ok(),
        codecs: None,
        srtp: SrtpPolicy::Off,
        dtmf: DtmfMode::Auto,
        early_media: true,
        watch: TrunkWatch {
            qualify_every: Some(Duration::from_secs(30)),
            skip_when_down: false,
            registration: None,
        },
        calls: CallLimits::default(),
        transfer: TransferMethod::Bridge,
        may_refer: false,
    }
}

/// The lab is told where the demo's own speech server is.
pub fn tell_speech(config: &Config, url: &str) {
    if config.mode != Mode::Demo {
        return;
    }
    let path = speech_path(&config.data.dir);
    if let Err(error) = std::fs::write(&path, url) {
        // Only the lab's ears miss it.
        tracing::warn!(%error, path = %path.display(), "the lab is not told of the speech server");
    }
}

/// Where the demo's own speech server was when it last started.
pub fn speech(dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(speech_path(dir)).ok()?;
    Some(text.trim().to_owned()).filter(|url| url.starts_with("http://127.0.0.1:"))
}

fn path_of(dir: &Path) -> PathBuf {
    dir.join("lab.json")
}

fn speech_path(dir: &Path) -> PathBuf {
    dir.join("speech.url")
}

fn read(path: &Path) -> Option<File> {
    let text = std::fs::read_to_string(path).ok()?;
    let file = serde_json::from_str(&text);
    file.inspect_err(|error| tracing::warn!(%error, path = %path.display(), "not read"))
        .ok()
}

fn random_hex() -> String {
    let mut bytes = [0_u8; 16];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whole or not at all: a gateway may be reading it.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let new = path.with_extension("json.new");
    // A file that somebody else left open to all would stay so.
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::{Environment, Source, load};

    fn demo(dir: &Path) -> Config {
        let environment = Environment::from_pairs([("SWITCHHOOK_DATA_DIR", dir.to_str().unwrap())]);
        load(&Source::Profile("demo".into()), &environment).unwrap()
    }

    #[tokio::test]
    async fn the_demo_takes_the_account_of_a_lab_that_runs() {
        let dir = tempfile::tempdir().unwrap();
        let lab = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let address = lab.local_addr().unwrap();
        let mut config = demo(dir.path());
        assert_eq!(adopt(&mut config).await, None, "there was never a lab");
        let made = account(dir.path(), "+493023125000", address).unwrap();
        let mode = std::fs::metadata(&made.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = account(dir.path(), "+493023125000", address).unwrap();
        assert_eq!(made.token, again.token, "the account stays");
        assert!(!format!("{made:?}").contains(made.token.expose()));
        assert_eq!(adopt(&mut config).await, Some(format!("http://{address}")));
        let twilio = config.twilio.as_ref().unwrap().clone();
        assert_eq!(twilio.account_sid, Some(made.sid));
        assert_eq!(twilio.auth_tokens, vec![made.token]);
        assert_eq!(twilio.api_url, format!("http://{address}"));
        assert!(twilio.is_lab && config.outbound.simulate);
        assert!(config.trunks.is_empty(), "the lab has no trunk");
        let sip = "127.0.0.1:5090".parse().unwrap();
        let opened = trunk(dir.path(), "+493023125001", sip).unwrap();
        let mut config = demo(dir.path());
        adopt(&mut config).await.unwrap();
        let known = &config.trunks["lab"];
        assert_eq!(known.termination.as_deref(), Some("127.0.0.1:5090"));
        assert_eq!(known.password, Some(opened.password));
        let answered = &config.sip.assistant_numbers;
        assert!(answered.iter().any(|number| number == "+493023125001"));
        assert!(config.outbound.simulate, "calls out stay simulated");
        account(dir.path(), "+493023125000", address).unwrap();
        let mut config = demo(dir.path());
        adopt(&mut config).await.unwrap();
        assert!(config.trunks.is_empty(), "the lab of today has none");
        drop(lab);
        let mut config = demo(dir.path());
        assert_eq!(adopt(&mut config).await, None, "the lab does not run");
        assert!(config.twilio.unwrap().auth_tokens.is_empty());
    }
}
