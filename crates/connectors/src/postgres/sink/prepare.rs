//! What has to be there before rows are written: the table of offsets, the table itself, and rights.

use contract::Column;
use spec::{Create, Delivery};

use crate::postgres::catalog::{self, Relation};
use crate::postgres::failure::Failure;
use crate::postgres::name::{NAME_BYTES_MAX, TableName, quoted};
use crate::postgres::session::{Session, get};

use super::error::SinkError;
use super::plan::{self, Plan, sql_type};
use super::transaction::Writer;
use super::{Sink, offsets};

/// Why something is not allowed (`insufficient_privilege`).
const NOT_ALLOWED: &str = "42501";
/// One that prepares at a time in a database: `CREATE … IF NOT EXISTS` of two at once can fail.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('watertable.prepare'))";

/// What is created in a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// In the order they are made; none if all is there.
    pub changes: Vec<Change>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is.
    pub kind: ChangeKind,
    /// How it is made.
    pub ddl: String,
}

/// What is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// The schema `watertable`.
    Schema,
    /// The table of offsets in it.
    Offsets,
    /// The table that is written.
    Table,
    /// A column of a table that exists, which somebody has to agree to.
    Column,
}

impl Changes {
    /// Whether columns would be added to a table that exists.
    pub fn adds_columns(&self) -> bool {
        self.changes
            .iter()
            .any(|change| change.kind == ChangeKind::Column)
    }

    fn push(&mut self, kind: ChangeKind, ddl: impl Into<String>) {
        let ddl = ddl.into();
        self.changes.push(Change { kind, ddl });
    }

    /// What the role needs of the things that somebody else makes for it. What it needs of its own table is said when that is there.
    fn grants(&self, role: &str) -> Vec<String> {
        let of_offsets = self
            .changes
            .iter()
            .any(|change| change.kind == ChangeKind::Offsets);
        let grants = [
            format!("GRANT USAGE ON SCHEMA watertable TO {role};"),
            format!("GRANT SELECT, INSERT, UPDATE ON watertable.offsets TO {role};"),
        ];
        grants.into_iter().filter(|_| of_offsets).collect()
    }

    fn ddl(&self) -> Vec<String> {
        self.changes
            .iter()
            .map(|change| format!("{};", change.ddl))
            .collect()
    }
}

/// What is missing.
pub(super) async fn describe(sink: &Sink, session: &Session) -> Result<Changes, SinkError> {
    let doing = doing(sink);
    catalog::check_version(session, &doing).await?;
    let missing = missing_rights(sink, session, &doing).await?;
    if missing.is_blind {
        return Err(missing.error(&doing));
    }
    let mut changes = Changes::default();
    if sink.delivery == Delivery::ExactlyOnce {
        describe_offsets(session, &doing, &mut changes).await?;
    }
    match catalog::relation(session, &doing, &sink.table).await? {
        None if sink.create == Create::Never => {
            let problem = "there is no such table, and create: never is written: create it, or write create: if_missing";
            Err(unfit(sink, vec![problem.to_owned()]))
        }
        None => {
            changes.push(ChangeKind::Table, create_table(sink)?);
            Ok(changes)
        }
        Some(relation) => {
            describe_columns(sink, session, &doing, &relation, &mut changes).await?;
            Ok(changes)
        }
    }
}

async fn describe_offsets(
    session: &Session,
    doing: &str,
    changes: &mut Changes,
) -> Result<(), SinkError> {
    let sql = "SELECT to_regnamespace('watertable') IS NOT NULL";
    let rows = session.query(doing, sql, &[]).await?;
    let has_schema = rows.first().map_or(Ok(false), |row| get(doing, row, 0))?;
    if !has_schema {
        changes.push(ChangeKind::Schema, offsets::SCHEMA);
        changes.push(ChangeKind::Offsets, offsets::TABLE);
        return Ok(());
    }
    let name = TableName::new(offsets::NAME);
    let Some(relation) = catalog::relation(session, doing, &name).await? else {
        changes.push(ChangeKind::Offsets, offsets::TABLE);
        return Ok(());
    };
    let has_column = |(name, type_name): &(&str, &str)| {
        let column = relation.column(name);
        column.is_some_and(|column| column.base.name == *type_name)
    };
    let unique = catalog::unique(session, doing, relation.oid).await?;
    let is_key = unique.iter().any(|unique| unique.columns == offsets::KEY);
    if offsets::COLUMNS.iter().all(has_column) && is_key {
        return Ok(());
    }
    let problem = format!(
        "it is not the table that pipelines keep their offsets in: move it away, or make it what this makes: {}",
        offsets::TABLE
    );
    Err(SinkError::Table {
        table: offsets::NAME.to_owned(),
        problems: vec![problem],
    })
}

