//! [`TypedRows`]: the typed columns of a batch of rows.

use std::sync::Arc;

use contract::{Contract, DataType, Format};
use datafusion::arrow::array::{ArrayRef, StringViewBuilder};

use super::avro::Data;
use super::builders::ColumnBuilder;
use super::cell::{Cell, emptied};
use super::compiled::{Compiled, Schema};
use super::csv::Lines;
use super::json::Objects;
use super::json_text;
use super::misfit::{Fault, Faults, Misfit, NoRecord};
use super::protobuf::Messages;

/// What of the typed columns is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) contract: Arc<Compiled>,
    /// Columns of the contract, in the order they are given.
    pub(crate) columns: Vec<usize>,
    /// Whether `_error` is.
    pub(crate) errors: bool,
    /// Whether a record that does not fit ends the query.
    pub(crate) is_strict: bool,
}

/// A column that is looked at.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// Which column of the contract it is.
    pub(super) index: usize,
    pub(super) data_type: DataType,
    pub(super) nullable: bool,
}

/// Typed columns that grow.
#[derive(Debug)]
pub(crate) struct TypedRows {
    /// Those that are asked for, and behind them those that are only checked.
    wanted: Vec<Wanted>,
    builders: Vec<ColumnBuilder>,
    errors: Option<StringViewBuilder>,
    reader: Reader,
    /// The memory of cells.
    cells: Vec<Cell<'static>>,
    faults: Faults,
    is_strict: bool,
}

/// Reads values of one format.
#[derive(Debug)]
enum Reader {
    Json(Objects),
    Csv(Lines),
    Avro(Data),
    Protobuf(Messages),
}

impl TypedRows {
    pub(crate) fn new(selection: &Selection) -> Self {
        let contract = selection.contract.contract();
        let wanted = wanted(contract, selection);
        let builders = wanted.iter().take(selection.columns.len());
        let reader = match (contract.format(), selection.contract.schema()) {
            (Format::Csv { delimiter, null }, _) => {
                let width = contract.columns().len();
                Reader::Csv(Lines::new(*delimiter, null.clone(), width, &wanted))
            }
            (_, Schema::Avro(schema)) => Reader::Avro(Data::new(Arc::clone(schema), &wanted)),
            (_, Schema::Protobuf(message)) => Reader::Protobuf(Messages::new(message, &wanted)),
            _ => Reader::Json(Objects::new(&wanted)),
        };
        Self {
            builders: builders
                .map(|wanted| ColumnBuilder::new(wanted.data_type))
                .collect(),
            errors: selection.errors.then(StringViewBuilder::new),
            reader,
            cells: Vec::new(),
            faults: Faults::new(selection.errors || selection.is_strict),
            is_strict: selection.is_strict,
            wanted,
        }
    }

    /// About how many bytes the columns of a value of so many bytes take at most, beside the value's own.
    pub(crate) fn row_bytes(&self, value_bytes: usize) -> usize {
        const ERROR_BYTES: usize = 8 << 10;
        let errors = if self.errors.is_some() {
            ERROR_BYTES
        } else {
            0
        };
        let nested = match self.reader {
            Reader::Json(_) | Reader::Csv(_) => 0,
            Reader::Avro(_) | Reader::Protobuf(_) => json_text::bytes_max(value_bytes),
        };
        nested.saturating_add(16 * self.builders.len() + errors)
    }

    /// Adds a row. Returns about how many bytes it takes.
    pub(crate) fn push(&mut self, value: Option<&[u8]>) -> Result<usize, Fault> {
        let mut cells = emptied(std::mem::take(&mut self.cells));
        cells.resize(self.wanted.len(), Cell::Absent);
        self.faults.clear();
        if let Some(value) = value {
            self.read(value, &mut cells);
        }
        let outcome = self.append(&cells);
        self.cells = emptied(cells);
        outcome
    }

    fn read<'a>(&mut self, value: &'a [u8], cells: &mut [Cell<'a>]) {
        let (wanted, faults) = (&self.wanted, &mut self.faults);
        let outcome = match &mut self.reader {
            Reader::Json(objects) => objects.read(value, wanted, cells, faults),
            Reader::Csv(lines) => lines.read(value, wanted, cells, faults),
            Reader::Avro(data) => data.read(value, wanted, cells, faults),
            Reader::Protobuf(messages) => messages.read(value, wanted, cells, faults),
        };
        match outcome {
            Ok(()) => self.check_nullable(cells),
            Err(cause) => self.spoil(&cause, cells),
        }
    }

    /// Nothing is known of a value that is not of its format, even if it began well.
    fn spoil(&mut self, cause: &NoRecord, cells: &mut [Cell<'_>]) {
        cells.fill(Cell::Misfit);
        self.faults.set(cause);
    }

    fn check_nullable(&mut self, cells: &[Cell<'_>]) {
        for (wanted, cell) in self.wanted.iter().zip(cells) {
            if wanted.nullable {
                continue;
            }
            match cell {
                Cell::Absent => self.faults.add(&wanted.name, &Misfit::Missing),
                Cell::Null => self.faults.add(&wanted.name, &Misfit::Null),
                _ => {}
            }
        }
    }

    fn append(&mut self, cells: &[Cell<'_>]) -> Result<usize, Fault> {
        let fault = self.faults.text();
        if self.is_strict
            && let Some(fault) = fault
        {
            return Err(Fault(fault.to_owned()));
        }
        let mut bytes = 0;
        if let Some(errors) = &mut self.errors {
            bytes += 16 + fault.map_or(0, str::len);
            errors.append_option(fault);
        }
        for (builder, cell) in self.builders.iter_mut().zip(cells) {
            bytes += builder.append(cell);
        }
        Ok(bytes)
    }

    /// The column that was asked for in this place, so far; it is empty afterwards.
    pub(crate) fn finish(&mut self, place: usize) -> Option<ArrayRef> {
        self.builders.get_mut(place).map(ColumnBuilder::finish)
    }

    /// What is wrong with the rows so far; nothing afterwards.
    pub(crate) fn finish_errors(&mut self) -> Option<ArrayRef> {
        let errors = self.errors.as_mut()?;
        Some(Arc::new(errors.finish()))
    }
}

/// Whoever asks for `_error` asks whether all columns fit.
fn wanted(contract: &Contract, selection: &Selection) -> Vec<Wanted> {
    let columns = contract.columns();
    let mut indices = selection.columns.clone();
    if selection.errors {
        let known: std::collections::HashSet<usize> = indices.iter().copied().collect();
        indices.extend((0..columns.len()).filter(|index| !known.contains(index)));
    }
    let wanted = indices.into_iter().filter_map(|index| {
        let column = columns.get(index)?;
        Some(Wanted {
            name: column.name.clone(),
            index,
            data_type: column.data_type,
            nullable: column.nullable,
        })
    });
    wanted.collect()
}
