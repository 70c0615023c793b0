//! Transactions that depend on each other in a circle.
//!
//! Three kinds of edges between transactions that happened: one's record lies right before the other's (ww), one polled
//! what the other sent (wr), one polled up to right before what the other sent (rw). A circle of wr alone is an error. The
//! other circles are only counted, since Kafka neither isolates writes nor makes polls of several partitions a snapshot.
//! Circles are strongly connected components (Tarjan's algorithm, without recursion).

use std::collections::BTreeSet;

use crate::anomaly::Anomaly;
use crate::key_log::KeyLogs;
use crate::operation::{Nature, Operations, Outcome};
use crate::report::Report;

/// Operations named in one example.
const NAMED_MAX: usize = 12;

type Edges = BTreeSet<(usize, usize)>;

pub(crate) fn check(operations: &Operations, logs: &KeyLogs, report: &mut Report) {
    let graph = Graph::new(operations, logs);
    graph.tell(&[&graph.wr], Anomaly::Cycle, report);
    graph.tell(&[&graph.ww, &graph.wr], Anomaly::WriteCycle, report);
    graph.tell(&[&graph.wr, &graph.rw], Anomaly::ReadSkew, report);
}

struct Graph {
    nodes: usize,
    ww: Edges,
    wr: Edges,
    rw: Edges,
}

impl Graph {
    fn new(operations: &Operations, logs: &KeyLogs) -> Self {
        let happened = |place: usize| {
            let operation = &operations.list[place];
            operation.nature == (Nature::Run { transaction: true })
                && operation.outcome == Outcome::Ok
        };
        let mut graph = Self {
            nodes: operations.list.len(),
            ww: Edges::new(),
            wr: Edges::new(),
            rw: Edges::new(),
        };
        for (_, log) in logs.all() {
            let values = log.values.values().filter_map(BTreeSet::first);
            let writers: Vec<_> = values
                .filter_map(|value| log.writers.get(value).copied())
                .collect();
            for pair in writers.windows(2) {
                if let [first, second] = *pair
                    && first != second
                    && happened(first)
                    && happened(second)
                {
                    graph.ww.insert((first, second));
                }
            }
        }
        for (reader, operation) in operations.list.iter().enumerate() {
            if !happened(reader) {
                continue;
            }
            for (key, records) in operation.polls() {
                let log = logs.get(key);
                let writer_of = |value: &u64| {
                    let writer = log.writers.get(value).copied();
                    writer.filter(|writer| *writer != reader && happened(*writer))
                };
                for (_, value) in records {
                    graph
                        .wr
                        .extend(writer_of(value).map(|writer| (writer, reader)));
                }
                let next = records.last().and_then(|(last, _)| log.next_after(*last));
                let next = next.and_then(|next| log.values[&next].first());
                let next = next.and_then(writer_of);
                graph.rw.extend(next.map(|writer| (reader, writer)));
            }
        }
        graph
    }

    fn tell(&self, kinds: &[&Edges], anomaly: Anomaly, report: &mut Report) {
        let mut followers = vec![Vec::new(); self.nodes];
        for (from, to) in kinds.iter().copied().flatten() {
            followers[*from].push(*to);
        }
        for mut component in components(&followers) {
            component.sort_unstable();
            report.found(anomaly, || {
                let shown: Vec<_> = component.iter().take(NAMED_MAX).collect();
                format!(
                    "a circle among {} transactions: operations {shown:?}",
                    component.len()
                )
            });
        }
    }
}

/// Strongly connected components of more than one node.
fn components(followers: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const UNSEEN: usize = usize::MAX;
    let mut found = Vec::new();
    let mut index = vec![UNSEEN; followers.len()];
    let mut low = vec![UNSEEN; followers.len()];
    let mut on_stack = vec![false; followers.len()];
    let mut stack = Vec::new();
    let mut next_index = 0;
    for root in 0..followers.len() {
        if index[root] != UNSEEN {
            continue;
        }
        // A node and how many of its followers were looked at.
        let mut path = vec![(root, 0)];
        while let Some((node, looked)) = path.last_mut() {
            let node = *node;
            if *looked == 0 {
                index[node] = next_index;
                low[node] = next_index;
                next_index += 1;
                stack.push(node);
                on_stack[node] = true;
            }
            if let Some(follower) = followers[node].get(*looked) {
                *looked += 1;
                if index[*follower] == UNSEEN {
                    path.push((*follower, 0));
                } else if on_stack[*follower] {
                    low[node] = low[node].min(index[*follower]);
                }
                continue;
            }
            path.pop();
            if let Some((parent, _)) = path.last() {
                low[*parent] = low[*parent].min(low[node]);
            }
            if low[node] == index[node] {
                let start = stack.iter().rposition(|other| *other == node).unwrap_or(0);
                let component = stack.split_off(start);
                component.iter().for_each(|node| on_stack[*node] = false);
                if component.len() > 1 {
                    found.push(component);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::components;

    #[test]
    fn circles_are_found_and_paths_are_not() {
        let followers = vec![
            vec![1],
            vec![2],
            vec![0, 3],
            vec![4],
            vec![],
            vec![6],
            vec![5, 4],
        ];
        let mut found = components(&followers);
        found
            .iter_mut()
            .for_each(|component| component.sort_unstable());
        found.sort();
        assert_eq!(found, [vec![0, 1, 2], vec![5, 6]]);
    }

    #[test]
    fn a_long_path_needs_no_deep_stack() {
        let count = 200_000;
        let followers: Vec<_> = (0..count).map(|node| vec![(node + 1) % count]).collect();
        assert_eq!(components(&followers).len(), 1);
    }
}
