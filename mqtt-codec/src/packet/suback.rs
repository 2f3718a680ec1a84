//! SUBACK and UNSUBACK: a reason code for each topic filter, in their order.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::primitive::{Parsed, fail, packet_id, put_header, whole};
use crate::{
    DecodeError, EncodeError, PacketId, PacketType, Properties, PropertyOwner, ReasonCode, Version,
};

/// SUBACK: what became of each topic filter of a SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck<B: AsRef<[u8]> = Bytes> {
    /// The packet identifier of the SUBSCRIBE. `[MQTT-3.8.4-2]`
    pub packet_id: PacketId,
    /// The properties; empty before 5.0.
    pub properties: Properties<B>,
    /// A reason code for each topic filter. `[MQTT-3.9.3-1]`
    pub reasons: ReasonCodes<B>,
}

/// UNSUBACK: what became of each topic filter of an UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubAck<B: AsRef<[u8]> = Bytes> {
    /// The packet identifier of the UNSUBSCRIBE. `[MQTT-3.10.4-5]`
    pub packet_id: PacketId,
    /// The properties; empty before 5.0.
    pub properties: Properties<B>,
    /// A reason code for each topic filter `[MQTT-3.11.3-1]`; none before 5.0.
    pub reasons: ReasonCodes<B>,
}

/// Reason codes, a byte each, checked once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReasonCodes<B: AsRef<[u8]> = Bytes>(B);

impl FromIterator<ReasonCode> for ReasonCodes {
    fn from_iter<I: IntoIterator<Item = ReasonCode>>(reasons: I) -> Self {
        Self(reasons.into_iter().map(|reason| reason as u8).collect())
    }
}

impl<B: AsRef<[u8]>> ReasonCodes<B> {
    /// The reason codes in their order.
    pub fn iter(&self) -> impl Iterator<Item = ReasonCode> {
        self.0
            .as_ref()
            .iter()
            .filter_map(|byte| ReasonCode::from_byte(*byte))
    }

    fn check(&self, packet: PacketType) -> Result<(), EncodeError> {
        if self.0.as_ref().is_empty() {
            Err(EncodeError::Empty)
        } else if all_allowed(self.0.as_ref(), packet) {
            Ok(())
        } else {
            Err(EncodeError::ReasonCode)
        }
    }
}

fn all_allowed(reasons: &[u8], packet: PacketType) -> bool {
    let allowed =
        |byte: &u8| ReasonCode::from_byte(*byte).is_some_and(|reason| reason.allowed_in(packet));
    reasons.iter().all(allowed)
}

impl<B: AsRef<[u8]>> core::fmt::Debug for ReasonCodes<B> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> SubAck<&'a [u8]> {
    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        whole(Self::parse(body, version))
    }

    fn parse(input: &'a [u8], version: Version) -> Parsed<'a, Self> {
        let (input, packet_id) = packet_id(input)?;
        let (reasons, properties) = Properties::parse(input, version, PropertyOwner::SubAck)?;
        if reasons.is_empty() {
            return fail(DecodeError::SubAckEmpty);
        }
        let known = if version.has_properties() {
            all_allowed(reasons, PacketType::SubAck)
        } else {
            // The QoS granted, or failure. [MQTT-3.9.3-2]
            reasons.iter().all(|byte| matches!(byte, 0..=2 | 0x80))
        };
        if !known {
            return fail(DecodeError::SubAckReason);
        }
        let reasons = ReasonCodes(reasons);
        Ok((
            &[],
            Self {
                packet_id,
                properties,
                reasons,
            },
        ))
    }
}

impl<'a> UnsubAck<&'a [u8]> {
    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        whole(Self::parse(body, version))
    }

    fn parse(input: &'a [u8], version: Version) -> Parsed<'a, Self> {
        let (input, packet_id) = packet_id(input)?;
        let (input, properties) = Properties::parse(input, version, PropertyOwner::UnsubAck)?;
        let (reasons, rest) = if version.has_properties() {
            (input, &[][..])
        } else {
            (&[][..], input)
        };
        if version.has_properties() && reasons.is_empty() {
            return fail(DecodeError::UnsubAckEmpty);
        }
        if !all_allowed(reasons, PacketType::UnsubAck) {
            return fail(DecodeError::UnsubAckReason);
        }
        let reasons = ReasonCodes(reasons);
        Ok((
            rest,
            Self {
                packet_id,
                properties,
                reasons,
            },
        ))
    }
}

impl<B: AsRef<[u8]>> SubAck<B> {
    pub(crate) fn remaining_len(&self, version: Version) -> Result<usize, EncodeError> {
        self.reasons.check(PacketType::SubAck)?;
        let mut len = 2 + self.reasons.0.as_ref().len();
        if version.has_properties() {
            self.properties.check_owner(PropertyOwner::SubAck)?;
            len += self.properties.encoded_len();
        }
        Ok(len)
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_header(
            PacketType::SubAck.first_byte(),
            self.remaining_len(version)?,
            out,
        )?;
        out.extend_from_slice(&self.packet_id.get().to_be_bytes());
        if version.has_properties() {
            self.properties.put(out);
            out.extend_from_slice(self.reasons.0.as_ref());
        } else {
            // Before 5.0 there is one failure.
            out.extend(
                self.reasons
                    .0
                    .as_ref()
                    .iter()
                    .map(|byte| if *byte >= 0x80 { 0x80 } else { *byte }),
            );
        }
        Ok(())
    }

    pub(crate) fn map<C: AsRef<[u8]>>(self, f: &mut impl FnMut(B) -> C) -> SubAck<C> {
        SubAck {
            packet_id: self.packet_id,
            properties: self.properties.map(f),
            reasons: ReasonCodes(f(self.reasons.0)),
        }
    }
}

impl<B: AsRef<[u8]>> UnsubAck<B> {
    pub(crate) fn remaining_len(&self, version: Version) -> Result<usize, EncodeError> {
        if !version.has_properties() {
            return Ok(2);
        }
        self.reasons.check(PacketType::UnsubAck)?;
        self.properties.check_owner(PropertyOwner::UnsubAck)?;
        Ok(2 + self.properties.encoded_len() + self.reasons.0.as_ref().len())
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_header(
            PacketType::UnsubAck.first_byte(),
            self.remaining_len(version)?,
            out,
        )?;
        out.extend_from_slice(&self.packet_id.get().to_be_bytes());
        if version.has_properties() {
            self.properties.put(out);
            out.extend_from_slice(self.reasons.0.as_ref());
        }
        Ok(())
    }

    pub(crate) fn map<C: AsRef<[u8]>>(self, f: &mut impl FnMut(B) -> C) -> UnsubAck<C> {
        UnsubAck {
            packet_id: self.packet_id,
            properties: self.properties.map(f),
            reasons: ReasonCodes(f(self.reasons.0)),
        }
    }
}
