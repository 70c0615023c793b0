//! Who of a topic's subscribers has the fewest partitions, and who the most, while partitions move between them
//! (`MemberAssignmentBalancer` of `UniformHeterogeneousAssignmentBuilder.java`).
//!
//! The subscribers are sorted by how many partitions they have. From the left grows a range of the least loaded: once
//! each of them has been given one, the level rises and the range takes in whoever stands at that level. From the right
//! grows likewise a range of the most loaded, each of whom gives one up before the level falls. Members that have
//! nothing of the topic to give up are put outside, to the right of that range. When the levels differ by one or less,
//! the topic is balanced.

/// Members by number.
pub(super) type MemberNumber = usize;

#[derive(Debug, Default)]
pub(super) struct Balancer {
    sorted: Vec<MemberNumber>,
    least_end: usize,
    least_level: i64,
    next_least: usize,
    most_start: usize,
    most_end: usize,
    most_level: i64,
    /// How many of the most loaded range and of what is left of it come before its next member; 0 if nobody is left.
    next_most: usize,
}

fn level(sizes: &[usize], member: MemberNumber) -> i64 {
    let size = sizes.get(member).copied().unwrap_or_default();
    i64::try_from(size).unwrap_or(i64::MAX)
}

impl Balancer {
    /// Begins with a topic's subscribers, of whom there is at least one. Returns by how many partitions the most and the
    /// least loaded differ.
    pub(super) fn initialize(&mut self, subscribers: &[MemberNumber], sizes: &[usize]) -> i64 {
        self.sorted.clear();
        self.sorted.extend_from_slice(subscribers);
        self.sorted
            .sort_by_key(|member| (level(sizes, *member), *member));
        let (least, most) = match (self.sorted.first(), self.sorted.last()) {
            (Some(least), Some(most)) => (level(sizes, *least), level(sizes, *most)),
            _ => (0, 0),
        };
        self.least_end = 0;
        self.least_level = least - 1;
        self.next_least = 0;
        self.most_start = self.sorted.len();
        self.most_end = self.sorted.len();
        self.most_level = most + 1;
        self.next_most = self.sorted.len();
        most - least
    }

    /// Who is to be given the next partition; the caller does so before asking again.
    pub(super) fn next_least_loaded(&mut self, sizes: &[usize]) -> Option<MemberNumber> {
        if self.next_least >= self.least_end {
            self.least_level += 1;
            while self
                .sorted
                .get(self.least_end)
                .is_some_and(|member| level(sizes, *member) == self.least_level)
            {
                self.least_end += 1;
            }
            self.next_least = 0;
        }
        let member = self.sorted.get(self.next_least).copied();
        self.next_least += 1;
        member
    }

    /// Who is to give up a partition; `None` if nobody is left who could.
    pub(super) fn next_most_loaded(&mut self, sizes: &[usize]) -> Option<MemberNumber> {
        if self.next_most <= self.most_start {
            let before = self.most_start.checked_sub(1);
            let before = before.and_then(|before| self.sorted.get(before));
            match before {
                // The range is empty because of those put outside: go on wherever the next one stands.
                Some(next) if self.most_end <= self.most_start => {
                    self.most_level = level(sizes, *next);
                }
                _ => self.most_level -= 1,
            }
            while let Some(before) = self.most_start.checked_sub(1)
                && self
                    .sorted
                    .get(before)
                    .is_some_and(|member| level(sizes, *member) == self.most_level)
            {
                self.most_start = before;
            }
            self.next_most = self.most_end;
        }
        self.next_most = self.next_most.checked_sub(1)?;
        self.sorted.get(self.next_most).copied()
    }

    /// Puts the member that [`Self::next_most_loaded`] named last outside: it has nothing to give up.
    pub(super) fn exclude_most_loaded(&mut self) {
        if let Some(last) = self.most_end.checked_sub(1) {
            self.sorted.swap(self.next_most, last);
            self.most_end = last;
        }
    }

    pub(super) fn is_balanced(&self) -> bool {
        self.most_level - self.least_level <= 1
    }
}
