//! One connection to one broker: requests go out in order, responses come back in the same order.
//!
//! Invariants: the n-th response answers the n-th request that expects one, which the correlation id confirms; at most
//! [`IN_FLIGHT_MAX`] requests wait for their response; after any error of the stream every waiting request fails and
//! the connection takes no more, because nobody knows any longer which bytes belong to which response.

mod frames;
mod negotiation;

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use protocol::{DecodeError, EncodeError, Message, Reader, Request, Segments, frame};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

pub use negotiation::{ApiRange, ApiVersions, FinalizedFeature};

use crate::address::BrokerAddress;
use crate::config::ClientConfig;
use crate::refusal::Refusal;
use crate::runtime::OwnedTask;

/// Requests waiting on one connection. The producer allows itself five (idempotence), fetches one, so this only stops
/// a caller that starts requests without end.
const IN_FLIGHT_MAX: usize = 64;

/// Why there is no connection to a broker.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("cannot find the address of {address}")]
    Resolve {
        /// Which broker.
        address: BrokerAddress,
        /// What the resolver said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// Nobody answers there, or somebody who refuses.
    #[error("cannot connect to {address}")]
    Connect {
        /// Which broker.
        address: BrokerAddress,
        /// What the system said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// No answer in time.
    #[error("no connection to {address} within {} ms", limit.as_millis())]
    Timeout {
        /// Which broker.
        address: BrokerAddress,
        /// How long was waited.
        limit: Duration,
    },
    /// Connected, but the first request failed: perhaps it is no Kafka listener, or one that wants TLS.
    #[error("{address} does not answer like a Kafka broker")]
    Handshake {
        /// Which broker.
        address: BrokerAddress,
        /// What went wrong.
        #[source]
        source: Box<CallError>,
    },
    /// The broker refused the first request.
    #[error("{address} refused the connection")]
    Refused {
        /// Which broker.
        address: BrokerAddress,
        /// Its answer.
        #[source]
        source: Refusal,
    },
    /// None of the addresses to start from could be reached, and the client was told not to wait for one
    /// ([`ClientConfig::wait_for_first_broker`]).
    #[error(transparent)]
    Bootstrap(Box<ConnectError>),
    /// A broker id that the cluster's metadata does not list.
    #[error("the cluster has no broker {id} now")]
    UnknownBroker {
        /// The id.
        id: i32,
    },
}

/// Why a request got no response that can be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The broker does not know the request, or only in versions we do not.
    #[error("{address} does not support {api} in any version we know")]
    Unsupported {
        /// Which broker.
        address: BrokerAddress,
        /// The request.
        api: &'static str,
    },
    /// The request says something that the negotiated version cannot carry.
    #[error("cannot write {api} version {version} for {address}")]
    Encode {
        /// Which broker.
        address: BrokerAddress,
        /// The request.
        api: &'static str,
        /// The version that both sides know.
        version: i16,
        /// What does not fit.
        #[source]
        source: EncodeError,
    },
    /// The connection ended before the response.
    #[error("{address} closed the connection before it answered {api}")]
    Closed {
        /// Which broker.
        address: BrokerAddress,
        /// The request.
        api: &'static str,
        /// What ended it, if not an orderly close.
        #[source]
        source: Option<Arc<StreamError>>,
    },
    /// No response in time. The connection is closed, as Kafka's clients do.
    #[error("{address} did not answer {api} within {} ms", limit.as_millis())]
    Timeout {
        /// Which broker.
        address: BrokerAddress,
        /// The request.
        api: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// The response makes no sense.
    #[error("cannot read the answer of {address} to {api} version {version}")]
    Decode {
        /// Which broker.
        address: BrokerAddress,
        /// The request.
        api: &'static str,
        /// The version that was asked for.
        version: i16,
        /// Where it went wrong.
        #[source]
        source: DecodeError,
    },
}

impl CallError {
    /// Whether another attempt, perhaps at another broker, may succeed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect(error) => !matches!(
                error,
                ConnectError::Refused { .. } | ConnectError::Bootstrap(_)
            ),
            Self::Closed { .. } | Self::Timeout { .. } => true,
            Self::Unsupported { .. } | Self::Encode { .. } | Self::Decode { .. } => false,
        }
    }
}

/// What ended a connection's stream.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The system's words.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A length that no frame has.
    #[error("response of {length} bytes is outside of what is accepted (at most {limit})")]
    FrameLength {
        /// What the length field says.
        length: i32,
        /// The most that is accepted.
        limit: usize,
    },
    /// A response out of turn.
    #[error("response has correlation id {found}, expected {expected}")]
    OutOfTurn {
        /// The id in the response.
        found: i32,
        /// The id of the oldest waiting request.
        expected: i32,
    },
    /// A response that nobody asked for.
    #[error("response without a request")]
    Unexpected,
}

