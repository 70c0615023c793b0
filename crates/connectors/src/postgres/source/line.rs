//! Rows as lines of CSV, as PostgreSQL's `COPY … TO STDOUT (FORMAT csv)` writes them: NULL is nothing, and an empty text is quoted.
//!
//! The texts come from a query and not from COPY, which takes no parameters.

/// Writes a field behind the others.
pub(super) fn push(line: &mut Vec<u8>, is_first: bool, field: Option<&str>) {
    if !is_first {
        line.push(b',');
    }
    let Some(field) = field else {
        return;
    };
    let is_special = |byte: u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    let bytes = field.as_bytes();
    // `\.` alone ends data of COPY, so it quotes it.
    if !bytes.is_empty() && field != "\\." && !bytes.iter().copied().any(is_special) {
        line.extend_from_slice(bytes);
        return;
    }
    line.push(b'"');
    for byte in bytes {
        if *byte == b'"' {
            line.push(b'"');
        }
        line.push(*byte);
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &[Option<&str>]) -> String {
        let mut line = Vec::new();
        for (at, field) in fields.iter().enumerate() {
            push(&mut line, at == 0, *field);
        }
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn fields_are_written_as_copy_writes_them() {
        assert_eq!(line(&[Some("a"), None, Some("")]), "a,,\"\"");
        assert_eq!(
            line(&[Some("a,b"), Some("say \"x\""), Some("two\nlines")]),
            "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\""
        );
        assert_eq!(line(&[None]), "");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(fields in proptest::collection::vec(proptest::option::of("[a,\"\n\r\\\\. é]{0,5}"), 1..5)) {
            let fields: Vec<_> = fields.iter().map(Option::as_deref).collect();
            let line = line(&fields);
            let read: Result<Vec<_>, _> = contract::csv::fields(&line, b',').collect();
            let read = read.unwrap();
            let read: Vec<_> = read.iter().map(|field| (field.quoted || !field.text.is_empty()).then_some(&*field.text)).collect();
            proptest::prop_assert_eq!(read, fields);
        }
    }
}
