//! The rows of the tables that have some.

use datafusion::arrow::datatypes::Field;
use datafusion::common::DataFusionError;

use super::super::activity::SessionView;
use super::super::types::{self, Kind, PgType};
use super::define::{Cell, Row};
use super::privileges::TOPICS;
use super::relations::{CATALOGUE_OID, Name, OWNER_OID, Relation, names, namespaces, relations};
use super::{Identity, Source, sizes};

/// The one method of access to tables.
const HEAP_OID: u32 = 2;
const TABLESPACE_OID: u32 = 1663;
const DATABASE_OID: u32 = 5;

pub(super) async fn rows(
    table: &str,
    source: &Source,
    identity: &Identity,
) -> Result<Vec<Row>, DataFusionError> {
    Ok(match table {
        "pg_am" => vec![am()],
        "pg_attribute" => relations(source)
            .await?
            .iter()
            .flat_map(attributes)
            .collect(),
        "pg_class" => relations(source).await?.iter().map(class).collect(),
        "pg_database" => vec![database(&source.name)],
        "pg_namespace" => namespaces(source)
            .iter()
            .map(|namespace| namespace_row(namespace.oid, &namespace.name))
            .collect(),
        "pg_roles" => vec![role(identity)],
        "pg_settings" => settings(identity),
        "pg_stat_activity" => {
            let sessions = identity.activity.sessions();
            sessions
                .into_iter()
                .map(|session| activity(session, &source.name))
                .collect()
        }
        "pg_tables" => names(source)
            .iter()
            .map(|name| table_row(name, identity))
            .collect(),
        "pg_tablespace" => vec![tablespace()],
        "pg_type" => types::TABLE.iter().flat_map(type_rows).collect(),
        "pg_user" => vec![user(identity)],
        "columns" => relations(source)
            .await?
            .iter()
            .flat_map(|relation| columns(relation, &source.name))
            .collect(),
        "role_table_grants" | "table_privileges" => names(source)
            .iter()
            .flat_map(|name| grants(name, &source.name, identity))
            .collect(),
        "schemata" => namespaces(source)
            .iter()
            .map(|namespace| schemata(&namespace.name, source, identity))
            .collect(),
        "tables" => relations(source)
            .await?
            .iter()
            .map(|relation| information_table(relation, &source.name, identity))
            .collect(),
        _ => Vec::new(),
    })
}

