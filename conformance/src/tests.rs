//! The tests, a file for each section of the standard or subject.

mod acknowledge;
mod connack;
mod connect;
mod format;
mod properties;
mod publish;
mod qos;
mod redelivery;
mod retained;
mod session;
mod subscribe;
mod unsubscribe;
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
        retained::TESTS,
        acknowledge::TESTS,
        subscribe::TESTS,
        unsubscribe::TESTS,
        qos::TESTS,
        redelivery::TESTS,
        websocket::TESTS,
    ]
    .into_iter()
    .flatten()
    .collect()
}
