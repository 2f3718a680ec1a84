//! CONNACK: the server's answer to a CONNECT.

use alloc::vec::Vec;

use bytes::Bytes;
use nom::number::complete::u8;

use crate::primitive::{Parsed, fail, put_header, whole};
use crate::{DecodeError, EncodeError, PacketType, Properties, PropertyOwner, ReasonCode, Version};

/// CONNACK: the client is connected, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck<B: AsRef<[u8]> = Bytes> {
    /// True if the server goes on with a session that it had.
    pub session_present: bool,
    /// Success, or why not. Before 5.0 it travels as one of six return codes.
    pub reason: ReasonCode,
    /// The properties; empty before 5.0.
    pub properties: Properties<B>,
}

impl<'a> ConnAck<&'a [u8]> {
    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        whole(Self::parse(body, version))
    }

    fn parse(input: &'a [u8], version: Version) -> Parsed<'a, Self> {
        let (input, flags) = u8(input)?;
        // MQTT 3.1 calls this byte reserved and unused.
        if flags & !1 != 0 && version != Version::V3_1 {
            return fail(DecodeError::ConnAckFlags);
        }
        let (input, code) = u8(input)?;
        let session_present = flags & 1 != 0;
        if !version.has_properties() {
            let Some(reason) = ReasonCode::from_return_code(code) else {
                return fail(DecodeError::ReasonCode);
            };
            return Ok((
                input,
                Self {
                    session_present,
                    reason,
                    properties: Properties::default(),
                },
            ));
        }
        let reason =
            ReasonCode::from_byte(code).filter(|reason| reason.allowed_in(PacketType::ConnAck));
        let Some(reason) = reason else {
            return fail(DecodeError::ReasonCode);
        };
        let (input, properties) = Properties::parse(input, PropertyOwner::ConnAck)?;
        Ok((
            input,
            Self {
                session_present,
                reason,
                properties,
            },
        ))
    }
}

impl<B: AsRef<[u8]>> ConnAck<B> {
    pub(crate) fn remaining_len(&self, version: Version) -> Result<usize, EncodeError> {
        if !version.has_properties() {
            return Ok(2);
        }
        if !self.reason.allowed_in(PacketType::ConnAck) {
            return Err(EncodeError::ReasonCode);
        }
        self.properties.check_owner(PropertyOwner::ConnAck)?;
        Ok(2 + self.properties.encoded_len())
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_header(
            PacketType::ConnAck.first_byte(),
            self.remaining_len(version)?,
            out,
        )?;
        // MQTT 3.1 knows no session present.
        out.push((self.session_present && version != Version::V3_1).into());
        if version.has_properties() {
            out.push(self.reason as u8);
            self.properties.put(out);
        } else {
            out.push(self.reason.return_code());
        }
        Ok(())
    }

    pub(crate) fn map<C: AsRef<[u8]>>(self, f: &mut impl FnMut(B) -> C) -> ConnAck<C> {
        ConnAck {
            session_present: self.session_present,
            reason: self.reason,
            properties: self.properties.map(f),
        }
    }
}
