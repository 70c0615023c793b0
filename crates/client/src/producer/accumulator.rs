//! Collects records into batches and remembers, per partition, what is open, ready, on its way and to be sent again.
//!
//! Invariants: at most one open batch per partition; a batch is in exactly one place (open, ready, in flight with the
//! sender, retry); batches of a partition leave in the order in which they were opened, and those to be sent again
//! before those that were never sent.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protocol::records::{self, BatchBuilder, BatchOptions};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::delivery::{Completion, Delivery};
use super::{ProduceError, ProducerConfig, ProducerRecord};
use crate::partitioner::StickyPartitioner;
use crate::runtime::Random;

/// A producer session, as the broker named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProducerSession {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

/// A batch that takes records, or waits to be sent for the first time.
#[derive(Debug)]
struct Pending {
    builder: BatchBuilder,
    opened_at: Instant,
    deadline: Instant,
    completion: Completion,
    permit: OwnedSemaphorePermit,
}

/// A batch that was built; its bytes never change again, so a retry is the same batch to the broker.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) bytes: Bytes,
    pub(super) records: u32,
    pub(super) opened_at: Instant,
    pub(super) deadline: Instant,
    /// `None` if it has no sequences, or is to get new ones.
    pub(super) session: Option<ProducerSession>,
    pub(super) completion: Completion,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// The batches of one partition.
#[derive(Debug, Default)]
struct PartitionQueue {
    open: Option<Pending>,
    ready: VecDeque<Pending>,
    retry: VecDeque<Built>,
    in_flight: usize,
    /// Not before this, after a failure.
    retry_at: Option<Instant>,
    /// A batch failed and is to be sent again: one at a time until the retries are through, so that nothing overtakes.
    recovering: bool,
    /// The session that `next_sequence` counts in.
    session: Option<ProducerSession>,
    next_sequence: i32,
    /// The broker has taken a batch of the session. Until then one batch goes at a time: a broker that knows nothing of
    /// the session takes whatever sequence it sees first, so if it refused the first batch (a leader that does not know
    /// yet that it leads) and took the second, the first could never follow.
    is_established: bool,
}

#[derive(Debug)]
struct TopicQueue {
    partitions: Vec<PartitionQueue>,
    sticky: StickyPartitioner,
}

/// What an append needs or gives.
pub(super) enum Append {
    /// The record is in a batch. `wake`: the sender has something new to look at.
    Done { delivery: Delivery, wake: bool },
    /// A new batch is needed, and memory for it.
    NeedsBuffer { bytes: usize },
}

/// What the sender may send now, and when to look again.
#[derive(Debug, Default)]
pub(super) struct Drained {
    /// With the broker that each goes to.
    pub(super) batches: Vec<(i32, Built)>,
    pub(super) next_look: Option<Instant>,
    /// A batch was given up that the broker may or may not have: its sequences cannot be used again.
    pub(super) lost_sequence: bool,
}

/// A batch that is given up.
struct Failure {
    completion: Completion,
    error: ProduceError,
    had_sequence: bool,
}

/// All batches of a producer.
#[derive(Debug)]
pub(super) struct Accumulator {
    topics: HashMap<Arc<str>, TopicQueue>,
    options: BatchOptions,
    batch_bytes: usize,
    linger: Duration,
    delivery_timeout: Duration,
    in_flight_max: usize,
    outstanding: usize,
    flushing: bool,
    failure: Option<ProduceError>,
    rotation: usize,
}

impl Accumulator {
    pub(super) fn new(config: &ProducerConfig, is_transactional: bool) -> Self {
        Self {
            topics: HashMap::new(),
            options: BatchOptions {
                compression: config.compression,
                compression_level: config.compression_level,
                is_transactional,
                ..BatchOptions::default()
            },
            batch_bytes: config.batch_bytes,
            linger: config.linger,
            delivery_timeout: config.delivery_timeout,
            in_flight_max: config.in_flight_max,
            outstanding: 0,
            flushing: false,
            failure: None,
            rotation: 0,
        }
    }

    fn topic(&mut self, name: &Arc<str>) -> &mut TopicQueue {
        // Looked up first, because `entry` would need its own key every time.
        if !self.topics.contains_key(name) {
            let queue = TopicQueue {
                partitions: Vec::new(),
                sticky: StickyPartitioner::new(self.batch_bytes, Random::new()),
            };
            self.topics.insert(Arc::clone(name), queue);
        }
        self.topics.get_mut(name).expect("it was just inserted")
    }

