//! Trouble while reading.

use std::sync::Arc;

use super::*;
use crate::support::server::Server;

async fn users() -> Database {
    let database = Database::new().await;
    database.run("CREATE TABLE users (id int PRIMARY KEY, name text); INSERT INTO users SELECT n, 'x' FROM generate_series(1, 30) n").await;
    database
}

/// Reading fails with this, and goes on at the same place after it is mended.
async fn held(
    source: &mut Source,
    database: &Database,
    position: &Position,
    said: &str,
    mend: &str,
) -> Chunk {
    for _again in 0..2 {
        let error = source.next(position).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Hold, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    database.run(mend).await;
    source.next(position).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_goes_and_comes_back_is_read_from_where_it_was() {
    let database = users().await;
    let role = role(&database).await;
    database
        .run(&format!("GRANT SELECT ON users TO {role}"))
        .await;
    let mut source = Source::connect(&database.address_of(&role), &table("users", 5), None, "x")
        .await
        .unwrap();
    let first = source.next(&Position::default()).await.unwrap().unwrap();
    assert_eq!(first.records[4].place, "id=5");
    database
        .run(&format!("REVOKE SELECT ON users FROM {role}"))
        .await;
    let second = held(
        &mut source,
        &database,
        &first.position,
        "42501",
        &format!("GRANT SELECT ON users TO {role}"),
    )
    .await;
    assert_eq!(second.records[0].place, "id=6");
    database.run("ALTER TABLE users RENAME TO elsewhere").await;
    let third = held(
        &mut source,
        &database,
        &second.position,
        "",
        "ALTER TABLE elsewhere RENAME TO users",
    )
    .await;
    assert_eq!(third.records[0].place, "id=11");
    database
        .run("ALTER TABLE users RENAME COLUMN name TO called")
        .await;
    let fourth = match source.next(&third.position).await {
        // The next session looks the columns up again.
        Err(error) => {
            assert_eq!(error.kind(), Kind::Hold, "{error}");
            source.next(&third.position).await.unwrap().unwrap()
        }
        Ok(chunk) => chunk.unwrap(),
    };
    assert_eq!(fourth.records[0].place, "id=16");
    assert_eq!(source.columns()[1].name, "called");
}

#[tokio::test]
async fn a_session_that_is_terminated_is_opened_again() {
    let database = users().await;
    let mut source = source(&database, &table("users", 5)).await;
    let first = source.next(&Position::default()).await.unwrap().unwrap();
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'watertable: prod/users'";
    assert_eq!(database.rows(kill).await, ["1"]);
    let second = match source.next(&first.position).await {
        Ok(chunk) => chunk,
        Err(error) => {
            assert_eq!(error.kind(), Kind::Retry, "{error}");
            source.next(&first.position).await.unwrap()
        }
    };
    assert_eq!(second.unwrap().records[0].place, "id=6");
}

#[tokio::test]
async fn a_position_of_something_else_is_not_read_from() {
    let database = users().await;
    let mut by_id = source(&database, &by("id", None, 0, table("users", 5))).await;
    let chunk = by_id.next(&Position::default()).await.unwrap().unwrap();
    let mut by_name = source(&database, &by("name", None, 0, table("users", 5))).await;
    let error = by_name.next(&chunk.position).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("its cursor was id, and is name now"),
        "{error}"
    );
    let mut other_key = source(&database, &by("id", Some("name"), 0, table("users", 5))).await;
    let error = other_key.next(&chunk.position).await.unwrap_err();
    assert!(matches!(error, SourceError::Position { .. }), "{error}");
}

#[tokio::test]
async fn a_position_of_a_column_whose_type_has_another_order_now_is_not_read_from() {
    let database = users().await;
    database.run("ALTER TABLE users ADD version int").await;
    database.run("UPDATE users SET version = id").await;
    let spec = by("version", Some("id"), 0, table("users", 5));
    let mut source = source(&database, &spec).await;
    let (_, end) = rest(&mut source, &Position::default()).await;
    let run = end.next_run();
    let alter = async |to: &str| {
        let alter = format!("ALTER TABLE users ALTER COLUMN version TYPE {to} USING version::{to}");
        database.run(&alter).await;
    };
    // All numbers are ordered alike.
    alter("bigint").await;
    database
        .run("INSERT INTO users VALUES (31, 'x', 100)")
        .await;
    let mut source = super::source(&database, &spec).await;
    assert_eq!(rest(&mut source, &run).await.0, ["31,x,100"]);
    // '100' comes before '30'.
    alter("text").await;
    let mut source = super::source(&database, &spec).await;
    let error = source.next(&run).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("its column version was ordered as number, and is as text now"),
        "{error}"
    );
    assert_eq!(error.kind(), Kind::Hold);
    alter("bigint").await;
    let mut source = super::source(&database, &spec).await;
    assert_eq!(rest(&mut source, &run).await.0, ["31,x,100"]);
    // What an earlier version kept says nothing of it, and is read.
    let mut kept = serde_json::to_value(&run).unwrap();
    assert!(
        kept.as_object_mut()
            .unwrap()
            .remove("cursor_order")
            .is_some()
    );
    let earlier: Position = serde_json::from_value(kept).unwrap();
    assert_eq!(rest(&mut source, &earlier).await.0, ["31,x,100"]);
    // In the middle of a page it is the same with what tells rows apart.
    let chunk = source.next(&Position::default()).await.unwrap().unwrap();
    database
        .run("ALTER TABLE users ALTER COLUMN id TYPE text")
        .await;
    let mut source = super::source(&database, &spec).await;
    let error = source.next(&chunk.position).await.unwrap_err();
    assert!(error.to_string().contains("its column id was"), "{error}");
}

#[tokio::test]
async fn a_standby_can_be_read() {
    let database = users().await;
    database
        .run(&format!(
            "ALTER DATABASE {} SET default_transaction_read_only = on",
            database.name()
        ))
        .await;
    let mut source = source(&database, &by("id", None, 0, table("users", 7))).await;
    source.check().await.unwrap();
    assert_eq!(rest(&mut source, &Position::default()).await.0.len(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_in_the_middle_is_read_on_from_the_last_chunk() {
    let server = Server::own(&[]).await;
    let database = Database::of(Arc::clone(&server)).await;
    database
        .run("CREATE TABLE users (id int PRIMARY KEY); INSERT INTO users SELECT generate_series(1, 3000)")
        .await;
    // Through a checkpoint, since a server without fsync promises less.
    database.run("CHECKPOINT").await;
    let mut source = source(&database, &table("users", 10)).await;
    let killer = crate::support::spawn(async move {
        for _kill in 0..2 {
            server.kill();
            server.start_again().await;
        }
        server
    });
    let (mut position, mut lines, mut failed) = (Position::default(), Vec::new(), 0);
    loop {
        match source.next(&position).await {
            Ok(None) => break,
            Ok(Some(chunk)) => {
                lines.extend(text(&chunk.records));
                position = kept(&chunk.position);
            }
            Err(error) => {
                assert_eq!(error.kind(), Kind::Retry, "{error}");
                failed += 1;
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    }
    drop(killer.await.unwrap());
    assert!(failed > 0, "it was never away");
    let expected: Vec<_> = (1..=3000).map(|id| id.to_string()).collect();
    assert_eq!(lines, expected);
}
