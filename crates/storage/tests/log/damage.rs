//! Damage that no checksum tells of, and lacks that pass: what is served, what is refused, what goes on.

use std::fs;

use storage::{DirectoryOptions, FormatError, LogSettings, OpenError, PartitionLog, ReadError};

use crate::support::*;

/// Twenty batches of one record, numbered, in one segment; closed. Returns where each begins.
fn twenty(world: &World) -> Vec<usize> {
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let mut positions = Vec::new();
    for number in 0..20 {
        positions.push(usize::try_from(log.size_bytes()).unwrap());
        write(&log, batch(&[&number.to_string()]));
    }
    directory.close().unwrap();
    positions
}

#[test]
fn a_damaged_base_offset_is_not_served_and_hides_nothing() {
    for (damaged, wrong) in [(7, 1 << 40), (7, 3), (7, 9), (0, 5), (19, 1 << 20)] {
        let world = World::new();
        let positions = twenty(&world);
        let mut bytes = fs::read(world.segment(0)).unwrap();
        let field = positions[damaged]..positions[damaged] + 8;
        bytes[field].copy_from_slice(&i64::to_be_bytes(wrong));
        fs::write(world.segment(0), &bytes).unwrap();
        let directory = world.open();
        let log = log(&directory, LogSettings::default());
        for offset in 0..20_usize {
            match read(&log, offset as i64, 1) {
                Ok(records) => {
                    assert_ne!(offset, damaged, "{wrong}");
                    assert_eq!(records[0].offset, offset as i64, "{wrong}");
                    assert_eq!(records[0].value, offset.to_string());
                }
                Err(ReadError::Corrupt { position, .. }) => {
                    assert_eq!(offset, damaged, "{wrong}");
                    assert_eq!(position, positions[damaged] as u64);
                }
                Err(other) => panic!("{other}"),
            }
        }
        if damaged > 0 {
            let whole = read(&log, 0, 1 << 20).unwrap();
            assert_eq!(whole.len(), damaged, "a plan ends before it");
        }
    }
}

#[test]
fn a_damaged_base_offset_in_a_closed_segment_takes_no_later_one_with_it() {
    for wrong in [1_i64 << 40, 0] {
        let world = World::new();
        let directory = world.open();
        let settings = small_segments(300);
        let first = log(&directory, settings.clone());
        for number in 0..30 {
            write(&first, batch(&[&number.to_string()]));
        }
        let position = usize::try_from(first.size_bytes()).unwrap() / 30;
        drop((first, directory));
        // The second batch of the first segment, and no checkpoint to go by.
        let mut bytes = fs::read(world.segment(0)).unwrap();
        bytes[position..position + 8].copy_from_slice(&wrong.to_be_bytes());
        fs::write(world.segment(0), &bytes).unwrap();
        fs::remove_file(world.root.join("checkpoint")).ok();
        let directory = world.open();
        let log = log(&directory, settings);
        assert_eq!(log.offsets().log_end, at(30));
        assert!(world.names().iter().all(|name| !name.ends_with(".cut")));
        assert!(matches!(read(&log, 1, 1), Err(ReadError::Corrupt { .. })));
        for offset in [0, 2, 3, 10, 29] {
            assert_eq!(read(&log, offset, 1).unwrap()[0].value, offset.to_string());
        }
    }
}

#[test]
fn a_damaged_number_of_offsets_in_a_closed_segment_takes_no_later_segment_with_it() {
    /// Where a batch says how many offsets it has, and how many records.
    const FIELDS: [usize; 2] = [23, 57];
    for field in FIELDS {
        let world = World::new();
        let directory = world.open();
        let settings = small_segments(300);
        let first = log(&directory, settings.clone());
        for number in 0..30 {
            write(&first, batch(&[&number.to_string()]));
        }
        drop((first, directory));
        // The first batch of the second segment claims thousands, and there is no checkpoint to go by.
        let names = segment_names(&world);
        let base = |name: &str| name.strip_suffix(".log").unwrap().parse::<i64>().unwrap();
        let (second, third) = (base(&names[1]), base(&names[2]));
        change(&world.segment(second), |bytes| bytes[field + 2] = 0x10);
        world.lose_checkpoint();
        let directory = world.open();
        let log = log(&directory, settings);
        assert_eq!(log.offsets().log_end, at(30));
        assert!(world.names().iter().all(|name| !name.ends_with(".cut")));
        for offset in 0..30 {
            match read(&log, offset, 1) {
                Ok(records) => assert_eq!(records[0].value, offset.to_string()),
                Err(error) => {
                    assert!((second..third).contains(&offset), "{error}");
                    assert!(matches!(error, ReadError::Corrupt { .. }), "{error}");
                }
            }
        }
    }
}

