//! What the engine counts. Plain numbers, read by whoever wants to export them.

use std::iter::Sum;

/// Counters of one engine, or of all of a broker, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// PUBLISH packets taken from clients.
    pub messages_received: u64,
    /// PUBLISH packets handed to connections.
    pub messages_sent: u64,
    /// QoS 0 messages dropped because the receiver did not read fast enough.
    pub dropped_slow: u64,
    /// Messages dropped, or not queued for a session, because memory was short: their receiver had a backlog.
    pub dropped_memory: u64,
    /// Sessions, subscriptions and large packets that there was no memory for.
    pub refused_memory: u64,
    /// Messages not queued because the session's queue was full.
    pub dropped_queue_full: u64,
    /// Messages dropped because they were over the receiver's Maximum Packet Size.
    pub dropped_too_large: u64,
    /// Messages dropped because their lifetime was over.
    pub dropped_expired: u64,
    /// Messages not retained because there are too many retained messages, or memory was short.
    pub not_retained: u64,
    /// Messages refused by the authority.
    pub refused: u64,
}

impl Sum for Counters {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            messages_received: sum.messages_received + one.messages_received,
            messages_sent: sum.messages_sent + one.messages_sent,
            dropped_slow: sum.dropped_slow + one.dropped_slow,
            dropped_memory: sum.dropped_memory + one.dropped_memory,
            refused_memory: sum.refused_memory + one.refused_memory,
            dropped_queue_full: sum.dropped_queue_full + one.dropped_queue_full,
            dropped_too_large: sum.dropped_too_large + one.dropped_too_large,
            dropped_expired: sum.dropped_expired + one.dropped_expired,
            not_retained: sum.not_retained + one.not_retained,
            refused: sum.refused + one.refused,
        })
    }
}
