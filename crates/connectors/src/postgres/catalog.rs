//! What the catalogue says of a table: its columns with their types, and which columns make rows unique.

use super::failure::Failure;
use super::name::{TableName, quoted};
use super::session::{Session, get};

/// The oldest version that is read and written (13).
const VERSION_MIN: i32 = 130_000;

/// A table, a view, or whatever else has columns.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    pub(crate) oid: u32,
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) columns: Vec<RelationColumn>,
}

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct RelationColumn {
    pub(crate) name: String,
    /// Its type as people write it, as `character varying(3)`.
    pub(crate) type_text: String,
    /// The type it is made of, if it is a domain; else itself.
    pub(crate) base: BaseType,
    /// Of a text that is not sorted as the database sorts: the collation, as an identifier.
    pub(crate) collation: Option<String>,
    pub(crate) not_null: bool,
    /// Whether a row may be without a value for it though it is NOT NULL.
    pub(crate) has_default: bool,
    /// Why nothing can be written to it.
    pub(crate) generated: bool,
}

/// A type that is no domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BaseType {
    /// Its name, if it is one of PostgreSQL's own; empty else.
    pub(crate) name: String,
    /// As an identifier, without limits of length: a cast to it cuts nothing.
    pub(crate) sql: String,
    /// Of numeric with limits: digits in all, and behind the point.
    pub(crate) digits: Option<(i32, i32)>,
    /// Of times with a limit: digits of a second.
    pub(crate) second_digits: Option<i32>,
}

impl BaseType {
    /// `modifier`: what the catalogue has beside the type, as PostgreSQL's `numeric.c` and `timestamp.c` write it.
    fn new(name: String, sql: String, modifier: i32) -> Self {
        let is_time = matches!(name.as_str(), "timestamp" | "timestamptz");
        let numeric = modifier - 4;
        let scale = ((numeric & 0x7ff) ^ 0x400) - 0x400;
        Self {
            digits: (name == "numeric" && numeric >= 0)
                .then_some(((numeric >> 16) & 0xffff, scale)),
            second_digits: (is_time && modifier >= 0).then_some(modifier),
            name,
            sql,
        }
    }
}

/// A unique index.
#[derive(Clone, Debug)]
pub(crate) struct Unique {
    pub(crate) columns: Vec<String>,
    pub(crate) is_primary: bool,
}

