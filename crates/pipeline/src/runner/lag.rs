//! [`LagReporter`]: commits how far a task is as offsets of its group, so that tools which know groups show its lag.
//!
//! Invariant: no task ever reads them back: they are a copy for people, which may be late or missing. Of a task that writes a table they
//! are what its lag is told from.

use std::collections::BTreeMap;

use client::{Cluster, CommitOffset, GroupCoordinator, TopicPartition, commit_offsets};
use tokio::task::JoinSet;

use super::topic_reader::Begun;

/// How often at most.
const EVERY_MS: i64 = 1_000;
/// How often what is known is told again: offsets of a group without members are forgotten after a time (`offsets.retention.minutes`).
const AGAIN_MS: i64 = 3_600_000;

/// Commits offsets of a group, now and then.
#[derive(Debug)]
pub(crate) struct LagReporter {
    cluster: Cluster,
    group: String,
    /// What was reported last.
    reported: BTreeMap<TopicPartition, i64>,
    /// What is to be reported.
    wanted: BTreeMap<TopicPartition, i64>,
    last_ms: i64,
    /// A report that is on its way.
    running: JoinSet<()>,
}

impl LagReporter {
    pub(crate) fn new(cluster: Cluster, group: String) -> Self {
        Self {
            cluster,
            group,
            reported: BTreeMap::new(),
            wanted: BTreeMap::new(),
            last_ms: i64::MIN,
            running: JoinSet::new(),
        }
    }

    /// Reports where reading stands, unless it did just now.
    pub(crate) fn report(&mut self, looked_through: &[Begun], now_ms: i64) {
        for begun in looked_through {
            self.wanted.insert(begun.partition.clone(), begun.offset);
        }
        while self.running.try_join_next().is_some() {}
        let since_ms = now_ms.saturating_sub(self.last_ms);
        let is_soon = since_ms < EVERY_MS;
        let is_known = self.wanted == self.reported && since_ms < AGAIN_MS;
        if is_soon || is_known || !self.running.is_empty() {
            return;
        }
        if since_ms >= AGAIN_MS {
            self.reported.clear();
        }
        self.last_ms = now_ms;
        self.send();
    }

    fn send(&mut self) {
        let offsets = self.wanted.iter();
        let offsets: BTreeMap<_, _> = offsets
            .filter(|(partition, offset)| self.reported.get(*partition) != Some(*offset))
            .map(|(partition, offset)| (partition.clone(), CommitOffset::new(*offset)))
            .collect();
        self.reported.clone_from(&self.wanted);
        let coordinator = GroupCoordinator::new(self.cluster.clone(), self.group.as_str());
        self.running.spawn(async move {
            if let Err(error) = commit_offsets(&coordinator, None, &offsets).await {
                tracing::debug!(group = %coordinator.group_id(), %error, "lag is not shown");
            }
        });
    }

    /// Reports what is left, at the end.
    pub(crate) async fn finish(mut self) {
        while self.running.join_next().await.is_some() {}
        if self.wanted != self.reported {
            self.send();
            while self.running.join_next().await.is_some() {}
        }
    }
}
