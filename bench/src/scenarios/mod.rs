//! What is measured, in this order.

mod assistant_calls;
mod beside_rustpbx;
mod bridged;
mod latency;
mod media_streams;
mod overload;
mod signalling;
mod sip_bridged;
mod webhooks;

use std::path::PathBuf;

use anyhow::bail;

use crate::report::{Report, loads};
use crate::say;
use crate::search::{self, Capacity, Cores, Effort, Subject};

/// How a run is done.
#[derive(Debug, Clone)]
pub struct Setting {
    pub effort: Effort,
    pub quick: bool,
    pub cores: Cores,
    pub data_dir: PathBuf,
}

/// A group of figures.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub about: &'static str,
    pub run: fn(&Setting, &mut Report) -> anyhow::Result<()>,
}

const ALL: [Scenario; 9] = [
    Scenario {
        name: "bridged",
        about: "bridged calls, also SRTP and Opus, and plain UDP echo",
        run: bridged::run,
    },
    Scenario {
        name: "assistants",
        about: "calls with an assistant: plain, voice detection, recorded, SRTP, Opus",
        run: assistant_calls::run,
    },
    Scenario {
        name: "signalling",
        about: "short calls by SIPp: to SIPp, to the SIP endpoint, to the whole gateway",
        run: signalling::run,
    },
    Scenario {
        name: "sip-bridged",
        about: "calls set up by SIP and bridged by the whole gateway, and by Asterisk",
        run: sip_bridged::run,
    },
    Scenario {
        name: "latency",
        about: "end of speech to reply, speech to silence, pacing, beside loaded neighbours",
        run: latency::run,
    },
    Scenario {
        name: "overload",
        about: "twice the admitted calls",
        run: overload::run,
    },
    Scenario {
        name: "webhooks",
        about: "signed webhooks of Twilio calls, stored before they are answered; kill -9",
        run: webhooks::run,
    },
    Scenario {
        name: "streams",
        about: "assistant calls over Twilio's media streams, and over pipecat",
        run: media_streams::run,
    },
    Scenario {
        name: "rustpbx",
        about: "calls set up by SIP and bridged by rustpbx, and by the whole gateway",
        run: beside_rustpbx::run,
    },
];

/// A program a scenario needs is not there: left out, not failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotInstalled(pub String);

/// The scenarios with these names; all when none is named.
pub fn chosen(names: &[String]) -> anyhow::Result<Vec<Scenario>> {
    for name in names {
        if !ALL.iter().any(|scenario| scenario.name == name) {
            let known: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
            bail!("--only {name}: there is {}", known.join(", "));
        }
    }
    let wanted = |s: &Scenario| names.is_empty() || names.iter().any(|name| name == s.name);
    Ok(ALL.into_iter().filter(wanted).collect())
}

/// A search that tells its result at once.
fn capacity(
    setting: &Setting,
    what: &str,
    subject: &dyn Subject,
    effort: Effort,
) -> anyhow::Result<Capacity> {
    let found = search::capacity(subject, setting.cores, effort)?;
    say(&format!(
        "  {what}: {} calls, {}",
        found.calls,
        loads(&found)
    ));
    Ok(found)
}

/// Each media subject once, with the given number of calls.
pub fn single_runs(setting: &Setting, calls: usize) -> anyhow::Result<()> {
    for (name, subject, effort) in bridged::subjects(setting)
        .into_iter()
        .chain(assistant_calls::subjects(setting))
    {
        let run = search::run(subject.as_ref(), calls, setting.cores, effort)?;
        let outcome = &run.outcome;
        say(&format!(
            "{name}: {calls} calls, {}, transit {}/{} ms, {:?}",
            loads(&run),
            outcome.transit_p50_ms,
            outcome.transit_p99_ms,
            run.details
        ));
    }
    Ok(())
}

type Named = (&'static str, Box<dyn Subject>, Effort);
