//! Reads, runs, commits: [`Worker`] follows what is applied, and each pipeline lives in it by itself.
//!
//! | File | Owns |
//! |---|---|
//! | `worker` | which pipelines live |
//! | `life`, `mailbox` | one pipeline: its version, its runs, what happens when one fails; what it is told |
//! | `open` | puts a task together |
//! | `task` | a task as it runs: one half reads and judges, the other one commits |
//! | `pace` | how fast all of them go while others produce |
//! | `readers`, `topic_reader`, `file_reader`, `put_away`, `table_reader`, `chunk` | what is read, as rows beside the records they were |
//! | `judge`, `tally` | the query with its checks over a chunk; how many records are bad |
//! | `record_key`, `topic_output`, `topic_writer`, `transaction` | rows as records, in a transaction with dead letters and positions |
//! | `back_test` | what a new version would have done to recent records |
//! | `hand_over` | from one version to another |
//! | `positions`, `outcome`, `history`, `status`, `progress`, `lag` | how far it is, what has run, what happened, how it stands |

pub mod back_test;
mod chunk;
pub mod dead_letter;
pub mod deployed;
mod file_reader;
mod hand_over;
mod history;
mod judge;
mod lag;
mod life;
mod mailbox;
mod open;
mod outcome;
mod pace;
pub mod positions;
pub mod progress;
mod put_away;
mod readers;
mod record_key;
mod schedule;
pub mod status;
mod table_reader;
mod table_writer;
pub mod tally;
mod task;
mod topic_output;
mod topic_reader;
mod topic_writer;
mod transaction;
mod worker;

pub use pace::{Others, Pace};
pub use worker::{Worker, WorkerOptions};
