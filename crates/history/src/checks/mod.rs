//! One file for each promise; each takes the operations and the logs and adds what it finds to the report.

pub(crate) mod aborted;
pub(crate) mod cycles;
pub(crate) mod loss;
pub(crate) mod order;
pub(crate) mod polls;
pub(crate) mod real_time;
pub(crate) mod sends;
