//! The stories that the memory store is simulated with, with the sessions in RocksDB: whenever the
//! broker crashes, the database is closed and opened again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may stop at what it did not expect, and says where"
)]

mod directory;
#[path = "../../mqtt-broker-core/tests/story/mod.rs"]
mod story;
#[allow(dead_code, reason = "the scenarios use what the simulation does not")]
#[path = "../../mqtt-broker-core/tests/world/mod.rs"]
mod world;

/// Shards of a broker, where a test says nothing else.
const SHARDS: usize = 1;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mqtt_broker_core::store::{Batch, Delivery, Expiring, SessionStore, StoreError, StoredSession};
use mqtt_broker_core::{ClientId, Message};
use mqtt_codec::TopicName;
use mqtt_store_rocksdb::{Durability, Options, RocksStore};

use crate::directory::Directory;

/// A store that can be closed and opened again under those who use it.
struct Disk {
    store: Mutex<Option<Arc<RocksStore>>>,
    directory: Directory,
}

impl Disk {
    fn new(seed: u64) -> Self {
        let disk = Self {
            store: Mutex::new(None),
            directory: Directory::new(&format!("simulate-{seed}")),
        };
        story::Disk::open_again(&disk);
        disk
    }

    fn store(&self) -> Arc<RocksStore> {
        self.store.lock().unwrap().clone().expect("it is open")
    }
}

impl story::Disk for Disk {
    fn open_again(&self) {
        // What was committed survives the process; there is no loss of power here.
        let options = Options {
            durability: Durability::Process,
            ..Options::default()
        };
        let mut store = self.store.lock().unwrap();
        if let Some(store) = store.take() {
            drop(store);
            let check = RocksStore::check(self.directory.path()).unwrap();
            assert_eq!(check.findings, [], "what the broker has left behind");
        }
        *store = Some(Arc::new(
            RocksStore::open(self.directory.path(), &options).unwrap(),
        ));
    }
}

#[async_trait]
impl SessionStore for Disk {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.store().commit(batch).await
    }

    async fn sessions(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientId, StoredSession)>, StoreError> {
        self.store().sessions(after, limit).await
    }

    async fn deliveries(
        &self,
        client: &ClientId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Delivery)>, StoreError> {
        self.store().deliveries(client, after, limit).await
    }

    async fn expiring(
        &self,
        after: Option<&Expiring>,
        limit: usize,
    ) -> Result<Vec<Expiring>, StoreError> {
        self.store().expiring(after, limit).await
    }

    async fn retained(
        &self,
        after: Option<&TopicName>,
        limit: usize,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        self.store().retained(after, limit).await
    }
}

#[test]
fn what_was_promised_is_kept() {
    story::tell_all(2000, |seed| Arc::new(Disk::new(seed)));
}
