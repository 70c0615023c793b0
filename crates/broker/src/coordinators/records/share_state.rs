//! Records of `__share_group_state`: ShareSnapshot and ShareUpdate, both in version 0
//! (`ShareCoordinatorRecordHelpers.java`).

use bytes::Bytes;
use coordinator::share_partition::{RecordState, StateBatch};
use coordinator::share_state::{
    SharePartitionKey, ShareSnapshot, ShareStateRecord, ShareStateShard, ShareUpdate,
};
use protocol::messages::{
    ShareSnapshotKey, ShareSnapshotValue, ShareUpdateKey, ShareUpdateValue, share_snapshot_value,
    share_update_value,
};
use protocol::{
    CoordinatorKey, EncodeError, Uuid, coordinator_key_type, decode_coordinator_key,
    decode_versioned, encode_coordinator_key, encode_versioned,
};
use types::{GroupId, Timestamp};

use super::share::{index, topic_id};
use super::{DecodeRecordError, DecodedRecord, RecordFormat};

const VERSION: i16 = 0;

impl RecordFormat for ShareStateShard {
    const KEPT: &'static str = "share states";

    fn encode(record: &ShareStateRecord) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        match record {
            ShareStateRecord::Snapshot { key, value } => {
                let key = encode_coordinator_key(&ShareSnapshotKey {
                    group_id: key.group.as_str().to_owned(),
                    topic_id: Uuid(key.topic.bytes()),
                    partition: key.partition.value(),
                })?;
                let encode = |value: &ShareSnapshot| encode_versioned(&snapshot(value), VERSION);
                Ok((key, value.as_ref().map(encode).transpose()?))
            }
            ShareStateRecord::Update { key, value } => {
                let key = encode_coordinator_key(&ShareUpdateKey {
                    group_id: key.group.as_str().to_owned(),
                    topic_id: Uuid(key.topic.bytes()),
                    partition: key.partition.value(),
                })?;
                Ok((key, Some(encode_versioned(&update(value), VERSION)?)))
            }
        }
    }

    fn decode(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<DecodedRecord<ShareStateRecord>, DecodeRecordError> {
        let key = Bytes::copy_from_slice(key.ok_or(DecodeRecordError::NoKey)?);
        let value = value.map(Bytes::copy_from_slice);
        match coordinator_key_type(&key)? {
            ShareSnapshotKey::TYPE => {
                let key: ShareSnapshotKey = decode_coordinator_key(key)?;
                let key = partition_key(&key.group_id, key.topic_id, key.partition)?;
                let value = match value {
                    Some(value) => Some(decode_snapshot(decode_versioned(value)?.1)?),
                    None => None,
                };
                Ok(DecodedRecord::Known(ShareStateRecord::Snapshot {
                    key,
                    value,
                }))
            }
            ShareUpdateKey::TYPE => {
                let key: ShareUpdateKey = decode_coordinator_key(key)?;
                let key = partition_key(&key.group_id, key.topic_id, key.partition)?;
                // Kafka writes no tombstones of updates: those of snapshots end a state.
                let value = value.ok_or(DecodeRecordError::Impossible {
                    field: "update's length",
                    value: 0,
                })?;
                let value = decode_update(decode_versioned(value)?.1)?;
                Ok(DecodedRecord::Known(ShareStateRecord::Update {
                    key,
                    value,
                }))
            }
            unknown => Ok(DecodedRecord::UnknownType(unknown)),
        }
    }
}

fn partition_key(
    group: &str,
    topic: Uuid,
    partition: i32,
) -> Result<SharePartitionKey, DecodeRecordError> {
    Ok(SharePartitionKey {
        group: GroupId::new(group),
        topic: topic_id(topic)?,
        partition: index(partition)?,
    })
}

fn snapshot(value: &ShareSnapshot) -> ShareSnapshotValue {
    let batch = |batch: &StateBatch| share_snapshot_value::StateBatch {
        first_offset: batch.first,
        last_offset: batch.last,
        delivery_state: batch.state.id(),
        delivery_count: batch.delivery_count,
    };
    ShareSnapshotValue {
        snapshot_epoch: value.snapshot_epoch,
        state_epoch: value.state_epoch,
        leader_epoch: value.leader_epoch,
        start_offset: value.start_offset,
        delivery_complete_count: value.delivery_complete_count,
        create_timestamp: value.created.ms(),
        write_timestamp: value.written.ms(),
        state_batches: value.batches.iter().map(batch).collect(),
    }
}

