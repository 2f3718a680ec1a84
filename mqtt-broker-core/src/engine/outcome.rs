//! What became of a run of messages: what its publisher is told, and when.

use super::output::Output;
use crate::state::Publication;

/// The most messages of a run: one bit of an [`Outcome`] for each.
pub(super) const RUN_MAX: usize = 64;

/// What became of a run.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// True if there was anybody to get it.
    pub(super) matched: bool,
    /// True if it must be committed before it is acknowledged.
    pub(super) stored: bool,
    /// A bit for each message, set if some queue was full.
    overflowed: u64,
}

impl Outcome {
    /// Some queue was full for this message.
    pub(super) fn overflow(&mut self, index: usize) {
        self.overflowed |= 1 << (index % RUN_MAX);
    }

    /// All of it has found no room on its way.
    pub(super) fn overflow_all(&mut self, publication: &Publication<'_>, out: &mut Output) {
        out.counters.dropped_memory += publication.len() as u64;
        (0..publication.len()).for_each(|index| self.overflow(index));
    }

    /// True if it has not found room everywhere.
    pub(super) const fn has_overflowed(&self, index: usize) -> bool {
        self.overflowed & (1 << (index % RUN_MAX)) != 0
    }
}
