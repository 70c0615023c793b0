//! What has changed, by a cursor.

use super::*;

/// Rows of an integer cursor, read to the end of the first run.
async fn numbered(tie_breaker: Option<&str>, chunk_rows: u64) -> (Database, Source, Position) {
    let database = Database::new().await;
    database.run("CREATE TABLE log (n bigint NOT NULL, id int); INSERT INTO log SELECT n / 3, n FROM generate_series(3, 11) n").await;
    let mut source = source(
        &database,
        &by("n", tie_breaker, 0, table("log", chunk_rows)),
    )
    .await;
    let (lines, position) = rest(&mut source, &Position::default()).await;
    assert_eq!(lines.len(), 9);
    (database, source, position)
}

#[tokio::test]
async fn a_run_reads_what_came_since_the_last_one_and_once() {
    let (database, mut source, position) = numbered(Some("id"), 4).await;
    let (lines, position) = rest(&mut source, &position.next_run()).await;
    assert_eq!(lines, [""; 0]);
    database
        .run("INSERT INTO log SELECT n / 3, n FROM generate_series(12, 23) n")
        .await;
    let (lines, position) = rest(&mut source, &position.next_run()).await;
    let expected: Vec<_> = (12..24).map(|n| format!("{},{n}", n / 3)).collect();
    assert_eq!(lines, expected);
    assert_eq!((position.run, position.cursor.as_deref()), (2, Some("7")));
    let (lines, _) = rest(&mut source, &position.next_run()).await;
    assert_eq!(lines, [""; 0]);
}

#[tokio::test]
async fn equal_cursors_at_the_border_of_a_page_lose_no_row() {
    for tie_breaker in [None, Some("id")] {
        for chunk_rows in [1, 3] {
            let (database, mut source, position) = numbered(tie_breaker, chunk_rows).await;
            database.run("INSERT INTO log SELECT 10 + n / 4, n FROM generate_series(0, 15) n; INSERT INTO log VALUES (11, NULL), (11, NULL), (13, NULL)").await;
            // Killed after each chunk.
            let (mut position, mut lines) = (position.next_run(), Vec::new());
            while let Some(chunk) = source.next(&position).await.unwrap() {
                lines.extend(text(&chunk.records));
                position = kept(&chunk.position);
                source = super::source(
                    &database,
                    &by("n", tie_breaker, 0, table("log", chunk_rows)),
                )
                .await;
            }
            lines.sort();
            let mut expected: Vec<_> = (0..16).map(|n| format!("{},{n}", 10 + n / 4)).collect();
            expected.extend(["11,", "11,", "13,"].map(str::to_owned));
            expected.sort();
            assert_eq!(lines, expected, "{tie_breaker:?} {chunk_rows}");
        }
    }
}

