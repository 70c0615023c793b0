//! What of a log can be cleaned, whether it is worth it, and which segments become one.
//!
//! Source: Kafka's `LogCleanerManager.cleanableOffsets`, `LogToClean`, `Cleaner.groupSegmentsBySize`. Besides Kafka's
//! bounds nothing is cleaned that is not durable: with write caching readers may see more than that.

use std::sync::Arc;

use types::{Offset, Timestamp};

use crate::local_log::{LocalLog, Status};
use crate::roll::segment_bytes;
use crate::segment::Segment;
use crate::settings::LogSettings;

/// The most segments that become one at a time: each has its file open meanwhile.
const GROUP_SEGMENTS_MAX: usize = 128;
/// The most bytes that are joined: an eighth of the largest segment is left for batches that compress worse when they are
/// written anew.
const GROUP_BYTES_MAX: u32 = i32::MAX.unsigned_abs() / 8 * 7;
/// `segment.index.bytes`, by default: the largest index of a segment.
const INDEX_BYTES_MAX: u64 = 10 << 20;
/// Bytes of an entry of the larger of the two indexes.
const INDEX_ENTRY_BYTES: u64 = 12;

/// What of a log can be cleaned now.
#[derive(Clone, Debug)]
pub(crate) struct Cleanable {
    /// All segments but the last, in order, that begin below `upper_bound`.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Where the part begins that was never cleaned.
    pub(crate) first_dirty: Offset,
    /// Where the first segment begins that cannot be cleaned yet.
    pub(crate) upper_bound: Offset,
    /// Bytes that were cleaned before.
    pub(crate) clean_bytes: u64,
    /// Bytes between.
    pub(crate) dirty_bytes: u64,
    /// Milliseconds by which `max.compaction.lag.ms` has passed; zero if it has not.
    pub(crate) overdue_ms: u64,
}

impl Cleanable {
    /// The share of the log that was never cleaned, of what can be.
    pub(crate) fn ratio(&self) -> f64 {
        let total = self.clean_bytes + self.dirty_bytes;
        if total == 0 {
            return 0.0;
        }
        #[allow(clippy::cast_precision_loss, reason = "a ratio of two sizes")]
        let ratio = self.dirty_bytes as f64 / total as f64;
        ratio
    }

    /// Whether it is worth it, or has to be.
    pub(crate) fn is_due(&self, settings: &LogSettings) -> bool {
        (self.overdue_ms > 0 && self.dirty_bytes > 0)
            || self.ratio() > settings.min_cleanable_dirty_ratio
    }

    /// The uncleaned segments.
    pub(crate) fn dirty(&self) -> &[Arc<Segment>] {
        let from = floor(&self.segments, self.first_dirty);
        self.segments.get(from..).unwrap_or_default()
    }
}

/// The index of the last segment that begins at or before `offset`, or of the first.
fn floor(segments: &[Arc<Segment>], offset: Offset) -> usize {
    segments
        .partition_point(|segment| segment.base() <= offset)
        .saturating_sub(1)
}

impl LocalLog {
    /// What can be cleaned as of `now`, if the part below `first_dirty` was before. `None` if there is nothing.
    pub(crate) fn cleanable(
        &self,
        first_dirty: Option<Offset>,
        now: Timestamp,
    ) -> Option<Cleanable> {
        let settings = self.settings();
        let (mut segments, log_start, log_end, stable) = {
            let view = self.view.lock();
            if view.status != Status::Online {
                return None;
            }
            let stable = view.last_stable().offset.min(view.durable.offset);
            (
                view.segments.clone(),
                view.log_start,
                view.log_end.offset,
                stable,
            )
        };
        let active = segments.pop()?.base();
        let first_dirty = match first_dirty {
            // Below the log, or the end was lost: all of it is cleaned.
            Some(first) if first < log_start || first > log_end => log_start,
            Some(first) => first,
            None => log_start,
        };
        let dirty_from = floor(&segments, first_dirty);
        let dirty = segments.get(dirty_from..).unwrap_or_default();
        let mut limit = stable.min(active);
        if settings.min_compaction_lag_ms > 0 {
            let lag = i64::try_from(settings.min_compaction_lag_ms).unwrap_or(i64::MAX);
            let newest = now.ms().saturating_sub(lag);
            let young = dirty
                .iter()
                .find(|segment| segment.facts().largest_timestamp() > newest);
            limit = young.map_or(limit, |young| limit.min(young.base()));
        }
        let limit = limit.max(first_dirty);
        let upper_bound = if limit >= active {
            active
        } else {
            segments
                .get(floor(&segments, limit))
                .map_or(active, |segment| segment.base())
        };
        let overdue_ms = overdue(dirty, &settings, now);
        segments.retain(|segment| segment.base() < upper_bound);
        let size = |segment: &Arc<Segment>| u64::from(segment.size());
        let clean_bytes = segments
            .iter()
            .filter(|segment| segment.base() < first_dirty)
            .map(size)
            .sum();
        let mut cleanable = Cleanable {
            segments,
            first_dirty,
            upper_bound,
            clean_bytes,
            dirty_bytes: 0,
            overdue_ms,
        };
        if first_dirty < upper_bound {
            cleanable.dirty_bytes = cleanable.dirty().iter().map(size).sum();
        }
        (cleanable.clean_bytes + cleanable.dirty_bytes > 0).then_some(cleanable)
    }
}

