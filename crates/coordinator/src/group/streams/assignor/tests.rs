//! The sticky assignor: cases of Kafka's `StickyTaskAssignorTest`, and the laws that hold for all groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use types::MemberId;

use super::queue::Queue;
use super::sticky::assign;
use super::{GroupAssignment, MemberSpec, MemberSpecs, SubtopologySpec};
use crate::group::streams::tasks::{TaskSet, Tasks};

fn subtopology(id: &str, tasks: i32, is_stateful: bool) -> SubtopologySpec {
    SubtopologySpec {
        id: Arc::from(id),
        tasks,
        is_stateful,
    }
}

fn tasks(tasks: &[(&str, &[i32])]) -> Tasks {
    let tasks = tasks.iter();
    tasks
        .map(|(id, partitions)| (Arc::from(*id), partitions.iter().copied().collect()))
        .collect()
}

fn previous(active: &[(&str, &[i32])], standby: &[(&str, &[i32])]) -> TaskSet {
    TaskSet {
        active: tasks(active),
        standby: tasks(standby),
        warmup: Tasks::new(),
    }
}

/// Members with their processes and previous targets.
fn assigned(
    members: &[(&str, &str, TaskSet)],
    subtopologies: &[SubtopologySpec],
    standby_replicas: usize,
) -> GroupAssignment {
    let specs: MemberSpecs<'_> = members
        .iter()
        .map(|(member, process, previous)| {
            let spec = MemberSpec {
                process: Arc::from(*process),
                previous,
            };
            (MemberId::new(member), spec)
        })
        .collect();
    assign(&specs, subtopologies, standby_replicas).expect("there are members")
}

fn count(tasks: &Tasks) -> usize {
    tasks.values().map(BTreeSet::len).sum()
}

#[test]
fn a_first_assignment_spreads_every_subtopology() {
    let members = [
        ("a", "a", TaskSet::default()),
        ("b", "b", TaskSet::default()),
        ("c", "c", TaskSet::default()),
    ];
    let subtopologies = [subtopology("0", 3, false), subtopology("1", 3, false)];
    let assignment = assigned(&members, &subtopologies, 0);
    for member in ["a", "b", "c"] {
        let counts: Vec<usize> = assignment[member]
            .active
            .values()
            .map(BTreeSet::len)
            .collect();
        assert_eq!(counts, [1, 1], "{member}");
    }
}

#[test]
fn processes_get_tasks_by_their_number_of_members() {
    let members = [
        ("a", "large", TaskSet::default()),
        ("b", "large", TaskSet::default()),
        ("c", "small", TaskSet::default()),
    ];
    let assignment = assigned(&members, &[subtopology("0", 6, false)], 0);
    for member in ["a", "b", "c"] {
        assert_eq!(count(&assignment[member].active), 2, "{member}");
    }
}

#[test]
fn tasks_stay_where_they_were_as_far_as_the_load_is_even() {
    let subtopologies = [subtopology("0", 4, true)];
    let members = [
        ("a", "a", previous(&[("0", &[1, 3])], &[])),
        ("b", "b", previous(&[("0", &[0, 2])], &[])),
    ];
    let assignment = assigned(&members, &subtopologies, 0);
    assert_eq!(assignment["a"].active, tasks(&[("0", &[1, 3])]));
    assert_eq!(assignment["b"].active, tasks(&[("0", &[0, 2])]));
    // A new member gets its share and no more.
    let members = [
        ("a", "a", previous(&[("0", &[1, 3])], &[])),
        ("b", "b", previous(&[("0", &[0, 2])], &[])),
        ("c", "c", TaskSet::default()),
    ];
    let assignment = assigned(&members, &subtopologies, 0);
    let kept = |member: &str, before: &[i32]| {
        let before: BTreeSet<i32> = before.iter().copied().collect();
        assignment[member].active["0"].is_subset(&before)
    };
    assert!(kept("a", &[1, 3]) && kept("b", &[0, 2]));
    assert_eq!(count(&assignment["c"].active), 1);
}

#[test]
fn a_task_whose_member_is_gone_goes_to_its_standby() {
    let members = [
        ("a", "a", previous(&[("0", &[0])], &[])),
        ("b", "b", previous(&[], &[("0", &[1])])),
    ];
    let assignment = assigned(&members, &[subtopology("0", 2, true)], 1);
    assert_eq!(assignment["a"].active, tasks(&[("0", &[0])]));
    assert_eq!(assignment["b"].active, tasks(&[("0", &[1])]));
    assert_eq!(assignment["a"].standby, tasks(&[("0", &[1])]));
    assert_eq!(assignment["b"].standby, tasks(&[("0", &[0])]));
}

#[test]
fn standby_tasks_stay_too() {
    let subtopologies = [subtopology("0", 3, true)];
    let members: Vec<(&str, &str, TaskSet)> = vec![
        ("a", "a", previous(&[("0", &[0])], &[("0", &[2])])),
        ("b", "b", previous(&[("0", &[1])], &[("0", &[0])])),
        ("c", "c", previous(&[("0", &[2])], &[("0", &[1])])),
    ];
    let assignment = assigned(&members, &subtopologies, 1);
    for (member, _, before) in &members {
        assert_eq!(&assignment[*member], before, "{member}");
    }
}

