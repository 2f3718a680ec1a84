//! What the session tells: the news for handles, and what it wants of the transport.

use std::sync::Arc;

use bytes::Bytes;
use mqtt_codec::{Properties, QoS, ReasonCode, TopicName, Version};

use super::{DeliveryId, PublishId, SubscriptionId};
use crate::{ConnectionError, Ended, Error, Instant, Message};

/// What has happened, in the order in which it did.
#[derive(Clone, Debug)]
pub enum Event {
    /// A connection is made.
    Connected(Arc<Connected>),
    /// The server had no session to go on with: what was subscribed to is subscribed to again, and
    /// what was not delivered is published again. Comes behind `Connected`.
    SessionLost,
    /// The connection, or the attempt to make one, has failed. The next attempt is at this moment.
    Disconnected {
        /// Why.
        error: ConnectionError,
        /// How many attempts have failed since the last connection that lasted.
        attempt: u32,
        /// When the next one is made.
        next: Instant,
    },
    /// The client has ended. The last event.
    Ended(Ended),
    /// What became of an accepted message. Exactly one for each.
    Published {
        /// The message.
        id: PublishId,
        /// The server's answer, or why there is none.
        result: Result<PublishAck, Error>,
    },
    /// The changes up to this message are in the outbox. Only with an outbox, and only for QoS 1 and 2.
    Stored {
        /// The message.
        id: PublishId,
    },
    /// Some room has become free in the queue of messages.
    Room,
    /// The server's answer to a subscription; comes once for each [`subscribe`](super::Session::subscribe).
    Subscribed {
        /// The subscription.
        id: SubscriptionId,
        /// For each filter, in order, the QoS granted or why it was refused.
        result: Result<Vec<Result<QoS, ReasonCode>>, Error>,
    },
    /// The server's answer to an unsubscription.
    Unsubscribed {
        /// The subscription.
        id: SubscriptionId,
        /// For each filter that was unsubscribed from.
        result: Result<(), Error>,
    },
    /// A message for a subscription.
    Message {
        /// The subscription; several may get the same message.
        subscription: SubscriptionId,
        /// What to call [`acknowledge`](super::Session::acknowledge) with; `None` at QoS 0.
        delivery: Option<DeliveryId>,
        /// The message.
        message: Message,
    },
    /// A QoS 1 or 2 message has come that no subscription wants. In this session, which was made before us or has
    /// outlived a reader, it is held, un-acknowledged, until somebody subscribes to it; so are others, up to our
    /// Receive Maximum, and then no more come. Told once for each connection.
    Unclaimed {
        /// The topic of the message.
        topic: TopicName,
    },
    /// A step of the authentication that the driver has to take, and to answer with
    /// [`handle_authentication`](super::Session::handle_authentication).
    Authentication(AuthenticationStep),
    /// The answer to [`reauthenticate`](super::Session::reauthenticate).
    Reauthenticated(Result<(), Error>),
}

/// What the authenticator is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthenticationStep {
    /// The server's challenge.
    Challenge(Bytes),
    /// The server is content; its last data, which may prove who it is.
    Finish(Option<Bytes>),
}

/// What was agreed on when the connection was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// The version spoken.
    pub version: Version,
    /// True if the server went on with the session that it had.
    pub session_present: bool,
    /// The client identifier: ours, or the one that the server has assigned.
    pub client_id: Arc<str>,
    /// Seconds between packets, at the most; 0: no limit.
    pub keep_alive: u16,
    /// Seconds that the session outlives the connection.
    pub session_expiry: u32,
    /// How many QoS 1 and 2 messages the server takes at once.
    pub receive_maximum: u16,
    /// The largest packet in bytes that the server takes.
    pub packet_bytes_max: usize,
    /// The largest topic alias that the server takes.
    pub topic_alias_maximum: u16,
    /// The highest QoS that the server supports.
    pub maximum_qos: QoS,
    /// Whether the server has retained messages.
    pub retain_available: Availability,
    /// Whether the server has wildcard subscriptions.
    pub wildcard_available: Availability,
    /// Whether the server has subscription identifiers.
    pub identifiers_available: Availability,
    /// Whether the server has shared subscriptions.
    pub shared_available: Availability,
    /// The base of response topics, if the server has sent one.
    pub response_information: Option<Arc<str>>,
    /// All properties of the CONNACK.
    pub properties: Properties,
}

/// Whether a server has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Availability {
    Available,
    Unavailable,
}

/// What the server said to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishAck {
    /// Success, or [`ReasonCode::NoMatchingSubscribers`]; always success at QoS 0 and before 5.0.
    pub reason: ReasonCode,
    /// The properties of the PUBACK, or of the PUBREC.
    pub properties: Properties,
}

/// What the session wants of its transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None now: wait for the deadline, or a call.
    Nothing,
    /// One that is opened anew: to the usual servers, or to the one that the server has named.
    Open(Option<Arc<str>>),
    /// The one that is there.
    Connection,
    /// The one that is there is to be closed, when all that [`write`](super::Session::write) gives is written.
    Close,
    /// None ever again.
    End,
}
