//! CPU, faults, switches and system calls of produce and consume, by Kafka's own performance tools.
//!
//! A slice creates a topic, fills it, reads all of it back and deletes it. Both brokers live during the run; the other one is
//! idle. Rows are medians over the slices, ratios are medians over the pairs.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::Options;
use super::counters::{Counters, machine_busy_and_stolen_s};
use super::peer::{Broker, Class, Peer};
use super::report::{Section, Table, median, ratio_cell};
use super::syscalls::{Counting, SyscallCounts};
use crate::{kafka, process};

const RECORD_BYTES: f64 = 1024.0;
const GIB: f64 = (1_u64 << 30) as f64;
/// A peer that syncs every batch takes minutes for a GiB of small ones.
const SHARE_OF_CLASS_D: f64 = 0.25;
/// A JVM compiles for about a minute; Watertable gets the same.
const WARM_UP_SLICES: usize = 3;
/// `max.request.size` and `max.message.bytes` leave no room for 1 MiB exactly.
const BATCHES: [(&str, usize); 2] = [("1 MiB", 1_000_000), ("16 KiB", 16_384)];

/// One tool run against one broker.
#[derive(Debug, Clone, Copy)]
struct Slice {
    gib: f64,
    requests: f64,
    counters: Counters,
    machine_busy_s: f64,
    stolen_s: f64,
    wall_s: f64,
    syscalls: Option<SyscallCounts>,
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    Produce,
    Consume,
}

/// Produce and consume, both classes and both batch sizes.
pub(crate) fn measure(options: &Options) -> Result<Section> {
    let brokers = options
        .peers()
        .into_iter()
        .map(|peer| Broker::start(peer, options))
        .collect::<Result<Vec<_>>>()?;
    for broker in &brokers {
        for index in 0..WARM_UP_SLICES {
            eprintln!(
                "warm-up {} of {WARM_UP_SLICES}: {}",
                index + 1,
                broker.peer.name()
            );
            fill_and_read(broker, Class::C, 16_384, options.gib, false)?;
        }
    }
    let mut section = Section::new(
        "throughput",
        "Produce and consume",
        &format!(
            "`cargo xtask bench throughput --gib {} --slices {}`: one producer, one partition, records of 1 KiB, `acks=all`, idempotent, \
             linger 5 ms, 5 in flight (`ProducerPerformance`), then one consumer (`ConsumerPerformance`); a quarter of the data in class D; CPU seconds of the \
             broker process per GiB, user + system. Machine busy is everything on the machine, clients included.",
            options.gib, options.slices
        ),
    );
    for class in [Class::C, Class::D] {
        for (batch_name, batch) in BATCHES {
            let gib = if class == Class::D {
                options.gib * SHARE_OF_CLASS_D
            } else {
                options.gib
            };
            let mut produced: Vec<Vec<Slice>> = brokers.iter().map(|_| Vec::new()).collect();
            let mut consumed = produced.clone();
            for round in 0..options.slices {
                for index in interleaved(round, brokers.len()) {
                    eprintln!(
                        "class {class:?}, {batch_name}, slice {}: {}",
                        round + 1,
                        brokers[index].peer.name()
                    );
                    let (produce, consume) =
                        fill_and_read(&brokers[index], class, batch, gib, false)?;
                    produced[index].push(produce);
                    consumed[index].push(consume);
                }
            }
            // Counted apart, since counting has its price.
            let mut counted = Vec::new();
            for broker in &brokers {
                counted.push(fill_and_read(broker, class, batch, gib, true)?);
            }
            let row_name =
                |direction: &str| format!("{direction}, class {class:?}, {batch_name} batches");
            let of_produce: Vec<Slice> = counted.iter().map(|pair| pair.0).collect();
            let of_consume: Vec<Slice> = counted.iter().map(|pair| pair.1).collect();
            section.push(table(
                &row_name("produce"),
                Direction::Produce,
                &options.peers(),
                &produced,
                &of_produce,
            ));
            section.push(table(
                &row_name("consume"),
                Direction::Consume,
                &options.peers(),
                &consumed,
                &of_consume,
            ));
        }
    }
    brokers.into_iter().try_for_each(Broker::remove)?;
    Ok(section)
}

