//! [`Reader`]: fetches from partitions and checks every answer. What it does with the records is for its owner.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::fetch_response::PartitionData;

use crate::client::Client;
use crate::model::{Bound, FetchAnswer};
use crate::plan::{Partition, TopicKind};
use crate::random::Random;
use crate::requests::{self, Aborted};
use crate::world::World;

/// By partition what one poll returned of those whose history is kept.
pub(crate) type Polled = BTreeMap<String, Vec<(i64, u64)>>;

/// What came of a poll.
#[derive(Debug, Default)]
pub(crate) struct Poll {
    pub(crate) polled: Polled,
    /// Records of all partitions.
    pub(crate) count: usize,
    /// All partitions were read to their ends, and nothing in them waits for a transaction.
    pub(crate) is_whole: bool,
}

/// What was read from the beginning on, for who wants to look at all of it.
pub(crate) type Everything = BTreeMap<String, Vec<KeptRecord>>;

/// Offset, key and value of a record.
pub(crate) type KeptRecord = (i64, Option<u64>, u64);

#[derive(Debug)]
pub(crate) struct Reader {
    world: Arc<World>,
    random: Random,
    reads_committed: bool,
    pub(crate) positions: Vec<(Partition, i64)>,
    /// Where each log began when it was last fetched.
    starts: BTreeMap<String, i64>,
    everything: Option<Everything>,
}

impl Reader {
    pub(crate) fn new(
        world: Arc<World>,
        partitions: Vec<Partition>,
        reads_committed: bool,
    ) -> Self {
        Self {
            random: world.fork(),
            positions: partitions
                .into_iter()
                .map(|partition| (partition, 0))
                .collect(),
            reads_committed,
            starts: BTreeMap::new(),
            everything: None,
            world,
        }
    }

    /// From now on everything that is read is kept.
    pub(crate) fn keep_everything(&mut self) {
        self.everything = Some(Everything::new());
    }

    /// What was kept of a partition, and where its log began.
    pub(crate) fn kept(&self, partition: &Partition) -> (i64, &[KeptRecord]) {
        let key = partition.key();
        let records = self.everything.as_ref().and_then(|kept| kept.get(&key));
        let start = self.starts.get(&key).copied().unwrap_or_default();
        (start, records.map(Vec::as_slice).unwrap_or_default())
    }

    /// The partitions whose polls belong to the history.
    pub(crate) fn history_keys(&self) -> Vec<String> {
        let partitions = self.positions.iter().map(|(partition, _)| partition);
        let kept = partitions.filter(|partition| self.is_recorded(partition));
        kept.map(Partition::key).collect()
    }

    /// Who reads what is not committed sees what never happened.
    fn is_recorded(&self, partition: &Partition) -> bool {
        match partition.kind {
            TopicKind::Plain => true,
            TopicKind::Transactional => self.reads_committed,
            _ => false,
        }
    }

    /// One fetch; `None` without an answer.
    pub(crate) async fn poll(&mut self, client: &mut Client) -> Option<Poll> {
        let max_bytes = i32::try_from(self.random.between(1, 5_000)).unwrap_or(1);
        let max_wait_ms = i32::try_from(self.random.below(200)).unwrap_or(0);
        let request = requests::fetch(
            &self.positions,
            max_bytes,
            max_wait_ms,
            self.reads_committed,
        );
        let bounds: Vec<_> = self
            .positions
            .iter()
            .map(|(partition, _)| self.world.model.bound(partition))
            .collect();
        let process = self.world.starts();
        let answer = client.call(&request, requests::FETCH).await.ok()?;
        let mut poll = Poll::default();
        let mut ends = 0;
        let mut gone = Vec::new();
        for topic in answer.responses {
            for part in topic.partitions {
                let place = self.positions.iter().position(|(partition, _)| {
                    partition.topic == topic.topic && partition.index == part.partition_index
                });
                let Some(place) = place else {
                    self.world
                        .model
                        .fail(|| "an answer names a partition that was not asked for".to_owned());
                    continue;
                };
                if part.error_code == 0 {
                    let is_end = self.take(place, bounds[place], process, part, &mut poll);
                    ends += usize::from(is_end);
                } else if self.is_gone(place, part.error_code) {
                    gone.push(place);
                }
            }
        }
        for place in gone {
            self.reset(place, client).await;
        }
        poll.is_whole = ends == self.positions.len();
        Some(poll)
    }

