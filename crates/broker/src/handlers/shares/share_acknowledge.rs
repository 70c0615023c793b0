//! ShareAcknowledge, key 79, versions 1 and 2.
//!
//! * v2: renewals (KIP-1222).

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::share_acknowledge_response::{
    PartitionData, ShareAcknowledgeTopicResponse,
};
use protocol::messages::{ShareAcknowledgeRequest, ShareAcknowledgeResponse};
use types::{GroupId, MemberId, TopicId};

use super::wire::{self, Acknowledgement};
use crate::context::Context;
use crate::handlers::refusal::Refusal;
use crate::shares::{Shares, TopicKey};

pub(crate) async fn handle(
    context: Context,
    request: ShareAcknowledgeRequest,
    shares: Arc<Shares>,
) -> ShareAcknowledgeResponse {
    let (member, is_closing) = match begin(&request, &shares) {
        Ok(begun) => begun,
        Err(refusal) => {
            return ShareAcknowledgeResponse {
                error_code: refusal.code.into(),
                error_message: Some(refusal.message),
                ..Default::default()
            };
        }
    };
    let acknowledgements = wire::of_acknowledge(&request.topics);
    let is_renew = request.is_renew_ack;
    let version = context.version;
    let results = acknowledge_all(&shares, &member, &acknowledgements, version, is_renew).await;
    if is_closing {
        shares.end_session(&member, None);
    }
    let mut responses: Vec<ShareAcknowledgeTopicResponse> = Vec::new();
    for ((topic_id, partition_index), code) in results {
        let data = PartitionData {
            partition_index,
            error_code: code.into(),
            ..Default::default()
        };
        match responses
            .iter_mut()
            .find(|topic| topic.topic_id == topic_id)
        {
            Some(topic) => topic.partitions.push(data),
            None => responses.push(ShareAcknowledgeTopicResponse {
                topic_id,
                partitions: vec![data],
            }),
        }
    }
    ShareAcknowledgeResponse {
        acquisition_lock_timeout_ms: shares.lock_duration_ms(&member.0),
        responses,
        ..Default::default()
    }
}

fn begin(
    request: &ShareAcknowledgeRequest,
    shares: &Shares,
) -> Result<((GroupId, MemberId), bool), Refusal> {
    if !shares.is_enabled() {
        return Err(wire::disabled());
    }
    let member = wire::member(request.group_id.as_deref(), request.member_id.as_deref())?;
    let is_closing = shares.acknowledge_in_session(&member, request.share_session_epoch);
    Ok((member, is_closing.map_err(wire::session)?))
}

/// Takes up everything at once; what comes back waits for it to be final. Partitions of which nothing is said are told of
/// only beside others.
pub(super) fn acknowledge_all(
    shares: &Arc<Shares>,
    (group, member): &(GroupId, MemberId),
    acknowledgements: &[Acknowledgement],
    version: i16,
    is_renew: bool,
) -> impl Future<Output = Vec<(TopicKey, ErrorCode)>> + Send + use<> {
    let begin = |acknowledgement: &Acknowledgement| {
        let key = acknowledgement.key;
        let batches = check(shares, acknowledgement, version, is_renew);
        let written = match batches {
            Ok(batches) if batches.is_empty() => Err(ErrorCode::None),
            Ok(batches) => Ok(shares.acknowledge(group, member, key, &batches)),
            Err(code) => Err(code),
        };
        (key, written)
    };
    let mut begun: Vec<_> = acknowledgements.iter().map(begin).collect();
    if begun.iter().all(|(_, written)| written.is_err()) {
        begun.retain(|(_, written)| !matches!(written, Err(ErrorCode::None)));
    }
    async move {
        let mut results = Vec::with_capacity(begun.len());
        for (key, written) in begun {
            let code = match written {
                Ok(written) => written.await,
                Err(code) => code,
            };
            results.push((key, code));
        }
        results
    }
}

fn check(
    shares: &Shares,
    acknowledgement: &Acknowledgement,
    version: i16,
    is_renew: bool,
) -> Result<Vec<coordinator::share_partition::AcknowledgementBatch>, ErrorCode> {
    let (topic, partition) = acknowledgement.key;
    let image = shares.topics.image();
    let topic = TopicId::new(topic.0).and_then(|id| image.topic_by_id(id));
    let topic = topic.ok_or(ErrorCode::UnknownTopicId)?;
    let batches = wire::acknowledgement_batches(acknowledgement, version, is_renew)?;
    if !(0..topic.partitions).contains(&partition) {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    Ok(batches)
}
