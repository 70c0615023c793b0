//! What of a topic a query reads, and how that is split into streams. Pure.
//!
//! Invariants: every wanted offset below the snapshot's end is in exactly one piece; the ranges of a piece and the pieces
//! of a stream are in ascending order of partition and offset, which the engine is told to rely on.

use std::ops::Range;

use crate::intervals::Intervals;

/// A stream of less than this is not split: starting one costs more than it saves.
pub(crate) const SPLIT_OFFSETS_MIN: u64 = 64 * 1024;

/// Offsets to read of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The place of the partition in the topic.
    pub(crate) partition: usize,
    /// Half-open, not empty, in ascending order.
    pub(crate) ranges: Vec<Range<i64>>,
    /// Each of its offsets is known to be a record, so that who asks for nothing else need not read.
    pub(crate) is_complete: bool,
}

impl Piece {
    /// How many offsets it has; at least as many as records.
    pub(crate) fn offsets(&self) -> u64 {
        self.ranges.iter().map(length).sum()
    }

    /// The same as one piece after the other, of which those within `complete` say so.
    pub(crate) fn apart(self, complete: &Intervals) -> Vec<Self> {
        let other = complete.complement();
        let mut parts: Vec<_> = [(complete, true), (&other, false)]
            .into_iter()
            .flat_map(|(offsets, is_complete)| {
                let ranges = self.ranges.iter().cloned();
                let ranges = ranges.flat_map(move |range| offsets.within(range));
                ranges.map(move |range| (range, is_complete))
            })
            .collect();
        parts.sort_unstable_by_key(|(range, _)| range.start);
        let alike = parts.chunk_by(|(_, one), (_, next)| one == next);
        let pieces = alike.map(|parts| Self {
            partition: self.partition,
            ranges: parts.iter().map(|(range, _)| range.clone()).collect(),
            is_complete: parts.iter().all(|(_, is_complete)| *is_complete),
        });
        pieces.collect()
    }
}

fn length(range: &Range<i64>) -> u64 {
    range.end.saturating_sub(range.start).max(0).unsigned_abs()
}

/// What a query asks of partitions and offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) partitions: Intervals,
    pub(crate) offsets: Intervals,
}

/// What is left of `bounds` (per partition: its number and what the snapshot has of it).
pub(crate) fn prune(bounds: &[(i32, Range<i64>)], wish: &Wish) -> Vec<Piece> {
    bounds
        .iter()
        .enumerate()
        .filter(|(_, (number, _))| wish.partitions.contains(i64::from(*number)))
        .map(|(partition, (_, bounds))| Piece {
            partition,
            ranges: wish.offsets.within(bounds.clone()),
            is_complete: false,
        })
        .filter(|piece| !piece.ranges.is_empty())
        .collect()
}

/// Streams of pieces, `wanted` of them as far as there is enough to read, at most `most`.
///
/// A partition is a stream of its own. With fewer than `wanted` the large ones are split by offsets; with more than `most`
/// neighbours share one, since every stream holds a batch in memory.
pub(crate) fn streams(pieces: Vec<Piece>, wanted: usize, most: usize) -> Vec<Vec<Piece>> {
    let most = most.max(1);
    if pieces.len() > most {
        return share(pieces, most);
    }
    let total: u64 = pieces.iter().map(Piece::offsets).sum();
    let share = (total / wanted.max(1) as u64).max(SPLIT_OFFSETS_MIN);
    let split = pieces.into_iter().flat_map(|piece| {
        let parts = piece.offsets().div_ceil(share).max(1);
        split(piece, parts)
    });
    let split: Vec<_> = split.collect();
    if split.len() > most {
        return self::share(split, most);
    }
    split.into_iter().map(|piece| vec![piece]).collect()
}

/// Neighbours together, `most` groups of them.
fn share(pieces: Vec<Piece>, most: usize) -> Vec<Vec<Piece>> {
    let count = pieces.len();
    let mut groups = vec![Vec::new(); most.min(count)];
    for (number, piece) in pieces.into_iter().enumerate() {
        if let Some(group) = groups.get_mut(number * most / count) {
            group.push(piece);
        }
    }
    groups
}

