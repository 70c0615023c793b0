//! What leaves a log: records deleted by request, and segments that retention gives up.
//!
//! Invariants: nothing at or above the high watermark goes; whole segments go, the oldest first; the new log start is
//! durable before anyone is told. Files move to the trash folder at once, so that a crash cannot bring half of a
//! deletion back under the log's name, and are removed from there later.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use env::disk::OpenMode;
use types::{Offset, Timestamp};

use crate::DeleteRecordsError;
use crate::files::{SegmentPart, part_path};
use crate::local_log::{LocalLog, Status, View, Writer};
use crate::segment::Segment;
use crate::settings::LogSettings;
use crate::small_file;

/// Holds the first readable offset once records were deleted by request, or segments given up.
pub(crate) const LOG_START_FILE: &str = "log-start-offset";

impl LocalLog {
    pub(crate) fn delete_records_before(
        &self,
        before: Option<Offset>,
    ) -> Result<Offset, DeleteRecordsError> {
        let cleanup = self.settings().cleanup;
        if cleanup.compact && !cleanup.delete {
            return Err(DeleteRecordsError::Compacted);
        }
        // Both keep the segments as they are.
        let _segments = self.lock_segments().map_err(DeleteRecordsError::Io)?;
        let writer = self.writer.lock();
        let target = {
            let view = self.view.lock();
            match view.status {
                Status::Online => {}
                Status::Offline | Status::Closed => return Err(DeleteRecordsError::Offline),
                Status::Deleted => return Err(DeleteRecordsError::Deleted),
            }
            let high_watermark = view.high_watermark.offset;
            let target = before.unwrap_or(high_watermark);
            if target > high_watermark {
                return Err(DeleteRecordsError::OffsetOutOfRange {
                    requested: target,
                    high_watermark,
                });
            }
            if target <= view.log_start {
                return Ok(view.log_start);
            }
            target
        };
        self.sync_producers_before(target)
            .map_err(DeleteRecordsError::Io)?;
        let path = self.folder().join(LOG_START_FILE);
        let text = encode_log_start(target);
        small_file::replace(&*self.shared.env.disk, &path, text.as_bytes())
            .map_err(DeleteRecordsError::Io)?;
        self.view.lock().move_log_start(target);
        self.drop_segments_below(&writer, target);
        Ok(target)
    }

    /// Gives up the segments that lie wholly below `start`, but for the last one.
    fn drop_segments_below(&self, _writer: &Writer, start: Offset) {
        let gone = {
            let mut view = self.view.lock();
            let bases: Vec<_> = view
                .segments
                .iter()
                .skip(1)
                .map(|next| next.base())
                .collect();
            let count = bases.iter().take_while(|base| **base <= start).count();
            view.segments.drain(..count).collect::<Vec<_>>()
        };
        self.discard(&gone);
    }

    /// Begins a segment behind the last one, which is to go too: appends need one to go on in. How many of `count`
    /// segments may go: without a new one, which a full disk may refuse, the last one stays.
    fn make_room_behind(&self, writer: &mut Writer, count: usize, now: Timestamp) -> usize {
        match self.roll(writer, now) {
            Ok(_) => {
                self.submit();
                count
            }
            Err(error) => {
                tracing::warn!(partition = %self.partition, %error, "could not begin a segment; the last one is kept");
                count.saturating_sub(1)
            }
        }
    }

    /// Applies retention as of `now` and returns how many segments went. Order of the rules: Kafka's
    /// `UnifiedLog.deleteOldSegments`. Appends are held up by none of it but the beginning of a new segment.
    pub(crate) fn retain(&self, now: Timestamp) -> io::Result<usize> {
        let is_noted = !self.is_log_start_unnoted.load(Ordering::Relaxed);
        let settings = self.settings();
        if is_noted && count_expired(&self.view.lock(), &settings, now) == 0 {
            return Ok(0);
        }
        // What else takes segments away or replaces them waits; appends only add some behind.
        let _segments = self.lock_segments()?;
        if !self.is_online() {
            // Its folder may be another's by now.
            return Ok(0);
        }
        let look = || {
            let view = self.view.lock();
            let expired = count_expired(&view, &settings, now);
            (expired, expired == view.segments.len())
        };
        let count = match look() {
            (expired, true) if expired > 0 => {
                // Nothing may be added to the last one meanwhile.
                let mut writer = self.writer.lock();
                match look() {
                    (expired, true) => self.make_room_behind(&mut writer, expired, now),
                    (expired, false) => expired,
                }
            }
            (expired, _) => expired,
        };
        let count = self.note_log_start_after(count)?;
        let gone = {
            let mut view = self.view.lock();
            // It may have ended meanwhile, and its state be written down as it was.
            let is_online = view.status == Status::Online;
            let count = if is_online { count } else { 0 };
            let gone: Vec<_> = view.segments.drain(..count).collect();
            if let Some(first) = view.segments.first().map(|first| first.base())
                && count > 0
            {
                view.move_log_start(first);
            }
            gone
        };
        if !gone.is_empty() {
            tracing::info!(
                partition = %self.partition,
                segments = gone.len(),
                "retention gave up the oldest segments"
            );
        }
        self.discard(&gone);
        Ok(gone.len())
    }

