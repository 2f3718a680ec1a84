//! What a peer can do wrong beyond the bytes of one packet: one table of rule, reason and clause.

use mqtt_codec::{DecodeError, ReasonCode};

macro_rules! violations {
    ($( $name:ident, $reason:ident, $clause:literal, $text:literal; )+) => {
        /// The peer's fault: a rule of the protocol that was broken. The connection is closed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Violation {
            $( #[doc = concat!("Violation: ", $text, ". `[", $clause, "]`")] $name, )+
            /// The bytes are no packet.
            Malformed(DecodeError),
        }

        impl Violation {
            /// The reason code that tells the peer.
            #[must_use]
            pub const fn reason_code(self) -> ReasonCode {
                match self {
                    $( Self::$name => ReasonCode::$reason, )+
                    Self::Malformed(error) => error.reason_code(),
                }
            }
        }

        impl std::fmt::Display for Violation {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $( Self::$name => f.write_str(concat!($text, " [", $clause, "]")), )+
                    Self::Malformed(error) => error.fmt(f),
                }
            }
        }
    };
}

violations! {
    ConnectMissing, ProtocolError, "MQTT-3.1.0-1", "the first packet is not a CONNECT";
    ConnectTwice, ProtocolError, "MQTT-3.1.0-2", "there is a second CONNECT";
    PacketOfServer, ProtocolError, "MQTT-4.13.1-1", "a client must not send this packet";
    PacketBeforeConnAck, ProtocolError, "MQTT-3.1.2-30", "only AUTH and DISCONNECT may be sent during authentication";
    SubscriptionIdentifierSent, ProtocolError, "MQTT-3.3.4-6", "a client must not send a subscription identifier in a PUBLISH";
    TopicAliasTooLarge, TopicAliasInvalid, "MQTT-3.3.2-9", "the topic alias is above the maximum";
    TopicAliasUnknown, ProtocolError, "MQTT-3.3.2-7", "the topic alias has not been set on this connection";
    TopicTooDeep, TopicNameInvalid, "MQTT-4.7.3-3", "the topic has more levels than the server takes";
    ReceiveMaximumExceeded, ReceiveMaximumExceeded, "MQTT-3.3.4-7", "there are more messages under way than the receive maximum";
    SessionExpiryRaised, ProtocolError, "MQTT-3.1.2-23", "a session that ends with its connection cannot be kept at DISCONNECT";
    AuthUnexpected, ProtocolError, "MQTT-4.12.0-7", "AUTH without an authentication method in the CONNECT";
    AuthMethodChanged, ProtocolError, "MQTT-4.12.0-5", "the authentication method is not that of the CONNECT";
    AuthReason, ProtocolError, "MQTT-4.12.0-3", "the reason code of the AUTH does not fit";
}

impl From<DecodeError> for Violation {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}
