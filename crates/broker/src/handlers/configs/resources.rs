//! What the two APIs that alter settings have in common: which resources there are, by name.

use metadata::BrokerTarget;
use protocol::ErrorCode;

use crate::handlers::refusal::Refusal;

/// Resources of one request that are changed at once; the metadata makes a few hundred changes durable with one commit.
pub(super) const AT_ONCE_MAX: usize = 64;

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
