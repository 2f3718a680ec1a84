//! The byte form of a batch, and of what is in it.
//!
//! Numbers are big-endian, texts and lists have their length in front, an absent value is a byte 0.
//! A batch begins with the version of the form. What cannot be read is an error, never a panic, and
//! costs no more memory than the bytes at hand.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use mqtt_codec::{
    PacketId, Properties, PropertyOwner, QoS, SubscriptionOptions, TopicFilter, TopicName,
};

use super::{Batch, Change, Delivery, SessionRecord, SubscriptionRecord, WillRecord};
use crate::{ClientId, Instant, Message};

/// The version of the byte form that is written. All up to it can be read.
const VERSION: u8 = 1;

/// Bytes that are no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The form is of a later version of this crate.
    #[error(
        "version {0} of the byte form is later than version {VERSION}, the last one known here"
    )]
    Later(u8),
    /// The bytes end too early, or have a value that there is not.
    #[error("the bytes are damaged")]
    Damaged,
}

impl Batch {
    /// The batch as bytes. A message with several deliveries is there once.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.byte(VERSION);
        writer.bytes.extend_from_slice(&self.shard.to_be_bytes());
        writer.number(self.epoch);
        writer.count(self.changes.len());
        for change in &self.changes {
            writer.change(change);
        }
        writer.bytes.into()
    }

    /// The batch of these bytes.
    ///
    /// # Errors
    /// [`RecordError`] if they are none, or of a later version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader {
            bytes,
            messages: Vec::new(),
        };
        match reader.byte()? {
            VERSION => {}
            later if later > VERSION => return Err(RecordError::Later(later)),
            _ => return Err(RecordError::Damaged),
        }
        let shard = u16::from_be_bytes(reader.array()?);
        let epoch = reader.number()?;
        let count = reader.count()?;
        let changes = (0..count)
            .map(|_| reader.change())
            .collect::<Result<_, _>>()?;
        if reader.bytes.is_empty() {
            Ok(Self {
                shard,
                epoch,
                changes,
            })
        } else {
            Err(RecordError::Damaged)
        }
    }
}

/// The kinds of change, as they are written.
mod tag {
    pub(super) const PUT_SESSION: u8 = 1;
    pub(super) const DELETE_SESSION: u8 = 2;
    pub(super) const PUT_SUBSCRIPTION: u8 = 3;
    pub(super) const DELETE_SUBSCRIPTION: u8 = 4;
    pub(super) const PUT_DELIVERY: u8 = 5;
    pub(super) const RELEASE_DELIVERY: u8 = 6;
    pub(super) const DELETE_DELIVERY: u8 = 7;
    pub(super) const PUT_RECEIVED: u8 = 8;
    pub(super) const DELETE_RECEIVED: u8 = 9;
    pub(super) const PUT_RETAINED: u8 = 10;
    pub(super) const DELETE_RETAINED: u8 = 11;
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    /// Messages written so far, by their addresses.
    messages: HashMap<*const Message, u32>,
}

impl Writer {
    fn change(&mut self, change: &Change) {
        match change {
            Change::PutSession { client, record } => {
                self.about(tag::PUT_SESSION, client);
                self.session(record);
            }
            Change::DeleteSession { client } => self.about(tag::DELETE_SESSION, client),
            Change::PutSubscription {
                client,
                filter,
                subscription,
            } => {
                self.about(tag::PUT_SUBSCRIPTION, client);
                self.text(filter.as_bytes());
                self.byte(subscription.options.to_byte());
                self.optional(subscription.identifier, |writer, id| writer.short(id.get()));
            }
            Change::DeleteSubscription { client, filter } => {
                self.about(tag::DELETE_SUBSCRIPTION, client);
                self.text(filter.as_bytes());
            }
            Change::PutDelivery {
                client,
                seq,
                delivery,
            } => {
                self.about(tag::PUT_DELIVERY, client);
                self.number(*seq);
                self.delivery(delivery);
            }
            Change::ReleaseDelivery { client, seq } => {
                self.about(tag::RELEASE_DELIVERY, client);
                self.number(*seq);
            }
            Change::DeleteDelivery { client, seq } => {
                self.about(tag::DELETE_DELIVERY, client);
                self.number(*seq);
            }
            Change::PutReceived { client, packet_id } => {
                self.about(tag::PUT_RECEIVED, client);
                self.short(packet_id.get().into());
            }
            Change::DeleteReceived { client, packet_id } => {
                self.about(tag::DELETE_RECEIVED, client);
                self.short(packet_id.get().into());
            }
            Change::PutRetained { message } => {
                self.byte(tag::PUT_RETAINED);
                self.message(message);
            }
            Change::DeleteRetained { topic } => {
                self.byte(tag::DELETE_RETAINED);
                self.text(topic.as_bytes());
            }
        }
    }

