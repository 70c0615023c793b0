//! The floor program.
fn main() {}
