use std::os::unix::fs::PermissionsExt as _;

use super::*;

const SUFFIXES: [&str; 3] = [".gz", ".bz2", ".zst"];

#[tokio::test]
async fn a_file_that_changes_between_listing_and_reading_gives_nothing() {
    let folder = Folder::new("*.csv", csv());
    folder.write("a.csv", "a\n1\n");
    let (source, found) = (folder.source(), folder.one().await);
    folder.write("a.csv", "a\n1\n2\n");
    let failed = source.read(&found, &Position::start(&found), ALL).await;
    assert!(
        matches!(failed, Err(FilesError::Changed { .. })),
        "{failed:?}"
    );
    fs::remove_file(folder.path().join("a.csv")).unwrap();
    let failed = source.read(&found, &Position::start(&found), ALL).await;
    assert!(
        matches!(failed, Err(FilesError::Vanished { .. })),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_half_read_gives_nothing_more() {
    let folder = Folder::new("*.csv", csv());
    folder.write("a.csv", "a\n1\n2\n3\n");
    let (source, found) = (folder.source(), folder.one().await);
    let limits = Limits {
        rows: 1,
        bytes: 1000,
    };
    let chunk = source
        .read(&found, &Position::start(&found), limits)
        .await
        .unwrap();
    let position = chunk.position_after;
    // Replaced, so that what is open is still the old one.
    folder.write("new", "a\n1\n2\n4\n");
    fs::rename(folder.path().join("new"), folder.path().join("a.csv")).unwrap();
    let failed = source.read(&found, &position, limits).await;
    assert!(
        matches!(failed, Err(FilesError::Changed { .. })),
        "{failed:?}"
    );
    let listing = source.list(LATER).await.unwrap();
    let choice = choose(
        &listing.files,
        &by_path([position.clone()]),
        &SetAside::default(),
        0,
    );
    assert!(choice.next.is_none());
    assert!(
        matches!(
            &choice.problems[..],
            [Problem::Rewritten { row: Some(2), .. }]
        ),
        "{:?}",
        choice.problems
    );
    // Put back, with its time, it is read on.
    folder.write("a.csv", "a\n1\n2\n3\n");
    let time = std::time::UNIX_EPOCH
        + std::time::Duration::from_nanos(found.etag.split('-').next().unwrap().parse().unwrap());
    fs::File::options()
        .write(true)
        .open(folder.path().join("a.csv"))
        .unwrap()
        .set_modified(time)
        .unwrap();
    let listing = source.list(LATER).await.unwrap();
    let positions = by_path([position]);
    let aside = SetAside::default();
    let (found, position) = choose(&listing.files, &positions, &aside, 0).next.unwrap();
    let rest = read_from(&source, found, position, ALL).await.unwrap();
    assert_eq!(rest.texts(), ["2", "3"]);
}

#[tokio::test]
async fn rows_before_the_end_of_a_cut_archive_count_and_the_cut_is_told() {
    let lines: String = (0..200_000)
        .map(|number| format!("{number},{}\n", number * 7919 % 10_007))
        .collect();
    for suffix in SUFFIXES {
        let folder = Folder::new("a*", csv());
        let whole = compressed(suffix, format!("a,b\n{lines}").as_bytes());
        folder.write(&format!("a{suffix}"), &whole[..whole.len() / 2]);
        let (source, found) = (folder.source(), folder.one().await);
        let mut position = Position::start(&found);
        let mut read = Read::default();
        let failed = loop {
            match source
                .read(
                    &found,
                    &position,
                    Limits {
                        rows: 50_000,
                        bytes: usize::MAX,
                    },
                )
                .await
            {
                Ok(chunk) => {
                    position = chunk.position_after.clone();
                    assert!(!position.done, "{suffix}");
                    read.add(chunk);
                }
                Err(error) => break error,
            }
        };
        let count = read.records.len() as u64;
        assert!(count > 1000, "{suffix}: {count}");
        assert!(
            read.texts()
                .into_iter()
                .eq(lines.lines().take(read.records.len())),
            "{suffix}"
        );
        assert!(
            matches!(&failed, FilesError::Damaged { row, byte, .. } if *row == count + 1 && *byte == position.next_byte),
            "{suffix}: {failed}"
        );
        assert_eq!(failed.trouble(), Trouble::Act);
    }
}

#[tokio::test]
async fn what_is_no_archive_is_told() {
    for suffix in SUFFIXES {
        let folder = Folder::new("a*", csv());
        folder.write(&format!("a{suffix}"), "a,b\n1,2\n");
        let failed = folder.read().await;
        assert!(
            matches!(
                failed,
                Err(FilesError::Damaged {
                    row: 1,
                    byte: 0,
                    ..
                })
            ),
            "{suffix}: {failed:?}"
        );
        // Nothing, compressed, is a file without records.
        folder.write(&format!("a{suffix}"), compressed(suffix, b""));
        assert_eq!(folder.read().await.unwrap().records, []);
        // Several in one are one text.
        let parts = [
            compressed(suffix, b"a,b\n1,"),
            compressed(suffix, b"2\n3,4\n"),
        ];
        folder.write(&format!("a{suffix}"), parts.concat());
        assert_eq!(
            folder.read().await.unwrap().texts(),
            ["1,2", "3,4"],
            "{suffix}"
        );
    }
}

#[tokio::test]
async fn a_position_that_is_not_in_the_file_is_told() {
    for suffix in ["", ".gz"] {
        let folder = Folder::new("a*", csv());
        folder.write(&format!("a{suffix}"), compressed(suffix, b"a,b\n1,2\n"));
        let found = folder.one().await;
        let position = Position {
            next_byte: 1_000_000,
            ..Position::start(&found)
        };
        let failed = folder.source().read(&found, &position, ALL).await;
        assert!(
            matches!(
                failed,
                Err(FilesError::Beyond {
                    byte: 1_000_000,
                    ..
                })
            ),
            "{failed:?}"
        );
    }
}

#[tokio::test]
async fn a_file_that_may_not_be_read_is_tried_again_later() {
    let folder = Folder::new("*.csv", csv());
    folder.write("a.csv", "a\n1\n");
    let found = folder.one().await;
    let path = folder.path().join("a.csv");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).unwrap();
    // Whoever may read everything may read this.
    if fs::File::open(&path).is_err() {
        let failed = folder.read().await.unwrap_err();
        assert!(matches!(failed, FilesError::Denied { .. }), "{failed}");
    }
    let failed = FilesError::of_io("a.csv", std::io::ErrorKind::PermissionDenied.into());
    assert!(matches!(failed, FilesError::Denied { .. }), "{failed}");
    assert_eq!(failed.trouble(), Trouble::Later);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let read = read_from(&folder.source(), &found, Position::start(&found), ALL).await;
    assert_eq!(read.unwrap().texts(), ["1"]);
}

#[tokio::test]
async fn what_cannot_be_opened_at_all_says_why() {
    let open = |path: &str, after| {
        let files = Files {
            after,
            ..files(path, csv())
        };
        Source::open(&files, None, Options::of("/")).map(drop)
    };
    for path in [
        "s3://",
        "s3://b",
        "s3://b/",
        "s3://b*/x",
        "s3://b/folder/",
        "s3://b/a***/x",
    ] {
        let failed = open(path, AfterReading::Keep);
        assert!(
            matches!(failed, Err(FilesError::Pattern { .. })),
            "{path}: {failed:?}"
        );
    }
    assert!(matches!(
        open("a***b/c", AfterReading::Keep),
        Err(FilesError::Pattern { .. })
    ));
    for (path, folder) in [
        ("a/*", "s3://b/x"),
        ("s3://b/a/*", "x"),
        ("s3://b/a/*", "s3://c/x"),
    ] {
        let failed = open(path, AfterReading::Archive(folder.to_owned()));
        assert!(
            matches!(failed, Err(FilesError::ArchiveElsewhere { .. })),
            "{path} {folder}: {failed:?}"
        );
    }
}

/// Whether this process has a file open.
fn is_open(path: &Path) -> bool {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    let mut open = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    open.any(|open| open == path)
}

#[tokio::test]
async fn a_file_that_changes_while_a_part_of_it_is_read_gives_none_of_it() {
    let folder = Folder::new("*.csv", csv());
    folder.write("a.csv", "a\n1\n");
    let path = folder.path().canonicalize().unwrap().join("a.csv");
    // A line that takes a while.
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(2 << 30)
        .unwrap();
    let (source, found) = (folder.source(), folder.one().await);
    let start = Position::start(&found);
    let changed = async {
        let open = async || is_open(&path);
        testkit::eventually("that the file is open", open).await;
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    };
    let (read, ()) = tokio::join!(source.read(&found, &start, ALL), changed);
    assert!(matches!(read, Err(FilesError::Changed { .. })), "{read:?}");
}
