//! The changes that an outbox has to know, and what may not leave before it does.

use crate::outbox::OutboxChange;

/// The number of a change: what needs it waits until it is committed. 0 needs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChangeNumber(u64);

/// Changes, numbered in their order. Without an outbox, none is kept and nothing waits.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    enabled: Enabled,
    changes: Vec<OutboxChange>,
    last: ChangeNumber,
    urgent: ChangeNumber,
    taken: ChangeNumber,
    durable: ChangeNumber,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Enabled {
    #[default]
    No,
    Yes,
}

impl Recorded {
    pub(super) const fn begin(&mut self) {
        self.enabled = Enabled::Yes;
    }

    /// A change that something waits for: the number to wait for.
    pub(super) fn urgent(&mut self, change: impl FnOnce() -> OutboxChange) -> ChangeNumber {
        if self.enabled == Enabled::No {
            return ChangeNumber::default();
        }
        self.lazy(change);
        self.urgent = self.last;
        self.last
    }

    /// A change that may wait for another one.
    pub(super) fn lazy(&mut self, change: impl FnOnce() -> OutboxChange) {
        if self.enabled == Enabled::Yes {
            self.changes.push(change());
            self.last = ChangeNumber(self.last.0 + 1);
        }
    }

    /// All changes so far: for an answer that is given again, and whose change may not be committed yet.
    pub(super) const fn everything(&mut self) -> ChangeNumber {
        self.urgent = self.last;
        self.last
    }

    pub(super) fn take(&mut self) -> Vec<OutboxChange> {
        self.taken = self.last;
        std::mem::take(&mut self.changes)
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.urgent > self.taken
    }

    /// What was taken is durable; tells up to which number.
    pub(super) const fn committed(&mut self) -> ChangeNumber {
        self.durable = self.taken;
        self.durable
    }

    pub(super) fn is_durable(&self, number: ChangeNumber) -> bool {
        number <= self.durable
    }
}
