//! `pg_catalog` and `information_schema`: what clients ask about databases, tables, columns and types.
//!
//! Invariant: it is computed from the engine's catalogue when it is asked for, so it is never behind; numbers of relations are
//! derived from their names, so that they hold over queries, sessions and restarts. Tables of things that do not exist here
//! (indexes, triggers, defaults) are there and empty.

mod content;
mod define;
mod format;
mod functions;
mod lists;
mod lookups;
mod privileges;
mod relations;
mod sizes;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;
use parking_lot::Mutex;

pub(super) use define::{column_type, has_table, is_array_column, is_empty_table};
pub(crate) use functions::is_table_function;

use super::activity::Activity;
use super::settings::Settings;

/// The schema's name.
pub(super) const NAME: &str = "pg_catalog";
/// The other schema that is ours.
const INFORMATION: &str = "information_schema";

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) settings: Arc<Mutex<Settings>>,
    pub(super) process: i32,
    /// Whether this server writes.
    pub(super) is_writable: bool,
    /// Who else is there.
    pub(super) activity: Arc<Activity>,
}

/// The context with `pg_catalog` and its functions beside what the engine has.
pub(super) fn with_catalogue(context: &SessionContext, identity: Identity) -> SessionContext {
    let state = context.state();
    let name = state.config_options().catalog.default_catalog.clone();
    let inner = Arc::clone(state.catalog_list());
    let mut builder = SessionStateBuilder::new_from_existing(state);
    if let Some(database) = inner.catalog(&name) {
        let source = Source { name, database };
        let list = List {
            inner,
            database: Arc::new(Database {
                catalogue: Arc::new(Schema {
                    tables: define::TABLES,
                    source: source.clone(),
                    identity: identity.clone(),
                }),
                information: Arc::new(Schema {
                    tables: define::INFORMATION_TABLES,
                    source: source.clone(),
                    identity: identity.clone(),
                }),
                source: source.clone(),
            }),
        };
        builder = builder.with_catalog_list(Arc::new(list));
        let context = finished(builder);
        functions::register(&context, &source, &identity);
        return context;
    }
    finished(builder)
}

fn finished(builder: SessionStateBuilder) -> SessionContext {
    let mut state = builder.build();
    let options = state.config_mut().options_mut();
    // Ours has PostgreSQL's names of types.
    options.catalog.information_schema = false;
    // What has a zone is in that of the session, which begins with this one.
    options.execution.time_zone = Some("UTC".to_owned());
    // Errors say where.
    options.sql_parser.collect_spans = true;
    SessionContext::new_with_state(state)
}

/// The engine's catalogue.
#[derive(Clone, Debug)]
struct Source {
    /// Of the database.
    name: String,
    database: Arc<dyn CatalogProvider>,
}

/// The engine's catalogues, one of which has a schema more.
#[derive(Debug)]
struct List {
    inner: Arc<dyn CatalogProviderList>,
    database: Arc<Database>,
}

impl CatalogProviderList for List {
    fn register_catalog(
        &self,
        name: String,
        catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        self.inner.register_catalog(name, catalog)
    }

    fn catalog_names(&self) -> Vec<String> {
        self.inner.catalog_names()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        if name == self.database.source.name {
            return Some(Arc::clone(&self.database) as _);
        }
        self.inner.catalog(name)
    }
}

#[derive(Debug)]
struct Database {
    source: Source,
    catalogue: Arc<Schema>,
    information: Arc<Schema>,
}

impl CatalogProvider for Database {
    fn schema_names(&self) -> Vec<String> {
        let mut names = self.source.database.schema_names();
        names.extend([NAME, INFORMATION].map(str::to_owned));
        names
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        match name {
            NAME => Some(Arc::clone(&self.catalogue) as _),
            INFORMATION => Some(Arc::clone(&self.information) as _),
            other => self.source.database.schema(other),
        }
    }
}

/// A schema of ours; a table's rows are computed when a query names it.
struct Schema {
    tables: &'static [define::Table],
    source: Source,
    identity: Identity,
}

impl fmt::Debug for Schema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_list()
            .entries(self.tables.iter().map(|table| table.name))
            .finish()
    }
}

impl Schema {
    fn find(&self, name: &str) -> Option<&'static define::Table> {
        self.tables.iter().find(|table| table.name == name)
    }
}

#[async_trait]
impl SchemaProvider for Schema {
    fn table_names(&self) -> Vec<String> {
        self.tables
            .iter()
            .map(|table| table.name.to_owned())
            .collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let Some(table) = self.find(name) else {
            return Ok(None);
        };
        let rows = content::rows(table.name, &self.source, &self.identity).await?;
        let batch = table.batch(&rows)?;
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
        Ok(Some(Arc::new(table)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}
