//! Rules about names that only the cluster and all environments together can break.

use std::collections::BTreeMap;

use spec::names::{self, Environment};

use super::topics::{Used, unified, used};
use super::wanted::Facts;
use super::{PlanFault, TopicPlan};
use crate::control::record::PipelineRecord;
use crate::control::state::State;
use crate::tasks;

/// The topics of a pipeline that runs.
pub(super) fn topics_of(record: &PipelineRecord) -> Used {
    let compiled = || {
        let environment: Environment = record.env.parse().ok()?;
        let pipeline = record.pipeline().ok()?;
        let tasks = tasks::compile(&pipeline, &environment).ok()?;
        Some(used(&pipeline, &tasks, &environment))
    };
    compiled().unwrap_or_default()
}

/// Names of topics that are created: Kafka takes them, and they clash with no other.
pub(super) fn created(
    topics: &[TopicPlan],
    environment: &Environment,
    facts: &Facts,
    faults: &mut Vec<PlanFault>,
) {
    let is_created = |topic: &&TopicPlan| topic.create.is_some();
    for TopicPlan { name, .. } in topics.iter().filter(is_created) {
        if !names::is_topic(name) {
            let instead = if environment.is_production() {
                "choose a shorter name"
            } else {
                "choose a shorter name, or a shorter one for the environment"
            };
            let topic = name.clone();
            faults.push(PlanFault::TopicName { topic, instead });
        }
        let clashes = |other: &&String| *other != name && unified(other) == unified(name);
        if let Some(other) = facts.topics.keys().find(clashes) {
            let (topic, other) = (name.clone(), other.clone());
            faults.push(PlanFault::Collision { topic, other });
        }
    }
}

/// Names of `prod` have no prefix, so none may begin as those of another environment do.
pub(super) fn prefixes(
    environment: &Environment,
    current: &State,
    pipeline: &str,
    topics: &[String],
    faults: &mut Vec<PlanFault>,
) {
    if !environment.is_production() {
        return;
    }
    let others = current
        .pipelines()
        .map(|record| record.env.as_str())
        .filter(|other| *other != environment.as_str());
    for other in others.collect::<std::collections::BTreeSet<_>>() {
        for topic in topics.iter().filter(|topic| is_of(topic, other)) {
            faults.push(PlanFault::Prefix {
                topic: topic.clone(),
                owner: pipeline.to_owned(),
                environment: other.to_owned(),
                instead: "choose another name for it",
            });
        }
    }
}

/// The topics of `prod` that would belong to this environment.
pub(super) fn foreign(environment: &Environment, current: &State) -> Vec<PlanFault> {
    if environment.is_production() {
        return Vec::new();
    }
    let mut faults = BTreeMap::new();
    for record in current.pipelines() {
        if record.env != names::PRODUCTION {
            continue;
        }
        let Used { read, written } = topics_of(record);
        for topic in read.into_iter().chain(written) {
            if is_of(&topic, environment.as_str()) {
                let fault = PlanFault::Prefix {
                    topic: topic.clone(),
                    owner: format!("the pipeline {} of prod", record.pipeline),
                    environment: environment.to_string(),
                    instead: "choose another name for the environment",
                };
                faults.insert(topic, fault);
            }
        }
    }
    faults.into_values().collect()
}

fn is_of(topic: &str, environment: &str) -> bool {
    let rest = topic.strip_prefix(environment);
    rest.is_some_and(|rest| rest.starts_with('.'))
}
