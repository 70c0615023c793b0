//! From a frame to a running request and from its reply to bytes: everything around a handler that is the same for all.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::{BoxFuture, Clock, Env};
use protocol::messages::{ApiVersionsResponse, RequestHeader};
use protocol::{ApiKey, DecodeError, Message, Reader, ResponseMessage, Slice};
use types::Instant;

use crate::api;
use crate::context::{ConnectionInfo, Context};
use crate::handlers::cluster::api_versions;
use crate::quotas::{self, Quotas};
use crate::reply::Reply;
use crate::request_metrics::Running;
use crate::services::Services;

/// Why a request cannot be answered in the protocol: the connection is closed, as Kafka does
/// (`SocketServer.parseRequestHeader`), and one line is logged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The frame is shorter than the fixed part of a request header.
    #[error("a frame of {0} bytes is too short for a request")]
    TooShort(usize),
    /// No API has this key.
    #[error("unknown api key {key} in version {version}")]
    UnknownApi {
        /// What the client asked for.
        key: i16,
        /// In which version.
        version: i16,
    },
    /// The API is not answered in this version. Clients that ask ApiVersions first never send it.
    #[error("{} in version {version} is not supported", key.name())]
    UnsupportedVersion {
        /// What the client asked for.
        key: ApiKey,
        /// In which version.
        version: i16,
    },
    /// Header or body do not follow their schema.
    #[error("malformed {} request in version {version}", key.name())]
    Malformed {
        /// What the client asked for.
        key: ApiKey,
        /// In which version.
        version: i16,
        /// Where it went wrong.
        source: DecodeError,
    },
}

/// How a request runs beside others of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Its effects are made before it first waits; the next may start behind it.
    Pipelined,
    /// Nothing else of the connection runs meanwhile.
    Alone,
}

/// What is to be sent for a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A whole response frame.
    Respond(Vec<Slice>),
    /// Nothing.
    Silence,
    /// Nothing, and the connection ends.
    Close(&'static str),
    /// The same, and for this time no request of the connection is started (KIP-219).
    Throttled(Box<Self>, Duration),
}

impl Outcome {
    /// Memory that the answer takes until the client has read it; ranges of files take none.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Self::Respond(slices) => slices
                .iter()
                .map(|slice| match slice {
                    Slice::Memory(bytes) => bytes.len(),
                    Slice::File(_) => 0,
                })
                .sum(),
            Self::Throttled(outcome, _) => outcome.memory_bytes(),
            Self::Silence | Self::Close(_) => 0,
        }
    }
}

/// For how long a client is throttled after a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Throttle {
    /// Because of what it produced.
    produced: Duration,
    /// Because of the time its requests take.
    busy: Duration,
}

/// A request whose client may have a quota.
#[derive(Debug)]
pub(crate) struct Metered {
    quotas: Arc<Quotas>,
    clock: Arc<dyn Clock>,
    context: Context,
    key: ApiKey,
    bytes: usize,
}

impl Metered {
    /// Runs the request and counts what it took.
    pub(crate) async fn run<T>(self, handling: impl Future<Output = T>) -> (T, Throttle) {
        let mut handling = Box::pin(handling);
        let mut busy = Duration::ZERO;
        let output = std::future::poll_fn(|context| {
            let begun = self.clock.now();
            let polled = handling.as_mut().poll(context);
            busy += self.clock.now().since(begun);
            polled
        })
        .await;
        let throttle = Throttle {
            produced: match self.key {
                ApiKey::Produce => self.quotas.produced(&self.context, self.bytes),
                _ => Duration::ZERO,
            },
            busy: self.quotas.handled(self.context.client_id(), busy),
        };
        (output, throttle)
    }
}

/// What counts a request while it runs.
pub(crate) struct Around {
    pub(crate) running: Option<Running>,
    pub(crate) metered: Option<Metered>,
}
/// What any request in flight takes beside its frame: its fields, its future, its place among those in flight.
const REQUEST_BYTES: usize = 2 * 1024;
/// What decoding and answering a request takes, in multiples of its frame: up to 7.5 for its fields (`protocol`'s test of what
/// hostile frames allocate), as much again for an answer with an entry for each.
const DECODED_TIMES: usize = 16;

/// A request that was decoded and not yet polled.
pub(crate) struct Begun {
    pub(crate) future: BoxFuture<'static, Outcome>,
}

/// Decodes requests and finds their handlers.
#[derive(Debug)]
pub(crate) struct Dispatch {
    env: Env,
    services: Services,
}

impl Dispatch {
    pub(crate) fn new(env: Env, services: Services) -> Self {
        Self { env, services }
    }

    pub(crate) fn env(&self) -> &Env {
        &self.env
    }

