//! Groups that change their protocol while they have members (KIP-848, "online migration").
//!
//! Upwards when a member of the consumer protocol joins a classic group of consumers; downwards when the last such member
//! goes. The assignment goes along, so that nobody stops reading. After `convertToConsumerGroup`, `convertToClassicGroup`
//! and the checks before them in Kafka's `GroupMetadataManager.java`, `ConsumerGroup.fromClassicGroup` and
//! `ClassicGroup.fromConsumerGroup`.

use std::collections::HashSet;
use std::sync::Arc;

use types::{MemberId, PartitionIndex, TopicId};

use super::heartbeat::ConsumerHeartbeatError;
use super::member::ConsumerMember;
use super::protocol::{read_assignment, read_subscription, resolve, write_assignment};
use super::record::{
    ClassicMemberMetadata, ConsumerMemberMetadata, ConsumerRecord, CurrentAssignment, GroupEpoch,
    MemberState,
};
use super::state::ConsumerGroup;
use super::update::Scope;
use crate::group::classic::generation::Generation;
use crate::group::classic::member::Member;
use crate::group::classic::state::ClassicGroup;
use crate::group::modern::epoch::Epoch;
use crate::group::modern::partitions::TopicPartitions;
use crate::group::modern::topics::TopicsImage;
use crate::group::record::GroupRecord;
use crate::group::settings::GroupSettings;

/// The consumer group that a classic group with members becomes. The classic group stays as it is.
pub(crate) fn upgraded(
    classic: &ClassicGroup,
    topics: &TopicsImage,
    settings: &GroupSettings,
) -> Result<ConsumerGroup, ConsumerHeartbeatError> {
    let refuse = |reason| ConsumerHeartbeatError::UnknownGroup {
        group: classic.id().clone(),
        reason,
    };
    if !settings.consumer.migration.upgrade {
        return Err(refuse(
            "cannot become a consumer group: upgrades of groups with members are disabled",
        ));
    }
    if !classic.uses_consumer_protocol() {
        return Err(refuse(
            "cannot become a consumer group: its members are no consumers",
        ));
    }
    if classic.members().len() > settings.consumer.group_size_max {
        return Err(refuse(
            "cannot become a consumer group: it has more members than consumer groups may have",
        ));
    }
    let epoch = Epoch::new(classic.generation().value()).unwrap_or(Epoch::ZERO);
    let mut group = ConsumerGroup::new(classic.id().clone());
    let mut taken = HashSet::new();
    for member in classic.members() {
        let converted = upgraded_member(member, classic, epoch, topics, &mut taken);
        let converted = converted.map_err(refuse)?;
        group.apply(ConsumerRecord::Target {
            member: converted.id.clone(),
            value: Some(converted.current.assigned.clone()),
        });
        group.apply(ConsumerRecord::Member {
            member: converted.id.clone(),
            value: Some(converted.metadata),
        });
        group.apply(ConsumerRecord::Current {
            member: converted.id,
            value: Some(converted.current),
        });
    }
    group.apply(ConsumerRecord::TargetEpoch(Some(epoch)));
    let metadata_hash = group.compute_metadata_hash(topics);
    group.apply(ConsumerRecord::Epoch(Some(GroupEpoch {
        epoch,
        metadata_hash,
    })));
    Ok(group)
}