    fn session(&mut self, record: &SessionRecord) {
        self.short(record.expiry_interval);
        self.optional(record.disconnected, |writer, moment| {
            writer.number(moment.as_millis())
        });
        self.number(record.sent_before);
        self.optional(record.will.as_ref(), |writer, will| {
            writer.message(&will.message);
            writer.short(will.delay_interval);
            writer.optional(will.message_expiry_interval, Self::short);
        });
        self.optional(record.identity.as_deref(), |writer, identity| {
            writer.text(identity.as_bytes())
        });
    }

    fn delivery(&mut self, delivery: &Delivery) {
        self.message(&delivery.message);
        self.byte(delivery.qos as u8);
        self.byte(delivery.retain.into());
        self.byte(delivery.released.into());
        self.count(delivery.subscription_identifiers.len());
        for identifier in &delivery.subscription_identifiers {
            self.short(*identifier);
        }
    }

    /// The message, or the number of the one that it is: 0 is a new one.
    fn message(&mut self, message: &Arc<Message>) {
        let next = self.messages.len() as u32 + 1;
        if let Some(number) = self.messages.get(&Arc::as_ptr(message)) {
            self.short(*number);
            return;
        }
        self.messages.insert(Arc::as_ptr(message), next);
        self.short(0);
        self.text(message.topic_bytes());
        self.text(message.properties_bytes());
        self.text(message.payload());
        self.byte(message.qos as u8);
        self.byte(message.retain.into());
        self.optional(message.expires, |writer, moment| {
            writer.number(moment.as_millis())
        });
    }

    fn about(&mut self, tag: u8, client: &ClientId) {
        self.byte(tag);
        self.text(client.as_str().as_bytes());
    }

    fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    fn short(&mut self, number: u32) {
        self.bytes.extend_from_slice(&number.to_be_bytes());
    }

    fn number(&mut self, number: u64) {
        self.bytes.extend_from_slice(&number.to_be_bytes());
    }

    /// Nothing in a batch has 2^32 parts.
    fn count(&mut self, count: usize) {
        self.short(count as u32);
    }

