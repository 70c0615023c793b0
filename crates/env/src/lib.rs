//! The outside world as traits: clock, randomness, disk, network, tasks; with the real implementations.
