//! Random histories: producers of both protocols, partitions that judge by epochs as logs do, answers that get lost,
//! markers that come late, restarts. Whatever happens, all records of a transaction share its outcome, a producer that
//! was told of an outcome was told the truth, and who was replaced achieves nothing any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::harness::{Harness, TIMEOUT_MS, transaction};
use crate::machine::Producer;
use crate::transaction::add_partitions::AddPartitionsError;
use crate::transaction::end::EndError;
use crate::transaction::init_producer::InitProducerError;
use crate::transaction::request::Markers;
use crate::transaction::state::{TransactionState, TransactionVersion};
use crate::transaction::verify_partitions::VerifyPartitionsError;

const ID: &str = "transfers";
const PARTITIONS: i32 = 3;
const CLIENTS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// A client begins anew, or goes on from its session.
    Init {
        client: usize,
        goes_on: bool,
    },
    /// A client writes to a partition, which it adds first.
    Write {
        client: usize,
        partition: i32,
    },
    /// A client ends its transaction; the answer may get lost, and the client asks again.
    End {
        client: usize,
        commit: bool,
        is_lost: bool,
    },
    /// One marker arrives.
    Deliver {
        partition: i32,
    },
    /// Who writes the markers says that all of them have arrived, if they have.
    Fulfil,
    Wait {
        seconds: u64,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        4 => (client.clone(), any::<bool>())
            .prop_map(|(client, goes_on)| Step::Init { client, goes_on }),
        8 => (client.clone(), 0..PARTITIONS)
            .prop_map(|(client, partition)| Step::Write { client, partition }),
        6 => (client, any::<bool>(), prop::bool::weighted(0.3))
            .prop_map(|(client, commit, is_lost)| Step::End { client, commit, is_lost }),
        8 => (0..PARTITIONS).prop_map(|partition| Step::Deliver { partition }),
        6 => Just(Step::Fulfil),
        2 => (0..50_u64).prop_map(|seconds| Step::Wait { seconds }),
        2 => Just(Step::Restart),
    ]
}

/// Names one transaction of one client.
type Tag = (usize, u32);

#[derive(Clone, Debug)]
struct Client {
    version: TransactionVersion,
    session: Option<Producer>,
    /// Counts its transactions.
    number: u32,
    /// What it has asked for and has no answer to.
    ending: Option<bool>,
    /// A newer session has begun: nothing must succeed any more.
    is_replaced: bool,
}

/// A log, as far as transactions go.
#[derive(Clone, Debug, Default)]
struct Partition {
    epochs: BTreeMap<i64, i16>,
    open: BTreeMap<i64, (i16, BTreeSet<Tag>)>,
}

struct World {
    harness: Harness,
    clients: Vec<Client>,
    partitions: Vec<Partition>,
    /// What records became of each transaction, in any partition.
    outcomes: BTreeMap<Tag, bool>,
    /// What a client was told, or may yet be told.
    asked: BTreeMap<Tag, bool>,
    told: BTreeMap<Tag, bool>,
    written: BTreeSet<(Tag, i32)>,
    decided: BTreeSet<(Tag, i32)>,
    /// Which partitions have the marker of the oldest wish.
    delivered: BTreeSet<i32>,
    sessions: BTreeSet<(i64, i16)>,
}

impl World {
    fn new(first_epoch: i16) -> Self {
        let versions = [
            TransactionVersion::V0,
            TransactionVersion::V2,
            TransactionVersion::V2,
        ];
        let client = |version| Client {
            version,
            session: None,
            number: 0,
            ending: None,
            is_replaced: false,
        };
        Self {
            harness: Harness::of(ID, transaction(TransactionState::Empty, first_epoch)),
            clients: versions.into_iter().map(client).collect(),
            partitions: vec![Partition::default(); usize::try_from(PARTITIONS).unwrap()],
            outcomes: BTreeMap::new(),
            asked: BTreeMap::new(),
            told: BTreeMap::new(),
            written: BTreeSet::new(),
            decided: BTreeSet::new(),
            delivered: BTreeSet::new(),
            sessions: BTreeSet::new(),
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Init { client, goes_on } => self.init(client, goes_on),
            Step::Write { client, partition } => self.write(client, partition),
            Step::End {
                client,
                commit,
                is_lost,
            } => self.end(client, commit, is_lost),
            Step::Deliver { partition } => self.deliver(partition),
            Step::Fulfil => self.fulfil(),
            Step::Wait { seconds } => {
                self.harness.pass(Duration::from_secs(seconds));
            }
            Step::Restart => {
                self.harness.restart();
                self.delivered.clear();
            }
        }
        self.harness.assert_replays();
        self.markers_are_asked_for_once();
    }

