//! Pipelines in `watertable start`: a worker beside the broker, which reads and writes as a client of it.
//!
//! Invariant: pipelines run on threads of their own, within a bound of memory of their own; the broker never waits for them.

mod standing;

use anyhow::Context;
use broker::Broker;
use pipeline::runner::{Worker, WorkerOptions};
use pipeline::secrets::Secrets;

pub(crate) use self::standing::Standing;
use crate::own_broker;
use crate::settings::Settings;

/// Starts to run what is applied; `None` if this process runs no pipelines.
pub(crate) fn start(settings: &Settings, broker: &Broker) -> anyhow::Result<Option<Worker>> {
    let Some(pipelines) = &settings.pipelines else {
        return Ok(None);
    };
    let options = WorkerOptions {
        threads: pipelines.workers,
        memory_bytes_max: pipelines.memory_bytes,
        secrets: Secrets::new(pipelines.secrets_directory.clone()),
        priority: Some(pipelines.priority),
    };
    let cluster = own_broker::cluster(broker.address(), "watertable-pipelines");
    let worker = Worker::start(cluster, options);
    worker.map(Some).context("cannot start pipelines")
}
