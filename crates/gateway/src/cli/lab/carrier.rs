//! `switchhook lab`: the stand-in for Twilio with its page, until it is stopped.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use clap::Args;
use switchhook_lab::carrier::{Carrier, CarrierConfig, ElasticTrunk, Number, Pace, PageConfig};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::cli::{Failure, SourceArgs, runtime, show, start_logging};
use crate::config::Config;
use crate::laboratory;

/// Of the demo, if its configuration names none.
const NUMBER: &str = "+493023125000";
/// On the trunk, if there is one.
const TRUNK_NUMBER: &str = "+493023125001";
/// Ring on the page unless others are named: the demo's extensions, and a number.
const PHONES: [&str; 3] = ["2001", "2005", "+493023125101"];

#[derive(Debug, Args)]
pub(super) struct LabCarrierArgs {
    /// Where page and API listen; anything but loopback opens them to the network, without a password
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// The gateway that answers the number; default: that of the demo on this machine
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// The number to call
    #[arg(long, value_name = "E.164")]
    number: Option<String>,
    /// An Elastic SIP trunk beside it, its SIP (UDP and TCP) at this address
    #[arg(long, value_name = "ADDRESS:PORT")]
    trunk: Option<SocketAddr>,
    /// The number on the trunk
    #[arg(long, value_name = "E.164", default_value = TRUNK_NUMBER, requires = "trunk")]
    trunk_number: String,
    /// Where calls to it go: SIP of the gateway; default: that of the demo on this machine
    #[arg(long, value_name = "ADDRESS:PORT", requires = "trunk")]
    gateway_sip: Option<SocketAddr>,
    /// A phone on the page: extension, number or SIP address; may be given several times
    #[arg(long = "phone", value_name = "ADDRESS")]
    phones: Vec<String>,
    /// Speech server with the OpenAI audio routes; default: the demo's own, while it runs
    #[arg(long, value_name = "URL")]
    speech: Option<String>,
    /// End when standard input is closed: with whoever started it
    #[arg(long)]
    exit_with_stdin: bool,
    #[command(flatten)]
    source: SourceArgs,
}

pub(super) fn run(args: LabCarrierArgs) -> Result<(), Failure> {
    start_logging("info");
    let config = args.source.clone().or_profile("demo").load()?;
    runtime()?.block_on(serve(args, config))
}

