//! What is expected of the columns of a result: that a contract can have them, and that those are there which the sink and the
//! checks name.

use contract::{Column, Contract, DataType as Declared, Format};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use spec::{Mode, Sink};
use sql::compute::{declared_type, is_repeated_name};

use super::fault::{Fault, Place, meant, no_column, twice};
use super::words::Words;

/// How a fault begins when `*` stands for nothing.
pub(super) const NO_COLUMNS: &str = "the query has no columns";

/// The columns of the result.
pub(super) fn output(plan: &LogicalPlan, sql: &str) -> Result<Vec<Column>, Vec<Fault>> {
    let words = Words::of(sql);
    let mut faults = Vec::new();
    let mut columns = Vec::new();
    for field in plan.schema().fields() {
        let name = field.name();
        if let Some(name) = is_repeated_name(name) {
            let (message, hint) = twice(name);
            let fault = Fault::new(Place::Sql(words.name(name)), message);
            faults.push(fault.hint(hint.unwrap_or_default()));
            continue;
        }
        let place = Place::Sql(words.name(name));
        if name == "?column?" {
            let fault = Fault::new(Place::Sql(0), "a column of the result has no name");
            faults.push(fault.hint("write AS and a name behind it"));
        } else if name.starts_with('_') {
            let message = format!(
                "a column of the result cannot be called {name}: what begins with _ is the system's"
            );
            let hint = format!("write AS and another name behind it, as {name} AS source{name}");
            faults.push(Fault::new(place, message).hint(hint));
        } else if let Some(data_type) = declared_type(field) {
            columns.push(Column {
                name: name.clone(),
                data_type,
                nullable: field.is_nullable(),
            });
        } else {
            let found = type_name(field.data_type());
            let message = format!("the column {name} is {found}, which no column of a contract is");
            faults.push(Fault::new(place, message).hint(instead(field.data_type())));
        }
    }
    if plan.schema().fields().is_empty() {
        faults.push(Fault::new(Place::Sql(0), NO_COLUMNS).hint("name those that are meant"));
    } else if faults.is_empty()
        && let Err(error) = Contract::new(Format::Json, columns.clone())
    {
        faults.push(Fault::new(Place::Sql(0), error.to_string()));
    }
    if faults.is_empty() {
        Ok(columns)
    } else {
        Err(faults)
    }
}

/// A type as people know it.
pub(super) fn type_name(of: &DataType) -> String {
    match of {
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => "a list".to_owned(),
        DataType::Struct(_) => "a struct".to_owned(),
        DataType::Map(..) => "a map".to_owned(),
        DataType::Union(..) => "a value of JSON of any kind".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "an interval".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "a time of day".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        other if other.is_numeric() => "a number".to_owned(),
        other => other.to_string(),
    }
}

/// What to write so that it is one.
fn instead(of: &DataType) -> &'static str {
    match of {
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
            "write unnest(list) for a row of each item, or array_to_string(list, ',')"
        }
        DataType::Union(..) => {
            "write ->> for its text, or cast it, as (_value->'km')::double precision"
        }
        DataType::Struct(_) => "write one of its fields",
        DataType::Interval(_) | DataType::Duration(_) => {
            "write extract(epoch FROM interval), which is a number of seconds"
        }
        _ => "cast it, as CAST(x AS text)",
    }
}

/// The column of this name.
pub(super) fn column(name: &str, schema: &SchemaRef, place: Place) -> Result<(), Fault> {
    if schema.column_with_name(name).is_some() {
        return Ok(());
    }
    let names: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    Err(missing(name, &names, place))
}

fn missing(name: &str, names: &[&str], place: Place) -> Fault {
    let fault = Fault::new(place, no_column(name));
    match meant(name, names) {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

/// What the sink wants of the result.
pub(super) fn sink(sink: &Sink, output: &[Column]) -> Vec<Fault> {
    let (key, place) = match sink {
        Sink::Topic(topic) => (topic.key.as_slice(), ["to", "topic", "key"]),
        Sink::Postgres(postgres) => match &postgres.mode {
            Mode::Upsert { key } => (key.as_slice(), ["to", "postgres", "key"]),
            Mode::Append => (&[][..], ["to", "postgres", "key"]),
        },
    };
    let path = |path: [&str; 3]| Place::Key(path.map(str::to_owned).to_vec());
    let names: Vec<_> = output.iter().map(|column| column.name.as_str()).collect();
    let mut faults = Vec::new();
    for name in key {
        if !names.contains(&name.as_str()) {
            faults.push(of_result(missing(name, &names, path(place))));
        }
    }
    let Sink::Topic(topic) = sink else {
        return faults;
    };
    let Some(name) = &topic.timestamp else {
        return faults;
    };
    let place = path(["to", "topic", "timestamp"]);
    match output.iter().find(|column| column.name == *name) {
        None => faults.push(of_result(missing(name, &names, place))),
        Some(column) if !is_time(column.data_type) => {
            let message = format!("{name} is {}, which is no time", column.data_type);
            let hint = "name a column that is a timestamp, or make one with to_timestamp";
            faults.push(Fault::new(place, message).hint(hint));
        }
        Some(_) => {}
    }
    faults
}

/// What is missing is none of the result's, whatever contracts are not known.
fn of_result(fault: Fault) -> Fault {
    let message = format!(
        "the result has no column{}",
        fault.message.trim_start_matches("there is no column")
    );
    Fault { message, ..fault }
}

const fn is_time(of: Declared) -> bool {
    matches!(
        of,
        Declared::Timestamp | Declared::TimestampTz | Declared::Date
    )
}
