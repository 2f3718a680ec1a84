//! What is outgoing, as bytes: what it is, until when, and the PUBLISH of MQTT 5.0.

use bytes::Bytes;
use mqtt_codec::{
    Cut, DecodeError, EncodeError, PACKET_BYTES_MAX, Packet, PacketId, Publish, PublishQoS, QoS,
    Version, cut,
};

use crate::outbox::{Outgoing, StoredMessage};
use crate::{Instant, Message};

/// To send its PUBREL. Nothing follows.
const RELEASED: u8 = 0;
/// To publish it. A PUBLISH follows.
const MESSAGE: u8 = 1;
/// The same, with a lifetime: eight bytes in front of the PUBLISH, the highest first, are the millisecond.
const EXPIRING: u8 = 2;

#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("a record is of no known kind")]
    Kind,
    #[error("a record ends too early")]
    Short,
    #[error("a record holds a wrong PUBLISH: {0}")]
    Publish(#[from] DecodeError),
    #[error("a record holds another packet than a PUBLISH")]
    Packet,
}

/// Replaces the content of `out`.
pub(super) fn encode(message: &StoredMessage, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.clear();
    match message.expires {
        None => out.push(MESSAGE),
        Some(expires) => {
            out.push(EXPIRING);
            out.extend_from_slice(&expires.as_millis().to_be_bytes());
        }
    }
    let message = message.message.clone();
    let publish = Publish {
        dup: message.dup,
        qos: with_packet_id(message.qos),
        retain: message.retain,
        topic: Some(message.topic),
        properties: message.properties,
        payload: message.payload,
    };
    Packet::Publish(publish).encode(Version::V5, out)
}

/// Replaces the content of `out`.
pub(super) fn encode_released(out: &mut Vec<u8>) {
    out.clear();
    out.push(RELEASED);
}

/// A packet identifier has its place in the packet, but the real one follows from the sequence number.
fn with_packet_id(qos: QoS) -> PublishQoS {
    match (qos, PacketId::new(1)) {
        (QoS::AtLeastOnce, Some(id)) => PublishQoS::AtLeastOnce(id),
        (QoS::ExactlyOnce, Some(id)) => PublishQoS::ExactlyOnce(id),
        (QoS::AtMostOnce, _) | (QoS::AtLeastOnce | QoS::ExactlyOnce, None) => {
            PublishQoS::AtMostOnce
        }
    }
}

/// Copies the bytes once; topic, properties and payload are slices of the copy.
pub(super) fn decode(record: &[u8]) -> Result<Outgoing, RecordError> {
    let (kind, rest) = record.split_first().ok_or(RecordError::Short)?;
    match *kind {
        RELEASED => Ok(Outgoing::Released),
        MESSAGE => message(rest, None),
        EXPIRING => {
            let (millis, rest) = rest.split_first_chunk().ok_or(RecordError::Short)?;
            let expires = Instant::from_millis(u64::from_be_bytes(*millis));
            message(rest, Some(expires))
        }
        _ => Err(RecordError::Kind),
    }
}

fn message(packet: &[u8], expires: Option<Instant>) -> Result<Outgoing, RecordError> {
    let packet = Bytes::copy_from_slice(packet);
    let Cut::Whole(frame) = cut(&packet, PACKET_BYTES_MAX)? else {
        return Err(RecordError::Short);
    };
    let decoded = Packet::decode(frame, Version::V5)?.to_owned_from(&packet);
    let Packet::Publish(publish) = decoded else {
        return Err(RecordError::Packet);
    };
    let topic = publish.topic.ok_or(DecodeError::TopicMissing)?;
    Ok(Outgoing::Message(StoredMessage {
        message: Message {
            topic,
            payload: publish.payload,
            qos: publish.qos.level(),
            retain: publish.retain,
            dup: publish.dup,
            properties: publish.properties,
        },
        expires,
    }))
}
