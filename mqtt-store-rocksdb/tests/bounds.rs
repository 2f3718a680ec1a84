//! What a store takes of disk and memory has bounds, and so has who may look at it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test may stop at what it did not expect, and waits for real threads"
)]

mod directory;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_broker_core::store::{Batch, Change, Delivery, SessionRecord, SessionStore};
use mqtt_broker_core::{ClientId, Message};
use mqtt_codec::{Properties, QoS, TopicName};
use mqtt_store_rocksdb::{Durability, Options, RocksStore};

use crate::directory::Directory;

const MB: u64 = 1 << 20;

/// Bytes of all files whose names end like this.
fn bytes(directory: &Path, end: &str) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap();
    let files = entries.map(|entry| entry.unwrap());
    let files = files.filter(|file| file.file_name().to_str().unwrap().ends_with(end));
    // One that is gone since it was listed takes no room.
    files
        .map(|file| file.metadata().map_or(0, |file| file.len()))
        .sum()
}

/// The log does not grow with the queues: a start reads it from its beginning.
#[tokio::test]
async fn the_log_is_bounded() {
    let directory = Directory::new("log");
    let options = Options {
        durability: Durability::Process,
        log_bytes_max: 4 * MB,
        ..Options::default()
    };
    let store = RocksStore::open(directory.path(), &options).unwrap();
    let client = ClientId::new("a");
    let touch = || {
        let touch = Change::PutSession {
            client: client.clone(),
            record: SessionRecord::default(),
        };
        Batch::from(vec![touch])
    };
    store.commit(touch()).await.unwrap();
    let topic = TopicName::from_text("t").unwrap();
    for first in (1..40_000).step_by(100) {
        let put = |seq| Change::PutDelivery {
            client: client.clone(),
            seq,
            delivery: Delivery {
                message: Arc::new(Message::new(
                    topic.as_view(),
                    Properties::default(),
                    &[0; 1000],
                )),
                qos: QoS::AtLeastOnce,
                retain: false,
                subscription_identifiers: Box::default(),
                released: false,
            },
        };
        let batch = Batch::from((first..first + 100).map(put).collect::<Vec<_>>());
        store.commit(batch).await.unwrap();
    }
    let start = Instant::now();
    // What is written out is not removed in the same moment.
    while bytes(directory.path(), ".log") > 8 * MB {
        assert!(start.elapsed() < Duration::from_secs(60), "it stays");
        std::thread::sleep(Duration::from_millis(20));
        // On a slow disk, all of the above may have come while tables were being written: how long
        // the log is by then is noticed with the next write.
        store.commit(touch()).await.unwrap();
    }
    assert!(bytes(directory.path(), ".sst") > 0, "it was written out");
}

/// What has gone takes no room for good: of 100 MB, little more than the log is left.
#[tokio::test]
async fn what_is_deleted_leaves_the_disk() {
    let directory = Directory::new("deleted");
    let options = Options {
        durability: Durability::Process,
        log_bytes_max: MB,
        ..Options::default()
    };
    let store = RocksStore::open(directory.path(), &options).unwrap();
    let topic = TopicName::from_text("t").unwrap();
    // What cannot be compressed.
    let mut payload = [0; 5000];
    fastrand::Rng::with_seed(1).fill(&mut payload);
    let message = Message::new(topic.as_view(), Properties::default(), &payload);
    for round in 0..100 {
        let client = ClientId::new(&format!("client {round}"));
        let mut changes = vec![Change::PutSession {
            client: client.clone(),
            record: SessionRecord::default(),
        }];
        for seq in 1..200 {
            changes.push(Change::PutDelivery {
                client: client.clone(),
                seq,
                delivery: Delivery {
                    message: Arc::new(message.clone()),
                    qos: QoS::AtLeastOnce,
                    retain: false,
                    subscription_identifiers: Box::default(),
                    released: false,
                },
            });
        }
        store.commit(Batch::from(changes)).await.unwrap();
        let end = vec![Change::DeleteSession { client }];
        store.commit(Batch::from(end)).await.unwrap();
    }
    let start = Instant::now();
    let left = || {
        ["log", "sst", "blob"]
            .map(|end| bytes(directory.path(), end))
            .iter()
            .sum::<u64>()
    };
    while left() > 32 * MB {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{} bytes stay",
            left()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// There are messages of others in it.
#[cfg(unix)]
#[test]
fn a_directory_that_is_made_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new("owner");
    let path = directory.path().join("state/sessions");
    drop(RocksStore::open(&path, &Options::default()).unwrap());
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
