//! Which file knows a record of `__consumer_offsets` (`GroupCoordinatorRecordSerde.java`).

use bytes::Bytes;
use coordinator::{GroupRecord, GroupShard};
use protocol::messages::{GroupMetadataKey, LegacyOffsetCommitKey, OffsetCommitKey};
use protocol::{CoordinatorKey, EncodeError, coordinator_key_type};

use super::classic::{decode_group_metadata, encode_group_metadata};
use super::consumer::{decode_consumer, encode_consumer};
use super::offsets::{decode_legacy_offset_commit, decode_offset_commit, encode_offset_commit};
use super::share::{decode_share, encode_share};
use super::streams::{decode_streams, encode_streams};
use super::{DecodeRecordError, DecodedRecord, RecordFormat};

impl RecordFormat for GroupShard {
    const KEPT: &'static str = "groups";

    fn encode(record: &GroupRecord) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        match record {
            GroupRecord::GroupMetadata { group, value } => {
                encode_group_metadata(group, value.as_ref())
            }
            GroupRecord::OffsetCommit {
                group,
                topic,
                partition,
                value,
            } => encode_offset_commit(group, topic, *partition, value.as_ref()),
            GroupRecord::Consumer { group, record } => encode_consumer(group, record),
            GroupRecord::Streams { group, record } => encode_streams(group, record),
            GroupRecord::Share(record) => encode_share(record),
        }
    }

    fn decode(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<DecodedRecord<GroupRecord>, DecodeRecordError> {
        let key = Bytes::copy_from_slice(key.ok_or(DecodeRecordError::NoKey)?);
        let value = value.map(Bytes::copy_from_slice);
        let record = match coordinator_key_type(&key)? {
            GroupMetadataKey::TYPE => decode_group_metadata(key, value)?,
            OffsetCommitKey::TYPE => decode_offset_commit(key, value)?,
            LegacyOffsetCommitKey::TYPE => decode_legacy_offset_commit(key, value)?,
            other => {
                // Each kind of group knows its own types.
                let decoders = [decode_consumer, decode_share, decode_streams];
                let decoded = decoders
                    .into_iter()
                    .find_map(|decode| decode(other, key.clone(), value.clone()).transpose());
                match decoded.transpose()? {
                    Some(record) => record,
                    None => return Ok(DecodedRecord::UnknownType(other)),
                }
            }
        };
        Ok(DecodedRecord::Known(record))
    }
}

#[cfg(test)]
mod tests {
    use protocol::records::BatchIterator;

    use std::sync::Arc;
    use std::time::Duration;

    use coordinator::{Client, CommittedOffset, Generation, GroupMetadata, MemberMetadata, Output};
    use types::{GroupId, InstanceId, LeaderEpoch, MemberId, Timestamp, TopicId};

    use super::super::encode_output;
    use super::super::offsets::offset_commit;
    use super::*;

    fn encode_batches(records: &[GroupRecord], batch_bytes_max: usize) -> Bytes {
        let output = Output {
            records: records.to_vec(),
            ..Output::default()
        };
        encode_output::<GroupShard>(&output, Timestamp::from_ms(9), batch_bytes_max).unwrap()
    }

    fn decode_all(bytes: &Bytes) -> Vec<GroupRecord> {
        let mut records = Vec::new();
        for batch in BatchIterator::new(bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            for record in batch.records(batch.record_bytes()) {
                let record = record.unwrap();
                match GroupShard::decode(record.key, record.value).unwrap() {
                    DecodedRecord::Known(record) => records.push(record),
                    DecodedRecord::UnknownType(unknown) => panic!("type {unknown}"),
                }
            }
        }
        records
    }

    fn committed() -> CommittedOffset {
        CommittedOffset {
            offset: 42,
            leader_epoch: LeaderEpoch::new(3),
            metadata: Arc::from("text"),
            commit_timestamp: Timestamp::from_ms(1_000),
            expire_timestamp: None,
            topic_id: TopicId::new([7; 16]),
        }
    }

    fn offset_record(partition: i32, value: Option<CommittedOffset>) -> GroupRecord {
        offset_commit("readers", "flights", partition, value).unwrap()
    }

    fn group_record(members: usize) -> GroupRecord {
        let member = |index: usize| MemberMetadata {
            member: MemberId::new(&format!("member-{index}")),
            instance: (index.is_multiple_of(2))
                .then(|| InstanceId::new(&format!("instance-{index}"))),
            client: Client {
                id: Arc::from("client"),
                host: Arc::from("/127.0.0.1"),
            },
            rebalance_timeout: Duration::from_secs(300),
            session_timeout: Duration::from_secs(45),
            subscription: Arc::from([0, 1, 2]),
            assignment: Arc::from([3; 40]),
        };
        GroupRecord::GroupMetadata {
            group: GroupId::new("readers"),
            value: Some(GroupMetadata {
                protocol_type: Some(Arc::from("consumer")),
                generation: Generation::new(7).unwrap(),
                protocol: Some(Arc::from("range")),
                leader: Some(MemberId::new("member-0")),
                state_timestamp: Some(Timestamp::from_ms(1)),
                members: (0..members).map(member).collect(),
            }),
        }
    }

