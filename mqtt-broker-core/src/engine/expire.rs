//! What time does: keep alives, the end of sessions, delayed wills, lifetimes.

use std::time::Duration;

use super::Engine;
use super::disconnect::Cause;
use super::output::Output;
use crate::Instant;
use crate::state::{ConnectionId, Deadline, Phase, SessionId};
use crate::store::Change;

/// How long nothing may come from a client. `[MQTT-3.1.2-22]`
pub(super) fn keep_alive_time(keep_alive: u16) -> Duration {
    Duration::from_millis(u64::from(keep_alive) * 1500)
}

impl Engine {
    pub(super) fn handle_deadline(&mut self, now: Instant, out: &mut Output) {
        while let Some(due) = self.deadlines.take_due(now) {
            for deadline in due {
                match deadline {
                    Deadline::Connect(id) => self.connect_due(now, id, out),
                    Deadline::KeepAlive(id) => self.keep_alive_due(now, id, out),
                    Deadline::SessionExpiry(id) => self.session_expiry_due(now, id, out),
                    Deadline::WillDelay(id) => self.will_delay_due(now, id, out),
                    Deadline::RetainedExpiry(message) => {
                        let topic = message.topic();
                        // Another message may have taken its place.
                        let same =
                            |there: &&std::sync::Arc<_>| std::sync::Arc::ptr_eq(there, &message);
                        if self.retained.get(topic.as_bytes()).filter(same).is_some() {
                            self.retained.remove(topic.as_bytes());
                            out.change(Change::DeleteRetained { topic });
                        }
                    }
                }
            }
        }
    }

    /// No CONNECT has come, or the authentication has not come to an end.
    fn connect_due(&mut self, now: Instant, id: ConnectionId, out: &mut Output) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        match connection.phase {
            Phase::Opened | Phase::Exchanging(_) => self.forget(id, out),
            // The authority takes the time that it takes; the client's next step has its own.
            Phase::Asking(_) => self.await_connect(now, id),
            Phase::Connected(_) => {}
        }
    }

    /// Gives the client its time for the CONNECT, or for the next step of its authentication.
    pub(super) fn await_connect(&mut self, now: Instant, id: ConnectionId) {
        let timeout = Duration::from_millis(self.limits().connect_timeout_ms.into());
        self.deadlines.add(now + timeout, Deadline::Connect(id));
    }

    fn keep_alive_due(&mut self, now: Instant, id: ConnectionId, out: &mut Output) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        let due = connection.last_received + keep_alive_time(connection.keep_alive);
        if due <= now {
            self.close(now, id, Cause::KeepAlive, out);
        } else {
            self.deadlines.add(due, Deadline::KeepAlive(id));
        }
    }

    /// Does for a session what is due and was not handled yet: deadlines are handled once a second.
    pub(super) fn session_due(&mut self, now: Instant, id: SessionId, out: &mut Output) {
        self.will_delay_due(now, id, out);
        self.session_expiry_due(now, id, out);
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
            out.change(Change::PutSession {
                client: session.client.clone(),
                record: session.record(),
            });
        }
        self.publish_will(now, &will, out);
    }
}
