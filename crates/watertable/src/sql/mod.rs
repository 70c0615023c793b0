//! SQL in `watertable start`: the engine over the broker's topics, and its listener.
//!
//! Invariant: everything of SQL runs on the engine's own threads; the broker's never wait for a query.

mod system;
mod topics;
mod writer;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use broker::Broker;
use env::Env;
use sql::postgres::{Limits, Server, Sessions};
use sql::{Engine, EngineOptions, S3Options};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::system::BrokerSystem;
use self::topics::BrokerTopics;
use self::writer::BrokerWriter;
use crate::pipelines::Standing;
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
        pipelines: Standing,
    ) -> anyhow::Result<Option<Self>> {
        let Some(sql) = &settings.sql else {
            return Ok(None);
        };
        if let Some(exports) = &sql.export_directory {
            check_export_folder(exports, &settings.data_directory)?;
        }
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
        let listen = sql.listen;
        let bind = async move { Server::bind(Env::system(), listen, sessions, limits).await };
        let bound = engine
            .handle()
            .spawn(bind)
            .await
            .context("cannot start SQL")?;
        let server = bound.with_context(|| {
            format!("cannot serve SQL on {listen} (--sql-listen HOST:PORT, or off)")
        })?;
        let address = server
            .address()
            .context("cannot tell where SQL is served")?;
        let system = BrokerSystem {
            view: broker.view(),
            pipelines,
        };
        engine.add_system(Arc::new(system), server.activity());
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
        self.engine.settle_exports().await;
        drop(self.engine);
    }
}

fn options(settings: &SqlSettings, spill: PathBuf) -> EngineOptions {
    EngineOptions {
        memory_bytes_max: usize::try_from(settings.memory_bytes).unwrap_or(usize::MAX),
        spill_directory: Some(spill),
        spill_bytes_max: settings.spill_bytes,
        priority: settings.priority,
        export_directory: settings.export_directory.clone(),
        export_s3: settings.export_s3.clone().map(|s3| S3Options {
            allowed: s3.prefixes,
            endpoint: s3.endpoint,
            region: s3.region,
            environment: std::env::vars_os().filter_map(of_aws).collect(),
        }),
        ..EngineOptions::default()
    }
}

/// A variable that the programs of AWS read too. What is no text is none of them.
fn of_aws((name, text): (OsString, OsString)) -> Option<(String, String)> {
    let name = name.into_string().ok()?;
    name.starts_with("AWS_").then_some(())?;
    Some((name, text.into_string().ok()?))
}

/// Sessions may write over files there, so it must be apart from the log.
fn check_export_folder(exports: &Path, data: &Path) -> anyhow::Result<()> {
    let place = |path: &Path| {
        let found = path.canonicalize();
        found.with_context(|| {
            format!(
                "cannot use the folder {} of exports (sql.export.dir)",
                path.display()
            )
        })
    };
    let (exports, data) = (place(exports)?, place(data)?);
    anyhow::ensure!(
        exports.is_dir(),
        "{} is no folder (sql.export.dir)",
        exports.display()
    );
    let is_apart = !exports.starts_with(&data) && !data.starts_with(&exports);
    anyhow::ensure!(
        is_apart,
        "the folder {} of exports (sql.export.dir) must be apart from the data directory {}: exports may overwrite files",
        exports.display(),
        data.display()
    );
    Ok(())
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
