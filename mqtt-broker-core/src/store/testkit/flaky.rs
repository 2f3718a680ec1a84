//! A store that fails on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use mqtt_codec::TopicName;

use crate::store::{Batch, Delivery, Expiring, SessionStore, StoreError, StoredSession};
use crate::{ClientId, Message};

/// A store whose commits fail from some number on, for tests of what is built on a store.
///
/// The first that fails answers [`StoreError::Failed`] and applies nothing, all later ones answer
/// [`StoreError::Poisoned`], as the trait demands. Reading goes on.
pub struct FlakyStore {
    inner: Arc<dyn SessionStore>,
    /// Commits that succeed from now on.
    left: AtomicU64,
}

/// No failure is planned.
const SOUND: u64 = u64::MAX;
/// One has failed.
const POISONED: u64 = u64::MAX - 1;

impl FlakyStore {
    /// A store that does what `inner` does, until [`FlakyStore::fail_after`] is called.
    #[must_use]
    pub fn new(inner: Arc<dyn SessionStore>) -> Self {
        Self {
            inner,
            left: AtomicU64::new(SOUND),
        }
    }

    /// Lets `commits` more commits succeed and the next one fail.
    pub fn fail_after(&self, commits: u32) {
        self.left.store(commits.into(), Ordering::Relaxed);
    }
}

#[async_trait]
impl SessionStore for FlakyStore {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let next = |left| match left {
            SOUND => SOUND,
            POISONED | 0 => POISONED,
            left => left - 1,
        };
        let left = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(next(left))
            });
        match left.unwrap_or_else(|left| left) {
            0 => Err(StoreError::failed("it was told to fail")),
            POISONED => Err(StoreError::Poisoned),
            _ => self.inner.commit(batch).await,
        }
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
