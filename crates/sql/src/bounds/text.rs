//! A text as tokens: how deep operators stand in each other, and how many queries there are.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{QUERIES_MAX, TELL_APART, TooMuch};

/// What begins or joins queries and tables.
const QUERIES: [&str; 6] = ["SELECT", "UNION", "INTERSECT", "EXCEPT", "JOIN", "VALUES"];

/// How deep these words stand in each other: for each of them the parser tries what is behind it once more if it is no SQL, and for
/// those in it as well. So each of them doubles what a text that is no SQL costs.
const TRIED_MAX: usize = 14;
const TRIED: [&str; 18] = [
    "ARRAY",
    "CASE",
    "CAST",
    "CEIL",
    "CONVERT",
    "EXISTS",
    "EXTRACT",
    "FLOOR",
    "INTERVAL",
    "MATCH",
    "NOT",
    "OVERLAY",
    "POSITION",
    "STRUCT",
    "SUBSTR",
    "SUBSTRING",
    "TRIM",
    "TRY_CAST",
];

const SPLIT: &str =
    "write lists of values with IN, and parts of an expression as columns of a subquery";

/// Refuses a text that is about to be parsed: more than `depth_max` operators stand in each other, where those that follow one another
/// do too, or it has too many queries.
///
/// # Errors
/// [`TooMuch`].
pub(crate) fn admit_text(tokens: &[TokenWithSpan], depth_max: usize) -> Result<(), TooMuch> {
    let tokens = tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_)));
    let mut tokens = tokens.peekable();
    let (mut depth, mut queries) = (Depth::default(), 0);
    while let Some(TokenWithSpan { token, span }) = tokens.next() {
        queries += usize::from(is_one_of(token, &QUERIES));
        depth.add(token, tokens.peek().map(|next| &next.token));
        let (most, what, hint) = if queries > QUERIES_MAX {
            (
                QUERIES_MAX,
                "queries and joins are in one statement",
                TELL_APART,
            )
        } else if depth.now() > depth_max {
            (depth_max, "operators stand in each other here", SPLIT)
        } else if depth.tried_now() > TRIED_MAX {
            (
                TRIED_MAX,
                "CASE, CAST, NOT and their like stand in each other here",
                SPLIT,
            )
        } else {
            continue;
        };
        return Err(TooMuch {
            message: format!("more than {most} {what}"),
            hint,
            at: Some(span.start),
        });
    }
    Ok(())
}

/// Whether a token is one of these keywords, in capitals.
fn is_one_of(token: &Token, keywords: &[&str]) -> bool {
    match token {
        Token::Word(word) if word.quote_style.is_none() => keywords
            .iter()
            .any(|keyword| word.value.eq_ignore_ascii_case(keyword)),
        _ => false,
    }
}

/// How deep a token stands, about: operators of one kind that follow each other make a tree that is as deep as they are many.
#[derive(Default)]
struct Depth {
    /// Of the brackets around.
    around: Vec<(usize, usize)>,
    sum_around: usize,
    /// AND and OR so far, and other operators since the last of them.
    logical: usize,
    others: usize,
    /// CASE without its END, and other words that are tried, which are read with their brackets; around and here.
    tried_around: Vec<(usize, usize)>,
    cases: usize,
    tried: usize,
}

impl Depth {
    fn now(&self) -> usize {
        self.sum_around + self.around.len() + self.logical + self.others
    }

    /// Those around are open; those here are behind each other, or one in another.
    fn tried_now(&self) -> usize {
        let around = self.tried_around.iter();
        around.map(|(cases, tried)| cases + tried).sum::<usize>() + self.cases + self.tried
    }

    fn add(&mut self, token: &Token, next: Option<&Token>) {
        match token {
            Token::LParen | Token::LBracket => {
                self.tried_around.push((self.cases, self.tried));
                (self.cases, self.tried) = (0, 0);
                // Subscripts follow each other as operators do.
                self.others += usize::from(*token == Token::LBracket);
                self.around.push((self.logical, self.others));
                self.sum_around += self.logical + self.others;
                (self.logical, self.others) = (0, 0);
            }
            Token::RParen | Token::RBracket => {
                let (cases, tried) = self.tried_around.pop().unwrap_or_default();
                (self.cases, self.tried) = (cases, tried.saturating_sub(1));
                let (logical, others) = self.around.pop().unwrap_or_default();
                self.sum_around = self.sum_around.saturating_sub(logical + others);
                (self.logical, self.others) = (logical, others);
            }
            Token::Comma => (self.logical, self.others, self.tried) = (0, 0, 0),
            Token::Word(word) if word.quote_style.is_none() => {
                let word = word.value.to_ascii_uppercase();
                if TRIED.contains(&word.as_str()) && next.is_some_and(goes_on) {
                    self.tried += 1;
                }
                match word.as_str() {
                    "CASE" => self.cases += 1,
                    "END" => self.cases = self.cases.saturating_sub(1),
                    "AND" | "OR" => {
                        self.logical += 1;
                        (self.others, self.tried) = (0, 0);
                    }
                    "IS" | "NOT" | "IN" | "LIKE" | "ILIKE" | "SIMILAR" | "BETWEEN" | "AT"
                    | "COLLATE" | "DIV" => self.others += 1,
                    "SELECT" | "FROM" | "WHERE" | "WHEN" | "THEN" | "ELSE" | "UNION" => {
                        (self.logical, self.others, self.tried) = (0, 0, 0);
                    }
                    _ => {}
                }
            }
            Token::Word(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::Placeholder(_)
            | Token::Period
            | Token::EOF => {}
            _ => self.others += 1,
        }
    }
}

/// Whether a word that is tried has an expression behind it.
fn goes_on(next: &Token) -> bool {
    match next {
        Token::LParen | Token::LBracket => true,
        Token::Word(word) => TRIED.contains(&word.value.to_ascii_uppercase().as_str()),
        _ => false,
    }
}
