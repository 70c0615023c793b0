//! Reads one segment from front to back: every batch against its checksum, every base offset against the batch before, every
//! entry of the indexes against the batches.
//!
//! Invariant: nothing is changed; what is not a whole batch in its place is told as [`Trouble`], and the walk goes on behind
//! it, so that one damaged place hides no other. Memory is bounded by the buffers of the walk.

use std::io;

use env::disk::DiskFile;
use types::Offset;

use super::indexes::IndexCheck;
use super::search::next_whole;
use crate::batch_header::{BatchHeader, HEADER_BYTES, HeaderError};
use crate::chain::Chain;
use crate::cut::last_nonzero;
use crate::recover::Unfit;
use crate::scan::{Broken, CHUNK_BYTES, Check, Scanner, Step};

/// What sort of trouble there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// Bytes that are no whole batch.
    Damaged,
    /// Whole batches with offsets that do not follow.
    Misplaced,
    /// Offsets that no batch has.
    Missing,
}

/// A place that is not as it should be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    pub(super) sort: Sort,
    pub(super) start: u32,
    pub(super) end: u32,
    /// The first offset concerned.
    pub(super) first: Offset,
    /// The one behind the last, if that is known.
    pub(super) next: Option<Offset>,
    pub(super) cause: Unfit,
}

/// The segment to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) base: Offset,
    /// Where the next segment begins.
    pub(super) below: Offset,
    /// Whether cleaning may have left offsets out.
    pub(super) has_gaps: bool,
    /// The end in bytes.
    pub(super) end: u32,
    /// From here on a start would cut at the first trouble.
    pub(super) strict_from: u32,
}

/// Whole batches behind a trouble.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Following {
    pub(super) batches: u64,
    pub(super) records: u64,
    pub(super) first: Offset,
    pub(super) end: Offset,
}

/// The first trouble of a part of the segment, and what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstTrouble {
    pub(super) trouble: Trouble,
    /// Further ones in the same part.
    pub(super) others: u64,
    pub(super) following: Following,
}

/// What came of a segment.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Where the next segment should begin; `None` if that cannot be told.
    pub(super) next: Option<Offset>,
    pub(super) batches: u64,
    /// The first trouble in the part that is only read.
    pub(super) lenient: Option<FirstTrouble>,
    /// The first trouble in the part that a start would check.
    pub(super) strict: Option<FirstTrouble>,
    /// Where the disk failed.
    pub(super) unreadable: Option<(u32, io::Error)>,
}

impl Walked {
    pub(super) fn is_whole(&self) -> bool {
        self.lenient.is_none() && self.strict.is_none() && self.unreadable.is_none()
    }
}

/// A walk that runs.
struct Walk<'a> {
    extent: Extent,
    expected: Offset,
    walked: Walked,
    /// The last trouble, while it may still grow.
    open: Option<Trouble>,
    indexes: &'a mut [IndexCheck],
    tell: &'a mut dyn FnMut(Trouble),
}

/// Reads a segment. `tell` gets every trouble, `progress` the bytes that were read.
pub(super) fn walk(
    file: &dyn DiskFile,
    extent: Extent,
    indexes: &mut [IndexCheck],
    tell: &mut dyn FnMut(Trouble),
    progress: &mut dyn FnMut(u64),
) -> Walked {
    let mut walk = Walk {
        extent,
        expected: extent.base,
        walked: Walked::default(),
        open: None,
        indexes,
        tell,
    };
    let mut scanner = Scanner::new(file, 0, extent.end, CHUNK_BYTES);
    let mut told = 0;
    let mut position = 0;
    loop {
        let outcome = walk.step(file, &mut scanner, &mut position);
        progress(scanner.bytes_read() - told);
        told = scanner.bytes_read();
        match outcome {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                walk.walked.unreadable = Some((position, error));
                break;
            }
        }
    }
    walk.close_trouble();
    let Walk {
        mut walked,
        expected,
        ..
    } = walk;
    // Behind a place that was not read to its end nothing is known of the offsets.
    let is_known = walked.unreadable.is_none();
    walked.next = is_known.then_some(expected);
    walked
}

