//! Features of the cluster (KIP-584, KIP-1022): the levels this release can work at, and the one the cluster works at.
//!
//! Invariant: a finalized level lies in its feature's range. A feature at level 0 is not finalized: Kafka neither keeps
//! nor tells such a level (`FeatureControlManager.replay`).

use std::collections::BTreeMap;

/// The feature whose level tells the release whose behaviour clients may expect.
pub const METADATA_VERSION: &str = "metadata.version";
/// The feature of the transaction protocols: 2 is KIP-890's.
pub const TRANSACTION_VERSION: &str = "transaction.version";
/// The feature of the groups of KIP-848.
pub const GROUP_VERSION: &str = "group.version";
/// The feature of the groups of KIP-932.
pub const SHARE_VERSION: &str = "share.version";
/// The feature of the groups of KIP-1071.
pub const STREAMS_VERSION: &str = "streams.version";
/// The feature of KIP-966. With it, `min.insync.replicas` belongs to the cluster and no longer to a broker.
pub const ELIGIBLE_LEADER_REPLICAS_VERSION: &str = "eligible.leader.replicas.version";
/// The feature of the KRaft quorum. There is none here, so it stays at level 0, as with Kafka's static quorums.
pub const KRAFT_VERSION: &str = "kraft.version";

/// The level of `metadata.version` that `eligible.leader.replicas.version` 1 needs (4.0-IV1).
const ELR_NEEDS_METADATA_VERSION: i16 = 23;
/// The highest level of `metadata.version` whose records a lower one cannot hold (`MetadataVersion.didMetadataChange`):
/// the cluster may go down to it and not below.
const METADATA_CHANGED_LAST: i16 = 23;

/// A feature and its levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// The lowest level this release can work at.
    pub level_min: i16,
    /// The highest.
    pub level_max: i16,
    /// The level of a new cluster.
    pub initial: i16,
}

const fn feature(name: &'static str, level_min: i16, level_max: i16, initial: i16) -> Feature {
    Feature {
        name,
        level_min,
        level_max,
        initial,
    }
}

/// Every feature, with the ranges and the initial levels of Kafka 4.2 (`Feature`, `MetadataVersion`).
pub static FEATURES: &[Feature] = &[
    feature(METADATA_VERSION, 7, 29, 29),
    feature(KRAFT_VERSION, 0, 1, 0),
    feature(TRANSACTION_VERSION, 0, 2, 2),
    feature(GROUP_VERSION, 0, 1, 1),
    feature(ELIGIBLE_LEADER_REPLICAS_VERSION, 0, 1, 1),
    feature(SHARE_VERSION, 0, 1, 1),
    feature(STREAMS_VERSION, 0, 1, 1),
];

/// The levels the cluster works at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FinalizedFeatures {
    levels: BTreeMap<String, i16>,
}

impl FinalizedFeatures {
    /// What a new cluster begins with.
    pub fn initial() -> Self {
        let levels = FEATURES.iter();
        Self::new(levels.map(|feature| (feature.name.to_owned(), feature.initial)))
    }

    pub(crate) fn new(levels: impl IntoIterator<Item = (String, i16)>) -> Self {
        let levels = levels.into_iter().filter(|(_, level)| *level > 0);
        Self {
            levels: levels.collect(),
        }
    }

    /// The level of a feature; 0 if it is not finalized.
    pub fn level(&self, name: &str) -> i16 {
        self.levels.get(name).copied().unwrap_or(0)
    }

