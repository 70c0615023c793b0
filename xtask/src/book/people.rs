//! People as the book makes them up: a thousand rows with a name, an address, a zip code that may begin with a zero, and a place.

use super::csv;
use super::names::{CITIES, FIRST_NAMES, LAST_NAMES, STATES, STREETS, WAYS};
use crate::random::Random;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// So many rows has each set of people.
pub(crate) const PEOPLE: u64 = 1000;
/// How old the people of `data.csv` and `data.json` are.
pub(crate) const AGES: RangeInclusive<u64> = 18..=80;
/// How old those of `fail.csv` are.
const ANY_AGES: RangeInclusive<u64> = 1..=100;
/// How old those of the lake are.
const LAKE_AGES: RangeInclusive<u64> = 18..=101;
const HEADER: &str = "name,age,street,city,state,zip,lng,lat";
/// The row that has this name in each set, so that an apostrophe is in it.
const APOSTROPHE_ROW: u64 = 7;
const APOSTROPHE: &str = "Miles O'Brien";

/// A row of people. Places are decimals as text, so that no float changes them on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) age: u64,
    pub(crate) street: String,
    pub(crate) city: String,
    pub(crate) state: String,
    pub(crate) zip: String,
    pub(crate) lng: String,
    pub(crate) lat: String,
}

/// A file of the lake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LakePerson {
    pub(crate) userid: u64,
    pub(crate) name: String,
    pub(crate) age: u64,
    pub(crate) street: String,
    pub(crate) city: String,
    pub(crate) state: String,
    pub(crate) zip: String,
}

/// The lake: what is left in its files, and whose file another one was written over.
#[derive(Clone, Debug)]
pub(crate) struct Lake {
    /// By the name of the file.
    pub(crate) files: BTreeMap<String, LakePerson>,
    /// The user ids whose files are gone, in their order.
    pub(crate) lost: Vec<u64>,
}

/// The people of `data.csv` and `data.json`.
pub(super) fn people(random: &mut Random) -> Vec<Person> {
    of_ages(random, AGES)
}

/// The people of `fail.csv`, of whom some are too young and some too old.
pub(super) fn fails(random: &mut Random) -> Vec<Person> {
    of_ages(random, ANY_AGES)
}

fn of_ages(random: &mut Random, ages: RangeInclusive<u64>) -> Vec<Person> {
    (0..PEOPLE)
        .map(|row| {
            let mut person = person(random, ages.clone());
            if row == APOSTROPHE_ROW {
                APOSTROPHE.clone_into(&mut person.name);
            }
            person
        })
        .collect()
}

/// A thousand people, each written to the file of their name: who has the name of somebody before takes their place.
pub(super) fn lake(random: &mut Random) -> Lake {
    let mut lake = Lake {
        files: BTreeMap::new(),
        lost: Vec::new(),
    };
    for (userid, person) in (1..).zip(of_ages(random, LAKE_AGES)) {
        let file = format!("{}.json", person.name.replace(' ', "-"));
        let person = LakePerson {
            userid,
            name: person.name,
            age: person.age,
            street: person.street,
            city: person.city,
            state: person.state,
            zip: person.zip,
        };
        if let Some(before) = lake.files.insert(file, person) {
            lake.lost.push(before.userid);
        }
    }
    lake.lost.sort_unstable();
    lake
}

fn person(random: &mut Random, ages: RangeInclusive<u64>) -> Person {
    let first = pick(random, &FIRST_NAMES);
    let last = pick(random, &LAST_NAMES);
    let (way, kind) = (pick(random, &STREETS), pick(random, &WAYS));
    Person {
        name: format!("{first} {last}"),
        age: random.between(ages),
        street: format!("{} {way} {kind}", random.between(1..=9999)),
        city: pick(random, &CITIES).to_owned(),
        state: pick(random, &STATES).to_owned(),
        zip: format!("{:05}", random.below(100_000)),
        lng: format!(
            "-{}.{:06}",
            random.between(66..=124),
            random.below(1_000_000)
        ),
        lat: format!("{}.{:06}", random.between(25..=48), random.below(1_000_000)),
    }
}

fn pick<'a>(random: &mut Random, names: &[&'a str]) -> &'a str {
    random.pick(names).copied().unwrap_or_default()
}

/// The file `data.csv` or `fail.csv`.
pub(super) fn csv(people: &[Person]) -> String {
    let mut text = format!("{HEADER}\n");
    for person in people {
        let age = person.age.to_string();
        csv::line(
            &mut text,
            &[
                &person.name,
                &age,
                &person.street,
                &person.city,
                &person.state,
                &person.zip,
                &person.lng,
                &person.lat,
            ],
        );
    }
    text
}

