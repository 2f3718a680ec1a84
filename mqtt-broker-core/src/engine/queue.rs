//! What waits for a client: sent when its turn comes, read from the store when memory runs low, and
//! the retained messages of new subscriptions, which wait where they are.

use std::sync::Arc;

use mqtt_codec::{Ack, Forward, Packet, PublishQoS, QoS, ReasonCode, Version};

use super::encode::{fits, send_publish};
use super::outcome::Outcome;
use super::output::{Load, Output, Read, Release};
use super::publish::seconds_left;
use super::{Engine, send};
use crate::state::{
    Connection, ConnectionId, Granted, Publication, Receiver, Session, SessionId, Stage, Trailing,
    packet_id,
};
use crate::store::{Change, Delivery};
use crate::{Instant, Message};

/// Retained messages looked at in one go, so that a filter that matches few of very many does not
/// hold up others.
const REPLAY_BUDGET: usize = 1000;

impl Engine {
    /// Sends all that may be sent now to the session's client.
    pub(super) fn pump(&mut self, now: Instant, id: SessionId, out: &mut Output) {
        let (limits, budget) = (&self.settings.limits, &self.budget);
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
            let bytes = session.outbound.next_bytes();
            if budget.is_limited() && !budget.fits_outbox(connection.outbox.waiting(), bytes) {
                self.starved.note(now, id);
                break;
            }
            if let Some(trailing) = session.outbound.pop_trailing() {
                send_trailing(now, connection, &trailing, out);
            } else if !send_next(now, session, connection, out) {
                break;
            }
        }
        self.load_more(id, out);
        self.replay(now, id, out);
        self.show(id);
    }

    /// Asks the store for more, if it has more and memory has run low.
    pub(super) fn load_more(&mut self, id: SessionId, out: &mut Output) {
        let (limit, bytes_max) = (self.limits().queue_page, self.limits().outbox_bytes_max);
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let Some(connection) = session.connection else {
            return;
        };
        let outbound = &mut session.outbound;
        let low = outbound.waiting_here() <= limit / 2 && outbound.waiting_bytes() <= bytes_max / 2;
        if low && outbound.has_more_stored() && outbound.start_loading() {
            out.read(Read::Deliveries(Load {
                session: id,
                connection,
                client: session.client.clone(),
                after: outbound.last_here(),
                limit,
            }));
        }
    }

    // [MQTT-4.8.2-4]
    pub(super) fn handle_loaded(
        &mut self,
        now: Instant,
        load: &Load,
        deliveries: Vec<(u64, Delivery)>,
        out: &mut Output,
    ) {
        let Some(session) = self
            .sessions
            .get_mut(load.session)
            .filter(|session| session.connection == Some(load.connection))
        else {
            return;
        };
        session.outbound.loaded(deliveries);
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
        while budget > 0 {
            if !self.replay_next(now, id, &mut budget, out) {
                return;
            }
        }
        // There is more to look at: go on when what was sent has been written, and others have had
        // their turn.
        let connection = self.sessions.get(id).and_then(|session| session.connection);
        if let Some(connection) = connection.and_then(|id| self.connection_mut(id)) {
            out.ask_written(connection);
        }
    }

    /// Sends the next retained message for the oldest of the new subscriptions, if there is one. False if
    /// there is nothing more to send, or no room for it now.
    fn replay_next(
        &mut self,
        now: Instant,
        id: SessionId,
        budget: &mut usize,
        out: &mut Output,
    ) -> bool {
        let seat = self.seat.clone();
        if self
            .sessions
            .get(id)
            .is_none_or(|session| !session.has_replays())
        {
            return false;
        }
        let retained = seat.exchange.retained();
        if seat.exchange.shards() > 1 {
            // What was published before the message that is found is not to come behind it.
            self.receive(now, out);
        }
        let outbox_bytes_max = self.settings.limits.outbox_bytes_max;
        let Some(session) = self.sessions.get_mut(id) else {
            return false;
        };
        let connection = session.connection;
        let Some(connection) = connection.and_then(|id| self.connections.get(id.index as usize))
        else {
            return false;
        };
        let free =
            session.outbound.is_clear() && session.outbound.may_send(connection.receive_maximum);
        // An acknowledgement or the outbox running empty brings us back.
        if !free || !connection.outbox.has_room(outbox_bytes_max) {
            return false;
        }
        let Some(replay) = session.replays().front_mut() else {
            return false;
        };
        let before = replay.cursor.clone();
        let found = retained.next(&replay.filter, &mut replay.cursor, budget);
        drop(retained);
        let Some(message) = found else {
            if *budget > 0 {
                session.replays().pop_front();
            }
            return true;
        };
        if message.is_expired(now) {
            return true;
        }
        if !self
            .budget
            .fits_outbox(connection.outbox.waiting(), message.len())
        {
            replay.cursor = before;
            self.starved.note(now, id);
            return false;
        }
        let receiver = Receiver {
            session: id,
            first: replay.granted,
            others: Vec::new(),
        };
        let mut outcome = Outcome::default();
        self.deliver_retained(now, &message, &receiver, &mut outcome, out);
        true
    }

    // [MQTT-3.3.1-8] of 3.1.1
    fn deliver_retained(
        &mut self,
        now: Instant,
        message: &Arc<Message>,
        receiver: &Receiver,
        outcome: &mut Outcome,
        out: &mut Output,
    ) {
        let mut publication = Publication::of_kept(message);
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
        self.deliver(now, &mut publication, 0..1, &receiver, outcome, out);
    }
}

