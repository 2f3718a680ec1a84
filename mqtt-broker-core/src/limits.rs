//! Every bound there is: its unit, its default, and why.

/// The bounds of a broker. Nothing that a peer sends grows beyond them.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of the largest packet taken from a client; MQTT 5.0 clients are told. Default 10 MiB:
    /// the largest retained messages in home automation are a few MiB, and a packet is held in
    /// memory whole.
    pub packet_bytes_max: u32,
    /// Bytes of the largest first packet. Default 512 KiB: a CONNECT with every field at its longest
    /// has 320 KiB, and who has not been let in yet gets no more memory.
    pub connect_bytes_max: u32,
    /// Bytes that may be taken up by all that waits, in memory: outboxes, queues, retained messages, packets
    /// that are not whole, with an estimate for connections, sessions and subscriptions. Default `usize::MAX`:
    /// nothing is counted. Each queue may hold an eighth of what is left, and so may each outbox, but all
    /// outboxes together no more than half of it, an equal part each. So memory that runs short is short for
    /// those who have a backlog: what comes on top is dropped, not queued or not retained, and counted. 4 KiB
    /// may wait for anybody. The last quarter is not for retained messages, and the last eighth not for
    /// large packets, which end their connection (0x97). New sessions and subscriptions are refused (0x97) once
    /// nothing is left.
    pub memory_bytes_max: usize,
    /// Sessions at a time, those of clients that are away included. Default 10,000,000: 4 GB of memory. A
    /// client whose session would be one more is refused (0x97).
    pub sessions_max: usize,
    /// Connections at a time. Default 1,000,000: open files run out before.
    pub connections_max: usize,
    /// Milliseconds from the opening of a connection to its CONNECT. Default 10,000: longer than a
    /// TLS handshake over a bad radio link.
    pub connect_timeout_ms: u32,
    /// Seconds of the longest keep alive that clients may choose; 0: any, also none. Default 0.
    /// MQTT 5.0 clients that choose a longer one, or none, are told this one.
    pub keep_alive_max_s: u16,
    /// Seconds that a session may outlive its connection; `u32::MAX`: for ever. Default `u32::MAX`.
    pub session_expiry_max_s: u32,
    /// Levels of a topic name or filter. Default 128: each level of a wildcard filter costs memory.
    pub topic_levels_max: usize,
    /// Subscriptions of one session. Default 500,000.
    pub subscriptions_max: usize,
    /// QoS 2 messages that one client may have under way to the broker. Default 65,535: the most
    /// that there are packet identifiers for.
    pub receive_maximum: u16,
    /// QoS 1 and 2 messages under way to a client that does not say how many it takes, as none
    /// before MQTT 5.0 does. Default 1,024.
    pub in_flight_max: u16,
    /// Messages that wait for one session. Default 100,000. What comes on top is not queued for that
    /// session, so that what was acknowledged before stays; an MQTT 5.0 publisher is told 0x97.
    pub queue_messages_max: u64,
    /// Bytes of messages that wait in memory for one session. Default 256 MiB. What comes on top is
    /// treated as by `queue_messages_max`.
    pub queue_bytes_max: usize,
    /// Deliveries of a stored session that are read from the store at a time. Default 256. While so
    /// many wait in memory, or as many bytes as may wait in an outbox, what comes goes to the store
    /// alone.
    pub queue_page: usize,
    /// Milliseconds between two looks for messages whose lifetime ended while their session was away.
    /// Default 60,000: until then they take room on the disk, and nobody gets them any more.
    pub expiry_pause_ms: u32,
    /// Bytes that wait to be written to one connection before QoS 0 messages for it are dropped, and
    /// QoS 1 and 2 ones wait in their queue. Default 1 MiB: a burst of 10,000 small messages. While
    /// more than this and the largest packet wait, which only answers can do, the client is not read
    /// from.
    pub outbox_bytes_max: usize,
    /// Retained messages. Default 5,000,000. What comes on top is delivered, but not retained.
    pub retained_max: usize,
    /// Topic aliases that a client may set on a connection. Default 32: each holds a topic name.
    pub topic_alias_maximum: u16,
    /// Topic aliases that the broker sets on a connection. Default 32.
    pub topic_aliases_out_max: u16,
    /// Topics whose routes each shard remembers. Default 8,192.
    pub routes_cached_max: usize,
    /// Bytes of packets and messages that wait for a commit before the broker stops reading. Default
    /// 64 MiB. As much may be under way to the store besides.
    pub held_bytes_max: usize,
    /// Changes that wait for a commit before the broker stops reading. Default 100,000.
    pub batch_changes_max: usize,
    /// Milliseconds that the removal of complete deliveries may wait for a commit that something else
    /// needs. Default 100: a crash meanwhile lets them be sent once more.
    pub removal_delay_ms: u32,
    /// Removals that wait at most, in each shard. Default 10,000.
    pub removals_max: usize,
    /// Milliseconds that a closing connection gets to take what was written to it. Default 5,000.
    pub linger_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packet_bytes_max: 10 * 1024 * 1024,
            connect_bytes_max: 512 * 1024,
            memory_bytes_max: usize::MAX,
            sessions_max: 10_000_000,
            connections_max: 1_000_000,
            connect_timeout_ms: 10_000,
            keep_alive_max_s: 0,
            session_expiry_max_s: u32::MAX,
            topic_levels_max: 128,
            subscriptions_max: 500_000,
            receive_maximum: u16::MAX,
            in_flight_max: 1024,
            queue_messages_max: 100_000,
            queue_bytes_max: 256 * 1024 * 1024,
            queue_page: 256,
            expiry_pause_ms: 60_000,
            outbox_bytes_max: 1024 * 1024,
            retained_max: 5_000_000,
            topic_alias_maximum: 32,
            topic_aliases_out_max: 32,
            routes_cached_max: 8192,
            held_bytes_max: 64 * 1024 * 1024,
            batch_changes_max: 100_000,
            removal_delay_ms: 100,
            removals_max: 10_000,
            linger_ms: 5000,
        }
    }
}
