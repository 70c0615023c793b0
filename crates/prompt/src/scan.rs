//! Where statements end: at a semicolon, or at a backslash command, that is in no quotes and no comment.
//!
//! Invariant: nothing is lost: the pieces of a text and what is left of it make up the text.

/// A piece of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// Without the semicolon, and without blanks around it. Empty if there is only a command, or a semicolon.
    pub(crate) sql: &'a str,
    /// From behind the backslash to the end of its line.
    pub(crate) command: Option<&'a str>,
}

/// The first piece of a text and what follows it; `None` as long as it has no end.
pub(crate) fn piece(text: &str) -> Option<(Piece<'_>, &str)> {
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if let Some(after) = rest.strip_prefix(';') {
            let sql = trimmed(&text[..at]);
            let command = None;
            return Some((Piece { sql, command }, after));
        }
        if let Some(after) = rest.strip_prefix('\\') {
            let line = after.find('\n').map_or(after, |end| &after[..end]);
            let piece = Piece {
                sql: trimmed(&text[..at]),
                command: Some(line.trim()),
            };
            return Some((piece, &after[line.len()..]));
        }
        at += token(rest, &text[..at])?;
    }
    None
}

/// Whether there is anything but blanks and comments.
pub(crate) fn is_blank(text: &str) -> bool {
    trimmed(text).is_empty()
}

/// Without the blanks and comments in front of it, and the blanks behind.
fn trimmed(text: &str) -> &str {
    let mut rest = text.trim();
    loop {
        let comment = comment(rest);
        match comment {
            Some(Some(length)) => rest = rest[length..].trim_start(),
            // One that does not end.
            Some(None) => return "",
            None => return rest,
        }
    }
}

/// The length of the token at the start of `rest`; `None` if it has no end, or there is none.
pub(crate) fn token(rest: &str, before: &str) -> Option<usize> {
    let first = rest.chars().next()?.len_utf8();
    if let Some(length) = comment(rest) {
        return length;
    }
    match rest.as_bytes()[0] {
        b'\'' => quoted(rest, b'\'', has_escapes(before)),
        b'"' => quoted(rest, b'"', false),
        b'$' if !ends_in_word(before) => match dollar_tag(rest) {
            Some(tag) => {
                let end = rest[tag.len()..].find(tag)?;
                Some(tag.len() + end + tag.len())
            }
            None => Some(first),
        },
        _ => Some(first),
    }
}

/// The length of the comment at the start, if there is one, and if it has an end.
fn comment(rest: &str) -> Option<Option<usize>> {
    if rest.starts_with("--") {
        return Some(Some(rest.find('\n').unwrap_or(rest.len())));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    // PostgreSQL's nest.
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        let open = rest[at..].find("/*").unwrap_or(usize::MAX);
        let Some(close) = rest[at..].find("*/") else {
            return Some(None);
        };
        depth = if open < close { depth + 1 } else { depth - 1 };
        at += open.min(close) + 2;
    }
    Some(Some(at))
}

/// The length of what is quoted; a quote inside is doubled, or has a backslash in front where those are escapes.
fn quoted(rest: &str, quote: u8, has_escapes: bool) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            b'\\' if has_escapes => at += 2,
            byte if byte != quote => at += 1,
            _ if bytes.get(at + 1) == Some(&quote) => at += 2,
            _ => return Some(at + 1),
        }
    }
}

/// Whether a string that begins behind this is one of the kind `E'…'`.
fn has_escapes(before: &str) -> bool {
    let word = before.strip_suffix(['e', 'E']);
    word.is_some_and(|before| !ends_in_word(before))
}

fn ends_in_word(text: &str) -> bool {
    let last = text.chars().next_back();
    last.is_some_and(|last| last.is_alphanumeric() || matches!(last, '_' | '$'))
}

/// `$$` or `$name$`.
fn dollar_tag(rest: &str) -> Option<&str> {
    let end = rest[1..].find('$')? + 1;
    let name = &rest[1..end];
    let is_name = !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .chars()
            .all(|letter| letter.is_alphanumeric() || letter == '_');
    is_name.then(|| &rest[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The statements and commands of a text, and what is left.
    fn pieces(text: &str) -> (Vec<String>, String) {
        let (mut found, mut rest) = (Vec::new(), text);
        while let Some((piece, after)) = piece(rest) {
            let command = piece.command.map(|command| format!("\\{command}"));
            found.push(format!("{}{}", piece.sql, command.unwrap_or_default()));
            rest = after;
        }
        (found, rest.to_owned())
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str], left: &str) {
        let (found, rest) = pieces(text);
        assert_eq!(found, expected, "{text}");
        assert_eq!(rest, left, "{text}");
    }

    #[test]
    fn statements_end_at_semicolons() {
        check("SELECT 1; SELECT 2;\n", &["SELECT 1", "SELECT 2"], "\n");
        check("SELECT 1", &[], "SELECT 1");
        check(";;", &["", ""], "");
    }

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        for whole in [
            "SELECT ';', 'it''s;'",
            "SELECT \"a;\"\"b\" FROM t",
            "SELECT $$a;b$$, $x$;$$;$x$",
            "SELECT 1 -- a;b\n+ 1",
            "SELECT 1 /* a; /* b; */ c; */ + 1",
            "SELECT E'a\\';b'",
            "SELECT 'größe;'",
            "SELECT $1",
        ] {
            check(&format!("{whole};"), &[whole], "");
        }
        // A backslash is an escape only in strings that say so.
        check("SELECT 'a\\'; SELECT 2;", &["SELECT 'a\\'", "SELECT 2"], "");
        check("SELECT a$b$c; SELECT 2;", &["SELECT a$b$c", "SELECT 2"], "");
    }

    #[test]
    fn what_is_open_has_no_end() {
        for open in [
            "SELECT 'a;",
            "SELECT \"a;",
            "SELECT $$;",
            "/* ;",
            "SELECT E'\\",
        ] {
            check(open, &[], open);
        }
    }

    #[test]
    fn commands_end_with_their_line() {
        check("\\d trips\nSELECT 1;", &["\\d trips", "SELECT 1"], "");
        check("SELECT 1 \\watch 2", &["SELECT 1\\watch 2"], "");
        check("SELECT '\\d';", &["SELECT '\\d'"], "");
    }

    #[test]
    fn comments_in_front_are_no_part_of_a_statement() {
        check("-- one\n/* two */ SELECT 1;", &["SELECT 1"], "");
        assert!(is_blank(" -- only this"));
        assert!(is_blank("/* a */ /* open"));
        assert!(!is_blank("/* a */ x"));
    }
}
