//! HTTP for those who operate the broker: `/health`, `/ready`, `/metrics`.
//!
//! Invariant: it answers from the first moment of the start to the last of the stop, and never waits for the broker.

mod connections;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use broker::BrokerMetrics;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

use self::connections::{LimitedListener, Limits};
use crate::metrics::{self, PipelineFigures};

/// Enough for a few scrapers and probes; a scraper that keeps its connection returns within the idle time. When more come,
/// those go that were answered least recently. With 64 places some hundred peers a second are served or cut, so that a scrape
/// is among them in time even while others flood.
const LIMITS: Limits = Limits {
    connections: 64,
    idle: Duration::from_secs(75),
    grace: Duration::from_millis(500),
};

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
    pipelines: Mutex<Option<PipelineFigures>>,
}

impl Status {
    /// The status of a broker that was just begun to start.
    pub(crate) fn new() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Starting as u8),
            broker: Mutex::new(None),
            pipelines: Mutex::new(None),
        }
    }

    /// The broker serves clients, and these are its figures and those of pipelines.
    pub(crate) fn running(&self, metrics: BrokerMetrics, pipelines: PipelineFigures) {
        *self.broker.lock() = Some(metrics);
        *self.pipelines.lock() = Some(pipelines);
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
    listener: LimitedListener,
    router: Router,
}

impl HttpServer {
    /// Opens the listener.
    pub(crate) async fn listen(address: SocketAddr, status: Arc<Status>) -> io::Result<Self> {
        Self::listen_within(address, status, LIMITS).await
    }

    async fn listen_within(
        address: SocketAddr,
        status: Arc<Status>,
        limits: Limits,
    ) -> io::Result<Self> {
        let listener = LimitedListener::new(bind(address)?, limits);
        let router = Router::new()
            .route("/health", get(health))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics_page))
            .with_state(status);
        Ok(Self { listener, router })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        axum::serve::Listener::local_addr(&self.listener)
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

