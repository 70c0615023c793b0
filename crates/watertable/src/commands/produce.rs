//! `watertable produce`: one record per line of standard input.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use client::{
    Acks, Cluster, Compression, ProduceError, Producer, ProducerConfig, ProducerRecord,
    TopicSelection,
};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use crate::arguments;
use crate::output::{self, counted};
use crate::progress;
use crate::record_json::{self, RecordLine};
use crate::report::Failure;
use crate::session::{self, Session};

/// A line longer than this is refused instead of read: brokers take at most `max.message.bytes`, 1 MiB by default, and
/// Kafka's own limit is below 2 GiB.
const LINE_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// What is read from standard input at once.
const READ_BYTES: usize = 256 * 1024;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  echo 'hello' | watertable produce greetings
  printf 'AA:1\\nUA:2\\n' | watertable produce flights -k :
  watertable produce flights --compression zstd --batch-size 1MiB < flights.json
  watertable produce flights -H source=import -H run=7 < flights.json
  watertable consume old --from-beginning --until-end --json | watertable produce new --json-lines")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) session: Session,
    /// The topic
    topic: String,
    /// What separates key and value of a line (\t, \x00 and so on work); without it lines are values
    #[arg(long, short, value_name = "TEXT", value_parser = arguments::separator)]
    key_separator: Option<arguments::Separator>,
    /// The key of every record
    #[arg(long, value_name = "KEY", conflicts_with = "key_separator")]
    key: Option<String>,
    /// A header of every record; may be given often
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE", value_parser = arguments::setting)]
    headers: Vec<(String, String)>,
    /// Text that stands for null, as key or value
    #[arg(long, value_name = "TEXT")]
    null_marker: Option<String>,
    /// Lines are JSON as `consume --json` writes them: key, value, headers, timestamp, partition
    #[arg(long, conflicts_with_all = ["key_separator", "key", "null_marker"])]
    json_lines: bool,
    /// Write to this partition; without it the key decides, as in Kafka's Java producer
    #[arg(long, short, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// When a record counts as written: 0 at once, 1 when the leader has it, all when it is safe
    #[arg(long, default_value = "all", value_parser = parse_acks)]
    acks: Acks,
    /// How batches are compressed: none, gzip, snappy, lz4, zstd
    #[arg(long, short = 'z', default_value = "none", value_name = "CODEC", value_parser = parse_compression)]
    compression: Compression,
    /// Level of the codec
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    compression_level: Option<i32>,
    /// How long a batch waits for more records
    #[arg(long, default_value = "5", value_name = "MS")]
    linger_ms: u64,
    /// Where a batch is full, before compression
    #[arg(long, default_value = "64KiB", value_name = "SIZE", value_parser = arguments::size)]
    batch_size: usize,
    /// Produce without idempotence: a retry may write a record twice
    #[arg(long)]
    no_idempotence: bool,
    /// Do not ask the broker to create a topic that is not there
    #[arg(long)]
    no_create: bool,
    /// Show where every batch went
    #[arg(long, short)]
    verbose: bool,
}

pub(crate) fn parse_acks(text: &str) -> Result<Acks, String> {
    match text {
        "0" | "none" => Ok(Acks::None),
        "1" | "leader" => Ok(Acks::Leader),
        "all" | "-1" => Ok(Acks::All),
        _ => Err("there are 0, 1 and all".into()),
    }
}

pub(crate) fn parse_compression(text: &str) -> Result<Compression, String> {
    Compression::from_name(text).ok_or_else(|| "there are none, gzip, snappy, lz4 and zstd".into())
}

/// What was acknowledged so far.
#[derive(Debug, Default, Serialize)]
struct Tally {
    records: u64,
    bytes: u64,
    partitions: BTreeMap<i32, u64>,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    session::run(produce(arguments))
}

