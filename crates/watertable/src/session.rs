//! What every command that talks to brokers has: addresses, a limit, the form of its output, and a runtime to run on.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use client::{BrokerAddress, ClientConfig, Cluster};

use crate::arguments;

/// Where to connect and how to answer.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Session {
    /// Brokers to start from, host:port, several separated by commas
    #[arg(
        long,
        global = true,
        env = "WATERTABLE_BROKERS",
        default_value = "127.0.0.1:9092",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        value_parser = parse_address,
        help_heading = "Connection"
    )]
    pub(crate) brokers: Vec<BrokerAddress>,
    /// How long an operation may take, retries included
    #[arg(
        long,
        global = true,
        default_value = "30s",
        value_name = "DURATION",
        value_parser = arguments::duration,
        help_heading = "Connection"
    )]
    pub(crate) timeout: Duration,
    /// The name brokers show for this client
    #[arg(
        long,
        global = true,
        default_value = "watertable",
        value_name = "NAME",
        help_heading = "Connection"
    )]
    pub(crate) client_id: String,
    /// Answer in JSON, for machines
    // Without a place of its own it stands in the middle of a command's options.
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,
}

fn parse_address(text: &str) -> Result<BrokerAddress, client::AddressError> {
    text.parse()
}

impl Session {
    /// The cluster behind the addresses; connects when it is first used.
    pub(crate) fn cluster(&self) -> Cluster {
        let config = ClientConfig {
            client_id: Arc::from(self.client_id.as_str()),
            connect_timeout: self.timeout.min(Duration::from_secs(10)),
            request_timeout: self.timeout,
            operation_timeout: self.timeout,
            // A person who mistyped an address should not wait to be told.
            wait_for_first_broker: false,
            ..ClientConfig::default()
        };
        Cluster::new(self.brokers.clone(), config)
    }
}

/// Runs a command to its end. Its tasks end with it.
pub(crate) fn run<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(worker_threads())
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(command);
    // A read of standard input cannot be interrupted; waiting for it would need one more line from the user.
    runtime.shutdown_background();
    result
}

/// A client waits more than it works; more threads than this only cost their start.
fn worker_threads() -> usize {
    const MOST: usize = 4;
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST))
}

/// Ends at the first Ctrl-C or SIGTERM, so that a command can finish in order.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        let terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
        if let Ok(mut terminated) = terminated {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    // Without signals nothing interrupts but the end of the process.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