    fn init(&mut self, index: usize, goes_on: bool) {
        let client = self.clients[index].clone();
        let expected = client.session.filter(|_| goes_on);
        match self.harness.init(ID, expected) {
            Ok(session) => {
                assert!(
                    expected.is_none() || !client.is_replaced,
                    "{client:?} goes on"
                );
                assert!(
                    self.sessions.insert(key(session)),
                    "{session:?} was given twice"
                );
                // Without a session of its own it replaces everybody, also who would go on from the same one.
                for (other, client) in self.clients.iter_mut().enumerate() {
                    client.is_replaced = other != index;
                }
                self.begin(index, Some(session));
            }
            Err(InitProducerError::Concurrent) => {}
            Err(InitProducerError::Fenced) => {
                assert!(
                    client.is_replaced || self.was_fenced(client.session),
                    "{client:?}"
                );
                self.begin(index, None);
            }
            Err(InitProducerError::NeedsFreshId) => panic!("it was given one"),
        }
    }

    fn begin(&mut self, index: usize, session: Option<Producer>) {
        let client = &mut self.clients[index];
        client.session = session;
        client.number += 1;
        client.ending = None;
        if session.is_some() {
            client.is_replaced = false;
        }
    }

    /// Whether the session's transaction was aborted for it, or the session was left behind.
    fn was_fenced(&self, session: Option<Producer>) -> bool {
        session.is_none_or(|session| self.harness.transaction(ID).producer != session)
    }

    fn write(&mut self, index: usize, number: i32) {
        let client = self.clients[index].clone();
        let (Some(session), None) = (client.session, client.ending) else {
            return;
        };
        match self.harness.add(ID, session, client.version, &[number]) {
            Ok(()) => assert!(!client.is_replaced, "{client:?} adds"),
            Err(AddPartitionsError::Concurrent) => return,
            Err(AddPartitionsError::Fenced | AddPartitionsError::UnknownProducer) => {
                return self.begin(index, None);
            }
            Err(AddPartitionsError::TooManyPartitions) => panic!("there are few"),
        }
        match self.harness.verify(ID, session, number) {
            Ok(belongs) => assert!(belongs),
            Err(
                error @ (VerifyPartitionsError::Concurrent
                | VerifyPartitionsError::Fenced
                | VerifyPartitionsError::UnknownProducer),
            ) => panic!("{error} at once after it was added"),
        }
        let partition = &mut self.partitions[usize::try_from(number).unwrap()];
        let (id, epoch) = key(session);
        let known = partition.epochs.entry(id).or_insert(epoch);
        assert!(*known <= epoch, "the log would refuse the session");
        *known = epoch;
        let open = partition.open.entry(id).or_insert((epoch, BTreeSet::new()));
        assert_eq!(open.0, epoch, "records of two sessions in one transaction");
        let tag = (index, client.number);
        open.1.insert(tag);
        self.written.insert((tag, number));
    }