impl Walk<'_> {
    /// One step; false at the end.
    fn step(
        &mut self,
        file: &dyn DiskFile,
        scanner: &mut Scanner<'_>,
        at: &mut u32,
    ) -> io::Result<bool> {
        match scanner.step(Check::Checksums)? {
            Step::End => Ok(false),
            Step::Batch { position, header } => {
                *at = position;
                self.batch(scanner, position, &header)?;
                Ok(true)
            }
            Step::Broken { position, cause } => {
                *at = position;
                self.broken(file, scanner, position, cause)
            }
        }
    }

    fn batch(
        &mut self,
        scanner: &mut Scanner<'_>,
        position: u32,
        header: &BatchHeader,
    ) -> io::Result<()> {
        let end = position + header.size;
        let (expected, found) = (self.expected, header.base());
        let mut chain = Chain::new(Some(expected), self.limit(), self.extent.has_gaps);
        if chain.follow(header) {
            self.close_trouble();
            return self.good(position, header);
        }
        let cause = Unfit::Misplaced { expected, found };
        if self.is_borne_out(scanner, end, header)? {
            self.trouble(Trouble {
                sort: Sort::Missing,
                start: position,
                end: position,
                first: expected,
                next: Some(found),
                cause,
            });
            self.close_trouble();
            return self.good(position, header);
        }
        // As for the broker: it counts as if it had the offsets that come next.
        self.expected = chain.expected().unwrap_or(expected);
        self.trouble(Trouble {
            sort: Sort::Misplaced,
            start: position,
            end,
            first: expected,
            next: Some(self.expected),
            cause,
        });
        Ok(())
    }

    /// Up to where offsets are possible, by the rule of recovery: where they are dense the next segment says nothing, for it
    /// may be a stale one.
    fn limit(&self) -> Offset {
        if self.extent.has_gaps {
            self.extent.below
        } else {
            Offset::MAX
        }
    }

    /// Whether the batch behind says that this one's base offset is right, and batches before it are missing.
    fn is_borne_out(
        &self,
        scanner: &mut Scanner<'_>,
        end: u32,
        header: &BatchHeader,
    ) -> io::Result<bool> {
        if header.base() < self.expected || header.end() > self.limit() {
            return Ok(false);
        }
        let next = if end < self.extent.end {
            BatchHeader::parse(scanner.window(end, HEADER_BYTES)?)
                .ok()
                .map(|next| next.base())
        } else {
            Some(self.extent.below)
        };
        Ok(next == Some(header.end()))
    }

    fn good(&mut self, position: u32, header: &BatchHeader) -> io::Result<()> {
        self.expected = header.end();
        self.walked.batches += 1;
        let troubles = [&mut self.walked.lenient, &mut self.walked.strict];
        for first in troubles.into_iter().flatten() {
            let following = &mut first.following;
            if following.batches == 0 {
                following.first = header.base();
            }
            following.batches += 1;
            following.records += u64::from(header.count.unsigned_abs());
            following.end = header.end();
        }
        if self.walked.is_whole() {
            for index in self.indexes.iter_mut() {
                index.compare(position, header)?;
            }
        }
        Ok(())
    }

    /// Goes on behind bytes that are no whole batch; false at the end.
    fn broken(
        &mut self,
        file: &dyn DiskFile,
        scanner: &mut Scanner<'_>,
        position: u32,
        cause: Broken,
    ) -> io::Result<bool> {
        let end = self.extent.end;
        if cause == Broken::Header(HeaderError::Zeros)
            && last_nonzero(file, u64::from(position), u64::from(end))?.is_none()
        {
            // Reserved space.
            return Ok(false);
        }
        let (expected, limit) = (self.expected, self.limit());
        let fits = |header: &BatchHeader| header.base() >= expected && header.end() <= limit;
        let found = next_whole(scanner, position, end, fits)?;
        let below = self.extent.below;
        let following = (below < Offset::MAX && below >= expected).then_some(below);
        self.trouble(Trouble {
            sort: Sort::Damaged,
            start: position,
            end: found.map_or(end, |(found, _)| found),
            first: expected,
            next: found.map(|(_, header)| header.base()).or(following),
            cause: Unfit::Broken(cause),
        });
        match found {
            Some((position, header)) => {
                self.close_trouble();
                self.good(position, &header)?;
                Ok(true)
            }
            None => {
                self.expected = following.unwrap_or(expected);
                Ok(false)
            }
        }
    }

    /// Takes a trouble down; it is told once it is known where it ends.
    fn trouble(&mut self, trouble: Trouble) {
        if let Some(open) = &mut self.open
            && open.sort == trouble.sort
            && open.end == trouble.start
        {
            open.end = trouble.end;
            open.next = trouble.next;
            return;
        }
        self.close_trouble();
        self.open = Some(trouble);
        let zone = self.zone(trouble.start);
        match zone {
            Some(first) => first.others += 1,
            None => {
                *zone = Some(FirstTrouble {
                    trouble,
                    others: 0,
                    following: Following::default(),
                });
            }
        }
    }

    fn close_trouble(&mut self) {
        let Some(trouble) = self.open.take() else {
            return;
        };
        if let Some(first) = self.zone(trouble.start)
            && first.trouble.start == trouble.start
        {
            first.trouble = trouble;
        }
        (self.tell)(trouble);
    }

    fn zone(&mut self, position: u32) -> &mut Option<FirstTrouble> {
        if position < self.extent.strict_from {
            &mut self.walked.lenient
        } else {
            &mut self.walked.strict
        }
    }
}
