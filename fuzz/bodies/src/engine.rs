//! Any sequence of steps on a broker: clients that connect, publish, acknowledge and vanish, time
//! that passes, commits that wait or fail, crashes.

#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is the world of the engine's tests"
)]
#[path = "../../../mqtt-broker-core/tests/world/mod.rs"]
mod world;

/// Shards of a broker, where a test says nothing else.
const SHARDS: usize = 1;

/// Takes limits and steps from the bytes. What clients get is legal, what is committed is legal, and
/// in the end the engine has what the store has.
pub fn engine(data: &[u8]) {
    world::steps::run(data);
}