/// System calls and context switches of a produce request when it is alone: 100 B, one in flight, a few hundred a second.
pub(crate) fn measure_lone_requests(options: &Options) -> Result<Section> {
    const RECORDS: usize = 5_000;
    const PER_SECOND: usize = 500;
    let mut section = Section::new(
        "requests",
        "A lone request",
        &format!(
            "`cargo xtask bench requests`: {RECORDS} records of 100 B at {PER_SECOND} a second, linger 0, one in flight; \
             system calls of the whole process, background included, by the requests the client counted."
        ),
    );
    let brokers = options
        .peers()
        .into_iter()
        .map(|peer| Broker::start(peer, options))
        .collect::<Result<Vec<_>>>()?;
    for class in [Class::C, Class::D] {
        let mut rows = Vec::new();
        for broker in &brokers {
            let name = topic_name();
            broker.create_topic(&name, 1, broker.peer.topic_settings(class))?;
            let run = |records: usize| {
                let arguments = [
                    format!("--topic={name}"),
                    format!("--num-records={records}"),
                    "--record-size=100".to_owned(),
                    format!("--throughput={PER_SECOND}"),
                ];
                let settings = [
                    "acks=all",
                    "linger.ms=0",
                    "batch.size=1",
                    "max.in.flight.requests.per.connection=1",
                ];
                produce(broker, &arguments, &settings.map(str::to_owned))
            };
            run(RECORDS / 5)?;
            rows.push(measured(broker, 0.0, true, || run(RECORDS))?);
            broker.wire()?.delete_topic(&name)?;
        }
        let mut table = Table::new(
            &format!("lone produce request, class {class:?}"),
            &options.peers(),
        );
        let per_request = |slice: &Slice, value: f64| value / slice.requests;
        let count = |value: &dyn Fn(&SyscallCounts) -> f64| {
            rows.iter()
                .map(|row| per_request(row, row.syscalls.as_ref().map_or(f64::NAN, value)))
                .collect::<Vec<_>>()
        };
        table.row("syscalls a request", &count(&|counts| counts.all), 2);
        table.row("syncs a request", &count(&|counts| counts.syncs), 3);
        let switches: Vec<f64> = rows
            .iter()
            .map(|row| per_request(row, row.counters.voluntary_switches))
            .collect();
        table.row("voluntary context switches a request", &switches, 2);
        let cpu: Vec<f64> = rows
            .iter()
            .map(|row| per_request(row, row.counters.cpu_s() * 1e6))
            .collect();
        table.row("CPU µs a request, background included", &cpu, 0);
        section.push(table);
    }
    brokers.into_iter().try_for_each(Broker::remove)?;
    Ok(section)
}

/// A B, then B A, then A B.
fn interleaved(round: usize, peers: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..peers).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

fn table(
    name: &str,
    direction: Direction,
    peers: &[Peer],
    slices: &[Vec<Slice>],
    counted: &[Slice],
) -> Table {
    let mut table = Table::new(name, peers);
    let medians = |value: &dyn Fn(&Slice) -> f64| -> Vec<f64> {
        slices
            .iter()
            .map(|of_peer| median(of_peer.iter().map(value).collect()))
            .collect()
    };
    let cpu = |slice: &Slice| slice.counters.cpu_s() / slice.gib;
    table.row_with_ratio("CPU-s/GiB", &medians(&cpu), 2, &ratio_cell(slices, cpu));
    table.row(
        "of it user",
        &medians(&|slice| slice.counters.user_s / slice.gib),
        2,
    );
    table.row(
        "of it system",
        &medians(&|slice| slice.counters.system_s / slice.gib),
        2,
    );
    table.row(
        "machine busy s/GiB",
        &medians(&|slice| slice.machine_busy_s / slice.gib),
        2,
    );
    table.row(
        "MiB/s, tool start included",
        &medians(&|slice| slice.gib * 1024.0 / slice.wall_s),
        0,
    );
    table.row(
        "minor faults/GiB",
        &medians(&|slice| slice.counters.minor_faults / slice.gib),
        0,
    );
    let requests = match direction {
        Direction::Produce => "requests/GiB",
        Direction::Consume => "fetches/GiB",
    };
    table.row(requests, &medians(&|slice| slice.requests / slice.gib), 0);
    table.row(
        "voluntary context switches a request",
        &medians(&|slice| slice.counters.voluntary_switches / slice.requests),
        2,
    );
    let of_counted = |value: &dyn Fn(&SyscallCounts) -> f64| -> Vec<f64> {
        counted
            .iter()
            .map(|slice| slice.syscalls.as_ref().map_or(f64::NAN, value) / slice.requests)
            .collect()
    };
    table.row("syscalls a request", &of_counted(&|counts| counts.all), 2);
    if matches!(direction, Direction::Produce) {
        table.row("syncs a request", &of_counted(&|counts| counts.syncs), 3);
    }
    table.row(
        "steal %",
        &medians(&|slice| 100.0 * slice.stolen_s / slice.wall_s),
        1,
    );
    table
}

fn topic_name() -> String {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    format!(
        "bench-{}",
        NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    )
}

/// Fills a new topic, reads it all back, deletes it.
fn fill_and_read(
    broker: &Broker,
    class: Class,
    batch: usize,
    gib: f64,
    count_syscalls: bool,
) -> Result<(Slice, Slice)> {
    let name = topic_name();
    broker.create_topic(&name, 1, broker.peer.topic_settings(class))?;
    let produced = fill(broker, &name, batch, gib, count_syscalls)?;
    let consumed = measured(broker, gib, count_syscalls, || {
        consume(broker, &name, records(gib))
    })?;
    broker.wire()?.delete_topic(&name)?;
    Ok((produced, consumed))
}

