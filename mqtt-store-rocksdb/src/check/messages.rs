//! The messages that there are, and who has them.

use mqtt_broker_core::Instant;

/// Messages in the order of their numbers.
#[derive(Default)]
pub(super) struct Messages(Vec<Seen>);

/// A message that is there.
pub(super) struct Seen {
    pub(super) number: u64,
    pub(super) lifetime: Lifetime,
    /// How many deliveries have it.
    pub(super) deliveries: u32,
    /// How many of them do not say that others may have it.
    pub(super) unshared: u32,
}

/// When a message's lifetime ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    Ends(Instant),
    Endless,
    /// The message cannot be read.
    Unknown,
}

impl Messages {
    /// Adds the next one.
    pub(super) fn push(&mut self, number: u64, lifetime: Lifetime) {
        self.0.push(Seen {
            number,
            lifetime,
            deliveries: 0,
            unshared: 0,
        });
    }

    pub(super) fn find(&mut self, number: u64) -> Option<&mut Seen> {
        let at = self.0.binary_search_by_key(&number, |seen| seen.number);
        at.ok().and_then(|at| self.0.get_mut(at))
    }

    pub(super) fn into_all(self) -> Vec<Seen> {
        self.0
    }
}
