//! How much there is in a store.

use std::fmt;
use std::sync::Arc;

use mqtt_broker_core::store::{Delivery, StoreError, StoredSession};
use mqtt_broker_core::{ClientId, Message};
use mqtt_store_rocksdb::RocksStore;
use serde::Serialize;

use crate::walk::{Visitor, walk};

/// What is in a store. The names are those of the JSON form.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Stats {
    sessions: u64,
    /// Those whose connection was not lost when the server ended, as after a crash.
    sessions_connected: u64,
    subscriptions: u64,
    subscriptions_shared: u64,
    /// Packet identifiers of QoS 2 messages that were taken and are not released.
    received: u64,
    deliveries: u64,
    /// Those that wait for PUBCOMP alone.
    deliveries_released: u64,
    /// Topic, properties and payload, once for each session that the message waits for.
    deliveries_bytes: u64,
    /// The session with the most deliveries.
    longest_queue: Option<Queue>,
    /// The session that was seen last.
    #[serde(skip)]
    queue: Option<Queue>,
    retained: u64,
    retained_bytes: u64,
    /// Rows that could not be read, now or earlier.
    set_aside: u64,
    log_bytes: u64,
    tables: Vec<Table>,
}

/// What a table takes up on the disk, by RocksDB's estimates.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Table {
    name: &'static str,
    rows_estimated: u64,
    live_bytes: u64,
    file_bytes: u64,
    blob_bytes: u64,
}

/// How many deliveries wait for a session.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Queue {
    client: String,
    deliveries: u64,
}

impl Stats {
    /// Reads all that is in a store.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub(super) async fn of(store: &RocksStore) -> Result<Self, StoreError> {
        let mut stats = Self::default();
        walk(store, &mut stats).await?;
        stats.end_queue();
        let set_aside = store.set_aside().await?;
        stats.set_aside = set_aside.now + set_aside.earlier;
        let usage = store.usage().await?;
        stats.log_bytes = usage.log_bytes;
        let tables = usage.tables.into_iter().map(|table| Table {
            name: table.name,
            rows_estimated: table.rows_estimated,
            live_bytes: table.live_bytes,
            file_bytes: table.file_bytes,
            blob_bytes: table.blob_bytes,
        });
        stats.tables = tables.collect();
        Ok(stats)
    }

    /// The queue of the session that was seen last is complete.
    fn end_queue(&mut self) {
        let queue = self.queue.take();
        let longest = self.longest_queue.as_ref();
        let longest = longest.map_or(0, |queue| queue.deliveries);
        if let Some(queue) = queue.filter(|queue| queue.deliveries > longest) {
            self.longest_queue = Some(queue);
        }
    }
}

impl Visitor for Stats {
    type Error = StoreError;

    fn session(&mut self, client: &ClientId, session: StoredSession) -> Result<(), StoreError> {
        self.end_queue();
        self.queue = Some(Queue {
            client: client.as_str().to_owned(),
            deliveries: 0,
        });
        self.sessions += 1;
        self.sessions_connected += u64::from(session.record.disconnected.is_none());
        self.subscriptions += session.subscriptions.len() as u64;
        let filters = session.subscriptions.iter().map(|(filter, _)| filter);
        let shared = filters.filter(|filter| filter.share_name().is_some());
        self.subscriptions_shared += shared.count() as u64;
        self.received += session.received.len() as u64;
        Ok(())
    }

    fn delivery(&mut self, _: &ClientId, _: u64, delivery: Delivery) -> Result<(), StoreError> {
        self.deliveries += 1;
        self.deliveries_released += u64::from(delivery.released);
        self.deliveries_bytes += delivery.message.len() as u64;
        if let Some(queue) = &mut self.queue {
            queue.deliveries += 1;
        }
        Ok(())
    }

    fn retained(&mut self, message: Arc<Message>) -> Result<(), StoreError> {
        self.retained += 1;
        self.retained_bytes += message.len() as u64;
        Ok(())
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "sessions: {}, of which {} connected",
            self.sessions, self.sessions_connected
        )?;
        writeln!(
            f,
            "subscriptions: {}, of which {} shared",
            self.subscriptions, self.subscriptions_shared
        )?;
        writeln!(f, "received packet identifiers: {}", self.received)?;
        writeln!(
            f,
            "deliveries: {}, of which {} released, {} bytes",
            self.deliveries, self.deliveries_released, self.deliveries_bytes
        )?;
        if let Some(Queue { client, deliveries }) = &self.longest_queue {
            writeln!(f, "longest queue: {deliveries} deliveries, of {client:?}")?;
        }
        writeln!(
            f,
            "retained messages: {}, {} bytes",
            self.retained, self.retained_bytes
        )?;
        writeln!(f, "rows set aside: {}", self.set_aside)?;
        writeln!(f, "bytes of the log: {}", self.log_bytes)?;
        writeln!(
            f,
            "table    rows, about  bytes, live     in files     large values"
        )?;
        for table in &self.tables {
            writeln!(
                f,
                "{:<6}  {:>12} {:>12} {:>12} {:>16}",
                table.name,
                table.rows_estimated,
                table.live_bytes,
                table.file_bytes,
                table.blob_bytes
            )?;
        }
        Ok(())
    }
}