/// Produces `gib` of records of 1 KiB to partition 0 of `topic`.
pub(crate) fn fill_topic(broker: &Broker, topic: &str, gib: f64) -> Result<()> {
    fill(broker, topic, BATCHES[0].1, gib, false).map(|_| ())
}

fn fill(
    broker: &Broker,
    topic: &str,
    batch: usize,
    gib: f64,
    count_syscalls: bool,
) -> Result<Slice> {
    let arguments = [
        format!("--topic={topic}"),
        format!("--num-records={}", records(gib)),
        format!("--record-size={RECORD_BYTES}"),
        "--throughput=-1".to_owned(),
    ];
    let settings = [
        "acks=all".to_owned(),
        "linger.ms=5".to_owned(),
        format!("batch.size={batch}"),
        "buffer.memory=67108864".to_owned(),
    ];
    measured(broker, gib, count_syscalls, || {
        produce(broker, &arguments, &settings)
    })
}

fn records(gib: f64) -> usize {
    (gib * GIB / RECORD_BYTES) as usize
}

/// Reads the counters around `load`, which returns the number of requests its client made.
fn measured(
    broker: &Broker,
    gib: f64,
    count_syscalls: bool,
    load: impl FnOnce() -> Result<f64>,
) -> Result<Slice> {
    let counting = count_syscalls
        .then(|| Counting::start(broker.pid()))
        .transpose()?;
    let (busy, stolen) = machine_busy_and_stolen_s()?;
    let before = Counters::read(broker.pid())?;
    let start = Instant::now();
    let requests = load()?;
    let wall_s = start.elapsed().as_secs_f64();
    let counters = Counters::read(broker.pid())?.since(&before);
    let (busy_after, stolen_after) = machine_busy_and_stolen_s()?;
    let syscalls = counting.map(Counting::finish).transpose()?;
    Ok(Slice {
        gib,
        requests,
        counters,
        machine_busy_s: busy_after - busy,
        stolen_s: stolen_after - stolen,
        wall_s,
        syscalls,
    })
}

/// One of Kafka's tools with a JVM that compiles fully: these runs last.
fn java(class: &str) -> Result<Command> {
    let mut command = Command::new("java");
    command
        .args([
            "-Xms512M",
            "-Xmx512M",
            "-XX:+UseSerialGC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
            "-cp",
        ])
        .arg(kafka::class_path()?)
        .arg(class);
    Ok(command)
}

fn produce(broker: &Broker, arguments: &[String], settings: &[String]) -> Result<f64> {
    let output = process::output(
        java("org.apache.kafka.tools.ProducerPerformance")?
            .args(arguments)
            .args(["--print-metrics", "--command-property"])
            .arg(format!("bootstrap.servers=127.0.0.1:{}", broker.port))
            .args(settings),
    )?;
    ensure!(
        !output.contains("xception"),
        "the producer failed:\n{output}"
    );
    metric(&output, "producer-metrics:request-total")
}

fn consume(broker: &Broker, topic: &str, records: usize) -> Result<f64> {
    let output = process::output(
        java("org.apache.kafka.tools.ConsumerPerformance")?
            .args([
                "--bootstrap-server",
                &format!("127.0.0.1:{}", broker.port),
                "--topic",
                topic,
            ])
            .args([
                "--num-records",
                &records.to_string(),
                "--hide-header",
                "--print-metrics",
                "--timeout",
                "60000",
            ]),
    )?;
    // start, end, MB, MB/s, records, ...
    let read = output
        .lines()
        .find_map(|line| line.split(", ").nth(4))
        .context("no line of figures")?;
    ensure!(
        read.trim().parse::<usize>()? >= records,
        "{read} of {records} records were read back:\n{output}"
    );
    metric(&output, "consumer-fetch-manager-metrics:fetch-total")
}

/// The value of the first metric whose name is `name`, whatever its tags.
fn metric(output: &str, name: &str) -> Result<f64> {
    let line = output
        .lines()
        .find(|line| {
            line.trim_start()
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(':'))
        })
        .with_context(|| format!("the tool printed no {name}:\n{output}"))?;
    let value = line.rsplit_once(" : ").with_context(|| line.to_owned())?.1;
    Ok(value.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let output = "producer-metrics:request-total-x:{a=b}  : 1.000\nproducer-metrics:request-total:{client-id=p} : 42.000\n";
        assert_eq!(
            metric(output, "producer-metrics:request-total").unwrap(),
            42.0
        );
        assert!(metric(output, "producer-metrics:request").is_err());
    }

    #[test]
    fn slices_go_forwards_and_backwards() {
        assert_eq!(
            [interleaved(0, 2), interleaved(1, 2)],
            [vec![0, 1], vec![1, 0]]
        );
    }
}
