//! What the engine counts. Plain numbers, read by whoever wants to export them.

/// Counters of one engine since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// PUBLISH packets taken from clients.
    pub messages_received: u64,
    /// PUBLISH packets handed to connections.
    pub messages_sent: u64,
    /// QoS 0 messages dropped because the receiver did not read fast enough.
    pub dropped_slow: u64,
    /// Messages not queued because the session's queue was full.
    pub dropped_queue_full: u64,
    /// Messages dropped because they were over the receiver's Maximum Packet Size.
    pub dropped_too_large: u64,
    /// Messages dropped because their lifetime was over.
    pub dropped_expired: u64,
    /// Messages not retained because there are too many retained messages.
    pub not_retained: u64,
    /// Messages refused by the authority.
    pub refused: u64,
}