fn row<const N: usize>(cells: [(&'static str, Cell); N]) -> Row {
    Row::from(cells)
}

fn oid(number: u32) -> Cell {
    Cell::Number(number.into())
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

const YES: Cell = Cell::Flag(true);

fn am() -> Row {
    row([
        ("oid", oid(HEAP_OID)),
        ("amname", text("heap")),
        ("amhandler", text("heap_tableam_handler")),
        ("amtype", text("t")),
    ])
}

fn namespace_row(number: u32, name: &str) -> Row {
    row([
        ("oid", oid(number)),
        ("nspname", text(name)),
        ("nspowner", oid(OWNER_OID)),
    ])
}

fn class(relation: &Relation) -> Row {
    let columns = i64::try_from(relation.columns.fields().len()).unwrap_or(i64::MAX);
    row([
        ("oid", oid(relation.name.oid)),
        ("relname", text(&relation.name.name)),
        ("relnamespace", oid(relation.name.schema_oid)),
        ("relowner", oid(OWNER_OID)),
        ("relam", oid(if relation.is_view { 0 } else { HEAP_OID })),
        // Nothing was counted yet, as PostgreSQL says it.
        ("reltuples", Cell::Number(-1)),
        ("relpersistence", text("p")),
        ("relkind", text(if relation.is_view { "v" } else { "r" })),
        ("relnatts", Cell::Number(columns)),
        ("relispopulated", YES),
        ("relreplident", text("n")),
    ])
}

fn attributes(relation: &Relation) -> impl Iterator<Item = Row> {
    let fields = relation.columns.fields().iter().enumerate();
    fields.map(|(index, field)| attribute(relation.name.oid, index + 1, field))
}

fn attribute(relation: u32, number: usize, field: &Field) -> Row {
    let kind = PgType::of_field(field);
    row([
        ("attrelid", oid(relation)),
        ("attname", text(field.name())),
        ("atttypid", oid(kind.oid())),
        ("attlen", Cell::Number(kind.size().into())),
        (
            "attnum",
            Cell::Number(i64::try_from(number).unwrap_or(i64::MAX)),
        ),
        ("attcacheoff", Cell::Number(-1)),
        (
            "atttypmod",
            Cell::Number(sizes::modifier(field.data_type())),
        ),
        ("attndims", Cell::Number(kind.is_array.into())),
        ("attbyval", Cell::Flag(is_by_value(kind))),
        ("attalign", text(alignment(kind))),
        ("attstorage", text(storage(kind))),
        ("attcompression", text("")),
        ("attnotnull", Cell::Flag(!field.is_nullable())),
        ("attidentity", text("")),
        ("attgenerated", text("")),
        ("attislocal", YES),
        ("attstattarget", Cell::Number(-1)),
    ])
}

fn is_by_value(kind: PgType) -> bool {
    (1..=8).contains(&kind.size())
}

fn alignment(kind: PgType) -> &'static str {
    match kind.size() {
        1 | 16.. if kind.kind != Kind::Interval => "c",
        2 => "s",
        8 | 16 => "d",
        _ => "i",
    }
}

fn storage(kind: PgType) -> &'static str {
    match (kind.size(), kind.kind) {
        (-1, Kind::Numeric) => "m",
        (-1, _) => "x",
        _ => "p",
    }
}

fn database(name: &str) -> Row {
    const UTF8: i64 = 6;
    row([
        ("oid", oid(DATABASE_OID)),
        ("datname", text(name)),
        ("datdba", oid(OWNER_OID)),
        ("encoding", Cell::Number(UTF8)),
        ("datlocprovider", text("c")),
        ("datallowconn", YES),
        ("datconnlimit", Cell::Number(-1)),
        ("dattablespace", oid(TABLESPACE_OID)),
        ("datcollate", text("C")),
        ("datctype", text("C.UTF-8")),
    ])
}

/// There is one role: whoever asks.
fn role(identity: &Identity) -> Row {
    row([
        ("oid", oid(OWNER_OID)),
        ("rolname", text(identity.settings.lock().user())),
        ("rolinherit", YES),
        ("rolcanlogin", YES),
        ("rolconnlimit", Cell::Number(-1)),
        ("rolpassword", text("********")),
    ])
}

fn user(identity: &Identity) -> Row {
    row([
        ("usename", text(identity.settings.lock().user())),
        ("usesysid", oid(OWNER_OID)),
        ("passwd", text("********")),
    ])
}

fn settings(identity: &Identity) -> Vec<Row> {
    let settings = identity.settings.lock();
    let all = settings.all().into_iter();
    let rows = all.map(|(name, value)| {
        row([
            ("name", text(name)),
            ("setting", text(value)),
            ("category", text("Session")),
            ("short_desc", text("")),
            ("context", text("user")),
            ("vartype", text("string")),
            ("source", text("session")),
            ("boot_val", text(value)),
            ("reset_val", text(value)),
        ])
    });
    rows.collect()
}

/// A client's session; the server has no processes of its own to show.
fn activity(session: SessionView, database: &str) -> Row {
    let mut row = row([
        ("datid", oid(DATABASE_OID)),
        ("datname", text(database)),
        ("pid", Cell::Number(session.process.into())),
        ("usesysid", oid(OWNER_OID)),
        ("usename", Cell::Text(session.user)),
        ("application_name", Cell::Text(session.application)),
        ("client_addr", Cell::Text(session.peer.ip().to_string())),
        ("client_port", Cell::Number(session.peer.port().into())),
        ("backend_start", Cell::Moment(session.began)),
        ("state_change", Cell::Moment(session.state_changed)),
        ("state", text(session.state.name())),
        ("query", text(session.query.as_deref().unwrap_or_default())),
        ("backend_type", text("client backend")),
    ]);
    row.extend(
        session
            .query_began
            .map(|began| ("query_start", Cell::Moment(began))),
    );
    row
}

fn table_row(name: &Name, identity: &Identity) -> Row {
    row([
        ("schemaname", text(&name.schema)),
        ("tablename", text(&name.name)),
        ("tableowner", text(identity.settings.lock().user())),
    ])
}

fn tablespace() -> Row {
    row([
        ("oid", oid(TABLESPACE_OID)),
        ("spcname", text("pg_default")),
        ("spcowner", oid(OWNER_OID)),
    ])
}

/// A scalar type, and the type of its arrays.
fn type_rows(of: &types::Row) -> impl Iterator<Item = Row> {
    let scalar = PgType::scalar(of.kind);
    let array = PgType {
        kind: of.kind,
        is_array: true,
    };
    let mut scalar_row = type_row(scalar, of.name, of.category);
    scalar_row.extend([
        ("typarray", oid(of.array_oid)),
        (
            "typtype",
            text(if of.kind == Kind::Unknown { "p" } else { "b" }),
        ),
    ]);
    let mut array_row = type_row(array, &format!("_{}", of.name), "A");
    array_row.extend([
        ("typelem", oid(of.oid)),
        ("typsubscript", text("array_subscript_handler")),
    ]);
    let has_array = of.array_oid != 0;
    [Some(scalar_row), has_array.then_some(array_row)]
        .into_iter()
        .flatten()
}

fn type_row(kind: PgType, name: &str, category: &str) -> Row {
    let base = if kind.is_array { "array_" } else { name };
    row([
        ("oid", oid(kind.oid())),
        ("typname", text(name)),
        ("typnamespace", oid(CATALOGUE_OID)),
        ("typowner", oid(OWNER_OID)),
        ("typlen", Cell::Number(kind.size().into())),
        ("typbyval", Cell::Flag(is_by_value(kind))),
        ("typtype", text("b")),
        ("typcategory", text(category)),
        ("typisdefined", YES),
        ("typdelim", text(",")),
        ("typinput", text(&format!("{base}in"))),
        ("typoutput", text(&format!("{base}out"))),
        ("typreceive", text(&format!("{base}recv"))),
        ("typsend", text(&format!("{base}send"))),
        ("typalign", text(alignment(kind))),
        ("typstorage", text(storage(kind))),
        ("typtypmod", Cell::Number(-1)),
    ])
}

fn columns(relation: &Relation, database: &str) -> impl Iterator<Item = Row> {
    let fields = relation.columns.fields().iter().enumerate();
    fields.map(move |(index, field)| {
        let kind = PgType::of_field(field);
        let sql = kind.sql();
        let array = if kind.is_array { "_" } else { "" };
        let mut row = row([
            ("table_catalog", text(database)),
            ("table_schema", text(&relation.name.schema)),
            ("table_name", text(&relation.name.name)),
            ("column_name", text(field.name())),
            (
                "ordinal_position",
                Cell::Number(i64::try_from(index + 1).unwrap_or(i64::MAX)),
            ),
            (
                "is_nullable",
                text(if field.is_nullable() { "YES" } else { "NO" }),
            ),
            (
                "data_type",
                text(if kind.is_array { "ARRAY" } else { &sql }),
            ),
            ("udt_catalog", text(database)),
            ("udt_schema", text(super::NAME)),
            ("udt_name", text(&format!("{array}{}", kind.row().name))),
            ("dtd_identifier", text(&(index + 1).to_string())),
            ("is_self_referencing", text("NO")),
            ("is_identity", text("NO")),
            ("identity_cycle", text("NO")),
            ("is_generated", text("NEVER")),
            ("is_updatable", text("NO")),
        ]);
        row.extend(sizes::of(kind, field.data_type()));
        row
    })
}

fn schemata(name: &str, source: &Source, identity: &Identity) -> Row {
    row([
        ("catalog_name", text(&source.name)),
        ("schema_name", text(name)),
        ("schema_owner", text(identity.settings.lock().user())),
    ])
}

/// Rows can be added to topics, if this server writes.
fn is_insertable(name: &Name, identity: &Identity) -> bool {
    identity.is_writable && name.schema == TOPICS
}

/// What the one role may do with a table, given by itself.
fn grants(name: &Name, database: &str, identity: &Identity) -> impl Iterator<Item = Row> {
    let inserts = is_insertable(name, identity).then_some("INSERT");
    let user = identity.settings.lock().user().to_owned();
    [Some("SELECT"), inserts]
        .into_iter()
        .flatten()
        .map(move |privilege| {
            row([
                ("grantor", text(&user)),
                ("grantee", text(&user)),
                ("table_catalog", text(database)),
                ("table_schema", text(&name.schema)),
                ("table_name", text(&name.name)),
                ("privilege_type", text(privilege)),
                ("is_grantable", text("NO")),
                ("with_hierarchy", text("NO")),
            ])
        })
}

fn information_table(relation: &Relation, database: &str, identity: &Identity) -> Row {
    let is_insertable = !relation.is_view && is_insertable(&relation.name, identity);
    row([
        ("table_catalog", text(database)),
        ("table_schema", text(&relation.name.schema)),
        ("table_name", text(&relation.name.name)),
        (
            "table_type",
            text(if relation.is_view {
                "VIEW"
            } else {
                "BASE TABLE"
            }),
        ),
        (
            "is_insertable_into",
            text(if is_insertable { "YES" } else { "NO" }),
        ),
        ("is_typed", text("NO")),
    ])
}
