//! [`Bounded`]: functions whose results can be far longer than what they are given.
//!
//! What functions make is not counted against the memory of queries before it is there, and nothing stops them in between. So
//! these are refused before they begin if a batch of rows would take too much.
//!
//! Invariant: what one call makes has at most about [`BYTES_MAX`] bytes, as far as its arguments tell.

mod growth;

use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};

use growth::{Call, Growth};

/// What a call may make, for all rows of a batch.
const BYTES_MAX: u64 = 256 << 20;
/// What a call of constants alone may make: a plan has it, and so have the names of what is made of it.
const CONSTANT_BYTES_MAX: u64 = 32 << 20;

const GROWING: [(&str, Growth); 23] = [
    ("repeat", Growth::Times),
    ("array_repeat", Growth::Items { count: 1, item: 0 }),
    ("array_resize", Growth::Items { count: 1, item: 2 }),
    ("lpad", Growth::Characters),
    ("rpad", Growth::Characters),
    ("range", Growth::Numbers),
    ("generate_series", Growth::Numbers),
    ("replace", Growth::Replaced),
    ("regexp_replace", Growth::Matches),
    ("concat", Growth::Sum),
    ("concat_ws", Growth::Separated),
    ("overlay", Growth::Sum),
    ("translate", Growth::Sum),
    ("to_char", Growth::Formatted),
    ("array_to_string", Growth::Joined),
    ("string_to_array", Growth::Split),
    ("array_position", Growth::Place),
    ("array_append", Growth::Sum),
    ("array_prepend", Growth::Sum),
    ("array_concat", Growth::Sum),
    ("array_replace", Growth::Substituted),
    ("array_replace_n", Growth::Substituted),
    ("array_replace_all", Growth::Substituted),
];

/// What a call would make is too much.
#[derive(Debug, thiserror::Error)]
#[error(
    "{function} would make {bytes} bytes of one batch of rows, and {most} are allowed; ask for less, or for fewer rows at once"
)]
pub(crate) struct TooLong {
    function: String,
    bytes: u64,
    most: u64,
}

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

/// A function with a bound of the sum of what it is given, where a constant counts as often as there are rows.
pub(crate) fn bounded_by_sum(inner: ScalarUDF) -> ScalarUDF {
    ScalarUDF::from(Bounded {
        inner: Arc::new(inner),
        growth: Growth::Sum,
    })
}

/// A function that is refused if it would give too much.
///
/// It has no `simplify`: what that gives are calls without a bound.
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

    fn invoke_with_args(&self, mut arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let call = Call::new(&arguments.args, arguments.number_rows);
        let bytes = self.growth.bytes(&call)?;
        let most = if call.is_constant() {
            CONSTANT_BYTES_MAX
        } else {
            BYTES_MAX
        };
        if bytes > most {
            let function = self.name().to_owned();
            return Err(DataFusionError::External(Box::new(TooLong {
                function,
                bytes,
                most,
            })));
        }
        if let Some(place) = self.growth.counted()
            && let Some(count) = arguments.args.get_mut(place)
        {
            *count = not_negative(count)?;
        }
        self.inner.invoke_with_args(arguments)
    }
}

/// Numbers with 0 in place of those below, which the engine's own functions compute with as if there were none.
fn not_negative(numbers: &ColumnarValue) -> Result<ColumnarValue> {
    Ok(match numbers {
        ColumnarValue::Scalar(ScalarValue::Int64(number)) => {
            ColumnarValue::Scalar(ScalarValue::Int64(number.map(|number| number.max(0))))
        }
        ColumnarValue::Scalar(_) => numbers.clone(),
        ColumnarValue::Array(array) => {
            let array = cast(array, &DataType::Int64)?;
            let array = array.as_primitive::<Int64Type>();
            let array = array.unary::<_, Int64Type>(|number| number.max(0));
            ColumnarValue::Array(Arc::new(array))
        }
    })
}
