use super::*;

async fn names(folder: &Folder) -> Vec<String> {
    let mut names: Vec<_> = folder
        .found()
        .await
        .into_iter()
        .map(|found| found.path)
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn paths_match_as_shells_do() {
    let mut folder = Folder::new("*", csv());
    for name in [
        "a.csv",
        "b.csv",
        "c1.txt",
        ".x.csv",
        "d/a.csv",
        "d/e/a.csv",
        "d/.h/a.csv",
        "d/[x].csv",
    ] {
        folder.write(name, "a\n1\n");
    }
    for (path, expected) in [
        ("*.csv", &["a.csv", "b.csv"][..]),
        ("./*.csv", &["a.csv", "b.csv"]),
        ("?.csv", &["a.csv", "b.csv"]),
        ("c[0-9].txt", &["c1.txt"]),
        (".*.csv", &[".x.csv"]),
        ("*/*.csv", &["d/[x].csv", "d/a.csv"]),
        ("**/a.csv", &["a.csv", "d/a.csv", "d/e/a.csv"]),
        ("d/[[]x].csv", &["d/[x].csv"]),
        ("a.csv", &["a.csv"]),
        // Folders are no files.
        ("*", &["a.csv", "b.csv", "c1.txt"]),
        (
            "**",
            &[
                "a.csv",
                "b.csv",
                "c1.txt",
                "d/[x].csv",
                "d/a.csv",
                "d/e/a.csv",
            ],
        ),
        ("d/**/a.csv", &["d/a.csv", "d/e/a.csv"]),
        ("**/d/**/**/a.csv", &["d/a.csv", "d/e/a.csv"]),
        ("**/.h/*", &["d/.h/a.csv"]),
        ("d/e/../a.csv", &["d/e/../a.csv"]),
        ("*/e/*", &["d/e/a.csv"]),
        ("nothing*", &[]),
    ] {
        folder.files.path = path.to_owned();
        assert_eq!(names(&folder).await, expected, "{path}");
    }
    let absolute = folder.path().join("a.csv").to_str().unwrap().to_owned();
    folder.files.path = format!("file://{absolute}");
    assert_eq!(names(&folder).await, [absolute]);
    assert_eq!(folder.read().await.unwrap().texts(), ["1"]);
}

#[tokio::test]
async fn links_are_followed_but_not_round_and_round() {
    let mut folder = Folder::new("*/*.csv", csv());
    folder.write("d/a.csv", "a\n1\n");
    std::os::unix::fs::symlink(folder.path(), folder.path().join("d/up")).unwrap();
    std::os::unix::fs::symlink("d", folder.path().join("l")).unwrap();
    assert_eq!(names(&folder).await, ["d/a.csv", "l/a.csv"]);
    folder.files.path = "**/*.csv".to_owned();
    assert_eq!(names(&folder).await, ["d/a.csv"]);
}

#[tokio::test]
async fn a_folder_whose_name_has_brackets_is_taken_as_it_is() {
    let folder = Folder::new("*.csv", csv());
    folder.write("[0]*/a.csv", "a\n1\n");
    let source =
        Source::open(&folder.files, None, Options::of(folder.path().join("[0]*"))).unwrap();
    let listing = source.list(LATER).await.unwrap();
    assert_eq!(listing.files[0].path, "a.csv");
    let start = Position::start(&listing.files[0]);
    assert!(
        source
            .read(&listing.files[0], &start, ALL)
            .await
            .unwrap()
            .position_after
            .done
    );
}

#[tokio::test]
async fn files_come_by_time_then_by_name() {
    let folder = Folder::new("*.csv", csv());
    for (name, seconds) in [("c.csv", 1), ("b.csv", 2), ("a.csv", 2)] {
        folder.write(name, "a\n1\n");
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let file = fs::File::options()
            .write(true)
            .open(folder.path().join(name))
            .unwrap();
        file.set_modified(time).unwrap();
    }
    let found: Vec<_> = folder
        .found()
        .await
        .into_iter()
        .map(|found| found.path)
        .collect();
    assert_eq!(found, ["c.csv", "a.csv", "b.csv"]);
}

#[tokio::test]
async fn a_file_of_the_future_settles_by_the_clock_here_and_is_told_until_then() {
    let folder = Folder::new("*.csv", csv());
    folder.write("a.csv", "a\n1\n");
    let source = folder.source();
    let look = async |now_ms| {
        let listing = source.list(now_ms).await.unwrap();
        let (positions, aside) = (HashMap::new(), SetAside::default());
        let choice = choose(&listing.files, &positions, &aside, now_ms);
        let told: Vec<_> = choice.problems.iter().map(ToString::to_string).collect();
        (choice.next.is_some(), choice.waiting.len(), told)
    };
    // The clock here is years behind the one of the file system.
    let told = |found: &(bool, usize, Vec<String>)| {
        assert!(found.2[0].contains("\"a.csv\" changes in the future: is a clock wrong?"));
        (found.0, found.1)
    };
    assert_eq!(told(&look(1_000).await), (false, 1));
    assert_eq!(told(&look(30_999).await), (false, 1));
    assert_eq!(look(31_000).await, (true, 0, Vec::new()));
    // What changes begins again.
    folder.write("a.csv", "a\n1\n2\n");
    assert_eq!(told(&look(32_000).await), (false, 1));
    assert_eq!(told(&look(61_999).await), (false, 1));
    assert_eq!(look(62_000).await, (true, 0, Vec::new()));
}

#[tokio::test]
async fn what_matches_and_is_no_file_is_told() {
    let folder = Folder::new("*", csv());
    std::os::unix::fs::symlink("nowhere", folder.path().join("dead")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let listing = folder.source().list(LATER).await.unwrap();
    assert!(listing.files.is_empty());
    let mut told: Vec<_> = listing.failures.iter().map(ToString::to_string).collect();
    told.sort();
    assert!(
        told[0].contains("is a link to a file that is not there"),
        "{told:?}"
    );
    assert!(
        told[1].contains("is no file but a pipe, a socket or a device"),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_file_settles_even_if_its_time_was_set_back() {
    let folder = Folder::new("*.csv", csv());
    folder.write("a.csv", "a\n1\n");
    let path = folder.path().join("a.csv");
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    let written = written
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let written = i64::try_from(written).unwrap();
    // As one does that copies a file with its time and is not done.
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    let source = folder.source();
    assert!(!source.list(written).await.unwrap().files[0].settled);
    assert!(source.list(written + 3_600_000).await.unwrap().files[0].settled);
}

#[tokio::test]
async fn a_folder_that_is_not_there_has_not_lost_its_files() {
    let folder = Folder::new("mount/*.csv", csv());
    let failed = folder.source().list(LATER).await.unwrap_err();
    assert!(
        matches!(&failed, FilesError::NoFolder { folder } if folder.ends_with("/mount")),
        "{failed}"
    );
    assert_eq!(failed.trouble(), Trouble::Later);
}

#[tokio::test]
async fn ten_thousand_files_are_listed_and_read_one_after_the_other() {
    let folder = Folder::new("**/*.csv", csv());
    for number in 0..10_000 {
        folder.write(
            &format!("{}/{number}.csv", number % 10),
            format!("a\n{number}\n"),
        );
    }
    let source = folder.source();
    let listing = source.list(LATER).await.unwrap();
    assert_eq!(listing.files.len(), 10_000);
    let mut positions = HashMap::new();
    let aside = SetAside::default();
    for remaining in (9_900..10_000).rev() {
        let choice = choose(&listing.files, &positions, &aside, 0);
        assert_eq!(choice.behind.len(), remaining);
        let (found, position) = choice.next.unwrap();
        let chunk = source.read(found, &position, ALL).await.unwrap();
        assert!(chunk.position_after.done);
        positions.insert(found.path.clone(), chunk.position_after);
    }
    let mut few = Options::of(folder.path());
    few.files_max = 9_999;
    let source = Source::open(&folder.files, None, few).unwrap();
    let failed = source.list(LATER).await.unwrap_err();
    assert!(
        matches!(failed, FilesError::TooMany { max: 9_999, .. }),
        "{failed}"
    );
}

#[tokio::test]
async fn a_name_that_is_no_text_is_told_and_keeps_no_other() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = Folder::new("*.csv", csv());
    folder.write("a.csv", "a\n1\n");
    fs::write(
        folder.path().join(std::ffi::OsStr::from_bytes(b"\xff.csv")),
        "a\n",
    )
    .unwrap();
    let listing = folder.source().list(LATER).await.unwrap();
    assert_eq!(listing.files.len(), 1);
    assert!(
        matches!(&listing.failures[..], [FilesError::Name { .. }]),
        "{:?}",
        listing.failures
    );
}

#[tokio::test]
async fn a_sample_has_the_columns_of_the_first_file_with_something_in_it() {
    let folder = Folder::new("*.csv", csv());
    assert!(folder.source().sample(ALL).await.unwrap().is_none());
    folder.write("a.csv", "");
    assert!(folder.source().sample(ALL).await.unwrap().is_none());
    folder.write("b.csv", "id,name\n1,x\n2,y\n3,z\n");
    let limits = Limits {
        rows: 2,
        bytes: 1000,
    };
    let sample = folder.source().sample(limits).await.unwrap().unwrap();
    assert_eq!(sample.file.path, "b.csv");
    let names: Vec<_> = sample
        .columns
        .unwrap()
        .into_iter()
        .map(|column| column.name)
        .collect();
    assert_eq!(names, ["id", "name"]);
    assert_eq!(sample.records, [&b"1,x"[..], b"2,y"]);
}
