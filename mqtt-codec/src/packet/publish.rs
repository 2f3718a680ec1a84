//! PUBLISH: an application message, from a client or to one.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::primitive::{
    Parsed, VARIABLE_MAX, binary, fail, failure, packet_id, put_binary, put_header, put_variable,
    qos_bits, variable_len, whole,
};
use crate::{
    DecodeError, EncodeError, Frame, PacketId, PacketType, Properties, PropertyOwner, QoS,
    TopicName, Version,
};

/// PUBLISH: an application message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish<B: AsRef<[u8]> = Bytes> {
    /// True if it may have been sent before. Not written at QoS 0. `[MQTT-3.3.1-2]`
    pub dup: bool,
    /// The quality of service, with the packet identifier where it has one.
    pub qos: PublishQoS,
    /// To a server: keep it as the topic's retained message. From a server: it was retained.
    pub retain: bool,
    /// The topic; `None` where a topic alias stands for it (5.0).
    pub topic: Option<TopicName<B>>,
    /// The properties; empty before 5.0.
    pub properties: Properties<B>,
    /// The payload.
    pub payload: B,
}

/// The quality of service of a PUBLISH and its packet identifier, which QoS 0 has not.
/// `[MQTT-2.2.1-2]`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PublishQoS {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce(PacketId),
    /// QoS 2.
    ExactlyOnce(PacketId),
}

impl PublishQoS {
    /// The level alone.
    #[must_use]
    pub const fn level(self) -> QoS {
        match self {
            Self::AtMostOnce => QoS::AtMostOnce,
            Self::AtLeastOnce(_) => QoS::AtLeastOnce,
            Self::ExactlyOnce(_) => QoS::ExactlyOnce,
        }
    }

    /// The packet identifier, at QoS 1 and 2.
    #[must_use]
    pub const fn packet_id(self) -> Option<PacketId> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce(id) | Self::ExactlyOnce(id) => Some(id),
        }
    }
}

const RETAIN: u8 = 0b0001;
const DUP: u8 = 0b1000;
const QOS_SHIFT: u8 = 1;

impl<'a> Publish<&'a [u8]> {
    // [MQTT-3.3.2-2]
    pub(crate) fn decode(frame: Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        whole(Self::parse(frame.first, frame.body, version))
    }

    fn parse(first: u8, input: &'a [u8], version: Version) -> Parsed<'a, Self> {
        let Some(level) = qos_bits(first, QOS_SHIFT) else {
            return fail(DecodeError::QosThree);
        };
        let dup = first & DUP != 0;
        if dup && level == QoS::AtMostOnce {
            return fail(DecodeError::DupWithQosZero);
        }
        let (input, topic) = binary(input)?;
        let (input, qos) = match level {
            QoS::AtMostOnce => (input, PublishQoS::AtMostOnce),
            QoS::AtLeastOnce => {
                packet_id(input).map(|(rest, id)| (rest, PublishQoS::AtLeastOnce(id)))?
            }
            QoS::ExactlyOnce => {
                packet_id(input).map(|(rest, id)| (rest, PublishQoS::ExactlyOnce(id)))?
            }
        };
        let (payload, properties) = Properties::parse(input, version, PropertyOwner::Publish)?;
        let topic = if topic.is_empty() && properties.topic_alias().is_some() {
            None
        } else if topic.is_empty() {
            return fail(DecodeError::TopicMissing);
        } else {
            Some(TopicName::new(topic).map_err(failure)?)
        };
        Ok((
            &[],
            Self {
                dup,
                qos,
                retain: first & RETAIN != 0,
                topic,
                properties,
                payload,
            },
        ))
    }
}

impl<B: AsRef<[u8]>> Publish<B> {
    /// The same message as parts to encode.
    pub(crate) fn forward(&self, version: Version) -> Result<Forward<'_>, EncodeError> {
        if version.has_properties() {
            self.properties.check_owner(PropertyOwner::Publish)?;
        }
        let topic = self
            .topic
            .as_ref()
            .map_or(&[][..], |topic| topic.as_bytes());
        if topic.is_empty()
            && (!version.has_properties() || self.properties.topic_alias().is_none())
        {
            return Err(EncodeError::TopicMissing);
        }
        Ok(Forward {
            version,
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic,
            topic_alias: None,
            message_expiry_interval: None,
            subscription_identifiers: &[],
            properties: self.properties.as_view().raw(),
            payload: self.payload.as_ref(),
        })
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.forward(version)?.encode(out)
    }

    pub(crate) fn map<C: AsRef<[u8]>>(self, f: &mut impl FnMut(B) -> C) -> Publish<C> {
        Publish {
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic: self.topic.map(|topic| topic.map(f)),
            properties: self.properties.map(f),
            payload: f(self.payload),
        }
    }
}

/// A message on its way to one receiver: what is forwarded as it came, and what the sender adds.
///
/// The fields are the parts of the packet; what is not valid by its type (`topic`, `properties`)
/// must come from a decoded packet.
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// The version of the receiver; before 5.0 there are no properties.
    pub version: Version,
    /// True if it is sent again.
    pub dup: bool,
    /// The quality of service and packet identifier.
    pub qos: PublishQoS,
    /// The retain flag.
    pub retain: bool,
    /// The topic name; empty where `topic_alias` stands for it.
    pub topic: &'a [u8],
    /// The topic alias.
    pub topic_alias: Option<u16>,
    /// What is left of the lifetime, in seconds.
    pub message_expiry_interval: Option<u32>,
    /// The subscriptions that it is sent for.
    pub subscription_identifiers: &'a [u32],
    /// A property section to forward; it has none of the three above.
    pub properties: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

