//! Lines of CSV, quoted where they have to be.

/// Adds a line; an empty field is written as nothing.
pub(super) fn line(text: &mut String, fields: &[&str]) {
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        if field.contains([',', '"', '\n', '\r']) {
            text.push('"');
            text.push_str(&field.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(field);
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_would_be_cut_is_quoted() {
        let mut text = String::new();
        super::line(&mut text, &["a", "", "b, c", "d\"e"]);
        assert_eq!(text, "a,,\"b, c\",\"d\"\"e\"\n");
    }
}
