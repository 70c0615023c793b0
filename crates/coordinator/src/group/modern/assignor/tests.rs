//! Assignments worked out by hand after Kafka's algorithms, and properties over random groups.

use std::sync::Arc;

use proptest::prelude::*;
use types::TopicName;

use super::*;
use crate::group::modern::topics::TopicImage;

fn topic(byte: u8) -> TopicId {
    TopicId::new([byte; 16]).expect("not zero")
}

fn index(index: i32) -> PartitionIndex {
    PartitionIndex::new(index).expect("not negative")
}

/// Topics 1, 2, ... with so many partitions.
fn image(partitions: &[i32]) -> Arc<TopicsImage> {
    let image = |(position, partitions): (usize, &i32)| {
        let byte = u8::try_from(position + 1).expect("few topics");
        TopicImage {
            id: topic(byte),
            name: TopicName::new(&format!("t{byte}")),
            partitions: *partitions,
        }
    };
    let topics = partitions.iter().enumerate().map(image);
    Arc::new(TopicsImage::new(1, topics))
}

type Named<'a> = &'a [(&'a str, &'a [(u8, &'a [i32])])];

fn partitions(topics: &[(u8, &[i32])]) -> TopicPartitions {
    let of = |(id, indexes): &(u8, &[i32])| -> Vec<_> {
        indexes.iter().map(|i| (topic(*id), index(*i))).collect()
    };
    topics.iter().flat_map(of).collect()
}

fn target(assignment: Named<'_>) -> TargetAssignment {
    let mut target = TargetAssignment::default();
    for (member, topics) in assignment {
        target.set(MemberId::new(member), partitions(topics));
    }
    target
}

/// Members with an instance id (empty: none) and the topics they read.
fn assign(
    assignor: Assignor,
    image: &TopicsImage,
    members: &[(&str, &str, &[u8])],
    target: &TargetAssignment,
) -> GroupAssignment {
    let spec = |(id, instance, topics): &(&str, &str, &[u8])| {
        let spec = MemberSpec {
            instance: (!instance.is_empty()).then(|| InstanceId::new(instance)),
            topics: topics.iter().map(|byte| topic(*byte)).collect(),
        };
        (MemberId::new(id), spec)
    };
    let first = members.first().map(|(_, _, topics)| topics);
    let group = GroupSpec {
        members: members.iter().map(spec).collect(),
        same_topics: members.iter().all(|(_, _, topics)| Some(topics) == first),
        target,
        topics: image,
    };
    assignor.assign(&group)
}

fn check(
    assignor: Assignor,
    counts: &[i32],
    members: &[(&str, &str, &[u8])],
    before: Named<'_>,
    expected: Named<'_>,
) {
    let assigned = assign(assignor, &image(counts), members, &target(before));
    let assigned: BTreeMap<_, _> = assigned
        .into_iter()
        .filter(|(_, partitions)| !partitions.is_empty())
        .collect();
    let expected: GroupAssignment = expected
        .iter()
        .map(|(member, topics)| (MemberId::new(member), partitions(topics)))
        .collect();
    assert_eq!(assigned, expected, "{assignor} {members:?} {before:?}");
}

#[test]
fn range_gives_neighbours_and_the_same_indexes_of_equal_topics() {
    let range = Assignor::Range;
    // `RangeAssignorTest.testFirstAssignmentTwoMembersTwoTopicsSameSubscriptions`: three partitions, then two.
    check(
        range,
        &[3, 2],
        &[("a", "", &[1, 2]), ("b", "", &[1, 2])],
        &[],
        &[
            ("a", &[(1, &[0, 1]), (2, &[0])]),
            ("b", &[(1, &[2]), (2, &[1])]),
        ],
    );
    // More members than partitions.
    check(
        range,
        &[2],
        &[("a", "", &[1]), ("b", "", &[1]), ("c", "", &[1])],
        &[],
        &[("a", &[(1, &[0])]), ("b", &[(1, &[1])])],
    );
    // Different subscriptions.
    check(
        range,
        &[3, 3, 2],
        &[("a", "", &[1, 2]), ("b", "", &[3]), ("c", "", &[2, 3])],
        &[],
        &[
            ("a", &[(1, &[0, 1, 2]), (2, &[0, 1])]),
            ("b", &[(3, &[0])]),
            ("c", &[(2, &[2]), (3, &[1])]),
        ],
    );
    // Static members come first, by instance id.
    check(
        range,
        &[3],
        &[("a", "", &[1]), ("b", "2", &[1]), ("c", "1", &[1])],
        &[],
        &[
            ("c", &[(1, &[0])]),
            ("b", &[(1, &[1])]),
            ("a", &[(1, &[2])]),
        ],
    );
    // What was before does not matter.
    check(
        range,
        &[4],
        &[("a", "", &[1]), ("b", "", &[1])],
        &[("a", &[(1, &[2, 3])]), ("b", &[(1, &[0, 1])])],
        &[("a", &[(1, &[0, 1])]), ("b", &[(1, &[2, 3])])],
    );
}

#[test]
fn uniform_is_even_and_moves_little_where_all_read_the_same() {
    let uniform = Assignor::Uniform;
    let both: &[(&str, &str, &[u8])] = &[("a", "", &[1, 2]), ("b", "", &[1, 2])];
    // The last members of the list take the extra partitions, unless an earlier one has it.
    check(
        uniform,
        &[3, 2],
        both,
        &[],
        &[("a", &[(1, &[0, 1])]), ("b", &[(1, &[2]), (2, &[0, 1])])],
    );
    // Nothing moves while it is even.
    check(
        uniform,
        &[3, 2],
        both,
        &[
            ("a", &[(1, &[0, 1]), (2, &[1])]),
            ("b", &[(1, &[2]), (2, &[0])]),
        ],
        &[
            ("a", &[(1, &[0, 1]), (2, &[1])]),
            ("b", &[(1, &[2]), (2, &[0])]),
        ],
    );
    // A third member takes the surplus of the others.
    check(
        uniform,
        &[6],
        &[("a", "", &[1]), ("b", "", &[1]), ("c", "", &[1])],
        &[("a", &[(1, &[0, 1, 2])]), ("b", &[(1, &[3, 4, 5])])],
        &[
            ("a", &[(1, &[0, 1])]),
            ("b", &[(1, &[3, 4])]),
            ("c", &[(1, &[2, 5])]),
        ],
    );
    // Who leaves is inherited from, and new partitions are shared.
    check(
        uniform,
        &[4, 2],
        both,
        &[("a", &[(1, &[0, 1])])],
        &[("a", &[(1, &[0, 1, 2])]), ("b", &[(1, &[3]), (2, &[0, 1])])],
    );
    // Topics nobody reads any more are dropped.
    check(
        uniform,
        &[2, 2],
        &[("a", "", &[2]), ("b", "", &[2])],
        &[("a", &[(1, &[0, 1])]), ("b", &[(2, &[0, 1])])],
        &[("a", &[(2, &[1])]), ("b", &[(2, &[0])])],
    );
    check(uniform, &[1], &[("a", "", &[])], &[], &[]);
}

#[test]
fn uniform_balances_where_members_read_different_topics() {
    let uniform = Assignor::Uniform;
    // The topic with most partitions per subscriber is shared out first.
    check(
        uniform,
        &[3, 3],
        &[("a", "", &[1]), ("b", "", &[1, 2])],
        &[],
        &[("a", &[(1, &[0, 1, 2])]), ("b", &[(2, &[0, 1, 2])])],
    );
    // What is even already stays.
    check(
        uniform,
        &[2, 2],
        &[("a", "", &[1]), ("b", "", &[1, 2])],
        &[("a", &[(1, &[0, 1])]), ("b", &[(2, &[0, 1])])],
        &[("a", &[(1, &[0, 1])]), ("b", &[(2, &[0, 1])])],
    );
    // A member that has too much of a shared topic gives its last partitions.
    check(
        uniform,
        &[4, 1],
        &[("a", "", &[1]), ("b", "", &[1, 2])],
        &[("b", &[(1, &[0, 1, 2, 3]), (2, &[0])])],
        &[("a", &[(1, &[2, 3])]), ("b", &[(1, &[0, 1]), (2, &[0])])],
    );
}

proptest! {
    /// Every partition of a subscribed topic has exactly one owner, who is subscribed; loads differ by one at most where
    /// all read the same; and assigning again moves nothing.
    #[test]
    fn every_partition_has_one_owner(
        counts in prop::collection::vec(0..12_i32, 1..5),
        wanted in prop::collection::vec(prop::collection::btree_set(1..5_u8, 1..4), 1..7),
        same in any::<bool>(),
        range in any::<bool>(),
        gone in 0..7_usize,
    ) {
        let image = image(&counts);
        let assignor = if range { Assignor::Range } else { Assignor::Uniform };
        let existing = u8::try_from(counts.len()).expect("few topics");
        let topics: Vec<Vec<u8>> = wanted
            .iter()
            .map(|topics| {
                let topics = if same { &wanted[0] } else { topics };
                topics.iter().copied().filter(|topic| *topic <= existing).collect()
            })
            .collect();
        let names: Vec<String> = (0..topics.len()).map(|number| format!("m{number}")).collect();
        let members: Vec<(&str, &str, &[u8])> = names
            .iter()
            .zip(&topics)
            .map(|(name, topics)| (name.as_str(), "", topics.as_slice()))
            .collect();
        let mut before = TargetAssignment::default();
        for round in 0..3 {
            // The second round lacks a member, the third has it again.
            let mut present = members.clone();
            if round == 1 && present.len() > 1 {
                let removed = present.remove(gone % present.len());
                before.remove(&MemberId::new(removed.0));
            }
            let assigned = assign(assignor, &image, &present, &before);
            let mut owned = BTreeSet::new();
            for (member, partitions) in &assigned {
                let topics = present.iter().find(|(name, _, _)| *name == member.as_str());
                let topics = topics.expect("a member").2;
                for (id, partition) in partitions.iter() {
                    prop_assert!(topics.iter().any(|byte| topic(*byte) == id));
                    prop_assert!(owned.insert((id, partition)), "owned twice");
                }
            }
            let read: BTreeSet<u8> = present.iter().flat_map(|(_, _, topics)| *topics).copied().collect();
            let all: usize = read
                .iter()
                .map(|topic| usize::try_from(counts[usize::from(*topic) - 1]).expect("not negative"))
                .sum();
            prop_assert_eq!(owned.len(), all);
            if assignor == Assignor::Uniform && (same || present.len() == 1) && !read.is_empty() {
                let sizes: Vec<usize> = present
                    .iter()
                    .map(|(name, _, _)| assigned.get(&MemberId::new(name)).map_or(0, TopicPartitions::len))
                    .collect();
                prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
            }
            for (member, partitions) in &assigned {
                before.set(member.clone(), partitions.clone());
            }
            let again = assign(assignor, &image, &present, &before);
            prop_assert_eq!(&again, &assigned);
        }
    }
}
