//! ShareFetch, key 78, versions 1 and 2.
//!
//! * v2: ShareAcquireMode (KIP-1206) and renewals (KIP-1222): a request that renews reads nothing, because reading may
//!   take longer than the lock.
//!
//! Acknowledgements take effect before anything is read; the answer tells of both.

use std::sync::Arc;
use std::time::Duration;

use coordinator::share_partition::AcquireMode;
use indexmap::{IndexMap, IndexSet};
use protocol::messages::share_fetch_response::{
    AcquiredRecords, LeaderIdAndEpoch, NodeEndpoint, PartitionData, ShareFetchableTopicResponse,
};
use protocol::messages::{ShareFetchRequest, ShareFetchResponse};
use protocol::{ErrorCode, Records, Uuid};
use types::{GroupId, MemberId};

use super::share_acknowledge::acknowledge_all;
use super::wire;
use crate::context::Context;
use crate::handlers::refusal::Refusal;
use crate::shares::{
    Fetched, OpenSession, SessionRequest, ShareFetch, ShareScope, ShareSessionError, Shares,
    TopicKey,
};
use crate::topics::Topics;

/// `ShareAcquireMode.RECORD_LIMIT`.
const RECORD_LIMIT: i8 = 1;

pub(crate) async fn handle(
    context: Context,
    request: ShareFetchRequest,
    shares: Arc<Shares>,
) -> ShareFetchResponse {
    let member = match check(&context, &request, &shares) {
        Ok(member) => member,
        Err(refusal) => return refused(&refusal),
    };
    let acknowledgements = wire::of_fetch(&request.topics);
    let acknowledges = acknowledgements.iter().any(|each| !each.batches.is_empty());
    let scope = shares.begin_session(
        &context,
        &SessionRequest {
            key: &member,
            epoch: request.share_session_epoch,
            listed: &listed(&request),
            forgotten: &forgotten(&request),
            acknowledges,
        },
    );
    let scope = match scope {
        Ok(scope) => scope,
        Err(error) => {
            if error == ShareSessionError::LimitReached {
                // Clients ask again at once: let them wait first.
                shares.idle(context.received, wait(&request)).await;
            }
            return refused(&wire::session(error));
        }
    };
    let is_renew = context.version >= wire::RENEW_SINCE && request.is_renew_ack;
    let acknowledged = if acknowledges {
        let version = context.version;
        Some(acknowledge_all(
            &shares,
            &member,
            &acknowledgements,
            version,
            is_renew,
        ))
    } else {
        None
    };
    let opened = match &scope {
        ShareScope::Opened(session) => Some(Arc::clone(&session.partitions)),
        ShareScope::Continued(_) | ShareScope::Closing => None,
    };
    let is_closing = matches!(scope, ShareScope::Closing);
    let fetched = match scope {
        ShareScope::Opened(session) | ShareScope::Continued(session) if !is_renew => {
            let fetch = fetch(&context, &request, &member, session, &shares);
            shares.fetch(fetch).await
        }
        _ => Vec::new(),
    };
    let acknowledged = match acknowledged {
        Some(acknowledged) => acknowledged.await,
        None => Vec::new(),
    };
    if is_closing {
        shares.end_session(&member, None);
    }
    respond(&shares, &member.0, fetched, acknowledged, opened.as_deref())
}

fn check(
    context: &Context,
    request: &ShareFetchRequest,
    shares: &Shares,
) -> Result<(GroupId, MemberId), Refusal> {
    if !shares.is_enabled() {
        return Err(wire::disabled());
    }
    let member = wire::member(request.group_id.as_deref(), request.member_id.as_deref())?;
    let reads = request.max_bytes != 0
        || request.min_bytes != 0
        || request.max_records != 0
        || request.max_wait_ms != 0;
    if context.version >= wire::RENEW_SINCE && request.is_renew_ack && reads {
        return Err(Refusal::new(
            ErrorCode::InvalidRequest,
            "a request that renews locks reads nothing: its limits must be zero",
        ));
    }
    Ok(member)
}

fn wait(request: &ShareFetchRequest) -> Duration {
    Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0))
}