#[test]
fn without_enough_processes_there_are_fewer_standby_tasks() {
    let members = [
        ("a", "one", TaskSet::default()),
        ("b", "one", TaskSet::default()),
    ];
    let assignment = assigned(&members, &[subtopology("0", 2, true)], 1);
    assert!(assignment.values().all(|tasks| tasks.standby.is_empty()));
}

#[test]
fn stateless_tasks_have_no_standby() {
    let members = [
        ("a", "a", TaskSet::default()),
        ("b", "b", TaskSet::default()),
    ];
    let assignment = assigned(&members, &[subtopology("0", 4, false)], 1);
    assert!(assignment.values().all(|tasks| tasks.standby.is_empty()));
}

#[test]
fn tasks_without_members_cannot_be_assigned() {
    let none = MemberSpecs::new();
    assign(&none, &[subtopology("0", 1, false)], 0).unwrap_err();
    assert_eq!(assign(&none, &[], 0), Ok(GroupAssignment::new()));
}

/// The order in which `java.util.PriorityQueue` gives equal elements back.
#[test]
fn equal_elements_leave_the_queue_in_javas_order() {
    let by_key = |one: &(u8, char), other: &(u8, char)| one.0 < other.0;
    let mut queue = Queue::new();
    for element in [(1, 'a'), (1, 'b'), (0, 'c'), (1, 'd'), (0, 'e')] {
        queue.push(element, by_key);
    }
    let order: String = std::iter::from_fn(|| queue.pop(by_key))
        .map(|(_, name)| name)
        .collect();
    assert_eq!(order, "cedab");
}

#[derive(Clone, Debug)]
struct Group {
    /// Processes of the members.
    members: Vec<usize>,
    subtopologies: Vec<(i32, bool)>,
    standby_replicas: usize,
}

fn group() -> impl Strategy<Value = Group> {
    (
        prop::collection::vec(0..4_usize, 1..7),
        prop::collection::vec((1..6_i32, any::<bool>()), 1..4),
        0..3_usize,
    )
        .prop_map(|(members, subtopologies, standby_replicas)| Group {
            members,
            subtopologies,
            standby_replicas,
        })
}

fn run(group: &Group, before: &GroupAssignment) -> GroupAssignment {
    let nothing = TaskSet::default();
    let specs: MemberSpecs<'_> = group
        .members
        .iter()
        .enumerate()
        .map(|(index, process)| {
            let member = MemberId::new(&format!("member-{index}"));
            let previous = before.get(&member).unwrap_or(&nothing);
            let process = Arc::from(format!("process-{process}"));
            (member, MemberSpec { process, previous })
        })
        .collect();
    let subtopologies: Vec<SubtopologySpec> = group
        .subtopologies
        .iter()
        .enumerate()
        .map(|(index, (tasks, is_stateful))| subtopology(&index.to_string(), *tasks, *is_stateful))
        .collect();
    assign(&specs, &subtopologies, group.standby_replicas).expect("there are members")
}

fn check(group: &Group, assignment: &GroupAssignment) {
    let mut active = BTreeSet::new();
    let mut by_process: BTreeMap<usize, BTreeSet<(Arc<str>, i32)>> = BTreeMap::new();
    let mut standby = 0;
    for (index, process) in group.members.iter().enumerate() {
        let tasks = &assignment[format!("member-{index}").as_str()];
        let of_process = by_process.entry(*process).or_default();
        for (id, partitions) in &tasks.active {
            for partition in partitions {
                assert!(active.insert((id.clone(), *partition)), "assigned twice");
                assert!(of_process.insert((id.clone(), *partition)));
            }
        }
        for (id, partitions) in &tasks.standby {
            for partition in partitions {
                standby += 1;
                let is_new = of_process.insert((id.clone(), *partition));
                assert!(is_new, "a process has a task in one role only");
            }
        }
    }
    let total: i32 = group.subtopologies.iter().map(|(tasks, _)| tasks).sum();
    assert_eq!(active.len(), usize::try_from(total).expect("positive"));
    let stateful = group.subtopologies.iter().filter(|(_, stateful)| *stateful);
    let stateful: i32 = stateful.map(|(tasks, _)| tasks).sum();
    let replicas = group.standby_replicas.min(by_process.len() - 1);
    assert_eq!(
        standby,
        usize::try_from(stateful).expect("positive") * replicas
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_task_runs_once_and_is_followed_in_other_processes(first in group(), second in group()) {
        let before = run(&first, &GroupAssignment::new());
        check(&first, &before);
        check(&second, &run(&second, &before));
    }

    #[test]
    fn members_of_one_process_each_get_even_shares(members in 1..7_usize, tasks in 1..20_i32) {
        let group = Group {
            members: (0..members).collect(),
            subtopologies: vec![(tasks, false)],
            standby_replicas: 0,
        };
        let assignment = run(&group, &GroupAssignment::new());
        let counts = assignment.values().map(|tasks| count(&tasks.active));
        let (least, most) = (counts.clone().min(), counts.max());
        prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1));
        // Nothing moves where nothing changes.
        prop_assert_eq!(run(&group, &assignment), assignment);
    }
}
