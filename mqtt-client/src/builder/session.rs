//! The options of the session.

use std::ops::RangeInclusive;
use std::time::Duration;

use mqtt_codec::{Properties, ReasonCode, Version};

use super::Builder;
use crate::session::{Offline, OnSessionLoss, Redirects, Versions, WhenFull};
use crate::{Error, Will, properties};

impl Builder {
    /// The client identifier. By default, the server chooses.
    pub fn client_id(mut self, client_id: &str) -> Self {
        client_id.clone_into(&mut self.options.client_id);
        self
    }

    /// The only version to speak. By default, it is 5.0, and 3.1.1 with a server that refuses that.
    pub fn version(mut self, version: Version) -> Self {
        self.options.versions = Versions::Only(version);
        self
    }

    /// Whether the first connection begins a new session. By default it does, unless
    /// [`session_expiry`](Self::session_expiry) is set. Later ones go on with the session wherever there is one.
    pub fn clean_start(mut self, clean_start: bool) -> Self {
        self.options.clean_start = Some(clean_start);
        self
    }

    /// How long the server keeps the session without a connection, in whole seconds; [`Duration::MAX`] is for ever. A
    /// session whose expiry is set outlives this client. By default it does not, but any loss of the connection that
    /// is shorter than five minutes.
    pub fn session_expiry(mut self, expiry: Duration) -> Self {
        self.options.session_expiry = Some(expiry);
        self
    }

    /// After how long a silence the client shows that it is there, and wants to know whether the server is; in whole
    /// seconds up to 65,535. Zero: never. 60 seconds by default.
    pub fn keep_alive(mut self, keep_alive: Duration) -> Self {
        self.options.keep_alive = u16::try_from(keep_alive.as_secs()).unwrap_or(u16::MAX);
        self
    }

    /// The message that the server publishes if the connection is lost. By default, none.
    pub fn will(mut self, will: Will) -> Self {
        self.options.will = Some(will);
        self
    }

    /// Adds a user property of the CONNECT (5.0). The same name may come again.
    pub fn user_property(mut self, name: &str, value: &str) -> Self {
        match properties::add_user_property(&self.options.connect_properties, name, value) {
            Ok(properties) => {
                self.options.connect_properties = properties;
                self
            }
            Err(error) => self.wrong(Error::Encode(error)),
        }
    }

    /// Properties of the CONNECT that nothing else here sets (5.0), in place of those that were set. By default, the
    /// server is asked for Response Information.
    pub fn connect_properties(mut self, properties: Properties) -> Self {
        self.options.connect_properties = properties;
        self
    }

    /// How many QoS 1 and 2 messages may wait to be acknowledged by the application, in all streams together. The server
    /// sends no more. 256 by default.
    pub fn receive_maximum(mut self, messages: u16) -> Self {
        self.options.receive_maximum = messages;
        self
    }

    /// The largest packet that is received, in bytes. 10 MiB by default.
    pub fn packet_bytes_max(mut self, bytes: usize) -> Self {
        self.options.packet_bytes_max = bytes;
        self
    }

    /// Bytes of QoS 1 and 2 messages that wait to be acknowledged by the application, above which nothing more is read
    /// from the server; and bytes of QoS 0 messages that one stream holds. 64 MiB by default.
    pub fn received_bytes_max(mut self, bytes: usize) -> Self {
        self.options.received_bytes_max = bytes;
        self
    }

    /// How many topic aliases the server may use, and how many the client uses at the most. 64 each by default.
    pub fn topic_aliases(mut self, theirs: u16, ours: u16) -> Self {
        self.options.topic_alias_maximum = theirs;
        self.options.topic_aliases_used_max = ours;
        self
    }

    /// How many QoS 1 and 2 messages are sent and not acknowledged at a time, 1 to 16,383. A server of 5.0 may take fewer,
    /// and says so. By default 1,000, and 20 before 5.0, since a server that takes no more cannot say it.
    pub fn in_flight_max(mut self, messages: u16) -> Self {
        self.options.in_flight_max = Some(messages);
        self
    }

    /// How many messages wait to be sent, and how many bytes of topics and payloads. 10,000, and 64 MiB by default.
    pub fn queue(mut self, messages_max: usize, bytes_max: usize) -> Self {
        self.options.queue_messages_max = messages_max;
        self.options.queue_bytes_max = bytes_max;
        self
    }

    /// What happens to a message for which the queue has no room. By default, publishing waits for some.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.options.when_full = when_full;
        self
    }

    /// What happens to QoS 0 messages while there is no connection. By default, publishing them fails.
    pub fn offline_qos0(mut self, offline: Offline) -> Self {
        self.options.offline_qos0 = offline;
        self
    }

    /// What happens to a QoS 2 message of which nobody knows whether it arrived, since the server has lost the session. By
    /// default it fails with [`Error::DeliveryUnknown`].
    pub fn on_session_loss(mut self, policy: OnSessionLoss) -> Self {
        self.options.on_session_loss = policy;
        self
    }

    /// The delay before another attempt to connect: anything from zero to a bound, which begins with the first of these and
    /// doubles up to the last. 250 ms to 30 s by default.
    pub fn backoff(mut self, bounds: RangeInclusive<Duration>) -> Self {
        self.options.backoff = bounds;
        self
    }

    /// How long it may take to open a transport, and then for the server to answer the CONNECT. 10 seconds each by
    /// default.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.options.connect_timeout = time;
        self
    }

    /// Goes on trying after refusals and disconnections with these reasons, which end the client by default, such as
    /// [`ReasonCode::SessionTakenOver`].
    pub fn retry_on(mut self, reasons: impl IntoIterator<Item = ReasonCode>) -> Self {
        self.options.retry_on.extend(reasons);
        self
    }

    /// Whether the server may send the client to another one. By default it may not, and the client ends.
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.options.redirects = redirects;
        self
    }
}
