//! Circles in a graph.

/// Circles that have no node in common, by the nodes that follow each node. There is one if and only if the graph has one; a circle
/// begins with its least node.
pub(super) fn find(after: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut left = vec![true; after.len()];
    let mut circles = Vec::new();
    loop {
        peel(after, &mut left);
        let Some(start) = left.iter().position(|left| *left) else {
            return circles;
        };
        let circle = walk(after, &left, start);
        for node in &circle {
            left[*node] = false;
        }
        circles.push(circle);
    }
}

/// Takes out the nodes that no node, or no other, follows or is followed by: they are in no circle.
fn peel(after: &[Vec<usize>], left: &mut [bool]) {
    let mut before = vec![Vec::new(); after.len()];
    for (node, next) in after.iter().enumerate() {
        for next in next {
            before[*next].push(node);
        }
    }
    // What is left then leads on for ever, so a walk comes back.
    for (edges, back) in [(after, &before[..]), (&before[..], after)] {
        let among =
            |left: &[bool], node: usize| edges[node].iter().filter(|next| left[**next]).count();
        let mut degrees: Vec<_> = (0..edges.len()).map(|node| among(left, node)).collect();
        let mut ends: Vec<_> = (0..edges.len())
            .filter(|node| left[*node] && degrees[*node] == 0)
            .collect();
        while let Some(node) = ends.pop() {
            left[node] = false;
            for previous in back[node].iter().filter(|previous| left[**previous]) {
                degrees[*previous] = degrees[*previous].saturating_sub(1);
                if degrees[*previous] == 0 {
                    ends.push(*previous);
                }
            }
        }
    }
}

/// Follows what is left from a node until one comes again.
fn walk(after: &[Vec<usize>], left: &[bool], start: usize) -> Vec<usize> {
    let mut seen = vec![usize::MAX; after.len()];
    let mut way = Vec::new();
    let mut node = start;
    while seen[node] == usize::MAX {
        seen[node] = way.len();
        way.push(node);
        match after[node].iter().find(|next| left[**next]) {
            Some(next) => node = *next,
            None => break,
        }
    }
    let mut circle = way.split_off(seen[node]);
    let least = (0..circle.len())
        .min_by_key(|index| circle[*index])
        .unwrap_or(0);
    circle.rotate_left(least);
    circle
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn circles_are_found_and_ways_are_none() {
        let none: [Vec<usize>; 0] = [];
        assert!(find(&none).is_empty());
        assert!(find(&[vec![1, 2], vec![2], vec![]]).is_empty());
        assert_eq!(find(&[vec![0]]), [vec![0]]);
        assert_eq!(find(&[vec![1], vec![2], vec![1, 3], vec![]]), [vec![1, 2]]);
        assert_eq!(
            find(&[vec![1], vec![0], vec![3], vec![2]]),
            [vec![0, 1], vec![2, 3]]
        );
    }

    proptest! {
        #[test]
        fn what_is_found_is_a_circle_and_none_is_missed(
            edges in proptest::collection::vec((0_usize..8, 0_usize..8), 0..14)
        ) {
            let mut after = vec![Vec::new(); 8];
            for (from, to) in edges {
                after[from].push(to);
            }
            let circles = find(&after);
            for circle in &circles {
                for (index, node) in circle.iter().enumerate() {
                    prop_assert!(after[*node].contains(&circle[(index + 1) % circle.len()]));
                }
            }
            // Reachability by brute force: a node that reaches itself.
            let mut reach = [[false; 8]; 8];
            for (from, next) in after.iter().enumerate() {
                next.iter().for_each(|to| reach[from][*to] = true);
            }
            for through in 0..8 {
                for from in 0..8 {
                    for to in 0..8 {
                        reach[from][to] |= reach[from][through] && reach[through][to];
                    }
                }
            }
            let has_circle = (0..8).any(|node| reach[node][node]);
            prop_assert_eq!(has_circle, !circles.is_empty());
        }
    }
}
