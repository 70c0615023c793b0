//! [`Growth`]: about how many bytes a call makes, told by its arguments before anything is made.
//!
//! Bounds that cost little come first: matches are counted only where as many as can be would be too many.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::length::length;
use datafusion::arrow::datatypes::{
    DataType, Float64Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::error::Result;
use datafusion::functions::regex::regexpcount::regexp_count_func;
use datafusion::logical_expr::ColumnarValue;

use super::BYTES_MAX;

/// A character that a text is filled up with, and an item of a list, take so much at most or about.
const FILL_BYTES: u64 = 4;
const ITEM_BYTES: u64 = 8;
/// An item of a list of texts, beside its text.
const TEXT_BYTES: u64 = 16;
/// A number as text, and one of the largest or smallest.
const NUMBER_BYTES: u64 = 40;
const LONG_NUMBER_BYTES: u64 = 350;
/// A time as text, and what a byte of a format becomes: `%c` is 24 bytes.
const TIME_BYTES: u64 = 64;
const FORMAT_TIMES: u64 = 16;
const DAY_SECONDS: f64 = 86_400.0;

/// How long a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Growth {
    /// The first argument as often as the second says.
    Times,
    /// As many characters as the second argument says.
    Characters,
    /// As many items of one argument as another says.
    Items { count: usize, item: usize },
    /// What lies between the first argument and the second, or up to the only one, in steps of the third.
    Numbers,
    /// All arguments.
    Sum,
    /// All arguments with the first between them.
    Separated,
    /// The first with the third wherever it has the second.
    Replaced,
    /// The first with the third wherever the regular expression of the second matches.
    Matches,
    /// A time in the format of the second.
    Formatted,
    /// The items of the first as texts with the second between them, and the third for those that are NULL.
    Joined,
    /// The parts of the first between what the second is.
    Split,
    /// The list of the first with the third for some of its items.
    Substituted,
    /// A number: where in the first the second is, from the third on.
    Place,
}

/// The arguments of a call.
pub(super) struct Call<'a> {
    arguments: &'a [ColumnarValue],
    rows: usize,
    is_constant: bool,
}

/// What an argument has in each row.
enum Each<T> {
    Same(T),
    Other(Vec<T>),
}

impl<T: Copy + Default> Each<T> {
    fn at(&self, row: usize) -> T {
        match self {
            Self::Same(value) => *value,
            Self::Other(values) => values.get(row).copied().unwrap_or_default(),
        }
    }
}

impl<'a> Call<'a> {
    pub(super) fn new(arguments: &'a [ColumnarValue], rows: usize) -> Self {
        let is_constant = |value: &ColumnarValue| matches!(value, ColumnarValue::Scalar(_));
        let is_constant = arguments.iter().all(is_constant);
        Self {
            arguments,
            // Of constants the result is made once.
            rows: if is_constant { 1 } else { rows },
            is_constant,
        }
    }

    /// Whether all arguments are constants.
    pub(super) const fn is_constant(&self) -> bool {
        self.is_constant
    }

    /// As an array, of one row if it is constant.
    fn array(&self, place: usize) -> Result<Option<ArrayRef>> {
        let argument = self.arguments.get(place);
        let array = argument.map(|argument| match argument {
            ColumnarValue::Array(array) => Ok(array.clone()),
            ColumnarValue::Scalar(value) => value.to_array_of_size(1),
        });
        array.transpose()
    }

    fn each<T: Copy>(
        &self,
        place: usize,
        missing: T,
        of: impl Fn(&ArrayRef) -> Result<Vec<T>>,
    ) -> Result<Each<T>> {
        let Some(array) = self.array(place)? else {
            return Ok(Each::Same(missing));
        };
        let values = of(&array)?;
        Ok(match self.arguments.get(place) {
            Some(ColumnarValue::Array(_)) => Each::Other(values),
            _ => Each::Same(values.first().copied().unwrap_or(missing)),
        })
    }

    /// Bytes of each value; 0 if there is no such argument.
    fn sizes(&self, place: usize) -> Result<Each<u64>> {
        if let Some(ColumnarValue::Scalar(value)) = self.arguments.get(place)
            && let Some(Some(text)) = value.try_as_str()
        {
            return Ok(Each::Same(text.len() as u64));
        }
        self.each(place, 0, sizes)
    }

    fn numbers(&self, place: usize) -> Result<Each<u64>> {
        self.each(place, 0, numbers)
    }

    fn texts(&self, place: usize) -> Result<Option<ArrayRef>> {
        let array = self.array(place)?;
        let texts = array.map(|array| cast(&array, &DataType::Utf8View));
        Ok(texts.transpose()?)
    }