fn update(value: &ShareUpdate) -> ShareUpdateValue {
    let batch = |batch: &StateBatch| share_update_value::StateBatch {
        first_offset: batch.first,
        last_offset: batch.last,
        delivery_state: batch.state.id(),
        delivery_count: batch.delivery_count,
    };
    ShareUpdateValue {
        snapshot_epoch: value.snapshot_epoch,
        leader_epoch: value.leader_epoch,
        start_offset: value.start_offset,
        delivery_complete_count: value.delivery_complete_count,
        state_batches: value.batches.iter().map(batch).collect(),
    }
}

fn decode_snapshot(value: ShareSnapshotValue) -> Result<ShareSnapshot, DecodeRecordError> {
    let batches: Result<_, _> = value
        .state_batches
        .into_iter()
        .map(|batch| {
            let (first, last) = (batch.first_offset, batch.last_offset);
            state_batch(first, last, batch.delivery_state, batch.delivery_count)
        })
        .collect();
    Ok(ShareSnapshot {
        snapshot_epoch: value.snapshot_epoch,
        state_epoch: value.state_epoch,
        leader_epoch: value.leader_epoch,
        start_offset: value.start_offset,
        delivery_complete_count: value.delivery_complete_count,
        created: Timestamp::from_ms(value.create_timestamp),
        written: Timestamp::from_ms(value.write_timestamp),
        batches: batches?,
    })
}

fn decode_update(value: ShareUpdateValue) -> Result<ShareUpdate, DecodeRecordError> {
    let batches: Result<_, _> = value
        .state_batches
        .into_iter()
        .map(|batch| {
            let (first, last) = (batch.first_offset, batch.last_offset);
            state_batch(first, last, batch.delivery_state, batch.delivery_count)
        })
        .collect();
    Ok(ShareUpdate {
        snapshot_epoch: value.snapshot_epoch,
        leader_epoch: value.leader_epoch,
        start_offset: value.start_offset,
        delivery_complete_count: value.delivery_complete_count,
        batches: batches?,
    })
}

fn state_batch(
    first: i64,
    last: i64,
    state: i8,
    delivery_count: i16,
) -> Result<StateBatch, DecodeRecordError> {
    let state = RecordState::from_id(state).ok_or_else(|| DecodeRecordError::Impossible {
        field: "delivery state",
        value: state.into(),
    })?;
    Ok(StateBatch {
        first,
        last,
        state,
        delivery_count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_record_comes_back() {
        let key = partition_key("workers", Uuid([7; 16]), 3).unwrap();
        let batches = vec![StateBatch {
            first: 5,
            last: 9,
            state: RecordState::Archived,
            delivery_count: 5,
        }];
        let snapshot = ShareSnapshot {
            snapshot_epoch: 1,
            state_epoch: 2,
            leader_epoch: 3,
            start_offset: -1,
            delivery_complete_count: -1,
            created: Timestamp::from_ms(7),
            written: Timestamp::from_ms(8),
            batches: batches.clone(),
        };
        let records = [
            ShareStateRecord::Snapshot {
                key: key.clone(),
                value: Some(snapshot),
            },
            ShareStateRecord::Snapshot {
                key: key.clone(),
                value: None,
            },
            ShareStateRecord::Update {
                key,
                value: ShareUpdate {
                    snapshot_epoch: 1,
                    leader_epoch: 3,
                    start_offset: 4,
                    delivery_complete_count: 5,
                    batches,
                },
            },
        ];
        for record in records {
            let (key, value) = ShareStateShard::encode(&record).unwrap();
            let decoded = ShareStateShard::decode(Some(&key), value.as_deref()).unwrap();
            assert_eq!(decoded, DecodedRecord::Known(record));
        }
    }

    #[test]
    fn what_is_no_share_state_is_told_apart() {
        let unknown = ShareStateShard::decode(Some(&[0, 9]), None).unwrap();
        assert_eq!(unknown, DecodedRecord::UnknownType(9));
        for key in [None, Some(&b"\0"[..]), Some(&b"\0\0\x02g"[..])] {
            ShareStateShard::decode(key, None).unwrap_err();
        }
    }
}
