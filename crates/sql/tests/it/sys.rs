//! What tables of `sys` ask the broker for, and how much memory that takes.

use std::sync::Arc;

use sql::EngineOptions;

use crate::system::MadeUp;
use crate::world::*;

/// Somebody who asks, and who is asked.
fn session_with(
    made_up: MadeUp,
    change: impl FnOnce(&mut EngineOptions),
) -> (Session, Arc<MadeUp>) {
    let engine = World::new().engine_with(change);
    let made_up = Arc::new(made_up);
    engine.add_system(Arc::clone(&made_up) as _, Arc::default());
    (Session::of(engine), made_up)
}

fn session(made_up: MadeUp) -> (Session, Arc<MadeUp>) {
    session_with(made_up, |_| {})
}

fn three_topics() -> MadeUp {
    MadeUp::new(&[("trips", 3), ("ledger", 1), ("__consumer_offsets", 50)])
}

#[test]
fn a_condition_on_names_asks_for_these_alone() {
    let (session, system) = session(three_topics());
    for (sql, rows, asked) in [
        (
            "SELECT high_watermark FROM sys.partitions WHERE topic = 'trips' AND partition = 1",
            1,
            vec!["topics", "partition trips-1"],
        ),
        (
            "SELECT base_offset FROM sys.segments WHERE topic IN ('ledger', 'nothing')",
            2,
            vec!["topics", "segments ledger-0"],
        ),
        (
            "SELECT producer_id FROM sys.producers WHERE topic = 'trips' AND partition IN (0, 2)",
            4,
            vec!["topics", "producers trips-0", "producers trips-2"],
        ),
        (
            "SELECT lag FROM sys.group_offsets WHERE group_id = 'old'",
            3,
            vec!["groups", "offsets of old"],
        ),
        (
            "SELECT members FROM sys.groups WHERE type = 'share'",
            1,
            vec!["groups", "describe workers"],
        ),
        (
            "SELECT state FROM sys.transactions WHERE transactional_id = 'tx-a'",
            1,
            vec!["transactions", "describe tx-a"],
        ),
        (
            "SELECT value FROM sys.settings WHERE resource_type = 'topic' AND resource_name = 'trips'",
            1,
            vec!["resources", "settings Topic(\"trips\")"],
        ),
        (
            "SELECT topic FROM sys.topics WHERE topic = 'a' AND topic = 'b'",
            0,
            vec![],
        ),
    ] {
        assert_eq!(session.ask(sql).len(), rows, "{sql}");
        assert_eq!(system.asked(), asked, "{sql}");
    }
}

#[test]
fn columns_that_nobody_wants_are_not_asked_for() {
    let (session, system) = session(three_topics());
    assert_eq!(session.ask("SELECT count(*) FROM sys.groups"), ["4"]);
    assert_eq!(system.asked(), ["groups"]);
    session.ask("SELECT topic, retention_ms FROM sys.topics");
    assert_eq!(system.asked(), ["topics"]);
    session.ask("SELECT sum(size_bytes) FROM sys.topics WHERE topic = 'trips'");
    let of_trips = [
        "topics",
        "partition trips-0",
        "partition trips-1",
        "partition trips-2",
    ];
    assert_eq!(system.asked(), of_trips);
}

#[test]
fn a_limit_ends_the_asking() {
    let (session, system) = session(MadeUp::new(&[("wide", 10_000)]));
    let rows = session.ask("SELECT partition FROM sys.partitions LIMIT 3");
    assert_eq!(rows, ["0", "1", "2"]);
    assert_eq!(system.asked().len(), 1 + 3);
    assert!(
        session
            .ask("SELECT partition FROM sys.partitions LIMIT 0")
            .is_empty()
    );
    assert!(system.asked().len() <= 1);
}

#[test]
fn conditions_that_name_nothing_leave_nothing_out() {
    let (session, _) = session(three_topics());
    for (condition, count) in [
        ("topic = 'trips' OR partition = 0", 3 + 2),
        ("NOT (topic = 'trips')", 51),
        ("topic LIKE 'tr%' AND partition <> 1", 2),
        ("upper(topic) = 'LEDGER'", 1),
        ("topic = 'trips' AND partition = '1'", 1),
        ("topic IN ('trips', NULL) AND partition BETWEEN 0 AND 1", 2),
        ("topic = NULL", 0),
    ] {
        let sql = format!("SELECT count(*) FROM sys.partitions WHERE {condition}");
        assert_eq!(session.ask(&sql), [count.to_string()], "{condition}");
    }
}

