//! PUBLISH to a client: what each receiver gets of a message, when, and how it is encoded.

use std::num::NonZeroU32;
use std::sync::Arc;

use mqtt_codec::{Ack, EncodedPublish, Forward, Packet, PublishQoS, QoS, ReasonCode, Version};

use super::Engine;
use super::output::{Load, Output, Release};
use super::publish::{Outcome, Publication, seconds_left};
use super::send;
use crate::state::{
    Alias, Connection, ConnectionId, Granted, Receiver, Session, SessionId, Slot, Stage, packet_id,
};
use crate::store::{Change, Delivery};
use crate::{Instant, Limits, Message};

/// Retained messages looked at in one go, so that a filter that matches few of very many does not
/// hold up others.
const REPLAY_BUDGET: usize = 1000;

/// What a receiver's subscriptions add up to for one message.
#[derive(Debug)]
struct Terms {
    qos: QoS,
    retain_as_published: bool,
    identifiers: Box<[u32]>,
}

/// One message, encoded once for each kind of receiver: before or of 5.0, with or without a packet
/// identifier.
#[derive(Debug, Default)]
pub(super) struct Variants {
    encoded: [EncodedPublish; 4],
    made: [bool; 4],
}

/// Whether a packet was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Yes,
    /// It is larger than the client takes.
    TooLarge,
}

impl Variants {
    /// Forgets the last message; keeps the buffers.
    pub(super) fn clear(&mut self) {
        self.made = [false; 4];
    }

    fn get(&mut self, message: &Forward<'_>) -> Option<&EncodedPublish> {
        let has_id = message.qos != PublishQoS::AtMostOnce;
        let index = usize::from(message.version.has_properties()) * 2 + usize::from(has_id);
        let (encoded, made) = (self.encoded.get_mut(index)?, self.made.get_mut(index)?);
        if !*made {
            encoded.set(message).ok()?;
            *made = true;
        }
        Some(encoded)
    }
}

impl Receiver {
    /// The terms for a message of this publisher; `None` if no subscription wants it.
    fn terms(&self, publisher: Option<SessionId>) -> Option<Terms> {
        // [MQTT-3.8.3-3]
        let wanted = |granted: &&Granted| !granted.no_local || publisher != Some(self.session);
        let granted = || {
            std::iter::once(&self.first)
                .chain(&self.others)
                .filter(wanted)
        };
        Some(Terms {
            // [MQTT-3.3.4-2]
            qos: granted().map(|granted| granted.qos).max()?,
            retain_as_published: granted().any(|granted| granted.retain_as_published),
            // [MQTT-3.3.4-4]
            identifiers: granted()
                .filter_map(|granted| granted.identifier)
                .map(NonZeroU32::get)
                .collect(),
        })
    }
}

impl Engine {
    /// Gives one receiver a message.
    pub(super) fn deliver(
        &mut self,
        now: Instant,
        publication: &mut Publication<'_>,
        receiver: &Receiver,
        outcome: &mut Outcome,
        out: &mut Output,
    ) {
        let Some(terms) = receiver.terms(publication.publisher) else {
            return;
        };
        outcome.matched = true;
        let Some(session) = self.sessions.get_mut(receiver.session) else {
            return;
        };
        let connection = session
            .connection
            .and_then(|id| self.connections.get_mut(id.index as usize));
        let delivery = NewDelivery {
            now,
            limits: &self.settings.limits,
            variants: &mut self.variants,
            // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
            retain: terms.retain_as_published && publication.retain,
            qos: publication.qos.min(terms.qos),
            identifiers: terms.identifiers,
            publication,
            out,
        };
        match (delivery.qos, connection) {
            (QoS::AtMostOnce, Some(connection)) => delivery.send_at_most_once(session, connection),
            // Nobody is there, and QoS 0 does not wait.
            (QoS::AtMostOnce, None) => {}
            (QoS::AtLeastOnce | QoS::ExactlyOnce, connection) => {
                if session.outbound.waiting() >= delivery.limits.queue_messages_max
                    || session.outbound.waiting_bytes() >= delivery.limits.queue_bytes_max
                {
                    delivery.out.counters.dropped_queue_full += 1;
                    outcome.overflowed = true;
                    return;
                }
                outcome.stored |= session.stored;
                delivery.queue(session, connection);
            }
        }
    }