/// A request on its way to the writer.
struct Outgoing {
    frame: Segments,
    then: Then,
}

/// What follows when a request was written.
enum Then {
    /// Its response.
    Response(Waiting),
    /// Nothing (produce with acks=0); somebody wants to know that it left.
    Nothing(oneshot::Sender<()>),
}

/// A request that waits for its response.
struct Waiting {
    correlation_id: i32,
    reply: oneshot::Sender<Bytes>,
    _permit: OwnedSemaphorePermit,
}

/// A connection. Dropping it closes the socket.
#[derive(Debug)]
pub struct Connection {
    address: BrokerAddress,
    client_id: Arc<str>,
    request_timeout: Duration,
    versions: ApiVersions,
    next_correlation_id: AtomicI32,
    in_flight: Arc<Semaphore>,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    state: Arc<State>,
    _writer: OwnedTask,
    _reader: OwnedTask,
}

/// What reader, writer and callers share.
#[derive(Debug, Default)]
struct State {
    closed: watch::Sender<bool>,
    cause: parking_lot::Mutex<Option<Arc<StreamError>>>,
}

impl State {
    /// Ends when the connection is closed, at once if it is already.
    async fn closed(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        self.closed
            .subscribe()
            .wait_for(|closed| *closed)
            .await
            .ok();
    }

    fn close(&self, cause: Option<StreamError>) {
        let mut known = self.cause.lock();
        if let (None, Some(cause)) = (&*known, cause) {
            *known = Some(Arc::new(cause));
        }
        drop(known);
        self.closed.send_replace(true);
    }
}

impl Connection {
    /// Connects and asks for the broker's versions, both within `connect_timeout`.
    pub async fn open(address: BrokerAddress, config: &ClientConfig) -> Result<Self, ConnectError> {
        let limit = config.connect_timeout;
        let opening = async {
            let socket = connect(&address).await?;
            let mut connection = Self::over(socket, address.clone(), config);
            connection.versions = negotiation::negotiate(&connection).await?;
            Ok(connection)
        };
        match tokio::time::timeout(limit, opening).await {
            Ok(result) => result,
            Err(_elapsed) => Err(ConnectError::Timeout { address, limit }),
        }
    }

    fn over(socket: TcpStream, address: BrokerAddress, config: &ClientConfig) -> Self {
        let (read, write) = socket.into_split();
        let (outgoing, to_write) = mpsc::unbounded_channel();
        let (waiting, to_answer) = mpsc::unbounded_channel();
        let state = Arc::new(State::default());
        let writer = frames::write_all(write, to_write, waiting, Arc::clone(&state));
        let limit = config.response_bytes_max;
        let reader = frames::read_all(read, to_answer, limit, Arc::clone(&state));
        Self {
            address,
            client_id: Arc::clone(&config.client_id),
            request_timeout: config.request_timeout,
            versions: ApiVersions::default(),
            next_correlation_id: AtomicI32::new(0),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            outgoing,
            state,
            _writer: OwnedTask::spawn(writer),
            _reader: OwnedTask::spawn(reader),
        }
    }

    /// Where it goes.
    pub fn address(&self) -> &BrokerAddress {
        &self.address
    }

    /// What the broker can do.
    pub fn versions(&self) -> &ApiVersions {
        &self.versions
    }

    /// Whether it takes no more requests.
    pub fn is_closed(&self) -> bool {
        *self.state.closed.borrow()
    }

    /// The highest version of a request that both sides know and that is at most `limit`.
    pub fn version_of<R: Request>(&self, limit: i16) -> Result<i16, CallError> {
        self.versions
            .highest_common(R::KEY, R::MIN_VERSION, R::MAX_VERSION.min(limit))
            .ok_or_else(|| CallError::Unsupported {
                address: self.address.clone(),
                api: R::NAME,
            })
    }

    /// Sends a request in the highest common version and waits for its response.
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Response, CallError> {
        let version = self.version_of::<R>(i16::MAX)?;
        self.call_version(request, version, self.request_timeout)
            .await
    }

    /// Sends a request in a given version and waits at most `limit` for its response.
    pub async fn call_version<R: Request>(
        &self,
        request: &R,
        version: i16,
        limit: Duration,
    ) -> Result<R::Response, CallError> {
        let started = self.start(request, version, limit).await?;
        self.finish(started).await
    }

    /// Sends a request; its response is waited for with [`Connection::finish`]. Requests started one after another
    /// reach the broker in that order.
    pub(crate) async fn start<R: Request>(
        &self,
        request: &R,
        version: i16,
        limit: Duration,
    ) -> Result<Started<R>, CallError> {
        let permit = self.permit().await;
        let permit = permit.ok_or_else(|| self.closed_error(R::NAME))?;
        let correlation_id = self.next_correlation_id.fetch_add(1, Ordering::Relaxed);
        let frame = self.frame(request, version, correlation_id)?;
        let (reply, response) = oneshot::channel();
        let waiting = Waiting {
            correlation_id,
            reply,
            _permit: permit,
        };
        self.enqueue(R::NAME, frame, Then::Response(waiting))?;
        Ok(Started {
            version,
            limit,
            deadline: tokio::time::Instant::now() + limit,
            response,
            _request: std::marker::PhantomData,
        })
    }

