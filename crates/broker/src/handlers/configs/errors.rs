//! Causes to wire codes for the APIs about configs, each with the sentence that people are told.

use metadata::AlterSettingsError;
use metadata::settings::ClientMetricsError;
use protocol::ErrorCode;

use crate::handlers::refusal::Refusal;

/// Settings that were not altered.
pub(super) fn alter_settings(error: &AlterSettingsError) -> Refusal {
    let code = match error {
        AlterSettingsError::Duplicate(_)
        | AlterSettingsError::OtherBroker { .. }
        | AlterSettingsError::NoGroup
        | AlterSettingsError::NoSubscription
        | AlterSettingsError::ClientMetrics(
            ClientMetricsError::Unknown(_) | ClientMetricsError::Interval(_),
        )
        | AlterSettingsError::BrokerSetting(_)
        | AlterSettingsError::ReadOnly(_)
        | AlterSettingsError::PerBrokerOnly(_)
        | AlterSettingsError::PerListenerOnly(_) => ErrorCode::InvalidRequest,
        AlterSettingsError::UnknownTopic => ErrorCode::UnknownTopicOrPartition,
        AlterSettingsError::NotAList { .. }
        | AlterSettingsError::ClientMetrics(
            ClientMetricsError::Value(_)
            | ClientMetricsError::Match { .. }
            | ClientMetricsError::Duplicate(_),
        )
        | AlterSettingsError::BrokerMinInsyncReplicas
        | AlterSettingsError::ClusterMinInsyncReplicas
        | AlterSettingsError::Setting(_) => ErrorCode::InvalidConfig,
        AlterSettingsError::Store(cause) => {
            tracing::error!(%error, cause = ?std::error::Error::source(cause), "could not change settings");
            ErrorCode::UnknownServerError
        }
    };
    Refusal::new(code, error.to_string())
}
