//! A cluster's metadata in a folder that goes away.

use std::path::PathBuf;
use std::sync::Arc;

use env::Env;
use metadata::settings::{Layers, SettingTexts};
use metadata::{Cluster, ClusterConfig, NewTopic, OpenClusterError};

pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("metadata.redb")
    }

    pub(crate) async fn open(&self) -> Arc<Cluster> {
        self.open_with(&[]).await.unwrap()
    }

    pub(crate) async fn open_with(
        &self,
        settings: &[(&str, &str)],
    ) -> Result<Arc<Cluster>, OpenClusterError> {
        let config = ClusterConfig {
            path: self.file(),
            settings: Layers::at_start(texts(settings)).unwrap(),
        };
        Cluster::open(&Env::system(), config).await
    }
}

pub(crate) fn texts(settings: &[(&str, &str)]) -> SettingTexts {
    let pairs = settings.iter();
    pairs
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

pub(crate) fn topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        ..NewTopic::default()
    }
}

pub(crate) fn with_settings(name: &str, settings: &[(&str, &str)]) -> NewTopic {
    let pairs = settings.iter();
    NewTopic {
        settings: pairs
            .map(|&(name, value)| (name.to_owned(), Some(value.to_owned())))
            .collect(),
        ..topic(name)
    }
}
