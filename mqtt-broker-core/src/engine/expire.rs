//! What time does: keep alives, the end of sessions, delayed wills, lifetimes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::disconnect::Cause;
use super::output::{Output, Read};
use super::{Engine, put_session};
use crate::Instant;
use crate::state::{ConnectionId, Deadline, KEEPER, Phase, SessionId};
use crate::store::{Change, Expiring};

/// How long nothing may come from a client. `[MQTT-3.1.2-22]` `[MQTT-3.1.2-20]`
pub(super) fn keep_alive_time(keep_alive: u16) -> Duration {
    Duration::from_millis(u64::from(keep_alive) * 1500)
}

/// When to look for stored deliveries whose lifetime is over. They are looked for once in a while: those
/// of a session that is there are dropped when their turn comes.
#[derive(Debug, Default)]
pub(super) struct Lifetimes {
    /// When to look next; `None`: nothing that is stored has a lifetime, as far as is known.
    next: Option<Instant>,
    /// When it was looked last.
    last: Option<Instant>,
    /// True while what was asked for has not come, or there may be more: another search would find
    /// again what this one drops, as long as that waits for its commit.
    searching: bool,
    /// The epoch of the last session that there was when lifetimes were asked for: what was read says
    /// nothing about a later one, even of the same client.
    asked: u32,
}

impl Lifetimes {
    /// A lifetime that ends then is stored, or may be.
    pub(super) fn note(&mut self, at: Instant, pause: Duration) {
        let at = self.last.map_or(at, |last| at.max(last + pause));
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}

/// Sessions with something that there is no memory for to send it. It is tried again once in a while.
#[derive(Debug, Default)]
pub(super) struct Starved {
    sessions: BTreeSet<SessionId>,
    next: Option<Instant>,
}

/// How long those who lack memory wait before it is tried again.
const STARVED_PAUSE: Duration = Duration::from_millis(500);

impl Starved {
    /// There was no memory for a session.
    pub(super) fn note(&mut self, now: Instant, session: SessionId) {
        self.sessions.insert(session);
        self.next.get_or_insert(now + STARVED_PAUSE);
    }

    fn take_due(&mut self, now: Instant) -> BTreeSet<SessionId> {
        match self.next.take_if(|next| *next <= now) {
            Some(_) => std::mem::take(&mut self.sessions),
            None => BTreeSet::new(),
        }
    }
}

impl Engine {
    pub(super) fn handle_deadline(&mut self, now: Instant, out: &mut Output) {
        while let Some(due) = self.deadlines.take_due(now) {
            match due {
                Deadline::Connection(id) => self.connection_due(now, id, out),
                Deadline::Session(id) => self.session_due(now, id, out),
            }
        }
        self.drop_expired_retained(now, out);
        for session in self.starved.take_due(now) {
            self.pump(now, session, out);
        }
        self.put_unrecorded(out);
        if self.lifetimes.next.take_if(|next| *next <= now).is_some() {
            self.lifetimes.last = Some(now);
            if self.lifetimes.searching {
                self.note_expiry(now);
            } else {
                self.read_expiring(None, out);
            }
        }
    }

    fn drop_expired_retained(&mut self, now: Instant, out: &mut Output) {
        let seat = self.seat.clone();
        if seat.shard != KEEPER {
            return;
        }
        let mut retained = seat.exchange.retained_mut();
        // That a message is retained is stored before that it is not.
        self.receive(now, out);
        while let Some(message) = retained.take_expired(now) {
            let topic = message.topic();
            out.change(Change::DeleteRetained { topic });
        }
        seat.exchange.count_retained(&retained);
    }

    fn read_expiring(&mut self, after: Option<Expiring>, out: &mut Output) {
        self.lifetimes.asked = self.sessions.last_epoch();
        self.lifetimes.searching = true;
        out.read(Read::Expiring { after });
    }

    /// Notes that a delivery is stored whose message has a lifetime.
    pub(super) fn note_expiry(&mut self, at: Instant) {
        let pause = Duration::from_millis(self.limits().expiry_pause_ms.into());
        self.lifetimes.note(at, pause);
    }

    /// Drops deliveries whose lifetime is over from the queues of sessions that are away.
    pub(super) fn handle_expiring(&mut self, now: Instant, page: &[Expiring], out: &mut Output) {
        self.lifetimes.searching = false;
        for expiring in page {
            if expiring.at > now {
                self.note_expiry(expiring.at);
                return;
            }
            self.drop_expired(expiring, out);
        }
        // There may be more, once what was dropped is gone.
        if let Some(last) = page.last() {
            self.read_expiring(Some(last.clone()), out);
        }
    }

    fn drop_expired(&mut self, expiring: &Expiring, out: &mut Output) {
        let Some(id) = self.sessions.find(expiring.client.as_str()) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let newer = session
            .epoch
            .wrapping_sub(self.lifetimes.asked)
            .cast_signed()
            > 0;
        let outbound = &mut session.outbound;
        // What was sent before does not expire. [MQTT-4.3.3-7]
        let waits = outbound.holds_stored(expiring.seq) && !outbound.was_sent_earlier(expiring.seq);
        if session.connection.is_none() && session.stored && waits && !newer {
            outbound.remove_stored(expiring.seq);
            self.show(id);
            out.counters.dropped_expired += 1;
            out.change(Change::DeleteDelivery {
                client: expiring.client.clone(),
                seq: expiring.seq,
            });
        }
    }

