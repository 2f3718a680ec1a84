//! Client sessions and the broker's engine in one simulated world: a clock that jumps, a network that
//! delays, cuts and truncates, a broker that is killed, processes that end. Everything is drawn from a seed.
//!
//! `SIMULATE_SEEDS=n` plays so many seeds, `SIMULATE_SEED=n` one of them, with all that happens in it.

#![allow(clippy::too_many_lines, reason = "one match over all that can happen")]

#[cfg(test)]
mod broker;
#[cfg(test)]
mod client;
#[cfg(test)]
mod wire;
#[cfg(test)]
mod world;

use std::env;

use self::world::World;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

#[test]
fn promises_hold_whatever_the_network_does() {
    if let Some(seed) = number("SIMULATE_SEED") {
        return World::play(seed, world::Log::Print);
    }
    for seed in 0..number("SIMULATE_SEEDS").unwrap_or(400) {
        let played = std::panic::catch_unwind(|| World::play(seed, world::Log::Keep));
        if let Err(panic) = played {
            eprintln!("seed {seed} failed; SIMULATE_SEED={seed} shows what happened");
            std::panic::resume_unwind(panic);
        }
    }
}
