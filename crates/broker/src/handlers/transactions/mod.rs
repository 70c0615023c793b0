//! Handlers of the APIs about transactions.

pub(crate) mod init_producer_id;
