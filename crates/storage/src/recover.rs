//! What a partition's folder holds: from its files, and from what a checkpoint said of them, to the state of its log.
//!
//! Behind the checkpointed position every batch is read and compared with its checksum. The first that is not whole ends
//! the log: the file is cut there, later segments are set aside, and bytes that are not all zero are kept in a `.cut` file
//! beside it. Without a checkpoint the closed segments are walked over by their headers and only the last one is cut.
//!
//! Invariant: the result has dense offsets (but for gaps that compaction left), and every byte of it that is newer than
//! the checkpoint was compared with its checksum. The caller syncs before it shows the result to anyone.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::disk::{Disk, DiskFile, OpenMode};
use types::Offset;

use crate::batch_header::BatchHeader;
use crate::files::{SegmentFile, SegmentPart, parse_part, part_path};
use crate::leader_epochs::LeaderEpochs;
use crate::local_log::{Mark, Recovered};
use crate::metrics::StorageMetrics;
use crate::read::read_batch;
use crate::retain::{LOG_START_FILE, decode_log_start};
use crate::scan::{Broken, CHUNK_BYTES, Check, Scanner, Step};
use crate::segment::{Segment, SegmentFacts, SegmentIndex};
use crate::small_file;
use crate::validate::marker_of;

/// Holds the leader epochs of a partition, in Kafka's format.
pub(crate) const EPOCHS_FILE: &str = "leader-epoch-checkpoint";
/// Names the topic's id, in Kafka's format.
pub(crate) const METADATA_FILE: &str = "partition.metadata";
/// No file of ours with text in it is longer.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// How much is read at once to walk over headers.
const WALK_BYTES: usize = 16 * 1024;
/// How much is copied at once into a `.cut` file.
const COPY_BYTES: usize = 256 * 1024;

/// What a checkpoint knew of a log.
#[derive(Debug)]
pub(crate) struct Resume {
    pub(crate) segments: Vec<(Offset, SegmentFacts)>,
    pub(crate) recovered: Recovered,
}

/// Reads partitions' folders.
#[derive(Debug)]
pub(crate) struct Recovery<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) metrics: &'a StorageMetrics,
    pub(crate) now_ms: i64,
    pub(crate) index_interval_bytes: u32,
}

/// A log that is being put together.
#[derive(Debug)]
struct Draft {
    folder: PathBuf,
    recovered: Recovered,
}