/// By how much the oldest of these segments has waited longer than `max.compaction.lag.ms`.
fn overdue(dirty: &[Arc<Segment>], settings: &LogSettings, now: Timestamp) -> u64 {
    let lag = i64::try_from(settings.max_compaction_lag_ms).unwrap_or(i64::MAX);
    let until = now.ms().saturating_sub(lag);
    let oldest = dirty
        .iter()
        .map(|segment| segment.facts())
        .filter(|facts| facts.size > 0 && facts.first_timestamp > 0)
        .map(|facts| facts.first_timestamp)
        .min();
    oldest.map_or(0, |oldest| {
        u64::try_from(until.saturating_sub(oldest)).unwrap_or(0)
    })
}

/// Splits segments, in order, into groups that each fit into one. `upper_bound` is where the segment behind them begins.
pub(crate) fn group(
    segments: &[Arc<Segment>],
    settings: &LogSettings,
    upper_bound: Offset,
) -> Vec<Vec<Arc<Segment>>> {
    let bytes_max = u64::from(segment_bytes(settings).min(GROUP_BYTES_MAX));
    let interval = u64::from(settings.index_interval_bytes.max(1));
    let index_bytes = |size: u64| size / interval * INDEX_ENTRY_BYTES;
    let mut groups: Vec<Vec<Arc<Segment>>> = Vec::new();
    let mut bytes = 0;
    for (number, segment) in segments.iter().enumerate() {
        let size = u64::from(segment.size());
        let end = segments
            .get(number + 1)
            .map_or(upper_bound, |next| next.base());
        let fits = groups.last().is_some_and(|group| {
            let base = group.first().map_or(segment.base(), |first| first.base());
            // An empty one says nothing about offsets.
            let spans = size == 0 || end.since(base) <= u64::from(i32::MAX.unsigned_abs());
            group.len() < GROUP_SEGMENTS_MAX
                && bytes + size <= bytes_max
                && index_bytes(bytes + size) <= INDEX_BYTES_MAX
                && spans
        });
        match groups.last_mut() {
            Some(group) if fits => {
                group.push(Arc::clone(segment));
                bytes += size;
            }
            _ => {
                groups.push(vec![Arc::clone(segment)]);
                bytes = size;
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::SegmentFacts;

    fn segment(base: i64, size: u32) -> Arc<Segment> {
        let base = Offset::new(base).unwrap();
        let mut facts = SegmentFacts::empty(base, 0);
        facts.size = size;
        Segment::known(base, facts)
    }

    fn grouped(segments: &[(i64, u32)], segment_bytes: u32, upper_bound: i64) -> Vec<Vec<i64>> {
        let segments: Vec<_> = segments
            .iter()
            .map(|(base, size)| segment(*base, *size))
            .collect();
        let settings = LogSettings {
            segment_bytes,
            ..LogSettings::default()
        };
        group(&segments, &settings, Offset::new(upper_bound).unwrap())
            .iter()
            .map(|group| group.iter().map(|segment| segment.base().value()).collect())
            .collect()
    }

    #[test]
    fn neighbours_that_fit_become_one() {
        let segments = [(0, 40), (10, 60), (20, 1), (30, 99), (40, 0)];
        assert_eq!(grouped(&segments, 100, 50), [vec![0, 10], vec![20, 30, 40]]);
        assert_eq!(grouped(&segments, 1000, 50).len(), 1);
        assert_eq!(grouped(&segments, 1, 50).len(), 5);
        assert!(grouped(&[], 1, 50).is_empty());
    }

    #[test]
    fn the_largest_segments_are_not_joined_to_the_brim() {
        let half = 1 << 30;
        let segments = [(0, half - 1), (10, half)];
        assert_eq!(grouped(&segments, u32::MAX, 20).len(), 2);
        assert_eq!(grouped(&[(0, half), (10, half / 2)], u32::MAX, 20).len(), 1);
    }

    #[test]
    fn offsets_of_one_segment_fit_into_31_bits() {
        let far = i64::from(i32::MAX);
        assert_eq!(grouped(&[(0, 1), (5, 1)], 100, far).len(), 1);
        assert_eq!(grouped(&[(0, 1), (5, 1)], 100, far + 1).len(), 2);
        assert_eq!(
            grouped(&[(0, 1), (5, 0)], 100, far + 1).len(),
            1,
            "an empty segment holds no offset"
        );
    }

    #[test]
    fn only_so_many_files_are_opened_at_once() {
        let segments: Vec<_> = (0..300).map(|number| (number, 1)).collect();
        let groups = grouped(&segments, 1000, 300);
        assert_eq!(groups.len(), 3);
        assert!(groups.iter().all(|group| group.len() <= GROUP_SEGMENTS_MAX));
    }
}
