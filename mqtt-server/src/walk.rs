//! The way through all that is in a store, a page at a time.

use std::sync::Arc;

use mqtt_broker_core::store::{Delivery, SessionStore, StoreError, StoredSession};
use mqtt_broker_core::{ClientId, Message};

/// Sessions, deliveries or retained messages that are in memory at a time.
const PAGE: usize = 64;

/// Whoever wants to see all that is in a store.
pub(crate) trait Visitor {
    /// What may go wrong on the way.
    type Error: From<StoreError>;

    /// A session. Its deliveries come next.
    fn session(&mut self, client: &ClientId, session: StoredSession) -> Result<(), Self::Error>;

    /// A delivery of the last session.
    fn delivery(
        &mut self,
        client: &ClientId,
        seq: u64,
        delivery: Delivery,
    ) -> Result<(), Self::Error>;

    /// A retained message.
    fn retained(&mut self, message: Arc<Message>) -> Result<(), Self::Error>;
}

/// Shows a visitor all sessions, with their deliveries, and all retained messages. Nothing may
/// change the store meanwhile.
///
/// # Errors
/// The visitor's, or the store's as such.
pub(crate) async fn walk<V: Visitor>(
    store: &dyn SessionStore,
    visitor: &mut V,
) -> Result<(), V::Error> {
    let mut after: Option<ClientId> = None;
    loop {
        let page = store.sessions(after.as_ref(), PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (client, session) in page {
            visitor.session(&client, session)?;
            deliveries(store, &client, visitor).await?;
        }
    }
    let mut after = None;
    loop {
        let page = store.retained(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.topic());
        for message in page {
            visitor.retained(message)?;
        }
    }
}

async fn deliveries<V: Visitor>(
    store: &dyn SessionStore,
    client: &ClientId,
    visitor: &mut V,
) -> Result<(), V::Error> {
    let mut after = None;
    loop {
        let page = store.deliveries(client, after, PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after = Some(*last);
        for (seq, delivery) in page {
            visitor.delivery(client, seq, delivery)?;
        }
    }
}
