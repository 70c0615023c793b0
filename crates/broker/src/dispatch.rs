//! From a frame to a running request and from its reply to bytes: everything around a handler that is the same for all.

use std::sync::Arc;

use bytes::Bytes;
use env::{BoxFuture, Env};
use protocol::messages::{ApiVersionsResponse, RequestHeader};
use protocol::{ApiKey, DecodeError, Message, Reader, Slice};
use types::Instant;

use crate::api;
use crate::context::{ConnectionInfo, Context};
use crate::handlers::cluster::api_versions;
use crate::reply::Reply;
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
}

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
        self.services.metrics.request(key);
        if !(self.is_answered(key, version)) {
            return Err(Refusal::UnsupportedVersion { key, version });
        }
        let malformed = |source| Refusal::Malformed {
            key,
            version,
            source,
        };
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader, key.request_header_version(version))
            .map_err(malformed)?;
        let context = Context {
            connection: Arc::clone(connection),
            version,
            client_id: header.client_id.map(Arc::from),
            received,
        };
        let future = api::begin(&self.services, context, key, correlation_id, &mut reader)?;
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
    respond(ApiKey::ApiVersions, 0, correlation_id, response)
}

/// Encodes a reply as a response frame.
pub(crate) fn respond<R: Message>(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    reply: Reply<R>,
) -> Outcome {
    let response = match reply {
        Reply::Send(response) => response,
        Reply::Silence => return Outcome::Silence,
        Reply::Close(reason) => return Outcome::Close(reason),
    };
    match protocol::frame::encode_response(key, version, correlation_id, &response) {
        Ok(segments) => Outcome::Respond(segments.into_slices()),
        Err(error) => {
            // A handler made something that its version cannot say; that is ours to mend, and the client must not hang.
            tracing::error!(%error, api = key.name(), version, "could not encode a response");
            Outcome::Close("the response could not be encoded")
        }
    }
}
