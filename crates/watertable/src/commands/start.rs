//! `watertable start`: the composition root. Puts the broker together, waits for a signal, takes it apart in order.
//!
//! Start: settings, log, descriptors, HTTP, then the broker, which opens its data before its listener, SQL over it, and pipelines
//! beside it. Stop: not ready any more, pipelines, SQL, the broker (connections, requests, coordinators, logs), and last HTTP.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use broker::{Broker, BrokerConfig, BrokerId, DirectoryOptions, LogLevels};
use env::Env;
use pipeline::runner::Worker;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::http::{HttpServer, Phase, Status};
use crate::logging;
use crate::metrics::PipelineFigures;
use crate::pipelines::{self, Standing, watch_lag};
use crate::report::sentence;
use crate::settings::{self, Given, LogFormat, Origin, Settings};
use crate::sql::Sql;

/// How long a stop may take; what supervisors usually grant is more.
const STOP: Duration = Duration::from_secs(5);
/// Descriptors below which a broker soon runs out: each partition and each connection needs some.
const OPEN_FILES_MIN: u64 = 16_384;

/// What `start` takes; each flag is also a setting.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Settings file (TOML, with Kafka's names)
    #[arg(long, value_name = "FILE", env = "WATERTABLE_CONFIG")]
    config: Option<PathBuf>,
    /// Where clients connect [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// What clients are told to connect to, if it is another address
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Where everything is kept [default: ./watertable-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
    /// Where health and metrics are served, or "off" [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT")]
    http_listen: Option<String>,
    /// Where psql and other clients of PostgreSQL connect for SQL, or "off" [default: 127.0.0.1:9432]
    #[arg(long, value_name = "HOST:PORT")]
    sql_listen: Option<String>,
    /// The folder that COPY … TO 'file' writes to; without it SQL writes no files
    #[arg(long, value_name = "DIR")]
    sql_export_dir: Option<String>,
    /// The form of the log: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// What is logged: a level, or module=level,… [default: info]
    #[arg(long, value_name = "FILTER")]
    log_filter: Option<String>,
    /// Any setting under Kafka's name; may be given often
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) set: Vec<(String, String)>,
}

