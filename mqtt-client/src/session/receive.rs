//! What comes in: bytes to packets, one call a packet.

use std::sync::Arc;

use bytes::BytesMut;
use mqtt_codec::{
    Cut, DecodeError, Frame, Packet, PacketId, PacketType, Publish, PublishQoS, QoS, ReasonCode,
    Version, cut,
};

use super::control::ControlPacket;
use super::event::{Connected, Event};
use super::incoming::Arrival;
use super::link::Ping;
use super::phase::{After, Phase};
use super::recorded::ChangeNumber;
use super::subscriptions::Told;
use super::{DeliveryId, Session, SubscriptionId};
use crate::outbox::OutboxChange;
use crate::{ConnectionError, Instant, Message, Violation};

/// Whether the application wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Wanted,
    Paused,
}

impl Session {
    /// Takes all whole packets out of `bytes`; what is left is the beginning of another.
    ///
    /// The payloads of messages are slices of `bytes`: reserve room anew rather than copy. Whatever is
    /// wrong ends the connection, and never more than that.
    pub fn handle_received(&mut self, now: Instant, bytes: &mut BytesMut) {
        while matches!(self.phase, Phase::Connecting(_) | Phase::Connected(_)) {
            if self.awaits_authenticator() {
                return;
            }
            match self.next_packet(bytes) {
                Ok(Some(packet)) => {
                    if let Err(violation) = self.handle_packet(now, packet) {
                        self.violated(
                            now,
                            violation.reason_code(),
                            ConnectionError::Violation(violation),
                        );
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    self.violated(now, error.reason_code(), ConnectionError::Malformed(error));
                }
            }
        }
        // Nothing is done with what comes behind the end of a connection.
        bytes.clear();
    }

    /// False: what comes is to be left in the socket. The application holds too many bytes of messages,
    /// or the server does not read our answers.
    #[must_use]
    pub fn wants_to_read(&self) -> bool {
        self.reading == Reading::Wanted
            && self.incoming.bytes() < self.options.received_bytes_max
            && !self.control.is_full()
    }

    /// The application has no room for what would be read.
    pub const fn pause_reading(&mut self) {
        self.reading = Reading::Paused;
    }

    /// What was left in the socket is read again: the server has its time anew to answer a PINGREQ.
    pub fn resume_reading(&mut self, now: Instant) {
        self.reading = Reading::Wanted;
        if let Phase::Connected(link) = &mut self.phase
            && let Ping::SentAt(at) = &mut link.ping
        {
            *at = now;
        }
    }

    /// True between a CONNACK and what the authenticator says to it: what comes behind it is handled after that.
    fn awaits_authenticator(&self) -> bool {
        matches!(&self.phase, Phase::Connecting(connecting) if connecting.connack.is_some())
    }

    fn next_packet(&mut self, bytes: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        // [MQTT-3.1.2-24]
        let length = match cut(bytes, self.options.packet_bytes_max)? {
            Cut::Whole(frame) => frame.bytes.len(),
            Cut::Incomplete(_) => return Ok(None),
        };
        let frame_bytes = bytes.split_to(length).freeze();
        self.counters.bytes_received += length as u64;
        let Cut::Whole(frame) = cut(&frame_bytes, usize::MAX)? else {
            return Err(DecodeError::Truncated);
        };
        let packet = Packet::decode(frame, self.version_of(frame))?;
        Ok(Some(packet.to_owned_from(&frame_bytes)))
    }

    /// A server that does not know 5.0 refuses it with the CONNACK of an older version, which is two bytes
    /// long. One that accepts has properties to send, if only their length. `[MQTT-2.2.2-1]`
    fn version_of(&self, frame: Frame<'_>) -> Version {
        let is_connack = frame.packet_type() == Some(PacketType::ConnAck);
        let is_refusal = matches!(frame.body, [_, code] if *code != 0);
        if is_connack && is_refusal && matches!(self.phase, Phase::Connecting(_)) {
            return Version::V3_1_1;
        }
        self.protocol.version
    }

    fn handle_packet(&mut self, now: Instant, packet: Packet) -> Result<(), Violation> {
        if let Phase::Connected(link) = &mut self.phase {
            link.received_at = now;
            // Any packet shows that the server is there, not only the answer.
            link.ping = Ping::None;
        } else if !matches!(packet, Packet::ConnAck(_) | Packet::Auth(_)) {
            // [MQTT-3.2.0-1] [MQTT-3.14.0-1]
            return Err(Violation::UnexpectedPacket);
        }
        if self.wants_no_problems() && tells_problems(&packet) {
            return Err(Violation::Content);
        }
        match packet {
            Packet::ConnAck(connack) => self.handle_connack(now, connack),
            Packet::Publish(publish) => self.handle_publish(now, publish),
            Packet::PubAck(ack) => self.handle_puback(&ack),
            Packet::PubRec(ack) => self.handle_pubrec(&ack),
            Packet::PubRel(ack) => {
                self.handle_pubrel(ack.packet_id);
                Ok(())
            }
            Packet::PubComp(ack) => self.handle_pubcomp(&ack),
            Packet::SubAck(suback) => self.handle_suback(now, &suback),
            Packet::UnsubAck(unsuback) => self.handle_unsuback(now, &unsuback),
            Packet::PingResp => Ok(()),
            Packet::Disconnect(disconnect) => {
                // Before 5.0, only clients send it.
                if !self.protocol.version.has_properties() {
                    return Err(Violation::UnexpectedPacket);
                }
                self.handle_disconnect(now, disconnect.reason, &disconnect.properties);
                Ok(())
            }
            Packet::Auth(auth) => self.handle_auth(&auth),
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq => Err(Violation::UnexpectedPacket),
        }
    }

    /// The user has asked the server to keep reasons and user properties of acknowledgements for itself.
    fn wants_no_problems(&self) -> bool {
        let properties = &self.options.connect_properties;
        properties.request_problem_information() == Some(false)
    }

    /// `[MQTT-3.3.4-1]`
    fn handle_publish(&mut self, now: Instant, publish: Publish) -> Result<(), Violation> {
        self.counters.messages_received += 1;
        let Phase::Connected(link) = &mut self.phase else {
            return Err(Violation::UnexpectedPacket);
        };
        let topic = link.aliases_received.resolve(&publish)?;
        let message = Message {
            topic,
            payload: publish.payload,
            qos: publish.qos.level(),
            retain: publish.retain,
            dup: publish.dup,
            properties: publish.properties,
        };
        match publish.qos {
            PublishQoS::AtMostOnce => {
                let readers = self.subscriptions.readers(&message);
                if readers.is_empty() {
                    self.counters.messages_unwanted += 1;
                }
                self.hand_over(&readers, None, message);
                Ok(())
            }
            PublishQoS::AtLeastOnce(id) | PublishQoS::ExactlyOnce(id) => {
                self.handle_acknowledged_publish(now, id, message)
            }
        }
    }

    /// A message of QoS 1 or 2.
    fn handle_acknowledged_publish(
        &mut self,
        now: Instant,
        id: PacketId,
        message: Message,
    ) -> Result<(), Violation> {
        let readers = self.subscriptions.readers(&message);
        match self.incoming.arrive(id, &message, &readers) {
            Arrival::New(delivery) => {
                if readers.is_empty() {
                    self.unread(&message);
                }
                self.hand_over(&readers, Some(delivery), message);
            }
            Arrival::Known => self.counters.duplicates_suppressed += 1,
            Arrival::Recorded => {
                self.counters.duplicates_suppressed += 1;
                let pubrec = ControlPacket::PubRec(id, ReasonCode::Success);
                let after = self.recorded.everything();
                self.control.push_after(pubrec, after);
            }
            Arrival::Clash => return Err(Violation::Content),
        }
        if self.incoming.unacknowledged() > self.receive_maximum() {
            return Err(Violation::ReceiveMaximumExceeded);
        }
        self.acknowledge_in_turn(now);
        Ok(())
    }

    /// How many messages the server may send before it has acknowledgements. `[MQTT-3.3.4-9]`
    ///
    /// In a session that was resumed, Mosquitto 2.0.11 does not count what it sends again. Closing the connection for
    /// that would only begin it anew; packet identifiers, and the bytes above which nothing is read, are bounds enough.
    fn receive_maximum(&self) -> usize {
        let is_new = |agreed: &Arc<Connected>| !agreed.session_present;
        if self.protocol.version.has_properties() && self.connected().is_some_and(is_new) {
            self.options.receive_maximum.max(1).into()
        } else {
            usize::MAX
        }
    }

    /// Nobody reads this message of QoS 1 or 2.
    fn unread(&mut self, message: &Message) {
        if !self.incoming.holds_unclaimed() {
            self.counters.messages_unwanted += 1;
            return;
        }
        if let Phase::Connected(link) = &mut self.phase
            && std::mem::replace(&mut link.unclaimed, Told::Told) == Told::NotYet
        {
            let topic = message.topic.clone();
            self.events.push_back(Event::Unclaimed { topic });
        }
    }

    fn hand_over(
        &mut self,
        readers: &[SubscriptionId],
        delivery: Option<DeliveryId>,
        message: Message,
    ) {
        let Some((last, others)) = readers.split_last() else {
            return;
        };
        let events = others.iter().map(|subscription| Event::Message {
            subscription: *subscription,
            delivery,
            message: message.clone(),
        });
        self.events.extend(events);
        self.events.push_back(Event::Message {
            subscription: *last,
            delivery,
            message,
        });
    }

    /// This reader is done with a message. PUBACK or PUBREC leave when all are, in the order in which the
    /// messages came. A message of a session that is gone is ignored.
    pub fn acknowledge(&mut self, now: Instant, reader: SubscriptionId, delivery: DeliveryId) {
        self.incoming.done(reader, delivery, ReasonCode::Success);
        self.acknowledge_in_turn(now);
    }

    /// This reader does not want a message: PUBACK or PUBREC with `reason`, which must be a failure that
    /// they can have. Before 5.0 as [`acknowledge`](Self::acknowledge).
    pub fn reject(
        &mut self,
        now: Instant,
        reader: SubscriptionId,
        delivery: DeliveryId,
        reason: ReasonCode,
    ) {
        let can_say_so = self.protocol.version.has_properties()
            && reason.is_failure()
            && reason.allowed_in(PacketType::PubAck);
        let reason = if can_say_so {
            reason
        } else {
            ReasonCode::Success
        };
        self.incoming.done(reader, delivery, reason);
        self.acknowledge_in_turn(now);
    }

    /// Sends the acknowledgements whose turn it is. `[MQTT-4.6.0-2]` `[MQTT-4.6.0-3]` `[MQTT-4.3.2-4]`
    /// `[MQTT-4.3.3-8]`
    pub(super) fn acknowledge_in_turn(&mut self, _: Instant) {
        if !matches!(self.phase, Phase::Connected(_)) {
            return;
        }
        while let Some(due) = self.incoming.next_due() {
            let packet_id = due.packet_id;
            let (packet, after) = match due.qos {
                QoS::ExactlyOnce if due.reason.is_failure() => (
                    ControlPacket::PubRec(packet_id, due.reason),
                    ChangeNumber::default(),
                ),
                QoS::ExactlyOnce => {
                    let change = || OutboxChange::Received { packet_id };
                    let after = self.recorded.urgent(change);
                    (ControlPacket::PubRec(packet_id, due.reason), after)
                }
                QoS::AtMostOnce | QoS::AtLeastOnce => (
                    ControlPacket::PubAck(packet_id, due.reason),
                    ChangeNumber::default(),
                ),
            };
            self.control.push_after(packet, after);
        }
    }

    /// PUBREL: PUBCOMP follows, whatever we know of the identifier. `[MQTT-4.3.3-11]`
    fn handle_pubrel(&mut self, packet_id: PacketId) {
        let (reason, after) = if self.incoming.release(packet_id) {
            let change = || OutboxChange::Completed { packet_id };
            (ReasonCode::Success, self.recorded.urgent(change))
        } else {
            (
                ReasonCode::PacketIdentifierNotFound,
                self.recorded.everything(),
            )
        };
        self.control
            .push_after(ControlPacket::PubComp(packet_id, reason), after);
    }

    /// The server did what it must not do: it is told, where the version can say it, and the connection
    /// is closed. `[MQTT-4.13.1-1]`
    fn violated(&mut self, now: Instant, reason: ReasonCode, error: ConnectionError) {
        let can_say_so =
            self.protocol.version.has_properties() && matches!(self.phase, Phase::Connected(_));
        if !can_say_so {
            self.lose(now, error);
            return;
        }
        // What only a CONNACK could say, about a packet that only a client sends. [MQTT-3.14.2-1]
        let reason = if reason.allowed_in(PacketType::Disconnect) {
            reason
        } else {
            ReasonCode::ProtocolError
        };
        self.close(reason, After::Retry(error));
    }
}

/// Whether a packet has properties that it must not have if no problem information was requested.
/// `[MQTT-3.1.2-29]`
fn tells_problems(packet: &Packet) -> bool {
    let properties = match packet {
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            &ack.properties
        }
        Packet::SubAck(suback) => &suback.properties,
        Packet::UnsubAck(unsuback) => &unsuback.properties,
        Packet::Auth(auth) => &auth.properties,
        Packet::ConnAck(_)
        | Packet::Publish(_)
        | Packet::Disconnect(_)
        | Packet::PingResp
        | Packet::Connect(_)
        | Packet::Subscribe(_)
        | Packet::Unsubscribe(_)
        | Packet::PingReq => return false,
    };
    properties.reason_string().is_some() || properties.user_properties().next().is_some()
}
