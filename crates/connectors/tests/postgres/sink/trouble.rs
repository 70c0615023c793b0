//! Trouble that somebody has to mend: nothing is lost while it lasts, and it goes on by itself afterwards.

use connectors::postgres::Kind;

use super::*;

/// A write is held with this in its error, and goes through after it is mended.
async fn held(sink: &mut Sink, database: &Database, from: i64, said: &str, mend: &str) {
    let rows = people_rows(&[(from, "x")]);
    for _again in 0..2 {
        let error = write(sink, from, from + 1, &rows).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Hold, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    database.run(mend).await;
    assert_eq!(write(sink, from, from + 1, &rows).await.unwrap().rows, 1);
}

#[tokio::test]
async fn tables_columns_and_rights_that_go_and_come_back() {
    let database = Database::new().await;
    let role = role(&database).await;
    database
        .run(&format!(
            "GRANT CREATE ON DATABASE {} TO {role}; GRANT ALL ON SCHEMA public TO {role}",
            database.name()
        ))
        .await;
    let (mut sink, _) = ready(
        &database.address_of(&role),
        &upsert("people", &["id"]),
        &people(),
    )
    .await;
    write(&mut sink, 0, 1, &people_rows(&[(0, "x")]))
        .await
        .unwrap();

    database
        .run(&format!(
            "ALTER TABLE people OWNER TO postgres; REVOKE ALL ON people FROM {role}"
        ))
        .await;
    held(
        &mut sink,
        &database,
        1,
        "permission denied",
        &format!("GRANT ALL ON people TO {role}"),
    )
    .await;

    database.run("ALTER TABLE people DROP COLUMN name").await;
    held(
        &mut sink,
        &database,
        2,
        "name",
        "ALTER TABLE people ADD COLUMN name text",
    )
    .await;

    database.run("ALTER TABLE people RENAME TO elsewhere").await;
    held(
        &mut sink,
        &database,
        3,
        "",
        "ALTER TABLE elsewhere RENAME TO people",
    )
    .await;

    database
        .run("ALTER TABLE people DROP CONSTRAINT people_pkey")
        .await;
    held(
        &mut sink,
        &database,
        4,
        "",
        "ALTER TABLE people ADD PRIMARY KEY (id)",
    )
    .await;

    database
        .run(&format!(
            "REVOKE ALL ON SCHEMA watertable FROM {role}; ALTER SCHEMA watertable OWNER TO postgres"
        ))
        .await;
    held(
        &mut sink,
        &database,
        5,
        "permission denied",
        &format!("GRANT USAGE ON SCHEMA watertable TO {role}"),
    )
    .await;

    database.run("DROP TABLE people").await;
    held(
        &mut sink,
        &database,
        6,
        "",
        &format!(
            "CREATE TABLE people (id bigint PRIMARY KEY, name text); GRANT ALL ON people TO {role}"
        ),
    )
    .await;
    assert_eq!(
        database.rows("SELECT next FROM watertable.offsets").await,
        ["7"]
    );
}

#[tokio::test]
async fn a_column_whose_type_changes_under_prepared_statements_is_written_as_it_is() {
    let database = Database::new().await;
    let (mut sink, _) = ready(&database.address(), &upsert("people", &["id"]), &people()).await;
    write(&mut sink, 0, 1, &people_rows(&[(0, "x")]))
        .await
        .unwrap();
    database
        .run("ALTER TABLE people ALTER COLUMN name TYPE varchar(9), ALTER COLUMN id TYPE integer")
        .await;
    let rows = people_rows(&[(1, "y")]);
    if let Err(error) = write(&mut sink, 1, 2, &rows).await {
        assert_ne!(error.kind(), Kind::Rows, "{error}");
        write(&mut sink, 1, 2, &rows).await.unwrap();
    }
    assert_eq!(
        database.rows("SELECT * FROM people ORDER BY id").await,
        ["0|x", "1|y"]
    );
}

#[tokio::test]
async fn a_lock_that_is_held_is_waited_for_and_told() {
    let database = Database::new().await;
    let address = format!("{} options='-c lock_timeout=1'", database.address());
    let (mut sink, _) = ready(&address, &upsert("people", &["id"]), &people()).await;
    // Whatever the address says, the session's own limit counts; the test makes it short.
    let blocker = database.admin().await;
    blocker
        .batch_execute("BEGIN; LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let rows = people_rows(&[(1, "x")]);
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database() AND application_name LIKE 'watertable: %'";
    let mut writing = Box::pin(write(&mut sink, 0, 1, &rows));
    let mut cancelled = None;
    testkit::eventually("the write is cancelled", async || {
        if let std::task::Poll::Ready(result) = futures_util::poll!(&mut writing) {
            cancelled = Some(result);
            return true;
        }
        database.rows(cancel).await;
        false
    })
    .await;
    drop(writing);
    let error = cancelled.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Retry, "{error}");
    assert!(error.to_string().contains("57014"), "{error}");
    blocker.batch_execute("COMMIT").await.unwrap();
    write(&mut sink, 0, 1, &rows).await.unwrap();
}

#[tokio::test]
async fn addresses_where_nobody_or_the_wrong_one_answers() {
    let database = Database::new().await;
    let spec = upsert("people", &["id"]);
    let unused = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for (address, kind, said) in [
        (
            format!("host=127.0.0.1 port={unused} user=postgres password=hunter2"),
            Kind::Retry,
            "refused",
        ),
        (
            database.server.address("nowhere", "postgres"),
            Kind::Hold,
            "3D000",
        ),
        (database.address_of("nobody"), Kind::Hold, "28000"),
        (
            format!("{} sslmode=require", database.address()),
            Kind::Hold,
            "TLS",
        ),
        ("hunter2".to_owned(), Kind::Hold, "no connection"),
    ] {
        let error = Sink::connect(&address, &spec, &people(), task())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = format!("{error} {error:?}");
        assert!(text.contains(said) && !text.contains("hunter2"), "{text}");
    }
    // Over the socket of the machine, and with a name that everybody sees.
    let mut local = Sink::connect(
        &database.server.socket_address(database.name()),
        &spec,
        &people(),
        task(),
    )
    .await
    .unwrap();
    local.prepare(false).await.unwrap();
    let names = "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'water%'";
    assert_eq!(
        database.rows(names).await,
        ["watertable: prod/people/warehouse"]
    );
}

#[tokio::test]
async fn a_password_that_is_wrong_is_held_and_not_shown() {
    let server = Server::own(&[]).await;
    let database = Database::of(Arc::clone(&server)).await;
    database
        .run("CREATE ROLE app LOGIN PASSWORD 'right horse'")
        .await;
    let rules = "local all postgres trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(server.folder().join("data/pg_hba.conf"), rules).unwrap();
    database.run("SELECT pg_reload_conf()").await;
    let spec = PostgresSink {
        create: Create::Never,
        ..append("people")
    };
    let with = |password: &str| format!("{} password='{password}'", database.address_of("app"));
    testkit::eventually("the rules are read", async || {
        Sink::connect(&with("hunter2"), &spec, &people(), task())
            .await
            .is_err()
    })
    .await;
    let error = Sink::connect(&with("hunter2"), &spec, &people(), task())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Hold);
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("28P01") && !text.contains("hunter2"),
        "{text}"
    );
    let error = Sink::connect(&database.address_of("app"), &spec, &people(), task())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Hold, "{error}");
    let sink = Sink::connect(&with("right horse"), &spec, &people(), task())
        .await
        .unwrap();
    assert!(!format!("{sink:?}").contains("horse"));
}