    fn sum(&self, of: impl Fn(usize) -> u64) -> u64 {
        (0..self.rows).map(of).fold(0, u64::saturating_add)
    }

    fn sum_of(&self, sizes: &Each<u64>) -> u64 {
        match sizes {
            Each::Same(size) => size.saturating_mul(self.rows as u64),
            Each::Other(_) => self.sum(|row| sizes.at(row)),
        }
    }

    fn sum_of_all(&self) -> Result<u64> {
        let mut sum: u64 = 0;
        for place in 0..self.arguments.len() {
            sum = sum.saturating_add(self.sum_of(&self.sizes(place)?));
        }
        Ok(sum)
    }

    /// What constants take beside columns: functions may write them out for each row.
    fn constants(&self) -> Result<u64> {
        let mut sum: u64 = 0;
        for (place, argument) in self.arguments.iter().enumerate() {
            if !self.is_constant && matches!(argument, ColumnarValue::Scalar(_)) {
                sum = sum.saturating_add(self.sum_of(&self.sizes(place)?));
            }
        }
        Ok(sum)
    }
}

impl Growth {
    /// Which argument is a number of characters or items, where those below 0 are as good as 0.
    pub(super) const fn counted(self) -> Option<usize> {
        match self {
            Self::Characters => Some(1),
            Self::Place => Some(2),
            _ => None,
        }
    }

    /// About how many bytes a call makes.
    pub(super) fn bytes(self, call: &Call<'_>) -> Result<u64> {
        let made = match self {
            // They count constants themselves.
            Self::Sum => return call.sum_of_all(),
            Self::Place => return Ok(0),
            Self::Times => {
                let (sizes, times) = (call.sizes(0)?, call.numbers(1)?);
                call.sum(|row| sizes.at(row).saturating_mul(times.at(row)))
            }
            Self::Items { count, item } => {
                let (counts, sizes) = (call.numbers(count)?, call.sizes(item)?);
                call.sum(|row| {
                    let size = sizes.at(row).max(ITEM_BYTES);
                    counts.at(row).saturating_mul(size)
                })
            }
            Self::Characters => {
                let counts = call.numbers(1)?;
                call.sum_of(&counts).saturating_mul(FILL_BYTES)
            }
            Self::Numbers => steps(call)?.saturating_mul(ITEM_BYTES),
            Self::Separated => {
                let separators = call.sum_of(&call.sizes(0)?);
                let gaps = call.arguments.len() as u64;
                call.sum_of_all()?
                    .saturating_add(separators.saturating_mul(gaps))
            }
            Self::Replaced => replaced(call)?,
            Self::Matches => matches_replaced(call)?,
            Self::Formatted => {
                let formats = call.sizes(1)?;
                call.sum(|row| TIME_BYTES.saturating_add(formats.at(row) * FORMAT_TIMES))
            }
            Self::Joined => joined(call)?,
            Self::Split => {
                let (texts, separators) = (call.sizes(0)?, call.sizes(1)?);
                call.sum(|row| {
                    let text = texts.at(row);
                    let parts = text / separators.at(row).max(1) + 1;
                    text.saturating_add(parts.saturating_mul(TEXT_BYTES))
                })
            }
            Self::Substituted => {
                let list = call.array(0)?;
                let (sizes, by) = (call.sizes(0)?, call.sizes(2)?);
                let items = |row: usize| list.as_ref().map_or(0, |list| measured(list, row).0);
                call.sum(|row| {
                    let row_of_list = if list.as_ref().is_some_and(|list| list.len() == 1) {
                        0
                    } else {
                        row
                    };
                    let by = items(row_of_list).saturating_mul(by.at(row));
                    sizes.at(row).saturating_add(by)
                })
            }
        };
        Ok(made.saturating_add(call.constants()?))
    }
}

fn replaced(call: &Call<'_>) -> Result<u64> {
    let (texts, olds, news) = (call.sizes(0)?, call.sizes(1)?, call.sizes(2)?);
    let with = |row: usize, matches: u64| {
        let news = matches.saturating_mul(news.at(row));
        texts.at(row).saturating_add(news)
    };
    let most = call.sum(|row| match olds.at(row) {
        0 => with(row, texts.at(row) + 1),
        old => with(row, texts.at(row) / old),
    });
    let (Some(text), Some(old)) = (call.texts(0)?, call.texts(1)?) else {
        return Ok(most);
    };
    if most <= BYTES_MAX {
        return Ok(most);
    }
    Ok(call.sum(|row| {
        let matches = match (text_at(&text, row), text_at(&old, row)) {
            (Some(text), Some("")) => text.len() as u64 + 1,
            (Some(text), Some(old)) => text.matches(old).count() as u64,
            _ => 0,
        };
        with(row, matches)
    }))
}