/// Sends a QoS 0 message that has waited, unless its time is over or the client does not take its
/// size.
fn send_trailing(now: Instant, connection: &mut Connection, trailing: &Trailing, out: &mut Output) {
    let forward = Forward {
        retain: trailing.retain,
        ..forward(
            &trailing.message,
            connection.version,
            now,
            &trailing.subscription_identifiers,
        )
    };
    if trailing.message.is_expired(now) {
        out.counters.dropped_expired += 1;
    } else if fits(connection, &forward) {
        send_publish(connection, &forward, Release::Now, out);
    } else {
        out.counters.dropped_too_large += 1;
    }
}

/// Sends the next delivery that waits in memory; false if there is none or it may not be sent yet.
///
/// `[MQTT-4.9.0-3]`
fn send_next(
    now: Instant,
    session: &mut Session,
    connection: &mut Connection,
    out: &mut Output,
) -> bool {
    let outbound = &mut session.outbound;
    let may_send = outbound.may_send(connection.receive_maximum);
    let Some((seq, slot)) = outbound.next_waiting() else {
        return false;
    };
    // Only PUBLISH waits for the Receive Maximum. [MQTT-3.3.4-10]
    if !may_send && matches!(slot.stage, Stage::Waiting | Stage::Sent) {
        return false;
    }
    match (slot.stage, slot.message.clone()) {
        (Stage::Waiting | Stage::Sent, Some(message)) => {
            send_waiting(now, session, connection, &message, out);
        }
        (Stage::Released, _) => {
            // [MQTT-4.4.0-1]
            let packet = Packet::<&[u8]>::PubRel(Ack::new(packet_id(seq), ReasonCode::Success));
            send(connection, &packet, Release::AfterCommit, out);
            outbound.advance(Stage::Released);
        }
        (Stage::Done, _) | (Stage::Waiting | Stage::Sent, None) => {
            outbound.advance(Stage::Done);
        }
    }
    true
}

/// Sends the next delivery, or drops it if its lifetime is over or the client does not take its size.
fn send_waiting(
    now: Instant,
    session: &mut Session,
    connection: &mut Connection,
    message: &Message,
    out: &mut Output,
) {
    let outbound = &mut session.outbound;
    let Some((seq, slot)) = outbound.next_waiting() else {
        return;
    };
    let (id, exactly_once, retain) = (packet_id(seq), slot.qos == QoS::ExactlyOnce, slot.retain);
    let identifiers = std::mem::take(&mut slot.subscription_identifiers);
    // [MQTT-3.3.1-1]
    let dup = outbound.was_sent_earlier(seq);
    let qos = if exactly_once {
        PublishQoS::ExactlyOnce(id)
    } else {
        PublishQoS::AtLeastOnce(id)
    };
    let forward = Forward {
        dup,
        qos,
        retain,
        ..forward(message, connection.version, now, &identifiers)
    };
    // What was sent before does not expire. [MQTT-4.3.3-7]
    let expired = !dup && message.is_expired(now);
    let fits = fits(connection, &forward);
    if expired || !fits {
        out.counters.dropped_expired += u64::from(expired);
        out.counters.dropped_too_large += u64::from(!expired);
        outbound.advance(Stage::Done);
        if session.stored {
            let client = session.client.clone();
            out.change(Change::DeleteDelivery { client, seq });
        }
        return;
    }
    let release = if exactly_once && session.stored {
        Release::AfterCommit
    } else {
        Release::Now
    };
    send_publish(connection, &forward, release, out);
    outbound.advance(Stage::Sent);
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
