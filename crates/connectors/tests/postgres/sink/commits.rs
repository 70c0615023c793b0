//! Lines that are cut, and commits without an answer.

use super::*;
use crate::support::proxy::Proxy;

fn through(proxy: &Proxy, database: &Database) -> String {
    format!(
        "host=127.0.0.1 port={} user=postgres dbname='{}' sslmode=disable",
        proxy.port,
        database.name()
    )
}

/// Cuts the line after each message of a batch in turn, on either side, and each time writes the batch again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_cut_after_any_message_loses_and_repeats_nothing() {
    let database = Database::new().await;
    let proxy = Proxy::to(database.server.port()).await;
    let (mut sink, mut next) =
        ready(&through(&proxy, &database), &append("people"), &people()).await;
    let (mut cuts, mut committed) = (0, 0);
    for messages in 1.. {
        let rows = people_rows(&[(next, "x")]);
        proxy.cut_after(messages);
        let first = write(&mut sink, next, next + 1, &rows).await;
        if !proxy.mend() {
            // The batch needs no more messages than that.
            assert_eq!(first.unwrap().rows, 1);
            break;
        }
        cuts += 1;
        match first {
            // The commit had no answer, and was found.
            Ok(written) if written.rows == 0 => committed += 1,
            Ok(_after_the_last_answer) => {}
            Err(error) => {
                assert_eq!(error.kind(), connectors::postgres::Kind::Retry, "{error}");
                write(&mut sink, next, next + 1, &rows).await.unwrap();
            }
        }
        next += 1;
        let found = database
            .rows("SELECT count(*), count(DISTINCT id) FROM people")
            .await;
        assert_eq!(
            found,
            [format!("{next}|{next}")],
            "after {messages} messages"
        );
    }
    assert!(
        cuts > 15 && committed > 0,
        "{cuts} cuts, {committed} of them behind a commit"
    );
}

/// The same without anybody there to ask: what happened is found by the next write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_an_answer_is_found_by_the_next_write() {
    let database = Database::new().await;
    let proxy = Proxy::to(database.server.port()).await;
    let (mut sink, mut next) =
        ready(&through(&proxy, &database), &append("people"), &people()).await;
    let mut committed = 0;
    for messages in 1.. {
        let rows = people_rows(&[(next, "x")]);
        proxy.end_after(messages);
        let first = write(&mut sink, next, next + 1, &rows).await;
        if first.is_ok() {
            // With the line cut nothing could be asked, so the answer did come.
            proxy.mend();
            break;
        }
        assert!(
            write(&mut sink, next, next + 1, &rows).await.is_err(),
            "the line is cut still"
        );
        proxy.mend();
        let written = write(&mut sink, next, next + 1, &rows).await.unwrap();
        committed += u32::from(written.rows == 0);
        next += 1;
        let found = database
            .rows("SELECT count(*), count(DISTINCT id) FROM people")
            .await;
        assert_eq!(
            found,
            [format!("{next}|{next}")],
            "after {messages} messages"
        );
    }
    assert!(committed > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backends_that_are_terminated_all_the_time_lose_and_repeat_nothing() {
    const ROWS: i64 = 300;
    let database = Database::new().await;
    let (mut sink, mut next) = ready(&database.address(), &append("people"), &people()).await;
    let name = database.name().to_owned();
    let admin = database.admin().await;
    let killer = crate::support::spawn(async move {
        let sql = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}' AND application_name LIKE 'watertable: %'"
        );
        let mut killed = 0_i64;
        loop {
            let row = admin.query_one(&sql, &[]).await.unwrap();
            killed += row.get::<_, i64>(0);
            if killed >= 60 {
                return killed;
            }
        }
    });
    while next < ROWS {
        let to = next + 1;
        match write(&mut sink, next, to, &people_rows(&[(next, "x")])).await {
            Ok(_written) => next = to,
            Err(error) => assert_eq!(error.kind(), connectors::postgres::Kind::Retry, "{error}"),
        }
    }
    assert!(killer.await.unwrap() >= 60);
    let found = database
        .rows("SELECT count(*), count(DISTINCT id), max(id) FROM people")
        .await;
    assert_eq!(found, [format!("{ROWS}|{ROWS}|{}", ROWS - 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_in_the_middle_loses_and_repeats_nothing() {
    const ROWS: i64 = 400;
    let server = Server::own(&[]).await;
    let database = Database::of(Arc::clone(&server)).await;
    let (mut sink, mut next) = ready(&database.address(), &append("people"), &people()).await;
    let killer = crate::support::spawn(async move {
        for _kill in 0..3 {
            let client =
                crate::support::server::connect(&server.address("postgres", "postgres")).await;
            drop(client);
            server.kill();
            server.start_again().await;
        }
        server
    });
    let mut failed = 0;
    while next < ROWS || !killer.is_finished() {
        match write(&mut sink, next, next + 1, &people_rows(&[(next, "x")])).await {
            Ok(_written) => next += 1,
            Err(error) => {
                assert_eq!(error.kind(), connectors::postgres::Kind::Retry, "{error}");
                failed += 1;
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    }
    drop(killer.await.unwrap());
    assert!(failed > 0, "it was never away");
    let found = database
        .rows("SELECT count(*), count(DISTINCT id), max(id) FROM people")
        .await;
    assert_eq!(found, [format!("{next}|{next}|{}", next - 1)]);
    assert_eq!(
        database.rows("SELECT next FROM watertable.offsets").await,
        [next.to_string()]
    );
}

#[tokio::test]
async fn a_write_that_is_dropped_half_way_leaves_nothing_behind() {
    let database = Database::new().await;
    let (mut sink, _) = ready(&database.address(), &append("people"), &people()).await;
    let blocker = database.admin().await;
    blocker
        .batch_execute("BEGIN; LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let rows = people_rows(&[(1, "x")]);
    {
        let mut writing = Box::pin(write(&mut sink, 0, 1, &rows));
        testkit::eventually("the write waits for the lock", async || {
            let waiting =
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'people'::regclass";
            let polled = futures_util::poll!(&mut writing);
            assert!(polled.is_pending());
            database.rows(waiting).await == ["1"]
        })
        .await;
    }
    blocker.batch_execute("COMMIT").await.unwrap();
    write(&mut sink, 0, 1, &rows).await.unwrap();
    assert_eq!(database.rows("SELECT count(*) FROM people").await, ["1"]);
}
