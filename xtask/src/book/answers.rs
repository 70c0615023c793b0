//! The answers to the questions of B7 and B20, worked out from the data without SQL: what psql prints as CSV.
//!
//! Beside each question of `book/` stands its answer for the seed that the page tells; after a change run
//! `UPDATE_BOOK=1 cargo test -p xtask answers`.

use super::pipelines::clean;
use super::transactions::{PARTITIONS, Transaction, decimal};
use super::trips::{Trip, timestamp};
use super::{csv, data::Data};
use std::collections::{BTreeMap, BTreeSet};

/// A question, by its file below `book/` without the ending, and its answer.
pub(super) struct Answer {
    pub(super) question: &'static str,
    pub(super) text: String,
}

struct Table(String);

impl Table {
    fn new(head: &str) -> Self {
        Self(format!("{head}\n"))
    }

    fn row(&mut self, fields: &[&str]) {
        csv::line(&mut self.0, fields);
    }
}

fn answer(question: &'static str, table: Table) -> Answer {
    Answer {
        question,
        text: table.0,
    }
}

/// The answers about the cleaned trips.
pub(super) fn of_trips(data: &Data) -> Vec<Answer> {
    let trips: Vec<&Trip> = clean(&data.trips).collect();
    vec![
        answer("b7/01-columns", columns()),
        answer("b7/02-first-rows", first_rows(&trips)),
        answer("b7/03-some-columns", some_columns(&trips)),
        answer("b7/04-slice", slice(&trips)),
        answer("b7/05-filter", filter(&trips)),
        answer("b7/06-describe", describe(&trips)),
        answer("b7/07-counts", counts(&trips)),
        answer("b7/08-nulls", nulls(&trips)),
        answer("b7/09-bins", bins(&trips)),
        answer("b7/10-rename", rename(&trips)),
        answer("b7/11-fill", fill(&trips)),
        answer("b7/12-split", split(&trips)),
        answer("b7/13-without-nulls", without_nulls(&trips)),
    ]
}

fn columns() -> Table {
    let mut table = Table::new("column_name,data_type");
    for (name, data_type) in [
        ("month", "text"),
        ("trip_id", "bigint"),
        ("vehicle_id", "bigint"),
        ("started_at", "timestamp without time zone"),
        ("ended_at", "timestamp without time zone"),
        ("duration_s", "bigint"),
        ("start_location_name", "text"),
        ("end_location_name", "text"),
        ("street", "text"),
        ("user_id", "bigint"),
        ("trip_ledger_id", "bigint"),
    ] {
        table.row(&[name, data_type]);
    }
    table
}

/// As psql shows a timestamp.
fn shown(minutes: u64) -> String {
    timestamp(minutes).replace('T', " ")
}

fn optional(number: Option<u64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

fn first_rows(trips: &[&Trip]) -> Table {
    let mut table = Table::new(
        "month,trip_id,vehicle_id,started_at,ended_at,duration_s,start_location_name,end_location_name,street,user_id,trip_ledger_id",
    );
    for trip in trips.iter().take(5) {
        table.row(&[
            &trip.month().to_lowercase(),
            &trip.trip_id.to_string(),
            &trip.vehicle_id.to_string(),
            &shown(trip.started),
            &shown(trip.ended),
            &optional(trip.duration_s),
            trip.from,
            trip.to.unwrap_or_default(),
            &trip.street(),
            &trip.user_id.to_string(),
            &trip.trip_ledger_id.to_string(),
        ]);
    }
    table
}

fn some_columns(trips: &[&Trip]) -> Table {
    let mut table = Table::new("trip_id,duration_s");
    for trip in trips.iter().take(5) {
        table.row(&[&trip.trip_id.to_string(), &optional(trip.duration_s)]);
    }
    table
}

fn slice(trips: &[&Trip]) -> Table {
    let mut table = Table::new("trip_id,started_at,street");
    for trip in &trips[35..=40] {
        table.row(&[
            &trip.trip_id.to_string(),
            &shown(trip.started),
            &trip.street(),
        ]);
    }
    table
}

fn filter(trips: &[&Trip]) -> Table {
    let is_long = |trip: &&&Trip| trip.duration_s.is_some_and(|seconds| seconds > 3600);
    let long = trips
        .iter()
        .filter(is_long)
        .filter(|trip| trip.street() == "Central and Tingley");
    let starts: Vec<u64> = long.map(|trip| trip.started).collect();
    let first = starts.iter().min().copied();
    let mut table = Table::new("trips,first");
    table.row(&[
        &starts.len().to_string(),
        &first.map_or_else(String::new, shown),
    ]);
    table
}

fn describe(trips: &[&Trip]) -> Table {
    let mut seconds: Vec<u64> = trips.iter().filter_map(|trip| trip.duration_s).collect();
    seconds.sort_unstable();
    let values: Vec<f64> = seconds.iter().map(|seconds| *seconds as f64).collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0)).sqrt();
    let quantile = |share: f64| {
        let place = share * (count - 1.0);
        let (below, above) = (
            values[place.floor() as usize],
            values[place.ceil() as usize],
        );
        format!("{:.3}", below + (above - below) * place.fract())
    };
    let mut table = Table::new("count,mean,std,min,25%,50%,75%,max");
    table.row(&[
        &values.len().to_string(),
        &format!("{mean:.3}"),
        &format!("{deviation:.3}"),
        &optional(seconds.first().copied()),
        &quantile(0.25),
        &quantile(0.5),
        &quantile(0.75),
        &optional(seconds.last().copied()),
    ]);
    table
}

