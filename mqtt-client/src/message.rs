//! An application message, on its way out or in, and the will.

use std::str::Utf8Error;
use std::time::Duration;

use bytes::Bytes;
use mqtt_codec::{DecodeError, Properties, QoS, Text, TopicName, UserProperty};

/// An application message.
///
/// Cloning it copies no payload. `properties` hold what travels with the message from publisher to
/// subscriber; topic aliases and the packet identifier are the session's business and not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The topic.
    pub topic: TopicName,
    /// The payload.
    pub payload: Bytes,
    /// The quality of service that it is published with, or was received with.
    pub qos: QoS,
    /// To a server: keep it as the topic's retained message. From a server: it was retained.
    pub retain: bool,
    /// It may have been received before. Of no meaning in a message to publish.
    pub dup: bool,
    /// The properties of MQTT 5.0; not sent where 3.1.1 is spoken.
    pub properties: Properties,
}

impl Message {
    /// A message of QoS 1, not retained, without properties.
    ///
    /// # Errors
    /// If `topic` is no topic name: empty, with a wildcard, too long.
    pub fn new(topic: &str, payload: impl Into<Bytes>) -> Result<Self, DecodeError> {
        Ok(Self::to(TopicName::from_text(topic)?, payload))
    }

    /// As [`new`](Self::new), to a topic that was checked.
    pub fn to(topic: TopicName, payload: impl Into<Bytes>) -> Self {
        Self {
            topic,
            payload: payload.into(),
            qos: QoS::AtLeastOnce,
            retain: false,
            dup: false,
            properties: Properties::default(),
        }
    }

    /// The topic as text.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.topic.as_str()
    }

    /// The payload as text.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub fn text(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.payload)
    }

    /// What the payload is, in the publisher's words (5.0).
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.properties.content_type().map(Text::to_str)
    }

    /// Where the publisher wants a response (5.0).
    #[must_use]
    pub fn response_topic(&self) -> Option<&str> {
        let topic = self.properties.response_topic()?;
        std::str::from_utf8(topic.bytes()).ok()
    }

    /// What a response has to bring back with it (5.0).
    #[must_use]
    pub fn correlation_data(&self) -> Option<&[u8]> {
        self.properties.correlation_data()
    }

    /// What is left of its lifetime, if it has one (5.0).
    #[must_use]
    pub fn expiry(&self) -> Option<Duration> {
        let seconds = self.properties.message_expiry_interval()?;
        Some(Duration::from_secs(seconds.into()))
    }

    /// The user properties, in the publisher's order (5.0).
    pub fn user_properties(&self) -> impl Iterator<Item = UserProperty<'_>> {
        self.properties.user_properties()
    }
}

/// The message that the server publishes if the connection is lost without a DISCONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// The message. Of its properties, those of a will are allowed.
    pub message: Message,
    /// How long after the loss it is published, unless the client is back by then (5.0). Whole
    /// seconds; zero by default.
    pub delay: Duration,
}