impl Recovery<'_> {
    /// The log in `folder`, from `resume` on if that is still true of the files.
    pub(crate) fn recover(&self, folder: &Path, resume: Option<Resume>) -> io::Result<Recovered> {
        self.metrics.recovered_logs.add(1);
        let mut bases = self.segment_bases(folder)?;
        let resume = match resume {
            Some(resume) if self.still_true(folder, &resume, &bases)? => Some(resume),
            Some(_) => {
                tracing::warn!(
                    folder = %folder.display(),
                    "the files do not reach as far as the checkpoint says; reading the whole log"
                );
                None
            }
            None => None,
        };
        let strict_from = resume.as_ref().map(|resume| resume.recovered.log_end);
        let mut draft = self.draft(folder, resume)?;
        if let Some(end) = strict_from {
            bases.retain(|base| *base >= end.segment);
        }
        for (number, base) in bases.iter().enumerate() {
            let is_last = number + 1 == bases.len();
            let strict = strict_from.is_some() || is_last;
            if !self.add_segment(&mut draft, *base, strict)? {
                self.set_aside(folder, bases.get(number + 1..).unwrap_or_default())?;
                break;
            }
        }
        Ok(finish(draft.recovered))
    }

    fn segment_bases(&self, folder: &Path) -> io::Result<Vec<Offset>> {
        let mut bases: Vec<_> = self
            .disk
            .list(folder)?
            .iter()
            .filter_map(|entry| match parse_part(&entry.name) {
                Some((base, "log")) => Some(base),
                _ => None,
            })
            .collect();
        bases.sort_unstable();
        Ok(bases)
    }

    /// Whether the files still hold what the checkpoint counted on.
    fn still_true(&self, folder: &Path, resume: &Resume, bases: &[Offset]) -> io::Result<bool> {
        let end = resume.recovered.log_end;
        if !bases.contains(&end.segment) {
            // Retention may have given up the whole log since; then all that is left is newer.
            return Ok(bases.iter().all(|base| *base >= end.offset));
        }
        let path = part_path(folder, end.segment, SegmentPart::Log);
        let length = self.disk.open(&path, OpenMode::Read)?.length()?;
        Ok(length >= u64::from(end.position))
    }

    fn draft(&self, folder: &Path, resume: Option<Resume>) -> io::Result<Draft> {
        let mut recovered = Recovered::default();
        if let Some(resume) = resume {
            recovered = resume.recovered;
            recovered.segments = resume
                .segments
                .iter()
                .map(|(base, facts)| Segment::known(*base, *facts))
                .collect();
        }
        recovered.epochs = self
            .read_text(&folder.join(EPOCHS_FILE))?
            .and_then(|text| LeaderEpochs::decode(&text))
            .unwrap_or_default();
        let log_start = self
            .read_text(&folder.join(LOG_START_FILE))?
            .and_then(|text| decode_log_start(&text));
        recovered.log_start = recovered.log_start.max(log_start.unwrap_or_default());
        Ok(Draft {
            folder: folder.to_owned(),
            recovered,
        })
    }

    fn read_text(&self, path: &Path) -> io::Result<Option<String>> {
        let bytes = small_file::read(self.disk, path, TEXT_BYTES_MAX)?;
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    /// Adds what is behind the draft's end in the segment at `base`. False if the log ends in it for good: what
    /// follows cannot be part of it.
    fn add_segment(&self, draft: &mut Draft, base: Offset, strict: bool) -> io::Result<bool> {
        let path = part_path(&draft.folder, base, SegmentPart::Log);
        let file = SegmentFile::new(self.disk.open(&path, OpenMode::ReadWrite)?);
        let length = file.disk_file().length()?;
        let end = u32::try_from(length).unwrap_or(u32::MAX);
        let known = draft
            .recovered
            .segments
            .last()
            .filter(|segment| segment.base() == base)
            .map(|segment| segment.facts());
        let mut facts = known.unwrap_or_else(|| SegmentFacts::empty(base, self.now_ms));
        let checked_from = facts.size;
        // A segment that was begun before the checkpoint has the first part of its index in files or nowhere; it is
        // loaded or rebuilt when it is needed.
        let mut index = known.is_none().then(SegmentIndex::default);
        let (check, chunk) = if strict {
            (Check::Checksums, CHUNK_BYTES)
        } else {
            (Check::Headers, WALK_BYTES)
        };
        if draft.recovered.segments.is_empty() {
            draft.recovered.log_end = Mark {
                offset: base,
                segment: base,
                ..Mark::default()
            };
        }
        let mut walk = Scanner::new(file.disk_file(), facts.size, end, chunk);
        let mut cut = None;
        loop {
            match walk.step(check)? {
                Step::Batch { position, header } => {
                    if header.base() < draft.recovered.log_end.offset || header.base() < base {
                        cut = Some((position, "offsets go back".to_owned()));
                        break;
                    }
                    let start = Mark {
                        segment: base,
                        position,
                        ..draft.recovered.log_end
                    };
                    facts.add(&header);
                    if let Some(index) = &mut index {
                        let interval = self.index_interval_bytes;
                        index.add(base, position, &header, &facts, interval);
                    }
                    self.replay(draft, &file, start, &header)?;
                }
                Step::End => break,
                Step::Broken { position, cause } => {
                    cut = Some((position, cause.to_string()));
                    if cause == Broken::Header(crate::batch_header::HeaderError::Zeros) {
                        cut = Some((position, String::new()));
                    }
                    break;
                }
            }
        }
        self.metrics.recovery_bytes.add(walk.bytes_read());
        let mut whole = true;
        if let Some((position, cause)) = cut {
            if strict {
                whole = self.cut(&draft.folder, base, &file, position, length, &cause)?;
            } else if !cause.is_empty() {
                tracing::error!(
                    folder = %draft.folder.display(),
                    segment = %base,
                    position,
                    cause,
                    "a closed segment is corrupt; what lies behind is served as far as it can be found"
                );
                facts.size = end;
                index = None;
            }
        }
        draft.recovered.reserved = u64::from(facts.size);
        if let Some(index) = &mut index
            && !strict
        {
            index.add_time(base, &facts);
        }
        let segment = match index {
            Some(index) => Segment::with(base, facts, Some(index)),
            None => Segment::known(base, facts),
        };
        if check == Check::Checksums {
            segment.note_verified(checked_from, facts.size, facts.has_zstd);
        }
        if known.is_some() {
            draft.recovered.segments.pop();
        }
        draft.recovered.segments.push(segment);
        let end_mark = &mut draft.recovered.log_end;
        end_mark.segment = base;
        end_mark.position = facts.size;
        Ok(whole)
    }

    /// Takes a batch behind the draft's end into account.
    fn replay(
        &self,
        draft: &mut Draft,
        file: &SegmentFile,
        start: Mark,
        header: &BatchHeader,
    ) -> io::Result<()> {
        let recovered = &mut draft.recovered;
        let mut marker = None;
        if header.is_control() {
            marker = marker_of(&read_batch(file, start.position, header)?);
        }
        if let Some(change) = recovered.producers.apply(header, marker, self.now_ms) {
            recovered.transactions.note(change, start);
        }
        if let Some(epoch) = header.epoch()
            && recovered.epochs.begin(epoch, header.base())
        {
            recovered.epochs_unsaved = true;
        }
        recovered.log_end = Mark {
            offset: header.end(),
            segment: start.segment,
            position: start.position + header.size,
            total: 0,
        };
        Ok(())
    }

    /// Ends a segment at `position`. Returns whether only zeros, reserved space, lay behind.
    fn cut(
        &self,
        folder: &Path,
        base: Offset,
        file: &SegmentFile,
        position: u32,
        length: u64,
        cause: &str,
    ) -> io::Result<bool> {
        let file = file.disk_file();
        let position = u64::from(position);
        let last = last_nonzero(file, position, length)?;
        if let Some(last) = last {
            let kept = self.keep_cut(folder, base, file, position, last + 1)?;
            self.metrics.truncated_bytes.add(last + 1 - position);
            tracing::warn!(
                folder = %folder.display(),
                segment = %base,
                position,
                bytes = last + 1 - position,
                cause,
                kept = %kept.display(),
                "the end of a log is not a whole record batch; it was cut off"
            );
        }
        file.set_length(position)?;
        Ok(last.is_none())
    }

    /// Copies what is about to be cut off, so that nothing is lost without a trace.
    fn keep_cut(
        &self,
        folder: &Path,
        base: Offset,
        file: &dyn DiskFile,
        from: u64,
        to: u64,
    ) -> io::Result<PathBuf> {
        let mut path = part_path(folder, base, SegmentPart::Cut);
        path.set_extension(format!("{from}.cut"));
        let copy = self.disk.open(&path, OpenMode::CreateIfMissing)?;
        copy.set_length(0)?;
        let mut buffer = vec![0; COPY_BYTES];
        let mut at = from;
        while at < to {
            let want = usize::try_from(to - at)
                .unwrap_or(COPY_BYTES)
                .min(COPY_BYTES);
            let buffer = buffer.get_mut(..want).unwrap_or_default();
            let count = file.read_at(buffer, at)?;
            if count == 0 {
                break;
            }
            let bytes = buffer.get(..count).unwrap_or_default();
            copy.write_at(&[IoSlice::new(bytes)], at - from)?;
            at += count as u64;
        }
        copy.sync_data()?;
        self.disk.sync_directory(folder)?;
        Ok(path)
    }

    /// Segments behind the end of the log are kept under another name.
    fn set_aside(&self, folder: &Path, bases: &[Offset]) -> io::Result<()> {
        for base in bases {
            let from = part_path(folder, *base, SegmentPart::Log);
            let mut to = from.clone();
            to.set_extension("log.cut");
            tracing::warn!(
                segment = %from.display(),
                kept = %to.display(),
                "a segment lies behind the end of its log; it was set aside"
            );
            self.disk.rename(&from, &to)?;
        }
        if !bases.is_empty() {
            self.disk.sync_directory(folder)?;
        }
        Ok(())
    }
}

