//! Fields that several APIs of share groups have in common.

use coordinator::ShareOffsetsError;
use coordinator::share_partition::{AcknowledgeType, AcknowledgementBatch};
use coordinator::share_state::SharePartitionKey;
use protocol::messages::{share_acknowledge_request, share_fetch_request};
use protocol::{ErrorCode, Uuid};
use types::{GroupId, MemberId, TopicId};

use crate::handlers::refusal::Refusal;
use crate::shares::{ShareSessionError, Shares, TopicKey, partition_key};

/// The longest member id: members make their own, as UUIDs in text (`KafkaApis.isMemberIdValid`).
const MEMBER_ID_LENGTH_MAX: usize = 36;
/// The largest acknowledge type before KIP-1222.
const REJECT: i8 = 3;
/// Keeps a record longer.
const RENEW: i8 = 4;
/// The first version with Renew and strict record limits.
pub(super) const RENEW_SINCE: i16 = 2;

/// Group and member of a request, if they can be some.
pub(super) fn member(
    group: Option<&str>,
    member: Option<&str>,
) -> Result<(GroupId, MemberId), Refusal> {
    let id = member.unwrap_or_default();
    check_member(id)?;
    Ok((GroupId::new(group.unwrap_or_default()), MemberId::new(id)))
}

pub(super) fn check_member(id: &str) -> Result<(), Refusal> {
    let length = id.encode_utf16().count();
    if (1..=MEMBER_ID_LENGTH_MAX).contains(&length) {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::InvalidRequest,
        "the member id is empty or longer than 36 characters",
    ))
}

pub(super) fn disabled() -> Refusal {
    Refusal::new(
        ErrorCode::UnsupportedVersion,
        "share groups are disabled in this cluster (share.version)",
    )
}

pub(super) fn session(error: ShareSessionError) -> Refusal {
    let code = match error {
        ShareSessionError::NotFound => ErrorCode::ShareSessionNotFound,
        ShareSessionError::InvalidEpoch => ErrorCode::InvalidShareSessionEpoch,
        ShareSessionError::LimitReached => ErrorCode::ShareSessionLimitReached,
        ShareSessionError::AcknowledgesAtFirst => ErrorCode::InvalidRequest,
    };
    Refusal::new(code, error.to_string())
}

/// The first checks of requests about the start offsets of a group: the group they are about.
pub(super) fn group_with_offsets(shares: &Shares, group: &str) -> Result<GroupId, Refusal> {
    if !shares.is_enabled() {
        return Err(disabled());
    }
    if group.is_empty() {
        return Err(Refusal::new(
            ErrorCode::InvalidGroupId,
            "the group id is empty",
        ));
    }
    Ok(GroupId::new(group))
}

/// Why the start offsets of a group cannot be changed.
pub(super) fn offsets(error: ShareOffsetsError) -> Refusal {
    let code = match error {
        ShareOffsetsError::UnknownGroup => ErrorCode::GroupIdNotFound,
        ShareOffsetsError::NonEmptyGroup => ErrorCode::NonEmptyGroup,
    };
    Refusal::new(code, error.to_string())
}

/// What a request says about records of one partition.
#[derive(Clone, Debug)]
pub(super) struct Acknowledgement {
    pub(super) key: TopicKey,
    pub(super) batches: Vec<(i64, i64, Vec<i8>)>,
}

pub(super) fn of_fetch(topics: &[share_fetch_request::FetchTopic]) -> Vec<Acknowledgement> {
    let mut all = Vec::new();
    for topic in topics {
        for partition in &topic.partitions {
            let batches = partition.acknowledgement_batches.iter();
            all.push(Acknowledgement {
                key: (topic.topic_id, partition.partition_index),
                batches: batches
                    .map(|batch| {
                        (
                            batch.first_offset,
                            batch.last_offset,
                            batch.acknowledge_types.clone(),
                        )
                    })
                    .collect(),
            });
        }
    }
    all
}

