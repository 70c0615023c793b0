//! Whether the disk has room for writes, as far as writes have told; [`Shared`](crate::shared::Shared) says it in the log.
//!
//! Invariant: what is told changes with the state of the disk, not with each attempt. While large writes find no room small
//! ones still do, so that a write ends a lack only if it is as large as those that failed, or if none failed for a while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use types::Instant;

/// After so long without a write that found no room there is some again, however small the others were.
const QUIET: Duration = Duration::from_secs(10);

/// Whether there is room.
#[derive(Debug, Default)]
pub(crate) struct Room {
    is_full: AtomicBool,
    lack: Mutex<Option<Lack>>,
}

/// There is no room.
#[derive(Debug)]
struct Lack {
    /// The largest write that found none.
    bytes: usize,
    /// When the last one did.
    last: Instant,
}

impl Room {
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// A write of `bytes` found no room. True if there was some before.
    pub(crate) fn lacked(&self, bytes: usize, now: Instant) -> bool {
        let mut lack = self.lack.lock();
        let before = lack.as_ref().map(|lack| lack.bytes);
        let bytes = bytes.max(before.unwrap_or(0));
        *lack = Some(Lack { bytes, last: now });
        self.is_full.store(true, Ordering::Relaxed);
        before.is_none()
    }

    /// A write of `bytes` found room. True if that ends a lack.
    pub(crate) fn found(&self, bytes: usize, now: Instant) -> bool {
        let mut lack = self.lack.lock();
        let ends = |lack: &mut Lack| bytes >= lack.bytes || now.since(lack.last) >= QUIET;
        let ended = lack.take_if(ends).is_some();
        if ended {
            self.is_full.store(false, Ordering::Relaxed);
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(ms))
    }

    #[test]
    fn small_writes_that_find_room_between_large_ones_that_do_not_tell_nothing() {
        let room = Room::default();
        assert!(!room.found(10, at(0)));
        let mut told = 0;
        for attempt in 1..1000 {
            told += u32::from(room.lacked(1_000_000, at(attempt * 10)));
            told += u32::from(room.lacked(100, at(attempt * 10)));
            told += u32::from(room.found(100, at(attempt * 10 + 5)));
            assert!(room.is_full());
        }
        assert_eq!(told, 1);
        assert!(room.found(1_000_000, at(10_000)), "there is room for all");
        assert!(!room.is_full());
        assert!(!room.found(1_000_000, at(10_000)), "that is no news");
        assert!(room.lacked(100, at(10_001)), "this is");
    }

    #[test]
    fn a_lack_ends_when_no_write_meets_it_any_more() {
        let room = Room::default();
        assert!(room.lacked(1_000_000, at(0)));
        assert!(!room.lacked(1_000_000, at(5_000)));
        assert!(!room.found(100, at(14_999)));
        assert!(room.found(100, at(15_000)));
        assert!(!room.is_full());
    }
}
