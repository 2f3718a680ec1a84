//! The memory that what waits may take up, in all shards together.
//!
//! Each place where something waits, an outbox or a queue, may hold at most a [share](Budget::share) of what
//! is left: as memory gets short, the backlog that anybody may have shrinks. All outboxes together may hold
//! half of it, an equal part each; the last quarter is not for retained messages, which stay, and the last
//! eighth not for large packets and messages. So who keeps up is not touched by those who do not, however many
//! they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is left is divided by this: the part that a single place may hold.
const SHARES: usize = 8;

/// So much may wait for anybody: as much as the smallest buffer has room for.
const SMALL_BYTES: usize = 4 * 1024;
/// Bytes that a connection takes up, its task and its socket's included.
pub(crate) const CONNECTION_BYTES: usize = 1536;
/// Bytes that a session takes up.
pub(crate) const SESSION_BYTES: usize = 384;
/// Bytes that a subscription takes up, with a filter of some length.
pub(crate) const SUBSCRIPTION_BYTES: usize = 192;
/// Bytes that a message takes up besides what it says.
const MESSAGE_BYTES: usize = 160;

/// A shard's access to the memory budget.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Access>);

/// One for each shard, so that the count of those who have access is not shared by all.
#[derive(Debug)]
struct Access {
    total: Arc<Total>,
}

/// The budget of all shards.
#[derive(Debug)]
pub(crate) struct Total {
    bytes_max: usize,
    used: AtomicUsize,
    connections: AtomicUsize,
}

/// The budget in which a message is counted, from [`Budget::charge`] until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Charge(Option<Budget>);

impl Total {
    /// `usize::MAX`: nothing is counted.
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            used: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        })
    }

    /// How many connections there are.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn count_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn forget_connections(&self, count: usize) {
        self.connections.fetch_sub(count, Ordering::Relaxed);
    }
}

impl Budget {
    pub(crate) fn of(total: &Arc<Total>) -> Self {
        Self(Arc::new(Access {
            total: total.clone(),
        }))
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.0.total.bytes_max != usize::MAX
    }

    /// Counts bytes that are taken up from now on, whether they are there or not.
    pub(crate) fn take(&self, bytes: usize) {
        if self.is_limited() && bytes > 0 {
            self.0.total.used.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Counts bytes that were taken up, and are no more.
    pub(crate) fn give(&self, bytes: usize) {
        if self.is_limited() && bytes > 0 {
            self.0.total.used.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Bytes that are taken up; 0 where there is no limit.
    pub(crate) fn used(&self) -> usize {
        self.0.total.used.load(Ordering::Relaxed)
    }

    /// Bytes that one place may hold now.
    pub(crate) fn share(&self) -> usize {
        if self.is_limited() {
            self.0.total.bytes_max.saturating_sub(self.used()) / SHARES
        } else {
            usize::MAX
        }
    }

    /// True if there is memory for what stays, as retained messages do: the last quarter is not for that.
    pub(crate) fn may_stay(&self) -> bool {
        self.is_left(4)
    }

    /// True if there is memory for what is large, and passes: the last eighth is not for that.
    pub(crate) fn may_be_large(&self) -> bool {
        self.is_left(8)
    }

    /// True if more than this part of the budget is left.
    fn is_left(&self, part: usize) -> bool {
        !self.is_limited() || self.share() > self.0.total.bytes_max / part / SHARES
    }

    /// True if a queue that holds `waiting` bytes may get so many more. Few may wait for anybody, however
    /// short memory is.
    pub(crate) fn fits(&self, waiting: usize, bytes: usize) -> bool {
        !self.is_limited() || waiting + bytes <= self.share().max(SMALL_BYTES)
    }

    /// The same of an outbox. One that is empty may get a message that is larger than its part, as long as
    /// there is enough for others.
    pub(crate) fn fits_outbox(&self, waiting: usize, bytes: usize) -> bool {
        if !self.is_limited() {
            return true;
        }
        let part = self.0.total.bytes_max / 2 / self.0.total.connections().max(1);
        waiting + bytes <= self.share().min(part).max(SMALL_BYTES)
            || (waiting == 0 && bytes <= self.share() && self.may_be_large())
    }

    /// Counts a message of so many bytes, until its charge is [ended](Charge::end).
    pub(crate) fn charge(&self, bytes: usize) -> Charge {
        if !self.is_limited() {
            return Charge(None);
        }
        self.take(bytes + MESSAGE_BYTES);
        Charge(Some(self.clone()))
    }
}

impl Charge {
    /// The message, which has as many bytes as it had, is no more.
    pub(crate) fn end(&mut self, bytes: usize) {
        if let Some(budget) = self.0.take() {
            budget.give(bytes + MESSAGE_BYTES);
        }
    }
}

/// A copy is counted where it is kept, if it is.
impl Clone for Charge {
    fn clone(&self) -> Self {
        Self(None)
    }
}

/// What is counted says nothing about a message.
impl PartialEq for Charge {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Charge {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outboxes_leave_half_of_it() {
        let total = Total::new(10_000_000);
        let budget = Budget::of(&total);
        let mut held = vec![0; 1000];
        held.iter().for_each(|_| total.count_connection());
        for _ in 0..100 {
            for held in &mut held {
                if budget.fits_outbox(*held, 1000) {
                    budget.take(1000);
                    *held += 1000;
                }
            }
        }
        assert!(held.iter().all(|held| *held == 5000), "{held:?}");
        assert!(budget.fits(0, 600_000) && !budget.fits(0, 700_000));
    }

    #[test]
    fn a_charge_is_given_back_once() {
        let budget = Budget::of(&Total::new(10_000));
        let mut charge = budget.charge(100);
        assert_eq!(budget.used(), 100 + MESSAGE_BYTES);
        charge.clone().end(100);
        assert_eq!(budget.used(), 100 + MESSAGE_BYTES);
        charge.end(100);
        charge.end(100);
        assert_eq!(budget.used(), 0);
        let unlimited = Budget::of(&Total::new(usize::MAX));
        let _charge = unlimited.charge(100);
        assert_eq!((unlimited.used(), unlimited.share()), (0, usize::MAX));
    }
}
