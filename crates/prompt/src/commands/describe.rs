//! `\d` and its relatives: what there is, asked of the catalogue.

use crate::error::PromptError;
use crate::session::{Outcome, Session};

/// The topics whose names match a pattern of `*` and `?`.
pub(super) async fn topics(session: &mut Session, pattern: &str) -> Result<(), PromptError> {
    let sql = format!(
        "SELECT table_schema AS \"Schema\", table_name AS \"Topic\" FROM information_schema.tables WHERE table_schema NOT IN \
         ('pg_catalog', 'information_schema') AND table_name LIKE {} ORDER BY 1, 2",
        quoted(&like(pattern))
    );
    run(session, &sql).await
}

/// The columns of a topic.
pub(super) async fn topic(session: &mut Session, name: &str) -> Result<(), PromptError> {
    let (schema, table) = parts(name);
    let found = format!(
        "FROM information_schema.tables WHERE table_schema = {} AND table_name = {}",
        quoted(&schema),
        quoted(&table)
    );
    let is_there = match session.ask(&format!("SELECT 1 {found}")).await? {
        Ok(rows) => !rows.is_empty(),
        // What is wrong is told by the next statement.
        Err(_) => true,
    };
    // Internal topics and other forms of a topic are tables that are not listed.
    if !is_there {
        let from = format!("{}.{}", identifier(&schema), identifier(&table));
        if let Err(error) = session
            .ask(&format!("SELECT * FROM {from} LIMIT 0"))
            .await?
        {
            let hint = error.hint.as_ref().map(|hint| format!("\nHINT:  {hint}"));
            return Err(PromptError::Command(format!(
                "{error}{}",
                hint.unwrap_or_default()
            )));
        }
        return run(session, &format!("SELECT * FROM {from} LIMIT 0")).await;
    }
    let sql = format!(
        "SELECT column_name AS \"Column\", data_type AS \"Type\", CASE is_nullable WHEN 'NO' THEN 'not null' ELSE '' END AS \
         \"Nullable\" FROM information_schema.columns WHERE table_schema = {} AND table_name = {} ORDER BY ordinal_position",
        quoted(&schema),
        quoted(&table)
    );
    run(session, &sql).await
}

pub(super) async fn databases(session: &mut Session) -> Result<(), PromptError> {
    run(
        session,
        "SELECT datname AS \"Database\" FROM pg_catalog.pg_database ORDER BY 1",
    )
    .await
}

pub(super) async fn schemas(session: &mut Session) -> Result<(), PromptError> {
    let sql = "SELECT nspname AS \"Schema\" FROM pg_catalog.pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> \
               'information_schema' ORDER BY 1";
    run(session, sql).await
}

async fn run(session: &mut Session, sql: &str) -> Result<(), PromptError> {
    match session.execute(sql).await? {
        Outcome::Failed => Err(PromptError::Told),
        _ => Ok(()),
    }
}

/// Schema and table of a name as SQL writes it.
fn parts(name: &str) -> (String, String) {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut letters = name.chars().peekable();
    let mut is_quoted = false;
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                part.push('"');
            }
            '"' => is_quoted = !is_quoted,
            '.' if !is_quoted => parts.push(std::mem::take(&mut part)),
            other if is_quoted => part.push(other),
            other => part.extend(other.to_lowercase()),
        }
    }
    let schema = parts.pop().unwrap_or_else(|| "public".to_owned());
    (schema, part)
}

/// A pattern of `*` and `?` as one of LIKE.
fn like(pattern: &str) -> String {
    let mut like = String::new();
    for letter in pattern.chars() {
        match letter {
            '*' => like.push('%'),
            '?' => like.push('_'),
            '%' | '_' | '\\' => like.extend(['\\', letter]),
            other => like.push(other),
        }
    }
    like
}

/// A text as SQL writes it.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name as SQL writes it.
pub(crate) fn identifier(name: &str) -> String {
    let is_plain = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty();
    if is_plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_sql_reads_them() {
        let check = |name, schema: &str, table: &str| {
            assert_eq!(parts(name), (schema.to_owned(), table.to_owned()), "{name}");
        };
        check("Trips", "public", "trips");
        check("sys.topics", "sys", "topics");
        check("\"Page.Views\"", "public", "Page.Views");
        check("public.\"a\"\"b\"", "public", "a\"b");
    }

    #[test]
    fn patterns_and_texts_are_escaped() {
        assert_eq!(like("page_*?"), "page\\_%_");
        assert_eq!(quoted("it's"), "'it''s'");
        assert_eq!(identifier("page_views"), "page_views");
        assert_eq!(identifier("page-views"), "\"page-views\"");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }
}