#[test]
fn many_groups_are_asked_for_one_by_one_and_only_as_far_as_needed() {
    let made_up = MadeUp {
        more_groups: 20_000,
        ..three_topics()
    };
    let (session, system) = session(made_up);
    let counted = session.ask("SELECT count(*), sum(members) FROM sys.groups");
    assert_eq!(counted, ["20004|3"]);
    assert_eq!(system.asked().len(), 1 + 20_004);
    assert_eq!(session.ask("SELECT count(*) FROM sys.group_members"), ["3"]);
    assert_eq!(
        session.ask("SELECT count(*) FROM sys.group_offsets"),
        ["60012"]
    );
    system.asked();
    assert_eq!(
        session
            .ask("SELECT lag FROM sys.group_offsets LIMIT 4")
            .len(),
        4
    );
    assert_eq!(system.asked().len(), 1 + 2);
    session.memory_comes_back();
}

#[test]
fn ten_thousand_partitions_fit_into_little_memory() {
    let made_up = MadeUp::new(&[("a", 10_000), ("b", 90_000), ("c", 1)]);
    let (session, _) = session_with(made_up, |options| options.memory_bytes_max = 8 << 20);
    let counted = session.ask(
        "SELECT topic, count(*), sum(log_end_offset) FROM sys.partitions GROUP BY topic ORDER BY 1",
    );
    // The partition 2 of each is offline.
    assert_eq!(
        counted,
        ["a|10000|500049970", "b|90000|40500449970", "c|1|10"]
    );
    assert_eq!(session.ask("SELECT count(*) FROM sys.segments"), ["200002"]);
    session.memory_comes_back();
}

#[test]
fn a_part_that_does_not_fit_is_an_error_that_says_who_held_it() {
    let made_up = MadeUp {
        segments: 1_000_000,
        ..MadeUp::new(&[("long", 1)])
    };
    let (session, _) = session_with(made_up, |options| options.memory_bytes_max = 8 << 20);
    let refusal = session.refusal("SELECT max(base_offset) FROM sys.segments");
    assert!(refusal.contains("SystemScan[sys.segments]"), "{refusal}");
    session.memory_comes_back();
}

#[test]
fn a_coordinator_that_does_not_answer_is_an_error_with_a_hint() {
    let made_up = MadeUp {
        is_loading: true,
        ..three_topics()
    };
    let (session, _) = session(made_up);
    for table in ["groups", "group_members", "group_offsets", "transactions"] {
        let refusal = session.refusal(&format!("SELECT * FROM sys.{table}"));
        assert!(
            refusal.contains("__consumer_offsets is being read HINT: A coordinator that was just"),
            "{refusal}"
        );
    }
    assert_eq!(session.ask("SELECT count(*) FROM sys.topics"), ["3"]);
}

#[test]
fn every_run_sees_what_there_is_then() {
    let (session, system) = session(three_topics());
    let plan = session.plan("SELECT count(*) FROM sys.partitions").unwrap();
    let count = || {
        let (plan, context) = (Arc::clone(&plan), session.context.task_ctx());
        let batches = session
            .block_on(async move { datafusion::physical_plan::collect(plan, context).await })
            .unwrap();
        rows_of(&batches)
    };
    assert_eq!(count(), [["54"]]);
    system.topics.lock().unwrap().pop();
    // A plan that was reset, as the engine does for one that runs again.
    let plan =
        datafusion::physical_plan::execution_plan::reset_plan_states(Arc::clone(&plan)).unwrap();
    let context = session.context.task_ctx();
    let batches = session
        .block_on(async move { datafusion::physical_plan::collect(plan, context).await })
        .unwrap();
    assert_eq!(rows_of(&batches), [["4"]]);
}

#[test]
fn nothing_is_written_to_sys() {
    let (session, _) = session(three_topics());
    let refusal = session.refusal("INSERT INTO sys.topics (topic) VALUES ('a')");
    assert!(refusal.contains("INSERT"), "{refusal}");
    let refusal = session.refusal("SELECT * FROM sys.nothing");
    assert!(refusal.contains("nothing"), "{refusal}");
}
