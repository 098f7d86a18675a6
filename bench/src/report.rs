//! The table and the file with the figures.

#![expect(clippy::print_stdout, reason = "a command-line tool prints its result")]

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::machine::{Machine, load_average};
use crate::search::Capacity;

/// One figure, with what it is compared to.
#[derive(Debug, Serialize)]
pub struct Line {
    pub ours: f64,
    /// Another product doing the same in the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<f64>,
    /// What the machine could do at most, measured in the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<f64>,
    /// Against the ceiling, else against the peer; above 1 is better, also where less is better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    pub unit: &'static str,
    /// What the figure has to be, where a target is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Of the run the figure comes from.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, f64>,
    /// The same for the table.
    #[serde(skip)]
    pub note: String,
    #[serde(skip)]
    less_is_better: bool,
}

/// Bound of a figure.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Of the ratio to the ceiling.
    RatioAtLeast(f64),
}

impl Line {
    pub fn new(ours: f64, unit: &'static str) -> Self {
        Self {
            ours: round(ours),
            peer: None,
            ceiling: None,
            ratio: None,
            unit,
            target: None,
            details: BTreeMap::new(),
            note: String::new(),
            less_is_better: false,
        }
    }

    /// For costs and delays. To be said before the comparison.
    pub fn less_is_better(mut self) -> Self {
        self.less_is_better = true;
        self
    }

    pub fn ceiling(mut self, ceiling: f64) -> Self {
        self.ceiling = Some(round(ceiling));
        self.ratio = Some(self.compared(ceiling));
        self
    }

    pub fn peer(mut self, peer: Option<f64>) -> Self {
        if let Some(peer) = peer {
            self.peer = Some(round(peer));
            self.ratio = self.ratio.or(Some(self.compared(peer)));
        }
        self
    }

    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    pub fn detail(mut self, name: impl Into<String>, value: f64) -> Self {
        self.details.insert(name.into(), round(value));
        self
    }

    /// Adds what a run is known by: loads, late frames, time within.
    pub fn run(mut self, prefix: &str, run: &Capacity) -> Self {
        let outcome = &run.outcome;
        for (name, value) in [
            ("calls", run.calls as f64),
            ("load", outcome.load),
            ("generator_load", outcome.generator_load),
            ("bad_share", outcome.bad_share()),
            ("transit_p50_ms", outcome.transit_p50_ms),
            ("transit_p99_ms", outcome.transit_p99_ms),
        ] {
            self = self.detail(format!("{prefix}{name}"), value);
        }
        if run.is_limited_by_generator() {
            self = self.detail(format!("{prefix}limited_by_generator"), 1.0);
        }
        for (name, value) in &run.details {
            self = self.detail(format!("{prefix}{name}"), *value);
        }
        self
    }

    fn compared(&self, with: f64) -> f64 {
        let (more, less) = if self.less_is_better {
            (with, self.ours)
        } else {
            (self.ours, with)
        };
        round(more / less)
    }

    fn is_met(&self) -> Option<bool> {
        Some(match self.target? {
            Target::AtLeast(bound) => self.ours >= bound,
            Target::AtMost(bound) => self.ours <= bound,
            Target::RatioAtLeast(bound) => self.ratio.is_some_and(|ratio| ratio >= bound),
        })
    }
}

/// How loaded the core, the generator and the machine were, for the table.
pub fn loads(run: &Capacity) -> String {
    let outcome = &run.outcome;
    format!(
        "core {:.0} %, generator {:.0} %{}, bad {:.2} %",
        outcome.load * 100.0,
        outcome.generator_load * 100.0,
        if run.is_limited_by_generator() {
            " (at its end)"
        } else {
            ""
        },
        outcome.bad_share() * 100.0
    )
}

/// Collects the figures of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    machine: Machine,
    mode: &'static str,
    /// Scenarios without figures and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    left_out: BTreeMap<&'static str, String>,
    #[serde(flatten)]
    lines: BTreeMap<&'static str, Line>,
    /// Order of the table.
    #[serde(skip)]
    order: Vec<&'static str>,
}

impl Report {
    pub fn new(machine: Machine, quick: bool) -> Self {
        Self {
            machine,
            mode: if quick { "quick" } else { "full" },
            left_out: BTreeMap::new(),
            lines: BTreeMap::new(),
            order: Vec::new(),
        }
    }

    pub fn add(&mut self, name: &'static str, line: Line) {
        self.order.push(name);
        self.lines.insert(name, line);
    }

    /// A figure measured before.
    pub fn ours(&self, name: &str) -> Option<f64> {
        self.lines.get(name).map(|line| line.ours)
    }

    pub fn leave_out(&mut self, scenario: &'static str, why: String) {
        self.left_out.insert(scenario, why);
    }

    /// To be called when all was measured.
    pub fn finish(&mut self) {
        self.machine.load_average_at_end = load_average();
    }

    pub fn print(&self) {
        let machine = &self.machine;
        println!(
            "\n{} · {} cores · {} GiB · Linux {} · load average {:.1} at the start, {:.1} at the end · {}",
            machine.cpu,
            machine.cores,
            machine.memory_gib,
            machine.kernel,
            machine.load_average,
            machine.load_average_at_end,
            if machine.realtime {
                "real-time"
            } else {
                "ordinary scheduling"
            },
        );
        if machine.load_average > 0.5 {
            println!(
                "The machine was not idle when this began: take the figures as a lower bound."
            );
        }
        println!(
            "\n{:<38} {:>9} {:>9} {:>9} {:>6} {:>12}  unit · run",
            "", "ours", "peer", "ceiling", "ratio", "target"
        );
        for name in &self.order {
            let line = &self.lines[name];
            let cell = |value: Option<f64>| value.map_or("–".to_owned(), short);
            println!(
                "{:<38} {:>9} {:>9} {:>9} {:>6} {:>12}  {}{}{}",
                name,
                short(line.ours),
                cell(line.peer),
                cell(line.ceiling),
                line.ratio.map_or("–".to_owned(), |r| format!("{r:.2}")),
                target(line),
                line.unit,
                if line.note.is_empty() { "" } else { " · " },
                line.note,
            );
        }
        for (scenario, why) in &self.left_out {
            println!("not measured: {scenario}: {why}");
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

fn target(line: &Line) -> String {
    let (Some(target), Some(met)) = (line.target, line.is_met()) else {
        return "–".to_owned();
    };
    let bound = match target {
        Target::AtLeast(bound) => format!("≥ {}", short(bound)),
        Target::AtMost(bound) => format!("≤ {}", short(bound)),
        Target::RatioAtLeast(bound) => format!("× ≥ {}", short(bound)),
    };
    format!("{bound} {}", if met { "✓" } else { "✗" })
}

fn short(value: f64) -> String {
    if value >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_one_is_better_and_targets_are_judged() {
        let calls = Line::new(900.0, "calls")
            .ceiling(1_000.0)
            .target(Target::RatioAtLeast(0.6));
        assert_eq!((calls.ratio, calls.is_met()), (Some(0.9), Some(true)));
        let cost = Line::new(2.0, "ms")
            .less_is_better()
            .peer(Some(4.0))
            .target(Target::AtMost(1.0));
        assert_eq!((cost.ratio, cost.is_met()), (Some(2.0), Some(false)));
    }
}
