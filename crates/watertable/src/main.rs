//! The `watertable` binary; everything it does is in the library beside it, but for the allocator.

use std::process::ExitCode;

/// glibc's allocator keeps memory that threads gave back; a broker that runs for months shows it.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "mimalloc")]
#[allow(unsafe_code, reason = "the allocator is written in C")]
mod allocator {
    // SAFETY: as in `mimalloc.h` of the allocator that is linked for `ALLOCATOR`. Any thread may call it at any time: what is
    // in use stays as it is.
    unsafe extern "C" {
        /// Frees what this thread keeps, and with `force` gives all that no thread uses back to the system.
        pub(super) safe fn mi_collect(force: bool);
    }
}

/// Has the allocator give freed memory back to the system, which by itself it does when it sees fit.
fn give_back_memory() {
    #[cfg(feature = "mimalloc")]
    allocator::mi_collect(true);
}

fn main() -> ExitCode {
    watertable::run(give_back_memory)
}

#[cfg(test)]
#[cfg(feature = "mimalloc")]
mod tests {
    use std::hint::black_box;

    fn resident_bytes() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<usize>().unwrap() * 1024
    }

    /// Requests whose memory another thread frees, as the runtime's threads do to each other.
    fn use_and_free(sizes: &[usize]) {
        let buffers: Vec<_> = sizes.iter().map(|&size| vec![1_u8; size]).collect();
        let other = std::thread::Builder::new();
        let freed = other.spawn(move || drop(black_box(buffers))).unwrap();
        freed.join().unwrap();
    }

    #[test]
    fn memory_that_was_freed_is_given_back_when_asked_for() {
        const MIB: usize = 1024 * 1024;
        let before = resident_bytes();
        for sizes in [&[100 * MIB][..], &[MIB; 100], &[64 * 1024; 1600]] {
            use_and_free(sizes);
            super::give_back_memory();
            let kept = resident_bytes().saturating_sub(before);
            assert!(kept < 20 * MIB, "{kept} of {} bytes", sizes.len());
        }
    }
}
