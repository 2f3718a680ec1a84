//! The byte form of a batch: what a log of all changes consists of.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use mqtt_codec::{PacketId, QoS, TopicFilter, TopicName};

use super::bytes::{Reader, Writer, damaged};
use super::{Batch, Change, Delivery, RecordError};
use crate::{ClientId, Message};

/// The version of the form that is written.
const VERSION: u8 = 1;

impl Batch {
    /// The batch as bytes. A message with several deliveries is there once.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::new();
        let mut writer = Writer(&mut bytes);
        writer.byte(VERSION);
        writer.short(self.shard.into());
        writer.number(self.epoch);
        writer.count(self.changes.len());
        let mut writer = ChangeWriter {
            writer,
            messages: HashMap::new(),
        };
        for change in &self.changes {
            writer.change(change);
        }
        bytes.into()
    }

    /// The batch of these bytes.
    ///
    /// # Errors
    /// [`RecordError`] if they are none, or of a later version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader(bytes);
        reader.version(VERSION)?;
        let shard = u16::try_from(reader.short()?).map_err(damaged)?;
        let epoch = reader.number()?;
        let count = reader.count()?;
        let mut reader = ChangeReader {
            reader,
            messages: Vec::new(),
        };
        let changes = (0..count)
            .map(|_| reader.change())
            .collect::<Result<_, _>>()?;
        reader.reader.end()?;
        Ok(Self {
            shard,
            epoch,
            changes,
        })
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

struct ChangeWriter<'a> {
    writer: Writer<'a>,
    /// Messages written so far, by their addresses.
    messages: HashMap<*const Message, u32>,
}

impl ChangeWriter<'_> {
    fn change(&mut self, change: &Change) {
        match change {
            Change::PutSession { client, record } => {
                self.about(tag::PUT_SESSION, client);
                self.writer.nested(record);
            }
            Change::DeleteSession { client } => self.about(tag::DELETE_SESSION, client),
            Change::PutSubscription {
                client,
                filter,
                subscription,
            } => {
                self.about(tag::PUT_SUBSCRIPTION, client);
                self.writer.text(filter.as_bytes());
                self.writer.nested(subscription);
            }
            Change::DeleteSubscription { client, filter } => {
                self.about(tag::DELETE_SUBSCRIPTION, client);
                self.writer.text(filter.as_bytes());
            }
            Change::PutDelivery {
                client,
                seq,
                delivery,
            } => {
                self.about(tag::PUT_DELIVERY, client);
                self.writer.number(*seq);
                self.delivery(delivery);
            }
            Change::ReleaseDelivery { client, seq } => {
                self.about(tag::RELEASE_DELIVERY, client);
                self.writer.number(*seq);
            }
            Change::DeleteDelivery { client, seq } => {
                self.about(tag::DELETE_DELIVERY, client);
                self.writer.number(*seq);
            }
            Change::PutReceived { client, packet_id } => {
                self.about(tag::PUT_RECEIVED, client);
                self.writer.short(packet_id.get().into());
            }
            Change::DeleteReceived { client, packet_id } => {
                self.about(tag::DELETE_RECEIVED, client);
                self.writer.short(packet_id.get().into());
            }
            Change::PutRetained { message } => {
                self.writer.byte(tag::PUT_RETAINED);
                self.message(message);
            }
            Change::DeleteRetained { topic } => {
                self.writer.byte(tag::DELETE_RETAINED);
                self.writer.text(topic.as_bytes());
            }
        }
    }

    fn delivery(&mut self, delivery: &Delivery) {
        self.message(&delivery.message);
        self.writer.byte(delivery.qos as u8);
        self.writer.flag(delivery.retain);
        self.writer.flag(delivery.released);
        self.writer.count(delivery.subscription_identifiers.len());
        for identifier in &delivery.subscription_identifiers {
            self.writer.short(*identifier);
        }
    }

    /// The message, or the number of the one that it is: 0 is a new one.
    fn message(&mut self, message: &Arc<Message>) {
        let next = self.messages.len() as u32 + 1;
        if let Some(number) = self.messages.get(&Arc::as_ptr(message)) {
            self.writer.short(*number);
            return;
        }
        self.messages.insert(Arc::as_ptr(message), next);
        self.writer.short(0);
        self.writer.nested(&**message);
    }

    fn about(&mut self, tag: u8, client: &ClientId) {
        self.writer.byte(tag);
        self.writer.text(client.as_str().as_bytes());
    }
}

