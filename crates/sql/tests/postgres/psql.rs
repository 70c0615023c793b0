//! psql itself, as a process: what it sends for its commands is answered, and it shows what there is.

use std::process::{Command, Output};

use crate::fixture::Fixture;

/// Runs psql on its commands.
fn psql(fixture: &Fixture, commands: &[&str]) -> Output {
    let mut psql = Command::new("psql");
    let connection = format!(
        "host={} port={} user=tester dbname=watertable",
        fixture.address.ip(),
        fixture.address.port()
    );
    psql.args([
        "-X",
        "-q",
        "-P",
        "pager=off",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        &connection,
    ]);
    for command in commands {
        psql.args(["-c", command]);
    }
    tokio::task::block_in_place(|| psql.output())
        .expect("psql starts (Debian: postgresql-client, which `cargo xtask test` installs)")
}

/// The commands succeed and show these texts.
#[track_caller]
fn check(fixture: &Fixture, commands: &[&str], texts: &[&str]) {
    let wrong = shows(fixture, commands, texts);
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
}

/// What is wrong with what the commands show.
fn shows(fixture: &Fixture, commands: &[&str], texts: &[&str]) -> Option<String> {
    let output = psql(fixture, commands);
    let shown = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    if !output.status.success() || errors.contains("ERROR") {
        return Some(format!("{commands:?}: {errors}{shown}\n"));
    }
    let missing = texts.iter().find(|text| !shown.contains(**text))?;
    Some(format!(
        "{commands:?} does not show {missing:?}:\n{shown}{errors}\n"
    ))
}

/// All of the commands succeed.
#[track_caller]
fn check_each(fixture: &Fixture, commands: &[&str]) {
    let wrong: String = commands
        .iter()
        .filter_map(|command| shows(fixture, &[command], &[]))
        .collect();
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_and_settings() {
    let fixture = Fixture::start().await;
    check(
        &fixture,
        &["SELECT id, carrier FROM flights ORDER BY id"],
        &[" 1 | UA", "(3 rows)"],
    );
    check(
        &fixture,
        &["\\conninfo", "\\encoding"],
        &["\"watertable\"", "UTF8"],
    );
    check(
        &fixture,
        &["\\set FETCH_COUNT 1000", "SELECT max(n) FROM numbers"],
        &["10000"],
    );
    check(
        &fixture,
        &["\\copy (SELECT id, carrier FROM flights ORDER BY id) TO STDOUT CSV HEADER"],
        &["id,carrier\n1,UA\n"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_tables() {
    let fixture = Fixture::start().await;
    for command in ["\\d", "\\dt", "\\dt *", "\\dt public.*", "\\dt+", "\\d+"] {
        check(
            &fixture,
            &[command],
            &["flights", "Odd-Topic.1", "table", "tester"],
        );
    }
    check(&fixture, &["\\dt fli*"], &["flights"]);
    check(&fixture, &["\\dtS pg_class"], &["pg_class"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_with_their_columns() {
    let fixture = Fixture::start().await;
    let columns = [
        "Table \"public.flights\"",
        "id",
        "bigint",
        "carrier",
        "text",
        "timestamp with time zone",
        "numeric",
        "bytea",
    ];
    for command in ["\\d flights", "\\d+ flights", "\\d public.flights"] {
        check(&fixture, &[command], &columns);
    }
    check(
        &fixture,
        &["\\d \"Odd-Topic.1\""],
        &["Table \"public.Odd-Topic.1\"", "Weird Column"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_else_that_is_listed() {
    let fixture = Fixture::start().await;
    check(&fixture, &["\\l"], &["watertable", "tester", "UTF8"]);
    check(&fixture, &["\\l+"], &["watertable"]);
    check(&fixture, &["\\dn"], &["public"]);
    check(&fixture, &["\\dn+"], &["public"]);
    check(&fixture, &["\\du"], &["tester"]);
    check(&fixture, &["\\du+"], &["tester"]);
    check_each(
        &fixture,
        &[
            "\\dT",
            "\\df",
            "\\df+",
            "\\di",
            "\\di+",
            "\\dv",
            "\\dv+",
            "\\ds",
            "\\dm",
            "\\dx",
            "\\dp",
            "\\db",
            "\\dE",
            "\\dRp",
            "\\dy",
            "\\des",
            "\\ddp",
            "\\drds",
            "\\dC",
            "\\dO",
            "\\dc",
            "\\da",
            "\\dA",
            "\\dP",
            "\\do",
            "\\dd",
            "\\dd *",
            "\\dL",
            "\\dL+",
            "\\dp flights",
            "\\z",
            "\\dT+",
            "\\dg",
            "\\db+",
            "\\dD+",
            "\\dF",
            "\\dFd",
            "\\dFp",
            "\\dFt",
            "\\deu",
            "\\dew",
            "\\det",
            "\\dX",
            "\\dAc",
            "\\dAf",
            "\\dAo",
            "\\dAp",
            "\\dRs",
            "\\dconfig",
            "\\lo_list",
            "\\dn+",
            "\\dt+",
        ],
    );
    let output = psql(&fixture, &["\\sf nothing"]);
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(
        shown.contains("function \"nothing\" does not exist"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_shown_with_their_place_and_hint() {
    let fixture = Fixture::start().await;
    let output = psql(&fixture, &["SELECT carier FROM flights"]);
    assert!(!output.status.success());
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(
        shown.contains("LINE 1: SELECT carier FROM flights\n               ^"),
        "{shown}"
    );
    assert!(
        shown.contains("HINT:  Perhaps you meant \"carrier\"."),
        "{shown}"
    );
}
