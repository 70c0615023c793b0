//! What a query sees of a topic: from where to where, partition by partition, as of one moment.
//!
//! Invariant: a statement that names a topic twice sees the same of it both times, and the same statement run again sees
//! what there is then. A table is looked up once per statement and kept with a prepared one, and every run has its own
//! start, so the bounds belong to the table and are taken anew for every start and isolation.

use std::ops::Range;

use datafusion::execution::context::ExecutionProps;
use parking_lot::Mutex;
use storage::{Isolation, PartitionLog};

use crate::topics::Topic;

/// A run of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// When it began, in nanoseconds since 1970.
    began: Option<i64>,
    /// What it may see.
    isolation: Isolation,
}

impl Run {
    pub(crate) fn new(run: &ExecutionProps, isolation: Isolation) -> Self {
        let began = run.query_execution_start_time;
        Self {
            began: began.and_then(|began| began.timestamp_nanos_opt()),
            isolation,
        }
    }
}

/// The bounds that were taken last.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(Mutex<Option<(Run, Vec<Range<i64>>)>>);

impl Snapshots {
    /// The offsets that a run of a statement sees, in the order of the topic's partitions.
    pub(crate) fn bounds(&self, topic: &Topic, run: Run) -> Vec<Range<i64>> {
        let mut last = self.0.lock();
        if let Some((of, bounds)) = &*last
            && *of == run
            && run.began.is_some()
        {
            return bounds.clone();
        }
        let bounds: Vec<_> = topic
            .partitions
            .iter()
            .map(|partition| visible(&*partition.log, run.isolation))
            .collect();
        *last = Some((run, bounds.clone()));
        bounds
    }
}

/// The offsets that readers see now.
fn visible(log: &dyn PartitionLog, isolation: Isolation) -> Range<i64> {
    let offsets = log.offsets();
    let end = match isolation {
        Isolation::ReadCommitted => offsets.last_stable,
        Isolation::ReadUncommitted => offsets.high_watermark,
    };
    offsets.log_start.value()..end.value()
}
