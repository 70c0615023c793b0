//! ApiVersions, key 18, versions 0 to 4.
//!
//! * v1: throttle time.
//! * v3: the client's software name and version; supported and finalized features.
//! * v4: supported features whose lowest level is 0 are told too (KAFKA-17492).
//!
//! A version above these is answered in version 0 with UNSUPPORTED_VERSION and the range of this API, whatever the body
//! says, so that the client can ask again (KIP-511, `ApiVersionsRequest.getErrorResponse`).
//!
//! What is finalized is acted on at once: Java producers use the newer transaction protocol from `transaction.version` 2
//! on, and groups of KIP-848, KIP-932 and KIP-1071 start once `group.version`, `share.version` and `streams.version` are 1.

use std::sync::Arc;

use metadata::FEATURES;
use protocol::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use protocol::{ApiKey, ErrorCode};

use crate::api::{self, Advertised};
use crate::context::Context;
use crate::topics::Topics;

/// The highest version answered in its own form.
const VERSION_MAX: i16 = 4;
/// The first version with the client's software name, and with features in the answer.
const SOFTWARE_SINCE: i16 = 3;
/// The first version that is told of features whose lowest level is 0.
const LEVEL_ZERO_SINCE: i16 = 4;

pub(crate) async fn handle(
    context: Context,
    request: ApiVersionsRequest,
    topics: Arc<Topics>,
) -> ApiVersionsResponse {
    if context.version >= SOFTWARE_SINCE {
        let (name, version) = (
            &request.client_software_name,
            &request.client_software_version,
        );
        if !(is_software_text(name) && is_software_text(version)) {
            return ApiVersionsResponse {
                error_code: ErrorCode::InvalidRequest.into(),
                ..Default::default()
            };
        }
        context.connection.figures.software(name, version);
    }
    let supported = FEATURES
        .iter()
        .filter(|feature| feature.level_min > 0 || context.version >= LEVEL_ZERO_SINCE)
        .map(|feature| SupportedFeatureKey {
            name: feature.name.to_owned(),
            min_version: feature.level_min,
            max_version: feature.level_max,
        })
        .collect();
    // Kafka leaves out what is at level 0 (`ApiVersionsResponse.createFinalizedFeatureKeys`).
    let image = topics.image();
    let finalized = image
        .features
        .iter()
        .map(|(name, level)| FinalizedFeatureKey {
            name: name.to_owned(),
            max_version_level: level,
            min_version_level: level,
        })
        .collect();
    ApiVersionsResponse {
        error_code: ErrorCode::None.into(),
        api_keys: api::ADVERTISED.iter().map(advertise).collect(),
        supported_features: supported,
        // Clients take the features with the highest epoch; the revision never decreases.
        finalized_features_epoch: i64::try_from(image.revision.value()).unwrap_or(i64::MAX),
        finalized_features: finalized,
        ..Default::default()
    }
}

/// Whether the request can be decoded and answered in its own version.
pub(crate) fn is_supported(version: i16) -> bool {
    (0..=VERSION_MAX).contains(&version)
}

/// The answer, in version 0, to a version that is not supported.
pub(crate) fn unsupported_version() -> ApiVersionsResponse {
    let this = |row: &&Advertised| row.key == ApiKey::ApiVersions;
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.into(),
        api_keys: api::ADVERTISED.iter().filter(this).map(advertise).collect(),
        ..Default::default()
    }
}

fn advertise(row: &Advertised) -> ApiVersion {
    ApiVersion {
        api_key: row.key.into(),
        min_version: row.version_min,
        max_version: row.version_max,
    }
}

/// Letters, digits, hyphens and dots, the first and the last a letter or digit.
fn is_software_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    ends(bytes.first())
        && ends(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::Fixture;

    fn request(name: &str, version: &str) -> ApiVersionsRequest {
        ApiVersionsRequest {
            client_software_name: name.to_owned(),
            client_software_version: version.to_owned(),
        }
    }

    #[tokio::test]
    async fn the_table_is_what_clients_are_told() {
        let fixture = Fixture::new().await;
        for version in 0..=VERSION_MAX {
            let asked = request("test", "1.0");
            let response = handle(fixture.context(version), asked, fixture.topics()).await;
            assert_eq!(response.error_code, 0, "version {version}");
            assert_eq!(response.api_keys.len(), api::ADVERTISED.len());
            let keys: Vec<i16> = response.api_keys.iter().map(|api| api.api_key).collect();
            assert!(keys.is_sorted(), "{keys:?}");
        }
    }

    #[tokio::test]
    async fn features_are_those_of_kafka_4_2() {
        let fixture = Fixture::new().await;
        let response = handle(fixture.context(4), request("test", "1.0"), fixture.topics()).await;
        let finalized: Vec<_> = response
            .finalized_features
            .iter()
            .map(|key| (key.name.as_str(), key.max_version_level))
            .collect();
        let expected = [
            ("eligible.leader.replicas.version", 1),
            ("group.version", 1),
            ("metadata.version", 29),
            ("share.version", 1),
            ("streams.version", 1),
            ("transaction.version", 2),
        ];
        assert_eq!(finalized, expected);
        assert!(response.finalized_features_epoch >= 0);
        assert_eq!(response.supported_features.len(), 7);
        // Features that may be at level 0 are told from version 4 on.
        let response = handle(fixture.context(3), request("test", "1.0"), fixture.topics()).await;
        let supported: Vec<_> = response
            .supported_features
            .iter()
            .map(|key| (key.name.as_str(), key.min_version, key.max_version))
            .collect();
        assert_eq!(supported, [("metadata.version", 7, 29)]);
    }

    #[tokio::test]
    async fn the_epoch_of_the_features_never_decreases() {
        let fixture = Fixture::new().await;
        let before = handle(fixture.context(4), request("test", "1"), fixture.topics()).await;
        fixture.create_topic("events", 1).await;
        let after = handle(fixture.context(4), request("test", "1"), fixture.topics()).await;
        assert!(after.finalized_features_epoch > before.finalized_features_epoch);
    }

    #[tokio::test]
    async fn software_that_does_not_name_itself_properly_is_refused() {
        let fixture = Fixture::new().await;
        for (name, version, valid) in [
            ("apache-kafka-java", "4.2.1", true),
            ("a", "1", true),
            ("", "1", false),
            ("a", "", false),
            ("-a", "1", false),
            ("a", "1.", false),
            ("a b", "1", false),
            ("a_b", "1", false),
        ] {
            let response =
                handle(fixture.context(3), request(name, version), fixture.topics()).await;
            let expected = if valid {
                ErrorCode::None
            } else {
                ErrorCode::InvalidRequest
            };
            assert_eq!(response.error_code, expected.code(), "{name} {version}");
            assert_eq!(response.api_keys.is_empty(), !valid);
        }
        // Before version 3 there is nothing to look at.
        let response = handle(fixture.context(2), request("", ""), fixture.topics()).await;
        assert_eq!(response.error_code, 0);
    }

    #[test]
    fn a_version_from_the_future_is_told_the_range_of_this_api() {
        assert!(is_supported(0) && is_supported(4));
        assert!(!is_supported(5) && !is_supported(-1));
        let response = unsupported_version();
        assert_eq!(response.error_code, ErrorCode::UnsupportedVersion.code());
        let [api] = response.api_keys.as_slice() else {
            panic!("one api, not {:?}", response.api_keys)
        };
        assert_eq!((api.api_key, api.min_version, api.max_version), (18, 0, 4));
    }
}
