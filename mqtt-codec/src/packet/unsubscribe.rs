//! UNSUBSCRIBE: a client wants no more messages.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::primitive::{
    Parsed, binary_len, fail, failure, packet_id, put_binary, put_header, text, whole,
};
use crate::{
    DecodeError, EncodeError, PacketId, PacketType, Properties, PropertyOwner, TopicFilter, Version,
};

/// UNSUBSCRIBE: a list of subscriptions to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe<B: AsRef<[u8]> = Bytes> {
    /// The packet identifier, which the UNSUBACK repeats.
    pub packet_id: PacketId,
    /// The properties; empty before 5.0.
    pub properties: Properties<B>,
    /// The topic filters: one at least.
    pub filters: TopicFilters<B>,
}

/// The payload of an UNSUBSCRIBE, checked once and then bytes to walk over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TopicFilters<B: AsRef<[u8]> = Bytes>(B);

impl<'a> Unsubscribe<&'a [u8]> {
    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        whole(Self::parse(body, version))
    }

    fn parse(input: &'a [u8], version: Version) -> Parsed<'a, Self> {
        let (input, packet_id) = packet_id(input)?;
        let (input, properties) = Properties::parse(input, version, PropertyOwner::Unsubscribe)?;
        if input.is_empty() {
            return fail(DecodeError::UnsubscribeEmpty);
        }
        let mut rest = input;
        while !rest.is_empty() {
            rest = filter(rest)?.0;
        }
        Ok((
            rest,
            Self {
                packet_id,
                properties,
                filters: TopicFilters(input),
            },
        ))
    }
}

fn filter(input: &[u8]) -> Parsed<'_, TopicFilter<&[u8]>> {
    let (rest, filter) = text(input)?;
    Ok((rest, TopicFilter::new(filter.bytes()).map_err(failure)?))
}

impl TopicFilters {
    /// The topic filters given, in their order.
    ///
    /// # Errors
    /// [`EncodeError::Empty`] for none.
    pub fn new<'a>(
        filters: impl IntoIterator<Item = TopicFilter<&'a [u8]>>,
    ) -> Result<Self, EncodeError> {
        let mut raw = Vec::new();
        for filter in filters {
            binary_len(filter.as_bytes())?;
            put_binary(filter.as_bytes(), &mut raw);
        }
        if raw.is_empty() {
            Err(EncodeError::Empty)
        } else {
            Ok(Self(raw.into()))
        }
    }
}

impl<B: AsRef<[u8]>> TopicFilters<B> {
    /// The topic filters in their order.
    pub fn iter(&self) -> impl Iterator<Item = TopicFilter<&[u8]>> {
        let mut rest = self.0.as_ref();
        core::iter::from_fn(move || {
            // The list has been checked: this fails only at its end.
            let (next, filter) = filter(rest).ok()?;
            rest = next;
            Some(filter)
        })
    }
}

impl<B: AsRef<[u8]>> core::fmt::Debug for TopicFilters<B> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<B: AsRef<[u8]>> Unsubscribe<B> {
    pub(crate) fn remaining_len(&self, version: Version) -> Result<usize, EncodeError> {
        let mut len = 2 + self.filters.0.as_ref().len();
        if version.has_properties() {
            self.properties.check_owner(PropertyOwner::Unsubscribe)?;
            len += self.properties.encoded_len();
        }
        Ok(len)
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_header(
            PacketType::Unsubscribe.first_byte(),
            self.remaining_len(version)?,
            out,
        )?;
        out.extend_from_slice(&self.packet_id.get().to_be_bytes());
        if version.has_properties() {
            self.properties.put(out);
        }
        out.extend_from_slice(self.filters.0.as_ref());
        Ok(())
    }

    pub(crate) fn map<C: AsRef<[u8]>>(self, f: &mut impl FnMut(B) -> C) -> Unsubscribe<C> {
        Unsubscribe {
            packet_id: self.packet_id,
            properties: self.properties.map(f),
            filters: TopicFilters(f(self.filters.0)),
        }
    }
}
