//! What a broker has to do, chapter by chapter: scripted clients against the engine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at what it did not expect"
)]

mod auth;
mod connect;
mod durability;
mod expire;
mod limits;
mod memory;
mod order;
mod properties;
mod publish;
mod qos;
mod retain;
mod run;
mod session;
mod shared;
mod subscribe;
mod will;
#[allow(dead_code, reason = "the simulation uses what the scenarios do not")]
#[path = "../world/mod.rs"]
mod world;

/// Shards of a broker, where a test says nothing else.
const SHARDS: usize = 1;

use mqtt_codec::QoS::{AtLeastOnce as Q1, AtMostOnce as Q0, ExactlyOnce as Q2};