async fn produce(arguments: Arguments) -> Result<()> {
    let tally = Arc::new(Mutex::new(Tally::default()));
    let bar = progress::bar(None, "records", std::io::stdin().is_terminal());
    let config = producer_config(&arguments, Arc::clone(&tally), bar.clone());
    let cluster = arguments.session.cluster();
    let producer = Producer::new(cluster.clone(), config);
    let topic: Arc<str> = Arc::from(arguments.topic.as_str());
    if std::io::stdin().is_terminal() && !arguments.session.json {
        tell_how_to_type(&arguments);
    }
    let sent = tokio::select! {
        sent = send_lines(&producer, &topic, &arguments) => sent.map(Some),
        // What was read before is still delivered.
        () = session::interrupted() => Ok(None),
    };
    let flushed = producer.flush().await;
    bar.finish_and_clear();
    // A failed delivery is the cause of what went wrong after it.
    flushed.with_context(|| format!("cannot produce to topic '{topic}'"))?;
    if sent? == Some(0) {
        nothing_sent(&cluster, &arguments).await?;
    }
    let tally = tally.lock();
    if arguments.session.json {
        return output::json(&*tally);
    }
    if arguments.verbose {
        let records = usize::try_from(tally.records).unwrap_or(usize::MAX);
        eprintln!("{} to topic {topic}", counted(records, "record"));
    }
    Ok(())
}

/// No record has asked for a broker: whether there is one is found out all the same, and that nothing came in is told.
async fn nothing_sent(cluster: &Cluster, arguments: &Arguments) -> Result<()> {
    cluster.metadata(TopicSelection::None).await?;
    if !arguments.session.json {
        eprintln!("standard input had no records: nothing was produced");
    }
    Ok(())
}

/// Tells a person who types what to do.
fn tell_how_to_type(arguments: &Arguments) {
    let form = match (&arguments.key_separator, arguments.json_lines) {
        (_, true) => "JSON objects, one per line",
        (Some(_), _) => "lines of key, separator, value",
        (None, _) => "lines; each is a value",
    };
    eprintln!("type {form}; Ctrl-D ends");
}

fn producer_config(
    arguments: &Arguments,
    tally: Arc<Mutex<Tally>>,
    bar: indicatif::ProgressBar,
) -> ProducerConfig {
    let verbose = arguments.verbose;
    ProducerConfig {
        acks: arguments.acks,
        idempotent: !arguments.no_idempotence,
        compression: arguments.compression,
        compression_level: arguments.compression_level,
        linger: Duration::from_millis(arguments.linger_ms),
        batch_bytes: arguments.batch_size,
        // Several batches must fit, or none could be filled while another is on its way.
        buffer_bytes: (32 * 1024 * 1024).max(arguments.batch_size.saturating_mul(16)),
        request_bytes_max: (1024 * 1024).max(arguments.batch_size),
        delivery_timeout: arguments.session.timeout.max(Duration::from_secs(1)),
        allow_auto_topic_creation: !arguments.no_create,
        on_batch: Some(Arc::new(move |batch| {
            let records = u64::from(batch.records);
            let mut tally = tally.lock();
            tally.records += records;
            tally.bytes += batch.bytes as u64;
            *tally.partitions.entry(batch.partition).or_default() += records;
            bar.inc(records);
            if verbose {
                let offset = output::or_dash(batch.base_offset);
                let records = counted(batch.records as usize, "record");
                bar.suspend(|| {
                    eprintln!("partition {} offset {offset}: {records}", batch.partition);
                });
            }
        })),
        ..ProducerConfig::default()
    }
}

/// Sends the lines of standard input; says how many records they were.
async fn send_lines(producer: &Producer, topic: &Arc<str>, arguments: &Arguments) -> Result<u64> {
    let headers: Vec<(&[u8], Option<&[u8]>)> = arguments
        .headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())))
        .collect();
    let mut input = BufReader::with_capacity(READ_BYTES, tokio::io::stdin());
    let mut line = Vec::new();
    let mut number = 0_u64;
    let mut records = 0_u64;
    while read_line(&mut input, &mut line).await? {
        number += 1;
        let sent = if arguments.json_lines {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let record = record_json::read(&line).with_context(|| place(number))?;
            send_json(producer, topic, &record, arguments.partition, &headers).await
        } else {
            let separator = arguments
                .key_separator
                .as_ref()
                .map(|separator| &*separator.0);
            let (key, value) = fields(&line, separator).with_context(|| place(number))?;
            send_line(producer, topic, key, value, arguments, &headers).await
        };
        sent.with_context(|| format!("cannot produce to topic '{topic}'"))?;
        records += 1;
        if producer.failure().is_some() {
            // The flush tells it.
            break;
        }
    }
    Ok(records)
}

