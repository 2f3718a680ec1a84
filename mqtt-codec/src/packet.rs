//! The fifteen packets: one enum, one dispatch to decode, one to encode. One file a packet.
//!
//! Every packet is generic over its bytes: `Packet<&[u8]>` borrows from the frame it was decoded
//! from, `Packet<Bytes>` (written `Packet`) owns them. [`Packet::to_owned_from`] goes from one to
//! the other without copying.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod suback;
mod subscribe;
mod unsubscribe;

use alloc::vec::Vec;

use bytes::Bytes;

pub use self::ack::Ack;
pub use self::auth::Auth;
pub use self::connack::ConnAck;
pub use self::connect::{Connect, Will};
pub use self::disconnect::Disconnect;
pub use self::publish::{EncodedPublish, Forward, Publish, PublishQoS};
pub use self::suback::{ReasonCodes, SubAck, UnsubAck};
pub use self::subscribe::{
    RetainHandling, Subscribe, Subscription, SubscriptionOptions, Subscriptions,
};
pub use self::unsubscribe::{TopicFilters, Unsubscribe};
use crate::primitive::{packet_len, put_header};
use crate::{DecodeError, EncodeError, Frame, Version};

/// The type of a packet: the upper four bits of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are those of the standard")]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// All types, rising.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::ConnAck,
        Self::Publish,
        Self::PubAck,
        Self::PubRec,
        Self::PubRel,
        Self::PubComp,
        Self::Subscribe,
        Self::SubAck,
        Self::Unsubscribe,
        Self::UnsubAck,
        Self::PingReq,
        Self::PingResp,
        Self::Disconnect,
        Self::Auth,
    ];

    /// The type of a first byte, unless it is the reserved 0.
    #[must_use]
    pub const fn from_first_byte(first: u8) -> Option<Self> {
        Some(match first >> 4 {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The first byte, with the flags that are fixed for all types but PUBLISH. `[MQTT-2.1.3-1]`
    #[must_use]
    pub const fn first_byte(self) -> u8 {
        let flags = match self {
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            Self::Connect
            | Self::ConnAck
            | Self::Publish
            | Self::PubAck
            | Self::PubRec
            | Self::PubComp
            | Self::SubAck
            | Self::UnsubAck
            | Self::PingReq
            | Self::PingResp
            | Self::Disconnect
            | Self::Auth => 0,
        };
        ((self as u8) << 4) | flags
    }
}

/// A packet of any type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the packet of its name")]
pub enum Packet<B: AsRef<[u8]> = Bytes> {
    Connect(Connect<B>),
    ConnAck(ConnAck<B>),
    Publish(Publish<B>),
    PubAck(Ack<B>),
    PubRec(Ack<B>),
    PubRel(Ack<B>),
    PubComp(Ack<B>),
    Subscribe(Subscribe<B>),
    SubAck(SubAck<B>),
    Unsubscribe(Unsubscribe<B>),
    UnsubAck(UnsubAck<B>),
    PingReq,
    PingResp,
    Disconnect(Disconnect<B>),
    Auth(Auth<B>),
}

impl<'a> Packet<&'a [u8]> {
    /// Decodes one whole frame; nothing is copied or allocated.
    ///
    /// `version` is what the CONNECT of this connection said; a CONNECT itself carries its version
    /// and is decoded by that.
    ///
    /// # Errors
    /// Whatever the standard calls malformed, or a protocol error that the packet shows by itself.
    pub fn decode(frame: Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        let packet_type = frame.packet_type().ok_or(DecodeError::PacketType)?;
        if has_fixed_flags(packet_type, version) && frame.first != packet_type.first_byte() {
            return Err(DecodeError::FixedHeaderFlags);
        }
        let body = frame.body;
        match packet_type {
            PacketType::Connect => Connect::decode(body).map(Self::Connect),
            PacketType::ConnAck => ConnAck::decode(body, version).map(Self::ConnAck),
            PacketType::Publish => Publish::decode(frame, version).map(Self::Publish),
            PacketType::PubAck => Ack::decode(packet_type, body, version).map(Self::PubAck),
            PacketType::PubRec => Ack::decode(packet_type, body, version).map(Self::PubRec),
            PacketType::PubRel => Ack::decode(packet_type, body, version).map(Self::PubRel),
            PacketType::PubComp => Ack::decode(packet_type, body, version).map(Self::PubComp),
            PacketType::Subscribe => Subscribe::decode(body, version).map(Self::Subscribe),
            PacketType::SubAck => SubAck::decode(body, version).map(Self::SubAck),
            PacketType::Unsubscribe => Unsubscribe::decode(body, version).map(Self::Unsubscribe),
            PacketType::UnsubAck => UnsubAck::decode(body, version).map(Self::UnsubAck),
            PacketType::PingReq => empty(body, Self::PingReq),
            PacketType::PingResp => empty(body, Self::PingResp),
            PacketType::Disconnect => Disconnect::decode(body, version).map(Self::Disconnect),
            PacketType::Auth => Auth::decode(body, version).map(Self::Auth),
        }
    }

    /// The same packet, holding slices of `frame`, the buffer it was decoded from.
    ///
    /// # Panics
    /// If the packet was decoded from another buffer.
    #[must_use]
    pub fn to_owned_from(self, frame: &Bytes) -> Packet {
        self.map(&mut |slice| frame.slice_ref(slice))
    }

    /// The same packet with a copy of its bytes.
    #[must_use]
    pub fn to_bytes(self) -> Packet {
        self.map(&mut Bytes::copy_from_slice)
    }
}

/// True if the flags in the first byte can have one value only.
///
/// MQTT 3.1 sets DUP on any packet that is sent again, and leaves the flags of others unused. The
/// version of a CONNECT is not known yet; nobody sends one twice.
///
/// `[MQTT-3.6.1-1]` `[MQTT-3.8.1-1]` `[MQTT-3.10.1-1]` `[MQTT-3.14.1-1]` `[MQTT-3.15.1-1]`
fn has_fixed_flags(packet_type: PacketType, version: Version) -> bool {
    match packet_type {
        PacketType::Publish => false,
        PacketType::Connect => true,
        PacketType::ConnAck
        | PacketType::PubAck
        | PacketType::PubRec
        | PacketType::PubRel
        | PacketType::PubComp
        | PacketType::Subscribe
        | PacketType::SubAck
        | PacketType::Unsubscribe
        | PacketType::UnsubAck
        | PacketType::PingReq
        | PacketType::PingResp
        | PacketType::Disconnect
        | PacketType::Auth => version != Version::V3_1,
    }
}

fn empty<T>(body: &[u8], packet: T) -> Result<T, DecodeError> {
    if body.is_empty() {
        Ok(packet)
    } else {
        Err(DecodeError::TrailingBytes)
    }
}

impl<B: AsRef<[u8]>> Packet<B> {
    /// The type.
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// Appends the packet to `out` in one pass.
    ///
    /// Properties are left out for versions that have none. A CONNECT is encoded for the version
    /// that it carries.
    ///
    /// # Errors
    /// [`EncodeError`]; `out` then is as it was.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Connect(packet) => packet.encode(out),
            Self::ConnAck(packet) => packet.encode(version, out),
            Self::Publish(packet) => packet.encode(version, out),
            Self::PubAck(packet) => packet.encode(PacketType::PubAck, version, out),
            Self::PubRec(packet) => packet.encode(PacketType::PubRec, version, out),
            Self::PubRel(packet) => packet.encode(PacketType::PubRel, version, out),
            Self::PubComp(packet) => packet.encode(PacketType::PubComp, version, out),
            Self::Subscribe(packet) => packet.encode(version, out),
            Self::SubAck(packet) => packet.encode(version, out),
            Self::Unsubscribe(packet) => packet.encode(version, out),
            Self::UnsubAck(packet) => packet.encode(version, out),
            Self::PingReq => put_header(PacketType::PingReq.first_byte(), 0, out),
            Self::PingResp => put_header(PacketType::PingResp.first_byte(), 0, out),
            Self::Disconnect(packet) => packet.encode(version, out),
            Self::Auth(packet) => packet.encode(version, out),
        }
    }

    /// The packet as bytes.
    ///
    /// # Errors
    /// As [`Packet::encode`].
    pub fn to_vec(&self, version: Version) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        self.encode(version, &mut out)?;
        Ok(out)
    }

    /// How many bytes [`Packet::encode`] appends.
    ///
    /// # Errors
    /// As [`Packet::encode`].
    pub fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        let remaining = match self {
            Self::Connect(packet) => packet.remaining_len()?,
            Self::ConnAck(packet) => packet.remaining_len(version)?,
            Self::Publish(packet) => packet.forward(version)?.remaining_len(),
            Self::PubAck(packet) => packet.remaining_len(PacketType::PubAck, version)?,
            Self::PubRec(packet) => packet.remaining_len(PacketType::PubRec, version)?,
            Self::PubRel(packet) => packet.remaining_len(PacketType::PubRel, version)?,
            Self::PubComp(packet) => packet.remaining_len(PacketType::PubComp, version)?,
            Self::Subscribe(packet) => packet.remaining_len(version)?,
            Self::SubAck(packet) => packet.remaining_len(version)?,
            Self::Unsubscribe(packet) => packet.remaining_len(version)?,
            Self::UnsubAck(packet) => packet.remaining_len(version)?,
            Self::PingReq | Self::PingResp => 0,
            Self::Disconnect(packet) => packet.remaining_len(version)?,
            Self::Auth(packet) => packet.remaining_len(version)?,
        };
        packet_len(remaining)
    }

    /// The same packet over other bytes: `f` is called for each field and must keep its content.
    pub fn map<C: AsRef<[u8]>>(self, f: &mut impl FnMut(B) -> C) -> Packet<C> {
        match self {
            Self::Connect(packet) => Packet::Connect(packet.map(f)),
            Self::ConnAck(packet) => Packet::ConnAck(packet.map(f)),
            Self::Publish(packet) => Packet::Publish(packet.map(f)),
            Self::PubAck(packet) => Packet::PubAck(packet.map(f)),
            Self::PubRec(packet) => Packet::PubRec(packet.map(f)),
            Self::PubRel(packet) => Packet::PubRel(packet.map(f)),
            Self::PubComp(packet) => Packet::PubComp(packet.map(f)),
            Self::Subscribe(packet) => Packet::Subscribe(packet.map(f)),
            Self::SubAck(packet) => Packet::SubAck(packet.map(f)),
            Self::Unsubscribe(packet) => Packet::Unsubscribe(packet.map(f)),
            Self::UnsubAck(packet) => Packet::UnsubAck(packet.map(f)),
            Self::PingReq => Packet::PingReq,
            Self::PingResp => Packet::PingResp,
            Self::Disconnect(packet) => Packet::Disconnect(packet.map(f)),
            Self::Auth(packet) => Packet::Auth(packet.map(f)),
        }
    }
}