    /// How the request in `frame` runs beside others. What cannot be told runs alone, and is refused when it begins.
    pub(crate) fn order_of(&self, frame: &Bytes) -> Order {
        api::peek(frame)
            .and_then(|(key, _, _)| ApiKey::try_from(key).ok())
            .map_or(Order::Alone, api::order)
    }

    /// Memory that a request may take while it runs.
    pub(crate) fn memory_of(&self, frame: &Bytes) -> usize {
        let is_produce = api::peek(frame).is_some_and(|(key, _, _)| key == ApiKey::Produce as i16);
        // The records of a produce request stay one slice of the frame.
        let times = if is_produce { 1 } else { DECODED_TIMES };
        REQUEST_BYTES + frame.len().saturating_mul(times)
    }

    /// Decodes a frame and prepares its handling.
    ///
    /// # Errors
    /// The request cannot be answered; the connection must be closed.
    pub(crate) fn begin(
        &self,
        connection: &Arc<ConnectionInfo>,
        frame: Bytes,
        received: Instant,
    ) -> Result<Begun, Refusal> {
        let (key, version, correlation_id) =
            api::peek(&frame).ok_or(Refusal::TooShort(frame.len()))?;
        let key = ApiKey::try_from(key).map_err(|_unknown| Refusal::UnknownApi { key, version })?;
        if key == ApiKey::ApiVersions && !api_versions::is_supported(version) {
            return Ok(Begun {
                future: Box::pin(std::future::ready(api_versions_fallback(correlation_id))),
            });
        }
        let metrics = &self.services.metrics;
        let running = metrics.begin(&self.env.clock, key, received);
        if !(self.is_answered(key, version)) {
            return Err(Refusal::UnsupportedVersion { key, version });
        }
        let malformed = |source| Refusal::Malformed {
            key,
            version,
            source,
        };
        let bytes = frame.len();
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader, key.request_header_version(version))
            .map_err(malformed)?;
        connection.figures.request(header.client_id.as_deref());
        if key == ApiKey::Produce {
            metrics.produces(header.client_id.as_deref());
        }
        let context = Context {
            connection: Arc::clone(connection),
            version,
            client_id: header.client_id.map(Arc::from),
            received,
        };
        let metered = self.services.quotas.are_set().then(|| Metered {
            quotas: Arc::clone(&self.services.quotas),
            clock: Arc::clone(&self.env.clock),
            context: context.clone(),
            key,
            bytes,
        });
        let services = &self.services;
        let around = Around { running, metered };
        let future = api::begin(services, context, key, correlation_id, &mut reader, around)?;
        Ok(Begun { future })
    }

    /// Whether the table has a row for it; asked before the header is read, whose form depends on it.
    fn is_answered(&self, key: ApiKey, version: i16) -> bool {
        api::ADVERTISED
            .iter()
            .any(|row| row.key == key && (row.version_min..=row.version_max).contains(&version))
    }
}

/// KIP-511: a version of ApiVersions that the broker does not know is answered in version 0, whatever the body says.
fn api_versions_fallback(correlation_id: i32) -> Outcome {
    let response: Reply<ApiVersionsResponse> = api_versions::unsupported_version().into();
    let throttle = Throttle::default();
    respond(ApiKey::ApiVersions, 0, correlation_id, response, throttle)
}

/// Encodes a reply as a response frame.
pub(crate) fn respond<R: ResponseMessage>(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    reply: Reply<R>,
    throttle: Throttle,
) -> Outcome {
    let mut response = match reply {
        Reply::Send(response) => response,
        // Who is told nothing is not throttled for the time it took (`KafkaApis.handleProduceRequest`).
        Reply::Silence => return throttled(Outcome::Silence, throttle.produced),
        Reply::Close(reason) => return Outcome::Close(reason),
    };
    // Handlers say for how long what they counted throttles the client.
    let handler = Duration::from_millis(u64::try_from(response.throttle_time_ms()).unwrap_or(0));
    let throttle = throttle.produced.max(throttle.busy).max(handler);
    if !throttle.is_zero() {
        response.set_throttle_time_ms(quotas::milliseconds(throttle));
    }
    match protocol::frame::encode_response(key, version, correlation_id, &response) {
        Ok(segments) => throttled(Outcome::Respond(segments.into_slices()), throttle),
        Err(error) => {
            // A handler made something that its version cannot say; that is ours to mend, and the client must not hang.
            tracing::error!(%error, api = key.name(), version, "could not encode a response");
            Outcome::Close("the response could not be encoded")
        }
    }
}

fn throttled(outcome: Outcome, throttle: Duration) -> Outcome {
    if throttle.is_zero() {
        outcome
    } else {
        Outcome::Throttled(Box::new(outcome), throttle)
    }
}
