//! What a piece of work cost this process: CPU time, page faults, context switches and system calls.
//!
//! Totals are read before and after; the difference belongs to the work as long as no thread that did part of it has ended
//! in between (an ended thread's context switches are no longer listed). System calls are counted by the code that makes
//! them, since counting them from outside slows the process down.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// System calls made by the measured code of this process.
static SYSCALLS: AtomicU64 = AtomicU64::new(0);

/// Counts `calls` system calls.
pub(crate) fn count_syscalls(calls: u64) {
    SYSCALLS.fetch_add(calls, Ordering::Relaxed);
}

/// The wall clock. The floor program measures the real machine, so it has no simulated one.
#[allow(
    clippy::disallowed_methods,
    reason = "the floor program measures the real clock and is never simulated"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Totals of this process at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Totals {
    at: Instant,
    cpu: Duration,
    user_ticks: u64,
    system_ticks: u64,
    minor_faults: u64,
    context_switches: u64,
    syscalls: u64,
}

/// What happened between two [`Totals`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// Share of `cpu` spent in user space, 0 to 1, from the kernel's ticks.
    pub(crate) user_share: f64,
    pub(crate) minor_faults: u64,
    pub(crate) context_switches: u64,
    pub(crate) syscalls: u64,
}

impl Totals {
    /// Reads the totals from the kernel.
    pub(crate) fn read() -> Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat").context("reading /proc/self/stat")?;
        let after_name = stat
            .rsplit_once(") ")
            .context("/proc/self/stat has no process name")?
            .1;
        let field = |index: usize| -> Result<u64> {
            after_name
                .split(' ')
                .nth(index)
                .context("/proc/self/stat is short")?
                .parse()
                .context("/proc/self/stat")
        };
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = Duration::try_from(cpu).context("the process clock is negative")?;
        Ok(Self {
            at: now(),
            cpu,
            // Fields 10, 14 and 15 of proc(5); counting restarts after the name, at field 3.
            minor_faults: field(7)?,
            user_ticks: field(11)?,
            system_ticks: field(12)?,
            context_switches: context_switches()?,
            syscalls: SYSCALLS.load(Ordering::Relaxed),
        })
    }

    /// The cost since `self` was read.
    pub(crate) fn cost_until_now(&self) -> Result<Cost> {
        let end = Self::read()?;
        let user = end.user_ticks - self.user_ticks;
        let system = end.system_ticks - self.system_ticks;
        Ok(Cost {
            wall: end.at - self.at,
            cpu: end.cpu.saturating_sub(self.cpu),
            user_share: user as f64 / (user + system).max(1) as f64,
            minor_faults: end.minor_faults - self.minor_faults,
            context_switches: end.context_switches.saturating_sub(self.context_switches),
            syscalls: end.syscalls - self.syscalls,
        })
    }
}

/// Context switches, voluntary and not, of the threads alive now.
fn context_switches() -> Result<u64> {
    let mut total = 0;
    for task in fs::read_dir("/proc/self/task").context("listing threads")? {
        let status = match fs::read_to_string(task?.path().join("status")) {
            Ok(status) => status,
            // The thread ended between the listing and the read.
            Err(error) if matches!(error.raw_os_error(), Some(2 | 3)) => continue,
            Err(error) => return Err(error).context("reading a thread's status"),
        };
        for line in status.lines().filter(|line| line.contains("ctxt_switches")) {
            let count = line
                .split_whitespace()
                .last()
                .context("a context switch line is empty")?;
            total += count.parse::<u64>().context("a context switch count")?;
        }
    }
    Ok(total)
}

/// The median of `values`, which are sorted by the call.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which `share` of `values` lies; 0 for none. Sorts `values`.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let index = (last as f64 * share).round() as usize;
    values.get(index).copied().unwrap_or(0.0)
}