fn key_value(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl Arguments {
    fn flags(&self) -> Vec<Given> {
        let named = [
            ("--listen", "listen", &self.listen),
            ("--advertise", "advertise", &self.advertise),
            ("--data-dir", "data.dir", &self.data_dir),
            ("--http-listen", "http.listen", &self.http_listen),
            ("--sql-listen", "sql.listen", &self.sql_listen),
            ("--sql-export-dir", "sql.export.dir", &self.sql_export_dir),
            ("--log-format", "log.format", &self.log_format),
            ("--log-filter", "log.filter", &self.log_filter),
        ];
        let given = |flag, key: &str, text: &String| Given {
            key: key.to_owned(),
            text: text.clone(),
            origin: Origin::Flag(flag),
        };
        let named = named
            .into_iter()
            .filter_map(|(flag, key, text)| Some(given(flag, key, text.as_ref()?)));
        let others = self.set.iter().map(|(key, text)| given("--set", key, text));
        named.chain(others).collect()
    }
}

/// Runs the broker until it is told to stop.
pub(crate) fn run(arguments: &Arguments, give_back_memory: fn()) -> anyhow::Result<()> {
    run_with(arguments, give_back_memory, async |_address| {
        std::future::pending().await
    })
}

/// The same, with something that goes on beside it; it gets the address of the broker, and when it ends, so does the broker.
pub(crate) fn run_with(
    arguments: &Arguments,
    give_back_memory: fn(),
    beside: impl AsyncFnOnce(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let environment = std::env::vars_os().filter_map(|(name, text)| {
        // No name of ours is anything but text; a text that is none cannot be valid either.
        Some((
            name.into_string().ok()?,
            text.to_string_lossy().into_owned(),
        ))
    });
    let settings = settings::resolve(arguments.flags(), environment, arguments.config.as_deref())?;
    let log_levels = logging::set_up(settings.log_format, &settings.log_filter)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    for (key, origin) in &settings.origins {
        tracing::debug!(key, %origin, "setting");
    }
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("broker")
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(settings, log_levels, give_back_memory, beside))
}

async fn serve(
    settings: Settings,
    log_levels: Arc<dyn LogLevels>,
    give_back_memory: fn(),
    beside: impl AsyncFnOnce(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let env = Env::system();
    // Signals first: one that comes during the start must not end the process half-way.
    let mut signals = Signals::listen()?;
    let status = Arc::new(Status::new());
    let http = match settings.http_listen {
        Some(address) => {
            let server = HttpServer::listen(address, Arc::clone(&status)).await;
            let server = server.with_context(|| {
                format!("cannot serve HTTP on {address} (--http-listen HOST:PORT, or off)")
            })?;
            Some(Http::run(&env, server)?)
        }
        None => None,
    };
    let config = broker_config(&settings, log_levels, give_back_memory);
    let broker = tokio::select! {
        broker = Broker::start(env.clone(), config) => broker?,
        name = signals.next() => {
            tracing::info!(signal = name, "stopped before the start was done");
            return Ok(());
        }
    };
    let standing = Standing::new(&broker);
    let sql = match Sql::start(&settings, &broker, standing.clone()).await {
        Ok(sql) => sql,
        Err(error) => {
            broker.stop().await;
            return Err(error);
        }
    };
    let pipelines = match pipelines::start(&settings, &broker) {
        Ok(pipelines) => pipelines,
        Err(error) => {
            broker.stop().await;
            return Err(error);
        }
    };
    let figures = PipelineFigures::new(
        Arc::clone(&env.clock),
        pipelines.as_ref().map(Worker::statuses),
    );
    status.running(broker.metrics().clone(), figures.clone());
    let stop_looking = CancellationToken::new();
    let looking = watch_lag(standing, figures, stop_looking.clone());
    env.spawner.spawn(Box::pin(looking));
    announce(&settings, &broker, http.as_ref(), sql.as_ref());

    let name = tokio::select! {
        biased;
        name = signals.next() => name,
        ended = beside(broker.address()) => {
            if let Err(error) = ended {
                tracing::error!(error = sentence(&error), "ending");
            }
            "the end of its work"
        }
    };
    stop_looking.cancel();
    tracing::info!(signal = name, "stopping");
    status.enter(Phase::Stopping);
    let begun = env.clock.now();
    let stop = async {
        if let Some(pipelines) = pipelines {
            pipelines.stop().await;
        }
        if let Some(sql) = sql {
            sql.stop().await;
        }
        broker.stop().await;
    };
    tokio::select! {
        () = stop => {}
        () = env.clock.sleep_until(begun.plus(STOP)) => {
            anyhow::bail!("could not stop in order within {} s; the next start recovers", STOP.as_secs());
        }
        name = signals.next() => {
            anyhow::bail!("second signal ({name}) while stopping; the next start recovers");
        }
    }
    if let Some(http) = http {
        http.stop.cancel();
    }
    let took = env.clock.now().since(begun);
    tracing::info!(?took, "stopped");
    Ok(())
}

fn broker_config(
    settings: &Settings,
    log_levels: Arc<dyn LogLevels>,
    give_back_memory: fn(),
) -> BrokerConfig {
    BrokerConfig {
        broker_id: BrokerId(settings.broker.node_id),
        listen: settings.listen,
        advertise: settings
            .advertise
            .as_ref()
            .map(|address| (address.host.clone(), address.port)),
        data_directory: settings.data_directory.clone(),
        settings: Arc::clone(&settings.broker),
        storage: DirectoryOptions::default(),
        log_levels: Some(log_levels),
        give_back_memory,
    }
}

/// A running HTTP server.
#[derive(Debug)]
struct Http {
    address: SocketAddr,
    stop: CancellationToken,
}

impl Http {
    fn run(env: &Env, server: HttpServer) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let address = server
            .address()
            .context("cannot tell where HTTP is served")?;
        env.spawner.spawn(Box::pin(server.run(stop.clone())));
        Ok(Self { address, stop })
    }
}

/// The signals that ask for a stop.
#[derive(Debug)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one and tells its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Says where the broker can be reached, and by what clients will try.
fn announce(settings: &Settings, broker: &Broker, http: Option<&Http>, sql: Option<&Sql>) {
    let listening = broker.address();
    let advertised = broker.advertised();
    let data = absolute(&settings.data_directory);
    let http = http.map(|http| format!("http://{}", http.address));
    let sql = sql.map(|sql| sql.address.to_string());
    if settings.log_format == LogFormat::Json {
        tracing::info!(
            %listening,
            advertised,
            data = %data.display(),
            http,
            sql,
            cluster_id = %broker.cluster_id(),
            node_id = settings.broker.node_id,
            version = env!("CARGO_PKG_VERSION"),
            "ready"
        );
        return;
    }
    let mut text = format!("watertable {} is ready\n", env!("CARGO_PKG_VERSION"));
    let http = http.map_or_else(
        || "off".to_owned(),
        |url| format!("{url}/metrics  {url}/health  {url}/ready"),
    );
    for (name, value) in [
        ("listening on", listening.to_string()),
        ("clients are told", advertised),
        ("http", http),
        ("sql", sql.unwrap_or_else(|| "off".to_owned())),
        ("data", data.display().to_string()),
        (
            "cluster",
            format!("{}, node {}", broker.cluster_id(), settings.broker.node_id),
        ),
    ] {
        writeln!(text, "  {name:<18}{value}").expect("writing to a string does not fail");
    }
    // Nobody may be reading: the broker runs all the same.
    std::io::stdout().lock().write_all(text.as_bytes()).ok();
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_no_current_directory| path.to_owned())
}

/// Takes all the descriptors the system grants: the usual soft limit of 1024 is too low for a broker.
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let granted = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if granted < OPEN_FILES_MIN {
        tracing::warn!(
            granted,
            wanted = OPEN_FILES_MIN,
            "few open files are allowed; raise the limit (ulimit -n)"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        start: Arguments,
    }

    fn flags(arguments: &[&str]) -> Result<Vec<(String, String, Origin)>, String> {
        let line = ["watertable"].iter().chain(arguments);
        let line =
            <Line as clap::Parser>::try_parse_from(line).map_err(|error| error.to_string())?;
        let flags = line.start.flags().into_iter();
        Ok(flags
            .map(|given| (given.key, given.text, given.origin))
            .collect())
    }

    #[test]
    fn flags_become_settings_that_know_their_flag() {
        let given = flags(&["--listen", "h:1", "--set", "a.b=c=d", "--set", "x="]).unwrap();
        let expected = [
            ("listen", "h:1", "--listen"),
            ("a.b", "c=d", "--set"),
            ("x", "", "--set"),
        ];
        let expected =
            expected.map(|(key, text, flag)| (key.to_owned(), text.to_owned(), Origin::Flag(flag)));
        assert_eq!(given, expected);
        assert!(
            flags(&["--set", "nothing"])
                .unwrap_err()
                .contains("must be KEY=VALUE")
        );
    }
}
