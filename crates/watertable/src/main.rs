//! The `watertable` binary; everything it does is in the library beside it.

use std::process::ExitCode;

/// glibc's allocator keeps memory that threads gave back; a broker that runs for months shows it.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    watertable::run()
}
