//! Random scripts against the delivery rules: what each client gets is what a short model says.
//!
//! `MODEL_SEEDS` is how many scripts are run. One that fails is made shorter as long as it fails, and
//! printed with its seed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may stop at what it did not expect, and says where"
)]

mod rules;
mod steps;
#[allow(dead_code, reason = "the scenarios use what the model does not")]
#[path = "../world/mod.rs"]
mod world;

/// Shards of a broker, where a test says nothing else.
const SHARDS: usize = 1;

use std::panic::{AssertUnwindSafe, catch_unwind};

use steps::{Step, run, steps};

/// What goes wrong in a script.
fn failure(steps: &[Step]) -> Option<String> {
    let caught = catch_unwind(AssertUnwindSafe(|| run(steps))).err()?;
    let text = caught.downcast_ref::<String>().cloned();
    Some(text.unwrap_or_else(|| "it panics".to_owned()))
}

/// Leaves out all steps without which it fails, too.
fn shrink(mut steps: Vec<Step>) -> Vec<Step> {
    let mut size = steps.len() / 2;
    while size > 0 {
        let mut at = 0;
        let before = steps.len();
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + size).min(fewer.len()));
            if failure(&fewer).is_some() {
                steps = fewer;
            } else {
                at += size;
            }
        }
        if size > 1 || steps.len() == before {
            size /= 2;
        }
    }
    steps
}

#[test]
fn clients_get_what_the_rules_say() {
    let number = std::env::var("MODEL_SEEDS").ok();
    let seeds = number
        .and_then(|number| number.parse().ok())
        .unwrap_or(1500);
    for seed in 0..seeds {
        let steps = steps(&mut fastrand::Rng::with_seed(seed));
        if failure(&steps).is_some() {
            let steps = shrink(steps);
            let lines: Vec<_> = steps.iter().map(|step| format!("{step:?}")).collect();
            let failure = failure(&steps).unwrap();
            panic!("seed {seed} fails:\n{}\n{failure}", lines.join("\n"));
        }
    }
}
