use super::*;

fn found(path: &str, etag: &str) -> Found {
    Found {
        path: path.to_owned(),
        size: 10,
        etag: etag.to_owned(),
        modified_ms: 0,
        settled: true,
        is_ahead: false,
        born_ms: None,
    }
}

fn at(path: &str, etag: &str, next_row: u64, done: bool) -> Position {
    Position {
        next_byte: 5,
        next_row,
        done,
        ..Position::start(&found(path, etag))
    }
}

/// The next file with its row, the files that are done, and what the problems say.
fn chosen(
    files: &[Found],
    positions: &[Position],
    aside: &SetAside,
    now_ms: i64,
) -> (Option<(String, u64)>, Vec<String>, Vec<Problem>) {
    let choice = choose(files, &by_path(positions.iter().cloned()), aside, now_ms);
    let next = choice
        .next
        .map(|(file, position)| (file.path.clone(), position.next_row));
    let done = choice
        .done
        .into_iter()
        .map(|file| file.path.clone())
        .collect();
    (next, done, choice.problems)
}

fn check(
    files: &[Found],
    positions: &[Position],
    next: Option<(&str, u64)>,
    done: &[&str],
    problems: &[Problem],
) {
    let found = chosen(files, positions, &SetAside::default(), 0);
    let next = next.map(|(path, row)| (path.to_owned(), row));
    let done: Vec<_> = done.iter().map(|&path| path.to_owned()).collect();
    assert_eq!(found, (next, done, problems.to_vec()));
}

#[test]
fn a_half_read_file_comes_first_then_the_oldest() {
    let files = [
        found("a", "1-10-1"),
        found("b", "2-10-2"),
        found("c", "3-10-3"),
    ];
    check(&files, &[], Some(("a", 1)), &[], &[]);
    check(
        &files,
        &[at("a", "1-10-1", 9, true)],
        Some(("b", 1)),
        &["a"],
        &[],
    );
    check(
        &files,
        &[at("a", "1-10-1", 9, true), at("c", "3-10-3", 4, false)],
        Some(("c", 4)),
        &["a"],
        &[],
    );
    let all = [
        at("a", "1-10-1", 9, true),
        at("b", "2-10-2", 9, true),
        at("c", "3-10-3", 9, true),
    ];
    check(&files, &all, None, &["a", "b", "c"], &[]);
    let positions = by_path([at("b", "2-10-2", 3, false), at("c", "3-10-3", 4, false)]);
    let aside = SetAside::default();
    let choice = choose(&files, &positions, &aside, 0);
    let behind: Vec<_> = choice
        .behind
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(
        (choice.next.unwrap().1.next_row, &behind[..]),
        (3, &["c", "a"][..])
    );
    // A file that is done and gone is no matter.
    check(&[], &all, None, &[], &[]);
}

#[test]
fn files_that_are_new_or_empty_wait() {
    let mut files = [
        found("a", "1-10-1"),
        found("b", "2-10-2"),
        found("c", "3-10-3"),
    ];
    files[0].size = 0;
    files[1].settled = false;
    let positions = HashMap::new();
    let aside = SetAside::default();
    let choice = choose(&files, &positions, &aside, 0);
    assert_eq!(choice.next.unwrap().0.path, "c");
    let waiting: Vec<_> = choice.waiting.iter().map(|file| &file.path[..]).collect();
    assert_eq!((&waiting[..], choice.behind.len()), (&["b"][..], 0));
}

#[test]
fn a_file_that_changed_is_never_new_data_and_blocks_no_other() {
    let files = [found("a", "7-10-1"), found("b", "2-10-2")];
    let rewritten = |row| Problem::Rewritten {
        path: "a".to_owned(),
        row,
    };
    check(
        &files,
        &[at("a", "1-10-1", 4, false)],
        Some(("b", 1)),
        &[],
        &[rewritten(Some(4))],
    );
    check(
        &files,
        &[at("a", "1-10-1", 4, true)],
        Some(("b", 1)),
        &[],
        &[rewritten(None)],
    );
    // Also if it only grew.
    let mut grown = files;
    grown[0] = Found {
        size: 20,
        ..found("a", "7-20-1")
    };
    check(
        &grown,
        &[at("a", "1-10-1", 4, true)],
        Some(("b", 1)),
        &[],
        &[rewritten(None)],
    );
    let objects = [found("s3://b/a", "\"x\"")];
    let rewritten = Problem::Rewritten {
        path: "s3://b/a".to_owned(),
        row: None,
    };
    check(
        &objects,
        &[at("s3://b/a", "\"y\"", 4, true)],
        None,
        &[],
        &[rewritten],
    );
}

#[test]
fn a_file_that_was_put_back_is_what_it_was() {
    let files = [found("a", "1-10-77")];
    check(
        &files,
        &[at("a", "1-10-1", 4, false)],
        Some(("a", 4)),
        &[],
        &[],
    );
    check(&files, &[at("a", "1-10-1", 4, true)], None, &["a"], &[]);
}

