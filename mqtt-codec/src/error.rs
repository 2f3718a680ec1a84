//! What can be wrong with the bytes of a packet: one table of error, reason code and clause.

use core::fmt;

use nom::error::{ErrorKind, ParseError};

use crate::{ReasonCode, Version};

macro_rules! decode_errors {
    ($( $name:ident, $reason:ident, $v5:expr, $v3:expr, $text:literal; )+) => {
        /// The peer's fault: bytes that are no packet of the version spoken.
        ///
        /// Each has a [reason code](Self::reason_code) to close the connection with and, where the
        /// standard numbers the rule, the [clause](Self::clause) that was broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum DecodeError {
            $( #[doc = concat!("Error: ", $text, ".")] $name, )+
        }

        impl DecodeError {
            /// Every error, for tables and tests.
            pub const ALL: &[Self] = &[$( Self::$name, )+];

            /// The reason code of a DISCONNECT or CONNACK that tells the peer.
            #[must_use]
            pub const fn reason_code(self) -> ReasonCode {
                match self { $( Self::$name => ReasonCode::$reason, )+ }
            }

            /// The numbered statement of the standard that was broken, if there is one.
            #[must_use]
            pub const fn clause(self, version: Version) -> Option<&'static str> {
                let (v5, v3): (Option<&str>, Option<&str>) = match self { $( Self::$name => ($v5, $v3), )+ };
                match version {
                    Version::V5 => v5,
                    Version::V3_1 | Version::V3_1_1 => v3,
                }
            }

            const fn text(self) -> &'static str {
                match self { $( Self::$name => $text, )+ }
            }
        }
    };
}

