//! Logs that answer as no log should: the query ends all the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sql::{Engine, EngineOptions, Partition, Topic, TopicError, Topics};
use storage::{
    ActiveProducer, AppendContext, AppendError, AppendTicket, CoordinatorIntent,
    DeleteRecordsError, EpochEnd, FirstBatch, Isolation, LogOffsets, LogSegment, PartitionLog,
    ReadError, ReadPlan, TimestampQuery, TimestampedOffset, VerificationGuard, VisibleSubscriber,
};
use types::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicName};

use crate::world::*;

/// How a log answers.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// The first batch, whatever was asked for.
    AlwaysTheFirst,
    /// Nothing at all.
    Nothing,
    /// The log begins one further each time.
    Fleeing,
    /// It lies elsewhere, which helps nobody.
    OutOfRange,
}

#[derive(Debug)]
struct Stubborn {
    answer: Answer,
    log: Arc<dyn PartitionLog>,
}

impl PartitionLog for Stubborn {
    fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
        at_least_one: bool,
    ) -> Result<ReadPlan, ReadError> {
        match self.answer {
            Answer::AlwaysTheFirst => self.log.read(Offset::default(), 1, isolation, at_least_one),
            Answer::Nothing => {
                let mut plan = self.log.read(from, max_bytes, isolation, at_least_one)?;
                plan.slices.clear();
                plan.length = 0;
                Ok(plan)
            }
            Answer::Fleeing => Err(ReadError::OffsetOutOfRange {
                requested: from,
                log_start: from.plus(1),
                log_end: from.plus(1000),
            }),
            Answer::OutOfRange => Err(ReadError::OffsetOutOfRange {
                requested: from,
                log_start: Offset::default(),
                log_end: Offset::default(),
            }),
        }
    }

    fn append(&self, batches: Bytes, context: AppendContext) -> Result<AppendTicket, AppendError> {
        self.log.append(batches, context)
    }

    fn begin_verification(
        &self,
        batch: FirstBatch,
    ) -> Result<Option<VerificationGuard>, AppendError> {
        self.log.begin_verification(batch)
    }

    fn check_coordinator(
        &self,
        intent: CoordinatorIntent,
        context: &AppendContext,
    ) -> Result<(), AppendError> {
        self.log.check_coordinator(intent, context)
    }

    fn producers(&self) -> Vec<ActiveProducer> {
        self.log.producers()
    }

    fn is_ready(&self, from: Offset, max_bytes: usize) -> bool {
        self.log.is_ready(from, max_bytes)
    }

    fn offsets(&self) -> LogOffsets {
        self.log.offsets()
    }

    fn offset_for_timestamp(
        &self,
        query: TimestampQuery,
        isolation: Isolation,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        self.log.offset_for_timestamp(query, isolation)
    }

    fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        self.log.end_offset_for_epoch(epoch)
    }

    fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.log.epoch_at(offset)
    }

    fn delete_records(&self, before: Option<Offset>) -> Result<Offset, DeleteRecordsError> {
        self.log.delete_records(before)
    }

    fn subscribe(&self, subscriber: &Arc<dyn VisibleSubscriber>, token: u64) {
        self.log.subscribe(subscriber, token);
    }

    fn unsubscribe(&self, subscriber: &Arc<dyn VisibleSubscriber>, token: u64) {
        self.log.unsubscribe(subscriber, token);
    }

    fn size_bytes(&self) -> u64 {
        self.log.size_bytes()
    }

    /// Segments that do not know what they hold, so that the log is asked.
    fn segments(&self) -> Vec<LogSegment> {
        let segments = self.log.segments().into_iter();
        let unknown = segments.map(|segment| LogSegment {
            has_only_records: false,
            ..segment
        });
        unknown.collect()
    }

    fn is_offline(&self) -> bool {
        self.log.is_offline()
    }
}

/// One topic `t` with a stubborn log, and one whose log is not here.
#[derive(Debug)]
struct OneTopic {
    topic: Topic,
    _world: Arc<World>,
}

impl Topics for OneTopic {
    fn names(&self) -> Vec<TopicName> {
        vec![self.topic.name.clone(), TopicName::new("elsewhere")]
    }

    fn topic(&self, name: &str) -> Result<Option<Topic>, TopicError> {
        if name == "elsewhere" {
            return Err(TopicError::NotLeader {
                topic: TopicName::new(name),
                partition: PartitionIndex::new(0).unwrap(),
            });
        }
        Ok((name == "t").then(|| self.topic.clone()))
    }
}

/// A session over 30 records in three batches behind a log that answers so.
fn session(answer: Answer) -> Session {
    let world = World::new();
    world.simple_topic("t", 1);
    for _ in 0..3 {
        let records: Vec<_> = (0..10).map(|_| written(NOW_MS, "k", "v")).collect();
        world.append("t", 0, batch(&records));
    }
    let log = Arc::new(Stubborn {
        answer,
        log: world.log("t", 0),
    });
    let topic = Topic {
        name: TopicName::new("t"),
        id: TopicId::new([7; 16]).unwrap(),
        partitions: vec![Partition {
            index: PartitionIndex::new(0).unwrap(),
            log,
        }],
        settings: BTreeMap::new(),
    };
    let topics = OneTopic {
        topic,
        _world: world,
    };
    Session::of(Engine::new(Arc::new(topics), EngineOptions::default()).unwrap())
}

#[test]
fn a_log_that_gives_the_same_again_is_an_error() {
    for sql in ["SELECT _value FROM t", "SELECT count(*) FROM t"] {
        let refusal = session(Answer::AlwaysTheFirst).refusal(sql);
        assert!(
            refusal.contains("topic \"t\", partition 0, offset 10: the log gave nothing new"),
            "{sql}: {refusal}"
        );
    }
}

#[test]
fn a_log_that_gives_nothing_is_at_its_end() {
    assert_eq!(
        session(Answer::Nothing).ask("SELECT count(*) FROM t"),
        ["0"]
    );
}

#[test]
fn a_log_that_flees_is_followed_to_the_end_of_the_snapshot() {
    let session = session(Answer::Fleeing);
    assert_eq!(session.ask("SELECT count(_value) FROM t"), ["0"]);
    let figures = session.figures("SELECT _value FROM t");
    assert_eq!(figures["offsets_removed"], 30);
}

#[test]
fn an_offset_that_is_out_of_range_for_no_reason_is_an_error() {
    let refusal = session(Answer::OutOfRange).refusal("SELECT _value FROM t");
    assert!(
        refusal.contains("topic \"t\", partition 0, offset 0: offset 0 is outside of the log"),
        "{refusal}"
    );
}

#[test]
fn a_topic_whose_log_cannot_be_had_is_described_but_not_read() {
    let session = session(Answer::Nothing);
    assert_eq!(
        session.ask("SELECT table_name, count(*) FROM information_schema.columns WHERE table_schema = 'public' GROUP BY 1 ORDER BY 1"),
        ["elsewhere|7", "t|7"]
    );
    let refusal = session.refusal("SELECT count(*) FROM elsewhere");
    assert!(
        refusal.contains("topic \"elsewhere\", partition 0, is led by another broker"),
        "{refusal}"
    );
}