/// The file `data.json`: all of them in one list.
pub(super) fn json(people: &[Person]) -> String {
    let records: Vec<_> = people.iter().map(record).collect();
    format!("{{\"records\": [\n{}\n]}}\n", records.join(",\n"))
}

/// A person as JSON, with the place's digits as they are.
fn record(person: &Person) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    format!(
        "{{\"name\": {}, \"age\": {}, \"street\": {}, \"city\": {}, \"state\": {}, \"zip\": {}, \"lng\": {}, \"lat\": {}}}",
        text(&person.name),
        person.age,
        text(&person.street),
        text(&person.city),
        text(&person.state),
        text(&person.zip),
        person.lng,
        person.lat
    )
}

/// Lines of user id and user, as `watertable produce -k :` takes them.
pub(super) fn users_lines(people: &[Person]) -> String {
    let line = |(userid, person): (u64, &Person)| format!("{userid}:{}\n", record(person));
    (1..).zip(people).map(line).collect::<String>()
}

/// The table `users` of the database `dataengineering`.
pub(super) fn users_sql(people: &[Person]) -> String {
    let mut text = String::from(
        "CREATE DATABASE dataengineering;\n\\connect dataengineering\n\
         CREATE TABLE users (id int PRIMARY KEY, name text, street text, city text, zip text, updated_at timestamptz NOT NULL);\n\
         INSERT INTO users VALUES\n  (1, 'Big Bird', 'Sesame Street', 'Fakeville', '12345', '2020-01-01T00:00:00Z')",
    );
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    for (id, person) in (2..).zip(people.iter().skip(1)) {
        let (minute, second): (u64, u64) = (id / 60, id % 60);
        text.push_str(&format!(
            ",\n  ({id}, {}, {}, {}, {}, '2020-01-01T{:02}:{:02}:{second:02}Z')",
            quoted(&person.name),
            quoted(&person.street),
            quoted(&person.city),
            quoted(&person.zip),
            minute / 60,
            minute % 60
        ));
    }
    text.push_str(";\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_people_of_whom_a_tenth_has_a_zip_code_with_a_zero_in_front() {
        for seed in 0..20 {
            let people = people(&mut Random::new(seed));
            assert_eq!(people.len(), 1000);
            assert!(people.iter().all(|person| AGES.contains(&person.age)));
            assert!(people.iter().all(|person| person.zip.len() == 5));
            let zeros = people
                .iter()
                .filter(|person| person.zip.starts_with('0'))
                .count();
            assert!((70..=130).contains(&zeros), "{zeros}");
            assert_eq!(people[7].name, "Miles O'Brien");
        }
    }

    #[test]
    fn those_that_fail_are_of_any_age() {
        let fails = fails(&mut Random::new(1));
        let bad = fails
            .iter()
            .filter(|person| !AGES.contains(&person.age))
            .count();
        assert!((250..=500).contains(&bad), "{bad}");
    }

    #[test]
    fn people_of_one_name_share_a_file_of_the_lake() {
        let mut left = Vec::new();
        for seed in 0..20 {
            let lake = lake(&mut Random::new(seed));
            assert_eq!(lake.files.len() + lake.lost.len(), 1000);
            let mut ids: Vec<_> = lake.files.values().map(|person| person.userid).collect();
            ids.extend(&lake.lost);
            ids.sort_unstable();
            assert!(ids.into_iter().eq(1..=1000));
            assert!(lake.files.contains_key("Miles-O'Brien.json"));
            for (name, person) in &lake.files {
                assert_eq!(name, &format!("{}.json", person.name.replace(' ', "-")));
            }
            left.push(lake.files.len());
        }
        assert!(
            left.iter().all(|left| (980..1000).contains(left)),
            "{left:?}"
        );
    }

    #[test]
    fn the_files_have_the_shape_that_the_book_has() {
        let people = people(&mut Random::new(1));
        let csv = csv(&people);
        assert_eq!(csv.lines().count(), 1001);
        assert!(csv.starts_with("name,age,street,city,state,zip,lng,lat\n"));
        let json: serde_json::Value = serde_json::from_str(&json(&people)).unwrap();
        let records = json["records"].as_array().unwrap();
        assert_eq!(records.len(), 1000);
        let keys: Vec<_> = records[0].as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), 8);
        assert!(records[0]["age"].is_u64() && records[0]["lng"].is_f64());
        let users = users_sql(&people);
        assert!(users.contains("(1, 'Big Bird', 'Sesame Street', 'Fakeville', '12345', "));
        assert!(users.contains("'Miles O''Brien'"));
        assert_eq!(users.matches("\n  (").count(), 1000);
    }
}
