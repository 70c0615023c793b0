//! A clock, a topic and logs in memory, and requests to try them with.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use coordinator::{
    Client, CommitPartition, CommitRequest, CommitTopic, FetchOffsetsRequest, FetchTopic,
    GroupSettings, JoinRequest, MemberProtocol, TopicSelection,
};
use env::{BoxFuture, Clock, Env};
use parking_lot::{Condvar, Mutex};
use protocol::Slice;
use protocol::records::BatchIterator;
use storage::{
    AppendContext, AppendError, AppendOutcome, AppendTicket, BoxedCommit, CommitFailed,
    DeleteRecordsError, EpochEnd, Isolation, LogOffsets, PartitionLog, ReadError, ReadPlan,
    TimestampQuery, TimestampedOffset, VisibleSubscriber,
};
use tokio::sync::{oneshot, watch};
use types::{
    GroupId, Instant, LeaderEpoch, MemberId, Offset, PartitionIndex, Timestamp, TopicId, TopicName,
};

use super::super::errors::CoordinatorError;
use super::super::group_coordinator::GroupCoordinator;
use super::super::state_topic::{LedShard, StateTopic};

/// Kafka's default.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Shows the time the test sets.
#[derive(Debug)]
pub(super) struct ManualClock(watch::Sender<Instant>);

impl ManualClock {
    pub(super) fn advance(&self, duration: Duration) {
        self.0.send_modify(|now| *now = now.plus(duration));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        *self.0.borrow()
    }

    fn wall(&self) -> Timestamp {
        let elapsed = self.0.borrow().since_origin();
        Timestamp::from_ms(i64::try_from(elapsed.as_millis()).unwrap())
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let mut time = self.0.subscribe();
        Box::pin(async move {
            time.wait_for(|now| *now >= deadline).await.unwrap();
        })
    }
}

/// What the next append does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appends {
    /// It is durable at once.
    Durable,
    /// It becomes durable when [`MemoryLog::commit`] says so.
    Held,
    /// The disk is full.
    Refused,
    /// Another broker leads.
    Fenced,
}

#[derive(Debug)]
struct LogState {
    batches: Vec<(Offset, Bytes)>,
    end: Offset,
    high_watermark: Offset,
    appends: Appends,
    held: VecDeque<(Offset, oneshot::Sender<Result<(), CommitFailed>>)>,
}

/// One partition's log in memory.
#[derive(Debug)]
pub(super) struct MemoryLog {
    state: Mutex<LogState>,
    readable: Mutex<bool>,
    became_readable: Condvar,
}

impl MemoryLog {
    fn new() -> Self {
        Self {
            state: Mutex::new(LogState {
                batches: Vec::new(),
                end: Offset::ZERO,
                high_watermark: Offset::ZERO,
                appends: Appends::Durable,
                held: VecDeque::new(),
            }),
            readable: Mutex::new(true),
            became_readable: Condvar::new(),
        }
    }

    pub(super) fn set_appends(&self, appends: Appends) {
        self.state.lock().appends = appends;
    }

    /// Decides about the oldest append that is held.
    pub(super) fn commit(&self, success: bool) {
        let mut state = self.state.lock();
        let (end, commit) = state.held.pop_front().expect("an append is held");
        let outcome = if success {
            state.high_watermark = end;
            Ok(())
        } else {
            let cause = Arc::new(std::io::Error::other("torn"));
            Err(CommitFailed { cause })
        };
        drop(state);
        commit.send(outcome).expect("somebody waits");
    }

    /// Reads wait until [`MemoryLog::allow_reads`].
    pub(super) fn hold_reads(&self) {
        *self.readable.lock() = false;
    }

    pub(super) fn allow_reads(&self) {
        *self.readable.lock() = true;
        self.became_readable.notify_all();
    }

    /// Puts bytes behind the log as if a broker had written them.
    pub(super) fn plant(&self, batch: Bytes) {
        self.append(batch, AppendContext::coordinator(LeaderEpoch::ZERO))
            .unwrap();
    }

    pub(super) fn batches(&self) -> usize {
        self.state.lock().batches.len()
    }
}

impl PartitionLog for MemoryLog {
    fn begin_verification(
        &self,
        _batch: storage::FirstBatch,
    ) -> Result<Option<storage::VerificationGuard>, AppendError> {
        Ok(None)
    }

    fn check_coordinator(
        &self,
        _intent: storage::CoordinatorIntent,
        _context: &AppendContext,
    ) -> Result<(), AppendError> {
        Ok(())
    }

    fn producers(&self) -> Vec<storage::ActiveProducer> {
        Vec::new()
    }

