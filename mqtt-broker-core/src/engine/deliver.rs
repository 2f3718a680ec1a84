//! PUBLISH to a client: what each receiver gets of a message, when, and how it is encoded.

use std::num::NonZeroU32;
use std::sync::Arc;

use mqtt_codec::{EncodedPublish, Forward, PublishQoS, QoS, Version};

use super::output::{Output, Release};
use super::publish::{Outcome, Publication};
use super::{Engine, put_session};
use crate::state::{
    Alias, Connection, Granted, Receiver, Session, SessionId, Slot, Stage, packet_id,
};
use crate::store::{Change, Delivery};
use crate::{Instant, Limits, Message};

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
    ///
    /// `[MQTT-3.3.4-3]` `[MQTT-3.3.4-5]`
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
    ///
    /// `[MQTT-3.8.4-8]` `[MQTT-4.8.2-3]`
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
                let expires = delivery.publication.expires.filter(|_| session.stored);
                delivery.queue(session, connection);
                if let Some(at) = expires {
                    self.note_expiry(at);
                }
            }
        }
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
    ///
    /// `[MQTT-4.3.1-1]`
    fn send_at_most_once(mut self, session: &mut Session, connection: &mut Connection) {
        if !connection.outbox.has_room(self.limits.outbox_bytes_max) {
            self.out.counters.dropped_slow += 1;
        } else if session.outbound.is_clear() {
            if self.fits(connection) {
                self.send(connection, PublishQoS::AtMostOnce, Release::Now);
            }
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
        // [MQTT-3.1.2-25]
        if !self.fits(connection) {
            return;
        }
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
        self.send(connection, qos, release);
        session.outbound.push_sent(self.slot(Stage::Sent, None));
    }

    fn wait(mut self, session: &mut Session) {
        let seq = session.outbound.next_seq();
        if session.stored {
            self.store(session, seq);
            let outbound = &session.outbound;
            let here = session.connection.is_some()
                && !outbound.has_more_stored()
                && outbound.waiting_here() < self.limits.queue_page
                && outbound.waiting_bytes() < self.limits.outbox_bytes_max;
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

    fn store(&mut self, session: &mut Session, seq: u64) {
        // What comes now has not been sent: the store must not take it for that after a crash.
        if session.unrecorded {
            put_session(session, self.out);
        }
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

    /// True if the client takes packets of this size. `[MQTT-3.1.2-24]`
    fn fits(&mut self, connection: &Connection) -> bool {
        // The packet identifier does not matter, only that there is one.
        let qos = match self.qos {
            QoS::AtMostOnce => PublishQoS::AtMostOnce,
            QoS::AtLeastOnce | QoS::ExactlyOnce => PublishQoS::AtLeastOnce(packet_id(1)),
        };
        let forward = forward(
            self.publication,
            self.now,
            connection.version,
            qos,
            &self.identifiers,
        );
        let fits = fits(connection, &forward);
        self.out.counters.dropped_too_large += u64::from(!fits);
        fits
    }

    /// Sends the message, copying what was encoded for another receiver where that is the same.
    ///
    /// `[MQTT-3.3.1-3]` `[MQTT-4.3.2-2]` `[MQTT-4.3.3-2]`
    fn send(&mut self, connection: &mut Connection, qos: PublishQoS, release: Release) {
        let forward = Forward {
            retain: self.retain,
            ..forward(
                self.publication,
                self.now,
                connection.version,
                qos,
                &self.identifiers,
            )
        };
        let own = connection.version == Version::V5
            && (!self.identifiers.is_empty() || connection.aliases_out.is_some());
        if own {
            return send_publish(connection, &forward, release, self.out);
        }
        let Some(encoded) = self.variants.get(&forward) else {
            return;
        };
        self.out.counters.messages_sent += 1;
        self.out.send(connection, release, |bytes| {
            encoded.write(false, qos, forward.retain, bytes)
        });
    }
}

/// The parts of a message for a receiver.
fn forward<'a>(
    publication: &'a Publication<'_>,
    now: Instant,
    version: Version,
    qos: PublishQoS,
    identifiers: &'a [u32],
) -> Forward<'a> {
    Forward {
        version,
        dup: false,
        qos,
        retain: false,
        topic: publication.topic.bytes(),
        topic_alias: None,
        message_expiry_interval: publication.expiry_left(now),
        subscription_identifiers: identifiers,
        properties: publication.properties.raw(),
        payload: publication.payload,
    }
}

/// True if the client takes packets of this size. `[MQTT-3.1.2-24]`
pub(super) fn fits(connection: &Connection, message: &Forward<'_>) -> bool {
    connection.packet_bytes_max == u32::MAX
        || message.encoded_len() <= connection.packet_bytes_max as usize
}

/// Encodes a message that fits for one connection alone, with a topic alias if there is one to be
/// had.
pub(super) fn send_publish(
    connection: &mut Connection,
    message: &Forward<'_>,
    release: Release,
    out: &mut Output,
) {
    let mut message = *message;
    let name = message.topic;
    let aliases = connection.aliases_out.as_ref();
    let alias = aliases.map_or(Alias::None, |aliases| aliases.alias(name));
    let (topic, topic_alias) = match alias {
        Alias::Known(number) => (&[][..], Some(number)),
        Alias::New(number) => (name, Some(number)),
        Alias::None => (name, None),
    };
    let aliased = Forward {
        topic,
        topic_alias,
        ..message
    };
    // The alias takes three bytes itself: more than the shortest topics.
    if fits(connection, &aliased) {
        message = aliased;
        if let (Alias::New(number), Some(aliases)) = (alias, &mut connection.aliases_out) {
            aliases.sent(name, number);
        }
    }
    out.counters.messages_sent += 1;
    out.send(connection, release, |bytes| {
        let encoded = message.encode(bytes);
        debug_assert!(
            encoded.is_ok(),
            "all parts come from packets that were decoded"
        );
    });
}
