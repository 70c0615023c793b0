//! A transactional producer: it sends to several partitions, reads what others committed and commits how far it read, all
//! of it in one transaction, and commits, aborts, or just goes away. Two of them may use one transactional id.
//!
//! Invariant: what never was asked to be committed did not happen, whatever became of it; once it was asked, only an answer
//! tells.

use std::sync::Arc;
use std::time::Duration;

use history::{Action, Kind, Step};
use protocol::ErrorCode;
use protocol::records::BatchOptions;

use crate::client::{Client, LATE, Lost};
use crate::commits::{ANY_PROCESS, Moment};
use crate::offsets;
use crate::plan::{Partition, TopicKind};
use crate::producer::steps;
use crate::random::Random;
use crate::reader::Reader;
use crate::requests;
use crate::transaction_requests::{self, Identity, Versions};
use crate::world::World;

/// Attempts after which something is given up.
const ATTEMPTS_MAX: u32 = 40;

/// The group in which the producers of a transactional id commit.
pub(crate) fn group_of(number: u32) -> String {
    format!("xg{number}")
}

#[derive(Debug)]
pub(crate) struct TransactionalProducer {
    world: Arc<World>,
    client: Client,
    random: Random,
    process: u32,
    id: String,
    group: String,
    partitions: Vec<Partition>,
    reader: Reader,
    versions: Versions,
    session: Option<Session>,
    next_value: u64,
    /// A request to end the transaction got no answer: it may still be on its way.
    end_is_late: bool,
}

/// A session and the next sequence of each partition.
#[derive(Debug)]
struct Session {
    who: Identity,
    sequences: Vec<i32>,
}

/// What a transaction did so far.
#[derive(Debug, Default)]
struct Progress {
    steps: Vec<Step>,
    /// Offsets that count with the transaction.
    commits: Vec<(Partition, Moment)>,
    /// The broker may know of it.
    is_begun: bool,
}

/// What an answer leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Advice {
    Done,
    Again,
    /// The transaction is to be aborted, the session goes on.
    Abort,
    /// The session is over.
    Over,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Committed,
    Aborted,
    Unknown,
}

fn advice(code: i16) -> Advice {
    match ErrorCode::from_i16(code) {
        Some(ErrorCode::None | ErrorCode::DuplicateSequenceNumber) => Advice::Done,
        Some(ErrorCode::TransactionAbortable) => Advice::Abort,
        Some(
            ErrorCode::InvalidProducerEpoch
            | ErrorCode::ProducerFenced
            | ErrorCode::InvalidProducerIdMapping
            | ErrorCode::InvalidTxnState
            // After an epoch was bumped behind its back, a producer does not know where its sequences stand.
            | ErrorCode::OutOfOrderSequenceNumber
            | ErrorCode::UnknownProducerId,
        ) => Advice::Over,
        _ => Advice::Again,
    }
}

impl TransactionalProducer {
    pub(crate) fn new(world: Arc<World>, process: u32, number: u32) -> Self {
        let partitions = world
            .plan
            .partitions(|kind| kind == TopicKind::Transactional);
        Self {
            client: Client::new(Arc::clone(&world)),
            random: world.fork(),
            process,
            id: format!("x{number}"),
            group: group_of(number),
            reader: Reader::new(Arc::clone(&world), partitions.clone(), true),
            partitions,
            versions: Versions::new(world.plan.loads.transactions_v2),
            session: None,
            next_value: u64::from(process) << 32,
            end_is_late: false,
            world,
        }
    }

    pub(crate) async fn run(mut self) {
        for _transaction in 0..self.world.plan.operations / 2 {
            if self.session.is_none() && !self.begin_session().await {
                return;
            }
            self.transaction().await;
            let rest = self.random.span(self.world.plan.faults.rest);
            self.world.sleep(rest).await;
        }
    }

    /// Fences whoever was there before, and goes on from what is committed.
    async fn begin_session(&mut self) -> bool {
        let timeout = self.world.plan.loads.transaction_timeout.as_millis();
        let timeout_ms = i32::try_from(timeout).unwrap_or(i32::MAX);
        for _attempt in 0..ATTEMPTS_MAX {
            let request = transaction_requests::init(&self.id, timeout_ms);
            let version = self.versions.init_producer;
            let answer = self.client.call(&request, version).await;
            if let Ok(answer) = answer
                && answer.error_code == 0
            {
                let producer = (answer.producer_id, answer.producer_epoch);
                self.begin_epoch(producer);
                return self.resume().await;
            }
            self.pause().await;
        }
        false
    }

    fn begin_epoch(&mut self, producer: (i64, i16)) {
        self.world.model.epoch_granted(&self.id, producer);
        self.session = Some(Session {
            who: Identity {
                id: self.id.clone(),
                producer,
            },
            sequences: vec![0; self.partitions.len()],
        });
    }

