//! [`Client`]: a connection to the broker that says what it does not know: whether a request that got no answer was heard.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use env::net::Stream;
use protocol::Request;

use crate::clock::sleep_until;
use crate::random::Random;
use crate::world::{ADDRESS, World};

/// When a request whose answer never came has arrived, or never will: much longer than anything is on its way in the worst
/// weather, and than the broker takes to do it.
pub(crate) const LATE: Duration = Duration::from_secs(10);

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
    /// Requests whose answers are still to come, in their order.
    waiting: VecDeque<i32>,
    random: Random,
}

/// Of a thousand requests on a bad network so many are the last that their client has to say.
const LAST_WORDS: u64 = 20;

impl Client {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self {
            random: world.fork(),
            world,
            stream: None,
            received: BytesMut::new(),
            next_correlation_id: 1,
            waiting: VecDeque::new(),
        }
    }

    /// Hangs up.
    pub(crate) fn close(&mut self) {
        self.stream = None;
        self.received.clear();
        self.waiting.clear();
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
        let end = self.world.scheduler.now() + limit;
        self.send_until(request, version, end).await?;
        let is_last = self.world.plan.faults.bad_network && self.random.chance(LAST_WORDS);
        if is_last {
            self.close_half();
        }
        let answer = self.receive_until::<R>(version, end).await;
        if is_last {
            self.close();
        }
        answer
    }

    /// Sends a request behind others whose answers may still be on their way.
    pub(crate) async fn send<R: Request>(&mut self, request: &R, version: i16) -> Result<(), Lost> {
        let end = self.world.scheduler.now() + self.world.plan.request_timeout;
        self.send_until(request, version, end).await
    }

    /// Waits for the answer to the oldest request that has none yet.
    pub(crate) async fn receive<R: Request>(&mut self, version: i16) -> Result<R::Response, Lost> {
        let end = self.world.scheduler.now() + self.world.plan.request_timeout;
        self.receive_until::<R>(version, end).await
    }

    async fn send_until<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        end: Duration,
    ) -> Result<(), Lost> {
        let stream = match &self.stream {
            Some(stream) => Arc::clone(stream),
            None => {
                let stream = self.world.wires.connect(ADDRESS);
                let stream = stream.map_err(|_refused| Lost::NotSent)?;
                Arc::clone(self.stream.insert(stream))
            }
        };
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let frame = protocol::frame::encode_request(correlation_id, Some("sim"), version, request)
            .expect("the request has a form in this version")
            .into_bytes()
            .expect("requests of clients lie in memory");
        self.waiting.push_back(correlation_id);
        let sent = within(&self.world, end, write(&*stream, &frame)).await;
        if sent.is_none() {
            self.close();
            return Err(Lost::Unknown);
        }
        Ok(())
    }

    async fn receive_until<R: Request>(
        &mut self,
        version: i16,
        end: Duration,
    ) -> Result<R::Response, Lost> {
        let (Some(stream), Some(correlation_id)) = (&self.stream, self.waiting.pop_front()) else {
            return Err(Lost::Unknown);
        };
        let stream = Arc::clone(stream);
        let answer = within(&self.world, end, read(&*stream, &mut self.received)).await;
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

    /// Says that nothing more will be sent; answers may still come.
    fn close_half(&self) {
        if let Some(stream) = &self.stream {
            stream.shut_down();
        }
    }
}

/// What `exchange` gives, unless `end` comes first.
async fn within<T>(
    world: &Arc<World>,
    end: Duration,
    exchange: impl Future<Output = Option<T>>,
) -> Option<T> {
    let mut deadline = sleep_until(&world.scheduler, end);
    let mut exchange = std::pin::pin!(exchange);
    std::future::poll_fn(|context| {
        if let Poll::Ready(outcome) = exchange.as_mut().poll(context) {
            return Poll::Ready(outcome);
        }
        let deadline = std::pin::Pin::new(&mut deadline);
        deadline.poll(context).map(|()| None)
    })
    .await
}

/// Sends a frame; `None` if the connection breaks.
async fn write(stream: &dyn Stream, frame: &[u8]) -> Option<()> {
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
    Some(())
}

/// Reads a frame; `None` if the connection breaks.
async fn read(stream: &dyn Stream, received: &mut BytesMut) -> Option<Bytes> {
    loop {
        if let Some(prefix) = received.first_chunk::<4>() {
            let length = u32::from_be_bytes(*prefix) as usize;
            if received.len() >= 4 + length {
                let frame = received.split_to(4 + length).freeze();
                return Some(frame.slice(4..));
            }
        }
        received.reserve(READ_BYTES);
        match stream.try_read(received, usize::MAX) {
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
