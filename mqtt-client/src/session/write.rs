//! What goes out: first acknowledgements and other packets, then messages.

use mqtt_codec::{EncodeError, Forward, PublishQoS, QoS, Version};

use super::Session;
use super::aliases::Written;
use super::control::ControlPacket;
use super::event::PublishAck;
use super::link::Link;
use super::outgoing::{SPAN_MAX, State, packet_id};
use super::phase::{After, Phase};
use super::publish::check;
use crate::outbox::OutboxChange;
use crate::{ConnectionError, Ended, Error, Instant, Message};

/// [`Session::write`] stops at so many bytes: what is written later is younger, and memory is bounded.
pub const WRITE_BYTES: usize = 64 << 10;

/// A message as it goes out now.
struct Outbound<'a> {
    message: &'a Message,
    expires: Option<Instant>,
    qos: PublishQoS,
    dup: Dup,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dup {
    First,
    Again,
}

impl Session {
    /// Appends packets to send, until `out` holds [`WRITE_BYTES`] or there are none.
    ///
    /// Call it when what it gave before is written; then QoS 0 messages resolve when they go out, not
    /// when they are queued.
    pub fn write(&mut self, now: Instant, out: &mut Vec<u8>) {
        let start = out.len();
        self.write_control(out);
        // [MQTT-3.1.2-30]
        if matches!(self.phase, Phase::Connected(_)) {
            self.write_again(now, out);
            self.write_waiting(now, out);
            self.outgoing_has_room();
            self.finish_draining(now, out);
        }
        if out.len() > start {
            self.counters.bytes_sent += (out.len() - start) as u64;
            if let Phase::Connected(link) = &mut self.phase {
                link.sent_at = now;
            }
        }
    }

    pub(super) fn write_control(&mut self, out: &mut Vec<u8>) {
        let version = self.protocol.version;
        while out.len() < WRITE_BYTES {
            let Some(packet) = self.control.pop(&self.recorded) else {
                break;
            };
            if let Err(error) = packet.encode(version, out) {
                self.cannot_encode(&packet, error);
            }
        }
    }

    /// Only what the user has given can be too long: a CONNECT, an AUTH, a DISCONNECT. Subscriptions were
    /// checked.
    fn cannot_encode(&mut self, packet: &ControlPacket, error: EncodeError) {
        debug_assert!(
            matches!(packet, ControlPacket::Other(_)),
            "an acknowledgement always has a form"
        );
        let error = ConnectionError::Encode(error);
        self.control.clear();
        if !matches!(self.phase, Phase::Closing(_)) {
            self.phase = Phase::Closing(After::End(Ended::Connection(error)));
        }
    }

    /// What was sent on an earlier connection of this session, in its order and before anything new. It does
    /// not expire any longer. `[MQTT-4.3.3-7]`
    fn write_again(&mut self, now: Instant, out: &mut Vec<u8>) {
        while out.len() < WRITE_BYTES {
            let Some(sequence) = self.outgoing.next_again() else {
                return;
            };
            if !self.may_send() {
                return;
            }
            let Some(in_flight) = self.outgoing.by_sequence(sequence) else {
                self.outgoing.sent_again();
                continue;
            };
            let Phase::Connected(link) = &mut self.phase else {
                return;
            };
            let State::Sent(message) = &in_flight.state else {
                self.outgoing.sent_again();
                continue;
            };
            let outbound = Outbound {
                message,
                expires: in_flight.expires,
                qos: with_id(message.qos, sequence),
                dup: Dup::Again,
            };
            let id = in_flight.id;
            let written = check(message, &link.agreed)
                .and_then(|()| outbound.encode(now, link, out).map_err(Error::Encode));
            self.outgoing.sent_again();
            match written {
                Ok(()) => {
                    link.under_way += 1;
                    self.counters.messages_sent += 1;
                    self.counters.messages_resent += 1;
                }
                // This server takes less than the former one. The message fails, and nothing else.
                Err(error) => {
                    self.outgoing.give_up(sequence, &mut self.recorded);
                    self.release_given_up(sequence);
                    self.published(id, Err(error));
                }
            }
        }
    }

    fn write_waiting(&mut self, now: Instant, out: &mut Vec<u8>) {
        while out.len() < WRITE_BYTES && self.outgoing.next_again().is_none() {
            let Some(next) = self.outgoing.next_waiting() else {
                return;
            };
            let (qos, sequence, after) = (next.message.qos, next.sequence, next.after);
            let after = match (qos, self.sending) {
                (QoS::AtLeastOnce | QoS::ExactlyOnce, Some(sending)) => after.max(sending),
                (QoS::AtMostOnce, _) | (_, None) => after,
            };
            if !self.recorded.is_durable(after) {
                return;
            }
            if qos != QoS::AtMostOnce && !self.may_send_new(sequence) {
                return;
            }
            self.write_next(now, out);
        }
    }

