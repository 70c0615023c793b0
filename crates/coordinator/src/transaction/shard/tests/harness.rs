//! A shard with its log, its wishes and a clock.

use std::time::Duration;

use types::{
    Offset, PartitionIndex, ProducerEpoch, ProducerId, Timestamp, TopicName, TopicPartition,
    TransactionalId,
};

use crate::machine::{Machine, Origin, Producer, ReplyToken};
use crate::time::Now;
use crate::transaction::add_partitions::{AddPartitionsError, AddPartitionsRequest};
use crate::transaction::end::{EndError, EndRequest};
use crate::transaction::init_producer::{InitProducerError, InitProducerRequest};
use crate::transaction::record::TransactionRecord;
use crate::transaction::request::{
    Markers, MarkersWritten, Output, TransactionEffect, TransactionReply, TransactionRequest,
};
use crate::transaction::settings::TransactionSettings;
use crate::transaction::shard::TransactionShard;
use crate::transaction::state::{Transaction, TransactionState, TransactionVersion};
use crate::transaction::verify_partitions::{VerifyPartitionsError, VerifyPartitionsRequest};

pub(super) const TIMEOUT_MS: i32 = 60_000;

pub(super) fn id(name: &str) -> TransactionalId {
    TransactionalId::new(name)
}

pub(super) fn producer(id: i64, epoch: i16) -> Producer {
    Producer {
        id: ProducerId::new(id).unwrap(),
        epoch: ProducerEpoch::new(epoch).unwrap(),
    }
}

pub(super) fn partition(index: i32) -> TopicPartition {
    TopicPartition {
        topic: TopicName::new("flights"),
        partition: PartitionIndex::new(index).unwrap(),
    }
}

pub(super) struct Harness {
    pub(super) shard: TransactionShard,
    pub(super) now: Now,
    pub(super) records: Vec<TransactionRecord>,
    /// What was asked for since the last start, oldest first.
    pub(super) wishes: Vec<Markers>,
    settings: TransactionSettings,
    tokens: u64,
    next_id: i64,
}

impl Harness {
    pub(super) fn new() -> Self {
        Self::with(TransactionSettings::default())
    }

    pub(super) fn with(settings: TransactionSettings) -> Self {
        let mut harness = Self {
            shard: TransactionShard::new(settings.clone()),
            now: Now {
                wall: Timestamp::from_ms(1_700_000_000_000),
                ..Now::default()
            },
            records: Vec::new(),
            wishes: Vec::new(),
            settings,
            tokens: 0,
            next_id: 1_000,
        };
        harness.start();
        harness
    }

    /// With a transactional id in this state, as if the log had it.
    pub(super) fn of(name: &str, transaction: Transaction) -> Self {
        let mut harness = Self::new();
        harness.records.push(TransactionRecord {
            id: id(name),
            value: Some(transaction),
            is_flexible: true,
        });
        harness.restart();
        harness
    }

    fn start(&mut self) {
        self.wishes.clear();
        let output = self.shard.start(self.now);
        assert!(output.appends_nothing() && output.replies.is_empty());
        self.take(output);
    }

    /// Changes the level of the cluster.
    pub(super) fn configure(&mut self, version: TransactionVersion) {
        self.settings.version = version;
        let output = self.shard.configure(self.now, self.settings.clone());
        assert_eq!(output, Output::default());
    }

    /// Forgets everything but the log.
    pub(super) fn restart(&mut self) {
        self.wait(Duration::from_millis(1));
        self.shard = self.replayed();
        self.start();
    }

    pub(super) fn replayed(&self) -> TransactionShard {
        let mut shard = TransactionShard::new(self.settings.clone());
        for (offset, record) in (0..).zip(&self.records) {
            let origin = Origin {
                offset: Offset::new(offset).unwrap(),
                producer: None,
            };
            let Ok(()) = shard.replay(self.now, origin, record.clone());
        }
        shard
    }

    /// What the log says is what the shard says.
    pub(super) fn assert_replays(&self) {
        let live: Vec<_> = transactions(&self.shard);
        assert_eq!(transactions(&self.replayed()), live);
    }

    pub(super) fn wait(&mut self, duration: Duration) {
        let ms = i64::try_from(duration.as_millis()).unwrap();
        self.now.instant = self.now.instant.plus(duration);
        self.now.wall = Timestamp::from_ms(self.now.wall.ms() + ms);
    }

    /// Sets the wall clock back by so much, or forward; no time passes.
    pub(super) fn set_clock_back(&mut self, seconds: i64) {
        self.now.wall = Timestamp::from_ms(self.now.wall.ms() - seconds * 1_000);
    }

    /// Lets time pass, and the shard do what is due.
    pub(super) fn pass(&mut self, duration: Duration) {
        self.wait(duration);
        if self.shard.next_deadline().unwrap() <= self.now.instant {
            let output = self.shard.tick(self.now);
            assert!(output.replies.is_empty());
            self.take(output);
        }
        assert!(self.shard.next_deadline().unwrap() > self.now.instant);
    }

