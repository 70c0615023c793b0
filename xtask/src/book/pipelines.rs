//! The examples that are pipelines: B1, B3, B5, B10, B14 and B15. What should come out is worked out here from the data, without SQL.

use super::data::Data;
use super::people::{AGES, LakePerson, Person};
use super::stage::{self, ENVIRONMENT, Record, Stage, WORK_LIMIT};
use super::trips::{Trip, Wrong, timestamp};
use crate::postgres::Postgres;
use crate::process;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// B1: every row of `data.csv` is a record, and no zip code lost its zero.
pub(super) fn b1(stage: &mut Stage, data: &Data) -> Result<()> {
    people(stage, data, "b1", "people")
}

/// B3: the same from the list in `data.json`.
pub(super) fn b3(stage: &mut Stage, data: &Data) -> Result<()> {
    people(stage, data, "b3", "people_json")
}

fn people(stage: &mut Stage, data: &Data, folder: &str, pipeline: &str) -> Result<()> {
    let files = stage.files(folder, None)?;
    stage.play(&files, &[pipeline])?;
    let records = stage.records(pipeline)?;
    stage.check("records", records.len(), data.people.len());
    let zeros = |zips: &mut dyn Iterator<Item = &str>| {
        zips.filter(|zip| zip.len() == 5 && zip.starts_with('0'))
            .count()
    };
    let values = values(&records)?;
    let found = zeros(&mut values.iter().filter_map(|value| value["zip"].as_str()));
    let expected = zeros(&mut data.people.iter().map(|person| person.zip.as_str()));
    stage.check("zip codes with a zero in front", found, expected);
    let found = values.into_iter().map(with_places_as_text).collect();
    let differ = differing(found, data.people.iter().map(person).collect());
    stage.check("records that differ from the file", differ, 0);
    // Files are read once: running again finds nothing new.
    let again = stage.run(pipeline, ENVIRONMENT)?;
    stage.check_run("second run", &again);
    let records = stage.records(pipeline)?.len();
    stage.check("records after a second run", records, data.people.len());
    Ok(())
}

fn person(person: &Person) -> Value {
    json!({
        "name": person.name, "age": person.age, "street": person.street, "city": person.city, "state": person.state,
        "zip": person.zip, "lng": person.lng, "lat": person.lat,
    })
}

/// A person with the digits of their place that the file has: reading JSON rounds the last bit of a number.
fn with_places_as_text(mut person: Value) -> Value {
    for name in ["lng", "lat"] {
        if let Some(number) = person[name].as_f64() {
            person[name] = format!("{number:.6}").into();
        }
    }
    person
}

fn values(records: &[Record]) -> Result<Vec<Value>> {
    records.iter().map(Record::json).collect()
}

/// How many of either are not among the others, in any order.
fn differing(found: Vec<Value>, expected: Vec<Value>) -> usize {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    // As text, since values of JSON have no order; the keys of ours are sorted.
    for value in found {
        *counts.entry(value.to_string()).or_default() += 1;
    }
    for value in expected {
        *counts.entry(value.to_string()).or_default() -= 1;
    }
    counts.values().filter(|count| **count != 0).count()
}

/// The pipeline of B5, which B7 asks about.
pub(super) fn clean_trips(stage: &mut Stage) -> Result<()> {
    let files = stage.files("b5", None)?;
    stage.play(&files, &["trips_clean"])
}

/// B5: the trips of the window arrive as they should be, and each wrong one is a dead letter with its reason.
pub(super) fn b5(stage: &mut Stage, data: &Data) -> Result<()> {
    clean_trips(stage)?;
    let records = stage.records("trips.clean")?;
    let clean: Vec<_> = clean(&data.trips).collect();
    stage.check("trips of the ten days", records.len(), clean.len());
    let expected = clean.iter().map(|trip| trip_record(trip)).collect();
    let differ = differing(values(&records)?, expected);
    stage.check("trips that differ", differ, 0);
    let keys: BTreeSet<_> = records
        .iter()
        .filter_map(|record| record.key.clone())
        .collect();
    stage.check("keys", keys.len(), clean.len());
    let mut reasons = BTreeMap::new();
    for wrong in data.trips.iter().filter_map(|trip| trip.wrong) {
        *reasons.entry(reason(wrong).to_owned()).or_default() += 1;
    }
    let dead = stage.dead("trips_clean.dead")?;
    stage.check(
        "dead letters",
        stage::counted(&dead),
        stage::counted(&reasons),
    );
    Ok(())
}

/// The trips that pass, in the order of their ids.
pub(super) fn clean(trips: &[Trip]) -> impl Iterator<Item = &Trip> {
    trips
        .iter()
        .filter(|trip| trip.is_in_window() && trip.wrong.is_none())
}

fn reason(wrong: Wrong) -> &'static str {
    match wrong {
        Wrong::EndsBeforeItStarts => "ends_after_start",
        Wrong::Duration => "error",
        Wrong::Vehicle => "decode",
    }
}

fn trip_record(trip: &Trip) -> Value {
    json!({
        "month": trip.month().to_lowercase(), "trip_id": trip.trip_id, "vehicle_id": trip.vehicle_id,
        "started_at": timestamp(trip.started), "ended_at": timestamp(trip.ended), "duration_s": trip.duration_s,
        "start_location_name": trip.from, "end_location_name": trip.to, "street": trip.street(), "user_id": trip.user_id,
        "trip_ledger_id": trip.trip_ledger_id,
    })
}

