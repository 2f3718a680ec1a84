//! PUBLISH to a client: what each receiver gets of a message, when, and how it is encoded.

use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

use mqtt_codec::{Forward, PublishQoS, QoS, Version};

use super::encode::{Variants, fits, forward, send_publish};
use super::expire::Starved;
use super::outcome::Outcome;
use super::output::{Output, Release};
use super::{Engine, put_session};
use crate::budget::Budget;
use crate::state::{
    Connection, Granted, Publication, Receiver, Session, SessionId, Slot, Stage, packet_id,
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
    /// Gives one receiver messages of a run, those with these indexes.
    ///
    /// `[MQTT-3.8.4-8]` `[MQTT-4.8.2-3]`
    pub(super) fn deliver(
        &mut self,
        now: Instant,
        publication: &mut Publication<'_>,
        indexes: Range<usize>,
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
            budget: &self.budget,
            starved: &mut self.starved,
            variants: &mut self.variants,
            // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
            retain: terms.retain_as_published && publication.retain,
            qos: publication.qos.min(terms.qos),
            identifiers: terms.identifiers,
            publication,
            indexes,
            out,
        };
        match (delivery.qos, connection) {
            (QoS::AtMostOnce, Some(connection)) => delivery.send_at_most_once(session, connection),
            // Nobody is there, and QoS 0 does not wait.
            (QoS::AtMostOnce, None) => {}
            (QoS::AtLeastOnce | QoS::ExactlyOnce, connection) => {
                let expires = delivery.publication.expires.filter(|_| session.stored);
                let queued = delivery.queue(receiver.session, session, connection, outcome);
                if let Some(at) = expires.filter(|_| queued) {
                    self.note_expiry(at);
                }
                self.show(receiver.session);
            }
        }
    }

    /// Lets other shards, if there are any, know how ready a session is and whether its queue has room.
    pub(super) fn show(&mut self, id: SessionId) {
        if self.seat.exchange.shards() == 1 {
            return;
        }
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let full = !session.has_queue_room(&self.settings.limits);
        if full != session.shown_full {
            session.shown_full = full;
            self.seat.exchange.set_full(id, full);
        }
        let connection = session.connection;
        let connection = connection.and_then(|id| self.connections.get(id.index as usize));
        session.show_readiness(connection);
    }
}

