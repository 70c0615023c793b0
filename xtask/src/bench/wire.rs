//! The few requests a benchmark sends itself, written by hand in old, fixed versions that Kafka 4 and Watertable both answer.
//!
//! By hand, because xtask generates the protocol crate and must build without it, and because a Java tool takes seconds to
//! start. Versions: Metadata 1, Produce 3, CreateTopics 2, DeleteTopics 1; none is flexible. Layouts:
//! `apache/kafka:clients/src/main/resources/common/message/`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const PRODUCE: i16 = 0;
const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;
const CREATE_TOPICS: i16 = 19;
const DELETE_TOPICS: i16 = 20;
/// Largest answer read: Metadata of 10,000 partitions is well below.
const MAX_ANSWER_BYTES: u32 = 64 << 20;
/// Creating thousands of partitions takes Kafka tens of seconds.
const PATIENCE: Duration = Duration::from_secs(180);

/// A connection to a broker on loopback.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
}

impl Wire {
    pub(crate) fn connect(port: u16) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream })
    }

    /// ApiVersions 0, the first request of every client.
    pub(crate) fn api_versions(&mut self) -> Result<()> {
        let mut answer = self.ask(API_VERSIONS, 0, &[])?;
        check(answer.i16()?, "ApiVersions")
    }

    pub(crate) fn create_topic(
        &mut self,
        name: &str,
        partitions: usize,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let mut body = Vec::new();
        put_i32(&mut body, 1);
        put_string(&mut body, name)?;
        put_i32(&mut body, i32::try_from(partitions)?);
        put_i16(&mut body, 1); // replication factor
        put_i32(&mut body, 0); // no assignments
        put_i32(&mut body, i32::try_from(settings.len())?);
        for (key, value) in settings {
            put_string(&mut body, key)?;
            put_string(&mut body, value)?;
        }
        put_i32(&mut body, i32::try_from(PATIENCE.as_millis())?);
        body.push(0); // not validate_only
        let mut answer = self.ask(CREATE_TOPICS, 2, &body)?;
        answer.skip(4 + 4)?; // throttle time, one topic
        answer.string()?;
        let error = answer.i16()?;
        let message = answer.string()?;
        check(error, &format!("CreateTopics {name}: {message}"))
    }

    pub(crate) fn delete_topic(&mut self, name: &str) -> Result<()> {
        let mut body = Vec::new();
        put_i32(&mut body, 1);
        put_string(&mut body, name)?;
        put_i32(&mut body, i32::try_from(PATIENCE.as_millis())?);
        let mut answer = self.ask(DELETE_TOPICS, 1, &body)?;
        answer.skip(4 + 4)?;
        answer.string()?;
        check(answer.i16()?, &format!("DeleteTopics {name}"))
    }

    /// Partitions of `topic` that have a leader.
    pub(crate) fn partitions_with_leader(&mut self, topic: &str) -> Result<usize> {
        let mut body = Vec::new();
        put_i32(&mut body, 1);
        put_string(&mut body, topic)?;
        let mut answer = self.ask(METADATA, 1, &body)?;
        for _ in 0..answer.i32()? {
            answer.skip(4)?; // node id
            answer.string()?;
            answer.skip(4)?; // port
            answer.string()?; // rack
        }
        answer.skip(4 + 4)?; // controller, one topic
        if answer.i16()? != 0 {
            return Ok(0);
        }
        answer.string()?;
        answer.skip(1)?; // is_internal
        let mut led = 0;
        for _ in 0..answer.i32()? {
            let error = answer.i16()?;
            answer.skip(4)?; // partition
            let leader = answer.i32()?;
            for _ in 0..2 {
                let replicas = usize::try_from(answer.i32()?)?;
                answer.skip(replicas * 4)?;
            }
            led += usize::from(error == 0 && leader >= 0);
        }
        Ok(led)
    }

    /// Produces one record to partition 0 with `acks=all`; an error code of the broker is an error here.
    pub(crate) fn produce_one(&mut self, topic: &str) -> Result<()> {
        let batch = one_record_batch();
        let mut body = Vec::new();
        put_i16(&mut body, -1); // transactional id: null
        put_i16(&mut body, -1); // acks: all
        put_i32(&mut body, 30_000);
        put_i32(&mut body, 1);
        put_string(&mut body, topic)?;
        put_i32(&mut body, 1);
        put_i32(&mut body, 0); // partition
        put_i32(&mut body, i32::try_from(batch.len())?);
        body.extend(batch);
        let mut answer = self.ask(PRODUCE, 3, &body)?;
        answer.skip(4)?;
        answer.string()?;
        answer.skip(4 + 4)?; // one partition, its index
        check(answer.i16()?, "Produce")
    }

    fn ask(&mut self, api: i16, version: i16, body: &[u8]) -> Result<Answer> {
        const CORRELATION_ID: i32 = 7;
        let mut request = Vec::new();
        put_i16(&mut request, api);
        put_i16(&mut request, version);
        put_i32(&mut request, CORRELATION_ID);
        put_i16(&mut request, -1); // client id: null
        request.extend(body);
        let mut frame = u32::try_from(request.len())?.to_be_bytes().to_vec();
        frame.extend(request);
        self.stream.write_all(&frame)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        ensure!(length <= MAX_ANSWER_BYTES, "an answer of {length} bytes");
        let mut bytes = vec![0; length as usize];
        self.stream.read_exact(&mut bytes)?;
        let mut answer = Answer { bytes, position: 0 };
        ensure!(
            answer.i32()? == CORRELATION_ID,
            "an answer to another request"
        );
        Ok(answer)
    }
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
        self.bytes
            .get(start..self.position)
            .context("the answer is short")
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.skip(2)?.try_into()?))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.skip(4)?.try_into()?))
    }

    /// A nullable string; null reads as empty.
    fn string(&mut self) -> Result<String> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        Ok(String::from_utf8_lossy(self.skip(length)?).into_owned())
    }
}

