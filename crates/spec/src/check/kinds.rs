//! The table of checks: dbt's names where they exist, with those of Great Expectations as aliases.

use crate::names::COLUMN;
use crate::names::{INPUT_NAME, LINE};
use crate::problem::Cause;
use crate::shape::{Key, Object, OneOf, Rule, Shape, Word, key, later, later_word, word};

static SEVERITY: [Word; 5] = [
    word("error", "The row goes to the dead letters."),
    word("warn", "The row passes, and is counted."),
    word("drop", "The row is left out, and counted."),
    later_word(
        "halt",
        "a check that stops the pipeline",
        "write severity: error, and halt_above: under bad_records",
    ),
    later_word(
        "hold",
        "a check that keeps a batch back",
        "write severity: error, and halt_above: under bad_records",
    ),
];

const SEVERITY_KEY: Key = key(
    "severity",
    Shape::Words(&SEVERITY),
    "What becomes of a row that fails.",
)
.default("error");
const OF: Key = key(
    "of",
    Shape::Text(&INPUT_NAME),
    "The input whose rows are checked, in place of the rows of the result.",
);
const NAME: Key = key(
    "name",
    Shape::Text(&LINE),
    "The reason that dead letters tell.",
)
.default("the check with its column, as `not_null(id)`");
const OVER: Key = later(
    "over",
    "checks over a batch, a run or a time",
    "check single rows",
);
const SAMPLES: Key = later(
    "samples",
    "keeping values of rows that fail",
    "look at the dead letters",
);
const MOSTLY: Key = later(
    "mostly",
    "checks that a share of the rows has to pass",
    "write severity: warn, or halt_above: under bad_records",
);

const COLUMN_KEY: Key = key("column", Shape::Text(&COLUMN), "The column.").required("COLUMN");
static ONE_COLUMN: Shape = Shape::Text(&COLUMN);
const COLUMNS_KEY: Key = key(
    "column",
    Shape::OneOrMany(&ONE_COLUMN),
    "The column, or a list of columns that are each checked.",
)
.required("COLUMN")
.aliases(&["columns"]);

/// A check that takes columns and nothing else: in short the columns alone.
pub(super) static OF_COLUMNS: Object = Object {
    what: "a check of columns",
    keys: &[COLUMNS_KEY, SEVERITY_KEY, OF, NAME, OVER, SAMPLES, MOSTLY],
    one_of: OneOf::None,
};
const SHORT: Shape = Shape::Either(&[
    Shape::OneOrMany(&Shape::Text(&COLUMN)),
    Shape::Object(&OF_COLUMNS),
]);

macro_rules! object {
    ($name:ident, $what:literal, $($key:expr),+) => {
        pub(super) static $name: Object = Object {
            what: $what,
            keys: &[COLUMN_KEY, $($key,)+ SEVERITY_KEY, OF, NAME, OVER, SAMPLES, MOSTLY],
            one_of: OneOf::None,
        };
    };
}

/// The most values of a list.
pub(super) const VALUES_MAX: usize = 1000;
const VALUES: Key = key("values", Shape::List(&Shape::Literal), "The values.")
    .required("[open, closed]")
    .aliases(&["value_set"]);
object!(OF_VALUES, "a check against values", VALUES);
object!(
    RANGE,
    "a check of a range",
    key(
        "min",
        Shape::Literal,
        "The least value that passes: a number, or a text with a date or time."
    )
    .aliases(&["min_value"]),
    key("max", Shape::Literal, "The greatest value that passes.").aliases(&["max_value"])
);
object!(
    LENGTH,
    "a check of lengths",
    key(
        "min",
        Shape::Whole(0, 1 << 30),
        "The least number of characters."
    )
    .aliases(&["min_value"]),
    key(
        "max",
        Shape::Whole(0, 1 << 30),
        "The greatest number of characters."
    )
    .aliases(&["max_value"])
);

/// The longest pattern.
const PATTERN_BYTES_MAX: usize = 10_000;
static REGEX: Rule = Rule::new("a regular expression, as \"^[0-9]{5}$\"", "", |text| {
    let (bytes, most) = (text.len(), PATTERN_BYTES_MAX);
    if bytes > most {
        return Err(Cause::TooLong { bytes, most });
    }
    let compiled = regex::Regex::new(text);
    compiled.map(drop).map_err(|error| Cause::Regex {
        reason: last_line(&error.to_string()),
    })
});

