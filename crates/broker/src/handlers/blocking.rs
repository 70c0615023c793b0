//! Work that may wait for the disk, away from the tasks that serve connections.

use env::Env;

/// Runs `work` on the pool for blocking work and waits for it.
///
/// # Panics
/// If `work` panics: its request is lost like that of any other handler that panics.
pub(crate) async fn run<T: Send + 'static>(
    env: &Env,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // Nobody listens any more if the connection is gone; the work is done all the same.
    env.spawner
        .run_blocking(Box::new(move || drop(sender.send(work()))))
        .await;
    receiver
        .await
        .expect("the work sends its outcome unless it panics")
}