fn check(error: i16, what: &str) -> Result<()> {
    ensure!(error == 0, "{what}: error code {error}");
    Ok(())
}

fn put_i16(out: &mut Vec<u8>, value: i16) {
    out.extend(value.to_be_bytes());
}

fn put_i32(out: &mut Vec<u8>, value: i32) {
    out.extend(value.to_be_bytes());
}

fn put_string(out: &mut Vec<u8>, value: &str) -> Result<()> {
    put_i16(out, i16::try_from(value.len())?);
    out.extend(value.as_bytes());
    Ok(())
}

/// A record batch, magic 2, with one record of five bytes, no key, no headers.
fn one_record_batch() -> Vec<u8> {
    const VALUE: &[u8] = b"ready";
    // Lengths below 64 are one byte as zigzag varints: twice the value; -1 is 1.
    let mut record = vec![0, 0, 0, 1, 2 * VALUE.len() as u8];
    record.extend(VALUE);
    record.push(0);
    let mut checked = Vec::new();
    put_i16(&mut checked, 0); // attributes
    put_i32(&mut checked, 0); // last offset delta
    checked.extend(1_700_000_000_000_i64.to_be_bytes()); // base timestamp
    checked.extend(1_700_000_000_000_i64.to_be_bytes()); // max timestamp
    checked.extend((-1_i64).to_be_bytes()); // producer id
    put_i16(&mut checked, -1); // producer epoch
    put_i32(&mut checked, -1); // base sequence
    put_i32(&mut checked, 1); // records
    checked.push(2 * record.len() as u8);
    checked.extend(record);
    let mut batch = 0_i64.to_be_bytes().to_vec(); // base offset
    batch.extend((checked.len() as u32 + 4 + 1 + 4).to_be_bytes());
    put_i32(&mut batch, -1); // partition leader epoch
    batch.push(2); // magic
    batch.extend(crc32c::crc32c(&checked).to_be_bytes());
    batch.extend(checked);
    batch
}
