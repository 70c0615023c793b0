//! What rows and deletes do to a table.

use super::*;

#[tokio::test]
async fn rows_are_inserted_and_then_updated() {
    let database = Database::new().await;
    let (mut sink, next) = ready(&database.address(), &upsert("people", &["id"]), &people()).await;
    assert_eq!(next, 0);
    let written = write(&mut sink, 0, 2, &people_rows(&[(1, "Ada"), (2, "O'Brien")]))
        .await
        .unwrap();
    assert_eq!(
        written,
        Written {
            rows: 2,
            deleted: 0
        }
    );
    write(&mut sink, 2, 5, &people_rows(&[(2, "Bob"), (3, "Cyd")]))
        .await
        .unwrap();
    assert_eq!(
        database.rows("SELECT * FROM people ORDER BY id").await,
        ["1|Ada", "2|Bob", "3|Cyd"]
    );
    let offsets =
        "SELECT cluster_id, task, topic_id, partition, next, epoch FROM watertable.offsets";
    assert_eq!(
        database.rows(offsets).await,
        ["cluster|prod/people/warehouse|07070707-0707-0707-0707-070707070707|0|5|1"]
    );
}

#[tokio::test]
async fn of_a_key_that_comes_twice_the_last_one_counts() {
    let database = Database::new().await;
    let (mut sink, _) = ready(&database.address(), &upsert("people", &["id"]), &people()).await;
    write(
        &mut sink,
        0,
        3,
        &people_rows(&[(1, "first"), (2, "other"), (1, "last")]),
    )
    .await
    .unwrap();
    assert_eq!(
        database.rows("SELECT * FROM people ORDER BY id").await,
        ["1|last", "2|other"]
    );
}

#[tokio::test]
async fn deletes_and_rows_of_a_key_keep_their_order() {
    let database = Database::new().await;
    let (mut sink, _) = ready(&database.address(), &upsert("people", &["id"]), &people()).await;
    database
        .run("ALTER TABLE people ADD visits int DEFAULT 0")
        .await;
    write(
        &mut sink,
        0,
        4,
        &people_rows(&[(1, "a"), (2, "b"), (3, "c"), (4, "d")]),
    )
    .await
    .unwrap();
    database.run("UPDATE people SET visits = 9").await;
    // 1: written and then deleted. 2: deleted and then written, so it is a new row. 3: deleted, written, deleted. 4: written only.
    let rows = people_rows(&[(1, "x"), (2, "y"), (3, "z"), (4, "w")]);
    let deletes = [
        delete(0, &["2"]),
        delete(1, &["1"]),
        delete(2, &["3"]),
        delete(3, &["3"]),
    ];
    let written = write_all(&mut sink, 4, 12, &rows, &deletes).await.unwrap();
    assert_eq!(
        written,
        Written {
            rows: 2,
            deleted: 3
        }
    );
    assert_eq!(
        database.rows("SELECT * FROM people ORDER BY id").await,
        ["2|y|0", "4|w|9"]
    );
}

#[tokio::test]
async fn a_batch_of_deletes_alone_and_one_of_nothing() {
    let database = Database::new().await;
    let (mut sink, _) = ready(&database.address(), &upsert("people", &["id"]), &people()).await;
    write(&mut sink, 0, 2, &people_rows(&[(1, "a"), (2, "b")]))
        .await
        .unwrap();
    let deletes = [delete(0, &["1"]), delete(0, &["77"])];
    let written = write_all(&mut sink, 2, 4, &people_rows(&[]), &deletes)
        .await
        .unwrap();
    assert_eq!(
        written,
        Written {
            rows: 0,
            deleted: 1
        }
    );
    // Records that gave no rows move the offset all the same.
    write(&mut sink, 4, 9, &people_rows(&[])).await.unwrap();
    assert_eq!(database.rows("SELECT id FROM people").await, ["2"]);
    assert_eq!(
        database.rows("SELECT next FROM watertable.offsets").await,
        ["9"]
    );
}

#[tokio::test]
async fn a_key_may_have_several_columns_and_be_all_there_is() {
    let database = Database::new().await;
    let columns = vec![
        Column::new("region", DataType::Text),
        Column::new("day", DataType::Date),
    ];
    let (mut sink, _) = ready(
        &database.address(),
        &upsert("sales", &["day", "region"]),
        &columns,
    )
    .await;
    let regions: StringArray = ["EU", "US", "EU"].into_iter().map(Some).collect();
    let days: arrow::array::Date32Array = [Some(0), Some(0), Some(0)].into_iter().collect();
    let rows = batch_of(vec![("region", Arc::new(regions)), ("day", Arc::new(days))]);
    write(&mut sink, 0, 3, &rows).await.unwrap();
    write(&mut sink, 3, 6, &rows).await.unwrap();
    assert_eq!(
        database.rows("SELECT * FROM sales ORDER BY 1").await,
        ["EU|1970-01-01", "US|1970-01-01"]
    );
    let deletes = [delete(0, &["1970-01-01", "EU"])];
    write_all(&mut sink, 6, 7, &rows.slice(0, 0), &deletes)
        .await
        .unwrap();
    assert_eq!(database.rows("SELECT region FROM sales").await, ["US"]);
}

