//! The records of a file, field by field: one definition serves both directions.

use std::num::NonZeroU32;
use std::sync::Arc;

use mqtt_broker_core::store::{Change, Delivery, SessionRecord, SubscriptionRecord, WillRecord};
use mqtt_broker_core::{ClientId, Instant, Message};
use mqtt_codec::{PacketId, QoS, RetainHandling, SubscriptionOptions, TopicFilter};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Counts, message};

/// The largest sequence number: an engine counts on from there, and must not overflow.
const SEQ_MAX: u64 = i64::MAX as u64;
/// The largest subscription identifier, by section 3.8.2.1.2 of MQTT 5.0.
const SUBSCRIPTION_IDENTIFIER_MAX: u32 = 268_435_455;

/// A line behind the first one.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one at a time, and it is soon a change"
)]
pub(super) enum Record {
    Session(SessionForm),
    Subscription(SubscriptionForm),
    Received(ReceivedForm),
    Delivery(DeliveryForm),
    Retained(#[serde(with = "message")] Arc<Message>),
    End(Counts),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionForm {
    #[serde(with = "client")]
    pub(super) client: ClientId,
    expiry_interval: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disconnected_ms: Option<u64>,
    #[serde(deserialize_with = "sent_before")]
    pub(super) sent_before: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    will: Option<WillForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WillForm {
    delay_interval: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_expiry_interval: Option<u32>,
    #[serde(with = "message")]
    message: Arc<Message>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscriptionForm {
    #[serde(with = "client")]
    pub(super) client: ClientId,
    #[serde(with = "filter")]
    pub(super) filter: TopicFilter,
    #[serde(with = "qos")]
    qos: QoS,
    no_local: bool,
    retain_as_published: bool,
    #[serde(with = "RetainHandlingForm")]
    retain_handling: RetainHandling,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identifier: Option<SubscriptionIdentifier>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RetainHandling", rename_all = "snake_case")]
enum RetainHandlingForm {
    Send,
    SendIfNew,
    DoNotSend,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceivedForm {
    #[serde(with = "client")]
    pub(super) client: ClientId,
    #[serde(with = "packet_id")]
    pub(super) packet_id: PacketId,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeliveryForm {
    #[serde(with = "client")]
    pub(super) client: ClientId,
    #[serde(deserialize_with = "seq")]
    pub(super) seq: u64,
    #[serde(serialize_with = "qos::serialize", deserialize_with = "delivery_qos")]
    qos: QoS,
    retain: bool,
    released: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subscription_identifiers: Vec<SubscriptionIdentifier>,
    #[serde(with = "message")]
    message: Arc<Message>,
}

#[derive(Serialize)]
struct SubscriptionIdentifier(NonZeroU32);

impl Record {
    pub(super) fn session(client: &ClientId, record: SessionRecord) -> Self {
        Self::Session(SessionForm {
            client: client.clone(),
            expiry_interval: record.expiry_interval,
            disconnected_ms: record.disconnected.map(Instant::as_millis),
            sent_before: record.sent_before,
            identity: record.identity.as_deref().map(str::to_owned),
            will: record.will.map(|will| WillForm {
                delay_interval: will.delay_interval,
                message_expiry_interval: will.message_expiry_interval,
                message: will.message,
            }),
        })
    }

    pub(super) fn subscription(
        client: &ClientId,
        filter: TopicFilter,
        subscription: SubscriptionRecord,
    ) -> Self {
        let SubscriptionOptions {
            qos,
            no_local,
            retain_as_published,
            retain_handling,
        } = subscription.options;
        Self::Subscription(SubscriptionForm {
            client: client.clone(),
            filter,
            qos,
            no_local,
            retain_as_published,
            retain_handling,
            identifier: subscription.identifier.map(SubscriptionIdentifier),
        })
    }

    pub(super) fn received(client: &ClientId, packet_id: PacketId) -> Self {
        let client = client.clone();
        Self::Received(ReceivedForm { client, packet_id })
    }

    pub(super) fn delivery(client: &ClientId, seq: u64, delivery: Delivery) -> Self {
        // A broker sends no identifier 0; it would mean none.
        let identifiers = delivery.subscription_identifiers.iter();
        Self::Delivery(DeliveryForm {
            client: client.clone(),
            seq,
            qos: delivery.qos,
            retain: delivery.retain,
            released: delivery.released,
            subscription_identifiers: identifiers
                .filter_map(|number| NonZeroU32::new(*number).map(SubscriptionIdentifier))
                .collect(),
            message: delivery.message,
        })
    }
}

impl From<SessionForm> for Change {
    fn from(form: SessionForm) -> Self {
        Self::PutSession {
            client: form.client,
            record: SessionRecord {
                expiry_interval: form.expiry_interval,
                disconnected: form.disconnected_ms.map(Instant::from_millis),
                sent_before: form.sent_before,
                will: form.will.map(|will| WillRecord {
                    message: will.message,
                    delay_interval: will.delay_interval,
                    message_expiry_interval: will.message_expiry_interval,
                }),
                identity: form.identity.map(Arc::from),
            },
        }
    }
}

impl From<SubscriptionForm> for Change {
    fn from(form: SubscriptionForm) -> Self {
        Self::PutSubscription {
            client: form.client,
            filter: form.filter,
            subscription: SubscriptionRecord {
                options: SubscriptionOptions {
                    qos: form.qos,
                    no_local: form.no_local,
                    retain_as_published: form.retain_as_published,
                    retain_handling: form.retain_handling,
                },
                identifier: form.identifier.map(|identifier| identifier.0),
            },
        }
    }
}

impl From<ReceivedForm> for Change {
    fn from(form: ReceivedForm) -> Self {
        Self::PutReceived {
            client: form.client,
            packet_id: form.packet_id,
        }
    }
}

impl From<DeliveryForm> for Change {
    fn from(form: DeliveryForm) -> Self {
        let identifiers = form.subscription_identifiers.into_iter();
        Self::PutDelivery {
            client: form.client,
            seq: form.seq,
            delivery: Delivery {
                message: form.message,
                qos: form.qos,
                retain: form.retain,
                subscription_identifiers: identifiers
                    .map(|identifier| identifier.0.get())
                    .collect(),
                released: form.released,
            },
        }
    }
}

impl<'de> Deserialize<'de> for SubscriptionIdentifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        NonZeroU32::new(number)
            .filter(|number| number.get() <= SUBSCRIPTION_IDENTIFIER_MAX)
            .map(Self)
            .ok_or_else(|| {
                let max = SUBSCRIPTION_IDENTIFIER_MAX;
                D::Error::custom(format!("{number}, expected a number from 1 to {max}"))
            })
    }
}

fn seq<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    if (1..=SEQ_MAX).contains(&number) {
        return Ok(number);
    }
    let message = format!("{number}, expected a number from 1 to {SEQ_MAX}");
    Err(D::Error::custom(message))
}

fn sent_before<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    if number <= SEQ_MAX {
        return Ok(number);
    }
    let message = format!("{number}, expected a number up to {SEQ_MAX}");
    Err(D::Error::custom(message))
}

fn delivery_qos<'de, D: Deserializer<'de>>(deserializer: D) -> Result<QoS, D::Error> {
    match qos::deserialize(deserializer)? {
        QoS::AtMostOnce => Err(D::Error::custom("0, expected QoS 1 or 2")),
        qos @ (QoS::AtLeastOnce | QoS::ExactlyOnce) => Ok(qos),
    }
}

/// A QoS as its number.
pub(super) mod qos {
    use super::*;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
    pub(crate) fn serialize<S: Serializer>(qos: &QoS, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*qos as u8)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<QoS, D::Error> {
        let number = u64::deserialize(deserializer)?;
        u8::try_from(number)
            .ok()
            .and_then(QoS::from_number)
            .ok_or_else(|| D::Error::custom(format!("{number}, expected QoS 0, 1 or 2")))
    }
}

mod packet_id {
    use super::*;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
    pub(crate) fn serialize<S: Serializer>(
        packet_id: &PacketId,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(packet_id.get())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PacketId, D::Error> {
        let number = u64::deserialize(deserializer)?;
        u16::try_from(number)
            .ok()
            .and_then(PacketId::new)
            .ok_or_else(|| D::Error::custom(format!("{number}, expected a number from 1 to 65535")))
    }
}

mod client {
    use mqtt_codec::Text;

    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        client: &ClientId,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(client.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ClientId, D::Error> {
        let text = String::deserialize(deserializer)?;
        match Text::new(text.as_bytes()) {
            Ok(_) => Ok(ClientId::new(&text)),
            Err(error) => Err(D::Error::custom(format!(
                "{error}, expected a client identifier"
            ))),
        }
    }
}

mod filter {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        filter: &TopicFilter,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(filter.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<TopicFilter, D::Error> {
        let text = String::deserialize(deserializer)?;
        TopicFilter::from_text(&text)
            .map_err(|error| D::Error::custom(format!("{error}, expected a topic filter")))
    }
}
