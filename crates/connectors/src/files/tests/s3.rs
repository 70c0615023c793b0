use testkit::s3::{ACCESS_KEY, Fault, Operation, S3};

use super::*;

/// As the environment of a worker says.
fn access(store: &S3) -> S3Access {
    let endpoint = store.endpoint();
    let variables = [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL", &endpoint),
        ("PATH", "/bin"),
    ];
    let access = S3Access::of(variables.map(|(name, value)| (name.into(), value.into())));
    assert_eq!(access.environment.len(), 3);
    assert!(!format!("{access:?}").contains("secret"));
    access
}

fn source(store: &S3, path: &str, format: FileFormat, after: AfterReading) -> Source {
    let mut options = Options::of("/");
    options.s3 = access(store);
    Source::open(
        &Files {
            after,
            ..files(path, format)
        },
        None,
        options,
    )
    .unwrap()
}

async fn one(source: &Source) -> Found {
    let mut listing = source.list(LATER).await.unwrap();
    assert_eq!(listing.files.len(), 1, "{listing:?}");
    listing.files.remove(0)
}

#[tokio::test]
async fn objects_that_match_are_listed_by_name() {
    let store = S3::start().await;
    for key in [
        "t/b.csv",
        "t/a.csv",
        "t/.x.csv",
        "t/x/c.csv",
        "tt/a.csv",
        "t/a & \"b\"<.csv",
        "t/é b.csv",
        "a.csv",
    ] {
        store.put(key, b"a\n1\n");
    }
    for (path, expected) in [
        (
            "s3://bucket/t/*.csv",
            &["t/a & \"b\"<.csv", "t/a.csv", "t/b.csv", "t/é b.csv"][..],
        ),
        ("s3://bucket/t/**/c.csv", &["t/x/c.csv"]),
        ("s3://bucket/t*/a.csv", &["t/a.csv", "tt/a.csv"]),
        ("s3://bucket/a.csv", &["a.csv"]),
        ("s3://bucket/u/*", &[]),
    ] {
        let source = source(&store, path, csv(), AfterReading::Keep);
        let listing = source.list(LATER).await.unwrap();
        let names: Vec<_> = listing
            .files
            .iter()
            .map(|found| found.path.as_str())
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|key| format!("s3://bucket/{key}"))
            .collect();
        assert_eq!(names, expected, "{path}");
        for found in &listing.files {
            let read = read_from(&source, found, Position::start(found), ALL)
                .await
                .unwrap();
            assert_eq!(read.texts(), ["1"], "{}", found.path);
        }
    }
}

#[tokio::test]
async fn more_objects_than_a_page_has_are_listed() {
    let store = S3::start().await;
    for number in 0..2_500 {
        store.put(&format!("t/{number:04}.csv"), b"a\n1\n");
    }
    let source = source(&store, "s3://bucket/t/*.csv", csv(), AfterReading::Keep);
    let listing = source.list(LATER).await.unwrap();
    assert_eq!(listing.files.len(), 2_500);
    assert_eq!(store.asked(Operation::List), 3);
}

#[tokio::test]
async fn an_object_is_read_in_parts_and_from_any_position() {
    let store = S3::start().await;
    let lines: String = (0..600_000_u64)
        .map(|number| format!("{number},{}\n", number * 7919 % 10_007))
        .collect();
    let content = format!("a,b\n{lines}");
    for suffix in ["", ".zst"] {
        store.put("t/a", b"");
        store.remove("t/a");
        let name = format!("t/a{suffix}");
        store.put(&name, &compressed(suffix, content.as_bytes()));
        let source = source(
            &store,
            &format!("s3://bucket/{name}"),
            csv(),
            AfterReading::Keep,
        );
        let found = one(&source).await;
        let limits = Limits {
            rows: 250_000,
            bytes: usize::MAX,
        };
        let read = read_from(&source, &found, Position::start(&found), limits)
            .await
            .unwrap();
        assert!(read.texts().into_iter().eq(lines.lines()), "{suffix}");
        let position = read.positions[1].clone();
        let rest = read_from(&source, &found, position, ALL).await.unwrap();
        assert!(
            rest.texts().into_iter().eq(lines.lines().skip(500_000)),
            "{suffix}"
        );
    }
}

#[tokio::test]
async fn an_object_that_is_replaced_gives_nothing_more() {
    let store = S3::start().await;
    store.put("a.csv", b"a\n1\n2\n3\n");
    let source = source(&store, "s3://bucket/a.csv", csv(), AfterReading::Keep);
    let found = one(&source).await;
    let limits = Limits {
        rows: 1,
        bytes: 1000,
    };
    let chunk = source
        .read(&found, &Position::start(&found), limits)
        .await
        .unwrap();
    let position = chunk.position_after;
    store.put("a.csv", b"a\n1\n2\n4\n");
    // Whoever starts again here gets nothing of the new one.
    let again = self::source(&store, "s3://bucket/a.csv", csv(), AfterReading::Keep);
    let failed = again.read(&found, &position, limits).await;
    assert!(
        matches!(failed, Err(FilesError::Changed { .. })),
        "{failed:?}"
    );
    let listing = again.list(LATER).await.unwrap();
    let choice = choose(
        &listing.files,
        &by_path([position.clone()]),
        &SetAside::default(),
        0,
    );
    assert!(matches!(&choice.problems[..], [Problem::Rewritten { .. }]) && choice.next.is_none());
    // Put back it is what it was.
    store.put("a.csv", b"a\n1\n2\n3\n");
    let rest = read_from(&again, &found, position.clone(), ALL)
        .await
        .unwrap();
    assert_eq!(rest.texts(), ["2", "3"]);
    store.remove("a.csv");
    let failed = self::source(&store, "s3://bucket/a.csv", csv(), AfterReading::Keep)
        .read(&found, &position, limits)
        .await;
    assert!(
        matches!(failed, Err(FilesError::Vanished { .. })),
        "{failed:?}"
    );
}