    /// Says durably where the log begins without its first `count` segments, and returns how many may go now. Their files go
    /// one by one, and a crash may bring an older one back while later ones are gone: what is behind such a gap must not be
    /// taken for what does not belong to the log. A full disk may refuse this, and must not keep retention from making room:
    /// then the oldest segment goes alone, which leaves no gap, and the next time there is room to say so.
    fn note_log_start_after(&self, count: usize) -> io::Result<usize> {
        let is_unnoted = &self.is_log_start_unnoted;
        if count == 0 && !is_unnoted.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let start = {
            let view = self.view.lock();
            let first = view.segments.get(count).map(|first| first.base());
            // Records may have been deleted by request up to the middle of that segment.
            first.map_or(view.log_start, |first| first.max(view.log_start))
        };
        let disk = &*self.shared.env.disk;
        let folder = self.folder();
        let text = encode_log_start(start);
        let path = folder.join(LOG_START_FILE);
        let noted = self
            .sync_producers_before(start)
            .and_then(|()| small_file::replace(disk, &path, text.as_bytes()));
        match noted {
            Ok(()) => {
                is_unnoted.store(false, Ordering::Relaxed);
                Ok(count)
            }
            Err(error) => {
                tracing::warn!(partition = %self.partition, %error, "could not note where the log begins now; only the oldest segment goes");
                is_unnoted.store(true, Ordering::Relaxed);
                // Those that went alone before are gone for good first.
                disk.sync_directory(&folder)?;
                Ok(count.min(1))
            }
        }
    }

    /// Has the snapshot on disk that tells of the producers of segments that lie wholly below `start`, which nothing else
    /// will once they are gone. Its name becomes durable with that of [`LOG_START_FILE`].
    fn sync_producers_before(&self, start: Offset) -> io::Result<()> {
        let first = {
            let view = self.view.lock();
            let behind = view.segments.iter().skip(1).rev();
            let mut behind = behind.map(|segment| segment.base());
            behind.find(|base| *base <= start)
        };
        let Some(base) = first else { return Ok(()) };
        let path = part_path(&self.folder(), base, SegmentPart::ProducerSnapshot);
        match self.shared.env.disk.open(&path, OpenMode::Read) {
            Ok(file) => file.sync_data(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Moves the files of segments that left the log to the trash. What cannot be moved is removed in place later.
    fn discard(&self, gone: &[Arc<Segment>]) {
        let folder = self.folder();
        let delay = self.settings().file_delete_delay();
        for segment in gone {
            self.shared.metrics.segments_deleted.add(1);
            for part in [
                SegmentPart::Log,
                SegmentPart::OffsetIndex,
                SegmentPart::TimeIndex,
                SegmentPart::ProducerSnapshot,
            ] {
                let path = part_path(&folder, segment.base(), part);
                self.shared.discard_file(&path, delay);
            }
        }
    }
}

impl View {
    /// Everything below `start` is gone for readers.
    fn move_log_start(&mut self, start: Offset) {
        self.log_start = self.log_start.max(start);
        self.epochs.truncate_start(self.log_start);
        self.transactions.truncate_start(self.log_start);
    }
}

/// How many of the oldest segments are to go.
fn count_expired(view: &View, settings: &LogSettings, now: Timestamp) -> usize {
    if view.status != Status::Online {
        return 0;
    }
    let segments = &view.segments;
    let ends = segments
        .iter()
        .skip(1)
        .map(|next| next.base())
        .chain([view.log_end.offset]);
    let mut total: u64 = segments
        .iter()
        .map(|segment| u64::from(segment.size()))
        .sum();
    let mut count = 0;
    for (segment, end) in segments.iter().zip(ends) {
        let facts = segment.facts();
        let is_last = count + 1 == segments.len();
        // An empty last segment is where the log goes on.
        if end > view.high_watermark.offset || (is_last && facts.size == 0) {
            break;
        }
        let below_start = !is_last && end <= view.log_start;
        let too_much = settings.cleanup.delete
            && settings
                .retention_bytes
                .is_some_and(|limit| total.saturating_sub(u64::from(facts.size)) >= limit);
        let too_old = settings.cleanup.delete
            && settings.retention_ms.is_some_and(|limit| {
                let age = now.ms().saturating_sub(facts.largest_timestamp());
                age > i64::try_from(limit).unwrap_or(i64::MAX)
            });
        if !(below_start || too_much || too_old) {
            break;
        }
        total -= u64::from(facts.size);
        count += 1;
    }
    count
}

/// The file's text: version 0, then the offset.
pub(crate) fn encode_log_start(start: Offset) -> String {
    format!("0\n{start}\n")
}

/// Version of [`LOG_START_FILE`], its first line.
pub(crate) const LOG_START_VERSION: u32 = 0;

/// Reads the file's text.
pub(crate) fn decode_log_start(text: &str) -> Option<Offset> {
    let mut lines = text.lines();
    if lines.next()? != "0" {
        return None;
    }
    Offset::new(lines.next()?.parse().ok()?)
}
