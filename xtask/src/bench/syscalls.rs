//! Counts the system calls of a running process with `perf stat`, which slows it far less than tracing would.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;

/// The calls that make data durable, by the name of their tracepoint.
const SYNCS: [&str; 4] = ["fdatasync", "fsync", "syncfs", "msync"];

/// System calls over a window.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SyscallCounts {
    pub(crate) all: f64,
    /// fdatasync, fsync, syncfs and msync.
    pub(crate) syncs: f64,
}

/// A running count.
#[derive(Debug)]
pub(crate) struct Counting {
    perf: Child,
}

impl Counting {
    /// Starts to count the calls of all threads of `pid`, those it starts later included.
    pub(crate) fn start(pid: u32) -> Result<Self> {
        let mut events = "raw_syscalls:sys_enter".to_owned();
        for sync in SYNCS {
            events.push_str(&format!(",syscalls:sys_enter_{sync}"));
        }
        let mut perf = Command::new("perf")
            .args(["stat", "-x", ",", "-e", &events, "-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("start perf")?;
        // perf has opened its counters once it sleeps; there is no other sign of it, and a tenth of a second of a slice that
        // takes many is no error worth more.
        std::thread::sleep(Duration::from_millis(300));
        if let Some(status) = perf.try_wait()? {
            bail!("perf ended with {status}: counting system calls needs tracefs and root");
        }
        Ok(Self { perf })
    }

    /// Stops, and returns the counts.
    pub(crate) fn finish(self) -> Result<SyscallCounts> {
        process::signal("INT", self.perf.id())?;
        let output = self.perf.wait_with_output().context("perf")?;
        parse(&String::from_utf8_lossy(&output.stderr))
    }
}

fn parse(text: &str) -> Result<SyscallCounts> {
    let mut counts = SyscallCounts::default();
    let mut seen = 0;
    for line in text.lines() {
        let mut fields = line.split(',');
        let (Some(count), Some(event)) = (fields.next(), fields.nth(1)) else {
            continue;
        };
        // "<not counted>" means that the process never ran.
        let count = if count == "<not counted>" {
            0.0
        } else {
            count.parse().with_context(|| line.to_owned())?
        };
        seen += 1;
        if event.starts_with("raw_syscalls") {
            counts.all = count;
        } else {
            counts.syncs += count;
        }
    }
    if seen != SYNCS.len() + 1 {
        bail!(
            "perf printed {seen} counts instead of {}:\n{text}",
            SYNCS.len() + 1
        );
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_by_event() {
        let text = "1200,,raw_syscalls:sys_enter,1,100.00,,\n7,,syscalls:sys_enter_fdatasync,1,100.00,,\n\
                    <not counted>,,syscalls:sys_enter_fsync,0,0.00,,\n2,,syscalls:sys_enter_syncfs,1,100.00,,\n\
                    0,,syscalls:sys_enter_msync,1,100.00,,\n";
        let counts = parse(text).unwrap();
        assert_eq!((counts.all, counts.syncs), (1200.0, 9.0));
    }

    #[test]
    fn an_error_of_perf_is_an_error() {
        assert!(parse("Error: no permission\n").is_err());
    }
}
