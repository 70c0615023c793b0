//! Handlers of the APIs about configs.

pub(crate) mod describe_configs;
mod errors;
pub(crate) mod incremental_alter_configs;
mod loggers;
pub(crate) mod wire;
