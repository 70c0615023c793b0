//! Sockets, by readiness: a caller tries, and waits only when told `WouldBlock`.
//!
//! One connection is one [`Stream`]; reads never zero the buffer they fill, and files go out by sendfile where the
//! stream and the file both have a descriptor.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};

use crate::BoxFuture;
use crate::disk::DiskFile;

/// Connections that may wait to be accepted; a burst of clients after a restart must not see resets.
const ACCEPT_BACKLOG: i32 = 4096;

/// A place to listen.
pub trait Network: Debug + Send + Sync {
    /// Listens on `address`; port 0 picks a free one.
    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>>;
}

/// Accepts connections.
pub trait Listener: Debug + Send + Sync {
    /// Where it listens.
    ///
    /// # Errors
    /// The operating system's.
    fn local_address(&self) -> io::Result<SocketAddr>;
    /// The next connection and its peer.
    fn accept(&self) -> BoxFuture<'_, io::Result<(Arc<dyn Stream>, SocketAddr)>>;
}

/// One connection.
pub trait Stream: Debug + Send + Sync {
    /// Appends what has arrived to `buffer`, at most `limit` bytes and its spare capacity, of which there must be some; 0 is
    /// the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has arrived, or the connection's error.
    fn try_read(&self, buffer: &mut BytesMut, limit: usize) -> io::Result<usize>;
    /// Sends a prefix of `parts` and returns its length. `more` promises that more follows at once.
    ///
    /// # Errors
    /// `WouldBlock` when the peer does not read, or the connection's error.
    fn try_write(&self, parts: &[IoSlice<'_>], more: bool) -> io::Result<usize>;
    /// Sends a prefix of a range of a file and returns its length; 0 means the file ends before `offset`.
    ///
    /// # Errors
    /// `WouldBlock` when the peer does not read, or the connection's or file's error.
    fn try_send_file(&self, file: &dyn DiskFile, offset: u64, length: usize) -> io::Result<usize>;
    /// Ready once reading may succeed.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Ready once writing may succeed.
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Says that nothing more will be sent.
    fn shut_down(&self);
}

/// The machine's network.
#[derive(Debug)]
pub struct SystemNetwork;

impl Network for SystemNetwork {
    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let socket = socket2::Socket::new(
                socket2::Domain::for_address(address),
                socket2::Type::STREAM,
                Some(socket2::Protocol::TCP),
            )?;
            // A restarted broker takes its port over from connections that linger in TIME_WAIT.
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
            socket.bind(&address.into())?;
            socket.listen(ACCEPT_BACKLOG)?;
            let listener: Box<dyn Listener> =
                Box::new(SystemListener(TcpListener::from_std(socket.into())?));
            Ok(listener)
        })
    }
}

#[derive(Debug)]
struct SystemListener(TcpListener);

impl Listener for SystemListener {
    fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<(Arc<dyn Stream>, SocketAddr)>> {
        Box::pin(async move {
            let (stream, peer) = self.0.accept().await?;
            // Responses are sent whole: waiting to fill a packet only delays them.
            stream.set_nodelay(true)?;
            socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive())?;
            let stream: Arc<dyn Stream> = Arc::new(SystemStream(stream));
            Ok((stream, peer))
        })
    }
}

/// Kafka sets SO_KEEPALIVE and leaves it to the system when, which is after two hours on Linux. A peer that vanished during
/// its long poll is noticed by nothing else.
fn keepalive() -> socket2::TcpKeepalive {
    socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(300))
        .with_interval(Duration::from_secs(30))
        .with_retries(5)
}

#[derive(Debug)]
struct SystemStream(TcpStream);

impl Stream for SystemStream {
    fn try_read(&self, buffer: &mut BytesMut, limit: usize) -> io::Result<usize> {
        // Limited to the spare capacity, since a full `BytesMut` would grow by itself.
        let spare = limit.min(buffer.capacity() - buffer.len());
        let mut received = None;
        // A read that leaves room has taken everything: WouldBlock tells tokio so, and the call that would only find
        // nothing is saved. What arrives later makes the socket ready again, since readiness is reported by edges.
        let outcome = self.0.try_io(Interest::READABLE, || {
            let count = self.0.try_read_buf(&mut buffer.limit(spare))?;
            received = Some(count);
            if 0 < count && count < spare {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        received.map_or_else(|| outcome.map(|()| 0), Ok)
    }

    fn try_write(&self, parts: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        if !more {
            return self.0.try_write_vectored(parts);
        }
        self.0.try_io(Interest::WRITABLE, || {
            let flags = rustix::net::SendFlags::MORE | rustix::net::SendFlags::NOSIGNAL;
            let mut control = rustix::net::SendAncillaryBuffer::default();
            Ok(rustix::net::sendmsg(
                self.0.as_fd(),
                parts,
                &mut control,
                flags,
            )?)
        })
    }

    fn try_send_file(&self, file: &dyn DiskFile, offset: u64, length: usize) -> io::Result<usize> {
        match file.descriptor() {
            Some(descriptor) => self.0.try_io(Interest::WRITABLE, || {
                let mut position = offset;
                Ok(rustix::fs::sendfile(
                    self.0.as_fd(),
                    descriptor,
                    Some(&mut position),
                    length,
                )?)
            }),
            None => send_read_file(&self.0, file, offset, length),
        }
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(context)
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_ready(context)
    }

    fn shut_down(&self) {
        // The peer may be gone already; then there is nobody to tell.
        drop(socket2::SockRef::from(&self.0).shutdown(std::net::Shutdown::Write));
    }
}

/// A file without a descriptor is read and sent piece by piece.
fn send_read_file(
    stream: &TcpStream,
    file: &dyn DiskFile,
    offset: u64,
    length: usize,
) -> io::Result<usize> {
    const PIECE: usize = 64 * 1024;
    let mut piece = vec![0; length.min(PIECE)];
    let count = file.read_at(&mut piece, offset)?;
    match piece.get(..count) {
        Some(bytes) if count > 0 => stream.try_write(bytes),
        _ => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    async fn readable(stream: &dyn Stream) {
        std::future::poll_fn(|context| stream.poll_readable(context))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_read_that_leaves_room_waits_for_the_next_arrival_and_misses_nothing() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = SystemNetwork.listen(address).await.unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_address().unwrap()).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut buffer = BytesMut::with_capacity(64);
        for sent in [b"first".as_slice(), b"second", b"third"] {
            buffer.clear();
            peer.write_all(sent).unwrap();
            while buffer.len() < sent.len() {
                readable(&*stream).await;
                match stream.try_read(&mut buffer, usize::MAX) {
                    Ok(count) => assert!(count > 0),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            assert_eq!(buffer, sent);
            let drained = std::future::poll_fn(|context| {
                Poll::Ready(stream.poll_readable(context).is_pending())
            });
            assert!(drained.await, "the socket is not asked again for nothing");
        }
        drop(peer);
        buffer.clear();
        readable(&*stream).await;
        assert_eq!(stream.try_read(&mut buffer, usize::MAX).unwrap(), 0);
    }
}
