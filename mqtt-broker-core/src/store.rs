//! The durable memory of a broker: a trait that a store implements, and the changes it is given.

mod batch;
mod bytes;
mod change;
mod model;
mod record;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;

use std::sync::Arc;

use async_trait::async_trait;
use mqtt_codec::TopicName;

pub use self::change::{
    Batch, Change, Delivery, Expiring, SessionRecord, StoredSession, SubscriptionRecord, WillRecord,
};
pub use self::model::Model;
pub use self::record::{Record, RecordError};
use crate::{ClientId, Message};

/// Keeps sessions, subscriptions, deliveries and retained messages.
///
/// A store is a fold over batches: after any sequence of commits it cannot be told from a
/// [`Model`] that was fed the same changes. Expiry, routing and packet rules are the engine's
/// business. `mqtt_broker_core::store::testkit` checks every sentence here.
///
/// Calls may run at the same time; two commits under way never touch the same session or topic.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Applies all changes of `batch` in their order, or none.
    ///
    /// `Ok` means that they survive a crash, to the level that the store was opened for. Only a
    /// [`Change::DeleteDelivery`] may be undone by a crash that follows soon: the delivery is then
    /// sent once more, which is what deliveries allow for.
    ///
    /// Cancel-safe: dropping the future leaves all of the batch or none of it.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the batch was not applied. Every later commit then answers
    /// [`StoreError::Poisoned`]: what a failed write has left behind is not known.
    async fn commit(&self, batch: Batch) -> Result<(), StoreError>;

    /// Sessions in an order that is the store's own, each once, those after the session `after`,
    /// at most `limit`, and fewer where they are large. An empty page is the end.
    ///
    /// The order stays the same while no session comes or goes. Such a change between two pages may
    /// hide or repeat the sessions that it is about, and no others, unless it ends `after` itself.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn sessions(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientId, StoredSession)>, StoreError>;

    /// Deliveries of one session in the order of their sequence numbers, those after `after`, at
    /// most `limit`, and fewer where they are large. An empty page is the end; a session that is not
    /// there has none.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn deliveries(
        &self,
        client: &ClientId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Delivery)>, StoreError>;

    /// Deliveries whose messages have a lifetime, those that end first in front, at most `limit`
    /// after `after`. The order of those that end together is the store's own. An empty page is the
    /// end.
    ///
    /// Whether a lifetime is over is not the store's business. What comes or goes between two pages
    /// may be missing or be there twice, and nothing else is.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn expiring(
        &self,
        after: Option<&Expiring>,
        limit: usize,
    ) -> Result<Vec<Expiring>, StoreError>;

    /// Retained messages in the order of their topics' bytes, those after `after`, at most `limit`,
    /// and fewer where they are large. An empty page is the end.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn retained(
        &self,
        after: Option<&TopicName>,
        limit: usize,
    ) -> Result<Vec<Arc<Message>>, StoreError>;
}

/// The disk's fault, or whatever stands in for it. Nothing that waits for it is acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Reading or writing failed.
    #[error("the session store failed: {0}")]
    Failed(Arc<dyn std::error::Error + Send + Sync>),
    /// An earlier commit failed, so nothing more is taken.
    #[error("the session store takes nothing more since a commit failed")]
    Poisoned,
}

impl StoreError {
    /// A failure with its cause.
    pub fn failed(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(Arc::from(cause.into()))
    }
}
