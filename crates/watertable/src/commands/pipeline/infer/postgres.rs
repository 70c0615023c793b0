//! A table of PostgreSQL as a source: its columns, as the catalogue tells them.

use anyhow::{Context, Result};
use pipeline::secrets::Secrets;
use spec::{File, Source, Surroundings};

use super::Finding;
use super::text::{input_name, literal};
use crate::report::Failure;

/// What a connection begins with.
const BEGINNINGS: [&str; 3] = ["postgres://", "postgresql://", "secret:"];

/// Whether a source is a database.
pub(super) fn is_connection(source: &str) -> bool {
    BEGINNINGS
        .iter()
        .any(|beginning| source.starts_with(beginning))
}

pub(super) async fn look(connection: &str, table: Option<&str>) -> Result<Finding> {
    let table = table.ok_or_else(|| {
        Failure::new(
            "a database has many tables",
            "name one: watertable pipeline infer CONNECTION --table users",
        )
    })?;
    let source = format!(
        "{{ connection: {}, table: {} }}",
        literal(connection),
        literal(table)
    );
    let spec = parsed(&source)?;
    let connection = Secrets::default().connection(&spec.connection)?;
    let database = connectors::postgres::Source::connect(&connection, &spec, None, "infer").await?;
    let name = table.rsplit('.').next().unwrap_or(table);
    Ok(Finding {
        name: input_name(name),
        source: ("postgres", source),
        columns: database.columns(),
        notes: vec![
            "these are the types of the table; a cursor makes later runs read only what has changed: incremental: { cursor: COLUMN }".to_owned(),
        ],
    })
}

/// The source as a pipeline file has it, so that what is refused there is refused here with the same words.
fn parsed(source: &str) -> Result<spec::Postgres> {
    let text = format!(
        "format: 1\npipeline: infer\nrun: once\nfrom:\n  a:\n    postgres: {source}\nsql: SELECT 1 AS a\nto: {{ topic: {{ name: infer }} }}\n"
    );
    let file = File::read("", text.as_bytes(), &Surroundings::NONE).map_err(|problems| {
        let causes: Vec<_> = problems.iter().map(|one| one.cause.to_string()).collect();
        Failure::new(
            causes.join("; "),
            "name a connection and a table: watertable pipeline infer postgres://reader@db.example/shop --table users",
        )
    })?;
    let input = file.pipeline.inputs.into_iter().next();
    match input.map(|input| input.source) {
        Some(Source::Postgres(postgres)) => Ok(postgres),
        _ => Err(Failure::new("this is no database", "write postgres://…")).context("infer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pipeline_file_refuses_is_refused() {
        let error = |source: &str| parsed(source).unwrap_err().to_string();
        let with_password = error("{ connection: \"postgres://a:b@c/d\", table: users }");
        assert!(with_password.contains("password"), "{with_password}");
        assert!(!with_password.contains("a:b"), "{with_password}");
        let no_table = error("{ connection: \"secret:pg\", table: \"\" }");
        assert!(no_table.contains("a table"), "{no_table}");
        assert!(parsed("{ connection: \"secret:pg\", table: public.users }").is_ok());
        assert!(is_connection("secret:pg") && !is_connection("secrets"));
    }
}
