//! Where the words of a query stand.

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

/// The byte of a text at a line and a character of it, both counted from 1.
pub(super) fn offset(text: &str, at: Location) -> Option<usize> {
    let line = usize::try_from(at.line.checked_sub(1)?).ok()?;
    let column = usize::try_from(at.column.checked_sub(1)?).ok()?;
    let mut begin = 0;
    for _ in 0..line {
        begin += text.get(begin..)?.find('\n')? + 1;
    }
    let rest = text.get(begin..)?;
    let within = rest.char_indices().nth(column);
    Some(begin + within.map_or(rest.len(), |(at, _)| at))
}

/// The words of a query with their places.
#[derive(Debug)]
pub(super) struct Words<'a> {
    sql: &'a str,
    tokens: Vec<TokenWithSpan>,
}

impl<'a> Words<'a> {
    pub(super) fn of(sql: &'a str) -> Self {
        let mut tokens = Vec::new();
        // What is no SQL has no words; the parser tells it.
        let _read =
            Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location_into_buf(&mut tokens);
        tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
        Self { sql, tokens }
    }

    /// The byte where these keywords stand one behind the other for the first time; the beginning if they do not.
    pub(super) fn find(&self, keywords: &[&str]) -> usize {
        let is_here = |window: &[TokenWithSpan]| {
            let mut each = window.iter().zip(keywords);
            each.all(|(token, keyword)| is_word(&token.token, keyword))
        };
        let mut windows = self.tokens.windows(keywords.len().max(1));
        let found = windows.find(|window| is_here(window));
        let first = found.and_then(<[_]>::first);
        first.map_or(0, |token| self.offset(token.span.start))
    }

    /// The byte where the last word is that names this; the beginning if there is none.
    pub(super) fn name(&self, name: &str) -> usize {
        let is_it = |token: &&TokenWithSpan| match &token.token {
            Token::Word(word) if word.quote_style.is_some() => word.value == name,
            Token::Word(word) => word.value.to_lowercase() == name,
            _ => false,
        };
        let found = self.tokens.iter().rev().find(is_it);
        found.map_or(0, |token| self.offset(token.span.start))
    }

    /// The byte where this text stands in quotes for the first time; the beginning if it does not.
    pub(super) fn literal(&self, text: &str) -> usize {
        let is_it = |token: &&TokenWithSpan| match &token.token {
            Token::SingleQuotedString(found) | Token::EscapedStringLiteral(found) => found == text,
            Token::DollarQuotedString(found) => found.value == text,
            _ => false,
        };
        let found = self.tokens.iter().find(is_it);
        found.map_or(0, |token| self.offset(token.span.start))
    }

    pub(super) fn offset(&self, at: Location) -> usize {
        offset(self.sql, at).unwrap_or_default()
    }
}

fn is_word(token: &Token, keyword: &str) -> bool {
    match token {
        Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword),
        other => other.to_string() == keyword,
    }
}
