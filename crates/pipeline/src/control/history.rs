//! What happened, for those who look: the last runs of pipelines.

use std::collections::BTreeMap;

use client::Cluster;
use spec::names::Environment;

use super::record::Run;
use super::runs::runs;
use super::store::StoreError;

/// So many runs of each pipeline are told: the last.
pub const RUNS_KEPT: usize = 1000;

/// The last runs of the pipelines of an environment, or of one of them; the first of them first.
///
/// # Errors
/// The topic cannot be read.
pub async fn last_runs(
    cluster: &Cluster,
    environment: &Environment,
    pipeline: Option<&str>,
) -> Result<BTreeMap<String, Vec<Run>>, StoreError> {
    let mut last = LastRuns::default();
    runs(cluster, |run| {
        let is_wanted = pipeline.is_none_or(|wanted| wanted == run.pipeline);
        if run.env == environment.as_str() && is_wanted {
            last.add(run);
        }
    })
    .await?;
    Ok(last.done())
}

/// Runs by pipeline, as their records come.
#[derive(Debug, Default)]
struct LastRuns(BTreeMap<String, BTreeMap<String, Run>>);

impl LastRuns {
    fn add(&mut self, run: Run) {
        let runs = self.0.entry(run.pipeline.clone()).or_default();
        runs.insert(run.run.clone(), run);
        if runs.len() > RUNS_KEPT {
            let oldest = runs.iter().min_by_key(|(_, run)| run.started);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                runs.remove(&oldest);
            }
        }
    }

    fn done(self) -> BTreeMap<String, Vec<Run>> {
        let sorted = |runs: BTreeMap<String, Run>| {
            let mut runs: Vec<_> = runs.into_values().collect();
            runs.sort_by(|one, other| (one.started, &one.run).cmp(&(other.started, &other.run)));
            runs
        };
        let pipelines = self.0.into_iter();
        pipelines.map(|(name, runs)| (name, sorted(runs))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{RunState, Time};

    fn run(name: &str, started: i64, state: RunState) -> Run {
        Run {
            env: "prod".to_owned(),
            pipeline: "trips".to_owned(),
            run: name.to_owned(),
            version: 1,
            trigger: "schedule".to_owned(),
            nominal: None,
            state,
            started: Time::from_ms(started),
            ended: None,
            attempt: 1,
            rows_in: 0,
            rows_out: 0,
            dead: 0,
            dropped: 0,
            warned: 0,
            error: None,
            then: None,
            deployment: None,
        }
    }

    #[test]
    fn the_last_state_of_the_last_runs_is_kept_in_the_order_of_their_start() {
        let mut last = LastRuns::default();
        last.add(run("b", 2, RunState::Running));
        last.add(run("a", 1, RunState::Succeeded));
        last.add(run("b", 2, RunState::Failed));
        let runs = last.done().remove("trips").unwrap();
        let seen: Vec<_> = runs
            .iter()
            .map(|run| (run.run.as_str(), run.state))
            .collect();
        assert_eq!(seen, [("a", RunState::Succeeded), ("b", RunState::Failed)]);
        let mut last = LastRuns::default();
        for number in 0..=RUNS_KEPT {
            let started = i64::try_from(number).unwrap();
            last.add(run(&number.to_string(), started, RunState::Succeeded));
        }
        let runs = last.done().remove("trips").unwrap();
        assert_eq!((runs.len(), runs[0].run.as_str()), (RUNS_KEPT, "1"));
    }
}