pub(super) fn of_acknowledge(
    topics: &[share_acknowledge_request::AcknowledgeTopic],
) -> Vec<Acknowledgement> {
    let mut all = Vec::new();
    for topic in topics {
        for partition in &topic.partitions {
            let batches = partition.acknowledgement_batches.iter();
            all.push(Acknowledgement {
                key: (topic.topic_id, partition.partition_index),
                batches: batches
                    .map(|batch| {
                        (
                            batch.first_offset,
                            batch.last_offset,
                            batch.acknowledge_types.clone(),
                        )
                    })
                    .collect(),
            });
        }
    }
    all
}

/// The batches, if they make sense together (`KafkaApis.validateAcknowledgementBatches`).
pub(super) fn acknowledgement_batches(
    acknowledgement: &Acknowledgement,
    version: i16,
    is_renew: bool,
) -> Result<Vec<AcknowledgementBatch>, ErrorCode> {
    let type_max = if version >= RENEW_SINCE {
        RENEW
    } else {
        REJECT
    };
    let mut previous_last = -1;
    let mut batches = Vec::with_capacity(acknowledgement.batches.len());
    for (first, last, types) in &acknowledgement.batches {
        let (first, last) = (*first, *last);
        let count = i64::try_from(types.len()).unwrap_or(i64::MAX);
        let one_for_each = last.checked_sub(first) == Some(count - 1);
        let makes_sense = first <= last
            && first >= previous_last
            && !types.is_empty()
            && (count == 1 || one_for_each)
            && types.iter().all(|kind| (0..=type_max).contains(kind))
            && (is_renew || !types.contains(&RENEW));
        if !makes_sense {
            return Err(ErrorCode::InvalidRequest);
        }
        previous_last = last;
        let types = types
            .iter()
            .filter_map(|kind| AcknowledgeType::from_id(*kind));
        batches.push(AcknowledgementBatch {
            first,
            last,
            types: types.collect(),
        });
    }
    Ok(batches)
}

/// Names the state of a partition, if a partition can have these numbers.
pub(super) fn state_key(
    group: &str,
    topic: Uuid,
    partition: i32,
) -> Result<SharePartitionKey, Refusal> {
    let refuse = |message| Refusal::new(ErrorCode::InvalidRequest, message);
    let topic = TopicId::new(topic.0).ok_or_else(|| refuse("the topic id is zero"))?;
    partition_key(&GroupId::new(group), topic, partition)
        .ok_or_else(|| refuse("the partition is negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_refused_as_kafka_refuses_them() {
        type Case = (&'static str, Vec<(i64, i64, Vec<i8>)>, i16, bool, bool);
        let cases: [Case; 12] = [
            ("one for all", vec![(0, 9, vec![1])], 1, false, true),
            ("one for each", vec![(0, 2, vec![1, 2, 3])], 1, false, true),
            (
                "two in order",
                vec![(0, 2, vec![1]), (3, 4, vec![0])],
                1,
                false,
                true,
            ),
            ("backwards", vec![(5, 4, vec![1])], 1, false, false),
            (
                "out of order",
                vec![(5, 9, vec![1]), (0, 4, vec![1])],
                1,
                false,
                false,
            ),
            ("no types", vec![(0, 2, vec![])], 1, false, false),
            ("too few types", vec![(0, 2, vec![1, 1])], 1, false, false),
            ("too many types", vec![(0, 0, vec![1, 1])], 1, false, false),
            ("unknown type", vec![(0, 0, vec![5])], 2, true, false),
            ("negative type", vec![(0, 0, vec![-1])], 2, true, false),
            (
                "renewal of old clients",
                vec![(0, 0, vec![4])],
                1,
                true,
                false,
            ),
            (
                "renewal unannounced",
                vec![(0, 0, vec![4])],
                2,
                false,
                false,
            ),
        ];
        for (name, batches, version, is_renew, expected) in cases {
            let acknowledgement = Acknowledgement {
                key: (Uuid([1; 16]), 0),
                batches,
            };
            let checked = acknowledgement_batches(&acknowledgement, version, is_renew);
            assert_eq!(checked.is_ok(), expected, "{name}");
        }
    }

    #[test]
    fn member_ids_are_uuids_in_text_at_most() {
        assert!(check_member("").is_err());
        assert!(check_member(&"x".repeat(36)).is_ok());
        assert!(check_member(&"x".repeat(37)).is_err());
    }
}