/// The columns that a table that exists does not have.
async fn describe_columns(
    sink: &Sink,
    session: &Session,
    doing: &str,
    relation: &Relation,
    changes: &mut Changes,
) -> Result<(), SinkError> {
    let mut relation = relation.clone();
    for column in &sink.columns {
        let may_add = sink.create == Create::IfMissing && column.name.len() <= NAME_BYTES_MAX;
        if relation.column(&column.name).is_none() && may_add {
            let (table, name) = (relation.sql(), quoted(&column.name));
            let data_type = sql_type(column.data_type);
            // The rows that are there have no value for it.
            changes.push(
                ChangeKind::Column,
                format!("ALTER TABLE {table} ADD COLUMN {name} {data_type}"),
            );
        }
    }
    if changes.adds_columns() {
        // What else does not fit is told now.
        let is_new = |column: &&Column| relation.column(&column.name).is_none();
        let new: Vec<_> = sink.columns.iter().filter(is_new).map(added).collect();
        relation.columns.extend(new);
    }
    planned(sink, session, doing, &relation).await.map(drop)
}

fn added(column: &Column) -> catalog::RelationColumn {
    catalog::RelationColumn {
        name: column.name.clone(),
        type_text: sql_type(column.data_type),
        base: catalog::BaseType {
            name: plan::type_name(column.data_type).to_owned(),
            sql: sql_type(column.data_type),
            digits: None,
            second_digits: None,
        },
        collation: None,
        not_null: false,
        has_default: false,
        generated: false,
    }
}

async fn planned(
    sink: &Sink,
    session: &Session,
    doing: &str,
    relation: &Relation,
) -> Result<Plan, SinkError> {
    let unique = catalog::unique(session, doing, relation.oid).await?;
    let rows = session
        .query(doing, "SELECT current_setting('server_encoding')", &[])
        .await?;
    let encoding: String = rows
        .first()
        .map_or(Ok(String::new()), |row| get(doing, row, 0))?;
    let planned = plan::plan(
        relation,
        &unique,
        &sink.columns,
        &sink.key,
        encoding == "UTF8",
    );
    planned.map_err(|problems| unfit(sink, problems))
}

fn unfit(sink: &Sink, problems: Vec<String>) -> SinkError {
    SinkError::Table {
        table: sink.table.to_string(),
        problems,
    }
}