/// Classic assignors are the clients', so they may have given one partition to two members: the first keeps it.
fn upgraded_member(
    member: &Member,
    classic: &ClassicGroup,
    epoch: Epoch,
    topics: &TopicsImage,
    taken: &mut HashSet<(TopicId, PartitionIndex)>,
) -> Result<ConsumerMember, &'static str> {
    const MALFORMED: &str =
        "cannot become a consumer group: a member's subscription or assignment cannot be read";
    // Before the first generation no protocol is chosen; then the member's own first choice tells what it reads.
    let chosen = classic
        .protocol()
        .and_then(|chosen| member.metadata(chosen));
    let first = member.protocols.first().map(|protocol| &protocol.metadata);
    let subscription = chosen.or(first).ok_or(MALFORMED)?;
    let subscription = read_subscription(subscription).ok_or(MALFORMED)?;
    let mut assigned = TopicPartitions::new();
    if !member.assignment.is_empty() {
        let read = read_assignment(&member.assignment).ok_or(MALFORMED)?;
        if read.has_user_data {
            return Err(
                "cannot become a consumer group: its assignor keeps data of its own, which would be lost",
            );
        }
        let partitions = resolve(&read.partitions, topics);
        assigned.extend_from(
            partitions
                .iter()
                .filter(|partition| taken.insert(*partition)),
        );
    }
    Ok(ConsumerMember {
        id: member.id.clone(),
        metadata: ConsumerMemberMetadata {
            instance: member.instance.clone(),
            rack: subscription.rack.filter(|rack| !rack.is_empty()),
            client: member.client.clone(),
            topics: subscription.topics,
            regex: None,
            rebalance_timeout: Some(member.rebalance_timeout),
            assignor: None,
            classic: Some(ClassicMemberMetadata {
                session_timeout: member.session_timeout,
                protocols: member.protocols.clone(),
            }),
        },
        current: CurrentAssignment {
            epoch: epoch.value(),
            previous_epoch: epoch.value(),
            state: MemberState::Stable,
            assigned,
            revoking: TopicPartitions::new(),
        },
    })
}

/// Whether a group becomes a classic one when `leaving` go (`validateOnlineDowngradeWithFencedMembers`).
pub(super) fn can_downgrade(
    group: &ConsumerGroup,
    leaving: &[MemberId],
    settings: &GroupSettings,
) -> bool {
    let leaving: HashSet<&MemberId> = leaving.iter().collect();
    let mut staying = group
        .members()
        .filter(|member| !leaving.contains(&member.id));
    let count = group.members().len().saturating_sub(leaving.len());
    count > 0
        && count <= settings.group_size_max
        && settings.consumer.migration.downgrade
        && staying.all(ConsumerMember::uses_classic_protocol)
}

/// The classic group that is left when `leaving` go, with the tombstones of the consumer group written. `None`, and
/// nothing written, if what the members said cannot be read.
pub(super) fn downgrade(scope: &mut Scope<'_, '_>, leaving: &[MemberId]) -> Option<ClassicGroup> {
    let image = Arc::clone(scope.transition.topics.image());
    let group = &*scope.group;
    let staying = group
        .members()
        .filter(|member| !leaving.contains(&member.id));
    let members: Option<Vec<Member>> = staying
        .map(|member| downgraded_member(group, member, &image))
        .collect();
    let generation = Generation::new(group.epoch().value())?;
    let now = scope.transition.now.wall;
    let classic = ClassicGroup::stable(group.id().clone(), generation, members?, now)?;
    let value = classic.to_record()?;

    let ids = group.member_ids();
    for id in &ids {
        scope.cancel_timers(id);
    }
    for record in scope.group.tombstones() {
        scope.transition.record(GroupRecord::Consumer {
            group: scope.group.id().clone(),
            record,
        });
    }
    scope.transition.record(GroupRecord::GroupMetadata {
        group: scope.group.id().clone(),
        value: Some(value),
    });
    Some(classic)
}

fn downgraded_member(
    group: &ConsumerGroup,
    member: &ConsumerMember,
    topics: &TopicsImage,
) -> Option<Member> {
    let classic = member.classic()?;
    let first = classic.protocols.first()?;
    let version = read_subscription(&first.metadata)?.version;
    let target = group.target().member(&member.id);
    Some(Member {
        id: member.id.clone(),
        instance: member.metadata.instance.clone(),
        client: member.metadata.client.clone(),
        rebalance_timeout: member.rebalance_timeout(),
        session_timeout: classic.session_timeout,
        protocols: classic.protocols.clone(),
        assignment: write_assignment(version, target, topics),
        parked_join: None,
        parked_sync: None,
        is_new: false,
    })
}
