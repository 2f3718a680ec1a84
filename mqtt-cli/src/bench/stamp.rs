//! What a payload begins with, and the PUBLISH around it: encoded once for each publisher, and patched for each message.

use std::sync::Arc;

use mqtt_codec::{
    Cut, EncodeError, Forward, PACKET_BYTES_MAX, PacketId, PublishQoS, QoS, Version, cut,
};

/// Bytes of a stamp: the least that a payload can have.
pub(crate) const STAMP_BYTES: usize = 16;
/// Bits of the time in a stamp: 78 hours. The bits above it are the tag of the run.
const TIME_BITS: u32 = 48;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// Which message it is, and from when its latency counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The publisher.
    pub(crate) stream: u32,
    /// Its messages are numbered from 0.
    pub(crate) sequence: u32,
    /// When it was sent; at a fixed rate, when it should have been.
    pub(crate) sent_ns: u64,
}

impl Stamp {
    /// The begin of the payload, in the run with this tag.
    pub(crate) fn to_bytes(self, tag: u16) -> [u8; STAMP_BYTES] {
        let time = (u64::from(tag) << TIME_BITS) | (self.sent_ns & TIME_MASK);
        let number = (u64::from(self.stream) << 32) | u64::from(self.sequence);
        ((u128::from(time) << 64) | u128::from(number)).to_be_bytes()
    }

    /// The stamp of a payload of the run with this tag.
    #[inline]
    pub(crate) fn read(payload: &[u8], tag: u16) -> Option<Self> {
        let bytes = payload.first_chunk::<STAMP_BYTES>()?;
        let value = u128::from_be_bytes(*bytes);
        let (time, number) = ((value >> 64) as u64, value as u64);
        (time >> TIME_BITS == u64::from(tag)).then_some(Self {
            stream: (number >> 32) as u32,
            sequence: number as u32,
            sent_ns: time & TIME_MASK,
        })
    }
}

/// The PUBLISH of one publisher: all that does not change from message to message.
#[derive(Debug)]
pub(crate) struct Template {
    /// From the first byte up to the payload.
    head: Box<[u8]>,
    packet_id_at: Option<usize>,
    /// What follows the stamp; all publishers share it.
    filler: Arc<[u8]>,
    tag: u16,
}

impl Template {
    /// Encodes the packet for messages to `topic` with `filler` behind their stamp.
    pub(crate) fn new(
        version: Version,
        topic: &str,
        qos: QoS,
        filler: Arc<[u8]>,
        tag: u16,
    ) -> Result<Self, EncodeError> {
        let mut payload = vec![0; STAMP_BYTES];
        payload.extend_from_slice(&filler);
        let message = Forward {
            version,
            dup: false,
            qos: with_id(qos, PacketId::new(1)),
            retain: false,
            topic: topic.as_bytes(),
            topic_alias: None,
            message_expiry_interval: None,
            subscription_identifiers: &[],
            properties: &[],
            payload: &payload,
        };
        let mut bytes = Vec::new();
        message.encode(&mut bytes)?;
        let body_at = match cut(&bytes, PACKET_BYTES_MAX) {
            Ok(Cut::Whole(frame)) => bytes.len() - frame.body.len(),
            Ok(Cut::Incomplete(_)) | Err(_) => return Err(EncodeError::PacketTooLong),
        };
        bytes.truncate(bytes.len() - payload.len());
        Ok(Self {
            head: bytes.into_boxed_slice(),
            packet_id_at: (qos != QoS::AtMostOnce).then_some(body_at + 2 + topic.len()),
            filler,
            tag,
        })
    }

    /// Bytes of the whole packet.
    pub(crate) fn packet_bytes(&self) -> usize {
        self.head.len() + STAMP_BYTES + self.filler.len()
    }

    /// Appends the next message; `packet_id` is there just at QoS 1 and 2.
    #[inline]
    pub(crate) fn write(&self, packet_id: Option<PacketId>, stamp: Stamp, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.head);
        if let (Some(at), Some(id)) = (self.packet_id_at, packet_id)
            && let Some(place) = out.get_mut(start + at..start + at + 2)
        {
            place.copy_from_slice(&id.get().to_be_bytes());
        }
        out.extend_from_slice(&stamp.to_bytes(self.tag));
        out.extend_from_slice(&self.filler);
    }
}

/// A QoS with its packet identifier; QoS 0 where there is none.
pub(crate) fn with_id(qos: QoS, id: Option<PacketId>) -> PublishQoS {
    match (qos, id) {
        (QoS::AtLeastOnce, Some(id)) => PublishQoS::AtLeastOnce(id),
        (QoS::ExactlyOnce, Some(id)) => PublishQoS::ExactlyOnce(id),
        (QoS::AtMostOnce, _) | (_, None) => PublishQoS::AtMostOnce,
    }
}

#[cfg(test)]
mod tests {
    use mqtt_codec::Packet;

    use super::*;

    #[test]
    fn a_patched_packet_is_the_message_it_should_be() {
        for version in [Version::V3_1_1, Version::V5] {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                for filler in [0, 200, 20_000] {
                    let filler: Arc<[u8]> = vec![b'x'; filler].into();
                    let template = Template::new(version, "a/b", qos, filler, 0xBEEF).unwrap();
                    let stamp = Stamp {
                        stream: 7,
                        sequence: u32::MAX,
                        sent_ns: 123_456_789_012,
                    };
                    let id = PacketId::new(65_535).filter(|_| qos != QoS::AtMostOnce);
                    let mut out = b"before".to_vec();
                    template.write(id, stamp, &mut out);
                    let packet = &out[6..];
                    assert_eq!(packet.len(), template.packet_bytes());
                    let Ok(Cut::Whole(frame)) = cut(packet, PACKET_BYTES_MAX) else {
                        panic!("not a whole packet");
                    };
                    let Ok(Packet::Publish(publish)) = Packet::decode(frame, version) else {
                        panic!("not a PUBLISH");
                    };
                    assert_eq!(publish.qos, with_id(qos, id));
                    assert_eq!(publish.topic.unwrap().as_bytes(), b"a/b");
                    assert_eq!(Stamp::read(publish.payload, 0xBEEF), Some(stamp));
                    assert_eq!(Stamp::read(publish.payload, 0xBEE0), None);
                }
            }
        }
        assert_eq!(Stamp::read(&[0; 15], 0), None);
    }
}
