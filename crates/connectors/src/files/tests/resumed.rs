//! Whatever the limits and wherever reading is taken up again, the same records come once.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Csv,
    NdJson,
    List,
    Nested,
}

fn content(kind: Kind, texts: &[String]) -> String {
    let objects = texts
        .iter()
        .map(|text| serde_json::json!({ "a": text }).to_string());
    let objects: Vec<_> = objects.collect();
    match kind {
        Kind::Csv => {
            let quoted = texts
                .iter()
                .map(|text| format!("1,\"{}\"\r\n", text.replace('"', "\"\"")));
            format!("\u{feff}n,a\r\n{}", quoted.collect::<String>())
        }
        Kind::NdJson => objects
            .iter()
            .map(|object| format!("{object}\n\n"))
            .collect(),
        Kind::List => format!("[{}]", objects.join(" , ")),
        Kind::Nested => format!(
            "{{\"x\":{{\"r\":[{}],\"s\":[1]}},\"t\":\"]\"}}",
            objects.join(",\n")
        ),
    }
}

fn folder(kind: Kind, suffix: &str, texts: &[String]) -> Folder {
    let format = match kind {
        Kind::Csv => csv(),
        Kind::NdJson => FileFormat::NdJson,
        Kind::List => json("$"),
        Kind::Nested => json("$.x.r"),
    };
    let mut folder = Folder::new("f*", format).declaring("a text");
    // Some are too long.
    folder.record_bytes_max = 40;
    folder.write(
        &format!("f{suffix}"),
        compressed(suffix, content(kind, texts).as_bytes()),
    );
    folder
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn reading_in_parts_gives_what_reading_at_once_does(
        kind in prop_oneof![Just(Kind::Csv), Just(Kind::NdJson), Just(Kind::List), Just(Kind::Nested)],
        suffix in prop_oneof![Just(""), Just(".gz"), Just(".bz2"), Just(".zst")],
        texts in proptest::collection::vec("[a-z,\"\n\r\\\\\\[\\]{} é]{0,30}", 0..12),
        rows in 1_usize..5,
        bytes in 1_usize..100,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = folder(kind, suffix, &texts);
            let found = folder.one().await;
            let start = Position::start(&found);
            let whole = read_from(&folder.source(), &found, start.clone(), ALL).await.unwrap();
            assert_eq!(whole.records.len() + whole.bad.len(), texts.len());
            for limits in [Limits { rows, bytes: usize::MAX }, Limits { rows: usize::MAX, bytes }] {
                // With a source that goes on where it was, and with one that opens the file again for each chunk.
                let source = folder.source();
                let parts = read_from(&source, &found, start.clone(), limits).await.unwrap();
                assert_eq!((&parts.records, &parts.bad), (&whole.records, &whole.bad));
                assert_eq!(parts.positions.last(), whole.positions.last());
                for position in &parts.positions {
                    let text = serde_json::to_string(position).unwrap();
                    let position: Position = serde_json::from_str(&text).unwrap();
                    let next = position.next_row;
                    let rest = read_from(&folder.source(), &found, position, ALL).await.unwrap();
                    let expected: Vec<_> = whole.records.iter().filter(|(row, ..)| *row >= next).cloned().collect();
                    assert_eq!(rest.records, expected);
                    let expected: Vec<_> = whole.bad.iter().filter(|(row, _)| *row >= next).cloned().collect();
                    assert_eq!(rest.bad, expected);
                }
            }
        });
    }

    #[test]
    fn no_content_is_a_panic(
        kind in prop_oneof![Just(Kind::Csv), Just(Kind::NdJson), Just(Kind::List), Just(Kind::Nested)],
        suffix in prop_oneof![Just(""), Just(".gz"), Just(".bz2"), Just(".zst")],
        is_text in any::<bool>(),
        content in "[{}\\[\\]\",:xr\n\r 1]{1,40}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = folder(kind, suffix, &[]);
            let bytes = match is_text {
                true => compressed(suffix, content.as_bytes()),
                false => content.as_bytes().to_vec(),
            };
            folder.write(&format!("f{suffix}"), bytes);
            let found = folder.one().await;
            let read = read_from(&folder.source(), &found, Position::start(&found), Limits { rows: 2, bytes: 10 }).await;
            assert!(!matches!(read, Err(FilesError::Broke { .. })), "{read:?}");
        });
    }
}

#[test]
fn positions_of_other_versions_are_read() {
    let position: Position =
        serde_json::from_str(r#"{"path":"a","etag":"1-2-3","size":2,"new":[1]}"#).unwrap();
    assert_eq!(
        (position.next_byte, position.next_row, position.done),
        (0, 1, false)
    );
    let text = serde_json::to_string(&position).unwrap();
    assert_eq!(
        text,
        r#"{"path":"a","etag":"1-2-3","size":2,"next_byte":0,"next_row":1,"done":false}"#
    );
}