/// `parts` pieces of about the same number of offsets.
fn split(piece: Piece, parts: u64) -> Vec<Piece> {
    if parts <= 1 {
        return vec![piece];
    }
    let share = piece.offsets().div_ceil(parts).max(1);
    let like = |ranges| Piece { ranges, ..piece };
    let (mut pieces, mut ranges, mut room) = (Vec::new(), Vec::new(), share);
    for mut range in piece.ranges {
        while length(&range) >= room {
            // Not more than the length of the range, so this stays within it.
            let middle = range.start.saturating_add_unsigned(room);
            ranges.push(range.start..middle);
            range.start = middle;
            let ranges = std::mem::take(&mut ranges);
            pieces.push(like(ranges));
            room = share;
        }
        if !range.is_empty() {
            room -= length(&range);
            ranges.push(range);
        }
    }
    if !ranges.is_empty() {
        pieces.push(like(ranges));
    }
    pieces
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::single_range_in_vec_init,
        reason = "ranges of offsets are values here"
    )]

    use proptest::prelude::*;

    use super::*;

    fn piece(partition: usize, ranges: &[Range<i64>]) -> Piece {
        Piece {
            partition,
            ranges: ranges.to_vec(),
            is_complete: false,
        }
    }

    #[test]
    fn what_is_complete_is_told_apart() {
        let complete = Intervals::of_ranges([0..10, 20..30].into_iter());
        let parts = piece(1, &[5..15, 18..22, 24..40]).apart(&complete);
        let parts = parts.iter().map(|part| (part.is_complete, &*part.ranges));
        let expected: [(bool, &[Range<i64>]); 4] = [
            (true, &[5..10]),
            (false, &[10..15, 18..20]),
            (true, &[20..22, 24..30]),
            (false, &[30..40]),
        ];
        assert_eq!(parts.collect::<Vec<_>>(), expected);
        let whole = piece(0, &[3..7]);
        assert_eq!(whole.clone().apart(&Intervals::none()), [whole]);
    }

    #[test]
    fn pruning_leaves_what_is_wished_of_what_there_is() {
        let bounds = [(0, 10..20), (1, 0..0), (2, 5..8), (3, 0..100)];
        let everything = Wish {
            partitions: Intervals::all(),
            offsets: Intervals::all(),
        };
        let all = [piece(0, &[10..20]), piece(2, &[5..8]), piece(3, &[0..100])];
        assert_eq!(prune(&bounds, &everything), all);
        let some = Wish {
            partitions: Intervals::between(0, 2),
            offsets: Intervals::between(0, 5).union(&Intervals::between(18, 1 << 40)),
        };
        let expected = [piece(0, &[18..20]), piece(2, &[5..6])];
        assert_eq!(prune(&bounds, &some), expected);
    }

    #[test]
    fn small_partitions_are_not_split_and_large_ones_are() {
        let small = vec![piece(0, &[0..10]), piece(1, &[0..10])];
        assert_eq!(streams(small, 8, 16).len(), 2);
        let large = 4 * i64::try_from(SPLIT_OFFSETS_MIN).unwrap();
        let split = streams(vec![piece(0, &[0..large])], 4, 16);
        assert_eq!(split.len(), 4);
        assert_eq!(split[1][0].ranges, [large / 4..large / 2]);
        assert!(streams(Vec::new(), 4, 16).is_empty());
    }

    #[test]
    fn many_partitions_share_streams_in_their_order() {
        let pieces: Vec<_> = (0..10).map(|number| piece(number, &[0..5])).collect();
        let groups = streams(pieces.clone(), 2, 4);
        assert_eq!(groups.len(), 4);
        assert_eq!(groups.into_iter().flatten().collect::<Vec<_>>(), pieces);
    }

    proptest! {
        #[test]
        fn splitting_loses_nothing_and_keeps_the_order(
            lengths in proptest::collection::vec((0_i64..5, 1_i64..300_000), 1..12),
            partitions in 1_usize..4,
            wanted in 1_usize..10,
            most in 1_usize..12,
        ) {
            let mut at = 0;
            let ranges: Vec<_> = lengths
                .iter()
                .map(|(gap, length)| {
                    let start = at + gap + 1;
                    at = start + length;
                    start..at
                })
                .collect();
            let pieces: Vec<_> = (0..partitions).map(|number| piece(number, &ranges)).collect();
            let streams = streams(pieces, wanted, most);
            prop_assert!(streams.len() <= most);
            let read: Vec<_> = streams
                .into_iter()
                .flatten()
                .flat_map(|piece| piece.ranges.into_iter().map(move |range| (piece.partition, range)))
                .collect();
            for pair in read.windows(2) {
                prop_assert!((pair[0].0, pair[0].1.end) <= (pair[1].0, pair[1].1.start));
            }
            // Joined where they touch, the ranges are those that went in.
            for number in 0..partitions {
                let mut joined: Vec<Range<i64>> = Vec::new();
                for (_, range) in read.iter().filter(|(partition, _)| *partition == number) {
                    prop_assert!(!range.is_empty());
                    match joined.last_mut() {
                        Some(last) if last.end == range.start => last.end = range.end,
                        _ => joined.push(range.clone()),
                    }
                }
                prop_assert_eq!(&joined, &ranges);
            }
        }
    }
}
