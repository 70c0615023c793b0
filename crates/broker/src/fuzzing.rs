//! What this crate reads of strangers and of its own topics, for the targets of the `fuzzing` crate.

pub use crate::connection::frames_of;
pub use crate::coordinators::fuzzing::{
    Event, replay_groups, replay_share_states, replay_transactions,
};
