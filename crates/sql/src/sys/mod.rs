//! The schema `sys`: what the broker is at this moment, as tables.
//!
//! A table is a file here: its columns, each with what it means (docs/sql.md has the same, and a test holds them together), and
//! the rows it asks [`System`] for. Asking happens while a query runs, part by part: a partition, some groups. So each row is
//! as of the moment it was asked for, `LIMIT` ends the asking, and a condition on the columns that name a thing (`topic`,
//! `group_id`, ...) asks for these alone. What is only in columns that nobody wants is not asked for.
//!
//! Invariant: nothing of the broker is locked between two parts; memory is that of one part, one batch of rows and the names of
//! all parts, counted against the bound of all queries.

mod cells;
mod connections;
mod group_members;
mod group_offsets;
mod groups;
mod partitions;
mod parts;
mod producers;
mod queries;
mod scan;
mod segments;
mod settings;
mod table;
mod topics;
mod transactions;
mod wish;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::Result;

use self::table::{Provider, SystemTable};
use crate::postgres::Activity;
use crate::scan::Workers;
use crate::system::System;

/// The schema's name.
pub(crate) const SYS: &str = "sys";

/// Where tables are asked of.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) system: Arc<dyn System>,
    pub(crate) activity: Arc<Activity>,
    /// For what may wait for the disk.
    pub(crate) workers: Workers,
}

/// A table without its rows.
struct Entry {
    name: &'static str,
    about: &'static str,
    /// What the column of this number means, counted from 1 as PostgreSQL does.
    column: fn(usize) -> Option<&'static str>,
    open: fn(&Arc<Source>) -> Arc<dyn TableProvider>,
}

const fn entry<T: SystemTable>() -> Entry {
    Entry {
        name: T::NAME,
        about: T::ABOUT,
        column: |number| Some(T::COLUMNS.get(number.checked_sub(1)?)?.about),
        open: |source| Arc::new(Provider::<T>::new(Arc::clone(source))),
    }
}

const TABLES: [Entry; 11] = [
    entry::<topics::Topics>(),
    entry::<partitions::Partitions>(),
    entry::<segments::Segments>(),
    entry::<groups::Groups>(),
    entry::<group_members::GroupMembers>(),
    entry::<group_offsets::GroupOffsets>(),
    entry::<producers::Producers>(),
    entry::<transactions::Transactions>(),
    entry::<settings::Settings>(),
    entry::<connections::Connections>(),
    entry::<queries::Queries>(),
];

/// What a table or one of its columns means.
pub(crate) fn comment(table: &str, column: Option<usize>) -> Option<&'static str> {
    let entry = TABLES.iter().find(|entry| entry.name == table)?;
    match column {
        None => Some(entry.about),
        Some(number) => (entry.column)(number),
    }
}

/// The schema.
#[derive(Debug)]
pub(crate) struct Sys(pub(crate) Arc<Source>);

impl Sys {
    fn entry(name: &str) -> Option<&'static Entry> {
        TABLES.iter().find(|entry| entry.name == name)
    }
}

#[async_trait]
impl SchemaProvider for Sys {
    fn table_names(&self) -> Vec<String> {
        TABLES.iter().map(|entry| entry.name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(Self::entry(name).map(|entry| (entry.open)(&self.0)))
    }

    fn table_exist(&self, name: &str) -> bool {
        Self::entry(name).is_some()
    }
}
