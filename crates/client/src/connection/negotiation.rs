//! Which versions of which requests both sides know: ApiVersions, the first request on every connection (KIP-35, KIP-511).

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use protocol::{ErrorCode, Message};

use super::{CallError, ConnectError, Connection};
use crate::refusal;

/// The versions of one request that a broker takes, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiRange {
    /// The lowest.
    pub min: i16,
    /// The highest.
    pub max: i16,
}

/// A feature the cluster has agreed on, such as `metadata.version` (KIP-584).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalizedFeature {
    /// Its name.
    pub name: String,
    /// Its level.
    pub level: i16,
}

/// What a broker said it can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiVersions {
    /// Ranges by the number of the request.
    pub ranges: BTreeMap<i16, ApiRange>,
    /// Features with their levels.
    pub features: Vec<FinalizedFeature>,
}

impl ApiVersions {
    /// The highest version in both ranges.
    pub(super) fn highest_common(&self, key: ApiKey, min: i16, max: i16) -> Option<i16> {
        let range = self.ranges.get(&i16::from(key))?;
        let highest = range.max.min(max);
        (highest >= range.min.max(min)).then_some(highest)
    }
}

/// Room for a slow start of the broker lies in the caller's limit for connecting; this one never fires before it.
const NO_LIMIT: Duration = Duration::from_secs(3600);

pub(super) async fn negotiate(connection: &Connection) -> Result<ApiVersions, ConnectError> {
    let failed = |source: CallError| ConnectError::Handshake {
        address: connection.address().clone(),
        source: Box::new(source),
    };
    let newest = ask(connection, ApiVersionsRequest::MAX_VERSION)
        .await
        .map_err(failed)?;
    let response = if newest.error_code == ErrorCode::UnsupportedVersion.code() {
        // The broker is older. It answered in version 0 and says which versions it has.
        let known = ranges(&newest);
        let ours = known.get(&i16::from(ApiKey::ApiVersions));
        let version = ours.map_or(0, |range| range.max.min(ApiVersionsRequest::MAX_VERSION));
        ask(connection, version).await.map_err(failed)?
    } else {
        newest
    };
    refusal::check(response.error_code, None).map_err(|source| ConnectError::Refused {
        address: connection.address().clone(),
        source,
    })?;
    let features = response.finalized_features.iter();
    Ok(ApiVersions {
        ranges: ranges(&response),
        features: features
            .map(|feature| FinalizedFeature {
                name: feature.name.clone(),
                level: feature.max_version_level,
            })
            .collect(),
    })
}

async fn ask(connection: &Connection, version: i16) -> Result<ApiVersionsResponse, CallError> {
    let request = ApiVersionsRequest {
        client_software_name: "watertable".to_owned(),
        client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let started = connection.start(&request, version, NO_LIMIT).await?;
    let Ok(body) = started.response.await else {
        return Err(connection.ended(ApiVersionsRequest::NAME).await);
    };
    // An error code of 35 in front means that the answer is in version 0, whatever was asked for.
    let unsupported = ErrorCode::UnsupportedVersion.code().to_be_bytes();
    let version = if body.starts_with(&unsupported) {
        0
    } else {
        version
    };
    connection.decode::<ApiVersionsRequest>(body, version)
}

fn ranges(response: &ApiVersionsResponse) -> BTreeMap<i16, ApiRange> {
    let keys = response.api_keys.iter();
    keys.map(|key| {
        let range = ApiRange {
            min: key.min_version,
            max: key.max_version,
        };
        (key.api_key, range)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_taken_or_none() {
        let ranges = BTreeMap::from([(i16::from(ApiKey::Produce), ApiRange { min: 3, max: 9 })]);
        let versions = ApiVersions {
            ranges,
            features: Vec::new(),
        };
        assert_eq!(versions.highest_common(ApiKey::Produce, 3, 13), Some(9));
        assert_eq!(versions.highest_common(ApiKey::Produce, 3, 7), Some(7));
        assert_eq!(versions.highest_common(ApiKey::Produce, 10, 13), None);
        assert_eq!(versions.highest_common(ApiKey::Produce, 0, 2), None);
        assert_eq!(versions.highest_common(ApiKey::Fetch, 4, 18), None);
    }
}
