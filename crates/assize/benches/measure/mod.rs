//! What a process used, read where the system keeps it.
#![allow(dead_code, reason = "each benchmark uses a part")]

use nix::sys::resource::{UsageWho, getrusage};

/// CPU time and peak memory.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// User and system time.
    pub cpu_seconds: f64,
    /// Largest resident set.
    pub peak_mb: f64,
}

impl Usage {
    /// Of all children that have ended; the peak is that of the largest.
    pub fn of_children() -> Self {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
        let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        Self { cpu_seconds: seconds(usage.user_time()) + seconds(usage.system_time()), peak_mb: usage.max_rss() as f64 / 1024.0 }
    }

    /// Of a process that runs.
    pub fn of(pid: u32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).unwrap().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kilobytes: f64 = peak.split_whitespace().next().unwrap().parse().unwrap();
        Self { cpu_seconds: ticks / per_second as f64, peak_mb: kilobytes / 1024.0 }
    }
}

/// The numbers of an environment variable, separated by commas.
pub fn numbers_from(variable: &str, default: &str) -> Vec<u64> {
    let text = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    text.split(',')
        .map(|number| number.trim().parse().unwrap_or_else(|_| panic!("{variable}: {number:?} is not a number")))
        .collect()
}
