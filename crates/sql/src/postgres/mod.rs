//! The PostgreSQL wire protocol: psql, psycopg, JDBC and whatever else speaks it reads topics as tables.
//!
//! Invariant: the protocol knows nothing of topics. A session has a context from [`Sessions`] and asks it; what tables there are
//! and how they are read is the engine's.
//!
//! The way of a statement: [`wire`] cuts packets, [`frontend`] decodes them, [`session`] answers them one by one: [`statement`]
//! says what a text is, [`rewrite`] turns PostgreSQL's SQL into DataFusion's, [`plan`] plans it, [`rows`] takes the rows batch by
//! batch, [`encode`] writes them. [`catalog`] is what clients ask about tables, [`writing`] what adds to topics.
//!
//! Nobody is asked who they are yet: any user and any database is taken. The listener should be on loopback.

mod activity;
mod backend;
mod catalog;
mod control;
mod copy;
mod copy_binary;
mod copy_in;
mod copy_rows;
mod decode;
mod encode;
mod error;
mod export;
mod frontend;
mod plan;
mod rewrite;
mod rows;
mod server;
mod session;
mod settings;
mod startup;
mod statement;
mod types;
mod wire;
mod writing;

pub use activity::{Activity, SessionState, SessionView};
/// Bytes as PostgreSQL reads them in text; `None` if they are none.
pub(crate) fn bytea(text: &str) -> Option<Vec<u8>> {
    decode::bytea(text).ok()
}

pub(crate) use catalog::is_table_function;
pub(crate) use encode::NAME_MARK;
pub(crate) use rewrite::{rewrite as rewrite_statement, rewrite_expression};
pub use server::{Limits, Server, Sessions};
pub(crate) use statement::folded;
