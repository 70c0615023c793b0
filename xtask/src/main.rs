//! The project's automation: `cargo xtask --help`.
fn main() {}