#[test]
fn a_half_read_file_that_has_gone_is_told_and_so_is_its_new_name() {
    let vanished = Problem::Vanished {
        path: "a".to_owned(),
        row: 4,
    };
    check(
        &[found("b", "2-10-2")],
        &[at("a", "1-10-1", 4, false)],
        Some(("b", 1)),
        &[],
        &[vanished],
    );
    let renamed = Problem::Renamed {
        path: "a".to_owned(),
        now: "z".to_owned(),
        row: 4,
    };
    let files = [found("z", "1-10-1"), found("b", "2-10-2")];
    check(
        &files,
        &[at("a", "1-10-1", 4, false)],
        Some(("b", 1)),
        &[],
        &[renamed],
    );
}

#[test]
fn a_file_that_was_read_under_another_name_is_not_read_again() {
    let files = [found("a.log", "2-10-2"), found("a.log.1", "1-10-1")];
    let known = Problem::Known {
        path: "a.log.1".to_owned(),
        read_as: "a.log.0".to_owned(),
    };
    check(
        &files,
        &[at("a.log.0", "1-10-1", 9, true)],
        Some(("a.log", 1)),
        &[],
        &[known],
    );
    // Nor is the second of two names that are both new.
    let known = Problem::Known {
        path: "b".to_owned(),
        read_as: "a".to_owned(),
    };
    let files = [found("a", "1-10-1"), found("b", "1-10-1")];
    check(&files, &[], Some(("a", 1)), &[], &[known]);
    // Objects of the same content are two.
    let files = [found("s3://b/2", "\"x\"")];
    check(
        &files,
        &[at("s3://b/1", "\"x\"", 9, true)],
        Some(("s3://b/2", 1)),
        &[],
        &[],
    );
}

#[test]
fn what_failed_is_set_aside_until_it_may_be_over_or_has_changed() {
    let files = [found("a", "1-10-1"), found("b", "2-10-2")];
    let path = || "a".to_owned();
    let mut aside = SetAside::default();
    let silent = FilesError::Io {
        path: path(),
        source: std::io::ErrorKind::TimedOut.into(),
    };
    let next =
        |aside: &SetAside, files: &[Found], now_ms| chosen(files, &[], aside, now_ms).0.unwrap().0;
    aside.put(&files[0], &silent, 1000);
    assert_eq!(aside.again_ms(), Some(2000));
    assert_eq!(next(&aside, &files, 1999), "b");
    assert_eq!(next(&aside, &files, 2000), "a");
    aside.put(&files[0], &silent, 2000);
    assert_eq!(aside.again_ms(), Some(4000));
    for _ in 0..100 {
        aside.put(&files[0], &silent, 0);
    }
    assert_eq!(aside.again_ms(), Some(300_000));
    aside.clear("a");
    assert_eq!(next(&aside, &files, 0), "a");

    aside.put(&files[0], &FilesError::Utf16 { path: path() }, 0);
    let (_, _, problems) = chosen(&files, &[], &aside, i64::MAX);
    assert!(
        matches!(&problems[..], [Problem::Failed { again_ms: None, message, .. }] if message.contains("UTF-16")),
        "{problems:?}"
    );
    let changed = [found("a", "9-10-1"), found("b", "2-10-2")];
    assert_eq!(next(&aside, &changed, i64::MAX), "a");
}

#[test]
fn a_name_whose_file_was_to_be_put_away_may_have_another_one() {
    let left = |etag: &str, done| Position {
        leaves_ms: Some(1000),
        ..at("a", etag, 4, done)
    };
    // Another number in the file system.
    let other = [found("a", "7-10-2")];
    check(&other, &[left("1-10-1", true)], Some(("a", 1)), &[], &[]);
    let object = Position {
        leaves_ms: Some(1000),
        ..at("s3://b/a", "\"x\"", 4, true)
    };
    let new = [found("s3://b/a", "\"y\"")];
    check(&new, &[object], Some(("s3://b/a", 1)), &[], &[]);
    // The same number: it is new if it came to be after the other one was read.
    let born = |born_ms| {
        [Found {
            born_ms,
            ..found("a", "7-10-1")
        }]
    };
    let rewritten = || Problem::Rewritten {
        path: "a".to_owned(),
        row: None,
    };
    let left_1 = || [left("1-10-1", true)];
    check(&born(Some(1001)), &left_1(), Some(("a", 1)), &[], &[]);
    check(&born(Some(1000)), &left_1(), None, &[], &[rewritten()]);
    check(&born(None), &left_1(), None, &[], &[rewritten()]);
    // What is the same is what was read, and is put away.
    check(&[found("a", "1-10-9")], &left_1(), None, &["a"], &[]);
    // One that stays, and one that was half read, make no room.
    check(
        &other,
        &[at("a", "1-10-1", 4, true)],
        None,
        &[],
        &[rewritten()],
    );
    let half = Problem::Rewritten {
        path: "a".to_owned(),
        row: Some(4),
    };
    check(&other, &[left("1-10-1", false)], None, &[], &[half]);
}
