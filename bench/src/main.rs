//! Measures what one core carries, beside what the machine could carry at most.
//!
//! `cargo run --release -p switchhook-bench -- --quick`
//!
//! Two threads, each alone on a core: the system under test and the load generator. The ceiling is
//! a plain UDP echo that makes the same system calls on as many sockets and does nothing else, fed
//! by the same generator in the same run; so machine and noise cancel out in the ratio.

mod echo;
mod generator;
mod machine;
mod report;
mod search;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Parser;

use crate::search::Effort;

/// Bridged calls per core beside the plain UDP echo ceiling.
#[derive(Debug, Parser)]
struct Arguments {
    /// About 20 seconds instead of some minutes.
    #[arg(long)]
    quick: bool,
    /// Core of the system under test.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Core of the load generator.
    #[arg(long, default_value_t = 1)]
    generator_core: usize,
    /// One run with this many calls instead of a search, for profiling; nothing is written.
    #[arg(long)]
    calls: Option<usize>,
    /// Where the figures are written.
    #[arg(long, default_value = "bench/results.json")]
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    ensure!(
        arguments.core != arguments.generator_core,
        "--core and --generator-core are both {}: the generator would measure itself",
        arguments.core
    );
    let effort = if arguments.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    let cores = search::Cores {
        tested: arguments.core,
        generator: arguments.generator_core,
    };
    if let Some(calls) = arguments.calls {
        let subjects: [(&str, &dyn search::Subject); 3] = [
            ("plain UDP echo", &search::PlainEcho),
            ("bridged", &search::Bridges::SAME_CODEC),
            ("bridged and transcoded", &search::Bridges::TRANSCODED),
        ];
        for (name, subject) in subjects {
            report::print_single(name, &search::run(subject, calls, cores, effort)?);
        }
        return Ok(());
    }
    let mut report = report::Report::new(machine::describe(), arguments.quick);
    let echo = search::capacity(&search::PlainEcho, cores, effort).context("plain UDP echo")?;
    let bridge =
        search::capacity(&search::Bridges::SAME_CODEC, cores, effort).context("bridged calls")?;
    report.add_bridged_calls("bridged_pcmu_calls_per_core", &bridge, &echo);
    report.add_packet_cost("bridged_pcmu_packet_cost", &bridge, &echo);
    if !arguments.quick {
        let transcoded = search::capacity(&search::Bridges::TRANSCODED, cores, effort)
            .context("transcoded calls")?;
        report.add_bridged_calls("bridged_pcmu_pcma_calls_per_core", &transcoded, &echo);
    }
    report.print();
    report
        .write(&arguments.out)
        .with_context(|| format!("cannot write {}", arguments.out.display()))?;
    Ok(())
}
