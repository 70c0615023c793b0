//! What a partition's folder holds: from its files, and from what a checkpoint said of them, to the state of its log.
//!
//! With a checkpoint, every batch behind its position is read and compared with its checksum. The first that is not whole
//! or does not follow ends the log: the file is cut there, later segments are set aside, and bytes that are not all zero
//! are kept in a `.cut` file beside it. A log that is younger than the checkpoint is read like that from its beginning on.
//! Only if the checkpoint was lost, closed segments are walked over by their headers, and the last one alone is checked
//! and cut so.
//!
//! Invariant: the result has dense offsets (but for gaps that compaction left), and every byte of it that is newer than
//! the checkpoint was compared with its checksum and written anew. The caller syncs before it shows the result to anyone.

use std::io;
use std::path::Path;

use env::disk::{Disk, OpenMode};
use types::{LeaderEpoch, Offset};

use crate::batch_header::{BatchHeader, HEADER_BYTES, HeaderError};
use crate::chain::Chain;
use crate::clean::state::{self, CleanState};
use crate::clean::swap::{recover_swaps, remove_if_there};
use crate::cut::{Cutter, last_nonzero};
use crate::files::{SegmentFile, SegmentPart, part_path};
use crate::index_files::load_index;
use crate::local_log::{Mark, Recovered};
use crate::losses::{Loss, LossKind, LossLog};
use crate::metrics::StorageMetrics;
use crate::missing::{goes_on_behind, has_all, has_returned, is_gone};
use crate::planted::{Bug, is_planted};
use crate::producer_snapshot;
use crate::producers::Producers;
use crate::read::read_batch;
use crate::retain::{LOG_START_FILE, LOG_START_VERSION, decode_log_start};
use crate::rewrite_unsynced::rewrite;
use crate::scan::{Broken, CHUNK_BYTES, Check, Scanner, Step};
use crate::segment::{Segment, SegmentFacts, SegmentIndex};
use crate::small_file;
use crate::validate::marker_of;
use crate::versions::refuse_newer_text;

/// Names the topic's id, in Kafka's format.
pub(crate) const METADATA_FILE: &str = "partition.metadata";
/// No file of ours with text in it is longer.
pub(crate) const TEXT_BYTES_MAX: u64 = 4096;
/// A snapshot of more producers than fit is not read.
pub(crate) const SNAPSHOT_BYTES_MAX: u64 = 1 << 30;
/// How much is read at once to walk over headers.
const WALK_BYTES: usize = 16 * 1024;

/// Reads partitions' folders.
#[derive(Debug)]
pub(crate) struct Recovery<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) metrics: &'a StorageMetrics,
    pub(crate) losses: &'a LossLog,
    pub(crate) now_ms: i64,
    /// The epoch of this opening: batches have earlier ones.
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) index_interval_bytes: u32,
}

/// What is known of a log before its folder is looked into.
#[derive(Debug)]
pub(crate) enum Known {
    /// The last checkpoint knew it like this.
    Checkpointed(Box<Recovered>),
    /// There is a checkpoint, and the log is not in it: all of it is newer.
    Younger,
    /// There is no checkpoint that could be read, or it says that the log was repaired since.
    Nothing,
}

/// How a segment is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// It may hold the end of the log: checksums are compared, what is not whole is cut, nothing may be missing.
    Strict,
    /// Another one follows, and nobody said how far it is whole: its headers are believed.
    Lenient,
}

/// A segment that is to be read.
#[derive(Clone, Copy, Debug)]
struct Place {
    base: Offset,
    /// Where the next one begins.
    below: Offset,
    mode: Mode,
}

/// What came of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Added {
    /// The next segment may follow.
    Whole,
    /// The log ends in it.
    Last,
    /// It begins below the end of what is there.
    Stale,
    /// It does not follow what is there.
    Misplaced,
}

