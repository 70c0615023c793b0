//! Partition counts, copartitioning and missing topics, with the cases of Kafka's `RepartitionTopicsTest`,
//! `ChangelogTopicsTest`, `CopartitionedTopicsEnforcerTest` and `InternalTopicManagerTest`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use types::TopicName;

use super::ConfiguredTopology;
use super::configure::configure;
use super::problem::{ConfigureError, TopicProblem};
use crate::group::streams::topology::{
    CopartitionGroup, InternalTopic, StreamsTopology, Subtopology,
};

fn name(name: &str) -> TopicName {
    TopicName::new(name)
}

fn internal(topic: &str, partitions: i32) -> InternalTopic {
    InternalTopic {
        name: name(topic),
        partitions,
        replication_factor: 0,
        configs: Vec::new(),
    }
}

/// Sources, repartition sources with their fixed numbers, repartition sinks, changelogs.
type Shape<'a> = (
    &'a [&'a str],
    &'a [(&'a str, i32)],
    &'a [&'a str],
    &'a [&'a str],
);

fn topology(shapes: &[Shape<'_>]) -> StreamsTopology {
    let subtopology = |(sources, repartition, sinks, changelogs): &Shape<'_>| Subtopology {
        source_topics: sources.iter().map(|topic| name(topic)).collect(),
        repartition_source_topics: repartition
            .iter()
            .map(|(topic, partitions)| internal(topic, *partitions))
            .collect(),
        repartition_sink_topics: sinks.iter().map(|topic| name(topic)).collect(),
        state_changelog_topics: changelogs.iter().map(|topic| internal(topic, 0)).collect(),
        ..Subtopology::default()
    };
    let subtopologies = shapes.iter().enumerate().map(|(index, shape)| {
        let id: Arc<str> = Arc::from(index.to_string());
        (id, subtopology(shape))
    });
    StreamsTopology {
        epoch: 3,
        subtopologies: subtopologies.collect(),
    }
}

