//! What is written can be read, in any store and of any size; what cannot be read is explained.

mod damage;
mod random;
mod stream;

use std::sync::Arc;

use mqtt_broker_core::store::{
    Change, Delivery, SessionRecord, SessionStore, StoredSession, SubscriptionRecord, WillRecord,
};
use mqtt_broker_core::{ClientId, Instant, Message};
use mqtt_codec::{
    PacketId, Properties, Property, QoS, RetainHandling, SubscriptionOptions, Text, TopicFilter,
    TopicName, UserProperty,
};
use mqtt_store_memory::MemoryStore;

use super::{Counts, ImportError, export, import};

/// A store with every field set, and as a file.
const EVERYTHING: &str = concat!(
    r#"{"format":"mqtt-store","version":1}"#,
    "\n",
    r#"{"session":{"client":"a","expiry_interval":4294967295,"disconnected_ms":1700000000000,"sent_before":9223372036854775807,"identity":"somebody","#,
    r#""will":{"delay_interval":5,"message_expiry_interval":60,"message":{"topic":"gone","qos":2,"retain":true,"payload":""}}}}"#,
    "\n",
    r#"{"subscription":{"client":"a","filter":"$share/g/t/+","qos":2,"no_local":false,"retain_as_published":true,"#,
    r#""retain_handling":"do_not_send","identifier":268435455}}"#,
    "\n",
    r#"{"subscription":{"client":"a","filter":"t/#","qos":0,"no_local":true,"retain_as_published":false,"retain_handling":"send_if_new"}}"#,
    "\n",
    r#"{"received":{"client":"a","packet_id":1}}"#,
    "\n",
    r#"{"received":{"client":"a","packet_id":65535}}"#,
    "\n",
    r#"{"delivery":{"client":"a","seq":9223372036854775806,"qos":1,"retain":true,"released":false,"subscription_identifiers":[1,2],"#,
    r#""message":{"topic":"t/a","qos":2,"retain":false,"expires_ms":1800000000000,"properties":["#,
    r#"{"payload_format_indicator":true},{"user_property":["a","1"]},{"content_type":"text/plain"},"#,
    r#"{"user_property":["a","\n\"é"]},{"response_topic":"r/s"},{"correlation_data":"7"}],"payload":"hi\u0000"}}}"#,
    "\n",
    r#"{"delivery":{"client":"a","seq":9223372036854775807,"qos":2,"retain":false,"released":true,"#,
    r#""message":{"topic":"t","qos":2,"retain":false,"properties":[{"correlation_data_base64":"/w=="}],"payload_base64":"/wA="}}}"#,
    "\n",
    r#"{"retained":{"topic":"é","qos":0,"retain":true,"payload":"on"}}"#,
    "\n",
    r#"{"end":{"sessions":1,"subscriptions":2,"received":2,"deliveries":2,"retained":1}}"#,
    "\n",
);

#[allow(clippy::too_many_lines, reason = "it is a list")]
fn everything() -> Vec<Change> {
    let client = ClientId::new("a");
    let packet_id = |number| PacketId::new(number).unwrap();
    let subscription = |filter: &str, options, identifier| Change::PutSubscription {
        client: client.clone(),
        filter: TopicFilter::from_text(filter).unwrap(),
        subscription: SubscriptionRecord {
            options,
            identifier: std::num::NonZeroU32::new(identifier),
        },
    };
    let options = |qos, no_local, retain_as_published, retain_handling| SubscriptionOptions {
        qos,
        no_local,
        retain_as_published,
        retain_handling,
    };
    vec![
        Change::PutSession {
            client: client.clone(),
            record: SessionRecord {
                expiry_interval: u32::MAX,
                disconnected: Some(Instant::from_millis(1_700_000_000_000)),
                sent_before: i64::MAX as u64,
                will: Some(WillRecord {
                    message: message("gone", [], b"", QoS::ExactlyOnce, true),
                    delay_interval: 5,
                    message_expiry_interval: Some(60),
                }),
                identity: Some("somebody".into()),
            },
        },
        subscription(
            "$share/g/t/+",
            options(QoS::ExactlyOnce, false, true, RetainHandling::DoNotSend),
            268_435_455,
        ),
        subscription(
            "t/#",
            options(QoS::AtMostOnce, true, false, RetainHandling::SendIfNew),
            0,
        ),
        Change::PutReceived {
            client: client.clone(),
            packet_id: packet_id(1),
        },
        Change::PutReceived {
            client: client.clone(),
            packet_id: packet_id(65_535),
        },
        Change::PutDelivery {
            client: client.clone(),
            seq: i64::MAX as u64 - 1,
            delivery: delivery_with_properties(),
        },
        Change::PutDelivery {
            client,
            seq: i64::MAX as u64,
            delivery: Delivery {
                message: message(
                    "t",
                    [Property::CorrelationData(&[0xFF])],
                    &[0xFF, 0],
                    QoS::ExactlyOnce,
                    false,
                ),
                qos: QoS::ExactlyOnce,
                retain: false,
                subscription_identifiers: Box::default(),
                released: true,
            },
        },
        Change::PutRetained {
            message: message("é", [], b"on", QoS::AtMostOnce, true),
        },
    ]
}

