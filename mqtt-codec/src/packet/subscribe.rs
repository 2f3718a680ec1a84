//! SUBSCRIBE: a client wants messages.

use alloc::vec::Vec;

use bytes::Bytes;
use nom::number::complete::u8;

use crate::primitive::{
    Parsed, binary_len, fail, failure, packet_id, put_binary, put_header, qos_bits, text, whole,
};
use crate::{
    DecodeError, EncodeError, PacketId, PacketType, Properties, PropertyOwner, QoS, TopicFilter,
    Version,
};

/// SUBSCRIBE: a list of subscriptions to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe<B: AsRef<[u8]> = Bytes> {
    /// The packet identifier, which the SUBACK repeats.
    pub packet_id: PacketId,
    /// The properties; empty before 5.0.
    pub properties: Properties<B>,
    /// The topic filters with their options: one at least.
    pub subscriptions: Subscriptions<B>,
}

/// The payload of a SUBSCRIBE, checked once and then bytes to walk over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Subscriptions<B: AsRef<[u8]> = Bytes>(B);

/// One topic filter of a SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// The topic filter.
    pub filter: TopicFilter<&'a [u8]>,
    /// How messages are to be sent for it.
    pub options: SubscriptionOptions,
}

/// How messages are sent for a subscription. Before 5.0 there is only the QoS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// The highest QoS wanted.
    pub qos: QoS,
    /// True: not what the client itself has published. `[MQTT-3.8.3-3]`
    pub no_local: bool,
    /// True: messages keep the retain flag they were published with. `[MQTT-3.3.1-13]`
    pub retain_as_published: bool,
    /// Which retained messages are sent when the subscription is made.
    pub retain_handling: RetainHandling,
}

/// Which retained messages are sent when a subscription is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RetainHandling {
    /// All that match. `[MQTT-3.3.1-9]`
    #[default]
    Send = 0,
    /// All that match, if the subscription is new. `[MQTT-3.3.1-10]`
    SendIfNew = 1,
    /// None. `[MQTT-3.3.1-11]`
    DoNotSend = 2,
}

impl SubscriptionOptions {
    /// The options of a quality of service and nothing else.
    #[must_use]
    pub fn of_qos(qos: QoS) -> Self {
        Self {
            qos,
            ..Self::default()
        }
    }

    /// The options of an options byte of MQTT 5.0.
    ///
    /// # Errors
    /// [`DecodeError::SubscriptionOptions`] `[MQTT-3.8.3-5]`,
    /// [`DecodeError::SubscriptionQosThree`], [`DecodeError::RetainHandling`].
    pub fn from_byte(byte: u8) -> Result<Self, DecodeError> {
        if byte & 0b1100_0000 != 0 {
            return Err(DecodeError::SubscriptionOptions);
        }
        let qos = qos_bits(byte, 0).ok_or(DecodeError::SubscriptionQosThree)?;
        let retain_handling = match byte >> 4 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(DecodeError::RetainHandling),
        };
        Ok(Self {
            qos,
            no_local: byte & 0b100 != 0,
            retain_as_published: byte & 0b1000 != 0,
            retain_handling,
        })
    }

    /// The options byte of MQTT 5.0.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self.qos as u8
            | ((self.no_local as u8) << 2)
            | ((self.retain_as_published as u8) << 3)
            | ((self.retain_handling as u8) << 4)
    }
}

impl<'a> Subscribe<&'a [u8]> {
    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        whole(Self::parse(body, version))
    }

    fn parse(input: &'a [u8], version: Version) -> Parsed<'a, Self> {
        let (input, packet_id) = packet_id(input)?;
        let (input, properties) = Properties::parse(input, version, PropertyOwner::Subscribe)?;
        if input.is_empty() {
            return fail(DecodeError::SubscribeEmpty);
        }
        let mut rest = input;
        while !rest.is_empty() {
            rest = subscription(rest, version)?.0;
        }
        Ok((
            rest,
            Self {
                packet_id,
                properties,
                subscriptions: Subscriptions(input),
            },
        ))
    }
}

fn subscription(input: &[u8], version: Version) -> Parsed<'_, Subscription<'_>> {
    let (input, filter) = text(input)?;
    let filter = TopicFilter::new(filter.bytes()).map_err(failure)?;
    let (input, byte) = u8(input)?;
    // Before 5.0 there is nothing but the QoS.
    if !version.has_properties() && byte & !0b11 != 0 {
        return fail(DecodeError::SubscriptionOptions);
    }
    let options = SubscriptionOptions::from_byte(byte).map_err(failure)?;
    if options.no_local && filter.share_name().is_some() {
        return fail(DecodeError::NoLocalShared);
    }
    Ok((input, Subscription { filter, options }))
}

impl Subscriptions {
    /// The subscriptions given, in their order.
    ///
    /// # Errors
    /// [`EncodeError::Empty`] for none; [`EncodeError::NoLocalShared`] `[MQTT-3.8.3-4]`.
    pub fn new<'a>(
        subscriptions: impl IntoIterator<Item = Subscription<'a>>,
    ) -> Result<Self, EncodeError> {
        let mut raw = Vec::new();
        for Subscription { filter, options } in subscriptions {
            if options.no_local && filter.share_name().is_some() {
                return Err(EncodeError::NoLocalShared);
            }
            binary_len(filter.as_bytes())?;
            put_binary(filter.as_bytes(), &mut raw);
            raw.push(options.to_byte());
        }
        if raw.is_empty() {
            Err(EncodeError::Empty)
        } else {
            Ok(Self(raw.into()))
        }
    }
}

impl<B: AsRef<[u8]>> Subscriptions<B> {
    /// The subscriptions in their order.
    pub fn iter(&self) -> impl Iterator<Item = Subscription<'_>> {
        let mut rest = self.0.as_ref();
        core::iter::from_fn(move || {
            // The list has been checked: this fails only at its end.
            let (next, subscription) = subscription(rest, Version::V5).ok()?;
            rest = next;
            Some(subscription)
        })
    }
}

impl<B: AsRef<[u8]>> core::fmt::Debug for Subscriptions<B> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<B: AsRef<[u8]>> Subscribe<B> {
    pub(crate) fn remaining_len(&self, version: Version) -> Result<usize, EncodeError> {
        let mut len = 2 + self.subscriptions.0.as_ref().len();
        if version.has_properties() {
            self.properties.check_owner(PropertyOwner::Subscribe)?;
            len += self.properties.encoded_len();
        }
        Ok(len)
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_header(
            PacketType::Subscribe.first_byte(),
            self.remaining_len(version)?,
            out,
        )?;
        out.extend_from_slice(&self.packet_id.get().to_be_bytes());
        if version.has_properties() {
            self.properties.put(out);
            out.extend_from_slice(self.subscriptions.0.as_ref());
        } else {
            for Subscription { filter, options } in self.subscriptions.iter() {
                put_binary(filter.as_bytes(), out);
                out.push(options.qos as u8);
            }
        }
        Ok(())
    }

    pub(crate) fn map<C: AsRef<[u8]>>(self, f: &mut impl FnMut(B) -> C) -> Subscribe<C> {
        Subscribe {
            packet_id: self.packet_id,
            properties: self.properties.map(f),
            subscriptions: Subscriptions(f(self.subscriptions.0)),
        }
    }
}
