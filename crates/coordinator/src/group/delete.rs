//! DeleteGroups.
//!
//! After `GroupCoordinatorShard.deleteGroups` and `ClassicGroup.validateDeleteGroup`: an Empty group goes with all its
//! committed offsets. The tombstone of the group comes last, so that a crash between them leaves a group that can be
//! deleted again.

use types::GroupId;

use super::kind::Group;
use super::offsets::delete::delete_all;
use super::offsets::store::OffsetStore;
use super::record::GroupRecord;

/// DeleteGroups, for the groups of one shard.
#[derive(Clone, Debug)]
pub struct DeleteGroupsRequest {
    /// The groups.
    pub groups: Vec<GroupId>,
}

/// The result for one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedGroup {
    /// The group.
    pub group: GroupId,
    /// Whether it is gone.
    pub result: Result<(), DeleteGroupError>,
}

/// Why a group is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteGroupError {
    /// GROUP_ID_NOT_FOUND.
    #[error("there is no such group")]
    UnknownGroup,
    /// NON_EMPTY_GROUP.
    #[error("the group has members")]
    NonEmptyGroup,
}

/// The tombstones of the group and of its offsets.
pub(crate) fn delete(
    id: &GroupId,
    group: Option<&Group>,
    store: &OffsetStore,
) -> Result<Vec<GroupRecord>, DeleteGroupError> {
    let group = group.ok_or(DeleteGroupError::UnknownGroup)?;
    group.validate_delete()?;
    let mut records = delete_all(store, id);
    group.tombstones(&mut records);
    Ok(records)
}
