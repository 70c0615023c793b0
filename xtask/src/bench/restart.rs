//! kill -9 with a log of some size, then how long until a batch is acked again, and how much was read until then.
//!
//! The page cache is emptied of the broker's files in between, so that reads are the disk's.

use anyhow::Result;

use super::Options;
use super::counters::Counters;
use super::peer::Broker;
use super::report::{Section, Table};
use super::throughput::fill_topic;

const TOPIC: &str = "restart";
const MIB: f64 = 1_048_576.0;

/// What one peer showed at one size.
struct Figures {
    answer_ms: f64,
    ack_ms: f64,
    counters: Counters,
}

pub(crate) fn measure(options: &Options) -> Result<Section> {
    let mut section = Section::new(
        "restart",
        "Restart after kill -9",
        "`cargo xtask bench restart`: one partition filled by `ProducerPerformance` (`acks=all`, each peer's default topic settings), \
         SIGKILL right after the last ack, files evicted from the page cache, started again; time to the first ApiVersions and to the \
         first ack of a new batch, and what the process had read by then.",
    );
    for &gib in &options.restart_gib {
        let mut figures = Vec::new();
        for peer in options.peers() {
            eprintln!("restart with {gib} GiB: {}", peer.name());
            let mut broker = Broker::start(peer, options)?;
            broker.create_topic(TOPIC, 1, &[])?;
            fill_topic(&broker, TOPIC, gib)?;
            broker.kill()?;
            broker.evict_files()?;
            let mut broker = broker.start_again()?;
            let answer_ms = broker.wait_until_it_answers()?.as_secs_f64() * 1e3;
            let ack_ms = broker
                .wait_for("ack", |wire| wire.produce_one(TOPIC))?
                .as_secs_f64()
                * 1e3;
            figures.push(Figures {
                answer_ms,
                ack_ms,
                counters: Counters::read(broker.pid())?,
            });
            // The other peer needs the room.
            broker.remove()?;
        }
        let mut table = Table::new(&format!("{gib} GiB of log"), &options.peers());
        let mut row = |name: &str, value: &dyn Fn(&Figures) -> f64, decimals| {
            table.row(
                name,
                &figures.iter().map(value).collect::<Vec<_>>(),
                decimals,
            );
        };
        row("first ApiVersions, ms", &|of| of.answer_ms, 0);
        row("first ack, ms", &|of| of.ack_ms, 0);
        row("CPU s until then", &|of| of.counters.cpu_s(), 2);
        row(
            "bytes read by calls, MiB",
            &|of| of.counters.read_bytes / MIB,
            1,
        );
        row(
            "bytes read from the disk, MiB",
            &|of| of.counters.disk_read_bytes / MIB,
            1,
        );
        section.push(table);
    }
    Ok(section)
}
