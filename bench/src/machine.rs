//! What the figures were measured on. No names: they belong to the operator.

use std::fs;
use std::path::{Path, PathBuf};
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
    /// The measurement itself keeps one or two cores busy.
    pub load_average_at_end: f64,
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
    let release = read("/proc/sys/kernel/osrelease");
    Machine {
        cpu: field(&read("/proc/cpuinfo"), "model name"),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        memory_gib: memory_kib.div_ceil(1024 * 1024),
        // Version numbers only: what follows a dash may name a provider.
        kernel: release.split('-').next().unwrap_or("").trim().to_owned(),
        load_average: load_average(),
        load_average_at_end: 0.0,
        realtime: std::thread::spawn(|| switchhook_media::bench_io::schedule_realtime().is_ok())
            .join()
            .unwrap_or(false),
    }
}

/// Processor time of this process's threads with one of these names.
pub fn thread_time(names: &[&str]) -> Duration {
    tasks(Path::new("/proc/self/task"))
        .filter(|task| {
            let comm = fs::read_to_string(task.join("comm")).unwrap_or_default();
            names.contains(&comm.trim())
        })
        .map(|task| task_time(&task))
        .sum()
}

/// Processor time of the calling thread, to the scheduler's tick.
pub fn own_thread_time() -> Duration {
    task_time(Path::new("/proc/thread-self"))
}

/// Processor time of another process, all threads.
pub fn process_time(pid: u32) -> Duration {
    tasks(&PathBuf::from(format!("/proc/{pid}/task")))
        .map(|task| task_time(&task))
        .sum()
}

/// The first number of `schedstat`: nanoseconds on a processor.
fn task_time(task: &Path) -> Duration {
    let text = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    let ns = text.split_whitespace().next().and_then(|n| n.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}

fn tasks(of: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(of).into_iter().flatten();
    entries.filter_map(Result::ok).map(|entry| entry.path())
}

/// Memory of a process that lies in RAM, in KiB.
pub fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Processes that wait for a core, averaged over the last minute.
pub fn load_average() -> f64 {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = load.split(' ').next().and_then(|n| n.parse().ok());
    first.unwrap_or(0.0)
}
