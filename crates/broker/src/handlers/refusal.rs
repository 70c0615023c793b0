//! A refusal as the admin APIs answer it per resource: a code, and a sentence for people (Kafka's `ApiError`).

use protocol::ErrorCode;

/// Why a part of a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The wire's code.
    pub(crate) code: ErrorCode,
    /// What people are told: what is wrong, with names and numbers.
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// The two fields of an answer.
pub(crate) fn fields<T>(outcome: &Result<T, Refusal>) -> (i16, Option<String>) {
    match outcome {
        Ok(_) => (ErrorCode::None.into(), None),
        Err(refusal) => (refusal.code.into(), Some(refusal.message.clone())),
    }
}