    #[test]
    fn every_kind_of_record_comes_back() {
        let empty = GroupMetadata {
            protocol_type: None,
            generation: Generation::ZERO,
            protocol: None,
            leader: None,
            state_timestamp: None,
            members: Vec::new(),
        };
        // An expiry time forces the version that has no topic id and no leader epoch.
        let expiring = CommittedOffset {
            leader_epoch: None,
            topic_id: None,
            expire_timestamp: Some(Timestamp::from_ms(5)),
            ..committed()
        };
        let group = GroupId::new("readers");
        let records = [
            offset_record(0, Some(committed())),
            offset_record(1, Some(expiring)),
            offset_record(2, None),
            group_record(3),
            GroupRecord::GroupMetadata {
                group: group.clone(),
                value: Some(empty),
            },
            GroupRecord::GroupMetadata { group, value: None },
        ];
        let bytes = encode_batches(&records, usize::MAX);
        assert_eq!(decode_all(&bytes), records);
        assert_eq!(BatchIterator::new(&bytes).count(), 1);
    }

    #[test]
    fn a_batch_that_would_grow_too_large_ends_and_another_begins() {
        let records: Vec<GroupRecord> = (0..100)
            .map(|partition| offset_record(partition, Some(committed())))
            .collect();
        let batch_bytes_max = 1_000;
        let bytes = encode_batches(&records, batch_bytes_max);
        assert_eq!(decode_all(&bytes), records);
        assert!(BatchIterator::new(&bytes).count() > 5);
        for batch in BatchIterator::new(&bytes) {
            assert!(batch.unwrap().total_size() <= batch_bytes_max);
        }
    }

    /// Bytes as Kafka 4.2 writes them (`GroupCoordinatorRecordHelpers.newOffsetCommitRecord`).
    #[test]
    fn an_offset_commit_has_kafkas_bytes() {
        let (key, value) = GroupShard::encode(&offset_record(5, Some(committed()))).unwrap();
        assert_eq!(key, &b"\0\x01\0\x07readers\0\x07flights\0\0\0\x05"[..]);
        let mut expected = vec![0, 4];
        expected.extend(42_i64.to_be_bytes());
        expected.extend(3_i32.to_be_bytes());
        expected.extend(b"\x05text");
        expected.extend(1_000_i64.to_be_bytes());
        expected.extend([1, 0, 16]);
        expected.extend([7; 16]);
        assert_eq!(value.unwrap(), expected);
    }

    #[test]
    fn records_from_before_kafka_0_10_are_read() {
        let key = b"\0\0\0\x07readers\0\x07flights\0\0\0\x05";
        let mut value = vec![0, 0];
        value.extend(42_i64.to_be_bytes());
        value.extend(b"\0\x04text");
        value.extend(1_000_i64.to_be_bytes());
        let expected = CommittedOffset {
            leader_epoch: None,
            topic_id: None,
            ..committed()
        };
        let decoded = GroupShard::decode(Some(key), Some(&value)).unwrap();
        assert_eq!(
            decoded,
            DecodedRecord::Known(offset_record(5, Some(expected)))
        );
    }

    #[test]
    fn what_is_no_group_record_is_told_apart() {
        let unknown = GroupShard::decode(Some(&[0, 99, 0, 0]), None).unwrap();
        assert_eq!(unknown, DecodedRecord::UnknownType(99));
        for key in [
            None,
            Some(&b""[..]),
            Some(&b"\0"[..]),
            Some(&b"\0\x02\0\x09short"[..]),
        ] {
            GroupShard::decode(key, None).unwrap_err();
        }
        let negative = b"\0\x01\0\x01g\0\x01t\xff\xff\xff\xff";
        GroupShard::decode(Some(negative), None).unwrap_err();
        GroupShard::decode(Some(b"\0\x02\0\x01g"), Some(b"\0\x63")).unwrap_err();
    }

    #[test]
    fn the_coordinators_bound_of_a_record_covers_its_batch() {
        for members in [0, 1, 50] {
            let record = group_record(members);
            let bytes = encode_batches(std::slice::from_ref(&record), 0);
            let GroupRecord::GroupMetadata {
                group,
                value: Some(value),
            } = record
            else {
                panic!("made above");
            };
            assert!(bytes.len() <= value.encoded_bytes_max(&group));
        }
    }
}