#[tokio::test]
async fn parquet_is_read_by_ranges() {
    let store = S3::start().await;
    let bytes = parquet::written(1000, 100);
    store.put("a.parquet", &bytes);
    let source = source(
        &store,
        "s3://bucket/*.parquet",
        FileFormat::Parquet,
        AfterReading::Keep,
    );
    let found = one(&source).await;
    let position = Position {
        next_row: 951,
        ..Position::start(&found)
    };
    let chunk = source.read(&found, &position, ALL).await.unwrap();
    let Rows::Columns { rows, .. } = chunk.rows else {
        panic!("no rows");
    };
    assert_eq!((rows.len(), rows[0]), (50, 951));
}

#[tokio::test]
async fn objects_are_deleted_and_moved_and_a_crash_between_is_made_good() {
    let store = S3::start().await;
    store.put("t/a.csv", b"a\n1\n");
    let source = source(&store, "s3://bucket/t/*.csv", csv(), AfterReading::Delete);
    let found = one(&source).await;
    assert_eq!(source.finish(&found).await.unwrap(), Finished::Deleted);
    assert_eq!(source.finish(&found).await.unwrap(), Finished::Gone);
    assert_eq!(store.object("t/a.csv"), None);

    let archive = AfterReading::Archive("s3://bucket/done/".to_owned());
    let source = self::source(&store, "s3://bucket/t/*.csv", csv(), archive);
    store.put("done/a.csv", b"another");
    store.put("t/a.csv", b"a\n2\n");
    let found = one(&source).await;
    // The copy is made, and the object not deleted.
    store.fail(|operation| {
        (operation == Operation::Delete).then_some(Fault::Refuse(403, "AccessDenied"))
    });
    let failed = source.finish(&found).await;
    assert!(
        matches!(
            failed,
            Err(FilesError::Store {
                source: StoreFailure::Denied(_),
                ..
            })
        ),
        "{failed:?}"
    );
    store.fail(|_| None);
    let target = "s3://bucket/done/a.1.csv".to_owned();
    assert_eq!(
        source.finish(&found).await.unwrap(),
        Finished::Archived(target)
    );
    assert_eq!(store.names(), ["bucket/done/a.1.csv", "bucket/done/a.csv"]);
    assert_eq!(store.object("done/a.csv").unwrap(), b"another");

    // What has changed is not deleted.
    store.put("t/a.csv", b"a\n3\n");
    let found = one(&source).await;
    store.put("t/a.csv", b"a\n4\n");
    assert!(matches!(
        source.finish(&found).await,
        Err(FilesError::Changed { .. })
    ));
    assert!(store.object("t/a.csv").is_some());
}

#[tokio::test]
async fn what_a_store_refuses_is_told_apart() {
    let store = S3::start().await;
    store.put("a.csv", b"a\n1\n");
    let nowhere = source(&store, "s3://nowhere/*.csv", csv(), AfterReading::Keep);
    let failed = nowhere.list(LATER).await.unwrap_err();
    assert!(
        matches!(
            failed,
            FilesError::Store {
                source: StoreFailure::NoBucket(_),
                ..
            }
        ),
        "{failed}"
    );

    let source = source(&store, "s3://bucket/*.csv", csv(), AfterReading::Keep);
    let found = one(&source).await;
    store.fail(|_| Some(Fault::Refuse(403, "AccessDenied")));
    let failed = source
        .read(&found, &Position::start(&found), ALL)
        .await
        .unwrap_err();
    assert!(
        matches!(
            failed,
            FilesError::Store {
                source: StoreFailure::Denied(_),
                ..
            }
        ),
        "{failed}"
    );
    assert_eq!(failed.trouble(), Trouble::Later);
    store.fail(|_| None);

    let mut options = Options::of("/");
    options.s3 = access(&store);
    options.s3.environment[0].1 = "somebody".to_owned();
    let stranger = Source::open(&files("s3://bucket/*.csv", csv()), None, options).unwrap();
    let failed = stranger.list(LATER).await.unwrap_err();
    assert!(
        matches!(
            failed,
            FilesError::Store {
                source: StoreFailure::Credentials(_),
                ..
            }
        ),
        "{failed}"
    );
    assert!(!failed.to_string().contains("not for clients"), "{failed}");
}
