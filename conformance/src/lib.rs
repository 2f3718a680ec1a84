//! What a test of conformance is written with, whatever it tests: bytes in a [notation], a strict reader
//! of their [fields], the numbered [statements] of both standards, and the [report] of what came of it.
//!
//! The suite that asks brokers is the program `mqtt-conformance`; the tests of a client are with it, in
//! `mqtt-client/tests/conformance`. No codec is used here.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

pub mod fields;
pub mod notation;
pub mod report;
pub mod statements;

use serde::{Deserialize, Serialize};

/// A version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Version {
    /// Of 2010, without numbered statements.
    #[serde(rename = "3.1")]
    V3_1,
    /// Of 2014.
    #[serde(rename = "3.1.1")]
    V3_1_1,
    /// Of 2019.
    #[serde(rename = "5.0")]
    V5,
}

impl Version {
    /// As its standard calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V3_1 => "3.1",
            Self::V3_1_1 => "3.1.1",
            Self::V5 => "5.0",
        }
    }
}
