//! Topics that move while they are read: more records, fewer records, no topic.

use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::execute_stream;
use futures_util::StreamExt;
use storage::LogSettings;

use crate::world::*;

/// `count` batches of one record of 100 KiB, each in a segment of its own.
fn large_batches(world: &World, count: i64) {
    let settings = LogSettings {
        segment_bytes: 150 << 10,
        file_delete_delay_ms: 0,
        ..LogSettings::default()
    };
    world.topic("t", 1, &settings);
    for number in 0..count {
        let value = format!("{number} {}", "x".repeat(100 << 10));
        world.append("t", 0, batch(&[written(NOW_MS, "k", &value)]));
    }
}

/// A stream of rows that are read one by one.
fn begin(session: &Session, sql: &str) -> SendableRecordBatchStream {
    let plan = session.plan(sql).unwrap();
    let _runtime = session.engine.handle().enter();
    execute_stream(plan, session.context.task_ctx()).unwrap()
}

/// The rest of a stream: offsets, or what is wrong.
fn rest(session: &Session, mut stream: SendableRecordBatchStream) -> Result<Vec<String>, String> {
    session.block_on(async move {
        let mut rows = Vec::new();
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|error| error.to_string())?;
            rows.extend(rows_of(&[batch]).into_iter().map(|row| row.join("|")));
        }
        Ok(rows)
    })
}

fn one_row_at_a_time(world: &Arc<World>) -> Session {
    Session::of(world.engine_with(|options| {
        options.batch_rows = 1.try_into().unwrap();
        // With more, the rows of one stream are spread over several and come in another order.
        options.threads = 1.try_into().unwrap();
    }))
}

#[test]
fn what_is_appended_after_the_start_is_not_seen() {
    let world = World::new();
    world.simple_topic("t", 1);
    let add = || world.append("t", 0, batch(&[written(NOW_MS, "k", "v")]));
    add();
    let session = world.session();
    let stream = begin(&session, "SELECT _offset FROM t");
    add();
    assert_eq!(rest(&session, stream).unwrap(), ["0"]);
    assert_eq!(session.ask("SELECT count(*) FROM t"), ["2"]);
}

#[test]
fn a_statement_sees_the_same_of_a_topic_wherever_it_names_it() {
    let world = World::new();
    world.simple_topic("t", 1);
    world.append("t", 0, batch(&[written(NOW_MS, "k", "v")]));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                world.append("t", 0, batch(&[written(NOW_MS, "k", "v")]));
            }
        });
        let session = world.session();
        for _ in 0..50 {
            let counts =
                session.ask("SELECT (SELECT count(*) FROM t) = (SELECT count(_value) FROM t a)");
            assert_eq!(counts, ["true"]);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_prepared_statement_sees_what_there_is_when_it_runs() {
    let world = World::new();
    world.simple_topic("t", 1);
    let session = world.session();
    session.ask("PREPARE counting AS SELECT count(*) FROM t WHERE _offset >= 0");
    assert_eq!(session.ask("EXECUTE counting"), ["0"]);
    world.append("t", 0, batch(&[written(NOW_MS, "k", "v")]));
    assert_eq!(session.ask("EXECUTE counting"), ["1"]);
}

#[test]
fn records_that_are_removed_meanwhile_are_passed_over_and_counted() {
    let world = World::new();
    large_batches(&world, 40);
    let session = one_row_at_a_time(&world);
    let plan = session
        .plan("SELECT _offset, length(_value) FROM t")
        .unwrap();
    let runtime = session.engine.handle().enter();
    let stream = execute_stream(Arc::clone(&plan), session.context.task_ctx()).unwrap();
    drop(runtime);
    let (first, stream) = session.block_on(async move {
        let mut stream = stream;
        let first = stream.next().await.unwrap().unwrap();
        (first, stream)
    });
    assert_eq!(rows_of(&[first])[0][0], "0");
    world.delete_records("t", 0, 30);
    let rest = rest(&session, stream).unwrap();
    // What was read before is shown, what is left too, and nothing twice.
    let offsets: Vec<i64> = rest
        .iter()
        .map(|row| row.split('|').next().unwrap().parse().unwrap())
        .collect();
    assert!(
        offsets.windows(2).all(|pair| pair[0] < pair[1]),
        "{offsets:?}"
    );
    assert!(offsets.len() < 39, "{offsets:?}");
    assert_eq!(offsets[offsets.len() - 10..], (30..40).collect::<Vec<_>>());
    let mut removed = 0;
    let mut at = plan;
    loop {
        if let Some(metrics) = at.metrics()
            && let Some(count) = metrics.sum_by_name("offsets_removed")
        {
            removed += count.as_usize();
        }
        let Some(child) = at.children().first().map(|child| Arc::clone(child)) else {
            break;
        };
        at = child;
    }
    assert_eq!(removed, 39 - offsets.len());
}

#[test]
fn all_records_removed_is_the_end() {
    let world = World::new();
    large_batches(&world, 20);
    let session = one_row_at_a_time(&world);
    let stream = begin(&session, "SELECT _offset, _value FROM t");
    world.delete_records("t", 0, 20);
    assert_eq!(rest(&session, stream).unwrap(), Vec::<String>::new());
}

#[test]
fn a_topic_that_is_deleted_meanwhile_is_a_clear_error() {
    let world = World::new();
    large_batches(&world, 20);
    let session = one_row_at_a_time(&world);
    let stream = begin(&session, "SELECT _offset, length(_value) FROM t");
    world.remove("t");
    let error = rest(&session, stream).unwrap_err();
    assert!(
        error.contains("topic \"t\", partition 0, offset 0: the partition was deleted"),
        "{error}"
    );
    assert!(
        session
            .refusal("SELECT 1 FROM t")
            .contains("there is no topic \"t\"")
    );
}

#[test]
fn a_stream_that_is_dropped_gives_back_what_it_holds() {
    let world = World::new();
    large_batches(&world, 40);
    let session = one_row_at_a_time(&world);
    let mut stream = begin(&session, "SELECT _value FROM t");
    session.block_on(async move {
        stream.next().await.unwrap().unwrap();
        drop(stream);
    });
    session.memory_comes_back();
}
