//! `watertable pipeline worker`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use client::{ClientConfig, Cluster};
use pipeline::runner::{Worker, WorkerOptions};
use pipeline::secrets::Secrets;

use crate::logging;
use crate::session::{self, Session};
use crate::settings::LogFormat;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A broker runs pipelines itself unless it is started with --set pipeline.workers=0. Of two workers that run at the same time the
one that began later takes over, and the other one stops running what it has lost: nothing is written twice.

Examples:
  watertable start --set pipeline.workers=0
  watertable pipeline worker --brokers 127.0.0.1:9092 --secrets /etc/watertable/secrets")]
pub(super) struct Arguments {
    /// Threads
    #[arg(long, value_name = "N", default_value = "2")]
    threads: usize,
    /// What the queries of a pipeline may hold in memory, in bytes
    #[arg(long, value_name = "BYTES", default_value = "268435456")]
    memory: usize,
    /// A folder with a file for each secret; WATERTABLE_SECRET_NAME goes before it
    #[arg(long, value_name = "DIR")]
    secrets: Option<PathBuf>,
    /// What is logged: a level, or module=level,…
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log_filter: String,
    #[command(flatten)]
    session: Session,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    logging::set_up(LogFormat::Text, &arguments.log_filter)?;
    let config = ClientConfig {
        client_id: Arc::from("watertable-pipelines"),
        ..ClientConfig::default()
    };
    let options = WorkerOptions {
        threads: arguments.threads,
        memory_bytes_max: arguments.memory,
        secrets: Secrets::new(arguments.secrets.clone()),
        priority: None,
        pace: None,
    };
    session::run(async {
        let cluster = Cluster::new(arguments.session.brokers.clone(), config);
        let worker = Worker::start(cluster, options).context("cannot start the worker")?;
        session::interrupted().await;
        worker.stop().await;
        Ok(())
    })
}
