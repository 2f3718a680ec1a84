//! The end of a connection, for whatever cause, and what it does to session and will.

use mqtt_codec::{
    DecodeError, Disconnect, Packet, PacketType, Properties, Property, ReasonCode, Text, Version,
};

use super::output::{Output, Release};
use super::{Engine, put_session, send};
use crate::budget::{CONNECTION_BYTES, SESSION_BYTES, SUBSCRIPTION_BYTES};
use crate::state::{Connection, ConnectionId, Deadline, Phase, SessionId};
use crate::store::Change;
use crate::{Instant, Violation};

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The client says goodbye; its will is forgotten.
    Goodbye,
    /// The client says goodbye, and wants its will published.
    GoodbyeWithWill,
    /// The transport is gone.
    Lost,
    /// The client broke a rule.
    Violation(Violation),
    /// Nothing has come for one and a half times the keep alive.
    KeepAlive,
    /// Another connection has the client identifier now.
    TakenOver {
        /// True if it goes on with the session.
        resumed: bool,
    },
    /// The authority does not want the client any more.
    Refused(ReasonCode),
    /// The broker shuts down.
    ShuttingDown,
}

impl Cause {
    /// What the client is told; `None` if it knows, or is gone.
    const fn reason(self) -> Option<ReasonCode> {
        match self {
            Self::Goodbye | Self::GoodbyeWithWill | Self::Lost => None,
            Self::Violation(violation) => Some(violation.reason_code()),
            Self::KeepAlive => Some(ReasonCode::KeepAliveTimeout),
            Self::TakenOver { .. } => Some(ReasonCode::SessionTakenOver),
            Self::Refused(reason) => Some(reason),
            Self::ShuttingDown => Some(ReasonCode::ServerShuttingDown),
        }
    }

    /// A reason for people to read.
    fn text(self) -> Option<String> {
        match self {
            Self::Violation(violation) => Some(violation.to_string()),
            Self::Goodbye
            | Self::GoodbyeWithWill
            | Self::Lost
            | Self::KeepAlive
            | Self::TakenOver { .. }
            | Self::Refused(_)
            | Self::ShuttingDown => None,
        }
    }
}

impl Engine {
    pub(super) fn handle_disconnect(
        &mut self,
        now: Instant,
        id: ConnectionId,
        disconnect: &Disconnect<&[u8]>,
        out: &mut Output,
    ) -> Result<(), Violation> {
        let expiry_max = self.limits().session_expiry_max_s;
        let session = self
            .connection_session(id)
            .and_then(|session| self.sessions.get_mut(session));
        if let (Some(session), Some(interval)) =
            (session, disconnect.properties.session_expiry_interval())
        {
            if session.expiry_interval == 0 && interval > 0 {
                return Err(Violation::SessionExpiryRaised);
            }
            session.expiry_interval = interval.min(expiry_max);
        }
        // [MQTT-3.14.4-3]
        let goodbye = disconnect.reason == ReasonCode::Success;
        self.close(
            now,
            id,
            if goodbye {
                Cause::Goodbye
            } else {
                Cause::GoodbyeWithWill
            },
            out,
        );
        Ok(())
    }

    pub(super) fn handle_closed(&mut self, now: Instant, id: ConnectionId, out: &mut Output) {
        self.close(now, id, Cause::Lost, out);
    }

    pub(super) fn handle_too_large(&mut self, now: Instant, id: ConnectionId, out: &mut Output) {
        if self.connection_mut(id).is_none() {
            return;
        }
        out.counters.refused_memory += 1;
        if self.connection_session(id).is_some() {
            self.close(now, id, Cause::Refused(ReasonCode::QuotaExceeded), out);
        } else {
            self.forget(id, out);
        }
    }