/// Messages on their way to one session.
struct NewDelivery<'a, 'p> {
    now: Instant,
    limits: &'a Limits,
    budget: &'a Budget,
    starved: &'a mut Starved,
    variants: &'a mut Variants,
    publication: &'a mut Publication<'p>,
    /// Which messages of the run.
    indexes: Range<usize>,
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
        let indexes = self.indexes.clone();
        if !connection.outbox.has_room(self.limits.outbox_bytes_max) {
            self.out.counters.dropped_slow += indexes.len() as u64;
        } else if session.outbound.is_clear() {
            let fitting = self.fitting(connection, indexes.clone());
            self.out.counters.dropped_memory += (indexes.end - fitting.end) as u64;
            self.send_fitting(session, connection, fitting, |this, _, to, indexes| {
                this.send(to, indexes, |_| PublishQoS::AtMostOnce, Release::Now);
            });
        } else {
            indexes.for_each(|index| self.trail(index, session));
        }
    }

    /// Lets a QoS 0 message wait behind what waits already, if there is room.
    fn trail(&mut self, index: usize, session: &mut Session) {
        let waiting = session.outbound.waiting_bytes();
        if !self.budget.fits(waiting, self.publication.bytes(index)) {
            self.out.counters.dropped_memory += 1;
        } else if session.outbound.trailing_len() < self.limits.queue_page
            && waiting < self.limits.queue_bytes_max
        {
            let (message, identifiers) = (
                self.publication.message(index, self.budget),
                self.identifiers.clone(),
            );
            session
                .outbound
                .push_trailing(message, self.retain, identifiers);
        } else {
            self.out.counters.dropped_slow += 1;
        }
    }

    /// QoS 1 and 2: stored if the session is, and sent now or when their turn comes. False if the queue
    /// has room for none.
    fn queue(
        mut self,
        id: SessionId,
        session: &mut Session,
        connection: Option<&mut Connection>,
        outcome: &mut Outcome,
    ) -> bool {
        let mut indexes = self.indexes.clone();
        let mut queued = false;
        if let Some(connection) = connection
            && session.outbound.is_clear()
            && session.has_queue_room(self.limits)
            && connection.outbox.has_room(self.limits.outbox_bytes_max)
        {
            let fitting = self.fitting(connection, indexes.clone());
            if fitting.end < indexes.end {
                // Nothing else may bring the turn of the others.
                self.starved.note(self.now, id);
            }
            let room = session.outbound.room(connection.receive_maximum);
            let behind = fitting.end.min(indexes.start + room);
            queued = behind > indexes.start;
            let now = indexes.start..behind;
            self.send_fitting(session, connection, now, Self::send_numbered);
            indexes.start = behind;
        }
        let more = self.queue_all(session, indexes, outcome);
        outcome.stored |= queued && session.stored;
        queued || more
    }

    /// Lets deliveries wait, as far as there is room. False if there is room for none.
    fn queue_all(
        &mut self,
        session: &mut Session,
        indexes: Range<usize>,
        outcome: &mut Outcome,
    ) -> bool {
        let mut queued = false;
        for index in indexes {
            let short = !self.fits_queue(session, self.publication.bytes(index));
            if session.has_queue_room(self.limits) && !short {
                self.wait(index, session);
                queued = true;
            } else {
                self.out.counters.dropped_memory += u64::from(short);
                self.out.counters.dropped_queue_full += u64::from(!short);
                outcome.overflow(index);
            }
        }
        outcome.stored |= queued && session.stored;
        queued
    }

    /// The first of these messages, as many as there is memory for in the client's outbox.
    fn fitting(&self, connection: &Connection, indexes: Range<usize>) -> Range<usize> {
        if !self.budget.is_limited() {
            return indexes;
        }
        let mut waiting = connection.outbox.waiting();
        let mut fitting = indexes.start..indexes.start;
        for index in indexes {
            let bytes = self.publication.bytes(index);
            if !self.budget.fits_outbox(waiting, bytes) {
                break;
            }
            waiting += bytes;
            fitting.end = index + 1;
        }
        fitting
    }

    /// True if there is memory for one more message in the queue. One that only the store holds takes up memory
    /// too, where that is the store.
    fn fits_queue(&self, session: &Session, bytes: usize) -> bool {
        let here = session.connection.is_some();
        self.budget.fits(session.outbound.waiting_bytes(), bytes)
            && (here || bytes <= self.budget.share())
    }

    /// Sends, by `send`, those whose size the client takes: mostly all of them, in one go.
    fn send_fitting(
        &mut self,
        session: &mut Session,
        to: &mut Connection,
        indexes: Range<usize>,
        send: impl Fn(&mut Self, &mut Session, &mut Connection, Range<usize>),
    ) {
        // [MQTT-3.1.2-25]
        let mut fitting = indexes.start..indexes.start;
        for index in indexes {
            if !self.fits(index, to) {
                send(self, session, to, fitting);
                fitting = index + 1..index + 1;
            }
            fitting.end = index + 1;
        }
        send(self, session, to, fitting);
    }

    /// Sends deliveries under the next sequence numbers.
    fn send_numbered(&mut self, session: &mut Session, to: &mut Connection, indexes: Range<usize>) {
        let (qos, start) = (self.qos, indexes.start);
        let first = session.outbound.next_seq();
        if session.stored {
            for index in indexes.clone() {
                self.store(index, session, first + (index - start) as u64);
            }
        }
        let release = if qos == QoS::ExactlyOnce && session.stored {
            Release::AfterCommit
        } else {
            Release::Now
        };
        let numbered = |index: usize| {
            let id = packet_id(first + (index - start) as u64);
            match qos {
                QoS::ExactlyOnce => PublishQoS::ExactlyOnce(id),
                QoS::AtMostOnce | QoS::AtLeastOnce => PublishQoS::AtLeastOnce(id),
            }
        };
        self.send(to, indexes.clone(), numbered, release);
        for _ in indexes {
            session.outbound.push_sent(self.slot(Stage::Sent, None));
        }
    }

    fn wait(&mut self, index: usize, session: &mut Session) {
        let seq = session.outbound.next_seq();
        if session.stored {
            self.store(index, session, seq);
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
        let message = self.publication.message(index, self.budget);
        session
            .outbound
            .push_waiting(self.slot(Stage::Waiting, Some(message)));
    }

    fn store(&mut self, index: usize, session: &mut Session, seq: u64) {
        // What comes now has not been sent: the store must not take it for that after a crash.
        if session.unrecorded {
            put_session(session, self.out);
        }
        let delivery = Delivery {
            message: self.publication.message(index, self.budget),
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

    fn slot(&self, stage: Stage, message: Option<Arc<Message>>) -> Slot {
        Slot {
            stage,
            qos: self.qos,
            retain: self.retain,
            subscription_identifiers: self.identifiers.clone(),
            message,
        }
    }

    /// True if the client takes packets of this size. `[MQTT-3.1.2-24]`
    fn fits(&mut self, index: usize, connection: &Connection) -> bool {
        if connection.packet_bytes_max == u32::MAX {
            return true;
        }
        // The packet identifier does not matter, only that there is one.
        let qos = match self.qos {
            QoS::AtMostOnce => PublishQoS::AtMostOnce,
            QoS::AtLeastOnce | QoS::ExactlyOnce => PublishQoS::AtLeastOnce(packet_id(1)),
        };
        let (version, identifiers) = (connection.version, &*self.identifiers);
        let message = forward(self.publication, index, self.now, version, qos, identifiers);
        let fits = fits(connection, &message);
        self.out.counters.dropped_too_large += u64::from(!fits);
        fits
    }

    /// Sends messages, copying what was encoded for another receiver where that is the same.
    ///
    /// `[MQTT-3.3.1-3]` `[MQTT-4.3.2-2]` `[MQTT-4.3.3-2]`
    fn send(
        &mut self,
        connection: &mut Connection,
        indexes: Range<usize>,
        numbered: impl Fn(usize) -> PublishQoS,
        release: Release,
    ) {
        if indexes.is_empty() {
            return;
        }
        let version = connection.version;
        let own = version == Version::V5
            && (!self.identifiers.is_empty() || connection.aliases_out.is_some());
        if own {
            for index in indexes {
                self.send_own(connection, index, numbered(index), release);
            }
            return;
        }
        let Some(encoded) = self
            .variants
            .get(self.now, self.publication, version, self.qos)
        else {
            return;
        };
        self.out.counters.messages_sent += indexes.len() as u64;
        let unchanged =
            self.qos == QoS::AtMostOnce && !self.retain && indexes.len() == encoded.len();
        self.out.send(connection, release, |bytes| {
            if unchanged {
                return bytes.extend_from_slice(encoded.bytes());
            }
            for index in indexes {
                encoded.write(index, false, numbered(index), self.retain, bytes);
            }
        });
    }

    /// Sends a message encoded for one receiver alone.
    fn send_own(
        &mut self,
        connection: &mut Connection,
        index: usize,
        qos: PublishQoS,
        release: Release,
    ) {
        let (version, identifiers) = (connection.version, &*self.identifiers);
        let message = Forward {
            retain: self.retain,
            ..forward(self.publication, index, self.now, version, qos, identifiers)
        };
        send_publish(connection, &message, release, self.out);
    }
}
