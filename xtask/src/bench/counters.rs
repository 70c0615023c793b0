//! What the kernel has charged to one process, from `/proc`. Totals only grow, so a slice is a difference of two readings.
//!
//! Threads that ended take their context switches with them; brokers keep theirs during a slice.

use std::fs;

use anyhow::{Context, Result};

/// Ticks of `/proc/PID/stat` in a second: USER_HZ, 100 on every Linux architecture Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// Totals of a process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) user_s: f64,
    pub(crate) system_s: f64,
    pub(crate) minor_faults: f64,
    pub(crate) voluntary_switches: f64,
    /// Bytes asked for by read calls, out of the page cache or not.
    pub(crate) read_bytes: f64,
    /// Bytes fetched from the disk.
    pub(crate) disk_read_bytes: f64,
}

/// Memory of a process now, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) resident_kib: f64,
    pub(crate) anonymous_kib: f64,
}

impl Counters {
    pub(crate) fn read(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("no process {pid}"))?;
        let after_name = stat
            .rsplit_once(") ")
            .context("/proc/PID/stat has no name")?
            .1;
        // proc(5) counts fields from 1 and the first after the name is 3.
        let field = |number: usize| -> Result<f64> {
            Ok(after_name
                .split(' ')
                .nth(number - 3)
                .context("/proc/PID/stat is short")?
                .parse()?)
        };
        let io = fs::read_to_string(format!("/proc/{pid}/io")).context("reading /proc/PID/io")?;
        let mut voluntary_switches = 0.0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end between the listing and the read.
            if let Ok(status) = fs::read_to_string(task?.path().join("status")) {
                voluntary_switches += named_number(&status, "voluntary_ctxt_switches:")?;
            }
        }
        Ok(Self {
            minor_faults: field(10)?,
            user_s: field(14)? / TICKS_PER_SECOND,
            system_s: field(15)? / TICKS_PER_SECOND,
            voluntary_switches,
            read_bytes: named_number(&io, "rchar:")?,
            disk_read_bytes: named_number(&io, "read_bytes:")?,
        })
    }

    /// What was added since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            user_s: self.user_s - earlier.user_s,
            system_s: self.system_s - earlier.system_s,
            minor_faults: self.minor_faults - earlier.minor_faults,
            voluntary_switches: self.voluntary_switches - earlier.voluntary_switches,
            read_bytes: self.read_bytes - earlier.read_bytes,
            disk_read_bytes: self.disk_read_bytes - earlier.disk_read_bytes,
        }
    }

    pub(crate) fn cpu_s(&self) -> f64 {
        self.user_s + self.system_s
    }
}

impl Memory {
    pub(crate) fn read(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("no process {pid}"))?;
        Ok(Self {
            resident_kib: named_number(&status, "VmRSS:")?,
            anonymous_kib: named_number(&status, "RssAnon:")?,
        })
    }
}

/// Memory maps and open files of a process now.
pub(crate) fn maps_and_files(pid: u32) -> Result<(usize, usize)> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?
        .lines()
        .count();
    let files = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    Ok((maps, files))
}

/// CPU seconds the machine as a whole was busy, and those the hypervisor took, since it started.
pub(crate) fn machine_busy_and_stolen_s() -> Result<(f64, f64)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let ticks = line
        .split_whitespace()
        .skip(1)
        .map(str::parse)
        .collect::<Result<Vec<f64>, _>>()?;
    // user, nice, system, idle, iowait, irq, softirq, steal
    let at = |index: usize| ticks.get(index).copied().unwrap_or(0.0) / TICKS_PER_SECOND;
    Ok((at(0) + at(1) + at(2) + at(5) + at(6), at(7)))
}

fn named_number(text: &str, name: &str) -> Result<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .with_context(|| format!("no {name}"))?;
    Ok(line
        .split_whitespace()
        .next()
        .with_context(|| format!("{name} is empty"))?
        .parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_matched_at_the_start_of_a_line_only() {
        let text = "nonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t5\nVmRSS:\t 12 kB\n";
        assert_eq!(named_number(text, "voluntary_ctxt_switches:").unwrap(), 5.0);
        assert_eq!(named_number(text, "VmRSS:").unwrap(), 12.0);
        assert!(named_number(text, "RssAnon:").is_err());
    }

    #[test]
    fn this_process_has_counters_and_memory() {
        let pid = std::process::id();
        let first = Counters::read(pid).unwrap();
        let second = Counters::read(pid).unwrap();
        assert!(second.since(&first).read_bytes >= 0.0);
        assert!(Memory::read(pid).unwrap().resident_kib > 0.0);
    }
}
