use std::os::unix::fs::MetadataExt as _;

use super::*;

fn archive() -> AfterReading {
    AfterReading::Archive("done".to_owned())
}

async fn finish(folder: &Folder, found: &Found) -> Finished {
    folder.source().finish(found).await.unwrap()
}

fn text(folder: &Folder, name: &str) -> Option<String> {
    fs::read_to_string(folder.path().join(name)).ok()
}

#[tokio::test]
async fn a_file_is_kept_deleted_or_moved_and_again_is_nothing() {
    let folder = Folder::new("*.csv", csv());
    folder.write("a.csv", "a\n1\n");
    assert_eq!(finish(&folder, &folder.one().await).await, Finished::Kept);
    assert!(text(&folder, "a.csv").is_some());

    let folder = folder.after(AfterReading::Delete);
    let found = folder.one().await;
    assert_eq!(finish(&folder, &found).await, Finished::Deleted);
    assert_eq!(text(&folder, "a.csv"), None);
    assert_eq!(finish(&folder, &found).await, Finished::Gone);

    let folder = folder.after(archive());
    folder.write("a.csv", "a\n2\n");
    let found = folder.one().await;
    assert!(
        matches!(finish(&folder, &found).await, Finished::Archived(name) if name.ends_with("done/a.csv"))
    );
    assert_eq!(text(&folder, "done/a.csv").unwrap(), "a\n2\n");
    assert_eq!(finish(&folder, &found).await, Finished::Gone);
}

