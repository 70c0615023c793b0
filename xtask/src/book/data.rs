//! The data of the book's examples: made up, and the same for a seed. No file of the book is in the repository.

use super::people::{self, Lake, Person};
use super::transactions::{self, Transaction};
use super::trips::{self, Trip};
use crate::random::Random;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// The seed of what the page of the examples tells.
pub(crate) const SEED: u64 = 7;

const WAREHOUSE: &str = "\
-- The databases of the examples, each with the tables of the book.
CREATE DATABASE test;
CREATE DATABASE production;
\\connect test
CREATE TABLE staging (userid bigint PRIMARY KEY, name text, age int, street text, city text, state text, zip text);
CREATE TABLE warehouse (userid bigint PRIMARY KEY, name text, age int, street text, city text, state text, zip text);
\\connect production
CREATE TABLE staging (userid bigint PRIMARY KEY, name text, age int, street text, city text, state text, zip text);
CREATE TABLE warehouse (userid bigint PRIMARY KEY, name text, age int, street text, city text, state text, zip text);
";

/// Everything, before it is written.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) people: Vec<Person>,
    pub(crate) fails: Vec<Person>,
    pub(crate) users: Vec<Person>,
    pub(crate) trips: Vec<Trip>,
    pub(crate) lake: Lake,
    pub(crate) transactions: Vec<Transaction>,
}

impl Data {
    /// Each part has chance of its own, so that one can change without the others.
    pub(crate) fn of(seed: u64) -> Self {
        let part = |part: u64| Random::new(seed.wrapping_mul(1000).wrapping_add(part));
        Self {
            people: people::people(&mut part(1)),
            fails: people::fails(&mut part(2)),
            users: people::people(&mut part(3)),
            trips: trips::trips(&mut part(4)),
            lake: people::lake(&mut part(5)),
            transactions: transactions::transactions(&mut part(6)),
        }
    }

    /// Writes all files below a folder, over those that are there.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            let parent = path.parent().unwrap_or(folder);
            fs::create_dir_all(parent)
                .and_then(|()| fs::write(&path, text))
                .with_context(|| path.display().to_string())
        };
        write("people/data.csv", &people::csv(&self.people))?;
        write("people/data.json", &people::json(&self.people))?;
        write("bad/fail.csv", &people::csv(&self.fails))?;
        write("users.txt", &people::users_lines(&self.users))?;
        write("transactions.txt", &transactions::lines(&self.transactions))?;
        write("users.sql", &people::users_sql(&self.users))?;
        write("warehouse.sql", WAREHOUSE)?;
        write("scooter/scooter.csv", &trips::csv(&self.trips))?;
        write("geocodedstreet.csv", &trips::geocoded())?;
        for (name, person) in &self.lake.files {
            let text = serde_json::to_string(person)?;
            write(&format!("lake/{name}"), &format!("{text}\n"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(seed: u64) -> Vec<(String, Vec<u8>)> {
        let folder = tempfile::tempdir().unwrap();
        Data::of(seed).write(folder.path()).unwrap();
        let mut files = Vec::new();
        for name in ["", "people", "bad", "scooter", "lake"] {
            for entry in fs::read_dir(folder.path().join(name)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    let name = path.strip_prefix(folder.path()).unwrap();
                    files.push((name.display().to_string(), fs::read(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }

    #[test]
    fn a_seed_gives_the_same_files_each_time_and_another_one_others() {
        let files = written(SEED);
        assert_eq!(files, written(SEED));
        let left = Data::of(SEED).lake.files.len();
        assert_eq!(files.len(), 9 + left);
        let other = written(SEED + 1);
        let trips = |files: &[(String, Vec<u8>)]| {
            let found = files.iter().find(|(name, _)| name == "scooter/scooter.csv");
            found.map(|(_, bytes)| bytes.clone())
        };
        assert_ne!(trips(&files), trips(&other));
    }
}
