//! Plans: what they find different, what they refuse, and how they are printed.

use pipeline::control::plan::{BackTest, ChangeKind, Facts, Options, Wanted};
use pipeline::control::{Class, Plan, Request, State, change_of, decide, diff};
use proptest::prelude::*;
use spec::names::Environment;

use super::environment;
use super::files::{after, facts, facts_after, wanted, who};

const TRIPS: &str = "\
format: 1
pipeline: trips_clean
run: continuous
from: { raw: { topic: { name: trips } } }
sql: SELECT id, city FROM raw
checks:
  - not_null: id
  - accepted_range: { column: id, min: 0, severity: warn }
to: { topic: { name: trips.clean, key: id, partitions: 3 } }
";
const OUTPUT: &str = "id bigint, city text";

/// An environment and the cluster that it is in.
struct World {
    environment: Environment,
    state: State,
    facts: Facts,
}

impl World {
    fn new(name: &str) -> Self {
        let environment = environment(name);
        let source = environment.name("trips");
        Self {
            facts: facts(&[(&source, "id bigint, city text, fare double")]),
            environment,
            state: State::default(),
        }
    }

    fn wanted(&self, text: &str, output: &str) -> Wanted {
        wanted(&self.environment, text, output, &self.facts)
    }

    fn plan_with(&self, wanted: &[Wanted], options: &Options) -> Result<Plan, Vec<String>> {
        let planned = diff(&self.environment, &self.state, wanted, &self.facts, options);
        planned.map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn plan(&self, text: &str, output: &str) -> Result<Plan, Vec<String>> {
        self.plan_with(&[self.wanted(text, output)], &Options::default())
    }

    fn apply(&mut self, plan: &Plan) {
        self.state = after(&self.state, &change_of(plan, &plan.id(), &who()));
        self.facts = facts_after(&self.facts, plan);
    }

    /// What runs the first file.
    fn running() -> Self {
        let mut world = Self::new("prod");
        let plan = world.plan(TRIPS, OUTPUT).unwrap();
        world.apply(&plan);
        world
    }
}

fn one_problem(plan: Result<Plan, Vec<String>>) -> String {
    let problems = plan.unwrap_err();
    let [problem] = problems.as_slice() else {
        panic!("{problems:#?}")
    };
    problem.clone()
}

/// Without the base, which is a hash.
fn printed(plan: &Plan) -> String {
    let text = plan.to_string();
    let (text, _base) = text.rsplit_once("  base ").unwrap();
    text.to_owned()
}

#[test]
fn a_new_pipeline_creates_its_topics() {
    let world = World::new("prod");
    let plan = world.plan(TRIPS, OUTPUT).unwrap();
    assert_eq!(
        printed(&plan),
        "  + trips_clean  v1  NEW
      reads   trips @ earliest
      topic   + trips.clean (3 partitions)
      topic   + trips_clean.dead (1 partition, dead letters)
Plan: 1 new, 0 changed, 0 with other checks, 0 removed, 0 unchanged."
    );
    let again: Plan = serde_json::from_str(&plan.to_json()).unwrap();
    assert_eq!(again, plan);
    assert_eq!(again.id(), plan.id());
}

#[test]
fn what_runs_as_its_file_says_does_not_change() {
    let world = World::running();
    let plan = world.plan(TRIPS, OUTPUT).unwrap();
    assert!(plan.is_empty());
    assert_eq!(
        printed(&plan),
        "Plan: nothing changes; prod runs what the files say."
    );
    let reformatted = TRIPS.replace("SELECT id,", "SELECT   id, ");
    let with_tests =
        format!("{reformatted}tests: [{{ name: a, given: {{ raw: [] }}, expect: [] }}]\n");
    for text in [reformatted, with_tests] {
        assert!(world.plan(&text, OUTPUT).unwrap().is_empty(), "{text}");
    }
}

/// Each change, and what kind it is.
#[test]
fn changes_are_of_the_kind_that_they_are() {
    let world = World::running();
    let metadata = (ChangeKind::Changed, Class::Metadata);
    let hand_over = (ChangeKind::Changed, Class::HandOver);
    let checks = (ChangeKind::Checks, Class::HandOver);
    for (from, to, expected, says) in [
        (
            "format: 1\n",
            "format: 1\nowner: ada\n",
            metadata,
            "the owner is another",
        ),
        (
            "format: 1\n",
            "format: 1\ndescription: x\n",
            metadata,
            "the description is another",
        ),
        (
            "run: continuous",
            "run: { every: 5m }",
            metadata,
            "when it runs is different",
        ),
        (
            "severity: warn",
            "severity: drop",
            metadata,
            "severities of checks are others",
        ),
        (
            "to: {",
            "bad_records: { halt_above: 5% over run }\nto: {",
            metadata,
            "halt_above is another",
        ),
        (
            "SELECT id, city",
            "SELECT id + 1 AS id, city",
            hand_over,
            "the query is another",
        ),
        ("key: id, ", "", hand_over, "options of the sink are others"),
        (
            "trips.clean",
            "trips.cleaned",
            hand_over,
            "rows go to trips.cleaned, no longer to trips.clean",
        ),
        (
            "to: {",
            "bad_records: { topic: dead }\nto: {",
            hand_over,
            "dead letters go to dead",
        ),
        (
            "to: {",
            "resources: { threads: 2 }\nto: {",
            hand_over,
            "what it may take is different",
        ),
        ("min: 0", "min: 1", checks, "1 check changed"),
        ("  - not_null: id\n", "", checks, "1 check removed"),
        (
            "not_null: id",
            "not_null: [id, city]",
            checks,
            "1 check added",
        ),
    ] {
        let text = TRIPS.replace(from, to);
        assert_ne!(text, TRIPS, "{from}");
        let plan = world.plan(&text, OUTPUT).unwrap();
        let [change] = plan.pipelines.as_slice() else {
            panic!("{to}: {plan:?}")
        };
        assert_eq!((change.change, change.class.unwrap()), expected, "{to}");
        assert_eq!(change.says, [says], "{to}");
        assert_eq!(change.record.version, 2);
    }
}

#[test]
fn a_changed_query_says_what_its_readers_see() {
    let mut world = World::running();
    let groups = ["grafana-1".to_owned(), "pl.dashboards".to_owned()];
    let of_topic = ("trips.clean".to_owned(), groups.into());
    world.facts.groups = [of_topic].into();
    let text = TRIPS.replace("city", "city, fare");
    let dashboards = TRIPS
        .replace("trips_clean", "dashboards")
        .replace("trips.clean", "boards")
        .replace("name: trips }", "name: trips.clean }");
    let plan = |world: &World, output: &str| {
        let wanted = [
            world.wanted(&text, output),
            world.wanted(&dashboards, OUTPUT),
        ];
        world.plan_with(&wanted, &Options::default()).unwrap()
    };
    let first = plan(&world, &format!("{OUTPUT}, fare double"));
    assert_eq!(
        printed(&first),
        "  + dashboards   v1       NEW
      reads   trips.clean @ earliest
      topic   + boards (3 partitions)
      topic   + dashboards.dead (1 partition, dead letters)
  ~ trips_clean  v1 → v2  HAND-OVER (stateless): the query is another; no re-reading; pause about one batch
      topic   ~ trips.clean (its contract changes)
      output  + fare double (compatible with its readers)
      readers dashboards (pipeline), group grafana-1 (outside)
Plan: 1 new, 1 changed, 0 with other checks, 0 removed, 0 unchanged."
    );
    let breaking = plan(&world, "id int, fare double");
    let output = "output  ~ id bigint → int, + fare double, - city (readers that use it may fail)";
    assert!(printed(&breaking).contains(output), "{breaking}");
}

#[test]
fn what_a_changed_check_would_have_done_is_told() {
    let world = World::running();
    let mut plan = world
        .plan(&TRIPS.replace("min: 0", "min: 1"), OUTPUT)
        .unwrap();
    plan.pipelines[0].back_test = Some(BackTest {
        records: 1_204_331,
        dead_before: 4,
        dead_after: 212,
    });
    assert_eq!(
        printed(&plan),
        "  ! trips_clean  v1 → v2  HAND-OVER (stateless): 1 check changed; no re-reading; pause about one batch
      test    of the last 1,204,331 records it would have sent 212 to the dead letters, now 4
Plan: 0 new, 0 changed, 1 with other check, 0 removed, 0 unchanged."
    );
}

#[test]
fn a_change_of_source_needs_a_word() {
    let mut world = World::running();
    let other = facts(&[("other", "id bigint, city text, fare double")]);
    world.facts.topics.extend(other.topics);
    let text = TRIPS.replace("name: trips }", "name: other }");
    assert_eq!(
        one_problem(world.plan(&text, OUTPUT)),
        "a.yaml: trips_clean: reads something that it has not read before, and would begin other @ earliest; say so with \
         --accept-source-change, or write start: under the input"
    );
    let accepted = Options {
        accept_source_change: true,
        ..Options::default()
    };
    let plan = world
        .plan_with(&[world.wanted(&text, OUTPUT)], &accepted)
        .unwrap();
    assert_eq!(
        printed(&plan),
        "  ~ trips_clean  v1 → v2  SOURCE CHANGE: raw is the topic other, it was the topic trips
      reads   other @ earliest
Plan: 0 new, 1 changed, 0 with other checks, 0 removed, 0 unchanged."
    );
    let mut said = world.wanted(&text, OUTPUT);
    said.says_start.insert("raw".to_owned());
    assert!(world.plan_with(&[said], &Options::default()).is_ok());
    let renamed = TRIPS.replace("raw", "rides");
    let problem = one_problem(world.plan(&renamed, OUTPUT));
    assert!(problem.contains("trips @ earliest"), "{problem}");
}

#[test]
fn a_topic_that_was_made_anew_is_another_source() {
    let mut world = World::running();
    world.facts.topics.get_mut("trips").unwrap().id = Some("another".to_owned());
    let problem = one_problem(world.plan(TRIPS, OUTPUT));
    assert!(problem.contains("trips @ earliest"), "{problem}");
}

#[test]
fn columns_of_a_source_that_changed_are_a_new_version() {
    let mut world = World::running();
    let other = facts(&[("trips", "id bigint, city text, fare int, tip int")]);
    world.facts.topics.extend(other.topics);
    let plan = world.plan(TRIPS, OUTPUT).unwrap();
    let says = &plan.pipelines[0].says;
    assert_eq!(
        says.as_slice(),
        ["columns of raw: ~ fare double → int, + tip int"]
    );
}

const FILES: &str = "\
format: 1
pipeline: people
run: once
from: { f: { files: { path: in/*.csv, format: csv } } }
sql: SELECT a FROM f
to: { topic: { name: people } }
";

#[test]
fn how_far_files_were_read_says_nothing_of_another_format() {
    let mut world = World::new("prod");
    let plan = world.plan(FILES, "a text").unwrap();
    world.apply(&plan);
    let text = FILES.replace("format: csv", "format: ndjson");
    assert_eq!(
        one_problem(world.plan(&text, "a text")),
        "a.yaml: people: how far f has been read says nothing once the format of its files is another; give the input another \
         name, and it is read from its beginning"
    );
}

#[test]
fn a_pipeline_without_a_file_stays_unless_it_is_to_be_removed() {
    let mut world = World::running();
    let plan = world.plan_with(&[], &Options::default()).unwrap();
    assert!(plan.is_empty());
    assert_eq!(
        printed(&plan),
        "  ? trips_clean  runs and has no file; it stays as it is, --remove stops it
Plan: nothing changes; prod runs what the files say."
    );
    let remove = Options {
        remove: true,
        ..Options::default()
    };
    let plan = world.plan_with(&[], &remove).unwrap();
    assert_eq!(
        printed(&plan),
        "  - trips_clean  v1  REMOVED: it stops; its versions, positions and topics stay
Plan: 0 new, 0 changed, 0 with other checks, 1 removed, 0 unchanged."
    );
    world.apply(&plan);
    assert!(world.plan_with(&[], &remove).unwrap().is_empty());
    let again = world.plan(TRIPS, OUTPUT).unwrap();
    assert_eq!(again.pipelines[0].record.version, 2);
    assert_eq!(
        again.pipelines[0].says,
        ["it was removed, and goes on where v1 ended"]
    );
}

#[test]
fn names_of_other_environments_have_their_prefix() {
    let world = World::new("dev");
    let plan = world.plan(TRIPS, OUTPUT).unwrap();
    let topics: Vec<_> = plan.pipelines[0]
        .topics
        .iter()
        .map(|topic| topic.name.as_str())
        .collect();
    assert_eq!(topics, ["dev.trips.clean", "dev.trips_clean.dead"]);
    assert_eq!(plan.pipelines[0].begins, ["dev.trips @ earliest"]);
}

#[test]
fn a_topic_of_one_environment_cannot_look_like_that_of_another() {
    let text = TRIPS.replace("trips.clean", "dev.trips");
    let mut world = World::new("prod");
    let plan = world.plan(&text, OUTPUT).unwrap();
    world.apply(&plan);
    world.environment = environment("dev");
    world
        .facts
        .topics
        .extend(facts(&[("dev.trips", OUTPUT)]).topics);
    let problem = one_problem(world.plan(TRIPS, OUTPUT));
    assert_eq!(
        problem,
        "a.yaml: trips_clean: the topic dev.trips of the pipeline trips_clean of prod would belong to the environment dev, whose names \
         begin with dev.; choose another name for the environment"
    );
    let mut world = World::new("dev");
    let plan = world.plan(TRIPS, OUTPUT).unwrap();
    world.apply(&plan);
    world.environment = environment("prod");
    world
        .facts
        .topics
        .extend(facts(&[("trips", OUTPUT)]).topics);
    let problem = one_problem(world.plan(&text, OUTPUT));
    assert!(problem.contains("choose another name for it"), "{problem}");
}

/// What is refused, and what is said.
#[test]
fn what_cannot_be_done_is_told_before_anything_is_done() {
    let mut world = World::new("prod");
    world
        .facts
        .topics
        .extend(facts(&[("trips_copy", ""), ("taken", "id text")]).topics);
    let long = "x".repeat(249);
    for (from, to, expected) in [
        (
            "trips.clean",
            "trips.copy",
            "the topic trips.copy would differ from trips_copy only in . and _, which Kafka's metrics cannot tell apart; choose another name",
        ),
        (
            "name: trips }",
            "name: trip }",
            "reads the topic trip, which is not there; did you mean trips?",
        ),
        (
            "trips.clean",
            "taken",
            "the contract of the topic taken has id text where id bigint is needed; change the file, or the contract with \
             `watertable topic contract set taken`",
        ),
        (
            "key: id",
            "key: idd",
            "the query gives no column idd, which the key of the sink names",
        ),
    ] {
        let text = TRIPS.replace(from, to);
        let problems = world.plan(&text, OUTPUT).unwrap_err();
        let expected = format!("a.yaml: trips_clean: {expected}");
        assert!(problems.contains(&expected), "{problems:#?}");
    }
    world.environment = environment("dev");
    world.facts = facts(&[("dev.trips", "id bigint")]);
    let text = TRIPS.replace("trips.clean", &long);
    let problem = one_problem(world.plan(&text, OUTPUT));
    assert!(
        problem.contains("a shorter one for the environment"),
        "{problem}"
    );
    let unnamed = world.plan(TRIPS, "_x int, id bigint");
    let problem = one_problem(unnamed);
    assert!(
        problem
            .contains("what the query gives cannot be the contract of the topic dev.trips.clean"),
        "{problem}"
    );
}

#[test]
fn a_topic_is_written_by_one_pipeline() {
    let world = World::running();
    let text = TRIPS.replace("trips_clean", "other");
    let problem = one_problem(world.plan(&text, OUTPUT));
    assert_eq!(
        problem,
        "a.yaml: other: the topic trips.clean is written by the pipeline trips_clean, which runs; write another one, or remove that \
         pipeline first"
    );
}

#[test]
fn pipelines_of_several_folders_are_no_circle() {
    let world = World::running();
    let back = |from: &str, to: &str| {
        let text = TRIPS
            .replace("trips_clean", "back")
            .replace("trips.clean", to);
        text.replace(
            "{ topic: { name: trips } }",
            &format!("{{ topic: {{ name: {from} }} }}"),
        )
    };
    let problem = one_problem(world.plan(&back("trips.clean", "trips"), OUTPUT));
    assert_eq!(
        problem,
        "a.yaml: back: a circle of pipelines: back -> trips_clean -> back; let one of them write another topic"
    );
    assert!(world.plan(&back("trips.clean", "other"), OUTPUT).is_ok());
}

#[test]
fn a_declared_contract_is_stored_where_there_is_none_and_cannot_contradict() {
    let mut world = World::new("prod");
    world.facts = facts(&[("trips", "")]);
    let text = TRIPS.replace(
        "{ topic: { name: trips } }",
        "{ topic: { name: trips }, columns: { id: bigint, city: text } }",
    );
    let plan = world.plan(&text, OUTPUT).unwrap();
    let change = &plan.pipelines[0].topics[2];
    assert_eq!((change.name.as_str(), change.create), ("trips", None));
    assert_eq!(change.says, "it gets the contract that is declared");
    world.facts = facts(&[("trips", "id text, city text")]);
    let problem = one_problem(world.plan(&text, OUTPUT));
    assert!(
        problem.contains("has id text where id bigint is needed"),
        "{problem}"
    );
}

#[test]
fn the_base_moves_with_every_change_and_with_no_other_environment() {
    let mut world = World::running();
    let base = world.state.base(&world.environment);
    let plan = world
        .plan(&TRIPS.replace("min: 0", "min: 1"), OUTPUT)
        .unwrap();
    assert_eq!(plan.base, base);
    world.apply(&plan);
    let second = world.state.base(&world.environment);
    assert_ne!(second, base);
    let back = Request::Rollback {
        to: Some(1),
        rewind: false,
        duplicates_ok: false,
    };
    let change = decide(
        &world.state,
        &world.environment,
        "trips_clean",
        back,
        "x",
        &who(),
    )
    .unwrap();
    world.state = after(&world.state, &change);
    let third = world.state.base(&world.environment);
    assert!(
        third != base && third != second,
        "what was done counts, too"
    );
    world.facts = facts(&[("dev.trips", "id bigint, city text, fare double")]);
    let prod = std::mem::replace(&mut world.environment, environment("dev"));
    let plan = world.plan(TRIPS, OUTPUT).unwrap();
    world.apply(&plan);
    assert_eq!(world.state.base(&prod), third);
}

/// What somebody does next.
#[derive(Clone, Debug)]
enum Act {
    Apply { pipeline: usize, text: usize },
    Ask { pipeline: usize, request: Request },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let apply = (0..2_usize, 0..4_usize).prop_map(|(pipeline, text)| Act::Apply { pipeline, text });
    let rollback = prop::option::of(1..5_u32).prop_map(|to| Request::Rollback {
        to,
        rewind: false,
        duplicates_ok: false,
    });
    let request = prop_oneof![
        Just(Request::Pause),
        Just(Request::Resume {
            skip_deleted: false
        }),
        Just(Request::Cancel),
        Just(Request::Run),
        Just(Request::Remove),
        rollback,
    ];
    let ask = (0..2_usize, request).prop_map(|(pipeline, request)| Act::Ask { pipeline, request });
    prop::collection::vec(prop_oneof![apply, ask], 1..20)
}

const NAMES: [&str; 2] = ["trips_clean", "others"];

fn text(pipeline: usize, text: usize) -> String {
    let file = TRIPS.replace("min: 0", &format!("min: {text}"));
    if pipeline == 0 {
        file
    } else {
        file.replace("trips_clean", NAMES[1])
            .replace("trips.clean", "others")
    }
}

/// A record as it stands in a topic.
type Written = (bool, Vec<u8>, Vec<u8>);

fn written(change: &pipeline::control::Change) -> Vec<Written> {
    use pipeline::control::record::write;
    let pipelines = change.pipelines.iter().flat_map(|record| {
        let keys = [record.version_key(), record.current_key()];
        keys.map(|key| (true, key.bytes(), write(record)))
    });
    let deployments = change.deployments.iter();
    let deployments = deployments.map(|record| (false, record.key().bytes(), write(record)));
    pipelines.chain(deployments).collect()
}

fn replayed<'a>(records: impl IntoIterator<Item = &'a Written>) -> State {
    let mut state = State::default();
    for (is_pipeline, key, value) in records {
        if *is_pipeline {
            state.apply_pipeline(key, Some(value)).unwrap();
        } else {
            state.apply_deployment(Some(value)).unwrap();
        }
    }
    state
}

/// As compaction leaves them: of each key of `__pipelines` the last.
fn compacted(records: &[Written]) -> Vec<&Written> {
    let is_last = |(index, record): &(usize, &Written)| {
        !record.0
            || !records[index + 1..]
                .iter()
                .any(|later| later.0 && later.1 == record.1)
    };
    let records = records.iter().enumerate().filter(is_last);
    records.map(|(_, record)| record).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever reads the topics to any place has the state that was there, compacted or not.
    #[test]
    fn the_state_is_what_the_records_say(acts in acts()) {
        let mut world = World::new("prod");
        let mut records = Vec::new();
        let mut live = vec![(0, State::default())];
        for (index, act) in acts.into_iter().enumerate() {
            let change = match act {
                Act::Apply { pipeline, text: number } => {
                    let wanted = world.wanted(&text(pipeline, number), OUTPUT);
                    let plan = world.plan_with(&[wanted], &Options::default()).unwrap();
                    world.facts = facts_after(&world.facts, &plan);
                    change_of(&plan, &plan.id(), &who())
                }
                Act::Ask { pipeline, request } => {
                    let id = index.to_string();
                    let asked = decide(&world.state, &world.environment, NAMES[pipeline], request, &id, &who());
                    let Ok(change) = asked else { continue };
                    change
                }
            };
            world.state = after(&world.state, &change);
            records.extend(written(&change));
            live.push((records.len(), world.state.clone()));
        }
        for (length, state) in live {
            prop_assert_eq!(&replayed(&records[..length]), &state);
            let compacted = replayed(compacted(&records[..length]));
            prop_assert_eq!(&compacted, &state);
            // A version has one content for ever.
            let base = state.base(&world.environment);
            prop_assert_eq!(compacted.base(&world.environment), base);
        }
        // No number of a version is used twice.
        for name in NAMES {
            let next = world.state.next_version("prod", name);
            let kept = world.state.versions("prod", name).count();
            prop_assert_eq!(usize::try_from(next).unwrap(), kept + 1);
        }
    }
}
