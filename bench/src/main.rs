//! Measures what one core carries, beside what the machine could carry at most and what another
//! product carries on it.
//!
//! `cargo run --release -p switchhook-bench -- --quick`
//!
//! The system under test is alone on one core, the load generator on another. Ceiling, ours and
//! peer are fed by the same generator in the same run, so machine and noise cancel out in the
//! ratios. What is measured how: `docs/performance.md`.

mod assistants;
mod asterisk;
mod carrier;
mod ears;
mod echo;
mod gateway;
mod generator;
mod lossy;
mod machine;
mod marks;
mod process;
mod providers;
mod report;
mod rustpbx;
mod scenarios;
mod search;
mod sipp;
mod speech;
mod streams;
mod ua;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;

use crate::scenarios::Setting;
use crate::search::Effort;

/// Figures per core beside a ceiling and a peer.
#[derive(Debug, Parser)]
struct Arguments {
    /// Some nine minutes; without it, longer runs and more of them.
    #[arg(long)]
    quick: bool,
    /// Core of the system under test.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Core of the load generator.
    #[arg(long, default_value_t = 1)]
    generator_core: usize,
    /// Only these scenarios, comma-separated; nothing is written unless --out is given.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// One run of the media scenarios with this many calls instead of a search, for profiling;
    /// nothing is written.
    #[arg(long)]
    calls: Option<usize>,
    /// Where recordings and databases of the measured calls go; removed afterwards. A real disk.
    #[arg(long, default_value = "var/bench")]
    data_dir: PathBuf,
    /// Where the figures are written; default bench/results.json.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// No scenario is begun after this time in quick mode.
const QUICK_BUDGET: Duration = Duration::from_secs(600);

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    ensure!(
        arguments.core != arguments.generator_core,
        "--core and --generator-core are both {}: the generator would measure itself",
        arguments.core
    );
    let scenarios = scenarios::chosen(&arguments.only)?;
    let setting = Setting {
        effort: if arguments.quick {
            Effort::QUICK
        } else {
            Effort::FULL
        },
        quick: arguments.quick,
        cores: search::Cores {
            tested: arguments.core,
            generator: arguments.generator_core,
        },
        data_dir: std::path::absolute(&arguments.data_dir)?,
    };
    let _ = switchhook_media::bench_io::raise_file_limit();
    if let Some(calls) = arguments.calls {
        scenarios::single_runs(&setting, calls)?;
        return Ok(ExitCode::SUCCESS);
    }
    let began = Instant::now();
    let mut report = report::Report::new(machine::describe(), arguments.quick);
    let mut failed = Vec::new();
    for scenario in scenarios {
        if arguments.quick && began.elapsed() > QUICK_BUDGET {
            report.leave_out(scenario.name, "the time of --quick was over".to_owned());
            continue;
        }
        say(&format!("{}: {}", scenario.name, scenario.about));
        // What one scenario lacks must not take the figures of the others.
        if let Err(error) = (scenario.run)(&setting, &mut report) {
            say(&format!("{}: {error:#}", scenario.name));
            report.leave_out(scenario.name, format!("{error:#}"));
            if error.downcast_ref::<scenarios::NotInstalled>().is_none() {
                failed.push(scenario.name);
            }
        }
    }
    report.finish();
    report.print();
    let out = match (arguments.out, arguments.only.is_empty()) {
        (Some(out), _) => Some(out),
        (None, true) => Some(PathBuf::from("bench/results.json")),
        (None, false) => None,
    };
    if let Some(out) = out {
        report
            .write(&out)
            .with_context(|| format!("cannot write {}", out.display()))?;
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("failed: {}", failed.join(", ")));
    Ok(ExitCode::FAILURE)
}

/// Tells what is going on, apart from the table.
#[expect(
    clippy::print_stderr,
    reason = "a command-line tool tells its progress"
)]
fn say(text: &str) {
    eprintln!("{text}");
}
