//! The few requests of the load, asynchronous, by hand like those of `bench/wire.rs` and for the same reason: xtask generates
//! the protocol crate and must build without it. Versions: Produce 3, Fetch 4, Metadata 1; none is flexible.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const METADATA: i16 = 3;
/// An answer that takes longer is a failure: clients of Kafka wait as long by default.
const PATIENCE: Duration = Duration::from_secs(30);
/// Larger answers are not asked for.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Addresses that the connections of the load come from: a loopback address has some 28,000 ports.
const SOURCES: usize = 16;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
}

impl Connection {
    /// Connects from one of several loopback addresses, with a small receive buffer if `stalls`.
    pub(super) async fn open(port: u16, number: usize, stalls: bool) -> Result<Self> {
        let last = u8::try_from(2 + number % SOURCES)?;
        let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
        let socket = TcpSocket::new_v4()?;
        if stalls {
            socket.set_recv_buffer_size(4096)?;
        }
        socket.bind(source)?;
        let broker = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let stream = timeout(PATIENCE, socket.connect(broker)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Produces one batch to a partition; its offset.
    pub(super) async fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        value: &[u8],
    ) -> Result<i64> {
        let request = produce(topic, partition, value)?;
        let mut answer = self.ask(&request).await?;
        answer.skip(4)?;
        answer.string()?;
        answer.skip(4 + 4)?;
        answer.no_error("Produce")?;
        answer.i64()
    }

    /// Records of a partition from `offset` on, as batches, once there are any or half a second is over.
    pub(super) async fn fetch(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<Vec<u8>> {
        let request = fetch(topic, partition, offset)?;
        let mut answer = self.ask(&request).await?;
        answer.skip(4 + 4)?;
        answer.string()?;
        answer.skip(4 + 4)?;
        answer.no_error("Fetch")?;
        answer.skip(8 + 8)?;
        ensure!(answer.i32()? <= 0, "aborted transactions that nobody made");
        let length = usize::try_from(answer.i32()?).unwrap_or(0);
        Ok(answer.skip(length)?.to_vec())
    }

    async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        timeout(PATIENCE, self.ask_patiently(request))
            .await
            .context("no answer in time")?
    }

    async fn ask_patiently(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request).await?;
        let length = usize::try_from(self.stream.read_i32().await?)?;
        ensure!(length <= ANSWER_BYTES_MAX, "an answer of {length} bytes");
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).await?;
        Ok(Answer { bytes, position: 4 })
    }

    /// Waits until the broker closes the connection, however it does. What it sends is thrown away.
    pub(super) async fn closed(&mut self) {
        let mut thrown_away = [0; 4096];
        while self
            .stream
            .read(&mut thrown_away)
            .await
            .is_ok_and(|read| read > 0)
        {}
    }

    /// Whether the broker has not closed the connection.
    pub(super) fn is_open(&self) -> bool {
        let mut byte = [0];
        let read = self.stream.try_read(&mut byte);
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

fn produce(topic: &str, partition: i32, value: &[u8]) -> Result<Vec<u8>> {
    let batch = batch(value)?;
    let mut body = Vec::new();
    body.extend((-1_i16).to_be_bytes()); // no transactional id
    body.extend((-1_i16).to_be_bytes()); // acks: all
    body.extend(30_000_i32.to_be_bytes());
    put_partition(&mut body, topic, partition)?;
    body.extend(i32::try_from(batch.len())?.to_be_bytes());
    body.extend(batch);
    request(PRODUCE, 3, &body)
}

/// A Fetch that waits half a second for one byte and takes up to a MiB.
pub(super) fn fetch(topic: &str, partition: i32, offset: i64) -> Result<Vec<u8>> {
    const BYTES_MAX: i32 = 1 << 20;
    let mut body = Vec::new();
    body.extend((-1_i32).to_be_bytes()); // a consumer
    body.extend(500_i32.to_be_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(BYTES_MAX.to_be_bytes());
    body.push(0); // read_uncommitted
    put_partition(&mut body, topic, partition)?;
    body.extend(offset.to_be_bytes());
    body.extend(BYTES_MAX.to_be_bytes());
    request(FETCH, 4, &body)
}

/// Metadata of all topics.
pub(super) fn metadata() -> Result<Vec<u8>> {
    request(METADATA, 1, &(-1_i32).to_be_bytes())
}

/// Metadata of more topics than the frame can hold.
pub(super) fn lying_metadata() -> Result<Vec<u8>> {
    request(METADATA, 1, &i32::MAX.to_be_bytes())
}

fn put_partition(body: &mut Vec<u8>, topic: &str, partition: i32) -> Result<()> {
    body.extend(1_i32.to_be_bytes());
    body.extend(i16::try_from(topic.len())?.to_be_bytes());
    body.extend(topic.as_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(partition.to_be_bytes());
    Ok(())
}

fn request(api: i16, version: i16, body: &[u8]) -> Result<Vec<u8>> {
    const HEADER_BYTES: usize = 2 + 2 + 4 + 2;
    let mut frame = i32::try_from(HEADER_BYTES + body.len())?
        .to_be_bytes()
        .to_vec();
    frame.extend(api.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(7_i32.to_be_bytes());
    frame.extend((-1_i16).to_be_bytes());
    frame.extend(body);
    Ok(frame)
}

/// A record batch, magic 2, with one record.
fn batch(value: &[u8]) -> Result<Vec<u8>> {
    let mut record = vec![0, 0, 0]; // attributes, timestamp and offset delta
    put_varint(&mut record, -1); // no key
    put_varint(&mut record, i64::try_from(value.len())?);
    record.extend(value);
    record.push(0);
    let mut checked = Vec::new();
    checked.extend(0_i16.to_be_bytes());
    checked.extend(0_i32.to_be_bytes()); // last offset delta
    checked.extend(1_700_000_000_000_i64.to_be_bytes());
    checked.extend(1_700_000_000_000_i64.to_be_bytes());
    checked.extend((-1_i64).to_be_bytes());
    checked.extend((-1_i16).to_be_bytes());
    checked.extend((-1_i32).to_be_bytes());
    checked.extend(1_i32.to_be_bytes());
    put_varint(&mut checked, i64::try_from(record.len())?);
    checked.extend(record);
    let mut batch = 0_i64.to_be_bytes().to_vec();
    batch.extend(i32::try_from(checked.len() + 4 + 1 + 4)?.to_be_bytes());
    batch.extend((-1_i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c::crc32c(&checked).to_be_bytes());
    batch.extend(checked);
    Ok(batch)
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while zigzag >= 0x80 {
        out.push((zigzag & 0x7f) as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

/// Batches and the offset behind the last of them, in whole batches.
pub(super) fn count_batches(mut bytes: &[u8], from: i64) -> (u64, i64) {
    let (mut count, mut next) = (0, from);
    while let (Some(base), Some(length)) = (bytes.first_chunk::<8>(), bytes.get(8..12)) {
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        let Some(rest) = bytes.get(12 + length..) else {
            break;
        };
        // Each batch of the load has one record.
        next = i64::from_be_bytes(*base) + 1;
        count += 1;
        bytes = rest;
    }
    (count, next)
}

/// The rest of an answer.
struct Answer {
    bytes: Vec<u8>,
    position: usize,
}

impl Answer {
    fn skip(&mut self, count: usize) -> Result<&[u8]> {
        let start = self.position;
        self.position += count;
        let bytes = self.bytes.get(start..self.position);
        bytes.context("the answer is short")
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.skip(4)?.try_into()?))
    }

    fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.skip(8)?.try_into()?))
    }

    fn string(&mut self) -> Result<()> {
        let length = i16::from_be_bytes(self.skip(2)?.try_into()?);
        self.skip(usize::try_from(length).unwrap_or(0))?;
        Ok(())
    }

    fn no_error(&mut self, what: &str) -> Result<()> {
        match i16::from_be_bytes(self.skip(2)?.try_into()?) {
            0 => Ok(()),
            code => bail!("{what}: error code {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_counted_whole() {
        let mut bytes = batch(&[7; 1000]).unwrap();
        bytes[7] = 41;
        let one = bytes.len();
        bytes.extend(batch(b"x").unwrap());
        assert_eq!(count_batches(&bytes[..one], 41), (1, 42));
        assert_eq!(count_batches(&bytes[..bytes.len() - 1], 41), (1, 42));
        assert_eq!(count_batches(&[], 41), (0, 41));
    }
}
