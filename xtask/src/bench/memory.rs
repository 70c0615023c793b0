//! Start-up and memory: empty, and with many partitions that hold nothing.

use std::time::Duration;

use anyhow::Result;

use super::Options;
use super::counters::{Memory, maps_and_files};
use super::peer::Broker;
use super::report::{Section, Table, median};

/// A broker that has just answered still starts parts of itself; its memory is read after this.
const SETTLE: Duration = Duration::from_secs(5);
/// Kafka refuses more than 10,000 metadata records in one request.
const PARTITIONS_PER_TOPIC: usize = 1_000;

/// What one peer showed.
struct Figures {
    start_ms: f64,
    empty: Memory,
    filled: Memory,
    create_s: f64,
    maps_and_files: (usize, usize),
}

pub(crate) fn measure(options: &Options) -> Result<Section> {
    let mut figures = Vec::new();
    let mut brokers = Vec::new();
    for peer in options.peers() {
        eprintln!("start-up and memory: {}", peer.name());
        let mut broker = Broker::start(peer, options)?;
        let mut starts = Vec::new();
        for _ in 0..options.slices {
            broker.terminate()?;
            broker = broker.start_again()?;
            starts.push(broker.wait_until_it_answers()?.as_secs_f64() * 1e3);
        }
        std::thread::sleep(SETTLE);
        let empty = Memory::read(broker.pid())?;
        let created = std::time::Instant::now();
        for index in 0..options.partitions.div_ceil(PARTITIONS_PER_TOPIC) {
            let left = options.partitions - index * PARTITIONS_PER_TOPIC;
            broker.create_topic(
                &format!("many-{index}"),
                left.min(PARTITIONS_PER_TOPIC),
                &[],
            )?;
        }
        let create_s = created.elapsed().as_secs_f64();
        std::thread::sleep(SETTLE);
        figures.push(Figures {
            start_ms: median(starts),
            empty,
            filled: Memory::read(broker.pid())?,
            create_s,
            maps_and_files: maps_and_files(broker.pid())?,
        });
        brokers.push(broker);
    }
    let mut section = Section::new(
        "memory",
        "Start-up and memory",
        &format!(
            "`cargo xtask bench memory --slices {}`: process start to the first answer to ApiVersions on a formatted, empty folder, \
             median of {}; memory {} s after the last start, then after creating {} partitions in topics of {PARTITIONS_PER_TOPIC}.",
            options.slices,
            options.slices,
            SETTLE.as_secs(),
            options.partitions
        ),
    );
    let mut table = Table::new("start-up and memory", &options.peers());
    let mut row = |name: &str, value: &dyn Fn(&Figures) -> f64, decimals| {
        table.row(
            name,
            &figures.iter().map(value).collect::<Vec<_>>(),
            decimals,
        );
    };
    row(
        "start-up to the first ApiVersions, ms",
        &|of| of.start_ms,
        0,
    );
    row(
        "resident empty, MiB",
        &|of| of.empty.resident_kib / 1024.0,
        1,
    );
    row(
        "anonymous empty, MiB",
        &|of| of.empty.anonymous_kib / 1024.0,
        1,
    );
    let partitions = options.partitions;
    row(
        &format!("resident with {partitions} partitions, MiB"),
        &|of| of.filled.resident_kib / 1024.0,
        1,
    );
    row(
        &format!("anonymous with {partitions} partitions, MiB"),
        &|of| of.filled.anonymous_kib / 1024.0,
        1,
    );
    row(
        "anonymous KiB a partition",
        &|of| (of.filled.anonymous_kib - of.empty.anonymous_kib) / partitions as f64,
        2,
    );
    row("creating them, s", &|of| of.create_s, 2);
    row("memory maps then", &|of| of.maps_and_files.0 as f64, 0);
    row("open files then", &|of| of.maps_and_files.1 as f64, 0);
    section.push(table);
    brokers.into_iter().try_for_each(Broker::remove)?;
    Ok(section)
}
