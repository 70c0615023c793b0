//! What the log costs on this machine: appends, commits, reads, opening with many partitions, memory.
//!
//! `cargo run --release -p storage --example log_costs -- DIRECTORY [fill]`; with `fill` it only writes a small directory
//! with every kind of file in it, for Kafka's tools to read.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a program that measures stops at the first surprise and says so"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use env::Env;
use protocol::records::{
    BatchBuilder, BatchOptions, Compression, ControlRecordType, EndTransactionMarker,
};
use storage::{
    AppendContext, AppendOrigin, DirectoryOptions, Isolation, LocalLog, LogDirectory, LogSettings,
    PartitionLog,
};
use types::{Offset, PartitionIndex, TopicId, TopicName, TopicPartition};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let root = PathBuf::from(arguments.next().expect("a directory"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let _guard = runtime.enter();
    if arguments.next().as_deref() == Some("fill") {
        fill(&root);
        return;
    }
    appends(&root.join("appends"), &runtime);
    partitions(&root.join("partitions"));
}

fn open(root: &Path) -> LogDirectory {
    LogDirectory::open(Env::system(), root, DirectoryOptions::default())
        .unwrap()
        .directory
}

fn log(directory: &LogDirectory, number: i32, settings: LogSettings) -> Arc<LocalLog> {
    let partition = TopicPartition {
        topic: TopicName::new("t"),
        partition: PartitionIndex::new(number).unwrap(),
    };
    let id = TopicId::new([7; 16]).unwrap();
    directory.log(&partition, id, settings).unwrap()
}

fn batch(options: BatchOptions, records: usize, bytes: usize) -> Bytes {
    let now = Env::system().clock.wall().ms();
    let mut builder = BatchBuilder::new(options);
    let value = vec![b'x'; bytes];
    for _ in 0..records {
        builder.push(now, Some(b"key"), Some(&value), &[]).unwrap();
    }
    builder.build().unwrap()
}

fn context(log: &LocalLog, origin: AppendOrigin) -> AppendContext {
    let leader_epoch = log.offsets().leader_epoch;
    match origin {
        AppendOrigin::Client => AppendContext::client(leader_epoch),
        AppendOrigin::Coordinator => AppendContext::coordinator(leader_epoch),
    }
}

/// Seconds of processor time of this process so far, user and system.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("RssAnon"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn appends(root: &Path, runtime: &tokio::runtime::Runtime) {
    for (name, write_caching) in [("C", true), ("D", false)] {
        for (records, bytes) in [(1024, 1000), (16, 1000), (1, 1000), (1, 100)] {
            let sample = batch(BatchOptions::default(), records, bytes);
            let total = (256_usize << 20).min(sample.len() * 200_000);
            let directory = open(&root.join(format!("{name}-{}", sample.len())));
            let settings = LogSettings {
                write_caching,
                max_message_bytes: 2 << 20,
                ..LogSettings::default()
            };
            let log = log(&directory, 0, settings);
            let context = context(&log, AppendOrigin::Client);
            let count = total / sample.len();
            let (start, cpu) = (Instant::now(), cpu_seconds());
            let mut last = None;
            for _ in 0..count {
                last = Some(log.append(sample.clone(), context).unwrap());
            }
            let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
            runtime.block_on(last.unwrap().committed()).unwrap();
            let gib = (count * sample.len()) as f64 / f64::from(1 << 30);
            println!(
                "append {name} {:>8} B x {count:>6}: {:.2} CPU-s/GiB, {:.2} us wall each, {} commits",
                sample.len(),
                cpu / gib,
                wall * 1e6 / count as f64,
                directory.metrics().commits.get(),
            );
            read_back(&log);
            directory.close().unwrap();
        }
    }
}

fn read_back(log: &LocalLog) {
    let end = log.offsets().high_watermark;
    let mut from = Offset::ZERO;
    let (start, mut plans) = (Instant::now(), 0);
    while from < end {
        let plan = log
            .read(from, 1 << 20, Isolation::ReadUncommitted, true)
            .unwrap();
        assert!(plan.length > 0);
        plans += 1;
        // The next offset is not known without reading: take the share of the bytes.
        let share = plan.length as f64 / log.size_bytes() as f64;
        let records = (share * end.value() as f64) as u64;
        from = from.plus(records.max(1));
    }
    println!(
        "  {plans} plans of 1 MiB, {:.2} us each",
        start.elapsed().as_secs_f64() * 1e6 / f64::from(plans)
    );
}

