//! What a client's quota (`controller_mutation_rate`) grants of a request, topic by topic: what would fail anyway is not
//! counted, so each is tried without effect first.

use hashbrown::HashSet;

use crate::quotas::Mutations;

/// Topics of a request that could be made or grow, were it not for the client's quota, by position.
pub(super) struct Exceeding(HashSet<usize>);

impl Exceeding {
    /// Where nobody has a quota.
    pub(super) fn nothing() -> Self {
        Self(HashSet::new())
    }

    /// Counts the partitions that each would make.
    pub(super) fn of<T, E>(
        tried: &[Result<T, E>],
        partitions: impl Fn(&T) -> i32,
        mutations: &mut Mutations<'_>,
    ) -> Self {
        let exceeds = |(index, outcome): (usize, &Result<T, E>)| {
            let partitions = partitions(outcome.as_ref().ok()?);
            (!mutations.take(partitions)).then_some(index)
        };
        Self(tried.iter().enumerate().filter_map(exceeds).collect())
    }

    /// What is left of the request.
    pub(super) fn granted<T>(&self, asked: Vec<T>) -> Vec<T> {
        let granted = asked.into_iter().enumerate();
        let granted = granted.filter(|(index, _)| !self.0.contains(index));
        granted.map(|(_, topic)| topic).collect()
    }

    /// What came of the request's topics, in order; `None` where the quota was exceeded.
    pub(super) fn outcomes<O>(&self, of_granted: Vec<O>) -> impl Iterator<Item = Option<O>> {
        let topics = of_granted.len() + self.0.len();
        let mut of_granted = of_granted.into_iter();
        (0..topics).map(move |index| match self.0.contains(&index) {
            true => None,
            false => of_granted.next(),
        })
    }
}
