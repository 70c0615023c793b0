//! Trips of scooters, as a city publishes them: times without padding, quoted places with commas, some fields empty, and a few rows
//! that are wrong.
//!
//! Invariant: what is wrong with a row is known from the row, so what a pipeline does with it can be told beforehand.

use super::csv;
use crate::random::Random;

/// So many rows has the file.
pub(crate) const TRIPS: u64 = 34_226;
const HEADER: &str = "month,trip_id,region_id,vehicle_id,started_at,ended_at,DURATION,start_location_name,end_location_name,user_id,trip_ledger_id";
const TRIP_ID_FIRST: u64 = 1_613_335;
const MINUTES_OF_DAY: u64 = 24 * 60;
/// From 21 May to 22 July 2019.
const DAYS: u64 = 63;
/// 21 May is day 0.
const MONTHS: [Month; 3] = [
    Month {
        name: "May",
        number: 5,
        first_day: 0,
        first: 21,
    },
    Month {
        name: "June",
        number: 6,
        first_day: 11,
        first: 1,
    },
    Month {
        name: "July",
        number: 7,
        first_day: 41,
        first: 1,
    },
];
/// After the beginning of 23 May and before that of 3 June: the window of the book.
const WINDOW: std::ops::Range<u64> = 2 * MINUTES_OF_DAY + 1..13 * MINUTES_OF_DAY;
const LOCATIONS: [(&str, u64); 8] = [
    ("1901 Roma Ave NE, Albuquerque, NM 87106, USA", 9),
    ("1898 Mountain Rd NW, Albuquerque, NM 87104, USA", 14),
    ("Central @ Tingley, Albuquerque, NM 87104, USA", 12),
    ("2550 Central Ave NE, Albuquerque, NM 87106, USA", 10),
    ("2901 Central Ave NE, Albuquerque, NM 87106, USA", 8),
    ("Rio Grande @ Mountain, Albuquerque, NM 87104, USA", 4),
    ("330 Tijeras Ave NW, Albuquerque, NM 87102, USA", 13),
    ("Gold @ 4th, Albuquerque, NM 87102, USA", 3),
];
/// The streets whose places are known: where most trips begin.
const GEOCODED: [(&str, &str, &str); 5] = [
    ("1898 Mountain Rd NW", "-106.667145", "35.098104"),
    ("330 Tijeras Ave NW", "-106.653110", "35.087010"),
    ("Central and Tingley", "-106.679430", "35.091710"),
    ("2550 Central Ave NE", "-106.617420", "35.080640"),
    ("1901 Roma Ave NE", "-106.626560", "35.087250"),
];
/// Of the rows in the window, these are wrong.
const WRONG: [(u64, Wrong); 10] = [
    (11, Wrong::EndsBeforeItStarts),
    (502, Wrong::EndsBeforeItStarts),
    (1503, Wrong::EndsBeforeItStarts),
    (2504, Wrong::EndsBeforeItStarts),
    (3505, Wrong::EndsBeforeItStarts),
    (77, Wrong::Duration),
    (1777, Wrong::Duration),
    (2777, Wrong::Duration),
    (900, Wrong::Vehicle),
    (2900, Wrong::Vehicle),
];

struct Month {
    name: &'static str,
    number: u64,
    /// The day of the data that its first day here is.
    first_day: u64,
    /// That day's number in the month.
    first: u64,
}

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    /// A clock that was set back.
    EndsBeforeItStarts,
    /// A spreadsheet's error where a duration should be.
    Duration,
    /// A text where the number of a vehicle should be.
    Vehicle,
}

/// A trip. Times are minutes since the beginning of 21 May 2019.
#[derive(Clone, Debug)]
pub(crate) struct Trip {
    pub(crate) trip_id: u64,
    pub(crate) vehicle_id: u64,
    pub(crate) started: u64,
    pub(crate) ended: u64,
    /// In seconds; some do not know.
    pub(crate) duration_s: Option<u64>,
    pub(crate) from: &'static str,
    pub(crate) to: Option<&'static str>,
    pub(crate) user_id: u64,
    pub(crate) trip_ledger_id: u64,
    pub(crate) wrong: Option<Wrong>,
}