impl Recovery<'_> {
    /// The log in `folder`, from what a checkpoint knew of it if the files still bear that out.
    pub(crate) fn recover(&self, folder: &Path, known: Known) -> io::Result<Recovered> {
        recover_swaps(self.disk, folder)?;
        self.rewrite_metadata(folder)?;
        let state = CleanState::read(self.disk, folder)?;
        if state.is_none() {
            let path = folder.join(state::FILE);
            let cause = "it does not hold what cleaning writes";
            self.losses
                .tell_unused(LossKind::CleanerState, &path, cause);
        }
        let mut closed = Mode::Lenient;
        let mut log_start = Offset::ZERO;
        if let Known::Younger = known {
            closed = Mode::Strict;
        }
        if let Known::Checkpointed(mut checkpointed) = known {
            checkpointed.decided = state.unwrap_or_default().decided;
            let bases = self.parts(folder)?.segments;
            log_start = checkpointed.log_start;
            let is_true = !has_returned(&checkpointed, &bases);
            let is_whole = is_true && self.still_true(folder, &checkpointed, &bases)?;
            let goes_on = is_true && goes_on_behind(&checkpointed, &bases);
            let is_told = is_gone(&checkpointed, &bases) && goes_on;
            if is_true && !is_whole && !is_told {
                self.tell_short(folder, &checkpointed)?;
            }
            if is_whole || goes_on {
                if state.is_none_or(|state| state.generation != checkpointed.generation) {
                    self.look_again(folder, &mut checkpointed, &bases, state)?;
                }
                return self.resume(folder, *checkpointed, &bases);
            }
        }
        self.read_all(folder, state, closed, log_start)
    }

    /// The commit that should have made the topic's id durable may have failed.
    fn rewrite_metadata(&self, folder: &Path) -> io::Result<()> {
        match self
            .disk
            .open(&folder.join(METADATA_FILE), OpenMode::ReadWrite)
        {
            Ok(file) => rewrite(&*file, 0, TEXT_BYTES_MAX),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Tells that the log in the folder ends before the checkpoint says.
    fn tell_short(&self, folder: &Path, checkpointed: &Recovered) -> io::Result<()> {
        let end = checkpointed.log_end;
        let length = match self.open_segment(folder, end.segment, OpenMode::Read)? {
            Some(file) => file.disk_file().length()?,
            None => 0,
        };
        let missing = u64::from(end.position).saturating_sub(length);
        self.losses.tell(Loss {
            kind: LossKind::Short,
            path: part_path(folder, end.segment, SegmentPart::Log),
            bytes: Some((length, missing)),
            offsets: Some((end.segment, Some(end.offset))),
            cause: format!(
                "the checkpoint knows a log that ends at offset {}",
                end.offset
            ),
            kept: None,
        });
        Ok(())
    }

    /// Learns anew what lies below the last segment that a checkpoint knew: cleaning has replaced some of it since. What is
    /// known of producers stays, for it was true at the checkpoint's end, and no cleaning went further.
    fn look_again(
        &self,
        folder: &Path,
        checkpointed: &mut Recovered,
        bases: &[Offset],
        state: Option<CleanState>,
    ) -> io::Result<()> {
        let tail = checkpointed.log_end.segment;
        let closed = bases.partition_point(|base| *base < tail);
        let mut seen = Recovered {
            has_gaps: true,
            ..Recovered::default()
        };
        let modes = |_| Mode::Lenient;
        let closed = bases.get(..closed).unwrap_or_default();
        self.add_segments(folder, &mut seen, closed, modes)?;
        checkpointed
            .segments
            .retain(|segment| segment.base() >= tail);
        checkpointed.segments.splice(0..0, seen.segments);
        checkpointed
            .transactions
            .replace_aborted_below(tail, &seen.transactions);
        // A damaged record of it counts as a change.
        checkpointed.generation = state.map_or(checkpointed.generation.wrapping_add(1), |state| {
            state.generation
        });
        Ok(())
    }

    /// The log as a checkpoint knew it, if nothing was appended or given up since: from a look at the names and the end,
    /// without changing anything. The folder may turn out to be another topic's; that is for who uses the log to check.
    pub(crate) fn probe(&self, folder: &Path, checkpointed: &mut Recovered) -> io::Result<bool> {
        let end = checkpointed.log_end;
        let state = CleanState::read(self.disk, folder)?;
        if state.is_none_or(|state| state.generation != checkpointed.generation) {
            return Ok(false);
        }
        let Some(last) = checkpointed.segments.last() else {
            return Ok(false);
        };
        let Some(tail) = self.open_segment(folder, last.base(), OpenMode::Read)? else {
            return Ok(false);
        };
        let tail = tail.disk_file();
        let length = tail.length()?;
        let position = u64::from(end.position);
        if length < position {
            return Ok(false);
        }
        if length > position {
            let mut header = [0; HEADER_BYTES];
            let count = tail.read_at(&mut header, position)?;
            self.metrics.recovery_bytes.add(count as u64);
            if header.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
        // A new segment would have trimmed the last one; one that is not there was given up, or is lost. Also if a loss of
        // power took all that was written between: then it must not come back behind what is next.
        let parts = self.parts(folder)?;
        let has_newer = parts.segments.last() > Some(&last.base())
            || parts.snapshots.last() > Some(&end.offset);
        if has_newer || !has_all(checkpointed, &parts.segments) {
            return Ok(false);
        }
        // Reserved space; whatever else may lie in it must not be found by a later recovery.
        checkpointed.untrimmed = length > position;
        self.read_log_start(folder, checkpointed)?;
        if end.offset < checkpointed.log_start {
            return Ok(false);
        }
        finish(checkpointed);
        Ok(true)
    }

    fn open_segment(
        &self,
        folder: &Path,
        base: Offset,
        mode: OpenMode,
    ) -> io::Result<Option<SegmentFile>> {
        match self
            .disk
            .open(&part_path(folder, base, SegmentPart::Log), mode)
        {
            Ok(file) => Ok(Some(SegmentFile::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the files still hold what the checkpoint counted on.
    fn still_true(
        &self,
        folder: &Path,
        checkpointed: &Recovered,
        bases: &[Offset],
    ) -> io::Result<bool> {
        let end = checkpointed.log_end;
        match self.open_segment(folder, end.segment, OpenMode::Read)? {
            Some(tail) => Ok(tail.disk_file().length()? >= u64::from(end.position)),
            // Retention may have given up all that the checkpoint knew: then what is left is newer.
            None => Ok(bases.iter().all(|base| *base >= end.offset)),
        }
    }

    /// Goes on from the checkpoint.
    fn resume(
        &self,
        folder: &Path,
        mut draft: Recovered,
        bases: &[Offset],
    ) -> io::Result<Recovered> {
        self.metrics.recovered_logs.add(1);
        let tail = draft.log_end.segment;
        self.read_log_start(folder, &mut draft)?;
        self.note_missing(folder, &mut draft, bases);
        let newer = bases.partition_point(|base| *base < tail);
        let modes = |_| Mode::Strict;
        self.add_segments(
            folder,
            &mut draft,
            bases.get(newer..).unwrap_or_default(),
            modes,
        )?;
        if draft.segments.last().is_none_or(|last| last.is_lost()) {
            // There is no file to cut anything off.
            draft.untrimmed = false;
        }
        self.finish(folder, &mut draft)?;
        Ok(draft)
    }

    /// Reads everything; for a log of which no checkpoint knows more than that it begins at or behind `log_start`. `closed`
    /// is how all segments but the last are read.
    fn read_all(
        &self,
        folder: &Path,
        state: Option<CleanState>,
        closed: Mode,
        log_start: Offset,
    ) -> io::Result<Recovered> {
        self.metrics.recovered_logs.add(1);
        let bases = self.parts(folder)?.segments;
        let last = bases.last().copied();
        let generation = state.map_or(1, |state| state.generation);
        let mut draft = Recovered {
            generation,
            has_gaps: generation > 0,
            decided: state.unwrap_or_default().decided,
            log_start,
            ..Recovered::default()
        };
        self.read_log_start(folder, &mut draft)?;
        self.add_segments(folder, &mut draft, &bases, |base| {
            if Some(base) == last {
                Mode::Strict
            } else {
                closed
            }
        })?;
        self.finish(folder, &mut draft)?;
        Ok(draft)
    }

    /// Ends a recovery. If records were deleted up to an end that the disk has lost again (with write caching), all that is
    /// left of the log was deleted too: its files go, so that the log begins anew at its start, without a gap within a
    /// segment.
    pub(crate) fn finish(&self, folder: &Path, draft: &mut Recovered) -> io::Result<()> {
        if draft.log_end.offset < draft.log_start && !draft.segments.is_empty() {
            for segment in std::mem::take(&mut draft.segments) {
                self.losses.tell(Loss {
                    kind: LossKind::Removed,
                    path: part_path(folder, segment.base(), SegmentPart::Log),
                    bytes: Some((0, u64::from(segment.size()))),
                    offsets: Some((segment.base(), Some(draft.log_end.offset))),
                    cause: format!("records were deleted up to offset {}", draft.log_start),
                    kept: None,
                });
                for part in [
                    SegmentPart::OffsetIndex,
                    SegmentPart::TimeIndex,
                    SegmentPart::ProducerSnapshot,
                    SegmentPart::Log,
                ] {
                    remove_if_there(self.disk, &part_path(folder, segment.base(), part))?;
                }
            }
            draft.log_end = Mark {
                offset: draft.log_start,
                segment: draft.log_start,
                ..Mark::default()
            };
            draft.reserved = 0;
            draft.untrimmed = false;
        }
        self.tell_missing_start(folder, draft);
        finish(draft);
        self.forget_later_snapshots(folder, draft.log_end.offset)
    }

    pub(crate) fn read_log_start(&self, folder: &Path, draft: &mut Recovered) -> io::Result<()> {
        if is_planted(Bug::LogStartLost) {
            return Ok(());
        }
        let path = folder.join(LOG_START_FILE);
        let Some(bytes) = small_file::read(self.disk, &path, TEXT_BYTES_MAX)? else {
            return Ok(());
        };
        refuse_newer_text(&path, &bytes, LOG_START_VERSION)?;
        let text = String::from_utf8(bytes).ok();
        match text.as_deref().and_then(decode_log_start) {
            Some(log_start) => draft.log_start = draft.log_start.max(log_start),
            None => {
                draft.is_start_unknown = true;
                let cause = "it does not hold an offset";
                self.losses.tell_unused(LossKind::LogStart, &path, cause);
            }
        }
        Ok(())
    }

    fn add_segments(
        &self,
        folder: &Path,
        draft: &mut Recovered,
        bases: &[Offset],
        mode: impl Fn(Offset) -> Mode,
    ) -> io::Result<()> {
        let cutter = Cutter::new(self.disk, self.metrics, self.losses, folder);
        for (number, base) in bases.iter().enumerate() {
            let below = bases.get(number + 1).copied().unwrap_or(Offset::MAX);
            if below <= draft.log_start {
                // Given up before, and what follows it may be gone already.
                continue;
            }
            let place = Place {
                base: *base,
                below,
                mode: mode(*base),
            };
            let behind = match self.add_segment(folder, draft, place, &cutter)? {
                Added::Whole => continue,
                Added::Last => number + 1,
                Added::Stale => {
                    // It is no reason to give up those that do follow.
                    cutter.set_aside(&[*base], draft.log_end.offset)?;
                    continue;
                }
                Added::Misplaced => number,
            };
            let end = draft.log_end.offset;
            return cutter.set_aside(bases.get(behind..).unwrap_or_default(), end);
        }
        Ok(())
    }

    /// Adds what lies behind the draft's end in the segment at `base`.
    fn add_segment(
        &self,
        folder: &Path,
        draft: &mut Recovered,
        place: Place,
        cutter: &Cutter<'_>,
    ) -> io::Result<Added> {
        let Place { base, mode, .. } = place;
        let known = draft.segments.pop_if(|segment| segment.base() == base);
        if known.is_none() {
            let first = draft.segments.is_empty();
            let follows = base == draft.log_end.offset;
            // Behind a corrupt place the offsets between are not known, and what follows is still the log.
            // Of what was deleted by request nothing need be there.
            let is_deleted = base <= draft.log_start;
            let may_skip = first
                || is_deleted
                || mode == Mode::Lenient
                || draft.after_corrupt
                || draft.has_gaps;
            let gap = base > draft.log_end.offset && may_skip;
            if base < draft.log_end.offset {
                return Ok(Added::Stale);
            }
            if !follows && !gap {
                return Ok(Added::Misplaced);
            }
            let was_corrupt = std::mem::take(&mut draft.after_corrupt);
            let is_hole = gap && !first && !is_deleted && !draft.has_gaps && !was_corrupt;
            let is_unknown = was_corrupt || first || is_deleted || is_hole;
            if is_hole {
                self.add_hole(folder, draft, base)?;
            }
            if gap && was_corrupt && !draft.producers.is_empty() {
                let path = part_path(folder, base, SegmentPart::Log);
                let cause = "the segment before it is corrupt";
                self.losses.tell_unused(LossKind::Producers, &path, cause);
            }
            if gap && is_unknown {
                // Nobody knows what producers did in the gap, where deletion, damage or the loss of a file took the records away; the
                // snapshot behind it may. Gaps of compaction hold nothing that counts, and what was aborted before a
                // gap stays so in either case.
                draft.producers = Producers::default();
                draft.transactions.forget_undecided();
            }
            draft.log_end = Mark {
                offset: base,
                segment: base,
                ..Mark::default()
            };
            self.load_snapshot(folder, draft, base, first)?;
        }
        let Some(file) = self.open_segment(folder, base, OpenMode::ReadWrite)? else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut facts = known.as_ref().map_or_else(
            || SegmentFacts::empty(base, self.now_ms),
            |segment| segment.facts(),
        );
        let from = facts.size;
        if known.is_none() {
            // The last segment is dense, for it is not cleaned; unless those behind a cleaned one are lost.
            let was_cleaned = base < draft.decided;
            facts.has_gaps = draft.has_gaps && (mode == Mode::Lenient || was_cleaned);
        }
        let mut index = if from == 0 {
            Some(SegmentIndex::default())
        } else {
            {
                let last = draft.log_end.offset.since(base).saturating_sub(1);
                let last = u32::try_from(last).unwrap_or(u32::MAX);
                load_index(self.disk, folder, base, from, last)?
            }
        };
        let length = file.disk_file().length()?;
        let end = u32::try_from(length).unwrap_or(u32::MAX);
        let broken = self.walk(folder, draft, &file, place, &mut facts, &mut index, end)?;
        let mut added = Added::Whole;
        if let Some((position, cause)) = broken {
            match mode {
                Mode::Strict => {
                    let next = draft.log_end.offset;
                    let is_cut =
                        cutter.cut(base, file.disk_file(), position, next, length, &cause)?;
                    // What a refused write left behind, and its undoing was not durable: the log went on in the next
                    // segment, which begins right here.
                    let goes_on = place.below == next;
                    if is_cut && !goes_on {
                        added = Added::Last;
                    }
                }
                // Reserved space, unless something lies behind it.
                Mode::Lenient
                    if cause == Unfit::Broken(Broken::Header(HeaderError::Zeros))
                        && last_nonzero(file.disk_file(), u64::from(position), length)?
                            .is_none() => {}
                Mode::Lenient => {
                    let next = draft.log_end.offset;
                    self.losses.tell(Loss {
                        kind: LossKind::Corrupt,
                        path: part_path(folder, base, SegmentPart::Log),
                        bytes: Some((u64::from(position), length - u64::from(position))),
                        offsets: Some((next, Some(place.below).filter(|end| *end < Offset::MAX))),
                        cause: cause.to_string(),
                        kept: None,
                    });
                    facts.size = end;
                    index = None;
                    draft.after_corrupt = true;
                }
            }
        }
        if mode == Mode::Strict {
            rewrite(file.disk_file(), u64::from(from), u64::from(facts.size))?;
        }
        draft.reserved = u64::from(facts.size);
        draft.log_end.segment = base;
        draft.log_end.position = facts.size;
        if let Some(index) = &mut index
            && mode == Mode::Lenient
        {
            index.add_time(base, &facts);
        }
        let segment = Segment::with(base, facts, index);
        if mode == Mode::Strict {
            segment.note_verified(from, facts.size, facts.has_zstd, draft.log_end.offset);
        }
        draft.segments.push(segment);
        Ok(added)
    }

    /// Walks from the end of `facts` to `end`, or to the first batch that is not whole or does not follow.
    #[allow(
        clippy::too_many_arguments,
        reason = "the parts of one segment that is being put together"
    )]
    fn walk(
        &self,
        folder: &Path,
        draft: &mut Recovered,
        file: &SegmentFile,
        place: Place,
        facts: &mut SegmentFacts,
        index: &mut Option<SegmentIndex>,
        end: u32,
    ) -> io::Result<Option<(u32, Unfit)>> {
        let Place { base, mode, .. } = place;
        // Where offsets are dense it is of no use; and a stale segment must not speak against a good one.
        let below = if facts.has_gaps {
            place.below
        } else {
            Offset::MAX
        };
        let (check, chunk) = match mode {
            Mode::Strict if is_planted(Bug::TornTailAccepted) => (Check::Headers, CHUNK_BYTES),
            Mode::Strict => (Check::Checksums, CHUNK_BYTES),
            Mode::Lenient => (Check::Headers, WALK_BYTES),
        };
        let mut walk = Scanner::new(file.disk_file(), facts.size, end, chunk);
        let broken = loop {
            match walk.step(check)? {
                Step::Batch {
                    position,
                    mut header,
                } => {
                    if mode == Mode::Lenient && !facts.has_gaps && !header.is_dense() {
                        // Damage that its checksum would tell of. Believed, it would put whatever follows out of place.
                        break Some((position, Unfit::Miscounted));
                    }
                    let expected = draft.log_end.offset;
                    let found = header.base();
                    let mut chain = Chain::new(Some(expected), below, facts.has_gaps);
                    if !chain.follow(&header) {
                        if mode == Mode::Strict {
                            break Some((position, Unfit::Misplaced { expected, found }));
                        }
                        // Its base offset is under no checksum. It ends where the next one begins, and readers are told.
                        let next =
                            expected.plus(u64::from(header.last_offset_delta.unsigned_abs()) + 1);
                        self.losses.tell(Loss {
                            kind: LossKind::Misplaced,
                            path: part_path(folder, base, SegmentPart::Log),
                            bytes: Some((u64::from(position), u64::from(header.size))),
                            offsets: Some((expected, Some(next))),
                            cause: Unfit::Misplaced { expected, found }.to_string(),
                            kept: None,
                        });
                        header.base_offset = expected.value();
                    }
                    let start = Mark {
                        offset: header.base(),
                        segment: base,
                        position,
                        total: 0,
                    };
                    facts.add(&header);
                    if let Some(index) = index {
                        let interval = self.index_interval_bytes;
                        index.add(base, position, &header, facts, interval);
                    }
                    self.replay(draft, file, start, &header)?;
                }
                Step::End => break None,
                Step::Broken { position, cause } => break Some((position, Unfit::Broken(cause))),
            }
        };
        self.metrics.recovery_bytes.add(walk.bytes_read());
        Ok(broken)
    }

    /// Takes a batch behind the draft's end into account.
    fn replay(
        &self,
        draft: &mut Recovered,
        file: &SegmentFile,
        start: Mark,
        header: &BatchHeader,
    ) -> io::Result<()> {
        let marker = if header.is_control() {
            marker_of(&read_batch(file, start.position, header)?)
        } else {
            None
        };
        if !is_planted(Bug::ProducersNotReplayed)
            && let Some(change) = draft.producers.apply(header, marker, self.now_ms)
        {
            draft.transactions.note(change, start);
        }
        // The epoch is under no checksum: one that was never reached is not believed.
        if let Some(epoch) = header.epoch().filter(|epoch| *epoch < self.leader_epoch) {
            draft.epochs.begin(epoch, header.base());
        }
        draft.log_end.offset = header.end();
        Ok(())
    }

    /// Producers whose batches retention gave up live on in the snapshot of the segment that follows.
    fn load_snapshot(
        &self,
        folder: &Path,
        draft: &mut Recovered,
        base: Offset,
        first: bool,
    ) -> io::Result<()> {
        if !draft.producers.is_empty() {
            return Ok(());
        }
        let path = part_path(folder, base, SegmentPart::ProducerSnapshot);
        let Some(bytes) = small_file::read(self.disk, &path, SNAPSHOT_BYTES_MAX)? else {
            return Ok(());
        };
        producer_snapshot::refuse_newer_snapshot(&path, &bytes)?;
        match producer_snapshot::decode(&bytes, self.now_ms) {
            Some((mut producers, mut transactions)) => {
                // These have ended since. Cleaning may have removed their markers with the last of their records: nothing that
                // follows would end them.
                producers.end_below(draft.decided);
                transactions.forget_undecided_below(draft.decided);
                draft.producers = producers;
                if draft.has_gaps {
                    // Cleaning may have removed all that was left of the aborted transactions in it.
                    let before = std::mem::replace(&mut draft.transactions, transactions);
                    draft.transactions.replace_aborted_below(base, &before);
                } else if first {
                    draft.transactions = transactions;
                } else {
                    draft.transactions.resume(transactions);
                }
            }
            None => {
                let cause = "it does not match its checksum";
                self.losses.tell_unused(LossKind::Snapshot, &path, cause);
            }
        }
        Ok(())
    }
}

/// Why the log does not go on at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error(transparent)]
    Broken(Broken),
    #[error("a batch begins at offset {found}, but {expected} comes next")]
    Misplaced { expected: Offset, found: Offset },
    #[error("a batch does not have as many records as offsets")]
    Miscounted,
    #[error("these bytes never became part of the log")]
    Unclaimed,
}

/// Brings the parts of a recovered log in line with where it begins and ends.
fn finish(recovered: &mut Recovered) {
    let first = recovered.segments.first().map(|segment| segment.base());
    // A log without segments has no records.
    let first = first.unwrap_or(recovered.log_end.offset);
    let start = recovered.log_start.max(first);
    if recovered.log_end.offset < start {
        // Records were deleted up to an end that the disk lost again: the log goes on behind it.
        recovered.log_end.offset = start;
    }
    recovered.log_start = start;
    // Everything that was recovered counts as committed.
    let end = recovered.log_end.offset;
    recovered.transactions.settle(end);
    recovered.transactions.truncate_start(start);
    recovered.epochs.truncate_end(end);
    recovered.epochs.truncate_start(start);
}

/// The topic id that a partition's folder names, as text; `None` if it names none.
pub(crate) fn read_topic_id(disk: &dyn Disk, folder: &Path) -> io::Result<Option<String>> {
    let bytes = small_file::read(disk, &folder.join(METADATA_FILE), TEXT_BYTES_MAX)?;
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(text.as_deref().and_then(decode_topic_id).map(str::to_owned))
}

/// Whether the file that names the topic's id is what a crash leaves while it is written for the first time: missing, or the
/// beginning of it.
pub(crate) fn is_half_named(disk: &dyn Disk, folder: &Path, topic_id: &str) -> io::Result<bool> {
    let bytes = small_file::read(disk, &folder.join(METADATA_FILE), TEXT_BYTES_MAX)?;
    let bytes = bytes.unwrap_or_default();
    let end = bytes.iter().rposition(|byte| *byte != 0);
    let written = bytes.get(..end.map_or(0, |last| last + 1));
    let whole = encode_topic_id(topic_id);
    Ok(written.is_some_and(|written| whole.as_bytes().starts_with(written)))
}

/// The file's text (Kafka's `PartitionMetadataFile`).
pub(crate) fn encode_metadata(topic_id: types::TopicId) -> String {
    encode_topic_id(&topic_id.to_string())
}

pub(crate) fn encode_topic_id(topic_id: &str) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

pub(crate) fn decode_topic_id(text: &str) -> Option<&str> {
    let mut lines = text.lines();
    if lines.next()?.trim() != "version: 0" {
        return None;
    }
    lines.next()?.strip_prefix("topic_id: ").map(str::trim)
}