impl Forward<'_> {
    /// How many bytes [`Forward::encode`] appends.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let remaining = self.remaining_len();
        1 + variable_len(remaining) + remaining
    }

    pub(crate) fn remaining_len(&self) -> usize {
        let id_len = if self.qos == PublishQoS::AtMostOnce {
            0
        } else {
            2
        };
        let mut len = 2 + self.topic.len() + id_len + self.payload.len();
        if self.version.has_properties() {
            let properties = self.properties_len();
            len += variable_len(properties) + properties;
        }
        len
    }

    fn properties_len(&self) -> usize {
        let ids = self
            .subscription_identifiers
            .iter()
            .map(|id| 1 + variable_len(*id as usize))
            .sum::<usize>();
        self.topic_alias.map_or(0, |_| 3)
            + self.message_expiry_interval.map_or(0, |_| 5)
            + ids
            + self.properties.len()
    }

    /// Appends the packet to `out`.
    ///
    /// # Errors
    /// [`EncodeError::PacketTooLong`] or [`EncodeError::FieldTooLong`]; `out` then is as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let largest_id = self
            .subscription_identifiers
            .iter()
            .max()
            .map_or(0, |id| *id as usize);
        if self.topic.len() > usize::from(u16::MAX) || largest_id > VARIABLE_MAX {
            return Err(EncodeError::FieldTooLong);
        }
        put_header(
            first_byte(self.dup, self.qos.level(), self.retain),
            self.remaining_len(),
            out,
        )?;
        put_binary(self.topic, out);
        if let Some(id) = self.qos.packet_id() {
            out.extend_from_slice(&id.get().to_be_bytes());
        }
        if self.version.has_properties() {
            put_variable(self.properties_len(), out);
            self.put_own_properties(out);
            out.extend_from_slice(self.properties);
        }
        out.extend_from_slice(self.payload);
        Ok(())
    }

    fn put_own_properties(&self, out: &mut Vec<u8>) {
        if let Some(alias) = self.topic_alias {
            out.push(0x23);
            out.extend_from_slice(&alias.to_be_bytes());
        }
        if let Some(seconds) = self.message_expiry_interval {
            out.push(0x02);
            out.extend_from_slice(&seconds.to_be_bytes());
        }
        for id in self.subscription_identifiers {
            out.push(0x0B);
            put_variable(*id as usize, out);
        }
    }
}

fn first_byte(dup: bool, level: QoS, retain: bool) -> u8 {
    let dup = dup && level != QoS::AtMostOnce;
    PacketType::Publish.first_byte()
        | if dup { DUP } else { 0 }
        | ((level as u8) << QOS_SHIFT)
        | if retain { RETAIN } else { 0 }
}

/// Messages encoded once and written to many receivers, each with its own flags and packet
/// identifier: a copy of the bytes, and at most three bytes of each packet patched.
#[derive(Clone, Debug, Default)]
pub struct EncodedPublish {
    bytes: Vec<u8>,
    packets: Vec<EncodedPacket>,
}

/// Where one packet is among the bytes.
#[derive(Clone, Copy, Debug)]
struct EncodedPacket {
    start: usize,
    end: usize,
    /// Where its packet identifier is; `None` at QoS 0.
    packet_id_at: Option<usize>,
}

impl EncodedPublish {
    /// Forgets all messages; keeps the buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.packets.clear();
    }

    /// Adds a message behind those that are there.
    ///
    /// # Errors
    /// As [`Forward::encode`]; nothing is added then.
    pub fn push(&mut self, message: &Forward<'_>) -> Result<(), EncodeError> {
        let start = self.bytes.len();
        message.encode(&mut self.bytes)?;
        let before_id = 1 + variable_len(message.remaining_len()) + 2 + message.topic.len();
        self.packets.push(EncodedPacket {
            start,
            end: self.bytes.len(),
            packet_id_at: message.qos.packet_id().map(|_| before_id),
        });
        Ok(())
    }

    /// How many messages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// True if there is no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// All packets, one behind the other, as they were encoded: for receivers that need no others.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends the packet with this index, counted from 0, with these flags and this packet identifier to
    /// `out`. Appends nothing if there is none.
    ///
    /// `qos` must have a packet identifier just where the message held has one.
    pub fn write(&self, index: usize, dup: bool, qos: PublishQoS, retain: bool, out: &mut Vec<u8>) {
        let Some(packet) = self.packets.get(index) else {
            return;
        };
        debug_assert_eq!(
            qos.packet_id().is_some(),
            packet.packet_id_at.is_some(),
            "another variant was encoded"
        );
        let start = out.len();
        out.extend_from_slice(self.bytes.get(packet.start..packet.end).unwrap_or_default());
        if let Some(first) = out.get_mut(start) {
            *first = first_byte(dup, qos.level(), retain);
        }
        if let (Some(at), Some(id)) = (packet.packet_id_at, qos.packet_id())
            && let Some(place) = out.get_mut(start + at..start + at + 2)
        {
            place.copy_from_slice(&id.get().to_be_bytes());
        }
    }
}
