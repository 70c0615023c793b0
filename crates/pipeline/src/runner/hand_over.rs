//! [`HandOver`]: from one version of a pipeline to another: where the old one ended, which is written down once, and where the new one
//! begins, if somebody wants it to go back. And what else was asked for and is done once.
//!
//! Invariants: what a task has carried out is kept with its positions, in the transaction that moves them, and is read behind the fence of
//! its transactional id; so it is done once, whatever crashes and however many workers hear of it. Changes are carried out in their order,
//! those too that nobody carried out before the next came. A task that goes back begins in all its places where the cut says, and forgets
//! the others.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use spec::names::internal;

use super::positions::{PositionFault, Positions, Source};
use super::topic_reader::LeftOut;
use super::transaction::{OutRecord, TransactionWriter, WriteError};
use crate::control::Time;
use crate::control::record::{self, Action, Deployment, PipelineRecord, Rewind};
use crate::tasks::Role;

/// Where a task keeps what it has carried out.
const PLACE: &str = "done";
/// So many deployments of a task are known to be done: those before the last of them are done, too.
const DONE_MAX: usize = 64;

/// What was asked of those who run a version; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct HandOver(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    /// What made versions run, up to this one.
    changes: Vec<Arc<Deployment>>,
    /// The names of the cuts that were written.
    cuts: BTreeSet<String>,
    /// The deployment that asks for records to be left out which were deleted before they were read.
    skips_deleted: Option<String>,
}

impl HandOver {
    /// For a version, from what was done to its pipeline, in its order. It may have been paused since it was applied.
    pub(crate) fn new<'a>(
        record: &PipelineRecord,
        deployments: impl DoubleEndedIterator<Item = &'a Arc<Deployment>> + Clone,
    ) -> Self {
        let is_last = |deployment: &&Arc<Deployment>| deployment.id == record.deployment;
        let last = deployments.clone().rev().find(is_last);
        let behind = deployments.clone().rev();
        let behind = behind.take_while(|other| !is_last(other)).count();
        let before = deployments
            .clone()
            .rev()
            .skip(if last.is_some() { behind } else { 0 });
        let made_run = |deployment: &&Arc<Deployment>| {
            matches!(deployment.action, Action::Apply | Action::Rollback)
        };
        let mut changes: Vec<_> = before.filter(made_run).cloned().collect();
        changes.reverse();
        let of_version = changes.last().and_then(|change| change.to_version);
        if of_version != Some(record.version) {
            changes.clear();
        }
        let cuts = deployments.filter(|cut| cut.action == Action::Cut);
        let skips_deleted = last.filter(|last| last.skip_deleted);
        Self(Arc::new(Asked {
            changes,
            cuts: cuts.map(|cut| cut.id.clone()).collect(),
            skips_deleted: skips_deleted.map(|last| last.id.clone()),
        }))
    }

    /// What a task has yet to do, by what is kept with its positions. Only those of its sources are left of them.
    pub(crate) fn of_task(
        &self,
        role: Role,
        kept: &mut Positions,
    ) -> Result<TaskHandOver, PositionFault> {
        let done: Done = kept.read(&Source::kept(PLACE))?.unwrap_or_default();
        kept.0.retain(|source, _| !source.is_kept());
        let Asked {
            changes,
            cuts,
            skips_deleted,
        } = &*self.0;
        let is_done =
            |change: &&Arc<Deployment>| done.has(&change.id) || cuts.contains(&id(change, role));
        let pending = changes.iter().rev().take_while(|change| !is_done(change));
        let mut pending: Vec<_> = pending.filter(|change| moves(change)).cloned().collect();
        pending.reverse();
        let skips_deleted = skips_deleted.clone().filter(|id| !done.has(id));
        Ok(TaskHandOver {
            role,
            pending,
            skips_deleted,
            done,
        })
    }
}

/// Whether a change has something to be carried out.
fn moves(change: &Deployment) -> bool {
    let is_another = change.from_version.is_some() && change.from_version != change.to_version;
    is_another || !change.positions.is_empty()
}

/// The deployments that a task has carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Done {
    deployments: Vec<String>,
}

impl Done {
    fn has(&self, id: &str) -> bool {
        self.deployments.iter().any(|done| done == id)
    }

    fn add(&mut self, id: &str) {
        if self.deployments.len() >= DONE_MAX {
            self.deployments.remove(0);
        }
        self.deployments.push(id.to_owned());
    }
}

