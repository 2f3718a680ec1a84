//! PUBACK, PUBREC, PUBREL and PUBCOMP: one shape, four names.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::primitive::{Parsed, packet_id, put_header, reason, whole};
use crate::{
    DecodeError, EncodeError, PacketId, PacketType, Properties, PropertyOwner, ReasonCode, Version,
};

/// The content of a PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack<B: AsRef<[u8]> = Bytes> {
    /// The packet identifier of the PUBLISH that it is about. `[MQTT-2.2.1-5]`
    pub packet_id: PacketId,
    /// Success, or what went wrong; always success before 5.0.
    pub reason: ReasonCode,
    /// The properties; empty before 5.0.
    pub properties: Properties<B>,
}

impl Ack<&'static [u8]> {
    /// An acknowledgement with a reason and nothing more.
    #[must_use]
    pub fn new(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self {
            packet_id,
            reason,
            properties: Properties::default(),
        }
    }
}

impl<'a> Ack<&'a [u8]> {
    // Inlined, it is built where it stays: a copy of what was just written stalls for 6 ns.
    #[inline(always)]
    pub(crate) fn decode(
        packet: PacketType,
        body: &'a [u8],
        version: Version,
    ) -> Result<Self, DecodeError> {
        whole(Self::parse(packet, body, version))
    }

    #[inline(always)]
    fn parse(packet: PacketType, input: &'a [u8], version: Version) -> Parsed<'a, Self> {
        let (input, packet_id) = packet_id(input)?;
        let plain = Self {
            packet_id,
            reason: ReasonCode::Success,
            properties: Properties::default(),
        };
        // Without a reason code, success is meant; before 5.0 there never is one.
        if !version.has_properties() || input.is_empty() {
            return Ok((input, plain));
        }
        let (owner, error) = rules(packet);
        let (input, reason) = reason(input, packet, error)?;
        if input.is_empty() {
            return Ok((input, Self { reason, ..plain }));
        }
        let (input, properties) = Properties::parse(input, version, owner)?;
        Ok((
            input,
            Self {
                packet_id,
                reason,
                properties,
            },
        ))
    }
}

impl<B: AsRef<[u8]>> Ack<B> {
    pub(crate) fn remaining_len(
        &self,
        packet: PacketType,
        version: Version,
    ) -> Result<usize, EncodeError> {
        if !version.has_properties() {
            return Ok(2);
        }
        if !self.reason.allowed_in(packet) {
            return Err(EncodeError::ReasonCode);
        }
        if self.properties.is_empty() {
            return Ok(if self.reason == ReasonCode::Success {
                2
            } else {
                3
            });
        }
        self.properties.check_owner(rules(packet).0)?;
        Ok(3 + self.properties.encoded_len())
    }

    pub(crate) fn encode(
        &self,
        packet: PacketType,
        version: Version,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let remaining = self.remaining_len(packet, version)?;
        put_header(packet.first_byte(), remaining, out)?;
        out.extend_from_slice(&self.packet_id.get().to_be_bytes());
        if remaining > 2 {
            out.push(self.reason as u8);
        }
        if remaining > 3 {
            self.properties.put(out);
        }
        Ok(())
    }

    pub(crate) fn map<C: AsRef<[u8]>>(self, f: &mut impl FnMut(B) -> C) -> Ack<C> {
        Ack {
            packet_id: self.packet_id,
            reason: self.reason,
            properties: self.properties.map(f),
        }
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "only the four packets of this shape come here"
)]
const fn rules(packet: PacketType) -> (PropertyOwner, DecodeError) {
    match packet {
        PacketType::PubRec => (PropertyOwner::PubRec, DecodeError::PubRecReason),
        PacketType::PubRel => (PropertyOwner::PubRel, DecodeError::PubRelReason),
        PacketType::PubComp => (PropertyOwner::PubComp, DecodeError::PubCompReason),
        _ => (PropertyOwner::PubAck, DecodeError::PubAckReason),
    }
}
