//! Moving the cluster's features to other levels (`FeatureControlManager.updateFeatures`,
//! `ConfigurationControlManager.updateFeatures`).

use super::Cluster;
use crate::features::{
    ELIGIBLE_LEADER_REPLICAS_VERSION, FeatureUpdate, FinalizedFeatures, UpdateFeatureError,
};
use crate::image::ClusterImage;
use crate::keys;
use crate::settings::{Layers, SettingTexts};
use crate::store::{TransactError, Transaction};

/// The broker setting that belongs to the cluster while eligible leader replicas are on.
pub(crate) const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// Why no feature was updated.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UpdateFeaturesError {
    /// INVALID_UPDATE_VERSION(95), for the whole request.
    #[error(transparent)]
    Update(#[from] UpdateFeatureError),
    /// UNKNOWN_SERVER_ERROR(-1); the log has the cause.
    #[error("the features could not be stored")]
    Store(#[from] TransactError),
}

impl Cluster {
    /// Gives features these levels: all, or none.
    ///
    /// # Errors
    /// See [`UpdateFeaturesError`].
    pub async fn update_features(
        &self,
        updates: &[FeatureUpdate],
        validate_only: bool,
    ) -> Result<(), UpdateFeaturesError> {
        let node_id = self.node_id;
        self.transact(|image| match image.features.updated(updates) {
            Err(error) => (Transaction::default(), Err(error)),
            Ok(_) if validate_only => (Transaction::default(), Ok(())),
            Ok(features) => (put_features(image, &features, node_id), Ok(())),
        })
        .await??;
        Ok(())
    }
}

fn put_features(image: &ClusterImage, features: &FinalizedFeatures, node_id: i32) -> Transaction {
    let mut transaction = Transaction::default();
    if *features == *image.features {
        return transaction;
    }
    transaction.expect(keys::FEATURES, image.features_revision);
    transaction.put(keys::FEATURES, keys::write_levels(features.levels()));
    let is_on = |features: &FinalizedFeatures| features.level(ELIGIBLE_LEADER_REPLICAS_VERSION) > 0;
    if is_on(features) && !is_on(&image.features) {
        secure_min_insync_replicas(image, node_id, &mut transaction);
    }
    transaction
}

/// Turning eligible leader replicas on moves `min.insync.replicas` from the brokers to the cluster
/// (`ConfigurationControlManager.maybeGenerateElrSafetyRecords`).
fn secure_min_insync_replicas(image: &ClusterImage, node_id: i32, transaction: &mut Transaction) {
    let layers = &image.broker.layers;
    let mut put = |key: String, settings: &SettingTexts| {
        transaction.expect(key.clone(), image.settings_revision(&key));
        transaction.put(key, keys::write_texts(settings));
    };
    if !layers.default_dynamic().contains_key(MIN_INSYNC_REPLICAS) {
        let mut settings = layers.default_dynamic().clone();
        settings.extend(cluster_min_insync_replicas(layers));
        put(keys::BROKER_DEFAULTS.to_owned(), &settings);
    }
    if layers.own_dynamic().contains_key(MIN_INSYNC_REPLICAS) {
        let mut settings = layers.own_dynamic().clone();
        settings.remove(MIN_INSYNC_REPLICAS);
        put(keys::broker(node_id), &settings);
    }
}

/// `min.insync.replicas` as the broker was started with, for the whole cluster.
pub(super) fn cluster_min_insync_replicas(layers: &Layers) -> SettingTexts {
    let text = layers.start().get(MIN_INSYNC_REPLICAS);
    let text = text.map_or("1", String::as_str);
    SettingTexts::from([(MIN_INSYNC_REPLICAS.to_owned(), text.to_owned())])
}
