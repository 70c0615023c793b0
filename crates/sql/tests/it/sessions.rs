//! Sessions beside each other, and engines that come and go.

use crate::world::*;

#[test]
fn what_a_session_sets_is_seen_by_no_other() {
    let world = World::new();
    world.simple_topic("t", 1);
    world.append("t", 0, transactional(1, 0, &["open"]));
    let engine = world.engine();
    let (one, other) = (Session::of(engine.clone()), Session::of(engine));
    assert_ne!(one.context.session_id(), other.context.session_id());
    one.ask("SET watertable.isolation = 'read_uncommitted'");
    assert_eq!(one.ask("SELECT count(*) FROM t"), ["1"]);
    assert_eq!(other.ask("SELECT count(*) FROM t"), ["0"]);
}

#[test]
fn a_topic_is_there_from_the_moment_it_is_made_until_it_is_deleted() {
    let world = World::new();
    let session = world.session();
    session.refusal("SELECT * FROM t");
    world.simple_topic("t", 1);
    assert_eq!(session.ask("SELECT count(*) FROM t"), ["0"]);
    world.remove("t");
    session.refusal("SELECT * FROM t");
}

#[test]
fn a_hundred_sessions_at_once_are_answered() {
    let world = World::new();
    world.simple_topic("t", 3);
    for partition in 0..3 {
        let records: Vec<_> = (0..500)
            .map(|number| written(NOW_MS, &format!("k{}", number % 10), &number.to_string()))
            .collect();
        world.append("t", partition, batch(&records));
    }
    let engine = world.engine();
    let sessions: Vec<_> = (0..100).map(|_| Session::of(engine.clone())).collect();
    let work = async move {
        let asked = sessions.into_iter().map(|session| async move {
            let sql =
                "SELECT count(*) FROM t a JOIN t b ON a._key = b._key AND a._offset = b._offset";
            let plan = session.engine.plan(&session.context, sql).await.unwrap();
            let frame = session.context.execute_logical_plan(plan).await.unwrap();
            rows_of(&frame.collect().await.unwrap())
        });
        futures_util::future::join_all(asked).await
    };
    let answers = Session::of(engine).block_on(work);
    assert_eq!(answers.len(), 100);
    for answer in answers {
        assert_eq!(answer, [["4500"]]);
    }
}

#[test]
fn a_plan_made_elsewhere_may_not_write_either() {
    let world = World::new();
    world.simple_topic("t", 1);
    let session = world.session();
    let context = session.context.clone();
    let outcome = session.block_on(async move {
        let delete = context.sql("DELETE FROM t").await?;
        delete.collect().await
    });
    assert!(
        outcome
            .unwrap_err()
            .to_string()
            .contains("records are only appended to a log")
    );
    let context = session.context.clone();
    let outcome = session.block_on(async move {
        context
            .sql("CREATE VIEW v AS SELECT 1")
            .await?
            .collect()
            .await
    });
    assert!(
        outcome
            .unwrap_err()
            .to_string()
            .contains("does not support registering tables")
    );
    let context = session.context.clone();
    let outcome = session.block_on(async move {
        context
            .sql("CREATE EXTERNAL TABLE p STORED AS CSV LOCATION '/etc/passwd'")
            .await?
            .collect()
            .await
    });
    assert!(outcome.is_err());
}

#[test]
fn an_engine_can_be_dropped_inside_of_a_runtime() {
    let world = World::new();
    world.simple_topic("t", 1);
    let engine = world.engine();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async move { drop(engine) });
}
