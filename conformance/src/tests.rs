//! The tests, a file for each section of the standard or subject.

mod connack;
mod connect;
mod format;
mod session;
mod subscribe;
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
        subscribe::TESTS,
        websocket::TESTS,
    ]
    .into_iter()
    .flatten()
    .collect()
}