impl Trip {
    /// Whether it started in the window of the book.
    pub(crate) fn is_in_window(&self) -> bool {
        WINDOW.contains(&self.started)
    }

    /// The month's name, as it is written.
    pub(crate) fn month(&self) -> &'static str {
        date(self.started).0.name
    }

    /// What stands before the first comma of where it started, with `and` for `@`.
    pub(crate) fn street(&self) -> String {
        let street = self.from.split(',').next().unwrap_or_default();
        street.replace('@', "and")
    }
}

/// A time as SQL tells it: `2019-05-21T18:33:00`.
pub(crate) fn timestamp(minutes: u64) -> String {
    let (month, day) = date(minutes);
    let minute = minutes % MINUTES_OF_DAY;
    format!(
        "2019-{:02}-{day:02}T{:02}:{:02}:00",
        month.number,
        minute / 60,
        minute % 60
    )
}

/// The month and the day in it.
fn date(minutes: u64) -> (&'static Month, u64) {
    let day = minutes / MINUTES_OF_DAY;
    let [may, june, july] = &MONTHS;
    let month = if day < june.first_day {
        may
    } else if day < july.first_day {
        june
    } else {
        july
    };
    (month, day - month.first_day + month.first)
}

/// All trips, in the order in which they started.
pub(super) fn trips(random: &mut Random) -> Vec<Trip> {
    let mut starts: Vec<u64> = (0..TRIPS)
        .map(|_| random.below(DAYS * MINUTES_OF_DAY))
        .collect();
    starts.sort_unstable();
    let mut in_window = 0;
    (TRIP_ID_FIRST..)
        .zip(starts)
        .map(|(trip_id, started)| {
            let mut trip = trip(random, trip_id, started);
            if trip.is_in_window() {
                let wrong = WRONG.iter().find(|(place, _)| *place == in_window);
                trip.wrong = wrong.map(|(_, wrong)| *wrong);
                in_window += 1;
            }
            if trip.wrong == Some(Wrong::EndsBeforeItStarts) {
                trip.ended = trip.started - random.between(1..=30);
            }
            trip
        })
        .collect()
}

fn trip(random: &mut Random, trip_id: u64, started: u64) -> Trip {
    let seconds = random.between(20..=5400);
    Trip {
        trip_id,
        vehicle_id: random.between(1_000_000..=9_999_999),
        started,
        ended: started + seconds / 60,
        duration_s: (random.below(5000) > 0).then_some(seconds),
        from: location(random),
        to: (random.below(1000) > 2).then(|| location(random)),
        user_id: random.between(8_000_000..=45_000_000),
        trip_ledger_id: random.between(1_400_000..=3_100_000),
        wrong: None,
    }
}

/// Some more often than others.
fn location(random: &mut Random) -> &'static str {
    let all: u64 = LOCATIONS.iter().map(|(_, weight)| weight).sum();
    let mut chosen = random.below(all);
    for (location, weight) in &LOCATIONS {
        if chosen < *weight {
            return location;
        }
        chosen -= weight;
    }
    LOCATIONS[0].0
}

/// The file `scooter.csv`.
pub(super) fn csv(trips: &[Trip]) -> String {
    let mut text = format!("{HEADER}\n");
    for trip in trips {
        let duration = match (trip.wrong, trip.duration_s) {
            (Some(Wrong::Duration), _) => "#VALUE!".to_owned(),
            (_, Some(seconds)) => {
                let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
                format!("{hours}:{minutes:02}:{:02}", seconds % 60)
            }
            (_, None) => String::new(),
        };
        let vehicle = match trip.wrong {
            Some(Wrong::Vehicle) => "unknown".to_owned(),
            _ => trip.vehicle_id.to_string(),
        };
        csv::line(
            &mut text,
            &[
                trip.month(),
                &trip.trip_id.to_string(),
                "202",
                &vehicle,
                &written(trip.started),
                &written(trip.ended),
                &duration,
                trip.from,
                trip.to.unwrap_or_default(),
                &trip.user_id.to_string(),
                &trip.trip_ledger_id.to_string(),
            ],
        );
    }
    text
}

