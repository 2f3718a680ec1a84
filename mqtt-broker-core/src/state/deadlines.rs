//! What is due when, in whole seconds: at most one thing for each connection and session.
//!
//! A keep alive is not put off when a packet comes: whoever handles a deadline looks whether it still
//! holds, and sets it anew if not. What is gone takes its deadline along, so that those who come and
//! go leave nothing.

use std::collections::BTreeSet;

use super::{ConnectionId, SessionId};
use crate::Instant;

/// Something that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    /// Something has to have come: the CONNECT, the next step of an authentication, any packet.
    Connection(ConnectionId),
    /// A session without a connection: its will is published, or it ends.
    Session(SessionId),
}

/// The second in which something is handled: the first whole one when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Second(u64);

/// All that is due.
#[derive(Debug, Default)]
pub(crate) struct Deadlines(BTreeSet<(Second, Deadline)>);

impl Second {
    pub(crate) const fn of(at: Instant) -> Self {
        Self(at.as_millis().div_ceil(1000))
    }

    pub(crate) const fn instant(self) -> Instant {
        Instant::from_millis(self.0.saturating_mul(1000))
    }
}

impl Deadlines {
    /// Sets a deadline anew, or cancels it. `second` is where it was, and then where it is.
    pub(crate) fn set(
        &mut self,
        second: &mut Option<Second>,
        at: Option<Instant>,
        deadline: Deadline,
    ) {
        if let Some(second) = *second {
            self.0.remove(&(second, deadline));
        }
        *second = at.map(Second::of);
        if let Some(second) = *second {
            self.0.insert((second, deadline));
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(second, _)| second.instant())
    }

    /// Takes the earliest, if its time has come.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Deadline> {
        self.next().filter(|next| *next <= now)?;
        self.0.pop_first().map(|(_, deadline)| deadline)
    }
}
