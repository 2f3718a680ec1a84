//! The byte forms of what a store keeps, for stores that keep bytes.
//!
//! Each begins with the version of the form. A later version than the one known here is told apart
//! from damage, so that nobody takes the data of a newer program for broken.

use std::num::NonZeroU32;
use std::sync::Arc;

use mqtt_codec::{Properties, PropertyOwner, QoS, SubscriptionOptions, TopicName};

use super::bytes::{Reader, Writer, damaged};
use super::{SessionRecord, SubscriptionRecord, WillRecord};
use crate::Message;

/// The version of the forms that is written.
const VERSION: u8 = 1;

/// Bytes that are no record or batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The form is of a later version of this crate.
    #[error("version {version} of the form is later than {known}, the last one known here")]
    Later {
        /// The version that the bytes have.
        version: u8,
        /// The last version that is known here.
        known: u8,
    },
    /// The bytes end too early, or have a value that there is not.
    #[error("the bytes are damaged")]
    Damaged,
}

/// Something that a store keeps under a key.
pub trait Record: Sized {
    /// Appends its byte form.
    fn append_to(&self, out: &mut Vec<u8>);

    /// That of these bytes, all of them.
    ///
    /// # Errors
    /// [`RecordError`] if they are none, or of a later version.
    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError>;
}

impl Record for SessionRecord {
    fn append_to(&self, out: &mut Vec<u8>) {
        let mut writer = Writer(out);
        writer.byte(VERSION);
        writer.short(self.expiry_interval);
        writer.optional(self.disconnected, Writer::moment);
        writer.number(self.sent_before);
        writer.optional(self.will.as_ref(), |writer, will| {
            writer.short(will.delay_interval);
            writer.optional(will.message_expiry_interval, Writer::short);
            writer.nested(&*will.message);
        });
        writer.optional(self.identity.as_deref(), |writer, identity| {
            writer.text(identity.as_bytes());
        });
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader(bytes);
        reader.version(VERSION)?;
        let record = Self {
            expiry_interval: reader.short()?,
            disconnected: reader.optional(Reader::moment)?,
            sent_before: reader.number()?,
            will: reader.optional(|reader| {
                Ok(WillRecord {
                    delay_interval: reader.short()?,
                    message_expiry_interval: reader.optional(Reader::short)?,
                    message: Arc::new(reader.nested()?),
                })
            })?,
            identity: reader.optional(|reader| Ok(Arc::from(reader.string()?)))?,
        };
        reader.end()?;
        Ok(record)
    }
}

impl Record for SubscriptionRecord {
    fn append_to(&self, out: &mut Vec<u8>) {
        let mut writer = Writer(out);
        writer.byte(VERSION);
        writer.byte(self.options.to_byte());
        writer.optional(self.identifier, |writer, id| writer.short(id.get()));
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader(bytes);
        reader.version(VERSION)?;
        let options = SubscriptionOptions::from_byte(reader.byte()?).map_err(damaged)?;
        let identifier = reader
            .optional(|reader| NonZeroU32::new(reader.short()?).ok_or(RecordError::Damaged))?;
        reader.end()?;
        Ok(Self {
            options,
            identifier,
        })
    }
}

/// What the second byte of a message says: the lowest two bits are its QoS.
mod flag {
    pub(super) const QOS: u8 = 0b11;
    pub(super) const RETAIN: u8 = 1 << 2;
    pub(super) const EXPIRES: u8 = 1 << 3;
    pub(super) const PROPERTIES: u8 = 1 << 4;
    pub(super) const ALL: u8 = QOS | RETAIN | EXPIRES | PROPERTIES;
}

/// Four bytes, topic and payload; a lifetime costs eight more, properties four and theirs.
impl Record for Message {
    fn append_to(&self, out: &mut Vec<u8>) {
        let (topic, properties) = (self.topic_bytes(), self.properties_bytes());
        let mut flags = self.qos as u8;
        flags |= if self.retain { flag::RETAIN } else { 0 };
        flags |= self.expires.map_or(0, |_| flag::EXPIRES);
        flags |= if properties.is_empty() {
            0
        } else {
            flag::PROPERTIES
        };
        let mut writer = Writer(out);
        writer.byte(VERSION);
        writer.byte(flags);
        if let Some(expires) = self.expires {
            writer.moment(expires);
        }
        if !properties.is_empty() {
            writer.text(properties);
        }
        // A topic name has at most 65,535 bytes.
        writer
            .0
            .extend_from_slice(&(topic.len() as u16).to_be_bytes());
        writer.0.extend_from_slice(topic);
        writer.0.extend_from_slice(self.payload());
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader(bytes);
        reader.version(VERSION)?;
        let flags = reader.byte()?;
        if flags & !flag::ALL != 0 {
            return Err(RecordError::Damaged);
        }
        let expires = match flags & flag::EXPIRES {
            0 => None,
            _ => Some(reader.moment()?),
        };
        let properties = match flags & flag::PROPERTIES {
            0 => &[],
            _ => reader.text()?,
        };
        let topic_len = u16::from_be_bytes(reader.array()?);
        let topic = TopicName::new(reader.take(topic_len.into())?).map_err(damaged)?;
        let properties = Properties::decode(properties, PropertyOwner::Publish).map_err(damaged)?;
        let mut message = Self::new(topic, properties, reader.0);
        message.qos = QoS::from_number(flags & flag::QOS).ok_or(RecordError::Damaged)?;
        message.retain = flags & flag::RETAIN != 0;
        message.expires = expires;
        Ok(message)
    }
}

impl Writer<'_> {
    /// A record inside another, with its length in front.
    pub(super) fn nested(&mut self, record: &impl Record) {
        let start = self.0.len();
        self.count(0);
        record.append_to(self.0);
        let len = self.0.len() - start - size_of::<u32>();
        if let Some(place) = self.0.get_mut(start..start + size_of::<u32>()) {
            place.copy_from_slice(&(len as u32).to_be_bytes());
        }
    }
}

impl Reader<'_> {
    pub(super) fn nested<R: Record>(&mut self) -> Result<R, RecordError> {
        R::from_bytes(self.text()?)
    }
}