    /// When [`Input::Deadline`](super::Input::Deadline) is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let unrecorded = self.unrecorded.last().map(|_| Instant::from_millis(0));
        let keeps = self.seat.shard == KEEPER;
        let retained = keeps.then(|| self.seat.exchange.retained().next_expiry());
        let retained = retained.flatten();
        let others = [retained, self.lifetimes.next, self.starved.next, unrecorded];
        let others = others.into_iter().flatten();
        self.deadlines.next().into_iter().chain(others).min()
    }

    /// No CONNECT has come, the authentication has not come to an end, or there is silence.
    fn connection_due(&mut self, now: Instant, id: ConnectionId, out: &mut Output) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        match connection.phase {
            Phase::Opened | Phase::Exchanging(_) => self.forget(id, out),
            // The authority takes the time that it takes; the client's next step has its own.
            Phase::Asking(_) => self.await_connect(now, id),
            Phase::Connected(_) => {
                let silence = keep_alive_time(connection.keep_alive);
                let due = connection.last_received + silence;
                if due <= now {
                    self.close(now, id, Cause::KeepAlive, out);
                } else {
                    self.watch_connection(id, Some(due));
                }
            }
        }
    }

    /// Gives the client its time for the CONNECT, or for the next step of its authentication.
    pub(super) fn await_connect(&mut self, now: Instant, id: ConnectionId) {
        let timeout = Duration::from_millis(self.limits().connect_timeout_ms.max(1).into());
        self.watch_connection(id, Some(now + timeout));
    }

    /// Sets the deadline of a connection anew, or cancels it.
    pub(super) fn watch_connection(&mut self, id: ConnectionId, due: Option<Instant>) {
        let connection = self.connections.get_mut(id.index as usize);
        if let Some(connection) = connection.filter(|connection| connection.epoch == id.epoch) {
            self.deadlines
                .set(&mut connection.due, due, Deadline::Connection(id));
        }
    }

    /// Sets the deadline of a session by the state it is in.
    pub(super) fn watch_session(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            let due = session.next_due();
            self.deadlines
                .set(&mut session.due, due, Deadline::Session(id));
        }
    }

    /// Does for a session what is due. Whoever comes back may find that it was not handled yet:
    /// deadlines are handled once a second.
    pub(super) fn session_due(&mut self, now: Instant, id: SessionId, out: &mut Output) {
        self.will_delay_due(now, id, out);
        self.session_expiry_due(now, id, out);
        self.watch_session(id);
    }

    fn session_expiry_due(&mut self, now: Instant, id: SessionId, out: &mut Output) {
        let Some(session) = self.sessions.get(id) else {
            return;
        };
        // It may have been connected since, and have been lost again.
        let over = session
            .disconnected
            .is_some_and(|lost| lost.after_secs(session.expiry_interval) <= now);
        if over && session.connection.is_none() && session.expiry_interval < u32::MAX {
            self.end_session(now, id, out);
        }
    }

    fn will_delay_due(&mut self, now: Instant, id: SessionId, out: &mut Output) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let over = session
            .disconnected
            .is_some_and(|lost| lost.after_secs(session.will_delay()) <= now);
        if !over || session.connection.is_some() {
            return;
        }
        let Some(will) = session.will.take() else {
            return;
        };
        if session.stored {
            put_session(session, out);
        }
        self.publish_will(now, id, &will, out);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mqtt_codec::{
        Connect, Cut, Packet, Properties, Property, QoS, Text, TopicName, Version, Will,
    };

    use super::*;
    use crate::authority::{Decision, Grant};
    use crate::{Input, Outbox, Settings};

    fn connect(engine: &mut Engine, now: Instant, out: &mut Output) -> ConnectionId {
        let properties = [Property::SessionExpiryInterval(1_000_000)];
        let will = [Property::WillDelayInterval(1000)];
        let connect = Connect {
            version: Version::V5,
            bridge: false,
            clean_start: false,
            keep_alive: u16::MAX,
            properties: Properties::new(properties).unwrap(),
            client_id: Text::from_static("a").unwrap(),
            will: Some(Will {
                qos: QoS::AtMostOnce,
                retain: false,
                properties: Properties::new(will).unwrap(),
                topic: TopicName::from_text("t").unwrap(),
                payload: "x".into(),
            }),
            user_name: None,
            password: None,
        };
        let bytes = Packet::Connect(connect).to_vec(Version::V5).unwrap();
        let Ok(Cut::Whole(frame)) = mqtt_codec::cut(&bytes, bytes.len()) else {
            unreachable!("it is a whole packet");
        };
        let packet = Packet::decode(frame, Version::V5).unwrap();
        let id = engine.open(now, Arc::new(Outbox::default()));
        engine.handle(now, Input::Packet(id, &packet), out);
        assert!(out.take_question().is_some());
        let accepted = Decision::Accept(Grant::all());
        engine.handle(now, Input::Decided(id, accepted), out);
        id
    }

    /// Each connection left its deadlines behind, for as long as they might have lasted: a day for a
    /// keep alive, years for a session.
    #[test]
    fn who_comes_and_goes_leaves_one_deadline() {
        let mut engine = Engine::new(Settings::default());
        let mut out = Output::default();
        let mut now = Instant::from_millis(1_700_000_000_000);
        for _ in 0..1000 {
            now = now + Duration::from_millis(1100);
            let id = connect(&mut engine, now, &mut out);
            assert_eq!(engine.deadlines.len(), 1);
            engine.handle(now, Input::Closed(id), &mut out);
            assert_eq!(engine.deadlines.len(), 1);
        }
        engine.handle(now.after_secs(2_000_000), Input::Deadline, &mut out);
        assert_eq!((engine.deadlines.len(), engine.sessions()), (0, 0));
    }
}
