#![doc = include_str!("../README.md")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mqtt_broker_core::store::{
    Batch, Delivery, Expiring, Model, SessionStore, StoreError, StoredSession,
};
use mqtt_broker_core::{ClientId, Message};
use mqtt_codec::TopicName;

/// Keeps everything in memory. A clone is the same store: one that is handed to the next broker
/// carries the sessions over.
///
/// No call ever waits or fails.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<Model>>,
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Model> {
        // Applying a change does not panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let mut state = self.lock();
        for change in batch.changes {
            state.apply(change);
        }
        Ok(())
    }

    async fn sessions(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientId, StoredSession)>, StoreError> {
        Ok(self.lock().sessions(after, limit))
    }

    async fn deliveries(
        &self,
        client: &ClientId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Delivery)>, StoreError> {
        Ok(self.lock().deliveries(client, after, limit))
    }

    async fn expiring(
        &self,
        after: Option<&Expiring>,
        limit: usize,
    ) -> Result<Vec<Expiring>, StoreError> {
        Ok(self.lock().expiring(after, limit))
    }

    async fn retained(
        &self,
        after: Option<&TopicName>,
        limit: usize,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        Ok(self.lock().retained(after, limit))
    }
}
