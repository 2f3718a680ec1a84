//! The guard against poison: a message that kills each connection it is sent on must not do so for ever.
//!
//! When connections break at once several times in a row, with the same message first in flight, it is on trial:
//! the next connection carries no QoS 1 or 2 message. If that lasts, the message is to blame, and fails; if that
//! breaks, too, the network is, and the message goes on.

use std::time::Duration;

use super::Session;
use super::phase::Phase;
use crate::{Error, Instant};

/// A connection that breaks within this time may have been killed by what was sent on it.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A connection without the suspect has to last this long.
const TRIAL: Duration = Duration::from_secs(2);

impl Session {
    /// A connection is lost: is a message to blame?
    pub(super) fn suspect(&mut self, now: Instant, since: Instant, under_way: usize) {
        if self.outgoing.is_on_trial() || now.since(since) > AT_ONCE {
            self.outgoing.acquit();
        } else if under_way > 0 {
            self.outgoing.strike();
        }
    }

    /// When a connection without the suspect has lasted.
    pub(super) fn trial_deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Connected(link) if self.outgoing.is_on_trial() => Some(link.since + TRIAL),
            Phase::Connected(_)
            | Phase::Waiting { .. }
            | Phase::Opening
            | Phase::Connecting(_)
            | Phase::Closing(_)
            | Phase::Ended(_) => None,
        }
    }

    /// The connection has lasted without the suspect, which fails.
    pub(super) fn end_trial(&mut self, now: Instant) {
        if self.trial_deadline().is_some_and(|due| due <= now)
            && let Some((id, sequence)) = self.outgoing.convict(&mut self.recorded)
        {
            self.release_given_up(sequence);
            self.published(id, Err(Error::Poison));
        }
    }
}
