//! [`Client`]: a connection to the broker that says what it does not know: whether a request that got no answer was heard.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use env::net::Stream;
use protocol::Request;

use crate::world::{ADDRESS, World};

/// What is read at once.
const READ_BYTES: usize = 16 * 1024;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The broker cannot have heard the request.
    NotSent,
    /// Perhaps it has.
    Unknown,
}

/// One connection at a time; a lost one is made anew with the next request.
#[derive(Debug)]
pub(crate) struct Client {
    world: Arc<World>,
    stream: Option<Arc<dyn Stream>>,
    received: BytesMut,
    next_correlation_id: i32,
}

impl Client {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self {
            world,
            stream: None,
            received: BytesMut::new(),
            next_correlation_id: 1,
        }
    }

    /// Hangs up.
    pub(crate) fn close(&mut self) {
        self.stream = None;
        self.received.clear();
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, Lost> {
        let limit = self.world.plan.request_timeout;
        self.call_within(request, version, limit).await
    }

    pub(crate) async fn call_within<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        limit: Duration,
    ) -> Result<R::Response, Lost> {
        let stream = match &self.stream {
            Some(stream) => Arc::clone(stream),
            None => {
                let stream = self.world.wires.connect(ADDRESS);
                let stream = stream.map_err(|_refused| Lost::NotSent)?;
                self.received.clear();
                Arc::clone(self.stream.insert(stream))
            }
        };
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let frame = protocol::frame::encode_request(correlation_id, Some("sim"), version, request)
            .expect("the request has a form in this version")
            .into_bytes()
            .expect("requests of clients lie in memory");
        let mut deadline = self.world.sleep(limit);
        let answer = {
            let mut exchange = Box::pin(exchange(&*stream, &frame, &mut self.received));
            std::future::poll_fn(|context| {
                if let Poll::Ready(answer) = exchange.as_mut().poll(context) {
                    return Poll::Ready(answer);
                }
                let deadline = std::pin::Pin::new(&mut deadline);
                deadline.poll(context).map(|()| None)
            })
            .await
        };
        let Some(answer) = answer else {
            self.close();
            return Err(Lost::Unknown);
        };
        match protocol::frame::decode_response::<R>(answer, version) {
            Ok((answered, response)) if answered == correlation_id => Ok(response),
            Ok((answered, _)) => {
                self.world.model.fail(|| {
                    format!("request {correlation_id} was answered as request {answered}")
                });
                Err(Lost::Unknown)
            }
            Err(error) => {
                let error = error.to_string();
                self.world
                    .model
                    .fail(|| format!("an answer cannot be read: {error}"));
                Err(Lost::Unknown)
            }
        }
    }
}

/// Sends a frame and reads one; `None` if the connection breaks.
async fn exchange(stream: &dyn Stream, frame: &[u8], received: &mut BytesMut) -> Option<Bytes> {
    let mut sent = 0;
    while sent < frame.len() {
        match stream.try_write(&[std::io::IoSlice::new(&frame[sent..])], false) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::future::poll_fn(|context| stream.poll_writable(context))
                    .await
                    .ok()?;
            }
            Err(_) => return None,
        }
    }
    loop {
        if let Some(prefix) = received.first_chunk::<4>() {
            let length = u32::from_be_bytes(*prefix) as usize;
            if received.len() >= 4 + length {
                let frame = received.split_to(4 + length).freeze();
                return Some(frame.slice(4..));
            }
        }
        received.reserve(READ_BYTES);
        match stream.try_read(received) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::future::poll_fn(|context| stream.poll_readable(context))
                    .await
                    .ok()?;
            }
            Err(_) => return None,
        }
    }
}