    /// The partition for a record without a key.
    pub(super) fn sticky(&mut self, topic: &Arc<str>, partitions: u32, bytes: usize) -> i32 {
        self.topic(topic).sticky.next(partitions, bytes)
    }

    fn queue(&mut self, topic: &Arc<str>, partition: i32) -> &mut PartitionQueue {
        let position = usize::try_from(partition)
            .expect("partitions come from metadata, sorted and not negative");
        let partitions = &mut self.topic(topic).partitions;
        if partitions.len() <= position {
            partitions.resize_with(position + 1, PartitionQueue::default);
        }
        &mut partitions[position]
    }

    /// Puts a record into the open batch of its partition, or opens one with `permit`.
    pub(super) fn append(
        &mut self,
        topic: &Arc<str>,
        partition: i32,
        record: &ProducerRecord<'_>,
        timestamp_ms: i64,
        size: usize,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<Append, ProduceError> {
        let (batch_bytes, options) = (self.batch_bytes, self.options);
        let (delivery_timeout, mut opened) = (self.delivery_timeout, false);
        let queue = self.queue(topic, partition);
        let mut wake = false;
        if let Some(open) = &queue.open
            && open.builder.size() + size > batch_bytes
            && !open.builder.is_empty()
        {
            queue.ready.extend(queue.open.take());
            wake = true;
        }
        let pending = match &mut queue.open {
            Some(open) => open,
            None => {
                let Some(permit) = permit.take() else {
                    return Ok(Append::NeedsBuffer {
                        bytes: batch_bytes.max(size),
                    });
                };
                let now = Instant::now();
                (opened, wake) = (true, true);
                queue.open.insert(Pending {
                    builder: BatchBuilder::new(options),
                    opened_at: now,
                    deadline: now + delivery_timeout,
                    completion: Completion::default(),
                    permit,
                })
            }
        };
        let position = pending.builder.count().cast_unsigned();
        let pushed = pending
            .builder
            .push(timestamp_ms, record.key, record.value, record.headers);
        let delivery = pending.completion.delivery(position);
        let (full, empty) = (
            pending.builder.size() >= batch_bytes,
            pending.builder.is_empty(),
        );
        if pushed.is_err() && empty {
            queue.open = None;
            opened = false;
        } else if full {
            queue.ready.extend(queue.open.take());
            wake = true;
        }
        self.outstanding += usize::from(opened);
        pushed.map_err(|error| ProduceError::Build(Arc::new(error)))?;
        Ok(Append::Done { delivery, wake })
    }

    /// Takes what may be sent: at most one batch per partition, only where `may_send` knows a way.
    pub(super) fn drain(
        &mut self,
        session: Option<ProducerSession>,
        needs_session: bool,
        mut way: impl FnMut(&Arc<str>, i32, usize) -> Option<i32>,
    ) -> Drained {
        let now = Instant::now();
        let mut drained = Drained::default();
        let (linger, in_flight_max, flushing) = (self.linger, self.in_flight_max, self.flushing);
        let mut failures = Vec::new();
        self.rotation = self.rotation.wrapping_add(1);
        for (topic, queues) in &mut self.topics {
            let count = queues.partitions.len();
            for step in 0..count {
                // Another partition comes first each time, so that a full request does not starve the last ones.
                let position = (step + self.rotation) % count;
                let queue = &mut queues.partitions[position];
                let partition =
                    i32::try_from(position).expect("positions come from partition numbers");
                queue.expire(topic, partition, now, &mut failures, self.delivery_timeout);
                let Some(look) = queue.when_ready(now, linger, flushing) else {
                    continue;
                };
                if look > now {
                    drained.next_look = Some(drained.next_look.map_or(look, |at| at.min(look)));
                    continue;
                }
                if !queue.may_start(in_flight_max, session, needs_session) {
                    continue;
                }
                let Some(broker) = way(topic, partition, queue.next_size()) else {
                    continue;
                };
                match queue.take(topic, partition, session) {
                    Ok(built) => drained.batches.push((broker, built)),
                    Err(failure) => failures.push(failure),
                }
            }
        }
        for failure in failures {
            drained.lost_sequence |= failure.had_sequence;
            self.failed(&failure.completion, failure.error);
        }
        drained
    }

    /// Notes the end of a batch that was acknowledged.
    pub(super) fn succeeded(&mut self, batch: &Built) {
        self.outstanding = self.outstanding.saturating_sub(1);
        let queue = self.queue(&batch.topic, batch.partition);
        queue.in_flight = queue.in_flight.saturating_sub(1);
        queue.is_established |= batch.session == queue.session;
        if queue.retry.is_empty() && queue.in_flight == 0 {
            queue.recovering = false;
            queue.retry_at = None;
        }
    }

    /// Gives a batch up.
    pub(super) fn gave_up(&mut self, batch: &Built, error: ProduceError) {
        let queue = self.queue(&batch.topic, batch.partition);
        queue.in_flight = queue.in_flight.saturating_sub(1);
        if queue.retry.is_empty() && queue.in_flight == 0 {
            queue.recovering = false;
        }
        self.failed(&batch.completion, error);
    }

    fn failed(&mut self, completion: &Completion, error: ProduceError) {
        self.outstanding = self.outstanding.saturating_sub(1);
        if self.failure.is_none() {
            self.failure = Some(error.clone());
        }
        completion.fail(error);
    }

    /// Puts a batch back, in front of everything that was opened after it.
    pub(super) fn retry(&mut self, batch: Built, at: Instant) {
        let queue = self.queue(&batch.topic, batch.partition);
        queue.in_flight = queue.in_flight.saturating_sub(1);
        queue.recovering = true;
        queue.retry_at = Some(at);
        let place = queue
            .retry
            .iter()
            .position(|other| other.opened_at > batch.opened_at)
            .unwrap_or(queue.retry.len());
        queue.retry.insert(place, batch);
    }

    /// Whether an earlier batch of the same partition waits to be sent again.
    pub(super) fn is_behind_a_retry(&mut self, batch: &Built) -> bool {
        let queue = self.queue(&batch.topic, batch.partition);
        let mut retries = queue.retry.iter();
        retries.any(|other| other.opened_at <= batch.opened_at)
    }

    /// Whether nothing waits for an acknowledgement.
    pub(super) fn is_idle(&self) -> bool {
        self.outstanding == 0
    }

    pub(super) fn set_flushing(&mut self, flushing: bool) {
        self.flushing = flushing;
    }

    pub(super) fn failure(&self) -> Option<ProduceError> {
        self.failure.clone()
    }

    pub(super) fn take_failure(&mut self) -> Option<ProduceError> {
        self.failure.take()
    }

    /// Topics that have something to send.
    pub(super) fn topics_with_work(&self) -> Vec<Arc<str>> {
        let with_work = self.topics.iter().filter(|(_, queues)| {
            let mut partitions = queues.partitions.iter();
            partitions.any(|queue| {
                queue.open.is_some() || !queue.ready.is_empty() || !queue.retry.is_empty()
            })
        });
        with_work.map(|(topic, _)| Arc::clone(topic)).collect()
    }

    /// Fails everything that is not on its way, of every topic.
    pub(super) fn fail_all(&mut self, error: &ProduceError) {
        for topic in self.topics_with_work() {
            self.fail_topic(&topic, error);
        }
    }

    /// Fails everything of a topic that was never sent: the topic is gone, or never was.
    pub(super) fn fail_topic(&mut self, topic: &Arc<str>, error: &ProduceError) {
        let Some(queues) = self.topics.get_mut(topic) else {
            return;
        };
        let mut completions = Vec::new();
        for queue in &mut queues.partitions {
            let pending = queue.ready.drain(..).chain(queue.open.take());
            completions.extend(pending.map(|pending| pending.completion));
            completions.extend(queue.retry.drain(..).map(|built| built.completion));
            queue.recovering = false;
        }
        for completion in completions {
            self.failed(&completion, error.clone());
        }
    }
}

impl PartitionQueue {
    /// When the first batch may leave; `None` if there is none.
    fn when_ready(&self, now: Instant, linger: Duration, flushing: bool) -> Option<Instant> {
        let first = if !self.retry.is_empty() || !self.ready.is_empty() || flushing {
            (!self.retry.is_empty() || !self.ready.is_empty() || self.open.is_some()).then_some(now)
        } else {
            self.open.as_ref().map(|open| open.opened_at + linger)
        };
        first.map(|at| self.retry_at.map_or(at, |retry_at| at.max(retry_at)))
    }

