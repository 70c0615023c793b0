//! The last segment of a log: begun, grown, ended.
//!
//! Invariant: a segment is part of the log only once its file exists; the one before it is trimmed and its indexes are
//! written by then. A crash in between leaves an empty file, which the next attempt or recovery takes as it is.

use std::io::{self, IoSlice};
use std::sync::Arc;

use env::disk::OpenMode;
use types::{Offset, Timestamp};

use crate::cut::Cutter;
use crate::files::{SegmentFile, SegmentPart, part_path};
use crate::local_log::{LocalLog, Mark, Writer};
use crate::planted::{Bug, is_planted};
use crate::producer_snapshot;
use crate::recover::{METADATA_FILE, Unfit, encode_metadata, read_topic_id};
use crate::segment::Segment;
use crate::settings::LogSettings;
use crate::small_file;

impl LocalLog {
    /// Ends the last segment, if there is one, and begins a new one at the end of the log.
    pub(crate) fn roll(&self, writer: &mut Writer, now: Timestamp) -> io::Result<Arc<Segment>> {
        let (tail, base) = {
            let view = self.view.lock();
            (view.segments.last().cloned(), view.log_end.offset)
        };
        let disk = &self.shared.env.disk;
        let folder = self.folder();
        let mut metadata = None;
        match &tail {
            None => {
                disk.create_directories(&folder)?;
                metadata = Some(self.write_partition_metadata()?);
            }
            Some(tail) => {
                self.end_segment(writer, tail)?;
                self.save_producers(writer, base);
            }
        }
        // Before anything is written that the next commit has to make durable.
        let names = disk.open_directory(&folder)?;
        let path = part_path(&folder, base, SegmentPart::Log);
        let file = disk.open(&path, OpenMode::CreateIfMissing)?;
        // A file of that name can only be what a failed attempt left; whatever it holds is kept.
        let length = file.length()?;
        if length > 0 {
            let shared = &self.shared;
            let cutter = Cutter::new(&**disk, &shared.metrics, &shared.losses, &folder);
            cutter.cut(base, &*file, 0, base, length, &Unfit::Unclaimed)?;
        }
        let segment = Segment::create(base, now.ms());
        self.shared.files.admit(&segment, SegmentFile::new(file));
        writer.reserved = 0;
        writer.untrimmed = false;
        self.shared.metrics.segments_created.add(1);
        let mut view = self.view.lock();
        view.segments.push(Arc::clone(&segment));
        // The end lies in the new segment from now on: a checkpoint that named the old one's position beside the new one
        // would send recovery to a place that says nothing about what was appended since.
        view.log_end = Mark {
            segment: base,
            position: 0,
            ..view.log_end
        };
        if is_planted(Bug::EndedSegmentNotSynced) {
            view.unsynced_files.clear();
        }
        view.unsynced_names = Some(names);
        view.unsynced_files.extend(metadata);
        Ok(segment)
    }

    /// Ends a segment for good: trims the space behind it and completes its indexes.
    fn end_segment(&self, writer: &Writer, tail: &Arc<Segment>) -> io::Result<()> {
        if writer.untrimmed {
            self.trim(tail, &*self.file(tail)?)?;
        }
        self.leave_segment(writer, tail)?;
        self.shared.indexes.admit(tail);
        Ok(())
    }

    /// Ends a segment for this process: trims the space that this process reserved and completes its indexes.
    pub(crate) fn leave_segment(&self, writer: &Writer, tail: &Arc<Segment>) -> io::Result<()> {
        let size = u64::from(tail.size());
        if writer.reserved > size {
            self.file(tail)?.disk_file().set_length(size)?;
        }
        tail.finish_index();
        self.save_index(tail);
        Ok(())
    }

    /// Cuts off what an earlier process may have left behind the end: reserved space, or what never became part of the
    /// log, which is kept beside.
    pub(crate) fn trim(&self, tail: &Segment, file: &SegmentFile) -> io::Result<()> {
        let folder = self.folder();
        let shared = &self.shared;
        let disk = &*shared.env.disk;
        let cutter = Cutter::new(disk, &shared.metrics, &shared.losses, &folder);
        let file = file.disk_file();
        let length = file.length()?;
        if length <= u64::from(tail.size()) {
            return Ok(());
        }
        let end = self.view.lock().log_end.offset;
        cutter.cut(
            tail.base(),
            file,
            tail.size(),
            end,
            length,
            &Unfit::Unclaimed,
        )?;
        Ok(())
    }

    /// Writes the producers down at the base of a new segment, as Kafka does. It is a shortcut for recovery without a
    /// checkpoint, so a failure is only logged.
    fn save_producers(&self, writer: &Writer, base: Offset) {
        if writer.producers.is_empty() {
            return;
        }
        let bytes = producer_snapshot::encode(&writer.producers, &self.view.lock().transactions);
        let path = part_path(&self.folder(), base, SegmentPart::ProducerSnapshot);
        if let Err(error) = small_file::replace_lazily(&*self.shared.env.disk, &path, &bytes) {
            tracing::warn!(path = %path.display(), %error, "could not write a producer snapshot");
        }
    }

    /// Writes the file that names the topic's id; the commit that covers the first append makes it durable.
    ///
    /// One that names it already stays as it is: it may be durable and a checkpoint rely on it, though a loss of power took
    /// the first segment, and another one must not find it empty.
    fn write_partition_metadata(&self) -> io::Result<Arc<SegmentFile>> {
        let folder = self.folder();
        let disk = &self.shared.env.disk;
        let topic_id = self.topic_id.to_string();
        let is_written = read_topic_id(&**disk, &folder)? == Some(topic_id);
        let file = disk.open(&folder.join(METADATA_FILE), OpenMode::CreateIfMissing)?;
        if !is_written {
            let text = encode_metadata(self.topic_id);
            file.set_length(0)?;
            file.write_at(&[IoSlice::new(text.as_bytes())], 0)?;
        }
        Ok(Arc::new(SegmentFile::new(file)))
    }

    /// With `preallocate`: reserves the whole segment at once. A disk that refuses is asked again; the write itself says
    /// whether there is room. Without, nothing is reserved: it speeds syncs up by a seventh at best (docs/performance.md,
    /// S3), and costs two calls and the space itself.
    pub(crate) fn reserve(&self, writer: &mut Writer, file: &SegmentFile, settings: &LogSettings) {
        let length = u64::from(segment_bytes(settings));
        if settings.preallocate
            && writer.reserved < length
            && file.disk_file().allocate(length).is_ok()
        {
            writer.reserved = length;
        }
    }
}

/// The most that a segment may hold: positions are read as signed by Kafka.
pub(crate) fn segment_bytes(settings: &LogSettings) -> u32 {
    settings.segment_bytes.min(i32::MAX.unsigned_abs())
}
