//! What is known of all peers together, for what one of them gets may be another's doing.

use std::collections::BTreeSet;

/// What all peers know together.
#[derive(Default)]
pub(super) struct Known {
    /// Topics and payloads of all that was published, wills too.
    pub(super) messages: BTreeSet<(Vec<u8>, Vec<u8>)>,
    /// True if a subscription had an identifier.
    pub(super) identifiers: bool,
    /// The client identifiers of the CONNECTs that were read at last.
    pub(super) arrived: Vec<(usize, String)>,
    pub(super) connects: usize,
}
