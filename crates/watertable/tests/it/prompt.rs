//! `watertable sql`, as scripts and people at a terminal use it.

use std::io::Write;
use std::net::SocketAddr;
use std::process::Stdio;

use protocol::records::BatchOptions;
use rustix::process::{Pid, Signal, kill_process};
use testkit::{RawClient, requests};

use crate::server::{Server, short_command};
use crate::terminal::Terminal;

/// What a command said.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn say(server: SocketAddr, arguments: &[&str], input: &str) -> Said {
    let mut process = short_command()
        .args(["sql", "--server", &server.to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = process.wait_with_output().unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The output of a command that must succeed.
#[track_caller]
fn ok(server: SocketAddr, arguments: &[&str]) -> String {
    let said = say(server, arguments, "");
    assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.err);
    said.out
}

/// A broker with a topic `trips` of three records, and one that needs quotes.
async fn broker(data: &std::path::Path, arguments: &[&str]) -> Server {
    let server = Server::start(data, arguments);
    let mut client = RawClient::connect(server.kafka).await;
    for name in ["trips", "page-views"] {
        requests::topic(&mut client, name, &[]).await;
    }
    let values = [r#"{"km": 3}"#, r#"{"km": 40}"#, "a,\"b\"\n\u{1b}[2J"];
    let batch = requests::batch(BatchOptions::default(), &values);
    client
        .call(&requests::produce("trips", -1, batch), requests::PRODUCE)
        .await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_written_in_every_format() {
    let data = tempfile::tempdir().unwrap();
    let sql = broker(data.path(), &[]).await.sql_of();
    let query = "SELECT _offset, _key, _value->'km' AS km, _value FROM trips ORDER BY 1";
    assert_eq!(
        ok(sql.address, &[query]),
        " _offset | _key |  km  |      _value      \n\
         ---------+------+------+------------------\n       \
         0 | NULL | 3    | {\"km\": 3}\n       \
         1 | NULL | 40   | {\"km\": 40}\n       \
         2 | NULL | NULL | a,\"b\"\\n\\u001b[2J\n(3 rows)\n\n"
    );
    assert_eq!(
        ok(sql.address, &["--format", "csv", "-c", query]),
        "_offset,_key,km,_value\n0,,3,\"{\"\"km\"\": 3}\"\n1,,40,\"{\"\"km\"\": 40}\"\n2,,,\"a,\"\"b\"\"\n\u{1b}[2J\"\n"
    );
    let lines = ok(sql.address, &["--format", "ndjson", query]);
    assert_eq!(
        lines.lines().next(),
        Some("{\"_offset\":0,\"_key\":null,\"km\":3,\"_value\":\"{\\\"km\\\": 3}\"}")
    );
    let document: serde_json::Value =
        serde_json::from_str(&ok(sql.address, &["--format", "json", query])).unwrap();
    assert_eq!(document[1]["km"], 40);
    assert_eq!(document[2]["km"], serde_json::Value::Null);
    let expanded = ok(
        sql.address,
        &["--format", "expanded", "SELECT count(*) FROM trips"],
    );
    assert_eq!(
        expanded,
        "-[ RECORD 1 ]---------------------------\ncount | 3\n\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_failure_ends_what_nobody_types() {
    let data = tempfile::tempdir().unwrap();
    let sql = broker(data.path(), &[]).await.sql_of();
    let said = say(
        sql.address,
        &["--format", "csv"],
        "SELECT 1 AS a;\nSELECT *\nFROM tripz;\nSELECT 3;",
    );
    assert_eq!((said.code, said.out.as_str()), (Some(1), "a\n1\n"));
    assert!(
        said.err.starts_with(
            "ERROR:  relation \"tripz\" does not exist\nLINE 2: FROM tripz\n             ^\n"
        ),
        "{}",
        said.err
    );
    assert!(
        said.err.contains("HINT:  Perhaps you meant trips."),
        "{}",
        said.err
    );
    let said = say(sql.address, &["\\tming"], "");
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.contains("perhaps you mean \\timing"),
        "{}",
        said.err
    );
    // Statements of arguments come before those of files, and the last needs no semicolon.
    let file = data.path().join("two.sql");
    std::fs::write(
        &file,
        "-- the second\nSELECT 2 AS b;\n\\format ndjson\nSELECT 3 AS c",
    )
    .unwrap();
    let out = ok(
        sql.address,
        &[
            "--format",
            "csv",
            "-f",
            file.to_str().unwrap(),
            "-c",
            "SELECT 1 AS a",
        ],
    );
    assert_eq!(out, "a\n1\nb\n2\n{\"c\":3}\n");
    let nobody = say(SocketAddr::from(([127, 0, 0, 1], 1)), &["SELECT 1"], "");
    assert_eq!(nobody.code, Some(1));
    assert!(
        nobody.err.contains("next: start a broker"),
        "{}",
        nobody.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_without_rows_say_what_they_did_as_psql_has_them_do() {
    let data = tempfile::tempdir().unwrap();
    let server = broker(data.path(), &[]).await.sql_of();
    let statements = [
        "CREATE TABLE notes WITH (partitions = 1)",
        "BEGIN",
        "INSERT INTO notes (_value) VALUES ('a'), ('b'), ('c')",
        "COMMIT",
        "SET watertable.strict = on",
        "SELECT 1 AS one",
        "COPY (SELECT 2) TO STDOUT",
        "COPY (SELECT 2 WHERE false) TO STDOUT",
        "DROP TABLE notes",
    ];
    let arguments = statements.map(|statement| ["-c", statement]).concat();
    let rows = " one \n-----\n   1\n(1 row)\n\n";
    let said = ok(server.address, &arguments);
    assert_eq!(
        said,
        format!("CREATE TABLE\nBEGIN\nINSERT 0 3\nCOMMIT\nSET\n{rows}2\nDROP TABLE\n")
    );
    let psql = crate::sql::aligned_psql(server.address)
        .args(&arguments)
        .output();
    assert_eq!(String::from_utf8(psql.unwrap().stdout).unwrap(), said);
    // What programs read has nothing but rows in it.
    let insert = "CREATE TABLE notes WITH (partitions = 1); INSERT INTO notes (_value) VALUES ('a'); SELECT 1 AS one; DROP TABLE notes";
    assert_eq!(ok(server.address, &["-q", "-c", insert]), rows);
    assert_eq!(
        ok(server.address, &["--format", "csv", "-c", insert]),
        "one\n1\n"
    );
    assert_eq!(
        ok(server.address, &["--format", "ndjson", "-c", insert]),
        "{\"one\":1}\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_described() {
    let data = tempfile::tempdir().unwrap();
    let sql = broker(data.path(), &[]).await.sql_of();
    let topics = ok(sql.address, &["\\dt"]);
    assert!(
        topics.contains(" public | trips\n") && topics.contains(" public | page-views\n"),
        "{topics}"
    );
    assert!(!ok(sql.address, &["\\dt page*"]).contains("trips"));
    for name in ["trips", "\"page-views\"", "public.trips"] {
        let columns = ok(sql.address, &[&format!("\\d {name}")]);
        assert!(columns.contains(" _offset "), "{columns}");
        assert!(
            columns.contains("| timestamp with time zone | "),
            "{columns}"
        );
    }
    let said = say(sql.address, &["\\d tripz"], "");
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.contains("Perhaps you meant trips."),
        "{}",
        said.err
    );
    assert!(ok(sql.address, &["\\dn"]).contains(" public\n"));
    assert!(ok(sql.address, &["\\l"]).contains(" watertable\n"));
    assert!(ok(sql.address, &["\\?"]).contains("\\watch [SECONDS]"));
    assert!(ok(sql.address, &["\\h select"]).starts_with("SELECT "));
}

#[tokio::test(flavor = "multi_thread")]
async fn results_become_files_here_and_on_the_server() {
    let (data, exports, own) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let folder = exports.path().to_str().unwrap();
    let sql = broker(data.path(), &["--sql-export-dir", folder])
        .await
        .sql_of();
    ok(
        sql.address,
        &["COPY (SELECT _offset, _value FROM trips) TO 'trips.parquet'"],
    );
    assert_eq!(
        &std::fs::read(exports.path().join("trips.parquet")).unwrap()[..4],
        b"PAR1"
    );
    let said = say(sql.address, &["COPY trips TO 'trips.parquet'"], "");
    assert!(
        said.err.contains("HINT:  WITH (OVERWRITE true)"),
        "{}",
        said.err
    );
    let file = own.path().join("own.ndjson");
    let copy = format!(
        "\\copy (SELECT _offset FROM trips ORDER BY 1) TO '{}'",
        file.display()
    );
    ok(sql.address, &[&copy]);
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "{\"_offset\":0}\n{\"_offset\":1}\n{\"_offset\":2}\n"
    );
    // Nothing is left of one that fails, and what was there stays.
    let failing = format!(
        "\\copy (SELECT 1 / _offset FROM trips) TO '{}'",
        file.display()
    );
    assert_eq!(say(sql.address, &[&failing], "").code, Some(1));
    assert_eq!(std::fs::read_dir(own.path()).unwrap().count(), 1);
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .starts_with("{\"_offset\":0}")
    );
    let output = format!(
        "\\o {}\nSELECT 1 AS a;\n\\o\nSELECT 2 AS b;",
        own.path().join("o.csv").display()
    );
    let said = say(sql.address, &["--format", "csv"], &output);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "b\n2\n"));
    assert_eq!(
        std::fs::read_to_string(own.path().join("o.csv")).unwrap(),
        "a\n1\n"
    );
}

#[test]
fn exports_are_kept_apart_from_the_data() {
    let data = tempfile::tempdir().unwrap();
    let inside = data.path().join("exports");
    std::fs::create_dir(&inside).unwrap();
    for folder in [&inside, data.path(), data.path().parent().unwrap()] {
        let output = short_command()
            .args([
                "start",
                "--listen",
                "127.0.0.1:0",
                "--http-listen",
                "off",
                "--sql-listen",
                "127.0.0.1:0",
            ])
            .args([
                std::path::Path::new("--data-dir"),
                data.path(),
                std::path::Path::new("--sql-export-dir"),
                folder,
            ])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{}", folder.display());
        assert!(
            said.contains("must be apart from the data directory"),
            "{said}"
        );
    }
}

const ENDLESS: &str = "SELECT value FROM generate_series(1, 1000000000000)";

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_cancels_a_statement_that_nobody_typed() {
    let data = tempfile::tempdir().unwrap();
    let sql = broker(data.path(), &[]).await.sql_of();
    let mut process = crate::server::command()
        .args([
            "sql",
            "--server",
            &sql.address.to_string(),
            "--format",
            "csv",
            ENDLESS,
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut rows = process.stdout.take().unwrap();
    std::io::Read::read_exact(&mut rows, &mut [0; 100]).unwrap();
    kill_process(Pid::from_child(&process), Signal::INT).unwrap();
    std::io::copy(&mut rows, &mut std::io::sink()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("canceling statement due to user request"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_at_a_terminal_is_helped() {
    let (data, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sql = broker(data.path(), &[]).await.sql_of();
    let line = format!(
        "{} sql --server {}",
        env!("CARGO_BIN_EXE_watertable"),
        sql.address
    );
    let environment = [
        ("XDG_STATE_HOME", state.path().to_str().unwrap()),
        ("PAGER", "cat; echo left the pager"),
    ];
    let mut terminal = Terminal::run(&line, &environment);
    terminal.until("watertable> ");
    // Completion of columns, of a topic that needs quotes, and over two lines.
    terminal.press("select _off\t from pag\t");
    terminal.until("select _offset from \"page-views\"");
    terminal.press("\rlimit 1;\r");
    terminal.until("(0 rows)");
    terminal.until("watertable> ");
    // What fails, and what does not end, leaves the prompt there.
    terminal.press("select * from tripz;\r");
    terminal.until("HINT:  Perhaps you meant trips.");
    terminal.until("watertable> ");
    terminal.press("select count(*) from generate_series(1, 1000000000000);\r");
    terminal.until("1000000000000);");
    // A cancel that comes before its statement cancels nothing, as in PostgreSQL.
    let is_running = "SELECT count(*) FROM sys.queries WHERE state = 'active' AND query LIKE '%1000000000000%' AND query NOT LIKE '%sys.%'";
    let began = (0..1000).any(|_| {
        let count = ok(sql.address, &["--format", "csv", is_running]);
        count.lines().last() == Some("1")
    });
    assert!(began, "the statement never began");
    terminal.press("\u{3}");
    terminal.until("canceling statement due to user request");
    terminal.until("watertable> ");
    // What fits on the screen is shown, what does not goes to the pager.
    terminal.press("select value from generate_series(1, 5);\r");
    let fits = terminal.until("watertable> ");
    assert!(
        fits.contains("(5 rows)") && !fits.contains("left the pager"),
        "{fits}"
    );
    terminal.press("select value from generate_series(1, 30);\r");
    let paged = terminal.until("watertable> ");
    assert!(
        paged.contains("(30 rows)") && paged.contains("left the pager"),
        "{paged}"
    );
    terminal.press("select 7 as again \\watch 0.01\r");
    terminal.until("again");
    terminal.until("(1 row)");
    terminal.until("(1 row)");
    terminal.press("\u{3}");
    terminal.until("watertable> ");
    terminal.press("begin;\r");
    terminal.until("watertable*> ");
    terminal.press("commit;\r");
    terminal.until("watertable> ");
    terminal.press("\\q\r");
    assert!(terminal.end());
    let history = std::fs::read_to_string(state.path().join("watertable/sql_history")).unwrap();
    assert!(
        history.contains("select _offset from \"page-views\"\\nlimit 1;"),
        "{history}"
    );

    // Another day: the history is there, and a pager that is left ends the query.
    let environment = [
        ("XDG_STATE_HOME", state.path().to_str().unwrap()),
        ("PAGER", "head -3"),
    ];
    let mut terminal = Terminal::run(&line, &environment);
    terminal.until("watertable> ");
    terminal.press("\u{1b}[A\u{1b}[A\u{1b}[A\u{1b}[A");
    terminal.until("select 7 as again \\watch 0.01");
    terminal.press("\u{3}");
    terminal.until("watertable> ");
    terminal.press(&format!("{ENDLESS};\r"));
    terminal.until("1000000000000);");
    terminal.until("watertable> ");
    terminal.press("\u{4}");
    assert!(terminal.end());
}

/// A broker whose SQL is asked.
struct Sql {
    address: SocketAddr,
    _server: Server,
}

impl Server {
    fn sql_of(self) -> Sql {
        Sql {
            address: self.sql,
            _server: self,
        }
    }
}
