//! What the benches are made of: what stores commit, and [flows](flow) through an [engine] and through a
//! whole [broker](served).

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "the names that are made here are names, and a bench that does not do what it says ends"
)]

pub mod engine;
pub mod flow;
pub mod served;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mqtt_broker_core::store::{Batch, Change, Delivery, SessionRecord, SubscriptionRecord};
use mqtt_broker_core::{ClientId, Message};
use mqtt_codec::{Properties, QoS, SubscriptionOptions, TopicFilter, TopicName};

/// A client of the bench.
#[must_use]
pub fn client(number: u64) -> ClientId {
    ClientId::new(&format!("device-{number:07}"))
}

/// What makes a session with one subscription of its own.
#[must_use]
pub fn session(number: u64) -> [Change; 2] {
    let filter = TopicFilter::from_text(&format!("device/{number:07}/command"));
    let record = SessionRecord {
        expiry_interval: u32::MAX,
        ..SessionRecord::default()
    };
    [
        Change::PutSession {
            client: client(number),
            record,
        },
        Change::PutSubscription {
            client: client(number),
            filter: filter.expect("it is one"),
            subscription: SubscriptionRecord {
                options: SubscriptionOptions::of_qos(QoS::AtLeastOnce),
                identifier: None,
            },
        },
    ]
}

/// A message of so many bytes on a topic of 30. The bytes do not compress, and are others for each
/// number.
#[must_use]
pub fn message(number: u64, payload_bytes: usize) -> Arc<Message> {
    let topic = TopicName::from_text("factory/hall-7/press-12/torque").expect("it is one");
    // An xorshift generator does not leave 0.
    let mut state = (number as u32).wrapping_mul(0x9E37_79B9) | 1;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    });
    let payload: Vec<_> = bytes.take(payload_bytes).collect();
    let mut message = Message::new(topic.as_view(), Properties::default(), &payload);
    message.qos = QoS::AtLeastOnce;
    Arc::new(message)
}

/// The message for one client.
#[must_use]
pub fn put(client: &ClientId, seq: u64, message: &Arc<Message>) -> Change {
    Change::PutDelivery {
        client: client.clone(),
        seq,
        delivery: Delivery {
            message: message.clone(),
            qos: QoS::AtLeastOnce,
            retain: false,
            subscription_identifiers: Box::default(),
            released: false,
        },
    }
}

/// The client has acknowledged it.
#[must_use]
pub fn delete(client: &ClientId, seq: u64) -> Change {
    Change::DeleteDelivery {
        client: client.clone(),
        seq,
    }
}

/// A batch of these changes.
#[must_use]
pub fn batch(changes: Vec<Change>) -> Batch {
    Batch::from(changes)
}

/// An empty directory, removed in the end.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// One below `parent`, on whose disk it is measured.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new(parent: &Path, name: &str) -> Self {
        let path = parent.join(format!("mqtt-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory can be made");
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is named after the bench, and does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
