//! Stores that wait until a test lets them go on, or that fail.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mqtt_broker_core::store::{Batch, Delivery, Expiring, SessionStore, StoreError, StoredSession};
use mqtt_broker_core::{ClientId, Message};
use mqtt_codec::TopicName;
use mqtt_store_memory::MemoryStore;
use tokio::sync::Semaphore;

/// Keeps everything in memory, but commits only as often as it is allowed to.
pub(crate) struct GateStore {
    pub(crate) inner: MemoryStore,
    allowed: Semaphore,
    /// How many changes each commit had that was asked for.
    asked: Mutex<Vec<usize>>,
    /// How many pages of deliveries had been read when each of these was asked for.
    read: Mutex<Vec<usize>>,
    reads: AtomicUsize,
}

impl GateStore {
    /// A store that commits nothing yet.
    pub(crate) fn shut() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::default(),
            allowed: Semaphore::new(0),
            asked: Mutex::default(),
            read: Mutex::default(),
            reads: AtomicUsize::new(0),
        })
    }

    /// Allows so many more commits.
    pub(crate) fn allow(&self, commits: usize) {
        self.allowed.add_permits(commits);
    }

    /// Takes back what is allowed and was not used.
    pub(crate) fn shut_again(&self) {
        self.allowed.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Allows all commits from now on.
    pub(crate) fn open(&self) {
        self.allowed.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Lets all commits from now on fail, those that wait included.
    pub(crate) fn break_down(&self) {
        self.allowed.close();
    }

    /// How many pages of deliveries have been read before each of these commits, since the last call.
    pub(crate) fn reads_before(&self) -> Vec<usize> {
        std::mem::take(&mut *self.read.lock().unwrap())
    }

    /// How many changes each commit had that was asked for since the last call.
    pub(crate) fn asked(&self) -> Vec<usize> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

#[async_trait]
impl SessionStore for GateStore {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.asked.lock().unwrap().push(batch.changes.len());
        let reads = self.reads.load(Ordering::Relaxed);
        self.read.lock().unwrap().push(reads);
        match self.allowed.acquire().await {
            Ok(permit) => permit.forget(),
            Err(_) => return Err(StoreError::failed("it was told to fail")),
        }
        self.inner.commit(batch).await
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
        self.reads.fetch_add(1, Ordering::Relaxed);
        // A disk takes its time, and others have theirs.
        tokio::task::yield_now().await;
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
