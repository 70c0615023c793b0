//! Values that are lines of CSV.

use super::guess::{Guess, of_field};
use super::{InferError, Proposal};
use crate::csv::{Field, fields};
use crate::{COLUMNS_MAX, Column, Contract, Format};

/// What stands between fields, the likeliest first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// What stands for NULL, if it is there at all; nothing is NULL in any case.
const NULLS: [&str; 4] = ["NA", "NULL", "null", "\\N"];

/// Lines of a sample.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    delimiter: u8,
    width: usize,
    rows: Vec<Vec<Field<'a>>>,
    pub(super) misfits: usize,
}

/// The lines, by the delimiter that most of them agree about; `None` if there is none.
pub(super) fn look<'a>(values: &[&'a [u8]]) -> Option<Lines<'a>> {
    let looked = DELIMITERS.map(|delimiter| by(values, delimiter));
    let best = looked.into_iter().flatten();
    // The first of those with the fewest misfits.
    best.reduce(|best, next| {
        if next.misfits < best.misfits {
            next
        } else {
            best
        }
    })
}

fn by<'a>(values: &[&'a [u8]], delimiter: u8) -> Option<Lines<'a>> {
    let read = |value: &&'a [u8]| {
        let line = std::str::from_utf8(value).ok()?;
        // One more than there may be is enough to see that there are too many.
        let fields = fields(line, delimiter).take(COLUMNS_MAX + 1);
        fields.collect::<Result<Vec<_>, _>>().ok()
    };
    let mut rows: Vec<Vec<Field<'a>>> = values.iter().filter_map(read).collect();
    let width = usual_width(&rows)?;
    rows.retain(|row| row.len() == width);
    Some(Lines {
        delimiter,
        width,
        misfits: values.len() - rows.len(),
        rows,
    })
}

/// The number of fields that most rows have; one field alone is no CSV.
fn usual_width(rows: &[Vec<Field<'_>>]) -> Option<usize> {
    let mut counts = vec![0_usize; COLUMNS_MAX + 1];
    for row in rows {
        if let Some(count) = counts.get_mut(row.len()) {
            *count += 1;
        }
    }
    let widths = counts.into_iter().enumerate().skip(2);
    let usual = widths.max_by_key(|(width, count)| (*count, std::cmp::Reverse(*width)));
    usual
        .filter(|(_, count)| *count > 0)
        .map(|(width, _)| width)
}

impl Lines<'_> {
    pub(super) fn proposal(self) -> Result<Proposal, InferError> {
        let null = self.null();
        let mut guesses = vec![Guess::default(); self.width];
        for row in &self.rows {
            for (guess, field) in guesses.iter_mut().zip(row) {
                let is_null = !field.quoted && field.text == null;
                if !is_null {
                    *guess = guess.widened(of_field(&field.text));
                }
            }
        }
        let column = |(index, guess): (usize, Guess)| {
            Column::new(format!("column{}", index + 1), guess.data_type())
        };
        let columns = guesses.into_iter().enumerate().map(column).collect();
        let format = Format::Csv {
            delimiter: self.delimiter,
            null: null.to_owned(),
        };
        Ok(Proposal {
            contract: Contract::new(format, columns)?,
            left_out: Vec::new(),
            misfits: self.misfits,
        })
    }

    fn null(&self) -> &'static str {
        let has = |text: &&str| {
            let mut fields = self.rows.iter().flatten();
            fields.any(|field| !field.quoted && field.text == **text)
        };
        if has(&"") {
            return "";
        }
        NULLS.iter().find(|null| has(null)).copied().unwrap_or("")
    }
}
