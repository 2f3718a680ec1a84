//! All that a store holds as lines of JSON: what `mqttd store export`, `mqttd store import` and
//! `--snapshot` write and read. The README of this crate shows the format.
//!
//! The first line says what the file is, each line behind it is one record, and the last one counts
//! the others, so that a file that was cut off is noticed. What a session has follows its record. A
//! message that waits for several sessions is there with each of them.
//!
//! Neither direction has more in memory than a page of the store, or a batch and a line of the file.

mod export;
mod fill;
mod form;
mod import;
mod message;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;

use mqtt_broker_core::store::StoreError;
use serde::{Deserialize, Serialize};

pub(crate) use self::export::export;
pub(crate) use self::import::import;

/// The name of the format, in the first line.
const FORMAT: &str = "mqtt-store";
/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u32,
}

/// How many records of each kind there are: the last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    pub(crate) sessions: u64,
    pub(crate) subscriptions: u64,
    pub(crate) received: u64,
    pub(crate) deliveries: u64,
    pub(crate) retained: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sessions: {}, subscriptions: {}, deliveries: {}, received packet identifiers: {}, retained messages: {}",
            self.sessions, self.subscriptions, self.deliveries, self.received, self.retained
        )
    }
}

/// A store could not be written out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error("cannot read the store: {0}")]
    Store(#[from] StoreError),
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    /// The store has what no broker puts there.
    #[error("the store has what the format cannot hold: {0}")]
    Content(String),
}

/// A file could not be read into a store. What was read before the error is in the store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error("the store is not empty: only an empty one can be filled")]
    NotEmpty,
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    #[error("cannot read: {0}")]
    Read(#[from] io::Error),
    /// A line is not what it should be.
    #[error("line {line}: {problem}")]
    Line { line: u64, problem: String },
}
