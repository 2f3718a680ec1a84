//! What survives when the server is killed, when the power goes, and when the disk fails or is full.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test may stop at what it did not expect, measures real time, and says what it found"
)]
#![cfg(all(target_os = "linux", feature = "rocksdb"))]

mod rounds;

mod changing;
mod check;
mod client;
mod findings;
mod load;
mod mortal;
mod publisher;
mod retained;
mod subscriber;
mod wills;

mod failing_disk;
mod flood;
mod full_disk;

mod journal;
mod power;
mod power_loss;

#[path = "../server/mod.rs"]
mod server;
