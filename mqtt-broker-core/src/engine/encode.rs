//! How a message is encoded for its receivers: once for all that get the same bytes, or for one alone.

use mqtt_codec::{EncodedPublish, Forward, PublishQoS, QoS, Version};

use super::output::{Output, Release};
use crate::Instant;
use crate::state::{Alias, Connection, Publication, packet_id};

/// A run of messages, encoded once for each kind of receiver: before or of 5.0, with or without a
/// packet identifier.
#[derive(Debug, Default)]
pub(super) struct Variants([EncodedPublish; 4]);

impl Variants {
    /// Forgets the last run; keeps the buffers.
    pub(super) fn clear(&mut self) {
        self.0.iter_mut().for_each(EncodedPublish::clear);
    }

    /// The run for a kind of receiver. `None` if it cannot be encoded, which what came in a packet can.
    pub(super) fn get(
        &mut self,
        now: Instant,
        publication: &Publication<'_>,
        version: Version,
        qos: QoS,
    ) -> Option<&EncodedPublish> {
        // The packet identifiers are patched.
        let (has_id, qos) = match qos {
            QoS::AtMostOnce => (false, PublishQoS::AtMostOnce),
            QoS::AtLeastOnce | QoS::ExactlyOnce => (true, PublishQoS::AtLeastOnce(packet_id(1))),
        };
        let index = usize::from(version.has_properties()) * 2 + usize::from(has_id);
        let encoded = self.0.get_mut(index)?;
        if encoded.is_empty() {
            for index in 0..publication.payloads.len() {
                let message = forward(publication, index, now, version, qos, &[]);
                encoded.push(&message).ok()?;
            }
        }
        Some(encoded)
    }
}

/// The parts of a message of a run for a receiver.
pub(super) fn forward<'a>(
    publication: &'a Publication<'_>,
    index: usize,
    now: Instant,
    version: Version,
    qos: PublishQoS,
    identifiers: &'a [u32],
) -> Forward<'a> {
    Forward {
        version,
        dup: false,
        qos,
        retain: false,
        topic: publication.topic,
        topic_alias: None,
        message_expiry_interval: publication.expiry_left(now),
        subscription_identifiers: identifiers,
        properties: publication.properties,
        payload: publication.payloads.get(index),
    }
}

/// True if the client takes packets of this size. `[MQTT-3.1.2-24]`
pub(super) fn fits(connection: &Connection, message: &Forward<'_>) -> bool {
    connection.packet_bytes_max == u32::MAX
        || message.encoded_len() <= connection.packet_bytes_max as usize
}

/// Encodes a message that fits for one connection alone, with a topic alias if there is one to be
/// had.
pub(super) fn send_publish(
    connection: &mut Connection,
    message: &Forward<'_>,
    release: Release,
    out: &mut Output,
) {
    let mut message = *message;
    let name = message.topic;
    let aliases = connection.aliases_out.as_ref();
    let alias = aliases.map_or(Alias::None, |aliases| aliases.alias(name));
    let (topic, topic_alias) = match alias {
        Alias::Known(number) => (&[][..], Some(number)),
        Alias::New(number) => (name, Some(number)),
        Alias::None => (name, None),
    };
    let aliased = Forward {
        topic,
        topic_alias,
        ..message
    };
    // The alias takes three bytes itself: more than the shortest topics.
    if fits(connection, &aliased) {
        message = aliased;
        if let (Alias::New(number), Some(aliases)) = (alias, &mut connection.aliases_out) {
            aliases.sent(name, number);
        }
    }
    out.counters.messages_sent += 1;
    out.send(connection, release, |bytes| {
        let encoded = message.encode(bytes);
        debug_assert!(
            encoded.is_ok(),
            "all parts come from packets that were decoded"
        );
    });
}
