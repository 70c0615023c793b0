//! Two owners of a partition.

use super::*;

#[tokio::test]
async fn the_new_owner_goes_on_where_the_table_is_and_the_old_one_is_fenced() {
    let database = Database::new().await;
    let (mut old, _) = ready(&database.address(), &upsert("people", &["id"]), &people()).await;
    write(&mut old, 0, 3, &people_rows(&[(1, "old")]))
        .await
        .unwrap();
    let (mut new, next) = ready(&database.address(), &upsert("people", &["id"]), &people()).await;
    assert_eq!(next, 3);
    let error = write(&mut old, 3, 4, &people_rows(&[(1, "too late")]))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            SinkError::Fenced {
                ours: 1,
                found: 2,
                ..
            }
        ),
        "{error}"
    );
    write(&mut new, 3, 4, &people_rows(&[(2, "new")]))
        .await
        .unwrap();
    assert_eq!(
        database.rows("SELECT * FROM people ORDER BY id").await,
        ["1|old", "2|new"]
    );
    // Who was fenced may claim again, and then the other one is.
    assert_eq!(claim(&mut old).await.unwrap(), 4);
    let error = write(&mut new, 4, 5, &people_rows(&[(1, "too late")]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), connectors::postgres::Kind::Fenced);
}

#[tokio::test]
async fn partitions_tasks_and_topics_are_apart() {
    let database = Database::new().await;
    let (mut sink, _) = ready(&database.address(), &upsert("people", &["id"]), &people()).await;
    write(&mut sink, 0, 3, &people_rows(&[(1, "a")]))
        .await
        .unwrap();
    let again = SinkPartition {
        topic_id: types::TopicId::new([8; 16]).unwrap(),
        partition: 0,
    };
    let claimed = sink
        .claim(
            &BTreeMap::from([(partition(1), 70), (again, 5)]),
            &BTreeSet::new(),
        )
        .await
        .unwrap();
    assert_eq!(claimed, BTreeMap::from([(partition(1), 70), (again, 5)]));
    let other = TaskName {
        task: "dev/people/warehouse".to_owned(),
        ..task()
    };
    let mut other = Sink::connect(
        &database.address(),
        &upsert("people", &["id"]),
        &people(),
        other,
    )
    .await
    .unwrap();
    assert_eq!(claim(&mut other).await.unwrap(), 0);
    // Nothing of it concerns the first one.
    write(&mut sink, 3, 4, &people_rows(&[(1, "b")]))
        .await
        .unwrap();
    assert_eq!(
        database
            .rows("SELECT count(*) FROM watertable.offsets")
            .await,
        ["4"]
    );
}

#[tokio::test]
async fn a_batch_that_begins_elsewhere_is_told_where_the_table_is() {
    let database = Database::new().await;
    let (mut sink, _) = ready(&database.address(), &append("people"), &people()).await;
    write(&mut sink, 0, 3, &people_rows(&[(1, "a")]))
        .await
        .unwrap();
    for (from, to) in [(0, 2), (5, 9)] {
        let error = write(&mut sink, from, to, &people_rows(&[(2, "b")]))
            .await
            .unwrap_err();
        assert!(
            matches!(error, SinkError::Moved { found: 3, .. }),
            "{error}"
        );
    }
    // The same batch again was lost on the way back.
    assert_eq!(
        write(&mut sink, 0, 3, &people_rows(&[(1, "a")]))
            .await
            .unwrap(),
        Written::default()
    );
    assert_eq!(database.rows("SELECT count(*) FROM people").await, ["1"]);
    database.run("DELETE FROM watertable.offsets").await;
    let error = write(&mut sink, 3, 4, &people_rows(&[(2, "b")]))
        .await
        .unwrap_err();
    assert!(matches!(error, SinkError::NoOffsets { .. }), "{error}");
    assert_eq!(database.rows("SELECT count(*) FROM people").await, ["1"]);
}

#[tokio::test]
async fn a_partition_that_was_written_and_whose_row_is_gone_is_not_claimed_from_its_beginning() {
    let database = Database::new().await;
    let (mut sink, _) = ready(&database.address(), &append("people"), &people()).await;
    write(&mut sink, 0, 3, &people_rows(&[(1, "a")]))
        .await
        .unwrap();
    let written = BTreeSet::from([partition(0)]);
    let first = BTreeMap::from([(partition(0), 0), (partition(1), 0)]);
    // As long as the row is there, it says where to go on; a partition that is new has none.
    let claimed = sink.claim(&first, &written).await.unwrap();
    assert_eq!(
        claimed,
        BTreeMap::from([(partition(0), 3), (partition(1), 0)])
    );
    database
        .run("DELETE FROM watertable.offsets WHERE partition = 0")
        .await;
    let mut error = String::new();
    for _again in 0..2 {
        let refused = sink.claim(&first, &written).await.unwrap_err();
        assert_eq!(
            refused.kind(),
            connectors::postgres::Kind::Hold,
            "{refused}"
        );
        assert!(matches!(refused, SinkError::NoOffsets { .. }), "{refused}");
        error = refused.to_string();
    }
    // What it says to run puts the row back.
    let (_, row) = error.split_once("for NEXT: ").unwrap();
    let (row, _) = row.split_once("; ").unwrap();
    database.run(&row.replace("NEXT", "3")).await;
    let claimed = sink.claim(&first, &written).await.unwrap();
    assert_eq!(
        claimed,
        BTreeMap::from([(partition(0), 3), (partition(1), 0)])
    );
    assert_eq!(database.rows("SELECT count(*) FROM people").await, ["1"]);
}

#[tokio::test]
async fn an_unclaimed_or_released_partition_is_not_written() {
    let database = Database::new().await;
    let (mut sink, _) = ready(&database.address(), &append("people"), &people()).await;
    sink.release([partition(0)]);
    let error = write(&mut sink, 0, 1, &people_rows(&[(1, "a")]))
        .await
        .unwrap_err();
    assert!(matches!(error, SinkError::Batch(_)), "{error}");
}

/// Each owner claims, writes a few batches as fast as it can, and claims again, without a word to the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_owners_on_purpose_write_every_row_once() {
    const ROWS: i64 = 400;
    let database = Database::new().await;
    let spec = append("people");
    let (sink, _) = ready(&database.address(), &spec, &people()).await;
    drop(sink);
    let owners: Vec<_> = (0..2_i64)
        .map(|owner| {
            let (address, spec) = (database.address(), spec.clone());
            crate::support::spawn(async move {
                let mut sink = Sink::connect(&address, &spec, &people(), task())
                    .await
                    .unwrap();
                let mut fenced = 0;
                loop {
                    let mut next = claim(&mut sink).await.unwrap();
                    loop {
                        if next >= ROWS {
                            return fenced;
                        }
                        let to = (next + 2 + owner).min(ROWS);
                        let rows: Vec<_> = (next..to).map(|id| (id, "x")).collect();
                        match write(&mut sink, next, to, &people_rows(&rows)).await {
                            Ok(_written) => next = to,
                            Err(SinkError::Fenced { .. }) => break,
                            Err(error) => panic!("{error}"),
                        }
                    }
                    fenced += 1;
                }
            })
        })
        .collect();
    let mut fenced = 0;
    for owner in owners {
        fenced += owner.await.unwrap();
    }
    let found = database
        .rows("SELECT count(*), count(DISTINCT id), min(id), max(id) FROM people")
        .await;
    assert_eq!(found, [format!("{ROWS}|{ROWS}|0|{}", ROWS - 1)]);
    assert!(fenced > 0, "the owners never met");
}