    /// What is finalized, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, i16)> {
        self.levels
            .iter()
            .map(|(name, level)| (name.as_str(), *level))
    }

    pub(crate) fn levels(&self) -> &BTreeMap<String, i16> {
        &self.levels
    }

    /// What the features would be after all the updates.
    ///
    /// # Errors
    /// The first update that cannot be; then there are none.
    pub fn updated(&self, updates: &[FeatureUpdate]) -> Result<Self, UpdateFeatureError> {
        let updated = Self::new(
            self.levels.clone().into_iter().chain(
                updates
                    .iter()
                    .map(|update| (update.name.clone(), update.level)),
            ),
        );
        // A level of 0 takes a feature out, which `new` cannot tell from one that was never there.
        let gone = |name: &str| {
            let last = updates.iter().rfind(|update| update.name == name);
            last.is_some_and(|update| update.level == 0)
        };
        let updated = Self {
            levels: updated
                .levels
                .into_iter()
                .filter(|(name, _)| !gone(name))
                .collect(),
        };
        for update in updates {
            let problem = self.check(update, &updated);
            problem.map_err(|problem| UpdateFeatureError {
                feature: update.name.clone(),
                level: update.level,
                problem,
            })?;
        }
        Ok(updated)
    }

    fn check(&self, update: &FeatureUpdate, updated: &Self) -> Result<(), FeatureProblem> {
        let direction = update.direction.ok_or(FeatureProblem::UnknownDirection)?;
        let level = update.level;
        let current = self.level(&update.name);
        if level < 0 {
            return Err(FeatureProblem::Negative);
        }
        let feature = FEATURES.iter().find(|feature| feature.name == update.name);
        let Some(feature) = feature else {
            // Kafka takes an unknown feature for one that only knows level 0, and then has no such feature to set.
            return Err(FeatureProblem::Unknown);
        };
        if !(feature.level_min..=feature.level_max).contains(&level) {
            return Err(FeatureProblem::OutOfRange {
                level_min: feature.level_min,
                level_max: feature.level_max,
            });
        }
        if level < current && direction == FeatureDirection::Upgrade {
            return Err(FeatureProblem::IsDowngrade { current });
        }
        if level > current && direction != FeatureDirection::Upgrade {
            return Err(FeatureProblem::IsUpgrade { current });
        }
        match feature.name {
            METADATA_VERSION if level < METADATA_CHANGED_LAST && level < current => {
                Err(FeatureProblem::MetadataWouldBeLost { current })
            }
            KRAFT_VERSION if level != current => Err(FeatureProblem::NoQuorum),
            ELIGIBLE_LEADER_REPLICAS_VERSION
                if level > 0 && updated.level(METADATA_VERSION) < ELR_NEEDS_METADATA_VERSION =>
            {
                Err(FeatureProblem::DependsOn {
                    other: METADATA_VERSION,
                    level: ELR_NEEDS_METADATA_VERSION,
                })
            }
            _ => Ok(()),
        }
    }
}

/// Which way a feature is meant to go (`FeatureUpdate.UpgradeType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureDirection {
    /// Up.
    Upgrade,
    /// Down, if nothing is lost.
    SafeDowngrade,
    /// Down in any case.
    UnsafeDowngrade,
}

/// A level a feature shall get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// The feature.
    pub name: String,
    /// The level; 0 takes the feature out.
    pub level: i16,
    /// Which way that is meant to be; `None` when the client says something unknown.
    pub direction: Option<FeatureDirection>,
}

/// A level that a feature cannot get. INVALID_UPDATE_VERSION(95).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid update version {level} for feature {feature}: {problem}")]
pub struct UpdateFeatureError {
    /// The feature.
    pub feature: String,
    /// The level.
    pub level: i16,
    /// Why not.
    pub problem: FeatureProblem,
}

