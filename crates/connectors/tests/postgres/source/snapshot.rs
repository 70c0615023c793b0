//! Everything, in chunks.

use super::*;

async fn users(rows: usize) -> Database {
    let database = Database::new().await;
    let sql = format!(
        "CREATE TABLE users (id int PRIMARY KEY, name text); INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, {rows}) n"
    );
    database.run(&sql).await;
    database
}

#[tokio::test]
async fn a_table_comes_in_chunks_in_the_order_of_its_key() {
    let database = users(25).await;
    let mut source = source(&database, &table("users", 10)).await;
    let (mut position, mut sizes) = (Position::default(), Vec::new());
    let mut all = Vec::new();
    while let Some(chunk) = source.next(&position).await.unwrap() {
        sizes.push(chunk.records.len());
        all.extend(chunk.records);
        position = kept(&chunk.position);
    }
    assert_eq!(sizes, [10, 10, 5]);
    assert_eq!(
        all[0],
        Record {
            value: b"1,user 1".to_vec(),
            place: "id=1".to_owned()
        }
    );
    assert_eq!(all[24].place, "id=25");
    assert!(position.finished);
    // Each run reads everything.
    let (again, _) = rest(&mut source, &position.next_run()).await;
    assert_eq!(again, text(&all));
}

#[tokio::test]
async fn a_snapshot_that_is_killed_after_each_chunk_goes_on_behind_it() {
    let database = users(57).await;
    let spec = by("id", None, 0, table("users", 10));
    let (mut position, mut lines) = (Position::default(), Vec::new());
    loop {
        // Another process, each time.
        let mut source = source(&database, &spec).await;
        let Some(chunk) = source.next(&position).await.unwrap() else {
            break;
        };
        // What was read and not kept is read again.
        assert_eq!(source.next(&position).await.unwrap().unwrap(), chunk);
        lines.extend(text(&chunk.records));
        position = kept(&chunk.position);
    }
    let expected: Vec<_> = (1..=57).map(|id| format!("{id},user {id}")).collect();
    assert_eq!(lines, expected);
    assert_eq!(
        (position.phase, position.cursor.as_deref()),
        (Phase::Incremental, Some("57"))
    );
}

#[tokio::test]
async fn what_changes_during_the_snapshot_is_read_again() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE users (id int PRIMARY KEY, name text, at timestamptz NOT NULL DEFAULT clock_timestamp()); \
              INSERT INTO users SELECT n, 'old' FROM generate_series(10, 40) n")
        .await;
    let mut source = source(&database, &by("at", Some("id"), 0, table("users", 10))).await;
    let (mut position, mut lines, mut chunks) = (Position::default(), Vec::new(), 0);
    while let Some(chunk) = source.next(&position).await.unwrap() {
        lines.extend(text(&chunk.records));
        position = kept(&chunk.position);
        chunks += 1;
        if chunks < 4 {
            // A row that was read, one that was not, one before everything that was read, and one behind.
            let sql = format!(
                "UPDATE users SET name = 'new {chunks}', at = clock_timestamp() WHERE id IN (10, 40); \
                 INSERT INTO users VALUES ({chunks}, 'born', clock_timestamp()), (40 + {chunks}, 'born', clock_timestamp())"
            );
            database.run(&sql).await;
        }
    }
    assert_eq!(compacted(&lines), now(&database, "users").await);
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("10,\"old\"") || line.starts_with("10,old")),
        "it was read before it changed"
    );
}

#[tokio::test]
async fn rows_with_the_same_or_no_key_do_not_fall_between_chunks() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE events (day date, kind text, n serial); \
              INSERT INTO events (day, kind) SELECT CASE WHEN n % 5 < 4 THEN date '2026-01-01' + n % 4 END, CASE WHEN n % 3 > 0 THEN (n % 3)::text END FROM generate_series(1, 60) n")
        .await;
    let everything = "SELECT n FROM events ORDER BY n";
    let expected = database.rows(everything).await;
    for (tie_breaker, chunk_rows) in [
        (None, 1),
        (None, 7),
        (Some("kind"), 1),
        (Some("kind"), 20),
        (Some("n"), 7),
    ] {
        let mut source = source(
            &database,
            &by("day", tie_breaker, 0, table("events", chunk_rows)),
        )
        .await;
        let (lines, position) = rest(&mut source, &Position::default()).await;
        let mut found: Vec<u32> = lines
            .iter()
            .map(|line| line.rsplit(',').next().unwrap().parse().unwrap())
            .collect();
        found.sort_unstable();
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{tie_breaker:?} {chunk_rows}");
        assert!(position.finished);
    }
}

#[tokio::test]
async fn more_rows_of_one_key_than_fit_are_said_and_not_read() {
    let database = Database::new().await;
    database.run("CREATE TABLE events (day date); INSERT INTO events SELECT '2026-01-01' FROM generate_series(1, 100100)").await;
    let mut source = source(&database, &by("day", None, 0, table("events", 10))).await;
    let error = source.next(&Position::default()).await.unwrap_err();
    assert!(matches!(error, SourceError::Ties { .. }), "{error}");
    assert!(error.to_string().contains("name a tie_breaker"), "{error}");
}

#[tokio::test]
async fn a_table_without_a_key_is_read_in_one_go() {
    let database = Database::new().await;
    database.run("CREATE TABLE log (line text); INSERT INTO log SELECT 'line ' || n FROM generate_series(1, 3500) n").await;
    let mut source = source(&database, &table("log", 1000)).await;
    assert!(source.check().await.unwrap()[0].contains("in one go"));
    let mut position = Position::default();
    let mut records = Vec::new();
    for at in 0..2 {
        let chunk = source.next(&position).await.unwrap().unwrap();
        assert_eq!(chunk.position.rows, 1000 * (at + 1));
        records.extend(chunk.records);
        position = kept(&chunk.position);
        // It is one query: what comes now is not in it.
        database.run("INSERT INTO log VALUES ('late')").await;
    }
    let mut other = super::source(&database, &table("log", 1000)).await;
    // Another process does not have the query, and begins anew.
    let again = other.next(&position).await.unwrap().unwrap();
    assert_eq!(again.position.rows, 1000);
    assert_eq!(again.records[0].place, "row 1");
    let (lines, end) = rest(&mut source, &position).await;
    assert_eq!(text(&records).len() + lines.len(), 3500);
    assert!(end.finished);
}

#[tokio::test]
async fn a_chunk_is_bounded_by_its_bytes_too() {
    let database = Database::new().await;
    database.run("CREATE TABLE big (id int PRIMARY KEY, x text); INSERT INTO big SELECT n, repeat('x', 100000) FROM generate_series(1, 1000) n").await;
    let mut source = source(&database, &table("big", 50_000)).await;
    let chunk = source.next(&Position::default()).await.unwrap().unwrap();
    assert!(
        (300..500).contains(&chunk.records.len()),
        "{}",
        chunk.records.len()
    );
    let (rest, _) = rest(&mut source, &chunk.position).await;
    assert_eq!(chunk.records.len() + rest.len(), 1000);
}