    fn take(&mut self, output: Output) -> Vec<(ReplyToken, TransactionReply)> {
        assert!(output.producer.is_none() && output.markers.is_empty());
        self.records.extend(output.records);
        let wish = |effect| match effect {
            TransactionEffect::WriteMarkers(markers) => markers,
        };
        self.wishes.extend(output.effects.into_iter().map(wish));
        output.replies
    }

    pub(super) fn call(&mut self, request: TransactionRequest) -> TransactionReply {
        self.tokens += 1;
        let token = ReplyToken(self.tokens);
        let output = self.shard.handle(self.now, token, request);
        let mut replies = self.take(output);
        assert_eq!(replies.len(), 1);
        let (answered, reply) = replies.remove(0);
        assert_eq!(answered, token);
        reply
    }

    pub(super) fn init(
        &mut self,
        name: &str,
        expected: Option<Producer>,
    ) -> Result<Producer, InitProducerError> {
        let mut request = InitProducerRequest {
            id: id(name),
            timeout_ms: TIMEOUT_MS,
            expected: expected.map(Into::into),
            fresh: None,
        };
        loop {
            let reply = self.call(TransactionRequest::InitProducer(request.clone()));
            let TransactionReply::InitProducer(result) = reply else {
                panic!("answered {reply:?}");
            };
            if result != Err(InitProducerError::NeedsFreshId) {
                return result;
            }
            assert_eq!(request.fresh, None);
            request.fresh = self.fresh_id();
        }
    }

    fn fresh_id(&mut self) -> Option<ProducerId> {
        self.next_id += 1;
        ProducerId::new(self.next_id)
    }

    pub(super) fn add(
        &mut self,
        name: &str,
        producer: Producer,
        version: TransactionVersion,
        partitions: &[i32],
    ) -> Result<(), AddPartitionsError> {
        let request = AddPartitionsRequest {
            id: id(name),
            producer: producer.into(),
            version,
            partitions: partitions.iter().copied().map(partition).collect(),
        };
        match self.call(TransactionRequest::AddPartitions(request)) {
            TransactionReply::AddPartitions(result) => result,
            other => panic!("answered {other:?}"),
        }
    }

    pub(super) fn verify(
        &mut self,
        name: &str,
        producer: Producer,
        index: i32,
    ) -> Result<bool, VerifyPartitionsError> {
        let request = VerifyPartitionsRequest {
            id: id(name),
            producer: producer.into(),
            partitions: vec![partition(index)],
        };
        match self.call(TransactionRequest::VerifyPartitions(request)) {
            TransactionReply::VerifyPartitions(result) => {
                result.map(|verified| verified[0].belongs)
            }
            other => panic!("answered {other:?}"),
        }
    }

    pub(super) fn end(
        &mut self,
        name: &str,
        producer: Producer,
        commit: bool,
        version: TransactionVersion,
    ) -> Result<Producer, EndError> {
        let mut request = EndRequest {
            id: id(name),
            producer: producer.into(),
            commit,
            version,
            fresh: None,
        };
        loop {
            let reply = self.call(TransactionRequest::End(request.clone()));
            let TransactionReply::End(result) = reply else {
                panic!("answered {reply:?}");
            };
            if result != Err(EndError::NeedsFreshId) {
                return result;
            }
            assert_eq!(request.fresh, None);
            request.fresh = self.fresh_id();
        }
    }

    /// Says of the oldest wish that it is fulfilled.
    pub(super) fn fulfil(&mut self) -> Markers {
        let wish = self.wishes.remove(0);
        self.written(&wish);
        wish
    }

    pub(super) fn written(&mut self, wish: &Markers) {
        let written = TransactionRequest::MarkersWritten(MarkersWritten {
            id: wish.id.clone(),
            asked: wish.asked,
        });
        assert_eq!(self.call(written), TransactionReply::MarkersWritten);
    }

    pub(super) fn transaction(&self, name: &str) -> Transaction {
        let known = self.shard.transactions.get(&id(name));
        known.expect("known").transaction.clone()
    }

    pub(super) fn state(&self, name: &str) -> TransactionState {
        self.transaction(name).state
    }
}

fn transactions(shard: &TransactionShard) -> Vec<(TransactionalId, Transaction)> {
    shard
        .transactions
        .iter()
        .map(|(id, known)| (id.clone(), known.transaction.clone()))
        .collect()
}

/// A transaction in a state, of producer 7.
pub(super) fn transaction(state: TransactionState, epoch: i16) -> Transaction {
    let partitions = match state {
        TransactionState::Ongoing
        | TransactionState::PrepareCommit
        | TransactionState::PrepareAbort => [partition(0)].into(),
        TransactionState::Empty
        | TransactionState::CompleteCommit
        | TransactionState::CompleteAbort => [].into(),
    };
    Transaction {
        producer: producer(7, epoch),
        previous_id: None,
        next_id: None,
        timeout_ms: TIMEOUT_MS,
        state,
        partitions,
        started: Some(Timestamp::from_ms(1_700_000_000_000)),
        updated: Timestamp::from_ms(1_700_000_000_000),
        client_version: TransactionVersion::V2,
    }
}
