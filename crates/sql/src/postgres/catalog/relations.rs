//! Relations and schemas with their numbers.
//!
//! Invariant: a name has the same number in every query as long as no other name takes it, which the numbers' range makes
//! unlikely; names that collide are numbered in the order of the alphabet.

use std::collections::HashSet;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::TableType;

use super::{INFORMATION, NAME, Source, define};

/// Numbers of PostgreSQL's own.
pub(super) const CATALOGUE_OID: u32 = 11;
pub(super) const PUBLIC_OID: u32 = 2200;
pub(super) const OWNER_OID: u32 = 10;

/// Numbers from here on are for what users make (`FirstNormalObjectId`).
const FIRST_OID: u32 = 16_384;
/// Numbers stay below 2^31, which some clients take them for.
const OIDS: u32 = 0x7fff_0000 - FIRST_OID;

/// A schema.
#[derive(Clone, Debug)]
pub(super) struct Namespace {
    pub(super) oid: u32,
    pub(super) name: String,
}

/// A table without its columns.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) oid: u32,
    pub(super) schema_oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
}

/// A table.
#[derive(Debug)]
pub(super) struct Relation {
    pub(super) name: Name,
    pub(super) is_view: bool,
    pub(super) columns: SchemaRef,
}

/// Numbers that were not given yet.
#[derive(Default)]
struct Oids(HashSet<u32>);

impl Oids {
    /// FNV-1a of the parts, moved on to the next number that is free.
    fn of(&mut self, parts: &[&str]) -> u32 {
        let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
        let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        let mut place = hash % OIDS;
        while !self.0.insert(place) {
            place = (place + 1) % OIDS;
        }
        FIRST_OID + place
    }
}

/// All schemas, in order.
pub(super) fn namespaces(source: &Source) -> Vec<Namespace> {
    let mut names = source.database.schema_names();
    names.extend([NAME, INFORMATION].map(str::to_owned));
    names.sort();
    names.dedup();
    let mut oids = Oids::default();
    let numbered = names.into_iter().map(|name| Namespace {
        oid: match name.as_str() {
            NAME => CATALOGUE_OID,
            "public" => PUBLIC_OID,
            other => oids.of(&["", other]),
        },
        name,
    });
    numbered.collect()
}

/// All tables by name, in order.
pub(super) fn names(source: &Source) -> Vec<Name> {
    let mut oids = Oids::default();
    let mut names = Vec::new();
    for namespace in namespaces(source) {
        for name in table_names(source, &namespace.name) {
            names.push(Name {
                oid: oids.of(&[&namespace.name, &name]),
                schema_oid: namespace.oid,
                schema: namespace.name.clone(),
                name,
            });
        }
    }
    names
}

/// The tables of a schema that is ours.
fn our_tables(schema: &str) -> Option<&'static [define::Table]> {
    match schema {
        NAME => Some(define::TABLES),
        INFORMATION => Some(define::INFORMATION_TABLES),
        _ => None,
    }
}

fn table_names(source: &Source, schema: &str) -> Vec<String> {
    let mut names = match our_tables(schema) {
        Some(tables) => tables.iter().map(|table| table.name.to_owned()).collect(),
        None => {
            let schema = source.database.schema(schema);
            schema
                .map(|schema| schema.table_names())
                .unwrap_or_default()
        }
    };
    names.sort();
    names
}

/// All tables with their columns; those that vanish meanwhile are left out.
pub(super) async fn relations(source: &Source) -> Result<Vec<Relation>, DataFusionError> {
    let mut relations = Vec::new();
    for name in names(source) {
        if let Some(tables) = our_tables(&name.schema) {
            if let Some(table) = tables.iter().find(|table| table.name == name.name) {
                relations.push(Relation {
                    columns: table.schema().into(),
                    is_view: name.schema == INFORMATION,
                    name,
                });
            }
            continue;
        }
        let Some(schema) = source.database.schema(&name.schema) else {
            continue;
        };
        let table = match schema.table(&name.name).await {
            // It may have vanished since it was listed.
            Err(_) if !schema.table_exist(&name.name) => None,
            found => found?,
        };
        relations.extend(table.map(|table| Relation {
            columns: table.schema(),
            is_view: table.table_type() == TableType::View,
            name,
        }));
    }
    Ok(relations)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use datafusion::catalog::memory::MemoryCatalogProvider;
    use datafusion::catalog::{CatalogProvider as _, SchemaProvider, TableProvider};
    use datafusion::datasource::empty::EmptyTable;

    use super::*;

    /// Lists three tables, of which one vanishes and one cannot be opened if it is told so.
    #[derive(Debug)]
    struct Changing {
        is_broken: bool,
    }

    #[async_trait]
    impl SchemaProvider for Changing {
        fn table_names(&self) -> Vec<String> {
            vec!["broken".to_owned(), "gone".to_owned(), "there".to_owned()]
        }

        async fn table(
            &self,
            name: &str,
        ) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
            if name == "gone" || name == "broken" && self.is_broken {
                return Err(DataFusionError::Plan(format!("no table {name}")));
            }
            let schema = datafusion::arrow::datatypes::Schema::empty();
            Ok(Some(Arc::new(EmptyTable::new(Arc::new(schema)))))
        }

        fn table_exist(&self, name: &str) -> bool {
            name != "gone"
        }
    }

    async fn listed(is_broken: bool) -> Result<Vec<String>, DataFusionError> {
        let database = MemoryCatalogProvider::new();
        database.register_schema("public", Arc::new(Changing { is_broken }))?;
        let source = Source {
            name: "watertable".to_owned(),
            database: Arc::new(database),
        };
        let relations = relations(&source).await?.into_iter();
        let public = relations.filter(|relation| relation.name.schema == "public");
        Ok(public.map(|relation| relation.name.name).collect())
    }

    #[tokio::test]
    async fn a_table_that_vanishes_after_it_was_listed_is_left_out() {
        assert_eq!(listed(false).await.unwrap(), ["broken", "there"]);
        assert!(listed(true).await.is_err(), "it is there and cannot be had");
    }

    #[test]
    fn a_name_keeps_its_number_and_names_that_collide_get_two() {
        let mut oids = Oids::default();
        let first = oids.of(&["public", "flights"]);
        let second = oids.of(&["public", "flights"]);
        assert_eq!(second, first + 1);
        assert_eq!(Oids::default().of(&["public", "flights"]), first);
        assert_ne!(Oids::default().of(&["publicf", "lights"]), first);
    }
}
