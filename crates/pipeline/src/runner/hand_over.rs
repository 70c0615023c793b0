//! [`HandOver`]: from one version of a pipeline to another: where the old one ended, which is written down once, and where the new one
//! begins, if somebody wants it to go back.
//!
//! Invariants: the cut of a task is in the transaction that moves its positions, so it is done once, whatever crashes; a task that goes
//! back begins in all its places where the cut says, and forgets the others.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use spec::names::internal;

use super::positions::{Positions, Source};
use super::transaction::{OutRecord, TransactionWriter, WriteError};
use crate::control::Time;
use crate::control::record::{self, Action, Deployment, PipelineRecord, Rewind};
use crate::tasks::Role;

/// What was asked of those who run a version; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct HandOver {
    /// What made the version run.
    change: Option<Arc<Deployment>>,
    skips_deleted: bool,
    /// The tasks whose cut is done.
    done: Arc<Mutex<BTreeSet<Role>>>,
}

impl HandOver {
    /// For a version, from what was done to its pipeline, in its order. It may have been paused since it was applied.
    pub(crate) fn new<'a>(
        record: &PipelineRecord,
        deployments: impl DoubleEndedIterator<Item = &'a Arc<Deployment>> + Clone,
    ) -> Self {
        let made_it_run = |deployment: &&Arc<Deployment>| {
            matches!(deployment.action, Action::Apply | Action::Rollback)
                && deployment.to_version == Some(record.version)
        };
        let change = deployments.clone().rev().find(made_it_run).cloned();
        let last = deployments
            .clone()
            .rev()
            .find(|deployment| deployment.id == record.deployment);
        let mut done = BTreeSet::new();
        if let Some(change) = &change {
            let roles = [Role::Main, Role::Land, Role::Load];
            for cut in deployments.filter(|cut| cut.action == Action::Cut) {
                done.extend(roles.into_iter().find(|role| cut.id == id(change, *role)));
            }
        }
        Self {
            change,
            skips_deleted: last.is_some_and(|deployment| deployment.skip_deleted),
            done: Arc::new(Mutex::new(done)),
        }
    }

    /// Whether records that were deleted before they were read are left out.
    pub(crate) const fn skips_deleted(&self) -> bool {
        self.skips_deleted
    }

    /// The change that a task has yet to carry out.
    fn pending(&self, role: Role) -> Option<&Deployment> {
        let change = self.change.as_deref()?;
        let is_another = change.from_version.is_some() && change.from_version != change.to_version;
        let changes = is_another || !change.positions.is_empty();
        (changes && !self.done.lock().contains(&role)).then_some(change)
    }

    /// Where a task is to begin, if it goes back; else it goes on.
    pub(crate) fn rewound(&self, role: Role) -> Option<Positions> {
        let deployment = self.pending(role)?;
        let of_task = deployment
            .positions
            .iter()
            .filter(|rewind| rewind.task == role.name());
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

    /// Writes down where the old version of a task ended, and moves it to where the new one begins.
    pub(crate) async fn cut(
        &self,
        role: Role,
        ended: &Positions,
        writer: &mut TransactionWriter,
        now_ms: i64,
    ) -> Result<(), WriteError> {
        let Some(deployment) = self.pending(role) else {
            return Ok(());
        };
        writer.begin()?;
        if let Some(rewound) = self.rewound(role) {
            for source in ended
                .0
                .keys()
                .filter(|source| !rewound.0.contains_key(source))
            {
                writer.send_position(source, None, now_ms).await?;
            }
            for (source, position) in &rewound.0 {
                writer
                    .send_position(source, Some(position.clone()), now_ms)
                    .await?;
            }
        }
        let cut = cut_of(deployment, role, ended, now_ms);
        let (key, value) = (cut.key().bytes(), record::write(&cut));
        let record = OutRecord {
            key: Some(&key),
            value: Some(&value),
            timestamp_ms: None,
        };
        writer
            .send(&Arc::from(internal::DEPLOYMENTS), record)
            .await?;
        writer.commit().await?;
        self.done.lock().insert(role);
        Ok(())
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

    #[test]
    fn a_version_that_follows_none_is_cut_from_nothing() {
        let first = hand_over(&[deployment("a", Action::Apply, None, Vec::new())]);
        assert!(first.pending(Role::Main).is_none());
        assert!(HandOver::default().pending(Role::Main).is_none());
        let follows = hand_over(&[deployment("a", Action::Apply, Some(1), Vec::new())]);
        assert!(follows.pending(Role::Main).is_some());
        assert_eq!(follows.rewound(Role::Main), None);
    }

    #[test]
    fn each_task_is_cut_once_also_if_it_was_paused_in_between() {
        let wanted = deployment("a", Action::Rollback, Some(3), vec![rewind("land")]);
        let cut = Arc::new(cut_of(&wanted, Role::Load, &Positions::default(), 7));
        let resumed = deployment("b", Action::Resume, Some(2), Vec::new());
        let hand_over = hand_over(&[wanted, cut, resumed]);
        assert!(hand_over.pending(Role::Load).is_none());
        let rewound = hand_over.rewound(Role::Land).unwrap();
        assert_eq!(rewound.0.len(), 1);
        assert_eq!(hand_over.rewound(Role::Main), None);
    }
}