#[test]
fn a_damaged_entry_of_an_index_hides_no_record() {
    let world = World::new();
    let settings = LogSettings {
        index_interval_bytes: 1,
        ..small_segments(700)
    };
    {
        let directory = world.open();
        let log = log(&directory, settings.clone());
        for number in (0..60).step_by(2) {
            write(
                &log,
                batch(&[&number.to_string(), &(number + 1).to_string()]),
            );
        }
        directory.close().unwrap();
    }
    // The first entry says that its batch ends sooner than it does: what lies before it is not behind it.
    let index = world.file(&format!("{:020}.index", 0));
    change(&index, |bytes| bytes[..4].copy_from_slice(&[0; 4]));
    let directory = world.open();
    let log = log(&directory, settings);
    for offset in 0..60_i64 {
        let records = read(&log, offset, 1).unwrap();
        let found = records.iter().find(|record| record.offset == offset);
        let value = found.map(|record| record.value.as_str());
        assert_eq!(value, Some(offset.to_string().as_str()));
    }
}

#[test]
fn a_stale_segment_is_set_aside_alone() {
    for checkpointed in [true, false] {
        let world = World::new();
        let directory = world.open();
        let settings = small_segments(300);
        let first = log(&directory, settings.clone());
        write(&first, batch(&["0"]));
        if checkpointed {
            directory.checkpoint().unwrap();
        } else {
            fs::remove_file(world.root.join("checkpoint")).ok();
        }
        for number in 1..30 {
            write(&first, batch(&[&number.to_string()]));
        }
        drop((first, directory));
        // Among the others, with offsets that they hold too.
        fs::copy(world.segment(0), world.segment(1)).unwrap();
        if !checkpointed {
            fs::remove_file(world.root.join("checkpoint")).ok();
        }
        let directory = world.open();
        let log = log(&directory, settings);
        assert_eq!(log.offsets().log_end, at(30), "{checkpointed}");
        let all = read_all(&log, 0, 1 << 20);
        assert_eq!(all.len(), 30);
        assert!(world.file(&format!("{:020}.log.cut", 1)).exists());
    }
}

#[test]
fn a_lack_of_open_files_takes_no_partition_offline() {
    let mut world = World::new();
    world.options = DirectoryOptions {
        own_threads: false,
        ..DirectoryOptions::default()
    };
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    // When a segment begins, the append is refused and nothing is left behind.
    world.faults.fail(Call::OpenDirectory, "t-0", EMFILE, 1);
    assert!(append(&log, batch(&["a"])).is_err());
    let ticket = append(&log, batch(&["a"])).unwrap();
    // When its name is made durable nothing has to be opened.
    world.faults.fail(Call::OpenDirectory, "", EMFILE, 100);
    world.faults.fail(Call::Open, "", EMFILE, 100);
    directory.run_once();
    committed(ticket).unwrap();
    assert_eq!(directory.metrics().offline_logs.get(), 0);
    assert_eq!(directory.metrics().directory_syncs.get(), 2);
    world.faults.clear();
}

