//! How much memory was freed that the allocator may still keep, and when it has to give it back to the system.
//!
//! An allocator keeps freed memory for the next request, which costs less than to ask the system again. But what large
//! requests left does not fit the next ones for sure, so that without a bound a process would hold many times what is in
//! use. Giving all of it back at once costs a third more CPU time for requests of some MiB.
//!
//! Invariant: what is used and what was freed since the last giving back are together at most the limit, or [`KEPT`] more
//! than what is used.

/// What may be kept even while all of the memory is in use, so that a busy broker does not give back all the time.
pub(super) const KEPT: usize = 16 * 1024 * 1024;

/// What was freed and may be kept by the allocator.
#[derive(Debug)]
pub(super) struct Freed {
    limit: usize,
    /// Bytes in use when it was looked at last.
    used: usize,
    /// Bytes that were freed since memory was last given back.
    kept: usize,
}

impl Freed {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: 0,
            kept: 0,
        }
    }

    /// So many bytes are in use now. True if what was freed has to be given back, which the caller then does.
    pub(super) fn is_due(&mut self, used: usize) -> bool {
        let before = std::mem::replace(&mut self.used, used);
        self.kept = self.kept.saturating_add(before.saturating_sub(used));
        let is_due = self.kept > self.limit.saturating_sub(used).max(KEPT);
        if is_due {
            self.kept = 0;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn what_is_used_and_what_was_freed_stay_within_the_limit_together() {
        let mut freed = Freed::new(128 * MIB);
        // Ever larger requests, none of which fits where those before it were.
        let mut kept = 0;
        let mut given_back = 0;
        for size in (0..100).map(|size| size * MIB) {
            for used in [size, 0] {
                kept += if used == 0 { size } else { 0 };
                if freed.is_due(used) {
                    kept = 0;
                    given_back += 1;
                }
                assert!(used + kept <= 128 * MIB, "{used} used and {kept} kept");
            }
        }
        assert!(given_back > 30, "{given_back}");
    }

    #[test]
    fn few_bytes_in_use_are_freed_many_times_before_they_are_given_back() {
        let mut freed = Freed::new(256 * MIB);
        let due = (0..1000).filter(|_| freed.is_due(MIB) | freed.is_due(0));
        assert_eq!(due.count(), 3, "1000 MiB were freed");
    }

    #[test]
    fn memory_beyond_the_limit_is_not_given_back_for_every_request() {
        let mut freed = Freed::new(64 * MIB);
        assert!(!freed.is_due(100 * MIB));
        let small = |freed: &mut Freed| freed.is_due(101 * MIB) | freed.is_due(100 * MIB);
        let due = (0..64).filter(|_| small(&mut freed));
        assert_eq!(due.count(), 3);
    }

    #[test]
    fn without_a_limit_nothing_is_given_back() {
        let mut freed = Freed::new(usize::MAX);
        for _ in 0..1000 {
            assert!(!freed.is_due(1024 * MIB));
            assert!(!freed.is_due(0));
        }
    }
}
