//! Fields that several group APIs share, from the wire and back.

use std::sync::Arc;

use bytes::Bytes;
use coordinator::Generation;
use types::{InstanceId, MemberId};

/// The empty member id means "none yet".
pub(super) fn member(id: &str) -> Option<MemberId> {
    (!id.is_empty()).then(|| MemberId::new(id))
}

pub(super) fn instance(id: Option<&str>) -> Option<InstanceId> {
    id.map(InstanceId::new)
}

/// A negative generation means "none".
pub(super) fn generation(id: i32) -> Option<Generation> {
    Generation::new(id)
}

/// A member id as the wire carries it; none is empty.
pub(super) fn member_text(id: Option<&MemberId>) -> String {
    id.map_or_else(String::new, |id| id.as_str().to_owned())
}

pub(super) fn text(text: Option<&Arc<str>>) -> Option<String> {
    text.map(|text| text.as_ref().to_owned())
}

/// Shared bytes as a response takes them, without copying.
pub(super) fn bytes(shared: &Arc<[u8]>) -> Bytes {
    Bytes::from_owner(Arc::clone(shared))
}
