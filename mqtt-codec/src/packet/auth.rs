//! AUTH: a step of enhanced authentication (5.0).

use alloc::vec::Vec;

use bytes::Bytes;

use crate::primitive::{Parsed, fail, put_header, reason, whole};
use crate::{DecodeError, EncodeError, PacketType, Properties, PropertyOwner, ReasonCode, Version};

/// AUTH: a step of enhanced authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth<B: AsRef<[u8]> = Bytes> {
    /// Success, continue, or re-authenticate.
    pub reason: ReasonCode,
    /// The properties; the authentication method is among them.
    pub properties: Properties<B>,
}

impl<'a> Auth<&'a [u8]> {
    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        // Packet type 15 is reserved before 5.0.
        if !version.has_properties() {
            return Err(DecodeError::PacketType);
        }
        whole(Self::parse(body, version))
    }

    fn parse(input: &'a [u8], version: Version) -> Parsed<'a, Self> {
        // The short form leaves out the authentication method, which must be there.
        if input.is_empty() {
            return fail(DecodeError::AuthenticationMethodMissing);
        }
        let (input, reason) = reason(input, PacketType::Auth, DecodeError::AuthReason)?;
        let (input, properties) = Properties::parse(input, version, PropertyOwner::Auth)?;
        if properties.authentication_method().is_none() {
            return fail(DecodeError::AuthenticationMethodMissing);
        }
        Ok((input, Self { reason, properties }))
    }
}

impl<B: AsRef<[u8]>> Auth<B> {
    pub(crate) fn remaining_len(&self, version: Version) -> Result<usize, EncodeError> {
        if !version.has_properties() {
            return Err(EncodeError::NotInThisVersion);
        }
        if !self.reason.allowed_in(PacketType::Auth) {
            return Err(EncodeError::ReasonCode);
        }
        self.properties.check_owner(PropertyOwner::Auth)?;
        if self.properties.authentication_method().is_none() {
            return Err(EncodeError::AuthenticationMethodMissing);
        }
        Ok(1 + self.properties.encoded_len())
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_header(
            PacketType::Auth.first_byte(),
            self.remaining_len(version)?,
            out,
        )?;
        out.push(self.reason as u8);
        self.properties.put(out);
        Ok(())
    }

    pub(crate) fn map<C: AsRef<[u8]>>(self, f: &mut impl FnMut(B) -> C) -> Auth<C> {
        Auth {
            reason: self.reason,
            properties: self.properties.map(f),
        }
    }
}