fn delivery_with_properties() -> Delivery {
    let text = |text: &'static str| Text::new(text.as_bytes()).unwrap();
    let user = |value| {
        Property::UserProperty(UserProperty {
            name: text("a"),
            value: text(value),
        })
    };
    let properties = [
        Property::PayloadFormatIndicator(true),
        user("1"),
        Property::ContentType(text("text/plain")),
        user("\n\"é"),
        Property::ResponseTopic(TopicName::new(&b"r/s"[..]).unwrap()),
        Property::CorrelationData(b"7"),
    ];
    let message = message("t/a", properties, b"hi\0", QoS::ExactlyOnce, false);
    let mut message = Message::clone(&message);
    message.expires = Some(Instant::from_millis(1_800_000_000_000));
    Delivery {
        message: Arc::new(message),
        qos: QoS::AtLeastOnce,
        retain: true,
        subscription_identifiers: [1, 2].into(),
        released: false,
    }
}

fn message<'a>(
    topic: &str,
    properties: impl IntoIterator<Item = Property<'a>>,
    payload: &[u8],
    qos: QoS,
    retain: bool,
) -> Arc<Message> {
    let topic = TopicName::from_text(topic).unwrap();
    let properties = Properties::new(properties).unwrap();
    let mut message = Message::new(topic.as_view(), properties.as_view(), payload);
    (message.qos, message.retain) = (qos, retain);
    Arc::new(message)
}

async fn store_of(changes: Vec<Change>) -> MemoryStore {
    let store = MemoryStore::default();
    store.commit(changes.into()).await.unwrap();
    store
}

async fn text_of(store: &dyn SessionStore) -> String {
    let mut out = Vec::new();
    export(store, &mut out).await.unwrap();
    String::from_utf8(out).unwrap()
}

/// The error of reading this; the line where it is, and the message.
async fn refusal(text: impl AsRef<[u8]>) -> (u64, String) {
    match import(text.as_ref(), &MemoryStore::default()).await {
        Err(ImportError::Line { line, problem }) => (line, problem),
        other => panic!("{other:?}"),
    }
}

type Contents = (
    Vec<(ClientId, StoredSession, Vec<(u64, Delivery)>)>,
    Vec<Arc<Message>>,
);

/// All that is in a store.
async fn contents(store: &dyn SessionStore) -> Contents {
    let mut sessions = Vec::new();
    for (client, session) in store.sessions(None, usize::MAX).await.unwrap() {
        let deliveries = store.deliveries(&client, None, usize::MAX).await.unwrap();
        sessions.push((client, session, deliveries));
    }
    sessions.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    (sessions, store.retained(None, usize::MAX).await.unwrap())
}

#[tokio::test(flavor = "current_thread")]
async fn every_field_has_its_place() {
    let store = store_of(everything()).await;
    assert_eq!(text_of(&store).await, EVERYTHING);
    let read = MemoryStore::default();
    let counts = import(EVERYTHING.as_bytes(), &read).await.unwrap();
    let expected = Counts {
        sessions: 1,
        subscriptions: 2,
        received: 2,
        deliveries: 2,
        retained: 1,
    };
    assert_eq!(counts, expected);
    assert_eq!(contents(&read).await, contents(&store).await);
}

#[tokio::test(flavor = "current_thread")]
async fn an_empty_store_is_two_lines() {
    let text = text_of(&MemoryStore::default()).await;
    assert_eq!(text.lines().count(), 2);
    let store = MemoryStore::default();
    let counts = import(text.as_bytes(), &store).await.unwrap();
    assert_eq!(counts, Counts::default());
}

#[tokio::test(flavor = "current_thread")]
async fn only_an_empty_store_is_filled() {
    let store = MemoryStore::default();
    import(EVERYTHING.as_bytes(), &store).await.unwrap();
    let before = contents(&store).await;
    let twice = import(EVERYTHING.as_bytes(), &store).await;
    assert!(matches!(twice, Err(ImportError::NotEmpty)), "{twice:?}");
    assert_eq!(contents(&store).await, before);
    // A retained message is enough.
    let retained = everything().pop().unwrap();
    let store = store_of(vec![retained]).await;
    let refused = import(EVERYTHING.as_bytes(), &store).await;
    assert!(matches!(refused, Err(ImportError::NotEmpty)), "{refused:?}");
}
