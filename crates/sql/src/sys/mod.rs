//! The schema `sys`: what the broker is at this moment, as tables.
//!
//! A table is a file here: its columns, each with what it means (docs/sql.md has the same, and a test holds them together), and
//! the rows it asks [`System`] for. Asking happens while a query runs, part by part: a partition, a group. So each row is
//! as of the moment it was asked for, `LIMIT` ends the asking, and a condition on the columns that name a thing (`topic`,
//! `group_id`, ...) asks for these alone. What is only in columns that nobody wants is not asked for.
//!
//! What pipelines write of themselves is in topics, so these tables are views over topics ([`view`], [`pipelines`]).
//!
//! Invariant: nothing of the broker is locked between two parts; memory is that of one part, one batch of rows and the names of
//! all parts, counted against the bound of all queries.

mod cells;
mod connections;
mod group_members;
mod group_offsets;
mod groups;
mod lag;
mod partitions;
mod parts;
mod pipelines;
mod producers;
mod queries;
mod scan;
mod segments;
mod settings;
mod table;
mod topics;
mod transactions;
mod view;
mod wish;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::Result;

use self::cells::Column;
use self::pipelines::VIEWS;
use self::table::{Provider, SystemTable};
use self::view::{View, ViewTable};
use crate::postgres::Activity;
use crate::system::System;
use crate::threads::Asking;

/// The schema's name.
pub(crate) const SYS: &str = "sys";

/// Where tables are asked of.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) system: Arc<dyn System>,
    pub(crate) activity: Arc<Activity>,
    /// The schema of the topics.
    pub(crate) topics: Arc<dyn SchemaProvider>,
    /// For what may wait for the disk.
    pub(crate) asking: Asking,
}

/// A table without its rows.
struct Entry {
    name: &'static str,
    about: &'static str,
    /// Its columns: names, types, and what they mean.
    columns: fn() -> Vec<(&'static str, &'static str, &'static str)>,
    /// See [`SystemTable::NAMING`].
    #[cfg(test)]
    naming: &'static [&'static str],
    open: fn(&Arc<Source>) -> Arc<dyn TableProvider>,
}

const fn entry<T: SystemTable>() -> Entry {
    Entry {
        name: T::NAME,
        about: T::ABOUT,
        columns: || T::COLUMNS.iter().map(Column::described).collect(),
        #[cfg(test)]
        naming: T::NAMING,
        open: |source| Arc::new(Provider::<T>::new(Arc::clone(source))),
    }
}

const TABLES: [Entry; 12] = [
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
    entry::<lag::Lags>(),
];

/// A table that is made of topics.
fn view(name: &str) -> Option<&'static View> {
    VIEWS.iter().find(|view| view.name == name)
}

/// Names, types and meanings of columns.
type Described = Vec<(&'static str, &'static str, &'static str)>;

/// All tables, what each has rows for, and its columns.
fn described() -> impl Iterator<Item = (&'static str, &'static str, Described)> {
    let tables = TABLES.iter();
    let tables = tables.map(|entry| (entry.name, entry.about, (entry.columns)()));
    let views = VIEWS.iter();
    tables.chain(views.map(|view| (view.name, view.about, view.described())))
}

/// What a table or one of its columns means. Columns are counted from 1, as PostgreSQL does.
pub(crate) fn comment(table: &str, column: Option<usize>) -> Option<&'static str> {
    let (_, about, columns) = described().find(|(name, ..)| *name == table)?;
    match column {
        None => Some(about),
        Some(number) => {
            let (_, _, about) = columns.get(number.checked_sub(1)?)?;
            Some(about)
        }
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
        let tables = TABLES.iter().map(|entry| entry.name);
        let views = VIEWS.iter().map(|view| view.name);
        tables.chain(views).map(str::to_owned).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(entry) = Self::entry(name) {
            return Ok(Some((entry.open)(&self.0)));
        }
        let view = view(name).map(|view| ViewTable::new(view, Arc::clone(&self.0)));
        Ok(view.map(|view| Arc::new(view) as _))
    }

    fn table_exist(&self, name: &str) -> bool {
        Self::entry(name).is_some() || view(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;

    /// The tables as docs/sql.md has them.
    fn written() -> String {
        let mut text = String::new();
        for (name, about, columns) in described() {
            write!(text, "### `sys.{name}`\n\n{about}\n\n").unwrap();
            text.push_str("| Column | Type | |\n|---|---|---|\n");
            for (column, kind, about) in columns {
                writeln!(text, "| `{column}` | {kind} | {about} |").unwrap();
            }
            text.push('\n');
        }
        text
    }

    /// To write the tables anew: `UPDATE_DOCS=1 cargo test -p sql the_documentation_has`.
    #[test]
    fn the_documentation_has_every_table_and_column() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql.md");
        let documentation = std::fs::read_to_string(&path).unwrap();
        let start = documentation.find("### `sys.").expect("tables of sys");
        let length = documentation[start..]
            .find("\n## ")
            .expect("a section behind")
            + 1;
        let found = &documentation[start..start + length];
        let written = written();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            let (before, behind) = (&documentation[..start], &documentation[start + length..]);
            std::fs::write(path, format!("{before}{written}{behind}")).unwrap();
        } else {
            assert!(
                found == written,
                "docs/sql.md says\n{found}\nbut there is\n{written}"
            );
        }
    }

    #[test]
    fn columns_are_named_once_and_say_what_they_mean() {
        for (table, about_table, columns) in described() {
            let mut names: Vec<_> = columns.iter().map(|(name, ..)| *name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), columns.len(), "{table}");
            for (number, (name, _, about)) in columns.into_iter().enumerate() {
                assert!(about.ends_with('.'), "{table}.{name}: {about}");
                assert_eq!(comment(table, Some(number + 1)), Some(about));
            }
            let entry = TABLES.into_iter().find(|entry| entry.name == table);
            for naming in entry.iter().flat_map(|entry| entry.naming) {
                assert!(names.contains(naming), "{table}.{naming}");
            }
            assert_eq!(comment(table, None), Some(about_table));
            assert_eq!(comment(table, Some(0)), None);
        }
        assert_eq!(comment("nothing", None), None);
    }
}
