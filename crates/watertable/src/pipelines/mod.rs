//! Pipelines in `watertable start`: a worker beside the broker, which reads and writes as a client of it.
//!
//! Invariant: pipelines run on threads of their own, within a bound of memory of their own; the broker never waits for them.

mod standing;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use broker::{Broker, PIPELINES_CLIENT};
use env::{Clock, SystemClock};
use pipeline::runner::{Pace, Worker, WorkerOptions};
use pipeline::secrets::Secrets;
use tokio_util::sync::CancellationToken;

pub(crate) use self::standing::Standing;
use crate::metrics::PipelineFigures;
use crate::own_broker;
use crate::report::sentence;
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
        pace: pipelines
            .yield_bytes_per_second
            .map(|bytes| pace(bytes.get(), broker)),
    };
    let cluster = own_broker::cluster(broker.address(), PIPELINES_CLIENT);
    let worker = Worker::start(cluster, options);
    worker.map(Some).context("cannot start pipelines")
}

/// Others are clients that produce to this broker.
fn pace(bytes_per_second: u64, broker: &Broker) -> Pace {
    let requests = Arc::clone(&broker.metrics().requests);
    Pace::new(
        bytes_per_second,
        Arc::new(move || requests.produced_by_others()),
    )
}

/// How often it is looked how far pipelines are behind.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Keeps the figures of lag up, until `stop`.
pub(crate) async fn watch_lag(
    standing: Standing,
    figures: PipelineFigures,
    stop: CancellationToken,
) {
    let clock = SystemClock::new();
    loop {
        let looked = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            looked = standing.lag() => looked,
        };
        match looked {
            Ok(lag) => figures.set_lag(lag),
            Err(error) => {
                let error = sentence(&anyhow::Error::new(error));
                tracing::warn!(
                    error,
                    "cannot tell how far pipelines are behind; trying again"
                );
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = clock.sleep_until(clock.now().plus(LOOK_EVERY)) => {}
        }
    }
}