/// What a task has yet to do.
#[derive(Debug)]
pub(crate) struct TaskHandOver {
    role: Role,
    /// The changes, in their order.
    pending: Vec<Arc<Deployment>>,
    skips_deleted: Option<String>,
    done: Done,
}

impl TaskHandOver {
    /// Whether records that were deleted before they were read are left out, this time.
    pub(crate) const fn skips_deleted(&self) -> bool {
        self.skips_deleted.is_some()
    }

    /// Where a task is to begin, if it goes back; else it goes on.
    pub(crate) fn rewound(&self) -> Option<Positions> {
        let pending = self.pending.iter().rev();
        pending.filter_map(|change| self.rewound_by(change)).next()
    }

    fn rewound_by(&self, change: &Deployment) -> Option<Positions> {
        let of_task = change
            .positions
            .iter()
            .filter(|rewind| rewind.task == self.role.name());
        let positions = of_task.map(|rewind| {
            let source = Source {
                input: rewind.input.clone(),
                place: rewind.place.clone(),
            };
            (source, rewind.position.clone())
        });
        let positions = Positions(positions.collect());
        (!positions.0.is_empty()).then_some(positions)
    }

    /// Writes down where the old version of a task ended, and moves it to where the new one begins; and behind the records that were left
    /// out, because somebody said so. From then on it is done.
    pub(crate) async fn carry_out(
        mut self,
        ended: &Positions,
        left_out: &[LeftOut],
        writer: &mut TransactionWriter,
        now_ms: i64,
    ) -> Result<(), WriteError> {
        if self.pending.is_empty() && self.skips_deleted.is_none() {
            return Ok(());
        }
        writer.begin()?;
        let mut stands = ended.clone();
        for change in &self.pending {
            let cut = cut_of(change, self.role, &stands, now_ms);
            let (key, value) = (cut.key().bytes(), record::write(&cut));
            let record = OutRecord {
                key: Some(&key),
                value: Some(&value),
                timestamp_ms: None,
            };
            let topic = Arc::from(internal::DEPLOYMENTS);
            writer.send(&topic, record).await?;
            if let Some(rewound) = self.rewound_by(change) {
                stands = rewound;
            }
        }
        if let Some(rewound) = self.rewound() {
            let mut moved = rewound.clone();
            for left_out in left_out {
                moved.0.insert(left_out.source.clone(), left_out.position());
            }
            for source in ended
                .0
                .keys()
                .filter(|source| !moved.0.contains_key(source))
            {
                writer.send_position(source, None, now_ms).await?;
            }
            for (source, position) in moved.0 {
                writer
                    .send_position(&source, Some(position), now_ms)
                    .await?;
            }
        } else {
            for left_out in left_out {
                let position = Some(left_out.position());
                writer
                    .send_position(&left_out.source, position, now_ms)
                    .await?;
            }
        }
        let carried_out = self.pending.iter().map(|change| &change.id);
        for id in carried_out.chain(&self.skips_deleted) {
            self.done.add(id);
        }
        let done = Some(serde_json::json!(self.done));
        writer
            .send_position(&Source::kept(PLACE), done, now_ms)
            .await?;
        writer.commit().await
    }
}

fn id(deployment: &Deployment, role: Role) -> String {
    format!("{}.{role}", deployment.id)
}

