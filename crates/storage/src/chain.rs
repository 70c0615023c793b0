//! [`Chain`]: whether the batches of a segment follow each other.
//!
//! A batch's base offset lies outside of its checksum, so that damage to it shows only beside its neighbours. Invariant: a
//! batch that is said to follow begins where the one before it ended (or behind, where cleaning left gaps) and ends before
//! the next segment begins.

use types::Offset;

use crate::batch_header::BatchHeader;

/// The offsets of batches one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    /// Where the next batch begins; `None` if the first one is believed.
    expected: Option<Offset>,
    /// Where the next segment begins.
    below: Offset,
    has_gaps: bool,
}

impl Chain {
    pub(crate) fn new(expected: Option<Offset>, below: Offset, has_gaps: bool) -> Self {
        Self {
            expected,
            below,
            has_gaps,
        }
    }

    /// Goes to the next batch. False if its base offset is damaged; then it counts as if it had the offsets that come next.
    pub(crate) fn follow(&mut self, header: &BatchHeader) -> bool {
        let base = header.base();
        let begins = match self.expected {
            None => true,
            Some(expected) if self.has_gaps => base >= expected,
            Some(expected) => base == expected,
        };
        let follows = begins && header.end() <= self.below;
        self.expected = if follows {
            Some(header.end())
        } else {
            let count = u64::from(header.last_offset_delta.unsigned_abs()) + 1;
            self.expected.map(|expected| expected.plus(count))
        };
        follows
    }

    /// Where the next batch begins, as far as that is known.
    pub(crate) fn expected(&self) -> Option<Offset> {
        self.expected
    }
}
