//! `watertable cluster`: brokers, settings, health.

mod config;
mod health;
mod info;
mod quotas;

use anyhow::Result;

use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  watertable cluster info
  watertable cluster info --apis --json
  watertable cluster config log.retention.ms
  watertable cluster config --set log.retention.ms=3600000
  watertable cluster config --group readers --set consumer.session.timeout.ms=50000
  watertable cluster config --client app --set producer_byte_rate=1000000
  watertable cluster config --quotas
  watertable cluster health && echo fine"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) session: Session,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show the cluster's id, brokers, features, sizes and request versions
    Info(info::Arguments),
    /// Show or change settings of brokers and groups, and quotas of clients
    Config(Box<config::Arguments>),
    /// Check that every partition has a leader and all its replicas; exit code 1 if not
    Health(health::Arguments),
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let Arguments { session, verb } = arguments;
    session::run(async move {
        match verb {
            Verb::Info(arguments) => info::run(&session, &arguments).await,
            Verb::Config(arguments) => config::run(&session, *arguments).await,
            Verb::Health(arguments) => health::run(&session, &arguments).await,
        }
    })
}
