//! What the operating system says about this process, from `/proc` (`proc(5)`).

use std::fs;

/// Clock ticks of `/proc/*/stat` in a second: `USER_HZ`, 100 on every architecture that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Figures of this process; what cannot be read is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ProcessFigures {
    /// Processor time in user and kernel mode, in seconds.
    pub(crate) cpu_seconds: Option<f64>,
    /// Memory in use that is not swapped out.
    pub(crate) resident_bytes: Option<u64>,
    /// Address space.
    pub(crate) virtual_bytes: Option<u64>,
    /// Threads.
    pub(crate) threads: Option<u64>,
    /// Open file descriptors.
    pub(crate) open_files: Option<u64>,
    /// Descriptors that may be open.
    pub(crate) open_files_max: Option<u64>,
    /// When the process started, in seconds since 1970.
    pub(crate) start_seconds: Option<f64>,
}

impl ProcessFigures {
    /// The figures of this moment.
    pub(crate) fn read() -> Self {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        let directory = fs::read_dir("/proc/self/fd").ok();
        let mut figures = Self::parse(
            &text("/proc/self/stat"),
            &text("/proc/self/status"),
            &text("/proc/self/limits"),
            &text("/proc/stat"),
        );
        // Reading the directory opens a descriptor of its own.
        figures.open_files = directory.map(|entries| (entries.count() as u64).saturating_sub(1));
        figures
    }

    fn parse(stat: &str, status: &str, limits: &str, system: &str) -> Self {
        // The second field is the program's name in parentheses, and may hold spaces and parentheses itself.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_ascii_whitespace().collect())
            .unwrap_or_default();
        // Fields are counted from 1 in proc(5); what follows the name begins with the third.
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        let seconds = |ticks: f64| ticks / TICKS_PER_SECOND;
        let booted = || after(system, "btime")?.trim().parse::<f64>().ok();
        let kilobytes = |name| {
            let number = after(status, name)?.trim().strip_suffix("kB")?.trim();
            Some(number.parse::<u64>().ok()? * 1024)
        };
        Self {
            cpu_seconds: ticks(14)
                .zip(ticks(15))
                .map(|(user, kernel)| seconds(user + kernel)),
            resident_bytes: kilobytes("VmRSS:"),
            virtual_bytes: kilobytes("VmSize:"),
            threads: after(status, "Threads:").and_then(|rest| rest.trim().parse().ok()),
            open_files: None,
            open_files_max: after(limits, "Max open files")
                .and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok()),
            start_seconds: ticks(22)
                .zip(booted())
                .map(|(started, booted)| booted + seconds(started)),
        }
    }
}

/// The rest of the line that begins with `name`.
fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_where_proc_has_them() {
        let stat = "7 (water) table) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 9 0 1000 0 0";
        let status = "Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t   1024 kB\nThreads:\t9\n";
        let limits = "Limit  Soft  Hard  Units\nMax open files            1024                 4096                 files\n";
        let figures = ProcessFigures::parse(stat, status, limits, "cpu 1\nbtime 1700000000\n");
        let expected = ProcessFigures {
            cpu_seconds: Some(2.0),
            resident_bytes: Some(1024 * 1024),
            virtual_bytes: Some(2048 * 1024),
            threads: Some(9),
            open_files: None,
            open_files_max: Some(1024),
            start_seconds: Some(1_700_000_010.0),
        };
        assert_eq!(figures, expected);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        assert_eq!(
            ProcessFigures::parse("", "", "", ""),
            ProcessFigures::default()
        );
    }

    #[test]
    fn this_process_has_figures() {
        let figures = ProcessFigures::read();
        assert!(figures.resident_bytes.unwrap() > 0);
        assert!(figures.threads.unwrap() > 0);
        assert!(figures.open_files.unwrap() > 0);
        assert!(figures.start_seconds.unwrap() > 1e9);
    }
}