/// Why a feature cannot get a level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeatureProblem {
    /// It is neither an upgrade nor one of the downgrades.
    #[error("the upgrade type is unknown")]
    UnknownDirection,
    /// Levels begin at 0.
    #[error("a level cannot be less than 0")]
    Negative,
    /// This release knows no such feature.
    #[error("this release does not know the feature")]
    Unknown,
    /// This release does not know the level.
    #[error("this release works at levels {level_min} to {level_max}")]
    OutOfRange {
        /// The lowest.
        level_min: i16,
        /// The highest.
        level_max: i16,
    },
    /// A downgrade that says it is an upgrade.
    #[error("the level is {current}, and a downgrade must say that it is one")]
    IsDowngrade {
        /// The level there is.
        current: i16,
    },
    /// An upgrade that says it is a downgrade.
    #[error("the level is {current}, and a downgrade cannot lead to a higher one")]
    IsUpgrade {
        /// The level there is.
        current: i16,
    },
    /// What is stored may need the level there is.
    #[error("a downgrade from {current} could lose metadata")]
    MetadataWouldBeLost {
        /// The level there is.
        current: i16,
    },
    /// Another feature must have a level first.
    #[error("it depends on {other} at level {level}")]
    DependsOn {
        /// The other feature.
        other: &'static str,
        /// The level it needs.
        level: i16,
    },
    /// The feature is about a KRaft quorum.
    #[error("there is no KRaft quorum")]
    NoQuorum,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(name: &str, level: i16, direction: FeatureDirection) -> FeatureUpdate {
        FeatureUpdate {
            name: name.to_owned(),
            level,
            direction: Some(direction),
        }
    }

    #[test]
    fn a_new_cluster_has_the_features_of_kafka_4_2() {
        let levels: Vec<_> = FinalizedFeatures::initial()
            .iter()
            .map(|(name, level)| (name.to_owned(), level))
            .collect();
        let expected = [
            ("eligible.leader.replicas.version", 1),
            ("group.version", 1),
            ("metadata.version", 29),
            ("share.version", 1),
            ("streams.version", 1),
            ("transaction.version", 2),
        ];
        assert_eq!(
            levels,
            expected.map(|(name, level)| (name.to_owned(), level))
        );
    }

    #[test]
    fn levels_move_inside_their_ranges_in_the_direction_that_was_said() {
        use FeatureDirection::{SafeDowngrade, UnsafeDowngrade, Upgrade};
        let initial = FinalizedFeatures::initial();
        for (name, level, direction, allowed) in [
            (TRANSACTION_VERSION, 2, Upgrade, true),
            (TRANSACTION_VERSION, 2, SafeDowngrade, true),
            (TRANSACTION_VERSION, 3, Upgrade, false),
            (TRANSACTION_VERSION, -1, SafeDowngrade, false),
            (TRANSACTION_VERSION, 1, Upgrade, false),
            (TRANSACTION_VERSION, 1, SafeDowngrade, true),
            (TRANSACTION_VERSION, 0, UnsafeDowngrade, true),
            (GROUP_VERSION, 0, SafeDowngrade, true),
            (METADATA_VERSION, 24, SafeDowngrade, true),
            (METADATA_VERSION, 23, SafeDowngrade, true),
            (METADATA_VERSION, 22, SafeDowngrade, false),
            (METADATA_VERSION, 22, UnsafeDowngrade, false),
            (METADATA_VERSION, 6, UnsafeDowngrade, false),
            (METADATA_VERSION, 30, Upgrade, false),
            (KRAFT_VERSION, 0, Upgrade, true),
            (KRAFT_VERSION, 1, Upgrade, false),
            ("no.such.feature", 1, Upgrade, false),
            ("no.such.feature", 0, Upgrade, false),
        ] {
            let outcome = initial.updated(&[update(name, level, direction)]);
            assert_eq!(
                outcome.is_ok(),
                allowed,
                "{name} to {level} by {direction:?}: {outcome:?}"
            );
            if let Ok(updated) = outcome {
                assert_eq!(updated.level(name), level);
            }
        }
        let unknown = FeatureUpdate {
            direction: None,
            ..update(GROUP_VERSION, 1, Upgrade)
        };
        let error = initial.updated(&[unknown]).unwrap_err();
        assert_eq!(error.problem, FeatureProblem::UnknownDirection);
    }

    #[test]
    fn a_feature_waits_for_the_one_it_depends_on() {
        use FeatureDirection::Upgrade;
        let old = FinalizedFeatures::new([(METADATA_VERSION.to_owned(), 22)]);
        let elr = update(ELIGIBLE_LEADER_REPLICAS_VERSION, 1, Upgrade);
        let error = old.updated(std::slice::from_ref(&elr)).unwrap_err();
        assert!(matches!(error.problem, FeatureProblem::DependsOn { .. }));
        let both = [elr, update(METADATA_VERSION, 23, Upgrade)];
        assert!(old.updated(&both).is_ok());
    }

    #[test]
    fn one_mistake_leaves_all_features_as_they_are() {
        use FeatureDirection::{SafeDowngrade, Upgrade};
        let updates = [
            update(GROUP_VERSION, 0, SafeDowngrade),
            update(SHARE_VERSION, 9, Upgrade),
        ];
        let error = FinalizedFeatures::initial().updated(&updates).unwrap_err();
        assert_eq!(error.feature, SHARE_VERSION);
    }
}