    /// Waits for the response of a request that was started.
    pub(crate) async fn finish<R: Request>(
        &self,
        started: Started<R>,
    ) -> Result<R::Response, CallError> {
        let Started {
            version,
            limit,
            deadline,
            response,
            ..
        } = started;
        let body = match tokio::time::timeout_at(deadline, response).await {
            Ok(Ok(body)) => body,
            Ok(Err(_dropped)) => return Err(self.ended(R::NAME).await),
            Err(_elapsed) => {
                self.state.close(None);
                return Err(CallError::Timeout {
                    address: self.address.clone(),
                    api: R::NAME,
                    limit,
                });
            }
        };
        self.decode::<R>(body, version)
    }

    /// Sends a request that has no response: produce with acks=0. The receiver hears when the system has it; it is
    /// dropped if the connection ends before.
    pub(crate) fn start_unanswered<R: Request>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<oneshot::Receiver<()>, CallError> {
        let correlation_id = self.next_correlation_id.fetch_add(1, Ordering::Relaxed);
        let frame = self.frame(request, version, correlation_id)?;
        let (written, hears) = oneshot::channel();
        self.enqueue(R::NAME, frame, Then::Nothing(written))?;
        Ok(hears)
    }

    /// Waits until a request without response has left.
    pub(crate) async fn finish_unanswered<R: Request>(
        &self,
        written: oneshot::Receiver<()>,
    ) -> Result<(), CallError> {
        match written.await {
            Ok(()) => Ok(()),
            Err(_dropped) => Err(self.ended(R::NAME).await),
        }
    }

    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.in_flight).acquire_owned().await.ok()
    }

    fn enqueue(&self, api: &'static str, frame: Segments, then: Then) -> Result<(), CallError> {
        if self.is_closed() {
            return Err(self.closed_error(api));
        }
        self.outgoing
            .send(Outgoing { frame, then })
            .map_err(|_writer_gone| self.closed_error(api))
    }

    fn frame<R: Request>(
        &self,
        request: &R,
        version: i16,
        correlation_id: i32,
    ) -> Result<Segments, CallError> {
        frame::encode_request(correlation_id, Some(&self.client_id), version, request).map_err(
            |source| CallError::Encode {
                address: self.address.clone(),
                api: R::NAME,
                version,
                source,
            },
        )
    }

    /// `body` begins after the correlation id.
    fn decode<R: Request>(&self, body: Bytes, version: i16) -> Result<R::Response, CallError> {
        let mut reader = Reader::new(body);
        // Response header 1 adds tagged fields.
        let skipped = if R::KEY.response_header_version(version) >= 1 {
            reader.skip_tags()
        } else {
            Ok(())
        };
        skipped
            .and_then(|()| R::Response::decode(&mut reader, version))
            .map_err(|source| CallError::Decode {
                address: self.address.clone(),
                api: R::NAME,
                version,
                source,
            })
    }

    /// A waiting request learns of the end before its cause is noted; the cause follows at once.
    async fn ended(&self, api: &'static str) -> CallError {
        self.state.closed().await;
        self.closed_error(api)
    }

    fn closed_error(&self, api: &'static str) -> CallError {
        CallError::Closed {
            address: self.address.clone(),
            api,
            source: self.state.cause.lock().clone(),
        }
    }
}

/// A request that was sent.
#[derive(Debug)]
pub(crate) struct Started<R> {
    version: i16,
    limit: Duration,
    deadline: tokio::time::Instant,
    response: oneshot::Receiver<Bytes>,
    _request: std::marker::PhantomData<fn() -> R>,
}

/// Tries every address of the name.
async fn connect(address: &BrokerAddress) -> Result<TcpStream, ConnectError> {
    let found = tokio::net::lookup_host((address.host.as_str(), address.port))
        .await
        .map_err(|source| ConnectError::Resolve {
            address: address.clone(),
            source: Arc::new(source),
        })?;
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for socket_address in found {
        match TcpStream::connect(socket_address).await {
            Ok(socket) => {
                // Requests are whole frames, so waiting for more bytes to send never helps. A socket that refuses the
                // option works all the same.
                if let Err(error) = socket.set_nodelay(true) {
                    tracing::debug!(%address, %error, "TCP_NODELAY could not be set");
                }
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(ConnectError::Connect {
        address: address.clone(),
        source: Arc::new(last),
    })
}
