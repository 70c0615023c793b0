//! Handlers of the APIs about configs.

pub(crate) mod alter_configs;
pub(crate) mod describe_configs;
mod errors;
pub(crate) mod incremental_alter_configs;
pub(crate) mod list_config_resources;
mod loggers;
mod resources;
pub(crate) mod wire;
