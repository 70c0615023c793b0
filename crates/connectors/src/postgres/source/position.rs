//! [`Position`]: how far a source was read. Whoever reads keeps it with what it made of the rows, in one transaction.
//!
//! A run reads the snapshot, if there is none yet, and then what has changed up to the largest cursor at that moment; so every run ends.
//! The largest cursor is noted before the first row of the snapshot is read, and the changes begin there, less the lookback: what changes
//! while the snapshot is read is read again.

use serde::{Deserialize, Serialize};

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Everything, in the order of the key.
    Snapshot,
    /// What has a later cursor, in its order.
    Incremental,
}

/// How far a source was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The number of the run, from zero.
    pub run: u64,
    /// What this run reads now.
    pub phase: Phase,
    /// Whether this run is at its end.
    pub finished: bool,
    /// The columns whose values are in `after`.
    pub key: Vec<String>,
    /// How the values of these columns are ordered; empty where an earlier version did not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_order: Vec<String>,
    /// Behind the row with these values the next chunk begins; none at the beginning. Texts as PostgreSQL writes them.
    pub after: Option<Vec<Option<String>>>,
    /// How many rows of this phase were read.
    pub rows: u64,
    /// The column of the cursor, if there is one.
    pub cursor_column: Option<String>,
    /// How its values are ordered; none where an earlier version did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor_order: Option<String>,
    /// Up to this cursor everything was read, but for what commits later.
    pub cursor: Option<String>,
    /// Up to this cursor the changes of this run are read, or, in a snapshot, from it on they will be.
    pub until: Option<String>,
}

impl Default for Position {
    fn default() -> Self {
        Self {
            run: 0,
            phase: Phase::Snapshot,
            finished: false,
            key: Vec::new(),
            key_order: Vec::new(),
            after: None,
            rows: 0,
            cursor_column: None,
            cursor_order: None,
            cursor: None,
            until: None,
        }
    }
}

impl Position {
    /// Where the next run begins; one that is not finished goes on.
    #[must_use]
    pub fn next_run(&self) -> Self {
        if !self.finished {
            return self.clone();
        }
        let phase = match self.cursor_column {
            Some(_) => Phase::Incremental,
            None => Phase::Snapshot,
        };
        self.phase(self.run + 1, phase)
    }

    /// The beginning of a phase.
    fn phase(&self, run: u64, phase: Phase) -> Self {
        Self {
            run,
            phase,
            finished: false,
            key: Vec::new(),
            key_order: Vec::new(),
            after: None,
            rows: 0,
            until: None,
            ..self.clone()
        }
    }

    /// Behind the last row of what this phase reads.
    pub(super) fn end_of_phase(&self) -> Self {
        let cursor = self.until.clone().or_else(|| self.cursor.clone());
        match (self.phase, &self.cursor_column) {
            (Phase::Snapshot, Some(_)) => Self {
                cursor,
                ..self.phase(self.run, Phase::Incremental)
            },
            _ => Self {
                finished: true,
                cursor,
                after: None,
                until: None,
                ..self.clone()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_json_and_comes_back() {
        let position = Position {
            key: vec!["id".to_owned()],
            after: Some(vec![Some("7".to_owned())]),
            until: Some("2026-01-01 00:00:00+00".to_owned()),
            ..Position::default()
        };
        let text = serde_json::to_string(&position).unwrap();
        assert!(text.contains("\"phase\":\"snapshot\""), "{text}");
        assert_eq!(serde_json::from_str::<Position>(&text).unwrap(), position);
    }

    #[test]
    fn a_snapshot_goes_over_into_changes_and_they_go_on_in_the_next_run() {
        let snapshot = Position {
            cursor_column: Some("at".to_owned()),
            until: Some("5".to_owned()),
            after: Some(vec![Some("7".to_owned())]),
            rows: 3,
            ..Position::default()
        };
        let changes = snapshot.end_of_phase();
        assert_eq!(
            (changes.phase, changes.run, changes.finished),
            (Phase::Incremental, 0, false)
        );
        assert_eq!(
            (
                changes.cursor.as_deref(),
                changes.after.as_ref(),
                changes.rows
            ),
            (Some("5"), None, 0)
        );
        assert_eq!(changes.next_run(), changes);
        let read = Position {
            until: Some("8".to_owned()),
            ..changes
        };
        let next = read.end_of_phase().next_run();
        assert_eq!(
            (next.run, next.phase, next.cursor.as_deref(), next.until),
            (1, Phase::Incremental, Some("8"), None)
        );
    }

    #[test]
    fn without_a_cursor_each_run_reads_everything() {
        let end = Position {
            rows: 9,
            ..Position::default()
        }
        .end_of_phase();
        assert!(end.finished);
        let next = end.next_run();
        assert_eq!((next.run, next.phase, next.rows), (1, Phase::Snapshot, 0));
    }
}
