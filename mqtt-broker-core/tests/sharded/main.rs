//! The same scenarios with a broker that is spread over several shards: nobody is to see a difference.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at what it did not expect"
)]

#[path = "../scenarios/auth.rs"]
mod auth;
#[path = "../scenarios/connect.rs"]
mod connect;
#[path = "../scenarios/durability.rs"]
mod durability;
#[path = "../scenarios/expire.rs"]
mod expire;
#[path = "../scenarios/limits.rs"]
mod limits;
#[path = "../scenarios/memory.rs"]
mod memory;
#[path = "../scenarios/order.rs"]
mod order;
#[path = "../scenarios/properties.rs"]
mod properties;
#[path = "../scenarios/publish.rs"]
mod publish;
#[path = "../scenarios/qos.rs"]
mod qos;
#[path = "../scenarios/retain.rs"]
mod retain;
#[path = "../scenarios/run.rs"]
mod run;
#[path = "../scenarios/session.rs"]
mod session;
#[path = "../scenarios/shared.rs"]
mod shared;
#[path = "../scenarios/subscribe.rs"]
mod subscribe;
#[path = "../scenarios/will.rs"]
mod will;
#[allow(dead_code, reason = "the simulation uses what the scenarios do not")]
#[path = "../world/mod.rs"]
mod world;

/// Shards of a broker, where a test says nothing else.
const SHARDS: usize = 3;

use mqtt_codec::QoS::{AtLeastOnce as Q1, AtMostOnce as Q0, ExactlyOnce as Q2};

/// What is tested with one shard is tested with several.
#[test]
fn no_module_is_left_out() {
    let modules = |text: &'static str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix("mod "));
        lines.collect::<std::collections::BTreeSet<_>>()
    };
    let (all, here) = (
        modules(include_str!("../scenarios/main.rs")),
        modules(include_str!("main.rs")),
    );
    let left_out: Vec<_> = all.difference(&here).collect();
    assert!(left_out.is_empty(), "{left_out:?}");
}
