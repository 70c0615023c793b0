//! Laws of the assignors, over small random groups, and the examples of Kafka's documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn member(id: &str, topics: &[&str]) -> MemberSubscription {
    MemberSubscription {
        member_id: id.to_owned(),
        topics: topics.iter().map(|topic| Arc::from(*topic)).collect(),
        generation_id: -1,
        ..MemberSubscription::default()
    }
}

fn counts(topics: &[(&str, u32)]) -> PartitionCounts {
    topics
        .iter()
        .map(|(topic, count)| (Arc::from(*topic), *count))
        .collect()
}

fn printed(assignments: &Assignments) -> BTreeMap<&str, String> {
    assignments
        .iter()
        .map(|(member, partitions)| {
            let names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
            (member.as_str(), names.join(" "))
        })
        .collect()
}

/// The examples in the Javadoc of `RangeAssignor` and `RoundRobinAssignor`.
#[test]
fn kafkas_own_examples_come_out_the_same() {
    let both = [member("c0", &["t0", "t1"]), member("c1", &["t0", "t1"])];
    let three_each = counts(&[("t0", 3), ("t1", 3)]);
    let range = Assignor::Range.assign(&both, &three_each);
    assert_eq!(
        printed(&range),
        BTreeMap::from([
            ("c0", "t0-0 t0-1 t1-0 t1-1".to_owned()),
            ("c1", "t0-2 t1-2".to_owned())
        ])
    );
    let round_robin = Assignor::RoundRobin.assign(&both, &three_each);
    assert_eq!(
        printed(&round_robin),
        BTreeMap::from([
            ("c0", "t0-0 t0-2 t1-1".to_owned()),
            ("c1", "t0-1 t1-0 t1-2".to_owned())
        ])
    );
    let uneven = [
        member("c0", &["t0"]),
        member("c1", &["t0", "t1"]),
        member("c2", &["t0", "t1", "t2"]),
    ];
    let growing = counts(&[("t0", 1), ("t1", 2), ("t2", 3)]);
    assert_eq!(
        printed(&Assignor::RoundRobin.assign(&uneven, &growing)),
        BTreeMap::from([
            ("c0", "t0-0".to_owned()),
            ("c1", "t1-0".to_owned()),
            ("c2", "t1-1 t2-0 t2-1 t2-2".to_owned())
        ])
    );
    // KIP-54's example: sticky does better than round robin here.
    assert_eq!(
        printed(&Assignor::Sticky.assign(&uneven, &growing)),
        BTreeMap::from([
            ("c0", "t0-0".to_owned()),
            ("c1", "t1-0 t1-1".to_owned()),
            ("c2", "t2-0 t2-1 t2-2".to_owned())
        ])
    );
}

#[test]
fn static_members_are_ordered_by_instance_id() {
    let mut first = member("zzz", &["t"]);
    first.group_instance_id = Some("a".to_owned());
    let mut second = member("aaa", &["t"]);
    second.group_instance_id = Some("b".to_owned());
    let third = member("000", &["t"]);
    let range = Assignor::Range.assign(&[third, second, first], &counts(&[("t", 3)]));
    assert_eq!(
        printed(&range),
        BTreeMap::from([
            ("zzz", "t-0".to_owned()),
            ("aaa", "t-1".to_owned()),
            ("000", "t-2".to_owned())
        ])
    );
}

#[test]
fn a_cooperative_round_gives_nothing_that_another_member_still_owns() {
    let topic = counts(&[("t", 4)]);
    let mut old = member("old", &["t"]);
    old.generation_id = 3;
    old.owned = (0..4).map(|p| TopicPartition::new("t", p)).collect();
    let new = member("new", &["t"]);
    let first = Assignor::CooperativeSticky.assign(&[old.clone(), new.clone()], &topic);
    assert_eq!(first["old"].len(), 2, "the old member gives up two");
    assert!(first["new"].is_empty(), "nobody gets them yet: {first:?}");
    old.owned.clone_from(&first["old"]);
    old.generation_id = 4;
    let second = Assignor::CooperativeSticky.assign(&[old, new], &topic);
    assert_eq!(second["old"], first["old"]);
    assert_eq!(second["new"].len(), 2);
}

#[test]
fn a_claim_of_an_older_generation_is_not_believed() {
    let topic = counts(&[("t", 1)]);
    let claim = |id: &str, generation_id| MemberSubscription {
        owned: vec![TopicPartition::new("t", 0)],
        generation_id,
        ..member(id, &["t"])
    };
    let assigned = Assignor::Sticky.assign(&[claim("a", 4), claim("b", 5)], &topic);
    assert_eq!(assigned["b"].len(), 1);
}

