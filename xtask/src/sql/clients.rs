//! The matrix of PostgreSQL's clients: each program of `clients/sql` and beside it runs all rows against one broker, by the conventions of
//! `clients/README.md`. Written into `docs/compatibility.md`.

use crate::clients::{self, Counts, Matrix, Outcome, Prepare, replace_section};
use crate::server::{Against, Server};
use crate::{install, kafka, workspace};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::fs;
use std::process::Command;

const PAGE: &str = "docs/compatibility.md";

const ROWS: [(&str, &str); 16] = [
    ("connect", "connect, version"),
    ("tables", "topics are tables"),
    ("columns", "columns and types of a contract"),
    ("text", "values of every type, as text"),
    ("binary", "values of every type, in binary"),
    ("parameters", "parameters, prepared statements"),
    ("cursor", "large results piece by piece"),
    ("copy-out", "COPY TO STDOUT"),
    ("copy-in", "COPY FROM STDIN"),
    ("insert", "INSERT, VALUES and SELECT"),
    ("transaction", "transactions, committed and rolled back"),
    ("definition", "CREATE TABLE, DROP TABLE"),
    ("errors", "errors with code, place and hint"),
    ("cancel", "a statement is cancelled, the session goes on"),
    ("pipeline", "many statements before the first answer"),
    ("sys", "the schema sys"),
];

const CLIENTS: [(&str, Prepare); 6] = [
    ("asyncpg", || python("with_asyncpg.py")),
    ("pgjdbc", || {
        let mut command = Command::new("java");
        command
            .args(["-Xmx256M", "-cp", &kafka::resolved("java-sql")?])
            .arg(install::clients().join("java-sql/Jdbc.java"));
        Ok(command)
    }),
    ("pgx", || Ok(Command::new(install::go_program("pgx")?))),
    ("psql", || python("with_psql.py")),
    ("psycopg", || python("with_psycopg.py")),
    ("SQLAlchemy", || python("with_sqlalchemy.py")),
];

/// Its one row; the others are nothing that it does.
const DUMP: &str = "dump";

fn python(program: &str) -> Result<Command> {
    install::system_packages(&["postgresql-client"])?;
    super::python(program)
}

/// Runs the matrix and writes the page.
pub(crate) fn run() -> Result<Counts> {
    let programs: Result<Vec<_>> = CLIENTS
        .into_iter()
        .map(|(name, prepare)| Ok((name, prepare().with_context(|| format!("prepare {name}"))?)))
        .collect();
    let folder = super::empty_folder("sql-clients")?;
    let server = Server::start(Against::Watertable, folder.join("broker"))?;
    let rows: Vec<&str> = ROWS.iter().map(|(row, _)| *row).collect();
    let matrix = clients::run_programs(programs?, &server.sql(), &rows, &folder)?;
    let mut pg_dump = python("with_pg_dump.py")?;
    pg_dump.args(["--bootstrap", &server.sql(), "--run", "dump"]);
    let dump = clients::run_program("pg_dump", &mut pg_dump, &[DUMP], &folder)?;
    server.stop()?;

    let mut counts = clients::judge(&matrix, &[]);
    for cell in &dump {
        match cell.outcome {
            Outcome::Fail => {
                println!("FAILED pg_dump: {}", cell.detail);
                counts.failed += 1;
            }
            Outcome::Pass | Outcome::NotSupported => counts.passed += 1,
        }
    }
    let said = dump.first().map_or("", |cell| cell.detail.as_str());
    write_page(&matrix, said)?;
    Ok(counts)
}

fn write_page(matrix: &Matrix, dump: &str) -> Result<()> {
    let path = workspace::root().join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut section = clients::table(matrix, &ROWS, &[])?;
    writeln!(section, "\n`pg_dump --schema-only` {dump}.")?;
    fs::write(&path, replace_section(&page, "postgres", &section)?)?;
    println!("wrote {PAGE}");
    Ok(())
}
