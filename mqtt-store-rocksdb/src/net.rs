//! What several batches come to when they are applied together.
//!
//! A message that is acknowledged before its commit begins needs no place on the disk, a record that
//! changes ten times is written once. So a busy store writes less for each message than an idle one.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use mqtt_broker_core::store::{Batch, Change, Delivery, SessionRecord, SubscriptionRecord};
use mqtt_broker_core::{ClientId, Message};
use mqtt_codec::{PacketId, TopicFilter, TopicName};

/// The sum of some batches.
#[derive(Default)]
pub(crate) struct Net {
    pub(crate) sessions: HashMap<ClientId, NetSession, RandomState>,
    /// `None`: the topic has no retained message any more.
    pub(crate) retained: HashMap<TopicName, Option<Arc<Message>>, RandomState>,
}

/// What changes of one session.
#[derive(Default)]
pub(crate) struct NetSession {
    /// True if the session that was there before has ended, with all that was its own.
    pub(crate) ended: bool,
    pub(crate) record: Option<SessionRecord>,
    /// `None`: the subscription has ended.
    pub(crate) subscriptions: BTreeMap<TopicFilter, Option<SubscriptionRecord>>,
    pub(crate) deliveries: BTreeMap<u64, NetDelivery>,
    pub(crate) received: BTreeMap<PacketId, NetReceived>,
}

/// What becomes of a delivery.
pub(crate) enum NetDelivery {
    /// It is new.
    Put(Delivery),
    /// It was there, and is released now.
    Release,
    /// It was there, and is complete now.
    Delete,
}

/// What becomes of a received packet identifier.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetReceived {
    Put,
    Delete,
}

impl Net {
    /// True if all it does is to remove deliveries: that need not be durable at once.
    pub(crate) fn only_removes(&self) -> bool {
        self.retained.is_empty() && self.sessions.values().all(NetSession::only_removes)
    }

    pub(crate) fn add(&mut self, batch: Batch) {
        for change in batch.changes {
            self.apply(change);
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::PutSession { client, record } => {
                self.sessions.entry(client).or_default().record = Some(record);
            }
            Change::DeleteSession { client } => {
                let ended = NetSession {
                    ended: true,
                    ..NetSession::default()
                };
                self.sessions.insert(client, ended);
            }
            Change::PutRetained { message } => {
                self.retained.insert(message.topic(), Some(message));
            }
            Change::DeleteRetained { topic } => {
                self.retained.insert(topic, None);
            }
            Change::PutSubscription {
                client,
                filter,
                subscription,
            } => self.with(client, |session| {
                session.subscriptions.insert(filter, Some(subscription));
            }),
            Change::DeleteSubscription { client, filter } => self.with(client, |session| {
                session.subscriptions.insert(filter, None);
            }),
            Change::PutDelivery {
                client,
                seq,
                delivery,
            } => self.with(client, |session| {
                session.deliveries.insert(seq, NetDelivery::Put(delivery));
            }),
            Change::ReleaseDelivery { client, seq } => {
                self.with(client, |session| match session.deliveries.get_mut(&seq) {
                    Some(NetDelivery::Put(delivery)) => delivery.released = true,
                    Some(NetDelivery::Release | NetDelivery::Delete) => {}
                    None => drop(session.deliveries.insert(seq, NetDelivery::Release)),
                })
            }
            Change::DeleteDelivery { client, seq } => self.with(client, |session| {
                // One that was put meanwhile was never written.
                if !matches!(session.deliveries.remove(&seq), Some(NetDelivery::Put(_))) {
                    session.deliveries.insert(seq, NetDelivery::Delete);
                }
            }),
            Change::PutReceived { client, packet_id } => self.with(client, |session| {
                session.receive(packet_id, NetReceived::Put);
            }),
            Change::DeleteReceived { client, packet_id } => self.with(client, |session| {
                session.receive(packet_id, NetReceived::Delete);
            }),
        }
    }

    fn with(&mut self, client: ClientId, change: impl FnOnce(&mut NetSession)) {
        let session = self.sessions.entry(client).or_default();
        // A change of a session that has ended does nothing.
        if !session.ended || session.record.is_some() {
            change(session);
        }
    }
}

impl NetSession {
    fn only_removes(&self) -> bool {
        let deliveries = self.deliveries.values();
        !self.ended
            && self.record.is_none()
            && self.subscriptions.is_empty()
            && self.received.is_empty()
            && deliveries
                .into_iter()
                .all(|delivery| matches!(delivery, NetDelivery::Delete))
    }

    /// A packet identifier that is put and deleted, or deleted and put, is as it was before.
    fn receive(&mut self, id: PacketId, change: NetReceived) {
        match self.received.remove(&id) {
            Some(before) if before != change => {}
            Some(_) | None => drop(self.received.insert(id, change)),
        }
    }
}