    async fn resume(&mut self) -> bool {
        for _attempt in 0..ATTEMPTS_MAX {
            let committed =
                offsets::committed(&self.world, &mut self.client, &self.group, &self.partitions);
            if let Some(committed) = committed.await {
                for ((_, position), committed) in self.reader.positions.iter_mut().zip(committed) {
                    *position = committed.unwrap_or(0);
                }
                for kind in [Kind::Invoke, Kind::Ok] {
                    let keys = self.reader.history_keys();
                    let assign = Action::Assign { keys };
                    self.world.recorder.note(self.process, kind, assign);
                }
                return true;
            }
            self.pause().await;
        }
        self.session = None;
        false
    }

    async fn transaction(&mut self) {
        self.world
            .recorder
            .transaction(self.process, Kind::Invoke, Vec::new());
        let mut progress = Progress::default();
        let advice = self.fill(&mut progress).await;
        let end = match advice {
            Advice::Done if !progress.is_begun => End::Aborted,
            Advice::Done => match self.random.below(10) {
                0 => {
                    // It goes away; whoever comes next aborts the transaction, or its time runs out.
                    self.session = None;
                    End::Aborted
                }
                1 | 2 => self.end(false).await,
                _ => self.end(true).await,
            },
            Advice::Again | Advice::Abort => self.end(false).await,
            Advice::Over => {
                self.session = None;
                End::Aborted
            }
        };
        if end != End::Committed {
            // Where the reader stands is for the commits to say.
            self.session = None;
        }
        self.tell(end, progress);
        // In the first protocol transactions of a session share an epoch: an end that comes late would end the next one, at any
        // broker (KIP-890).
        if std::mem::take(&mut self.end_is_late) && !self.versions.is_v2 {
            self.world.sleep(LATE).await;
        }
    }

    fn tell(&self, end: End, progress: Progress) {
        let kind = match end {
            End::Committed => Kind::Ok,
            End::Aborted => Kind::Fail,
            End::Unknown => Kind::Info,
        };
        self.world
            .recorder
            .transaction(self.process, kind, progress.steps);
        let commits = &self.world.model.commits;
        for (partition, name) in progress.commits {
            match end {
                End::Committed => commits.acknowledged(&self.group, &partition, name),
                End::Aborted => commits.dropped(&self.group, &partition, name),
                End::Unknown => {}
            }
        }
    }

    /// Does what the transaction is for.
    async fn fill(&mut self, progress: &mut Progress) -> Advice {
        for _step in 0..self.random.between(1, 4) {
            let advice = if self.random.chance(250) {
                self.read(progress).await
            } else {
                self.send(progress).await
            };
            if advice != Advice::Done {
                return advice;
            }
        }
        Advice::Done
    }

    /// Sends one batch, again until an answer says what came of it.
    async fn send(&mut self, progress: &mut Progress) -> Advice {
        let place = self.random.index(self.partitions.len());
        let partition = self.partitions[place].clone();
        let count = self.random.between(1, 3);
        let values: Vec<_> = (self.next_value..self.next_value + count).collect();
        self.next_value += count;
        let first = progress.steps.len();
        progress.steps.extend(steps(&partition, &values, None));
        let Some(session) = &self.session else {
            return Advice::Over;
        };
        let who = session.who.clone();
        if !self.versions.is_v2 {
            let advice = self.add_partition(&who, &partition, progress).await;
            if advice != Advice::Done {
                return advice;
            }
        }
        let options = BatchOptions {
            producer_id: who.producer.0,
            producer_epoch: who.producer.1,
            base_sequence: self
                .session
                .as_ref()
                .map_or(0, |session| session.sequences[place]),
            is_transactional: true,
            ..BatchOptions::default()
        };
        let padding = self.random.index(100);
        let records = requests::batch(options, self.world.wall_ms(), &values, padding);
        let request = transaction_requests::produce(&who, &partition, records);
        for _attempt in 0..ATTEMPTS_MAX {
            let bound = self.world.model.bound(&partition);
            let latest = self.world.model.latest_epoch(&self.id);
            progress.is_begun = true;
            if let Ok(answer) = self.client.call(&request, self.versions.produce).await {
                let told = &answer.responses[0].partition_responses[0];
                match advice(told.error_code) {
                    Advice::Again => {}
                    Advice::Done => {
                        let model = &self.world.model;
                        model.epoch_accepted(&self.id, who.producer, latest, "a batch");
                        if told.error_code == 0 {
                            model.acknowledged(&partition, bound, told.base_offset, &values);
                            let sent = steps(&partition, &values, Some(told.base_offset));
                            progress.steps.splice(first.., sent);
                        }
                        if let Some(session) = &mut self.session {
                            session.sequences[place] += i32::try_from(count).unwrap_or(0);
                        }
                        return Advice::Done;
                    }
                    other => return other,
                }
            }
            self.pause().await;
        }
        Advice::Again
    }

