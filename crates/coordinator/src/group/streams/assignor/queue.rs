//! A binary heap that breaks ties as `java.util.PriorityQueue` does, so that equal loads are filled in Kafka's order.

/// A queue of which the least element, by the order given to each call, leaves first.
#[derive(Debug)]
pub(crate) struct Queue<T>(Vec<T>);

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds an element. `is_less` must be the same in all calls, and answer for elements in the queue as it did when
    /// they were added.
    pub(crate) fn push(&mut self, element: T, is_less: impl Fn(&T, &T) -> bool) {
        self.0.push(element);
        let mut index = self.0.len() - 1;
        while index > 0 {
            let parent = (index - 1) / 2;
            if !self.less(index, parent, &is_less) {
                break;
            }
            self.0.swap(index, parent);
            index = parent;
        }
    }

    /// Takes the least element.
    pub(crate) fn pop(&mut self, is_less: impl Fn(&T, &T) -> bool) -> Option<T> {
        if self.0.is_empty() {
            return None;
        }
        let least = self.0.swap_remove(0);
        let mut index = 0;
        loop {
            let left = 2 * index + 1;
            let right = left + 1;
            if left >= self.0.len() {
                break;
            }
            let child = if right < self.0.len() && self.less(right, left, &is_less) {
                right
            } else {
                left
            };
            if !self.less(child, index, &is_less) {
                break;
            }
            self.0.swap(index, child);
            index = child;
        }
        Some(least)
    }

    fn less(&self, one: usize, other: usize, is_less: &impl Fn(&T, &T) -> bool) -> bool {
        match (self.0.get(one), self.0.get(other)) {
            (Some(one), Some(other)) => is_less(one, other),
            _ => false,
        }
    }
}
