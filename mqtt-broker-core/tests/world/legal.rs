//! A store that looks whether the engine keeps to what it promises of its changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mqtt_broker_core::store::{
    Batch, Change, Delivery, Expiring, SessionStore, StoreError, StoredSession,
};
use mqtt_broker_core::{ClientId, Message};
use mqtt_codec::{PacketId, TopicFilter, TopicName};

/// Passes everything on, and panics if a change is about something that is not there, or puts for a
/// second time what is put once.
pub(crate) struct LegalStore {
    pub(crate) inner: Arc<dyn SessionStore>,
    seen: Mutex<Seen>,
}

/// What is there.
#[derive(Default)]
struct Seen {
    sessions: BTreeMap<ClientId, Session>,
    retained: BTreeSet<TopicName>,
}

#[derive(Default)]
struct Session {
    subscriptions: BTreeSet<TopicFilter>,
    /// True: released.
    deliveries: BTreeMap<u64, bool>,
    received: BTreeSet<PacketId>,
}

impl LegalStore {
    /// A store that is empty.
    pub(crate) fn new(inner: Arc<dyn SessionStore>) -> Self {
        Self {
            inner,
            seen: Mutex::default(),
        }
    }
}

impl Seen {
    fn apply(&mut self, change: &Change) {
        let legal = match change {
            Change::PutSession { client, .. } => {
                self.sessions.entry(client.clone()).or_default();
                true
            }
            Change::DeleteSession { client } => self.sessions.remove(client).is_some(),
            Change::PutRetained { message } => {
                self.retained.insert(message.topic());
                true
            }
            Change::DeleteRetained { topic } => self.retained.remove(topic),
            Change::PutSubscription { client, .. }
            | Change::DeleteSubscription { client, .. }
            | Change::PutDelivery { client, .. }
            | Change::ReleaseDelivery { client, .. }
            | Change::DeleteDelivery { client, .. }
            | Change::PutReceived { client, .. }
            | Change::DeleteReceived { client, .. } => {
                let session = self.sessions.get_mut(client);
                session.is_some_and(|session| session.apply(change))
            }
        };
        assert!(legal, "{change:?}");
    }
}

impl Session {
    fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::PutSubscription { filter, .. } => {
                self.subscriptions.insert(filter.clone());
                true
            }
            Change::DeleteSubscription { filter, .. } => self.subscriptions.remove(filter),
            Change::PutDelivery { seq, delivery, .. } => {
                !delivery.released && self.deliveries.insert(*seq, false).is_none()
            }
            Change::ReleaseDelivery { seq, .. } => {
                let released = self.deliveries.get_mut(seq);
                released.is_some_and(|released| !std::mem::replace(released, true))
            }
            Change::DeleteDelivery { seq, .. } => self.deliveries.remove(seq).is_some(),
            Change::PutReceived { packet_id, .. } => self.received.insert(*packet_id),
            Change::DeleteReceived { packet_id, .. } => self.received.remove(packet_id),
            Change::PutSession { .. }
            | Change::DeleteSession { .. }
            | Change::PutRetained { .. }
            | Change::DeleteRetained { .. } => unreachable!("these are no changes of a session"),
        }
    }
}

#[async_trait]
impl SessionStore for LegalStore {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.inner.commit(batch.clone()).await?;
        let mut seen = self.seen.lock().unwrap();
        for change in &batch.changes {
            seen.apply(change);
        }
        Ok(())
    }

    async fn sessions(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientId, StoredSession)>, StoreError> {
        self.inner.sessions(after, limit).await
    }

    async fn deliveries(
        &self,
        client: &ClientId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Delivery)>, StoreError> {
        self.inner.deliveries(client, after, limit).await
    }

    async fn expiring(
        &self,
        after: Option<&Expiring>,
        limit: usize,
    ) -> Result<Vec<Expiring>, StoreError> {
        self.inner.expiring(after, limit).await
    }

    async fn retained(
        &self,
        after: Option<&TopicName>,
        limit: usize,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        self.inner.retained(after, limit).await
    }
}