fn create_table(sink: &Sink) -> Result<String, SinkError> {
    let mut problems = Vec::new();
    let mut lines = Vec::new();
    for column in &sink.columns {
        if column.name.len() > NAME_BYTES_MAX {
            let name = &column.name;
            problems.push(format!("the name of column {name} is longer than {NAME_BYTES_MAX} bytes, which PostgreSQL would cut: rename it in the query"));
        }
        let needs = !column.nullable || sink.key.contains(&column.name);
        let not_null = if needs { " NOT NULL" } else { "" };
        lines.push(format!(
            "{} {}{not_null}",
            quoted(&column.name),
            sql_type(column.data_type)
        ));
    }
    for key in &sink.key {
        if !sink.columns.iter().any(|column| column.name == *key) {
            problems.push(format!(
                "the column {key} of its key is not among the columns of the query"
            ));
        }
    }
    if !problems.is_empty() {
        return Err(unfit(sink, problems));
    }
    if !sink.key.is_empty() {
        let key: Vec<_> = sink.key.iter().map(|name| quoted(name)).collect();
        lines.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    Ok(format!(
        "CREATE TABLE {} ({})",
        sink.table.sql(),
        lines.join(", ")
    ))
}

/// The role of the session, as an identifier.
async fn role(session: &Session, doing: &str) -> Result<String, Failure> {
    let sql = "SELECT quote_ident(current_user)";
    let rows = session.query(doing, sql, &[]).await?;
    rows.first()
        .map_or(Ok(String::new()), |row| get(doing, row, 0))
}

/// Makes what is missing.
pub(super) async fn prepare(
    sink: &Sink,
    session: &Session,
    add_columns: bool,
) -> Result<Changes, SinkError> {
    let doing = doing(sink);
    session.execute(&doing, super::BEGIN).await?;
    session.execute(&doing, LOCK).await?;
    let role = role(session, &doing).await?;
    let changes = describe(sink, session).await?;
    if changes.adds_columns() && !add_columns {
        let missing = changes
            .changes
            .iter()
            .filter(|change| change.kind == ChangeKind::Column);
        let problems = missing.map(|change| {
            format!(
                "a column is missing, and adding it was not agreed to: {}",
                change.ddl
            )
        });
        return Err(unfit(sink, problems.collect()));
    }
    for change in &changes.changes {
        session
            .execute(&doing, &change.ddl)
            .await
            .map_err(|failure| {
                not_allowed(failure, [changes.ddl(), changes.grants(&role)].concat())
            })?;
    }
    let missing = missing_rights(sink, session, &doing).await?;
    if !missing.ddl.is_empty() {
        return Err(missing.error(&doing));
    }
    session.execute(&doing, "COMMIT").await?;
    Ok(changes)
}

fn not_allowed(failure: Failure, ddl: Vec<String>) -> SinkError {
    if failure.sqlstate.as_deref() == Some(NOT_ALLOWED) {
        SinkError::Rights { failure, ddl }
    } else {
        failure.into()
    }
}

/// What the role may not do.
struct Missing {
    /// What somebody who may runs, all of it.
    ddl: Vec<String>,
    /// Whether it may not even look what is there.
    is_blind: bool,
}

impl Missing {
    fn error(self, doing: &str) -> SinkError {
        let message = "permission denied: the role has not all the rights that it needs";
        SinkError::Rights {
            failure: Failure::trust(doing, message.to_owned()),
            ddl: self.ddl,
        }
    }
}

/// Looks by names in the catalogue, which whoever may use no schema reads, too.
async fn missing_rights(sink: &Sink, session: &Session, doing: &str) -> Result<Missing, SinkError> {
    let sql = "SELECT quote_ident(current_user), quote_ident(current_database()), has_database_privilege(current_database(), 'TEMPORARY')";
    let rows = session.query(doing, sql, &[]).await?;
    let mut missing = Missing {
        ddl: Vec::new(),
        is_blind: false,
    };
    let Some(row) = rows.first() else {
        return Ok(missing);
    };
    let (role, database): (String, String) = (get(doing, row, 0)?, get(doing, row, 1)?);
    if !get::<bool>(doing, row, 2)? {
        let grant = format!("GRANT TEMPORARY ON DATABASE {database} TO {role};");
        missing.ddl.push(grant);
    }
    if sink.delivery == Delivery::ExactlyOnce {
        let name = TableName::new(offsets::NAME);
        let needed = ["SELECT", "INSERT", "UPDATE"];
        let create = Some(offsets::TABLE);
        missing_of(
            session,
            doing,
            &role,
            (&name, &needed, create),
            &mut missing,
        )
        .await?;
    }
    let needed = match sink.key.is_empty() {
        true => &["INSERT"][..],
        false => &["SELECT", "INSERT", "UPDATE", "DELETE"],
    };
    missing_of(
        session,
        doing,
        &role,
        (&sink.table, needed, None),
        &mut missing,
    )
    .await?;
    Ok(missing)
}

/// The schema of a name, whether it may be used, and the table in it.
const IN_SCHEMA: &str = "SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE'), c.oid FROM pg_catalog.pg_namespace n \
    LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = $2::text::name WHERE n.nspname = $1::text::name";
/// The same where the schema is the first that has it and may be used.
const ON_PATH: &str = "SELECT true, pg_catalog.to_regclass($1::text)::oid";

/// Of one table, which is made first in a schema that may not be used.
async fn missing_of(
    session: &Session,
    doing: &str,
    role: &str,
    (name, needed, create): (&TableName, &[&str], Option<&str>),
    missing: &mut Missing,
) -> Result<(), Failure> {
    let table = name.sql();
    let rows = match &name.schema {
        Some(schema) => {
            session
                .query(doing, IN_SCHEMA, &[schema, &name.name])
                .await?
        }
        None => session.query(doing, ON_PATH, &[&table]).await?,
    };
    let Some(row) = rows.first() else {
        return Ok(());
    };
    let (may_use, oid): (bool, Option<u32>) = (get(doing, row, 0)?, get(doing, row, 1)?);
    if let (false, Some(schema)) = (may_use, &name.schema) {
        let schema = quoted(schema);
        let grant = format!("GRANT USAGE ON SCHEMA {schema} TO {role};");
        missing.ddl.push(grant);
        missing.is_blind = true;
    }
    let mut rights = Vec::new();
    match (oid, create) {
        (None, Some(create)) if !may_use => {
            missing.ddl.push(format!("{create};"));
            rights.extend(needed.iter().copied());
        }
        (None, _) => {}
        (Some(oid), _) => {
            for right in needed {
                // A right on columns is enough where there is one.
                let sql = match *right {
                    "DELETE" => "SELECT has_table_privilege($1::oid, $2::text)",
                    _ => "SELECT has_any_column_privilege($1::oid, $2::text)",
                };
                let rows = session.query(doing, sql, &[&oid, right]).await?;
                let has: Option<bool> = rows.first().map_or(Ok(None), |row| get(doing, row, 0))?;
                if has == Some(false) {
                    rights.push(*right);
                }
            }
        }
    }
    if !rights.is_empty() {
        let rights = rights.join(", ");
        let grant = format!("GRANT {rights} ON {table} TO {role};");
        missing.ddl.push(grant);
    }
    Ok(())
}

/// The session as one that writes.
pub(super) async fn writer(sink: &Sink, session: Session) -> Result<Writer, SinkError> {
    let doing = &sink.doing;
    let Some(relation) = catalog::relation(&session, doing, &sink.table).await? else {
        return Err(unfit(sink, vec!["there is no such table".to_owned()]));
    };
    let plan = planned(sink, &session, doing, &relation).await?;
    let advance = match sink.delivery {
        Delivery::ExactlyOnce => Some(offsets::prepare_move(&session, doing).await?),
        Delivery::AtLeastOnce => None,
    };
    Ok(Writer::new(session, plan, advance, doing).await?)
}

fn doing(sink: &Sink) -> String {
    format!("preparing {}", sink.table)
}
