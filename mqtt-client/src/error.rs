//! What can go wrong: with one call, with one connection, with the client for good.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use mqtt_codec::{DecodeError, EncodeError, ReasonCode};

use crate::AuthenticationError;
use crate::outbox::OutboxError;

/// Why a call did not do what it was to do. Cheap to clone.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The first connection could not be made.
    #[error("cannot connect: {0}")]
    Connect(ConnectionError),
    /// The client has ended, and why.
    #[error("the client has ended: {0}")]
    Ended(Ended),
    /// The server has refused this message, subscription or request, and why.
    #[error("the server refused it: {0}")]
    Refused(Refusal),
    /// There is no connection, and a QoS 0 message is not kept for the next one.
    #[error("there is no connection to the server")]
    Offline,
    /// The queue of messages has no room.
    #[error("the queue of messages to send is full")]
    QueueFull,
    /// Its lifetime was over before it could be sent.
    #[error("the message expired before it was sent")]
    Expired,
    /// A QoS 2 message was on its way when the server lost the session: it arrived, or it did not, and
    /// nobody knows. To send it again might deliver it twice.
    #[error("the server lost the session: whether the message was delivered is unknown")]
    DeliveryUnknown,
    /// The connection broke each time the message was sent.
    #[error("the connection broke each time the message was sent")]
    Poison,
    /// It was removed from the queue to make room for another.
    #[error("the message gave way to a later one in a full queue")]
    Displaced,
    /// This server does not take it: what it lacks.
    #[error("the server does not support {0}")]
    Unsupported(&'static str),
    /// It is larger than the server takes.
    #[error("the packet has {bytes} bytes, the server takes {bytes_max}")]
    TooLarge {
        /// Bytes of the packet.
        bytes: usize,
        /// What the server has said to take.
        bytes_max: usize,
    },
    /// An argument is not what MQTT allows, such as a topic name with a wildcard.
    #[error("{0}")]
    Invalid(DecodeError),
    /// An argument cannot be put into a packet.
    #[error("{0}")]
    Encode(EncodeError),
    /// The address, the options or a file named in them are wrong.
    #[error("{0}")]
    Options(Arc<str>),
    /// No response came in time.
    #[error("no response came in time")]
    Timeout,
    /// A request that nobody is subscribed to.
    #[error("nobody is subscribed to the topic of the request")]
    NoResponder,
    /// A request that does not say where it wants a response.
    #[error("the request names no topic for a response")]
    NoResponseTopic,
}

impl Error {
    pub(crate) fn options(what: impl fmt::Display) -> Self {
        Self::Options(what.to_string().into())
    }

    pub(crate) const fn refused(reason: ReasonCode) -> Self {
        Self::Refused(Refusal {
            reason,
            text: None,
            server_reference: None,
        })
    }
}

/// Why there is no connection, or not any longer. Cheap to clone.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The transport could not be opened.
    #[error("{0}")]
    Open(Arc<dyn StdError + Send + Sync>),
    /// The transport failed.
    #[error("the connection broke: {0}")]
    Broken(Arc<std::io::Error>),
    /// The server closed the connection without a reason.
    #[error("the server closed the connection")]
    ClosedByServer,
    /// The server did not answer the CONNECT in time.
    #[error("the server did not answer the CONNECT in time")]
    ConnectTimeout,
    /// Nothing came from the server for too long.
    #[error("the server was silent for longer than the keep alive")]
    KeepAliveTimeout,
    /// The server refused the CONNECT.
    #[error("the server refused the connection: {0}")]
    Refused(Refusal),
    /// The server sent a DISCONNECT.
    #[error("the server disconnected: {0}")]
    Disconnected(Refusal),
    /// The server sent bytes that are no packet.
    #[error("the server sent a malformed packet: {0}")]
    Malformed(DecodeError),
    /// The server broke the protocol.
    #[error("the server broke the protocol: {0}")]
    Violation(Violation),
    /// Authentication failed, on our side.
    #[error("{0}")]
    Authentication(AuthenticationError),
    /// The CONNECT cannot be encoded, for example a password without a user name before 5.0.
    #[error("cannot make a CONNECT: {0}")]
    Encode(EncodeError),
    /// The credentials could not be obtained.
    #[error("no credentials: {0}")]
    Credentials(Arc<dyn StdError + Send + Sync>),
}

/// What a server says when it refuses something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason code. For 3.1.1, the one that says the same as its return code.
    pub reason: ReasonCode,
    /// A text for people (5.0), if the server sent one.
    pub text: Option<Arc<str>>,
    /// Another server to use (5.0), if the server named one.
    pub server_reference: Option<Arc<str>>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.reason.text(), self.reason as u8)?;
        match &self.text {
            Some(text) => write!(f, ": {text}"),
            None => Ok(()),
        }
    }
}

/// What a server does that the protocol forbids, beyond one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A packet that a server does not send, or not at this point.
    UnexpectedPacket,
    /// More messages at once than our Receive Maximum.
    ReceiveMaximumExceeded,
    /// A topic alias above our maximum.
    TopicAliasInvalid,
    /// No topic, and a topic alias that stands for none.
    TopicAliasUnknown,
    /// Session Present although a new session was asked for.
    SessionPresent,
    /// An acknowledgement of nothing, or of the wrong kind.
    UnexpectedAcknowledgement,
    /// A SUBACK or UNSUBACK with more or fewer reason codes than there were topic filters.
    ReasonCodeCount,
    /// No client identifier was sent, and the server assigned none.
    NoClientIdentifier,
    /// Another authentication method than the one of the CONNECT.
    AuthenticationMethod,
    /// A QoS above what was asked for, or another fault of a packet's content.
    Content,
}

impl Violation {
    /// The reason code of the DISCONNECT that tells the server.
    #[must_use]
    pub const fn reason_code(self) -> ReasonCode {
        match self {
            // [MQTT-3.3.4-9]
            Self::ReceiveMaximumExceeded => ReasonCode::ReceiveMaximumExceeded,
            // [MQTT-3.3.2-10]
            Self::TopicAliasInvalid => ReasonCode::TopicAliasInvalid,
            Self::UnexpectedPacket
            | Self::SessionPresent
            | Self::UnexpectedAcknowledgement
            | Self::ReasonCodeCount
            | Self::NoClientIdentifier
            | Self::AuthenticationMethod
            | Self::TopicAliasUnknown
            | Self::Content => ReasonCode::ProtocolError,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnexpectedPacket => "a packet that must not come now",
            Self::ReceiveMaximumExceeded => "more messages than our Receive Maximum",
            Self::TopicAliasInvalid => "a topic alias above our maximum",
            Self::TopicAliasUnknown => "a topic alias that stands for nothing",
            Self::SessionPresent => "Session Present, though a new session was asked for",
            Self::UnexpectedAcknowledgement => "an acknowledgement of nothing that was sent",
            Self::ReasonCodeCount => "another number of reason codes than of topic filters",
            Self::NoClientIdentifier => "no client identifier was assigned",
            Self::AuthenticationMethod => "another authentication method",
            Self::Content => "a packet with content that must not be there",
        })
    }
}

/// Why the client has ended for good. Cheap to clone.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// It was disconnected by its user, or the last handle was dropped.
    #[error("it was disconnected")]
    Disconnected,
    /// The connection ended in a way that trying again would not help.
    #[error("{0}")]
    Connection(ConnectionError),
    /// The outbox failed: nothing more may be promised.
    #[error("the outbox failed: {0}")]
    Outbox(OutboxError),
}
