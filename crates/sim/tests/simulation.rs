//! The simulation itself: that a seed is one run, and that a fixed set of seeds is clean.

/// Seeds that every build runs; `cargo xtask sim --seeds N` runs as many as one likes.
const SEEDS: u64 = 40;

/// Seeds that are run twice.
const TWICE: u64 = 10;

#[test]
fn a_seed_is_one_run() {
    for seed in 0..TWICE {
        assert_eq!(sim::compare(seed), None);
    }
}

#[test]
fn other_seeds_are_other_runs() {
    assert_ne!(sim::run(1, false).hash, sim::run(2, false).hash);
}

#[test]
fn a_fixed_set_of_seeds_is_clean() {
    for seed in 0..SEEDS {
        let outcome = sim::run(seed, false);
        let failure = outcome.failure;
        assert!(
            failure.is_none(),
            "cargo xtask sim --seed {seed}: {failure:?}"
        );
    }
}
