//! What the figures were measured on. No names: they belong to the operator.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// The machine, as far as figures depend on it.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub kernel: String,
    /// Processes waiting for a core when the measurement began: above zero is noise.
    pub load_average: f64,
    /// The measured threads ran before all others.
    pub realtime: bool,
}

/// Reads the machine's description from `/proc`; what cannot be read is left empty.
pub fn describe() -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_once(':'))
            .map_or(String::new(), |(_, value)| value.trim().to_owned())
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory_kib: u64 = memory
        .split(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let load = read("/proc/loadavg");
    let release = read("/proc/sys/kernel/osrelease");
    Machine {
        cpu: field(&read("/proc/cpuinfo"), "model name"),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        memory_gib: memory_kib.div_ceil(1024 * 1024),
        // Version numbers only: what follows a dash may name a provider.
        kernel: release.split('-').next().unwrap_or("").trim().to_owned(),
        load_average: load
            .split(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0.0),
        realtime: std::thread::spawn(|| switchhook_media::bench_io::schedule_realtime().is_ok())
            .join()
            .unwrap_or(false),
    }
}

/// Processor time of this process's threads with a name.
pub fn thread_time(name: &str) -> Duration {
    threads(name)
        .iter()
        .filter_map(|stat| fs::read_to_string(stat).ok())
        .map(|stat| {
            // Fields 14 and 15, counted after the name in brackets, which may hold blanks.
            let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
            let fields: Vec<&str> = after.split_whitespace().collect();
            let ticks = |at: usize| {
                fields
                    .get(at)
                    .and_then(|n| n.parse::<u64>().ok())
                    .unwrap_or(0)
            };
            // The kernel counts these in 1/100 s on every Linux we support.
            Duration::from_millis(10 * (ticks(11) + ticks(12)))
        })
        .sum()
}

fn threads(name: &str) -> Vec<PathBuf> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    tasks
        .filter_map(Result::ok)
        .map(|task| task.path())
        .filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name))
        .map(|task| task.join("stat"))
        .collect()
}
