//! Asks any MQTT broker, statement by statement, whether it keeps to the standard.
//!
//! A test sends raw bytes, written down in a [notation], over a connection of its own, and looks at
//! what comes back. It names the numbered statements that it proves. What is not here: an encoder of
//! packets, since it would not let a test say anything wrong, and any code of the broker under test,
//! but for the [broker](embedded) that some tests need.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a test stops at what it did not expect, and measures real time"
)]

mod cli;
mod client;
mod code;
mod codes;
mod differential;
mod document;
mod embedded;
mod packet;
mod run;
mod server;
mod test;
mod tests;
mod websocket;

use std::process::ExitCode;

use mqtt_conformance::{Version, fields, notation, report, statements};

fn main() -> ExitCode {
    cli::main()
}
