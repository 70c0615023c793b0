//! SQL as far as a file is concerned: that it is one query, and which parameters it has. What it means is for the engine to say.

use crate::problem::Cause;

/// The longest SQL.
pub const SQL_BYTES_MAX: usize = 256 << 10;

/// A piece of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A word, or a number.
    Word(&'a str),
    /// `$name`, without the dollar.
    Parameter(&'a str),
    /// Text, or a name, in quotes.
    Quoted,
    /// Another character.
    Other(char),
}

/// A parameter, without the dollar, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parameter<'a> {
    pub(crate) name: &'a str,
    /// In bytes from the beginning.
    pub(crate) offset: usize,
}

/// The parameters of a query, in their order.
///
/// # Errors
/// It is no query, or more than one.
pub(crate) fn query(text: &str) -> Result<Vec<Parameter<'_>>, Cause> {
    let tokens = tokens(text)?;
    let mut words = tokens
        .iter()
        .skip_while(|token| **token == Token::Other('('));
    let begins = ["select", "with", "values"];
    match words.next() {
        Some(Token::Word(word)) if begins.iter().any(|begin| word.eq_ignore_ascii_case(begin)) => {}
        Some(token) => return Err(no_query(token)),
        None => {
            let found = "the empty text".to_owned();
            return Err(Cause::NoQuery { found });
        }
    }
    if tokens.contains(&Token::Other(';')) {
        return Err(Cause::Semicolon);
    }
    Ok(parameters_of(text, &tokens))
}

/// A query for another database: no parameters of ours are bound in it.
pub(crate) fn check_query(text: &str) -> Result<(), Cause> {
    match query(text)?.first() {
        None => Ok(()),
        Some(_) => Err(Cause::VariableHere {
            into: "a query of PostgreSQL",
            instead: "write the value, or filter in sql:",
        }),
    }
}

/// The parameters of an expression, in their order.
///
/// # Errors
/// It is none.
pub(crate) fn expression(text: &str) -> Result<Vec<Parameter<'_>>, Cause> {
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        let found = "the empty text".to_owned();
        return Err(Cause::NoQuery { found });
    }
    // It is put in brackets later, which no bracket of its own may close.
    let mut depth = 0_i64;
    for token in &tokens {
        match token {
            Token::Other('(') => depth += 1,
            Token::Other(')') => depth -= 1,
            Token::Other(';') => return Err(Cause::Semicolon),
            _ => {}
        }
        if depth < 0 {
            return Err(Cause::Unopened);
        }
    }
    if depth > 0 {
        return Err(Cause::Unclosed("a bracket"));
    }
    Ok(parameters_of(text, &tokens))
}

fn parameters_of<'a>(text: &'a str, tokens: &[Token<'a>]) -> Vec<Parameter<'a>> {
    let names = tokens.iter().filter_map(|token| match token {
        Token::Parameter(name) => Some(Parameter {
            name,
            // A name is a part of the text, behind its dollar.
            offset: (name.as_ptr() as usize).saturating_sub(text.as_ptr() as usize + 1),
        }),
        _ => None,
    });
    names.collect()
}

fn no_query(token: &Token<'_>) -> Cause {
    let found = match token {
        Token::Word(word) => word.chars().take(60).collect(),
        Token::Parameter(name) => format!("${name}"),
        Token::Quoted => "a text in quotes".to_owned(),
        Token::Other(character) => character.to_string(),
    };
    Cause::NoQuery { found }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, Cause> {
    if text.len() > SQL_BYTES_MAX {
        let (bytes, most) = (text.len(), SQL_BYTES_MAX);
        return Err(Cause::TooLong { bytes, most });
    }
    if text.contains("${") {
        return Err(Cause::VariableHere {
            into: "SQL",
            instead: "write it under params and $name here, which binds it as a value",
        });
    }
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, length) = token(rest, first)?;
        tokens.extend(token);
        rest = &rest[length..];
    }
    Ok(tokens)
}

/// The piece at the beginning, and how long it is.
fn token(rest: &str, first: char) -> Result<(Option<Token<'_>>, usize), Cause> {
    if let Some(comment) = rest.strip_prefix("--") {
        let length = comment.find('\n').unwrap_or(comment.len());
        return Ok((None, length + 2));
    }
    if rest.starts_with("/*") {
        return Ok((None, comment(rest)?));
    }
    match first {
        '\'' | '"' => {
            let end = quoted(&rest[1..], first, false)?;
            Ok((Some(Token::Quoted), end + 1))
        }
        'e' | 'E' if rest[1..].starts_with('\'') => {
            let end = quoted(&rest[2..], '\'', true)?;
            Ok((Some(Token::Quoted), end + 2))
        }
        '$' => Ok(dollar(rest)),
        _ if is_word(first) => {
            let length = word(rest);
            Ok((Some(Token::Word(&rest[..length])), length))
        }
        _ if first.is_whitespace() => Ok((None, first.len_utf8())),
        _ => Ok((Some(Token::Other(first)), first.len_utf8())),
    }
}

