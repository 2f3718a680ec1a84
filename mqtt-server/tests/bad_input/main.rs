//! Peers that send what they should not, too much of it, or nothing; that do not read, and that
//! vanish. Each is closed with the right reason where one can be sent, within bounds of time and
//! memory, and a pair of clients beside it notices nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a test may stop at what it did not expect, and measures real time"
)]

mod amounts;
mod first_packet;
mod packets;
#[path = "../server/mod.rs"]
mod server;

const MIB: usize = 1024 * 1024;
