//! [`Settle`]: whether files have been as they are for long enough to be read.
//!
//! Invariant: a file whose time lies in the future settles too, once it has been seen the same for as long by the clock here; so no clock
//! keeps a file from being read.

use std::collections::HashMap;

/// Files that change in the future, with what they were and when they were first seen so.
pub(super) type Ahead = HashMap<String, (String, i64)>;

/// Tells it of the files of one listing.
#[derive(Debug)]
pub(super) struct Settle {
    now_ms: i64,
    settle_ms: i64,
    before: Ahead,
    /// Those of this listing.
    ahead: Ahead,
}

impl Settle {
    pub(super) fn new(now_ms: i64, settle_ms: i64, before: Ahead) -> Self {
        Self {
            now_ms,
            settle_ms,
            before,
            ahead: Ahead::new(),
        }
    }

    /// Whether a file is settled that changed last at this time, and whether that is in the future.
    pub(super) fn look(&mut self, path: &str, etag: &str, changed_ms: i64) -> (bool, bool) {
        let is_ahead = changed_ms > self.now_ms;
        let since_ms = match is_ahead {
            false => changed_ms,
            true => {
                let seen = self.before.remove(path);
                let seen = seen.filter(|(was, _)| was == etag);
                let since_ms = seen.map_or(self.now_ms, |(_, since_ms)| since_ms);
                let seen = (etag.to_owned(), since_ms);
                self.ahead.insert(path.to_owned(), seen);
                since_ms
            }
        };
        let settled = self.now_ms.saturating_sub(since_ms) >= self.settle_ms;
        (settled, is_ahead)
    }

    /// What the next listing begins with.
    pub(super) fn done(self) -> Ahead {
        self.ahead
    }
}
