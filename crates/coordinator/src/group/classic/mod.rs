//! The classic group protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup), after Kafka's
//! `GroupMetadataManager.java` and `classic/ClassicGroup.java`.
//!
//! A generation is agreed on in two phases. In PreparingRebalance the members join; each JoinGroup is parked until all
//! have come or time is up. In CompletingRebalance the leader, who alone saw the member list, sends the assignment
//! with its SyncGroup; the others' SyncGroups are parked until then. Nothing is durable before that SyncGroup: a crash
//! between the phases leaves the previous generation, whose members then fail their heartbeats and join again.
//!
//! Kafka's state Dead has no counterpart: here a group is removed in one step, never seen half gone.

pub(crate) mod expire;
pub(crate) mod generation;
pub(crate) mod heartbeat;
pub(crate) mod join;
mod join_static;
pub(crate) mod leave;
pub(crate) mod member;
pub(crate) mod rebalance;
pub(crate) mod state;
pub(crate) mod subscription;
pub(crate) mod sync;
