//! What changes in a store, and what it hands back.

use std::num::NonZeroU32;
use std::sync::Arc;

use mqtt_codec::{PacketId, QoS, SubscriptionOptions, TopicFilter, TopicName};

use crate::{ClientId, Instant, Message};

/// Changes that are applied together or not at all.
///
/// A batch has a [byte form](Batch::to_bytes): it is also what a log of all changes consists of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Which part of the broker's sessions it is about, counted from 0. A broker has one such part,
    /// unless it is spread over several.
    pub shard: u16,
    /// Which owner of the shard wrote it. It rises when the shard changes hands, so that a store
    /// that several brokers share can refuse what a deposed owner still writes. 0 without others.
    pub epoch: u64,
    /// The changes, in the order in which they are to be applied.
    pub changes: Vec<Change>,
}

impl From<Vec<Change>> for Batch {
    fn from(changes: Vec<Change>) -> Self {
        Self {
            changes,
            ..Self::default()
        }
    }
}

/// One change of the state that outlives a connection.
///
/// A change of a session that is not `PutSession` names one that is there, and `DeleteSession` takes
/// everything of the session with it. A delivery and a received packet identifier are put once, a
/// delivery is released once, and what is released or deleted is there.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    missing_docs,
    reason = "the fields are what the variants put or delete"
)]
pub enum Change {
    /// A session is new, or its record has changed.
    PutSession {
        client: ClientId,
        record: SessionRecord,
    },
    /// A session has ended.
    DeleteSession { client: ClientId },
    /// A subscription is new, or has been replaced.
    PutSubscription {
        client: ClientId,
        filter: TopicFilter,
        subscription: SubscriptionRecord,
    },
    /// A subscription has ended.
    DeleteSubscription {
        client: ClientId,
        filter: TopicFilter,
    },
    /// A message waits for the session under the next sequence number.
    PutDelivery {
        client: ClientId,
        seq: u64,
        delivery: Delivery,
    },
    /// PUBREC has come: the message of this delivery is never sent again, only its PUBREL.
    ReleaseDelivery { client: ClientId, seq: u64 },
    /// The delivery is complete.
    DeleteDelivery { client: ClientId, seq: u64 },
    /// A QoS 2 message with this packet identifier was taken from the client.
    PutReceived {
        client: ClientId,
        packet_id: PacketId,
    },
    /// The client has released the packet identifier.
    DeleteReceived {
        client: ClientId,
        packet_id: PacketId,
    },
    /// The retained message of its topic.
    PutRetained { message: Arc<Message> },
    /// The topic has no retained message any more.
    DeleteRetained { topic: TopicName },
}

impl Change {
    /// The message that is put: nothing else of a change is large.
    pub(crate) fn message(&self) -> Option<&Arc<Message>> {
        match self {
            Self::PutDelivery { delivery, .. } => Some(&delivery.message),
            Self::PutRetained { message } => Some(message),
            Self::PutSession { record, .. } => record.will.as_ref().map(|will| &will.message),
            Self::DeleteSession { .. }
            | Self::PutSubscription { .. }
            | Self::DeleteSubscription { .. }
            | Self::ReleaseDelivery { .. }
            | Self::DeleteDelivery { .. }
            | Self::PutReceived { .. }
            | Self::DeleteReceived { .. }
            | Self::DeleteRetained { .. } => None,
        }
    }
}

/// What is kept of a session itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionRecord {
    /// Seconds that the session outlives its connection; `u32::MAX`: for ever.
    pub expiry_interval: u32,
    /// When the connection was lost; `None` while there is one.
    pub disconnected: Option<Instant>,
    /// Deliveries below this sequence number have been sent at least once. Exact where
    /// `disconnected` is set.
    pub sent_before: u64,
    /// The will that is yet to be published.
    pub will: Option<WillRecord>,
    /// Who the session belongs to, if the authority has said so.
    pub identity: Option<Arc<str>>,
}

/// A will that is yet to be published.
#[derive(Clone, Debug, PartialEq)]
pub struct WillRecord {
    /// What is published.
    pub message: Arc<Message>,
    /// Seconds between the loss of the connection and its publication.
    pub delay_interval: u32,
    /// Seconds of its lifetime, counted from its publication.
    pub message_expiry_interval: Option<u32>,
}

/// How messages are sent for a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionRecord {
    /// The options it was made with.
    pub options: SubscriptionOptions,
    /// Its subscription identifier.
    pub identifier: Option<NonZeroU32>,
}

/// A QoS 1 or QoS 2 message on its way to a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The message. One `Arc` serves all deliveries of a message within a batch: a store may keep
    /// it once.
    pub message: Arc<Message>,
    /// The QoS it is delivered with: 1 or 2.
    pub qos: QoS,
    /// The retain flag it is delivered with.
    pub retain: bool,
    /// The subscription identifiers it is delivered with.
    pub subscription_identifiers: Box<[u32]>,
    /// True once PUBREC has come.
    pub released: bool,
}

/// When the lifetime of a delivery's message ends. The order is that of the moments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiring {
    /// When it ends.
    pub at: Instant,
    /// The session that the delivery is for.
    pub client: ClientId,
    /// Its sequence number.
    pub seq: u64,
}

/// A session as a store hands it back. Its deliveries are read apart, a page at a time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredSession {
    /// The session itself.
    pub record: SessionRecord,
    /// Its subscriptions, in the order of their filters' bytes.
    pub subscriptions: Vec<(TopicFilter, SubscriptionRecord)>,
    /// Packet identifiers of QoS 2 messages taken and not yet released, rising.
    pub received: Vec<PacketId>,
    /// The lowest and the highest sequence number of its deliveries, if it has any.
    pub deliveries: Option<std::ops::RangeInclusive<u64>>,
}