#[tokio::test]
async fn what_commits_late_is_seen_within_the_lookback() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE users (id int PRIMARY KEY, at timestamptz NOT NULL); INSERT INTO users VALUES (1, '2026-01-01 12:00:00Z'), (2, '2026-01-01 12:05:00Z')")
        .await;
    let late = database.admin().await;
    late.batch_execute(
        "BEGIN; INSERT INTO users VALUES (3, '2026-01-01 12:04:00Z'), (4, '2026-01-01 11:00:00Z')",
    )
    .await
    .unwrap();
    let mut source = source(&database, &by("at", None, 120_000, table("users", 10))).await;
    let (lines, position) = rest(&mut source, &Position::default()).await;
    // What is not committed is not read. Its end is read twice: in the snapshot, and as what may have changed meanwhile.
    assert_eq!(
        lines,
        [
            "1,2026-01-01 12:00:00+00",
            "2,2026-01-01 12:05:00+00",
            "2,2026-01-01 12:05:00+00"
        ]
    );
    late.batch_execute("COMMIT").await.unwrap();
    let (lines, position) = rest(&mut source, &position.next_run()).await;
    assert_eq!(
        lines,
        ["3,2026-01-01 12:04:00+00", "2,2026-01-01 12:05:00+00"]
    );
    // And what is older than that is not.
    let (lines, _) = rest(&mut source, &position.next_run()).await;
    assert_eq!(
        lines,
        ["3,2026-01-01 12:04:00+00", "2,2026-01-01 12:05:00+00"]
    );
    let warnings = source.check().await.unwrap();
    assert!(
        warnings
            .iter()
            .any(|said| said.contains("120000 milliseconds") && said.contains("again")),
        "{warnings:?}"
    );
    assert!(
        warnings.iter().any(|said| said.contains("CREATE INDEX")),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn cursors_without_a_value_or_an_end_are_read_in_the_snapshot() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE users (id int PRIMARY KEY, at timestamp); INSERT INTO users VALUES (1, NULL), (2, 'infinity'), (3, '2026-01-01'), (4, NULL)")
        .await;
    let mut source = source(&database, &by("at", None, 0, table("users", 1))).await;
    let (lines, position) = rest(&mut source, &Position::default()).await;
    assert_eq!(lines, ["1,", "2,infinity", "3,2026-01-01 00:00:00", "4,"]);
    assert_eq!(position.cursor.as_deref(), Some("2026-01-01 00:00:00"));
    database
        .run("INSERT INTO users VALUES (5, NULL), (6, '2026-01-02')")
        .await;
    let (lines, _) = rest(&mut source, &position.next_run()).await;
    assert_eq!(lines, ["6,2026-01-02 00:00:00"]);
    let warnings = source.check().await.unwrap();
    assert!(
        warnings
            .iter()
            .any(|said| said.contains("at is NULL are read in the snapshot only")),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn numbers_without_an_end_are_read_in_the_snapshot_and_nothing_ends_behind_them() {
    let database = Database::new().await;
    database.run("CREATE DOMAIN amount AS numeric").await;
    for type_name in ["real", "double precision", "numeric", "amount"] {
        let endless = |id: i32| {
            let values = ["Infinity", "-Infinity", "NaN"].map(|value| format!("({id}, '{value}')"));
            format!("INSERT INTO t VALUES {}", values.join(", "))
        };
        let first = endless(1);
        database
            .run(&format!(
                "CREATE TABLE t (id int, n {type_name}); {first}, (2, 5.5)"
            ))
            .await;
        let spec = by("n", Some("id"), 0, table("t", 2));
        let mut source = source(&database, &spec).await;
        let (lines, position) = rest(&mut source, &Position::default()).await;
        let all = ["1,-Infinity", "1,Infinity", "1,NaN", "2,5.5"];
        let mut sorted = lines.clone();
        sorted.sort();
        assert_eq!(sorted, all, "{type_name}");
        assert_eq!(position.cursor.as_deref(), Some("5.5"), "{type_name}");
        let more = endless(3);
        database.run(&format!("{more}, (4, 7.5)")).await;
        let (lines, position) = rest(&mut source, &position.next_run()).await;
        assert_eq!(lines, ["4,7.5"], "{type_name}");
        database.run("INSERT INTO t VALUES (5, 9.5)").await;
        let (lines, _) = rest(&mut source, &position.next_run()).await;
        assert_eq!(lines, ["5,9.5"], "{type_name}");
        database.run("DROP TABLE t").await;
    }
}

#[tokio::test]
async fn an_empty_table_begins_with_its_first_row() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE users (id int PRIMARY KEY, at timestamptz)")
        .await;
    let mut source = source(&database, &by("at", Some("id"), 60_000, table("users", 10))).await;
    let (lines, position) = rest(&mut source, &Position::default()).await;
    assert_eq!(lines, [""; 0]);
    database
        .run("INSERT INTO users VALUES (1, '2020-01-01 00:00:00Z')")
        .await;
    let (lines, _) = rest(&mut source, &position.next_run()).await;
    assert_eq!(lines, ["1,2020-01-01 00:00:00+00"]);
}

#[tokio::test]
async fn a_query_is_read_as_a_table_is() {
    let database = Database::new().await;
    database.run("CREATE TABLE users (id int PRIMARY KEY, name text, at timestamptz); INSERT INTO users SELECT n, 'n' || n, timestamptz '2026-01-01Z' + n * interval '1s' FROM generate_series(1, 20) n").await;
    let sql = "SELECT at AS \"When\", id, upper(name) AS \"O'Name\" FROM users WHERE id % 2 = 0 -- even ones";
    let spec = by("When", Some("id"), 0, query(sql, 3));
    let mut source = source(&database, &spec).await;
    let (lines, position) = rest(&mut source, &Position::default()).await;
    assert_eq!(lines.len(), 10);
    assert_eq!(lines[0], "2026-01-01 00:00:02+00,2,N2");
    database
        .run("INSERT INTO users VALUES (21, 'odd', '2026-02-01Z'), (22, 'even', '2026-02-01Z')")
        .await;
    let (lines, _) = rest(&mut source, &position.next_run()).await;
    assert_eq!(lines, ["2026-02-01 00:00:00+00,22,EVEN"]);
}

#[tokio::test]
async fn cursors_of_many_types_come_back_from_their_texts() {
    let database = Database::new().await;
    for (type_name, value) in [
        ("smallint", "n::smallint"),
        ("numeric", "n + 0.000000000000000000001"),
        ("double precision", "n / 3.0"),
        ("real", "(n / 3.0)::real"),
        ("text", "lpad(n::text, 3, '0') || 'é''\\'"),
        ("varchar(9)", "lpad(n::text, 3, '0')"),
        ("char(9)", "lpad(n::text, 3, '0')"),
        ("date", "date '2026-01-01' + n"),
        (
            "timestamp",
            "timestamp '2026-01-01' + n * interval '1 microsecond'",
        ),
        (
            "timestamptz",
            "timestamptz '1999-01-01' + n * interval '1 microsecond'",
        ),
        (
            "uuid",
            "('00000000-0000-0000-0000-0000000000' || lpad(n::text, 2, '0'))::uuid",
        ),
        ("bytea", "decode(lpad(n::text, 4, '0'), 'hex')"),
        ("interval", "n * interval '1.000001 hour'"),
        ("inet", "inet '10.0.0.0' + n"),
    ] {
        database.run(&format!("CREATE TABLE t (n int, c {type_name}); INSERT INTO t SELECT n, {value} FROM generate_series(1, 20) n")).await;
        let spec = by("c", None, 0, query("SELECT n, c FROM t", 3));
        let mut source = source(&database, &spec).await;
        let (lines, position) = rest(&mut source, &Position::default()).await;
        assert_eq!(lines.len(), 20, "{type_name}");
        database
            .run(&format!(
                "INSERT INTO t SELECT n, {value} FROM generate_series(21, 30) n"
            ))
            .await;
        let (lines, position) = rest(&mut source, &position.next_run()).await;
        assert_eq!(lines.len(), 10, "{type_name}: {lines:?}");
        assert_eq!(
            rest(&mut source, &position.next_run()).await.0.len(),
            0,
            "{type_name}"
        );
        database.run("DROP TABLE t").await;
    }
}