struct ChangeReader<'a> {
    reader: Reader<'a>,
    /// Messages read so far, for those that come again.
    messages: Vec<Arc<Message>>,
}

impl ChangeReader<'_> {
    fn change(&mut self) -> Result<Change, RecordError> {
        let tag = self.reader.byte()?;
        match tag {
            tag::PUT_RETAINED => {
                return Ok(Change::PutRetained {
                    message: self.message()?,
                });
            }
            tag::DELETE_RETAINED => {
                let topic = TopicName::new(Bytes::copy_from_slice(self.reader.text()?));
                return Ok(Change::DeleteRetained {
                    topic: topic.map_err(damaged)?,
                });
            }
            _ => {}
        }
        let client = ClientId::new(self.reader.string()?);
        Ok(match tag {
            tag::PUT_SESSION => Change::PutSession {
                client,
                record: self.reader.nested()?,
            },
            tag::DELETE_SESSION => Change::DeleteSession { client },
            tag::PUT_SUBSCRIPTION => Change::PutSubscription {
                client,
                filter: self.filter()?,
                subscription: self.reader.nested()?,
            },
            tag::DELETE_SUBSCRIPTION => Change::DeleteSubscription {
                client,
                filter: self.filter()?,
            },
            tag::PUT_DELIVERY => Change::PutDelivery {
                client,
                seq: self.reader.number()?,
                delivery: self.delivery()?,
            },
            tag::RELEASE_DELIVERY => Change::ReleaseDelivery {
                client,
                seq: self.reader.number()?,
            },
            tag::DELETE_DELIVERY => Change::DeleteDelivery {
                client,
                seq: self.reader.number()?,
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

    fn delivery(&mut self) -> Result<Delivery, RecordError> {
        let message = self.message()?;
        let reader = &mut self.reader;
        let qos = QoS::from_number(reader.byte()?).ok_or(RecordError::Damaged)?;
        let (retain, released) = (reader.flag()?, reader.flag()?);
        let count = reader.count()?;
        let subscription_identifiers = (0..count)
            .map(|_| reader.short())
            .collect::<Result<_, _>>()?;
        Ok(Delivery {
            message,
            qos,
            retain,
            subscription_identifiers,
            released,
        })
    }

    fn message(&mut self) -> Result<Arc<Message>, RecordError> {
        let number = self.reader.short()? as usize;
        if let Some(earlier) = number.checked_sub(1) {
            let earlier = self.messages.get(earlier);
            return earlier.cloned().ok_or(RecordError::Damaged);
        }
        let message = Arc::new(self.reader.nested::<Message>()?);
        self.messages.push(message.clone());
        Ok(message)
    }

    fn filter(&mut self) -> Result<TopicFilter, RecordError> {
        TopicFilter::new(Bytes::copy_from_slice(self.reader.text()?)).map_err(damaged)
    }

    fn packet_id(&mut self) -> Result<PacketId, RecordError> {
        let number = u16::try_from(self.reader.short()?).map_err(damaged)?;
        PacketId::new(number).ok_or(RecordError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use mqtt_codec::{Properties, Property, SubscriptionOptions};

    use super::*;
    use crate::Instant;
    use crate::store::{SessionRecord, SubscriptionRecord, WillRecord};

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
            Err(RecordError::Later {
                version: VERSION + 1,
                known: VERSION
            })
        );
    }
}