    async fn add_partition(
        &mut self,
        who: &Identity,
        partition: &Partition,
        progress: &mut Progress,
    ) -> Advice {
        let request = transaction_requests::add_partition(who, partition);
        for _attempt in 0..ATTEMPTS_MAX {
            progress.is_begun = true;
            let version = transaction_requests::ADD_PARTITIONS;
            if let Ok(answer) = self.client.call(&request, version).await {
                let topics = answer.results_by_topic_v3_and_below.first();
                let told = topics.and_then(|topic| topic.results_by_partition.first());
                let code = told.map_or(answer.error_code, |told| told.partition_error_code);
                match advice(code) {
                    Advice::Again => {}
                    other => return other,
                }
            }
            self.pause().await;
        }
        Advice::Again
    }

    /// Reads on, and commits how far it came.
    async fn read(&mut self, progress: &mut Progress) -> Advice {
        let Some(session) = &self.session else {
            return Advice::Over;
        };
        let who = session.who.clone();
        let Some(poll) = self.reader.poll(&mut self.client).await else {
            return Advice::Done;
        };
        progress.steps.push(Step::Poll(poll.polled));
        if !self.versions.is_v2 {
            let request = transaction_requests::add_offsets(&who, &self.group);
            let mut is_added = false;
            for _attempt in 0..ATTEMPTS_MAX {
                progress.is_begun = true;
                let version = transaction_requests::ADD_OFFSETS;
                if let Ok(answer) = self.client.call(&request, version).await {
                    match advice(answer.error_code) {
                        Advice::Again => {}
                        Advice::Done => {
                            is_added = true;
                            break;
                        }
                        other => return other,
                    }
                }
                self.pause().await;
            }
            if !is_added {
                return Advice::Again;
            }
        }
        self.commit_offsets(&who, progress).await
    }

    async fn commit_offsets(&mut self, who: &Identity, progress: &mut Progress) -> Advice {
        let offsets = self.reader.positions.clone();
        for (partition, offset) in &offsets {
            let commits = &self.world.model.commits;
            let name = commits.sent(&self.group, partition, *offset, ANY_PROCESS);
            progress.commits.push((partition.clone(), name));
        }
        let request = transaction_requests::commit_offsets(who, &self.group, &offsets);
        for _attempt in 0..ATTEMPTS_MAX {
            progress.is_begun = true;
            let latest = self.world.model.latest_epoch(&self.id);
            if let Ok(answer) = self.client.call(&request, self.versions.commit).await {
                let parts = answer.topics.iter().flat_map(|topic| &topic.partitions);
                let worst = parts
                    .map(|part| advice(part.error_code))
                    .max_by_key(|advice| {
                        [Advice::Done, Advice::Again, Advice::Abort, Advice::Over]
                            .iter()
                            .position(|one| one == advice)
                    });
                match worst {
                    Some(Advice::Done) => {
                        let model = &self.world.model;
                        model.epoch_accepted(&self.id, who.producer, latest, "a commit of offsets");
                        return Advice::Done;
                    }
                    Some(Advice::Again) | None => {}
                    Some(other) => return other,
                }
            }
            self.pause().await;
        }
        Advice::Again
    }

    /// Ends the transaction.
    async fn end(&mut self, commit: bool) -> End {
        let Some(who) = self.session.as_ref().map(|session| session.who.clone()) else {
            return End::Aborted;
        };
        let request = transaction_requests::end(&who, commit);
        // Somebody may have heard that it is to be committed.
        let mut is_asked = false;
        for _attempt in 0..ATTEMPTS_MAX {
            let latest = self.world.model.latest_epoch(&self.id);
            match self.client.call(&request, self.versions.end).await {
                Ok(answer) if answer.error_code == 0 => {
                    let model = &self.world.model;
                    model.epoch_accepted(
                        &self.id,
                        who.producer,
                        latest,
                        "the end of a transaction",
                    );
                    if self.versions.is_v2 {
                        self.begin_epoch((answer.producer_id, answer.producer_epoch));
                    }
                    return if commit { End::Committed } else { End::Aborted };
                }
                Ok(answer) => match advice(answer.error_code) {
                    Advice::Over | Advice::Abort if is_asked => return End::Unknown,
                    Advice::Over | Advice::Abort => return End::Aborted,
                    Advice::Done | Advice::Again => is_asked = commit,
                },
                Err(Lost::NotSent) => {}
                Err(Lost::Unknown) => {
                    is_asked = commit;
                    self.end_is_late = true;
                }
            }
            self.pause().await;
        }
        if is_asked { End::Unknown } else { End::Aborted }
    }

    async fn pause(&mut self) {
        let pause = Duration::from_millis(self.random.between(1, 200));
        self.world.sleep(pause).await;
    }
}