fn group() -> impl Strategy<Value = (Vec<MemberSubscription>, PartitionCounts)> {
    let topics = prop::collection::vec(0_u32..7, 1..5);
    let members = prop::collection::vec((any::<u8>(), any::<bool>()), 1..7);
    (topics, members).prop_map(|(sizes, members)| {
        let names: Vec<Arc<str>> = (0..sizes.len())
            .map(|n| Arc::from(format!("t{n}")))
            .collect();
        let members = members
            .into_iter()
            .enumerate()
            .map(|(n, (wants, is_static))| MemberSubscription {
                member_id: format!("m{n}"),
                group_instance_id: is_static.then(|| format!("i{}", 9 - n)),
                topics: names
                    .iter()
                    .enumerate()
                    .filter(|(bit, _)| wants & (1 << bit) != 0)
                    .map(|(_, name)| Arc::clone(name))
                    .chain([Arc::from("gone")])
                    .collect(),
                owned: Vec::new(),
                generation_id: -1,
            })
            .collect();
        (members, names.into_iter().zip(sizes).collect())
    })
}

/// Every partition of a wanted topic has exactly one owner, who wants it; nothing else is assigned.
fn check_complete(
    members: &[MemberSubscription],
    counts: &PartitionCounts,
    assigned: &Assignments,
) -> Result<(), TestCaseError> {
    let mut seen = BTreeSet::new();
    for (id, partitions) in assigned {
        let member = members.iter().find(|member| member.member_id == *id);
        let member = member.expect("only members get partitions");
        for partition in partitions {
            prop_assert!(member.topics.contains(&partition.topic));
            prop_assert!(seen.insert(partition.clone()), "{partition} has two owners");
        }
    }
    prop_assert_eq!(assigned.len(), members.len());
    let wanted: BTreeSet<_> = counts
        .iter()
        .filter(|(topic, _)| members.iter().any(|member| member.topics.contains(topic)))
        .flat_map(|(topic, count)| {
            (0..count.cast_signed()).map(|p| TopicPartition::new(Arc::clone(topic), p))
        })
        .collect();
    prop_assert_eq!(seen, wanted);
    Ok(())
}

/// What each member would say of itself after this assignment.
fn owning(members: &[MemberSubscription], assigned: &Assignments) -> Vec<MemberSubscription> {
    let mut members = members.to_vec();
    for member in &mut members {
        member.owned = assigned.get(&member.member_id).cloned().unwrap_or_default();
        member.generation_id += 1;
    }
    members
}

proptest! {
    #[test]
    fn every_wanted_partition_has_exactly_one_owner((members, counts) in group()) {
        for assignor in Assignor::ALL {
            let assigned = assignor.assign(&members, &counts);
            check_complete(&members, &counts, &assigned)?;
            let mut reversed = members.clone();
            reversed.reverse();
            prop_assert_eq!(&assignor.assign(&reversed, &counts), &assigned);
        }
    }

    #[test]
    fn members_that_want_the_same_get_loads_that_differ_by_one(
        partitions in 0_u32..40, number in 1_usize..8
    ) {
        let members: Vec<_> = (0..number).map(|n| member(&format!("m{n}"), &["t"])).collect();
        for assignor in Assignor::ALL {
            let assigned = assignor.assign(&members, &counts(&[("t", partitions)]));
            let loads: Vec<_> = assigned.values().map(Vec::len).collect();
            let spread = loads.iter().max().expect("a member") - loads.iter().min().expect("a member");
            prop_assert!(spread <= 1, "{assignor}: {loads:?}");
        }
    }

    #[test]
    fn sticky_moves_nothing_when_nothing_changed((members, counts) in group()) {
        let first = Assignor::Sticky.assign(&members, &counts);
        let again = Assignor::Sticky.assign(&owning(&members, &first), &counts);
        prop_assert_eq!(first, again);
    }

    #[test]
    fn sticky_leaves_to_the_rest_what_they_had_when_a_member_goes((members, counts) in group()) {
        prop_assume!(members.len() > 1);
        // With equal wishes nothing but the gone member's partitions has a reason to move.
        let topics = members[0].topics.clone();
        let members: Vec<_> = members
            .into_iter()
            .map(|member| MemberSubscription { topics: topics.clone(), ..member })
            .collect();
        let first = Assignor::Sticky.assign(&members, &counts);
        let mut rest = owning(&members, &first);
        rest.pop();
        let second = Assignor::Sticky.assign(&rest, &counts);
        check_complete(&rest, &counts, &second)?;
        for member in &rest {
            for partition in &member.owned {
                prop_assert!(second[&member.member_id].contains(partition));
            }
        }
    }

    #[test]
    fn cooperative_rounds_settle_and_never_give_a_partition_two_owners(
        (members, counts) in group(), leaves in any::<bool>()
    ) {
        let first = Assignor::CooperativeSticky.assign(&members, &counts);
        let mut members = owning(&members, &first);
        if leaves && members.len() > 1 {
            members.remove(0);
        } else {
            members.push(member("new", &["t0", "t1"]));
        }
        let mut assigned = first;
        for _round in 0..3 {
            let next = Assignor::CooperativeSticky.assign(&members, &counts);
            for (id, partitions) in &next {
                for partition in partitions {
                    let holder = assigned.iter().find(|(other, held)| {
                        *other != id && members.iter().any(|m| m.member_id == **other) && held.contains(partition)
                    });
                    prop_assert!(holder.is_none(), "{partition} was taken from {holder:?}");
                }
            }
            members = owning(&members, &next);
            assigned = next;
        }
        check_complete(&members, &counts, &assigned)?;
    }
}