    /// Sends the next message that waits, or tells why it cannot be sent.
    fn write_next(&mut self, now: Instant, out: &mut Vec<u8>) {
        let Some(waiting) = self.outgoing.take_waiting() else {
            return;
        };
        let Phase::Connected(link) = &mut self.phase else {
            return;
        };
        let outbound = Outbound {
            message: &waiting.message,
            expires: waiting.expires,
            qos: with_id(waiting.message.qos, waiting.sequence),
            dup: Dup::First,
        };
        let (id, sequence) = (waiting.id, waiting.sequence);
        let written = if waiting.expires.is_some_and(|expires| expires <= now) {
            Err(Error::Expired)
        } else {
            check(&waiting.message, &link.agreed)
                .and_then(|()| outbound.encode(now, link, out).map_err(Error::Encode))
        };
        match written {
            Ok(()) => {
                self.counters.messages_sent += 1;
                if waiting.message.qos == QoS::AtMostOnce {
                    self.published(id, Ok(PublishAck::default()));
                } else {
                    link.under_way += 1;
                    self.outgoing.sent(waiting);
                }
            }
            Err(error) => {
                if sequence != 0 {
                    self.recorded.lazy(|| OutboxChange::Remove { sequence });
                }
                self.published(id, Err(error));
            }
        }
    }

    /// True if the server takes another QoS 1 or 2 message. Only PUBLISH packets wait for that.
    /// `[MQTT-3.3.4-7]` `[MQTT-3.3.4-8]` `[MQTT-4.9.0-2]` `[MQTT-4.9.0-3]`
    fn may_send(&mut self) -> bool {
        let Phase::Connected(link) = &self.phase else {
            return false;
        };
        let has_quota = link.under_way < link.under_way_max;
        let under_way = link.under_way;
        let is_suspicious = self.outgoing.is_suspicious();
        let is_held_back = is_suspicious && (under_way > 0 || self.outgoing.is_on_trial());
        has_quota && !is_held_back
    }

    /// The same for a message that is sent for the first time: its packet identifier must not be in use.
    /// `[MQTT-2.2.1-3]` `[MQTT-4.3.2-1]` `[MQTT-4.3.3-1]`
    fn may_send_new(&mut self, sequence: u64) -> bool {
        self.outgoing.span_to(sequence) < SPAN_MAX
            && !self.subscriptions.is_in_use(packet_id(sequence))
            && self.may_send()
    }
}

fn with_id(qos: QoS, sequence: u64) -> PublishQoS {
    match qos {
        QoS::AtMostOnce => PublishQoS::AtMostOnce,
        QoS::AtLeastOnce => PublishQoS::AtLeastOnce(packet_id(sequence)),
        QoS::ExactlyOnce => PublishQoS::ExactlyOnce(packet_id(sequence)),
    }
}

impl Outbound<'_> {
    /// `[MQTT-3.3.1-1]` `[MQTT-3.3.1-2]` `[MQTT-3.3.1-3]` `[MQTT-3.3.2-6]` `[MQTT-4.3.1-1]` `[MQTT-4.3.2-2]`
    /// `[MQTT-4.3.3-2]`
    fn encode(&self, now: Instant, link: &mut Link, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let version = link.agreed.version;
        let written = if version == Version::V5 {
            link.aliases_sent.choose(&self.message.topic)
        } else {
            Written::Topic
        };
        let (topic, topic_alias) = match written {
            Written::Topic => (self.message.topic.as_bytes(), None),
            Written::TopicAndAlias(alias) => (self.message.topic.as_bytes(), Some(alias)),
            Written::Alias(alias) => (&[][..], Some(alias)),
        };
        Forward {
            version,
            dup: self.dup == Dup::Again,
            qos: self.qos,
            retain: self.message.retain,
            topic,
            topic_alias,
            message_expiry_interval: self.expires.map(|expires| seconds_left(now, expires)),
            subscription_identifiers: &[],
            properties: self.message.properties.as_view().raw(),
            payload: &self.message.payload,
        }
        .encode(out)
    }
}

/// What is left of a lifetime, rounded up: a message that is sent has not expired.
fn seconds_left(now: Instant, expires: Instant) -> u32 {
    let millis = expires.since(now).as_millis();
    u32::try_from(millis.div_ceil(1000)).unwrap_or(u32::MAX)
}