    pub(super) fn handle_malformed(
        &mut self,
        now: Instant,
        id: ConnectionId,
        error: DecodeError,
        version: Option<Version>,
        out: &mut Output,
    ) {
        if let (Some(connection), Some(version)) = (self.connection_mut(id), version)
            && matches!(connection.phase, Phase::Opened)
        {
            connection.version = version;
        }
        self.handle_violation(now, id, error.into(), out);
    }

    /// [MQTT-4.13.1-1]
    pub(super) fn handle_violation(
        &mut self,
        now: Instant,
        id: ConnectionId,
        violation: Violation,
        out: &mut Output,
    ) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        let reason = violation.reason_code();
        match connection.phase {
            // Before 5.0, a malformed CONNECT gets no answer, but for a version that is not spoken;
            // and who is no MQTT client gets none at all. [MQTT-3.1.4-1] of 3.1.1, [MQTT-3.1.2-2]
            Phase::Opened
                if connection.version != Version::V5
                    && reason != ReasonCode::UnsupportedProtocolVersion =>
            {
                self.forget(id, out);
            }
            // [MQTT-3.14.0-1] No DISCONNECT before the CONNACK.
            Phase::Opened | Phase::Asking(_) | Phase::Exchanging(_) => self.refuse(id, reason, out),
            Phase::Connected(_) => self.close(now, id, Cause::Violation(violation), out),
        }
    }

    pub(super) fn handle_last_wills(&mut self, now: Instant, out: &mut Output) {
        let sessions: Vec<_> = self
            .connections
            .iter()
            .filter_map(|(_, connection)| connection.session())
            .collect();
        for session in sessions {
            self.publish_or_delay_will(now, session, out);
        }
    }

    pub(super) fn handle_shutdown(&mut self, now: Instant, out: &mut Output) {
        self.shutting_down = true;
        // Wills first, so that those who are still connected get them.
        self.handle_last_wills(now, out);
        let ids: Vec<_> = self
            .connections
            .iter()
            .map(|(index, connection)| (index, connection.epoch))
            .collect();
        for (index, epoch) in ids {
            self.close(
                now,
                ConnectionId {
                    index: index as u32,
                    epoch,
                },
                Cause::ShuttingDown,
                out,
            );
        }
    }

    /// The store has failed: all connections are closed, and what waits for a commit is never sent.
    ///
    /// Nothing is to be handled after this; the next run restores what was committed.
    pub fn abort(&mut self, out: &mut Output) {
        out.abandon();
        let exchange = &self.seat.exchange;
        exchange.forget_connections(self.connections.len());
        self.budget.give(self.connections.len() * CONNECTION_BYTES);
        for connection in self.connections.drain() {
            out.abort(&connection);
        }
    }

    /// Closes a connection: tells the client where it can be told, and leaves the session as the
    /// standard wants it.
    ///
    /// `[MQTT-3.14.4-1]` `[MQTT-3.14.4-2]`
    pub(super) fn close(&mut self, now: Instant, id: ConnectionId, cause: Cause, out: &mut Output) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        let session = connection.session();
        // [MQTT-3.14.0-1]
        if session.is_some()
            && connection.version == Version::V5
            && let Some(reason) = cause.reason()
        {
            send_disconnect(connection, reason, cause.text(), out);
        }
        self.forget(id, out);
        if let Some(session) = session {
            self.detach(now, session, cause, out);
        }
    }

    /// Forgets a connection; what was sent to it is still written.
    ///
    /// `[MQTT-3.1.4-6]`
    pub(super) fn forget(&mut self, id: ConnectionId, out: &mut Output) {
        if let Some(connection) = self.connection_mut(id) {
            out.close(connection);
            self.watch_connection(id, None);
            self.remove_connection(id);
        }
    }

    /// The session is without a connection from now on.
    ///
    /// `[MQTT-4.1.0-1]`
    fn detach(&mut self, now: Instant, id: SessionId, cause: Cause, out: &mut Output) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        session.connection = None;
        session.disconnected = Some(now);
        session.show_readiness(None);
        match cause {
            // [MQTT-3.1.2-10]
            Cause::Goodbye => session.will = None,
            // The new connection is there before the delay is over. [MQTT-3.1.3-9]
            Cause::TakenOver { resumed: true } if session.will_delay() > 0 => session.will = None,
            Cause::GoodbyeWithWill
            | Cause::Lost
            | Cause::Violation(_)
            | Cause::KeepAlive
            | Cause::TakenOver { .. }
            | Cause::Refused(_)
            | Cause::ShuttingDown => {}
        }
        // It must be gone before its will is published: a shared subscription might choose it.
        if session.expiry_interval == 0 || cause == (Cause::TakenOver { resumed: false }) {
            return self.end_session(now, id, out);
        }
        self.publish_or_delay_will(now, id, out);
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        session.outbound.disconnect();
        self.show(id);
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let queued = session.outbound.waiting() > 0;
        put_session(session, out);
        self.watch_session(id);
        if queued {
            // Lifetimes may have ended while the session was there, and its queue was left alone.
            self.note_expiry(now);
        }
    }

    /// Publishes the will now, or when its delay is over or the session ends. `[MQTT-3.1.2-8]`
    ///
    /// `[MQTT-3.1.2-12]` of 3.1.1
    fn publish_or_delay_will(&mut self, now: Instant, id: SessionId, out: &mut Output) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        if session.will_delay() == 0
            && let Some(will) = session.will.take()
        {
            self.publish_will(now, id, &will, out);
        }
    }

    /// Ends a session: nothing is left of it. `[MQTT-4.1.0-2]`
    ///
    /// `[MQTT-3.1.2-7]` of 3.1.1
    pub(super) fn end_session(&mut self, now: Instant, id: SessionId, out: &mut Output) {
        let Some(mut session) = self.sessions.remove(id) else {
            return;
        };
        self.seat.exchange.forget_session();
        self.budget
            .give(SESSION_BYTES + session.subscriptions.len() * SUBSCRIPTION_BYTES);
        self.deadlines
            .set(&mut session.due, None, Deadline::Session(id));
        let filters = session.subscriptions.as_slice();
        self.seat.exchange.unsubscribe_all(id, filters);
        if session.shown_full {
            self.seat.exchange.set_full(id, false);
        }
        if let Some(cell) = &session.readiness {
            cell.set(None);
            self.seat.exchange.forget_readiness(id);
        }
        if session.stored {
            out.change(Change::DeleteSession {
                client: session.client,
            });
        }
        if let Some(will) = session.will {
            self.publish_will(now, id, &will, out);
        }
    }
}

// [MQTT-3.1.2-29] [MQTT-3.14.2-2] [MQTT-3.14.2-4]
fn send_disconnect(
    connection: &mut Connection,
    reason: ReasonCode,
    text: Option<String>,
    out: &mut Output,
) {
    // [MQTT-3.14.2-1] An authority, or a CONNECT that is no first packet, may ask for another one.
    let reason = if reason.is_failure() && reason.allowed_in(PacketType::Disconnect) {
        reason
    } else {
        ReasonCode::UnspecifiedError
    };
    let text = text
        .filter(|_| connection.problem_information)
        .and_then(|text| Text::from_string(text).ok());
    let properties = Properties::new(
        text.iter()
            .map(|text| Property::ReasonString(text.as_view())),
    );
    let packet = Packet::Disconnect(Disconnect {
        reason,
        properties: properties.unwrap_or_default(),
    });
    // [MQTT-3.14.2-3]
    let fits = packet
        .encoded_len(connection.version)
        .is_ok_and(|len| len <= connection.packet_bytes_max as usize);
    if fits {
        send(connection, &packet, Release::Now, out);
    } else {
        send(
            connection,
            &Packet::Disconnect(Disconnect::new(reason)),
            Release::Now,
            out,
        );
    }
}