fn cut_of(deployment: &Deployment, role: Role, ended: &Positions, now_ms: i64) -> Deployment {
    let positions = ended.0.iter().map(|(source, position)| Rewind {
        task: role.name().to_owned(),
        input: source.input.clone(),
        place: source.place.clone(),
        position: position.clone(),
    });
    Deployment {
        id: id(deployment, role),
        action: Action::Cut,
        positions: positions.collect(),
        of: Some(deployment.id.clone()),
        message: None,
        base: None,
        time: Time::from_ms(now_ms),
        ..deployment.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::record::{Class, PipelineState};

    fn deployment(
        id: &str,
        action: Action,
        from: Option<u32>,
        positions: Vec<Rewind>,
    ) -> Arc<Deployment> {
        Arc::new(Deployment {
            id: id.to_owned(),
            env: "prod".to_owned(),
            pipeline: "trips".to_owned(),
            action,
            from_version: from,
            to_version: Some(2),
            class: Some(Class::HandOver),
            positions,
            of: None,
            skip_deleted: false,
            author: "ada".to_owned(),
            message: None,
            time: Time::from_ms(0),
            base: None,
        })
    }

    fn rewind(task: &str) -> Rewind {
        Rewind {
            task: task.to_owned(),
            input: "raw".to_owned(),
            place: "file:a".to_owned(),
            position: serde_json::json!({"next": 1}),
        }
    }

    fn hand_over(deployments: &[Arc<Deployment>]) -> HandOver {
        let last = deployments
            .last()
            .map_or_else(String::new, |last| last.id.clone());
        let record = PipelineRecord {
            env: "prod".to_owned(),
            pipeline: "trips".to_owned(),
            version: 2,
            state: PipelineState::Running,
            fingerprint: String::new(),
            spec: String::new(),
            resolved: Vec::new(),
            output: Vec::new(),
            query: String::new(),
            deployment: last,
            author: String::new(),
            git_commit: None,
            message: None,
            time: Time::from_ms(0),
        };
        HandOver::new(&record, deployments.iter())
    }

    /// What a task has yet to do that has carried these out.
    fn of(hand_over: &HandOver, role: Role, done: &[&str]) -> TaskHandOver {
        let mut known = Done::default();
        for id in done {
            known.add(id);
        }
        let known = (Source::kept(PLACE), serde_json::json!(known));
        let mut kept = Positions([known].into());
        let of_task = hand_over.of_task(role, &mut kept).unwrap();
        assert!(kept.0.is_empty(), "it is no place of an input");
        of_task
    }

    #[test]
    fn a_version_that_follows_none_is_cut_from_nothing() {
        let first = hand_over(&[deployment("a", Action::Apply, None, Vec::new())]);
        assert!(of(&first, Role::Main, &[]).pending.is_empty());
        assert!(of(&HandOver::default(), Role::Main, &[]).pending.is_empty());
        let follows = hand_over(&[deployment("a", Action::Apply, Some(1), Vec::new())]);
        assert_eq!(of(&follows, Role::Main, &[]).pending.len(), 1);
        assert_eq!(of(&follows, Role::Main, &[]).rewound(), None);
    }

    #[test]
    fn each_task_is_cut_once_also_if_it_was_paused_in_between() {
        let wanted = deployment("a", Action::Rollback, Some(3), vec![rewind("land")]);
        let cut = Arc::new(cut_of(&wanted, Role::Load, &Positions::default(), 7));
        let resumed = deployment("b", Action::Resume, Some(2), Vec::new());
        let hand_over = hand_over(&[wanted, cut, resumed]);
        assert!(of(&hand_over, Role::Load, &[]).pending.is_empty());
        let rewound = of(&hand_over, Role::Land, &[]).rewound().unwrap();
        assert_eq!(rewound.0.len(), 1);
        assert_eq!(of(&hand_over, Role::Main, &[]).rewound(), None);
        // Another worker has carried it out since this one heard of it.
        let done = of(&hand_over, Role::Land, &["a"]);
        assert!(done.pending.is_empty() && done.rewound().is_none());
    }

    #[test]
    fn a_change_that_nobody_carried_out_is_carried_out_before_the_next() {
        let changes = [
            deployment("first", Action::Apply, Some(1), vec![rewind("main")]),
            deployment("back", Action::Rollback, Some(2), vec![rewind("main")]),
            deployment("next", Action::Apply, Some(1), Vec::new()),
        ];
        let hand_over = hand_over(&changes);
        let task = of(&hand_over, Role::Main, &["first"]);
        let pending: Vec<_> = task.pending.iter().map(|change| &*change.id).collect();
        assert_eq!(pending, ["back", "next"]);
        assert!(task.rewound().is_some());
        assert!(of(&hand_over, Role::Main, &["back"]).rewound().is_none());
        assert!(of(&hand_over, Role::Main, &["next"]).pending.is_empty());
    }

    #[test]
    fn records_are_left_out_once_for_each_time_that_somebody_says_so() {
        let resume = Deployment {
            skip_deleted: true,
            ..deployment("b", Action::Resume, Some(2), Vec::new())
                .as_ref()
                .clone()
        };
        let applied = deployment("a", Action::Apply, None, Vec::new());
        let hand_over = hand_over(&[applied, Arc::new(resume)]);
        assert!(of(&hand_over, Role::Main, &["a"]).skips_deleted());
        assert!(!of(&hand_over, Role::Main, &["a", "b"]).skips_deleted());
    }
}
