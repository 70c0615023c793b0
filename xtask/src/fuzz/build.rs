//! Builds the fuzzer: `fuzz/` with the compiler's instrumentation for libFuzzer, which the ordinary compiler has.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{process, workspace};

/// What `cargo fuzz build --sanitizer none` passes: counters per edge, the table of edges, and the operands of compares.
const INSTRUMENTATION: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg fuzzing",
];

/// Everything of fuzzing that is no source.
pub(super) fn folder() -> PathBuf {
    workspace::target().join("fuzz")
}

/// The fuzzer, built.
pub(super) fn fuzzer() -> Result<PathBuf> {
    let machine = machine()?;
    let build = folder().join("build");
    process::run(
        Command::new(env!("CARGO"))
            .current_dir(workspace::root().join("fuzz"))
            .env("CARGO_TARGET_DIR", &build)
            .env("RUSTFLAGS", INSTRUMENTATION.join(" "))
            // Named, so that the flags stay away from build scripts.
            .args(["build", "--release", "--locked", "--target", &machine]),
    )?;
    Ok(build.join(machine).join("release").join("watertable-fuzz"))
}

/// The compiler's name for this machine.
fn machine() -> Result<String> {
    let text = process::output(Command::new("rustc").arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .context("rustc says which machine it is for")
}
