//! What a running gateway holds: memory, file descriptors, ports, tasks.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use crate::gateway::Gateway;

/// Figures of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Open file descriptors of every kind.
    pub descriptors: usize,
    /// UDP sockets among them: SIP and one for each media leg.
    pub udp_sockets: usize,
    /// Resident memory.
    pub resident_kb: u64,
    /// Tasks of its runtime that have not ended.
    pub tasks: u64,
    /// Calls that run.
    pub calls: u64,
}

impl Usage {
    /// By what the kernel says of the process, and its own metrics.
    pub async fn of(gateway: &Gateway) -> Self {
        let process = format!("/proc/{}", gateway.pid());
        let links: Vec<String> = fs::read_dir(format!("{process}/fd"))
            .unwrap_or_else(|e| panic!("{process}/fd: {e}; is the gateway running?"))
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .map(|link| link.to_string_lossy().into_owned())
            .collect();
        let udp = udp_inodes(&process);
        let is_udp = |link: &&String| {
            link.strip_prefix("socket:[")
                .and_then(|rest| rest.strip_suffix(']'))
                .is_some_and(|inode| udp.contains(inode))
        };
        let metrics = gateway
            .client()
            .get(gateway.http_url("/metrics"))
            .send()
            .await
            .unwrap_or_else(|e| panic!("/metrics: {e}"))
            .text()
            .await
            .unwrap_or_default();
        Self {
            descriptors: links.len(),
            udp_sockets: links.iter().filter(is_udp).count(),
            resident_kb: resident_kb(&process),
            tasks: gauge(&metrics, "switchhook_tasks").expect("it is always there"),
            calls: gauge(&metrics, "switchhook_calls_active").unwrap_or(0),
        }
    }

    /// Waits until nothing is held any more that was not held at the beginning, memory aside, and
    /// returns the figures then. `spare` descriptors and tasks may remain: connections of HTTP
    /// clients that are kept for the next request.
    ///
    /// Transactions remember their last answer for 32 s (RFC 3261 §17, timers H and J), ports rest
    /// for 5 s.
    pub async fn returned_to(self, gateway: &Gateway, spare: usize, within: Duration) -> Self {
        let deadline = Instant::now() + within;
        loop {
            let now = Self::of(gateway).await;
            let is_back = now.calls == self.calls
                && now.udp_sockets <= self.udp_sockets
                && now.descriptors <= self.descriptors + spare
                && now.tasks <= self.tasks + spare as u64;
            if is_back {
                return now;
            }
            assert!(
                Instant::now() < deadline,
                "not released after {within:?}:\nat the beginning {self:?}\nnow              {now:?}"
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

fn udp_inodes(process: &str) -> BTreeSet<String> {
    ["udp", "udp6"]
        .iter()
        .filter_map(|file| fs::read_to_string(format!("{process}/net/{file}")).ok())
        .flat_map(|table| {
            let inode = |line: &str| line.split_whitespace().nth(9).map(str::to_owned);
            table.lines().skip(1).filter_map(inode).collect::<Vec<_>>()
        })
        .collect()
}

fn resident_kb(process: &str) -> u64 {
    let status = fs::read_to_string(format!("{process}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| panic!("no VmRSS in {process}/status"))
}

fn gauge(metrics: &str, name: &str) -> Option<u64> {
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
        .map(|value| value.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_read_by_its_whole_name() {
        let text = "# HELP a b\nswitchhook_tasks_more 7\nswitchhook_tasks 12\n";
        assert_eq!(gauge(text, "switchhook_tasks"), Some(12));
        assert_eq!(gauge(text, "switchhook_other"), None);
    }
}
