//! What is due when, in whole seconds.
//!
//! Nothing is ever cancelled: whoever handles a deadline looks whether it still holds, and sets it
//! anew if it was put off. A keep alive so costs nothing when a packet comes, and 16 bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ConnectionId, SessionId};
use crate::{Instant, Message};

/// Something that is due.
#[derive(Debug)]
pub(crate) enum Deadline {
    /// The CONNECT has to be there.
    Connect(ConnectionId),
    /// A packet has to have come.
    KeepAlive(ConnectionId),
    /// The session ends, if it is without a connection.
    SessionExpiry(SessionId),
    /// The will is published, if it is still there.
    WillDelay(SessionId),
    /// The retained message's lifetime is over, if it is still that of its topic.
    RetainedExpiry(Arc<Message>),
}

/// All that is due.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// By the second in which they are handled: the first whole one when they are due.
    slots: BTreeMap<u64, Vec<Deadline>>,
}

impl Deadlines {
    pub(crate) fn add(&mut self, at: Instant, deadline: Deadline) {
        self.slots
            .entry(at.as_millis().div_ceil(1000))
            .or_default()
            .push(deadline);
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        let (second, _) = self.slots.first_key_value()?;
        Some(Instant::from_millis(second.saturating_mul(1000)))
    }

    /// Takes what was due in the earliest second, if that has come.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Vec<Deadline>> {
        let slot = self
            .slots
            .first_entry()
            .filter(|slot| slot.key().saturating_mul(1000) <= now.as_millis())?;
        Some(slot.remove())
    }
}
