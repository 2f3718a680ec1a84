//! An application message that outlives the packet it came in.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use mqtt_codec::{Properties, PropertyOwner, QoS, TopicName};

use crate::Instant;
use crate::budget::Charge;

/// An application message: topic, properties and payload in one allocation of exactly their size,
/// so that a small message never holds on to the large buffer it was read into.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Topic, then properties, then payload.
    body: Box<[u8]>,
    properties_len: u32,
    topic_len: u16,
    /// The quality of service it was published with.
    pub qos: QoS,
    /// True if it was published to be retained.
    pub retain: bool,
    /// When its lifetime ends, if it has one.
    pub expires: Option<Instant>,
    /// What it takes up of the memory budget, if it is counted.
    pub(crate) charge: Charge,
}

impl Message {
    /// A message with a copy of `topic`, `properties` and `payload`.
    ///
    /// `properties` are those that are forwarded as they came: topic alias, message expiry interval
    /// and subscription identifiers are not among them.
    ///
    /// `[MQTT-3.3.2-4]` `[MQTT-3.3.2-15]` `[MQTT-3.3.2-16]` `[MQTT-3.3.2-17]` `[MQTT-3.3.2-18]`
    /// `[MQTT-3.3.2-20]`
    #[must_use]
    pub fn new(topic: TopicName<&[u8]>, properties: Properties<&[u8]>, payload: &[u8]) -> Self {
        Self::of_parts(topic.bytes(), properties.raw(), payload)
    }

    /// A message of the bytes of a topic name, of a property section to forward, and of a payload.
    pub(crate) fn of_parts(topic: &[u8], properties: &[u8], payload: &[u8]) -> Self {
        Self {
            body: [topic, properties, payload].concat().into_boxed_slice(),
            // Both fit: a topic name is at most 65,535 bytes, a packet at most 256 MiB.
            properties_len: properties.len() as u32,
            topic_len: topic.len() as u16,
            qos: QoS::AtMostOnce,
            retain: false,
            expires: None,
            charge: Charge::default(),
        }
    }

    /// The topic name's bytes.
    #[must_use]
    pub fn topic_bytes(&self) -> &[u8] {
        self.body
            .get(..usize::from(self.topic_len))
            .unwrap_or_default()
    }

    /// The topic name. Costs a check and a copy of its bytes; [`Message::topic_bytes`] does not.
    #[must_use]
    pub fn topic(&self) -> TopicName {
        // The constructor took a topic name, so this never fails.
        TopicName::new(Bytes::copy_from_slice(self.topic_bytes()))
            .unwrap_or_else(|_| unreachable!())
    }

    /// The property section to forward. Costs a check of its bytes; it is empty for most messages.
    #[must_use]
    pub fn properties(&self) -> Properties<&[u8]> {
        Properties::decode(self.properties_bytes(), PropertyOwner::Publish).unwrap_or_default()
    }

    /// The bytes of the property section to forward.
    #[must_use]
    pub fn properties_bytes(&self) -> &[u8] {
        self.body
            .get(usize::from(self.topic_len)..self.payload_at())
            .unwrap_or_default()
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.body.get(self.payload_at()..).unwrap_or_default()
    }

    /// Bytes of topic, properties and payload.
    #[must_use]
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Never true: a topic has at least one character.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// True once its lifetime is over. `[MQTT-3.3.2-5]`
    #[must_use]
    pub fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    fn payload_at(&self) -> usize {
        usize::from(self.topic_len) + self.properties_len as usize
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        let bytes = self.len();
        self.charge.end(bytes);
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &String::from_utf8_lossy(self.topic_bytes()))
            .field("payload", &self.payload().escape_ascii().to_string())
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("properties", &self.properties())
            .field("expires", &self.expires)
            .finish()
    }
}

/// A message that is found, and ordered, by its topic, without a copy of that.
#[derive(Clone, Debug)]
pub(crate) struct ByTopic(pub(crate) Arc<Message>);

impl Borrow<[u8]> for ByTopic {
    fn borrow(&self) -> &[u8] {
        self.0.topic_bytes()
    }
}

impl PartialEq for ByTopic {
    fn eq(&self, other: &Self) -> bool {
        self.0.topic_bytes() == other.0.topic_bytes()
    }
}

impl Eq for ByTopic {}

impl PartialOrd for ByTopic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByTopic {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.topic_bytes().cmp(other.0.topic_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There may be millions that are retained or queued.
    #[test]
    fn a_message_is_small() {
        let size = size_of::<Message>();
        assert!(size <= 48, "{size} bytes beside its text");
    }
}