    /// Sends all that may be sent now to the session's client.
    pub(super) fn pump(&mut self, now: Instant, id: SessionId, out: &mut Output) {
        let limits = &self.settings.limits;
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let Some(connection) = session
            .connection
            .and_then(|id| self.connections.get_mut(id.index as usize))
        else {
            return;
        };
        while connection.outbox.has_room(limits.outbox_bytes_max) {
            if let Some(trailing) = session.outbound.pop_trailing() {
                let forward = forward(
                    &trailing.message,
                    connection.version,
                    now,
                    &trailing.subscription_identifiers,
                );
                send_publish(
                    connection,
                    &Forward {
                        retain: trailing.retain,
                        ..forward
                    },
                    Release::Now,
                    out,
                );
            } else if !send_next(now, session, connection, out) {
                break;
            }
        }
        self.load_more(id, out);
        self.replay(now, id, out);
    }

    /// Asks the store for more, if it has more and memory has run low.
    pub(super) fn load_more(&mut self, id: SessionId, out: &mut Output) {
        let limit = self.limits().queue_page;
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let outbound = &mut session.outbound;
        let low = outbound.waiting_here() <= limit / 2;
        if session.connection.is_some()
            && low
            && outbound.has_more_stored()
            && outbound.start_loading()
        {
            out.load(Load {
                session: id,
                client: session.client.clone(),
                after: outbound.last_here(),
                limit,
            });
        }
    }

    pub(super) fn handle_loaded(
        &mut self,
        now: Instant,
        load: &Load,
        deliveries: Vec<(u64, Delivery)>,
        out: &mut Output,
    ) {
        let Some(session) = self.sessions.get_mut(load.session) else {
            return;
        };
        let complete = deliveries.len() < load.limit;
        session.outbound.loaded(load.after, deliveries, complete);
        self.pump(now, load.session, out);
    }

    pub(super) fn handle_written(&mut self, now: Instant, id: ConnectionId, out: &mut Output) {
        if let Some(session) = self
            .connection_mut(id)
            .and_then(|connection| connection.session())
        {
            self.pump(now, session, out);
        }
    }

    /// Sends retained messages for new subscriptions, as fast as the client takes them.
    pub(super) fn replay(&mut self, now: Instant, id: SessionId, out: &mut Output) {
        let mut budget = REPLAY_BUDGET;
        let mut outcome = Outcome::default();
        while budget > 0 {
            let limits = &self.settings.limits;
            let Some(session) = self.sessions.get_mut(id) else {
                return;
            };
            let Some(replay) = session.replays.first_mut() else {
                return;
            };
            let Some(connection) = session
                .connection
                .and_then(|id| self.connections.get(id.index as usize))
            else {
                return;
            };
            let free = session.outbound.is_clear()
                && session.outbound.may_send(connection.receive_maximum);
            // An acknowledgement or the outbox running empty brings us back.
            if !free || !connection.outbox.has_room(limits.outbox_bytes_max) {
                return;
            }
            let Some(message) = self
                .retained
                .next(&replay.filter, &mut replay.cursor, &mut budget)
            else {
                if budget > 0 {
                    session.replays.remove(0);
                }
                continue;
            };
            if message.is_expired(now) {
                continue;
            }
            let receiver = Receiver {
                session: id,
                first: replay.granted,
                others: Vec::new(),
            };
            self.deliver_retained(now, &message, &receiver, &mut outcome, out);
        }
        // There is more to look at: go on when what was sent has been written, and others have had
        // their turn.
        let connection = self.sessions.get(id).and_then(|session| session.connection);
        if let Some(connection) = connection.and_then(|id| self.connection_mut(id)) {
            out.ask_written(connection);
        }
    }

    fn deliver_retained(
        &mut self,
        now: Instant,
        message: &Arc<Message>,
        receiver: &Receiver,
        outcome: &mut Outcome,
        out: &mut Output,
    ) {
        let topic = message.topic();
        let mut publication = Publication::kept(topic.as_view(), message);
        // A retained message says that it is one, whatever the subscription's Retain As Published.
        let receiver = Receiver {
            first: Granted {
                retain_as_published: true,
                no_local: false,
                ..receiver.first
            },
            ..receiver.clone()
        };
        self.variants.clear();
        self.deliver(now, &mut publication, &receiver, outcome, out);
    }
}