/// The shapes of subtopologies, and the internal topics that are missing then.
type Case<'a> = (&'a [Shape<'a>], &'a [(&'a str, i32)]);

/// The topics of a copartition group in the last subtopology, by positions.
fn copartitioned(
    mut topology: StreamsTopology,
    source_topics: &[i16],
    repartition_source_topics: &[i16],
) -> StreamsTopology {
    let mut last = topology.subtopologies.last_entry().expect("it has some");
    last.get_mut().copartition_groups.push(CopartitionGroup {
        source_topics: source_topics.to_vec(),
        source_topic_regex: Vec::new(),
        repartition_source_topics: repartition_source_topics.to_vec(),
    });
    topology
}

fn configured(
    topology: &StreamsTopology,
    existing: &[(&str, i32)],
) -> Result<ConfiguredTopology, ConfigureError> {
    let existing: BTreeMap<TopicName, i32> = existing
        .iter()
        .map(|(topic, partitions)| (name(topic), *partitions))
        .collect();
    configure(topology, &|topic| existing.get(topic).copied())
}

/// The internal topics that are missing, with the numbers of partitions they are to have.
fn missing(topology: &StreamsTopology, existing: &[(&str, i32)]) -> Vec<(String, i32)> {
    let configured = configured(topology, existing).expect("it can run");
    let missing = configured.missing_topics.iter();
    missing
        .map(|topic| (topic.name.as_str().to_owned(), topic.partitions))
        .collect()
}

fn problem(topology: &StreamsTopology, existing: &[(&str, i32)]) -> TopicProblem {
    let configured = configured(topology, existing).expect("it can run");
    assert!(!configured.is_ready());
    configured.problem.expect("it is not ready")
}

fn owned(topics: &[(&str, i32)]) -> Vec<(String, i32)> {
    let topics = topics.iter();
    topics
        .map(|(topic, partitions)| ((*topic).to_owned(), *partitions))
        .collect()
}

#[test]
fn repartition_topics_and_changelogs_get_the_partitions_of_the_largest_input() {
    let cases: [Case<'_>; 6] = [
        // One subtopology writes for another.
        (
            &[
                (&["a", "b"], &[], &["r"], &[]),
                (&[], &[("r", 0)], &[], &["c"]),
            ],
            &[("c", 4), ("r", 4)],
        ),
        // A fixed number stays.
        (
            &[
                (&["a", "b"], &[], &["r"], &[]),
                (&[], &[("r", 7)], &[], &["c"]),
            ],
            &[("c", 7), ("r", 7)],
        ),
        // What is known when a writer is looked at counts: `r` is not, when `s` gets its number.
        (
            &[
                (&[], &[("s", 0)], &[], &["c"]),
                (&["a"], &[("r", 0)], &["s"], &[]),
                (&["b"], &[], &["r"], &[]),
            ],
            &[("c", 3), ("r", 4), ("s", 3)],
        ),
        // A writer of which nothing is known yet waits.
        (
            &[
                (&[], &[("s", 0)], &[], &["c"]),
                (&[], &[("r", 0)], &["s"], &[]),
                (&["b"], &[], &["r"], &[]),
            ],
            &[("c", 4), ("r", 4), ("s", 4)],
        ),
        // A subtopology that reads what it writes.
        (
            &[(&["b"], &[("r", 0)], &["r"], &["c"])],
            &[("c", 4), ("r", 4)],
        ),
        // No internal topics at all.
        (&[(&["a"], &[], &["out"], &[])], &[]),
    ];
    for (shapes, expected) in cases {
        let topology = topology(shapes);
        assert_eq!(
            missing(&topology, &[("a", 3), ("b", 4)]),
            owned(expected),
            "{shapes:?}"
        );
    }
}

#[test]
fn a_topology_whose_numbers_cannot_be_found_is_refused() {
    let cases: [(&[Shape<'_>], ConfigureError); 4] = [
        (
            &[(&["a"], &[], &[], &[]), (&[], &[("r", 0)], &[], &[])],
            ConfigureError::RepartitionSourceWithoutSink,
        ),
        (
            &[
                (&[], &[("r", 0)], &["s"], &[]),
                (&[], &[("s", 0)], &["r"], &[]),
            ],
            ConfigureError::UnresolvableLoop,
        ),
        (
            &[(&["a"], &[], &[], &[]), (&[], &[], &[], &[])],
            ConfigureError::NoSourceTopics(Arc::from("1")),
        ),
        (
            &[(&["a"], &[], &["r"], &[]), (&[], &[("r", -2)], &[], &[])],
            ConfigureError::ImpossiblePartitionCount {
                topic: name("r"),
                partitions: -2,
            },
        ),
    ];
    for (shapes, expected) in cases {
        assert_eq!(configured(&topology(shapes), &[("a", 3)]), Err(expected));
    }
}

#[test]
fn copartition_groups_must_name_what_is_there() {
    let topology = topology(&[(&["a"], &[], &[], &[])]);
    for (sources, repartition) in [(&[1_i16][..], &[][..]), (&[-1], &[]), (&[], &[0])] {
        assert_eq!(
            configured(
                &copartitioned(topology.clone(), sources, repartition),
                &[("a", 3)]
            ),
            Err(ConfigureError::NoSuchCopartitionedTopic(Arc::from("0")))
        );
    }
}

#[test]
fn copartitioned_topics_have_equally_many_partitions() {
    let existing = [("a", 3), ("b", 4)];
    // Topics that the application does not make decide.
    let joined: Shape<'_> = (&["a"], &[("r", 0)], &[], &[]);
    let of_external = topology(&[(&["b"], &[], &["r"], &[]), joined]);
    assert_eq!(missing(&of_external, &existing), owned(&[("r", 4)]));
    let of_external = copartitioned(of_external, &[0], &[0]);
    assert_eq!(missing(&of_external, &existing), owned(&[("r", 3)]));
    // Among repartition topics the largest decides, or a fixed number.
    let writers: [Shape<'_>; 2] = [(&["a"], &[], &["r"], &[]), (&["b"], &[], &["s"], &[])];
    for (numbers, expected) in [((0, 0), 4), ((0, 6), 6), ((5, 5), 5)] {
        let read = [("r", numbers.0), ("s", numbers.1)];
        let joined = topology(&[writers[0], writers[1], (&[], &read, &[], &[])]);
        let joined = copartitioned(joined, &[], &[0, 1]);
        assert_eq!(
            missing(&joined, &existing),
            owned(&[("r", expected), ("s", expected)])
        );
    }
}

#[test]
fn copartitioned_topics_that_cannot_agree_are_a_problem() {
    let existing = [("a", 3), ("b", 4)];
    let both = copartitioned(topology(&[(&["a", "b"], &[], &[], &[])]), &[0, 1], &[]);
    let expected =
        TopicProblem::DifferentPartitionCounts(BTreeMap::from([(name("a"), 3), (name("b"), 4)]));
    assert_eq!(problem(&both, &existing), expected);
    assert_eq!(
        expected.to_string(),
        "Following topics do not have the same number of partitions: [{a=3, b=4}]"
    );

    let fixed = topology(&[(&["b"], &[], &["r"], &[]), (&["a"], &[("r", 5)], &[], &[])]);
    let expected = TopicProblem::FixedPartitionCount {
        topic: name("r"),
        fixed: 5,
        needed: 3,
    };
    assert_eq!(
        problem(&copartitioned(fixed, &[0], &[0]), &existing),
        expected
    );
    assert_eq!(
        expected.to_string(),
        "Number of partitions [5] of repartition topic [r] doesn't match number of partitions [3] of the source topic."
    );

    let writer: Shape<'_> = (&["a"], &[], &["r", "s"], &[]);
    let fixed = topology(&[writer, (&[], &[("r", 5), ("s", 6)], &[], &[])]);
    assert_eq!(
        problem(&copartitioned(fixed, &[], &[0, 1]), &existing),
        TopicProblem::DifferentPartitionCounts(BTreeMap::from([(name("r"), 5), (name("s"), 6)]))
    );
}

#[test]
fn source_topics_must_exist_and_at_most_three_that_do_not_are_named() {
    let two = topology(&[(&["b", "a"], &[], &[], &[])]);
    assert_eq!(
        problem(&two, &[]).to_string(),
        "Source topics a, b are missing."
    );
    let many = topology(&[(&["e", "d", "c", "b", "a"], &[], &[], &[])]);
    assert_eq!(
        problem(&many, &[("a", 1)]).to_string(),
        "Source topics b, c, d and 1 additional topics are missing."
    );
}

#[test]
fn internal_topics_that_exist_must_have_the_right_number_of_partitions() {
    let topology = topology(&[(&["a"], &[], &["r"], &[]), (&[], &[("r", 0)], &[], &["c"])]);
    let configured = configured(&topology, &[("a", 3), ("r", 3), ("c", 3)]).expect("it can run");
    assert!(configured.is_ready());
    assert_eq!(configured.epoch, 3);
    let subtopologies = configured.subtopologies.expect("it is ready");
    let tasks: Vec<i32> = subtopologies.values().map(|one| one.tasks).collect();
    assert_eq!(tasks, [3, 3]);
    assert_eq!(
        subtopologies
            .values()
            .map(|one| one.is_stateful())
            .collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(
        problem(&topology, &[("a", 3), ("c", 3)]),
        TopicProblem::MissingInternalTopics(BTreeSet::from([name("r")]))
    );
    assert_eq!(
        problem(&topology, &[("a", 3), ("r", 3), ("c", 2)]),
        TopicProblem::UnexpectedPartitionCount {
            topic: name("c"),
            expected: 3,
            found: 2,
        }
    );
    // A repartition topic that exists decides how many tasks there are, and how many partitions the changelog has.
    assert_eq!(
        problem(&topology, &[("a", 3), ("r", 5)]),
        TopicProblem::UnexpectedPartitionCount {
            topic: name("r"),
            expected: 3,
            found: 5,
        }
    );
}

#[test]
fn internal_topics_are_made_as_they_were_declared() {
    let mut topology = topology(&[(&["a"], &[], &[], &["c"])]);
    let subtopology = topology.subtopologies.get_mut("0").expect("it is there");
    let changelog = &mut subtopology.state_changelog_topics[0];
    changelog.replication_factor = 2;
    changelog.configs = vec![(Arc::from("cleanup.policy"), Arc::from("compact"))];
    let configured = configured(&topology, &[("a", 3)]).expect("it can run");
    let [changelog] = &configured.missing_topics[..] else {
        panic!("one is missing");
    };
    assert_eq!(changelog.replication_factor, Some(2));
    assert_eq!(changelog.configs["cleanup.policy"].as_ref(), "compact");
}
