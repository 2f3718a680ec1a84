//! The same tests of the driver with a broker that is spread over several shards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at what it did not expect"
)]

#[path = "../driver/authority.rs"]
mod authority;
#[path = "../driver/commit.rs"]
mod commit;
#[allow(
    dead_code,
    reason = "the words are shared with the scenarios, and not all are said here"
)]
#[path = "../world/describe.rs"]
mod describe;
#[path = "../driver/net.rs"]
mod net;
#[path = "../driver/read.rs"]
mod read;
#[path = "../driver/restart.rs"]
mod restart;
#[allow(
    dead_code,
    reason = "the words are shared with the scenarios, and not all are said here"
)]
#[path = "../world/script.rs"]
mod script;
#[path = "../driver/serve.rs"]
mod serve;
#[path = "../driver/shutdown.rs"]
mod shutdown;
#[path = "../driver/store.rs"]
mod store;
#[path = "../driver/time.rs"]
mod time;
#[path = "../driver/write.rs"]
mod write;

use mqtt_codec::QoS::{AtLeastOnce as Q1, AtMostOnce as Q0, ExactlyOnce as Q2};

/// Shards of a broker, where a test says nothing else.
const SHARDS: usize = 3;

/// What is tested with one shard is tested with several, but for `load`, which asks for its own shards.
#[test]
fn no_module_is_left_out() {
    let modules = |text: &'static str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix("mod "));
        lines.collect::<std::collections::BTreeSet<_>>()
    };
    let (all, here) = (
        modules(include_str!("../driver/main.rs")),
        modules(include_str!("main.rs")),
    );
    let left_out: Vec<_> = all.difference(&here).copied().collect();
    assert_eq!(left_out, ["load;"]);
}
