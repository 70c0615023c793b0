//! How much a query may be. Parser, planner and evaluation go down the trees of expressions and queries by recursion, and WITH can
//! make a tree of a short text that is far larger than it.
//!
//! Invariant: what passes has trees of a bounded depth and size. It is looked at as tokens, before anything is made of it, and as a
//! statement before it is planned.

use std::collections::HashMap;

use datafusion::sql::sqlparser::ast::{Query, SetExpr, Statement, TableFactor};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::bind::folded;
use super::fault::{Fault, Place};
use super::words::Words;

/// The most SELECTs of a text.
const SELECTS_MAX: usize = 200;
/// The most times that inputs are read, when names of WITH are replaced by what they stand for.
const SCANS_MAX: usize = 1000;
/// How deep operators stand in each other: those that follow one another do, too.
const DEPTH_MAX: usize = 250;

/// How deep these words stand in each other: for each of them the parser tries what is behind it once more if it is no SQL, and for
/// those in it as well.
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

/// What is too much of a text that is about to be parsed.
pub(super) fn of_text(words: &Words<'_>, place: &Place) -> Option<Fault> {
    let selects = words.count("SELECT");
    if selects > SELECTS_MAX {
        let message = format!("{selects} SELECTs are more than {SELECTS_MAX}");
        let fault = Fault::new(place.clone(), message);
        return Some(fault.hint("let several pipelines write one topic each, and read them"));
    }
    let mut depth = Depth::default();
    let mut tokens = words.tokens().peekable();
    while let Some((token, at)) = tokens.next() {
        depth.add(token, tokens.peek().map(|(next, _)| *next));
        let too_deep = if depth.now() > DEPTH_MAX {
            Some((DEPTH_MAX, "operators stand in each other here"))
        } else if depth.tried_now() > TRIED_MAX {
            Some((
                TRIED_MAX,
                "CASE, CAST, NOT and their like stand in each other here",
            ))
        } else {
            None
        };
        if let Some((most, what)) = too_deep {
            let place = match place {
                Place::Sql(_) => Place::Sql(words.offset(at)),
                other => other.clone(),
            };
            let message = format!("more than {most} {what}");
            let hint = "write lists of values with IN, and parts of an expression as columns of a subquery";
            return Some(Fault::new(place, message).hint(hint));
        }
    }
    None
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

/// What is too much of a statement that is about to be planned.
pub(super) fn of_statement(statement: &Statement) -> Option<Fault> {
    let Statement::Query(query) = statement else {
        return None;
    };
    let scans = of_query(query, &HashMap::new());
    (scans > SCANS_MAX).then(|| {
        let message =
            format!("the query reads its inputs {scans} times, which is more than {SCANS_MAX}");
        let hint = "names of WITH are read as often as they are written; write each part once";
        Fault::new(Place::Sql(0), message).hint(hint)
    })
}

/// How often a query reads something, where names stand for what reads so often.
fn of_query(query: &Query, around: &HashMap<String, usize>) -> usize {
    let mut known = around.clone();
    for table in query.with.iter().flat_map(|with| &with.cte_tables) {
        let scans = of_query(&table.query, &known);
        known.insert(folded(&table.alias.name), scans);
    }
    of_body(&query.body, &known)
}

fn of_body(body: &SetExpr, known: &HashMap<String, usize>) -> usize {
    match body {
        SetExpr::Query(query) => of_query(query, known),
        SetExpr::SetOperation { left, right, .. } => {
            of_body(left, known).saturating_add(of_body(right, known))
        }
        SetExpr::Select(select) => {
            let from = select.from.iter();
            let scans = from.map(|from| match &from.relation {
                TableFactor::Derived { subquery, .. } => of_query(subquery, known),
                TableFactor::Table { name, .. } => {
                    let name = name.0.last().and_then(|part| part.as_ident()).map(folded);
                    let scans = name.and_then(|name| known.get(&name));
                    scans.copied().unwrap_or(1)
                }
                _ => 1,
            });
            scans.fold(0, usize::saturating_add)
        }
        _ => 1,
    }
}
