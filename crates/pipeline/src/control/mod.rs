//! Versions, plans and deployments of pipelines.
//!
//! What runs is a function of two topics: `__pipelines` has the versions, `__deployments` what was done and what is asked for. A
//! change is planned from what is there ([`plan`]) and written in one transaction ([`Writer`]); whoever runs pipelines follows both
//! topics ([`Store`]), and nothing else tells them what to do.
//!
//! Invariant: every state of a change that was not finished is one that its next attempt completes.

mod action;
mod apply;
mod commit;
mod facts;
mod follow;
mod history;
mod key;
mod log;
pub mod outside;
pub mod plan;
mod positions;
pub mod record;
mod runs;
mod state;
mod store;
mod tail;
mod time;
pub mod topics;

pub use action::{ActionError, Request, act, decide, existing, spec_of};
pub use apply::{Applied, ApplyError, Hands, Step, Who, apply, change_of};
pub use commit::{Change, CommitError, Writer};
pub use facts::{FactsError, facts};
pub use follow::{DeadLetterTopic, FollowError, Follower, Lag};
pub use history::{RUNS_KEPT, last_runs};
pub use key::Key;
pub use log::LogError;
pub use plan::{Plan, diff, fingerprint};
pub use positions::{Positions, positions, positions_of_task};
pub use record::{
    Action, CheckResult, Class, ColumnRecord, Deployment, Level, LogLine, PipelineRecord,
    PipelineState, Position, RecordError, ResolvedInput, Rewind, Run, RunState, SourceRecord, Then,
};
pub use runs::runs;
pub use state::{ASKS_KEPT, DEPLOYMENTS_KEPT, Event, State};
pub use store::{Store, StoreError};
pub use tail::{DeadLetters, History, Letter, Tail};
pub use time::Time;
