//! Every target over its seeds and a fixed number of mutations of them, without coverage: targets must not rot, and what
//! this finds it finds on every machine. More of it: `FUZZ_MUTATIONS=100000 cargo test -p fuzzing`.

use fuzzing::{Random, Target, mutate};

/// Mutations of each target unless somebody wants more; the slow ones take about a second so.
const MUTATIONS: u64 = 400;

fn mutations() -> u64 {
    let wanted = std::env::var("FUZZ_MUTATIONS").ok();
    wanted
        .and_then(|wanted| wanted.parse().ok())
        .unwrap_or(MUTATIONS)
}

/// Runs a target up to the first input that it does not hold for, and says which that is.
fn failure(target: Target) -> Option<String> {
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    let mutated = (0..mutations()).map(|number| mutate(&mut Random::new(number), &seeds));
    let input = seeds
        .iter()
        .cloned()
        .chain(mutated)
        .find(|input| std::panic::catch_unwind(|| (target.run)(input)).is_err())?;
    let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{}: {hex}", target.name))
}

#[test]
fn every_target_holds_for_its_seeds_and_for_mutations_of_them() {
    let failures: Vec<_> = fuzzing::all().into_iter().filter_map(failure).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn names_are_unique_and_seeds_are_always_the_same() {
    let targets = fuzzing::all();
    let mut names: Vec<_> = targets.iter().map(|target| target.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), targets.len());
    for target in targets {
        assert_eq!((target.seeds)(), (target.seeds)(), "{}", target.name);
    }
}
