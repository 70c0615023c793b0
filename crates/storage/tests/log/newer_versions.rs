//! A directory that a newer version has written to: it is refused, or the partition is, and nothing in it is changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use storage::{AppendError, CheckError, FindingKind, FormatError, OpenError};
use xxhash_rust::xxh3::xxh3_64;

use crate::support::*;

/// A directory with a few segments, producers and an unclean end.
fn written() -> World {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, small_segments(400));
    for sequence in 0..8 {
        let bytes: Bytes = produced(7, 0, sequence, &[&format!("value {sequence}")]);
        write(&log, bytes);
    }
    directory.checkpoint().unwrap();
    world
}

/// All files, byte by byte, but for the empty lock.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                files.insert(entry.path(), fs::read(entry.path()).unwrap());
            }
        }
    }
    files
}

/// A checkpoint as a release would write it whose version is 4.
fn raise_checkpoint(path: &Path, is_whole: bool) {
    change(path, |bytes| {
        let end = bytes.len() - 8;
        bytes[8..12].copy_from_slice(&4u32.to_be_bytes());
        if is_whole {
            let hash = xxh3_64(&bytes[..end]);
            bytes[end..].copy_from_slice(&hash.to_be_bytes());
        }
    });
}

#[test]
fn a_directory_with_a_newer_file_is_refused_as_it_is() {
    for (name, found) in [
        ("watertable.format", 7),
        ("boot-count", 9),
        ("checkpoint", 4),
    ] {
        let world = written();
        let path = world.root.join(name);
        match name {
            "checkpoint" => raise_checkpoint(&path, true),
            "boot-count" => fs::write(&path, "9\nsomething that is not known here\n").unwrap(),
            _ => fs::write(&path, "format 7\n").unwrap(),
        }
        let before = contents(&world.root);
        let error = world.try_open().unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(&error, OpenError::Format(cause) if cause.is_newer()),
            "{text}"
        );
        assert!(text.contains(name), "{text}");
        assert!(text.contains(&found.to_string()), "{text}");
        assert!(text.contains("use the newer version"), "{text}");
        let error = world.check().unwrap_err();
        assert!(
            matches!(&error, CheckError::Format(cause) if cause.is_newer()),
            "a check would call it damaged: {error}"
        );
        assert_eq!(contents(&world.root), before, "{name}: nothing was changed");
    }
}

#[test]
fn a_damaged_checkpoint_is_not_taken_for_a_newer_one() {
    let world = written();
    raise_checkpoint(&world.root.join("checkpoint"), false);
    let directory = world.open();
    let log = log(&directory, small_segments(400));
    assert_eq!(read_all(&log, 0, 1 << 20).len(), 8);
}

#[test]
fn a_partition_with_a_newer_file_is_offline_and_as_it_is() {
    for name in ["log-start-offset", "cleaner-offset", "snapshot"] {
        let world = written();
        let path = match name {
            "snapshot" => {
                let names = world.names();
                let mut snapshots = names.iter().filter(|name| name.ends_with(".snapshot"));
                let path = world.file(snapshots.next().expect("a segment that is not the first"));
                // What the snapshot stands for is read when there is nothing before it, and no checkpoint.
                fs::remove_file(world.segment(0)).unwrap();
                change(&path, |bytes| {
                    bytes[..2].copy_from_slice(&2i16.to_be_bytes())
                });
                path
            }
            _ => {
                fs::write(world.file(name), "1\n5\nmore\n").unwrap();
                world.file(name)
            }
        };
        world.lose_checkpoint();
        let logs = world.root.join("logs");
        let before = contents(&logs);

        let report = world.check().unwrap().run(None, &mut |_| ()).unwrap();
        let of_file: Vec<_> = report
            .findings
            .iter()
            .filter(|finding| path.ends_with(&finding.path))
            .collect();
        assert!(
            of_file
                .iter()
                .any(|finding| finding.kind == FindingKind::Unreadable
                    && finding.detail.contains("newer version")),
            "{name}: {:?}",
            report.findings
        );
        assert_eq!(of_file.len(), 1, "{name}: and it is not called damaged");

        let directory = world.open();
        let log = log(&directory, small_segments(400));
        assert!(
            matches!(append(&log, batch(&["x"])), Err(AppendError::Offline)),
            "{name}"
        );
        assert_eq!(directory.figures().offline, 1, "{name}");
        drop(log);
        drop(directory);
        assert_eq!(contents(&logs), before, "{name}: nothing was changed");
    }
}

#[test]
fn a_newer_format_names_both_versions() {
    let world = World::new();
    drop(world.open());
    fs::write(world.root.join("boot-count"), "4\n1\n").unwrap();
    let error = world.try_open().unwrap_err();
    let OpenError::Format(FormatError::NewerFile(newer)) = error else {
        panic!("{error}");
    };
    assert_eq!((newer.found, newer.known), (4, 0));
}
