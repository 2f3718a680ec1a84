//! The tests, a file for each section of the standard or subject.

mod acknowledge;
mod authenticate;
mod authority;
mod connack;
mod connect;
mod disconnect;
mod error;
mod expiry;
mod flow;
mod format;
mod limits;
mod long;
mod malformed;
mod order;
mod ping;
mod properties;
mod publish;
mod qos;
mod redelivery;
mod retained;
mod session;
mod shared;
mod state;
mod subscribe;
mod takeover;
mod topic;
mod topic_alias;
mod traps;
mod unsubscribe;
mod versions;
mod websocket;
mod will;

use crate::test::Registered;

/// All tests, in the order of the standard.
pub(crate) fn all() -> Vec<&'static Registered> {
    [
        format::TESTS,
        connect::TESTS,
        session::TESTS,
        will::TESTS,
        connack::TESTS,
        publish::TESTS,
        properties::TESTS,
        topic_alias::TESTS,
        retained::TESTS,
        acknowledge::TESTS,
        subscribe::TESTS,
        unsubscribe::TESTS,
        qos::TESTS,
        redelivery::TESTS,
        ping::TESTS,
        disconnect::TESTS,
        authenticate::TESTS,
        authority::TESTS,
        state::TESTS,
        order::TESTS,
        topic::TESTS,
        shared::TESTS,
        flow::TESTS,
        error::TESTS,
        malformed::bytes::TESTS,
        malformed::properties::TESTS,
        malformed::hello::TESTS,
        malformed::effects::TESTS,
        versions::TESTS,
        takeover::TESTS,
        expiry::TESTS,
        limits::TESTS,
        traps::TESTS,
        long::TESTS,
        websocket::TESTS,
    ]
    .into_iter()
    .flatten()
    .collect()
}