fn fetch(
    context: &Context,
    request: &ShareFetchRequest,
    (group, member): &(GroupId, MemberId),
    session: OpenSession,
    shares: &Shares,
) -> ShareFetch {
    let bytes = |value: i32| usize::try_from(value).unwrap_or(0);
    let max_bytes =
        bytes(request.max_bytes).min(bytes(shares.topics.image().broker.fetch_max_bytes));
    // Each request begins with another partition (`PartitionRotateStrategy`).
    let turn = usize::try_from(request.share_session_epoch).unwrap_or(0);
    let turn = turn.checked_rem(session.partitions.len()).unwrap_or(0);
    let behind = session.partitions.iter().skip(turn);
    let partitions = behind.chain(session.partitions.iter().take(turn));
    ShareFetch {
        group: group.clone(),
        member: member.clone(),
        partitions: partitions.copied().collect(),
        session,
        deadline: context.received.plus(wait(request)),
        min_bytes: bytes(request.min_bytes).min(max_bytes),
        max_bytes,
        max_records: request.max_records.into(),
        batch_size: request.batch_size.into(),
        mode: match request.share_acquire_mode {
            RECORD_LIMIT => AcquireMode::RecordLimit,
            _ => AcquireMode::BatchOptimized,
        },
    }
}

fn listed(request: &ShareFetchRequest) -> Vec<TopicKey> {
    let topics = request.topics.iter();
    topics
        .flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|partition| (topic.topic_id, partition.partition_index))
        })
        .collect()
}

fn forgotten(request: &ShareFetchRequest) -> Vec<TopicKey> {
    let topics = request.forgotten_topics_data.iter();
    topics
        .flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|partition| (topic.topic_id, *partition))
        })
        .collect()
}

/// With `opened`, what a session reads from now on, all of that is answered, and otherwise what there is to tell.
fn respond(
    shares: &Shares,
    group: &GroupId,
    fetched: Vec<(TopicKey, Fetched)>,
    acknowledged: Vec<(TopicKey, ErrorCode)>,
    opened: Option<&IndexSet<TopicKey>>,
) -> ShareFetchResponse {
    let mut answers: IndexMap<TopicKey, PartitionData> = IndexMap::new();
    let mut has_moved = false;
    for (key, fetched) in fetched {
        if fetched == Fetched::Nothing {
            continue;
        }
        let mut data = empty(key.1);
        match fetched {
            Fetched::Nothing => {}
            Fetched::Records(bytes, acquired) => {
                data.records = Some(Records::from(bytes));
                let acquired = acquired.into_iter();
                data.acquired_records = acquired
                    .map(|range| AcquiredRecords {
                        first_offset: range.first,
                        last_offset: range.last,
                        delivery_count: range.delivery_count,
                    })
                    .collect();
            }
            Fetched::Failed(code) => {
                data.error_code = code.into();
                if let Some(leader) = leader_after(shares, key, code) {
                    has_moved = true;
                    data.current_leader = leader;
                }
            }
        }
        answers.insert(key, data);
    }
    for (key, code) in acknowledged {
        let data = answers.entry(key).or_insert_with(|| empty(key.1));
        data.acknowledge_error_code = code.into();
    }
    for key in opened.into_iter().flatten() {
        answers.entry(*key).or_insert_with(|| empty(key.1));
    }
    let mut by_topic: IndexMap<Uuid, Vec<PartitionData>> = IndexMap::new();
    for ((topic, _), data) in answers {
        by_topic.entry(topic).or_default().push(data);
    }
    let response = |(topic_id, partitions)| ShareFetchableTopicResponse {
        topic_id,
        partitions,
    };
    ShareFetchResponse {
        acquisition_lock_timeout_ms: shares.lock_duration_ms(group),
        responses: by_topic.into_iter().map(response).collect(),
        node_endpoints: if has_moved {
            endpoints(&shares.topics)
        } else {
            Vec::new()
        },
        ..Default::default()
    }
}

fn empty(partition: i32) -> PartitionData {
    PartitionData {
        partition_index: partition,
        records: Some(Records::default()),
        ..Default::default()
    }
}

/// Who leads a partition that this broker does not.
fn leader_after(shares: &Shares, key: TopicKey, code: ErrorCode) -> Option<LeaderIdAndEpoch> {
    if !matches!(
        code,
        ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch
    ) {
        return None;
    }
    let image = shares.topics.image();
    let topic = Topics::by_id(&image, key.0).ok()?;
    let owner = shares.topics.owner(topic, key.1).ok()?;
    Some(LeaderIdAndEpoch {
        leader_id: owner.leader.map_or(-1, |leader| leader.0),
        leader_epoch: owner.epoch.value(),
    })
}

fn endpoints(topics: &Topics) -> Vec<NodeEndpoint> {
    let endpoint = |endpoint: crate::config::Endpoint<'_>| NodeEndpoint {
        node_id: endpoint.broker.0,
        host: endpoint.host.to_owned(),
        port: endpoint.port,
        rack: endpoint.rack.map(str::to_owned),
    };
    topics.config.endpoints().map(endpoint).collect()
}

fn refused(refusal: &Refusal) -> ShareFetchResponse {
    ShareFetchResponse {
        error_code: refusal.code.into(),
        error_message: Some(refusal.message.clone()),
        ..Default::default()
    }
}
