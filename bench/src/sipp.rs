//! SIPp (Debian package `sip-tester`) as the generator of short calls, and as the ceiling.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::process::{Program, free_port, is_taken};
use crate::scenarios::NotInstalled;

const CALLER: &str = include_str!("../sipp/caller.xml");
const CALLED: &str = include_str!("../sipp/called.xml");
/// Calls in progress: the next begins when one has ended, so the tested side sets the pace and is
/// never flooded.
const AT_ONCE: usize = 64;
/// Far more than anybody takes; `AT_ONCE` is what limits.
const RATE_MAX: &str = "30000";

/// What came of many short calls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShortCalls {
    pub per_second: f64,
    pub completed: u64,
    pub failed: u64,
    pub retransmissions: u64,
    /// Share of its core the generator used.
    pub generator_load: f64,
    /// Processor time of the tested side for each call.
    pub tested_us_per_call: f64,
    /// Share of its core the tested side used.
    pub tested_load: f64,
}

/// The installed SIPp.
pub struct Sipp {
    dir: TempDir,
}

impl Sipp {
    pub fn find() -> anyhow::Result<Self> {
        let found = Command::new("sipp").arg("-v").output().is_ok();
        if !found {
            let why = "SIPp is not installed: Debian package sip-tester";
            return Err(NotInstalled(why.to_owned()).into());
        }
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("caller.xml"), CALLER)?;
        std::fs::write(dir.path().join("called.xml"), CALLED)?;
        Ok(Self { dir })
    }

    /// The ceiling: SIPp that answers.
    pub fn answering(&self, core: usize) -> anyhow::Result<(Program, SocketAddr)> {
        let address = free_port()?;
        let mut command = self.command("called.xml", address);
        command.args(["-m", "100000000"]);
        let log = self.dir.path().join("called.log");
        let mut program = Program::start("SIPp", command, core, &log)?;
        program.wait_ready(|| is_taken(address))?;
        Ok((program, address))
    }

    fn command(&self, scenario: &str, local: SocketAddr) -> Command {
        let mut command = Command::new("sipp");
        command
            .current_dir(self.dir.path())
            .arg("-sf")
            .arg(self.dir.path().join(scenario))
            .args(["-i", "127.0.0.1", "-p", &local.port().to_string()])
            .args(["-t", "u1", "-buff_size", "4194304", "-nostdin"]);
        command
    }

    /// Makes `calls` calls to `to`. `tested_time` tells the tested side's processor time so far.
    pub fn call(
        &self,
        from: SocketAddr,
        to: SocketAddr,
        calls: u64,
        core: usize,
        tested_time: &dyn Fn() -> Duration,
    ) -> anyhow::Result<ShortCalls> {
        let statistics = self.dir.path().join("statistics.csv");
        // A file of an earlier run would be read as this one's.
        let _ = std::fs::remove_file(&statistics);
        let mut command = self.command("caller.xml", from);
        command
            .arg(to.to_string())
            .args(["-m", &calls.to_string(), "-l", &AT_ONCE.to_string()])
            .args(["-r", RATE_MAX, "-recv_timeout", "8000", "-fd", "1"])
            .args(["-trace_stat", "-stf", "statistics.csv"]);
        let log = self.dir.path().join("caller.log");
        let began = Instant::now();
        let tested_before = tested_time();
        let mut program = Program::start("SIPp", command, core, &log)?;
        let mut generator = (Duration::ZERO, Duration::ZERO);
        while !program.has_ended() {
            if began.elapsed() > Duration::from_secs(60) {
                bail!("SIPp did not end within a minute");
            }
            let used = program.time();
            // Zero once it has ended.
            if used > generator.0 {
                generator = (used, began.elapsed());
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let span = began.elapsed();
        let tested = tested_time().saturating_sub(tested_before);
        let counted = Statistics::read(&statistics)?;
        Ok(ShortCalls {
            per_second: counted.per_second,
            completed: counted.completed,
            failed: counted.failed,
            retransmissions: counted.retransmissions,
            generator_load: generator.0.as_secs_f64() / generator.1.as_secs_f64().max(1e-3),
            tested_us_per_call: tested.as_secs_f64() * 1e6 / counted.completed.max(1) as f64,
            tested_load: tested.as_secs_f64() / span.as_secs_f64(),
        })
    }

    /// A short run to see the pace, then one of about `span`.
    pub fn measure(
        &self,
        from: SocketAddr,
        to: SocketAddr,
        span: Duration,
        core: usize,
        tested_time: &dyn Fn() -> Duration,
    ) -> anyhow::Result<ShortCalls> {
        const FIRST: u64 = 300;
        let first = self.call(from, to, FIRST, core, tested_time)?;
        if first.completed == 0 {
            let errors = newest_errors(self.dir.path());
            bail!("none of {FIRST} calls was completed{errors}");
        }
        let calls = (first.per_second * span.as_secs_f64()).max(FIRST as f64) as u64;
        self.call(from, to, calls, core, tested_time)
    }
}

fn newest_errors(dir: &Path) -> String {
    let log = std::fs::read_to_string(dir.join("caller.log")).unwrap_or_default();
    let line = log.lines().rev().find(|line| !line.trim().is_empty());
    line.map_or(String::new(), |line| format!(": {}", line.trim()))
}

/// What SIPp counted.
#[derive(Debug, PartialEq)]
struct Statistics {
    per_second: f64,
    completed: u64,
    failed: u64,
    retransmissions: u64,
}

impl Statistics {
    fn read(path: &PathBuf) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("SIPp wrote no {}", path.display()))?;
        Self::parse(&text)
    }

    /// One line a second, the first names the columns.
    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().unwrap_or("").split(';').collect();
        let column = |name: &str| {
            let found = names.iter().position(|other| *other == name);
            found.with_context(|| format!("SIPp's statistics lack the column {name}"))
        };
        let (time, done) = (column("CurrentTime")?, column("SuccessfulCall(C)")?);
        let (failed, repeated) = (column("FailedCall(C)")?, column("Retransmissions(C)")?);
        let rows: Vec<Vec<&str>> = lines.map(|line| line.split(';').collect()).collect();
        let number = |row: &[&str], at: usize| -> u64 {
            row.get(at).and_then(|n| n.trim().parse().ok()).unwrap_or(0)
        };
        // Date, time of day and seconds since 1970, by tabs.
        let seconds = |row: &[&str]| -> f64 {
            let text = row.get(time).copied().unwrap_or("");
            text.rsplit('\t')
                .next()
                .and_then(|n| n.trim().parse().ok())
                .unwrap_or(0.0)
        };
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            bail!("SIPp's statistics are empty");
        };
        let total = number(last, done);
        // The first line that has all calls ends the measurement; stragglers that are given up
        // after a timeout must not stretch it.
        let enough = total - total / 100;
        let end = rows.iter().find(|row| number(row, done) >= enough);
        let end = end.unwrap_or(last);
        let span = (seconds(end) - seconds(first)).max(1e-3);
        Ok(Self {
            per_second: number(end, done) as f64 / span,
            completed: total,
            failed: number(last, failed),
            retransmissions: number(last, repeated),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_until_nearly_all_are_done() {
        let text = "CurrentTime;SuccessfulCall(C);FailedCall(C);Retransmissions(C)\n\
                    d\tt\t100.0;0;0;0\nd\tt\t101.0;500;0;2\nd\tt\t102.0;1000;0;3\n\
                    d\tt\t110.0;1001;1;9\n";
        let parsed = Statistics::parse(text).unwrap();
        assert_eq!(
            parsed,
            Statistics {
                per_second: 500.0,
                completed: 1_001,
                failed: 1,
                retransmissions: 9
            }
        );
        assert!(Statistics::parse("CurrentTime\n").is_err());
    }
}
