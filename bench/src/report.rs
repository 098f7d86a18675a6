//! The table and the file with the figures.

#![expect(clippy::print_stdout, reason = "a command-line tool prints its result")]

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::machine::Machine;
use crate::search::Capacity;

/// One compared figure.
#[derive(Debug, Serialize)]
struct Line {
    ours: f64,
    ceiling: f64,
    ratio: f64,
    unit: &'static str,
    /// Of the runs the figures come from.
    details: Details,
}

#[derive(Debug, Serialize)]
struct Details {
    ours: RunDetails,
    ceiling: RunDetails,
}

#[derive(Debug, Serialize)]
struct RunDetails {
    /// Share of its core, 0 to 1.
    load: f64,
    generator_load: f64,
    /// Frames late, lost or wrong, of all.
    bad_share: f64,
    transit_p50_ms: f64,
    transit_p99_ms: f64,
    /// Processor time for receiving and sending one packet, in microseconds.
    us_per_packet: f64,
    limited_by_generator: bool,
}

impl RunDetails {
    fn new(run: &Capacity) -> Self {
        // Two streams of 50 packets a second for each call.
        let packets_per_second = run.calls as f64 * 100.0;
        Self {
            load: round(run.outcome.load),
            generator_load: round(run.outcome.generator_load),
            bad_share: round(run.outcome.bad_share()),
            transit_p50_ms: run.outcome.transit_p50_ms,
            transit_p99_ms: run.outcome.transit_p99_ms,
            us_per_packet: round(run.outcome.load * 1e6 / packets_per_second),
            limited_by_generator: run.is_limited_by_generator(),
        }
    }
}

/// Collects the figures of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    machine: Machine,
    mode: &'static str,
    #[serde(flatten)]
    lines: BTreeMap<&'static str, Line>,
}

impl Report {
    pub fn new(machine: Machine, quick: bool) -> Self {
        Self {
            machine,
            mode: if quick { "quick" } else { "full" },
            lines: BTreeMap::new(),
        }
    }

    pub fn add_bridged_calls(&mut self, name: &'static str, ours: &Capacity, ceiling: &Capacity) {
        let line = Line {
            ours: ours.calls as f64,
            ceiling: ceiling.calls as f64,
            ratio: round(ours.calls as f64 / ceiling.calls as f64),
            unit: "concurrent calls of two legs, 50 packets per second and direction, per core",
            details: Details {
                ours: RunDetails::new(ours),
                ceiling: RunDetails::new(ceiling),
            },
        };
        self.lines.insert(name, line);
    }

    /// What a packet costs, whatever load was reached: less noisy than the search.
    pub fn add_packet_cost(&mut self, name: &'static str, ours: &Capacity, ceiling: &Capacity) {
        let details = Details {
            ours: RunDetails::new(ours),
            ceiling: RunDetails::new(ceiling),
        };
        let line = Line {
            ours: details.ours.us_per_packet,
            ceiling: details.ceiling.us_per_packet,
            ratio: round(details.ceiling.us_per_packet / details.ours.us_per_packet),
            unit: "microseconds of processor time to receive and send a packet",
            details,
        };
        self.lines.insert(name, line);
    }

    pub fn print(&self) {
        let machine = &self.machine;
        println!(
            "{} · {} cores · {} GiB · Linux {} · load average {:.1} · {}",
            machine.cpu,
            machine.cores,
            machine.memory_gib,
            machine.kernel,
            machine.load_average,
            if machine.realtime {
                "real-time"
            } else {
                "ordinary scheduling"
            },
        );
        if machine.load_average > 0.5 {
            println!("The machine was not idle: take the figures as a lower bound.");
        }
        println!(
            "\n{:<34} {:>7} {:>6} {:>9} {:>7} {:>10} {:>10}",
            "one core, late frames ≤ 1 %",
            "calls",
            "load",
            "generator",
            "bad",
            "transit",
            "µs/packet"
        );
        for (name, line) in &self.lines {
            if line.unit.starts_with("concurrent") {
                print_run(
                    "plain UDP echo (ceiling)",
                    line.ceiling,
                    &line.details.ceiling,
                );
                print_run(name, line.ours, &line.details.ours);
                println!("{:<34} {:>7.0} %\n", "  of the ceiling", line.ratio * 100.0);
            } else {
                println!(
                    "{name}: {} {}, ceiling {}, {:.0} % of it\n",
                    line.ours,
                    line.unit,
                    line.ceiling,
                    line.ratio * 100.0
                );
            }
        }
    }

    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path, text)?;
        Ok(())
    }
}

/// A run outside of a search.
pub fn print_single(name: &str, run: &Capacity) {
    print_run(name, run.calls as f64, &RunDetails::new(run));
}

fn print_run(name: &str, calls: f64, run: &RunDetails) {
    println!(
        "{:<34} {:>7.0} {:>4.0} % {:>7.0} % {:>5.2} % {:>3.0}/{:>3.0} ms {:>10.2}{}",
        name,
        calls,
        run.load * 100.0,
        run.generator_load * 100.0,
        run.bad_share * 100.0,
        run.transit_p50_ms,
        run.transit_p99_ms,
        run.us_per_packet,
        if run.limited_by_generator {
            "  (generator at its end)"
        } else {
            ""
        },
    );
}

fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
