//! What a store is, in the fewest lines: the definition, the oracle of the testkit, and all of the
//! memory store but its lock.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use mqtt_codec::{PacketId, TopicFilter, TopicName};

use super::{Change, Delivery, Expiring, SessionRecord, StoredSession, SubscriptionRecord};
use crate::message::ByTopic;
use crate::{ClientId, Message};

/// The state that a sequence of changes adds up to.
#[derive(Clone, Debug, Default)]
pub struct Model {
    sessions: BTreeMap<ClientId, Session>,
    retained: BTreeSet<ByTopic>,
    expiring: BTreeSet<Expiring>,
}

#[derive(Clone, Debug, Default)]
struct Session {
    record: SessionRecord,
    subscriptions: BTreeMap<TopicFilter, SubscriptionRecord>,
    deliveries: BTreeMap<u64, Delivery>,
    received: BTreeSet<PacketId>,
}

impl Model {
    /// Applies one change. A change of a session that is not there does nothing.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::PutSession { client, record } => {
                self.sessions.entry(client).or_default().record = record
            }
            Change::DeleteSession { client } => {
                let session = self.sessions.remove(&client).unwrap_or_default();
                for (seq, delivery) in session.deliveries {
                    self.forget_expiry(&client, seq, &delivery);
                }
            }
            Change::PutRetained { message } => drop(self.retained.replace(ByTopic(message))),
            Change::DeleteRetained { topic } => drop(self.retained.remove(topic.as_bytes())),
            Change::PutSubscription {
                client,
                filter,
                subscription,
            } => self.with(&client, |session| {
                session.subscriptions.insert(filter, subscription);
            }),
            Change::DeleteSubscription { client, filter } => self.with(&client, |session| {
                session.subscriptions.remove(&filter);
            }),
            Change::PutDelivery {
                client,
                seq,
                delivery,
            } => {
                let Some(session) = self.sessions.get_mut(&client) else {
                    return;
                };
                let at = delivery.message.expires;
                session.deliveries.insert(seq, delivery);
                self.expiring
                    .extend(at.map(|at| Expiring { at, client, seq }));
            }
            Change::ReleaseDelivery { client, seq } => self.with(&client, |session| {
                if let Some(delivery) = session.deliveries.get_mut(&seq) {
                    delivery.released = true;
                }
            }),
            Change::DeleteDelivery { client, seq } => {
                let session = self.sessions.get_mut(&client);
                if let Some(delivery) = session.and_then(|session| session.deliveries.remove(&seq))
                {
                    self.forget_expiry(&client, seq, &delivery);
                }
            }
            Change::PutReceived { client, packet_id } => self.with(&client, |session| {
                session.received.insert(packet_id);
            }),
            Change::DeleteReceived { client, packet_id } => self.with(&client, |session| {
                session.received.remove(&packet_id);
            }),
        }
    }

    fn with(&mut self, client: &ClientId, change: impl FnOnce(&mut Session)) {
        if let Some(session) = self.sessions.get_mut(client) {
            change(session);
        }
    }

    fn forget_expiry(&mut self, client: &ClientId, seq: u64, delivery: &Delivery) {
        if let Some(at) = delivery.message.expires {
            let client = client.clone();
            self.expiring.remove(&Expiring { at, client, seq });
        }
    }

    /// As [`SessionStore::sessions`](super::SessionStore::sessions).
    #[must_use]
    pub fn sessions(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Vec<(ClientId, StoredSession)> {
        let page = self
            .sessions
            .range::<ClientId, _>((beyond(after), Bound::Unbounded))
            .take(limit);
        page.map(|(client, session)| (client.clone(), session.stored()))
            .collect()
    }

    /// As [`SessionStore::deliveries`](super::SessionStore::deliveries).
    #[must_use]
    pub fn deliveries(
        &self,
        client: &ClientId,
        after: Option<u64>,
        limit: usize,
    ) -> Vec<(u64, Delivery)> {
        let Some(session) = self.sessions.get(client) else {
            return Vec::new();
        };
        let page = session
            .deliveries
            .range::<u64, _>((beyond(after), Bound::Unbounded))
            .take(limit);
        page.map(|(seq, delivery)| (*seq, delivery.clone()))
            .collect()
    }

    /// As [`SessionStore::expiring`](super::SessionStore::expiring).
    #[must_use]
    pub fn expiring(&self, after: Option<&Expiring>, limit: usize) -> Vec<Expiring> {
        let page = self
            .expiring
            .range::<Expiring, _>((beyond(after), Bound::Unbounded))
            .take(limit);
        page.cloned().collect()
    }

    /// As [`SessionStore::retained`](super::SessionStore::retained).
    #[must_use]
    pub fn retained(&self, after: Option<&TopicName>, limit: usize) -> Vec<Arc<Message>> {
        let page = self
            .retained
            .range::<[u8], _>((
                beyond(after.map(|topic| topic.as_bytes())),
                Bound::Unbounded,
            ))
            .take(limit);
        page.map(|ByTopic(message)| message.clone()).collect()
    }
}

impl Session {
    fn stored(&self) -> StoredSession {
        let ends = self
            .deliveries
            .first_key_value()
            .zip(self.deliveries.last_key_value());
        StoredSession {
            record: self.record.clone(),
            subscriptions: self
                .subscriptions
                .iter()
                .map(|(filter, record)| (filter.clone(), *record))
                .collect(),
            received: self.received.iter().copied().collect(),
            deliveries: ends.map(|(first, last)| *first.0..=*last.0),
        }
    }
}

fn beyond<T>(after: Option<T>) -> Bound<T> {
    after.map_or(Bound::Unbounded, Bound::Excluded)
}
