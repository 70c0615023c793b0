//! Plans against a broker: whole or not at all, once, and completed after any interruption.

use std::sync::Arc;

use client::Cluster;
use client::admin::{ConfigResource, describe_configs};
use pipeline::control::plan::{Options, PipelinePlan};
use pipeline::control::{
    Action, ActionError, Applied, ApplyError, CommitError, Hands, PipelineState, Plan, Request,
    State, Step, Store, act, apply, diff, existing,
};
use tokio::sync::oneshot;

use super::files::{facts, wanted, who};
use super::{Runner, World, environment};

const FILE: &str = "\
format: 1
pipeline: trips_clean
run: { every: 5m }
from: { raw: { topic: { name: trips } } }
sql: SELECT id, city FROM raw
to: { topic: { name: trips.clean, key: id, partitions: 3, cleanup: compact } }
";

/// A plan for what runs, as if the cluster had a topic to read and no other.
fn planned(state: &State, file: &str) -> Plan {
    let prod = environment("prod");
    let facts = facts(&[("trips", "id bigint, city text")]);
    let mut wanted = wanted(&prod, file, "id bigint, city text", &facts);
    wanted.outside = vec!["a schema in a database".to_owned()];
    diff(&prod, state, &[wanted], &facts, &Options::default()).unwrap()
}

/// Hands that let go after so many steps.
struct Helper {
    steps: Vec<Step>,
    most: usize,
    gone: Option<oneshot::Sender<()>>,
}

impl Helper {
    fn steady() -> Self {
        Self {
            steps: Vec::new(),
            most: usize::MAX,
            gone: None,
        }
    }
}

impl Hands for Helper {
    async fn create_outside(&mut self, _plan: &PipelinePlan) -> Result<(), String> {
        Ok(())
    }

    async fn done(&mut self, step: Step) {
        self.steps.push(step);
        if self.steps.len() == self.most {
            if let Some(gone) = self.gone.take() {
                gone.send(()).unwrap();
            }
            // Whoever applies is killed here.
            std::future::pending::<()>().await;
        }
    }
}

async fn apply_all(cluster: &Cluster, plan: &Plan) -> Result<(Applied, Vec<Step>), ApplyError> {
    let mut hands = Helper::steady();
    let applied = apply(cluster, plan, &who(), &mut hands).await?;
    Ok((applied, hands.steps))
}

async fn state(cluster: &Cluster) -> State {
    Store::open(cluster).await.unwrap().state().clone()
}