/// A message on its way to one session.
struct NewDelivery<'a, 'p> {
    now: Instant,
    limits: &'a Limits,
    variants: &'a mut Variants,
    publication: &'a mut Publication<'p>,
    qos: QoS,
    retain: bool,
    identifiers: Box<[u32]>,
    out: &'a mut Output,
}

impl NewDelivery<'_, '_> {
    /// QoS 0: sent now, behind what waits, or not at all.
    fn send_at_most_once(mut self, session: &mut Session, connection: &mut Connection) {
        if !connection.outbox.has_room(self.limits.outbox_bytes_max) {
            self.out.counters.dropped_slow += 1;
        } else if session.outbound.is_clear() {
            self.send(connection, PublishQoS::AtMostOnce, Release::Now);
        } else if session.outbound.trailing_len() < self.limits.queue_page
            && session.outbound.waiting_bytes() < self.limits.queue_bytes_max
        {
            let message = self.publication.message();
            session
                .outbound
                .push_trailing(message, self.retain, self.identifiers);
        } else {
            self.out.counters.dropped_slow += 1;
        }
    }

    /// QoS 1 and 2: stored if the session is, and sent now or when its turn comes.
    fn queue(mut self, session: &mut Session, connection: Option<&mut Connection>) {
        let now_or_never = connection.filter(|connection| {
            session.outbound.is_clear()
                && session.outbound.may_send(connection.receive_maximum)
                && connection.outbox.has_room(self.limits.outbox_bytes_max)
        });
        let Some(connection) = now_or_never else {
            return self.wait(session);
        };
        let seq = session.outbound.next_seq();
        let id = packet_id(seq);
        let (qos, release) = match self.qos {
            QoS::ExactlyOnce if session.stored => {
                (PublishQoS::ExactlyOnce(id), Release::AfterCommit)
            }
            QoS::ExactlyOnce => (PublishQoS::ExactlyOnce(id), Release::Now),
            QoS::AtMostOnce | QoS::AtLeastOnce => (PublishQoS::AtLeastOnce(id), Release::Now),
        };
        if session.stored {
            self.store(session, seq);
        }
        if self.send(connection, qos, release) == Sent::TooLarge {
            // [MQTT-3.1.2-25]
            if session.stored {
                self.out.change(Change::DeleteDelivery {
                    client: session.client.clone(),
                    seq,
                });
            }
            return;
        }
        let message = session.stored.then(|| self.publication.message());
        session.outbound.push_sent(self.slot(Stage::Sent, message));
    }

    fn wait(mut self, session: &mut Session) {
        let seq = session.outbound.next_seq();
        if session.stored {
            self.store(session, seq);
            let here = session.connection.is_some()
                && !session.outbound.has_more_stored()
                && session.outbound.waiting_here() < self.limits.queue_page;
            if !here {
                session.outbound.push_stored();
                return;
            }
        }
        let message = self.publication.message();
        session
            .outbound
            .push_waiting(self.slot(Stage::Waiting, Some(message)));
    }

    fn store(&mut self, session: &Session, seq: u64) {
        let delivery = Delivery {
            message: self.publication.message(),
            qos: self.qos,
            retain: self.retain,
            subscription_identifiers: self.identifiers.clone(),
            released: false,
        };
        self.out.change(Change::PutDelivery {
            client: session.client.clone(),
            seq,
            delivery,
        });
    }

    fn slot(self, stage: Stage, message: Option<Arc<Message>>) -> Slot {
        Slot {
            stage,
            qos: self.qos,
            retain: self.retain,
            subscription_identifiers: self.identifiers,
            message,
        }
    }

    /// Sends the message, copying what was encoded for another receiver where that is the same.
    fn send(&mut self, connection: &mut Connection, qos: PublishQoS, release: Release) -> Sent {
        let publication = &*self.publication;
        let forward = Forward {
            version: connection.version,
            dup: false,
            qos,
            retain: self.retain,
            topic: publication.topic.bytes(),
            topic_alias: None,
            message_expiry_interval: publication.expiry_left(self.now),
            subscription_identifiers: &self.identifiers,
            properties: publication.properties.raw(),
            payload: publication.payload,
        };
        let own = connection.version == Version::V5
            && (!self.identifiers.is_empty() || connection.aliases_out.is_some());
        if own {
            return send_publish(connection, &forward, release, self.out);
        }
        let Some(encoded) = self.variants.get(&forward) else {
            return Sent::TooLarge;
        };
        if encoded.len() > connection.packet_bytes_max as usize {
            self.out.counters.dropped_too_large += 1;
            return Sent::TooLarge;
        }
        self.out.counters.messages_sent += 1;
        self.out.send(connection, release, |bytes| {
            encoded.write(false, qos, forward.retain, bytes)
        });
        Sent::Yes
    }
}