/// B10: a good file is published; a bad one leaves dead letters, is not published, and its run fails.
pub(super) fn b10(stage: &mut Stage, data: &Data) -> Result<()> {
    let inbox = stage.data.join("inbox");
    fs::create_dir_all(&inbox)?;
    move_file(&stage.data.join("people/data.csv"), &inbox.join("data.csv"))?;
    let files = stage.files("b10", None)?;
    stage.play(&files, &["people_checked"])?;
    let published = data.people.len();
    let good = stage.records("people.checked")?.len();
    stage.check("people of the good file", good, published);

    move_file(&stage.data.join("bad/fail.csv"), &inbox.join("fail.csv"))?;
    let run = stage.run("people_checked", ENVIRONMENT)?;
    stage.check("run of the bad file", run.state.as_str(), stage::FAILED);
    let after = stage.records("people.checked")?.len();
    stage.check("people after the bad file", after, published);
    let bad = |person: &&Person| !AGES.contains(&person.age);
    let bad = data.fails.iter().filter(bad).count();
    let dead = stage.dead("people_checked.dead")?;
    let expected = BTreeMap::from([("accepted_range(age)".to_owned(), bad)]);
    stage.check(
        "dead letters",
        stage::counted(&dead),
        stage::counted(&expected),
    );
    Ok(())
}

fn move_file(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| from.display().to_string())
}

/// B14: the same file fills one database and then the other, and each environment has topics of its own.
pub(super) fn b14(stage: &mut Stage, data: &Data) -> Result<()> {
    let postgres = Postgres::start("book-b14")?;
    stage::load(&postgres, &stage.data.join("warehouse.sql"))?;
    let files = stage.files("b14", Some(&postgres))?;
    let rows = data.lake.files.len();
    let mut filled = [("test", 0), ("production", 0)];
    for (index, environment) in ["test", ENVIRONMENT].into_iter().enumerate() {
        stage.prove(&files, environment)?;
        stage.deploy(&files, environment)?;
        let run = stage.first_run("lake_to_warehouse", environment)?;
        stage.check_run(&format!("first run in {environment}"), &run);
        filled[index].1 = rows;
        wait_for_rows(&postgres, filled[index].0, rows)?;
        for (database, expected) in filled {
            let what = format!("rows of {database} after --env {environment}");
            stage.check(&what, count(&postgres, database)?, expected);
        }
    }
    for topic in ["test.lake_to_warehouse.raw", "lake_to_warehouse.raw"] {
        let landed = stage.records(topic)?.len();
        stage.check(&format!("records of {topic}"), landed, rows);
    }
    Ok(())
}

/// B15: everybody of the lake is in the warehouse as they are there, and who is missing is known by name.
pub(super) fn b15(stage: &mut Stage, data: &Data) -> Result<()> {
    let postgres = Postgres::start("book-b15")?;
    stage::load(&postgres, &stage.data.join("warehouse.sql"))?;
    let files = stage.files("b15", Some(&postgres))?;
    stage.play(&files, &["lake"])?;
    let staged = stage.records("lake.people")?;
    stage.check("people staged", staged.len(), data.lake.files.len());
    wait_for_rows(&postgres, "production", data.lake.files.len())?;

    let found = warehouse(&postgres)?;
    let expected: BTreeMap<u64, String> = data.lake.files.values().map(row).collect();
    let differ = expected
        .iter()
        .filter(|(userid, row)| found.get(userid) != Some(row))
        .count();
    stage.check("people that differ in the warehouse", differ, 0);
    let missing: Vec<u64> = (1..=1000).filter(|id| !found.contains_key(id)).collect();
    let ids = |ids: &[u64]| {
        let ids: Vec<_> = ids.iter().map(u64::to_string).collect();
        ids.join(" ")
    };
    stage.check("user ids missing", ids(&missing), ids(&data.lake.lost));
    let apostrophes =
        |rows: &BTreeMap<u64, String>| rows.values().filter(|row| row.contains('\'')).count();
    stage.check(
        "names with an apostrophe",
        apostrophes(&found),
        apostrophes(&expected),
    );
    let dead = stage.dead("people.dead")?;
    stage.check("dead letters", stage::counted(&dead), "none".to_owned());
    Ok(())
}

/// A person as a line of the warehouse.
fn row(person: &LakePerson) -> (u64, String) {
    let LakePerson {
        userid,
        name,
        age,
        street,
        city,
        state,
        zip,
    } = person;
    (
        *userid,
        format!("{name}|{age}|{street}|{city}|{state}|{zip}"),
    )
}

fn warehouse(postgres: &Postgres) -> Result<BTreeMap<u64, String>> {
    const PEOPLE: &str =
        "SELECT userid, concat_ws('|', name, age, street, city, state, zip) FROM warehouse";
    let lines = stage::ask(postgres, "production", PEOPLE)?;
    let each = lines.lines().map(|line| {
        let (userid, row) = line.split_once(',').context("a row has two columns")?;
        Ok((userid.parse()?, row.trim_matches('"').to_owned()))
    });
    each.collect()
}

fn count(postgres: &Postgres, database: &str) -> Result<usize> {
    let count = stage::ask(postgres, database, "SELECT count(*) FROM warehouse")?;
    Ok(count.trim().parse()?)
}

/// The way to a table goes through a topic, so its rows come a moment after the run.
fn wait_for_rows(postgres: &Postgres, database: &str, rows: usize) -> Result<()> {
    let what = format!("{rows} rows in the warehouse of {database}");
    process::wait_until(&what, WORK_LIMIT, || Ok(count(postgres, database)? >= rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_too_much_differs() {
        let (a, b) = (json!({"a": 1, "b": 2}), json!({"b": 2, "a": 2}));
        assert_eq!(differing(vec![a.clone()], vec![json!({"b": 2, "a": 1})]), 0);
        assert_eq!(differing(vec![a.clone(), a.clone()], vec![a.clone()]), 1);
        assert_eq!(differing(vec![a], vec![b]), 2);
    }
}