/// `5/21/2019 18:33`
fn written(minutes: u64) -> String {
    let (month, day) = date(minutes);
    let minute = minutes % MINUTES_OF_DAY;
    format!(
        "{}/{day}/2019 {}:{:02}",
        month.number,
        minute / 60,
        minute % 60
    )
}

/// The file `geocodedstreet.csv`.
pub(super) fn geocoded() -> String {
    let mut text = "street,x,y\n".to_owned();
    for (street, x, y) in GEOCODED {
        csv::line(&mut text, &[street, x, y]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn times_are_written_without_padding_and_told_with_it() {
        let minute = 18 * 60 + 33;
        for (minutes, text, told) in [
            (minute, "5/21/2019 18:33", "2019-05-21T18:33:00"),
            (10 * MINUTES_OF_DAY, "5/31/2019 0:00", "2019-05-31T00:00:00"),
            (
                11 * MINUTES_OF_DAY + 65,
                "6/1/2019 1:05",
                "2019-06-01T01:05:00",
            ),
            (
                41 * MINUTES_OF_DAY - 1,
                "6/30/2019 23:59",
                "2019-06-30T23:59:00",
            ),
            (41 * MINUTES_OF_DAY, "7/1/2019 0:00", "2019-07-01T00:00:00"),
        ] {
            assert_eq!(written(minutes), text);
            assert_eq!(timestamp(minutes), told);
        }
        let trip = |started| Trip {
            started,
            ..trips(&mut Random::new(1))[0].clone()
        };
        let day = |day: u64| (day - 21) * MINUTES_OF_DAY;
        assert!(!trip(day(23)).is_in_window());
        assert!(trip(day(23) + 1).is_in_window());
        assert!(trip(day(34) - 1).is_in_window());
        assert!(!trip(day(34)).is_in_window());
    }

    #[test]
    fn the_rows_have_the_quirks_of_the_original() {
        for seed in 0..3 {
            let trips = trips(&mut Random::new(seed));
            assert_eq!(trips.len(), 34_226);
            assert!(trips.is_sorted_by_key(|trip| trip.started));
            let count = |is: fn(&Trip) -> bool| trips.iter().filter(|trip| is(trip)).count();
            assert!((1..30).contains(&count(|trip| trip.duration_s.is_none())));
            assert!((50..200).contains(&count(|trip| trip.to.is_none())));
            let mut wrong = BTreeMap::new();
            for trip in &trips {
                *wrong.entry(trip.wrong).or_insert(0) += 1;
                assert_eq!(
                    trip.ended < trip.started,
                    trip.wrong == Some(Wrong::EndsBeforeItStarts)
                );
                assert!(trip.wrong.is_none() || trip.is_in_window());
            }
            assert_eq!(wrong[&Some(Wrong::EndsBeforeItStarts)], 5);
            assert_eq!(wrong[&Some(Wrong::Duration)], 3);
            assert_eq!(wrong[&Some(Wrong::Vehicle)], 2);
            let csv = csv(&trips);
            assert_eq!(csv.lines().count(), 34_227);
            assert!(csv.contains(",\"Central @ Tingley, Albuquerque, NM 87104, USA\","));
            assert_eq!(csv.matches("#VALUE!").count(), 3);
        }
    }

    #[test]
    fn the_places_of_the_five_busiest_streets_are_known() {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for trip in trips(&mut Random::new(1)) {
            *counts.entry(trip.street()).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().map(|(street, n)| (n, street)).collect();
        counts.sort_unstable();
        let mut busiest: Vec<_> = counts
            .iter()
            .rev()
            .take(5)
            .map(|(_, street)| street)
            .collect();
        let mut known: Vec<_> = GEOCODED.iter().map(|(street, ..)| *street).collect();
        busiest.sort();
        known.sort_unstable();
        assert_eq!(busiest, known);
        assert!(geocoded().contains("Central and Tingley,"));
    }
}
