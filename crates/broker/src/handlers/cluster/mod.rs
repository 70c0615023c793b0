//! Handlers of the APIs about the broker and its cluster.

pub(crate) mod api_versions;
pub(crate) mod describe_cluster;
pub(crate) mod describe_log_dirs;
pub(crate) mod update_features;
