//! The stories of `story`, with the sessions in memory.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may stop at what it did not expect, and says where"
)]

mod story;
#[allow(dead_code, reason = "the scenarios use what the simulation does not")]
mod world;

/// Shards of a broker, where a test says nothing else.
const SHARDS: usize = 1;

use std::sync::Arc;

use mqtt_store_memory::MemoryStore;

impl story::Disk for MemoryStore {
    fn open_again(&self) {}
}

#[test]
fn what_was_promised_is_kept() {
    story::tell_all(2000, |_| Arc::new(MemoryStore::default()));
}
