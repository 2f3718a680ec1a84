//! CONNECT: the first packet of a client, with the will it leaves behind.

use alloc::vec::Vec;

use bytes::Bytes;
use nom::number::complete::{be_u16, u8};

use crate::primitive::{
    Parsed, binary, binary_len, fail, put_binary, put_header, qos_bits, text, topic_name, whole,
};
use crate::{
    DecodeError, EncodeError, Frame, PacketType, Properties, PropertyOwner, QoS, Text, TopicName,
    Version,
};

/// CONNECT: a client asks to be connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect<B: AsRef<[u8]> = Bytes> {
    /// The version that the connection will speak.
    pub version: Version,
    /// True if the peer says that it is a bridge: bit 7 of the protocol level, as Mosquitto sets it.
    /// Not with 5.0, where No Local and Retain As Published do what it is for.
    pub bridge: bool,
    /// Clean Start of 5.0, Clean Session before: an existing session is discarded.
    pub clean_start: bool,
    /// Seconds within which the client sends something; 0: no limit.
    pub keep_alive: u16,
    /// The properties; empty before 5.0.
    pub properties: Properties<B>,
    /// The client identifier; may be empty.
    pub client_id: Text<B>,
    /// What is published for the client if its connection is lost.
    pub will: Option<Will<B>>,
    /// The user name.
    pub user_name: Option<Text<B>>,
    /// The password.
    pub password: Option<B>,
}

/// The message that a server publishes for a client whose connection is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will<B: AsRef<[u8]> = Bytes> {
    /// Its quality of service.
    pub qos: QoS,
    /// True if it is to be retained.
    pub retain: bool,
    /// The will properties; empty before 5.0.
    pub properties: Properties<B>,
    /// Its topic.
    pub topic: TopicName<B>,
    /// Its payload.
    pub payload: B,
}

const CLEAN_START: u8 = 0b0000_0010;
const WILL: u8 = 0b0000_0100;
const WILL_QOS_SHIFT: u8 = 3;
const WILL_QOS: u8 = 0b0001_1000;
const WILL_RETAIN: u8 = 0b0010_0000;
const PASSWORD: u8 = 0b0100_0000;
const USER_NAME: u8 = 0b1000_0000;
const BRIDGE: u8 = 0x80;

impl<'a> Connect<&'a [u8]> {
    /// The version that a CONNECT begins with, whatever is wrong behind it: who refuses a malformed
    /// one has to say so in that version.
    #[must_use]
    pub fn peek_version(frame: Frame<'a>) -> Option<Version> {
        let connect = frame.packet_type() == Some(PacketType::Connect);
        let (_, (version, _)) = protocol(frame.body).ok().filter(|_| connect)?;
        Some(version)
    }

    pub(crate) fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        whole(Self::parse(body))
    }

    // [MQTT-3.1.4-1]
    fn parse(input: &'a [u8]) -> Parsed<'a, Self> {
        let (input, (version, bridge)) = protocol(input)?;
        let (input, flags) = u8(input)?;
        check_flags(flags, version)?;
        let (input, keep_alive) = be_u16(input)?;
        let (input, properties) = Properties::parse(input, version, PropertyOwner::Connect)?;
        // The flags say which fields follow; each of those has to be there, in this order, and nothing
        // behind them. [MQTT-3.1.3-1] [MQTT-3.1.2-9] [MQTT-3.1.2-16] [MQTT-3.1.2-17]
        // [MQTT-3.1.2-18] [MQTT-3.1.2-19] And those for people have to be text. [MQTT-3.1.3-3]
        // [MQTT-3.1.3-4] [MQTT-3.1.3-12]
        let (input, client_id) = text(input)?;
        let (input, will) = optional(flags & WILL != 0, input, |input| {
            Will::parse(input, flags, version)
        })?;
        // In MQTT 3.1 the end of the packet takes precedence over these two flags.
        let there =
            |flag, rest: &[u8]| flags & flag != 0 && !(version == Version::V3_1 && rest.is_empty());
        let (input, user_name) = optional(there(USER_NAME, input), input, text)?;
        let (input, password) = optional(there(PASSWORD, input), input, binary)?;
        let clean_start = flags & CLEAN_START != 0;
        Ok((
            input,
            Self {
                version,
                bridge,
                clean_start,
                keep_alive,
                properties,
                client_id,
                will,
                user_name,
                password,
            },
        ))
    }
}

impl<'a> Will<&'a [u8]> {
    fn parse(input: &'a [u8], flags: u8, version: Version) -> Parsed<'a, Self> {
        let Some(qos) = qos_bits(flags, WILL_QOS_SHIFT) else {
            return fail(DecodeError::WillQosThree);
        };
        let (input, properties) = Properties::parse(input, version, PropertyOwner::Will)?;
        // [MQTT-3.1.3-11]
        let (input, topic) = topic_name(input)?;
        let (input, payload) = binary(input)?;
        Ok((
            input,
            Self {
                qos,
                retain: flags & WILL_RETAIN != 0,
                properties,
                topic,
                payload,
            },
        ))
    }
}

/// Protocol name and level: the version, and whether the peer is a bridge.
fn protocol(input: &[u8]) -> Parsed<'_, (Version, bool)> {
    let (input, name) = text(input)?;
    let (input, level) = u8(input)?;
    let same_name = |version: &Version| name == version.protocol_name();
    if !Version::ALL.iter().any(same_name) {
        return fail(DecodeError::ProtocolName);
    }
    let bridge = level & BRIDGE != 0;
    let same_level = |version: &Version| {
        version.level() == level & !BRIDGE && !(bridge && version.has_properties())
    };
    match Version::ALL
        .into_iter()
        .find(|version| same_name(version) && same_level(version))
    {
        Some(version) => Ok((input, (version, bridge))),
        None => fail(DecodeError::ProtocolLevel),
    }
}

