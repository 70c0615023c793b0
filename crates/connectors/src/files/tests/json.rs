use super::*;

async fn read(records: &str, content: &str) -> Result<Read, FilesError> {
    let folder = Folder::new("*.json", json(records)).declaring("a bigint");
    folder.write("a.json", content);
    folder.read().await
}

#[tokio::test]
async fn records_are_the_elements_of_the_list_at_the_path() {
    for (path, content, expected) in [
        (
            "$",
            r#"[{"a":1},{"a":2}]"#,
            &[r#"{"a":1}"#, r#"{"a":2}"#][..],
        ),
        (
            "$",
            "\u{feff} [ {\"a\":1} ,\n\t{\"a\":2} ] \n",
            &[r#"{"a":1}"#, r#"{"a":2}"#],
        ),
        ("$", r#"{"a":1}"#, &[r#"{"a":1}"#]),
        ("$", "[]", &[]),
        ("$", " [ ] ", &[]),
        ("$", "[1,\"x\",null,[2]]", &["1", "\"x\"", "null", "[2]"]),
        (
            "$.records",
            r#"{"n":2,"records":[{"a":1}],"more":{"records":[3]}}"#,
            &[r#"{"a":1}"#],
        ),
        (
            "$.x.y",
            r#"{"x":{"z":[{"y":[1]}],"y":[{"a":"]}\"["}]}}"#,
            &[r#"{"a":"]}\"["}"#],
        ),
        ("$.x", r#"{"x":{"a":1},"z":"\\"}"#, &[r#"{"a":1}"#]),
        ("$.é", r#"{"\u00e9":[{"a":1}]}"#, &[r#"{"a":1}"#]),
    ] {
        let read = read(path, content).await.unwrap();
        assert_eq!(read.texts(), expected, "{content}");
        assert!(read.positions.last().unwrap().done);
    }
}

#[tokio::test]
async fn a_document_that_is_not_as_told_says_where_and_what_to_do() {
    for (path, content, expected) in [
        (
            "$.records",
            r#"{"rows":[],"n":1}"#,
            "it has \"rows\", \"n\"",
        ),
        ("$.records", "{}", "it has none"),
        ("$.records", "[1]", "an object should stand there"),
        (
            "$.records",
            r#"{"records":1}"#,
            "neither a list nor an object",
        ),
        (
            "$.records",
            r#"{"records":null}"#,
            "neither a list nor an object",
        ),
        ("$", "3", "neither a list nor an object"),
        ("$", r#"{"a":1}{"a":2}"#, "format: ndjson"),
        ("$", "[,1]", "a value should stand there"),
        ("$", "[", "cut off"),
        ("$", r#"{"a":1"#, "cut off"),
        ("$.a", r#"{"a" [1]}"#, "a colon"),
        ("$.a", "{a:1}", "a name in quotes"),
    ] {
        let error = read(path, content).await.unwrap_err();
        let told = error.to_string();
        let is_json = matches!(error, FilesError::Json { .. });
        assert!(is_json && told.contains(expected), "{content}: {told}");
    }
}

#[tokio::test]
async fn records_before_the_place_where_a_document_breaks_count() {
    for (content, expected) in [
        (r#"{"r":[{"a":1},{"a":2}"#, "cut off"),
        (r#"{"r":[{"a":1},{"a":2},"#, "cut off"),
        (r#"{"r":[{"a":1},{"a":2},{"a"#, "cut off"),
        (r#"{"r":[{"a":1},{"a":2}]"#, "cut off"),
        (
            r#"{"r":[{"a":1},{"a":2} 3]}"#,
            "a comma or the end of the list",
        ),
        (r#"{"r":[{"a":1},{"a":2},]}"#, "a value should stand there"),
        (r#"{"r":[{"a":1},{"a":2}],"r":[]}"#, "is there twice"),
        (r#"{"r":[{"a":1},{"a":2}]} x"#, "more follows"),
    ] {
        let folder = Folder::new("*.json", json("$.r")).declaring("a bigint");
        folder.write("a.json", content);
        let (source, found) = (folder.source(), folder.one().await);
        let chunk = source
            .read(&found, &Position::start(&found), ALL)
            .await
            .unwrap();
        let position = chunk.position_after.clone();
        let mut read = Read::default();
        read.add(chunk);
        assert_eq!(read.texts(), [r#"{"a":1}"#, r#"{"a":2}"#], "{content}");
        assert!(!position.done, "{content}");
        let error = source.read(&found, &position, ALL).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{content}: {error}");
    }
}

#[tokio::test]
async fn lines_of_json_may_be_blank() {
    let folder = Folder::new("*.ndjson", FileFormat::NdJson).declaring("a bigint");
    folder.write(
        "a.ndjson",
        "{\"a\":1}\n\n  \r\n{\"a\":\"\\\"\"}\r\nnothing\n{\"a\":3}",
    );
    let read = folder.read().await.unwrap();
    assert_eq!(
        read.texts(),
        ["{\"a\":1}", "{\"a\":\"\\\"\"}", "nothing", "{\"a\":3}"]
    );
    assert_eq!(read.records[3].0, 4);
}

#[tokio::test]
async fn json_needs_declared_columns() {
    let folder = Folder::new("*.ndjson", FileFormat::NdJson);
    folder.write("a.ndjson", "{\"a\":1}\n");
    let failed = folder.read().await;
    assert!(
        matches!(failed, Err(FilesError::NoColumns { format: "ndjson" })),
        "{failed:?}"
    );
    let sample = folder.source().sample(ALL).await.unwrap().unwrap();
    assert_eq!(sample.records, [&b"{\"a\":1}"[..]]);
    assert_eq!(sample.columns, None);
}

#[tokio::test]
async fn a_name_that_nobody_declared_is_left_out_added_or_fails() {
    let mut folder = Folder::new("*.ndjson", FileFormat::NdJson).declaring("a bigint, b text");
    folder.write(
        "a.ndjson",
        "{\"a\":1,\"b\":null}\n[]\n{\"c\":{\"d\":2},\"_x\":1}\n{\"e\":3,\"c\":4}\n",
    );
    let mut read = async |on_new| {
        folder.declared.as_mut().unwrap().on_new = on_new;
        let (source, found) = (folder.source(), folder.one().await);
        let chunk = source
            .read(&found, &Position::start(&found), ALL)
            .await
            .unwrap();
        let mut read = Read::default();
        read.add(chunk);
        let position = read.positions[0].clone();
        (read, source.read(&found, &position, ALL).await)
    };
    let (ignored, _) = read(OnNewColumn::Ignore).await;
    assert_eq!(
        (ignored.records.len(), &ignored.columns[..]),
        (4, &["a bigint".to_owned(), "b text".to_owned()][..])
    );
    let (added, _) = read(OnNewColumn::Add).await;
    assert_eq!(added.columns, ["a bigint", "b text", "c text", "e text"]);
    let (first, failed) = read(OnNewColumn::Fail).await;
    assert_eq!(first.records.len(), 2);
    assert!(
        matches!(&failed, Err(FilesError::NewColumns { columns, .. }) if columns == &["_x", "c"]),
        "{failed:?}"
    );
}
