//! UpdateFeatures, key 57, versions 0 to 2.
//!
//! * v1: `validate_only`, and the kind of upgrade (KIP-778) in place of `allow_downgrade`.
//! * v2: no result per feature: all updates happen or none does (KIP-1022).
//!
//! A mistake in one feature refuses all, with the error for the whole request in every version, as Kafka's controller
//! does it (`QuorumController.updateFeatures`). `kraft.version` cannot be raised, because there is no KRaft quorum.

use std::sync::Arc;

use metadata::{FeatureDirection, FeatureUpdate, UpdateFeaturesError};
use protocol::ErrorCode;
use protocol::messages::update_features_request::FeatureUpdateKey;
use protocol::messages::update_features_response::UpdatableFeatureResult;
use protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};

use crate::context::Context;
use crate::handlers::refusal::{self, Refusal};
use crate::topics::Topics;

/// The last version that tells a result per feature.
const RESULTS_UNTIL: i16 = 1;
/// What Kafka writes where there is no error (`Errors.NONE.message()`).
const NO_ERROR: &str = "NONE";

pub(crate) async fn handle(
    context: Context,
    request: UpdateFeaturesRequest,
    topics: Arc<Topics>,
) -> UpdateFeaturesResponse {
    let updates: Vec<_> = request.feature_updates.iter().map(update).collect();
    let outcome = topics
        .cluster
        .update_features(&updates, request.validate_only)
        .await
        .map_err(|error| refuse(&error));
    let (error_code, error_message) = refusal::fields(&outcome);
    let result = |update: FeatureUpdateKey| UpdatableFeatureResult {
        feature: update.feature,
        error_code: ErrorCode::None.into(),
        error_message: Some(NO_ERROR.to_owned()),
    };
    UpdateFeaturesResponse {
        error_code,
        error_message,
        results: if outcome.is_ok() && context.version <= RESULTS_UNTIL {
            request.feature_updates.into_iter().map(result).collect()
        } else {
            Vec::new()
        },
        ..Default::default()
    }
}

fn update(update: &FeatureUpdateKey) -> FeatureUpdate {
    FeatureUpdate {
        name: update.feature.clone(),
        level: update.max_version_level,
        direction: match update.upgrade_type {
            1 => Some(FeatureDirection::Upgrade),
            2 => Some(FeatureDirection::SafeDowngrade),
            3 => Some(FeatureDirection::UnsafeDowngrade),
            _ => None,
        },
    }
}

fn refuse(error: &UpdateFeaturesError) -> Refusal {
    let code = match error {
        UpdateFeaturesError::Update(_) => ErrorCode::InvalidUpdateVersion,
        UpdateFeaturesError::Store(cause) => {
            tracing::error!(%error, %cause, "could not update features");
            return Refusal::new(ErrorCode::UnknownServerError, error.to_string());
        }
    };
    Refusal::new(code, format!("no feature was updated: {error}"))
}

#[cfg(test)]
mod tests {
    use metadata::{GROUP_VERSION, SHARE_VERSION, TRANSACTION_VERSION};

    use super::*;
    use crate::handlers::fixture::Fixture;

    const UPGRADE: i8 = 1;
    const SAFE_DOWNGRADE: i8 = 2;

    fn wanted(feature: &str, max_version_level: i16, upgrade_type: i8) -> FeatureUpdateKey {
        FeatureUpdateKey {
            feature: feature.to_owned(),
            max_version_level,
            upgrade_type,
            ..Default::default()
        }
    }

    async fn ask(
        fixture: &Fixture,
        version: i16,
        feature_updates: Vec<FeatureUpdateKey>,
        validate_only: bool,
    ) -> UpdateFeaturesResponse {
        let request = UpdateFeaturesRequest {
            feature_updates,
            validate_only,
            ..Default::default()
        };
        handle(fixture.context(version), request, fixture.topics()).await
    }

    fn level(fixture: &Fixture, feature: &str) -> i16 {
        fixture.topics().image().features.level(feature)
    }

    #[tokio::test]
    async fn a_level_is_kept_over_a_restart() {
        let fixture = Fixture::new().await;
        let down = wanted(TRANSACTION_VERSION, 1, SAFE_DOWNGRADE);
        let out = wanted(SHARE_VERSION, 0, SAFE_DOWNGRADE);
        let response = ask(&fixture, 2, vec![down, out], false).await;
        assert_eq!((response.error_code, response.error_message), (0, None));
        let fixture = fixture.restart().await;
        assert_eq!(level(&fixture, TRANSACTION_VERSION), 1);
        assert_eq!(level(&fixture, SHARE_VERSION), 0);
        assert_eq!(level(&fixture, GROUP_VERSION), 1);
    }

    #[tokio::test]
    async fn old_versions_are_told_of_every_feature() {
        let fixture = Fixture::new().await;
        for (version, results) in [(0, 1), (1, 1), (2, 0)] {
            let same = wanted(GROUP_VERSION, 1, UPGRADE);
            let response = ask(&fixture, version, vec![same], false).await;
            assert_eq!(response.error_code, 0);
            assert_eq!(response.results.len(), results, "version {version}");
        }
    }

    #[tokio::test]
    async fn one_mistake_refuses_all() {
        let fixture = Fixture::new().await;
        for mistake in [
            wanted(TRANSACTION_VERSION, 9, UPGRADE),
            wanted(TRANSACTION_VERSION, 1, UPGRADE),
            wanted(TRANSACTION_VERSION, 1, 7),
            wanted("no.such.feature", 1, UPGRADE),
        ] {
            let good = wanted(GROUP_VERSION, 0, SAFE_DOWNGRADE);
            let response = ask(&fixture, 1, vec![good, mistake.clone()], false).await;
            let expected = ErrorCode::InvalidUpdateVersion.code();
            assert_eq!(response.error_code, expected, "{mistake:?}");
            assert!(response.results.is_empty());
            assert_eq!(level(&fixture, GROUP_VERSION), 1);
        }
    }

    #[tokio::test]
    async fn validation_changes_nothing() {
        let fixture = Fixture::new().await;
        let down = wanted(GROUP_VERSION, 0, SAFE_DOWNGRADE);
        assert_eq!(ask(&fixture, 1, vec![down], true).await.error_code, 0);
        assert_eq!(level(&fixture, GROUP_VERSION), 1);
    }
}
