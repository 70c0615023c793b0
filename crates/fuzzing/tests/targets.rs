//! Every target over its seeds and a fixed number of mutations of them, without coverage: targets must not rot, and what
//! this finds it finds on every machine.

use fuzzing::{Random, Target, mutate};

/// Mutations of each target; the slow ones take about a second so.
const MUTATIONS: u64 = 400;

/// Runs a target up to the first input that it does not hold for, and says which that is.
fn failure(target: Target) -> Option<String> {
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    let mutated = (0..MUTATIONS).map(|number| mutate(&mut Random::new(number), &seeds));
    let mutated: Vec<_> = mutated.collect();
    let input = seeds
        .iter()
        .chain(&mutated)
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
