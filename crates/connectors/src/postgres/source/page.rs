//! The query of a page: so many rows behind a key, and with them all that have the same key as the last one, so that no row is lost
//! between two pages whatever the key is.
//!
//! Keys are ordered as PostgreSQL orders them, NULL behind everything. Pure.

use super::position::{Phase, Position};
use super::shape::{Cursor, KeyColumn, Shape};

/// A query and its parameters, all of them texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) sql: String,
    pub(super) values: Vec<String>,
}

/// The columns that a phase is ordered by. Changes have a cursor, always.
pub(super) fn key(shape: &Shape, phase: Phase) -> Vec<KeyColumn> {
    let cursor = shape.cursor.as_ref().map(|cursor| cursor.column.clone());
    match phase {
        Phase::Snapshot if shape.ties.is_empty() => cursor.into_iter().collect(),
        Phase::Snapshot => shape.ties.clone(),
        Phase::Incremental => {
            let cursor = cursor.map(|cursor| KeyColumn {
                may_be_null: false,
                ..cursor
            });
            let ties = shape
                .ties
                .iter()
                .filter(|tie| cursor.as_ref().is_none_or(|cursor| cursor.name != tie.name));
            let ties: Vec<_> = ties.cloned().collect();
            cursor.into_iter().chain(ties).collect()
        }
    }
}

/// The largest cursor that there is.
pub(super) fn largest(shape: &Shape, cursor: &Cursor) -> String {
    let name = cursor.column.sql();
    let finite = cursor.finite.as_ref();
    let finite = finite.map_or(String::new(), |finite| format!(" AND {finite}"));
    let from = &shape.from;
    // By its order and not by max(), which not every type has.
    let text = &cursor.column.text;
    format!(
        "SELECT {text} FROM {from} WHERE {name} IS NOT NULL{finite} ORDER BY {name} DESC LIMIT 1"
    )
}

/// The page that begins at a position.
pub(super) fn page(shape: &Shape, position: &Position, rows: u64) -> Page {
    let mut page = Page {
        sql: String::new(),
        values: Vec::new(),
    };
    let key = key(shape, position.phase);
    let mut conditions = Vec::new();
    if let (Phase::Incremental, Some(cursor)) = (position.phase, &shape.cursor) {
        conditions.extend(cursor.finite.clone());
        if let Some(until) = &position.until {
            let until = page.bind(until, &cursor.column.type_sql);
            conditions.push(format!("{} <= {until}", cursor.column.sql()));
        }
        if let (None, Some(from)) = (&position.after, &position.cursor) {
            let mut from = page.bind(from, &cursor.column.type_sql);
            if let Some(lookback) = &cursor.lookback {
                let lookback = page.bind(lookback, "pg_catalog.interval");
                from = format!("{from} - {lookback}");
            }
            conditions.push(format!("{} > {from}", cursor.column.sql()));
        }
    }
    if let Some(after) = &position.after {
        conditions.push(page.behind(&key, after));
    }
    let texts = key.iter().map(|key| key.text.as_str());
    let texts = texts.chain(shape.columns.iter().map(|(_, text)| text.as_str()));
    let texts: Vec<_> = texts.collect();
    let order: Vec<_> = key.iter().map(KeyColumn::sql).collect();
    let filter = if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    };
    let order = if order.is_empty() {
        String::new()
    } else {
        format!(
            " ORDER BY {} FETCH FIRST {rows} ROWS WITH TIES",
            order.join(", ")
        )
    };
    page.sql = format!(
        "SELECT {} FROM {}{filter}{order}",
        texts.join(", "),
        shape.from
    );
    page
}

impl Page {
    fn bind(&mut self, value: &str, type_sql: &str) -> String {
        self.values.push(value.to_owned());
        format!("${}::text::{type_sql}", self.values.len())
    }

    /// What holds of rows behind these values.
    fn behind(&mut self, key: &[KeyColumn], after: &[Option<String>]) -> String {
        let pairs: Vec<_> = key.iter().zip(after).collect();
        let bound: Vec<_> = pairs
            .iter()
            .map(|(key, value)| value.as_ref().map(|value| self.bind(value, &key.type_sql)))
            .collect();
        let names: Vec<_> = key.iter().map(KeyColumn::sql).collect();
        let all: Option<Vec<_>> = bound.iter().cloned().collect();
        if let Some(all) = all.filter(|_| key.iter().all(|key| !key.may_be_null)) {
            // Which an index is good for.
            return format!("({}) > ({})", names.join(", "), all.join(", "));
        }
        let mut steps = Vec::new();
        for at in 0..pairs.len() {
            let mut step = Vec::new();
            for (name, value) in names.iter().zip(&bound).take(at) {
                step.push(match value {
                    Some(value) => format!("{name} = {value}"),
                    None => format!("{name} IS NULL"),
                });
            }
            let (Some((key, _)), Some(name), Some(value)) =
                (pairs.get(at), names.get(at), bound.get(at))
            else {
                continue;
            };
            match value {
                Some(value) if key.may_be_null => {
                    step.push(format!("({name} > {value} OR {name} IS NULL)"))
                }
                Some(value) => step.push(format!("{name} > {value}")),
                // Nothing is behind NULL.
                None => continue,
            }
            steps.push(format!("({})", step.join(" AND ")));
        }
        if steps.is_empty() {
            "false".to_owned()
        } else {
            format!("({})", steps.join(" OR "))
        }
    }
}