/// The text of a row, where a constant has one for all.
fn text_at(texts: &ArrayRef, row: usize) -> Option<&str> {
    let texts = texts.as_string_view();
    let row = if texts.len() == 1 { 0 } else { row };
    (row < texts.len() && texts.is_valid(row)).then(|| texts.value(row))
}

fn matches_replaced(call: &Call<'_>) -> Result<u64> {
    let (texts, news) = (call.sizes(0)?, call.sizes(2)?);
    let (Some(new), flags) = (call.texts(2)?, call.texts(3)?) else {
        return Ok(0);
    };
    let is_global = |row: usize| {
        let flags = flags.as_ref().and_then(|flags| text_at(flags, row));
        flags.is_some_and(|flags| flags.contains('g'))
    };
    let with = |row: usize, matches: u64| {
        let new = text_at(&new, row).unwrap_or_default();
        // What groups matched is in the text as well.
        let groups = new.matches(['\\', '$']).count() as u64;
        let groups = groups.saturating_mul(texts.at(row));
        let news = matches.saturating_mul(news.at(row));
        texts.at(row).saturating_add(groups).saturating_add(news)
    };
    let most = call.sum(|row| with(row, if is_global(row) { texts.at(row) + 1 } else { 1 }));
    let written_out = call.constants()?;
    let (Some(text), Some(pattern)) = (call.texts(0)?, call.texts(1)?) else {
        return Ok(most);
    };
    if most <= BYTES_MAX || written_out > BYTES_MAX {
        return Ok(most);
    }
    let column = |of: &ArrayRef| -> ArrayRef {
        let texts = (0..call.rows).map(|row| text_at(of, row));
        Arc::new(texts.collect::<StringViewArray>())
    };
    let flags: StringViewArray = (0..call.rows)
        .map(|row| {
            let flags = flags.as_ref().and_then(|flags| text_at(flags, row));
            Some(flags.unwrap_or_default().replace('g', ""))
        })
        .collect();
    let start = Int64Array::from(vec![1; call.rows]);
    let counts = regexp_count_func(&[
        column(&text),
        column(&pattern),
        Arc::new(start),
        Arc::new(flags),
    ])?;
    let counts = counts.as_primitive::<Int64Type>();
    Ok(call.sum(|row| {
        let is_everywhere = text_at(&pattern, row) == Some("");
        let matches = if !is_global(row) {
            1
        } else if is_everywhere {
            texts.at(row) + 1
        } else {
            let count = counts.is_valid(row).then(|| counts.value(row));
            count.unwrap_or_default().max(0).unsigned_abs()
        };
        with(row, matches)
    }))
}

fn joined(call: &Call<'_>) -> Result<u64> {
    let Some(lists) = call.array(0)? else {
        return Ok(0);
    };
    let (separators, nulls) = (call.sizes(1)?, call.sizes(2)?);
    let is_constant = matches!(call.arguments.first(), Some(ColumnarValue::Scalar(_)));
    let constant = is_constant.then(|| measured(&lists, 0));
    Ok(call.sum(|row| {
        let (items, bytes) = constant.unwrap_or_else(|| measured(&lists, row));
        let between = separators.at(row).saturating_add(nulls.at(row));
        bytes.saturating_add(items.saturating_mul(between))
    }))
}

/// How many items the list of a row has, those of lists in it too, and how many bytes they are as texts.
fn measured(lists: &ArrayRef, row: usize) -> (u64, u64) {
    items(lists, row).map_or((0, 0), |items| measure(&items))
}

fn items(lists: &ArrayRef, row: usize) -> Option<ArrayRef> {
    if row >= lists.len() || lists.is_null(row) {
        return None;
    }
    Some(match lists.data_type() {
        DataType::List(_) => lists.as_list::<i32>().value(row),
        DataType::LargeList(_) => lists.as_list::<i64>().value(row),
        DataType::FixedSizeList(..) => lists.as_fixed_size_list().value(row),
        DataType::ListView(_) => lists.as_list_view::<i32>().value(row),
        DataType::LargeListView(_) => lists.as_list_view::<i64>().value(row),
        _ => return None,
    })
}

