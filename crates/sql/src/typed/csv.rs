//! Lines of CSV: one to a value, its fields in the order of the columns.

use contract::csv::{CsvError, fields};

use super::cell::Cell;
use super::convert;
use super::misfit::{Faults, NoRecord};
use super::rows::Wanted;

/// Reads lines.
#[derive(Debug)]
pub(super) struct Lines {
    delimiter: u8,
    null: String,
    /// The cell of each field, if it is wanted.
    cells: Vec<Option<usize>>,
}

impl Lines {
    /// Lines of `width` fields.
    pub(super) fn new(delimiter: u8, null: String, width: usize, wanted: &[Wanted]) -> Self {
        let mut cells = vec![None; width];
        for (cell, wanted) in wanted.iter().enumerate() {
            if let Some(of_field) = cells.get_mut(wanted.index) {
                *of_field = Some(cell);
            }
        }
        Self {
            delimiter,
            null,
            cells,
        }
    }

    /// Reads a line, each column into its cell.
    pub(super) fn read<'a>(
        &self,
        value: &'a [u8],
        wanted: &[Wanted],
        cells: &mut [Cell<'a>],
        faults: &mut Faults,
    ) -> Result<(), NoRecord> {
        let text = std::str::from_utf8(value);
        let text = text.map_err(|error| NoRecord::NotText(error.valid_up_to()))?;
        let mut fields = fields(text, self.delimiter);
        for (index, of_field) in self.cells.iter().enumerate() {
            let Some(field) = fields.next().transpose()? else {
                return Err(self.count(index));
            };
            let target = of_field.and_then(|at| Some((wanted.get(at)?, cells.get_mut(at)?)));
            let Some((column, cell)) = target else {
                continue;
            };
            if !field.quoted && *field.text == *self.null {
                *cell = Cell::Null;
                continue;
            }
            *cell = convert::text(field.text, column.data_type).unwrap_or_else(|misfit| {
                faults.add(&column.name, &misfit);
                Cell::Misfit
            });
        }
        let more: Result<usize, CsvError> =
            fields.try_fold(0, |more, field| field.map(|_one| more + 1));
        match more? {
            0 => Ok(()),
            more => Err(self.count(self.cells.len() + more)),
        }
    }

    fn count(&self, found: usize) -> NoRecord {
        NoRecord::FieldCount {
            found,
            expected: self.cells.len(),
        }
    }
}