    fn append(&self, batches: Bytes, context: AppendContext) -> Result<AppendTicket, AppendError> {
        let mut state = self.state.lock();
        match state.appends {
            Appends::Durable | Appends::Held => {}
            Appends::Refused => return Err(AppendError::Full),
            Appends::Fenced => {
                return Err(AppendError::FencedLeaderEpoch {
                    requested: context.leader_epoch,
                    current: LeaderEpoch::new(9).unwrap(),
                });
            }
        }
        let base_offset = state.end;
        let mut whole = BytesMut::from(&batches[..]);
        let mut position = 0;
        while position < whole.len() {
            let batch = &mut whole[position..];
            let length = BatchIterator::new(batch)
                .next()
                .unwrap()
                .unwrap()
                .total_size();
            let count = BatchIterator::new(batch)
                .next()
                .unwrap()
                .unwrap()
                .records_count();
            let base = state.end;
            protocol::records::assign_offsets(
                &mut batch[..length],
                base.value(),
                context.leader_epoch.value(),
            )
            .unwrap();
            let batch = Bytes::copy_from_slice(&batch[..length]);
            state.batches.push((base, batch));
            state.end = base.plus(u64::try_from(count).unwrap());
            position += length;
        }
        let (commit, committed) = oneshot::channel();
        let end = state.end;
        if state.appends == Appends::Durable {
            state.high_watermark = end;
            commit.send(Ok(())).unwrap();
        } else {
            state.held.push_back((end, commit));
        }
        Ok(AppendTicket {
            outcome: AppendOutcome {
                base_offset,
                last_offset: end,
                log_append_time: None,
                log_start_offset: Offset::ZERO,
                duplicate: false,
            },
            commit: BoxedCommit(Box::pin(async move { committed.await.unwrap() })),
        })
    }

    fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        _isolation: Isolation,
        at_least_one: bool,
    ) -> Result<ReadPlan, ReadError> {
        let mut readable = self.readable.lock();
        while !*readable {
            self.became_readable.wait(&mut readable);
        }
        let state = self.state.lock();
        let mut slices = Vec::new();
        let mut length = 0;
        for (base, batch) in &state.batches {
            let fits = length + batch.len() <= max_bytes || (at_least_one && slices.is_empty());
            if *base >= from && *base < state.high_watermark && fits {
                length += batch.len();
                slices.push(Slice::Memory(batch.clone()));
            }
        }
        Ok(ReadPlan {
            slices,
            length,
            ..ReadPlan::default()
        })
    }

    fn is_ready(&self, _from: Offset, _max_bytes: usize) -> bool {
        true
    }

    fn offsets(&self) -> LogOffsets {
        let state = self.state.lock();
        LogOffsets {
            log_start: Offset::ZERO,
            high_watermark: state.high_watermark,
            last_stable: state.high_watermark,
            log_end: state.end,
            leader_epoch: LeaderEpoch::ZERO,
        }
    }

    fn offset_for_timestamp(
        &self,
        _query: TimestampQuery,
        _isolation: Isolation,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        unimplemented!("not used by coordinators")
    }

    fn end_offset_for_epoch(&self, _epoch: LeaderEpoch) -> Option<EpochEnd> {
        unimplemented!("not used by coordinators")
    }

    fn epoch_at(&self, _offset: Offset) -> Option<LeaderEpoch> {
        unimplemented!("not used by coordinators")
    }

    fn delete_records(&self, _before: Option<Offset>) -> Result<Offset, DeleteRecordsError> {
        unimplemented!("not used by coordinators")
    }

    fn subscribe(&self, _subscriber: &Arc<dyn VisibleSubscriber>, _token: u64) {
        unimplemented!("not used by coordinators")
    }

    fn unsubscribe(&self, _subscriber: &Arc<dyn VisibleSubscriber>, _token: u64) {
        unimplemented!("not used by coordinators")
    }

    fn size_bytes(&self) -> u64 {
        unimplemented!("not used by coordinators")
    }

    fn segments(&self) -> Vec<storage::LogSegment> {
        unimplemented!("not used by coordinators")
    }

    fn is_offline(&self) -> bool {
        unimplemented!("not used by coordinators")
    }
}

/// `__consumer_offsets` with as many partitions as logs.
#[derive(Debug)]
pub(super) struct FakeTopic {
    pub(super) logs: Vec<Arc<MemoryLog>>,
    pub(super) exists: AtomicBool,
    pub(super) creatable: AtomicBool,
    /// The epoch this broker leads in; negative while another leads.
    pub(super) epoch: AtomicI32,
    pub(super) settings: GroupSettings,
}

fn topic_id() -> TopicId {
    TopicId::new([1; 16]).unwrap()
}

impl StateTopic<GroupSettings> for FakeTopic {
    fn found(&self) -> Option<(TopicId, i32)> {
        let count = i32::try_from(self.logs.len()).unwrap();
        let exists = self.exists.load(Ordering::Relaxed);
        exists.then(|| (topic_id(), count))
    }