    fn end(&mut self, index: usize, commit: bool, is_lost: bool) {
        let client = self.clients[index].clone();
        let Some(session) = client.session else {
            return;
        };
        let commit = client.ending.unwrap_or(commit);
        let tag = (index, client.number);
        self.asked.insert(tag, commit);
        let result = self.harness.end(ID, session, commit, client.version);
        if is_lost && result.is_ok() {
            self.clients[index].ending = Some(commit);
            return;
        }
        match result {
            Ok(next) => {
                assert!(!client.is_replaced, "{client:?} ends a transaction");
                self.told.insert(tag, commit);
                match client.version {
                    TransactionVersion::V2 => {
                        assert!(self.sessions.insert(key(next)), "{next:?} was given twice");
                    }
                    _ => assert_eq!(next, session),
                }
                self.begin(index, Some(next));
            }
            Err(EndError::Concurrent) => self.clients[index].ending = Some(commit),
            Err(EndError::InvalidState) => {
                // Nothing was written, or it was aborted for the client meanwhile.
                if client.ending.is_some() {
                    self.begin(index, None);
                }
            }
            Err(EndError::Fenced | EndError::UnknownProducer) => self.begin(index, None),
            Err(EndError::NeedsFreshId) => panic!("it was given one"),
        }
    }

    fn deliver(&mut self, number: i32) {
        let Some(wish) = self.harness.wishes.first().cloned() else {
            return;
        };
        let wanted = wish
            .partitions
            .iter()
            .any(|partition| partition.partition.value() == number);
        if !wanted {
            return;
        }
        self.delivered.insert(number);
        self.mark(&wish, number);
    }

    fn mark(&mut self, wish: &Markers, number: i32) {
        let partition = &mut self.partitions[usize::try_from(number).unwrap()];
        let (id, epoch) = key(wish.producer);
        let known = partition.epochs.entry(id).or_insert(epoch);
        assert!(*known <= epoch, "the log would refuse the marker");
        *known = epoch;
        let Some((of_records, tags)) = partition.open.remove(&id) else {
            // It has come before.
            return;
        };
        if wish.version == TransactionVersion::V2 {
            assert!(epoch > of_records, "the log would refuse the marker");
        }
        for tag in tags {
            let outcome = *self.outcomes.entry(tag).or_insert(wish.committed);
            assert_eq!(outcome, wish.committed, "{tag:?} has two outcomes");
            if wish.committed {
                assert_eq!(
                    self.asked.get(&tag),
                    Some(&true),
                    "{tag:?} was committed unasked"
                );
            }
            if let Some(told) = self.told.get(&tag) {
                assert_eq!(*told, wish.committed, "{tag:?} was told something else");
            }
            self.decided.insert((tag, number));
        }
    }

    fn fulfil(&mut self) {
        let Some(wish) = self.harness.wishes.first() else {
            return;
        };
        let all = wish.partitions.iter();
        if all
            .map(|partition| partition.partition.value())
            .all(|number| self.delivered.contains(&number))
        {
            self.harness.fulfil();
            self.delivered.clear();
        }
    }

    fn markers_are_asked_for_once(&self) {
        let is_ending = match self.harness.state(ID) {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => 1,
            _ => 0,
        };
        assert_eq!(self.harness.wishes.len(), is_ending);
    }

    /// Time passes, everything arrives, and nothing stays undecided.
    fn finish(mut self) {
        self.drain();
        self.harness.pass(Duration::from_millis(
            u64::try_from(TIMEOUT_MS).unwrap() * 2,
        ));
        self.drain();
        for partition in &self.partitions {
            assert!(partition.open.is_empty(), "{:?} stays open", partition.open);
        }
        assert_eq!(self.decided, self.written);
        for (tag, told) in &self.told {
            if let Some(outcome) = self.outcomes.get(tag) {
                assert_eq!(outcome, told);
            }
        }
    }

    fn drain(&mut self) {
        while !self.harness.wishes.is_empty() {
            for number in 0..PARTITIONS {
                self.deliver(number);
            }
            self.fulfil();
        }
        self.harness.assert_replays();
    }
}

fn key(session: Producer) -> (i64, i16) {
    (session.id.value(), session.epoch.value())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn random_histories_keep_every_promise(
        steps in prop::collection::vec(step(), 1..80),
        first_epoch in prop_oneof![Just(0_i16), (i16::MAX - 8)..i16::MAX],
    ) {
        let mut world = World::new(first_epoch);
        for step in steps {
            world.run(step);
        }
        world.finish();
    }
}