fn check_flags(flags: u8, version: Version) -> Result<(), nom::Err<DecodeError>> {
    let error = if flags & 1 != 0 {
        DecodeError::ConnectReservedFlag
    } else if flags & WILL == 0 && flags & WILL_QOS != 0 {
        DecodeError::WillQosWithoutWill
    } else if flags & WILL == 0 && flags & WILL_RETAIN != 0 {
        DecodeError::WillRetainWithoutWill
    } else if !version.has_properties() && flags & PASSWORD != 0 && flags & USER_NAME == 0 {
        DecodeError::PasswordWithoutUserName
    } else {
        return Ok(());
    };
    Err(nom::Err::Failure(error))
}

fn optional<'a, T>(
    there: bool,
    input: &'a [u8],
    parse: impl FnOnce(&'a [u8]) -> Parsed<'a, T>,
) -> Parsed<'a, Option<T>> {
    if there {
        parse(input).map(|(rest, value)| (rest, Some(value)))
    } else {
        Ok((input, None))
    }
}

impl<B: AsRef<[u8]>> Connect<B> {
    pub(crate) fn remaining_len(&self) -> Result<usize, EncodeError> {
        let v5 = self.version.has_properties();
        if !v5 && self.password.is_some() && self.user_name.is_none() {
            return Err(EncodeError::PasswordWithoutUserName);
        }
        let mut len =
            2 + self.version.protocol_name().len() + 4 + binary_len(self.client_id.as_bytes())?;
        if v5 {
            self.properties.check_owner(PropertyOwner::Connect)?;
            len += self.properties.encoded_len();
        }
        if let Some(will) = &self.will {
            len += will.encoded_len(self.version)?;
        }
        if let Some(user_name) = &self.user_name {
            len += binary_len(user_name.as_bytes())?;
        }
        if let Some(password) = &self.password {
            len += binary_len(password.as_ref())?;
        }
        Ok(len)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_header(PacketType::Connect.first_byte(), self.remaining_len()?, out)?;
        put_binary(self.version.protocol_name().as_bytes(), out);
        let bridge = self.bridge && !self.version.has_properties();
        out.push(self.version.level() | if bridge { BRIDGE } else { 0 });
        out.push(self.flags());
        out.extend_from_slice(&self.keep_alive.to_be_bytes());
        if self.version.has_properties() {
            self.properties.put(out);
        }
        put_binary(self.client_id.as_bytes(), out);
        if let Some(will) = &self.will {
            will.put(self.version, out);
        }
        if let Some(user_name) = &self.user_name {
            put_binary(user_name.as_bytes(), out);
        }
        if let Some(password) = &self.password {
            put_binary(password.as_ref(), out);
        }
        Ok(())
    }

    fn flags(&self) -> u8 {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let will = self.will.as_ref().map_or(0, |will| {
            WILL | ((will.qos as u8) << WILL_QOS_SHIFT) | flag(will.retain, WILL_RETAIN)
        });
        will | flag(self.clean_start, CLEAN_START)
            | flag(self.user_name.is_some(), USER_NAME)
            | flag(self.password.is_some(), PASSWORD)
    }

    pub(crate) fn map<C: AsRef<[u8]>>(self, f: &mut impl FnMut(B) -> C) -> Connect<C> {
        Connect {
            version: self.version,
            bridge: self.bridge,
            clean_start: self.clean_start,
            keep_alive: self.keep_alive,
            properties: self.properties.map(f),
            client_id: self.client_id.map(f),
            will: self.will.map(|will| will.map(f)),
            user_name: self.user_name.map(|user_name| user_name.map(f)),
            password: self.password.map(f),
        }
    }
}

impl<B: AsRef<[u8]>> Will<B> {
    fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        let mut len = binary_len(self.topic.as_bytes())? + binary_len(self.payload.as_ref())?;
        if version.has_properties() {
            self.properties.check_owner(PropertyOwner::Will)?;
            len += self.properties.encoded_len();
        }
        Ok(len)
    }

    fn put(&self, version: Version, out: &mut Vec<u8>) {
        if version.has_properties() {
            self.properties.put(out);
        }
        put_binary(self.topic.as_bytes(), out);
        put_binary(self.payload.as_ref(), out);
    }

    fn map<C: AsRef<[u8]>>(self, f: &mut impl FnMut(B) -> C) -> Will<C> {
        Will {
            qos: self.qos,
            retain: self.retain,
            properties: self.properties.map(f),
            topic: self.topic.map(f),
            payload: f(self.payload),
        }
    }
}
