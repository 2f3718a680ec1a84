//! Publishing: a message is accepted, or it is not. What becomes of it is an event.

use mqtt_codec::{EncodeError, Properties, Property, PropertyOwner, QoS};

use super::event::{Availability, Connected, Event, PublishAck};
use super::options::{Offline, WhenFull};
use super::outgoing::{Room, bytes_of};
use super::{PublishId, Session};
use crate::{Ended, Error, Instant, Message};

impl Session {
    /// Accepts a message. From here on, [`Event::Published`] tells what became of it, once.
    ///
    /// Messages are sent in the order of acceptance. Of the properties, those that are the session's
    /// business (topic alias, subscription identifiers) are left out; the lifetime counts from now.
    ///
    /// # Errors
    /// [`Error::QueueFull`]: with [`WhenFull::Block`], try again after [`Event::Room`]. [`Error::Offline`]
    /// for QoS 0; [`Error::Ended`]; [`Error::Unsupported`] and [`Error::TooLarge`] if this server cannot
    /// take it; [`Error::Encode`] if the properties are none of a PUBLISH.
    pub fn publish(&mut self, now: Instant, message: Message) -> Result<PublishId, Error> {
        self.takes_calls()?;
        if message.qos == QoS::AtMostOnce
            && self.options.offline_qos0 == Offline::Refuse
            && self.connected().is_none()
        {
            return Err(Error::Offline);
        }
        let (message, expires) = prepare(now, message)?;
        if let Some(agreed) = self.connected() {
            check(&message, agreed)?;
        }
        self.make_room(bytes_of(&message))?;
        Ok(self.outgoing.accept(message, expires, &mut self.recorded))
    }

    /// True if the queue has room for this message; if not, [`Event::Room`] comes when there is some.
    pub fn has_room_for(&mut self, message: &Message) -> bool {
        let has_room = self.outgoing.has_room(bytes_of(message));
        if !has_room {
            self.outgoing.room = Room::Wanted;
        }
        has_room
    }

    /// Fails once the client is ending.
    pub(super) fn takes_calls(&self) -> Result<(), Error> {
        if let Some(ended) = self.ended() {
            return Err(Error::Ended(ended.clone()));
        }
        if self.draining.is_some() || self.is_ending() {
            return Err(Error::Ended(Ended::Disconnected));
        }
        Ok(())
    }

    fn make_room(&mut self, bytes: usize) -> Result<(), Error> {
        while !self.outgoing.has_room(bytes) {
            let displaced = match self.options.when_full {
                WhenFull::DropOldestQoS0 => self.outgoing.displace_qos0(),
                WhenFull::Block | WhenFull::Reject => None,
            };
            let Some(id) = displaced else {
                self.outgoing.room = Room::Wanted;
                return Err(Error::QueueFull);
            };
            self.published(id, Err(Error::Displaced));
        }
        Ok(())
    }

    /// Tells those who wait for room.
    pub(super) fn outgoing_has_room(&mut self) {
        if self.outgoing.room == Room::Wanted && self.outgoing.has_room(0) {
            self.outgoing.room = Room::NobodyWaits;
            self.events.push_back(Event::Room);
        }
    }

    /// The last word about a message.
    pub(super) fn published(&mut self, id: PublishId, result: Result<PublishAck, Error>) {
        if result.is_err() {
            self.counters.messages_failed += 1;
        }
        self.events.push_back(Event::Published { id, result });
    }
}

/// A message as the queue keeps it: without what is the session's business, and with the moment at
/// which its lifetime ends.
fn prepare(now: Instant, mut message: Message) -> Result<(Message, Option<Instant>), Error> {
    message.dup = false;
    if message.properties.is_empty() {
        return Ok((message, None));
    }
    let lifetime = message.expiry();
    // [MQTT-3.3.4-6]
    let is_ours = |property: &Property<'_>| {
        matches!(
            property,
            Property::TopicAlias(_)
                | Property::SubscriptionIdentifier(_)
                | Property::MessageExpiryInterval(_)
        )
    };
    if message.properties.iter().any(|property| is_ours(&property)) {
        message.properties = message.properties.without(is_ours);
    }
    Properties::decode(message.properties.as_view().raw(), PropertyOwner::Publish)
        .map_err(|_| Error::Encode(EncodeError::PropertyNotAllowed))?;
    Ok((message, lifetime.map(|lifetime| now + lifetime)))
}

/// What the server has said not to take is not sent. `[MQTT-3.2.2-11]` `[MQTT-3.2.2-14]`
/// `[MQTT-3.2.2-15]`
pub(super) fn check(message: &Message, agreed: &Connected) -> Result<(), Error> {
    if message.qos > agreed.maximum_qos {
        return Err(Error::Unsupported("this QoS"));
    }
    if message.retain && agreed.retain_available == Availability::Unavailable {
        return Err(Error::Unsupported("retained messages"));
    }
    // Fixed header, packet identifier, alias and lifetime take up to 22 bytes more.
    let bytes = bytes_of(message) + message.properties.as_view().raw().len() + 22;
    if bytes > agreed.packet_bytes_max {
        return Err(Error::TooLarge {
            bytes,
            bytes_max: agreed.packet_bytes_max,
        });
    }
    Ok(())
}
