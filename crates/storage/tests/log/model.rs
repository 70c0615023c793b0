//! Random histories against a list of records: appends, reads, deletions, settings, checkpoints, stops of every kind.

use proptest::prelude::*;
use storage::{LogSettings, PartitionLog, ReadError};

use crate::support::*;

#[derive(Clone, Debug)]
enum Step {
    Append { records: usize, bytes: usize },
    Read { from: usize, max_bytes: usize },
    Delete { before: usize },
    SegmentBytes(u32),
    Retain { bytes: u64 },
    Checkpoint,
    Close,
    Crash,
    CrashWithoutCheckpoint,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..6_usize, 0..300_usize).prop_map(|(records, bytes)| Step::Append { records, bytes }),
        6 => (0..200_usize, 0..3000_usize).prop_map(|(from, max_bytes)| Step::Read { from, max_bytes }),
        1 => (0..100_usize).prop_map(|before| Step::Delete { before }),
        1 => (2000..6000_u32).prop_map(Step::SegmentBytes),
        1 => (1000..8000_u64).prop_map(|bytes| Step::Retain { bytes }),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Close),
        1 => Just(Step::Crash),
        1 => Just(Step::CrashWithoutCheckpoint),
    ]
}

/// What the log should hold: the values of all records ever appended, and where it begins.
#[derive(Debug, Default)]
struct Model {
    values: Vec<String>,
    start: usize,
}

fn check_read(log: &storage::LocalLog, model: &Model, from: usize, max_bytes: usize) {
    let from_offset = i64::try_from(from).unwrap();
    match read(log, from_offset, max_bytes) {
        Ok(records) => {
            assert!(from >= model.start && from <= model.values.len());
            if from == model.values.len() {
                assert_eq!(records, []);
                return;
            }
            let first = usize::try_from(records[0].offset).unwrap();
            assert!(
                first <= from,
                "the batch that contains the offset comes first"
            );
            assert!(records.last().unwrap().offset >= from_offset);
            for (index, record) in records.iter().enumerate() {
                assert_eq!(record.offset, i64::try_from(first + index).unwrap());
                assert_eq!(record.value, model.values[first + index]);
            }
        }
        Err(ReadError::OffsetOutOfRange { .. }) => {
            assert!(from < model.start || from > model.values.len());
        }
        Err(other) => panic!("{other}"),
    }
}

fn run(steps: &[Step], preallocate: bool) {
    let world = World::new();
    let mut settings = LogSettings {
        retention_ms: None,
        preallocate,
        ..small_segments(2000)
    };
    let mut directory = world.open();
    let mut current = log(&directory, settings.clone());
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append { records, bytes } => {
                let new: Vec<_> = (0..*records)
                    .map(|number| format!("{}-{}", model.values.len() + number, "x".repeat(*bytes)))
                    .collect();
                let values: Vec<_> = new.iter().map(String::as_str).collect();
                let base = write(&current, batch(&values));
                assert_eq!(base, i64::try_from(model.values.len()).unwrap());
                model.values.extend(new);
            }
            Step::Read { from, max_bytes } => check_read(&current, &model, *from, *max_bytes),
            Step::Delete { before } => {
                let before = *before.min(&model.values.len());
                let offset = at(i64::try_from(before).unwrap());
                let start = current.delete_records(Some(offset)).unwrap();
                model.start = model.start.max(before);
                assert_eq!(start.value(), i64::try_from(model.start).unwrap());
            }
            Step::SegmentBytes(bytes) => {
                settings.segment_bytes = *bytes;
                current.configure(settings.clone());
            }
            Step::Retain { bytes } => {
                let retaining = LogSettings {
                    retention_bytes: Some(*bytes),
                    ..settings.clone()
                };
                current.configure(retaining);
                directory.run_retention(types::Timestamp::from_ms(NOW_MS));
                current.configure(settings.clone());
                let start = usize::try_from(current.offsets().log_start.value()).unwrap();
                assert!(start >= model.start && start <= model.values.len());
                model.start = start;
            }
            Step::Checkpoint => directory.checkpoint().unwrap(),
            Step::Close | Step::Crash | Step::CrashWithoutCheckpoint => {
                if matches!(step, Step::Close) {
                    directory.close().unwrap();
                }
                drop(current);
                drop(directory);
                if matches!(step, Step::CrashWithoutCheckpoint) {
                    std::fs::remove_file(world.root.join("checkpoint")).ok();
                }
                directory = world.open();
                current = log(&directory, settings.clone());
                assert_eq!(directory.metrics().truncated_bytes.get(), 0);
            }
        }
        let offsets = current.offsets();
        assert_eq!(
            offsets.log_start.value(),
            i64::try_from(model.start).unwrap()
        );
        assert_eq!(
            offsets.log_end.value(),
            i64::try_from(model.values.len()).unwrap()
        );
        assert_eq!(offsets.high_watermark, offsets.log_end);
    }
    for from in model.start..=model.values.len() {
        check_read(&current, &model, from, 500);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_behaves_as_a_list_of_records(
        steps in proptest::collection::vec(step(), 1..60),
        preallocate in any::<bool>(),
    ) {
        run(&steps, preallocate);
    }
}
