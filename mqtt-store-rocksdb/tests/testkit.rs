//! The RocksDB store is a session store, at both levels of durability.

#![allow(
    clippy::unwrap_used,
    reason = "a test may stop at what it did not expect"
)]

use std::sync::Arc;

use mqtt_broker_core::store::testkit::{Restart, mqtt_store_testkit};
use mqtt_store_rocksdb::{Durability, Options, RocksStore};

async fn test(durability: Durability) {
    let options = Options {
        durability,
        ..Options::default()
    };
    mqtt_store_testkit(
        async |directory| Arc::new(RocksStore::open(directory, &options).unwrap()) as _,
        Restart::Keeps,
    )
    .await;
}

#[tokio::test]
async fn the_rocksdb_store_is_a_session_store() {
    test(Durability::Process).await;
}

#[tokio::test]
async fn so_it_is_where_every_commit_is_synced() {
    test(Durability::Disk).await;
}