    fn text(&mut self, text: &[u8]) {
        self.count(text.len());
        self.bytes.extend_from_slice(text);
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.byte(value.is_some().into());
        if let Some(value) = value {
            write(self, value);
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// Messages read so far, for those that come again.
    messages: Vec<Arc<Message>>,
}

impl<'a> Reader<'a> {
    fn change(&mut self) -> Result<Change, RecordError> {
        let tag = self.byte()?;
        match tag {
            tag::PUT_RETAINED => {
                return Ok(Change::PutRetained {
                    message: self.message()?,
                });
            }
            tag::DELETE_RETAINED => {
                return Ok(Change::DeleteRetained {
                    topic: self.topic()?,
                });
            }
            _ => {}
        }
        let client = ClientId::new(self.string()?);
        Ok(match tag {
            tag::PUT_SESSION => Change::PutSession {
                client,
                record: self.session()?,
            },
            tag::DELETE_SESSION => Change::DeleteSession { client },
            tag::PUT_SUBSCRIPTION => {
                let filter = self.filter()?;
                let options = SubscriptionOptions::from_byte(self.byte()?).map_err(damaged)?;
                let identifier = self.optional(|reader| {
                    NonZeroU32::new(reader.short()?).ok_or(RecordError::Damaged)
                })?;
                Change::PutSubscription {
                    client,
                    filter,
                    subscription: SubscriptionRecord {
                        options,
                        identifier,
                    },
                }
            }
            tag::DELETE_SUBSCRIPTION => Change::DeleteSubscription {
                client,
                filter: self.filter()?,
            },
            tag::PUT_DELIVERY => Change::PutDelivery {
                client,
                seq: self.number()?,
                delivery: self.delivery()?,
            },
            tag::RELEASE_DELIVERY => Change::ReleaseDelivery {
                client,
                seq: self.number()?,
            },
            tag::DELETE_DELIVERY => Change::DeleteDelivery {
                client,
                seq: self.number()?,
            },
            tag::PUT_RECEIVED => Change::PutReceived {
                client,
                packet_id: self.packet_id()?,
            },
            tag::DELETE_RECEIVED => Change::DeleteReceived {
                client,
                packet_id: self.packet_id()?,
            },
            _ => return Err(RecordError::Damaged),
        })
    }

    fn session(&mut self) -> Result<SessionRecord, RecordError> {
        Ok(SessionRecord {
            expiry_interval: self.short()?,
            disconnected: self.optional(Self::moment)?,
            sent_before: self.number()?,
            will: self.optional(|reader| {
                Ok(WillRecord {
                    message: reader.message()?,
                    delay_interval: reader.short()?,
                    message_expiry_interval: reader.optional(Self::short)?,
                })
            })?,
            identity: self.optional(|reader| Ok(Arc::from(reader.string()?)))?,
        })
    }

    fn delivery(&mut self) -> Result<Delivery, RecordError> {
        let message = self.message()?;
        let (qos, retain, released) = (self.qos()?, self.flag()?, self.flag()?);
        let count = self.count()?;
        let subscription_identifiers =
            (0..count).map(|_| self.short()).collect::<Result<_, _>>()?;
        Ok(Delivery {
            message,
            qos,
            retain,
            subscription_identifiers,
            released,
        })
    }

    fn message(&mut self) -> Result<Arc<Message>, RecordError> {
        let number = self.short()? as usize;
        if let Some(earlier) = number.checked_sub(1) {
            return self
                .messages
                .get(earlier)
                .cloned()
                .ok_or(RecordError::Damaged);
        }
        let topic = TopicName::new(self.text()?).map_err(damaged)?;
        let properties =
            Properties::decode(self.text()?, PropertyOwner::Publish).map_err(damaged)?;
        let mut message = Message::new(topic, properties, self.text()?);
        message.qos = self.qos()?;
        message.retain = self.flag()?;
        message.expires = self.optional(Self::moment)?;
        let message = Arc::new(message);
        self.messages.push(message.clone());
        Ok(message)
    }

    fn topic(&mut self) -> Result<TopicName, RecordError> {
        TopicName::new(Bytes::copy_from_slice(self.text()?)).map_err(damaged)
    }

    fn filter(&mut self) -> Result<TopicFilter, RecordError> {
        TopicFilter::new(Bytes::copy_from_slice(self.text()?)).map_err(damaged)
    }

    fn packet_id(&mut self) -> Result<PacketId, RecordError> {
        let number = u16::try_from(self.short()?).map_err(damaged)?;
        PacketId::new(number).ok_or(RecordError::Damaged)
    }

    fn moment(&mut self) -> Result<Instant, RecordError> {
        self.number().map(Instant::from_millis)
    }

    fn qos(&mut self) -> Result<QoS, RecordError> {
        QoS::from_number(self.byte()?).ok_or(RecordError::Damaged)
    }

    fn string(&mut self) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.text()?).map_err(damaged)
    }

    fn text(&mut self) -> Result<&'a [u8], RecordError> {
        let len = self.short()? as usize;
        let (text, rest) = self
            .bytes
            .split_at_checked(len)
            .ok_or(RecordError::Damaged)?;
        self.bytes = rest;
        Ok(text)
    }

    /// A number of parts, each of which is a byte at least: no more than there are bytes left.
    fn count(&mut self) -> Result<usize, RecordError> {
        let count = self.short()? as usize;
        if count <= self.bytes.len() {
            Ok(count)
        } else {
            Err(RecordError::Damaged)
        }
    }

    fn flag(&mut self) -> Result<bool, RecordError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(RecordError::Damaged),
        }
    }

    fn byte(&mut self) -> Result<u8, RecordError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn short(&mut self) -> Result<u32, RecordError> {
        self.array().map(u32::from_be_bytes)
    }

    fn number(&mut self) -> Result<u64, RecordError> {
        self.array().map(u64::from_be_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or(RecordError::Damaged)?;
        self.bytes = rest;
        Ok(*array)
    }

    fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, RecordError>,
    ) -> Result<Option<T>, RecordError> {
        if self.flag()? {
            read(self).map(Some)
        } else {
            Ok(None)
        }
    }
}

fn damaged<E>(_: E) -> RecordError {
    RecordError::Damaged
}

#[cfg(test)]
mod tests {
    use mqtt_codec::Property;

    use super::*;