fn partitions(root: &Path) {
    const COUNT: i32 = 10_000;
    let directory = open(root);
    let before = resident_kib();
    let start = Instant::now();
    let logs: Vec<_> = (0..COUNT)
        .map(|number| log(&directory, number, LogSettings::default()))
        .collect();
    println!(
        "{COUNT} idle partitions: {:.0} ms, {:.2} KiB each",
        start.elapsed().as_secs_f64() * 1e3,
        (resident_kib() - before) as f64 / f64::from(COUNT)
    );
    let sample = batch(BatchOptions::default(), 1, 1000);
    let start = Instant::now();
    for log in &logs {
        log.append(sample.clone(), context(log, AppendOrigin::Client))
            .unwrap();
    }
    println!(
        "an append to each: {:.0} ms, {:.2} KiB each",
        start.elapsed().as_secs_f64() * 1e3,
        (resident_kib() - before) as f64 / f64::from(COUNT)
    );
    let (start, cpu) = (Instant::now(), cpu_seconds());
    for log in &logs {
        log.append(sample.clone(), context(log, AppendOrigin::Client))
            .unwrap();
    }
    println!(
        "another: {:.0} ms, {:.2} s CPU, {} commits",
        start.elapsed().as_secs_f64() * 1e3,
        cpu_seconds() - cpu,
        directory.metrics().commits.get()
    );
    let start = Instant::now();
    directory.checkpoint().unwrap();
    println!("checkpoint: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    drop(logs);
    drop(directory);
    let before = resident_kib();
    let start = Instant::now();
    let opened = LogDirectory::open(Env::system(), root, DirectoryOptions::default()).unwrap();
    println!(
        "opened after a crash: {:.0} ms, {} logs recovered, {} B read, {:.2} KiB each",
        start.elapsed().as_secs_f64() * 1e3,
        opened.directory.metrics().recovered_logs.get(),
        opened.directory.metrics().recovery_bytes.get(),
        resident_kib().saturating_sub(before) as f64 / f64::from(COUNT)
    );
    let start = Instant::now();
    for number in 0..COUNT {
        log(&opened.directory, number, LogSettings::default());
    }
    println!("all claimed: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    opened.directory.run_retention(Env::system().clock.wall());
    println!(
        "retention over all: {:.1} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
    let start = Instant::now();
    opened.directory.close().unwrap();
    println!("closed: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    drop(opened);
    let start = Instant::now();
    let opened = LogDirectory::open(Env::system(), root, DirectoryOptions::default()).unwrap();
    println!(
        "opened after a clean stop: {:.0} ms, closed cleanly: {}",
        start.elapsed().as_secs_f64() * 1e3,
        opened.was_closed
    );
}

/// Several segments with all codecs, producers, transactions and timestamps that go back and forth.
fn fill(root: &Path) {
    let directory = open(root);
    let settings = LogSettings {
        segment_bytes: 200_000,
        index_interval_bytes: 4096,
        ..LogSettings::default()
    };
    let log = log(&directory, 0, settings);
    let client = context(&log, AppendOrigin::Client);
    let coordinator = context(&log, AppendOrigin::Coordinator);
    for round in 0..200_i32 {
        let compression = Compression::ALL[usize::try_from(round).unwrap() % 5];
        let plain = BatchOptions {
            compression,
            ..BatchOptions::default()
        };
        log.append(batch(plain, 7, 500), client).unwrap();
        let producer = BatchOptions {
            producer_id: i64::from(round % 3),
            producer_epoch: 1,
            base_sequence: round / 3 * 5,
            ..plain
        };
        log.append(batch(producer, 5, 300), client).unwrap();
        let transaction = BatchOptions {
            producer_id: 100,
            producer_epoch: 2,
            base_sequence: round * 2,
            is_transactional: true,
            ..plain
        };
        log.append(batch(transaction, 2, 300), client).unwrap();
        if round % 4 == 3 {
            let kind = if round % 8 == 3 {
                ControlRecordType::Commit
            } else {
                ControlRecordType::Abort
            };
            let marker = EndTransactionMarker {
                coordinator_epoch: 1,
            };
            let now = Env::system().clock.wall().ms();
            let marker = BatchBuilder::end_transaction(transaction, now, kind, marker).unwrap();
            log.append(marker, coordinator).unwrap();
        }
    }
    directory.close().unwrap();
    println!("{} records", log.offsets().log_end);
}
