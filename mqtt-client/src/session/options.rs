//! What a session is made with: every bound, its unit, its default, and why.

use std::ops::RangeInclusive;
use std::time::Duration;

use mqtt_codec::{Properties, ReasonCode, Version};

use crate::Will;

/// How a session is to be. [`Default`] is right for most.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionOptions {
    /// The client identifier. Empty: the server chooses (5.0), or `mqtt-` and twenty random letters
    /// are used, where a version or a session that stays demands one. Default: empty.
    pub client_id: String,
    /// Which versions are spoken. Default: 5.0, or else 3.1.1.
    pub versions: Versions,
    /// Whether the first connection begins a new session. Default: if `session_expiry` is not set.
    ///
    /// Later connections go on with the session wherever the server still has it.
    pub clean_start: Option<bool>,
    /// How long the server keeps the session without a connection; whole seconds, `Duration::MAX`: for ever.
    ///
    /// Default: five minutes, which outlast a short loss of the network, and the session ends with
    /// [`disconnect`](super::Session::disconnect). A session with an expiry that was set stays.
    /// With 3.1.1, where it cannot be said, a session stays for ever if an expiry above zero was set.
    pub session_expiry: Option<Duration>,
    /// Seconds without a packet after which a PINGREQ is sent; 0: none. A server may demand another.
    /// Default: 60.
    pub keep_alive: u16,
    /// What the server publishes if the connection is lost. Default: nothing.
    pub will: Option<Will>,
    /// User properties of the CONNECT, and others that nothing else here sets. Default: none.
    pub connect_properties: Properties,
    /// How many QoS 1 and 2 messages may wait to be acknowledged by us: those in streams that nobody has
    /// taken yet, and those taken and not acknowledged. The server sends no more. Default: 256.
    pub receive_maximum: u16,
    /// The largest packet that is received, in bytes. Default: 10 MiB, what `mqttd` takes.
    pub packet_bytes_max: usize,
    /// Bytes of received QoS 1 and 2 payloads that wait to be acknowledged, above which nothing more is read.
    /// Default: 64 MiB.
    pub received_bytes_max: usize,
    /// How many topic aliases the server may use. Default: 64, some kilobytes.
    pub topic_alias_maximum: u16,
    /// How many topic aliases we use at the most; the server may take fewer. Default: 64.
    pub topic_aliases_used_max: u16,
    /// How many QoS 1 and 2 messages are sent and not acknowledged at a time, 1 to 16,383. A server of 5.0 may
    /// take fewer, and says so. Default: 1,000; 20 before 5.0, since a server that takes no more cannot say it.
    pub in_flight_max: Option<u16>,
    /// How many messages wait to be sent. Default: 10,000.
    pub queue_messages_max: usize,
    /// Bytes of topics and payloads that wait to be sent. Default: 64 MiB.
    pub queue_bytes_max: usize,
    /// What happens to a message for which there is no room. Default: [`WhenFull::Block`].
    pub when_full: WhenFull,
    /// What happens to QoS 0 messages while there is no connection. Default: [`Offline::Refuse`].
    pub offline_qos0: Offline,
    /// What happens to a QoS 2 message of which nobody knows whether it arrived. Default: [`OnSessionLoss::Fail`].
    pub on_session_loss: OnSessionLoss,
    /// The delay before another attempt to connect: anything from zero to a bound that begins with the
    /// first duration and doubles up to the second. Default: 250 ms to 30 s.
    pub backoff: RangeInclusive<Duration>,
    /// How long the server may take to answer the CONNECT. Default: 10 s.
    pub connect_timeout: Duration,
    /// Reasons that end the client by default, but shall not. Default: none.
    pub retry_on: Vec<ReasonCode>,
    /// Whether the server may send us to another one. Default: [`Redirects::Refuse`].
    pub redirects: Redirects,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            client_id: String::new(),
            versions: Versions::Newest,
            clean_start: None,
            session_expiry: None,
            keep_alive: 60,
            will: None,
            connect_properties: Properties::default(),
            receive_maximum: 256,
            packet_bytes_max: 10 << 20,
            received_bytes_max: 64 << 20,
            topic_alias_maximum: 64,
            topic_aliases_used_max: 64,
            in_flight_max: None,
            queue_messages_max: 10_000,
            queue_bytes_max: 64 << 20,
            when_full: WhenFull::Block,
            offline_qos0: Offline::Refuse,
            on_session_loss: OnSessionLoss::Fail,
            backoff: Duration::from_millis(250)..=Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            retry_on: Vec::new(),
            redirects: Redirects::Refuse,
        }
    }
}

impl SessionOptions {
    /// How many messages may be in flight in this version.
    pub(super) fn in_flight_max(&self, version: Version) -> u16 {
        self.in_flight_max.unwrap_or(match version {
            Version::V5 => 1000,
            // What Mosquitto and most clients have.
            Version::V3_1 | Version::V3_1_1 => 20,
        })
    }
}

/// Which versions of MQTT are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// 5.0; and 3.1.1 with a server that refuses that.
    Newest,
    /// This one alone.
    Only(Version),
}

/// What happens to a message for which there is no room in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Who publishes waits for room. `try_enqueue` fails.
    Block,
    /// Publishing fails with [`Error::QueueFull`](crate::Error::QueueFull).
    Reject,
    /// The oldest QoS 0 message in the queue fails with [`Error::Displaced`](crate::Error::Displaced); where there is
    /// none, as [`WhenFull::Reject`]. A message of QoS 1 or 2 that was accepted never gives way.
    DropOldestQoS0,
}

/// What happens to QoS 0 messages while there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offline {
    /// Publishing fails with [`Error::Offline`](crate::Error::Offline).
    Refuse,
    /// They wait in the queue as others do.
    Queue,
}

/// What happens to a QoS 2 message that was sent, without a PUBREC, when the server has lost the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSessionLoss {
    /// It fails with [`Error::DeliveryUnknown`](crate::Error::DeliveryUnknown).
    Fail,
    /// It is published again, and may arrive twice.
    Republish,
}

/// Whether a server may send us to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// The client ends.
    Refuse,
    /// The next connection is made to the server that was named.
    Follow,
}