fn counts(trips: &[&Trip]) -> Table {
    let mut counts: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for trip in trips {
        *counts.entry(trip.to).or_default() += 1;
    }
    let mut sorted: Vec<_> = counts.into_iter().collect();
    sorted.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
    let mut table = Table::new("end_location_name,trips,percent");
    for (location, count) in sorted {
        // Hundredths of a per cent, rounded.
        let share = (count * 20_000 / trips.len()).div_ceil(2);
        let percent = format!("{}.{:02}", share / 100, share % 100);
        table.row(&[location.unwrap_or_default(), &count.to_string(), &percent]);
    }
    table
}

fn nulls(trips: &[&Trip]) -> Table {
    let missing = |is: fn(&Trip) -> bool| trips.iter().filter(|trip| is(trip)).count().to_string();
    let mut table = Table::new(
        "month,started_at,ended_at,duration_s,start_location_name,end_location_name,user_id",
    );
    let (durations, ends) = (
        missing(|trip| trip.duration_s.is_none()),
        missing(|trip| trip.to.is_none()),
    );
    table.row(&["0", "0", "0", &durations, "0", &ends, "0"]);
    table
}

fn bins(trips: &[&Trip]) -> Table {
    let ids = || trips.iter().map(|trip| trip.trip_id);
    let (least, most) = (
        ids().min().unwrap_or_default(),
        ids().max().unwrap_or_default() + 1,
    );
    let mut bins: BTreeMap<u64, (usize, u64, u64)> = BTreeMap::new();
    for id in ids() {
        let bin = (id - least) * 10 / (most - least) + 1;
        let entry = bins.entry(bin).or_insert((0, id, id));
        entry.0 += 1;
        entry.1 = entry.1.min(id);
        entry.2 = entry.2.max(id);
    }
    let mut table = Table::new("bin,trips,first,last");
    for (bin, (count, first, last)) in bins {
        table.row(&[
            &bin.to_string(),
            &count.to_string(),
            &first.to_string(),
            &last.to_string(),
        ]);
    }
    table
}

fn rename(trips: &[&Trip]) -> Table {
    let mut table = Table::new("id,seconds");
    for trip in trips.iter().rev().take(3) {
        table.row(&[&trip.trip_id.to_string(), &optional(trip.duration_s)]);
    }
    table
}

fn fill(trips: &[&Trip]) -> Table {
    let mut table = Table::new("trip_id,end_location");
    for trip in trips.iter().filter(|trip| trip.to.is_none()).take(3) {
        table.row(&[&trip.trip_id.to_string(), "unknown"]);
    }
    table
}

fn split(trips: &[&Trip]) -> Table {
    let mut places = BTreeSet::new();
    for trip in trips {
        let mut parts = trip.from.split(", ");
        places.insert((
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        ));
    }
    let mut table = Table::new("place,city");
    for (place, city) in places {
        table.row(&[place, city]);
    }
    table
}

fn without_nulls(trips: &[&Trip]) -> Table {
    let is_complete = |trip: &&&Trip| trip.duration_s.is_some() && trip.to.is_some();
    let complete = trips.iter().filter(is_complete).count();
    let mut table = Table::new("complete,trips");
    table.row(&[&complete.to_string(), &trips.len().to_string()]);
    table
}

/// The answers about the transactions.
pub(super) fn of_transactions(data: &Data) -> Vec<Answer> {
    vec![
        answer("b20/transactions", transactions(&data.transactions)),
        answer("b20/accounts", accounts(&data.transactions)),
    ]
}

fn transactions(all: &[Transaction]) -> Table {
    let mut table = Table::new("_partition,_offset,_key,id,account,amount");
    for partition in 0..PARTITIONS {
        let here = all.iter().filter(|one| one.partition() == partition);
        for (offset, one) in here.enumerate() {
            table.row(&[
                &partition.to_string(),
                &offset.to_string(),
                one.account,
                &one.id.to_string(),
                one.account,
                &decimal(one.cents),
            ]);
        }
    }
    table
}

fn accounts(all: &[Transaction]) -> Table {
    let mut accounts: BTreeMap<&str, (u32, usize, i64)> = BTreeMap::new();
    for one in all {
        let entry = accounts
            .entry(one.account)
            .or_insert((one.partition(), 0, 0));
        entry.1 += 1;
        entry.2 += one.cents;
    }
    let mut table = Table::new("account,first,last,transactions,balance");
    for (account, (partition, count, cents)) in accounts {
        let partition = partition.to_string();
        table.row(&[
            account,
            &partition,
            &partition,
            &count.to_string(),
            &decimal(cents),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::data::SEED;
    use crate::workspace;

    #[test]
    fn the_answers_in_the_book_are_those_of_its_data() {
        let data = Data::of(SEED);
        let mut answers = of_trips(&data);
        answers.extend(of_transactions(&data));
        for Answer { question, text } in &answers {
            let file = workspace::root().join("book").join(question);
            assert!(file.with_extension("sql").is_file(), "{question}");
            let stored = file.with_extension("csv");
            if std::env::var_os("UPDATE_BOOK").is_some() {
                std::fs::write(&stored, text).unwrap();
            }
            let found = std::fs::read_to_string(&stored).unwrap_or_default();
            assert_eq!(&found, text, "{question}: UPDATE_BOOK=1 writes it");
        }
        // No question without an answer.
        for folder in ["b7", "b20"] {
            let entries = std::fs::read_dir(workspace::root().join("book").join(folder)).unwrap();
            let questions = entries.filter(|entry| {
                let path = entry.as_ref().unwrap().path();
                path.extension().is_some_and(|ending| ending == "sql")
            });
            let known = answers
                .iter()
                .filter(|one| one.question.split('/').next() == Some(folder));
            assert_eq!(questions.count(), known.count(), "{folder}");
        }
    }
}