decode_errors! {
    Truncated, MalformedPacket, None, None, "a field goes on beyond the end of the packet";
    TrailingBytes, MalformedPacket, None, None, "there are bytes after the last field of the packet";
    PacketTooLarge, PacketTooLarge, Some("MQTT-3.2.2-15"), None, "the packet is larger than the receiver takes";
    VariableByteIntegerTooLong, MalformedPacket, None, None, "a variable byte integer is longer than four bytes";
    VariableByteIntegerNotMinimal, MalformedPacket, Some("MQTT-1.5.5-1"), None, "a variable byte integer uses more bytes than it needs";
    PacketType, MalformedPacket, None, None, "the packet type is reserved";
    FixedHeaderFlags, MalformedPacket, Some("MQTT-2.1.3-1"), Some("MQTT-2.2.2-1"), "reserved flags of the fixed header have the wrong value";
    Utf8, MalformedPacket, Some("MQTT-1.5.4-1"), Some("MQTT-1.5.3-1"), "a string is not well-formed UTF-8";
    NullCharacter, MalformedPacket, Some("MQTT-1.5.4-2"), Some("MQTT-1.5.3-2"), "a string contains the character U+0000";
    TextTooLong, MalformedPacket, Some("MQTT-4.7.3-3"), Some("MQTT-4.7.3-3"), "a string is longer than 65,535 bytes";
    TopicEmpty, MalformedPacket, Some("MQTT-4.7.3-1"), Some("MQTT-4.7.3-1"), "a topic name or topic filter is empty";
    TopicNameWildcard, MalformedPacket, Some("MQTT-4.7.0-1"), Some("MQTT-4.7.1-1"), "a topic name contains a wildcard";
    TopicMissing, ProtocolError, Some("MQTT-3.3.2-1"), Some("MQTT-4.7.3-1"), "a PUBLISH has neither a topic name nor a topic alias";
    MultiLevelWildcard, MalformedPacket, Some("MQTT-4.7.1-1"), Some("MQTT-4.7.1-2"), "a # is not the last level of the topic filter, all of it";
    SingleLevelWildcard, MalformedPacket, Some("MQTT-4.7.1-2"), Some("MQTT-4.7.1-3"), "a + is not a whole level of the topic filter";
    ShareNameEmpty, MalformedPacket, Some("MQTT-4.8.2-1"), None, "a shared subscription has no share name";
    ShareName, MalformedPacket, Some("MQTT-4.8.2-2"), None, "a share name contains a wildcard, or no topic filter follows it";
    PacketIdZero, ProtocolError, Some("MQTT-2.2.1-3"), Some("MQTT-2.3.1-1"), "the packet identifier is 0";
    QosThree, MalformedPacket, Some("MQTT-3.3.1-4"), Some("MQTT-3.3.1-4"), "the QoS is 3";
    DupWithQosZero, MalformedPacket, Some("MQTT-3.3.1-2"), Some("MQTT-3.3.1-2"), "DUP is set on a QoS 0 message";
    ProtocolName, UnsupportedProtocolVersion, Some("MQTT-3.1.2-1"), Some("MQTT-3.1.2-1"), "the protocol name is none of MQTT";
    ProtocolLevel, UnsupportedProtocolVersion, Some("MQTT-3.1.2-2"), Some("MQTT-3.1.2-2"), "the protocol version is not 3.1, 3.1.1 or 5.0";
    ConnectReservedFlag, MalformedPacket, Some("MQTT-3.1.2-3"), Some("MQTT-3.1.2-3"), "the reserved connect flag is set";
    WillQosWithoutWill, MalformedPacket, Some("MQTT-3.1.2-11"), Some("MQTT-3.1.2-13"), "there is a will QoS but no will";
    WillRetainWithoutWill, MalformedPacket, Some("MQTT-3.1.2-13"), Some("MQTT-3.1.2-15"), "will retain is set but there is no will";
    WillQosThree, MalformedPacket, Some("MQTT-3.1.2-12"), Some("MQTT-3.1.2-14"), "the will QoS is 3";
    PasswordWithoutUserName, MalformedPacket, None, Some("MQTT-3.1.2-22"), "there is a password but no user name";
    ConnAckFlags, MalformedPacket, Some("MQTT-3.2.2-1"), None, "reserved connect acknowledge flags are set";
    SessionPresentOnFailure, ProtocolError, Some("MQTT-3.2.2-6"), Some("MQTT-3.2.2-4"), "session present is set though the connection is refused";
    SubscribeEmpty, ProtocolError, Some("MQTT-3.8.3-2"), Some("MQTT-3.8.3-3"), "a SUBSCRIBE has no topic filter";
    SubAckEmpty, ProtocolError, Some("MQTT-3.8.4-6"), Some("MQTT-3.8.4-5"), "a SUBACK has no reason code";
    UnsubscribeEmpty, ProtocolError, Some("MQTT-3.10.3-2"), Some("MQTT-3.10.3-2"), "an UNSUBSCRIBE has no topic filter";
    UnsubAckEmpty, ProtocolError, Some("MQTT-3.11.3-2"), None, "an UNSUBACK has no reason code";
    SubscriptionOptions, MalformedPacket, Some("MQTT-3.8.3-5"), Some("MQTT-3.8.3-4"), "reserved bits of the subscription options are set";
    SubscriptionQosThree, ProtocolError, None, Some("MQTT-3.8.3-4"), "the QoS of a subscription is 3";
    RetainHandling, ProtocolError, None, None, "the retain handling is 3";
    NoLocalShared, ProtocolError, Some("MQTT-3.8.3-4"), None, "no local is set on a shared subscription";
    PropertyUnknown, MalformedPacket, None, None, "a property identifier is unknown";
    PropertyNotAllowed, MalformedPacket, None, None, "a property is not one of this packet";
    PropertyTwice, ProtocolError, None, None, "a property that may be there once is there twice";
    PropertyValue, ProtocolError, None, None, "a property has a value that it must not have";
    TopicAliasZero, TopicAliasInvalid, Some("MQTT-3.3.2-8"), None, "the topic alias is 0";
    ResponseTopic, ProtocolError, Some("MQTT-3.3.2-14"), None, "the response topic contains a wildcard";
    AuthenticationDataAlone, ProtocolError, None, None, "there is authentication data but no authentication method";
    AuthenticationMethodMissing, ProtocolError, Some("MQTT-4.12.0-5"), None, "an AUTH has no authentication method";
    ConnAckReason, MalformedPacket, Some("MQTT-3.2.2-8"), Some("MQTT-3.2.2-6"), "the reason code is not one of CONNACK";
    PubAckReason, MalformedPacket, Some("MQTT-3.4.2-1"), None, "the reason code is not one of PUBACK";
    PubRecReason, MalformedPacket, Some("MQTT-3.5.2-1"), None, "the reason code is not one of PUBREC";
    PubRelReason, MalformedPacket, Some("MQTT-3.6.2-1"), None, "the reason code is not one of PUBREL";
    PubCompReason, MalformedPacket, Some("MQTT-3.7.2-1"), None, "the reason code is not one of PUBCOMP";
    SubAckReason, MalformedPacket, Some("MQTT-3.9.3-2"), Some("MQTT-3.9.3-2"), "a reason code is not one of SUBACK";
    UnsubAckReason, MalformedPacket, Some("MQTT-3.11.3-2"), None, "a reason code is not one of UNSUBACK";
    DisconnectReason, MalformedPacket, Some("MQTT-3.14.2-1"), None, "the reason code is not one of DISCONNECT";
    AuthReason, MalformedPacket, Some("MQTT-3.15.2-1"), None, "the reason code is not one of AUTH";
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())?;
        match self.clause(Version::V5) {
            Some(clause) => write!(f, " [{clause}]"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for DecodeError {}

/// nom reports only one thing on its own: that the input ended too early.
impl ParseError<&[u8]> for DecodeError {
    fn from_error_kind(_: &[u8], _: ErrorKind) -> Self {
        Self::Truncated
    }

    fn append(_: &[u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// Our own fault: a packet that cannot be put into bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EncodeError {
    /// A string or binary field is longer than 65,535 bytes.
    FieldTooLong,
    /// The remaining length would be over 268,435,455 bytes.
    PacketTooLong,
    /// A property is not one of this packet, is there twice, or has a value that it must not have.
    PropertyNotAllowed,
    /// The reason code is not one of this packet.
    ReasonCode,
    /// The version spoken has no such packet.
    NotInThisVersion,
    /// A PUBLISH has neither a topic name nor, in MQTT 5.0, a topic alias.
    TopicMissing,
    /// A packet that must list something lists nothing.
    Empty,
    /// MQTT 3.1 and 3.1.1 have no password without a user name.
    PasswordWithoutUserName,
    /// A string contains the character U+0000.
    NullCharacter,
    /// No local is set on a shared subscription.
    NoLocalShared,
    /// An AUTH has no authentication method.
    AuthenticationMethodMissing,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FieldTooLong => "a field is longer than 65,535 bytes",
            Self::PacketTooLong => "the packet is longer than 268,435,455 bytes",
            Self::PropertyNotAllowed => "a property is not allowed in this packet",
            Self::ReasonCode => "the reason code is not one of this packet",
            Self::NotInThisVersion => "this version of MQTT has no such packet",
            Self::TopicMissing => "a PUBLISH needs a topic name or a topic alias",
            Self::Empty => "the packet lists nothing",
            Self::PasswordWithoutUserName => "a password needs a user name",
            Self::NullCharacter => "a string contains the character U+0000",
            Self::NoLocalShared => "a shared subscription cannot be no local",
            Self::AuthenticationMethodMissing => "an AUTH needs an authentication method",
        })
    }
}

impl core::error::Error for EncodeError {}
