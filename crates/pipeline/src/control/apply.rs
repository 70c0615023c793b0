//! [`apply`]: does what a plan says, and nothing else.
//!
//! Invariants: nothing is done if what runs is no longer what the plan was made from; topics come first, each step of them may be
//! done twice, and the versions with their deployments come last, in one transaction. So whoever is interrupted anywhere does the
//! same again, and a plan that was applied is not applied twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use client::admin::{
    AdminError, ConfigChange, ConfigOperation, ConfigResource, NewTopic, alter_configs,
    create_topics,
};
use client::{Cluster, MetadataError, Refusal};
use protocol::ErrorCode;
use spec::names::{Environment, NoEnvironment};

use super::Time;
use super::commit::{Change, CommitError, Writer};
use super::plan::{ChangeKind, PLAN_FORMAT, PipelinePlan, Plan, TopicPlan};
use super::record::{Action, Deployment, PipelineRecord};

/// Who does something, why and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Who.
    pub author: String,
    /// Why, for people.
    pub message: Option<String>,
    /// When.
    pub time: Time,
}

/// What became of a plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Applied {
    /// It was applied now.
    Now(Change),
    /// It had been applied.
    Before(Arc<Deployment>),
    /// There was nothing to do.
    Nothing,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A topic was created, or was there as it has to be.
    Created(String),
    /// A topic got its settings.
    Changed(String),
    /// What is outside of the cluster was created for a pipeline.
    Outside(String),
    /// A record was written, which does not count yet.
    Written,
}

/// Who helps with a plan and watches.
pub trait Hands {
    /// Creates what is outside of the cluster for a pipeline: [`PipelinePlan::outside`]. It may be done twice. An error says what to
    /// do.
    fn create_outside(&mut self, plan: &PipelinePlan) -> impl Future<Output = Result<(), String>>;

    /// Is told what was done.
    fn done(&mut self, step: Step) -> impl Future<Output = ()>;
}

/// Why a plan was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another version made it.
    #[error(
        "the plan has format {found}, and this version of Watertable reads {PLAN_FORMAT}; make a new plan"
    )]
    Format {
        /// The format that it has.
        found: u32,
    },
    /// It is for no environment.
    #[error("the plan is for no environment; make a new plan")]
    Environment(#[from] NoEnvironment),
    /// Something was changed since.
    #[error(
        "the plan was made from another state: {environment} was changed since; run plan again, and look at what it says now"
    )]
    Moved {
        /// The environment.
        environment: String,
    },
    /// The brokers cannot be asked for topics.
    #[error("cannot create the topics of the plan")]
    Admin(#[from] AdminError),
    /// A broker refuses a topic.
    #[error("cannot create the topic '{topic}'")]
    Topic {
        /// Which.
        topic: String,
        /// The broker's answer.
        #[source]
        source: Refusal,
    },
    /// A topic cannot be used.
    #[error("the topic '{topic}' was created and cannot be used")]
    Leaderless {
        /// Which.
        topic: String,
        /// What the brokers say.
        #[source]
        source: MetadataError,
    },
    /// Somebody else created a topic.
    #[error(
        "the topic '{topic}' was created by somebody else with {found} partitions, and the plan says {wanted}; run plan again"
    )]
    Partitions {
        /// Which.
        topic: String,
        /// How many it has.
        found: u32,
        /// How many it should have.
        wanted: u32,
    },
    /// What is outside of the cluster cannot be created.
    #[error("cannot create what the pipeline {pipeline} needs outside of the cluster: {fault}")]
    Outside {
        /// Which pipeline.
        pipeline: String,
        /// What is wrong, and what to do.
        fault: String,
    },
    /// It could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Does what a plan says. If it fails or is interrupted, the same may be done again.
///
/// # Errors
/// It does not fit to what is there, or the cluster does not let us. What runs is as it was, but for [`CommitError::Unknown`].
pub async fn apply(
    cluster: &Cluster,
    plan: &Plan,
    who: &Who,
    hands: &mut impl Hands,
) -> Result<Applied, ApplyError> {
    if plan.format != PLAN_FORMAT {
        let found = plan.format;
        return Err(ApplyError::Format { found });
    }
    let environment: Environment = plan.environment.parse()?;
    let Some(first) = plan.pipelines.first() else {
        return Ok(Applied::Nothing);
    };
    let writer = Writer::open(cluster, &environment).await?;
    let id = plan.id();
    let state = writer.state();
    if let Some(before) = state.deployment(environment.as_str(), &first.pipeline, &id) {
        return Ok(Applied::Before(Arc::clone(before)));
    }
    if state.base(&environment) != plan.base {
        return Err(ApplyError::Moved {
            environment: plan.environment.clone(),
        });
    }
    topics(cluster, plan, hands).await?;
    for pipeline in plan
        .pipelines
        .iter()
        .filter(|plan| !plan.outside.is_empty())
    {
        let created = hands.create_outside(pipeline).await;
        let name = || pipeline.pipeline.clone();
        created.map_err(|fault| ApplyError::Outside {
            pipeline: name(),
            fault,
        })?;
        hands.done(Step::Outside(name())).await;
    }
    let change = change_of(plan, &id, who);
    writer
        .commit(&change, async || hands.done(Step::Written).await)
        .await?;
    Ok(Applied::Now(change))
}

