//! The driver and the broker as a value: real tasks on tokio runtimes, pipes for transports, stores
//! and authorities that wait or fail when a test says so. What the engine decides is tested in
//! `scenarios`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at what it did not expect"
)]

mod authority;
mod commit;
#[allow(
    dead_code,
    reason = "the words are shared with the scenarios, and not all are said here"
)]
#[path = "../world/describe.rs"]
mod describe;
mod load;
mod net;
mod read;
mod restart;
#[allow(
    dead_code,
    reason = "the words are shared with the scenarios, and not all are said here"
)]
#[path = "../world/script.rs"]
mod script;
mod serve;
mod shutdown;
mod store;
mod time;
mod write;

use mqtt_codec::QoS::{AtLeastOnce as Q1, AtMostOnce as Q0, ExactlyOnce as Q2};

/// Shards of a broker, where a test says nothing else.
const SHARDS: usize = 1;
