//! CONNACK: the server's answer to a CONNECT.

use alloc::vec::Vec;

use bytes::Bytes;
use nom::number::complete::u8;

use crate::primitive::{Parsed, fail, failure, put_header, reason, whole};
use crate::{DecodeError, EncodeError, PacketType, Properties, PropertyOwner, ReasonCode, Version};

/// CONNACK: the client is connected, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck<B: AsRef<[u8]> = Bytes> {
    /// True if the server goes on with a session that it had. Not written with a failure
    /// `[MQTT-3.2.2-6]`, nor in MQTT 3.1, which does not know it.
    pub session_present: bool,
    /// Success, or why not. Before 5.0 it travels as one of six return codes, if one says the same.
    pub reason: ReasonCode,
    /// The properties; empty before 5.0.
    pub properties: Properties<B>,
}

const SESSION_PRESENT: u8 = 1;

impl<'a> ConnAck<&'a [u8]> {
    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        whole(Self::parse(body, version))
    }

    fn parse(input: &'a [u8], version: Version) -> Parsed<'a, Self> {
        let (input, flags) = u8(input)?;
        // MQTT 3.1 calls this byte reserved and unused.
        let flags = if version == Version::V3_1 { 0 } else { flags };
        if flags & !SESSION_PRESENT != 0 {
            return fail(DecodeError::ConnAckFlags);
        }
        let (input, reason) = if version.has_properties() {
            reason(input, PacketType::ConnAck, DecodeError::ConnAckReason)?
        } else {
            return_code(input)?
        };
        let session_present = flags & SESSION_PRESENT != 0;
        if session_present && reason != ReasonCode::Success {
            return fail(DecodeError::SessionPresentOnFailure);
        }
        let (input, properties) = Properties::parse(input, version, PropertyOwner::ConnAck)?;
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

fn return_code(input: &[u8]) -> Parsed<'_, ReasonCode> {
    let (rest, code) = u8(input)?;
    let reason = ReasonCode::from_return_code(code);
    Ok((rest, reason.ok_or(failure(DecodeError::ConnAckReason))?))
}

impl<B: AsRef<[u8]>> ConnAck<B> {
    fn return_code(&self) -> Result<u8, EncodeError> {
        self.reason.return_code().ok_or(EncodeError::ReasonCode)
    }

    pub(crate) fn remaining_len(&self, version: Version) -> Result<usize, EncodeError> {
        if !version.has_properties() {
            self.return_code()?;
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
        let may_be_present = self.reason == ReasonCode::Success && version != Version::V3_1;
        out.push((self.session_present && may_be_present).into());
        if version.has_properties() {
            out.push(self.reason as u8);
            self.properties.put(out);
        } else {
            out.push(self.return_code()?);
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