    fn lead(&self, partition: PartitionIndex) -> Result<LedShard<GroupSettings>, CoordinatorError> {
        let epoch = LeaderEpoch::new(self.epoch.load(Ordering::Relaxed));
        let log = Arc::clone(&self.logs[usize::try_from(partition.value()).unwrap()]);
        Ok(LedShard {
            topic: topic_id(),
            log,
            epoch: epoch.ok_or(CoordinatorError::NotCoordinator)?,
            batch_bytes_max: self.settings.record_bytes_max,
            settings: self.settings.clone(),
        })
    }

    fn leads(&self, _partition: PartitionIndex, led: &LedShard<GroupSettings>) -> bool {
        self.epoch.load(Ordering::Relaxed) == led.epoch.value()
    }

    fn settings(&self, _led: &LedShard<GroupSettings>) -> GroupSettings {
        self.settings.clone()
    }

    fn write_timeout(&self) -> Duration {
        WRITE_TIMEOUT
    }

    fn create(&self) -> BoxFuture<'_, Result<(), CoordinatorError>> {
        Box::pin(async {
            if !self.creatable.load(Ordering::Relaxed) {
                return Err(CoordinatorError::NotAvailable);
            }
            self.exists.store(true, Ordering::Relaxed);
            Ok(())
        })
    }
}

/// A coordinator on fakes.
pub(super) struct Fixture {
    pub(super) clock: Arc<ManualClock>,
    pub(super) topic: Arc<FakeTopic>,
    pub(super) groups: Arc<GroupCoordinator>,
}

impl Fixture {
    /// Over `count` partitions of a topic that exists.
    pub(super) fn new(count: usize) -> Self {
        let topic = FakeTopic {
            logs: (0..count).map(|_| Arc::new(MemoryLog::new())).collect(),
            exists: AtomicBool::new(true),
            creatable: AtomicBool::new(true),
            epoch: AtomicI32::new(1),
            settings: GroupSettings::default(),
        };
        Self::over(Arc::new(topic))
    }

    /// Another process over the same logs.
    pub(super) fn restarted(&self) -> Self {
        Self::over(Arc::clone(&self.topic))
    }

    fn over(topic: Arc<FakeTopic>) -> Self {
        let clock = Arc::new(ManualClock(watch::Sender::new(Instant::default())));
        let env = Env {
            clock: Arc::<ManualClock>::clone(&clock),
            ..Env::system()
        };
        let groups = GroupCoordinator::with_topic(env, Arc::<FakeTopic>::clone(&topic));
        Self {
            clock,
            topic,
            groups: Arc::new(groups),
        }
    }

    pub(super) fn log(&self) -> &MemoryLog {
        &self.topic.logs[0]
    }

    pub(super) async fn commit(&self, group: &str, offset: i64) -> Result<(), CoordinatorError> {
        self.groups
            .commit(commit_request(group, offset))
            .await
            .map(|result| {
                result.expect("the group takes it");
            })
    }

    pub(super) async fn committed(&self, group: &str) -> Result<Option<i64>, CoordinatorError> {
        let topics = self.groups.fetch_offsets(fetch_request(group)).await?;
        let topics = topics.expect("nobody is named");
        let offset = topics[0].partitions[0].result.clone().expect("stable");
        Ok(offset.map(|offset| offset.offset))
    }

    /// The committed offset once the shard is loaded.
    pub(super) async fn committed_when_loaded(&self, group: &str) -> Option<i64> {
        loop {
            match self.committed(group).await {
                Ok(offset) => return offset,
                Err(CoordinatorError::LoadInProgress) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

pub(super) fn commit_request(group: &str, offset: i64) -> CommitRequest {
    CommitRequest {
        group: GroupId::new(group),
        member: None,
        instance: None,
        generation: None,
        retention_ms: None,
        takes_member_epochs: true,
        topics: vec![CommitTopic {
            topic: TopicName::new("flights"),
            topic_id: None,
            partitions: vec![CommitPartition {
                partition: PartitionIndex::default(),
                offset,
                leader_epoch: None,
                metadata: None,
            }],
        }],
    }
}

pub(super) fn fetch_request(group: &str) -> FetchOffsetsRequest {
    FetchOffsetsRequest {
        group: GroupId::new(group),
        member: None,
        member_epoch: -1,
        topics: TopicSelection::Topics(vec![FetchTopic {
            topic: TopicName::new("flights"),
            topic_id: None,
            partitions: vec![PartitionIndex::default()],
        }]),
        require_stable: false,
    }
}

pub(super) fn join_request(group: &str, member: Option<MemberId>) -> JoinRequest {
    JoinRequest {
        group: GroupId::new(group),
        member,
        instance: None,
        client: Client {
            id: Arc::from("client"),
            host: Arc::from("/127.0.0.1"),
        },
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(60),
        protocol_type: Arc::from("consumer"),
        protocols: vec![MemberProtocol {
            name: Arc::from("range"),
            metadata: Arc::from([0, 0]),
        }],
        requires_known_member: false,
        supports_skip_assignment: true,
        randomness: [7; 16],
    }
}