    /// Whether the order of batches and sequences allows to send the next one.
    fn may_start(
        &self,
        in_flight_max: usize,
        session: Option<ProducerSession>,
        needs_session: bool,
    ) -> bool {
        let unestablished = needs_session && !self.is_established;
        let limit = if self.recovering || unestablished {
            1
        } else {
            in_flight_max
        };
        let has_session = self
            .retry
            .front()
            .is_some_and(|built| built.session.is_some());
        if has_session || !needs_session {
            return self.in_flight < limit;
        }
        // Sequences of a new session begin at zero, which is only in order when nothing of the old one is on its way.
        session.is_some()
            && self.in_flight < limit
            && (self.session == session || self.in_flight == 0)
    }

    fn next_size(&self) -> usize {
        match self.retry.front() {
            Some(built) => built.bytes.len(),
            None => {
                let pending = self.ready.front().or(self.open.as_ref());
                pending.map_or(0, |pending| pending.builder.size())
            }
        }
    }

    fn take(
        &mut self,
        topic: &Arc<str>,
        partition: i32,
        session: Option<ProducerSession>,
    ) -> Result<Built, Failure> {
        if let Some(mut built) = self.retry.pop_front() {
            if let (None, Some(session)) = (built.session, session) {
                let base_sequence = self.reserve(session, built.records);
                built.renumber(session, base_sequence);
            }
            self.in_flight += 1;
            return Ok(built);
        }
        let pending = self.ready.pop_front().or_else(|| self.open.take());
        let Pending {
            mut builder,
            opened_at,
            deadline,
            completion,
            permit,
        } = pending.expect("asked only when there is a batch");
        let records = builder.count().cast_unsigned();
        if let Some(session) = session {
            let base_sequence = self.reserve(session, records);
            builder.set_producer(session.id, session.epoch, base_sequence);
        }
        let bytes = match builder.build() {
            Ok(bytes) => bytes,
            Err(error) => {
                return Err(Failure {
                    completion,
                    error: ProduceError::Build(Arc::new(error)),
                    had_sequence: session.is_some(),
                });
            }
        };
        self.in_flight += 1;
        Ok(Built {
            topic: Arc::clone(topic),
            partition,
            bytes,
            records,
            opened_at,
            deadline,
            session,
            completion,
            _permit: permit,
        })
    }