fn place(number: u64) -> String {
    format!("cannot use line {number} of standard input")
}

/// Key, if lines have one, and value of a line.
fn fields<'a>(line: &'a [u8], separator: Option<&[u8]>) -> Result<(Option<&'a [u8]>, &'a [u8])> {
    let Some(separator) = separator else {
        return Ok((None, line));
    };
    match split(line, separator) {
        Some((key, value)) => Ok((Some(key), value)),
        None => {
            let separator = String::from_utf8_lossy(separator);
            Err(Failure::new(
                format!("it has no key separator '{}'", separator.escape_default()),
                "give the separator that the lines have with -k, or none for lines without keys",
            )
            .into())
        }
    }
}

async fn send_line(
    producer: &Producer,
    topic: &Arc<str>,
    key: Option<&[u8]>,
    value: &[u8],
    arguments: &Arguments,
    headers: &[(&[u8], Option<&[u8]>)],
) -> Result<(), ProduceError> {
    let null = arguments.null_marker.as_deref().map(str::as_bytes);
    let key = key.or(arguments.key.as_deref().map(str::as_bytes));
    let record = ProducerRecord {
        partition: arguments.partition,
        timestamp_ms: None,
        key: key.filter(|key| Some(*key) != null),
        value: Some(value).filter(|value| Some(*value) != null),
        headers,
    };
    producer.send(topic, record).await?;
    Ok(())
}

async fn send_json(
    producer: &Producer,
    topic: &Arc<str>,
    record: &RecordLine,
    partition: Option<i32>,
    common_headers: &[(&[u8], Option<&[u8]>)],
) -> Result<(), ProduceError> {
    let own = record.headers.iter();
    let own = own.map(|(name, value)| (name.as_slice(), value.as_deref()));
    let headers: Vec<(&[u8], Option<&[u8]>)> = own.chain(common_headers.iter().copied()).collect();
    let record = ProducerRecord {
        partition: partition.or(record.partition),
        timestamp_ms: record.timestamp_ms,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: &headers,
    };
    producer.send(topic, record).await?;
    Ok(())
}

/// Key and value around the first separator.
fn split<'a>(line: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = line
        .windows(separator.len())
        .position(|window| window == separator)?;
    Some((&line[..at], &line[at + separator.len()..]))
}

/// Reads a line without its end into `line`; false at the end of the input.
async fn read_line(
    input: &mut BufReader<impl AsyncRead + Unpin>,
    line: &mut Vec<u8>,
) -> Result<bool> {
    line.clear();
    loop {
        let available = input
            .fill_buf()
            .await
            .context("cannot read standard input")?;
        if available.is_empty() {
            return Ok(!line.is_empty());
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |end| end + 1);
        line.extend_from_slice(&available[..taken]);
        input.consume(taken);
        if end.is_some() {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(true);
        }
        if line.len() > LINE_BYTES_MAX {
            bail!(
                "a line is longer than {}",
                output::bytes(LINE_BYTES_MAX as u64)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_at_the_first_separator() {
        assert_eq!(
            split(b"a:b:c", b":"),
            Some((b"a".as_slice(), b"b:c".as_slice()))
        );
        assert_eq!(
            split(b"a::b", b"::"),
            Some((b"a".as_slice(), b"b".as_slice()))
        );
        assert_eq!(split(b":b", b":"), Some((b"".as_slice(), b"b".as_slice())));
        assert_eq!(split(b"ab", b":"), None);
    }

    async fn lines(input: &[u8], capacity: usize) -> Vec<Vec<u8>> {
        let mut input = BufReader::with_capacity(capacity, input);
        let mut line = Vec::new();
        let mut lines = Vec::new();
        while read_line(&mut input, &mut line)
            .await
            .expect("memory does not fail")
        {
            lines.push(line.clone());
        }
        lines
    }

    #[tokio::test]
    async fn lines_end_at_line_ends_wherever_the_buffer_ends() {
        for capacity in 1..10 {
            let found = lines(b"one\r\n\ntwo\nlast", capacity).await;
            let expected: [&[u8]; 4] = [b"one", b"", b"two", b"last"];
            assert_eq!(found, expected, "{capacity}");
            assert!(lines(b"", capacity).await.is_empty());
        }
    }
}
