//! The catalogue that all sessions see: `watertable`, with the schema `public` whose tables are the topics, and
//! `information_schema`.
//!
//! A topic is a table under exactly its name, so names with capitals, dots or dashes are quoted in SQL. Topics are looked up
//! when a statement names them; nothing is cached. Internal topics (`__consumer_offsets`) are tables too, but not listed.
//!
//! Invariant: no statement changes the catalogue; only the process adds schemas ([`Catalogue::add`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use contract::nearest;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::TableType;
use parking_lot::RwLock;

use crate::errors::UnknownTable;
use crate::latest::LatestTable;
use crate::scan::Shared;
use crate::statements::Refused;
use crate::table::TopicTable;
use crate::topics::{Topics, is_internal};
use crate::views::View;
use crate::write::{INSERT_VIEW, InsertError, InsertTarget};

/// The one catalogue, which PostgreSQL calls a database.
pub const CATALOGUE: &str = "watertable";
/// The schema of the topics.
pub const PUBLIC: &str = "public";

/// All catalogues: one.
#[derive(Debug)]
pub(crate) struct Catalogues(pub(crate) Arc<Catalogue>);

impl CatalogProviderList for Catalogues {
    /// `CREATE DATABASE` is refused before; whoever gets here changes nothing.
    fn register_catalog(
        &self,
        _name: String,
        _catalogue: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOGUE.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOGUE).then(|| Arc::clone(&self.0) as _)
    }
}

/// The catalogue.
#[derive(Debug)]
pub(crate) struct Catalogue {
    topics: Arc<dyn SchemaProvider>,
    schemas: RwLock<BTreeMap<String, Arc<dyn SchemaProvider>>>,
}

impl Catalogue {
    /// `is_writable`: topics can be found to be written to.
    pub(crate) fn new(topics: Arc<dyn Topics>, is_writable: bool, shared: Shared) -> Self {
        let public: Arc<dyn SchemaProvider> = Arc::new(Public {
            topics,
            is_writable,
            shared: Arc::new(shared),
        });
        Self {
            topics: Arc::clone(&public),
            schemas: RwLock::new(BTreeMap::from([(PUBLIC.to_owned(), public)])),
        }
    }

    /// The schema of the topics.
    pub(crate) fn topics(&self) -> Arc<dyn SchemaProvider> {
        Arc::clone(&self.topics)
    }

    /// Adds a schema, for all sessions.
    pub(crate) fn add(&self, name: &str, schema: Arc<dyn SchemaProvider>) {
        self.schemas.write().insert(name.to_owned(), schema);
    }
}

impl CatalogProvider for Catalogue {
    fn schema_names(&self) -> Vec<String> {
        self.schemas.read().keys().cloned().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        self.schemas.read().get(name).cloned()
    }
}

/// The schema of the topics.
#[derive(Debug)]
struct Public {
    topics: Arc<dyn Topics>,
    is_writable: bool,
    shared: Arc<Shared>,
}

impl Public {
    fn find(
        topics: &dyn Topics,
        name: &str,
        shared: Arc<Shared>,
    ) -> Result<Arc<dyn TableProvider>> {
        let (name, is_target) = match name.strip_suffix(INSERT_VIEW) {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (name, view) = View::of_name(name).map_err(external)?;
        if is_target && view.is_latest {
            return Err(InsertError::Latest(name.to_owned()).into());
        }
        let topic = match topics.topic(name) {
            Ok(Some(topic)) => Ok(topic),
            Err(error) => Err(error),
            Ok(None) => {
                let names = topics.names();
                let nearest = nearest(name, names.iter().map(|name| name.as_str()));
                return Err(external(UnknownTable::NoTopic {
                    name: name.to_owned(),
                    nearest: nearest.map(str::to_owned),
                }));
            }
        };
        Ok(match topic {
            Ok(topic) if is_target => Arc::new(InsertTarget::new(&topic, view.form)),
            topic => {
                let table = TopicTable::new(topic, view.form, shared);
                match view.is_latest {
                    true => Arc::new(LatestTable::new(table)),
                    false => Arc::new(table),
                }
            }
        })
    }
}

fn is_table_function(name: &str) -> bool {
    let functions = SessionStateDefaults::default_table_functions();
    functions.iter().any(|function| function.name() == name)
        || crate::postgres::is_table_function(name)
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[async_trait]
impl SchemaProvider for Public {
    fn table_names(&self) -> Vec<String> {
        let names = self.topics.names();
        let names = names.iter().map(|name| name.as_str());
        let mut names: Vec<_> = names
            .filter(|name| !is_internal(name))
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        names
    }

    /// Opening a log may wait for the disk, so this runs where that holds nobody up. An unknown name is an error with the
    /// name that was perhaps meant; [`SchemaProvider::table_exist`] asks without one.
    ///
    /// The planner looks for a table under the name of every table function, too; such a name is none that was mistyped.
    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if is_table_function(name) && !self.table_exist(name) {
            return Ok(None);
        }
        if !self.is_writable && name.ends_with(INSERT_VIEW) {
            return Err(Refused::Insert("INSERT".to_owned()).into());
        }
        let (topics, shared) = (Arc::clone(&self.topics), Arc::clone(&self.shared));
        let name = name.to_owned();
        let found = self
            .shared
            .asking
            .run(move || Self::find(&*topics, &name, shared));
        Ok(Some(found.await??))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        let Ok((topic, _)) = View::of_name(name) else {
            return false;
        };
        self.topics
            .names()
            .iter()
            .any(|name| name.as_str() == topic)
    }
}
