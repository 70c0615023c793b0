//! [`Bounded`]: functions whose results can be far longer than what they are given.
//!
//! What functions make is not counted against the memory of queries before it is there, and nothing stops them in between. So
//! these are refused before they begin if a batch of rows would take too much.
//!
//! Invariant: what one call gives has at most [`BYTES_MAX`] bytes, as far as its arguments tell.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::length::length;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::resources_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};

/// What a call may give, for all rows of a batch.
const BYTES_MAX: u64 = 256 << 20;
/// A character that a text is filled up with, and an item of a list, take so much at most or about.
const FILL_BYTES: u64 = 4;
const ITEM_BYTES: u64 = 8;

/// How long a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// The first argument as often as the second says.
    Times,
    /// As many characters as the second argument says.
    Characters,
    /// As many items as the second argument says.
    Items,
    /// The whole numbers from the first argument to the second, or up to the only one.
    Numbers,
}

const GROWING: [(&str, Growth); 7] = [
    ("repeat", Growth::Times),
    ("array_repeat", Growth::Times),
    ("lpad", Growth::Characters),
    ("rpad", Growth::Characters),
    ("array_resize", Growth::Items),
    ("range", Growth::Numbers),
    ("generate_series", Growth::Numbers),
];

/// The functions of a session that grow, with a bound.
///
/// # Errors
/// One of them is not there under its name: then nobody knows whether something without a bound is there in its place.
pub(crate) fn bounded_functions(state: &SessionState) -> Result<Vec<Arc<ScalarUDF>>> {
    let bounded = GROWING.into_iter().map(|(name, growth)| {
        let inner = state.udf(name)?;
        Ok(Arc::new(ScalarUDF::from(Bounded { inner, growth })))
    });
    bounded.collect()
}

/// A function that is refused if it would give too much.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(arguments)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bytes = self.growth.bytes(&arguments)?;
        if bytes > BYTES_MAX {
            return Err(resources_datafusion_err!(
                "{} would make {bytes} bytes of one batch of rows, and {BYTES_MAX} are allowed; ask for less, or for fewer rows at once",
                self.name()
            ));
        }
        self.inner.invoke_with_args(arguments)
    }
}

impl Growth {
    /// About how many bytes a call gives.
    fn bytes(self, arguments: &ScalarFunctionArgs) -> Result<u64> {
        let is_constant = |value: &ColumnarValue| matches!(value, ColumnarValue::Scalar(_));
        // Of constants the result is made once.
        let rows = if arguments.args.iter().all(is_constant) {
            1
        } else {
            arguments.number_rows
        };
        let column = |place: usize| -> Result<Option<ArrayRef>> {
            let argument = arguments.args.get(place);
            argument.map(|argument| argument.to_array(rows)).transpose()
        };
        let (Some(first), second) = (column(0)?, column(1)?) else {
            return Ok(0);
        };
        Ok(match (self, second) {
            (Self::Times, Some(times)) => {
                let (sizes, times) = (sizes(&first)?, numbers(&times)?);
                let each = sizes.iter().zip(times);
                sum(each.map(|(size, times)| size.saturating_mul(times)))
            }
            (Self::Characters, Some(count)) => {
                sum(numbers(&count)?.into_iter()).saturating_mul(FILL_BYTES)
            }
            (Self::Items, Some(count)) => {
                sum(numbers(&count)?.into_iter()).saturating_mul(ITEM_BYTES)
            }
            (Self::Numbers, Some(to)) if is_number(&first) && is_number(&to) => {
                let (from, to) = (signed(&first)?, signed(&to)?);
                let lengths = from.iter().zip(to).map(|(from, to)| from.abs_diff(to));
                sum(lengths).saturating_mul(ITEM_BYTES)
            }
            (Self::Numbers, None) if is_number(&first) => {
                sum(numbers(&first)?.into_iter()).saturating_mul(ITEM_BYTES)
            }
            _ => 0,
        })
    }
}

fn is_number(array: &ArrayRef) -> bool {
    array.data_type().is_integer()
}

/// Bytes of each value; of what is no text, about.
fn sizes(array: &ArrayRef) -> Result<Vec<u64>> {
    match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => numbers(&length(array)?),
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

fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}
