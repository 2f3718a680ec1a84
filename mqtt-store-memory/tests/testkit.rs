//! The memory store is a session store.

use std::sync::Arc;

use mqtt_broker_core::store::testkit::{Restart, mqtt_store_testkit};
use mqtt_store_memory::MemoryStore;

#[tokio::test]
async fn the_memory_store_is_a_session_store() {
    mqtt_store_testkit(
        async |_| Arc::new(MemoryStore::default()) as _,
        Restart::Forgets,
    )
    .await;
}
