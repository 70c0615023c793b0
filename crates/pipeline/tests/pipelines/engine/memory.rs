//! Nothing is left of a batch when its rows are given back.

use std::process::Command;

use contract::{Contract, Format};
use pipeline::engine::{Compiled, Encoder, Metadata, Options, Raw, Values};

use super::given;

const ALONE: &str = "engine::memory::a_hundred_thousand_batches_alone";
/// What the allocator takes and gives back in between. If twenty bytes of each batch were left it would be as much.
const GROWTH_BYTES_MAX: u64 = 2 << 20;

/// Resident memory of this process.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
#[cfg(target_os = "linux")]
fn a_hundred_thousand_batches_take_no_more_memory_than_the_first() {
    // In a process of its own, since the other tests take memory too.
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", ALONE, "--ignored"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && told.contains("1 passed"), "{told}");
}

#[test]
#[ignore = "another test runs it in a process of its own"]
fn a_hundred_thousand_batches_alone() {
    let file = given::file(
        "SELECT id, CAST(name AS INT) AS n FROM t WHERE id > 0 UNION ALL SELECT unnest([id]), 1 FROM t",
        "checks:\n  - accepted_range: { column: n, min: 0 }\n",
    );
    let inputs = given::inputs(&file);
    let compiled = Compiled::new(&file.pipeline, &inputs, Options::default()).unwrap();
    let contracts = inputs
        .iter()
        .map(|input| Contract::new(Format::Json, input.columns.clone()).unwrap());
    let mut decoders: Vec<_> = contracts
        .enumerate()
        .map(|(index, contract)| {
            let decoder = compiled.decoder(index, Metadata::Topic, Some(&contract));
            decoder.unwrap()
        })
        .collect();
    let encoder = Encoder::new(compiled.output()).unwrap();
    let mut values = Values::default();
    let mut batch = |number: u32| {
        let name = if number.is_multiple_of(100) {
            "x"
        } else {
            "-1"
        };
        let value = format!(r#"{{"id":1,"name":"{name}"}}"#);
        decoders[0].push(&Raw::of_value(value.as_bytes()));
        let batches: Vec<_> = decoders
            .iter_mut()
            .map(|decoder| decoder.finish().unwrap().rows)
            .collect();
        let outcome = compiled.run(&batches).unwrap();
        encoder.encode(&outcome.rows, &mut values).unwrap();
        assert_eq!(outcome.dead.len(), 1);
    };
    (0..2_000).for_each(&mut batch);
    let before = resident_bytes();
    (0..100_000).for_each(&mut batch);
    let growth = resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "{growth}");
}
