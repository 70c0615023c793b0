//! What the two APIs that alter settings have in common: which resources there are, by name, and that each is altered once.

use std::future::ready;

use futures_util::StreamExt;
use futures_util::future::Either;
use futures_util::stream::FuturesOrdered;
use hashbrown::HashMap;
use metadata::BrokerTarget;
use protocol::ErrorCode;

use crate::handlers::refusal::Refusal;

/// Resources of one request that are changed at once; the metadata makes a few hundred changes durable with one commit.
const AT_ONCE_MAX: usize = 64;

/// A resource as a request names it.
pub(super) trait Resource {
    /// Its type and its name.
    fn key(&self) -> (i8, &str);
}

/// What `alter` makes of each resource, in order. One that the request names more than once is refused each time.
pub(super) async fn each_resource_once<'a, R: Resource, F>(
    resources: &'a [R],
    alter: impl Fn(&'a R) -> F,
) -> Vec<Result<(), Refusal>>
where
    F: Future<Output = Result<(), Refusal>>,
{
    let mut times: HashMap<(i8, &str), usize> = HashMap::new();
    for resource in resources {
        *times.entry(resource.key()).or_default() += 1;
    }
    // Changes that wait together become durable together.
    let mut waiting = FuturesOrdered::new();
    let mut outcomes = Vec::with_capacity(resources.len());
    for resource in resources {
        if waiting.len() == AT_ONCE_MAX {
            outcomes.extend(waiting.next().await);
        }
        waiting.push_back(match times.get(&resource.key()) {
            Some(1) => Either::Left(alter(resource)),
            _ => Either::Right(ready(Err(Refusal::new(
                ErrorCode::InvalidRequest,
                "each resource must appear at most once",
            )))),
        });
    }
    outcomes.extend(waiting.collect::<Vec<_>>().await);
    outcomes
}

/// `ControllerConfigurationValidator.validateTopicName`.
pub(super) fn check_topic_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Refusal::new(
            ErrorCode::InvalidRequest,
            "default topic resources are not allowed",
        ));
    }
    metadata::check_topic_name(name)
        .map_err(|error| Refusal::new(ErrorCode::InvalidTopicException, error.to_string()))
}

/// No name stands for all brokers.
pub(super) fn broker_target(name: &str) -> Result<BrokerTarget, Refusal> {
    if name.is_empty() {
        return Ok(BrokerTarget::All);
    }
    name.parse()
        .map(BrokerTarget::One)
        .map_err(|_not_a_number| {
            Refusal::new(
                ErrorCode::InvalidRequest,
                format!("the broker id must be a number, not {name:?}"),
            )
        })
}