    /// The first of the next `records` sequences of a session.
    fn reserve(&mut self, session: ProducerSession, records: u32) -> i32 {
        if self.session != Some(session) {
            self.session = Some(session);
            self.next_sequence = 0;
            self.is_established = false;
        }
        let first = self.next_sequence;
        self.next_sequence = next_sequence(first, records);
        first
    }

    /// Gives up what waited too long.
    fn expire(
        &mut self,
        topic: &Arc<str>,
        partition: i32,
        now: Instant,
        failures: &mut Vec<Failure>,
        limit: Duration,
    ) {
        let expired = |completion, had_sequence| Failure {
            completion,
            error: ProduceError::Expired {
                topic: Arc::clone(topic),
                partition,
                limit,
                source: None,
            },
            had_sequence,
        };
        while let Some(built) = self.retry.pop_front_if(|built| built.deadline <= now) {
            failures.push(expired(built.completion, built.session.is_some()));
        }
        while let Some(pending) = self.ready.pop_front_if(|pending| pending.deadline <= now) {
            failures.push(expired(pending.completion, false));
        }
        if let Some(pending) = self.open.take_if(|pending| pending.deadline <= now) {
            failures.push(expired(pending.completion, false));
        }
    }
}

impl Built {
    /// Gives sequences of a new session to a batch that the broker refused for its old ones.
    fn renumber(&mut self, session: ProducerSession, base_sequence: i32) {
        let mut bytes = BytesMut::from(self.bytes.as_ref());
        records::set_producer(&mut bytes, session.id, session.epoch, base_sequence)
            .expect("the batch was built by this process");
        self.bytes = bytes.freeze();
        self.session = Some(session);
    }
}

/// Sequences wrap to zero after `i32::MAX` (`DefaultRecordBatch.incrementSequence`).
fn next_sequence(base: i32, records: u32) -> i32 {
    let next = i64::from(base) + i64::from(records);
    let wrapped = next % (i64::from(i32::MAX) + 1);
    i32::try_from(wrapped).expect("below i32::MAX + 1")
}
