//! DISCONNECT: the last packet of a connection.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::primitive::{Parsed, put_header, reason, whole};
use crate::{DecodeError, EncodeError, PacketType, Properties, PropertyOwner, ReasonCode, Version};

/// DISCONNECT: the sender closes the connection, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect<B: AsRef<[u8]> = Bytes> {
    /// Why; always success before 5.0.
    pub reason: ReasonCode,
    /// The properties; empty before 5.0.
    pub properties: Properties<B>,
}

impl Disconnect<&'static [u8]> {
    /// A DISCONNECT with a reason and nothing more.
    #[must_use]
    pub fn new(reason: ReasonCode) -> Self {
        Self {
            reason,
            properties: Properties::default(),
        }
    }
}

impl<'a> Disconnect<&'a [u8]> {
    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        whole(Self::parse(body, version))
    }

    fn parse(input: &'a [u8], version: Version) -> Parsed<'a, Self> {
        let plain = Self {
            reason: ReasonCode::Success,
            properties: Properties::default(),
        };
        if !version.has_properties() || input.is_empty() {
            return Ok((input, plain));
        }
        let (input, reason) = reason(input, PacketType::Disconnect, DecodeError::DisconnectReason)?;
        if input.is_empty() {
            return Ok((input, Self { reason, ..plain }));
        }
        let (input, properties) = Properties::parse(input, version, PropertyOwner::Disconnect)?;
        Ok((input, Self { reason, properties }))
    }
}

impl<B: AsRef<[u8]>> Disconnect<B> {
    pub(crate) fn remaining_len(&self, version: Version) -> Result<usize, EncodeError> {
        if !version.has_properties() {
            return Ok(0);
        }
        if !self.reason.allowed_in(PacketType::Disconnect) {
            return Err(EncodeError::ReasonCode);
        }
        if self.properties.is_empty() {
            return Ok(usize::from(self.reason != ReasonCode::Success));
        }
        self.properties.check_owner(PropertyOwner::Disconnect)?;
        Ok(1 + self.properties.encoded_len())
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let remaining = self.remaining_len(version)?;
        put_header(PacketType::Disconnect.first_byte(), remaining, out)?;
        if remaining > 0 {
            out.push(self.reason as u8);
        }
        if remaining > 1 {
            self.properties.put(out);
        }
        Ok(())
    }

    pub(crate) fn map<C: AsRef<[u8]>>(self, f: &mut impl FnMut(B) -> C) -> Disconnect<C> {
        Disconnect {
            reason: self.reason,
            properties: self.properties.map(f),
        }
    }
}
