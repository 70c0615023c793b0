//! What is made, and what is said of what does not fit.

use connectors::postgres::{Change, ChangeKind, Kind};

use super::*;

async fn sink(database: &Database, spec: &PostgresSink, columns: &[Column]) -> Sink {
    Sink::connect(&database.address(), spec, columns, task())
        .await
        .unwrap()
}

fn problems(error: SinkError) -> Vec<String> {
    assert_eq!(error.kind(), Kind::Hold);
    match error {
        SinkError::Table { problems, .. } => problems,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_is_described_is_what_is_made_and_no_more() {
    let database = Database::new().await;
    let mut sink = sink(&database, &upsert("people", &["id"]), &people()).await;
    let described = sink.describe().await.unwrap();
    let kinds: Vec<_> = described.changes.iter().map(|change| change.kind).collect();
    assert_eq!(
        kinds,
        [ChangeKind::Schema, ChangeKind::Offsets, ChangeKind::Table]
    );
    assert_eq!(
        described.changes[2].ddl,
        "CREATE TABLE \"people\" (\"id\" bigint NOT NULL, \"name\" text, PRIMARY KEY (\"id\"))"
    );
    assert_eq!(
        database.rows("SELECT to_regclass('people')").await,
        ["NULL"]
    );
    assert_eq!(sink.prepare(false).await.unwrap(), described);
    assert_eq!(sink.describe().await.unwrap().changes, []);
    assert_eq!(sink.prepare(false).await.unwrap().changes, []);
}

#[tokio::test]
async fn many_prepare_at_once() {
    let database = Database::new().await;
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let address = database.address();
            crate::support::spawn(async move {
                let spec = upsert(&format!("t{number}"), &["id"]);
                Sink::connect(&address, &spec, &people(), task())
                    .await
                    .unwrap()
                    .prepare(false)
                    .await
                    .map(drop)
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn columns_are_added_only_when_somebody_agreed() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE people (id bigint PRIMARY KEY); INSERT INTO people VALUES (9)")
        .await;
    let mut all = people();
    all.push(
        Column::new(
            "paid",
            DataType::Decimal {
                precision: 9,
                scale: 2,
            },
        )
        .not_null(),
    );
    let mut sink = sink(&database, &upsert("people", &["id"]), &all).await;
    let described = sink.describe().await.unwrap();
    assert!(described.adds_columns());
    let added: Vec<_> = described
        .changes
        .iter()
        .filter(|change| change.kind == ChangeKind::Column)
        .cloned()
        .collect();
    let ddl = "ALTER TABLE \"public\".\"people\" ADD COLUMN \"paid\" numeric(9,2)".to_owned();
    assert_eq!(
        added[1],
        Change {
            kind: ChangeKind::Column,
            ddl
        }
    );
    let said = problems(sink.prepare(false).await.unwrap_err());
    assert!(said[0].contains("ADD COLUMN \"name\" text"), "{said:?}");
    assert_eq!(
        database.rows("SELECT to_regnamespace('watertable')").await,
        ["NULL"]
    );
    sink.prepare(true).await.unwrap();
    assert_eq!(database.rows("SELECT * FROM people").await, ["9|NULL|NULL"]);
}

#[tokio::test]
async fn everything_that_does_not_fit_is_said_at_once() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE people (id bigint, name date, age int, paid numeric(5,1), made timestamptz GENERATED ALWAYS AS IDENTITY, must text NOT NULL, UNIQUE (id, age))".replace("made timestamptz", "made bigint").as_str())
        .await;
    let columns = vec![
        Column::new("id", DataType::BigInt),
        Column::new("name", DataType::BigInt),
        Column::new("age", DataType::Double),
        Column::new(
            "paid",
            DataType::Decimal {
                precision: 5,
                scale: 2,
            },
        ),
        Column::new("made", DataType::BigInt),
        Column::new("gone", DataType::Text),
    ];
    let spec = PostgresSink {
        create: Create::Never,
        ..upsert("people", &["id"])
    };
    let sink = sink(&database, &spec, &columns).await;
    let said = problems(sink.describe().await.unwrap_err());
    for (said, expected) in said.iter().zip([
        "its column name is date, and the pipeline writes bigint",
        "its column age is integer, and the pipeline writes double",
        "which would be rounded",
        "its column made is generated always",
        "it has no column gone",
        "its column must is NOT NULL",
        "needs a primary key or unique index on exactly (\"id\") that is not deferrable and of all rows, and it has (id, age)",
    ]) {
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(said.len(), 7, "{said:?}");
}

#[tokio::test]
async fn a_key_needs_an_index_that_upserts_can_use() {
    let database = Database::new().await;
    database
        .run(
            "CREATE TABLE plain (id bigint, name text); CREATE INDEX ON plain (id);
             CREATE TABLE part (id bigint, name text); CREATE UNIQUE INDEX ON part (id) WHERE name IS NULL;
             CREATE TABLE late (id bigint UNIQUE DEFERRABLE, name text);
             CREATE TABLE expression (id bigint, name text); CREATE UNIQUE INDEX ON expression ((id + 1));
             CREATE TABLE fine (id bigint, name text); CREATE UNIQUE INDEX ON fine (id) INCLUDE (name)",
        )
        .await;
    for table in ["plain", "part", "late", "expression"] {
        let sink = sink(&database, &upsert(table, &["id"]), &people()).await;
        let said = problems(sink.describe().await.unwrap_err());
        assert!(said[0].contains("CREATE UNIQUE INDEX"), "{table}: {said:?}");
    }
    let (mut fine, _) = ready(&database.address(), &upsert("fine", &["id"]), &people()).await;
    write(&mut fine, 0, 1, &people_rows(&[(1, "a")]))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_table_that_is_not_there_is_said_with_create_never() {
    let database = Database::new().await;
    let spec = PostgresSink {
        create: Create::Never,
        ..upsert("people", &["id"])
    };
    let said = problems(
        sink(&database, &spec, &people())
            .await
            .describe()
            .await
            .unwrap_err(),
    );
    assert!(said[0].contains("create: if_missing"), "{said:?}");
    let long = "x".repeat(64);
    let columns = vec![
        people()[0].clone(),
        Column::new(long.as_str(), DataType::Text),
    ];
    let said = problems(
        sink(&database, &upsert("other", &["id"]), &columns)
            .await
            .describe()
            .await
            .unwrap_err(),
    );
    assert!(said[0].contains("longer than 63 bytes"), "{said:?}");
    database
        .run("CREATE SCHEMA watertable; CREATE TABLE watertable.offsets (next bigint)")
        .await;
    let error = sink(&database, &upsert("people", &["id"]), &people())
        .await
        .describe()
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("watertable.offsets does not fit"),
        "{error}"
    );
}

/// What the errors say to run is enough, step by step.
#[tokio::test]
async fn missing_rights_come_with_what_to_run() {
    let database = Database::new().await;
    database
        .run("REVOKE ALL ON SCHEMA public FROM public")
        .await;
    let revoke = format!(
        "REVOKE TEMPORARY ON DATABASE {} FROM public",
        database.name()
    );
    database.run(&revoke).await;
    let role = role(&database).await;
    let mut sink = Sink::connect(
        &database.address_of(&role),
        &upsert("public.people", &["id"]),
        &people(),
        task(),
    )
    .await
    .unwrap();
    let mut steps = 0;
    loop {
        match sink.prepare(false).await {
            Ok(_changes) => break,
            Err(SinkError::Rights { ddl, failure }) => {
                assert_eq!(
                    SinkError::Rights {
                        ddl: ddl.clone(),
                        failure
                    }
                    .kind(),
                    Kind::Hold
                );
                steps += 1;
                assert!(steps < 8, "{ddl:?}");
                database.run(&ddl.join("\n")).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    // Once for what is made in the database, and once for what is made in the schema.
    assert!(steps > 1 && steps < 6, "{steps}");
    claim(&mut sink).await.unwrap();
    write(&mut sink, 0, 1, &people_rows(&[(1, "a")]))
        .await
        .unwrap();
}

#[tokio::test]
async fn every_right_that_was_taken_away_is_named_at_once() {
    for drops_offsets in [false, true] {
        let database = Database::new().await;
        let (admin, _) = ready(
            &database.address(),
            &upsert("public.people", &["id"]),
            &people(),
        )
        .await;
        drop(admin);
        let role = role(&database).await;
        database
            .run(&format!(
                "REVOKE ALL ON SCHEMA public FROM public; REVOKE TEMPORARY ON DATABASE {} FROM public",
                database.name()
            ))
            .await;
        if drops_offsets {
            database.run("DROP TABLE watertable.offsets").await;
        }
        let spec = upsert("public.people", &["id"]);
        let mut sink = Sink::connect(&database.address_of(&role), &spec, &people(), task())
            .await
            .unwrap();
        let described = sink.describe().await.unwrap_err();
        let error = sink.prepare(false).await.unwrap_err();
        assert_eq!(described.to_string(), error.to_string());
        let SinkError::Rights { ddl, .. } = error else {
            panic!("{error}")
        };
        let grants: Vec<_> = ddl
            .iter()
            .filter(|line| line.starts_with("GRANT"))
            .map(|line| line.replace(&role, "ROLE").replace(database.name(), "DB"))
            .collect();
        assert_eq!(
            grants,
            [
                "GRANT TEMPORARY ON DATABASE DB TO ROLE;",
                "GRANT USAGE ON SCHEMA \"watertable\" TO ROLE;",
                "GRANT SELECT, INSERT, UPDATE ON \"watertable\".\"offsets\" TO ROLE;",
                "GRANT USAGE ON SCHEMA \"public\" TO ROLE;",
                "GRANT SELECT, INSERT, UPDATE, DELETE ON \"public\".\"people\" TO ROLE;",
            ]
        );
        database.run(&ddl.join("\n")).await;
        sink.prepare(false).await.unwrap();
        claim(&mut sink).await.unwrap();
        write(&mut sink, 0, 1, &people_rows(&[(1, "a")]))
            .await
            .unwrap();
    }
}
