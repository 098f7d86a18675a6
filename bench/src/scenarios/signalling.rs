//! Calls set up and ended: the SIP endpoint alone, the whole gateway with its database, and SIPp
//! answering SIPp.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use switchhook_lab::providers::{FakeProviders, SpeechReply};
use switchhook_media::bench_io::pin_to_core;
use switchhook_model::{CallId, LegId};
use switchhook_sip::{SipConfig, SipEndpoint, SipEvent, TrunkConfig};
use tokio::runtime::Runtime;

use super::Setting;
use crate::gateway::Gateway;
use crate::machine::thread_time;
use crate::process::free_port;
use crate::report::{Line, Report, Target};
use crate::say;
use crate::sipp::{ShortCalls, Sipp};

const UNIT: &str = "calls per second set up and ended (200, ACK, BYE, 200), one core";
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                   m=audio 9 RTP/AVP 0\r\n";
/// Name of the endpoint's thread, for measuring.
const THREAD: &str = "bench-sip";

pub(super) fn run(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let sipp = Sipp::find()?;
    let span = Duration::from_secs(if setting.quick { 4 } else { 20 });
    let cores = setting.cores;
    let ceiling = {
        let (program, address) = sipp.answering(cores.tested)?;
        let time = || program.time();
        sipp.measure(free_port()?, address, span, cores.generator, &time)
            .context("SIPp against SIPp")?
    };
    tell("SIPp answering SIPp", &ceiling);
    let endpoint = {
        let from = free_port()?;
        let (_runtime, to) = start_endpoint(cores.tested, from)?;
        let time = || thread_time(&[THREAD]);
        sipp.measure(from, to, span, cores.generator, &time)
            .context("the SIP endpoint")?
    };
    tell("the SIP endpoint", &endpoint);
    report.add("sip_endpoint_calls_per_s", line(&endpoint, &ceiling));

    let from = free_port()?;
    let (_providers_runtime, providers) = start_providers(cores.generator)?;
    let gateway = Gateway::start(setting, &providers.url(), &trunk(from))?;
    let time = || gateway.program.time();
    let whole = sipp
        .measure(from, gateway.sip, span, cores.generator, &time)
        .context("the whole gateway")?;
    tell("the whole gateway", &whole);
    let line = line(&whole, &ceiling).target(Target::AtLeast(800.0));
    report.add("gateway_calls_per_s", line);
    Ok(())
}

/// Makes the generator a trunk: its messages are exempt from the limit per source.
fn trunk(from: SocketAddr) -> String {
    format!("[trunks.bench]\naddresses = [\"{from}\"]\n")
}

fn line(ours: &ShortCalls, ceiling: &ShortCalls) -> Line {
    let mut line = Line::new(ours.per_second, UNIT)
        .ceiling(ceiling.per_second)
        .note(note(ours));
    for (prefix, calls) in [("", ours), ("ceiling_", ceiling)] {
        for (name, value) in [
            ("completed", calls.completed as f64),
            ("failed", calls.failed as f64),
            ("retransmissions", calls.retransmissions as f64),
            ("generator_load", calls.generator_load),
            ("load", calls.tested_load),
            ("us_per_call", calls.tested_us_per_call),
        ] {
            line = line.detail(format!("{prefix}{name}"), value);
        }
    }
    line
}

fn note(calls: &ShortCalls) -> String {
    format!(
        "{:.0} µs a call, core {:.0} %, generator {:.0} %, {} failed, {} retransmissions in {}",
        calls.tested_us_per_call,
        calls.tested_load * 100.0,
        calls.generator_load * 100.0,
        calls.failed,
        calls.retransmissions,
        calls.completed
    )
}

fn tell(what: &str, calls: &ShortCalls) {
    say(&format!(
        "  {what}: {:.0} calls/s, {}",
        calls.per_second,
        note(calls)
    ));
}

/// The SIP endpoint on a thread of its own that answers every call at once.
fn start_endpoint(core: usize, caller: SocketAddr) -> anyhow::Result<(Runtime, SocketAddr)> {
    pin_to_core(core)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(THREAD)
        .enable_all()
        .build()?;
    let mut next = 0u64;
    let number = std::sync::Mutex::new(move || {
        next += 1;
        next
    });
    let ids = std::sync::Arc::new(move || {
        let mut number = number
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        LegId::derive(&CallId::from_unique(&format!("bench{}", number())), 0)
    });
    let mut config = SipConfig::new("127.0.0.1:0".parse()?, ids);
    let mut trunk = TrunkConfig::new("bench");
    trunk.addresses.push(caller.to_string().parse()?);
    config.trunks.push(trunk);
    let (endpoint, mut events) = runtime.block_on(SipEndpoint::start(config))?;
    let udp = endpoint.local_addrs().0;
    let address = *udp.first().context("the endpoint listens nowhere")?;
    runtime.spawn(async move {
        // Held here: it ends with the runtime.
        let _endpoint = endpoint;
        while let Some(event) = events.recv().await {
            if let SipEvent::Incoming(call) = event {
                // A caller that is gone is counted as failed by the generator.
                let _ = call.handle.answer(SDP.to_owned());
            }
        }
    });
    Ok((runtime, address))
}

/// A voice that answers at once, on the generator's core.
pub(super) fn start_providers(core: usize) -> anyhow::Result<(Runtime, FakeProviders)> {
    pin_to_core(core)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("bench-voice")
        .enable_all()
        .build()?;
    let providers = runtime.block_on(FakeProviders::start())?;
    providers.speech_otherwise(SpeechReply::tone(440.0).ms_per_character(10));
    Ok((runtime, providers))
}
