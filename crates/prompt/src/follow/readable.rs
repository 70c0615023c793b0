//! How far the partitions of a topic can be read: the bounds that a query has, as the plan of one says them.
//!
//! A plan is made without reading a record, and its bounds are those of the session's isolation level: up to the last stable
//! offset, or to the high watermark with `read_uncommitted`.

use std::collections::BTreeMap;
use std::ops::Range;

/// The query whose plan has the bounds of all partitions. `table` is as the user wrote it.
pub(super) fn question(table: &str) -> String {
    format!("EXPLAIN SELECT _offset FROM {table}")
}

/// The bounds in a plan; `None` if it is not one of a topic. A partition without records is not in it.
pub(super) fn bounds(plan: &str) -> Option<BTreeMap<i32, Range<i64>>> {
    let (_, rest) = plan.split_once("TopicScan: ")?;
    let (_, rest) = rest.split_once("partitions=[")?;
    let (list, _) = rest.split_once("], columns=[")?;
    let mut bounds: BTreeMap<i32, Range<i64>> = BTreeMap::new();
    let mut partition = None;
    let is_between = |letter: char| letter.is_whitespace() || matches!(letter, ',' | '[' | ']');
    for word in list.split(is_between).filter(|word| !word.is_empty()) {
        if let Some(number) = word.strip_suffix(':') {
            partition = Some(number.parse().ok()?);
            continue;
        }
        let (start, end) = word.split_once("..")?;
        let (start, end) = (start.parse().ok()?, end.parse().ok()?);
        // A partition that is read by several streams comes more than once.
        let known = bounds.entry(partition?).or_insert(start..end);
        *known = known.start.min(start)..known.end.max(end);
    }
    Some(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_all_streams_of_a_partition() {
        let plan = "  TopicScan: topic=t, partitions=[0: 0..50, [0: 50..90, 1: 7..9], 3: 4..5 8..20], columns=[_offset], batch headers only";
        let expected = BTreeMap::from([(0, 0..90), (1, 7..9), (3, 4..20)]);
        assert_eq!(bounds(plan), Some(expected));
        let empty = "TopicScan: topic=t, partitions=[], columns=[_offset]";
        assert_eq!(bounds(empty), Some(BTreeMap::new()));
    }

    #[test]
    fn another_plan_has_none() {
        for plan in [
            "",
            "EmptyExec",
            "TopicScan: topic=t, partitions=[0: x..9], columns=[_offset]",
            "TopicScan: topic=t, partitions=[1..9], columns=[_offset]",
        ] {
            assert_eq!(bounds(plan), None, "{plan}");
        }
    }
}
