use super::*;

async fn texts(content: &str) -> Vec<String> {
    let folder = Folder::new("*.csv", csv());
    folder.write("a.csv", content);
    let read = folder.read().await.unwrap();
    read.texts().into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_record_is_a_line_and_line_ends_within_quotes_are_none() {
    for (content, expected) in [
        ("a,b\n1,2\n3,4\n", &["1,2", "3,4"][..]),
        ("a,b\n1,2\n3,4", &["1,2", "3,4"]),
        ("a,b\r\n1,2\r\n3,4\r\n", &["1,2", "3,4"]),
        ("a,b\r\n1,2\r", &["1,2"]),
        ("\u{feff}a,b\n1,2\n", &["1,2"]),
        ("a,b\n\"x\ny\",2\n3,4\n", &["\"x\ny\",2", "3,4"]),
        ("a,b\r\n\"x\r\ny\",2\r\n3,4\r\n", &["\"x\r\ny\",2", "3,4"]),
        ("a,b\n\"x\r\",2\n", &["\"x\r\",2"]),
        (
            "a,b\n\"say \"\"so\"\"\n\",2\n3,4\n",
            &["\"say \"\"so\"\"\n\",2", "3,4"],
        ),
        ("a,b\nO'Brien,\"5\"\" pipe\"\n", &["O'Brien,\"5\"\" pipe\""]),
        // A quote that begins no field is one, and joins no lines.
        ("a,b\nx\"y,1\nz\"w,2\n", &["x\"y,1", "z\"w,2"]),
        (
            "a,b\n6,5\" pipe\n7,8\" pipe\n",
            &["6,5\" pipe", "7,8\" pipe"],
        ),
        ("a,b\n\"x\"y\"\n,2\n", &["\"x\"y\"", ",2"]),
        ("a,b\n1,2\n\n\r\n3,4\n\n", &["1,2", "3,4"]),
        // One column: an empty line is a row.
        ("a\n1\n\n2\n", &["1", "", "2"]),
        ("a,b", &[]),
        ("a,b\n", &[]),
    ] {
        assert_eq!(texts(content).await, expected, "{content:?}");
    }
}

#[tokio::test]
async fn rows_count_without_the_header_and_bytes_from_the_beginning_of_the_file() {
    let folder = Folder::new("*.csv", csv());
    folder.write("a.csv", "\u{feff}a,b\r\n1,\"x\ny\"\r\n\r\n2,é\r\n");
    let read = folder.read().await.unwrap();
    let expected = [(1, 8, "1,\"x\ny\"".to_owned()), (2, 19, "2,é".to_owned())];
    assert_eq!(read.records, expected);
    assert_eq!(read.positions.last().unwrap().next_byte, 25);
}

#[tokio::test]
async fn without_declared_columns_all_are_text() {
    let folder = Folder::new("*.csv", csv());
    folder.write("a.csv", "id,zip,\"a name\"\n1,01234,x\n");
    let read = folder.read().await.unwrap();
    assert_eq!(read.columns, ["id text", "zip text", "a name text"]);
}

#[tokio::test]
async fn columns_stand_in_the_order_of_the_header_of_each_file() {
    let folder = Folder::new("*.csv", csv()).declaring("zip text, id bigint not null");
    folder.write("a.csv", "id,more,zip,,_x,\n1,2,3,4,5,6\n");
    let read = folder.read().await.unwrap();
    let expected = [
        "id bigint",
        "more text",
        "zip text",
        "field 4 text",
        "field 5 text",
        "field 6 text",
    ];
    assert_eq!(read.columns, expected);
    assert_eq!(read.ignored, ["more", "field 4", "field 5", "field 6"]);
}

#[tokio::test]
async fn a_name_in_the_header_may_have_several_lines() {
    let folder = Folder::new("*.csv", csv()).declaring("b text");
    folder.write("a.csv", "\"two\nlines\",b\n1,2\n");
    let read = folder.read().await.unwrap();
    assert_eq!(read.texts(), ["1,2"]);
    assert_eq!(read.columns, ["field 1 text", "b text"]);
}

#[tokio::test]
async fn without_a_header_fields_are_the_declared_columns() {
    let format = FileFormat::Csv {
        header: false,
        delimiter: b';',
        null: "NA".to_owned(),
    };
    let folder = Folder::new("*.csv", format.clone()).declaring("a bigint, b text");
    folder.write("a.csv", "1;x\nNA;y\n");
    let read = folder.read().await.unwrap();
    assert_eq!(read.records[0], (1, 0, "1;x".to_owned()));
    assert_eq!(read.columns, ["a bigint", "b text"]);
}

/// What a header gives with `columns: a bigint, b text` and the two policies.
async fn with_policies(
    header: &str,
    on_new: OnNewColumn,
    on_missing: OnMissingColumn,
) -> Result<Read, FilesError> {
    let mut folder = Folder::new("*.csv", csv()).declaring("a bigint, b text");
    let declared = folder.declared.as_mut().unwrap();
    (declared.on_new, declared.on_missing) = (on_new, on_missing);
    folder.write("a.csv", format!("{header}\n1,2\n"));
    folder.read().await
}

#[tokio::test]
async fn a_new_column_is_ignored_added_or_fails() {
    let ignored = with_policies("a,b,c", OnNewColumn::Ignore, OnMissingColumn::Fail)
        .await
        .unwrap();
    assert_eq!(ignored.ignored, ["c"]);
    let added = with_policies("c,a,b", OnNewColumn::Add, OnMissingColumn::Fail)
        .await
        .unwrap();
    assert_eq!(added.columns, ["c text", "a bigint", "b text"]);
    assert_eq!(added.ignored, [""; 0]);
    let failed = with_policies("a,b,c", OnNewColumn::Fail, OnMissingColumn::Fail).await;
    assert!(matches!(failed, Err(FilesError::NewColumns { columns, .. }) if columns == ["c"]));
}

#[tokio::test]
async fn a_missing_column_fails_or_is_null() {
    let failed = with_policies("a,B", OnNewColumn::Ignore, OnMissingColumn::Fail)
        .await
        .unwrap_err();
    let told = failed.to_string();
    assert!(
        told.contains("no column \"b\"")
            && told.contains("\"B\"")
            && told.contains("on_missing_column"),
        "{told}"
    );
    let null = with_policies("a,B", OnNewColumn::Ignore, OnMissingColumn::Null)
        .await
        .unwrap();
    assert_eq!(null.missing, ["b"]);
    assert_eq!(null.columns, ["a bigint", "B text"]);

    let mut folder = Folder::new("*.csv", csv()).declaring("a bigint, b text not null");
    folder.declared.as_mut().unwrap().on_missing = OnMissingColumn::Null;
    folder.write("a.csv", "a\n1\n");
    let failed = folder.read().await;
    assert!(matches!(failed, Err(FilesError::MissingNotNull { column, .. }) if column == "b"));
}

#[tokio::test]
async fn a_header_that_cannot_be_read_is_told() {
    let read = async |content: &[u8], columns: Option<&str>| {
        let mut folder = Folder::new("*.csv", csv());
        folder.declared = columns.map(declared);
        folder.write("a.csv", content);
        folder.read().await.unwrap_err()
    };
    let error = read(b"a,b,a\n1,2,3\n", None).await;
    assert!(
        matches!(&error, FilesError::DuplicateColumn { column, .. } if column == "a"),
        "{error}"
    );
    // Columns that are left out may be twice.
    let folder = Folder::new("*.csv", csv()).declaring("b text");
    folder.write("a.csv", "a,b,a\n1,2,3\n");
    assert_eq!(
        folder.read().await.unwrap().columns,
        ["a text", "b text", "field 3 text"]
    );

    for (content, expected) in [
        (&b"a,\xff\n1,2\n"[..], HeaderFault::Encoding),
        (b"a,b\r1,2\r", HeaderFault::LineEnds),
        (b"a,\"b\n1,2\n", HeaderFault::OpenQuote),
    ] {
        let error = read(content, None).await;
        assert!(
            matches!(&error, FilesError::Header { why, .. } if *why == expected),
            "{error}"
        );
    }
    let long = vec![b'x'; (1 << 20) + 1];
    let error = read(&long, None).await;
    assert!(
        matches!(
            &error,
            FilesError::Header {
                why: HeaderFault::TooLong(_),
                ..
            }
        ),
        "{error}"
    );
    let error = read(b"\xff\xfea\0,\0", None).await;
    assert!(matches!(&error, FilesError::Utf16 { .. }), "{error}");
    for (content, columns) in [
        ("a;b\n1;2\n", Some("a text, b text")),
        ("a;b\n1;2\n", None),
        ("x;a\n", Some("a text, c text")),
    ] {
        let error = read(content.as_bytes(), columns).await;
        assert!(
            matches!(&error, FilesError::OtherDelimiter { other: ';', .. }),
            "{error}"
        );
        assert!(error.to_string().contains("delimiter: ';'"), "{error}");
    }
    let error = read(b",b\n1,2\n", None).await;
    assert!(matches!(&error, FilesError::Contract { .. }), "{error}");
}

#[tokio::test]
async fn a_record_that_is_not_utf8_is_bad_and_the_next_is_read() {
    let folder = Folder::new("*.csv", csv());
    folder.write("a.csv", b"a,b\n1,x\n2,\xe9t\xe9\n3,y\n");
    let read = folder.read().await.unwrap();
    assert_eq!(
        read.records,
        [(1, 4, "1,x".to_owned()), (3, 14, "3,y".to_owned())]
    );
    let (row, message) = &read.bad[0];
    assert!(
        *row == 2 && message.contains("byte 2 of the record is not UTF-8"),
        "{message}"
    );
}

#[tokio::test]
async fn a_quote_that_stays_open_is_told_with_its_row_and_rows_before_it_count() {
    let folder = Folder::new("*.csv", csv());
    folder.write("a.csv", "a,b\n1,x\n2,\"y\n3,z\n");
    let (source, found) = (folder.source(), folder.one().await);
    let chunk = source
        .read(&found, &Position::start(&found), ALL)
        .await
        .unwrap();
    let position = chunk.position_after.clone();
    assert!(
        !position.done && position.next_row == 2 && position.next_byte == 8,
        "{position:?}"
    );
    let failed = source.read(&found, &position, ALL).await;
    assert!(
        matches!(
            failed,
            Err(FilesError::OpenQuote {
                row: 2,
                byte: 8,
                ..
            })
        ),
        "{failed:?}"
    );
}

#[test]
fn what_is_one_line_here_is_one_for_who_reads_its_fields() {
    use std::io::{BufReader, Cursor};

    use super::super::lines::{Lines, Record};
    let letters = *b"a,\"\n";
    for number in 0..4_usize.pow(7) {
        let text: Vec<u8> = (0..7)
            .map(|place| letters[number >> (2 * place) & 3])
            .collect();
        let mut seen = Vec::new();
        for part in [1, 3, 64] {
            let content = BufReader::with_capacity(part, Cursor::new(text.clone()));
            let mut lines = Lines::new(Box::new(content), 0, Some(b','), 64);
            let mut all = Vec::new();
            while let Some(taken) = lines.take().unwrap() {
                let Record::Whole(line) = taken.record else {
                    panic!("{text:?}");
                };
                let line = String::from_utf8(line).unwrap();
                let read: Result<Vec<_>, _> = contract::csv::fields(&line, b',').collect();
                assert_eq!(read.is_err(), taken.is_open, "{line:?}: {read:?}");
                all.push(line);
            }
            seen.push(all);
        }
        assert!(seen.windows(2).all(|two| two[0] == two[1]), "{seen:?}");
    }
}
