//! What is known of one connection, from its CONNACK to its end.

use std::sync::Arc;
use std::time::Duration;

use super::aliases::{AliasesReceived, AliasesSent};
use super::event::Connected;
use super::subscriptions::Told;
use crate::Instant;

/// A connection that lasted this long was a success: the next delay begins anew.
pub(super) const STABLE_AFTER: Duration = Duration::from_secs(10);

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) agreed: Arc<Connected>,
    pub(super) since: Instant,
    pub(super) sent_at: Instant,
    pub(super) received_at: Instant,
    pub(super) ping: Ping,
    /// QoS 1 and 2 messages that the server has and that are not complete; those that were released on an
    /// earlier connection may make them more than the maximum.
    pub(super) under_way: usize,
    pub(super) under_way_max: usize,
    pub(super) aliases_sent: AliasesSent,
    pub(super) aliases_received: AliasesReceived,
    /// The authentication method of the CONNECT.
    pub(super) method: Option<Arc<str>>,
    /// Whether it was told that messages are held which nobody reads.
    pub(super) unclaimed: Told,
    /// Re-authentication: what the next AUTH means.
    pub(super) reauthentication: Reauthentication,
}

/// Whether the server owes us an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ping {
    None,
    SentAt(Instant),
}

/// Where a re-authentication stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reauthentication {
    None,
    UnderWay,
    /// The server is content, we are being asked.
    Finishing,
}

impl Link {
    /// When a PINGREQ is due, or its answer overdue. `[MQTT-3.1.2-20]`
    pub(super) fn keep_alive_deadline(&self, is_reading: bool) -> Option<Instant> {
        let period = self.ping_period()?;
        Some(match self.ping {
            Ping::None => self.sent_at.min(self.received_at) + period,
            Ping::SentAt(at) if is_reading => at + self.answer_period(),
            // What we leave in the socket may be the answer.
            Ping::SentAt(_) => self.sent_at + period,
        })
    }

    /// Somewhat less than the keep alive: a PINGREQ takes time to arrive.
    pub(super) fn ping_period(&self) -> Option<Duration> {
        let keep_alive = Duration::from_secs(self.agreed.keep_alive.into());
        if keep_alive.is_zero() {
            return None;
        }
        Some(keep_alive - (keep_alive / 4).min(Duration::from_secs(1)))
    }

    /// How long the answer to a PINGREQ may take: half a keep alive, and two seconds at the least.
    pub(super) fn answer_period(&self) -> Duration {
        let keep_alive = Duration::from_secs(self.agreed.keep_alive.into());
        (keep_alive / 2).max(Duration::from_secs(2))
    }
}
