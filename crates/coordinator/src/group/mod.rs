//! Consumer groups: membership by the classic protocol, and committed offsets.
//!
//! One file per transition. Each takes `&mut` state and a [`transition::Transition`], which collects records, replies
//! and timers; none of them waits or reads a clock.

pub(crate) mod classic;
pub(crate) mod consumer;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod kind;
pub(crate) mod list;
pub(crate) mod modern;
pub(crate) mod offsets;
pub(crate) mod record;
pub(crate) mod request;
pub(crate) mod settings;
pub(crate) mod shard;
pub(crate) mod share;
pub(crate) mod streams;
pub(crate) mod timers;
pub(crate) mod transition;

pub(crate) use crate::time;
