//! Crashes and losses of power at every step of a cleaning: the log is there whole, before or after, and can be cleaned.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::records::Compression;
use storage::{LocalLog, LogDirectory};

use crate::compaction_model::*;
use crate::crash_disk::CrashDisk;
use crate::support::*;

/// Writes segments with overwritten keys, tombstones, and transactions that were committed, aborted and are open.
fn fill(world: &World, log: &LocalLog, model: &mut Model) {
    for round in 0..3_u8 {
        for key in 0..8 {
            model.write(
                log,
                &world.clock,
                None,
                Compression::None,
                &[(key, Some(20))],
            );
        }
        let codec = Compression::from_id(round % 5).unwrap();
        let records = [(round, Some(5)), (round + 1, None), (9, Some(3))];
        model.write(log, &world.clock, Some((1, true)), codec, &records);
        model.write(log, &world.clock, Some((2, true)), codec, &records[..2]);
        model.end(log, &world.clock, 1, round % 2 == 0);
        model.write(log, &world.clock, Some((2, true)), codec, &records[2..]);
        model.end(log, &world.clock, 2, round % 3 != 0);
        world.clock.advance(10);
    }
    model.write(
        log,
        &world.clock,
        Some((3, true)),
        Compression::None,
        &[(1, Some(1))],
    );
}

fn reopened(world: &World, model: &Model) -> (LogDirectory, Arc<LocalLog>) {
    let directory = world.open();
    let log = log(&directory, compacted(900, 1000));
    assert_eq!(directory.metrics().truncated_bytes.get(), 0);
    assert_eq!(directory.metrics().offline_logs.get(), 0);
    check(&log, model);
    (directory, log)
}

/// A data directory as a process left it that was killed right before its second cleaning.
#[derive(Debug)]
struct Prepared {
    _folder: tempfile::TempDir,
    root: PathBuf,
    model: Model,
    elapsed_ms: u64,
}

fn prepare() -> Prepared {
    let world = quiet(World::new());
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    let mut model = Model::default();
    {
        let (directory, current) = reopened(&world, &model);
        fill(&world, &current, &mut model);
        clean(&world, &directory, &current, &mut model);
        model.end(&current, &world.clock, 3, true);
        fill_more(&world, &current, &mut model);
        let open = [(1, Some(1))];
        model.write(
            &current,
            &world.clock,
            Some((3, true)),
            Compression::None,
            &open,
        );
        directory.checkpoint().unwrap();
    }
    // Tombstones and markers of the first cleaning go in the second.
    world.clock.advance(5000);
    copy(&world.root, &root);
    let elapsed_ms = env::Clock::now(&*world.clock).since_origin().as_millis();
    Prepared {
        _folder: folder,
        root,
        model,
        elapsed_ms: u64::try_from(elapsed_ms).unwrap(),
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Cleans with a disk that dies after `changes` changes. False if it did not get to die.
fn crash_after(prepared: &Prepared, changes: i64, share: usize, without_checkpoint: bool) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let disk = CrashDisk::new(&folder.path().join("kept"));
    let mut world = World::on(Arc::new(disk.clone()));
    world.root = folder.path().join("data");
    world.clock.advance(prepared.elapsed_ms);
    let world = quiet(world);
    copy(&prepared.root, &world.root);
    let mut model = prepared.model.clone();
    let (directory, current) = reopened(&world, &model);
    disk.die_after(changes);
    while directory.clean_once() {}
    let died = disk.is_dead();
    // What readers see does not depend on how far it got.
    check_table(&current, &model);
    drop(current);
    drop(directory);
    disk.revive(share);
    if without_checkpoint {
        std::fs::remove_file(world.root.join("checkpoint")).ok();
    }
    crate::check::is_undamaged(&world);
    let (directory, current) = reopened(&world, &model);
    let left: Vec<_> = world
        .names()
        .into_iter()
        .filter(|name| name.ends_with(".swap") || name.ends_with(".cut"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    // It goes on: producers with their sequences, transactions, cleaning.
    model.end(&current, &world.clock, 3, false);
    let records = [(1, Some(30)), (2, None)];
    model.write(
        &current,
        &world.clock,
        Some((1, true)),
        Compression::Lz4,
        &records,
    );
    model.end(&current, &world.clock, 1, false);
    check(&current, &model);
    let end = upper_bound(&world, &current);
    while directory.clean_once() {}
    check(&current, &model);
    let now = env::Clock::wall(&*world.clock).ms();
    // How far the cleaning that was cut short came decides which tombstones are left; of all else nothing is.
    model.clean(end, now, 1000);
    let values = |all: Vec<Survivor>| -> Vec<Survivor> {
        all.into_iter()
            .filter(|(offset, _, value)| *offset >= end || value.is_some())
            .collect()
    };
    assert_eq!(values(survivors_of(&current)), values(model.survivors()));
    died
}

fn fill_more(world: &World, log: &LocalLog, model: &mut Model) {
    for key in 0..6 {
        let producer = Some((1, true));
        let records = [(key, Some(30)), (key / 2, None)];
        model.write(log, &world.clock, producer, Compression::Lz4, &records);
        model.end(log, &world.clock, 1, key % 4 != 0);
        model.write(
            log,
            &world.clock,
            None,
            Compression::None,
            &[(20, Some(30))],
        );
    }
}

#[allow(clippy::print_stdout, reason = "the count of what was tried")]
fn at_every_step(share: usize, without_checkpoint: bool) {
    let prepared = prepare();
    let mut changes = 0;
    while crash_after(&prepared, changes, share, without_checkpoint) {
        changes += 1;
    }
    assert!(changes > 20, "a cleaning has more steps than {changes}");
    println!("compaction: {changes} places to crash at, {share} % of the unsynced names kept");
}

/// Cleaned logs for Kafka's own reader: `CLEANED_LOGS=/tmp/cleaned cargo test -p storage --test log -- --ignored cleaned_logs`,
/// then `cargo xtask dump-log /tmp/cleaned`.
#[test]
#[ignore = "writes files that another program reads"]
fn cleaned_logs_are_left_for_kafkas_own_reader() {
    let prepared = prepare();
    let world = quiet(World::new());
    world.clock.advance(prepared.elapsed_ms);
    copy(&prepared.root, &world.root);
    let mut model = prepared.model;
    let (directory, current) = reopened(&world, &model);
    clean(&world, &directory, &current, &mut model);
    directory.close().unwrap();
    let to = std::env::var_os("CLEANED_LOGS").expect("CLEANED_LOGS names a folder");
    copy(&world.root, Path::new(&to));
}

#[test]
fn compaction_survives_a_crash_at_every_step() {
    at_every_step(100, false);
}

#[test]
fn compaction_survives_a_crash_at_every_step_without_a_checkpoint() {
    at_every_step(100, true);
}

#[test]
fn compaction_survives_a_loss_of_power_at_every_step() {
    at_every_step(0, false);
}

#[test]
fn compaction_survives_a_loss_of_power_that_keeps_some_names() {
    at_every_step(50, false);
}
