//! A pipeline is a SQL statement: what pipeline files compile to, their tests, versions and deployments, and the loop that runs them.
//!
//! | Module | Owns |
//! |---|---|
//! | [`engine`] | the query of a pipeline with its checks, compiled once and run over batches; the only place that knows DataFusion |
//! | [`directory`] | the files of a folder, compiled together |
//! | [`fixtures`] | the tests of pipeline files, run without a broker |
//! | [`tasks`] | which tasks a pipeline is, and what they are called |
//! | [`control`] | versions, plans, deployments, and the topics that keep them |
//! | [`runner`] | reads, runs, commits |

pub mod control;
pub mod directory;
pub mod engine;
pub mod fixtures;
pub mod runner;
pub mod secrets;
pub mod tasks;