async fn settings(cluster: &Cluster, topic: &str) -> Vec<(String, Option<String>)> {
    let topic = ConfigResource::Topic(topic.to_owned());
    let entries = describe_configs(cluster, &topic, None, false).await;
    let entries = entries.unwrap().into_iter();
    entries.map(|entry| (entry.name, entry.value)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_was_killed_at_any_step_is_completed_by_the_same_plan() {
    let plan = planned(&State::default(), FILE);
    let world = World::start().await;
    let (applied, steps) = apply_all(&world.cluster, &plan).await.unwrap();
    let Applied::Now(change) = applied else {
        panic!("{applied:?}")
    };
    let created = |name: &str| Step::Created(name.to_owned());
    assert_eq!(
        steps,
        [
            created("trips.clean"),
            created("trips_clean.dead"),
            Step::Outside("trips_clean".to_owned()),
            Step::Written,
            Step::Written,
            Step::Written,
        ]
    );
    let expected = state(&world.cluster).await;
    assert_eq!(expected.pipelines().count(), 1);
    assert_eq!(change.pipelines.len(), 1);
    let expected_settings = settings(&world.cluster, "trips.clean").await;
    let is_compacted = ("cleanup.policy".to_owned(), Some("compact".to_owned()));
    assert!(expected_settings.contains(&is_compacted));
    // What was applied is not applied again.
    let (applied, steps) = apply_all(&world.client(), &plan).await.unwrap();
    assert!(matches!(applied, Applied::Before(_)), "{applied:?}");
    assert_eq!(steps, []);
    world.stop().await;
    for most in 1..=6 {
        let world = World::start().await;
        let (gone, went) = oneshot::channel();
        let mut hands = Helper {
            steps: Vec::new(),
            most,
            gone: Some(gone),
        };
        let client = world.client();
        let who = who();
        let applying = apply(&client, &plan, &who, &mut hands);
        tokio::select! {
            biased;
            applied = applying => panic!("{applied:?}"),
            _ = went => {}
        }
        assert_eq!(
            state(&world.cluster).await,
            State::default(),
            "nothing counts after {most} steps"
        );
        let (applied, _) = apply_all(&world.client(), &plan).await.unwrap();
        assert!(matches!(applied, Applied::Now(_)), "{most}: {applied:?}");
        assert_eq!(state(&world.cluster).await, expected, "{most}");
        let settings = settings(&world.cluster, "trips.clean").await;
        assert_eq!(settings, expected_settings, "{most}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_plans_from_one_state_one_is_applied() {
    let world = World::start().await;
    let first = planned(&State::default(), FILE);
    let second = planned(&State::default(), &FILE.replace("5m", "6m"));
    let (client, other) = (world.client(), world.client());
    let (one, two) = tokio::join!(apply_all(&client, &first), apply_all(&other, &second));
    let is_applied =
        |result: &Result<(Applied, _), ApplyError>| matches!(result, Ok((Applied::Now(_), _)));
    let is_refused = |result: &Result<(Applied, _), ApplyError>| {
        matches!(
            result,
            Err(ApplyError::Moved { .. } | ApplyError::Commit(CommitError::Fenced))
        )
    };
    assert!(
        (is_applied(&one) && is_refused(&two)) || (is_applied(&two) && is_refused(&one)),
        "{one:?} {two:?}"
    );
    let state = state(&world.cluster).await;
    assert_eq!(state.versions("prod", "trips_clean").count(), 1);
    assert_eq!(state.deployments("prod", "trips_clean").count(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_from_another_state_is_refused() {
    let world = World::start().await;
    let stale = planned(&State::default(), &FILE.replace("5m", "7m"));
    let plan = planned(&State::default(), FILE);
    apply_all(&world.cluster, &plan).await.unwrap();
    let before = state(&world.cluster).await;
    let error = apply_all(&world.cluster, &stale).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the plan was made from another state: prod was changed since; run plan again, and look at what it says now"
    );
    assert_eq!(state(&world.cluster).await, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_somebody_else_created_otherwise_is_refused() {
    let world = World::start().await;
    let topic = client::admin::NewTopic {
        name: "trips.clean".to_owned(),
        partitions: Some(2),
        ..client::admin::NewTopic::default()
    };
    let created = client::admin::create_topics(&world.cluster, &[topic], false).await;
    created.unwrap();
    let plan = planned(&State::default(), FILE);
    let error = apply_all(&world.cluster, &plan).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the topic 'trips.clean' was created by somebody else with 2 partitions, and the plan says 3; run plan again"
    );
    assert_eq!(state(&world.cluster).await.pipelines().count(), 0);
    world.stop().await;
}

async fn ask(world: &World, request: Request) -> Result<Option<Action>, ActionError> {
    let prod = environment("prod");
    let done = act(&world.cluster, &prod, "trips_clean", request, &who()).await?;
    Ok(done.map(|done| done.action))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_runs_again_and_the_next_one_has_another_number() {
    let world = World::start().await;
    let prod = environment("prod");
    let back = |to, rewind| Request::Rollback {
        to,
        rewind,
        duplicates_ok: false,
    };
    for (number, every) in ["5m", "6m"].into_iter().enumerate() {
        let state = state(&world.cluster).await;
        let plan = planned(&state, &FILE.replace("5m", every));
        assert_eq!(
            plan.pipelines[0].record.version,
            u32::try_from(number).unwrap() + 1
        );
        apply_all(&world.cluster, &plan).await.unwrap();
    }
    let error = ask(&world, back(None, true)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("where v1 of trips_clean ended was never recorded"),
        "{error}"
    );
    // Whoever runs it records where the first one ended.
    let before = state(&world.cluster).await;
    let applied = before.deployments("prod", "trips_clean").next_back();
    let mut cut = applied.unwrap().as_ref().clone();
    cut.of = Some(cut.id.clone());
    cut.action = Action::Cut;
    cut.positions = vec![pipeline::control::Rewind {
        task: "main".to_owned(),
        input: "raw".to_owned(),
        place: "topic:x:0".to_owned(),
        position: serde_json::json!({ "next": 41 }),
    }];
    let mut runner = Runner::start(&world.cluster, "pl.trips_clean.main").await;
    runner.write("__deployments", &cut.key(), &cut).await;
    runner.commit().await;
    assert_eq!(
        ask(&world, back(None, true)).await.unwrap(),
        Some(Action::Rollback)
    );
    let after = state(&world.cluster).await;
    let current = existing(&after, &prod, "trips_clean").unwrap();
    assert_eq!(current.version, 1);
    let rollback = after
        .deployments("prod", "trips_clean")
        .next_back()
        .unwrap();
    assert_eq!(rollback.positions, cut.positions);
    assert_eq!(
        (rollback.from_version, rollback.to_version),
        (Some(2), Some(1))
    );
    let plan = planned(&after, &FILE.replace("5m", "7m"));
    assert_eq!(plan.pipelines[0].from_version, Some(1));
    assert_eq!(plan.pipelines[0].record.version, 3);
    let error = ask(&world, back(Some(9), false)).await.unwrap_err();
    assert_eq!(error.to_string(), "trips_clean has no v9; there are v1, v2");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_paused_resumed_run_and_removed() {
    let world = World::start().await;
    let error = ask(&world, Request::Pause).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no pipeline trips_clean runs in prod; `watertable pipeline status"),
        "{error}"
    );
    let plan = planned(&State::default(), FILE);
    apply_all(&world.cluster, &plan).await.unwrap();
    let state_of = async || {
        let state = state(&world.cluster).await;
        Arc::clone(state.current("prod", "trips_clean").unwrap()).state
    };
    let mut done = Vec::new();
    for (request, state) in [
        (Request::Run, PipelineState::Running),
        (Request::Pause, PipelineState::Paused),
        (Request::Pause, PipelineState::Paused),
        (Request::Cancel, PipelineState::Paused),
        (
            Request::Resume {
                skip_deleted: false,
            },
            PipelineState::Running,
        ),
        (Request::Remove, PipelineState::Removed),
    ] {
        done.extend(ask(&world, request).await.unwrap());
        assert_eq!(state_of().await, state, "{request:?}");
    }
    use Action::{Cancel, Pause, Remove, Resume, Run};
    assert_eq!(done, [Run, Pause, Cancel, Resume, Remove]);
    let error = ask(&world, Request::Run).await.unwrap_err();
    assert!(error.to_string().contains("was removed"), "{error}");
    let state = state(&world.cluster).await;
    let deployments = state.deployments("prod", "trips_clean");
    let actions: Vec<_> = deployments.map(|deployment| deployment.action).collect();
    assert_eq!(actions, [Action::Apply, Run, Pause, Cancel, Resume, Remove]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_key_are_not_written_twice_unless_somebody_says_so() {
    let world = World::start().await;
    let file = FILE.replace("key: id, partitions: 3, cleanup: compact", "partitions: 3");
    for every in ["5m", "6m"] {
        let plan = planned(&state(&world.cluster).await, &file.replace("5m", every));
        apply_all(&world.cluster, &plan).await.unwrap();
    }
    let before = state(&world.cluster).await;
    let applied = before.deployments("prod", "trips_clean").next_back();
    let mut cut = applied.unwrap().as_ref().clone();
    cut.action = Action::Cut;
    let mut runner = Runner::start(&world.cluster, "pl.trips_clean.main").await;
    runner.write("__deployments", &cut.key(), &cut).await;
    runner.commit().await;
    let back = |duplicates_ok| Request::Rollback {
        to: None,
        rewind: true,
        duplicates_ok,
    };
    let error = ask(&world, back(false)).await.unwrap_err();
    assert!(matches!(error, ActionError::Duplicates { .. }), "{error}");
    assert_eq!(
        ask(&world, back(true)).await.unwrap(),
        Some(Action::Rollback)
    );
    world.stop().await;
}
