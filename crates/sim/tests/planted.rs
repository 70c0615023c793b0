//! Bugs on purpose: the simulation finds each of them. `cargo xtask sim --planted` runs this.
#![cfg(feature = "planted")]
#![allow(clippy::print_stdout, reason = "says how soon each was found")]

use storage::planted::{Bug, plant};

/// Seeds within which a bug must be found.
const SEEDS_MAX: u64 = 2_000;

#[track_caller]
fn is_found(bug: Bug) {
    plant(Some(bug));
    let found = (0..SEEDS_MAX).find_map(|seed| Some((seed, sim::run(seed, false).failure?)));
    plant(None);
    let (seed, failure) = found.expect("the simulation finds the bug");
    println!("{bug:?}: seed {seed}: {failure}");
    assert_eq!(
        sim::run(seed, false).failure,
        None,
        "it is the bug that was found"
    );
}

macro_rules! planted {
    ($($(#[$attribute:meta])* $name:ident: $bug:ident,)*) => {
        $(#[test]
        $(#[$attribute])*
        fn $name() {
            is_found(Bug::$bug);
        })*
    };
}

planted! {
    an_ack_before_the_sync: AckBeforeSync,
    a_high_watermark_above_the_commit: HighWatermarkAboveCommit,
    a_checkpoint_ahead_of_the_log: CheckpointAheadOfLog,
    a_lost_truncation: LostTruncation,
    producers_that_are_not_replayed: ProducersNotReplayed,
    producers_that_are_too_new: ProducersTooNew,
    names_that_are_not_synced: NamesNotSynced,
    an_ended_segment_that_is_not_synced: EndedSegmentNotSynced,
    a_torn_tail_that_is_accepted: TornTailAccepted,
    a_commit_of_more_than_was_synced: WindowTooLong,
    an_index_ahead_of_the_log: IndexAheadOfLog,
    a_log_start_that_is_lost: LogStartLost,
    undecided_records_that_are_served: UndecidedServed,
    aborted_transactions_that_nobody_is_told_of: AbortedNotTold,
    a_cleaning_that_removes_the_newest: NewestCleaned,
    a_topic_that_takes_over_an_old_one: OldTopicTakenOver,
    a_coordinator_that_answers_before_the_commit: AnswerBeforeCommit,
}