#[test]
fn a_directory_whose_number_of_starts_is_lost_is_not_opened() {
    let world = World::new();
    for _ in 0..3 {
        let directory = world.open();
        write(&log(&directory, LogSettings::default()), batch(&["a"]));
    }
    fs::remove_file(world.root.join("boot-count")).unwrap();
    let error = world.try_open().unwrap_err();
    assert!(matches!(
        error,
        OpenError::Format(FormatError::BootCountLost { .. })
    ));
    // As the message says.
    fs::write(world.root.join("boot-count"), "0\n3\n").unwrap();
    assert_eq!(world.try_open().unwrap().leader_epoch.value(), 4);
}

#[test]
fn a_directory_whose_number_of_starts_went_back_is_not_opened() {
    let world = World::new();
    for _ in 0..2 {
        let directory = world.open();
        write(&log(&directory, LogSettings::default()), batch(&["a"]));
        directory.close().unwrap();
    }
    let count = world.root.join("boot-count");
    fs::write(&count, "0\n1\n").unwrap();
    let error = world.try_open().unwrap_err();
    let OpenError::Format(FormatError::BootCountBehind { checkpoint, .. }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(fs::read(&count).unwrap(), b"0\n1\n", "it is no start");
    // As the message says.
    fs::write(&count, format!("0\n{checkpoint}\n")).unwrap();
    let opened = world.try_open().unwrap();
    assert_eq!(opened.leader_epoch.value(), 3);
    let found = log(&opened.directory, LogSettings::default());
    assert_eq!(read_all(&found, 0, 1 << 20).len(), 2);
}

#[test]
fn a_start_that_is_refused_changes_nothing() {
    let world = World::new();
    for number in 0..3 {
        let directory = world.open();
        let log = log(&directory, small_segments(300));
        for _ in 0..5 {
            write(&log, batch(&[&format!("value-{number}")]));
        }
        directory.checkpoint().unwrap();
    }
    // What a start would cut off, finish, and remove.
    let last = segment_names(&world).pop().unwrap();
    change(&world.file(&last), |bytes| bytes.extend_from_slice(b"torn"));
    fs::write(world.file("00000000000000000000.log.cleaned"), "x").unwrap();
    fs::write(world.root.join("trash/1-1"), "x").unwrap();
    let count = world.root.join("boot-count");
    let refused = |name: &str| {
        let before = crate::check::tree(&world.root);
        for _ in 0..2 {
            let error = world.try_open().unwrap_err();
            assert!(matches!(error, OpenError::Format(_)), "{name}: {error}");
        }
        assert_eq!(crate::check::tree(&world.root), before, "{name}");
    };
    fs::write(&count, "0\n1\n").unwrap();
    refused("behind");
    fs::write(&count, "rubbish").unwrap();
    refused("damaged");
    fs::remove_file(&count).unwrap();
    refused("lost");
    fs::write(&count, "0\n3\n").unwrap();
    assert_eq!(world.try_open().unwrap().leader_epoch.value(), 4);
}

#[test]
fn a_log_whose_folder_names_another_topic_is_offline_and_kept() {
    for damaged in ["version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAACQ\n", "", "?"] {
        let world = World::new();
        let directory = world.open();
        let first = log(&directory, LogSettings::default());
        write(&first, batch(&["a"]));
        directory.checkpoint().unwrap();
        write(&first, batch(&["b"]));
        drop((first, directory));
        let path = world.file("partition.metadata");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, damaged).unwrap();
        let directory = world.open();
        let offline = log(&directory, LogSettings::default());
        assert!(append(&offline, batch(&["c"])).is_err());
        drop((offline, directory));
        fs::write(&path, whole).unwrap();
        let directory = world.open();
        let again = log(&directory, LogSettings::default());
        assert_eq!(values(&read_all(&again, 0, 1 << 20)), ["a", "b"]);
    }
}

/// The first append, or the power, ended while the name was written: nothing was acknowledged yet.
#[test]
fn a_folder_that_never_got_its_name_does_not_stand_in_the_way() {
    let name = format!("version: 0\ntopic_id: {}", topic_id(1));
    for written in [0, 1, 20, name.len() - 1] {
        for zeros in [0, 7] {
            let world = World::new();
            let directory = world.open();
            let first = log(&directory, LogSettings::default());
            directory.checkpoint().unwrap();
            write(&first, batch(&["never acknowledged"]));
            drop((first, directory));
            let mut torn = name.as_bytes()[..written].to_vec();
            torn.resize(written + zeros, 0);
            fs::write(world.file("partition.metadata"), torn).unwrap();
            let directory = world.open();
            let new = log(&directory, LogSettings::default());
            assert_eq!(write(&new, batch(&["a"])), 0);
            assert!(world.root.join("stray/2-0").exists(), "it is kept");
        }
    }
}