/// Sends the next delivery that waits in memory; false if there is none or it may not be sent yet.
fn send_next(
    now: Instant,
    session: &mut Session,
    connection: &mut Connection,
    out: &mut Output,
) -> bool {
    let outbound = &mut session.outbound;
    if !outbound.may_send(connection.receive_maximum) {
        return false;
    }
    let Some((seq, slot)) = outbound.next_waiting() else {
        return false;
    };
    let (stage, id, qos) = (slot.stage, packet_id(seq), slot.qos);
    let message = slot.message.clone();
    let forwarded = match (stage, message.as_ref()) {
        (Stage::Waiting | Stage::Sent, Some(message)) => {
            let identifiers = std::mem::take(&mut slot.subscription_identifiers);
            let retain = slot.retain;
            // [MQTT-4.3.3-7] What was sent before does not expire. [MQTT-3.3.1-1]
            let dup = outbound.was_sent_earlier(seq);
            let expired = !dup && message.is_expired(now);
            let qos = if qos == QoS::ExactlyOnce {
                PublishQoS::ExactlyOnce(id)
            } else {
                PublishQoS::AtLeastOnce(id)
            };
            let forward = forward(message, connection.version, now, &identifiers);
            out.counters.dropped_expired += u64::from(expired);
            !expired
                && send_publish(
                    connection,
                    &Forward {
                        dup,
                        qos,
                        retain,
                        ..forward
                    },
                    Release::Now,
                    out,
                ) == Sent::Yes
        }
        (Stage::Released, _) => {
            // [MQTT-4.4.0-1]
            let ack = Ack::new(id, ReasonCode::Success);
            send(
                connection,
                &Packet::<&[u8]>::PubRel(ack),
                Release::AfterCommit,
                out,
            );
            outbound.advance(Stage::Released, false);
            return true;
        }
        (Stage::Done, _) => {
            outbound.advance(Stage::Done, false);
            return true;
        }
        (Stage::Waiting | Stage::Sent, None) => false,
    };
    if forwarded {
        outbound.advance(Stage::Sent, session.stored);
    } else {
        outbound.advance(Stage::Done, false);
        if session.stored {
            out.change(Change::DeleteDelivery {
                client: session.client.clone(),
                seq,
            });
        }
    }
    true
}

/// The parts of a kept message for a receiver.
fn forward<'a>(
    message: &'a Message,
    version: Version,
    now: Instant,
    identifiers: &'a [u32],
) -> Forward<'a> {
    Forward {
        version,
        dup: false,
        qos: PublishQoS::AtMostOnce,
        retain: false,
        topic: message.topic_bytes(),
        topic_alias: None,
        message_expiry_interval: message.expires.map(|expires| seconds_left(expires, now)),
        subscription_identifiers: identifiers,
        properties: message.properties_bytes(),
        payload: message.payload(),
    }
}

/// Encodes a message for one connection alone, with a topic alias if there is one to be had.
fn send_publish(
    connection: &mut Connection,
    message: &Forward<'_>,
    release: Release,
    out: &mut Output,
) -> Sent {
    let mut message = *message;
    let name = message.topic;
    let mut new_alias = None;
    if let Some(aliases) = &connection.aliases_out {
        match aliases.alias(name) {
            Alias::Known(number) => (message.topic, message.topic_alias) = (&[], Some(number)),
            Alias::New(number) => (message.topic_alias, new_alias) = (Some(number), Some(number)),
            Alias::None => {}
        }
    }
    if message.encoded_len() > connection.packet_bytes_max as usize {
        out.counters.dropped_too_large += 1;
        return Sent::TooLarge;
    }
    if let (Some(number), Some(aliases)) = (new_alias, &mut connection.aliases_out) {
        aliases.sent(name, number);
    }
    out.counters.messages_sent += 1;
    out.send(connection, release, |bytes| {
        let encoded = message.encode(bytes);
        debug_assert!(
            encoded.is_ok(),
            "all parts come from packets that were decoded"
        );
    });
    Sent::Yes
}