fn measure(values: &ArrayRef) -> (u64, u64) {
    let count = values.len() as u64;
    match values.data_type() {
        DataType::Null => (count, 0),
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => {
            let each = (0..values.len()).map(|row| measured(values, row));
            each.fold((0, 0), |sum: (u64, u64), (items, bytes)| {
                (sum.0.saturating_add(items), sum.1.saturating_add(bytes))
            })
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let sizes = sizes(values).unwrap_or_default();
            (count, sizes.into_iter().fold(0, u64::saturating_add))
        }
        DataType::Float64 => {
            let values = values.as_primitive::<Float64Type>();
            let sizes = values.values().iter().map(|value| {
                let is_short = *value == 0.0 || (1e-17..1e17).contains(&value.abs());
                if is_short {
                    NUMBER_BYTES
                } else {
                    LONG_NUMBER_BYTES
                }
            });
            (count, sizes.sum())
        }
        _ => (count, count.saturating_mul(NUMBER_BYTES)),
    }
}

/// How many steps lie between the first two arguments.
fn steps(call: &Call<'_>) -> Result<u64> {
    let Some(first) = call.array(0)? else {
        return Ok(0);
    };
    let is_time = |array: &ArrayRef| {
        matches!(
            array.data_type(),
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)
        )
    };
    let second = call.array(1)?;
    if first.data_type().is_integer() {
        let from = call.each(0, 0, signed)?;
        if second.is_none() {
            return Ok(call.sum(|row| from.at(row).max(0).unsigned_abs()));
        }
        let (to, by) = (call.each(1, 0, signed)?, call.each(2, 1, signed)?);
        return Ok(call.sum(|row| {
            let by = by.at(row).unsigned_abs().max(1);
            from.at(row).abs_diff(to.at(row)) / by
        }));
    }
    if is_time(&first) && second.as_ref().is_some_and(is_time) {
        let (from, to) = (call.each(0, 0, seconds)?, call.each(1, 0, seconds)?);
        let by = call.each(2, f64::INFINITY, interval_seconds)?;
        return Ok(call.sum(|row| {
            let between = from.at(row).abs_diff(to.at(row)).saturating_add(1);
            count_of(between, by.at(row))
        }));
    }
    Ok(0)
}

/// How many steps of so many seconds lie in others.
fn count_of(seconds: u64, step: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a number of steps, about; what is too large becomes the largest"
    )]
    let count = (seconds as f64 / step) as u64;
    count
}

/// Seconds of a time since 1970, without parts of them.
fn seconds(times: &ArrayRef) -> Result<Vec<i64>> {
    let zone = match times.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let times = cast(times, &DataType::Timestamp(TimeUnit::Second, zone))?;
    signed(&times)
}

/// The seconds that an interval has at least. 0 for what goes forth and back: it may never arrive.
fn interval_seconds(intervals: &ArrayRef) -> Result<Vec<f64>> {
    let all = DataType::Interval(IntervalUnit::MonthDayNano);
    let intervals = cast(intervals, &all)?;
    let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
    let seconds = intervals.iter().map(|interval| {
        let Some(interval) = interval else {
            return f64::INFINITY;
        };
        #[expect(clippy::cast_precision_loss, reason = "about")]
        let nanoseconds = interval.nanoseconds as f64;
        let parts = [
            f64::from(interval.months) * 28.0 * DAY_SECONDS,
            f64::from(interval.days) * DAY_SECONDS,
            nanoseconds / 1e9,
        ];
        let is_forth = parts.iter().any(|part| *part > 0.0);
        let is_back = parts.iter().any(|part| *part < 0.0);
        match (is_forth, is_back) {
            (true, true) => 0.0,
            // It is refused, for it leads nowhere.
            (false, false) => f64::INFINITY,
            _ => parts.iter().sum::<f64>().abs(),
        }
    });
    Ok(seconds.collect())
}

/// Bytes of each value; of what is no text, about.
fn sizes(array: &ArrayRef) -> Result<Vec<u64>> {
    match array.data_type() {
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView => numbers(&length(array)?),
        _ => {
            let average = array.get_array_memory_size() / array.len().max(1);
            let average = u64::try_from(average).unwrap_or(u64::MAX);
            Ok(vec![average.max(ITEM_BYTES); array.len()])
        }
    }
}

/// As whole numbers from 0 on; NULL is 0.
fn numbers(array: &ArrayRef) -> Result<Vec<u64>> {
    let signed = signed(array)?.into_iter();
    Ok(signed.map(|number| number.max(0).unsigned_abs()).collect())
}

fn signed(array: &ArrayRef) -> Result<Vec<i64>> {
    let numbers = cast(array, &DataType::Int64)?;
    let numbers = numbers.as_primitive::<Int64Type>();
    Ok(numbers.iter().map(Option::unwrap_or_default).collect())
}