/// What a compiler of patterns says has a drawing in front.
fn last_line(text: &str) -> String {
    let line = text.lines().last().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
static LIKE: Rule = Rule::new("a pattern of LIKE, as \"A%\"", "", |text| {
    let (bytes, most) = (text.len(), PATTERN_BYTES_MAX);
    if bytes > most {
        return Err(Cause::TooLong { bytes, most });
    }
    Ok(())
});
object!(
    OF_REGEX,
    "a check against a regular expression",
    key(
        "pattern",
        Shape::Text(&REGEX),
        "The regular expression; it matches anywhere unless `^` and `$` say where."
    )
    .required("\"^[0-9]{5}$\"")
    .aliases(&["regex"])
);
object!(
    OF_LIKE,
    "a check against a pattern of LIKE",
    key(
        "pattern",
        Shape::Text(&LIKE),
        "The pattern: `%` is any text, `_` any character."
    )
    .required("\"A%\"")
    .aliases(&["like_pattern"])
);
const TYPE_FORM: &str = "a type that text is read as: boolean, smallint, int, bigint, real, double, decimal(p,s), date, timestamp or timestamptz";
static TYPE: Rule = Rule::new(TYPE_FORM, "", |text| {
    let data_type: contract::DataType = text.parse().map_err(Cause::Contract)?;
    if super::sql::cast_type(data_type).is_some() {
        return Ok(());
    }
    let found = text.to_owned();
    let rule = TYPE_FORM;
    Err(Cause::Unfit { found, rule })
});
object!(
    OF_TYPE,
    "a check whether text is of a type",
    key("as", Shape::Text(&TYPE), "The type.")
        .required("bigint")
        .aliases(&["type_"])
);
static CONDITION: Rule = Rule::new(
    "an expression of SQL, as \"ended_at >= started_at\"",
    "",
    |text| crate::sql_text::expression(text).map(drop),
);
pub(super) static EXPRESSION: Object = Object {
    what: "a check of an expression",
    keys: &[
        key(
            "name",
            Shape::Text(&LINE),
            "The reason that dead letters tell.",
        )
        .required("ends_after_start"),
        key(
            "is_true",
            Shape::Text(&CONDITION),
            "The expression; a row fails if it is false, and passes if it is NULL.",
        )
        .required("\"ended_at >= started_at\""),
        SEVERITY_KEY,
        OF,
        OVER,
        SAMPLES,
        MOSTLY,
    ],
    one_of: OneOf::None,
};

const BATCHES: &str = "check single rows, and count in psql";
macro_rules! not_yet {
    ($name:literal, $doc:literal $(, $alias:literal)*) => {
        later($name, $doc, BATCHES).aliases(&[$($alias),*])
    };
}

/// A check has exactly one key, which is its kind.
pub(crate) static CHECK: Object = Object {
    what: "a check",
    keys: &[
        key("not_null", SHORT, "The columns are not NULL.")
            .aliases(&["expect_column_values_to_not_be_null"]),
        key(
            "not_empty_string",
            SHORT,
            "The columns are neither NULL nor the empty text.",
        ),
        key(
            "accepted_values",
            Shape::Object(&OF_VALUES),
            "The column is one of the values.",
        )
        .aliases(&["expect_column_values_to_be_in_set"]),
        key(
            "not_accepted_values",
            Shape::Object(&OF_VALUES),
            "The column is none of the values.",
        )
        .aliases(&["expect_column_values_to_not_be_in_set"]),
        key(
            "accepted_range",
            Shape::Object(&RANGE),
            "The column is between `min` and `max`, both included.",
        )
        .aliases(&["expect_column_values_to_be_between"]),
        key(
            "expression",
            Shape::Object(&EXPRESSION),
            "An expression of SQL is true.",
        ),
        key(
            "string_length",
            Shape::Object(&LENGTH),
            "The column has between `min` and `max` characters.",
        )
        .aliases(&["expect_column_value_lengths_to_be_between"]),
        key(
            "match_regex",
            Shape::Object(&OF_REGEX),
            "The column matches a regular expression.",
        )
        .aliases(&["expect_column_values_to_match_regex"]),
        key(
            "not_match_regex",
            Shape::Object(&OF_REGEX),
            "The column matches no such regular expression.",
        )
        .aliases(&["expect_column_values_to_not_match_regex"]),
        key(
            "match_like",
            Shape::Object(&OF_LIKE),
            "The column is like a pattern.",
        )
        .aliases(&["expect_column_values_to_match_like_pattern"]),
        key(
            "valid_email",
            SHORT,
            "The columns look like addresses of e-mail.",
        ),
        key("valid_url", SHORT, "The columns look like URLs."),
        key("valid_uuid", SHORT, "The columns are UUIDs."),
        key(
            "valid_timestamp",
            SHORT,
            "The columns are read as timestamps.",
        )
        .aliases(&["expect_column_values_to_be_dateutil_parseable"]),
        key(
            "type",
            Shape::Object(&OF_TYPE),
            "The text of the column is read as a type.",
        )
        .aliases(&["expect_column_values_to_be_of_type"]),
        later(
            "valid_json",
            "checking whether text is JSON",
            "declare the column as json under columns",
        )
        .aliases(&["expect_column_values_to_be_json_parseable"]),
        later("relationships", "checking against another topic", BATCHES),
        not_yet!(
            "unique",
            "checks of keys over several rows",
            "expect_column_values_to_be_unique"
        ),
        not_yet!(
            "unique_combination",
            "checks of keys over several rows",
            "expect_compound_columns_to_be_unique"
        ),
        not_yet!("sequential_values", "checks of the order of rows"),
        not_yet!(
            "increasing",
            "checks of the order of rows",
            "expect_column_values_to_be_increasing"
        ),
        not_yet!("mutually_exclusive_ranges", "checks over a window"),
        not_yet!(
            "row_count",
            "checks over a batch or a run",
            "expect_table_row_count_to_be_between"
        ),
        not_yet!(
            "not_null_proportion",
            "checks over a batch or a run",
            "expect_column_proportion_of_unique_values_to_be_between"
        ),
        not_yet!("at_least_one", "checks over a batch or a run"),
        not_yet!("not_constant", "checks over a batch or a run"),
        not_yet!(
            "mean",
            "statistics over a batch or a time",
            "expect_column_mean_to_be_between"
        ),
        not_yet!(
            "stddev",
            "statistics over a batch or a time",
            "expect_column_stdev_to_be_between"
        ),
        not_yet!(
            "sum",
            "statistics over a batch or a time",
            "expect_column_sum_to_be_between"
        ),
        not_yet!(
            "median",
            "statistics over a batch or a time",
            "expect_column_median_to_be_between"
        ),
        not_yet!(
            "quantile",
            "statistics over a batch or a time",
            "expect_column_quantile_values_to_be_between"
        ),
        not_yet!(
            "z_score",
            "statistics over a batch or a time",
            "expect_column_value_z_scores_to_be_less_than"
        ),
        not_yet!(
            "distinct_count",
            "statistics over a batch or a time",
            "expect_column_unique_value_count_to_be_between"
        ),
        not_yet!("freshness", "checks by the clock"),
        not_yet!("volume_change", "checks by the clock"),
        not_yet!(
            "reconcile",
            "comparing with the source",
            "expect_table_row_count_to_equal_other_table"
        ),
        later(
            "columns_match",
            "comparing the columns of the result with a list",
            "write the columns in SELECT, in their order",
        )
        .aliases(&[
            "expect_table_columns_to_match_ordered_list",
            "expect_table_columns_to_match_set",
        ]),
        later(
            "column_count",
            "counting the columns of the result",
            "write the columns in SELECT",
        )
        .aliases(&["expect_table_column_count_to_equal"]),
        later(
            "expect_column_pair_values_a_to_be_greater_than_b",
            "comparing two columns by this name",
            "write expression: { name: NAME, is_true: \"a > b\" }",
        ),
        later(
            "expect_column_values_to_match_regex_list",
            "matching several patterns by this name",
            "write match_regex with one pattern, as \"a|b\"",
        ),
    ],
    one_of: OneOf::All,
};
