//! What the broker does by itself: retention, and settings that change while logs are open.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::log_settings::cleaner_settings;
use crate::topics::Topics;

/// Deletes what retention no longer keeps, every `log.retention.check.interval.ms`.
pub(crate) async fn retention(topics: Arc<Topics>, stopping: CancellationToken) {
    let clock = Arc::clone(&topics.env.clock);
    loop {
        let interval = topics.image().broker.log_retention_check_interval_ms;
        let next = clock
            .now()
            .plus(Duration::from_millis(interval.unsigned_abs()));
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            () = clock.sleep_until(next) => {}
        }
        let directory = Arc::clone(&topics.directory);
        let now = clock.wall();
        topics
            .env
            .spawner
            .run_blocking(Box::new(move || {
                directory.run_retention(now);
            }))
            .await;
    }
}

/// Tells open logs when their topic's settings change.
pub(crate) async fn settings(topics: Arc<Topics>, stopping: CancellationToken) {
    let mut changes = topics.cluster.changes();
    loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
        topics.configure_logs();
        let cleaner = cleaner_settings(&topics.image().broker);
        if let Err(error) = topics.directory.configure_cleaner(cleaner) {
            tracing::warn!(%error, "could not start another thread that cleans logs");
        }
    }
}