/// What is written when a plan is applied under this name.
pub fn change_of(plan: &Plan, id: &str, who: &Who) -> Change {
    let mut change = Change::default();
    for pipeline in &plan.pipelines {
        let action = match pipeline.change {
            ChangeKind::Removed => Action::Remove,
            ChangeKind::New | ChangeKind::Changed | ChangeKind::Checks => Action::Apply,
        };
        let record = PipelineRecord {
            deployment: id.to_owned(),
            author: who.author.clone(),
            message: who.message.clone(),
            time: who.time,
            ..pipeline.record.clone()
        };
        change.deployments.push(Deployment {
            id: id.to_owned(),
            env: plan.environment.clone(),
            pipeline: pipeline.pipeline.clone(),
            action,
            from_version: pipeline.from_version,
            to_version: (action == Action::Apply).then_some(record.version),
            class: pipeline.class,
            positions: Vec::new(),
            of: None,
            skip_deleted: false,
            author: who.author.clone(),
            message: who.message.clone(),
            time: who.time,
            base: Some(plan.base.clone()),
        });
        change.pipelines.push(record);
    }
    change
}

/// Creates and changes the topics of a plan.
async fn topics(cluster: &Cluster, plan: &Plan, hands: &mut impl Hands) -> Result<(), ApplyError> {
    let all = plan.pipelines.iter().flat_map(|plan| &plan.topics);
    // Several pipelines may name one topic, as that of their dead letters.
    let by_name: BTreeMap<&str, &TopicPlan> =
        all.map(|topic| (topic.name.as_str(), topic)).collect();
    let new: Vec<NewTopic> = by_name
        .values()
        .filter_map(|topic| new_topic(topic))
        .collect();
    let mut to_change: BTreeSet<&str> = by_name
        .values()
        .filter(|topic| topic.create.is_none())
        .map(|topic| topic.name.as_str())
        .collect();
    if !new.is_empty() {
        for (name, created) in create_topics(cluster, &new, false).await? {
            let Some((name, topic)) = by_name.get_key_value(name.as_str()) else {
                continue;
            };
            match created {
                Ok(_) => {}
                Err(refusal) if refusal.is(ErrorCode::TopicAlreadyExists) => {
                    to_change.insert(name);
                }
                Err(source) => {
                    let topic = topic.name.clone();
                    return Err(ApplyError::Topic { topic, source });
                }
            }
            wait_for(cluster, topic).await?;
            hands.done(Step::Created(topic.name.clone())).await;
        }
    }
    for name in to_change {
        let Some(topic) = by_name.get(name) else {
            continue;
        };
        set(cluster, topic).await?;
        hands.done(Step::Changed(topic.name.clone())).await;
    }
    Ok(())
}

fn new_topic(topic: &TopicPlan) -> Option<NewTopic> {
    let partitions = i32::try_from(topic.create?).unwrap_or(i32::MAX);
    Some(NewTopic {
        name: topic.name.clone(),
        partitions: Some(partitions),
        replication_factor: None,
        configs: topic.settings.iter().cloned().collect(),
    })
}

/// Waits until a topic can be used; it has as many partitions as it should.
async fn wait_for(cluster: &Cluster, topic: &TopicPlan) -> Result<(), ApplyError> {
    let name: Arc<str> = Arc::from(topic.name.as_str());
    let found = cluster.refresh_topic(&name, false).await;
    let found = found.map_err(|source| ApplyError::Leaderless {
        topic: topic.name.clone(),
        source,
    })?;
    match topic.create {
        Some(wanted) if found.partition_count() != wanted => Err(ApplyError::Partitions {
            topic: topic.name.clone(),
            found: found.partition_count(),
            wanted,
        }),
        _ => Ok(()),
    }
}

/// Gives a topic its settings.
async fn set(cluster: &Cluster, topic: &TopicPlan) -> Result<(), ApplyError> {
    let changes = topic.settings.iter().map(|(name, value)| ConfigChange {
        name: name.clone(),
        operation: ConfigOperation::Set(value.clone()),
    });
    let changes: Vec<_> = changes.collect();
    let resource = ConfigResource::Topic(topic.name.clone());
    Ok(alter_configs(cluster, &resource, &changes, false).await?)
}
