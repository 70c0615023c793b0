//! The states of a record in a share group.
//!
//! Invariant: a record ends as Acknowledged or Archived and never leaves these; Available is left only for Acquired.

/// What a share group knows of a record (`RecordState.java`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordState {
    /// May be handed out.
    Available,
    /// A member has it and its lock has not run out.
    Acquired,
    /// Accepted.
    Acknowledged,
    /// Rejected, delivered too often, or gone from the log.
    Archived,
}

impl RecordState {
    /// The number that requests and records of the share coordinator carry.
    pub const fn id(self) -> i8 {
        match self {
            Self::Available => 0,
            Self::Acquired => 1,
            Self::Acknowledged => 2,
            Self::Archived => 4,
        }
    }

    /// The state with a number, if there is one. 3 was planned (ARCHIVING) and does not exist.
    pub const fn from_id(id: i8) -> Option<Self> {
        match id {
            0 => Some(Self::Available),
            1 => Some(Self::Acquired),
            2 => Some(Self::Acknowledged),
            4 => Some(Self::Archived),
            _ => None,
        }
    }

    /// Whether the record will never be handed out again.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Acknowledged | Self::Archived)
    }

    /// Whether a record may go from this state to `next`.
    pub(super) const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Available => matches!(next, Self::Acquired),
            Self::Acquired => !matches!(next, Self::Acquired),
            Self::Acknowledged | Self::Archived => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RecordState;

    #[test]
    fn numbers_are_kafkas_and_the_planned_one_is_unknown() {
        for state in [
            RecordState::Available,
            RecordState::Acquired,
            RecordState::Acknowledged,
            RecordState::Archived,
        ] {
            assert_eq!(RecordState::from_id(state.id()), Some(state));
        }
        assert_eq!(RecordState::from_id(3), None);
        assert_eq!(RecordState::from_id(-1), None);
    }

    #[test]
    fn terminal_states_are_never_left() {
        let all = [0, 1, 2, 4].map(|id| RecordState::from_id(id).unwrap());
        for from in all {
            for to in all {
                let expected = match (from, to) {
                    (RecordState::Available, to) => to == RecordState::Acquired,
                    (RecordState::Acquired, to) => to != RecordState::Acquired,
                    _ => false,
                };
                assert_eq!(from.may_become(to), expected, "{from:?} to {to:?}");
            }
        }
    }
}