/// Brings the parts of a recovered log in line with where it begins and ends.
fn finish(mut recovered: Recovered) -> Recovered {
    // Everything that was recovered counts as committed.
    let end = recovered.log_end.offset;
    recovered.transactions.settle(end);
    recovered.epochs.truncate_end(end);
    let first = recovered.segments.first().map(|segment| segment.base());
    recovered.log_start = recovered.log_start.max(first.unwrap_or_default()).min(end);
    recovered.transactions.truncate_start(recovered.log_start);
    recovered
}

/// The position of the last byte that is not zero in `from..to`.
fn last_nonzero(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut end = to;
    while end > from {
        let start = end.saturating_sub(COPY_BYTES as u64).max(from);
        let want = usize::try_from(end - start).unwrap_or(COPY_BYTES);
        let buffer = buffer.get_mut(..want).unwrap_or_default();
        let count = file.read_at(buffer, start)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        if let Some(index) = bytes.iter().rposition(|byte| *byte != 0) {
            return Ok(Some(start + index as u64));
        }
        end = start;
    }
    Ok(None)
}

/// The topic id that a partition's folder names, as text; `None` if it names none.
pub(crate) fn read_topic_id(disk: &dyn Disk, folder: &Path) -> io::Result<Option<String>> {
    let bytes = small_file::read(disk, &folder.join(METADATA_FILE), TEXT_BYTES_MAX)?;
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(text.as_deref().and_then(decode_topic_id).map(str::to_owned))
}

/// The file's text (Kafka's `PartitionMetadataFile`).
pub(crate) fn encode_metadata(topic_id: types::TopicId) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

fn decode_topic_id(text: &str) -> Option<&str> {
    let mut lines = text.lines();
    if lines.next()?.trim() != "version: 0" {
        return None;
    }
    lines.next()?.strip_prefix("topic_id: ").map(str::trim)
}

/// Makes the recovered files durable, when there are few of them.
pub(crate) fn sync_tail(disk: &dyn Disk, folder: &Path, recovered: &Recovered) -> io::Result<()> {
    if let Some(tail) = recovered.segments.last().map(Arc::clone) {
        let path = part_path(folder, tail.base(), SegmentPart::Log);
        disk.open(&path, OpenMode::ReadWrite)?.sync_data()?;
    }
    Ok(())
}
