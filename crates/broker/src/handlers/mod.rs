//! One file per API, grouped by what it is about. A handler owns no state: fields in, a call to a service, a response
//! out. Error codes are chosen in `errors`, once per cause.

mod authorized_operations;
pub(crate) mod blocking;
pub(crate) mod cluster;
pub(crate) mod configs;
pub(crate) mod data;
pub(crate) mod errors;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod groups;
pub(crate) mod quotas;
pub(crate) mod refusal;
pub(crate) mod security;
pub(crate) mod shares;
pub(crate) mod topics;
pub(crate) mod transactions;
