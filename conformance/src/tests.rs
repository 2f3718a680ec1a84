//! The tests, a file for each section of the standard or subject.

mod subscribe;
mod websocket;

use crate::test::Registered;

/// All tests, in the order of the standard.
pub(crate) fn all() -> Vec<&'static Registered> {
    [subscribe::TESTS, websocket::TESTS]
        .into_iter()
        .flatten()
        .collect()
}
