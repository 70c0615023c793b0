pub(crate) mod proxy;
pub(crate) use testkit::postgres as server;

/// Runs something beside the test.
#[allow(clippy::disallowed_methods, reason = "tests run on real threads")]
pub(crate) fn spawn<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::task::spawn(future)
}