/// The queue is long: a peer that finds it full tries again after 1, 2, 4, … seconds, and with the 128 places of
/// [`TcpListener::bind`] a flood decides who gets in.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    const ACCEPT_BACKLOG: u32 = 4096;
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_BACKLOG)
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
    let broker = match broker {
        Some(broker) => {
            let space = broker.volume().await;
            Some((broker, space))
        }
        None => None,
    };
    let pipelines = status.pipelines.lock().clone();
    let page = metrics::page(broker, pipelines);
    let kind = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
    (StatusCode::OK, kind, page)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    const GRACE: Duration = Duration::from_millis(20);
    /// Nobody who asks waits for so long: each of a flood may hold a place for the grace, and longer on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(120);

    async fn server(limits: Limits) -> (Arc<Status>, SocketAddr) {
        let status = Arc::new(Status::new());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = HttpServer::listen_within(any, Arc::clone(&status), limits);
        let server = server.await.unwrap();
        let address = server.address().unwrap();
        let run = server.run(CancellationToken::new());
        env::Env::system().spawner.spawn(Box::pin(run));
        (status, address)
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_broker_is_ready_only_while_it_runs_and_healthy_all_the_time() {
        let (status, address) = server(LIMITS).await;
        for (phase, code, name) in [
            (Phase::Starting, "503", "starting"),
            (Phase::Running, "200", "running"),
            (Phase::Stopping, "503", "stopping"),
        ] {
            status.enter(phase);
            let ready = get(address, "/ready").await;
            assert!(ready.starts_with(&format!("HTTP/1.1 {code}")), "{ready}");
            assert!(ready.contains(name), "{ready}");
            let health = get(address, "/health").await;
            assert!(health.starts_with("HTTP/1.1 200"), "{health}");
            let metrics = get(address, "/metrics").await;
            assert!(metrics.contains("process_threads"), "{metrics}");
        }
    }

    #[tokio::test]
    async fn a_silent_peer_is_cut_and_makes_room() {
        let limits = Limits {
            connections: 1,
            idle: Duration::from_millis(50),
            grace: GRACE,
        };
        let (_status, address) = server(limits).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(b"GET /hea").await.unwrap();
        let mut rest = Vec::new();
        // An end or a reset: either way the peer is rid of.
        silent.read_to_end(&mut rest).await.ok();
        let answer = get(address, "/health").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[tokio::test]
    async fn a_request_that_drips_is_cut_in_time() {
        let limits = Limits {
            connections: 2,
            idle: Duration::from_millis(200),
            grace: GRACE,
        };
        let (_status, address) = server(limits).await;
        let mut dripping = TcpStream::connect(address).await.unwrap();
        dripping
            .write_all(b"GET /health HTTP/1.1\r\n")
            .await
            .unwrap();
        let cut = async {
            while dripping.write_all(b"a: b\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let cut = tokio::time::timeout(Duration::from_secs(30), cut).await;
        assert!(cut.is_ok(), "a header for ever");
    }

    #[tokio::test]
    async fn when_all_places_are_taken_those_make_room_that_were_answered_least_recently() {
        let limits = Limits {
            connections: 8,
            idle: Duration::from_secs(600),
            grace: GRACE,
        };
        let (_status, address) = server(limits).await;
        let mut silent = Vec::new();
        for _ in 0..7 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut scraper = TcpStream::connect(address).await.unwrap();
        // More peers than places, again and again: nobody waits, and the scraper keeps its connection.
        for _ in 0..20 {
            scraper
                .write_all(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
                .await
                .unwrap();
            let mut answer = [0; 1024];
            let count = scraper.read(&mut answer).await.unwrap();
            assert!(answer[..count].starts_with(b"HTTP/1.1 200"));
            silent.push(TcpStream::connect(address).await.unwrap());
            let answer = get(address, "/health").await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        for mut cut in silent.drain(..7) {
            let mut rest = Vec::new();
            let end = cut.read_to_end(&mut rest);
            let end = tokio::time::timeout(Duration::from_secs(30), end).await;
            assert!(end.is_ok(), "the first peers had to go");
        }
    }

    /// What a peer does over and over.
    type Habit = fn(TcpStream) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

    /// As many peers as that, each of which comes back when it is cut.
    fn flood(address: SocketAddr, peers: usize, habit: Habit) -> CancellationToken {
        let stop = CancellationToken::new();
        for _ in 0..peers {
            let stopped = stop.clone();
            let flooding = async move {
                while let Ok(stream) = TcpStream::connect(address).await {
                    habit(stream).await;
                    // So that not all of this process's time is theirs.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            let task = async move {
                tokio::select! { biased;
                    () = stopped.cancelled() => {}
                    () = flooding => {}
                }
            };
            env::Env::system().spawner.spawn(Box::pin(task));
        }
        stop
    }

    /// A scrape that does not send its request at once, as over a network.
    async fn scrape(address: SocketAddr) -> bool {
        let mut stream = TcpStream::connect(address).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        let request = b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        let mut answer = Vec::new();
        stream.write_all(request).await.is_ok()
            && stream.read_to_end(&mut answer).await.is_ok()
            && answer.starts_with(b"HTTP/1.1 200")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_scrape_is_answered_whatever_hundreds_of_others_do() {
        let habits: [(&str, Habit); 4] = [
            // They wait to be accepted: who leaves before fills the system's queue, in which a scrape's place is luck.
            ("come and go", |mut stream| {
                Box::pin(async move {
                    stream.shutdown().await.ok();
                    stream.read_u8().await.ok();
                })
            }),
            ("say nothing", |mut stream| {
                Box::pin(async move {
                    stream.read_u8().await.ok();
                })
            }),
            ("send half a request", |mut stream| {
                Box::pin(async move {
                    stream.write_all(b"GET /metr").await.ok();
                    stream.read_u8().await.ok();
                })
            }),
            ("ask without end", |mut stream| {
                Box::pin(async move {
                    let mut answer = [0; 1024];
                    while stream
                        .write_all(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
                        .await
                        .is_ok()
                        && stream.read(&mut answer).await.is_ok_and(|count| count > 0)
                    {
                    }
                })
            }),
        ];
        for (what, habit) in habits {
            let (_status, address) = server(LIMITS).await;
            let stop = flood(address, 200, habit);
            let scraped = async {
                for number in 0..3 {
                    assert!(scrape(address).await, "{what}: scrape {number}");
                }
            };
            let scraped = tokio::time::timeout(PATIENCE, scraped).await;
            assert!(scraped.is_ok(), "{what}: scrapes take too long");
            stop.cancel();
        }
    }
}
