//! Random sequences of steps, as the fuzzer makes them up, for machines without one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may stop at what it did not expect, and says where"
)]

#[allow(dead_code, reason = "the scenarios use what the steps do not")]
mod world;

/// Shards of a broker, where a test says nothing else.
const SHARDS: usize = 1;

use std::panic::catch_unwind;

#[test]
fn any_steps_can_be_taken() {
    let failed = |seed: &u64| {
        let told = catch_unwind(|| {
            let mut random = fastrand::Rng::with_seed(*seed);
            let mut data = vec![0; random.usize(0..3000)];
            random.fill(&mut data);
            world::steps::run(&data);
        });
        told.is_err()
    };
    let failed: Vec<_> = (0..1500).filter(failed).collect();
    assert!(failed.is_empty(), "these seeds fail: {failed:?}");
}
