//! The promises of delivery, checked from end to end: two clients, a broker that is killed, and a
//! proxy between them that delays and cuts.
//!
//! The broker is an embedded one, always; Mosquitto, where it is installed; and the `mqttd` that the
//! environment variable `MQTTD` names. Random tests print their seeds: `DELIVERY_SEED=7` runs that one
//! alone, `DELIVERY_SEEDS=100` so many; `DELIVERY_TRACE=1` prints all bytes.

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
#![cfg(unix)]

mod promises;

mod drain;
mod outbox;
mod queue;
mod reconnect;
mod streams;
mod subscriptions;

mod parties;

mod broker;
mod fake_broker;
mod proxy;

mod ledger;
mod seeds;

mod directory;
mod peer;
mod port;
mod wire;

use std::time::Duration;

/// How long something may take that has to come at once, on a machine with much else to do.
const SOON: Duration = Duration::from_secs(10);

/// Waits for what has to come soon.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, future).await {
        Ok(done) => done,
        Err(_) => panic!("not soon: {what}"),
    }
}
