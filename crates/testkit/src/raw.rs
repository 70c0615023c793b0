//! A client that sends what a test wants to send, right or wrong.

use std::net::SocketAddr;

use bytes::Bytes;
use protocol::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::DEADLINE;

/// One connection.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
    next_correlation_id: i32,
}

/// A request as a frame with its length prefix.
///
/// # Panics
/// When the request cannot be encoded in that version.
pub fn frame<R: Request>(request: &R, version: i16, correlation_id: i32) -> Bytes {
    let frame = protocol::frame::encode_request(correlation_id, Some("testkit"), version, request);
    frame
        .expect("the request has a form in this version")
        .into_bytes()
        .expect("requests of tests lie in memory")
}

impl RawClient {
    /// Connects.
    ///
    /// # Panics
    /// When that fails, as for all methods here: a test cannot go on.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address)
            .await
            .expect("the server accepts connections");
        Self {
            stream,
            next_correlation_id: 1,
        }
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream
            .write_all(bytes)
            .await
            .expect("the server takes the bytes");
    }

    /// Sends bytes as they are; false if the server has closed the connection.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Sends a request and returns its correlation id.
    pub async fn request<R: Request>(&mut self, request: &R, version: i16) -> i32 {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        self.send(&frame(request, version, correlation_id)).await;
        correlation_id
    }

    /// The next response, which must be to a request of type `R` with this correlation id.
    pub async fn response<R: Request>(&mut self, version: i16, correlation_id: i32) -> R::Response {
        let frame = self.frame().await.expect("the server answers");
        let (answered, response) =
            protocol::frame::decode_response::<R>(frame, version).expect("the answer has its form");
        assert_eq!(
            answered, correlation_id,
            "answers come in the order of requests"
        );
        response
    }

    /// Sends a request and waits for its response.
    pub async fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let correlation_id = self.request(request, version).await;
        self.response::<R>(version, correlation_id).await
    }

    /// The next frame without its length prefix, or `None` if the server closed the connection.
    pub async fn frame(&mut self) -> Option<Bytes> {
        timeout(DEADLINE, self.read_frame())
            .await
            .expect("the server answers or closes in time")
    }

    async fn read_frame(&mut self) -> Option<Bytes> {
        let length = self.stream.read_u32().await.ok()?;
        let mut bytes = vec![0; usize::try_from(length).expect("a 64-bit machine")];
        self.stream.read_exact(&mut bytes).await.ok()?;
        Some(bytes.into())
    }

    /// Whether the server closes the connection without another byte.
    pub async fn is_closed(&mut self) -> bool {
        self.frame().await.is_none()
    }
}