#[test]
fn a_folder_that_names_another_topic_is_never_removed() {
    let world = World::new();
    let directory = world.open();
    write(&log(&directory, LogSettings::default()), batch(&["a"]));
    drop(directory);
    world.lose_checkpoint();
    let other = "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAACQ\n";
    fs::write(world.file("partition.metadata"), other).unwrap();
    let directory = world.open();
    let new = log(&directory, LogSettings::default());
    assert_eq!(new.offsets().log_end, at(0));
    let name = world.segment(0);
    let name = name.file_name().unwrap();
    let kept = world.root.join("stray/2-0").join(partition(0).to_string());
    assert!(kept.join(name).exists());
}

#[test]
fn a_log_whose_end_was_lost_below_its_start_goes_on_at_its_start() {
    for checkpointed in [true, false] {
        let world = World::new();
        let caching = LogSettings {
            write_caching: true,
            ..LogSettings::default()
        };
        let directory = world.open();
        let first = log(&directory, caching.clone());
        for _ in 0..5 {
            write(&first, batch(&["a"]));
        }
        directory.checkpoint().unwrap();
        let kept = first.size_bytes();
        for _ in 0..5 {
            write(&first, batch(&["b"]));
        }
        first.delete_records(None).unwrap();
        drop((first, directory));
        // The power fails: what was not synced is gone, the log start is not.
        let file = fs::OpenOptions::new()
            .write(true)
            .open(world.segment(0))
            .unwrap();
        file.set_len(kept).unwrap();
        for boot in 0..3_i64 {
            if !checkpointed {
                fs::remove_file(world.root.join("checkpoint")).ok();
            }
            let directory = world.open();
            let log = log(&directory, caching.clone());
            let offsets = log.offsets();
            assert_eq!(offsets.log_start, at(10));
            assert_eq!(offsets.log_end, at(10 + boot), "{checkpointed}");
            assert_eq!(write(&log, batch(&["c"])), 10 + boot);
            assert_eq!(read_all(&log, 10, 1 << 20).len() as i64, boot + 1);
            assert_eq!(directory.metrics().truncated_bytes.get(), 0);
        }
        assert!(!world.segment(0).exists());
    }
}

#[test]
fn what_cannot_be_kept_aside_is_not_cut_off() {
    let world = World::new();
    let settings = LogSettings {
        preallocate: true,
        segment_bytes: 4096,
        ..LogSettings::default()
    };
    {
        let directory = world.open();
        let log = log(&directory, settings.clone());
        write(&log, batch(&["a"]));
        directory.checkpoint().unwrap();
    }
    // Behind reserved space something lies that was never part of the log.
    let mut bytes = fs::read(world.segment(0)).unwrap();
    assert_eq!(bytes.len(), 4096);
    bytes[3000..3004].copy_from_slice(b"left");
    fs::write(world.segment(0), &bytes).unwrap();
    let directory = world.open();
    let log = log(&directory, settings);
    world.faults.fail(Call::Open, ".cut", ENOSPC, 1);
    assert!(append(&log, batch(&["b"])).is_err());
    assert_eq!(
        fs::read(world.segment(0)).unwrap(),
        bytes,
        "nothing is lost"
    );
    assert_eq!(write(&log, batch(&["b"])), 1);
    let kept: Vec<_> = world
        .names()
        .into_iter()
        .filter(|name| name.ends_with(".cut"))
        .collect();
    assert_eq!(kept.len(), 1);
    let kept = fs::read(world.file(&kept[0])).unwrap();
    assert!(kept.windows(4).any(|bytes| bytes == b"left"));
}
