//! SQL in `watertable start`: the engine over the broker's topics, and its listener.
//!
//! Invariant: everything of SQL runs on the engine's own threads; the broker's never wait for a query.

mod system;
mod topics;
mod writer;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use broker::Broker;
use env::Env;
use sql::postgres::{Limits, Server, Sessions};
use sql::{Engine, EngineOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::system::BrokerSystem;
use self::topics::BrokerTopics;
use self::writer::BrokerWriter;
use crate::settings::{Settings, SqlSettings};

/// The folder of the data directory for what queries put aside.
const SPILL: &str = "spill";

/// SQL, served.
#[derive(Debug)]
pub(crate) struct Sql {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Owns the threads.
    engine: Arc<Engine>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Sql {
    /// Serves the topics of a broker; `None` if that is off.
    pub(crate) async fn start(
        settings: &Settings,
        broker: &Broker,
    ) -> anyhow::Result<Option<Self>> {
        let Some(sql) = settings.sql else {
            return Ok(None);
        };
        let spill = empty_spill_folder(&settings.data_directory)?;
        let topics = Arc::new(BrokerTopics(broker.view()));
        let longest = settings.broker.transaction_max_timeout_ms;
        let writer = BrokerWriter::new(
            broker.address(),
            settings.broker.node_id,
            Duration::from_millis(u64::try_from(longest).unwrap_or_default()),
        );
        let mut options = options(sql, spill);
        options.writer = Some(Arc::new(writer));
        let engine = Engine::new(topics, options).context("cannot start SQL")?;
        let sessions: Arc<dyn Sessions> = Arc::clone(&engine) as _;
        let limits = Limits {
            sessions: usize::try_from(sql.connections).unwrap_or(usize::MAX),
            ..Limits::default()
        };
        let bind = async move { Server::bind(Env::system(), sql.listen, sessions, limits).await };
        let bound = engine
            .handle()
            .spawn(bind)
            .await
            .context("cannot start SQL")?;
        let server = bound.with_context(|| {
            format!(
                "cannot serve SQL on {} (--sql-listen HOST:PORT, or off)",
                sql.listen
            )
        })?;
        let address = server
            .address()
            .context("cannot tell where SQL is served")?;
        engine.add_system(Arc::new(BrokerSystem(broker.view())), server.activity());
        let stop = CancellationToken::new();
        let running = engine.handle().spawn(server.run(stop.clone()));
        Ok(Some(Self {
            address,
            engine,
            stop,
            running,
        }))
    }

    /// Ends every statement and tells every client, then the threads.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.running.await {
            tracing::warn!(%error, "SQL did not stop in order");
        }
        drop(self.engine);
    }
}

fn options(settings: SqlSettings, spill: PathBuf) -> EngineOptions {
    EngineOptions {
        memory_bytes_max: usize::try_from(settings.memory_bytes).unwrap_or(usize::MAX),
        spill_directory: Some(spill),
        spill_bytes_max: settings.spill_bytes,
        ..EngineOptions::default()
    }
}

/// What queries of a broker that was killed left there is of no use to anybody.
fn empty_spill_folder(data: &Path) -> anyhow::Result<PathBuf> {
    let spill = data.join(SPILL);
    match std::fs::remove_dir_all(&spill) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir(&spill),
    }
    .with_context(|| format!("cannot empty {}, where queries spill to", spill.display()))?;
    Ok(spill)
}