async fn serve(args: LabCarrierArgs, config: Config) -> Result<(), Failure> {
    let stopped = stop(args.exit_with_stdin).map_err(Failure::run)?;
    let gateway = match (&args.gateway, &config.public_url) {
        (Some(url), _) | (None, Some(url)) => url.trim_end_matches('/').to_owned(),
        (None, None) => format!("http://{}", config.http.bind),
    };
    let origin = Url::parse(&gateway)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(origin) = origin else {
        return Err(Failure::input(format!(
            "--gateway {gateway}: expected a URL such as http://127.0.0.1:8080"
        )));
    };
    let own = config
        .twilio
        .as_ref()
        .and_then(|twilio| twilio.number.as_ref());
    let number = match &args.number {
        Some(number) => e164("--number", number)?,
        None => own.map_or_else(|| NUMBER.to_owned(), ToString::to_string),
    };
    let taken = |error| {
        Failure::run(format!(
            "cannot listen on {}: {error}; stop the other program or give --listen",
            args.listen
        ))
    };
    // Whoever listens there must not be taken for us.
    drop(std::net::TcpListener::bind(args.listen).map_err(taken)?);
    let account = laboratory::account(&config.data.dir, &number, reached(args.listen))
        .map_err(Failure::run)?;
    let announced = Number::new(&number, &format!("{gateway}/twilio/voice"))
        .fallback(&format!("{gateway}/twilio/error"))
        .status_callback(&format!("{gateway}/twilio/status"));
    let mut phones = args.phones.clone();
    if phones.is_empty() {
        phones.extend(PHONES.map(str::to_owned));
    }
    let mut carrier = CarrierConfig {
        account_sid: account.sid.clone(),
        auth_token: account.token.expose().to_owned(),
        numbers: vec![announced],
        pace: Pace::real(),
        bind: args.listen,
        page: Some(PageConfig {
            phones: phones.clone(),
            gateway: gateway.clone(),
            speech: Some(speech_of(&args, &config)),
        }),
        ..CarrierConfig::default()
    };
    if origin.scheme() == "https" && args.gateway.is_none() {
        // The demo on this machine, known to the world by another name.
        let public = origin.origin().ascii_serialization();
        carrier.offload.insert(public, vec![config.http.bind]);
    }
    if let Some(address) = args.trunk {
        let listening = |error| {
            Failure::run(format!(
                "cannot listen on {address}: {error}; stop the other program or give --trunk another port"
            ))
        };
        if address.port() == 0 {
            return Err(Failure::input(format!(
                "--trunk {address}: name the port, gateways have to be told it"
            )));
        }
        drop(std::net::UdpSocket::bind(address).map_err(listening)?);
        drop(std::net::TcpListener::bind(address).map_err(listening)?);
        let number = e164("--trunk-number", &args.trunk_number)?;
        let at = reached(address);
        let user = laboratory::trunk(&config.data.dir, &number, at).map_err(Failure::run)?;
        carrier.numbers.push(Number::on_trunk(&number));
        carrier.trunk = Some(ElasticTrunk {
            // The termination host, without DNS.
            domain: at.ip().to_string(),
            credentials: Some((user.username, user.password.expose().to_owned())),
            bind: address,
            origination: args.gateway_sip.unwrap_or_else(|| reached(config.sip.bind)),
        });
    }
    let trunk = carrier.trunk.clone();
    let carrier = Carrier::start(carrier).await.map_err(taken)?;
    let page = format!("http://{}", reached(carrier.address()));
    show(format!(
        "\n  Switchhook lab is up.\n\n  \
         call it: {page}\n  \
         number   {number}\n  \
         gateway  {gateway}  (the demo takes this account if it is started after the lab)\n  \
         account  {sid}, token in {path}\n  \
         phones   {phones}\n",
        sid = account.sid,
        path = account.path.display(),
        phones = phones.join(", "),
    ));
    if let Some(trunk) = trunk {
        show(format!(
            "  trunk    {at} for {number}, user lab, password in {path}; calls in go to sip:{to}\n",
            at = reached(trunk.bind),
            number = args.trunk_number,
            path = account.path.display(),
            to = trunk.origination,
        ));
    }
    if !args.listen.ip().is_loopback() {
        tracing::warn!(
            listen = %args.listen,
            "the page has no password: whoever reaches this address can use it"
        );
    }
    stopped.cancelled().await;
    drop(carrier);
    Ok(())
}

fn e164(option: &str, text: &str) -> Result<String, Failure> {
    let number: switchhook_model::E164 = text
        .parse()
        .map_err(|error| Failure::input(format!("{option}: {error}")))?;
    Ok(number.to_string())
}

/// Where the lab is reached from this machine.
fn reached(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    SocketAddr::new(ip, listen.port())
}

/// The one that was named, else the demo's own.
fn speech_of(args: &LabCarrierArgs, config: &Config) -> switchhook_lab::carrier::SpeechAt {
    let named = args.speech.clone().or_else(|| config.speech.url.clone());
    let dir = config.data.dir.clone();
    Arc::new(move || named.clone().or_else(|| laboratory::speech(&dir)))
}

/// Cancelled at SIGINT or SIGTERM or, if wanted, at the end of standard input.
fn stop(with_stdin: bool) -> std::io::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stopped = CancellationToken::new();
    let told = stopped.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        told.cancel();
    });
    if with_stdin {
        let told = stopped.clone();
        // A thread of its own: nobody waits for a read that never ends.
        std::thread::spawn(move || {
            // Unreadable is as good as closed.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            told.cancel();
        });
    }
    Ok(stopped)
}
