//! The broker: connections, the API table, one handler file per API, coordinators, waiting fetches.
//!
//! [`Broker::start`] opens the data directory, then the listener; [`Broker::stop`] goes the other way: no new
//! connections, no new requests, answers to those that run, coordinators, and last the logs, flushed and checkpointed.
//! Invariant: nothing is acknowledged that is not in the log for its class, however the broker ends.

mod accept;
mod api;
mod background;
mod config;
mod connection;
mod connection_figures;
mod connection_quotas;
mod context;
mod coordinators;
mod dispatch;
mod fetches;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod handlers;
mod internal_topics;
mod log_levels;
mod log_settings;
mod metrics;
mod open_transactions;
mod ownership;
mod quotas;
mod reply;
mod request_memory;
mod request_metrics;
mod services;
mod shares;
mod start;
mod topics;
pub mod view;
mod volume;

pub use config::BrokerConfig;
pub use coordinators::CoordinatorFigures;
pub use log_levels::{LogLevel, LogLevels, ROOT_LOGGER, SetLogLevelsError};
pub use metrics::{BrokerMetrics, LogTotals, TopicTotals};
pub use ownership::{BrokerId, Owner, Ownership, SingleNode};
pub use request_memory::RequestMemoryMetrics;
pub use request_metrics::{ApiCounts, PIPELINES_CLIENT, RequestMetrics};
pub use start::{Broker, StartError};
pub use storage::{DirectoryOptions, DurationCounts, StorageMetrics};
pub use view::{TopicLog, TopicView, View, ViewError};
pub use volume::VolumeSpace;