    fn message(payload: &str) -> Arc<Message> {
        let topic = TopicName::from_text("a/b").unwrap();
        let properties = Properties::new([Property::CorrelationData(b"7")]).unwrap();
        let mut message = Message::new(topic.as_view(), properties.as_view(), payload.as_bytes());
        (message.qos, message.retain) = (QoS::ExactlyOnce, true);
        message.expires = Some(Instant::from_millis(1_700_000_000_000));
        Arc::new(message)
    }

    /// A batch with every kind of change, and every field set and not set.
    #[allow(clippy::too_many_lines, reason = "it is a list")]
    fn batch() -> Batch {
        let (client, filter) = (
            ClientId::new("a"),
            TopicFilter::from_text("$share/g/a/+").unwrap(),
        );
        let packet_id = PacketId::new(65_535).unwrap();
        let shared = message("hi");
        let record = SessionRecord {
            expiry_interval: u32::MAX,
            disconnected: Some(Instant::from_millis(5)),
            sent_before: 7,
            will: Some(WillRecord {
                message: message("gone"),
                delay_interval: 3,
                message_expiry_interval: Some(4),
            }),
            identity: Some("somebody".into()),
        };
        let delivery = |subscription_identifiers: &[u32], released| Delivery {
            message: shared.clone(),
            qos: QoS::AtLeastOnce,
            retain: released,
            subscription_identifiers: subscription_identifiers.into(),
            released,
        };
        let options = SubscriptionOptions {
            retain_as_published: true,
            ..SubscriptionOptions::of_qos(QoS::AtLeastOnce)
        };
        let subscription = |identifier| SubscriptionRecord {
            options,
            identifier: NonZeroU32::new(identifier),
        };
        let changes = vec![
            Change::PutSession {
                client: client.clone(),
                record,
            },
            Change::PutSession {
                client: ClientId::new(""),
                record: SessionRecord::default(),
            },
            Change::PutSubscription {
                client: client.clone(),
                filter: filter.clone(),
                subscription: subscription(0),
            },
            Change::PutSubscription {
                client: client.clone(),
                filter: filter.clone(),
                subscription: subscription(9),
            },
            Change::DeleteSubscription {
                client: client.clone(),
                filter,
            },
            Change::PutDelivery {
                client: client.clone(),
                seq: 1,
                delivery: delivery(&[], false),
            },
            Change::PutDelivery {
                client: client.clone(),
                seq: u64::MAX,
                delivery: delivery(&[1, 268_435_455], true),
            },
            Change::ReleaseDelivery {
                client: client.clone(),
                seq: 1,
            },
            Change::DeleteDelivery {
                client: client.clone(),
                seq: 1,
            },
            Change::PutReceived {
                client: client.clone(),
                packet_id,
            },
            Change::DeleteReceived {
                client: client.clone(),
                packet_id,
            },
            Change::PutRetained {
                message: shared.clone(),
            },
            Change::DeleteRetained {
                topic: shared.topic(),
            },
            Change::DeleteSession { client },
        ];
        Batch {
            shard: 3,
            epoch: 4,
            changes,
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        for batch in [batch(), Batch::default()] {
            assert_eq!(Batch::from_bytes(&batch.to_bytes()), Ok(batch));
        }
    }

    #[test]
    fn a_message_is_there_once() {
        let batch = Batch::from_bytes(&batch().to_bytes()).unwrap();
        let messages: Vec<_> = batch
            .changes
            .iter()
            .filter_map(|change| {
                if let Change::PutDelivery { delivery, .. } = change {
                    Some(&delivery.message)
                } else if let Change::PutRetained { message } = change {
                    Some(message)
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(messages.len(), 3);
        assert!(
            messages
                .windows(2)
                .all(|pair| Arc::ptr_eq(pair[0], pair[1]))
        );
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = batch().to_bytes();
        for len in 0..bytes.len() {
            assert_eq!(
                Batch::from_bytes(&bytes[..len]),
                Err(RecordError::Damaged),
                "cut at {len}"
            );
        }
        assert_eq!(
            Batch::from_bytes(&[&bytes[..], b"x"].concat()),
            Err(RecordError::Damaged)
        );
        // Whatever is changed, nothing panics.
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xFF] {
                let mut bytes = bytes.to_vec();
                bytes[at] ^= flip;
                let _ = Batch::from_bytes(&bytes);
            }
        }
    }

    #[test]
    fn a_later_form_is_refused() {
        let mut bytes = batch().to_bytes().to_vec();
        bytes[0] = VERSION + 1;
        assert_eq!(
            Batch::from_bytes(&bytes),
            Err(RecordError::Later(VERSION + 1))
        );
    }
}