#[tokio::test]
async fn appended_rows_stay_in_their_order() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE log (seq serial, name text, id bigint)")
        .await;
    let (mut sink, _) = ready(&database.address(), &append("log"), &people()).await;
    write(
        &mut sink,
        0,
        3,
        &people_rows(&[(2, "a"), (1, "b"), (2, "a")]),
    )
    .await
    .unwrap();
    assert_eq!(
        database.rows("SELECT * FROM log ORDER BY seq").await,
        ["1|a|2", "2|b|1", "3|a|2"]
    );
    let error = write_all(&mut sink, 3, 4, &people_rows(&[]), &[delete(0, &["1"])])
        .await
        .unwrap_err();
    assert!(matches!(error, SinkError::Batch(_)), "{error}");
}

#[tokio::test]
async fn names_are_what_they_are() {
    let database = Database::new().await;
    database.run("CREATE SCHEMA \"O'Neill; DROP\"").await;
    let name = "a \"quoted\" näme; --";
    let columns = vec![
        Column::new(name, DataType::BigInt),
        Column::new("O'Brien", DataType::Text),
        Column::new("Select", DataType::Text),
    ];
    let (mut sink, _) = ready(
        &database.address(),
        &upsert("O'Neill; DROP.Tab 'le' ☃", &[name]),
        &columns,
    )
    .await;
    let ids: Int64Array = [Some(1), Some(2)].into_iter().collect();
    let names: StringArray = [Some("'; DROP TABLE x; --"), Some("\\")]
        .into_iter()
        .collect();
    let rows = batch_of(vec![
        (name, Arc::new(ids)),
        ("O'Brien", Arc::new(names.clone())),
        ("Select", Arc::new(names)),
    ]);
    write_all(&mut sink, 0, 3, &rows, &[delete(2, &["2"])])
        .await
        .unwrap();
    let found = database
        .rows("SELECT * FROM \"O'Neill; DROP\".\"Tab 'le' ☃\"")
        .await;
    assert_eq!(found, ["1|'; DROP TABLE x; --|'; DROP TABLE x; --"]);
}

#[tokio::test]
async fn a_large_batch_goes_through_in_pieces() {
    let database = Database::new().await;
    let (mut sink, _) = ready(&database.address(), &upsert("people", &["id"]), &people()).await;
    let long = "x".repeat(3000);
    let rows: Vec<_> = (0..5000).map(|id| (id, long.as_str())).collect();
    write(&mut sink, 0, 5000, &people_rows(&rows))
        .await
        .unwrap();
    assert_eq!(
        database
            .rows("SELECT count(*), sum(length(name)) FROM people")
            .await,
        ["5000|15000000"]
    );
}

#[tokio::test]
async fn writers_of_the_same_keys_wait_for_each_other_in_one_order() {
    let database = Database::new().await;
    let (sink, _) = ready(&database.address(), &upsert("people", &["id"]), &people()).await;
    drop(sink);
    let forth: Vec<_> = (0..200).map(|id| (id, "forth")).collect();
    let back: Vec<_> = (0..200).rev().map(|id| (id, "back")).collect();
    let writers = [(1, forth), (2, back)].map(|(number, rows)| {
        let address = database.address();
        crate::support::spawn(async move {
            let mut sink = Sink::connect(&address, &upsert("people", &["id"]), &people(), task())
                .await
                .unwrap();
            sink.claim(&BTreeMap::from([(partition(number), 0)]), &BTreeSet::new())
                .await
                .unwrap();
            let rows = people_rows(&rows);
            let keys: Vec<_> = (0..200)
                .map(|id: usize| delete(id, &[&(199 - id).to_string()]))
                .collect();
            for at in 0..30 {
                let deletes = if at % 2 == 0 { &keys[..] } else { &[] };
                let batch = Batch {
                    rows: &rows,
                    deletes,
                    left_out: &BTreeSet::new(),
                };
                sink.write(partition(number), at, at + 1, &batch)
                    .await
                    .unwrap();
            }
        })
    });
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn at_least_once_keeps_nothing_in_the_database() {
    let database = Database::new().await;
    let spec = PostgresSink {
        delivery: Delivery::AtLeastOnce,
        ..append("log")
    };
    let (mut sink, next) = ready(&database.address(), &spec, &people()).await;
    assert_eq!(next, 0);
    for _again in 0..2 {
        write(&mut sink, 0, 1, &people_rows(&[(1, "a")]))
            .await
            .unwrap();
    }
    assert_eq!(database.rows("SELECT count(*) FROM log").await, ["2"]);
    assert_eq!(
        database.rows("SELECT to_regnamespace('watertable')").await,
        ["NULL"]
    );
}
