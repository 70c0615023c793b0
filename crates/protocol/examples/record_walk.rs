//! What reading through the records of an uncompressed batch costs, beside the checksum over the same bytes.
//!
//! ```text
//! cargo run --release -p protocol --example record_walk
//! ```
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures real time and tells it"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use protocol::records::{BatchBuilder, BatchOptions, BatchView, summarize};

const BATCH_BYTES: usize = 1 << 20;
const ROUNDS: u32 = 400;
/// The middle one of so many repetitions is told.
const REPETITIONS: usize = 9;

fn main() {
    for value in [20, 100, 200, 1000] {
        for headers in [0, 2] {
            let bytes = batch(value, headers);
            let batch = BatchView::parse(&bytes).expect("a batch");
            let records = batch.records_count();
            let walk = nanoseconds(|| walk(&batch));
            let checksum = nanoseconds(|| i64::from(batch.compute_crc()));
            println!(
                "{value:>5}-byte values, {headers} headers: {records:>6} records, walk {walk:>7} ns ({:.1} ns a record), checksum {checksum:>7} ns",
                f64::from(u32::try_from(walk).unwrap_or(u32::MAX)) / f64::from(records)
            );
        }
    }
}

fn walk(batch: &BatchView<'_>) -> i64 {
    let payload = batch.record_bytes();
    summarize(payload, batch.records_count(), batch.base_timestamp())
        .expect("records")
        .largest_timestamp
}

fn batch(value: usize, headers: usize) -> bytes::Bytes {
    let value = vec![7; value];
    let headers = vec![(&b"trace"[..], Some(&b"0123456789abcdef"[..])); headers];
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let mut size = 0;
    let mut number = 0_i64;
    while size < BATCH_BYTES {
        builder
            .push(
                1_700_000_000_000 + number / 50,
                Some(&number.to_be_bytes()),
                Some(&value),
                &headers,
            )
            .expect("a record");
        number += 1;
        size += value.len() + 8 + 7 + headers.len() * 24;
    }
    builder.build().expect("a batch")
}

fn nanoseconds(work: impl Fn() -> i64) -> u128 {
    let mut times: Vec<Duration> = (0..REPETITIONS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..ROUNDS {
                black_box(work());
            }
            start.elapsed()
        })
        .collect();
    times.sort();
    times[REPETITIONS / 2].as_nanos() / u128::from(ROUNDS)
}