fn is_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

/// How long the word at the beginning is.
fn word(text: &str) -> usize {
    text.find(|character| !is_word(character))
        .unwrap_or(text.len())
}

/// Where what was quoted ends, behind its closing quote; two quotes are one of the text.
fn quoted(text: &str, quote: char, escapes: bool) -> Result<usize, Cause> {
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if escapes && character == '\\' {
            characters.next();
        } else if character == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return Ok(at + 1);
        }
    }
    Err(Cause::Unclosed("a quote"))
}

/// How long a comment is that may have others in it.
fn comment(text: &str) -> Result<usize, Cause> {
    let (mut at, mut depth) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Ok(at);
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    Err(Cause::Unclosed("a comment"))
}

/// A parameter, a text between `$tag$` and `$tag$`, or a dollar.
fn dollar(text: &str) -> (Option<Token<'_>>, usize) {
    let name = &text[1..][..word(&text[1..])];
    let tag = &text[..=name.len()];
    if text[tag.len()..].starts_with('$') {
        let tag = &text[..tag.len() + 1];
        if let Some(end) = text[tag.len()..].find(tag) {
            return (Some(Token::Quoted), end + 2 * tag.len());
        }
    }
    if name.is_empty() {
        return (Some(Token::Other('$')), 1);
    }
    (Some(Token::Parameter(name)), tag.len())
}

/// A name as SQL has it.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL has it.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameters_are_found_where_sql_has_them() {
        let text = "SELECT $a, '$b', \"$c\", $d -- $e\n /* $f /* $g */ */ , $tag$ $h $tag$, E'\\'$i', $j$ + $1";
        let found = query(text).unwrap();
        let names: Vec<_> = found.iter().map(|parameter| parameter.name).collect();
        assert_eq!(names, ["a", "d", "j", "1"]);
        for Parameter { name, offset } in found {
            assert!(text[offset..].starts_with(&format!("${name}")), "{name}");
        }
        let of_expression = expression("a > $x AND b <> 'it''s $y'");
        let (name, offset) = ("x", 4);
        assert_eq!(of_expression, Ok(vec![Parameter { name, offset }]));
    }

    #[test]
    fn what_is_no_single_query_is_refused() {
        for text in ["SELECT 1; SELECT 2", "SELECT 1;"] {
            assert_eq!(query(text), Err(Cause::Semicolon), "{text}");
        }
        for text in ["", "-- nothing", "DELETE FROM a", "'select'", "$a"] {
            assert!(matches!(query(text), Err(Cause::NoQuery { .. })), "{text}");
        }
        for text in ["SELECT 'a", "SELECT \"a", "SELECT /* 1", "SELECT E'\\'"] {
            assert!(matches!(query(text), Err(Cause::Unclosed(_))), "{text}");
        }
        for text in [
            "(SELECT 1)",
            "with a as (select 1) select * from a",
            "VALUES (1)",
            "SELECT ';'",
        ] {
            assert!(query(text).is_ok(), "{text}");
        }
        assert!(matches!(
            query("SELECT '${A}'"),
            Err(Cause::VariableHere { .. })
        ));
    }

    #[test]
    fn an_expression_stays_within_its_brackets() {
        for text in ["", "a) or (b", "(a", "a; b", "a -- )\n)"] {
            assert!(expression(text).is_err(), "{text}");
        }
        for text in ["a = ')'", "(a) and (b)", "a -- )"] {
            assert!(expression(text).is_ok(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "[$a-b'\"/*é();\\\\E \n]{0,30}") {
            let _parameters = (query(&text), expression(&text));
        }

        #[test]
        fn what_is_quoted_is_one_piece(text in "[a'\"$;-]{0,20}") {
            let (literal, identifier) = (literal(&text), identifier(&text));
            prop_assert_eq!(tokens(&literal), Ok(vec![Token::Quoted]));
            prop_assert_eq!(tokens(&identifier), Ok(vec![Token::Quoted]));
        }
    }
}
