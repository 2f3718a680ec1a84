//! Changes as the cases write them, in few words.

use std::num::NonZeroU32;
use std::sync::Arc;

use mqtt_codec::{
    PacketId, Properties, Property, QoS, RetainHandling, SubscriptionOptions, TopicFilter,
    TopicName,
};

use super::batch;
use crate::store::{Batch, Change, Delivery, SessionRecord, SubscriptionRecord, WillRecord};
use crate::{ClientId, Instant, Message};

/// A session with a value in every field, and one of all that a session and a topic can have.
pub(super) fn session_with_everything(client: &str) -> Batch {
    let mut will = with_properties("will", "dead");
    (will.qos, will.retain) = (QoS::ExactlyOnce, true);
    let record = SessionRecord {
        expiry_interval: u32::MAX,
        disconnected: Some(Instant::from_millis(1_700_000_000_123)),
        sent_before: u64::MAX / 3,
        will: Some(WillRecord {
            message: Arc::new(will),
            delay_interval: 30,
            message_expiry_interval: Some(0),
        }),
        identity: Some("identité".into()),
    };
    let options = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let mut kept = with_properties(&format!("kept/{client}"), "\0\u{1}");
    (kept.qos, kept.retain) = (QoS::AtLeastOnce, true);
    kept.expires = Some(Instant::from_millis(u64::MAX / 2));
    let kept = Arc::new(kept);
    let client_id = ClientId::new(client);
    batch(vec![
        Change::PutSession {
            client: client_id.clone(),
            record,
        },
        Change::PutSubscription {
            client: client_id.clone(),
            filter: filter("a/+/#"),
            subscription: SubscriptionRecord {
                options,
                identifier: NonZeroU32::new(268_435_455),
            },
        },
        Change::PutDelivery {
            client: client_id,
            seq: 1,
            delivery: Delivery {
                message: kept.clone(),
                qos: QoS::ExactlyOnce,
                retain: true,
                subscription_identifiers: [1, 268_435_455, 1].into(),
                released: false,
            },
        },
        put_delivery(client, 300, &message("t", "")),
        release(client, 300),
        put_received(client, 1),
        put_received(client, u16::MAX),
        Change::PutRetained { message: kept },
    ])
}

fn with_properties(name: &str, payload: &str) -> Message {
    let properties = Properties::new([
        Property::CorrelationData(b"\0\xFF"),
        Property::PayloadFormatIndicator(true),
    ]);
    let properties = properties.expect("short enough");
    let topic = topic(name);
    Message::new(topic.as_view(), properties.as_view(), payload.as_bytes())
}

pub(super) fn message(name: &str, payload: &str) -> Arc<Message> {
    let topic = topic(name);
    let message = Message::new(topic.as_view(), Properties::default(), payload.as_bytes());
    Arc::new(message)
}

pub(super) fn topic(name: &str) -> TopicName {
    TopicName::from_text(name).expect("a topic name")
}

pub(super) fn filter(text: &str) -> TopicFilter {
    TopicFilter::from_text(text).expect("a topic filter")
}

fn packet_id(number: u16) -> PacketId {
    PacketId::new(number).expect("not 0")
}

pub(super) fn put_session(client: &str) -> Change {
    Change::PutSession {
        client: ClientId::new(client),
        record: SessionRecord::default(),
    }
}

pub(super) fn put_subscription(client: &str, text: &str, identifier: u32) -> Change {
    Change::PutSubscription {
        client: ClientId::new(client),
        filter: filter(text),
        subscription: SubscriptionRecord {
            options: SubscriptionOptions::of_qos(QoS::AtLeastOnce),
            identifier: NonZeroU32::new(identifier),
        },
    }
}

pub(super) fn put_delivery(client: &str, seq: u64, message: &Arc<Message>) -> Change {
    Change::PutDelivery {
        client: ClientId::new(client),
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

pub(super) fn release(client: &str, seq: u64) -> Change {
    let client = ClientId::new(client);
    Change::ReleaseDelivery { client, seq }
}

pub(super) fn delete_delivery(client: &str, seq: u64) -> Change {
    let client = ClientId::new(client);
    Change::DeleteDelivery { client, seq }
}

pub(super) fn put_received(client: &str, number: u16) -> Change {
    Change::PutReceived {
        client: ClientId::new(client),
        packet_id: packet_id(number),
    }
}

pub(super) fn delete_received(client: &str, number: u16) -> Change {
    Change::DeleteReceived {
        client: ClientId::new(client),
        packet_id: packet_id(number),
    }
}

pub(super) fn put_retained(message: &Arc<Message>) -> Change {
    let message = message.clone();
    Change::PutRetained { message }
}

pub(super) fn delete_retained(name: &str) -> Change {
    Change::DeleteRetained { topic: topic(name) }
}
