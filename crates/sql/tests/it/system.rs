//! A broker that is made up, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use metadata::settings::{ConfigEntry, ConfigSource, Resource, SettingType};
use sql::system::{
    Connection, Group, GroupDescription, GroupOffset, GroupType, Member, Partition, Topic,
    Transaction, Unanswered,
};
use storage::{ActiveProducer, LogOffsets, LogSegment};
use types::{
    GroupId, InstanceId, LeaderEpoch, MemberId, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    Timestamp, TopicId, TopicName, TopicPartition, TransactionalId,
};

use crate::world::NOW_MS;

/// The broker.
#[derive(Debug, Default)]
pub(crate) struct MadeUp {
    /// Names and numbers of partitions.
    pub(crate) topics: Mutex<Vec<(&'static str, i32)>>,
    /// Segments of each partition.
    pub(crate) segments: i64,
    /// Groups beside the four.
    pub(crate) more_groups: usize,
    /// Whether coordinators answer nothing.
    pub(crate) is_loading: bool,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl MadeUp {
    pub(crate) fn new(topics: &[(&'static str, i32)]) -> Self {
        Self {
            topics: Mutex::new(topics.to_vec()),
            segments: 2,
            ..Self::default()
        }
    }

    /// What was asked since it was asked for the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn note(&self, what: impl Into<String>) {
        self.asked.lock().unwrap().push(what.into());
    }

    fn check(&self) -> Result<(), Unanswered> {
        if self.is_loading {
            return Err(Unanswered("__consumer_offsets is being read".into()));
        }
        Ok(())
    }
}

fn offset(value: i64) -> Offset {
    Offset::new(value).unwrap()
}

fn index(value: i32) -> PartitionIndex {
    PartitionIndex::new(value).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_ms(NOW_MS + 1000 * seconds)
}

#[async_trait]
impl sql::System for MadeUp {
    fn topics(&self) -> Vec<Topic> {
        self.note("topics");
        let topics = self.topics.lock().unwrap();
        let topics = topics.iter().map(|(name, partitions)| {
            let is_internal = name.starts_with("__");
            Topic {
                name: TopicName::new(name),
                id: TopicId::new([7; 16]).unwrap(),
                partitions: *partitions,
                replication_factor: 1,
                is_internal,
                cleanup_policy: if is_internal { "compact" } else { "delete" }.to_owned(),
                retention_ms: (!is_internal).then_some(604_800_000),
                retention_bytes: None,
            }
        });
        topics.collect()
    }

    /// The partition 2 of each topic is offline.
    fn partition(&self, topic: &TopicName, partition: i32) -> Option<Partition> {
        self.note(format!("partition {topic}-{partition}"));
        let end = i64::from(partition) * 10 + 10;
        let offsets = LogOffsets {
            log_start: offset(i64::from(partition)),
            high_watermark: offset(end - 1),
            last_stable: offset(end - 2),
            log_end: offset(end),
            leader_epoch: LeaderEpoch::ZERO,
        };
        let is_offline = partition == 2;
        Some(Partition {
            leader: Some(1),
            leader_epoch: LeaderEpoch::ZERO,
            is_offline,
            offsets: (!is_offline).then_some(offsets),
            size_bytes: (!is_offline).then_some(100),
        })
    }

    fn segments(&self, topic: &TopicName, partition: i32) -> Vec<LogSegment> {
        self.note(format!("segments {topic}-{partition}"));
        let segment = |number| LogSegment {
            base: offset(5 * number),
            end: offset(5 * number + 5),
            bytes: 50,
            largest_timestamp: (number > 0).then(|| at(number)),
            appended: at(number),
            is_active: number + 1 == self.segments,
            has_only_records: true,
            is_lost: false,
        };
        (0..self.segments).map(segment).collect()
    }

    fn producers(&self, topic: &TopicName, partition: i32) -> Vec<ActiveProducer> {
        self.note(format!("producers {topic}-{partition}"));
        let idle = ActiveProducer {
            producer: ProducerId::new(1000).unwrap(),
            epoch: 0,
            last_sequence: None,
            last_timestamp: -1,
            coordinator_epoch: -1,
            transaction_start: None,
        };
        let open = ActiveProducer {
            producer: ProducerId::new(1001).unwrap(),
            epoch: 3,
            last_sequence: Some(41),
            last_timestamp: NOW_MS,
            coordinator_epoch: 2,
            transaction_start: Some(offset(5)),
        };
        vec![idle, open]
    }

    fn resources(&self) -> Vec<Resource> {
        self.note("resources");
        let topics = self.topics.lock().unwrap();
        let topics = topics
            .iter()
            .map(|(name, _)| Resource::Topic(TopicName::new(name)));
        let others = [
            Resource::Broker(1),
            Resource::Group("readers".into()),
            Resource::ClientMetrics("all".into()),
        ];
        others.into_iter().chain(topics).collect()
    }

    fn settings(&self, resource: &Resource) -> Vec<ConfigEntry> {
        self.note(format!("settings {resource:?}"));
        let entry = |name: &str, value: Option<&str>, source, kind| ConfigEntry {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            source,
            kind,
            read_only: matches!(resource, Resource::Broker(_)),
            sensitive: kind == SettingType::Password,
            synonyms: Vec::new(),
            doc: "What it does.",
        };
        match resource {
            Resource::Broker(_) => {
                let (file, password) = (ConfigSource::StaticBroker, SettingType::Password);
                vec![
                    entry("num.partitions", Some("3"), file, SettingType::Int),
                    entry("ssl.key.password", None, file, password),
                ]
            }
            _ => vec![entry(
                "retention.ms",
                Some("604800000"),
                ConfigSource::Default,
                SettingType::Long,
            )],
        }
    }

    fn connections(&self) -> Vec<Connection> {
        let software = Some((Arc::from("librdkafka"), Arc::from("2.3.0")));
        let connection = |id, software| Connection {
            id,
            peer: SocketAddr::from(([127, 0, 0, 1], 40_000)),
            accepted: at(0),
            client_id: Some(Arc::from("rdkafka")),
            software,
            requests: 5,
            received_bytes: 500,
            sent_bytes: 600,
        };
        vec![connection(0, software), connection(7, None)]
    }

    async fn groups(&self) -> Result<Vec<Group>, Unanswered> {
        self.check()?;
        self.note("groups");
        let group = |name: &str, kind, state, protocol_type: Option<&str>| Group {
            group: GroupId::new(name),
            kind,
            state,
            protocol_type: protocol_type.map(Arc::from),
            coordinator: Some(index(3)),
        };
        let mut groups = vec![
            group("workers", GroupType::Share, "Stable", Some("share")),
            group("readers", GroupType::Consumer, "Stable", Some("consumer")),
            group("old", GroupType::Classic, "Empty", None),
            group("counts", GroupType::Streams, "Stable", Some("streams")),
        ];
        let more = (0..self.more_groups)
            .map(|number| group(&format!("g{number}"), GroupType::Classic, "Empty", None));
        groups.extend(more);
        Ok(groups)
    }

    async fn describe_group(&self, group: &Group) -> Result<Option<GroupDescription>, Unanswered> {
        self.check()?;
        self.note(format!("describe {}", group.group));
        let assignment = match group.kind {
            // Gone meanwhile.
            GroupType::Classic => return Ok(None),
            GroupType::Streams => vec!["0_1".to_owned()],
            GroupType::Consumer | GroupType::Share => {
                vec!["trips-0".to_owned(), "trips-1".to_owned()]
            }
        };
        let member = Member {
            member: MemberId::new(&format!("m-{}", group.group)),
            instance: (group.kind == GroupType::Consumer).then(|| InstanceId::new("i1")),
            client_id: Arc::from("client"),
            client_host: Arc::from("/127.0.0.1"),
            rack: None,
            epoch: Some(4),
            assignment,
        };
        Ok(Some(GroupDescription {
            protocol: Some(Arc::from("uniform")),
            epoch: Some(5),
            members: vec![member],
        }))
    }

    async fn group_offsets(&self, group: &Group) -> Result<Vec<GroupOffset>, Unanswered> {
        self.check()?;
        self.note(format!("offsets of {}", group.group));
        let is_share = group.kind == GroupType::Share;
        let stands = |partition: i32| {
            let end = i64::from(partition) * 10 + 9;
            GroupOffset {
                topic: TopicName::new(if partition < 2 { "trips" } else { "gone" }),
                partition: index(partition),
                offset: 4,
                leader_epoch: None,
                metadata: (!is_share).then(|| Arc::from("")),
                committed: (!is_share).then(|| at(0)),
                high_watermark: (partition < 2).then(|| offset(end)),
                lag: (partition < 2).then_some(end - 4),
            }
        };
        Ok((0..3).map(stands).collect())
    }

    async fn transactions(&self) -> Result<Vec<TransactionalId>, Unanswered> {
        self.check()?;
        self.note("transactions");
        Ok(vec![
            TransactionalId::new("tx-b"),
            TransactionalId::new("tx-a"),
        ])
    }

    async fn describe_transaction(
        &self,
        id: TransactionalId,
    ) -> Result<Option<Transaction>, Unanswered> {
        self.check()?;
        self.note(format!("describe {id}"));
        let is_open = id.as_str() == "tx-a";
        let partition = TopicPartition {
            topic: TopicName::new("trips"),
            partition: index(0),
        };
        Ok(Some(Transaction {
            id,
            state: if is_open { "Ongoing" } else { "Empty" },
            producer: ProducerId::new(1001).unwrap(),
            epoch: ProducerEpoch::new(3).unwrap(),
            timeout_ms: 60_000,
            started: is_open.then(|| at(0)),
            partitions: if is_open { vec![partition] } else { Vec::new() },
            coordinator: Some(index(9)),
        }))
    }
}