impl Relation {
    /// As an identifier.
    pub(crate) fn sql(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    pub(crate) fn column(&self, name: &str) -> Option<&RelationColumn> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// Whether the server is one whose catalogue is read here.
pub(crate) async fn check_version(session: &Session, doing: &str) -> Result<(), Failure> {
    let sql =
        "SELECT current_setting('server_version_num')::int, current_setting('server_version')";
    for row in session.query(doing, sql, &[]).await? {
        if get::<i32>(doing, &row, 0)? < VERSION_MIN {
            let version: String = get(doing, &row, 1)?;
            let message =
                format!("this is PostgreSQL {version}, and 13 is the oldest that is supported");
            return Err(Failure::trust(doing, message));
        }
    }
    Ok(())
}

const FIND: &str = "SELECT c.oid, n.nspname::text, c.relname::text \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.oid = pg_catalog.to_regclass($1::text) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

/// The columns of a table.
const COLUMNS: &str = "SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), \
      CASE WHEN bn.nspname = 'pg_catalog' THEN b.typname::text ELSE '' END, \
      pg_catalog.quote_ident(bn.nspname) || '.' || pg_catalog.quote_ident(b.typname), \
      base.typmod, \
      (SELECT pg_catalog.quote_ident(cn.nspname) || '.' || pg_catalog.quote_ident(co.collname) \
         FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace \
        WHERE co.oid = a.attcollation AND a.attcollation <> b.typcollation), \
      a.attnotnull, a.atthasdef OR a.attidentity <> '', a.attgenerated <> '' OR a.attidentity = 'a' \
    FROM pg_catalog.pg_attribute a \
    CROSS JOIN LATERAL ( \
      WITH RECURSIVE chain(oid, typmod) AS ( \
        SELECT a.atttypid, a.atttypmod \
        UNION ALL \
        SELECT t.typbasetype, CASE WHEN chain.typmod = -1 THEN t.typtypmod ELSE chain.typmod END \
          FROM chain JOIN pg_catalog.pg_type t ON t.oid = chain.oid WHERE t.typtype = 'd') \
      SELECT chain.oid, chain.typmod FROM chain JOIN pg_catalog.pg_type t ON t.oid = chain.oid WHERE t.typtype <> 'd') base \
    JOIN pg_catalog.pg_type b ON b.oid = base.oid JOIN pg_catalog.pg_namespace bn ON bn.oid = b.typnamespace \
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// Those that ON CONFLICT can use and that order rows: of columns alone, of all rows, checked at once.
const UNIQUE: &str = "SELECT array_agg(a.attname::text ORDER BY k.place), i.indisprimary \
    FROM pg_catalog.pg_index i \
    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place) \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
    WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate \
      AND i.indpred IS NULL AND i.indexprs IS NULL AND k.place <= i.indnkeyatts \
    GROUP BY i.indexrelid, i.indisprimary ORDER BY i.indisprimary DESC, i.indexrelid";

/// The table of this name, if there is one that this role may see.
pub(crate) async fn relation(
    session: &Session,
    doing: &str,
    table: &TableName,
) -> Result<Option<Relation>, Failure> {
    let rows = session.query(doing, FIND, &[&table.sql()]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let oid = get(doing, row, 0)?;
    Ok(Some(Relation {
        oid,
        schema: get(doing, row, 1)?,
        name: get(doing, row, 2)?,
        columns: columns(session, doing, oid).await?,
    }))
}

async fn columns(session: &Session, doing: &str, oid: u32) -> Result<Vec<RelationColumn>, Failure> {
    let rows = session.query(doing, COLUMNS, &[&oid]).await?;
    let read = rows.iter().map(|row| {
        Ok(RelationColumn {
            name: get(doing, row, 0)?,
            type_text: get(doing, row, 1)?,
            base: BaseType::new(
                get(doing, row, 2)?,
                get(doing, row, 3)?,
                get(doing, row, 4)?,
            ),
            collation: get(doing, row, 5)?,
            not_null: get(doing, row, 6)?,
            has_default: get(doing, row, 7)?,
            generated: get(doing, row, 8)?,
        })
    });
    read.collect()
}

/// What makes its rows unique, the primary key first.
pub(crate) async fn unique(
    session: &Session,
    doing: &str,
    oid: u32,
) -> Result<Vec<Unique>, Failure> {
    let rows = session.query(doing, UNIQUE, &[&oid]).await?;
    let read = rows.iter().map(|row| {
        Ok(Unique {
            columns: get(doing, row, 0)?,
            is_primary: get(doing, row, 1)?,
        })
    });
    read.collect()
}

/// The types by their numbers, with their modifiers.
const TYPES: &str = "SELECT pg_catalog.format_type(b.oid, x.typmod), \
      CASE WHEN n.nspname = 'pg_catalog' THEN b.typname::text ELSE '' END, \
      pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(b.typname), \
      x.typmod \
    FROM unnest($1::oid[], $2::int[]) WITH ORDINALITY x(oid, typmod, place) \
    JOIN pg_catalog.pg_type b ON b.oid = x.oid JOIN pg_catalog.pg_namespace n ON n.oid = b.typnamespace ORDER BY x.place";

/// The columns that a query gives. Nothing is known of NULL.
pub(crate) async fn columns_of_query(
    session: &Session,
    doing: &str,
    query: &str,
) -> Result<Vec<RelationColumn>, Failure> {
    let statement = session.prepare(doing, query).await?;
    let columns = statement.columns();
    let oids: Vec<u32> = columns.iter().map(|column| column.type_().oid()).collect();
    let modifiers = columns.iter().map(tokio_postgres::Column::type_modifier);
    let modifiers: Vec<i32> = modifiers.collect();
    let rows = session.query(doing, TYPES, &[&oids, &modifiers]).await?;
    let read = rows.iter().zip(columns).map(|(row, column)| {
        Ok(RelationColumn {
            name: column.name().to_owned(),
            type_text: get(doing, row, 0)?,
            base: BaseType::new(
                get(doing, row, 1)?,
                get(doing, row, 2)?,
                get(doing, row, 3)?,
            ),
            collation: None,
            not_null: false,
            has_default: false,
            generated: false,
        })
    });
    read.collect()
}
