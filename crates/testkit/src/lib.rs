//! A real server on loopback, for tests: the broker as the binary runs it, on a free port, over a folder of its own. Beside it a
//! store that speaks S3's protocol, and a real PostgreSQL.

pub mod postgres;
mod raw;
pub mod requests;
pub mod s3;
mod server;

pub use raw::{RawClient, frame};
pub use server::{Server, ServerOptions};

use std::time::Duration;

/// How long a test waits for something that must happen.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds, looking again every few milliseconds.
///
/// # Panics
/// When it does not hold within [`DEADLINE`]; `what` says what was waited for.
pub async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut condition: F) {
    let waited = tokio::time::timeout(DEADLINE, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(
        waited.await.is_ok(),
        "{what} did not happen within {DEADLINE:?}"
    );
}
