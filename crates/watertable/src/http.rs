//! HTTP for those who operate the broker: `/health`, `/ready`, `/metrics`.
//!
//! Invariant: it answers from the first moment of the start to the last of the stop, and never waits for the broker.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use broker::BrokerMetrics;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics;

/// How far the broker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// It recovers its logs and opens its listener.
    Starting,
    /// Clients are served.
    Running,
    /// It finishes what it began.
    Stopping,
}

impl Phase {
    const ALL: [Self; 3] = [Self::Starting, Self::Running, Self::Stopping];

    const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
        }
    }
}

/// What the pages tell.
#[derive(Debug)]
pub(crate) struct Status {
    phase: AtomicU8,
    broker: Mutex<Option<BrokerMetrics>>,
}

impl Status {
    /// The status of a broker that was just begun to start.
    pub(crate) fn new() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Starting as u8),
            broker: Mutex::new(None),
        }
    }

    /// The broker serves clients, and these are its figures.
    pub(crate) fn running(&self, metrics: BrokerMetrics) {
        *self.broker.lock() = Some(metrics);
        self.enter(Phase::Running);
    }

    /// The broker is in this phase now.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    fn phase(&self) -> Phase {
        let phase = usize::from(self.phase.load(Ordering::Acquire));
        Phase::ALL.get(phase).copied().unwrap_or(Phase::Starting)
    }
}

/// The pages, served until `stop`.
#[derive(Debug)]
pub(crate) struct HttpServer {
    listener: TcpListener,
    router: Router,
}

impl HttpServer {
    /// Opens the listener.
    pub(crate) async fn listen(address: SocketAddr, status: Arc<Status>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let router = Router::new()
            .route("/health", get(health))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics_page))
            .with_state(status);
        Ok(Self { listener, router })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop` is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let server = axum::serve(self.listener, self.router);
        let stopped = async move { stop.cancelled().await };
        if let Err(error) = server.with_graceful_shutdown(stopped).await {
            tracing::error!(%error, "HTTP ended");
        }
    }
}

/// The process is there and its tasks run.
async fn health(State(status): State<Arc<Status>>) -> impl IntoResponse {
    json(StatusCode::OK, status.phase())
}

/// Clients are served.
async fn ready(State(status): State<Arc<Status>>) -> impl IntoResponse {
    let phase = status.phase();
    let code = match phase {
        Phase::Running => StatusCode::OK,
        Phase::Starting | Phase::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(code, phase)
}

fn json(code: StatusCode, phase: Phase) -> impl IntoResponse {
    let body = format!("{{\"status\":\"{}\"}}\n", phase.name());
    (code, [(header::CONTENT_TYPE, "application/json")], body)
}

async fn metrics_page(State(status): State<Arc<Status>>) -> impl IntoResponse {
    let broker = status.broker.lock().clone();
    let page = metrics::page(broker);
    let kind = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
    (StatusCode::OK, kind, page)
}
