//! [`LogFigures`]: what all logs of a directory are together at one moment, for who watches the broker.
//!
//! Counted when somebody asks, log after log, so that nothing is paid for on the way of a record. Takes no lock that is held
//! while a disk is waited for.

use std::sync::Arc;

use types::{Offset, TopicId, TopicPartition};

use crate::local_log::{LocalLog, Status};
use crate::{LogDirectory, LossKind};

/// All logs of a directory together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFigures {
    /// Logs with a folder.
    pub logs: usize,
    /// Logs that are offline.
    pub offline: usize,
    /// Segments of all logs.
    pub segments: usize,
    /// Bytes of all segments, without indexes.
    pub bytes: u64,
    /// Where the oldest open transaction of each log begins that has one.
    pub open_transactions: Vec<((TopicPartition, TopicId), Offset)>,
}

impl LogFigures {
    fn add(&mut self, log: &LocalLog) {
        let view = log.view.lock();
        self.offline += usize::from(view.status == Status::Offline);
        self.logs += usize::from(!view.segments.is_empty());
        self.segments += view.segments.len();
        let sizes = view.segments.iter();
        self.bytes += sizes.map(|segment| u64::from(segment.size())).sum::<u64>();
        if let Some(first) = view.transactions.first_open() {
            let name = (log.partition().clone(), log.topic_id());
            self.open_transactions.push((name, first));
        }
    }
}

impl LogDirectory {
    /// What all its logs are together now.
    pub fn figures(&self) -> LogFigures {
        let mut figures = LogFigures::default();
        for log in self.partitions() {
            figures.add(&log);
        }
        figures
    }

    /// Whether the last write found no room on the disk.
    pub fn is_full(&self) -> bool {
        self.shared().is_full()
    }

    /// How often something was taken out of logs since opening, given up, or not believed.
    pub fn loss_counts(&self) -> Vec<(LossKind, u64)> {
        self.shared().losses.counts().collect()
    }

    /// The size of the file system, in bytes.
    ///
    /// # Errors
    /// The disk's.
    pub fn total_bytes(&self) -> std::io::Result<u64> {
        let disk = Arc::clone(&self.shared().env.disk);
        disk.total_bytes(self.root())
    }
}
