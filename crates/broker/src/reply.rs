//! What a handler gives back.

/// The outcome of a request.
#[derive(Debug)]
pub(crate) enum Reply<T> {
    /// Send this response.
    Send(T),
    /// Send nothing: a produce request with `acks=0` that succeeded.
    Silence,
    /// Close the connection, because the protocol has no way to tell the error.
    Close(&'static str),
}

impl<T> From<T> for Reply<T> {
    fn from(response: T) -> Self {
        Self::Send(response)
    }
}
