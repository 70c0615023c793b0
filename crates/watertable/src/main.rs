//! The `watertable` binary.
fn main() {}
