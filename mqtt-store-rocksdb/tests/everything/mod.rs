//! Changes with every kind of row, whose keys in the tables are known.

#![allow(dead_code, reason = "not every test needs everything")]

use std::num::NonZeroU32;
use std::sync::Arc;

use mqtt_broker_core::store::{
    Change, Delivery, Model, SessionRecord, SessionStore, SubscriptionRecord, WillRecord,
};
use mqtt_broker_core::{ClientId, Instant, Message};
use mqtt_codec::{
    PacketId, Properties, Property, QoS, RetainHandling, SubscriptionOptions, TopicFilter,
    TopicName,
};
use mqtt_store_rocksdb::RocksStore;

/// Batches that are committed one after the other. `a` is session 1, and `b` session 2.
///
/// Message 1 is shared by delivery 1 of `a` and of `b`, and expires; message 2 is large, and
/// delivery 2 of `a` is released; message 3 is that of delivery 3 of `a`, and expires; message 4 is
/// that of delivery 2 of `b`.
pub(crate) fn batches() -> Vec<Vec<Change>> {
    let (a, b) = (ClientId::new("a"), ClientId::new("b"));
    let put_session = |client: &ClientId, record| Change::PutSession {
        client: client.clone(),
        record,
    };
    let shared = message("t/shared", b"for both", Some(5000));
    let large: Vec<u8> = (0..5000_u32)
        .flat_map(|at| (at / 7 * at).to_le_bytes())
        .collect();
    let large = message("t/large", &large, None);
    vec![
        vec![
            put_session(&a, record_with_everything()),
            subscribe("a", "t/#", 7),
            subscribe("a", "u", 0),
            receive("a", 7),
            receive("a", 65_535),
        ],
        vec![
            put_session(&b, SessionRecord::default()),
            subscribe("b", "$share/g/t/+", 0),
            receive("b", 1),
        ],
        vec![
            deliver("a", 1, &shared, QoS::AtLeastOnce, &[1, 268_435_455]),
            deliver("b", 1, &shared, QoS::ExactlyOnce, &[]),
        ],
        vec![deliver("a", 2, &large, QoS::ExactlyOnce, &[7])],
        vec![deliver(
            "a",
            3,
            &message("t", b"own", Some(9000)),
            QoS::AtLeastOnce,
            &[],
        )],
        vec![deliver(
            "b",
            2,
            &message("t", b"last", None),
            QoS::AtLeastOnce,
            &[],
        )],
        vec![
            Change::ReleaseDelivery { client: a, seq: 2 },
            retain("r", b"kept"),
            retain("s", &[0xFF; 5000]),
        ],
    ]
}

/// Commits all batches.
pub(crate) async fn commit_all(store: &RocksStore) -> Model {
    let mut model = Model::default();
    for changes in batches() {
        commit(store, &mut model, changes).await;
    }
    model
}

/// Commits changes, and applies them to the model.
pub(crate) async fn commit(store: &RocksStore, model: &mut Model, changes: Vec<Change>) {
    for change in &changes {
        model.apply(change.clone());
    }
    store.commit(changes.into()).await.unwrap();
}

fn record_with_everything() -> SessionRecord {
    SessionRecord {
        expiry_interval: u32::MAX,
        disconnected: Some(Instant::from_millis(1_700_000_000_123)),
        sent_before: 3,
        will: Some(WillRecord {
            message: message("gone", b"a", None),
            delay_interval: 30,
            message_expiry_interval: Some(60),
        }),
        identity: Some("identité".into()),
    }
}

pub(crate) fn subscribe(client: &str, filter: &str, identifier: u32) -> Change {
    Change::PutSubscription {
        client: ClientId::new(client),
        filter: TopicFilter::from_text(filter).unwrap(),
        subscription: SubscriptionRecord {
            options: SubscriptionOptions {
                qos: QoS::ExactlyOnce,
                no_local: false,
                retain_as_published: true,
                retain_handling: RetainHandling::SendIfNew,
            },
            identifier: NonZeroU32::new(identifier),
        },
    }
}

pub(crate) fn receive(client: &str, number: u16) -> Change {
    Change::PutReceived {
        client: ClientId::new(client),
        packet_id: PacketId::new(number).unwrap(),
    }
}

pub(crate) fn deliver(
    client: &str,
    seq: u64,
    message: &Arc<Message>,
    qos: QoS,
    identifiers: &[u32],
) -> Change {
    Change::PutDelivery {
        client: ClientId::new(client),
        seq,
        delivery: Delivery {
            message: message.clone(),
            qos,
            retain: qos == QoS::ExactlyOnce,
            subscription_identifiers: identifiers.into(),
            released: false,
        },
    }
}

pub(crate) fn retain(topic: &str, payload: &[u8]) -> Change {
    let message = message(topic, payload, None);
    Change::PutRetained { message }
}

pub(crate) fn message(topic: &str, payload: &[u8], expires: Option<u64>) -> Arc<Message> {
    let topic = TopicName::from_text(topic).unwrap();
    let properties = Properties::new([Property::CorrelationData(b"\0\xFF")]).unwrap();
    let mut message = Message::new(topic.as_view(), properties.as_view(), payload);
    message.qos = QoS::ExactlyOnce;
    message.expires = expires.map(Instant::from_millis);
    Arc::new(message)
}
