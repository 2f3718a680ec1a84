//! Each numbered statement of MQTT 5.0 and 3.1.1 that a client has to do with, and the test that proves it.
//!
//! A test plays the server: it sends raw bytes, written down in the notation of the conformance suite, and
//! looks at each byte that the client sends. Nothing of our codec judges it. The page of all statements,
//! `docs/conformance.md`, names these tests; `make conformance` makes it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a test stops at what it did not expect, and measures real time"
)]

mod packet;
mod server;
mod test;

mod acknowledge;
mod authenticate;
mod connack;
mod connect;
mod disconnect;
mod error;
mod flow;
mod format;
mod order;
mod ping;
mod publish;
mod qos;
mod session;
mod subscribe;
mod topic;
mod topic_alias;
mod transport;
mod unsubscribe;

use std::collections::BTreeSet;

use mqtt_conformance::Version;
use mqtt_conformance::statements::{Lack, Side, Statements};

use crate::test::Registered;

/// All tests, in the order of the standard.
fn all() -> Vec<&'static Registered> {
    [
        format::TESTS,
        connect::TESTS,
        connack::TESTS,
        publish::TESTS,
        topic_alias::TESTS,
        flow::TESTS,
        acknowledge::TESTS,
        subscribe::TESTS,
        unsubscribe::TESTS,
        ping::TESTS,
        disconnect::TESTS,
        authenticate::TESTS,
        session::TESTS,
        qos::TESTS,
        order::TESTS,
        topic::TESTS,
        error::TESTS,
        transport::TESTS,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What the client has to do with is tested, and what tests name is there.
#[test]
fn each_statement_has_a_test() {
    let statements = Statements::load();
    let mut problems = Vec::new();
    let mut claimed = BTreeSet::new();
    for test in all() {
        for claim in test.claims {
            for id in claim.statements {
                claimed.insert((claim.version, *id));
                if statements.find(claim.version, id).is_none() {
                    let version = claim.version.name();
                    problems.push(format!("{} names {id} of {version}", test.name));
                }
            }
        }
    }
    for version in [Version::V5, Version::V3_1_1] {
        for statement in statements.of(version) {
            let id = statement.id.as_str();
            let wanted = statements.concerns(Side::Client, version, statement);
            let excused = statements.exception(Side::Client, version, id, Lack::Test);
            if wanted && excused.is_none() && !claimed.contains(&(version, id)) {
                problems.push(format!("no test for {id} of {}", version.name()));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Runs all tests, and writes what came of them for the page of statements.
#[test]
#[ignore = "for `make conformance`, which sets MQTT_CONFORMANCE_REPORT to the file to write"]
fn report() {
    let path = std::env::var_os("MQTT_CONFORMANCE_REPORT").expect("MQTT_CONFORMANCE_REPORT");
    let report = test::report(&all());
    let json = serde_json::to_string_pretty(&report).expect("a report is plain data");
    std::fs::write(path, json + "\n").expect("a file that can be written");
}
