//! Counts of what a session has done.

/// What a session has done since it was made, and how much is under way. Plain numbers: to compare
/// two moments, subtract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections that were made.
    pub connections: u64,
    /// Attempts that failed, and connections that were lost.
    pub connection_failures: u64,
    /// Connections at which the server had lost the session.
    pub sessions_lost: u64,
    /// PUBLISH packets sent, those sent again included.
    pub messages_sent: u64,
    /// PUBLISH packets sent again.
    pub messages_resent: u64,
    /// QoS 1 and 2 messages that the server has acknowledged.
    pub messages_acknowledged: u64,
    /// Messages that were accepted and could not be delivered.
    pub messages_failed: u64,
    /// PUBLISH packets received.
    pub messages_received: u64,
    /// PUBLISH packets received again, of which the application has seen the first.
    pub duplicates_suppressed: u64,
    /// Messages that no subscription wanted and nobody could.
    pub messages_unwanted: u64,
    /// Bytes of packets sent.
    pub bytes_sent: u64,
    /// Bytes of packets received.
    pub bytes_received: u64,
    /// Now: messages that wait to be sent.
    pub queued: u64,
    /// Now: QoS 1 and 2 messages sent, and not acknowledged by the server.
    pub in_flight: u64,
    /// Now: QoS 1 and 2 messages received, and not acknowledged by us.
    pub unacknowledged: u64,
    /// Now: those of them that no subscription has claimed yet.
    pub unclaimed: u64,
}