#[tokio::test]
async fn an_archived_file_is_never_written_over() {
    let folder = Folder::new("**/a.csv.gz", csv()).after(archive());
    for number in 0..3 {
        folder.write(&format!("{number}/a.csv.gz"), format!("{number}"));
    }
    // Other paths find what is in the folder, too: the names there match none of this one.
    let files = Folder::new("[0-9]/a.csv.gz", csv());
    let source = Source::open(
        &Files {
            after: archive(),
            ..files.files
        },
        None,
        Options::of(folder.path()),
    )
    .unwrap();
    let listing = source.list(LATER).await.unwrap();
    for found in &listing.files {
        assert!(matches!(
            source.finish(found).await,
            Ok(Finished::Archived(_))
        ));
    }
    let mut names: Vec<_> = fs::read_dir(folder.path().join("done"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["a.1.csv.gz", "a.2.csv.gz", "a.csv.gz"]);
    let texts = names
        .iter()
        .map(|name| fs::read_to_string(folder.path().join("done").join(name)).unwrap());
    let mut texts: Vec<_> = texts.collect();
    texts.sort();
    assert_eq!(texts, ["0", "1", "2"]);
}

#[tokio::test]
async fn a_folder_that_is_read_too_is_none_to_archive_to() {
    let mut folder = Folder::new("**/*.csv", csv());
    folder.write("x/a.csv", "a\n1\n");
    std::os::unix::fs::symlink("x", folder.path().join("link")).unwrap();
    for name in ["done", "./done", "x/../done", "link/done"] {
        folder.files.after = AfterReading::Archive(name.to_owned());
        let failed = folder.source().finish(&folder.one().await).await;
        let is_told = matches!(failed, Err(FilesError::ArchiveIsRead { .. }));
        assert!(is_told, "{name}: {failed:?}");
        assert!(text(&folder, "x/a.csv").is_some());
    }
}

#[tokio::test]
async fn archiving_goes_on_after_a_crash_between_its_steps() {
    let folder = Folder::new("*.csv", csv()).after(archive());
    folder.write("a.csv", "a\n1\n");
    folder.write("done/x", "");
    let found = folder.one().await;
    // Behind the second name.
    fs::hard_link(
        folder.path().join("a.csv"),
        folder.path().join("done/a.csv"),
    )
    .unwrap();
    assert!(
        matches!(finish(&folder, &found).await, Finished::Archived(name) if name.ends_with("done/a.csv"))
    );
    assert_eq!(text(&folder, "a.csv"), None);

    // On another file system: half a copy, then a whole one.
    folder.write("a.csv", "a\n2\n");
    let found = folder.one().await;
    folder.write("done/.a.csv.part", "a");
    let whole = folder.path().join("done/a.1.csv");
    fs::copy(folder.path().join("a.csv"), &whole).unwrap();
    let time = fs::metadata(folder.path().join("a.csv"))
        .unwrap()
        .modified()
        .unwrap();
    fs::File::options()
        .write(true)
        .open(&whole)
        .unwrap()
        .set_modified(time)
        .unwrap();
    let inode = fs::metadata(&whole).unwrap().ino();
    assert!(
        matches!(finish(&folder, &found).await, Finished::Archived(name) if name.ends_with("done/a.1.csv"))
    );
    assert_eq!(fs::metadata(&whole).unwrap().ino(), inode);
    assert_eq!(text(&folder, "a.csv"), None);
}

#[tokio::test]
async fn a_file_of_the_same_size_and_time_is_not_taken_for_its_copy() {
    let folder = Folder::new("*.csv", csv()).after(archive());
    folder.write("a.csv", "a\n1\n");
    folder.write("done/a.csv", "a\n7\n");
    let time = std::time::UNIX_EPOCH;
    for name in ["a.csv", "done/a.csv"] {
        fs::File::options()
            .write(true)
            .open(folder.path().join(name))
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
    finish(&folder, &folder.one().await).await;
    assert_eq!(text(&folder, "done/a.csv").unwrap(), "a\n7\n");
    assert_eq!(text(&folder, "done/a.1.csv").unwrap(), "a\n1\n");
}

#[tokio::test]
async fn a_file_on_another_file_system_is_copied_with_its_time() {
    let folder = Folder::new("*.csv", csv());
    folder.write("target.txt", "a\n1\n");
    // A symbolic link takes the same way: giving it a second name would give that of the link.
    std::os::unix::fs::symlink("target.txt", folder.path().join("a.csv")).unwrap();
    let folder = folder.after(archive());
    let found = folder.one().await;
    assert!(matches!(
        finish(&folder, &found).await,
        Finished::Archived(_)
    ));
    let copy = folder.path().join("done/a.csv");
    let metadata = fs::symlink_metadata(&copy).unwrap();
    assert!(metadata.is_file());
    assert_eq!(
        metadata.modified().unwrap(),
        fs::metadata(folder.path().join("target.txt"))
            .unwrap()
            .modified()
            .unwrap()
    );
    assert!(
        !folder.path().join("a.csv").exists() && !folder.path().join("done/.a.csv.part").exists()
    );
}

#[tokio::test]
async fn a_file_moves_to_another_file_system() {
    let folder = Folder::new("*.csv", csv());
    folder.write("a.csv", "a\n1\n");
    // Memory is a file system of its own where it can be written to.
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    let is_other = device(other.path()) != device(folder.path());
    let to = other.path().join("done");
    let folder = folder.after(AfterReading::Archive(to.to_str().unwrap().to_owned()));
    let found = folder.one().await;
    let before = fs::metadata(folder.path().join("a.csv")).unwrap();
    assert!(matches!(
        finish(&folder, &found).await,
        Finished::Archived(_)
    ));
    let after = fs::metadata(to.join("a.csv")).unwrap();
    assert_eq!(after.modified().unwrap(), before.modified().unwrap());
    assert_eq!(after.dev() != before.dev(), is_other);
    assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
    assert_eq!(text(&folder, "a.csv"), None);
}

#[tokio::test]
async fn what_is_not_what_was_read_is_neither_deleted_nor_moved() {
    for after in [AfterReading::Delete, archive()] {
        let folder = Folder::new("*.csv", csv()).after(after);
        folder.write("a.csv", "a\n1\n");
        let found = folder.one().await;
        folder.write("a.csv", "a\n1\n2\n");
        let failed = folder.source().finish(&found).await;
        assert!(
            matches!(failed, Err(FilesError::Changed { .. })),
            "{failed:?}"
        );
        assert_eq!(text(&folder, "a.csv").unwrap(), "a\n1\n2\n");
    }
}

/// Reads whatever is there until nothing is left, keeping positions as a worker does; stops before a file is put away if `crashes`.
async fn work(
    folder: &Folder,
    positions: &mut HashMap<String, Position>,
    crashes: bool,
) -> Vec<String> {
    let source = folder.source();
    let mut texts = Vec::new();
    loop {
        let listing = source.list(LATER).await.unwrap();
        let choice = choose(&listing.files, positions, &SetAside::default(), 0);
        assert_eq!(choice.problems, []);
        for found in choice.done {
            if !crashes {
                source.finish(found).await.unwrap();
            }
        }
        let Some((found, position)) = choice.next else {
            return texts;
        };
        let chunk = source
            .read(
                found,
                &position,
                Limits {
                    rows: 2,
                    bytes: 1000,
                },
            )
            .await
            .unwrap();
        positions.insert(found.path.clone(), chunk.position_after.clone());
        let mut read = Read::default();
        read.add(chunk);
        texts.extend(read.records.into_iter().map(|(_, _, text)| text));
    }
}

#[tokio::test]
async fn a_crash_before_a_file_is_put_away_reads_nothing_twice() {
    for (after, left) in [
        (AfterReading::Keep, 1),
        (AfterReading::Delete, 0),
        (archive(), 0),
    ] {
        let folder = Folder::new("*.csv", csv()).after(after);
        folder.write("a.csv", "a\n1\n2\n3\n");
        let mut positions = HashMap::new();
        assert_eq!(work(&folder, &mut positions, true).await, ["1", "2", "3"]);
        assert_eq!(folder.found().await.len(), 1);
        assert_eq!(work(&folder, &mut positions, false).await, [""; 0]);
        assert_eq!(folder.found().await.len(), left);
    }
}