    /// Takes what came of one partition. Whether it was read to its end.
    fn take(
        &mut self,
        place: usize,
        bound: Bound,
        process: u32,
        part: PartitionData,
        poll: &mut Poll,
    ) -> bool {
        let (partition, position) = self.positions[place].clone();
        let aborted = Aborted::new(part.aborted_transactions.as_deref());
        let fetched = match requests::read(part.records, aborted) {
            Ok(fetched) => fetched,
            Err(error) => {
                self.world
                    .model
                    .fail(|| format!("{partition} at {position}: {error}"));
                return false;
            }
        };
        let answer = FetchAnswer {
            position,
            high_watermark: part.high_watermark,
            last_stable: part.last_stable_offset,
            log_start: part.log_start_offset,
            batches: &fetched.batches,
            records: &fetched.all,
            reads_committed: self.reads_committed,
            process,
        };
        self.world.model.fetched(&partition, bound, answer);
        let key = partition.key();
        self.starts.insert(key.clone(), part.log_start_offset);
        if let Some(kept) = &mut self.everything {
            let keyed = fetched.all.iter().zip(&fetched.keys);
            let fresh = keyed.filter(|((offset, _), _)| *offset >= position);
            kept.entry(key.clone())
                .or_default()
                .extend(fresh.map(|((offset, value), key)| (*offset, *key, *value)));
        }
        let mut records = fetched.records;
        records.retain(|(offset, _)| *offset >= position);
        if let Some(last) = fetched.batches.last() {
            self.positions[place].1 = last.end.max(position);
        }
        poll.count += records.len();
        if !records.is_empty() && self.is_recorded(&partition) {
            poll.polled.insert(key, records);
        }
        let end = if self.reads_committed {
            part.last_stable_offset
        } else {
            part.high_watermark
        };
        self.positions[place].1 == end && end == part.high_watermark
    }

    /// Whether a refusal says that what the reader stands before is gone. Any other but a passing one is wrong.
    fn is_gone(&mut self, place: usize, code: i16) -> bool {
        let (partition, position) = &mut self.positions[place];
        match ErrorCode::from_i16(code) {
            Some(ErrorCode::KafkaStorageError | ErrorCode::NotLeaderOrFollower) => false,
            Some(ErrorCode::OffsetOutOfRange) if partition.kind.loses_records() => true,
            // An error instead of wrong bytes: who wants to go on does so behind it.
            Some(ErrorCode::CorruptMessage) if partition.kind == TopicKind::Damaged => {
                *position += 1;
                false
            }
            Some(ErrorCode::OffsetOutOfRange) if partition.kind == TopicKind::Damaged => true,
            code => {
                self.world.model.fail(|| {
                    format!("{partition}: a fetch at {position}, where records were seen or the log begins, is refused with {code:?}")
                });
                false
            }
        }
    }

    /// Goes to where the log begins now.
    async fn reset(&mut self, place: usize, client: &mut Client) {
        let (partition, position) = self.positions[place].clone();
        let request = requests::earliest(&partition);
        let Ok(answer) = client.call(&request, requests::LIST_OFFSETS).await else {
            return;
        };
        let part = answer
            .topics
            .first()
            .and_then(|topic| topic.partitions.first());
        let Some(part) = part.filter(|part| part.error_code == 0) else {
            return;
        };
        if partition.kind == TopicKind::Trimmed {
            self.world.model.check(part.offset > position, || {
                format!(
                    "{partition}: a fetch at {position} is out of range, but the log begins at {}",
                    part.offset
                )
            });
        }
        self.positions[place].1 = part.offset;
    }
}
