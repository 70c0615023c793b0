//! Finds the cause inside an error of any operation, so that a program can advise by it: the operations' errors show
//! their causes' texts as their own, which hides the causes' types from [`std::error::Error::source`].

use std::error::Error;

use crate::admin::AdminError;
use crate::cluster::MetadataError;
use crate::connection::CallError;
use crate::consumer::ConsumeError;
use crate::group::{CommitError, CoordinatorError, FetchOffsetsError, GroupError};
use crate::offsets::OffsetsError;
use crate::producer::{ProduceError, TransactionError};

/// The failed request inside `error`, if it is an error of this crate and has one.
pub fn call_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CallError> {
    if let Some(call) = error.downcast_ref::<CallError>() {
        return Some(call);
    }
    if let Some(MetadataError::Call(call)) = metadata_error(error) {
        return Some(call);
    }
    inner(error).and_then(call_error)
}

/// The failed look at topics or leaders inside `error`, if it is an error of this crate and has one.
pub fn metadata_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a MetadataError> {
    if let Some(metadata) = error.downcast_ref::<MetadataError>() {
        return Some(metadata);
    }
    inner(error).and_then(metadata_error)
}

/// One level down, where the upper error speaks with the lower one's voice.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if let Some(error) = error.downcast_ref::<ProduceError>() {
        return match error {
            ProduceError::Metadata(inner) => Some(inner),
            ProduceError::Call(inner) => Some(inner),
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<TransactionError>() {
        return match error {
            TransactionError::Coordinator(inner) => Some(inner),
            TransactionError::Call(inner) => Some(inner),
            TransactionError::Produce(inner) => Some(inner),
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<ConsumeError>() {
        return match error {
            ConsumeError::Metadata(inner) => Some(inner),
            ConsumeError::Call(inner) => Some(inner),
            ConsumeError::Offsets(inner) => Some(inner),
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<OffsetsError>() {
        return match error {
            OffsetsError::Metadata(inner) => Some(inner),
            OffsetsError::Call(inner) => Some(inner),
            OffsetsError::Refused { .. } => None,
        };
    }
    if let Some(error) = error.downcast_ref::<AdminError>() {
        return match error {
            AdminError::Call(inner) => Some(inner),
            AdminError::Metadata(inner) => Some(inner),
            AdminError::Coordinator(inner) => Some(inner),
            _ => None,
        };
    }
    inner_of_group(error)
}

fn inner_of_group<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if let Some(error) = error.downcast_ref::<GroupError>() {
        return match error {
            GroupError::Coordinator(inner) => Some(inner),
            GroupError::Metadata(inner) => Some(inner),
            GroupError::FetchOffsets(inner) => Some(inner),
            GroupError::Commit(inner) => Some(inner),
            GroupError::Offsets(inner) => Some(inner),
            GroupError::Consume(inner) => Some(inner),
            GroupError::Call(inner) => Some(inner),
            _ => None,
        };
    }
    if let Some(CoordinatorError::Call(inner)) = error.downcast_ref::<CoordinatorError>() {
        return Some(inner);
    }
    if let Some(CoordinatorError::Metadata(inner)) = error.downcast_ref::<CoordinatorError>() {
        return Some(inner);
    }
    if let Some(CommitError::Coordinator(inner)) = error.downcast_ref::<CommitError>() {
        return Some(inner);
    }
    match error.downcast_ref::<FetchOffsetsError>() {
        Some(FetchOffsetsError::Coordinator(inner)) => Some(inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::ConnectError;

    #[test]
    fn a_failed_request_is_found_at_the_bottom() {
        let call = CallError::Connect(ConnectError::UnknownBroker { id: 7 });
        let metadata = MetadataError::Call(call);
        let coordinator = CoordinatorError::Metadata(metadata.clone());
        let errors: [&(dyn Error + 'static); 4] = [
            &ProduceError::Metadata(metadata.clone()),
            &ConsumeError::Offsets(OffsetsError::Metadata(metadata)),
            &GroupError::Commit(CommitError::Coordinator(coordinator.clone())),
            &AdminError::Coordinator(coordinator),
        ];
        for error in errors {
            assert!(matches!(
                call_error(error),
                Some(CallError::Connect(ConnectError::UnknownBroker { id: 7 }))
            ));
        }
        assert!(call_error(&ProduceError::Closed).is_none());
    }
}
